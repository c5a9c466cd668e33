//! Whether the API answers.

use axum::Json;

use crate::view::Health;

/// Says that the API answers
#[utoipa::path(
    get,
    path = "/api/health",
    tag = "site",
    responses((status = 200, body = Health))
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
