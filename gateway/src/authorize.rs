//! Whether a request may reach a workspace. Pure, and the only maker of a [`Permit`].

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use kalpana_auth::fetch::{self, Verdict};
use kalpana_auth::workspace_session::WorkspaceSession;
use kalpana_bridge_client::Bridge;
use kalpana_domain::Timestamp;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::{SessionId, UserId};

use crate::authenticate::Unproven;
use crate::routes::{Route, Target};

/// The proof that a request may reach one surface of one running workspace.
///
/// The upstream side asks for it, and nothing outside this file can make one.
#[derive(Debug, Clone)]
pub struct Permit {
    route: Arc<Route>,
    surface: Surface,
    session: SessionId,
    user: UserId,
}

impl Permit {
    /// Returns the route as it was when the permit was made.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Returns the bridge to dial.
    pub fn bridge(&self) -> &Bridge {
        match &self.route.target {
            Target::Running(bridge) => bridge,
            _ => unreachable!("a permit is made for running workspaces only"),
        }
    }

    /// Returns the surface it is for.
    pub fn surface(&self) -> Surface {
        self.surface
    }

    /// Returns the session it was granted to.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the person it was granted to.
    pub fn user(&self) -> UserId {
        self.user
    }
}

/// Why a request may not reach a workspace.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// There is no proof that it may. Whether the workspace exists is not said.
    Unauthenticated(&'static str),
    /// It may, but not from the page it comes from.
    OtherOrigin(&'static str),
    /// Its owner asks, but the workspace is not running.
    NotRunning(Arc<Route>),
}

/// What is known about a request besides its session.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it addresses.
    pub address: WorkspaceAddress,
    /// Its method.
    pub method: &'a str,
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
/// [`Refusal`]. All that concerns the session or the workspace's existence is the one refusal
/// [`Refusal::Unauthenticated`], so that the answers cannot be told apart.
pub fn authorize(
    request: &Request<'_>,
    session: Result<WorkspaceSession, Unproven>,
    route: Option<Arc<Route>>,
    rules: &Rules<impl Fn(SessionId) -> bool>,
) -> Result<Permit, Refusal> {
    let refused = Refusal::Unauthenticated;
    let session = session.map_err(|unproven| refused(unproven.as_str()))?;
    let grant = session.grant;
    let route = route.ok_or(refused("no_route"))?;
    if grant.workspace != request.address.workspace || route.workspace != grant.workspace {
        return Err(refused("session_other_workspace"));
    }
    if route.owner != grant.user {
        return Err(refused("not_owner"));
    }
    if route.generation != grant.generation {
        return Err(refused("session_old_generation"));
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
    let fetch = fetch_headers(request.headers);
    let verdict = if request.is_upgrade {
        fetch::check_websocket(fetch, request.own_origin)
    } else {
        fetch::check_workspace(
            request.method,
            fetch,
            request.own_origin,
            request.control_origin,
        )
    };
    if let Verdict::Deny(reason) = verdict {
        return Err(Refusal::OtherOrigin(reason.as_str()));
    }
    if !matches!(route.target, Target::Running(_)) {
        return Err(Refusal::NotRunning(route));
    }
    Ok(Permit {
        route,
        surface: request.address.surface,
        session: grant.session,
        user: grant.user,
    })
}

/// Picks out the headers by which browsers say where a request comes from.
pub fn fetch_headers(headers: &HeaderMap) -> fetch::Headers<'_> {
    let get = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    fetch::Headers {
        site: get("sec-fetch-site"),
        mode: get("sec-fetch-mode"),
        origin: get("origin"),
    }
}

#[cfg(test)]
mod tests {
    use kalpana_auth::workspace_session::{WorkspaceGrant, WorkspaceSessionError};
    use kalpana_domain::id::{Generation, UserId, WorkspaceId};
    use kalpana_protocol::preamble::{Audience, ConnectKey};

    use super::*;

    const OWN: &str = "https://abcdefghij01.kalpana.localhost:8443";
    const CONTROL: &str = "https://kalpana.localhost:8443";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// A request that is let in, and everything that a row of the table may change about it.
    struct Case {
        method: &'static str,
        is_upgrade: bool,
        headers: Vec<(&'static str, &'static str)>,
        session: Result<WorkspaceSession, Unproven>,
        route: Option<Route>,
        is_revoked: bool,
        lifetime: Duration,
    }

    fn case() -> Case {
        let workspace = WorkspaceId::parse("abcdefghij01").unwrap();
        let user = UserId::from_bytes([1; 16]);
        let grant = WorkspaceGrant {
            session: SessionId::from_bytes([2; 16]),
            user,
            workspace,
            generation: Generation(3),
        };
        let issued_at = Timestamp::from_second(now().as_second() - 60).unwrap();
        let expires_at = Timestamp::from_second(now().as_second() + 60).unwrap();
        Case {
            method: "GET",
            is_upgrade: false,
            headers: Vec::new(),
            session: Ok(WorkspaceSession {
                grant,
                issued_at,
                expires_at,
            }),
            route: Some(Route {
                workspace,
                owner: user,
                generation: Generation(3),
                target: Target::Running(Bridge {
                    socket: "/run/b.sock".into(),
                    peer_uid: 0,
                    workspace: workspace.to_string(),
                    generation: 3,
                    audience: Audience::Gateway,
                    key: ConnectKey::from_bytes([0; 32]),
                }),
            }),
            is_revoked: false,
            lifetime: Duration::from_secs(3600),
        }
    }

    /// Decides a case and says the outcome in one word.
    fn decide(change: impl FnOnce(&mut Case)) -> String {
        let mut case = case();
        change(&mut case);
        let mut headers = HeaderMap::new();
        for (name, value) in case.headers {
            headers.insert(name, value.parse().unwrap());
        }
        let request = Request {
            address: WorkspaceAddress::parse_label("abcdefghij01").unwrap(),
            method: case.method,
            is_upgrade: case.is_upgrade,
            headers: &headers,
            own_origin: OWN,
            control_origin: CONTROL,
        };
        let rules = Rules {
            now: now(),
            session_lifetime: case.lifetime,
            is_revoked: |_| case.is_revoked,
        };
        match authorize(&request, case.session, case.route.map(Arc::new), &rules) {
            Ok(permit) => format!("permit {:?}", permit.surface()),
            Err(Refusal::Unauthenticated(reason)) => format!("unauthenticated {reason}"),
            Err(Refusal::OtherOrigin(reason)) => format!("origin {reason}"),
            Err(Refusal::NotRunning(route)) => format!("not running {:?}", route.target),
        }
    }

    fn route(case: &mut Case) -> &mut Route {
        case.route.as_mut().unwrap()
    }

    fn grant(case: &mut Case) -> &mut WorkspaceGrant {
        &mut case.session.as_mut().unwrap().grant
    }

    #[test]
    fn the_owner_with_a_session_of_this_generation_is_let_in() {
        assert_eq!(decide(|_| ()), "permit Editor");
    }

    #[test]
    fn everything_about_session_and_existence_is_one_refusal() {
        let other = WorkspaceId::parse("abcdefghij02").unwrap();
        let table: Vec<(&str, String)> = vec![
            (
                "no_session",
                decide(|c| c.session = Err(Unproven::NoCookie)),
            ),
            (
                "ambiguous_cookie",
                decide(|c| c.session = Err(Unproven::Ambiguous)),
            ),
            (
                "session_forged",
                decide(|c| c.session = Err(Unproven::Invalid(WorkspaceSessionError::Forged))),
            ),
            ("no_route", decide(|c| c.route = None)),
            (
                "session_other_workspace",
                decide(|c| grant(c).workspace = other),
            ),
            (
                "session_other_workspace",
                decide(|c| route(c).workspace = other),
            ),
            (
                "not_owner",
                decide(|c| route(c).owner = UserId::from_bytes([9; 16])),
            ),
            (
                "session_old_generation",
                decide(|c| route(c).generation = Generation(4)),
            ),
            (
                "session_old_generation",
                decide(|c| route(c).generation = Generation(2)),
            ),
            ("session_revoked", decide(|c| c.is_revoked = true)),
            (
                "session_expired",
                decide(|c| c.lifetime = Duration::from_secs(60)),
            ),
            // A foreign workspace that does not run looks like a foreign one that does.
            (
                "not_owner",
                decide(|c| {
                    route(c).owner = UserId::from_bytes([9; 16]);
                    route(c).target = Target::Stopped;
                }),
            ),
        ];
        for (reason, outcome) in table {
            assert_eq!(outcome, format!("unauthenticated {reason}"));
        }
    }

    #[test]
    fn only_its_own_page_may_open_a_websocket() {
        let upgrade = |origin: Option<&'static str>| {
            decide(|c| {
                c.is_upgrade = true;
                c.headers = origin
                    .map(|origin| ("origin", origin))
                    .into_iter()
                    .collect();
            })
        };
        assert_eq!(upgrade(Some(OWN)), "permit Editor");
        for origin in [
            CONTROL,
            "https://abcdefghij02.kalpana.localhost:8443",
            "https://3000-abcdefghij01.kalpana.localhost:8443",
            "https://abcdefghij01.kalpana.localhost",
            "http://abcdefghij01.kalpana.localhost:8443",
            "https://evil.example",
            "null",
            "",
        ] {
            assert_eq!(upgrade(Some(origin)), "origin other_origin", "{origin}");
        }
        assert_eq!(upgrade(None), "origin unknown_origin");
    }

    #[test]
    fn changes_come_from_the_host_itself_or_the_control_plane() {
        let post = |headers: &[(&'static str, &'static str)]| {
            decide(|c| {
                c.method = "POST";
                c.headers = headers.to_vec();
            })
        };
        assert_eq!(post(&[("origin", OWN)]), "permit Editor");
        assert_eq!(post(&[("origin", CONTROL)]), "permit Editor");
        assert_eq!(post(&[]), "permit Editor");
        for headers in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "https://abcdefghij02.kalpana.localhost:8443")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(post(headers), "origin other_origin", "{headers:?}");
        }
    }

    #[test]
    fn the_owner_is_told_why_a_workspace_does_not_answer() {
        let stopped = decide(|c| route(c).target = Target::Stopped);
        assert_eq!(stopped, "not running Stopped");
        let starting = decide(|c| route(c).target = Target::Starting);
        assert_eq!(starting, "not running Starting");
    }
}
