//! Whether a request may reach a workspace. Pure, and the only maker of a [`Permit`].

pub mod cors;
pub mod origin;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use kalpana_auth::workspace_session::WorkspaceSession;
use kalpana_domain::Timestamp;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::SessionId;
use kalpana_domain::sharing::Right;

use self::cors::Allowed;
use crate::authenticate::Unproven;
use crate::routes::Route;
use crate::sharing::{Shared, Visit};

/// The proof that a request may reach one surface of one running workspace.
///
/// The upstream side asks for it, and nothing outside this module can make one.
#[derive(Debug, Clone)]
pub struct Permit {
    route: Arc<Route>,
    visit: Visit,
    session: SessionId,
}

impl Permit {
    /// Returns the route as it was when the permit was made: one that runs.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Returns the surface it is for.
    pub fn surface(&self) -> Surface {
        self.visit.address.surface
    }

    /// Returns who is let in to what, and by what right.
    pub fn visit(&self) -> Visit {
        self.visit
    }

    /// Returns the session it was granted to; of a visitor without one, one of this request.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

/// Why a request may not reach a workspace.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// There is no proof that it may. Whether the workspace exists is not said.
    Unauthenticated(&'static str),
    /// Whoever sends it was let in once, and is not any more, by the right of somebody who is signed
    /// in. They may have another.
    NotShared(&'static str),
    /// The same, by a link: whoever has one is nobody in particular, so there is nothing to try.
    LinkOver(&'static str),
    /// A link opens other paths of this port than this one.
    OtherPath,
    /// It may, but not from the page it comes from.
    OtherOrigin(&'static str),
    /// It only asks whether another request may be made, to a port where that is ours to say. `None`
    /// when it may not.
    Preflight(Option<Allowed>),
    /// The workspace is not running.
    NotRunning {
        /// Where it would be.
        route: Arc<Route>,
        /// Who asks, by what right.
        visit: Visit,
        /// The session that they come with; of a visitor without one, one of this request.
        session: SessionId,
    },
    /// It was started since what is known here, and its owner asks: the feed has it in a moment.
    StartedSince,
}

/// What is known about a request besides its session.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it addresses.
    pub address: WorkspaceAddress,
    /// How that is shared, if it is.
    pub share: Option<&'a Shared>,
    /// Its method.
    pub method: &'a str,
    /// Its path, as it came.
    pub path: &'a str,
    /// Whether it asks for a WebSocket or another upgrade.
    pub is_upgrade: bool,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The origin of the host it is for.
    pub own_origin: &'a str,
    /// The origin of the control plane.
    pub control_origin: &'a str,
}

/// What sessions are judged by.
#[derive(Debug)]
pub struct Rules<R> {
    /// The time.
    pub now: Timestamp,
    /// How long a session lasts at this site.
    pub session_lifetime: Duration,
    /// Whether a session has ended.
    pub is_revoked: R,
}

/// Decides about a request to a workspace.
///
/// # Errors
/// [`Refusal`]. All that concerns a session that proves nothing, the owner's session or the
/// workspace's existence is the one refusal [`Refusal::Unauthenticated`], so that the answers cannot
/// be told apart. A visitor who was let in before learns that they are not any more, in the same way
/// whether the port is not shared or the workspace is gone.
pub fn authorize(
    request: &Request<'_>,
    session: Result<WorkspaceSession, Unproven>,
    route: Option<Arc<Route>>,
    rules: &Rules<impl Fn(SessionId) -> bool>,
) -> Result<Permit, Refusal> {
    if let (Some(route), Some(share)) = (&route, request.share)
        && share.is_public(rules.now, route.generation)
    {
        // There is no session of ours that a page elsewhere could make use of, so where the request
        // comes from is the application's own business.
        return enter(request, Arc::clone(route), None, SessionId::generate());
    }
    if matches!(request.address.surface, Surface::Port(_))
        && cors::is_preflight(request.method, request.headers)
    {
        let sibling = origin::sibling(request.headers, request.address, request.own_origin);
        let allowed = sibling.and_then(|page| Allowed::what_is_asked(request.headers, page));
        return Err(Refusal::Preflight(allowed));
    }
    let refused = Refusal::Unauthenticated;
    let session = session.map_err(|unproven| refused(unproven.as_str()))?;
    let grant = session.grant;
    if grant.address != request.address {
        return Err(refused("session_other_workspace"));
    }
    if (rules.is_revoked)(grant.session) {
        return Err(refused("session_revoked"));
    }
    let age = rules
        .now
        .as_second()
        .saturating_sub(session.issued_at.as_second());
    if u64::try_from(age).is_ok_and(|age| age >= rules.session_lifetime.as_secs()) {
        return Err(refused("session_expired"));
    }
    let over = |reason| match grant.right {
        Right::Owner(_) => Refusal::Unauthenticated(reason),
        Right::Member(_) | Right::Organization(_) => Refusal::NotShared(reason),
        Right::Link(_) => Refusal::LinkOver(reason),
    };
    let route = route.ok_or_else(|| over("no_route"))?;
    if route.workspace != request.address.workspace {
        return Err(refused("session_other_workspace"));
    }
    let is_owners = matches!(grant.right, Right::Owner(user) if route.owner == user);
    if is_owners && grant.generation > route.generation {
        origin::check(request)?;
        return Err(Refusal::StartedSince);
    }
    if route.generation != grant.generation {
        return Err(refused("session_old_generation"));
    }
    match grant.right {
        Right::Owner(_) if is_owners => {}
        Right::Owner(_) => return Err(refused("not_owner")),
        right => {
            let share = request.share.ok_or_else(|| over("not_shared"))?;
            if !share.admits(Some(right), rules.now, route.generation) {
                return Err(over("not_shared"));
            }
            if !share.covers(right, request.path) {
                return Err(Refusal::OtherPath);
            }
        }
    }
    origin::check(request)?;
    enter(request, route, Some(grant.right), grant.session)
}

/// The last step of everybody who may: is there something to reach?
fn enter(
    request: &Request<'_>,
    route: Arc<Route>,
    right: Option<Right>,
    session: SessionId,
) -> Result<Permit, Refusal> {
    let visit = Visit {
        address: request.address,
        generation: route.generation,
        right,
    };
    if !route.runs() {
        return Err(Refusal::NotRunning {
            route,
            visit,
            session,
        });
    }
    Ok(Permit {
        route,
        visit,
        session,
    })
}
