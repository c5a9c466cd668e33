//! Every route on one page, with what it demands, and what every request passes on its way.
//!
//! | route | demands |
//! |---|---|
//! | `/api/health`, `/api/site`, `/api/openapi.json` | nothing |
//! | `/api/setup` | the setup link's secret |
//! | `/api/session` POST | a password; GET a credential; DELETE a session |
//! | `/api/sessions` | a session |
//! | `/api/password` | a session and the current password |
//! | `/api/tokens` | a session |
//! | `/api/workspaces`, `/api/deleted-workspaces`, `/api/events` | a credential with the scope |
//! | `/api/workspaces/{id}…` | `WorkspaceFor<…>`: the access rule, and the scope |
//! | `/api/workspaces/{id}/sharing`, `…/ports/…` | `WorkspaceFor<…>`: the owner, and the scope |
//! | `/api/share-links/redeem` | a link's secret |
//! | `/api/access-requests` | a session |
//! | `/api/people` | a credential with the scope |
//! | `/api/admin/users` | an administrator, and the scope |
//! | `/api/admin/certificates`, `…/{id}/renew`, `…/{id}/revoke` | an administrator, and the scope |
//! | `/auth/workspace` | a session and the access rule, or what a port is shared by |
//! | all else | nothing: the exported interface |

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use kalpana_link::REQUEST_ID_HEADER;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{
    access_requests, admin, certificates, deleted_workspaces, figures, health, logs, password,
    session, sessions, setup, share_links, sharing, site, snapshots, tokens, workspaces,
};
use crate::error::{ApiError, Problem, render};
use crate::request::RequestContext;
use crate::security::{harden, refuse_foreign};
use crate::state::AppState;
use crate::{assets, connect, events};

/// Prefix of the API's paths.
const API: &str = "/api/";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Kalpana",
        description = "Development environments on your own server. Browsers sign in with a \
                       session cookie; programs send an API token.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem)),
    tags(
        (name = "site", description = "What anybody may know"),
        (name = "session", description = "Signing in and out, here and elsewhere"),
        (name = "tokens", description = "API tokens"),
        (name = "workspaces", description = "Workspaces and what becomes of them"),
        (name = "sharing", description = "Ports of workspaces, and who else may visit them"),
        (name = "administration", description = "People and certificates"),
    )
)]
struct Description;

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::health))
        .routes(routes!(site::site))
        .routes(routes!(setup::setup))
        .routes(routes!(session::show, session::sign_in, session::sign_out))
        .routes(routes!(sessions::list, sessions::end_others))
        .routes(routes!(sessions::end))
        .routes(routes!(password::change))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(workspaces::list, workspaces::create))
        .routes(routes!(workspaces::show, workspaces::delete))
        .routes(routes!(workspaces::start))
        .routes(routes!(workspaces::activity))
        .routes(routes!(workspaces::set_sleep))
        .routes(routes!(workspaces::work))
        .routes(routes!(workspaces::pause))
        .routes(routes!(workspaces::stop))
        .routes(routes!(snapshots::list, snapshots::take))
        .routes(routes!(snapshots::archive))
        .routes(routes!(snapshots::delete))
        .routes(routes!(snapshots::restore))
        .routes(routes!(snapshots::content))
        .routes(routes!(deleted_workspaces::list))
        .routes(routes!(deleted_workspaces::restore))
        .routes(routes!(deleted_workspaces::purge))
        .routes(routes!(logs::logs))
        .routes(routes!(figures::show))
        .routes(routes!(figures::live))
        .routes(routes!(sharing::show))
        .routes(routes!(sharing::put, sharing::delete))
        .routes(routes!(share_links::create))
        .routes(routes!(share_links::revoke))
        .routes(routes!(share_links::redeem))
        .routes(routes!(access_requests::ask))
        .routes(routes!(access_requests::approve, access_requests::decline))
        .routes(routes!(access_requests::people))
        .routes(routes!(events::events))
        .routes(routes!(admin::users, admin::create_user))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::renew))
        .routes(routes!(certificates::revoke))
}

/// Returns the public routes.
pub(crate) fn build(state: AppState) -> Router {
    let (api, _) = api().split_for_parts();
    api.route("/api/openapi.json", get(openapi))
        .route("/auth/workspace", get(connect::connect))
        .fallback(elsewhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), refuse_foreign))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), accompany))
        .with_state(state)
}

/// Returns the API's description: what the handlers say, the ways to prove who one is, and the
/// shape that every refusal has.
pub(crate) fn description() -> OpenApi {
    let (_, mut openapi) = api().split_for_parts();
    openapi.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = openapi.components.get_or_insert_default();
    let cookie = kalpana_auth::cookie::Cookie::Session.name();
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookie))),
    );
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    let refusal = ResponseBuilder::new()
        .description("Refused or failed")
        .content(
            "application/json",
            Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem")))),
        )
        .build();
    for item in openapi.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.delete,
            &mut item.put,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            operation
                .responses
                .responses
                .insert("default".to_owned(), refusal.clone().into());
        }
    }
    openapi
}

/// Returns the API's description as it is served and kept in the repository.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn description_json() -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(&description())?;
    text.push(b'\n');
    Ok(text.into())
}

async fn openapi(State(state): State<AppState>) -> Response {
    let body = state.openapi.clone();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn elsewhere(state: State<AppState>, request: Request) -> Response {
    if is_api(request.uri().path()) {
        return ApiError::new(StatusCode::NOT_FOUND, "not_found", "There is no such call.")
            .hint("All calls are listed at /api/openapi.json.")
            .into_response();
    }
    assets::serve(state, request).await.into_response()
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "That cannot be done here.",
    )
    .hint("All calls are listed at /api/openapi.json.")
}

fn is_api(path: &str) -> bool {
    path.starts_with(API) || path == "/api"
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("something that is no text");
    ApiError::internal(std::io::Error::other(format!("a handler panicked: {what}"))).into_response()
}

/// Goes with every request from its arrival to the head of its answer: names it, times it, logs
/// it, writes errors, hardens the answer.
async fn accompany(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let context = RequestContext::read(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(context.clone());
    let span = tracing::info_span!("web.request", request_id = context.id);
    let response = next.run(request).instrument(span.clone()).await;
    let _entered = span.enter();
    let code = response.extensions().get().map(ApiError::code);
    let mut response = render(response, is_api(&path), &context);
    let is_asset = matched.is_none() && !is_api(&path);
    let headers = response.headers_mut();
    harden(headers, is_asset);
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    let route = match &matched {
        Some(matched) => matched.as_str(),
        None if is_asset => "asset",
        None => "unknown",
    };
    let status = response.status();
    let after = began.elapsed();
    state.metrics.answered(route, status, after);
    if let Some(code) = code {
        state.metrics.refused(code);
    }
    let (status, duration_ms) = (status.as_u16(), after.as_secs_f64() * 1000.0);
    if is_asset {
        tracing::debug!(%method, path, status, duration_ms, "{method} {path} {status}");
    } else {
        tracing::info!(%method, path, route, status, code, duration_ms, "{method} {path} {status}");
    }
    response
}
