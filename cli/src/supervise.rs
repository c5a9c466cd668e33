//! `kalpana up`: the roles as child processes, started in order, restarted when they die.
//!
//! One task per child owns it ([`child`]); this module decides. A role that fails before it was
//! ever ready ends everything, because a wrong setting does not get better by trying again. One
//! that was ready and dies is started again, at once the first time and then with back-off.

mod backoff;
mod child;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use kalpana_link::InternalToken;
use tokio::sync::mpsc;

use crate::lifecycle::StopSignals;
use crate::role::Role;
use crate::telemetry::LogFormat;
use backoff::Backoff;
use child::{Child, Event};
pub(crate) use child::{SETUP_LINK_LINE, SUPERVISOR_VARIABLE};

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
        setup_link: None,
    };
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
    setup_link: Option<String>,
}

/// What is remembered of a role between its processes.
struct Kept {
    child: Option<Child>,
    backoff: Backoff,
}

impl Supervisor {
    async fn start_all(&mut self, signals: &mut StopSignals) -> anyhow::Result<StartOutcome> {
        for role in Role::ALL {
            let child = Child::spawn(role, &self.launch, self.sender.clone())?;
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
                    Some(Event::Ready(ready)) if ready == role => break,
                    Some(Event::SetupLink(link)) => self.setup_link = Some(link),
                    Some(Event::Exited(exited, status)) => {
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
                Some(Event::Exited(role, status)) => {
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
                Some(Event::Ready(role)) => tracing::info!(role = role.name(), "{role} is back"),
                Some(Event::SetupLink(link)) => {
                    // Web drew a fresh one as it came back; the earlier one no longer works.
                    let text = format!("make the first administrator here instead: {link}");
                    let _ = crate::output::print_line(&text);
                }
                None => return,
            }
        }
    }

    async fn restart(&mut self, role: Role) {
        let Some(kept) = self.children.get_mut(&role) else {
            return;
        };
        match Child::spawn(role, &self.launch, self.sender.clone()) {
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
                    if matches!(event, Some(Event::Exited(exited, _)) if exited == role) {
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
