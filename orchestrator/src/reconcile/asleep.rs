//! Freezes containers and lets them go on.

use std::time::Duration;

use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::AuditId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::workspace::{Desired, Workspace};

use super::{PassError, Reconciler, describe};
use crate::engine::EngineError;

/// How long a container that could not be frozen is left awake.
const PAUSE_AGAIN: Duration = Duration::from_secs(600);

impl Reconciler {
    /// Freezes a sleeping workspace's container. Where the engine cannot, the workspace is awake
    /// again, and is left so for a while.
    pub(super) async fn pause(&self, row: &Workspace, id: &str) -> Result<(), PassError> {
        match self.engine.pause_container(id).await {
            Ok(()) => {
                self.journal.note(row.id, self.clock.now(), "asleep");
                tracing::info!(workspace.id = %row.id, "workspace {} is asleep", row.id);
                Ok(())
            }
            Err(error @ EngineError::Refused { .. }) => {
                let text = describe(&error);
                tracing::warn!(
                    workspace.id = %row.id, error = text,
                    "{} stays awake, its container cannot be frozen: {text}", row.id
                );
                // It may be frozen half, and must not be sent anything then.
                self.engine.unpause_container(id).await?;
                self.memory(row.id, |memory| {
                    memory.no_pause_before = self.uptime.now() + PAUSE_AGAIN;
                    memory.is_frozen = false;
                });
                let awake = row.lifecycle.clone().wake(self.clock.now());
                self.record_as(
                    row,
                    awake,
                    Some(self.by_itself(row, AuditAction::WorkspaceWake)),
                )
                .await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a container go on, and has requests sent there again. One that is to end is only tried:
    /// it ends frozen if it has to.
    pub(super) async fn unpause(&self, row: &Workspace, id: &str) -> Result<(), PassError> {
        let is_running = matches!(row.lifecycle, Lifecycle::Running { .. });
        match self.engine.unpause_container(id).await {
            Ok(()) => {}
            Err(error) if error.is_unavailable() => return Err(error.into()),
            Err(error) if is_running => {
                let now = self.uptime.now();
                self.memory(row.id, |memory| {
                    memory.thaw_refused_since = memory.thaw_refused_since.or(Some(now));
                });
                return Err(error.into());
            }
            Err(error) => {
                let text = describe(&error);
                tracing::warn!(
                    workspace.id = %row.id, error = text,
                    "the programs of {} are ended frozen, without hearing of it: {text}", row.id
                );
            }
        }
        if is_running {
            self.memory(row.id, |memory| memory.is_frozen = false);
            self.publish(row);
            self.journal.note(row.id, self.clock.now(), "awake");
            tracing::info!(workspace.id = %row.id, "workspace {} is awake", row.id);
        }
        Ok(())
    }

    /// Has what is left of a sleeping workspace removed, whose container ended in its sleep.
    pub(super) async fn mark_gone_asleep(&self, row: &Workspace) -> Result<(), PassError> {
        let text = "its container ended while it was asleep, so it is stopped; its files are there";
        let stopped = Workspace {
            desired: Desired::Stopped,
            ..row.clone()
        };
        let stopping = row.lifecycle.clone().stop(self.clock.now());
        let audit = self.by_itself(row, AuditAction::WorkspaceStop);
        self.record_as(&stopped, stopping, Some(audit)).await?;
        self.journal.note(row.id, self.clock.now(), text);
        tracing::warn!(workspace.id = %row.id, "{}: {text}", row.id);
        Ok(())
    }

    /// Returns what the audit log says of something that nobody asked for.
    fn by_itself(&self, row: &Workspace, action: AuditAction) -> AuditEvent {
        AuditEvent {
            id: AuditId::generate(),
            at: self.clock.now(),
            organization: Some(row.organization),
            actor: Actor::System,
            action,
            subject: row.id.to_string(),
            address: None,
            request_id: None,
        }
    }
}
