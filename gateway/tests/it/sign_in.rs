//! From a stranger's first navigation to a session on one workspace host, and every way it must
//! not come about.

use http::StatusCode;
use jiff::SignedDuration;
use kalpana_domain::id::UserId;
use kalpana_domain::sharing::Right;
use kalpana_protocol::routes::Target;

use crate::bridge::Bridge;
use crate::client::{code, cookie, get, location, navigate, query, request, text};
use crate::world::{MINE, World};

#[tokio::test]
async fn a_navigation_leads_to_sign_in_and_back_to_the_exact_page() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let page = "/?folder=/workspace&x=a%20b";
    let answer = world.send(navigate(&world.host(MINE), page)).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let url = location(&answer).to_owned();
    assert!(
        url.starts_with("https://kalpana.localhost:8443/auth/workspace?"),
        "{url}"
    );
    assert_eq!(query(&url, "host").unwrap(), MINE);
    assert_eq!(query(&url, "to").unwrap(), page);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (rid, nonce) = (
        query(&url, "rid").unwrap(),
        cookie(&answer, "__Host-kwn").unwrap(),
    );

    let ticket = world.sign(&world.grant(MINE, &rid, 1));
    let answer = world.call_back(MINE, &ticket, page, &nonce).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(location(&answer), page);
    assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    assert_eq!(cookie(&answer, "__Host-kwn"), None, "the nonce is cleared");
    let session = cookie(&answer, "__Host-kws").unwrap();

    let answer = world.send(get(&world.host(MINE), "/echo", &session)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        text(&answer).starts_with("GET /echo HTTP/1.1"),
        "{}",
        text(&answer)
    );
    assert_eq!(bridge.targets(), ["editor"]);
}

#[tokio::test]
async fn a_ticket_is_good_once_here_now_and_for_the_browser_that_asked() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let port = format!("3000-{MINE}");
    let (rid, nonce) = world.begin_sign_in(MINE).await;
    let ticket = world.sign(&world.grant(MINE, &rid, 1));

    let refused = async |label: &str, ticket: &str, nonce: &str, reason: &str| {
        let before = world.metric("kalpana_gateway_denied_total", reason);
        let answer = world.call_back(label, ticket, "/", nonce).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{reason}");
        assert_eq!(cookie(&answer, "__Host-kws"), None, "{reason}");
        assert!(
            text(&answer).contains(&world.origin(label)),
            "offers to try again"
        );
        let after = world.metric("kalpana_gateway_denied_total", reason);
        assert!(after > before, "{reason}");
    };
    refused(MINE, &ticket, "", "ticket_without_nonce").await;
    let (_, other_nonce) = world.begin_sign_in(MINE).await;
    refused(MINE, &ticket, &other_nonce, "ticket_without_nonce").await;
    refused(&port, &ticket, &nonce, "ticket_other_host").await;
    let changed = ticket.replacen("v4.public.", "v4.public.A", 1);
    refused(MINE, &changed, &nonce, "ticket_forged").await;
    refused(MINE, "", &nonce, "ticket_forged").await;
    let old = world.sign(&world.grant(MINE, &rid, 0));
    refused(MINE, &old, &nonce, "ticket_other_route").await;
    let mut foreign = world.grant(MINE, &rid, 1);
    foreign.right = Right::Owner(UserId::generate());
    refused(MINE, &world.sign(&foreign), &nonce, "ticket_other_route").await;

    // None of these used it up.
    let answer = world.call_back(MINE, &ticket, "/", &nonce).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    refused(MINE, &ticket, &nonce, "ticket_replayed").await;

    let (rid, nonce) = world.begin_sign_in(MINE).await;
    let ticket = world.sign(&world.grant(MINE, &rid, 1));
    world.clock.advance(SignedDuration::from_secs(61));
    refused(MINE, &ticket, &nonce, "ticket_expired").await;
    assert_eq!(bridge.text(), "", "none of it is the workspace's business");
}

#[tokio::test]
async fn a_return_elsewhere_is_forgotten() {
    let world = World::start().await;
    world.run_mine().await;
    for to in [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "/%09/../\tx",
    ] {
        let (rid, nonce) = world.begin_sign_in(MINE).await;
        let ticket = world.sign(&world.grant(MINE, &rid, 1));
        let answer = world.call_back(MINE, &ticket, to, &nonce).await;
        assert_eq!(location(&answer), "/", "{to}");
    }
}

#[tokio::test]
async fn a_session_is_for_one_host_one_generation_and_its_time() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let status = async |label: &str, session: &str| {
        world
            .send(get(&world.host(label), "/echo", session))
            .await
            .status()
            .as_u16()
    };
    assert_eq!(status(MINE, &session).await, 200);
    assert_eq!(
        status(&format!("3000-{MINE}"), &session).await,
        401,
        "another host"
    );
    let (name, value) = session.split_once('=').unwrap();
    let flipped = if value.ends_with('A') { "B" } else { "A" };
    let flipped = format!("{name}={}{flipped}", &value[..value.len() - 1]);
    assert_eq!(status(MINE, &flipped).await, 401, "a flipped bit");
    assert_eq!(
        status(MINE, &session[..session.len() - 4]).await,
        401,
        "truncated"
    );
    assert_eq!(
        status(MINE, &format!("{name}={}", "A".repeat(4096))).await,
        401,
        "long"
    );
    assert_eq!(
        status(MINE, &format!("{session}; {session}")).await,
        401,
        "twice"
    );
    assert_eq!(
        status(MINE, &format!("junk=\u{fc}; {session}")).await,
        200,
        "beside junk"
    );

    let restarted = world.running(MINE, 2);
    world.route(MINE, world.user, 2, restarted).await;
    assert_eq!(status(MINE, &session).await, 401, "an old generation");
    let mut page = navigate(&world.host(MINE), "/");
    page.headers_mut()
        .insert("cookie", session.parse().unwrap());
    let answer = world.send(page).await;
    assert_eq!(
        answer.status(),
        303,
        "a navigation is sent to sign in again"
    );

    world.run_mine().await;
    assert_eq!(status(MINE, &session).await, 200);
    world.clock.advance(SignedDuration::from_hours(12));
    assert_eq!(status(MINE, &session).await, 401, "expired");
}

#[tokio::test]
async fn a_revoked_session_is_refused_and_cannot_be_made() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (rid, nonce) = world.begin_sign_in(MINE).await;
    let ticket = world.sign(&world.grant(MINE, &rid, 1));
    world.revoke(world.session).await;
    let answer = world.send(get(&world.host(MINE), "/echo", &session)).await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer)),
        (401, "unauthenticated".to_owned())
    );
    let answer = world.call_back(MINE, &ticket, "/", &nonce).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn only_get_calls_back_and_the_rest_of_our_paths_is_nothing() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let host = world.host(MINE);
    let send = async |method: &str, path: &str| {
        let answer = request(method, &host, path, &[("cookie", &session)]);
        world.send(answer).await.status().as_u16()
    };
    assert_eq!(send("POST", "/.kalpana/cb").await, 405);
    assert_eq!(send("GET", "/.kalpana/cb").await, 400);
    assert_eq!(send("GET", "/.kalpana/other").await, 404);
    assert_eq!(send("GET", "/.kalpana/%2e%2e/echo").await, 404);
    assert_eq!(bridge.text(), "");
    assert_eq!(
        send("GET", "/.KALPANA/cb").await,
        200,
        "the workspace's own"
    );
    world.route(MINE, world.user, 1, Target::Stopped).await;
    assert_eq!(send("GET", "/echo").await, 503);
}
