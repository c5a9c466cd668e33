//! Workspaces, how far their start has come, and what their log says.

use kalpana_config::Site;
use kalpana_domain::Timestamp;
use kalpana_domain::address::WorkspaceAddress;
use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::workspace::{Size, Workspace};
use kalpana_protocol::orchestrator as internal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest text shown that a container wrote, in characters.
const DETAIL_LIMIT: usize = 500;

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workspace)]
pub(crate) struct WorkspaceView {
    /// Its id, which is also the label of its editor's host.
    #[schema(example = "kq3v8x1zt0ab", pattern = "^[a-z][a-z0-9]{11}$")]
    id: String,
    /// The name shown to people.
    name: String,
    /// The repository that was cloned into it.
    repository: Option<String>,
    /// The branch that was checked out; the remote's default when absent.
    branch: Option<String>,
    /// How much of the machine it may use.
    size: SizeName,
    /// What its programs may reach.
    egress: EgressName,
    /// How it sleeps.
    sleep: SleepView,
    /// Where it is in its life.
    state: StateName,
    /// Whether it is stopped with its files in a snapshot alone: they are put in place when it starts.
    is_archived: bool,
    /// What went wrong, when `state` is `failed`.
    failure: Option<Failure>,
    /// How far its start has come, while it starts or has just failed to.
    progress: Option<ProgressView>,
    /// The editor's address.
    #[schema(example = "https://kq3v8x1zt0ab.kalpana.localhost:8443")]
    url: String,
    /// Whose it is.
    owner: Owner,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Since when it is in its state.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Which incarnation it is: raised by each start.
    generation: u64,
}

impl WorkspaceView {
    /// Shows a workspace.
    pub(crate) fn new(
        workspace: &Workspace,
        owner_name: &str,
        progress: Option<&internal::Progress>,
        site: &Site,
    ) -> Self {
        let lifecycle = &workspace.lifecycle;
        let label = WorkspaceAddress::editor(workspace.id).to_string();
        let is_told = matches!(
            lifecycle,
            Lifecycle::Starting { .. } | Lifecycle::Failed { .. }
        );
        let failure = match lifecycle {
            Lifecycle::Failed { reason, .. } => Some(Failure::from(reason)),
            _ => None,
        };
        let since = match lifecycle {
            Lifecycle::Stopped => workspace.updated_at,
            Lifecycle::Starting { since }
            | Lifecycle::Running { since }
            | Lifecycle::Paused { since }
            | Lifecycle::Stopping { since }
            | Lifecycle::Deleting { since } => *since,
            Lifecycle::Failed { at, .. } => *at,
        };
        Self {
            id: workspace.id.to_string(),
            name: workspace.spec.name.to_string(),
            repository: workspace.spec.repository.as_ref().map(ToString::to_string),
            branch: workspace.spec.branch.as_ref().map(ToString::to_string),
            size: workspace.spec.size.into(),
            egress: workspace.spec.egress.into(),
            sleep: workspace.sleep.into(),
            state: lifecycle.into(),
            is_archived: workspace.is_archived(),
            failure,
            progress: progress
                .filter(|progress| is_told && progress.generation == workspace.generation.0)
                .map(ProgressView::from),
            url: site.workspace_url(&label),
            owner: Owner {
                id: workspace.owner.to_string(),
                name: owner_name.to_owned(),
            },
            created_at: workspace.created_at,
            updated_at: workspace.updated_at,
            since,
            generation: workspace.generation.0,
        }
    }
}

/// How much of the machine a workspace may use.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Size)]
pub(crate) enum SizeName {
    /// For small projects.
    Small,
    /// Twice that.
    Medium,
    /// Four times that.
    Large,
}

impl From<Size> for SizeName {
    fn from(size: Size) -> Self {
        match size {
            Size::Small => Self::Small,
            Size::Medium => Self::Medium,
            Size::Large => Self::Large,
        }
    }
}

/// What a workspace's programs may reach.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Egress)]
pub(crate) enum EgressName {
    /// Whatever the host's firewall lets through.
    Open,
    /// Nothing beyond the workspace's own network.
    None,
}

/// How a workspace sleeps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Sleep)]
pub(crate) struct SleepView {
    /// Seconds that it may be idle until it is put to sleep: 60 to 2592000, or 0 for ever; `null` for
    /// as the site has it.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub(crate) pause_after_seconds: Option<u32>,
    /// Seconds that it may be asleep until it is stopped: 60 to 2592000, or 0 for ever; `null` for as
    /// the site has it.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub(crate) stop_after_seconds: Option<u32>,
    /// Seconds that it may be stopped until it is archived: 60 to 2592000, or 0 for ever; `null` for as
    /// the site has it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub(crate) archive_after_seconds: Option<u32>,
    /// Whether a visit leaves it asleep, until somebody asks for it to be woken.
    #[serde(default)]
    pub(crate) stays_asleep: bool,
}

impl From<SleepPolicy> for SleepView {
    fn from(policy: SleepPolicy) -> Self {
        Self {
            pause_after_seconds: policy.pause_after.map(IdleTime::seconds),
            stop_after_seconds: policy.stop_after.map(IdleTime::seconds),
            archive_after_seconds: policy.archive_after.map(IdleTime::seconds),
            stays_asleep: policy.stays_asleep,
        }
    }
}

/// Where a workspace is in its life.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WorkspaceState)]
enum StateName {
    Stopped,
    Starting,
    Running,
    Paused,
    Stopping,
    Failed,
    Deleting,
}

impl From<&Lifecycle> for StateName {
    fn from(lifecycle: &Lifecycle) -> Self {
        match lifecycle {
            Lifecycle::Stopped => Self::Stopped,
            Lifecycle::Starting { .. } => Self::Starting,
            Lifecycle::Running { .. } => Self::Running,
            Lifecycle::Paused { .. } => Self::Paused,
            Lifecycle::Stopping { .. } => Self::Stopping,
            Lifecycle::Failed { .. } => Self::Failed,
            Lifecycle::Deleting { .. } => Self::Deleting,
        }
    }
}

/// Whose a workspace is.
#[derive(Debug, Serialize, ToSchema)]
struct Owner {
    /// The person's id.
    #[schema(format = Uuid)]
    id: String,
    /// Their name.
    name: String,
}

/// What went wrong with a workspace.
#[derive(Debug, Serialize, ToSchema)]
struct Failure {
    /// Stable and in snake_case.
    #[schema(example = "clone_failed")]
    code: &'static str,
    /// What happened. May quote what a program in the container said: to be shown as text.
    message: String,
    /// What to do about it.
    hint: &'static str,
}

impl From<&FailureReason> for Failure {
    fn from(reason: &FailureReason) -> Self {
        Self {
            code: reason.code.as_str(),
            message: reason.message.clone(),
            hint: hint(reason.code),
        }
    }
}

fn hint(code: FailureCode) -> &'static str {
    match code {
        FailureCode::EngineUnavailable => {
            "Your files are safe. Start it again once the container engine is back; \
             an administrator can check that Docker runs."
        }
        FailureCode::ImageMissing => {
            "An administrator can build the workspace image with `make image`; then start it again."
        }
        FailureCode::NetworkExhausted => {
            "Stop a workspace you do not need, then start this one again."
        }
        FailureCode::FirewallUnavailable => {
            "Nothing ran. An administrator finds out with `kalpana doctor` what keeps the host's packet \
             filter away; then start it again."
        }
        FailureCode::IsolationMismatch => {
            "Nothing ran. An administrator should look at the container engine's version and log."
        }
        FailureCode::SnapshotUnusable => {
            "What the files were before is in a snapshot of its own, taken before the restore."
        }
        FailureCode::CloneFailed => {
            "Check the repository's address and branch, and that this server may read it."
        }
        FailureCode::EditorFailed => "Start it again; its log says what the editor reported.",
        FailureCode::StartTimedOut => {
            "Start it again; if it stays slow, its log shows where the time goes."
        }
        FailureCode::ContainerDied => "Your files are safe. Start it again.",
        FailureCode::OutOfMemory => {
            "Your files are safe. Start it again with less running, or make a larger workspace."
        }
    }
}

/// How far a start has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
struct ProgressView {
    /// Every phase, in order.
    phases: Vec<PhaseView>,
}

impl From<&internal::Progress> for ProgressView {
    fn from(progress: &internal::Progress) -> Self {
        Self {
            phases: progress.phases.iter().map(PhaseView::from).collect(),
        }
    }
}

/// One phase of a start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Phase)]
struct PhaseView {
    /// Which.
    name: PhaseNameView,
    /// How it stands.
    status: PhaseStatusView,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// What it is doing. May quote what a program in the container said: to be shown as text.
    detail: Option<String>,
}

impl From<&internal::Phase> for PhaseView {
    fn from(phase: &internal::Phase) -> Self {
        Self {
            name: phase.name.into(),
            status: phase.status.into(),
            started_at: phase.started_at.clone(),
            finished_at: phase.finished_at.clone(),
            detail: phase
                .detail
                .as_ref()
                .map(|detail| detail.chars().take(DETAIL_LIMIT).collect()),
        }
    }
}

/// The phases of a start, in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PhaseName)]
enum PhaseNameView {
    Network,
    Volume,
    Container,
    Boot,
    Clone,
    Editor,
}

impl From<internal::PhaseName> for PhaseNameView {
    fn from(name: internal::PhaseName) -> Self {
        match name {
            internal::PhaseName::Network => Self::Network,
            internal::PhaseName::Volume => Self::Volume,
            internal::PhaseName::Container => Self::Container,
            internal::PhaseName::Boot => Self::Boot,
            internal::PhaseName::Clone => Self::Clone,
            internal::PhaseName::Editor => Self::Editor,
        }
    }
}

/// How a phase stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PhaseStatus)]
enum PhaseStatusView {
    Pending,
    Running,
    Done,
    Failed,
}

impl From<internal::PhaseStatus> for PhaseStatusView {
    fn from(status: internal::PhaseStatus) -> Self {
        match status {
            internal::PhaseStatus::Pending => Self::Pending,
            internal::PhaseStatus::Running => Self::Running,
            internal::PhaseStatus::Done => Self::Done,
            internal::PhaseStatus::Failed => Self::Failed,
        }
    }
}

/// Part of the list of workspaces, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workspaces)]
pub(crate) struct WorkspacesPage {
    /// The workspaces.
    pub(crate) workspaces: Vec<WorkspaceView>,
    /// Where the next part starts, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// A workspace that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkspaceRemoved {
    /// Its id.
    pub(crate) id: String,
}

/// One line of a workspace's log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LogLineView {
    /// When it was written.
    #[schema(format = DateTime)]
    at: String,
    /// Who wrote it: `kalpana`, `bridge`, `git` or `editor`.
    #[schema(example = "git")]
    source: String,
    /// The line. Whatever a program in the container wrote: to be shown as text.
    text: String,
}

impl From<internal::LogLine> for LogLineView {
    fn from(line: internal::LogLine) -> Self {
        Self {
            at: line.at,
            source: line.source,
            text: line.text,
        }
    }
}
