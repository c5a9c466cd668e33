//! What must never cross: nothing reaches a workspace without a session, nothing of ours reaches
//! it at all, and no workspace is reached in place of another.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use kalpana_domain::id::UserId;

use crate::bridge::Bridge;
use crate::client::{Answer, cookie, get, navigate, query, request, text, whole};
use crate::upgrade;
use crate::world::{FOREIGN, MINE, NOBODYS, World, patient};

/// What a stranger may try on a workspace host.
fn attempts(host: &str) -> Vec<Request<Full<Bytes>>> {
    let websocket = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let preflight = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
    ];
    vec![
        navigate(host, "/"),
        request("GET", host, "/secret", &[("sec-fetch-mode", "cors")]),
        request(
            "GET",
            host,
            "/",
            &[("sec-fetch-mode", "no-cors"), ("accept", "text/html")],
        ),
        request("GET", host, "/ws", &websocket),
        request("OPTIONS", host, "/", &preflight),
        request("POST", host, "/", &[("content-type", "application/json")]),
        request("HEAD", host, "/", &[("accept", "text/html")]),
        request(
            "GET",
            host,
            "/",
            &[
                ("authorization", "Bearer kp_x"),
                ("cookie", "__Host-ksess=ks1_x"),
            ],
        ),
        request(
            "GET",
            host,
            "/",
            &[(
                "x-forwarded-host",
                &format!("{MINE}.kalpana.localhost:8443"),
            )],
        ),
    ]
}

/// Everything about an answer that a stranger could compare, with what is random in it blanked.
fn shape(answer: &Answer, label: &str) -> (u16, Vec<(String, String)>, String) {
    let id = answer.headers()["x-request-id"].to_str().unwrap();
    let nonce = answer.headers().get("location");
    let nonce = nonce.and_then(|location| query(location.to_str().unwrap(), "rid"));
    let cookie = cookie(answer, "__Host-kwn");
    let blank = |text: &str| {
        let mut text = text.replace(label, "label").replace(id, "id");
        for random in [&nonce, &cookie].into_iter().flatten() {
            text = text.replace(random, &"?".repeat(random.len()));
        }
        text
    };
    let headers = answer.headers().iter();
    let mut headers: Vec<(String, String)> = headers
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), blank(value.to_str().unwrap())))
        .collect();
    headers.sort();
    (answer.status().as_u16(), headers, blank(&text(answer)))
}

#[tokio::test]
async fn foreign_missing_and_own_workspaces_look_the_same_to_a_stranger() {
    let world = World::start().await;
    let (mine, foreign) = (
        Bridge::start(&world, MINE, 1),
        Bridge::start(&world, FOREIGN, 1),
    );
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, UserId::generate(), 1, target).await;
    let mut shapes = Vec::new();
    for label in [MINE, FOREIGN, NOBODYS] {
        let mut answers = Vec::new();
        for attempt in attempts(&world.host(label)) {
            answers.push(shape(&world.send(attempt).await, label));
        }
        shapes.push(answers);
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0], shapes[2]);
    let statuses: Vec<u16> = shapes[0].iter().map(|shape| shape.0).collect();
    assert_eq!(statuses, [303, 401, 401, 401, 401, 401, 401, 401, 401]);
    assert_eq!(mine.text() + &foreign.text(), "");
}

#[tokio::test]
async fn foreign_and_missing_workspaces_look_the_same_to_somebody_with_a_workspace_of_their_own() {
    let world = World::start().await;
    let foreign = Bridge::start(&world, FOREIGN, 1);
    let mine = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, UserId::generate(), 1, target).await;
    let session = world.sign_in(MINE, 1).await;
    let mut shapes = Vec::new();
    // The ports of both too, which could be shared and are not.
    for label in [FOREIGN, NOBODYS, "abcdefghij04"] {
        let mut answers = Vec::new();
        for part in [label.to_owned(), format!("3000-{label}")] {
            for mut attempt in attempts(&world.host(&part)) {
                let cookie = session.parse().unwrap();
                attempt.headers_mut().insert("cookie", cookie);
                answers.push(shape(&world.send(attempt).await, label));
            }
            for path in ["/.kalpana/cb?t=x", "/.kalpana/x"] {
                let attempt = get(&world.host(&part), path, &session);
                answers.push(shape(&world.send(attempt).await, label));
            }
        }
        shapes.push(answers);
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0], shapes[2]);
    assert_eq!(mine.text() + &foreign.text(), "");
}

#[tokio::test]
async fn nothing_arrives_without_a_session() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    for label in [MINE.to_owned(), format!("3000-{MINE}")] {
        for attempt in attempts(&world.host(&label)) {
            world.send(attempt).await;
        }
    }
    // Had anything arrived, it would stand before the sentinel.
    let session = world.sign_in(MINE, 1).await;
    let answer = world
        .send(get(&world.host(MINE), "/sentinel", &session))
        .await;
    assert_eq!(answer.status(), 200);
    assert!(
        bridge.text().starts_with("GET /sentinel HTTP/1.1\r\n"),
        "{}",
        bridge.text()
    );
    assert_eq!(bridge.targets(), ["editor"]);
}

/// What a request carries in these tests: everything of ours there is, and a canary that must
/// arrive, so that the search is known to find things.
fn loaded(session: &str) -> Vec<(&'static str, String)> {
    vec![
        (
            "cookie",
            format!("canary=arrives; {session}; __Host-ksess=ks1_control; __Host-kwn=nonce"),
        ),
        ("authorization", "Bearer kp_token".to_owned()),
        ("x-kalpana-user", "root".to_owned()),
        ("x_forwarded_for", "10.9.8.7".to_owned()),
        ("forwarded", "host=evil.example".to_owned()),
    ]
}

fn assert_clean(arrived: &str, session: &str) {
    assert!(arrived.contains("canary=arrives"), "{arrived}");
    let secret = session.split_once('=').unwrap().1;
    for ours in [
        secret,
        "__Host-k",
        "ks1_",
        "kp_",
        "nonce",
        "root",
        "10.9.8.7",
        "evil.example",
        "v4.public",
    ] {
        assert!(!arrived.contains(ours), "{ours} arrived: {arrived}");
    }
    assert!(!arrived.to_lowercase().contains("x-kalpana"), "{arrived}");
}

#[tokio::test]
async fn none_of_our_cookies_and_tokens_arrives_by_any_way() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let mut seen = 0;
    for label in [MINE.to_owned(), format!("3000-{MINE}")] {
        let session = world.sign_in(&label, 1).await;
        use_every_way(&world, &label, &session).await;
        let arrived = bridge.arrived.lock().unwrap()[seen..].to_vec();
        seen += arrived.len();
        for connection in &arrived {
            // The canary is in each.
            assert_clean(&connection.text(), &session);
        }
        let arrived: String = arrived.iter().map(crate::bridge::Arrived::text).collect();
        for way in [
            "/echo?http ",
            "/echo?post ",
            "/die ",
            "/sse ",
            "/redirects ",
            "/echo?redirected ",
            "/echo?h2 ",
        ] {
            assert!(arrived.contains(way), "{way}");
        }
        assert_eq!(arrived.matches("GET /ws ").count(), 3);
        let host = format!("x-forwarded-host: {}", world.host(&label));
        assert!(arrived.to_lowercase().contains(&host), "{arrived}");
    }
}

/// Asks for everything in every way there is, with all there is of ours.
async fn use_every_way(world: &World, label: &str, session: &str) {
    let (host, origin) = (world.host(label), world.origin(label));
    let headers = loaded(session);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let get = |path: &str| request("GET", &host, path, &headers);

    assert_eq!(world.send(get("/echo?http")).await.status(), 200);
    let mut post = request("POST", &host, "/echo?post", &headers);
    *post.body_mut() = Full::from("body");
    assert_eq!(world.send(post).await.status(), 200);
    assert_eq!(world.send(get("/die")).await.status(), 502);
    let answer = world.send(get("/redirects")).await;
    let next = answer.headers()["location"].to_str().unwrap();
    assert_eq!(world.send(get(next)).await.status(), 200);

    let mut h1 = world.h1(&host).await;
    let stream = patient(h1.send_request(get("/sse"))).await.unwrap();
    let mut events = stream.into_body();
    patient(events.frame()).await.unwrap().unwrap();
    drop((events, h1));

    // Over HTTP/2 browsers may split the cookies.
    let mut h2 = world.h2(&host).await;
    let mut split = request("GET", &host, "/", &[]);
    *split.uri_mut() = format!("https://{host}/echo?h2").parse().unwrap();
    split.headers_mut().remove("host");
    for (name, value) in &headers {
        for piece in value.split("; ") {
            split.headers_mut().append(*name, piece.parse().unwrap());
        }
    }
    let answer = whole(patient(h2.send_request(split)).await.unwrap()).await;
    assert_eq!(answer.status(), 200);

    let mut from_page = headers.clone();
    from_page.push(("origin", &origin));
    let mut socket = upgrade::open(world, &host, "/ws", &from_page)
        .await
        .unwrap();
    upgrade::echo(&mut socket, "hello").await;
    let late = upgrade::late_upgrade(world, &host, &from_page).await;
    assert!(late.starts_with("HTTP/1.1 101"), "{late}");
    let mut h2 = upgrade::extended(world, &host).await;
    let mut asked = upgrade::connect(&host, "/ws", "", &origin);
    for (name, value) in &headers {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (answer, _body) = h2.send_request(asked, false).unwrap();
    assert_eq!(patient(answer).await.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_are_shared_within_one_surface_of_one_generation_and_never_beyond() {
    let world = World::start().await;
    let (mine, other) = (
        Bridge::start(&world, MINE, 1),
        Bridge::start(&world, FOREIGN, 1),
    );
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, world.user, 1, target).await;
    let port = format!("3000-{MINE}");
    let mut sessions = Vec::new();
    for label in [MINE, &port, FOREIGN] {
        sessions.push((world.host(label), world.sign_in(label, 1).await));
    }
    // One connection from outside: the next request is read only when the pool has the upstream.
    let mut h1 = world.h1(&world.host(MINE)).await;
    for _ in 0..3 {
        for (host, session) in &sessions {
            patient(h1.ready()).await.unwrap();
            let sent = h1.send_request(get(host, &format!("/echo?{host}"), session));
            let answer = whole(patient(sent).await.unwrap()).await;
            assert_eq!(answer.status(), 200);
            assert!(
                text(&answer).contains(&format!("/echo?{host} ")),
                "{}",
                text(&answer)
            );
        }
    }
    assert_eq!(mine.targets(), ["editor", "port:3000"], "each reused twice");
    assert_eq!(other.targets(), ["editor"]);
    let per_connection: Vec<usize> = mine
        .arrived
        .lock()
        .unwrap()
        .iter()
        .map(|c| c.text().matches("GET ").count())
        .collect();
    assert_eq!(per_connection, [3, 3]);

    // A new generation at the same path: the pooled connection of the old one is not for it.
    drop(mine);
    let mine = Bridge::start(&world, MINE, 2);
    let target = world.running(MINE, 2);
    world.route(MINE, world.user, 2, target).await;
    let session = world.sign_in(MINE, 2).await;
    let answer = world.send(get(&world.host(MINE), "/echo", &session)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(mine.targets(), ["editor"]);
}

#[tokio::test]
async fn the_host_decides_and_not_the_name_in_the_handshake() {
    let world = World::start().await;
    let (mine, other) = (
        Bridge::start(&world, MINE, 1),
        Bridge::start(&world, FOREIGN, 1),
    );
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, world.user, 1, target).await;
    let session = world.sign_in(MINE, 1).await;
    // One connection, as browsers coalesce them: its name is the neighbour's.
    let mut h2 = world.h2(&world.host(FOREIGN)).await;
    let mut status = async |label: &str| {
        let mut request = get("x", "/echo", &session);
        request.headers_mut().remove("host");
        *request.uri_mut() = format!("{}/echo", world.origin(label)).parse().unwrap();
        whole(patient(h2.send_request(request)).await.unwrap())
            .await
            .status()
            .as_u16()
    };
    assert_eq!(status(MINE).await, 200);
    assert_eq!(status(FOREIGN).await, 401, "the session is not that host's");
    assert_eq!((mine.targets().len(), other.targets().len()), (1, 0));
}

#[tokio::test]
async fn web_gets_what_is_its_and_only_from_us() {
    let world = World::start().await;
    let host = world.site.base_host();
    let headers = [
        ("cookie", "__Host-ksess=ks1_x"),
        ("x-forwarded-for", "10.9.8.7"),
        ("x-kalpana-internal", "Bearer forged"),
        ("x-request-id", "forged"),
    ];
    let answer = world
        .send(request("GET", &host, "/api/site?x=1", &headers))
        .await;
    assert_eq!(answer.status(), 200);
    let heard = text(&answer);
    for line in [
        "GET /api/site?x=1\n",
        "cookie: __Host-ksess=ks1_x\n",
        "host: kalpana.localhost:8443\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: https\n",
    ] {
        assert!(heard.contains(line), "{line} in {heard}");
    }
    let id = answer.headers()["x-request-id"].to_str().unwrap();
    assert!(heard.contains(&format!("x-request-id: {id}\n")), "{heard}");
    assert!(
        !heard.contains("forged") && !heard.contains("10.9.8.7"),
        "{heard}"
    );
    assert_eq!(world.web_heard.lock().unwrap().len(), 1);
}
