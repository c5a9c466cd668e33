//! Moves everything from one store to another while the source goes on being read, and written but
//! for the last part.
//!
//! [`Mover::run`] goes through these steps, each of which may be cut off at any moment and be gone
//! through again by the next run:
//! 1. `stage` looks at both stores: what is left to do, and whether it may be done at all;
//! 2. the destination is marked as being filled from this source, so that nobody else uses it;
//! 3. `level` copies what is missing or differs, collection by collection, beside the writers;
//! 4. `freeze` makes writers wait; renewed while the work goes on, it ends by itself without us;
//! 5. `level` copies what changed meanwhile and proves that both sides hold the same;
//! 6. the source is retired: from here on the destination is the store;
//! 7. the destination's mark is taken away, so that Kalpana opens it.
//!
//! What keeps a write from being lost is that retiring succeeds only under the very freeze that the
//! proof was made under: a freeze that ran out is lifted by the next write, and then the last part
//! begins again.

mod freeze;
mod level;
mod report;
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kalpana_domain::clock::Clock;
use tokio_util::sync::CancellationToken;

pub use report::{MoveError, Moved, Progress, Summary};
pub use stage::{Plan, Stage, is_half_filled, plan};

use super::{Collection, Incoming, MoveId};
use crate::error::{StoreError, StoreResult};
use crate::repository::Repository;
use freeze::Hold;
use level::{Chase, Compared, Extent};

/// How often the last part is begun before the move is given up, because writers got in between.
const ROUNDS: u32 = 5;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Records that are read and written at once.
    pub page: usize,
    /// How long a freeze holds when it is not renewed.
    pub freeze: Duration,
    /// How often it is renewed; less than half of `freeze`.
    pub renewal: Duration,
    /// How long to wait for the freeze of another move to end.
    pub patience: Duration,
}

impl Default for Pace {
    /// 10,000 records, some megabytes, because each page costs some servers a look at the whole
    /// collection; frozen for 15 seconds, renewed every 5; 30 seconds of patience, in which the
    /// freeze of a move that died has ended.
    fn default() -> Self {
        Self {
            page: 10_000,
            freeze: Duration::from_secs(15),
            renewal: Duration::from_secs(5),
            patience: Duration::from_secs(30),
        }
    }
}

/// What is told how far a move is, from within it: it must return at once.
pub type Report<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// One move.
#[derive(Debug)]
pub struct Mover<C> {
    source: Arc<dyn Repository>,
    destination: Arc<dyn Repository>,
    place: String,
    pace: Pace,
    clock: C,
}

impl<C: Clock> Mover<C> {
    /// Prepares a move between two open stores: the source in
    /// [`OpenMode::Use`](crate::OpenMode::Use), the destination in
    /// [`OpenMode::Receive`](crate::OpenMode::Receive).
    ///
    /// `place` is what people call the destination; it must be the same each time and have no
    /// password in it, because the source keeps it.
    pub fn new(
        source: Arc<dyn Repository>,
        destination: Arc<dyn Repository>,
        place: String,
        pace: Pace,
        clock: C,
    ) -> Self {
        Self {
            source,
            destination,
            place,
            pace,
            clock,
        }
    }

    /// Moves everything, or does what an earlier run left to do. `stop` ends it early, with the
    /// source as it was: writers go on, and the next run goes on from here.
    ///
    /// Dropped, it leaves a freeze that ends by itself within [`Pace::freeze`].
    ///
    /// # Errors
    /// [`MoveError`]; whatever it is, nothing is lost, and a run after its cause is gone goes on
    /// where this one ended.
    pub async fn run(
        &self,
        report: Report<'_>,
        stop: &CancellationToken,
    ) -> Result<Summary, MoveError> {
        let started = Instant::now();
        let plan = plan(&self.source, Some(&self.destination), &self.place).await?;
        report(Progress::Began { stage: plan.stage });
        let mut summary = Summary {
            stage: plan.stage,
            collections: Vec::new(),
            frozen_for: Duration::ZERO,
            took: Duration::ZERO,
        };
        match plan.stage {
            Stage::Done => {}
            Stage::Retired => self.complete(report).await?,
            Stage::Fresh | Stage::HalfFilled => {
                self.mark_destination().await?;
                let copied = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(MoveError::Stopped),
                    copied = self.copy(&plan, report) => copied?,
                };
                let settled = self.settle(&copied, report, stop).await?;
                summary.collections = settled.collections;
                summary.frozen_for = settled.frozen_for;
                self.complete(report).await?;
            }
        }
        summary.took = started.elapsed();
        Ok(summary)
    }

    async fn mark_destination(&self) -> Result<(), MoveError> {
        let incoming = Incoming {
            from: step("read the source", self.source.store_id()).await?,
            started_at: self.clock.now(),
        };
        match self.destination.begin_incoming(incoming).await {
            Err(StoreError::Conflict { .. }) => Err(MoveError::DestinationInUse),
            other => other.map_err(MoveError::at("mark the destination")),
        }
    }

    /// Brings the bulk over beside the writers. Returns how far each collection need not be looked
    /// at again.
    async fn copy(&self, plan: &Plan, report: Report<'_>) -> Result<Vec<Compared>, MoveError> {
        let mut reached = Vec::new();
        for planned in &plan.collections {
            let collection = planned.collection;
            let tell = |done| {
                report(Progress::Copied {
                    collection,
                    done,
                    of: planned.in_source.max(done),
                });
            };
            // What is only ever added to stays as it was compared. Everything else may change.
            let extent = if collection.is_append_only() {
                Extent::Proof
            } else {
                Extent::Copy
            };
            let levelled = self
                .level(
                    collection,
                    Compared::default(),
                    extent,
                    Some(Chase::new(planned.in_source)),
                    &tell,
                )
                .await?;
            reached.push(if collection.is_append_only() {
                levelled.settled
            } else {
                Compared::default()
            });
        }
        Ok(reached)
    }

    /// Freezes the source, brings over what changed, proves that both sides are the same and
    /// retires the source. Begins again when the freeze ran out and somebody wrote.
    async fn settle(
        &self,
        copied: &[Compared],
        report: Report<'_>,
        stop: &CancellationToken,
    ) -> Result<Settled, MoveError> {
        for _ in 0..ROUNDS {
            let hold = self.freeze(report, stop).await?;
            let frozen_at = Instant::now();
            report(Progress::Frozen);
            let proof = async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Err(MoveError::Stopped),
                    proved = self.prove(copied, report) => proved,
                }
            };
            let collections = match self.while_held(hold, proof).await {
                Some(Ok(collections)) => collections,
                None => {
                    self.thaw(hold, report).await;
                    continue;
                }
                Some(Err(error)) => {
                    self.thaw(hold, report).await;
                    return Err(error);
                }
            };
            // Not to be stopped from here on: a retired source without a complete destination is
            // a site that takes no writes.
            match self.source.retire(hold.by, self.place.clone()).await {
                Ok(()) => {
                    report(Progress::Retired);
                    return Ok(Settled {
                        collections,
                        frozen_for: frozen_at.elapsed(),
                    });
                }
                Err(StoreError::Conflict { .. }) => self.thaw(hold, report).await,
                Err(error) => {
                    self.thaw(hold, report).await;
                    return Err(MoveError::at("retire the source")(error));
                }
            }
        }
        Err(MoveError::FreezeRanOut { rounds: ROUNDS })
    }

    /// Makes both sides the same in a frozen source, and proves it.
    async fn prove(
        &self,
        copied: &[Compared],
        report: Report<'_>,
    ) -> Result<Vec<Moved>, MoveError> {
        let mut moved = Vec::new();
        for (collection, reached) in Collection::ALL.into_iter().zip(copied) {
            let tell = |done| report(Progress::Compared { collection, done });
            let mut levelled = self
                .level(collection, reached.clone(), Extent::Proof, None, &tell)
                .await?;
            if collection.is_append_only() && !self.has_count(collection, &levelled.end).await? {
                // A write that took long came in below what was compared before the freeze.
                levelled = self
                    .level(collection, Compared::default(), Extent::Proof, None, &tell)
                    .await?;
                if !self.has_count(collection, &levelled.end).await? {
                    return Err(MoveError::differs(collection, None));
                }
            }
            let proved = levelled.end.prove(collection)?;
            report(Progress::Verified(proved.clone()));
            moved.push(proved);
        }
        Ok(moved)
    }

    /// Tells whether both sides have as many records as were compared.
    async fn has_count(
        &self,
        collection: Collection,
        compared: &Compared,
    ) -> Result<bool, MoveError> {
        let (source, destination) = tokio::try_join!(
            step("count in the source", self.source.count(collection)),
            step(
                "count in the destination",
                self.destination.count(collection)
            ),
        )?;
        Ok(compared.counts() == (source, destination))
    }

    async fn complete(&self, report: Report<'_>) -> Result<(), MoveError> {
        step(
            "complete the destination",
            self.destination.complete_incoming(),
        )
        .await?;
        report(Progress::Completed);
        Ok(())
    }

    /// Lifts our freeze, if it is still there. One that cannot be lifted ends by itself.
    async fn thaw(&self, hold: Hold, report: Report<'_>) {
        let is_lifted = self.source.thaw(hold.by).await.unwrap_or(false);
        report(Progress::Thawed { is_lifted });
    }
}

/// What the last part came to.
struct Settled {
    collections: Vec<Moved>,
    frozen_for: Duration,
}

/// Does one step with a store and says which failed.
async fn step<T>(
    what: &'static str,
    operation: impl Future<Output = StoreResult<T>>,
) -> Result<T, MoveError> {
    operation.await.map_err(MoveError::at(what))
}

/// Names a freeze that nobody had before.
fn fresh_id() -> MoveId {
    MoveId::new_v4()
}
