//! Links to ports: made and revoked by the workspace's owner, and redeemed by whoever has one.

use std::time::Duration;

use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{StatusCode, header};
use kalpana_auth::LinkSecret;
use kalpana_auth::cookie::Cookie;
use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::LinkId;
use kalpana_domain::sharing::{LinkPath, ShareLink, SharingLevel};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::connect::by_link;
use crate::error::{ApiError, ApiResult, sentence};
use crate::extract::{Json, NoBody, PathParts, PortFor, Share};
use crate::request::RequestContext;
use crate::sharing::{change, owners_moment};
use crate::state::AppState;
use crate::view::{CreatedLink, LinkTarget, ShareLinkView};

/// How long a browser may take from a link's page to its port.
const WAY: Duration = Duration::from_secs(120);

/// A link that the owner of a port wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRequest {
    /// Seconds until it ends: from a minute to 30 days.
    #[schema(minimum = 60, maximum = 2_592_000)]
    expires_in_seconds: u64,
    /// The beginning of the paths that it opens; all of them when absent.
    #[schema(max_length = 256, example = "/docs")]
    path: Option<String>,
    /// Whether it works once only. Default: no.
    one_use: Option<bool>,
}

/// A link that somebody has.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRedemption {
    /// What stands behind the `#` of the link.
    secret: String,
}

/// Makes a link to a port
///
/// Its address is in this answer and nowhere else. The port must be shared by link or publicly.
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/ports/{port}/links",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("port" = u16, Path, description = "The port, from 1024 on"),
    ),
    request_body = LinkRequest,
    responses((status = 201, body = CreatedLink))
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    context: RequestContext,
    target: PortFor<Share>,
    Json(wish): Json<LinkRequest>,
) -> ApiResult<(StatusCode, axum::Json<CreatedLink>)> {
    let invalid = |code, message: String| ApiError::new(StatusCode::BAD_REQUEST, code, message);
    state.sharing.demand(SharingLevel::Link)?;
    let lifetime = Duration::from_secs(wish.expires_in_seconds);
    if !ShareLink::LIFETIMES.contains(&lifetime) {
        let bounds = "A link can be good for a time from one minute to 30 days.";
        return Err(invalid("invalid_expiry", bounds.to_owned()));
    }
    let path = match wish.path.as_deref() {
        None => LinkPath::whole(),
        Some(path) => LinkPath::parse(path)
            .map_err(|error| invalid("invalid_path", sentence(&error.to_string())))?,
    };
    let (secret, moment) = (
        LinkSecret::generate(),
        owners_moment(&state, &target.workspace),
    );
    let link = ShareLink {
        id: LinkId::generate(),
        secret_hash: secret.hash(),
        path,
        is_one_use: wish.one_use.unwrap_or(false),
        created_at: moment.now,
        expires_at: moment.now + lifetime,
        used_at: None,
    };
    let subject = format!("{} {}", target.address(), link.id);
    change(&state, target.key(), |share| {
        if share.rule.level_at(&moment) < SharingLevel::Link {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "port_not_shared_by_link",
                "This port is not shared by link.",
            )
            .hint("Share it at the level link first."));
        }
        share.add_link(link.clone(), moment.now).map_err(|full| {
            ApiError::new(
                StatusCode::CONFLICT,
                "too_many_links",
                sentence(&full.to_string()),
            )
            .hint("Revoke one that is not needed any more.")
        })?;
        let event = state.accounts.event_by(
            &target.by.principal,
            AuditAction::LinkCreate,
            subject.clone(),
            &context.client(),
        );
        Ok((Some(event), ()))
    })
    .await?;
    let created = CreatedLink {
        url: format!("{}/share#{}", state.site.base_url(), secret.expose()),
        link: ShareLinkView::from(&link),
    };
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// Revokes a link, and ends what was opened by it
#[utoipa::path(
    delete,
    path = "/api/workspaces/{id}/ports/{port}/links/{link}",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("port" = u16, Path, description = "The port, from 1024 on"),
        ("link" = String, Path, description = "The link's id", format = Uuid),
    ),
    responses((status = 204, description = "Revoked"))
)]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    context: RequestContext,
    target: PortFor<Share>,
    parts: PathParts,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    let absent = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "link_not_found",
            "There is no such link.",
        )
        .hint("It may have been revoked or have ended already.")
    };
    let id = LinkId::parse(parts.part("link")).map_err(|_| absent())?;
    let now = state.clock.now();
    change(&state, target.key(), |share| {
        if !share.revoke_link(id, now) {
            return Err(absent());
        }
        let event = state.accounts.event_by(
            &target.by.principal,
            AuditAction::LinkRevoke,
            format!("{} {id}", target.address()),
            &context.client(),
        );
        Ok((Some(event), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells where a link leads, and lets this browser go there
///
/// The answer sets a cookie that is good for two minutes. One-use links are used up on the way, not
/// here.
#[utoipa::path(
    post,
    path = "/api/share-links/redeem",
    tag = "sharing",
    request_body = LinkRedemption,
    responses((status = 200, body = LinkTarget))
)]
pub(crate) async fn redeem(
    State(state): State<AppState>,
    Json(redemption): Json<LinkRedemption>,
) -> ApiResult<impl IntoResponse> {
    let gone = || {
        ApiError::new(
            StatusCode::GONE,
            "link_gone",
            "This link does not lead anywhere, or not any more.",
        )
        .hint("Ask whoever gave it to you for a new one.")
    };
    let secret = LinkSecret::parse(redemption.secret.as_bytes()).ok_or_else(gone)?;
    let found = by_link(&state, &secret).await?.ok_or_else(gone)?;
    let origin = state.site.workspace_url(&found.share.address().to_string());
    let path = found
        .share
        .link(found.link)
        .map_or("/", |link| link.path.as_str());
    let target = LinkTarget {
        url: format!("{origin}{path}"),
    };
    let cookie = Cookie::ShareLink.set(secret.expose(), WAY);
    Ok((
        AppendHeaders([(header::SET_COOKIE, cookie)]),
        axum::Json(target),
    ))
}
