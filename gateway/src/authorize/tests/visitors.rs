//! Visitors of shared ports, and public ones.

use super::*;

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
    let preflight = |c: &mut Case| {
        c.method = "OPTIONS";
        c.headers = vec![
            ("origin", "https://anywhere.example"),
            ("access-control-request-method", "PUT"),
        ];
    };
    assert_eq!(with(preflight), PERMIT, "and who may read it, too");
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
