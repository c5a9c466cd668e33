//! Puts stopped workspaces away: their files go into a snapshot, and their volumes are removed.
//!
//! First the snapshot is made and read again; then the row says that the files are there, unless
//! somebody changed it meanwhile; then a pass removes the volumes (see `reconcile::fill`). A process may
//! die between any two of these: the workspace is whole at each.

use std::time::Duration;

use kalpana_domain::audit::AuditAction;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::sleep::{IdleTime, at_most};
use kalpana_domain::snapshot::{SnapshotKind, SnapshotNote};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{Asker, SnapshotState};

use super::filler::blocking;
use super::keeper::{Keeper, SnapshotError, SnapshotResult, require_own_files};
use super::shelf::Record;
use super::{archive, schedule};
use crate::reconcile::describe;

impl Keeper {
    /// Begins to archive a stopped workspace. Returns the snapshot that its files are kept in.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing was begun.
    pub(crate) async fn archive_workspace(
        &self,
        id: &str,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> SnapshotResult<Record> {
        let (busy, row) = self.enter(id).await?;
        if !matches!(row.lifecycle, Lifecycle::Stopped) {
            return Err(SnapshotError::NotStopped("put away"));
        }
        require_own_files(&row)?;
        self.require_no_container(&row).await?;
        archive::leave_free(self.shelf.root(), self.limits.reserve)?;
        let record = self.record(&row, SnapshotKind::Archive, SnapshotNote::default());
        let (action, of) = (AuditAction::SnapshotCreate, record.reference());
        self.tell_audit(action, of, &row, asker, request_id).await?;
        self.begin(&record)?;
        let (this, begun, asker) = (self.clone(), record.clone(), asker.clone());
        let request_id = request_id.map(str::to_owned);
        self.state.tasks.spawn(async move {
            let asker = Some((&asker, request_id.as_deref()));
            this.put_away(&row, begun, asker).await;
            drop(busy);
        });
        Ok(record)
    }

    /// Archives the workspaces that are due, one after another.
    pub(crate) async fn archive_due(&self) {
        let rows = match self.intents.store.all_workspaces().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "could not look who is to be archived, trying again: {error}");
                return;
            }
        };
        for row in rows {
            if let Err(error) = self.archive_if_due(&row).await {
                let error = describe(&error);
                tracing::warn!(
                    workspace.id = %row.id, error,
                    "{} is not archived, though it is due: {error}", row.id
                );
            }
        }
    }

    async fn archive_if_due(&self, seen: &Workspace) -> SnapshotResult<()> {
        if !self.is_archive_due(seen)? {
            return Ok(());
        }
        // Somebody is at its snapshots.
        let Ok((busy, row)) = self.enter(seen.id.as_str()).await else {
            return Ok(());
        };
        if self.is_archive_due(&row)? {
            self.require_no_container(&row).await?;
            archive::leave_free(self.shelf.root(), self.limits.reserve)?;
            let record = self.record(&row, SnapshotKind::Archive, SnapshotNote::default());
            self.begin(&record)?;
            self.put_away(&row, record, None).await;
        }
        drop(busy);
        Ok(())
    }

    /// Refuses where programs may still write, whatever the row says: it may be older than they are.
    async fn require_no_container(&self, row: &Workspace) -> SnapshotResult<()> {
        let left = self.engine.containers(Some(row.id)).await?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(SnapshotError::NotStopped("put away"))
        }
    }

    fn is_archive_due(&self, row: &Workspace) -> SnapshotResult<bool> {
        let own = row.sleep.archive_after.map(IdleTime::duration);
        let wanted = own.unwrap_or(self.limits.archive_after);
        let after: Option<Duration> = at_most(wanted, self.limits.archive_after_limit);
        let Some(after) = after else {
            return Ok(false);
        };
        let taken = self.shelf.list(row.id)?;
        let now = self.clock.now();
        Ok(schedule::is_archive_due(row, &taken, after, now))
    }

    /// Makes the snapshot, and writes down that the files of the workspace are there. Where that cannot
    /// be, the workspace is as it was, and the snapshot says why.
    async fn put_away(&self, row: &Workspace, begun: Record, by: Option<(&Asker, Option<&str>)>) {
        let made = self.make(begun).await;
        let of = made.reference();
        if made.state == SnapshotState::Ready
            && let Err(why) = self.hand_over(row, &made, by).await
        {
            self.not_done("archived", made, &why);
        }
        self.prune(row.id, &[of]).await;
    }

    async fn hand_over(
        &self,
        row: &Workspace,
        made: &Record,
        by: Option<(&Asker, Option<&str>)>,
    ) -> Result<(), String> {
        if made.files == 0 {
            return Err("its volumes are empty, so there is nothing to put away".to_owned());
        }
        if made.skipped > 0 {
            return Err(format!(
                "{} of its files could not be read, so they could not be kept",
                made.skipped
            ));
        }
        let (path, sha256) = (self.shelf.archive(made.reference()), made.sha256.clone());
        let checked = blocking(move || archive::check(&path, &sha256)).await;
        checked.map_err(|error| describe(&error))?;
        let of = made.reference();
        let Err(error) = self.intents.archive(row, of, by).await else {
            return Ok(());
        };
        // A write whose answer was lost is one all the same.
        let now = self.intents.find(row.id.as_str()).await;
        if now.is_ok_and(|now| now.filled_from == Some(of)) {
            return Ok(());
        }
        Err(describe(&error))
    }
}

#[cfg(test)]
mod tests;
