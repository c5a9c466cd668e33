//! Looks at several things at the same time, each within its own time.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::verdict::Verdict;

/// One thing to look at.
pub(super) struct Look<'a> {
    /// What it is called when it does not end in time.
    check: &'static str,
    limit: Duration,
    looking: Pin<Box<dyn Future<Output = Vec<Verdict>> + 'a>>,
}

impl<'a> Look<'a> {
    /// Makes a look that may take as long as `limit`.
    pub(super) fn new(
        check: &'static str,
        limit: Duration,
        looking: impl Future<Output = Vec<Verdict>> + 'a,
    ) -> Self {
        Self {
            check,
            limit,
            looking: Box::pin(looking),
        }
    }

    async fn take(self) -> Vec<Verdict> {
        let Self {
            check,
            limit,
            looking,
        } = self;
        match tokio::time::timeout(limit, looking).await {
            Ok(verdicts) => verdicts,
            Err(_) => vec![Verdict::failed(
                check,
                "no_answer",
                format!("there was no answer within {} s", limit.as_secs()),
                "Whatever is asked hangs: a disk, a network or a process. The system's log may say \
                 more; everything else was looked at all the same.",
            )],
        }
    }
}

/// Looks at all of them at once. Returns what was found in the order of `looks`.
pub(super) async fn look_at_all(looks: Vec<Look<'_>>) -> Vec<Verdict> {
    let found = join_all(looks.into_iter().map(Look::take)).await;
    found.into_iter().flatten().collect()
}

/// Runs what blocks on a thread of its own, which is left behind when it does not come back: a
/// file system that hangs holds nobody up but itself.
///
/// `None` when the thread could not be started or died.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("look".to_owned());
    let started = thread.spawn(move || {
        // Nobody may wait any more.
        let _ = sender.send(work());
    });
    started.ok()?;
    done.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_said_and_holds_nobody_up() {
        let began = tokio::time::Instant::now();
        let hangs = |check| Look::new(check, LIMIT, std::future::pending());
        let slow = Look::new("slow", LIMIT, async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            vec![Verdict::ok("slow", "late")]
        });
        let quick = Look::new("quick", LIMIT, async { vec![Verdict::ok("quick", "soon")] });
        let found = look_at_all(vec![hangs("one"), slow, quick, hangs("other")]).await;
        let seen: Vec<_> = found
            .iter()
            .map(|verdict| (verdict.check, verdict.code.as_deref()))
            .collect();
        let order = [
            ("one", Some("no_answer")),
            ("slow", None),
            ("quick", None),
            ("other", Some("no_answer")),
        ];
        assert_eq!(seen, order);
        assert_eq!(began.elapsed(), LIMIT, "all of them at the same time");
    }

    #[tokio::test]
    async fn what_blocks_is_waited_for_aside() {
        assert_eq!(aside(|| 1 + 1).await, Some(2));
        assert_eq!(aside(|| panic!("as a test may")).await, None::<()>);
    }
}
