//! The internal API of figures.

use std::convert::Infallible;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;

use super::{Answer, Api};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/workspaces/{id}/figures", get(show))
        .route("/v1/workspaces/{id}/figures/live", get(live))
}

async fn show(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let row = api.intents.find(&id).await?;
    Ok(Json(api.figures.of(row.id).await).into_response())
}

/// Tells what a workspace uses until the reader leaves, line by line.
async fn live(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let row = api.intents.find(&id).await?;
    let watcher = api.figures.watch(row.id);
    let lines = futures_util::stream::unfold(watcher, |mut watcher| async {
        let now = watcher.next().await?;
        let mut text = serde_json::to_vec(&now).unwrap_or_default();
        text.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(text)), watcher))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}
