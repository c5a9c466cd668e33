//! Whether a request may reach a workspace. Pure, and the only maker of a [`Permit`].

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use kalpana_auth::fetch::{self, Verdict};
use kalpana_auth::workspace_session::WorkspaceSession;
use kalpana_domain::Timestamp;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::SessionId;
use kalpana_domain::sharing::Right;

use crate::authenticate::Unproven;
use crate::routes::Route;
use crate::sharing::{Shared, Visit};

/// The proof that a request may reach one surface of one running workspace.
///
/// The upstream side asks for it, and nothing outside this file can make one.
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
    /// The workspace is not running.
    NotRunning {
        /// Where it would be.
        route: Arc<Route>,
        /// Whether it is the owner who asks.
        is_owner: bool,
    },
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
    if route.generation != grant.generation {
        return Err(refused("session_old_generation"));
    }
    match grant.right {
        Right::Owner(user) if route.owner == user => {}
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
    check_origin(request)?;
    enter(request, route, Some(grant.right), grant.session)
}

fn check_origin(request: &Request<'_>) -> Result<(), Refusal> {
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
    match verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny(reason) => Err(Refusal::OtherOrigin(reason.as_str())),
    }
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
        let is_owner = visit.is_owners();
        return Err(Refusal::NotRunning { route, is_owner });
    }
    Ok(Permit {
        route,
        visit,
        session,
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
    use kalpana_domain::id::{Generation, LinkId, UserId, WorkspaceId};
    use kalpana_protocol::sharing::{SharedLink, SharedPort, SharingState};

    use super::*;
    use crate::routes::{Peer, Target};

    const OWN: &str = "https://abcdefghij01.kalpana.localhost:8443";
    const CONTROL: &str = "https://kalpana.localhost:8443";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// A request that is let in, and everything that a row of the table may change about it.
    struct Case {
        label: &'static str,
        path: &'static str,
        share: Option<SharedPort>,
        maximum: &'static str,
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
            right: Right::Owner(user),
            address: WorkspaceAddress::editor(workspace),
            generation: Generation(3),
        };
        let issued_at = Timestamp::from_second(now().as_second() - 60).unwrap();
        let expires_at = Timestamp::from_second(now().as_second() + 60).unwrap();
        Case {
            label: "abcdefghij01",
            path: "/",
            share: None,
            maximum: "public",
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
                assets: None,
                target: Target::Running(Peer::nowhere()),
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
        let sharing = crate::sharing::Sharing::new(
            Arc::default(),
            Arc::new(kalpana_domain::clock::ManualClock::new(now())),
        );
        sharing.snapshot(&SharingState {
            maximum: Some(case.maximum.to_owned()),
            ports: case.share.into_iter().collect(),
        });
        let address = WorkspaceAddress::parse_label(case.label).unwrap();
        let share = sharing.find(address);
        let request = Request {
            address,
            share: share.as_deref(),
            path: case.path,
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
            Err(Refusal::NotShared(reason)) => format!("not shared {reason}"),
            Err(Refusal::LinkOver(reason)) => format!("link over {reason}"),
            Err(Refusal::OtherPath) => "other path".to_owned(),
            Err(Refusal::NotRunning {
                route,
                is_owner: true,
            }) => format!("not running {:?}", route.target),
            Err(Refusal::NotRunning { .. }) => "not running for a visitor".to_owned(),
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
                decide(|c| grant(c).address.workspace = other),
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
        let starting = decide(|c| route(c).target = Target::Starting { step: None });
        assert_eq!(starting, "not running Starting { step: None }");
    }

    const GUEST: UserId = UserId::from_bytes([7; 16]);
    const LINK: LinkId = LinkId::from_bytes([8; 16]);

    /// A request of somebody other than the owner to a shared port.
    fn visitor(case: &mut Case, level: &str, right: Right) {
        case.label = "3000-abcdefghij01";
        case.share = Some(SharedPort {
            workspace: "abcdefghij01".to_owned(),
            port: 3000,
            level: level.to_owned(),
            members: vec![GUEST.to_string()],
            expires_at: None,
            generation: None,
            links: vec![SharedLink {
                id: LINK.to_string(),
                path: "/docs".to_owned(),
                expires_at: now().as_millisecond() + 1000,
            }],
        });
        let address = WorkspaceAddress::parse_label(case.label).unwrap();
        grant(case).address = address;
        grant(case).right = right;
        case.path = "/docs/a";
    }

    fn share(case: &mut Case) -> &mut SharedPort {
        case.share.as_mut().unwrap()
    }

    const PERMIT: &str = "permit Port(3000)";

    #[test]
    fn visitors_are_let_in_by_the_level_in_force_and_nobody_else_is() {
        let other = UserId::from_bytes([9; 16]);
        let rights = [
            Right::Member(GUEST),
            Right::Organization(other),
            Right::Link(LINK),
            Right::Member(other),
        ];
        let (gone, over) = ("not shared not_shared", "link over not_shared");
        for (level, expected) in [
            ("owner", [gone, gone, over, gone]),
            ("members", [PERMIT, gone, over, gone]),
            ("organization", [PERMIT, PERMIT, over, gone]),
            ("link", [PERMIT, PERMIT, PERMIT, gone]),
            ("public", [PERMIT, PERMIT, PERMIT, PERMIT]),
        ] {
            let outcomes = rights.map(|right| decide(|c| visitor(c, level, right)));
            assert_eq!(outcomes, expected, "{level}");
            // The owner is let in whatever is shared, and a visitor never becomes one.
            let owner = Right::Owner(UserId::from_bytes([1; 16]));
            assert_eq!(decide(|c| visitor(c, level, owner)), PERMIT);
            if level != "public" {
                let forged = decide(|c| visitor(c, level, Right::Owner(GUEST)));
                assert_eq!(forged, "unauthenticated not_owner");
            }
        }
    }

    #[test]
    fn what_is_shared_ends_with_its_time_its_start_its_link_and_the_sites_maximum() {
        let member = |change: fn(&mut Case)| {
            decide(|c| {
                visitor(c, "members", Right::Member(GUEST));
                change(c);
            })
        };
        assert_eq!(member(|_| ()), PERMIT);
        for change in [
            (|c| c.share = None) as fn(&mut Case),
            |c| share(c).members.clear(),
            |c| share(c).expires_at = Some(now().as_millisecond()),
            |c| share(c).generation = Some(2),
            |c| c.maximum = "owner",
        ] {
            assert_eq!(member(change), "not shared not_shared");
        }
        assert_eq!(member(|c| share(c).generation = Some(3)), PERMIT);
        assert_eq!(member(|c| c.route = None), "not shared no_route");
        let link = |change: fn(&mut Case)| {
            decide(|c| {
                visitor(c, "link", Right::Link(LINK));
                change(c);
            })
        };
        assert_eq!(link(|_| ()), PERMIT);
        for change in [
            (|c| share(c).links.clear()) as fn(&mut Case),
            |c| share(c).links[0].expires_at = now().as_millisecond(),
            |c| c.maximum = "organization",
        ] {
            assert_eq!(link(change), "link over not_shared");
        }
        for path in ["/", "/admin", "/docs/../admin", "/docs/%2e%2e/admin"] {
            let outcome = decide(|c| {
                visitor(c, "link", Right::Link(LINK));
                c.path = path;
            });
            assert_eq!(outcome, "other path", "{path}");
        }
    }

    #[test]
    fn a_visitors_session_is_held_to_all_that_an_owners_is() {
        let with = |change: fn(&mut Case)| {
            decide(|c| {
                visitor(c, "members", Right::Member(GUEST));
                change(c);
            })
        };
        for (change, expected) in [
            (
                (|c| c.is_revoked = true) as fn(&mut Case),
                "unauthenticated session_revoked",
            ),
            (
                |c| c.lifetime = Duration::from_secs(60),
                "unauthenticated session_expired",
            ),
            (
                |c| route(c).generation = Generation(4),
                "unauthenticated session_old_generation",
            ),
            // A session for a port is none for the editor or for another port.
            (
                |c| c.label = "abcdefghij01",
                "unauthenticated session_other_workspace",
            ),
            (
                |c| c.label = "3001-abcdefghij01",
                "unauthenticated session_other_workspace",
            ),
            (
                |c| {
                    c.is_upgrade = true;
                    c.headers = vec![("origin", "https://evil.example")];
                },
                "origin other_origin",
            ),
            (
                |c| route(c).target = Target::Stopped,
                "not running for a visitor",
            ),
        ] {
            assert_eq!(with(change), expected);
        }
        // However a visitor came by a session for the editor, it opens nothing.
        let editor = decide(|c| {
            visitor(c, "members", Right::Member(GUEST));
            c.label = "abcdefghij01";
            grant(c).address = WorkspaceAddress::parse_label("abcdefghij01").unwrap();
        });
        assert_eq!(editor, "not shared not_shared");
    }

    #[test]
    fn a_public_port_asks_for_no_session_and_only_while_it_is_public() {
        let with = |change: fn(&mut Case)| {
            decide(|c| {
                visitor(c, "public", Right::Member(GUEST));
                c.session = Err(Unproven::NoCookie);
                change(c);
            })
        };
        assert_eq!(with(|_| ()), PERMIT);
        let upgrade = |c: &mut Case| {
            c.is_upgrade = true;
            c.headers = vec![("origin", "https://anywhere.example")];
        };
        assert_eq!(with(upgrade), PERMIT, "its origin is its own business");
        assert_eq!(with(|c| c.session = Err(Unproven::Ambiguous)), PERMIT);
        let stopped = with(|c| route(c).target = Target::Stopped);
        assert_eq!(stopped, "not running for a visitor");
        for change in [
            (|c| c.maximum = "link") as fn(&mut Case),
            |c| share(c).generation = Some(2),
            |c| share(c).expires_at = Some(0),
            |c| c.route = None,
            |c| c.label = "abcdefghij01",
        ] {
            assert_eq!(with(change), "unauthenticated no_session");
        }
    }
}
