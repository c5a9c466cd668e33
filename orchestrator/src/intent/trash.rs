//! Deletions taken back, and files given up for good.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_protocol::orchestrator::Asker;
use kalpana_store::StoreError;
use kalpana_store::records::DeletedWorkspace;

use super::{ATTEMPTS, IntentError, Intents, actor, event, give_way, not_found};

impl Intents {
    /// Takes a deletion back, complete or not. The workspace is stopped afterwards; one whose
    /// container is still being removed gets there by itself.
    ///
    /// # Errors
    /// [`IntentError`]; nothing is half changed.
    pub(crate) async fn restore(
        &self,
        id: &str,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> Result<Workspace, IntentError> {
        let actor = actor(asker)?;
        let parsed_id = WorkspaceId::parse(id).map_err(|_| not_found(id))?;
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let (row, lifecycle) = match self.store.workspace(parsed_id).await? {
                Some(row) => {
                    let lifecycle = row.lifecycle.clone().restore(now)?;
                    (row, lifecycle)
                }
                None => (self.in_trash(id).await?.workspace, Lifecycle::Stopped),
            };
            let restored = Workspace {
                desired: Desired::Stopped,
                lifecycle,
                updated_at: now,
                ..row.clone()
            };
            let who = (&actor, asker);
            let audit = event(&row, AuditAction::WorkspaceRestore, who, now, request_id);
            let stored = self.trash.restore_workspace(&restored, self.quota, audit);
            match stored.await {
                Ok(row) => return Ok(self.tell(row)),
                // Its deletion was completed in between, or somebody else was faster.
                Err(StoreError::Conflict { what: "version" }) => give_way().await,
                Err(StoreError::NotFound { .. }) => return Err(not_found(id)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(IntentError::Overloaded)
    }

    /// Gives up the files of a deleted workspace, which are then removed.
    ///
    /// # Errors
    /// [`IntentError`]; nothing is half changed.
    pub(crate) async fn purge(
        &self,
        id: &str,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> Result<Workspace, IntentError> {
        let actor = actor(asker)?;
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let deleted = self.in_trash(id).await?.workspace;
            let given_up = Workspace {
                updated_at: now,
                ..deleted
            };
            let who = (&actor, asker);
            let audit = event(&given_up, AuditAction::WorkspacePurge, who, now, request_id);
            match self.trash.purge_workspace(&given_up, audit).await {
                Ok(()) => {
                    self.given_up.notify_one();
                    return Ok(given_up);
                }
                Err(StoreError::Conflict { .. }) => give_way().await,
                Err(StoreError::NotFound { .. }) => return Err(not_found(id)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(IntentError::Overloaded)
    }

    /// Returns a deleted workspace whose files are kept.
    async fn in_trash(&self, id: &str) -> Result<DeletedWorkspace, IntentError> {
        let parsed = WorkspaceId::parse(id).map_err(|_| not_found(id))?;
        let deleted = self.trash.deleted_workspace(parsed).await?;
        deleted
            .filter(|deleted| deleted.workspace.desired != Desired::Purged)
            .ok_or_else(|| not_found(id))
    }
}
