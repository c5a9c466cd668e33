//! Fills the volumes of a workspace that is to begin with the files of a snapshot, and removes those
//! of one whose files were put away in one.

use std::time::Duration;

use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{PhaseName, PhaseStatus};
use kalpana_store::StoreError;

use super::{PassError, Reconciler, describe};
use crate::snapshot::filler::{FillError, PutAway};
use crate::snapshot::porter::PorterError;
use crate::volume;

/// How often it is looked whether somebody wants something else meanwhile.
const GLANCE: Duration = Duration::from_secs(1);

impl Reconciler {
    /// Replaces what is in the volumes by the files of the snapshot that the row names, and writes down
    /// that this is done. Until then a repeated start does it again.
    pub(super) async fn fill_volumes(&self, row: &Workspace) -> Result<(), PassError> {
        let Some(from) = row.filled_from else {
            return Ok(());
        };
        self.note(row, PhaseName::Network, PhaseStatus::Done);
        self.note(row, PhaseName::Volume, PhaseStatus::Running);
        // It may take long, and others start meanwhile.
        self.memory(row.id, |memory| memory.place = None);
        let text = format!(
            "putting the files of the snapshot {} in place",
            from.snapshot
        );
        self.journal.note(row.id, self.clock.now(), &text);
        let filling = async {
            // Its volumes count then: the row is older than they are.
            if self.filler.is_in_place(row.id, from).await? {
                return Ok(());
            }
            for definition in volume::definitions(&self.host.instance, row.id) {
                let made = self.engine.create_volume(&definition).await;
                made.map_err(PorterError::from)?;
            }
            self.filler.fill(row.id, from).await
        };
        let filled = tokio::select! {
            filled = filling => filled,
            moved_on = self.moved_on(row) => return Err(moved_on),
        };
        match filled {
            Ok(()) => {}
            Err(FillError::Porter(PorterError::Engine(error))) if error.is_unavailable() => {
                return Err(error.into());
            }
            Err(error) => {
                let error = describe(&error);
                let message = format!(
                    "The files of the snapshot could not be put in place: {error}. Start the \
                     workspace to try again, or restore another of its snapshots."
                );
                let reason = FailureReason::new(FailureCode::SnapshotUnusable, message);
                return Err(PassError::Hopeless(reason));
            }
        }
        self.record_filled(row).await?;
        self.board.touch(row.id);
        self.note(row, PhaseName::Volume, PhaseStatus::Done);
        let text = "the files of the snapshot are in place";
        self.journal.note(row.id, self.clock.now(), text);
        Ok(())
    }

    /// Removes the volumes of a workspace whose row says that its files are in a snapshot, if that is
    /// an archive of them. Otherwise they are left alone: a restore that somebody stopped, say.
    ///
    /// Passes for one workspace exclude each other, so nothing is put in place meanwhile.
    pub(super) async fn put_volumes_away(&self, row: &Workspace) -> Result<(), PassError> {
        let Some(to) = row.filled_from else {
            return Ok(());
        };
        match self.filler.discard(row.id, to).await {
            Ok(PutAway::Now) => {
                let text = "its files are archived, and its volumes were removed";
                self.journal.note(row.id, self.clock.now(), text);
                tracing::info!(workspace.id = %row.id, "archived {}", row.id);
            }
            Ok(PutAway::Before | PutAway::NotAnArchive) => {}
            Err(FillError::Porter(PorterError::Engine(error))) => return Err(error.into()),
            Err(error) => {
                let error = describe(&error);
                tracing::error!(
                    workspace.id = %row.id, error,
                    "the volumes of {} are kept, though it is archived: {error}", row.id
                );
            }
        }
        self.memory(row.id, |memory| memory.put_away = Some(to));
        Ok(())
    }

    /// Writes down that the volumes hold their files. What else was changed meanwhile stays.
    async fn record_filled(&self, row: &Workspace) -> Result<(), PassError> {
        loop {
            let Some(now) = self.same(row).await? else {
                return Err(moved_on());
            };
            let filled = Workspace {
                filled_from: None,
                ..now
            };
            match self.store.update_workspace(&filled, None).await {
                Ok(stored) => {
                    self.feeds.row(&stored, None);
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until something else is wanted of a workspace. Returns why a pass is to look again.
    async fn moved_on(&self, row: &Workspace) -> PassError {
        loop {
            tokio::time::sleep(GLANCE).await;
            // A start that shows a sign of progress is not ended for being slow.
            self.board.touch(row.id);
            // Without a store nobody has asked for anything.
            if let Ok(None) = self.same(row).await {
                return moved_on();
            }
        }
    }

    /// Returns the row, if it still is that start of the workspace.
    async fn same(&self, row: &Workspace) -> Result<Option<Workspace>, StoreError> {
        let now = self.store.workspace(row.id).await?;
        Ok(now.filter(|now| {
            matches!(now.lifecycle, Lifecycle::Starting { .. })
                && now.generation == row.generation
                && now.filled_from == row.filled_from
        }))
    }
}

fn moved_on() -> PassError {
    PassError::Store(StoreError::Conflict { what: "version" })
}
