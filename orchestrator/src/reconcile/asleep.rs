//! Freezes containers and lets them go on.

use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::workspace::{Desired, Workspace};

use super::{PassError, Reconciler, describe};
use crate::engine::EngineError;

impl Reconciler {
    /// Freezes a sleeping workspace's container. Where the engine cannot, the workspace is awake
    /// again, and is not put to sleep before this process ends.
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
                self.memory(row.id, |memory| {
                    memory.cannot_pause = true;
                    memory.is_frozen = false;
                });
                let awake = row.lifecycle.clone().wake(self.clock.now());
                self.record(row, awake).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a container go on, and has requests sent there again.
    pub(super) async fn unpause(&self, row: &Workspace, id: &str) -> Result<(), PassError> {
        self.engine.unpause_container(id).await?;
        self.memory(row.id, |memory| memory.is_frozen = false);
        if matches!(row.lifecycle, Lifecycle::Running { .. }) {
            self.publish(row);
            self.journal.note(row.id, self.clock.now(), "awake");
            tracing::info!(workspace.id = %row.id, "workspace {} is awake", row.id);
        }
        Ok(())
    }

    /// Has what is left of a sleeping workspace removed, whose container ended in its sleep.
    pub(super) async fn mark_gone_asleep(&self, row: &Workspace) -> Result<(), PassError> {
        let text = "its container ended while it was asleep, so it is stopped; its files are there";
        self.journal.note(row.id, self.clock.now(), text);
        tracing::warn!(workspace.id = %row.id, "{}: {text}", row.id);
        let stopped = Workspace {
            desired: Desired::Stopped,
            ..row.clone()
        };
        let stopping = row.lifecycle.clone().stop(self.clock.now());
        self.record(&stopped, stopping).await
    }
}
