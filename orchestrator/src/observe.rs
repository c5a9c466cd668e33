//! What is there of a workspace, asked of the engine, the host and the bridge.

use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::{FailureReason, Lifecycle};
use kalpana_domain::workspace::Workspace;

use crate::engine::{ContainerState, EngineError};
use crate::plan::{Observed, Readiness};
use crate::reconcile::Reconciler;
use crate::{container, network};

impl Reconciler {
    /// Looks at all there is of a workspace.
    ///
    /// # Errors
    /// The engine's. What it does not tell is not guessed.
    pub(crate) async fn observe(
        &self,
        id: WorkspaceId,
        row: Option<&Workspace>,
        overdue: Option<FailureReason>,
    ) -> Result<Observed, EngineError> {
        let seen = self.look(id, row).await;
        self.engine_answered(seen.as_ref().err());
        let (containers, network, wanted_spec_hash) = seen?;
        if let Some(row) = row {
            let own = containers
                .iter()
                .find(|container| container.generation == Some(row.generation));
            let assets = own.and_then(|container| container.assets.clone());
            let is_frozen = own.is_some_and(|own| own.state == ContainerState::Paused)
                || matches!(row.lifecycle, Lifecycle::Paused { .. });
            self.memory(id, |memory| {
                memory.assets = assets;
                memory.is_frozen = is_frozen;
            });
        }
        let readiness = row.map_or(Readiness::Waiting, |row| {
            let is_wanted = matches!(
                row.lifecycle,
                Lifecycle::Starting { .. } | Lifecycle::Running { .. }
            );
            let runs = containers.iter().any(|container| {
                container.generation == Some(row.generation)
                    && container.state == ContainerState::Running
            });
            if is_wanted && runs {
                self.bridges.watch(id, row.generation)
            } else {
                Readiness::Waiting
            }
        });
        Ok(Observed {
            containers,
            network,
            has_run_directory: self.directories.exists(id.as_str()),
            readiness,
            verified: self.memory(id, |memory| memory.verified.clone()),
            wanted_spec_hash,
            overdue,
            put_away: self.memory(id, |memory| memory.put_away),
            orphaned_before: self.orphaned_before(),
        })
    }

    async fn look(
        &self,
        id: WorkspaceId,
        row: Option<&Workspace>,
    ) -> Result<
        (
            Vec<crate::engine::ContainerSeen>,
            Option<crate::engine::NetworkSeen>,
            String,
        ),
        EngineError,
    > {
        let containers = self.engine.containers(Some(id)).await?;
        // A running workspace's network is not looked at: it cannot be changed under a container.
        let is_running = row.is_some_and(|row| {
            matches!(
                row.lifecycle,
                Lifecycle::Running { .. } | Lifecycle::Paused { .. }
            )
        });
        let network = if is_running {
            None
        } else {
            let name = network::name(id);
            self.engine
                .networks()
                .await?
                .into_iter()
                .find(|seen| seen.name == name)
        };
        // Only what is being started is held to today's definition.
        let wanted_spec_hash = match row {
            Some(row) if matches!(row.lifecycle, Lifecycle::Starting { .. }) => {
                self.definition(row).await?.spec_hash
            }
            _ => String::new(),
        };
        Ok((containers, network, wanted_spec_hash))
    }

    /// Returns the container that a workspace should have.
    pub(crate) async fn definition(
        &self,
        row: &Workspace,
    ) -> Result<container::ContainerDefinition, EngineError> {
        let capabilities = self.capabilities().await?;
        let run_dir = self.directories.path(row.id.as_str());
        Ok(container::definition(
            &self.host,
            &capabilities,
            row,
            run_dir,
        ))
    }
}
