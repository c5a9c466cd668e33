//! The internal API over HTTP, with a store that is real and an engine that is not.

use axum::http::Request;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::ManualClock;
use tower::ServiceExt as _;

use super::*;
use crate::engine::fake::{Calm, FakeEngine, Sky};
use crate::idle::watch::tests::watch;
use crate::intent::tests::{Fixture, fixture};
use crate::snapshot::fake::FakePorter;
use crate::snapshot::tests::keeper;

struct World {
    router: Router,
    fixture: Fixture,
    engine: FakeEngine,
    journal: Journal,
}

async fn world() -> World {
    let fixture = fixture().await;
    let engine = FakeEngine::new(Sky::new(Calm));
    let journal = Journal::default();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let figures = crate::figures::tests::figures(&fixture.intents.feeds, &engine, &journal);
    let api = Api {
        figures,
        keeper: keeper(&fixture, &FakePorter::default(), clock),
        intents: fixture.intents.clone(),
        engine: Arc::new(engine.clone()),
        journal: journal.clone(),
        watch: Arc::new(watch(fixture.intents.clone(), Arc::default())),
    };
    World {
        router: router(api),
        fixture,
        engine,
        journal,
    }
}

impl World {
    async fn call(&self, method: &str, path: &str, body: impl serde::Serialize) -> (u16, String) {
        let body = Body::from(serde_json::to_vec(&body).unwrap());
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> (u16, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn refused(&self, path: &str, body: impl serde::Serialize) -> (u16, String) {
        let (status, body) = self.call("POST", path, body).await;
        let error: InternalError = serde_json::from_str(&body).expect(&body);
        assert!(!error.message.is_empty());
        (status, error.code)
    }
}

#[tokio::test]
async fn intents_are_answered_with_the_row() {
    let world = world().await;
    let request = &world.fixture.request;
    let (status, body) = world.call("POST", "/v1/workspaces", request).await;
    assert_eq!(status, 202, "{body}");
    let answer: WorkspaceAnswer = serde_json::from_str(&body).unwrap();
    let row: Workspace = serde_json::from_value(answer.workspace).unwrap();
    let intent = Intent {
        asker: request.asker.clone(),
    };
    for (verb, state) in [("stop", "stopping"), ("delete", "deleting")] {
        let (status, body) = world
            .call(
                "POST",
                &format!("/v1/workspaces/{}/{verb}", row.id),
                &intent,
            )
            .await;
        assert_eq!(status, 202);
        let answer: WorkspaceAnswer = serde_json::from_str(&body).unwrap();
        assert_eq!(answer.workspace["lifecycle"]["state"], state);
    }
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let world = world().await;
    let request = world.fixture.request.clone();
    let intent = Intent {
        asker: request.asker.clone(),
    };
    let create = "/v1/workspaces";
    assert_eq!(
        world.refused(create, "nonsense").await,
        (400, "invalid".into())
    );
    let emoji = CreateWorkspace {
        name: "🦀".into(),
        ..request.clone()
    };
    assert_eq!(world.refused(create, emoji).await, (400, "invalid".into()));
    for path in [
        "/v1/workspaces/zzzzzzzzzz01/start",
        "/v1/workspaces/x/delete",
    ] {
        assert_eq!(
            world.refused(path, &intent).await,
            (404, "not_found".into())
        );
    }
    let row = world.fixture.intents.create(&request, None).await.unwrap();
    let start = format!("/v1/workspaces/{}/start", row.id);
    assert_eq!(
        world.refused(&start, &intent).await,
        (409, "invalid_transition".into())
    );
    for _ in 0..2 {
        world.fixture.intents.create(&request, None).await.unwrap();
    }
    assert_eq!(
        world.refused(create, &request).await,
        (409, "quota_exceeded".into())
    );
    let huge = CreateWorkspace {
        name: "a".repeat(BODY_LIMIT),
        ..request
    };
    assert_eq!(world.call("POST", create, huge).await.0, 413);
}

#[tokio::test]
async fn the_log_is_what_we_did_and_what_the_container_wrote() {
    let world = world().await;
    let row = world
        .fixture
        .intents
        .create(&world.fixture.request, None)
        .await
        .unwrap();
    world.journal.note(row.id, row.created_at, "starting");
    let definition = crate::container::definition(
        &crate::testing::host(),
        &crate::testing::capabilities(),
        &row,
        format!("/run/kalpana/w/{}", row.id).into(),
    );
    for volume in crate::volume::definitions("kalpana", row.id) {
        world.engine.create_volume(&volume).await.unwrap();
    }
    world.engine.create_container(&definition).await.unwrap();
    world.engine.world.lock().unwrap().log =
        b"2026-01-02T03:04:05Z {\"at\":\"2026-01-02T03:04:05Z\",\"source\":\"editor\",\"text\":\"\\u001b[31mup\"}\n".to_vec();
    let path = format!("/v1/workspaces/{}/logs?follow=false", row.id);
    let (status, body) = world.call("GET", &path, ()).await;
    assert_eq!(status, 200);
    let lines: Vec<LogLine> = body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let texts: Vec<_> = lines
        .iter()
        .map(|line| (line.source.as_str(), line.text.as_str()))
        .collect();
    assert_eq!(
        texts,
        [("kalpana", "starting"), ("editor", "\u{fffd}[31mup")]
    );
    assert_eq!(
        world
            .call("GET", "/v1/workspaces/zzzzzzzzzz01/logs", ())
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn a_followed_log_ends_with_the_reason_of_the_failure() {
    let world = world().await;
    let row = world
        .fixture
        .intents
        .create(&world.fixture.request, None)
        .await
        .unwrap();
    let path = format!("/v1/workspaces/{}/logs?follow=true", row.id);
    let following = world.call("GET", &path, ());
    let failing = async {
        // The handler subscribes before it looks at the row; a line noted now is told either way.
        world
            .journal
            .note(row.id, row.created_at, "failed: no such repository");
        let lifecycle = row.lifecycle.clone().fail(
            row.created_at,
            kalpana_domain::lifecycle::FailureReason::new(
                kalpana_domain::lifecycle::FailureCode::CloneFailed,
                "no such repository",
            ),
        );
        let failed = Workspace {
            lifecycle: lifecycle.unwrap(),
            ..row.clone()
        };
        world
            .fixture
            .store
            .update_workspace(&failed, None)
            .await
            .unwrap();
    };
    let ((status, body), ()) = tokio::join!(following, failing);
    assert_eq!(status, 200);
    assert!(body.contains("failed: no such repository"), "{body}");
}

#[tokio::test]
async fn both_feeds_are_served_where_readers_look_for_them() {
    let world = world().await;
    for path in ["/v1/routes?reader=test", "/v1/progress?reader=test"] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let first = response
            .into_body()
            .into_data_stream()
            .next()
            .await
            .unwrap()
            .unwrap();
        assert!(
            first.starts_with(b"{\"type\":\"snapshot\""),
            "{path}: {first:?}"
        );
    }
    let heard = kalpana_protocol::feed::Acknowledgement {
        reader: "test".into(),
        epoch: 0,
        seq: 0,
    };
    assert_eq!(world.call("POST", "/v1/routes/ack", heard).await.0, 204);
}
