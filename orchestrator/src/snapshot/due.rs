//! Takes the snapshots that are due, and archives who is.

use std::time::Duration;

use kalpana_domain::snapshot::{SnapshotKind, SnapshotNote};
use kalpana_domain::workspace::Workspace;
use tokio_util::sync::CancellationToken;

use super::keeper::{Keeper, SnapshotResult};
use super::{archive, schedule};
use crate::reconcile::describe;

/// How often it is looked which snapshots are due.
const INTERVAL: Duration = Duration::from_secs(600);

impl Keeper {
    /// Does what is due now and then, until `shutdown`, and then ends what is under way.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        loop {
            // Not at once: what has just started has other things to do.
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let look = async {
                self.take_due().await;
                self.archive_due().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = look => {}
            }
        }
        self.state.tasks.close();
        self.state.tasks.wait().await;
    }

    /// Takes the snapshots that are due, one after another.
    pub(crate) async fn take_due(&self) {
        let Some(every) = self.limits.every else {
            return;
        };
        let rows = match self.intents.store.all_workspaces().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "could not look which snapshots are due, trying again: {error}");
                return;
            }
        };
        for row in rows {
            if let Err(error) = self.take_if_due(&row, every).await {
                let error = describe(&error);
                tracing::warn!(
                    workspace.id = %row.id, error,
                    "no snapshot of {} was taken, though one is due: {error}", row.id
                );
            }
        }
    }

    async fn take_if_due(&self, row: &Workspace, every: Duration) -> SnapshotResult<()> {
        let taken = self.shelf.list(row.id)?;
        if !schedule::is_due(row, &taken, every, self.clock.now()) {
            return Ok(());
        }
        // Somebody is taking one.
        let Ok((busy, now)) = self.enter(row.id.as_str()).await else {
            return Ok(());
        };
        // What was archived meanwhile has no volumes.
        if now.filled_from.is_some() {
            return Ok(());
        }
        archive::leave_free(self.shelf.root(), self.limits.reserve)?;
        let record = self.record(row, SnapshotKind::Scheduled, SnapshotNote::default());
        self.begin(&record)?;
        let made = self.make(record).await;
        self.prune(row.id, &[made.reference()]).await;
        drop(busy);
        Ok(())
    }
}
