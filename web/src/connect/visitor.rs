//! By what right somebody other than the owner may visit a port.

use http::{HeaderMap, HeaderValue, header};
use kalpana_auth::cookie::{self, Cookie};
use kalpana_auth::{Authenticated, LinkSecret};
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{LinkId, WorkspaceId};
use kalpana_domain::sharing::{PortShare, Right, SharingLevel};
use kalpana_domain::workspace::Workspace;

use crate::error::ApiResult;
use crate::request::RequestContext;
use crate::sharing::change;
use crate::state::AppState;

/// A link that may be used, and the port that it is to.
pub(crate) struct Linked {
    /// The port.
    pub(crate) share: PortShare,
    /// The link.
    pub(crate) link: LinkId,
    workspace: Workspace,
}

/// Finds the link that has this secret, if it may be used now.
///
/// # Errors
/// The store's.
pub(crate) async fn by_link(state: &AppState, secret: &LinkSecret) -> ApiResult<Option<Linked>> {
    let hash = secret.hash();
    let Some(share) = state.store.port_share_by_link(hash).await? else {
        return Ok(None);
    };
    let Some(workspace) = state.store.workspace(share.workspace).await? else {
        return Ok(None);
    };
    let moment = state.sharing.moment(state.clock.now(), &workspace);
    if share.rule.level_at(&moment) < SharingLevel::Link {
        return Ok(None);
    }
    let usable = share
        .links
        .iter()
        .find(|link| link.secret_hash == hash && link.is_usable(moment.now));
    let link = usable.map(|link| link.id);
    Ok(link.map(|link| Linked {
        share,
        link,
        workspace,
    }))
}

/// Returns the right by which somebody may visit a port, and writes down that they are let in. A
/// person's own right comes before a link's, which is then not used.
///
/// # Errors
/// The store's.
pub(super) async fn admit(
    state: &AppState,
    by: Option<&Authenticated>,
    port: (WorkspaceId, u16),
    workspace: Option<Workspace>,
    headers: &HeaderMap,
    context: &RequestContext,
) -> ApiResult<Option<(Right, Workspace)>> {
    // Looked up whether or not the workspace is there, so that both take as long.
    let share = state.store.port_share(port.0, port.1).await?;
    if let (Some(by), Some(workspace), Some(share)) = (by, workspace, share) {
        let moment = state.sharing.moment(state.clock.now(), &workspace);
        let is_colleague = by.user.organization == workspace.organization;
        if let Some(right) = share.rule.right_of(by.user.id, is_colleague, &moment) {
            let level = right.level().as_str();
            let event = state.accounts.event_by(
                &by.principal,
                AuditAction::PortConnect,
                format!("{} {level}", share.address()),
                &context.client(),
            );
            state.store.append_audit(event).await?;
            return Ok(Some((right, workspace)));
        }
    }
    let Some(secret) = link_secret(headers) else {
        return Ok(None);
    };
    let Some(linked) = by_link(state, &secret).await? else {
        return Ok(None);
    };
    if (linked.share.workspace, linked.share.port) != port {
        return Ok(None);
    }
    let is_used = use_link(state, by, &linked, context).await?;
    Ok(is_used.then_some((Right::Link(linked.link), linked.workspace)))
}

/// Writes down that a link is used. Tells whether it still may be: of many who use a one-use link at
/// the same moment, one may.
async fn use_link(
    state: &AppState,
    by: Option<&Authenticated>,
    linked: &Linked,
    context: &RequestContext,
) -> ApiResult<bool> {
    let event = || -> AuditEvent {
        let subject = format!("{} link {}", linked.share.address(), linked.link);
        let client = context.client();
        match by {
            Some(by) => {
                state
                    .accounts
                    .event_by(&by.principal, AuditAction::PortConnect, subject, &client)
            }
            None => state.accounts.event(
                Actor::Anonymous,
                Some(linked.workspace.organization),
                AuditAction::PortConnect,
                subject,
                &client,
            ),
        }
    };
    let key = (linked.share.workspace, linked.share.port);
    let (is_usable, is_first) = change(state, key, |share| {
        let now = state.clock.now();
        let is_usable = share
            .link(linked.link)
            .is_some_and(|link| link.is_usable(now));
        if is_usable && share.use_link(linked.link, now) {
            Ok((Some(event()), (true, true)))
        } else {
            Ok((None, (is_usable, false)))
        }
    })
    .await?;
    if is_usable && !is_first {
        state.store.append_audit(event()).await?;
    }
    Ok(is_usable)
}

/// Reads the link that a browser has just redeemed. Of two, one is somebody else's.
fn link_secret(headers: &HeaderMap) -> Option<LinkSecret> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes);
    LinkSecret::parse(cookie::find(cookies, Cookie::ShareLink).ok()??)
}
