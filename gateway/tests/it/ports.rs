//! Ports as applications use them: pages that use another port, what an application is told of its
//! caller, and answers that never end.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, VARY,
};
use http::{HeaderName, Request};
use http_body_util::{BodyExt, Full};
use kalpana_domain::id::UserId;

use crate::bridge::{Bridge, CLOSED_PORT};
use crate::client::{Answer, code, get, request, text};
use crate::sharing::shared;
use crate::upgrade;
use crate::world::{FOREIGN, MINE, NOBODYS, World, patient};

/// The port that serves the page, and the one that the page uses.
fn page() -> String {
    format!("3000-{MINE}")
}

fn interface() -> String {
    format!("8080-{MINE}")
}

fn preflight(host: &str, origin: &str) -> Request<Full<Bytes>> {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "content-type, x-mine"),
    ];
    request("OPTIONS", host, "/echo", &headers)
}

fn from(method: &str, host: &str, path: &str, origin: &str, session: &str) -> Request<Full<Bytes>> {
    let headers = [
        ("origin", origin),
        ("cookie", session),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-mode", "cors"),
    ];
    request(method, host, path, &headers)
}

fn header(answer: &Answer, name: HeaderName) -> &str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_page_of_one_port_uses_another_port_of_its_workspace() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let (host, origin) = (world.host(&interface()), world.origin(&page()));

    let answer = world.send(preflight(&host, &origin)).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), origin);
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_CREDENTIALS), "true");
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_METHODS), "PUT");
    let allowed = header(&answer, ACCESS_CONTROL_ALLOW_HEADERS);
    assert_eq!(allowed, "content-type, x-mine");
    assert!(header(&answer, VARY).contains("Origin"));
    assert_eq!(bridge.text(), "", "it is answered before the application");

    // Without a session there, the page can read where its user has to go once.
    let answer = world.send(from("PUT", &host, "/echo", &origin, "")).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), origin);
    let error: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(error["error"]["sign_in"], format!("https://{host}/"));
    assert_eq!(bridge.text(), "");

    let session = world.sign_in(&interface(), 1).await;
    for method in ["GET", "PUT", "DELETE"] {
        let sent = from(method, &host, "/echo", &origin, &session);
        let answer = world.send(sent).await;
        assert_eq!(answer.status(), 200, "{method}");
        assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), origin);
        assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_CREDENTIALS), "true");
        assert_eq!(header(&answer, VARY), "Origin");
        let arrived = text(&answer).to_lowercase();
        assert!(arrived.contains(&format!("origin: {origin}\r\n")));
    }
    let headers = [("cookie", session.as_str()), ("origin", &origin)];
    let mut socket = upgrade::open(&world, &host, "/ws", &headers).await.unwrap();
    upgrade::echo(&mut socket, "hello").await;

    // Nothing listens there, which the page may know.
    let closed = format!("{CLOSED_PORT}-{MINE}");
    let session = world.sign_in(&closed, 1).await;
    let sent = from("GET", &world.host(&closed), "/", &origin, &session);
    let answer = world.send(sent).await;
    assert_eq!(code(&answer), "port_closed");
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), origin);
}

#[tokio::test]
async fn what_the_application_says_of_its_readers_is_passed_on_as_it_is() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let (host, origin) = (world.host(&interface()), world.origin(&page()));
    let session = world.sign_in(&interface(), 1).await;
    let sent = from("GET", &host, "/cors", &origin, &session);
    let answer = world.send(sent).await;
    assert_eq!(
        header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN),
        "https://app.example"
    );
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_CREDENTIALS), "");
    assert_eq!(header(&answer, VARY), "Accept");
}

#[tokio::test]
async fn other_workspaces_and_sites_may_not_use_a_port_even_with_its_session() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&interface());
    let session = world.sign_in(&interface(), 1).await;
    let neighbour = world.origin(&format!("3000-{FOREIGN}"));
    for origin in [neighbour.as_str(), "https://evil.example", "null"] {
        for method in ["GET", "POST"] {
            let sent = from(method, &host, "/cors", origin, &session);
            let answer = world.send(sent).await;
            assert_eq!(answer.status(), 403, "{method} from {origin}");
            assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), "");
        }
        let headers = [("cookie", session.as_str()), ("origin", origin)];
        let refused = upgrade::open(&world, &host, "/ws", &headers).await;
        assert_eq!(refused.unwrap_err(), 403, "{origin}");
    }
    assert_eq!(bridge.text(), "");
}

#[tokio::test]
async fn a_preflight_says_the_same_of_every_workspace_there_is_or_is_not() {
    let world = World::start().await;
    let (mine, foreign) = (
        Bridge::start(&world, MINE, 1),
        Bridge::start(&world, FOREIGN, 1),
    );
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, UserId::generate(), 1, target).await;
    for (from, is_allowed) in [
        ("https://evil.example".to_owned(), false),
        (world.origin("3000-abcdefghij09"), false),
        // Spellings that somebody might take for the same.
        (
            "http://3000-workspace.kalpana.localhost:8443".to_owned(),
            false,
        ),
        ("https://3000-workspace.kalpana.localhost".to_owned(), false),
        (
            "https://%33000-workspace.kalpana.localhost:8443".to_owned(),
            false,
        ),
        (
            "https://3000-workspace.kalpana.localhost.:8443".to_owned(),
            false,
        ),
        (
            "https://3000-workspace.kalpana.localhost:8443@evil.example".to_owned(),
            false,
        ),
        (
            "https://3000-workspace.kalpana.localhost:8443, https://evil.example".to_owned(),
            false,
        ),
        (
            "https://3000--workspace.kalpana.localhost:8443".to_owned(),
            false,
        ),
        ("null".to_owned(), false),
        (
            "https://3000-workspace.kalpana.localhost:8443".to_owned(),
            true,
        ),
    ] {
        let mut seen = Vec::new();
        for workspace in [MINE, FOREIGN, NOBODYS] {
            let host = world.host(&format!("8080-{workspace}"));
            let origin = from.replace("workspace", workspace);
            let answer = world.send(preflight(&host, &origin)).await;
            let headers = answer.headers().iter();
            let headers = headers.filter(|(name, _)| *name != "date" && *name != "x-request-id");
            let headers: Vec<_> = headers
                .map(|(name, value)| {
                    let value = value.to_str().unwrap().replace(workspace, "workspace");
                    (name.clone(), value)
                })
                .collect();
            assert_eq!(answer.status(), 204);
            assert!(!answer.headers().contains_key("location"));
            let allowed = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allowed.is_some(), is_allowed, "{origin}");
            seen.push(headers);
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
    }
    assert_eq!(mine.text() + &foreign.text(), "");
}

#[tokio::test]
async fn a_public_port_answers_preflights_itself() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world.share(shared("public")).await;
    let host = world.host(&page());
    let answer = world.send(preflight(&host, "https://app.example")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), "");
    assert!(bridge.text().starts_with("OPTIONS /echo HTTP/1.1\r\n"));
    let sent = from("GET", &host, "/echo", &world.origin(&interface()), "");
    let answer = world.send(sent).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), "");
}

#[tokio::test]
async fn an_application_learns_who_asks_and_by_which_address_and_gets_its_own_credentials() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&page());
    let session = world.sign_in(&page(), 1).await;
    let headers = [
        ("cookie", session.as_str()),
        ("authorization", "Bearer the-applications-own"),
        ("forwarded", "for=10.9.8.7;proto=http"),
        ("x-forwarded-for", "10.9.8.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
    ];
    let answer = world.send(request("GET", &host, "/echo", &headers)).await;
    let heard = text(&answer);
    let mut lines: Vec<_> = heard
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| name.contains("forwarded") || name == "authorization")
        .collect();
    lines.sort();
    let forwarded = format!("for=127.0.0.1;host=\"{host}\";proto=https");
    let expected = [
        ("authorization", "Bearer the-applications-own"),
        ("forwarded", &forwarded),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", &host),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(
        lines,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    assert!(!heard.contains("__Host-"), "{heard}");
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&page());
    let session = world.sign_in(&page(), 1).await;
    let mut h1 = world.h1(&host).await;
    let mut h2 = world.h2(&host).await;
    for version in [1, 2] {
        let mut sent = get(&host, "/events", &session);
        let answer = if version == 1 {
            patient(h1.send_request(sent)).await.unwrap()
        } else {
            sent.headers_mut().remove("host");
            *sent.uri_mut() = format!("https://{host}/events").parse().unwrap();
            patient(h2.send_request(sent)).await.unwrap()
        };
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        for number in 1..=9 {
            bridge.events.add_permits(1);
            let event = format!("data: {number}\n\n");
            let mut heard = Vec::new();
            while heard.len() < event.len() {
                let frame = patient(body.frame()).await.unwrap().unwrap();
                heard.extend_from_slice(frame.data_ref().unwrap());
            }
            assert_eq!(heard, event.as_bytes(), "HTTP/{version}");
        }
        assert!(patient(body.frame()).await.is_none_or(|end| end.is_ok()));
    }
}
