//! How ports are shared: seen and changed by the workspace's owner.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::{OrganizationId, UserId};
use kalpana_domain::sharing::{MEMBER_LIMIT, Moment, PortShare, Rule, SharingLevel};
use kalpana_domain::user::{EmailAddress, User};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult, sentence};
use crate::extract::{Json, NoBody, PortFor, ReadSharing, Share, WorkspaceFor};
use crate::request::RequestContext;
use crate::sharing::{change, generation_of, owners_moment};
use crate::state::AppState;
use crate::view::{AccessRequestView, LevelName, PersonView, PortShareView, SharingView};

/// How a port is to be shared from now on. What is left out counts as nothing, not as before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareRequest {
    /// Who may visit it.
    #[schema(value_type = LevelName)]
    level: String,
    /// Ids or e-mail addresses of the people who are named, 50 at most.
    #[schema(max_items = 50)]
    members: Option<Vec<String>>,
    /// Seconds until it ends by itself: from a minute to a year. It does not end when absent.
    #[schema(minimum = 60, maximum = 31_622_400)]
    expires_in_seconds: Option<u64>,
    /// Whether it outlives the next start of the workspace. Default: no.
    keep_after_restart: Option<bool>,
}

/// Shows how a workspace's ports are shared, and who asks to be let in
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/sharing",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = SharingView))
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    target: WorkspaceFor<ReadSharing>,
) -> ApiResult<axum::Json<SharingView>> {
    let shares = state.store.port_shares_of(target.workspace.id).await?;
    let mut known = Known::default();
    let mut moment = owners_moment(&state, &target.workspace);
    moment.maximum = state.sharing.maximum();
    let (mut ports, mut requests) = (Vec::new(), Vec::new());
    for share in &shares {
        for request in &share.requests {
            if let Some(user) = known.person(&state, request.user).await? {
                requests.push(AccessRequestView {
                    port: share.port,
                    user,
                    asked_at: request.asked_at,
                });
            }
        }
        if share.rule != Rule::default() {
            ports.push(known.show(&state, share, &moment).await?);
        }
    }
    requests.sort_by_key(|request| request.asked_at);
    Ok(axum::Json(SharingView {
        maximum: state.sharing.maximum().into(),
        ports,
        requests,
    }))
}

/// Shares a port, or shares it in another way
#[utoipa::path(
    put,
    path = "/api/workspaces/{id}/ports/{port}/share",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("port" = u16, Path, description = "The port, from 1024 on"),
    ),
    request_body = ShareRequest,
    responses((status = 200, body = PortShareView))
)]
pub(crate) async fn put(
    State(state): State<AppState>,
    context: RequestContext,
    target: PortFor<Share>,
    Json(wish): Json<ShareRequest>,
) -> ApiResult<axum::Json<PortShareView>> {
    let rule = wish.parse(&state, &target).await?;
    set_rule(&state, &context, &target, rule)
        .await
        .map(axum::Json)
}

/// Shares a port no more, and revokes its links
#[utoipa::path(
    delete,
    path = "/api/workspaces/{id}/ports/{port}/share",
    tag = "sharing",
    security(("session" = []), ("token" = ["workspace:write"])),
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("port" = u16, Path, description = "The port, from 1024 on"),
    ),
    responses((status = 204, description = "Only the owner may visit it"))
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    context: RequestContext,
    target: PortFor<Share>,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    set_rule(&state, &context, &target, Rule::default()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_rule(
    state: &AppState,
    context: &RequestContext,
    target: &PortFor<Share>,
    rule: Rule,
) -> ApiResult<PortShareView> {
    let moment = owners_moment(state, &target.workspace);
    let subject = format!("{} {}", target.address(), rule.level.as_str());
    let share = change(state, target.key(), |share| {
        if share.rule == rule && share.links.is_empty() {
            return Ok((None, share.clone()));
        }
        share.set_rule(rule.clone(), &moment);
        let event = state.accounts.event_by(
            &target.by.principal,
            AuditAction::ShareChange,
            subject.clone(),
            &context.client(),
        );
        Ok((Some(event), share.clone()))
    })
    .await?;
    let moment = Moment {
        maximum: state.sharing.maximum(),
        ..moment
    };
    Known::default().show(state, &share, &moment).await
}

impl ShareRequest {
    async fn parse(self, state: &AppState, target: &PortFor<Share>) -> ApiResult<Rule> {
        let invalid = |code, message: String| ApiError::new(StatusCode::BAD_REQUEST, code, message);
        let level: SharingLevel =
            self.level
                .parse()
                .map_err(|unknown: kalpana_domain::workspace::UnknownChoice| {
                    invalid("invalid_level", sentence(&unknown.to_string()))
                })?;
        state.sharing.demand(level)?;
        if level == SharingLevel::Owner {
            return Ok(Rule::default());
        }
        let asked = self.members.unwrap_or_default();
        if asked.len() > MEMBER_LIMIT {
            return Err(invalid(
                "too_many_members",
                format!("A port can name {MEMBER_LIMIT} people at most."),
            ));
        }
        let mut members = Vec::new();
        for text in &asked {
            let user = find(state, text, target.workspace.organization).await?;
            members.push(user.id);
        }
        members.retain(|member| *member != target.workspace.owner);
        members.sort();
        members.dedup();
        if level == SharingLevel::Members && members.is_empty() {
            let nobody = "Name the people who may visit this port.";
            return Err(invalid("no_members", nobody.to_owned()));
        }
        let expires_at = match self.expires_in_seconds.map(Duration::from_secs) {
            None => None,
            Some(span) if PortShare::LIFETIMES.contains(&span) => Some(state.clock.now() + span),
            Some(_) => {
                let bounds = "Sharing can be limited to a time from one minute to one year.";
                return Err(invalid("invalid_expiry", bounds.to_owned()));
            }
        };
        let generation =
            (!self.keep_after_restart.unwrap_or(false)).then(|| generation_of(&target.workspace));
        Ok(Rule {
            level,
            members,
            expires_at,
            generation,
        })
    }
}

/// Finds a person of the organisation by id or e-mail address.
async fn find(state: &AppState, text: &str, organization: OrganizationId) -> ApiResult<User> {
    let found = if let Ok(id) = UserId::parse(text) {
        state.store.user(id).await?
    } else if let Ok(email) = EmailAddress::parse(text) {
        let found = state.store.user_by_email(&email).await?;
        found.map(|found| found.user)
    } else {
        None
    };
    found
        .filter(|user| user.organization == organization)
        .ok_or_else(|| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "unknown_member",
                format!("Nobody here is known as {shown}."),
            )
            .hint("Give the e-mail address that they sign in with.")
        })
}

/// People who were looked up already.
#[derive(Default)]
struct Known(HashMap<UserId, Option<PersonView>>);

impl Known {
    async fn person(&mut self, state: &AppState, id: UserId) -> ApiResult<Option<PersonView>> {
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let found = state.store.user(id).await?;
        let person = found.as_ref().map(PersonView::from);
        self.0.insert(id, person.clone());
        Ok(person)
    }

    async fn show(
        &mut self,
        state: &AppState,
        share: &PortShare,
        moment: &Moment,
    ) -> ApiResult<PortShareView> {
        let mut members = Vec::new();
        for id in &share.rule.members {
            members.extend(self.person(state, *id).await?);
        }
        Ok(PortShareView::new(share, members, moment, &state.site))
    }
}
