//! Snapshots of workspaces.

use kalpana_protocol::orchestrator::{Snapshot, SnapshotState, Snapshots};
use serde::Serialize;
use utoipa::ToSchema;

/// The snapshots of a workspace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshots)]
pub(crate) struct SnapshotsView {
    /// Newest first.
    snapshots: Vec<SnapshotView>,
    /// How many that somebody asked for the workspace may have.
    limit: usize,
}

/// A copy of all files of a workspace, kept outside of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub(crate) struct SnapshotView {
    /// Its id.
    id: String,
    /// The workspace it was taken of.
    workspace_id: String,
    /// Why it was taken.
    #[schema(value_type = SnapshotKind)]
    kind: String,
    /// What its owner wrote about it.
    note: String,
    /// How far it is.
    #[schema(value_type = SnapshotStateName)]
    state: SnapshotStateName,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was ready, or failed.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// Bytes of its archive; so far, while it is made.
    bytes: u64,
    /// Files in it, once it is ready.
    files: u64,
    /// Files that could not be read, and are not in it.
    skipped: u64,
    /// Why it could not be made, or why a workspace did not get its files.
    failure: Option<String>,
}

/// Why a snapshot was taken: its owner asked, its time had come, the files were about to be replaced
/// by those of another, or the workspace was archived.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is the description of a text")]
pub(crate) enum SnapshotKind {
    Manual,
    Scheduled,
    BeforeRestore,
    Archive,
}

/// How far a snapshot is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SnapshotState)]
pub(crate) enum SnapshotStateName {
    Making,
    Ready,
    Failed,
}

impl From<Snapshots> for SnapshotsView {
    fn from(told: Snapshots) -> Self {
        Self {
            snapshots: told.snapshots.into_iter().map(SnapshotView::from).collect(),
            limit: told.limit,
        }
    }
}

impl From<Snapshot> for SnapshotView {
    fn from(told: Snapshot) -> Self {
        Self {
            id: told.id,
            workspace_id: told.workspace,
            kind: told.kind,
            note: told.note,
            state: match told.state {
                SnapshotState::Making => SnapshotStateName::Making,
                SnapshotState::Ready => SnapshotStateName::Ready,
                SnapshotState::Failed => SnapshotStateName::Failed,
            },
            created_at: told.created_at,
            finished_at: told.finished_at,
            bytes: told.bytes,
            files: told.files,
            skipped: told.skipped,
            failure: told.failure,
        }
    }
}
