//! Signing out: here, on the gateways, and in open streams, before the answer.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use http::Method;
use http_body_util::BodyExt;
use kalpana_link::Client;
use kalpana_link::feed::{Follow, follow};
use kalpana_protocol::feed::{Acknowledgement, Line};
use kalpana_protocol::sessions::{SessionChange, SessionLine, SessionState};
use tokio::sync::watch;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use crate::support::http::Answer;
use crate::support::{Site, in_time};

fn client(site: &Site) -> Client {
    Client::new(
        "web",
        site.site.web_internal_socket(),
        Some(site.token.clone()),
    )
}

#[tokio::test]
async fn signing_out_waits_until_the_gateway_has_heard_of_it() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let gateway = client(&site);
    let response = gateway
        .stream("/v1/sessions?reader=gateway-1", None)
        .await
        .unwrap();
    let bytes = response
        .into_body()
        .into_data_stream()
        .map_err(std::io::Error::other);
    let mut lines = FramedRead::new(StreamReader::new(bytes), LinesCodec::new());
    let first = in_time(lines.next()).await.unwrap().unwrap();
    let Line::Snapshot { epoch, state, .. } = serde_json::from_str::<SessionLine>(&first).unwrap()
    else {
        panic!("{first}");
    };
    assert_eq!(state.revoked_sessions, []);
    assert_eq!(state.ticket_keys.len(), 1);
    assert!(state.ticket_keys[0].starts_with("k4.public."), "{state:?}");

    let mut events = root.events().await;
    events.until_ready().await;
    let began = Instant::now();
    let leaving = root.clone();
    let sign_out = tokio::spawn(async move { leaving.delete("/api/session").await });
    let heard = loop {
        let line = in_time(lines.next()).await.unwrap().unwrap();
        match serde_json::from_str::<SessionLine>(&line).unwrap() {
            Line::Change {
                seq,
                change: SessionChange::Revoked { session },
            } => {
                assert!(!session.session.is_empty());
                break seq;
            }
            Line::Heartbeat { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(!sign_out.is_finished(), "it waits for us");
    // The store knows already: nobody gets in anew while the answer is outstanding.
    assert_eq!(root.get("/api/session").await.status, 401);
    let acknowledgement = Acknowledgement {
        reader: "gateway-1".to_owned(),
        epoch,
        seq: heard,
    };
    let (): () = gateway
        .call(
            Method::POST,
            "/v1/sessions/ack",
            None,
            Some(&acknowledgement),
        )
        .await
        .unwrap();
    let answer = in_time(sign_out).await.unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(
        began.elapsed() < Duration::from_millis(1000),
        "it did not wait for nothing"
    );
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-ksess=;") && cookie.contains("Max-Age=0"),
        "{cookie}"
    );
    assert_eq!(
        events.next().await,
        None,
        "the session's streams end with it"
    );
}

#[tokio::test]
async fn a_gateway_that_says_nothing_does_not_hold_up_signing_out_for_ever() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let silent = client(&site)
        .stream("/v1/sessions?reader=silent", None)
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(root.delete("/api/session").await.status, 204);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(950), "{waited:?}");
    drop(silent);
    let again = root.delete("/api/session").await;
    assert_eq!(again.outcome(), (401, "unauthenticated".to_owned()));
}

struct Gateway {
    state: Mutex<SessionState>,
    snapshots: watch::Sender<usize>,
}

impl Follow for Gateway {
    type State = SessionState;
    type Change = SessionChange;
    fn snapshot(&self, state: SessionState) {
        *self.state.lock().unwrap() = state;
        self.snapshots.send_modify(|count| *count += 1);
    }
    fn change(&self, _: SessionChange) {}
    fn connected(&self, _: bool) {}
}

#[tokio::test]
async fn ended_sessions_and_the_ticket_key_survive_a_restart() {
    let mut site = Site::start().await;
    let root = site.administrator().await;
    let other = site.sign_in("root@example.com").await;
    assert_eq!(other.delete("/api/session").await.status, 204);
    let key_before = {
        let response = client(&site)
            .stream("/v1/sessions?reader=a", None)
            .await
            .unwrap();
        let frame = in_time(response.into_body().frame())
            .await
            .unwrap()
            .unwrap();
        let line: SessionLine = serde_json::from_slice(&frame.into_data().unwrap()).unwrap();
        let Line::Snapshot { state, .. } = line else {
            panic!("{line:?}")
        };
        state.ticket_keys
    };
    site.stop_web().await;
    site.start_web().await;

    let gateway = Gateway {
        state: Mutex::default(),
        snapshots: watch::channel(0).0,
    };
    let shutdown = CancellationToken::new();
    let mut snapshots = gateway.snapshots.subscribe();
    tokio::select! {
        () = follow(client(&site), "/v1/sessions", "gateway-2", &gateway, shutdown.clone()) => {}
        seen = in_time(snapshots.wait_for(|count| *count > 0)) => { seen.unwrap(); }
    }
    let state = gateway.state.lock().unwrap().clone();
    assert_eq!(state.ticket_keys, key_before);
    assert_eq!(state.revoked_sessions.len(), 1);
    let ahead = state.revoked_sessions[0].remember_until
        - kalpana_domain::clock::Clock::now(&kalpana_domain::clock::SystemClock).as_second();
    assert!((12 * 3600..=13 * 3600).contains(&ahead), "{ahead}");
    assert_eq!(
        root.get("/api/session").await.status,
        200,
        "who is signed in stays signed in"
    );
}

#[tokio::test]
async fn a_way_to_a_workspace_that_was_begun_before_a_sign_out_ends_at_the_sign_in_page() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    site.orchestrator().run(&id).await;
    // One for each tab: the editor, and two ports.
    let tabs = [id.clone(), format!("3000-{id}"), format!("8080-{id}")].map(|label| {
        let rid = kalpana_auth::nonce::Nonce::generate().rid();
        format!("/auth/workspace?host={label}&rid={rid}&to=%2F")
    });
    let page = root.navigating();
    let to = |answer: &Answer| answer.header("location").unwrap().to_owned();
    for path in &tabs {
        let answer = page.get(path).await;
        assert!(to(&answer).contains("/.kalpana/cb?t="), "{answer:?}");
    }
    assert_eq!(root.delete("/api/session").await.status, 204);
    for path in &tabs {
        // As the browser has it now, and as somebody kept it.
        for browser in [page.with("cookie", ""), page.clone()] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, 303, "{answer:?}");
            assert!(to(&answer).starts_with("/login?next="), "{answer:?}");
            let cookie = answer.header("set-cookie");
            assert!(
                cookie.is_none_or(|cookie| cookie.starts_with("__Host-ksess=;")),
                "{cookie:?}"
            );
        }
    }
    let answer = root.get("/api/session").await;
    assert_eq!(answer.outcome(), (401, "unauthenticated".to_owned()));
}
