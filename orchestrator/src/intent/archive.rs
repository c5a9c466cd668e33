//! Workspaces whose files are in a snapshot alone.

use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::AuditId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::Asker;
use kalpana_store::StoreError;

use super::{IntentError, Intents, actor, event, invalid};

impl Intents {
    /// Writes down that all files of a stopped workspace are in a snapshot, from which they are put in
    /// place when it starts. From then on its volumes may go.
    ///
    /// # Errors
    /// [`IntentError`], also when the workspace is not as it was in `seen` any more; nothing is changed.
    pub(crate) async fn archive(
        &self,
        seen: &Workspace,
        to: SnapshotRef,
        by: Option<(&Asker, Option<&str>)>,
    ) -> Result<Workspace, IntentError> {
        if !matches!(seen.lifecycle, Lifecycle::Stopped) || seen.filled_from.is_some() {
            return Err(invalid("workspace", "it is not stopped with its own files"));
        }
        let now = self.clock.now();
        let action = AuditAction::WorkspaceArchive;
        let audit = match by {
            Some((asker, request_id)) => {
                event(seen, action, (&actor(asker)?, asker), now, request_id)
            }
            None => AuditEvent {
                id: AuditId::generate(),
                at: now,
                organization: Some(seen.organization),
                actor: Actor::System,
                action,
                subject: seen.id.to_string(),
                address: None,
                request_id: None,
            },
        };
        let archived = Workspace {
            filled_from: Some(to),
            updated_at: now,
            ..seen.clone()
        };
        match self.store.update_workspace(&archived, Some(audit)).await {
            Ok(row) => Ok(self.tell(row)),
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Err(invalid(
                "workspace",
                "somebody started or changed it meanwhile",
            )),
            Err(error) => Err(error.into()),
        }
    }
}
