//! What anybody may know of the site.

use axum::Json;
use axum::extract::State;

use crate::error::ApiResult;
use crate::state::AppState;
use crate::view::{Notice, SiteView, SizeOption};

/// Describes the site: what a page needs before anybody signs in
#[utoipa::path(
    get,
    path = "/api/site",
    tag = "site",
    responses((status = 200, body = SiteView))
)]
pub(crate) async fn site(State(state): State<AppState>) -> ApiResult<Json<SiteView>> {
    let site = &state.site;
    let mut notices = Vec::new();
    if site.is_single_domain() {
        notices.push(Notice {
            code: "single_domain",
            message: format!(
                "Workspaces are served below {}, the domain of this site itself. A second domain \
                 for workspaces keeps hostile code further away.",
                site.domain
            ),
        });
    }
    if !state.live.is_connected() {
        notices.push(Notice {
            code: "orchestrator_unavailable",
            message: "Workspaces cannot be started or changed right now. Running ones are not \
                      affected."
                .to_owned(),
        });
    }
    Ok(Json(SiteView {
        version: env!("CARGO_PKG_VERSION"),
        base_url: site.base_url(),
        workspace_url: site.workspace_url("{label}"),
        setup_required: state.accounts.is_setup_required().await?,
        sizes: SizeOption::all(),
        egress_default: state.egress_default.into(),
        notices,
    }))
}
