//! Processes that `init` has started: `serve`, and what it asked for.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kalpana_protocol::bridge::LogSource;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{EVENT_QUEUE, EVENT_RESERVE, Happening};
use crate::control::{self, Event, Spawn};
use crate::exec::Exec;
use crate::lines::{Line, Lines};
use crate::log::Log;

/// This program, even if its file was replaced.
const SELF: &str = "/proc/self/exe";

/// How long after its end a child's output is read on: its own children may keep the pipe open.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// Where a child's lines go besides the log: to the `serve` of the moment.
type Relay = Arc<Mutex<Option<mpsc::Sender<Event>>>>;

/// A child that `serve` asked for.
pub(super) struct Child {
    pub(super) name: String,
    pub(super) pid: i32,
    relay: Relay,
    output: JoinHandle<()>,
}

impl Child {
    /// Starts a child as the workspace's user, by way of [`crate::exec`].
    pub(super) fn start(
        spawn: Spawn,
        user: Option<(u32, u32)>,
        log: &Log,
        serve: Option<mpsc::Sender<Event>>,
    ) -> std::io::Result<Self> {
        let Spawn {
            name,
            source,
            argv,
            env,
            cwd,
        } = spawn;
        if argv.is_empty() {
            return Err(std::io::Error::other("no program is named"));
        }
        let exec = Exec { user, cwd, argv };
        let mut command = Command::new(SELF);
        command
            .arg0("bridge")
            .args(exec.to_args())
            .env_clear()
            .envs(env)
            .stdin(Stdio::null());
        let (pid, pipe) = start(command)?;
        let relay: Relay = Arc::new(Mutex::new(serve));
        let output = tokio::spawn({
            let (log, relay, name) = (log.clone(), Arc::clone(&relay), name.clone());
            read(pipe, move |line| {
                // A progress bar is for whoever watches, not for the record.
                if !line.is_transient {
                    log.line(source, &line.text);
                }
                relay_line(&relay, &name, line);
            })
        });
        Ok(Self {
            name,
            pid,
            relay,
            output,
        })
    }

    /// Sends the child's further lines to another `serve`.
    pub(super) fn relay_to(&self, serve: &mpsc::Sender<Event>) {
        *self.relay.lock().unwrap_or_else(PoisonError::into_inner) = Some(serve.clone());
    }

    /// Signals the child and its process group.
    pub(super) fn signal(&self, signal: Signal) {
        send(self.pid, signal);
        if let Some(group) = Pid::from_raw(self.pid) {
            // It has no group of its own yet if it has only just been started.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    /// Waits for the rest of its output, but not for ever.
    pub(super) async fn read_to_end(mut self) {
        if tokio::time::timeout(OUTPUT_GRACE, &mut self.output)
            .await
            .is_err()
        {
            self.output.abort();
        }
    }
}

/// The running `serve`.
pub(super) struct Serve {
    pub(super) pid: i32,
    pub(super) incarnation: u64,
    pub(super) started: Instant,
    pub(super) events: mpsc::Sender<Event>,
}

impl Serve {
    /// Starts `serve` with its end of the control channel as standard input.
    pub(super) fn start(
        incarnation: u64,
        log: &Log,
        happenings: mpsc::Sender<Happening>,
    ) -> std::io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (mut requests, mut writer) = control::channel(UnixStream::from_std(ours)?);
        let mut command = Command::new(SELF);
        command
            .arg0("bridge")
            .arg("serve")
            .stdin(OwnedFd::from(theirs));
        let (pid, pipe) = start(command)?;
        let log = log.clone();
        tokio::spawn(read(pipe, move |line| {
            log.line(LogSource::Bridge, &line.text);
        }));
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                // The receiver lives as long as the process.
                let _ = happenings
                    .send(Happening::Asked(incarnation, request))
                    .await;
            }
        });
        let (events, mut queue) = mpsc::channel(EVENT_QUEUE);
        tokio::spawn(async move {
            while let Some(event) = queue.recv().await {
                if writer.send(&event).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            pid,
            incarnation,
            started: Instant::now(),
            events,
        })
    }
}

/// Signals one process that has not been reaped yet.
pub(super) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Starts a process with both its outputs in one pipe, so that their order is kept.
fn start(mut command: Command) -> std::io::Result<(i32, pipe::Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    // The handle is dropped: `init` waits for all its children at once.
    let pid = command.spawn()?.id();
    let pid = i32::try_from(pid).map_err(std::io::Error::other)?;
    Ok((pid, pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

async fn read(mut pipe: pipe::Receiver, mut emit: impl FnMut(Line)) {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        lines.push(&buffer[..length], &mut emit);
    }
    lines.finish(emit);
}

fn relay_line(relay: &Relay, name: &str, line: Line) {
    let serve = relay.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(serve) = &*serve
        && serve.capacity() > EVENT_RESERVE
    {
        let Line { text, is_transient } = line;
        // A `serve` that has gone hears nothing more.
        let _ = serve.try_send(Event::Output {
            name: name.to_owned(),
            text,
            is_transient,
        });
    }
}
