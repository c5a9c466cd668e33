//! Snapshots of workspaces: listed, taken, restored, downloaded, deleted.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiResult;
use crate::extract::{
    DeleteSnapshot, Json, NoBody, ReadSnapshots, SnapshotFor, UseSnapshots, WorkspaceFor,
};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{SnapshotView, SnapshotsView};

/// A snapshot that somebody wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotRequest {
    /// What they write about it: one line of up to 200 characters.
    #[serde(default)]
    #[schema(max_length = 200)]
    note: String,
}

/// Lists the snapshots of a workspace, newest first
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/snapshots",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = SnapshotsView))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<ReadSnapshots>,
) -> ApiResult<axum::Json<SnapshotsView>> {
    let told = state
        .orchestrator
        .snapshots(target.workspace.id, &context)
        .await?;
    Ok(axum::Json(told.into()))
}

/// Asks for a snapshot of a workspace: a copy of all its files, kept outside of it
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/snapshots",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    request_body = SnapshotRequest,
    responses((status = 202, description = "Asked for", body = SnapshotView))
)]
pub(crate) async fn take(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<UseSnapshots>,
    Json(wish): Json<SnapshotRequest>,
) -> ApiResult<(StatusCode, axum::Json<SnapshotView>)> {
    let taken = state
        .orchestrator
        .take_snapshot(&target.by, target.workspace.id, wish.note, &context)
        .await?;
    Ok((StatusCode::ACCEPTED, axum::Json(taken.into())))
}

/// Asks that a stopped workspace be archived: its files are put into a snapshot, and its volumes removed
///
/// Once the snapshot that is answered is ready, `is_archived` says that it is done; if it fails, or
/// somebody starts the workspace meanwhile, nothing is changed. The files are put in place when the
/// workspace starts.
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/archive",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 202, description = "Asked for", body = SnapshotView))
)]
pub(crate) async fn archive(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<UseSnapshots>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<SnapshotView>)> {
    let begun = state
        .orchestrator
        .archive(&target.by, target.workspace.id, &context)
        .await?;
    Ok((StatusCode::ACCEPTED, axum::Json(begun.into())))
}

/// Asks that the files of a stopped workspace become those of a snapshot
///
/// Its present files are kept first, in the snapshot that is answered. Once that is ready the workspace
/// starts by itself, with the files of the other; if it fails, nothing is changed.
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/snapshots/{snapshot}/restore",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("snapshot" = String, Path, description = "The snapshot's id")
    ),
    responses((status = 202, description = "Asked for", body = SnapshotView))
)]
pub(crate) async fn restore(
    State(state): State<AppState>,
    context: RequestContext,
    target: SnapshotFor<UseSnapshots>,
    NoBody: NoBody,
) -> ApiResult<(StatusCode, axum::Json<SnapshotView>)> {
    let kept = state
        .orchestrator
        .restore_snapshot(&target.by, target.reference(), &context)
        .await?;
    Ok((StatusCode::ACCEPTED, axum::Json(kept.into())))
}

/// Deletes a snapshot for good
#[utoipa::path(
    delete,
    path = "/api/workspaces/{id}/snapshots/{snapshot}",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:delete"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("snapshot" = String, Path, description = "The snapshot's id")
    ),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    context: RequestContext,
    target: SnapshotFor<DeleteSnapshot>,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    state
        .orchestrator
        .delete_snapshot(&target.by, target.reference(), &context)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Downloads the files of a snapshot: a tar archive, compressed with Zstandard
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/snapshots/{snapshot}/content",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("snapshot" = String, Path, description = "The snapshot's id")
    ),
    responses((
        status = 200,
        description = "The archive: `workspace/` and `home/`",
        content_type = "application/zstd"
    ))
)]
pub(crate) async fn content(
    State(state): State<AppState>,
    context: RequestContext,
    target: SnapshotFor<UseSnapshots>,
) -> ApiResult<Response> {
    let of = target.reference();
    let source = state
        .orchestrator
        .snapshot_content(&target.by, of, &context)
        .await?;
    let length = source.headers().get(header::CONTENT_LENGTH).cloned();
    // A workspace's name has no character that means anything here.
    let name = target.workspace.spec.name.as_str().replace(' ', "-");
    let disposition = format!("attachment; filename=\"{name}-{}.tar.zst\"", of.snapshot);
    let mut response = Body::new(source.into_body()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/zstd"),
    );
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    Ok(response)
}
