//! The table of who is let in: the owner, and where requests may come from.

use kalpana_auth::workspace_session::{WorkspaceGrant, WorkspaceSessionError};
use kalpana_domain::id::{Generation, LinkId, UserId, WorkspaceId};
use kalpana_protocol::sharing::{SharedLink, SharedPort, SharingState};

use super::*;
use crate::routes::{Peer, Target};

mod visitors;

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
        own_origin: &format!("https://{}.kalpana.localhost:8443", case.label),
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
        Err(Refusal::Preflight(None)) => "preflight refused".to_owned(),
        Err(Refusal::Preflight(Some(_))) => "preflight allowed".to_owned(),
        Err(Refusal::NotShared(reason)) => format!("not shared {reason}"),
        Err(Refusal::LinkOver(reason)) => format!("link over {reason}"),
        Err(Refusal::OtherPath) => "other path".to_owned(),
        Err(Refusal::NotRunning { route, visit, .. }) if visit.is_owners() => {
            format!("not running {:?}", route.target)
        }
        Err(Refusal::StartedSince) => "started since".to_owned(),
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
fn who_started_it_before_the_feed_says_so_is_told_that_it_starts() {
    let ahead = |change: fn(&mut Case)| {
        decide(|c| {
            route(c).generation = Generation(2);
            change(c);
        })
    };
    assert_eq!(ahead(|_| ()), "started since");
    assert_eq!(
        ahead(|c| route(c).target = Target::Stopped),
        "started since"
    );
    assert_eq!(
        ahead(|c| route(c).owner = UserId::from_bytes([9; 16])),
        "unauthenticated session_old_generation"
    );
    assert_eq!(
        ahead(|c| c.is_revoked = true),
        "unauthenticated session_revoked"
    );
    let visitor = ahead(|c| grant(c).right = Right::Member(UserId::from_bytes([9; 16])));
    assert_eq!(visitor, "unauthenticated session_old_generation");
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
fn ports_of_one_workspace_may_use_each_other_and_no_port_the_editor() {
    const PORT: &str = "8080-abcdefghij01";
    let outcome = |label: &'static str, method, is_upgrade, origin: &'static str| {
        decide(|c| {
            c.label = label;
            grant(c).address = WorkspaceAddress::parse_label(label).unwrap();
            c.method = method;
            c.is_upgrade = is_upgrade;
            c.headers = vec![("origin", origin), ("sec-fetch-site", "same-site")];
        })
    };
    let requests = [("GET", false), ("POST", false), ("GET", true)];
    let sibling = "https://3000-abcdefghij01.kalpana.localhost:8443";
    for (method, is_upgrade) in requests {
        for origin in [sibling, OWN] {
            let outcome = outcome(PORT, method, is_upgrade, origin);
            assert_eq!(outcome, "permit Port(8080)", "{method} {origin}");
        }
        for origin in [
            "https://3000-abcdefghij02.kalpana.localhost:8443",
            "https://evil.example",
            "null",
        ] {
            let outcome = outcome(PORT, method, is_upgrade, origin);
            assert_eq!(outcome, "origin other_origin", "{method} {origin}");
        }
    }
    for (method, is_upgrade) in [("POST", false), ("GET", true)] {
        let outcome = outcome("abcdefghij01", method, is_upgrade, sibling);
        assert_eq!(outcome, "origin other_origin", "{method}");
    }
}

#[test]
fn a_preflight_to_a_port_is_answered_by_names_alone() {
    let ask = |label: &'static str, origin: &'static str, change: fn(&mut Case)| {
        decide(|c| {
            c.label = label;
            c.method = "OPTIONS";
            c.headers = vec![("origin", origin), ("access-control-request-method", "PUT")];
            c.session = Err(Unproven::NoCookie);
            change(c);
        })
    };
    const PORT: &str = "8080-abcdefghij01";
    let sibling = "https://3000-abcdefghij01.kalpana.localhost:8443";
    let stranger = "https://3000-abcdefghij02.kalpana.localhost:8443";
    for change in [
        (|_| ()) as fn(&mut Case),
        |c| c.route = None,
        |c| route(c).target = Target::Stopped,
        |c| c.session = case().session,
    ] {
        assert_eq!(ask(PORT, sibling, change), "preflight allowed");
        assert_eq!(ask(PORT, stranger, change), "preflight refused");
    }
    let editor = ask("abcdefghij01", sibling, |_| ());
    assert_eq!(editor, "unauthenticated no_session");
    for headers in [
        vec![("origin", "https://evil.example")],
        vec![("access-control-request-method", "PUT")],
    ] {
        let plain = decide(|c| {
            c.label = PORT;
            c.method = "OPTIONS";
            c.headers = headers;
            c.session = Err(Unproven::NoCookie);
        });
        assert_eq!(plain, "unauthenticated no_session");
    }
}

#[test]
fn the_owner_is_told_why_a_workspace_does_not_answer() {
    let stopped = decide(|c| route(c).target = Target::Stopped);
    assert_eq!(stopped, "not running Stopped");
    let starting = decide(|c| route(c).target = Target::Starting { step: None });
    assert_eq!(starting, "not running Starting { step: None }");
}
