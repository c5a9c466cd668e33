//! Wishes to be let in to a port: made by whoever is signed in, answered by the workspace's owner.

use axum::extract::State;
use http::StatusCode;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::UserId;
use kalpana_domain::sharing::{Asked, MEMBER_LIMIT, SharingLevel};
use kalpana_domain::user::Scope;
use kalpana_store::PageRequest;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ApiResult};
use crate::extract::{CurrentUser, Json, NoBody, PathParts, PortFor, Query, Share, Signed};
use crate::request::RequestContext;
use crate::sharing::{change, owners_moment};
use crate::state::AppState;
use crate::view::{People, PersonView};

/// Most people asking to be let in to one workspace.
const PER_WORKSPACE: usize = 50;

/// Most people that a search returns.
const FOUND: usize = 10;

/// Most accounts that a search looks at.
const LOOKED_AT: usize = 1000;

/// Shortest and longest text to look for people with, in characters.
const SEARCH: std::ops::RangeInclusive<usize> = 2..=100;

/// A wish to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessWish {
    /// The first label of the port's host name.
    #[schema(example = "3000-abcdefghij01")]
    host: String,
}

/// Who is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// Part of a name or of an e-mail address, at least two characters.
    #[param(min_length = 2, max_length = 100)]
    search: String,
}

/// Asks the owner of a port to be let in
///
/// Answered alike whether there is such a port or not.
#[utoipa::path(
    post,
    path = "/api/access-requests",
    tag = "sharing",
    security(("session" = [])),
    request_body = AccessWish,
    responses((status = 204, description = "If there is such a port, its owner will see it"))
)]
pub(crate) async fn ask(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    Json(wish): Json<AccessWish>,
) -> ApiResult<StatusCode> {
    let address = WorkspaceAddress::parse_label(&wish.host);
    let Some((workspace, Surface::Port(port))) =
        address.map(|address| (address.workspace, address.surface))
    else {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_address",
            "This is not the address of a port.",
        )
        .hint("It looks like 3000-abcdefghij01."));
    };
    state.sharing.demand(SharingLevel::Members)?;
    let (user, now) = (signed.by.user.id, state.clock.now());
    state.sharing.asking.count(user, now)?;
    let shares = state.store.port_shares_of(workspace).await?;
    let found = state.store.workspace(workspace).await?;
    let asking: usize = shares.iter().map(|share| share.requests.len()).sum();
    let is_theirs = found.as_ref().is_some_and(|found| found.owner == user);
    if found.is_none() || is_theirs || asking >= PER_WORKSPACE {
        return Ok(StatusCode::NO_CONTENT);
    }
    let answered = change(&state, (workspace, port), |share| {
        if share.ask(user, now) != Asked::Noted {
            return Ok((None, ()));
        }
        let event = state.accounts.event_by(
            &signed.by.principal,
            AuditAction::AccessRequest,
            share.address().to_string(),
            &context.client(),
        );
        Ok((Some(event), ()))
    })
    .await;
    match answered {
        // What is wrong with the workspace is not for them to know.
        Err(error) if matches!(error.code(), "workspace_not_found" | "too_many_ports") => {
            Ok(StatusCode::NO_CONTENT)
        }
        answered => answered.map(|()| StatusCode::NO_CONTENT),
    }
}

/// Lets somebody in who has asked
#[utoipa::path(
    post,
    path = "/api/workspaces/{id}/ports/{port}/requests/{user}",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("port" = u16, Path, description = "The port, from 1024 on"),
        ("user" = String, Path, description = "The id of who has asked", format = Uuid),
    ),
    responses((status = 204, description = "They are one of the port's members"))
)]
pub(crate) async fn approve(
    State(state): State<AppState>,
    context: RequestContext,
    target: PortFor<Share>,
    parts: PathParts,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    let user = asker(&parts)?;
    state.sharing.demand(SharingLevel::Members)?;
    let moment = owners_moment(&state, &target.workspace);
    change(&state, target.key(), |share| {
        if !share.requests.iter().any(|request| request.user == user) {
            return Err(absent());
        }
        let Some(rule) = share.rule_with(user, &moment) else {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "too_many_members",
                format!("A port can name {MEMBER_LIMIT} people at most."),
            )
            .hint("Share it with the organisation, or remove somebody."));
        };
        share.set_rule(rule, &moment);
        let event = state.accounts.event_by(
            &target.by.principal,
            AuditAction::AccessApprove,
            format!("{} {user}", target.address()),
            &context.client(),
        );
        Ok((Some(event), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does not let somebody in who has asked
#[utoipa::path(
    delete,
    path = "/api/workspaces/{id}/ports/{port}/requests/{user}",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("port" = u16, Path, description = "The port, from 1024 on"),
        ("user" = String, Path, description = "The id of who has asked", format = Uuid),
    ),
    responses((status = 204, description = "They are not asking any more"))
)]
pub(crate) async fn decline(
    State(state): State<AppState>,
    context: RequestContext,
    target: PortFor<Share>,
    parts: PathParts,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    let user = asker(&parts)?;
    let now = state.clock.now();
    change(&state, target.key(), |share| {
        if !share.decline(user, now) {
            return Err(absent());
        }
        let event = state.accounts.event_by(
            &target.by.principal,
            AuditAction::AccessDecline,
            format!("{} {user}", target.address()),
            &context.client(),
        );
        Ok((Some(event), ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Finds people by name or e-mail address, to share a port with
#[utoipa::path(
    get,
    path = "/api/people",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(Search),
    responses((status = 200, body = People))
)]
pub(crate) async fn people(
    State(state): State<AppState>,
    user: CurrentUser,
    Query(search): Query<Search>,
) -> ApiResult<axum::Json<People>> {
    user.demand(Scope::WorkspaceWrite)?;
    let wanted = search.search.trim().to_lowercase();
    if !SEARCH.contains(&wanted.chars().count()) {
        return Err(ApiError::invalid_request(
            "Look for 2 to 100 characters of a name or an e-mail address.",
        ));
    }
    let by = &user.0.principal;
    let (mut people, mut looked_at) = (Vec::new(), 0);
    let mut page = PageRequest::first();
    loop {
        let part = state.store.users(page).await?;
        looked_at += part.items.len();
        let found = part.items.iter().filter(|person| {
            person.id != by.user
                && person.organization == by.organization
                && (person.name.to_lowercase().contains(&wanted)
                    || person.email.as_str().contains(&wanted))
        });
        people.extend(found.map(PersonView::from));
        match part.next {
            Some(next) if people.len() < FOUND && looked_at < LOOKED_AT => {
                page = PageRequest {
                    after: Some(next),
                    ..PageRequest::first()
                };
            }
            _ => break,
        }
    }
    people.truncate(FOUND);
    Ok(axum::Json(People { people }))
}

fn asker(parts: &PathParts) -> ApiResult<UserId> {
    UserId::parse(parts.part("user")).map_err(|_| absent())
}

fn absent() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "access_request_not_found",
        "Nobody asks for that.",
    )
    .hint("It may have been answered already.")
}
