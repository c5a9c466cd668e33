//! Asks the orchestrator, which alone may change a workspace, and makes its answers ours.

use std::time::Duration;

use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use kalpana_auth::Authenticated;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::user::Credential;
use kalpana_domain::workspace::{Egress, Size, Workspace, WorkspaceName};
use kalpana_link::{CallError, Client};
use kalpana_protocol::figures::Figures;
use kalpana_protocol::orchestrator::{
    Asker, CreateWorkspace, Intent, InternalError, SleepIntent, Snapshot, SnapshotOf, Snapshots,
    TakeSnapshot, Wakefulness, Work, WorkspaceAnswer,
};

use crate::error::{ApiError, ApiResult, sentence};
use crate::request::RequestContext;

/// How long clients should wait while the orchestrator is away.
const AWAY: Duration = Duration::from_secs(2);

/// How long an answer may take: longer than two operations of a store that takes all the time it
/// has, so that it is the orchestrator that says what is away.
const PATIENCE: Duration = Duration::from_secs(25);

/// A workspace that somebody wants, as parsed.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The name shown to people.
    pub(crate) name: WorkspaceName,
    /// The repository to clone.
    pub(crate) repository: Option<RepositoryUrl>,
    /// The branch to check out.
    pub(crate) branch: Option<BranchName>,
    /// How much of the machine it may use.
    pub(crate) size: Size,
    /// What its programs may reach; the site's default when absent.
    pub(crate) egress: Option<Egress>,
    /// The snapshot whose files it begins with.
    pub(crate) snapshot: Option<SnapshotRef>,
    /// Under which a repeated request gives the same workspace.
    pub(crate) idempotency_key: Option<String>,
}

/// What may be asked of a workspace that exists.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// That it runs.
    Start,
    /// That it sleeps.
    Pause,
    /// That it stops.
    Stop,
    /// That it goes.
    Delete,
    /// That it comes back.
    Restore,
    /// That its files go.
    Purge,
}

impl Wanted {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Stop => "stop",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
        }
    }
}

/// The orchestrator, as web sees it.
#[derive(Debug, Clone)]
pub(crate) struct Orchestrator {
    client: Client,
}

impl Orchestrator {
    /// Speaks through `client`.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client: client.with_timeout(PATIENCE),
        }
    }

    /// Asks for a new workspace.
    pub(crate) async fn create(
        &self,
        by: &Authenticated,
        wish: Wish,
        context: &RequestContext,
    ) -> ApiResult<Workspace> {
        let request = CreateWorkspace {
            asker: asker(by, context),
            organization: by.principal.organization.to_string(),
            name: wish.name.into(),
            repository: wish.repository.map(Into::into),
            branch: wish.branch.map(Into::into),
            size: wish.size.as_str().to_owned(),
            egress: wish.egress.map(|egress| egress.as_str().to_owned()),
            snapshot: wish.snapshot.map(|of| SnapshotOf {
                workspace: of.workspace.to_string(),
                snapshot: of.snapshot.to_string(),
            }),
            idempotency_key: wish.idempotency_key,
        };
        let answer: Result<WorkspaceAnswer, CallError> = self
            .client
            .call(
                Method::POST,
                "/v1/workspaces",
                Some(&context.id),
                Some(&request),
            )
            .await;
        read(answer)
    }

    /// Asks for a change of a workspace.
    pub(crate) async fn ask(
        &self,
        by: &Authenticated,
        workspace: WorkspaceId,
        wanted: Wanted,
        context: &RequestContext,
    ) -> ApiResult<Workspace> {
        let path = format!("/v1/workspaces/{workspace}/{}", wanted.as_str());
        let intent = Intent {
            asker: asker(by, context),
        };
        let answer: Result<WorkspaceAnswer, CallError> = self
            .client
            .call(Method::POST, &path, Some(&context.id), Some(&intent))
            .await;
        read(answer)
    }

    /// Asks that a workspace sleep otherwise.
    pub(crate) async fn set_sleep(
        &self,
        by: &Authenticated,
        workspace: WorkspaceId,
        sleep: SleepPolicy,
        context: &RequestContext,
    ) -> ApiResult<Workspace> {
        let path = format!("/v1/workspaces/{workspace}/sleep");
        let intent = SleepIntent {
            asker: asker(by, context),
            pause_after: sleep.pause_after.map(IdleTime::seconds),
            stop_after: sleep.stop_after.map(IdleTime::seconds),
            archive_after: sleep.archive_after.map(IdleTime::seconds),
            stays_asleep: sleep.stays_asleep,
        };
        let answer: Result<WorkspaceAnswer, CallError> = self
            .client
            .call(Method::POST, &path, Some(&context.id), Some(&intent))
            .await;
        read(answer)
    }

    /// Asks why a workspace is awake, and when it goes to sleep.
    pub(crate) async fn wakefulness(
        &self,
        workspace: WorkspaceId,
        context: &RequestContext,
    ) -> ApiResult<Wakefulness> {
        let path = format!("/v1/workspaces/{workspace}/wakefulness");
        let answer: Result<Wakefulness, CallError> = self
            .client
            .call(Method::GET, &path, Some(&context.id), None::<&()>)
            .await;
        Ok(answer?)
    }

    /// Asks what is in the repositories of a workspace, and nowhere else.
    pub(crate) async fn work(
        &self,
        workspace: WorkspaceId,
        context: &RequestContext,
    ) -> ApiResult<Work> {
        let path = format!("/v1/workspaces/{workspace}/work");
        let answer: Result<Work, CallError> = self
            .client
            .call(Method::GET, &path, Some(&context.id), None::<&()>)
            .await;
        Ok(answer?)
    }

    /// Asks what a workspace uses, and what it used.
    pub(crate) async fn figures(
        &self,
        workspace: WorkspaceId,
        context: &RequestContext,
    ) -> ApiResult<Figures> {
        let path = format!("/v1/workspaces/{workspace}/figures");
        let answer: Result<Figures, CallError> = self
            .client
            .call(Method::GET, &path, Some(&context.id), None::<&()>)
            .await;
        Ok(answer?)
    }

    /// Opens the stream of what a workspace uses.
    pub(crate) async fn live_figures(
        &self,
        workspace: WorkspaceId,
        context: &RequestContext,
    ) -> ApiResult<Response<Incoming>> {
        let path = format!("/v1/workspaces/{workspace}/figures/live");
        self.client
            .stream(&path, Some(&context.id))
            .await
            .map_err(ApiError::from)
    }

    /// Asks which snapshots there are of a workspace.
    pub(crate) async fn snapshots(
        &self,
        workspace: WorkspaceId,
        context: &RequestContext,
    ) -> ApiResult<Snapshots> {
        let path = format!("/v1/workspaces/{workspace}/snapshots");
        let answer: Result<Snapshots, CallError> = self
            .client
            .call(Method::GET, &path, Some(&context.id), None::<&()>)
            .await;
        Ok(answer?)
    }

    /// Asks for a snapshot of a workspace.
    pub(crate) async fn take_snapshot(
        &self,
        by: &Authenticated,
        workspace: WorkspaceId,
        note: String,
        context: &RequestContext,
    ) -> ApiResult<Snapshot> {
        let path = format!("/v1/workspaces/{workspace}/snapshots");
        let asked = TakeSnapshot {
            asker: asker(by, context),
            note,
        };
        let answer: Result<Snapshot, CallError> = self
            .client
            .call(Method::POST, &path, Some(&context.id), Some(&asked))
            .await;
        Ok(answer?)
    }

    /// Asks that a workspace be archived. Returns the snapshot that its files are put into.
    pub(crate) async fn archive(
        &self,
        by: &Authenticated,
        workspace: WorkspaceId,
        context: &RequestContext,
    ) -> ApiResult<Snapshot> {
        let intent = Intent {
            asker: asker(by, context),
        };
        let path = format!("/v1/workspaces/{workspace}/archive");
        let answer: Result<Snapshot, CallError> = self
            .client
            .call(Method::POST, &path, Some(&context.id), Some(&intent))
            .await;
        Ok(answer?)
    }

    /// Asks that a workspace's files become those of a snapshot. Returns the snapshot of the files as
    /// they are, which is taken first.
    pub(crate) async fn restore_snapshot(
        &self,
        by: &Authenticated,
        of: SnapshotRef,
        context: &RequestContext,
    ) -> ApiResult<Snapshot> {
        let intent = Intent {
            asker: asker(by, context),
        };
        let path = snapshot_path(of, "restore");
        let answer: Result<Snapshot, CallError> = self
            .client
            .call(Method::POST, &path, Some(&context.id), Some(&intent))
            .await;
        Ok(answer?)
    }

    /// Asks that a snapshot be deleted.
    pub(crate) async fn delete_snapshot(
        &self,
        by: &Authenticated,
        of: SnapshotRef,
        context: &RequestContext,
    ) -> ApiResult<()> {
        let intent = Intent {
            asker: asker(by, context),
        };
        let path = snapshot_path(of, "delete");
        let answer: Result<(), CallError> = self
            .client
            .call(Method::POST, &path, Some(&context.id), Some(&intent))
            .await;
        Ok(answer?)
    }

    /// Opens the archive of a snapshot.
    pub(crate) async fn snapshot_content(
        &self,
        by: &Authenticated,
        of: SnapshotRef,
        context: &RequestContext,
    ) -> ApiResult<Response<Incoming>> {
        let intent = Intent {
            asker: asker(by, context),
        };
        let path = snapshot_path(of, "content");
        let opened = self
            .client
            .open(Method::POST, &path, Some(&context.id), Some(&intent));
        Ok(opened.await?)
    }

    /// Opens a workspace's log.
    pub(crate) async fn log(
        &self,
        workspace: WorkspaceId,
        is_followed: bool,
        context: &RequestContext,
    ) -> ApiResult<Response<Incoming>> {
        let path = format!("/v1/workspaces/{workspace}/logs?follow={is_followed}");
        self.client
            .stream(&path, Some(&context.id))
            .await
            .map_err(ApiError::from)
    }
}

fn snapshot_path(of: SnapshotRef, what: &str) -> String {
    format!(
        "/v1/workspaces/{}/snapshots/{}/{what}",
        of.workspace, of.snapshot
    )
}

fn asker(by: &Authenticated, context: &RequestContext) -> Asker {
    let (session, token) = match &by.principal.credential {
        Credential::Session(session) => (Some(session.to_string()), None),
        Credential::Token { id, .. } => (None, Some(id.to_string())),
    };
    Asker {
        user: by.principal.user.to_string(),
        session,
        token,
        address: context.address.map(|address| address.to_string()),
    }
}

fn read(answer: Result<WorkspaceAnswer, CallError>) -> ApiResult<Workspace> {
    serde_json::from_value(answer?.workspace).map_err(ApiError::internal)
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::Unavailable { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "orchestrator_unavailable",
                "Workspaces cannot be changed right now.",
            )
            .hint("Running workspaces are not affected. Try again in a moment.")
            .retry_after(AWAY)
            .caused_by(error),
            CallError::Unreadable { .. } => Self::internal(error),
            CallError::Refused { status, body, .. } => {
                match serde_json::from_slice::<InternalError>(body) {
                    Ok(refusal) if !status.is_server_error() || is_passing(&refusal.code) => {
                        refused(refusal)
                    }
                    _ => Self::internal(error),
                }
            }
        }
    }
}

/// Tells whether a refusal is one that passes by itself.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "store_unavailable" | "store_frozen" | "store_moved" | "overloaded" | "disk_full"
    )
}

fn refused(refusal: InternalError) -> ApiError {
    let message = sentence(&refusal.message);
    match refusal.code.as_str() {
        "not_found" => ApiError::workspace_not_found(),
        "invalid" => ApiError::invalid_request(message),
        "quota_exceeded" => ApiError::new(StatusCode::CONFLICT, "quota_exceeded", message)
            .hint("Delete a workspace you do not need any more."),
        "invalid_transition" => ApiError::new(StatusCode::CONFLICT, "invalid_transition", message)
            .hint("Wait until what is under way is done, then try again."),
        "snapshot_not_found" => ApiError::snapshot_not_found(),
        "snapshot_in_progress" => {
            ApiError::new(StatusCode::CONFLICT, "snapshot_in_progress", message)
                .hint("Wait until what is under way is done, then try again.")
        }
        "snapshot_in_use" => ApiError::new(StatusCode::CONFLICT, "snapshot_in_use", message)
            .hint("Delete it once that workspace runs."),
        "snapshot_limit" => ApiError::new(StatusCode::CONFLICT, "snapshot_limit", message)
            .hint("Delete a snapshot you do not need any more."),
        "workspace_not_stopped" => {
            ApiError::new(StatusCode::CONFLICT, "workspace_not_stopped", message)
        }
        "disk_full" => ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message)
            .hint("Delete snapshots you do not need, or ask an administrator of this site."),
        "idempotency_conflict" => ApiError::new(
            StatusCode::CONFLICT,
            "idempotency_conflict",
            "This Idempotency-Key was used for another request.",
        )
        .hint("Use a fresh key for each workspace."),
        "store_unavailable" => ApiError::store_unavailable(),
        "store_frozen" => ApiError::store_frozen(false),
        "store_moved" => ApiError::store_frozen(true),
        "overloaded" => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "There is too much to do right now.",
        )
        .hint("Try again in a moment.")
        .retry_after(AWAY),
        _ => ApiError::internal(UnknownRefusal(refusal.code)),
    }
}

/// The orchestrator refused with a code that is not in its protocol.
#[derive(Debug, thiserror::Error)]
#[error("the orchestrator refused with the unknown code {0:?}")]
struct UnknownRefusal(String);
