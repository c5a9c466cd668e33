//! Whether the engine answers at all: a circuit breaker whose probe is a heartbeat.
//!
//! An engine that hangs takes connections and says nothing, so that every call would wait for its own
//! deadline, a minute perhaps, and hold a worker meanwhile. It is asked for a sign of life every few
//! seconds instead. Once it gives none, calls under way are given up, and others are refused at once
//! until it answers again.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::DockerEngine;

/// How often the engine is asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long it may take to answer. It does in milliseconds, or in a second on a machine that swaps.
const LIMIT: Duration = Duration::from_secs(3);

/// Unanswered questions in a row after which it does not answer at all: with the times above it is
/// given up ten seconds after it fell silent, at the latest.
const MISSES: u32 = 2;

/// Why a call was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it gave no sign of life for some seconds")]
pub(super) struct NoHeartbeat;

/// What is known of the engine's heart. Clones know the same.
#[derive(Debug, Clone)]
pub(super) struct Heart(watch::Sender<bool>);

impl Default for Heart {
    /// Takes an engine that was never asked for one that answers.
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Heart {
    /// Runs a call for as long as the engine is alive.
    ///
    /// # Errors
    /// [`NoHeartbeat`], at once when it is known not to answer.
    pub(super) async fn during<T>(&self, call: impl Future<Output = T>) -> Result<T, NoHeartbeat> {
        let mut beats = self.0.subscribe();
        tokio::select! {
            biased;
            // The sender lives as long as `self`, so this ends by a missing beat alone.
            _ = beats.wait_for(|beats| !beats) => Err(NoHeartbeat),
            done = call => Ok(done),
        }
    }

    /// Notes an answer, or that there was none; `misses` counts those in a row. Returns whether that
    /// changes what is known.
    fn note(&self, has_answered: bool, misses: &mut u32) -> bool {
        *misses = if has_answered { 0 } else { *misses + 1 };
        let beats = *misses < MISSES;
        self.0
            .send_if_modified(|known| std::mem::replace(known, beats) != beats)
    }
}

impl DockerEngine {
    /// Asks the engine for signs of life until `shutdown`. `is_back` is told when it answers again.
    pub(crate) async fn beat(&self, is_back: impl Fn(), shutdown: CancellationToken) {
        let mut misses = 0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let asking = tokio::time::timeout(LIMIT, self.ping());
            let answered = tokio::select! {
                () = shutdown.cancelled() => return,
                answered = asking => answered.unwrap_or(false),
            };
            if self.heart.note(answered, &mut misses) {
                self.metrics.engine_up(answered);
                if answered {
                    is_back();
                }
            }
        }
    }

    /// Asks once, over a connection of its own: what is wrong with an old one says nothing.
    async fn ping(&self) -> bool {
        match self.connect() {
            Ok(client) => client.ping().await.is_ok(),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_end_when_the_heart_stops_and_are_taken_again_when_it_beats() {
        let (heart, mut misses) = (Heart::default(), 0);
        assert_eq!(heart.during(async { 1 }).await, Ok(1));
        let hanging = heart.during(std::future::pending::<()>());
        let stopping = async {
            for answered in [false, true, false] {
                assert!(!heart.note(answered, &mut misses), "one miss is none");
            }
            assert_eq!(heart.during(async { 2 }).await, Ok(2));
            assert!(heart.note(false, &mut misses));
        };
        let (ended, ()) = tokio::join!(hanging, stopping);
        assert_eq!(ended, Err(NoHeartbeat));
        assert_eq!(heart.during(async { 3 }).await, Err(NoHeartbeat));
        assert!(heart.note(true, &mut misses));
        assert_eq!(heart.during(async { 4 }).await, Ok(4));
    }
}
