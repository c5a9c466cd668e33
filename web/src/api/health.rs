//! Whether the API answers, and what it needs.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;

use crate::state::AppState;
use crate::view::Health;

/// Says that the API answers, and which part of the site does not
#[utoipa::path(
    get,
    path = "/api/health",
    tag = "site",
    responses((status = 200, body = Health))
)]
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    let word = |is_up| if is_up { "ok" } else { "away" };
    Json(Health {
        status: "ok",
        database: word(state.is_store_up.load(Ordering::Relaxed)),
        orchestrator: word(state.live.is_connected()),
    })
}
