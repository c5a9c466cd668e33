//! Workspaces: listed, asked for, shown, started, stopped, deleted.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use kalpana_domain::id::{SnapshotId, WorkspaceId};
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::user::Scope;
use kalpana_domain::workspace::{Egress, Size, Workspace, WorkspaceName};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Paging;
use crate::error::{ApiError, ApiResult, sentence};
use crate::events::visible;
use crate::extract::{CurrentUser, Delete, Json, NoBody, Query, Read, Start, Stop, WorkspaceFor};
use crate::orchestrator::{Wanted, Wish};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{
    ActivityView, EgressName, SizeName, SleepView, WorkView, WorkspaceView, WorkspacesPage,
};

/// Header under whose value a repeated request gives the same workspace.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_LIMIT: usize = 255;

/// A workspace that somebody wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceRequest {
    /// The name shown to people: 1 to 64 letters, digits, spaces, `-`, `_` and `.`, with a letter
    /// or digit first and last.
    #[schema(max_length = 64)]
    name: String,
    /// The repository to clone: an `https://` or `http://` URL without a password.
    #[schema(format = Uri, max_length = 2048)]
    repository: Option<String>,
    /// The branch to check out; the remote's default when absent.
    #[schema(max_length = 255)]
    branch: Option<String>,
    /// How much of the machine it may use. Default: `small`.
    #[schema(value_type = Option<SizeName>)]
    size: Option<String>,
    /// What its programs may reach; the site's default when absent.
    #[schema(value_type = Option<EgressName>)]
    egress: Option<String>,
    /// The snapshot whose files it begins with: one of a workspace of the same person. A repository is
    /// cloned only where the snapshot has none.
    snapshot: Option<SnapshotWish>,
}

/// A snapshot that a workspace is to begin with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SnapshotWish {
    /// The workspace it was taken of.
    workspace_id: String,
    /// Which of its snapshots.
    snapshot_id: String,
}

impl SnapshotWish {
    fn parse(&self) -> ApiResult<SnapshotRef> {
        let parsed = WorkspaceId::parse(&self.workspace_id)
            .ok()
            .zip(SnapshotId::parse(&self.snapshot_id).ok());
        let (workspace, snapshot) = parsed.ok_or_else(ApiError::snapshot_not_found)?;
        Ok(SnapshotRef {
            workspace,
            snapshot,
        })
    }
}

impl WorkspaceRequest {
    fn parse(self, idempotency_key: Option<String>) -> ApiResult<Wish> {
        let name = WorkspaceName::parse(&self.name).map_err(|e| invalid("invalid_name", &e))?;
        let repository = self
            .repository
            .as_deref()
            .map(RepositoryUrl::parse)
            .transpose()
            .map_err(|e| invalid("invalid_repository", &e))?;
        let branch = self
            .branch
            .as_deref()
            .map(BranchName::parse)
            .transpose()
            .map_err(|e| invalid("invalid_branch", &e))?;
        if branch.is_some() && repository.is_none() {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_branch",
                "A branch needs a repository.",
            )
            .hint("Give the repository's URL as well."));
        }
        let size = match self.size.as_deref() {
            None => Size::Small,
            Some(size) => size.parse().map_err(|e| invalid("invalid_size", &e))?,
        };
        let egress: Option<Egress> = self
            .egress
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|e| invalid("invalid_egress", &e))?;
        let snapshot = self
            .snapshot
            .as_ref()
            .map(SnapshotWish::parse)
            .transpose()?;
        Ok(Wish {
            snapshot,
            name,
            repository,
            branch,
            size,
            egress,
            idempotency_key,
        })
    }
}

fn invalid(code: &'static str, reason: &dyn std::error::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, sentence(&reason.to_string()))
}

/// Lists the workspaces the caller may see, newest first
#[utoipa::path(
    get,
    path = "/api/workspaces",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(Paging),
    responses((status = 200, body = WorkspacesPage))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    user: CurrentUser,
    Query(paging): Query<Paging>,
) -> ApiResult<axum::Json<WorkspacesPage>> {
    user.demand(Scope::WorkspaceRead)?;
    let page = visible(&state, &user.0, paging.into_request()?).await?;
    let mut workspaces = Vec::with_capacity(page.items.len());
    for row in &page.items {
        workspaces.push(view(&state, row).await?);
    }
    Ok(axum::Json(WorkspacesPage {
        workspaces,
        next_cursor: page.next,
    }))
}

/// Asks for a workspace, which is then started
#[utoipa::path(
    post,
    path = "/api/workspaces",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params((
        "Idempotency-Key" = Option<String>,
        Header,
        description = "A repeated request with the same key gives the same workspace, for a day",
        max_length = 255
    )),
    request_body = WorkspaceRequest,
    responses((status = 202, description = "Asked for", body = WorkspaceView))
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    context: RequestContext,
    user: CurrentUser,
    headers: HeaderMap,
    Json(request): Json<WorkspaceRequest>,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    user.demand(Scope::WorkspaceWrite)?;
    let wish = request.parse(idempotency_key(&headers)?)?;
    let workspace = state.orchestrator.create(&user.0, wish, &context).await?;
    accepted(&state, &workspace).await
}

/// Shows a workspace
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = WorkspaceView))
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    target: WorkspaceFor<Read>,
) -> ApiResult<axum::Json<WorkspaceView>> {
    Ok(axum::Json(view(&state, &target.workspace).await?))
}

/// Says why a workspace is awake, and when it goes to sleep or is stopped if nobody comes
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/activity",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = ActivityView))
)]
pub(crate) async fn activity(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Read>,
) -> ApiResult<axum::Json<ActivityView>> {
    let told = state
        .orchestrator
        .wakefulness(target.workspace.id, &context)
        .await?;
    // What programs are called and given is what is in a workspace, and that is its owner's.
    let is_owner = target.by.principal.user == target.workspace.owner;
    Ok(axum::Json(ActivityView::new(told, is_owner)))
}

/// Says what is in the repositories of a workspace and nowhere else: uncommitted, unpushed, stashed
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/work",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = WorkView))
)]
pub(crate) async fn work(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Read>,
) -> ApiResult<axum::Json<WorkView>> {
    let told = state
        .orchestrator
        .work(target.workspace.id, &context)
        .await?;
    let is_owner = target.by.principal.user == target.workspace.owner;
    Ok(axum::Json(WorkView::new(told, is_owner)))
}

/// Says how a workspace sleeps
#[utoipa::path(
    put,
    path = "/api/workspaces/{id}/sleep",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    request_body = SleepView,
    responses((status = 202, description = "Kept", body = WorkspaceView))
)]
pub(crate) async fn set_sleep(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Start>,
    Json(wish): Json<SleepView>,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    let time = |seconds: Option<u32>| {
        let time = seconds.map(IdleTime::from_seconds).transpose();
        time.map_err(|e| invalid("invalid_sleep", &e))
    };
    let sleep = SleepPolicy {
        pause_after: time(wish.pause_after_seconds)?,
        stop_after: time(wish.stop_after_seconds)?,
        archive_after: time(wish.archive_after_seconds)?,
        stays_asleep: wish.stays_asleep,
    };
    let workspace = state
        .orchestrator
        .set_sleep(&target.by, target.workspace.id, sleep, &context)
        .await?;
    accepted(&state, &workspace).await
}

/// Asks for a workspace to run: one that is stopped is started, one that sleeps is woken
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/start",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 202, description = "Asked for", body = WorkspaceView))
)]
pub(crate) async fn start(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Start>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    ask(&state, &context, target, Wanted::Start).await
}

/// Asks for a workspace to sleep: its programs are frozen, and go on where they were once it is woken
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/pause",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 202, description = "Asked for", body = WorkspaceView))
)]
pub(crate) async fn pause(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Stop>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    ask(&state, &context, target, Wanted::Pause).await
}

/// Asks for a workspace to stop; its files stay
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/stop",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 202, description = "Asked for", body = WorkspaceView))
)]
pub(crate) async fn stop(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Stop>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    ask(&state, &context, target, Wanted::Stop).await
}

/// Asks for a workspace to be deleted
#[utoipa::path(
    delete,
    path = "/api/workspaces/{id}",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:delete"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 202, description = "Asked for", body = WorkspaceView))
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Delete>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    ask(&state, &context, target, Wanted::Delete).await
}

async fn ask<P>(
    state: &AppState,
    context: &RequestContext,
    target: WorkspaceFor<P>,
    wanted: Wanted,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    let workspace = state
        .orchestrator
        .ask(&target.by, target.workspace.id, wanted, context)
        .await?;
    accepted(state, &workspace).await
}

/// Answers with a workspace as the orchestrator has it.
pub(super) async fn accepted(
    state: &AppState,
    workspace: &Workspace,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    let view = view(state, workspace).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(view)))
}

async fn view(state: &AppState, workspace: &Workspace) -> ApiResult<WorkspaceView> {
    Ok(state
        .live
        .view(workspace, &state.store, &state.site)
        .await?)
}

fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=IDEMPOTENCY_KEY_LIMIT).contains(&key.len()))
        .filter(|_| values.next().is_none());
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_idempotency_key",
            format!(
                "The Idempotency-Key must be one value of 1 to {IDEMPOTENCY_KEY_LIMIT} visible characters."
            ),
        )),
    }
}
