//! The repositories as `serve` sees them: a child that looks at all of them, for all who ask at once.

use std::sync::Arc;
use std::time::Duration;

use kalpana_protocol::bridge::work::LONGEST_ANSWER;
use kalpana_protocol::bridge::{IN_FLIGHT_LIMIT, LogSource, RpcError, WorkSummary};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::link::{Child, ChildEvent, Link, LinkError};
use crate::control::{ExitStatus, Spawn};
use crate::work::report::Reader;
use crate::{environment, log, work};

/// How long the child has to end when its time is over.
const STOP_GRACE: Duration = Duration::from_secs(2);

const NAME: &str = "work";

/// Asks what of the repositories exists nowhere else.
#[derive(Debug)]
pub(super) struct Repositories(mpsc::Sender<Question>);

/// What [`answer`] takes.
pub(super) type Questions = mpsc::Receiver<Question>;

/// Where an answer goes.
#[derive(Debug)]
pub(super) struct Question(oneshot::Sender<Result<WorkSummary, RpcError>>);

impl Repositories {
    /// Returns the asking end and the end that [`answer`] takes.
    pub(super) fn new() -> (Self, Questions) {
        let (sender, questions) = mpsc::channel(IN_FLIGHT_LIMIT);
        (Self(sender), questions)
    }

    /// Returns what of the repositories exists nowhere else. Who asks while somebody else is being
    /// answered gets the same answer.
    ///
    /// # Errors
    /// [`RpcError::OVERLOADED`] if too many ask at once, [`RpcError::INTERNAL_ERROR`] if there is no
    /// answer within [`LONGEST_ANSWER`].
    pub(super) async fn ask(&self) -> Result<WorkSummary, RpcError> {
        let (question, answer) = oneshot::channel();
        self.0.try_send(Question(question)).map_err(|_| {
            RpcError::new(RpcError::OVERLOADED, "too many ask for the repositories")
        })?;
        match tokio::time::timeout(LONGEST_ANSWER, answer).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(failed()),
        }
    }
}

/// Answers questions, with one child at a time.
pub(super) async fn answer(shared: Arc<Shared>, link: Link, questions: Questions) {
    let run = || {
        let (shared, link) = (Arc::clone(&shared), link.clone());
        async move {
            run(&shared, &link).await.map_err(|reason| {
                log::say_to_init(&format!("the repositories cannot be looked at: {reason}"));
                failed()
            })
        }
    };
    answer_with(questions, run).await;
}

async fn answer_with<F: Future<Output = Result<WorkSummary, RpcError>>>(
    mut questions: Questions,
    run: impl Fn() -> F,
) {
    while let Some(Question(first)) = questions.recv().await {
        let outcome = run().await;
        // Whoever asked may have lost interest.
        let _ = first.send(outcome.clone());
        while let Ok(Question(other)) = questions.try_recv() {
            let _ = other.send(outcome.clone());
        }
    }
}

fn failed() -> RpcError {
    RpcError::new(
        RpcError::INTERNAL_ERROR,
        "the repositories cannot be looked at",
    )
}

async fn run(shared: &Shared, link: &Link) -> Result<WorkSummary, String> {
    let broken = |error: LinkError| error.to_string();
    // What an earlier `serve` has begun is ended: what it wrote so far is lost.
    if let Some(mut child) = link.adopt(NAME).await.map_err(broken)? {
        child.stop(STOP_GRACE).await;
    }
    let mut child = link.spawn(spawn(shared)?).await.map_err(broken)?;
    let mut reader = Reader::default();
    match tokio::time::timeout(LONGEST_ANSWER, follow(&mut child, &mut reader)).await {
        Ok(status) => reader
            .finish()
            .ok_or_else(|| format!("the child ended with {status} before it had said all")),
        // It ends by itself before, unless somebody keeps it from doing so.
        Err(_) => {
            child.stop(STOP_GRACE).await;
            Err(format!(
                "it took longer than {} s",
                LONGEST_ANSWER.as_secs()
            ))
        }
    }
}

async fn follow(child: &mut Child, reader: &mut Reader) -> ExitStatus {
    loop {
        match child.next().await {
            ChildEvent::Output {
                text,
                is_transient: true,
            } => reader.take(&text),
            // A complaint, which is in the log.
            ChildEvent::Output { .. } => {}
            ChildEvent::Exited(status) => return status,
        }
    }
}

fn spawn(shared: &Shared) -> Result<Spawn, String> {
    let Shared { settings, user, .. } = shared;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut argv = vec![program.to_string_lossy().into_owned()];
    argv.extend(work::to_args(&settings.root));
    Ok(Spawn {
        name: NAME.to_owned(),
        // Not the bridge's own: the workspace's user can make the child write anything.
        source: LogSource::Git,
        argv,
        env: environment::of_children(settings, user),
        cwd: settings.root.to_string_lossy().into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn summary(is_cut: bool) -> WorkSummary {
        WorkSummary {
            repositories: Vec::new(),
            is_cut,
        }
    }

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_run() {
        let (repositories, questions) = Repositories::new();
        let runs = Cell::new(0);
        let answering = answer_with(questions, async || {
            runs.set(runs.get() + 1);
            // Everybody has asked before it is done.
            tokio::task::yield_now().await;
            Ok(summary(true))
        });
        let asking = async {
            let asks = (0..IN_FLIGHT_LIMIT).map(|_| repositories.ask());
            let answers = futures_util::future::join_all(asks).await;
            for answer in answers {
                assert_eq!(answer, Ok(summary(true)));
            }
            assert_eq!(runs.get(), 1);
            // Later is another run.
            repositories.ask().await.unwrap();
            assert_eq!(runs.get(), 2);
            drop(repositories);
        };
        tokio::join!(asking, answering);
    }

    #[tokio::test]
    async fn too_many_who_ask_are_refused() {
        let (repositories, questions) = Repositories::new();
        let asks = (0..=IN_FLIGHT_LIMIT).map(|_| repositories.ask());
        let dropping = async {
            // Everybody has asked, and nobody answers.
            tokio::task::yield_now().await;
            drop(questions);
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(asks), dropping);
        let codes = answers.into_iter().map(|answer| answer.unwrap_err().code);
        let codes: Vec<_> = codes.collect();
        let (last, others) = codes.split_last().unwrap();
        assert_eq!(*last, RpcError::OVERLOADED);
        assert_eq!(others, [RpcError::INTERNAL_ERROR; IN_FLIGHT_LIMIT]);
    }
}
