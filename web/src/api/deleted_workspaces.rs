//! Deleted workspaces: listed, restored, given up.

use axum::extract::State;
use http::StatusCode;
use kalpana_domain::user::Scope;

use super::Paging;
use super::workspaces::accepted;
use crate::error::{ApiError, ApiResult};
use crate::extract::{CurrentUser, DeletedFor, NoBody, Purge, Query, Restore};
use crate::orchestrator::Wanted;
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{DeletedWorkspaceView, DeletedWorkspacesPage, WorkspaceView};

/// Lists the caller's deleted workspaces that can be restored, the last deleted first
#[utoipa::path(
    get,
    path = "/api/deleted-workspaces",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(Paging),
    responses((status = 200, body = DeletedWorkspacesPage))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    user: CurrentUser,
    Query(paging): Query<Paging>,
) -> ApiResult<axum::Json<DeletedWorkspacesPage>> {
    user.demand(Scope::WorkspaceRead)?;
    let page = state
        .store
        .deleted_workspaces_of(user.0.user.id, paging.into_request()?)
        .await?;
    let shown = page
        .items
        .iter()
        .map(|deleted| DeletedWorkspaceView::new(deleted, state.trash_retention));
    Ok(axum::Json(DeletedWorkspacesPage {
        workspaces: shown.collect(),
        next_cursor: page.next,
    }))
}

/// Takes a deletion back, complete or not; the workspace is stopped then, with all its files
#[utoipa::path(
    post,
    path = "/api/deleted-workspaces/{id}/restore",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 202, description = "Restored", body = WorkspaceView))
)]
pub(crate) async fn restore(
    State(state): State<AppState>,
    context: RequestContext,
    target: DeletedFor<Restore>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<WorkspaceView>)> {
    let workspace = state
        .orchestrator
        .ask(&target.by, target.workspace.id, Wanted::Restore, &context)
        .await?;
    accepted(&state, &workspace).await
}

/// Removes the files of a deleted workspace at once; it cannot be restored then
#[utoipa::path(
    delete,
    path = "/api/deleted-workspaces/{id}",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:delete"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 204, description = "Given up"))
)]
pub(crate) async fn purge(
    State(state): State<AppState>,
    context: RequestContext,
    target: DeletedFor<Purge>,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    if !target.is_complete {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "invalid_transition",
            "Only the files of a workspace that is deleted can be removed.",
        )
        .hint("Delete it first."));
    }
    state
        .orchestrator
        .ask(&target.by, target.workspace.id, Wanted::Purge, &context)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
