//! The serving side of [`control`]: asks `init`, and hands each child's events to
//! whoever follows that child.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::control::{
    self, Answer, Ask, Event, ExitStatus, Reader, Request, Running, Spawn, Stop, Writer,
};

/// Lines of a child that may wait for its follower; more are left out. One place is kept for the
/// exit.
const CHILD_QUEUE: usize = 512;

type Asked = (Ask, oneshot::Sender<Result<Answer, String>>);

/// Who follows which child.
type Followers = Arc<Mutex<HashMap<String, mpsc::Sender<ChildEvent>>>>;

/// `init`, as `serve` sees it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    asks: mpsc::Sender<Asked>,
    followers: Followers,
    closed: CancellationToken,
}

/// What a child did.
#[derive(Debug)]
pub(super) enum ChildEvent {
    /// It wrote a line.
    Output { text: String, is_transient: bool },
    /// It ended.
    Exited(ExitStatus),
}

/// A child of `init` that is followed here.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    events: mpsc::Receiver<ChildEvent>,
    link: Link,
}

/// `init` did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// It said why.
    #[error("{0}")]
    Refused(String),
    /// It is gone, and so shall we be.
    #[error("init is gone")]
    Gone,
}

impl Link {
    /// Takes over the control channel.
    pub(super) fn open(stream: UnixStream) -> Self {
        let (asks, asked) = mpsc::channel(16);
        let (reader, writer) = control::channel(stream);
        let link = Self {
            asks,
            followers: Followers::default(),
            closed: CancellationToken::new(),
        };
        let (followers, closed) = (Arc::clone(&link.followers), link.closed.clone());
        tokio::spawn(async move {
            drive(reader, writer, asked, &followers).await;
            closed.cancel();
        });
        link
    }

    /// Waits until `init` is gone.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Starts a child.
    pub(super) async fn spawn(&self, spawn: Spawn) -> Result<Child, LinkError> {
        // Followed before it runs, so that nothing of it is missed.
        let child = self.follow(spawn.name.clone());
        self.ask(Ask::Spawn(spawn)).await?;
        Ok(child)
    }

    /// Takes a child over that an earlier `serve` has started, if it still runs.
    pub(super) async fn adopt(&self, name: &str) -> Result<Option<Child>, LinkError> {
        let child = self.follow(name.to_owned());
        match self.ask(Ask::List).await? {
            Answer::Children(running) => Ok(running
                .iter()
                .any(|Running { name, .. }| *name == child.name)
                .then_some(child)),
            Answer::Spawned { .. } | Answer::Signalled => Ok(None),
        }
    }

    fn follow(&self, name: String) -> Child {
        let (sender, events) = mpsc::channel(CHILD_QUEUE);
        let mut followers = self
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        followers.insert(name.clone(), sender);
        Child {
            name,
            events,
            link: self.clone(),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, LinkError> {
        let (answer, answered) = oneshot::channel();
        self.asks
            .send((ask, answer))
            .await
            .map_err(|_| LinkError::Gone)?;
        answered
            .await
            .map_err(|_| LinkError::Gone)?
            .map_err(LinkError::Refused)
    }
}

impl Child {
    /// Returns what the child does next. Nothing follows its exit.
    pub(super) async fn next(&mut self) -> ChildEvent {
        match self.events.recv().await {
            Some(event) => event,
            // `init` is gone; so is this process, soon.
            None => std::future::pending().await,
        }
    }

    /// Waits for the child's end, past whatever it writes.
    pub(super) async fn exited(&mut self) -> ExitStatus {
        loop {
            if let ChildEvent::Exited(status) = self.next().await {
                return status;
            }
        }
    }

    /// Ends the child: asks it to, and kills it when it has not done so within `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        for signal in [Stop::Terminate, Stop::Kill] {
            // It may have ended in the meantime, which is all that is wanted.
            if self.signal(signal).await.is_err()
                || tokio::time::timeout(grace, self.exited()).await.is_ok()
            {
                return;
            }
        }
    }

    /// Signals the child and its process group.
    pub(super) async fn signal(&self, signal: Stop) -> Result<(), LinkError> {
        self.link
            .ask(Ask::Signal {
                name: self.name.clone(),
                signal,
            })
            .await
            .map(drop)
    }
}

async fn drive(
    mut reader: Reader,
    mut writer: Writer,
    mut asked: mpsc::Receiver<Asked>,
    followers: &Followers,
) {
    let mut next_id = 0;
    let mut waiting = HashMap::new();
    loop {
        tokio::select! {
            Some((ask, answer)) = asked.recv() => {
                next_id += 1;
                waiting.insert(next_id, answer);
                if writer.send(&Request { id: next_id, ask }).await.is_err() {
                    return;
                }
            }
            event = reader.next() => match event {
                None => return,
                Some(Event::Answer { id, outcome }) => {
                    if let Some(answer) = waiting.remove(&id) {
                        // Whoever asked may have lost interest.
                        let _ = answer.send(outcome);
                    }
                }
                Some(Event::Output { name, text, is_transient }) => {
                    let followers = followers.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(follower) = followers.get(&name)
                        && follower.capacity() > 1
                    {
                        let _ = follower.try_send(ChildEvent::Output { text, is_transient });
                    }
                }
                Some(Event::Exited { name, status }) => {
                    let mut followers = followers.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(follower) = followers.remove(&name) {
                        let _ = follower.try_send(ChildEvent::Exited(status));
                    }
                }
            }
        }
    }
}
