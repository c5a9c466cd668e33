//! Carries out single actions, and records what came of them.

use std::time::Duration;

use futures_util::StreamExt as _;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::{FailureCode, FailureReason, InvalidTransition, Lifecycle};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{LogLine, PhaseName, PhaseStatus};

use super::{PassError, Reconciler};
use crate::container::{Mismatch, compare};
use crate::engine::{Death, EngineError};
use crate::logs::Lines;
use crate::plan::Action;
use crate::{image, launch, network, volume};

/// Lines of a container's log that outlive it.
const LAST_WORDS: usize = 200;

/// How long reading them may hold up a removal.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

impl Reconciler {
    /// Carries out one action for a workspace.
    pub(super) async fn perform(&self, row: &Workspace, action: Action) -> Result<(), PassError> {
        match action {
            Action::CheckImage => self.check_image().await,
            Action::CreateNetwork => self.create_network(row).await,
            Action::RemoveNetwork { id } => Ok(self.engine.remove_network(&id).await?),
            Action::EnsureVolumes => self.ensure_volumes(row).await,
            Action::FillVolumes => self.fill_volumes(row).await,
            Action::PutVolumesAway => self.put_volumes_away(row).await,
            Action::PrepareRunDirectory => {
                let settings = launch::settings(&self.site, &self.keys, row);
                Ok(self.directories.prepare(&settings)?)
            }
            Action::RemoveRunDirectory => Ok(self.directories.remove(row.id.as_str())?),
            Action::CreateContainer => self.create_container(row).await,
            Action::VerifyContainer { id } => self.verify(row, id).await,
            Action::StartContainer { id } => self.start(row, &id).await,
            Action::PauseContainer { id } => self.pause(row, &id).await,
            Action::UnpauseContainer { id } => self.unpause(row, &id).await,
            Action::MarkGoneAsleep => self.mark_gone_asleep(row).await,
            Action::StopContainer { id } => {
                Ok(self.engine.stop_container(&id, self.limits.stop).await?)
            }
            Action::RemoveContainer { id } => self.remove_container(row, &id).await,
            Action::MarkRunning => self.mark_running(row).await,
            Action::MarkStopped => {
                let lifecycle = row.lifecycle.clone().stopped();
                self.record(row, lifecycle).await?;
                self.board.forget(row.id);
                self.journal.note(row.id, self.clock.now(), "stopped");
                Ok(())
            }
            Action::MarkFailed(reason) => self.mark_failed(row, reason).await,
            Action::MarkDied { id, death } => {
                let reason = self.explain(row, &id, death).await;
                self.mark_failed(row, reason).await
            }
            Action::MarkVanished => {
                let message = "The container was removed by something other than Kalpana; start \
                               the workspace again.";
                let reason = FailureReason::new(FailureCode::ContainerDied, message);
                self.mark_failed(row, reason).await
            }
            Action::FinishDeletion => self.finish_deletion(row).await,
        }
    }

    /// Carries out one action for what belongs to no workspace.
    pub(super) async fn perform_orphan(
        &self,
        id: WorkspaceId,
        action: Action,
    ) -> Result<(), PassError> {
        match action {
            Action::StopContainer { id } => {
                self.engine.stop_container(&id, self.limits.stop).await?;
            }
            // One that cannot be thawed is ended all the same.
            Action::UnpauseContainer { id } => match self.engine.unpause_container(&id).await {
                Err(error) if error.is_unavailable() => return Err(error.into()),
                _ => {}
            },
            Action::RemoveContainer { id: container } => {
                tracing::warn!(workspace.id = %id, container, "removing the container {container}: it belongs to no workspace");
                self.engine.remove_container(&container).await?;
                self.metrics.orphan("container");
            }
            Action::RemoveNetwork { id: network } => {
                tracing::warn!(workspace.id = %id, network, "removing the network {network}: it belongs to no workspace");
                self.engine.remove_network(&network).await?;
                self.metrics.orphan("network");
            }
            Action::RemoveRunDirectory => self.directories.remove(id.as_str())?,
            other => tracing::error!(workspace.id = %id, "an orphan was planned to {other:?}"),
        }
        Ok(())
    }

    async fn check_image(&self) -> Result<(), PassError> {
        if self.engine.has_image(&self.host.image).await? {
            Ok(())
        } else {
            Err(PassError::Hopeless(image::missing(&self.host.image)))
        }
    }

    async fn create_network(&self, row: &Workspace) -> Result<(), PassError> {
        self.note(row, PhaseName::Network, PhaseStatus::Running);
        self.firewall.before_network().await?;
        let _choosing = self.state.subnets.lock().await;
        let networks = self.engine.networks().await?;
        if networks
            .iter()
            .any(|seen| seen.name == network::name(row.id))
        {
            return Ok(());
        }
        let in_use: Vec<_> = networks
            .iter()
            .flat_map(|seen| seen.subnets.clone())
            .collect();
        let Some(subnet) = network::lowest_free(self.pool, &in_use) else {
            let message = format!(
                "No network of {} is free: stop or delete workspaces, or give \
                 orchestrator.subnet_pool a larger network.",
                self.pool
            );
            let reason = FailureReason::new(FailureCode::NetworkExhausted, message);
            return Err(PassError::Hopeless(reason));
        };
        let definition = network::definition(&self.host.instance, row.id, row.spec.egress, subnet);
        self.engine.create_network(&definition).await?;
        self.journal.note(
            row.id,
            self.clock.now(),
            &format!("made the network {subnet}"),
        );
        Ok(())
    }

    async fn ensure_volumes(&self, row: &Workspace) -> Result<(), PassError> {
        self.note(row, PhaseName::Network, PhaseStatus::Done);
        self.note(row, PhaseName::Volume, PhaseStatus::Running);
        for definition in volume::definitions(&self.host.instance, row.id) {
            self.engine.create_volume(&definition).await?;
        }
        self.note(row, PhaseName::Volume, PhaseStatus::Done);
        Ok(())
    }

    async fn create_container(&self, row: &Workspace) -> Result<(), PassError> {
        self.note(row, PhaseName::Container, PhaseStatus::Running);
        let definition = self.definition(row).await?;
        match self.engine.create_container(&definition).await {
            Err(EngineError::ImageMissing { image }) => {
                Err(PassError::Hopeless(image::missing(&image)))
            }
            Err(EngineError::Forbidden(error)) => {
                tracing::error!(workspace.id = %row.id, %error, "refused to make a container for {}: {error}", row.id);
                Err(PassError::Hopeless(isolation_mismatch()))
            }
            other => Ok(other?),
        }
    }

    async fn verify(&self, row: &Workspace, id: String) -> Result<(), PassError> {
        let definition = self.definition(row).await?;
        let found = self.engine.inspect_container(&id).await?;
        match compare(&definition, &found) {
            Ok(()) => {
                self.memory(row.id, |memory| memory.verified = Some(id));
                Ok(())
            }
            Err(mismatch) => {
                let Mismatch {
                    field,
                    wanted,
                    found,
                } = &mismatch;
                tracing::error!(
                    workspace.id = %row.id, field, wanted, found,
                    "the engine did not isolate {} as asked, removing its container: {mismatch}", row.id
                );
                self.engine.remove_container(&id).await?;
                Err(PassError::Hopeless(isolation_mismatch()))
            }
        }
    }

    async fn start(&self, row: &Workspace, id: &str) -> Result<(), PassError> {
        self.firewall.before_start(row).await?;
        self.journal.note(
            row.id,
            self.clock.now(),
            &format!("starting container {}", row.generation),
        );
        self.engine.start_container(id).await?;
        self.note(row, PhaseName::Container, PhaseStatus::Done);
        self.note(row, PhaseName::Boot, PhaseStatus::Running);
        Ok(())
    }

    async fn remove_container(&self, row: &Workspace, id: &str) -> Result<(), PassError> {
        self.journal.keep(row.id, self.last_words(id).await);
        self.engine.remove_container(id).await?;
        self.bridges.forget(row.id);
        self.memory(row.id, |memory| memory.verified = None);
        Ok(())
    }

    /// Returns the end of a container's log. Empty when it cannot be had: nothing waits for it.
    async fn last_words(&self, id: &str) -> Vec<LogLine> {
        let mut stream = self.engine.logs(id, LAST_WORDS, false);
        let reading = async {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            while let Some(Ok(bytes)) = stream.next().await {
                found.extend(lines.push(bytes));
            }
            found.extend(lines.finish());
            found
        };
        let found = tokio::time::timeout(LAST_WORDS_LIMIT, reading)
            .await
            .unwrap_or_default();
        found.into_iter().rev().take(LAST_WORDS).rev().collect()
    }

    async fn explain(&self, row: &Workspace, id: &str, death: Death) -> FailureReason {
        if death.is_out_of_memory {
            let memory = row.spec.size.resources().memory_bytes >> 30;
            let message = format!(
                "The workspace used more than its {memory} GiB of memory and was ended; start it \
                 again, or use a larger size."
            );
            return FailureReason::new(FailureCode::OutOfMemory, message);
        }
        let words = self.last_words(id).await;
        let last = words.iter().rev().find(|line| !line.text.trim().is_empty());
        let during = match row.lifecycle {
            Lifecycle::Starting { .. } => " while it was starting",
            _ => "",
        };
        let message = match last {
            Some(line) => format!(
                "The container ended{during} with exit code {}: {}",
                death.code, line.text
            ),
            None => format!("The container ended{during} with exit code {}.", death.code),
        };
        FailureReason::new(FailureCode::ContainerDied, message)
    }

    async fn mark_running(&self, row: &Workspace) -> Result<(), PassError> {
        let lifecycle = row.lifecycle.clone().started(self.clock.now());
        self.record(row, lifecycle).await?;
        for phase in PhaseName::ALL {
            self.note(row, phase, PhaseStatus::Done);
        }
        self.board.forget(row.id);
        self.journal.note(row.id, self.clock.now(), "running");
        tracing::info!(workspace.id = %row.id, generation = row.generation.0, "workspace {} is running", row.id);
        Ok(())
    }

    /// Records that a transition or a run ended badly.
    pub(super) async fn mark_failed(
        &self,
        row: &Workspace,
        reason: FailureReason,
    ) -> Result<(), PassError> {
        let (code, message) = (reason.code.as_str(), reason.message.clone());
        let lifecycle = row.lifecycle.clone().fail(self.clock.now(), reason);
        self.record(row, lifecycle).await?;
        self.board.fail(row.id, row.generation);
        self.bridges.forget(row.id);
        self.journal
            .note(row.id, self.clock.now(), &format!("failed: {message}"));
        tracing::warn!(workspace.id = %row.id, code, message, "workspace {} failed: {message}", row.id);
        Ok(())
    }

    async fn finish_deletion(&self, row: &Workspace) -> Result<(), PassError> {
        self.store.finish_deletion(row, self.clock.now()).await?;
        self.feeds.removed(row);
        self.forget(row.id);
        self.journal.forget(row.id);
        let [workspace, home] = volume::definitions(&self.host.instance, row.id);
        tracing::info!(
            workspace.id = %row.id, volumes = format!("{} {}", workspace.name, home.name),
            "deleted workspace {}; its files stay in the volumes {} and {}",
            row.id, workspace.name, home.name
        );
        Ok(())
    }

    /// Stores a lifecycle and tells everybody. A transition that the row does not allow means that
    /// the row has moved on, and is left to the next look.
    async fn record(
        &self,
        row: &Workspace,
        lifecycle: Result<Lifecycle, InvalidTransition>,
    ) -> Result<(), PassError> {
        self.record_as(row, lifecycle, None).await
    }

    /// The same, with what the audit log is to say of it.
    pub(super) async fn record_as(
        &self,
        row: &Workspace,
        lifecycle: Result<Lifecycle, InvalidTransition>,
        audit: Option<AuditEvent>,
    ) -> Result<(), PassError> {
        let lifecycle =
            lifecycle.map_err(|_| kalpana_store::StoreError::Conflict { what: "version" })?;
        let changed = Workspace {
            lifecycle,
            updated_at: self.clock.now(),
            ..row.clone()
        };
        let stored = self.store.update_workspace(&changed, audit).await?;
        // Only a bridge that has just answered makes a workspace running.
        let is_running = matches!(stored.lifecycle, Lifecycle::Running { .. });
        self.feeds
            .row(&stored, is_running.then(|| self.reach(stored.id)));
        Ok(())
    }

    pub(super) fn note(&self, row: &Workspace, phase: PhaseName, status: PhaseStatus) {
        self.board.note(row.id, row.generation, phase, status, None);
    }
}

fn isolation_mismatch() -> FailureReason {
    FailureReason::new(
        FailureCode::IsolationMismatch,
        "Docker did not isolate the container as asked, so it was removed. An administrator finds \
         the details in the orchestrator's log.",
    )
}
