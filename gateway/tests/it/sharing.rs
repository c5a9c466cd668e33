//! Shared ports: who is let in by which level, and that what is open ends when sharing does.

use futures_util::StreamExt;
use http_body_util::BodyExt;
use kalpana_domain::id::{LinkId, SessionId, UserId};
use kalpana_domain::sharing::Right;
use kalpana_protocol::routes::Target;
use kalpana_protocol::sessions::SessionChange;
use kalpana_protocol::sharing::{SharedLink, SharedPort};
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::Bridge;
use crate::client::{code, cookie, get, location, navigate, query, request, text};
use crate::upgrade;
use crate::world::{FOREIGN, MINE, NOBODYS, Options, PATIENCE, World, patient};

fn port() -> String {
    format!("3000-{MINE}")
}

pub(crate) fn shared(level: &str) -> SharedPort {
    SharedPort {
        workspace: MINE.to_owned(),
        port: 3000,
        level: level.to_owned(),
        members: Vec::new(),
        expires_at: None,
        generation: None,
        links: Vec::new(),
    }
}

impl World {
    /// Shares a port and waits until the gateway has heard of it.
    pub(crate) async fn share(&self, port: SharedPort) {
        self.tell(SessionChange::Shared { port }).await;
    }

    async fn unshare(&self) {
        let workspace = MINE.to_owned();
        self.tell(SessionChange::Unshared {
            workspace,
            port: 3000,
        })
        .await;
    }

    async fn tell(&self, change: SessionChange) {
        let seq = self.sessions.publish(change);
        let heard = self.sessions.wait_acknowledged(seq, PATIENCE).await;
        assert!(
            !heard.done.is_empty() && heard.waiting.is_empty(),
            "{heard:?}"
        );
    }

    /// Redeems a ticket for `right`, as the control plane gives it out.
    async fn visit(&self, label: &str, right: Right) -> crate::client::Answer {
        let (rid, nonce) = self.begin_sign_in(label).await;
        let mut grant = self.grant(label, &rid, 1);
        grant.right = right;
        grant.session = SessionId::generate();
        self.call_back(label, &self.sign(&grant), "/", &nonce).await
    }

    /// Signs a visitor in and returns the `Cookie` header.
    async fn visitor(&self, right: Right) -> String {
        let answer = self.visit(&port(), right).await;
        assert_eq!(answer.status(), 303, "{answer:?}");
        cookie(&answer, "__Host-kws").unwrap()
    }

    async fn status(&self, session: &str) -> u16 {
        let answer = self.send(get(&self.host(&port()), "/echo", session)).await;
        answer.status().as_u16()
    }
}

fn member() -> Right {
    Right::Member(UserId::from_bytes([7; 16]))
}

fn with_member(level: &str) -> SharedPort {
    SharedPort {
        members: vec![UserId::from_bytes([7; 16]).to_string()],
        ..shared(level)
    }
}

fn link() -> Right {
    Right::Link(LinkId::from_bytes([8; 16]))
}

fn with_link(world: &World, path: &str) -> SharedPort {
    SharedPort {
        links: vec![SharedLink {
            id: LinkId::from_bytes([8; 16]).to_string(),
            path: path.to_owned(),
            expires_at: world.now().as_millisecond() + 3_600_000,
        }],
        ..shared("link")
    }
}

#[tokio::test]
async fn a_public_port_needs_no_session_and_gets_nothing_of_ours() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&port());
    assert_eq!(world.send(get(&host, "/echo", "")).await.status(), 401);
    world.share(shared("public")).await;
    let headers = [
        ("cookie", "canary=arrives; __Host-kws=x; __Host-ksl=ksl_x"),
        ("authorization", "Bearer kp_token"),
        ("x-kalpana-user", "root"),
        ("origin", "https://elsewhere.example"),
    ];
    let answer = world.send(request("POST", &host, "/echo", &headers)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(cookie(&answer, "__Host-kws"), None);
    let arrived = text(&answer);
    assert!(arrived.contains("canary=arrives"), "{arrived}");
    for ours in ["__Host-k", "kp_", "ksl_", "root"] {
        assert!(!arrived.contains(ours), "{ours}: {arrived}");
    }
    assert!(!arrived.to_lowercase().contains("x-kalpana"), "{arrived}");
    let headers = [("origin", "https://elsewhere.example")];
    let mut socket = upgrade::open(&world, &host, "/ws", &headers).await.unwrap();
    upgrade::echo(&mut socket, "hello").await;
    // Neither another port nor the editor of the same workspace.
    for label in [MINE.to_owned(), format!("3001-{MINE}")] {
        let answer = world.send(get(&world.host(&label), "/", "")).await;
        assert_eq!(answer.status(), 401, "{label}");
    }
    assert!(bridge.targets().iter().all(|target| target == "port:3000"));

    world.unshare().await;
    let heard = patient(socket.next()).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
    assert_eq!(world.send(get(&host, "/echo", "")).await.status(), 401);
}

#[tokio::test]
async fn members_colleagues_and_links_are_let_in_by_their_level() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let colleague = Right::Organization(UserId::generate());
    // Before anything is shared no ticket helps.
    for (right, status) in [(member(), 403), (colleague, 403), (link(), 410)] {
        let answer = world.visit(&port(), right).await;
        assert_eq!(answer.status(), status, "{right:?}");
        assert_eq!(cookie(&answer, "__Host-kws"), None);
    }
    world.share(with_member("members")).await;
    let (session, outsider) = (
        world.visitor(member()).await,
        world.visit(&port(), colleague).await,
    );
    assert_eq!(
        (world.status(&session).await, outsider.status().as_u16()),
        (200, 403)
    );
    world.share(with_member("organization")).await;
    let colleague = world.visitor(colleague).await;
    assert_eq!(world.status(&colleague).await, 200);
    world.share(with_link(&world, "/")).await;
    let guest = world.visitor(link()).await;
    assert_eq!(world.status(&guest).await, 200);
    assert_eq!(
        world.status(&colleague).await,
        200,
        "a wider level keeps them"
    );
    // Not named any more, and whether they are a colleague only the control plane knows.
    assert_eq!(world.status(&session).await, 403);

    // Each level taken away again.
    world.share(with_member("organization")).await;
    assert_eq!(world.status(&guest).await, 410);
    world.share(with_member("members")).await;
    assert_eq!(world.status(&colleague).await, 403);
    assert_eq!(world.status(&session).await, 200);
    world.share(shared("members")).await;
    assert_eq!(world.status(&session).await, 403, "not named any more");
    let answer = world.send(get(&world.host(&port()), "/", &session)).await;
    assert_eq!(code(&answer), "access_denied");
    let owner = world.sign_in(&port(), 1).await;
    assert_eq!(world.status(&owner).await, 200, "the owner always");
    assert!(bridge.targets().iter().all(|target| target == "port:3000"));
}

#[tokio::test]
async fn a_session_for_a_shared_port_opens_nothing_else() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, UserId::generate(), 1, target).await;
    world.share(with_member("members")).await;
    let session = world.visitor(member()).await;
    for label in [
        MINE.to_owned(),
        format!("3001-{MINE}"),
        format!("3000-{FOREIGN}"),
    ] {
        let answer = world.send(get(&world.host(&label), "/", &session)).await;
        assert_eq!(answer.status(), 401, "{label}");
    }
    // A ticket by sharing is none for the editor, and none for a port that is not shared.
    for label in [MINE.to_owned(), format!("3001-{MINE}")] {
        let answer = world.visit(&label, member()).await;
        assert_eq!(answer.status(), 403, "{label}");
    }
    world.share(with_link(&world, "/")).await;
    world.visitor(link()).await;
    // No link leads to an editor; to another port one might have once.
    for (label, status) in [(MINE.to_owned(), 403), (format!("3001-{MINE}"), 410)] {
        let answer = world.visit(&label, link()).await;
        assert_eq!(answer.status(), status, "{label} by a link to a port");
        assert_eq!(cookie(&answer, "__Host-kws"), None);
    }
    world.share(with_member("members")).await;
    // A page elsewhere cannot use a visitor's session.
    let host = world.host(&port());
    let headers = [
        ("cookie", session.as_str()),
        ("origin", "https://evil.example"),
    ];
    let answer = world.send(request("POST", &host, "/", &headers)).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(code(&answer), "other_origin");
    let socket = upgrade::open(&world, &host, "/ws", &headers).await;
    assert_eq!(socket.unwrap_err(), 403);
}

#[tokio::test]
async fn a_link_opens_its_paths_until_it_is_revoked_or_over() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world.share(with_link(&world, "/docs")).await;
    let guest = world.visitor(link()).await;
    let host = world.host(&port());
    let status = async |path: &str| world.send(get(&host, path, &guest)).await.status();
    assert_eq!(status("/docs/echo?a").await, 200);
    for path in ["/", "/docs2", "/docs/../admin", "/docs/%2e%2e/admin"] {
        assert_eq!(status(path).await, 403, "{path}");
    }
    let headers = [("cookie", guest.as_str()), ("sec-fetch-mode", "navigate")];
    let answer = world.send(request("GET", &host, "/admin", &headers)).await;
    assert_eq!(
        answer.status(),
        403,
        "no redirect that would come back here"
    );
    assert!(!answer.headers().contains_key("set-cookie"), "{answer:?}");

    let origin = world.origin(&port());
    let headers = [("cookie", guest.as_str()), ("origin", origin.as_str())];
    world.share(with_link(&world, "/")).await;
    let mut socket = upgrade::open(&world, &host, "/ws", &headers).await.unwrap();
    upgrade::echo(&mut socket, "hello").await;
    world.share(shared("link")).await;
    let heard = patient(socket.next()).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
    let headers = [("cookie", guest.as_str()), ("sec-fetch-mode", "navigate")];
    let answer = world.send(request("GET", &host, "/", &headers)).await;
    assert_eq!(answer.status(), 410);
    let cleared = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cleared.starts_with("__Host-kws=; "), "{cleared}");

    world.share(with_link(&world, "/")).await;
    assert_eq!(status("/echo").await, 200);
    world.clock.advance(jiff::SignedDuration::from_secs(3600));
    assert_eq!(status("/echo").await, 410, "over by itself");
}

#[tokio::test]
async fn narrowing_cuts_who_is_not_let_in_any_more_and_nobody_else() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world.share(with_member("organization")).await;
    let (host, origin) = (world.host(&port()), world.origin(&port()));
    let open = async |session: &str| {
        let headers = [("cookie", session), ("origin", origin.as_str())];
        let mut socket = upgrade::open(&world, &host, "/ws", &headers).await.unwrap();
        upgrade::echo(&mut socket, "hello").await;
        socket
    };
    let named = world.visitor(member()).await;
    let colleague = world.visitor(Right::Organization(UserId::generate())).await;
    let owner = world.sign_in(&port(), 1).await;
    let mut stay = [open(&named).await, open(&owner).await];
    let mut leaves = open(&colleague).await;
    let mut h2 = world.h2(&host).await;
    let mut quiet = get("x", "/", &colleague);
    quiet.headers_mut().remove("host");
    *quiet.uri_mut() = format!("{origin}/sse").parse().unwrap();
    let mut events = patient(h2.send_request(quiet)).await.unwrap().into_body();
    patient(events.frame()).await.unwrap().unwrap();

    let began = std::time::Instant::now();
    world.share(with_member("members")).await;
    let heard = patient(leaves.next()).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
    let frame = patient(events.frame()).await;
    assert!(frame.is_none_or(|frame| frame.is_err()));
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    for socket in &mut stay {
        upgrade::echo(socket, "still here").await;
    }
}

#[tokio::test]
async fn a_port_that_is_public_no_more_is_refused_and_cut_at_every_gateway() {
    let mut world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world.share(shared("public")).await;
    let (second, _guard) = world.second().await;
    let gateways = [world.bound, second];
    let host = world.host(&port());
    let mut open = Vec::new();
    for gateway in &gateways {
        world.bound = *gateway;
        let mut socket = upgrade::open(&world, &host, "/ws", &[]).await.unwrap();
        upgrade::echo(&mut socket, "hello").await;
        let mut sender = world.h1(&host).await;
        let events = patient(sender.send_request(get(&host, "/sse", ""))).await;
        let mut events = events.unwrap().into_body();
        patient(events.frame()).await.unwrap().unwrap();
        open.push((socket, events, sender));
    }
    let began = std::time::Instant::now();
    world.unshare().await;
    for (gateway, (mut socket, mut events, _sender)) in gateways.iter().zip(open) {
        world.bound = *gateway;
        let heard = patient(socket.next()).await;
        assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
        let frame = patient(events.frame()).await;
        assert!(frame.is_none_or(|frame| frame.is_err()));
        assert_eq!(world.status("").await, 401);
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn what_expires_is_cut_within_a_moment() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let ends = SharedPort {
        expires_at: Some(world.now().as_millisecond() + 60_000),
        ..with_member("members")
    };
    world.share(ends).await;
    let session = world.visitor(member()).await;
    let (host, origin) = (world.host(&port()), world.origin(&port()));
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut socket = upgrade::open(&world, &host, "/ws", &headers).await.unwrap();
    upgrade::echo(&mut socket, "hello").await;
    world.clock.advance(jiff::SignedDuration::from_secs(60));
    let heard = patient(socket.next()).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
    assert_eq!(world.status(&session).await, 403);
}

#[tokio::test]
async fn a_start_ends_what_was_not_to_outlive_it() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let public = |generation| SharedPort {
        generation,
        ..shared("public")
    };
    let host = world.host(&port());
    let status = async || world.send(get(&host, "/echo", "")).await.status();
    world.share(public(Some(1))).await;
    assert_eq!(status().await, 200);
    world.route(MINE, world.user, 1, Target::Stopped).await;
    let answer = world.send(get(&host, "/echo", "")).await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer)),
        (503, "not_running".to_owned())
    );
    let page = world.send(navigate(&host, "/")).await;
    assert!(
        !text(&page).contains("/workspace/"),
        "a visitor starts nothing"
    );

    let _bridge = Bridge::start(&world, MINE, 2);
    world
        .route(MINE, world.user, 2, world.running(MINE, 2))
        .await;
    assert_eq!(status().await, 401, "of the start before");
    world.share(public(None)).await;
    assert_eq!(status().await, 200);
    world.share(public(Some(2))).await;
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn a_lower_maximum_holds_for_what_is_shared_already() {
    for (maximum, is_public, is_for_members) in [
        (Some("public"), true, true),
        (Some("members"), false, true),
        (Some("owner"), false, false),
        (None, false, false),
    ] {
        let world = World::with(Options {
            sharing_maximum: maximum,
            ..Options::default()
        })
        .await;
        let _bridge = Bridge::start(&world, MINE, 1);
        world.run_mine().await;
        world.share(with_member("public")).await;
        let answer = world.send(get(&world.host(&port()), "/echo", "")).await;
        assert_eq!(answer.status() == 200, is_public, "{maximum:?}");
        if !is_public {
            let answer = world.visit(&port(), member()).await;
            assert_eq!(answer.status() == 303, is_for_members, "{maximum:?}");
        }
    }
}

#[tokio::test]
async fn strangers_learn_nothing_from_what_is_shared_with_others() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world.share(with_member("organization")).await;
    for label in [port(), format!("3000-{NOBODYS}")] {
        let host = world.host(&label);
        let answer = world.send(navigate(&host, "/x")).await;
        assert_eq!(answer.status(), 303);
        let to = location(&answer);
        assert!(to.starts_with("https://kalpana.localhost:8443/auth/workspace?"));
        assert_eq!(query(to, "host").unwrap(), label);
        let answer = world.send(get(&host, "/x", "")).await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer)),
            (401, "unauthenticated".to_owned())
        );
    }
    // Who was let in once hears the same whether the port or the workspace is gone.
    let session = world.visitor(member()).await;
    world.unshare().await;
    let host = world.host(&port());
    let ended = world.send(get(&host, "/", &session)).await;
    let workspace = MINE.to_owned();
    let remove = kalpana_protocol::routes::RouteChange::Remove { workspace };
    let seq = world.routes.publish(remove);
    world.routes.wait_acknowledged(seq, PATIENCE).await;
    let gone = world.send(get(&host, "/", &session)).await;
    assert_eq!(ended.status(), 403);
    assert_eq!((ended.status(), code(&ended)), (gone.status(), code(&gone)));
    assert!(text(&gone).contains(&format!("/request-access?host={}", port())));
    assert_eq!(bridge.text(), "");
}
