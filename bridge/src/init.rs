//! `bridge init`: PID 1. Small on purpose: it must never die, so it decides almost nothing.
//!
//! It reaps whatever ends, keeps the children that [`serve`](crate::serve) asked for, starts
//! `serve` again when it ends, and turns SIGTERM into an orderly end of everything. All of that
//! happens in one task, one event at a time; other tasks only read pipes and the control channel.

mod child;
mod shutdown;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::control::{Answer, Ask, Event, ExitStatus, Request, Running, Stop};
use crate::log::Log;
use crate::settings::Settings;

use child::{Child, Serve};
use shutdown::Shutdown;

/// Requests of `serve` that may wait for `init`.
const REQUEST_QUEUE: usize = 64;

/// Events that may wait for `serve`.
const EVENT_QUEUE: usize = 1024;

/// Room in the event queue that is kept for answers and exits: output is left out before them.
const EVENT_RESERVE: usize = 256;

/// Runs until told to stop.
///
/// # Errors
/// If the process cannot be set up: nothing runs yet then.
pub fn run(settings: Settings) -> std::io::Result<ExitCode> {
    // Keys are in this memory until the settings below are dropped.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if !is_pid_1() {
        // Outside a container, so that orphans come to us there too.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    }
    let log = Log::start()?;
    let user = (!settings.keeps_user).then_some((settings.launch.uid, settings.launch.gid));
    log.say(&format!(
        "the bridge {} starts for workspace {}, generation {}",
        env!("CARGO_PKG_VERSION"),
        settings.launch.workspace,
        settings.launch.generation
    ));
    drop(settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let mut init = Init::new(log.clone(), user);
        init.run().await
    });
    log.flush();
    outcome
}

fn is_pid_1() -> bool {
    rustix::process::getpid().is_init()
}

/// What reaches the one task that decides.
enum Happening {
    /// `serve` asked. The number says which incarnation of it, so that a late request of a dead
    /// one is not answered to its successor.
    Asked(u64, Request),
    /// A child has ended and its output has been read to the end.
    Settled(String, ExitStatus),
}

struct Init {
    log: Log,
    user: Option<(u32, u32)>,
    children: HashMap<i32, Child>,
    serve: Option<Serve>,
    incarnation: u64,
    backoff: Backoff,
    restart_at: Option<tokio::time::Instant>,
    shutdown: Option<Shutdown>,
    happenings: mpsc::Sender<Happening>,
    happened: mpsc::Receiver<Happening>,
}

impl Init {
    fn new(log: Log, user: Option<(u32, u32)>) -> Self {
        let (happenings, happened) = mpsc::channel(REQUEST_QUEUE);
        Self {
            log,
            user,
            children: HashMap::new(),
            serve: None,
            incarnation: 0,
            backoff: Backoff::new(
                Duration::from_millis(100),
                Duration::from_secs(10),
                Duration::from_secs(60),
            ),
            restart_at: Some(tokio::time::Instant::now()),
            shutdown: None,
            happenings,
            happened,
        }
    }

    async fn run(&mut self) -> std::io::Result<ExitCode> {
        let mut ended = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            let restart_at = self.restart_at.filter(|_| self.shutdown.is_none());
            let deadline = self.shutdown.as_ref().map(Shutdown::deadline);
            tokio::select! {
                _ = ended.recv() => {}
                _ = terminate.recv() => self.stop("SIGTERM"),
                _ = interrupt.recv() => self.stop("SIGINT"),
                Some(happening) = self.happened.recv() => self.on(happening),
                () = at(restart_at) => self.start_serve(),
                () = at(deadline) => self.escalate(),
            }
            // Every turn, not only on SIGCHLD: signals of one kind are merged into one.
            let is_all_gone = self.reap();
            if self.is_finished(is_all_gone) {
                self.log.say("the bridge has stopped");
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    fn start_serve(&mut self) {
        self.restart_at = None;
        self.incarnation += 1;
        match Serve::start(self.incarnation, &self.log, self.happenings.clone()) {
            Ok(serve) => self.serve = Some(serve),
            Err(error) => {
                self.log.say(&format!(
                    "cannot start the serving half of the bridge: {error}"
                ));
                self.schedule_serve(Duration::ZERO);
            }
        }
    }

    fn schedule_serve(&mut self, ran: Duration) {
        let delay = self.backoff.next(ran);
        self.restart_at = Some(tokio::time::Instant::now() + delay);
    }

    /// Collects every process that has ended, adopted orphans among them. Returns whether no
    /// child is left at all.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.on_end(pid, exit_status(status)),
                Ok(None) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }

    fn on_end(&mut self, pid: Pid, status: ExitStatus) {
        let pid = pid.as_raw_pid();
        if let Some(serve) = self.serve.take_if(|serve| serve.pid == pid) {
            if self.shutdown.is_none() {
                self.log.say(&format!(
                    "the serving half of the bridge ended with {status}"
                ));
                self.schedule_serve(serve.started.elapsed());
            }
        } else if let Some(child) = self.children.remove(&pid) {
            let happenings = self.happenings.clone();
            tokio::spawn(async move {
                let name = child.name.clone();
                child.read_to_end().await;
                // The receiver lives as long as the process.
                let _ = happenings.send(Happening::Settled(name, status)).await;
            });
        }
    }

    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Asked(incarnation, request) => {
                if self
                    .serve
                    .as_ref()
                    .is_some_and(|serve| serve.incarnation == incarnation)
                {
                    let outcome = self.answer(request.ask);
                    self.tell(Event::Answer {
                        id: request.id,
                        outcome,
                    });
                }
            }
            Happening::Settled(name, status) => self.tell(Event::Exited { name, status }),
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer, String> {
        match ask {
            Ask::Spawn(_) if self.shutdown.is_some() => Err("the bridge is stopping".to_owned()),
            Ask::Spawn(spawn) => {
                if self.children.values().any(|child| child.name == spawn.name) {
                    return Err(format!("{} runs already", spawn.name));
                }
                let serve = self.serve.as_ref().map(|serve| serve.events.clone());
                let child = Child::start(spawn, self.user, &self.log, serve)
                    .map_err(|error| error.to_string())?;
                let pid = child.pid;
                self.children.insert(pid, child);
                Ok(Answer::Spawned { pid })
            }
            Ask::Signal { name, signal } => {
                let child = self.children.values().find(|child| child.name == name);
                let child = child.ok_or_else(|| format!("{name} does not run"))?;
                child.signal(match signal {
                    Stop::Terminate => Signal::TERM,
                    Stop::Kill => Signal::KILL,
                });
                Ok(Answer::Signalled)
            }
            Ask::List => {
                let running = |child: &Child| Running {
                    name: child.name.clone(),
                    pid: child.pid,
                };
                let mut running: Vec<_> = self.children.values().map(running).collect();
                running.sort_by_key(|child| child.pid);
                if let Some(serve) = &self.serve {
                    self.children
                        .values()
                        .for_each(|child| child.relay_to(&serve.events));
                }
                Ok(Answer::Children(running))
            }
        }
    }

    /// Sends `serve` what it must not miss. One that does not take it in is stuck, and ended: its
    /// successor asks for the children anew.
    fn tell(&mut self, event: Event) {
        let Some(serve) = &self.serve else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = serve.events.try_send(event) {
            self.log
                .say("the serving half of the bridge does not respond and is restarted");
            child::send(serve.pid, Signal::KILL);
        }
    }
}

/// Waits until `when`; for ever if there is no such time.
async fn at(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        // Stops and continuations are not asked for.
        (None, None) => ExitStatus::Code(-1),
    }
}
