//! The internal API of snapshots.

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use kalpana_protocol::orchestrator::{Intent, Snapshot, Snapshots, TakeSnapshot};
use tokio_util::io::ReaderStream;

use super::{Answer, Api, Refusal, read, request_id};
use crate::reconcile::describe;
use crate::snapshot::SnapshotError;
use crate::snapshot::archive::ArchiveError;
use crate::snapshot::shelf::Record;

/// Bytes of an archive that are read at a time.
const CHUNK: usize = 256 << 10;

pub(super) fn routes() -> Router<Api> {
    let one = "/v1/workspaces/{id}/snapshots/{snapshot}";
    Router::new()
        .route("/v1/workspaces/{id}/archive", post(archive))
        .route("/v1/workspaces/{id}/snapshots", get(list).post(take))
        .route(&format!("{one}/restore"), post(restore))
        .route(&format!("{one}/delete"), post(delete))
        .route(&format!("{one}/content"), post(content))
}

async fn list(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let kept = api.keeper.list(&id).await?;
    let snapshots = Snapshots {
        snapshots: kept.iter().map(told).collect(),
        limit: api.keeper.limits.manual,
    };
    Ok(Json(snapshots).into_response())
}

async fn take(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let asked: TakeSnapshot = read(&body)?;
    let taken = api.keeper.take(&id, &asked, request_id(&headers)).await?;
    Ok((StatusCode::ACCEPTED, Json(told(&taken))).into_response())
}

async fn archive(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Intent { asker } = read(&body)?;
    let begun = api
        .keeper
        .archive_workspace(&id, &asker, request_id(&headers));
    Ok((StatusCode::ACCEPTED, Json(told(&begun.await?))).into_response())
}

async fn restore(
    State(api): State<Api>,
    Path((id, snapshot)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Intent { asker } = read(&body)?;
    let restored = api
        .keeper
        .restore(&id, &snapshot, &asker, request_id(&headers));
    Ok((StatusCode::ACCEPTED, Json(told(&restored.await?))).into_response())
}

async fn delete(
    State(api): State<Api>,
    Path((id, snapshot)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Intent { asker } = read(&body)?;
    let deleted = api
        .keeper
        .delete(&id, &snapshot, &asker, request_id(&headers));
    deleted.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn content(
    State(api): State<Api>,
    Path((id, snapshot)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Intent { asker } = read(&body)?;
    let found = api
        .keeper
        .content(&id, &snapshot, &asker, request_id(&headers));
    let (record, path) = found.await?;
    let file = tokio::fs::File::open(&path)
        .await
        .map_err(|source| ArchiveError::Io {
            path: path.display().to_string(),
            source,
        });
    let file = file.map_err(SnapshotError::from)?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/zstd".to_owned()),
            (header::CONTENT_LENGTH, record.bytes.to_string()),
        ],
        Body::from_stream(ReaderStream::with_capacity(file, CHUNK)),
    )
        .into_response())
}

/// Returns a snapshot as the API tells it.
fn told(record: &Record) -> Snapshot {
    Snapshot {
        id: record.id.to_string(),
        workspace: record.workspace.to_string(),
        kind: record.kind.as_str().to_owned(),
        note: record.note.as_str().to_owned(),
        state: record.state,
        created_at: record.created_at.to_string(),
        finished_at: record.finished_at.map(|at| at.to_string()),
        bytes: record.bytes,
        files: record.files,
        skipped: record.skipped,
        failure: record.failure.clone(),
    }
}

impl From<SnapshotError> for Refusal {
    fn from(error: SnapshotError) -> Self {
        let error = match error {
            SnapshotError::Intent(intent) => return intent.into(),
            other => other,
        };
        let (status, code) = match &error {
            // Answered above.
            SnapshotError::Intent(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            SnapshotError::NotFound(_) => (StatusCode::NOT_FOUND, "snapshot_not_found"),
            SnapshotError::InProgress(_) => (StatusCode::CONFLICT, "snapshot_in_progress"),
            SnapshotError::InUse(_) => (StatusCode::CONFLICT, "snapshot_in_use"),
            SnapshotError::Limit(_) => (StatusCode::CONFLICT, "snapshot_limit"),
            SnapshotError::NotStopped(_) => (StatusCode::CONFLICT, "workspace_not_stopped"),
            SnapshotError::Archive(ArchiveError::DiskFull { .. }) => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            SnapshotError::Shelf(error) if error.is_full() => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            SnapshotError::Engine(_) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            SnapshotError::Archive(_) | SnapshotError::Shelf(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        if status.is_server_error() {
            let chain = describe(&error);
            tracing::error!(error = chain, "snapshots are in trouble: {chain}");
        }
        Self {
            status,
            code,
            message: error.to_string(),
        }
    }
}
