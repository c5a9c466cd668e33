//! Workspaces that begin with the files of a snapshot.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::{SnapshotId, UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_protocol::orchestrator::{Asker, SnapshotOf, SnapshotState};

use super::{IntentError, Intents, actor, event, invalid};

impl Intents {
    /// Starts a workspace that does not run, with the files of a snapshot in place of its own.
    ///
    /// # Errors
    /// [`IntentError`], also when the workspace is not as it was in `seen` any more; nothing is half
    /// changed.
    pub(crate) async fn fill(
        &self,
        seen: &Workspace,
        from: SnapshotRef,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> Result<Workspace, IntentError> {
        let actor = actor(asker)?;
        self.admit()?;
        let now = self.clock.now();
        let changed = Workspace {
            lifecycle: seen.lifecycle.clone().start(now)?,
            desired: Desired::Running,
            generation: seen.generation.next(),
            filled_from: Some(from),
            updated_at: now,
            ..seen.clone()
        };
        let action = AuditAction::SnapshotRestore;
        let mut audit = event(seen, action, (&actor, asker), now, request_id);
        audit.subject = format!("{} {}", seen.id, from.snapshot);
        let is_counted_anew = !Quota::counts(seen) && Quota::counts(&changed);
        let written = if is_counted_anew {
            self.store
                .admit_workspace(&changed, self.quota, audit)
                .await
        } else {
            self.store.update_workspace(&changed, Some(audit)).await
        };
        Ok(self.tell(written?))
    }

    /// Returns the snapshot that a new workspace is to begin with: a whole one, of a workspace of the
    /// same person.
    pub(crate) async fn snapshot_of(
        &self,
        asked: &SnapshotOf,
        owner: UserId,
    ) -> Result<SnapshotRef, IntentError> {
        let none = || {
            invalid(
                "snapshot",
                "there is no such snapshot of a workspace of yours",
            )
        };
        let of = SnapshotRef {
            workspace: WorkspaceId::parse(&asked.workspace).map_err(|_| none())?,
            snapshot: SnapshotId::parse(&asked.snapshot).map_err(|_| none())?,
        };
        let living = self.store.workspace(of.workspace).await?;
        if living.is_none_or(|row| row.owner != owner) {
            return Err(none());
        }
        let record = self.shelf.get(of).map_err(|error| {
            tracing::warn!(%error, "a snapshot could not be looked at: {error}");
            none()
        })?;
        record
            .filter(|record| record.state == SnapshotState::Ready)
            .map(|_| of)
            .ok_or_else(none)
    }
}
