//! Watches what goes on in the container, from a thread of its own.
//!
//! The thread sees processes as the workspace's user does, and it may wait: reading the command line
//! of a process can take as long as that process wants it to. Then the answer is an error in time,
//! and nothing else of the bridge notices.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use kalpana_protocol::bridge::{Activity, IN_FLIGHT_LIMIT, RpcError};
use tokio::sync::oneshot;

use crate::activity::ownership::Ownership;
use crate::activity::window::{INTERVAL, Window};
use crate::activity::{processes, terminals};
use crate::clock;
use crate::settings::Settings;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks the thread, which ends with the last of these.
#[derive(Debug)]
pub(super) struct Watcher {
    questions: SyncSender<Question>,
}

type Question = oneshot::Sender<Activity>;

impl Watcher {
    /// Starts to watch.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(settings: &Settings) -> std::io::Result<Self> {
        let (questions, receiver) = sync_channel(IN_FLIGHT_LIMIT);
        let init = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let window = Window::new(Ownership::new(
            init.cast_unsigned(),
            std::process::id(),
            Path::new(&settings.editor),
        ));
        let launch = &settings.launch;
        let eyes = (!settings.keeps_user).then_some((launch.uid, launch.gid));
        std::thread::Builder::new()
            .name("activity".into())
            .spawn(move || {
                if let Some((uid, gid)) = eyes {
                    processes::see_as(uid, gid);
                }
                watch(window, &receiver);
            })?;
        Ok(Self { questions })
    }

    /// Returns what goes on.
    ///
    /// # Errors
    /// [`RpcError::OVERLOADED`] if too many ask at once, [`RpcError::INTERNAL_ERROR`] if there is no
    /// answer within five seconds.
    pub(super) async fn ask(&self) -> Result<Activity, RpcError> {
        let (question, answer) = oneshot::channel();
        self.questions
            .try_send(question)
            .map_err(|_| RpcError::new(RpcError::OVERLOADED, "too many ask what goes on"))?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(activity)) => Ok(activity),
            _ => Err(RpcError::new(
                RpcError::INTERNAL_ERROR,
                "the processes cannot be looked at",
            )),
        }
    }
}

fn watch(mut window: Window, questions: &Receiver<Question>) {
    let mut next = Instant::now();
    loop {
        let rest = next.saturating_duration_since(Instant::now());
        let question = match questions.recv_timeout(rest) {
            Ok(question) => Some(question),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = Instant::now();
        if window.wants_sample(now) {
            let typed_at = terminals::typed_at(Path::new(terminals::TERMINALS));
            window.add(processes::read(), typed_at);
            next = now + INTERVAL;
        }
        if let Some(question) = question {
            let answer = window.answer(Instant::now(), clock::now().as_second());
            // Whoever asked may have lost interest.
            let _ = question.send(answer);
        }
    }
}
