//! Holding the source still, for as long as we are there to say so.

use std::pin::pin;
use std::time::{Duration, Instant};

use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::report::{MoveError, Progress};
use super::{Mover, Report, fresh_id};
use crate::error::StoreError;
use crate::transfer::{Freeze, MoveId};

/// How often to look whether the freeze of another move has ended.
const GLANCE: Duration = Duration::from_millis(100);

/// A freeze that was ours when it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    /// Names it. Never used again: a freeze that was lifted and one made later differ by it.
    pub(super) by: MoveId,
}

impl<C: Clock> Mover<C> {
    /// Freezes the source, after the freeze of another move has ended.
    pub(super) async fn freeze(
        &self,
        report: Report<'_>,
        stop: &CancellationToken,
    ) -> Result<Hold, MoveError> {
        let hold = Hold { by: fresh_id() };
        let started = Instant::now();
        let mut is_told = false;
        loop {
            let now = self.clock.now();
            match self.source.freeze(self.next(hold, now), now).await {
                Ok(()) => return Ok(hold),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(MoveError::at("freeze the source")(error)),
            }
            let moved_to = self.source.moved_to().await;
            if let Some(place) = moved_to.map_err(MoveError::at("read the source"))? {
                return Err(MoveError::MovedElsewhere { place });
            }
            if started.elapsed() >= self.pace.patience {
                return Err(MoveError::FrozenByAnother {
                    waited: self.pace.patience,
                });
            }
            if !is_told {
                report(Progress::WaitingForFreeze {
                    at_most: self.pace.patience,
                });
                is_told = true;
            }
            tokio::select! {
                () = stop.cancelled() => return Err(MoveError::Stopped),
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    /// Does `work` while the freeze is renewed again and again. Returns nothing when it was lost.
    ///
    /// A renewal that has begun is brought to its end: one that was cut off could leave the
    /// database with a transaction that nobody ends, in the way of those that come next.
    pub(super) async fn while_held<T>(
        &self,
        hold: Hold,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = tokio::time::sleep(self.pace.renewal) => {}
            }
            let mut done = None;
            let renewal = self.source.renew(self.next(hold, self.clock.now()));
            let mut renewal = pin!(renewal);
            let renewed = loop {
                tokio::select! {
                    finished = &mut work, if done.is_none() => done = Some(finished),
                    renewed = &mut renewal => break renewed,
                }
            };
            // A source that does not answer now may do so next time; retiring tells in the end.
            if let Err(StoreError::Conflict { .. }) = renewed {
                return None;
            }
            if done.is_some() {
                return done;
            }
        }
    }

    fn next(&self, hold: Hold, now: Timestamp) -> Freeze {
        Freeze {
            by: hold.by,
            // Past the end of time is as long as can be said.
            until: now.checked_add(self.pace.freeze).unwrap_or(Timestamp::MAX),
        }
    }
}
