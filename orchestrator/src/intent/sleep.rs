//! How a workspace sleeps, and what is changed without anybody asking: who is idle is put to sleep,
//! who sleeps long is stopped.

use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{AuditId, WorkspaceId};
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::SleepIntent;
use kalpana_store::StoreError;

use super::{ATTEMPTS, Change, IntentError, Intents, actor, event, give_way, not_found, parsed};

impl Intents {
    /// Changes how a workspace sleeps.
    ///
    /// # Errors
    /// [`IntentError`]; nothing is half changed.
    pub(crate) async fn set_sleep(
        &self,
        id: &str,
        asked: &SleepIntent,
        request_id: Option<&str>,
    ) -> Result<Workspace, IntentError> {
        let actor = actor(&asked.asker)?;
        let parsed_id = WorkspaceId::parse(id).map_err(|_| not_found(id))?;
        let time = |field, seconds: Option<u32>| {
            parsed(field, seconds.map(IdleTime::from_seconds).transpose())
        };
        let sleep = SleepPolicy {
            pause_after: time("pause_after", asked.pause_after)?,
            stop_after: time("stop_after", asked.stop_after)?,
            archive_after: time("archive_after", asked.archive_after)?,
            stays_asleep: asked.stays_asleep,
        };
        for _ in 0..ATTEMPTS {
            let found = self.store.workspace(parsed_id).await?;
            let row = found.ok_or_else(|| not_found(id))?;
            let now = self.clock.now();
            let changed = Workspace {
                sleep,
                updated_at: now,
                ..row.clone()
            };
            let who = (&actor, &asked.asker);
            let audit = event(&row, AuditAction::WorkspaceSetSleep, who, now, request_id);
            match self.store.update_workspace(&changed, Some(audit)).await {
                Ok(row) => {
                    (self.waker)(row.id);
                    return Ok(row);
                }
                Err(StoreError::Conflict { .. }) => give_way().await,
                Err(StoreError::NotFound { .. }) => return Err(not_found(id)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(IntentError::Overloaded)
    }

    /// Changes a workspace as it was seen, in our own name. Returns false when somebody was faster:
    /// what they want comes first.
    ///
    /// # Errors
    /// [`IntentError`]; nothing is half changed.
    pub(crate) async fn change_by_itself(
        &self,
        seen: &Workspace,
        change: Change,
    ) -> Result<bool, IntentError> {
        let now = self.clock.now();
        let changed = change.of(seen, now)?;
        let audit = AuditEvent {
            id: AuditId::generate(),
            at: now,
            organization: Some(seen.organization),
            actor: Actor::System,
            action: match change {
                Change::Pause => AuditAction::WorkspacePause,
                Change::Wake => AuditAction::WorkspaceWake,
                Change::Start => AuditAction::WorkspaceStart,
                Change::Stop => AuditAction::WorkspaceStop,
                Change::Delete => AuditAction::WorkspaceDelete,
            },
            subject: seen.id.to_string(),
            address: None,
            request_id: None,
        };
        match self.store.update_workspace(&changed, Some(audit)).await {
            Ok(row) => {
                self.tell(row);
                Ok(true)
            }
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
