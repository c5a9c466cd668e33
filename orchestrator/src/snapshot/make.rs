//! Makes snapshots, and removes those that were kept long enough.

use kalpana_domain::id::WorkspaceId;
use kalpana_domain::snapshot::{SnapshotKind, SnapshotRef};
use kalpana_protocol::orchestrator::SnapshotState;
use tokio::sync::mpsc;

use super::archive::{self, Written};
use super::filler::{QUEUE, blocking};
use super::keeper::{Keeper, SnapshotError};
use super::porter::{Packed, PorterError};
use super::schedule::{self, BEFORE_RESTORE_KEPT};
use super::shelf::Record;
use crate::reconcile::describe;
use crate::volume;

impl Keeper {
    /// Makes a snapshot that was written down. Returns it as it has become, which is written down too.
    pub(super) async fn make(&self, mut record: Record) -> Record {
        let made = self.archive(&record).await;
        record.finished_at = Some(self.clock.now());
        match made {
            Ok((written, Packed { files, skipped })) => {
                record.state = SnapshotState::Ready;
                record.bytes = written.bytes;
                record.sha256 = written.sha256;
                record.files = files;
                record.skipped = skipped;
                tracing::info!(
                    workspace.id = %record.workspace, snapshot.id = %record.id,
                    bytes = record.bytes, files,
                    "took a snapshot of {}: {files} files, {} bytes", record.workspace, record.bytes
                );
            }
            Err(failure) => {
                record.state = SnapshotState::Failed;
                tracing::warn!(
                    workspace.id = %record.workspace, snapshot.id = %record.id, failure,
                    "could not take a snapshot of {}: {failure}", record.workspace
                );
                record.failure = Some(failure);
            }
        }
        // What is not written down is not there: nothing may rely on it.
        if let Err(error) = self.shelf.finish(&record) {
            tracing::error!(
                workspace.id = %record.workspace, snapshot.id = %record.id, %error,
                "could not write down what became of a snapshot of {}: {error}", record.workspace
            );
            record.state = SnapshotState::Failed;
            record.failure = Some(error.to_string());
        }
        let outcome = match record.state {
            SnapshotState::Ready => "ready",
            _ => "failed",
        };
        self.metrics.snapshot(record.kind, outcome);
        record
    }

    /// Writes the archive of a snapshot. Returns what is known of it, and what is in it.
    async fn archive(&self, record: &Record) -> Result<(Written, Packed), String> {
        let packing = async {
            let _place = self.state.places.acquire().await;
            self.see_to_volumes(record).await?;
            let path = self.shelf.archive(record.reference());
            let bytes = self.shelf.counter(record.id);
            let (sender, receiver) = mpsc::channel(QUEUE);
            let reserve = self.limits.reserve;
            let writing = blocking(move || archive::write(&path, receiver, &bytes, reserve));
            let packing = self.porter.pack(record.workspace, sender);
            let (written, packed) = tokio::join!(writing, packing);
            match (written, packed) {
                (Ok(written), Ok(packed)) => Ok((written, packed)),
                // A writer that could not go on explains why nobody took the rest.
                (Err(error), _) => Err(describe(&error)),
                (Ok(_), Err(PorterError::Engine(error))) => Err(describe(&error)),
                (Ok(_), Err(error)) => Err(error.to_string()),
            }
        };
        tokio::select! {
            made = packing => made,
            () = self.state.shutdown.cancelled() => {
                Err("Kalpana ended while the snapshot was taken; take it again.".to_owned())
            }
        }
    }

    /// Sees that the volumes to be read are there: an engine would make those that are not, and not
    /// label them. An archive is made of what there is alone: volumes that are gone, as with a disk that
    /// was not mounted, must not pass for an empty workspace.
    async fn see_to_volumes(&self, record: &Record) -> Result<(), String> {
        if record.kind == SnapshotKind::Archive {
            let seen = self.volumes.volumes().await;
            let seen = seen.map_err(|error| describe(&error))?;
            let is_there = |name: &String| seen.iter().any(|volume| volume.name == *name);
            return if volume::names(record.workspace).iter().all(is_there) {
                Ok(())
            } else {
                Err("Its volumes are not on the engine, so there is nothing to archive.".to_owned())
            };
        }
        for definition in volume::definitions(&self.instance, record.workspace) {
            let made = self.engine.create_volume(&definition).await;
            made.map_err(|error| describe(&error))?;
        }
        Ok(())
    }

    /// Writes down, beside the snapshot of a workspace's files, that nothing else was `done` with these.
    pub(super) fn not_done(&self, done: &str, mut made: Record, why: &str) {
        tracing::warn!(
            workspace.id = %made.workspace, why,
            "{} was not {done}, its files are as they were: {why}", made.workspace
        );
        let text = format!("The workspace was not {done}, its files are as they were: {why}");
        self.journal.note(made.workspace, self.clock.now(), &text);
        made.failure = Some(text);
        if let Err(error) = self.shelf.finish(&made) {
            tracing::error!(%error, "could not write down that a workspace was not {done}: {error}");
        }
    }

    /// Removes what was kept long enough, and none of `besides`.
    pub(super) async fn prune(&self, workspace: WorkspaceId, besides: &[SnapshotRef]) {
        let pruned = async {
            let needed = self.needed().await?.into_iter().map(|(_, of)| of);
            let needed: Vec<_> = needed.chain(besides.iter().copied()).collect();
            let taken = self.shelf.list(workspace)?;
            for (kind, keep) in [
                (SnapshotKind::Manual, usize::MAX),
                (SnapshotKind::Scheduled, self.limits.scheduled),
                (SnapshotKind::BeforeRestore, BEFORE_RESTORE_KEPT),
            ] {
                for of in schedule::excess(&taken, kind, keep, &needed) {
                    self.shelf.remove(of)?;
                }
            }
            for of in schedule::spent_archives(&taken, &needed) {
                self.shelf.remove(of)?;
            }
            Ok::<_, SnapshotError>(())
        };
        if let Err(error) = pruned.await {
            let error = describe(&error);
            tracing::warn!(workspace.id = %workspace, error, "old snapshots of {workspace} are kept: {error}");
        }
    }
}
