//! Whoever fills volumes and puts them away, under the same sky as the engine.

use async_trait::async_trait;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::snapshot::SnapshotRef;

use super::store::FakeStore;
use crate::engine::EngineError;
use crate::engine::fake::FakeEngine;
use crate::snapshot::Filler;
use crate::snapshot::filler::{FillError, PutAway};
use crate::snapshot::porter::PorterError;
use crate::trash::Volumes as _;
use crate::volume;

/// Tells whether a snapshot is an archive: half of them are, by their last digit.
pub(super) fn is_archive(of: SnapshotRef) -> bool {
    of.snapshot
        .to_string()
        .ends_with(|digit: char| ('0'..='7').contains(&digit))
}

/// Sees that volumes are emptied and removed only while they are to be: no container uses them, and the
/// row says that its own files are not there.
#[derive(Debug)]
pub(super) struct FakeFiller {
    pub(super) engine: FakeEngine,
    pub(super) store: FakeStore,
}

#[async_trait]
impl Filler for FakeFiller {
    async fn fill(&self, workspace: WorkspaceId, from: SnapshotRef) -> Result<(), FillError> {
        self.check(workspace, from)
    }

    async fn is_in_place(&self, _: WorkspaceId, _: SnapshotRef) -> Result<bool, FillError> {
        Ok(false)
    }

    async fn discard(&self, workspace: WorkspaceId, to: SnapshotRef) -> Result<PutAway, FillError> {
        self.check(workspace, to)?;
        if !is_archive(to) {
            return Ok(PutAway::NotAnArchive);
        }
        for name in volume::names(workspace) {
            let removed = self.engine.remove_volume(&name).await;
            removed.map_err(PorterError::from)?;
        }
        Ok(PutAway::Now)
    }
}

impl FakeFiller {
    fn check(&self, workspace: WorkspaceId, from: SnapshotRef) -> Result<(), FillError> {
        let filled = self.engine.sky.under(|| {
            let world = self.engine.world.lock().unwrap();
            let mut used = world.containers.values();
            assert!(
                used.all(|container| container.definition.workspace != workspace),
                "the volumes of {workspace} are emptied under a container"
            );
            let rows = self.store.rows.lock().unwrap();
            let wanted = rows.get(&workspace).and_then(|row| row.filled_from);
            assert_eq!(wanted, Some(from), "the files of {workspace} were its own");
        });
        filled.ok_or_else(|| {
            let error = EngineError::Unavailable {
                socket: "/fake.sock".into(),
                source: "bad weather".into(),
            };
            FillError::Porter(error.into())
        })
    }
}
