//! What passes between web and the orchestrator, and what people see when it cannot.

use serde_json::{Value, json};

use crate::support::{Site, id_of};

#[tokio::test]
async fn a_wish_is_passed_on_with_who_asks_and_under_the_same_names() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let user = root.get("/api/session").await.json()["user"]["id"].clone();
    let request_id = "01938f2e-1111-7000-8000-000000000000";
    let browser = root
        .with("idempotency-key", "key-1")
        .with("x-request-id", request_id)
        .with("x-forwarded-for", "198.51.100.7");
    let wish = json!({
        "name": "My project", "repository": "https://git.example.com/a/b.git", "branch": "main",
        "size": "medium", "egress": "none",
    });
    let answer = browser.post("/api/workspaces", &wish).await;
    let id = id_of(&answer);
    assert_eq!(answer.header("x-request-id"), Some(request_id));
    let shown = answer.json();
    for (key, value) in wish.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    assert_eq!(shown["state"], "starting");
    assert_eq!(shown["url"], format!("https://{id}.kalpana.localhost:8443"));
    assert_eq!(shown["owner"], json!({"id": user, "name": "Root"}));
    assert_eq!(
        root.get(&format!("/api/workspaces/{id}")).await.json(),
        shown
    );

    let token = site.token_of(&root, &["workspace:write"]).await;
    assert_eq!(
        token
            .send("POST", &format!("/api/workspaces/{id}/stop"), None)
            .await
            .status,
        202
    );
    let calls = site.orchestrator().calls();
    let [created, stopped] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(created.request_id.as_deref(), Some(request_id));
    assert_eq!(created.path, "/v1/workspaces");
    assert_eq!(created.body["idempotency_key"], "key-1");
    assert_eq!(created.body["asker"]["user"], user);
    assert_eq!(created.body["asker"]["address"], "198.51.100.7");
    assert!(
        created.body["asker"]["session"].is_string() && created.body["asker"]["token"].is_null()
    );
    assert_eq!(created.body["size"], "medium");
    assert_eq!(stopped.path, format!("/v1/workspaces/{id}/stop"));
    assert!(
        stopped.body["asker"]["token"].is_string() && stopped.body["asker"]["session"].is_null()
    );
}

#[tokio::test]
async fn without_the_orchestrator_everything_can_be_seen_and_nothing_changed() {
    let mut site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    site.stop_orchestrator().await;
    let one = format!("/api/workspaces/{id}");
    for (method, path, body) in [
        (
            "POST",
            "/api/workspaces".to_owned(),
            Some(json!({"name": "x"}).to_string()),
        ),
        ("POST", format!("{one}/start"), None),
        ("POST", format!("{one}/stop"), None),
        ("DELETE", one.clone(), None),
        ("GET", format!("{one}/logs"), None),
    ] {
        let answer = root.send(method, &path, body.map(Into::into)).await;
        assert_eq!(
            answer.outcome(),
            (503, "orchestrator_unavailable".to_owned()),
            "{method} {path}"
        );
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert!(
            answer.json()["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("not affected")
        );
    }
    assert_eq!(root.get(&one).await.json()["id"], id.as_str());
    let told = async {
        loop {
            let notices = root.get("/api/site").await.json()["notices"].to_string();
            if notices.contains("orchestrator_unavailable") {
                break;
            }
        }
    };
    crate::support::in_time(told).await;
}

#[tokio::test]
async fn refusals_keep_their_meaning_and_failures_their_secrets() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    let path = format!("/api/workspaces/{id}/start");
    for (refusal, expected) in [
        (
            (
                409,
                "invalid_transition",
                "a workspace that is running cannot be started",
            ),
            (409, "invalid_transition"),
        ),
        (
            (
                409,
                "quota_exceeded",
                "the limit of 10 workspaces per person is reached",
            ),
            (409, "quota_exceeded"),
        ),
        (
            (409, "idempotency_conflict", "x"),
            (409, "idempotency_conflict"),
        ),
        ((404, "not_found", "x"), (404, "workspace_not_found")),
        (
            (400, "invalid", "the branch is odd"),
            (400, "invalid_request"),
        ),
        ((503, "store_unavailable", "x"), (503, "store_unavailable")),
        ((503, "store_frozen", "secret:db"), (503, "store_frozen")),
        ((503, "store_moved", "secret:db"), (503, "store_frozen")),
        ((503, "overloaded", "x"), (503, "overloaded")),
        ((500, "internal", "secret /var/lib/path"), (500, "internal")),
        ((418, "new_code", "secret /var/lib/path"), (500, "internal")),
    ] {
        site.orchestrator().refuse(Some(refusal));
        let answer = root.send("POST", &path, None).await;
        let (status, code) = answer.outcome();
        assert_eq!((status, code.as_str()), expected, "{refusal:?}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!text.contains("secret"), "{text}");
        if expected.1 == "invalid_transition" {
            let message = &answer.json()["error"]["message"];
            assert_eq!(message, "A workspace that is running cannot be started.");
        }
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
    }
}

#[tokio::test]
async fn logs_are_passed_through_line_by_line() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    let line = |text: &str| json!({"at": "2026-01-01T00:00:00Z", "source": "git", "text": text});
    let lines = vec![line("Cloning…"), line("\u{1b}[31m<b>red</b>")];
    site.orchestrator().set_log(lines.clone());
    let answer = root
        .get(&format!("/api/workspaces/{id}/logs?follow=true"))
        .await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let read: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, lines);
    let call = site.orchestrator().calls().pop().unwrap();
    assert_eq!(call.path, format!("/v1/workspaces/{id}/logs?follow=true"));
    // What is no log line, or an endless one, ends the stream and nothing else.
    site.orchestrator()
        .set_log(vec![line("first"), json!({"odd": 1}), line("never")]);
    let answer = root.get(&format!("/api/workspaces/{id}/logs")).await;
    assert_eq!(answer.body.iter().filter(|byte| **byte == b'\n').count(), 1);
    site.orchestrator()
        .set_log(vec![line("first"), line(&"x".repeat(100_000))]);
    let answer = root.get(&format!("/api/workspaces/{id}/logs")).await;
    assert_eq!(answer.body.iter().filter(|byte| **byte == b'\n').count(), 1);
    let wrong = root
        .get(&format!("/api/workspaces/{id}/logs?follow=maybe"))
        .await;
    assert_eq!(wrong.outcome(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn figures_are_shown_and_streamed_as_events() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    let sample = json!({
        "at": "2026-01-02T03:04:05Z", "cpu_cores": 0.25, "memory_bytes": 1 << 30, "processes": 42,
        "received_per_second": 1000, "sent_per_second": null, "read_per_second": 0,
        "written_per_second": 0, "oom_kills": 0,
    });
    let now = json!({
        "state": "running", "reason": null, "sample": sample,
        "limits": {"cpu_cores": 1.0, "memory_bytes": 2_u64 << 30, "processes": 1024},
    });
    let answer = root.get(&format!("/api/workspaces/{id}/figures")).await;
    assert_eq!(answer.status, 200);
    let expected = json!({
        "now": now, "resolution": 60, "history": [sample],
        "limits": {"cpu_cores": null, "memory_bytes": null, "processes": null},
    });
    assert_eq!(answer.json(), expected);

    let answer = root
        .get(&format!("/api/workspaces/{id}/figures/live"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let events: Vec<(&str, Value)> = text
        .split("\n\n")
        .filter_map(|event| event.split_once('\n'))
        .map(|(name, data)| {
            let data = data.strip_prefix("data: ").unwrap();
            (name, serde_json::from_str(data).unwrap())
        })
        .collect();
    let stopped = json!({"state": "stopped", "reason": null, "limits": null, "sample": null});
    assert_eq!(
        events,
        [("event: figures", now), ("event: figures", stopped)]
    );
}
