//! What happens at one web process while others serve the same site: they share only the store.

use std::collections::HashSet;

use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use kalpana_link::Client;
use kalpana_protocol::feed::Line;
use kalpana_protocol::sessions::{RevokedSession, SessionChange, SessionLine};
use kalpana_test_mongodb::{Database, Options, Server};
use serde_json::json;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use crate::support::http::Browser;
use crate::support::{PASSWORD, Site, in_time, mongodb};

const NEW_PASSWORD: &str = "another horse battery staple 43";

/// A gateway of one site.
struct Gateway {
    lines: Box<dyn Stream<Item = String> + Unpin>,
    /// What was ended before it connected.
    before: Vec<RevokedSession>,
    /// Sessions whose end it has heard of since, as often as it did.
    heard: Vec<String>,
}

impl Gateway {
    async fn of(site: &Site) -> Self {
        let token = Some(site.token.clone());
        let client = Client::new("web", site.site.web_internal_socket(), token);
        let response = client.stream("/v1/sessions?reader=one", None).await;
        let body = response.unwrap().into_body().into_data_stream();
        let reader = StreamReader::new(body.map_err(std::io::Error::other));
        let lines = FramedRead::new(reader, LinesCodec::new());
        let mut gateway = Self {
            lines: Box::new(lines.map(|line| line.unwrap())),
            before: Vec::new(),
            heard: Vec::new(),
        };
        let Line::Snapshot { state, .. } = gateway.line().await else {
            panic!("a snapshot comes first")
        };
        gateway.before = state.revoked_sessions;
        gateway
    }

    async fn line(&mut self) -> SessionLine {
        let line = in_time(self.lines.next()).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until the end of `count` different sessions was heard of.
    async fn until_heard(&mut self, count: usize) {
        while self.heard.iter().collect::<HashSet<_>>().len() < count {
            if let Line::Change {
                change: SessionChange::Revoked { session },
                ..
            } = self.line().await
            {
                self.heard.push(session.session);
            }
        }
    }
}

/// The same person at another site's door.
fn at(site: &Site, browser: &Browser) -> Browser {
    site.stranger()
        .with("cookie", browser.headers["cookie"].to_str().unwrap())
}

async fn a_sign_out_is_in_force_everywhere(here: Site) {
    let there = here.start_beside().await;
    let root = here.administrator().await;
    let (second, third) = (
        here.sign_in("root@example.com").await,
        there.sign_in("root@example.com").await,
    );
    let mut gateway = Gateway::of(&there).await;
    assert_eq!(gateway.before, []);
    let mut ended = at(&there, &root).events().await;
    let mut kept = at(&there, &second).events().await;
    ended.until_ready().await;
    kept.until_ready().await;

    assert_eq!(root.delete("/api/session").await.status, 204);
    gateway.until_heard(1).await;
    assert_eq!(ended.next().await, None, "its streams end there, too");
    let anew = at(&there, &root).get("/api/session").await;
    assert_eq!(anew.outcome(), (401, "unauthenticated".to_owned()));

    // What a process has ended itself it has told itself, and does not tell again. The second and
    // what follows it come by the store, so that by then the store has told of the third as well.
    assert_eq!(third.delete("/api/session").await.status, 204);
    gateway.until_heard(2).await;
    let id = here.workspace(&second, "w").await;
    here.orchestrator().run(&id).await;
    there.orchestrator().run(&id).await;
    kept.until_told(|workspace| workspace["id"] == id.as_str())
        .await;
    assert_eq!(second.delete("/api/session").await.status, 204);
    gateway.until_heard(3).await;
    assert_eq!(kept.next().await, None);
    let mut unique = gateway.heard.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), gateway.heard.len(), "{:?}", gateway.heard);

    // Who comes later finds all of it in the snapshot, at either site.
    assert_eq!(Gateway::of(&there).await.before.len(), 3);
    let mut other = Gateway::of(&here).await;
    let missing = 3 - other.before.len();
    other.until_heard(missing).await;
}

#[tokio::test]
async fn a_sign_out_is_in_force_at_every_process_on_one_sqlite_file() {
    a_sign_out_is_in_force_everywhere(Site::start().await).await;
}

#[tokio::test]
async fn a_sign_out_is_in_force_at_every_process_on_one_mongodb_database() {
    let database = Database::fresh().await.unwrap();
    a_sign_out_is_in_force_everywhere(Site::start_on(&database).await).await;
}

#[tokio::test]
async fn a_sign_out_right_after_the_database_is_back_is_not_missed_elsewhere() {
    // What it acknowledged must be on its disk when it is killed.
    let options = Options {
        sync: true,
        ..Options::default()
    };
    let mut server = Server::start_with(options).await.unwrap();
    let settings = mongodb(&server.uri(), "kalpana");
    let here = Site::start_with(|config| config.store = settings).await;
    let there = here.start_beside().await;
    let root = here.administrator().await;
    let mut gateway = Gateway::of(&there).await;
    let mut events = at(&there, &root).events().await;
    events.until_ready().await;

    server.kill().await.unwrap();
    let answer = root.get("/api/session").await;
    assert_eq!(answer.outcome(), (503, "store_unavailable".to_owned()));
    assert_eq!(answer.header("set-cookie"), None, "nobody is signed out");
    server.start_again().await.unwrap();
    in_time(async {
        // 401 when an answer was lost and the sign-out was not.
        while !matches!(root.delete("/api/session").await.status, 204 | 401) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gateway.until_heard(1).await;
    assert_eq!(events.next().await, None);
}

/// Ends sessions in every way there is but signing out, and sees each end everywhere.
async fn sessions_ended_by_their_owner_are_ended_everywhere(here: Site) {
    let there = here.start_beside().await;
    let root = here.administrator().await;
    let mut gateways = [Gateway::of(&here).await, Gateway::of(&there).await];
    let ways = [
        ("DELETE", "/api/sessions", None),
        (
            "PUT",
            "/api/password",
            Some(json!({"current": PASSWORD, "new": NEW_PASSWORD})),
        ),
    ];
    let mut count = 0;
    for (method, path, body) in ways {
        let others = [
            here.sign_in("root@example.com").await,
            there.sign_in("root@example.com").await,
        ];
        let mut streams = Vec::new();
        for other in &others {
            for site in [&here, &there] {
                let mut stream = at(site, other).events().await;
                stream.until_ready().await;
                streams.push(stream);
            }
        }
        let body = body.map(|body| body.to_string().into());
        let answer = root.send(method, path, body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        count += others.len();
        for gateway in &mut gateways {
            gateway.until_heard(count).await;
        }
        for stream in &mut streams {
            assert_eq!(stream.next().await, None, "{path}");
        }
        for other in &others {
            let answer = at(&there, other).get("/api/session").await;
            assert_eq!(answer.outcome(), (401, "unauthenticated".to_owned()));
        }
    }
    let kept = at(&there, &root).get("/api/session").await;
    assert_eq!(kept.status, 200, "{kept:?}");
    assert_eq!(Gateway::of(&there).await.before.len(), count);
}

#[tokio::test]
async fn sessions_ended_by_their_owner_are_ended_at_every_process_on_one_sqlite_file() {
    sessions_ended_by_their_owner_are_ended_everywhere(Site::start().await).await;
}

#[tokio::test]
async fn sessions_ended_by_their_owner_are_ended_at_every_process_on_one_mongodb_database() {
    let database = Database::fresh().await.unwrap();
    sessions_ended_by_their_owner_are_ended_everywhere(Site::start_on(&database).await).await;
}
