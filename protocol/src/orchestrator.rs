//! The orchestrator's internal API, spoken over its Unix socket.
//!
//! | call | answers |
//! |---|---|
//! | `POST /v1/workspaces` [`CreateWorkspace`] | 202 [`WorkspaceAnswer`] |
//! | `POST /v1/workspaces/{id}/start`, `/wake`, `/pause`, `/stop`, `/delete` [`Intent`] | 202 [`WorkspaceAnswer`] |
//! | `POST /v1/workspaces/{id}/sleep` [`SleepIntent`] | 202 [`WorkspaceAnswer`] |
//! | `GET /v1/workspaces/{id}/logs?follow=` | newline-delimited [`LogLine`] |
//! | `GET /v1/workspaces/{id}/wakefulness` | [`Wakefulness`] |
//! | `GET /v1/workspaces/{id}/work` | [`Work`] |
//! | `POST /v1/workspaces/{id}/archive` [`Intent`] | 202 [`Snapshot`], that its files are put into |
//! | `GET /v1/workspaces/{id}/figures` | [`crate::figures::Figures`] |
//! | `GET /v1/workspaces/{id}/figures/live` | newline-delimited [`crate::figures::Now`], every two seconds while it runs |
//! | `GET /v1/workspaces/{id}/snapshots` | [`Snapshots`] |
//! | `POST /v1/workspaces/{id}/snapshots` [`TakeSnapshot`] | 202 [`Snapshot`] |
//! | `POST /v1/workspaces/{id}/snapshots/{snapshot}/restore` [`Intent`] | 202 [`Snapshot`], of the files as they are |
//! | `POST /v1/workspaces/{id}/snapshots/{snapshot}/delete` [`Intent`] | 204 |
//! | `POST /v1/workspaces/{id}/snapshots/{snapshot}/content` [`Intent`] | its archive: tar, compressed with Zstandard |
//! | `POST /v1/presence` [`Presence`] | 204 |
//! | `GET /v1/progress` | feed of [`ProgressLine`] |
//! | `GET /v1/routes?from=` | feed of [`crate::routes::RouteLine`] |
//! | `POST /v1/routes/ack` [`crate::feed::Acknowledgement`] | 204 |
//!
//! A `start` wakes what sleeps and starts what is stopped; a `wake`, which is the gateway's, does the
//! first alone.
//!
//! Errors are [`InternalError`] with a 4xx or 5xx status. Intents are answered after the commit.

use serde::{Deserialize, Serialize};

use crate::bridge::work::WorkSummary;
use crate::feed::Line;

/// Who asks, for the audit row that is written with the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The person.
    pub user: String,
    /// Their browser session, or
    pub session: Option<String>,
    /// their API token.
    pub token: Option<String>,
    /// The client's network address.
    pub address: Option<String>,
}

/// Asks for a new workspace, which is then started. Values were checked by `web` and are checked
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateWorkspace {
    /// Who asks and will own it.
    pub asker: Asker,
    /// The organisation it counts towards.
    pub organization: String,
    /// The name shown to people.
    pub name: String,
    /// The repository to clone.
    pub repository: Option<String>,
    /// The branch to check out.
    pub branch: Option<String>,
    /// `small`, `medium` or `large`.
    pub size: String,
    /// `open` or `none`; the site's default when absent.
    pub egress: Option<String>,
    /// The snapshot whose files it begins with.
    #[serde(default)]
    pub snapshot: Option<SnapshotOf>,
    /// A key under which a repeated request gives the same workspace, for 24 hours.
    pub idempotency_key: Option<String>,
}

/// A snapshot of a workspace that the asker owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOf {
    /// The workspace it was taken of.
    pub workspace: String,
    /// Which of its snapshots.
    pub snapshot: String,
}

/// Asks for a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeSnapshot {
    /// Who asks.
    pub asker: Asker,
    /// What they write about it: up to 200 characters, none needed.
    #[serde(default)]
    pub note: String,
}

/// The snapshots of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    /// How many that somebody asked for are kept at most.
    pub limit: usize,
}

/// A copy of all files of a workspace, kept outside of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The workspace it was taken of.
    pub workspace: String,
    /// Why it was taken: `manual`, `scheduled`, `before_restore` or `archive`.
    pub kind: String,
    /// What a person wrote about it.
    pub note: String,
    /// How far it is.
    pub state: SnapshotState,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When it was ready, or failed, RFC 3339.
    pub finished_at: Option<String>,
    /// Bytes of its archive; so far, while it is made.
    pub bytes: u64,
    /// Files in it, once it is ready.
    pub files: u64,
    /// Files that could not be read, and are not in it.
    pub skipped: u64,
    /// Why it failed, in a sentence for people.
    pub failure: Option<String>,
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// It is being made.
    Making,
    /// It is whole.
    Ready,
    /// It could not be made.
    Failed,
}

/// Asks for a start, for sleep, a stop or a deletion. A start wakes what sleeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Who asks.
    pub asker: Asker,
}

/// Asks that a workspace sleep otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleepIntent {
    /// Who asks.
    pub asker: Asker,
    /// Seconds idle until it is put to sleep: 0 for ever, absent for as the site has it.
    pub pause_after: Option<u32>,
    /// Seconds asleep until it is stopped: 0 for ever, absent for as the site has it.
    pub stop_after: Option<u32>,
    /// Seconds stopped until it is archived: 0 for ever, absent for as the site has it.
    #[serde(default)]
    pub archive_after: Option<u32>,
    /// Whether a visit leaves it asleep.
    pub stays_asleep: bool,
}

/// The workspace after the change was committed: `domain::workspace::Workspace` as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceAnswer {
    /// The row.
    pub workspace: serde_json::Value,
}

/// Why an internal call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalError {
    /// The stable code: `not_found`, `invalid`, `quota_exceeded`, `invalid_transition`,
    /// `idempotency_conflict`, `store_unavailable`, `store_frozen` (while its data is moved),
    /// `store_moved` (once it was), `overloaded` or `internal`; of snapshots
    /// `snapshot_not_found`, `snapshot_in_progress`, `snapshot_in_use`, `snapshot_limit`,
    /// `workspace_not_stopped` or `disk_full`.
    pub code: String,
    /// The sentence for people.
    pub message: String,
}

/// What is in the repositories of a workspace, and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What its bridge saw: a container's word. Absent where nobody could look.
    pub summary: Option<WorkSummary>,
}

/// Why a workspace is awake, and what becomes of it if nobody comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wakefulness {
    /// Why it is awake; absent unless it runs.
    pub awake: Option<Awake>,
    /// When it is put to sleep, RFC 3339; absent when that does not happen by itself.
    pub pauses_at: Option<String>,
    /// When it is stopped, of one that is asleep; absent when that does not happen by itself.
    pub stops_at: Option<String>,
}

/// Why a workspace is awake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awake {
    /// What kind of sign there was.
    pub kind: AwakeKind,
    /// The same in words. May name programs of the container: hostile, to be shown as text. At most
    /// 300 characters.
    pub text: String,
    /// When it was seen, RFC 3339.
    pub at: String,
}

/// The kinds of signs that a workspace is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwakeKind {
    /// It was started or woken.
    Started,
    /// Somebody came to it.
    Visit,
    /// Somebody typed in it.
    Typing,
    /// Its programs are at work.
    Busy,
    /// A program in it asked for it.
    KeepAwake,
}

impl AwakeKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Started,
        Self::Visit,
        Self::Typing,
        Self::Busy,
        Self::KeepAwake,
    ];

    /// Returns the name as it stands in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Visit => "visit",
            Self::Typing => "typing",
            Self::Busy => "busy",
            Self::KeepAwake => "keep_awake",
        }
    }
}

/// What a gateway tells every few seconds, also when there is nothing: who was at which workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Which gateway tells: a name that it drew for itself. At most 64 bytes.
    #[serde(default)]
    pub gateway: String,
    /// Whether it ends, and is not to be waited for.
    #[serde(default)]
    pub is_leaving: bool,
    /// Whether this is not all of it: the rest follows.
    #[serde(default)]
    pub has_more: bool,
    /// What was used since it was told last; at most [`PRESENT_LIMIT`] in one telling.
    pub present: Vec<Present>,
}

/// Most signs in one [`Presence`]: some ten kilobytes.
pub const PRESENT_LIMIT: usize = 200;

/// A sign that a workspace is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The workspace.
    pub workspace: String,
    /// How: a person's [`AwakeKind::Visit`] or [`AwakeKind::Typing`], or [`AwakeKind::Busy`] for what
    /// may be a page that is merely open.
    pub kind: AwakeKind,
    /// How long ago, in seconds.
    pub seconds_ago: u64,
}

/// One line of a workspace's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, RFC 3339.
    pub at: String,
    /// `kalpana`, `bridge`, `git` or `editor`.
    pub source: String,
    /// The line, without its end. Whatever the container wrote: hostile, to be shown as text.
    pub text: String,
}

/// The feed that tells `web` what changed, so that pages are live.
///
/// The snapshot lists workspaces whose start is under way or has just failed.
pub type ProgressLine = Line<Vec<Progress>, ProgressChange>;

/// A change that pages show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProgressChange {
    /// The workspace's row changed: read it again.
    Row {
        /// Which.
        workspace: String,
    },
    /// The start moved on.
    Progress {
        /// The whole progress.
        progress: Progress,
    },
    /// The workspace is gone.
    Removed {
        /// Which.
        workspace: String,
        /// Whose it was.
        owner: String,
    },
}

/// How far a start has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The workspace.
    pub workspace: String,
    /// The incarnation being started.
    pub generation: u64,
    /// Every phase, in order.
    pub phases: Vec<Phase>,
}

/// One phase of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which.
    pub name: PhaseName,
    /// How it stands.
    pub status: PhaseStatus,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// What it is doing, such as `Receiving objects: 42%`. Container text: bounded, shown as text.
    pub detail: Option<String>,
}

/// The phases of a start, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// The workspace's own network.
    Network,
    /// Its volumes.
    Volume,
    /// Its container, made and started.
    Container,
    /// The bridge answers.
    Boot,
    /// The repository is there.
    Clone,
    /// The editor answers.
    Editor,
}

impl PhaseName {
    /// Every phase, in order.
    pub const ALL: [Self; 6] = [
        Self::Network,
        Self::Volume,
        Self::Container,
        Self::Boot,
        Self::Clone,
        Self::Editor,
    ];

    /// Returns the name as it stands in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Container => "container",
            Self::Boot => "boot",
            Self::Clone => "clone",
            Self::Editor => "editor",
        }
    }
}

/// How a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseStatus {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Went wrong; the workspace's failure says how.
    Failed,
}
