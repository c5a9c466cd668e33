//! `kalpana up`: the roles as child processes, started in order, restarted when they die.
//!
//! One task per child owns it ([`child`]); this module decides. A role that fails before it was
//! ever ready ends everything, because a wrong setting does not get better by trying again. One
//! that was ready and dies is started again, at once the first time and then with back-off.

mod backoff;
mod child;
pub(crate) mod upgrade;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use kalpana_link::InternalToken;
use tokio::sync::{mpsc, oneshot};

use crate::lifecycle::StopSignals;
use crate::role::Role;
use crate::telemetry::LogFormat;
use backoff::Backoff;
use child::{Child, Event};
pub(crate) use child::{SETUP_LINK_LINE, SUPERVISOR_VARIABLE, TAKE_OVER_VARIABLE};
use upgrade::Outcome;

/// How long a role may take until it is ready for the first time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What the children are started with.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Our own executable.
    pub(crate) executable: PathBuf,
    /// Arguments after the role's name, which repeat the configuration given to us.
    pub(crate) arguments: Vec<String>,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// The token of internal sockets, where users do not tell the roles apart.
    pub(crate) token: Option<InternalToken>,
    /// Where the readiness sockets are made.
    pub(crate) run_dir: PathBuf,
    /// Where an upgrade is asked for.
    pub(crate) upgrade_socket: PathBuf,
    /// How long a child may take to end by itself.
    pub(crate) stop_limit: Duration,
}

/// What a person is told once everything answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// The one-time link that makes the first administrator, while there is none.
    pub(crate) setup_link: Option<String>,
}

/// Runs the roles until a signal asks to stop; `announce` is called once, when all are ready.
///
/// # Errors
/// If a role could not be started the first time; its own message is in the log.
pub(crate) async fn supervise(
    launch: Launch,
    announce: impl FnOnce(Started),
) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let (sender, events) = mpsc::channel(64);
    let mut supervisor = Supervisor {
        launch,
        sender,
        events,
        children: HashMap::new(),
        successor: None,
        leaving: Vec::new(),
        setup_link: None,
    };
    upgrade::listen(&supervisor.launch.upgrade_socket, supervisor.sender.clone())?;
    let outcome = match supervisor.start_all(&mut signals).await {
        Ok(StartOutcome::Ready) => {
            announce(Started {
                setup_link: supervisor.setup_link.take(),
            });
            supervisor.keep_running(&mut signals).await;
            Ok(())
        }
        Ok(StartOutcome::Asked) => Ok(()),
        Err(error) => Err(error),
    };
    supervisor.stop_all(&mut signals).await;
    outcome
}

enum StartOutcome {
    Ready,
    Asked,
}

struct Supervisor {
    launch: Launch,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    children: HashMap<Role, Kept>,
    /// A gateway that is about to take over.
    successor: Option<Successor>,
    /// Gateways that were taken over from, and serve what they have open.
    leaving: Vec<Child>,
    setup_link: Option<String>,
}

/// A gateway that is about to take over, and who waits for it.
struct Successor {
    child: Child,
    asked_by: oneshot::Sender<Outcome>,
}

/// What is remembered of a role between its processes.
struct Kept {
    child: Option<Child>,
    backoff: Backoff,
}

impl Supervisor {
    async fn start_all(&mut self, signals: &mut StopSignals) -> anyhow::Result<StartOutcome> {
        for role in Role::ALL {
            let child = Child::spawn(role, &self.launch, self.sender.clone(), false)?;
            self.children.insert(
                role,
                Kept {
                    child: Some(child),
                    backoff: Backoff::default(),
                },
            );
            let deadline = tokio::time::Instant::now() + START_LIMIT;
            loop {
                let event = tokio::select! {
                    () = signals.next() => return Ok(StartOutcome::Asked),
                    () = tokio::time::sleep_until(deadline) => {
                        bail!("{role} was not ready within {} s", START_LIMIT.as_secs())
                    }
                    event = self.events.recv() => event,
                };
                match event {
                    Some(Event::Ready(ready, _)) if ready == role => break,
                    Some(Event::SetupLink(link)) => self.setup_link = Some(link),
                    Some(Event::Exited(exited, _, status)) => {
                        if let Some(kept) = self.children.get_mut(&exited) {
                            kept.child = None;
                        }
                        bail!("{exited} could not be started ({status}); its message is above")
                    }
                    _ => {}
                }
            }
        }
        Ok(StartOutcome::Ready)
    }

    async fn keep_running(&mut self, signals: &mut StopSignals) {
        loop {
            let event = tokio::select! {
                () = signals.next() => return,
                event = self.events.recv() => event,
            };
            match event {
                Some(Event::Exited(role, number, status)) => {
                    if self.has_left(number) || self.has_failed(number, &status.to_string()) {
                        continue;
                    }
                    let Some(kept) = self.children.get_mut(&role) else {
                        continue;
                    };
                    kept.child = None;
                    let wait = kept.backoff.next(Instant::now());
                    tracing::error!(
                        role = role.name(),
                        %status,
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        "{role} ended by itself ({status}), starting it again in {wait:?}"
                    );
                    let sender = self.sender.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(wait).await;
                        let _ = sender.send(Event::Restart(role)).await;
                    });
                }
                Some(Event::Restart(role)) => self.restart(role).await,
                Some(Event::Ready(role, number)) => {
                    if !self.has_taken_over(number) {
                        tracing::info!(role = role.name(), "{role} is back");
                    }
                }
                Some(Event::Upgrade(asked_by)) => self.upgrade(asked_by),
                Some(Event::Overdue(number)) => self.give_up(number),
                Some(Event::SetupLink(link)) => {
                    // Web drew a fresh one as it came back; the earlier one no longer works.
                    let text = format!("make the first administrator here instead: {link}");
                    let _ = crate::output::print_line(&text);
                }
                None => return,
            }
        }
    }

    /// Starts a gateway that is to take over from the one that runs.
    fn upgrade(&mut self, asked_by: oneshot::Sender<Outcome>) {
        let gateway = self.children.get(&Role::Gateway);
        let refusal = if self.successor.is_some() {
            Some("an upgrade of the gateway is under way already".to_owned())
        } else if gateway.is_none_or(|kept| kept.child.is_none()) {
            Some("the gateway is being started; try again in a moment".to_owned())
        } else {
            None
        };
        let spawned = match refusal {
            Some(refusal) => Err(refusal),
            None => Child::spawn(Role::Gateway, &self.launch, self.sender.clone(), true)
                .map_err(|error| format!("{error:#}")),
        };
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let _ = asked_by.send(Err(error));
                return;
            }
        };
        let (number, sender) = (child.number, self.sender.clone());
        tokio::spawn(async move {
            tokio::time::sleep(START_LIMIT).await;
            let _ = sender.send(Event::Overdue(number)).await;
        });
        self.successor = Some(Successor { child, asked_by });
    }

    /// Tells whether a process that became ready is the new gateway, and makes it the gateway.
    fn has_taken_over(&mut self, number: u64) -> bool {
        let is_it = |successor: &mut Successor| successor.child.number == number;
        let Some(successor) = self.successor.take_if(is_it) else {
            return false;
        };
        let gateway = self.children.get_mut(&Role::Gateway);
        if let Some(old) = gateway.and_then(|kept| kept.child.replace(successor.child)) {
            self.leaving.push(old);
        }
        tracing::info!(role = "gateway", "a new gateway serves; the old one drains");
        let _ = successor.asked_by.send(Ok(
            "the new gateway serves; what was open goes on in the old one until it ends".to_owned(),
        ));
        true
    }

    /// Tells whether a process that ended is the new gateway, before it could take over.
    fn has_failed(&mut self, number: u64, status: &str) -> bool {
        let is_it = |successor: &mut Successor| successor.child.number == number;
        let Some(successor) = self.successor.take_if(is_it) else {
            return false;
        };
        let text = format!(
            "the new gateway could not take over ({status}), so the old one goes on; the reason is in the log of `kalpana up`"
        );
        tracing::error!(role = "gateway", "{text}");
        let _ = successor.asked_by.send(Err(text));
        true
    }

    /// Ends a new gateway that does not become ready.
    fn give_up(&mut self, number: u64) {
        if let Some(successor) = &self.successor
            && successor.child.number == number
        {
            successor.child.kill();
        }
    }

    /// Tells whether a process that ended is a gateway that was taken over from.
    fn has_left(&mut self, number: u64) -> bool {
        let before = self.leaving.len();
        self.leaving.retain(|child| child.number != number);
        let has_left = self.leaving.len() < before;
        if has_left {
            tracing::info!(role = "gateway", "the old gateway has drained and ended");
        }
        has_left
    }

    async fn restart(&mut self, role: Role) {
        let Some(kept) = self.children.get_mut(&role) else {
            return;
        };
        match Child::spawn(role, &self.launch, self.sender.clone(), false) {
            Ok(child) => {
                kept.backoff.started(Instant::now());
                kept.child = Some(child);
            }
            Err(error) => {
                tracing::error!(
                    role = role.name(),
                    "{role} could not be started again: {error:#}"
                );
                let wait = kept.backoff.next(Instant::now());
                let sender = self.sender.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let _ = sender.send(Event::Restart(role)).await;
                });
            }
        }
    }

    /// Stops the children, last started first, so that nobody is let in to what is gone.
    async fn stop_all(&mut self, signals: &mut StopSignals) {
        let mut is_patient = true;
        // They hear it at the same time as the gateway, and have as long.
        self.leaving.iter().for_each(Child::terminate);
        self.successor = None;
        for role in Role::ALL.into_iter().rev() {
            let Some(child) = self.children.remove(&role).and_then(|kept| kept.child) else {
                continue;
            };
            if is_patient {
                child.terminate();
                let deadline = tokio::time::Instant::now() + self.launch.stop_limit;
                is_patient = loop {
                    let event = tokio::select! {
                        () = signals.next() => break false,
                        () = tokio::time::sleep_until(deadline) => {
                            tracing::warn!(role = role.name(), "{role} did not stop in time");
                            child.kill();
                            continue;
                        }
                        event = self.events.recv() => event,
                    };
                    if matches!(event, Some(Event::Exited(_, number, _)) if number == child.number)
                    {
                        break true;
                    }
                };
            }
            if !is_patient {
                child.kill();
            }
        }
    }
}
