//! What gateways share, passed to the store and back. It is sealed: nothing here can be read.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use kalpana_domain::clock::Clock;
use kalpana_protocol::copies::{CONTENTS_LIMIT, Copies, CopyMark, SealedContents, Written};
use kalpana_store::records::SealedCopy;
use kalpana_store::{Store, StoreError};
use serde::Deserialize;

/// Longest name. Unit: bytes.
const NAME_LIMIT: usize = 512;

#[derive(Clone)]
struct Keeping {
    store: Store,
    clock: Arc<dyn Clock>,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
struct Removal {
    version: u64,
}

/// Returns what gateways call, below `/v1/copies`.
pub(crate) fn router(store: Store, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/{*name}", get(read).put(write).delete(remove))
        // Base64 makes four of three.
        .layer(DefaultBodyLimit::max(CONTENTS_LIMIT * 2))
        .with_state(Keeping { store, clock })
}

async fn list(State(keeping): State<Keeping>, Query(listing): Query<Listing>) -> Response {
    match keeping.store.sealed_copies(&listing.prefix).await {
        Ok(marks) => {
            let copies = marks.into_iter().map(|mark| CopyMark {
                name: mark.name,
                version: mark.version,
            });
            let copies = copies.collect();
            Json(Copies { copies }).into_response()
        }
        Err(error) => refuse(&error),
    }
}

async fn read(State(keeping): State<Keeping>, Path(name): Path<String>) -> Response {
    match keeping.store.sealed_copy(&name).await {
        Ok(Some(copy)) => Json(SealedContents {
            version: copy.version,
            contents: STANDARD.encode(copy.contents),
        })
        .into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refuse(&error),
    }
}

async fn write(
    State(keeping): State<Keeping>,
    Path(name): Path<String>,
    Json(given): Json<SealedContents>,
) -> Response {
    let contents = STANDARD.decode(&given.contents);
    let Some(contents) = contents
        .ok()
        .filter(|contents| contents.len() <= CONTENTS_LIMIT)
    else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    if name.len() > NAME_LIMIT {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let copy = SealedCopy {
        name,
        contents,
        version: given.version,
        updated_at: keeping.clock.now(),
    };
    match keeping.store.put_sealed_copy(&copy).await {
        Ok(SealedCopy { version, .. }) => Json(Written { version }).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn remove(
    State(keeping): State<Keeping>,
    Path(name): Path<String>,
    Query(Removal { version }): Query<Removal>,
) -> Response {
    match keeping.store.remove_sealed_copy(&name, version).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => StatusCode::CONFLICT.into_response(),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &StoreError) -> Response {
    if matches!(error, StoreError::Conflict { .. }) {
        return StatusCode::CONFLICT.into_response();
    }
    tracing::warn!(%error, "what gateways share cannot be kept: {error}");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
