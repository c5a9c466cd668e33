//! Workspaces sleep and are woken, from the command line and by visits, through every process.

use std::time::Duration;

use futures_util::StreamExt;
use kalpana_tests::docker::{docker, run_inside, start_inside};
use kalpana_tests::{Browser, World, until};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// A server that counts its visitors in memory.
const COUNTING: &str = "let n = 0; require('http').createServer((q,r)=>r.end(String(++n)))\
                        .listen(3000,'0.0.0.0',()=>require('fs').writeFileSync('/tmp/up',''))";

/// What the engine says that a workspace's container does.
async fn status(id: &str) -> anyhow::Result<String> {
    let label = format!("label=kalpana.workspace={id}");
    docker(&["ps", "--all", "--filter", &label, "--format", "{{.State}}"]).await
}

async fn until_status(id: &str, wanted: &str) -> anyhow::Result<()> {
    until(wanted, Duration::from_secs(60), async || {
        Ok((status(id).await?.trim() == wanted).then_some(()))
    })
    .await
}

/// Makes a workspace with a program that remembers, and visits it once. Returns its id and where the
/// program is.
async fn with_a_program(ada: &Browser) -> anyhow::Result<(String, String)> {
    let id = ada.create_workspace(&json!({ "name": "demo" })).await?;
    ada.until_state(&id, "running").await?;
    start_inside(&id, &format!("exec node -e \"{COUNTING}\"")).await?;
    until("the program", Duration::from_secs(20), async || {
        Ok(run_inside(&id, "cat /tmp/up").await.ok())
    })
    .await?;
    let port = format!("{}/", ada.origin(&format!("3000-{id}")));
    let (_, first) = ada.navigate(&port).await?;
    assert_eq!((first.status, first.body.as_str()), (200, "1"));
    Ok((id, port))
}

#[tokio::test]
async fn what_sleeps_is_woken_by_a_visit_and_its_programs_remember() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let ada = world.administrator().await?;
    let (id, port) = with_a_program(&ada).await?;
    let eve = world.member("eve").await?;

    // Not everybody may.
    let path = format!("/api/workspaces/{id}/pause");
    assert_eq!(
        eve.send(reqwest::Method::POST, &path, None).await?.status,
        404
    );
    let (_, editor) = ada.navigate(&format!("{}/", ada.origin(&id))).await?;
    assert_eq!(editor.status, 200);
    let url = format!("{}/", ada.origin(&id));
    let query = "?reconnectionToken=a&reconnection=false&skipWebSocketFrames=false";
    let origin = ada.origin(&id);
    let mut socket = ada
        .websocket(&format!("{url}{query}"), Some(&origin))
        .await?;

    let asked = ada.send(reqwest::Method::POST, &path, None).await?;
    assert_eq!(asked.status, 202, "{}", asked.body);
    ada.until_state(&id, "paused").await?;
    until_status(&id, "paused").await?;
    let code = loop {
        match tokio::time::timeout(Duration::from_secs(30), socket.next()).await? {
            Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
            Some(Ok(_)) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    };
    assert_eq!(code, Some(4408));
    let told = ada.get(&format!("/api/workspaces/{id}/activity")).await?;
    let told = told.json()?;
    assert!(
        told["stops_at"].is_string() && told["awake"].is_null(),
        "{told}"
    );

    // A page that polls is told so, and wakes nobody.
    let polled = ada.get(&port).await?;
    assert_eq!(polled.status, 503);
    assert_eq!(polled.json()?["error"]["code"], "workspace_asleep");
    assert_eq!(status(&id).await?.trim(), "paused");

    let visited = ada.visit(&port).await?;
    assert_eq!((visited.status, visited.body.as_str()), (200, "2"));
    let awake: Value = ada.get(&format!("/api/workspaces/{id}")).await?.json()?;
    assert_eq!(
        (&awake["state"], &awake["generation"]),
        (&json!("running"), &json!(1))
    );
    let told = ada.get(&format!("/api/workspaces/{id}/activity")).await?;
    assert!(told.json()?["pauses_at"].is_string(), "{}", told.body);

    // It stays asleep where its owner wants that, until they ask.
    let wish = json!({
        "pause_after_seconds": 3600,
        "stop_after_seconds": 0,
        "archive_after_seconds": 86400,
        "stays_asleep": true,
    });
    let path = format!("/api/workspaces/{id}/sleep");
    let kept = ada.send(reqwest::Method::PUT, &path, Some(&wish)).await?;
    assert_eq!(kept.status, 202, "{}", kept.body);
    assert_eq!(kept.json()?["sleep"], wish);
    let bad = json!({ "pause_after_seconds": 5, "stop_after_seconds": null });
    let refused = ada.send(reqwest::Method::PUT, &path, Some(&bad)).await?;
    assert_eq!(
        refused.json()?["error"]["code"],
        "invalid_sleep",
        "{}",
        refused.body
    );
    let pause = format!("/api/workspaces/{id}/pause");
    ada.send(reqwest::Method::POST, &pause, None).await?;
    until_status(&id, "paused").await?;
    let visited = ada.visit(&port).await?;
    assert_eq!(visited.status, 503);
    assert!(visited.body.contains("This workspace is asleep"));
    // Through the death of the one who knows, too.
    world.kill_role("orchestrator").await?;
    until_status(&id, "paused").await?;
    let start = format!("/api/workspaces/{id}/start");
    until("a start", Duration::from_secs(30), async || {
        let asked = ada.send(reqwest::Method::POST, &start, None).await?;
        Ok((asked.status == 202).then_some(()))
    })
    .await?;
    ada.until_state(&id, "running").await?;
    let visited = until("the third visit", Duration::from_secs(30), async || {
        let visited = ada.visit(&port).await?;
        Ok((visited.status == 200).then_some(visited))
    })
    .await?;
    assert_eq!(visited.body, "3");
    world.tear_down().await
}

#[tokio::test]
async fn two_hundred_visitors_of_what_sleeps_are_all_served_by_one_waking() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let ada = world.administrator().await?;
    let (id, port) = with_a_program(&ada).await?;
    let pause = format!("/api/workspaces/{id}/pause");
    ada.send(reqwest::Method::POST, &pause, None).await?;
    until_status(&id, "paused").await?;
    let visits = (0..200).map(|_| ada.visit(&port));
    let answers = futures_util::future::join_all(visits).await;
    let mut numbers = Vec::new();
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        numbers.push(answer.body.parse::<u32>()?);
    }
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (2..=201).collect::<Vec<_>>(),
        "each was served once"
    );
    let url = format!("http://127.0.0.1:{}/metrics", world.admin_ports[1]);
    let metrics = reqwest::get(url).await?.text().await?;
    let line = metrics
        .lines()
        .find(|line| line.contains("calls_seconds_count{call=\"unpause_container\""));
    assert_eq!(line.and_then(|line| line.rsplit(' ').next()), Some("1"));
    world.tear_down().await
}

#[tokio::test]
async fn an_idle_workspace_falls_asleep_by_itself_and_the_command_line_says_when()
-> anyhow::Result<()> {
    let world = World::start(&["orchestrator.pause_after=4s"]).await?;
    world.member("cli").await?;
    let login = ["login", "--email", "cli@example.com", "--password-stdin"];
    let ran = world
        .kalpana(&login, &[], "a long enough password of cli")
        .await?;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let run = async |arguments: &[&str]| world.kalpana(arguments, &[], "").await;
    let create = ["workspace", "create", "demo", "--format", "json"];
    let made = run(&create).await?.json()?;
    let id = made["id"].as_str().expect("an id").to_owned();
    let shown = run(&["workspace", "show", "demo"]).await?;
    assert!(
        shown.stdout.contains("\nawake       ") && shown.stdout.contains("\nsleeps      20"),
        "{}{}",
        shown.stdout,
        shown.stderr
    );
    until_status(&id, "paused").await?;
    let shown = run(&["workspace", "show", "demo"]).await?;
    assert!(
        shown.stdout.contains("state       paused"),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stdout.contains("\nstops       20"),
        "{}",
        shown.stdout
    );

    let never = ["workspace", "sleep", "demo", "--pause-after", "never"];
    let kept = run(&never).await?;
    assert!(
        kept.stdout.contains("never put to sleep"),
        "{}{}",
        kept.stdout,
        kept.stderr
    );
    let started = run(&["workspace", "start", "demo"]).await?;
    assert_eq!(started.code, 0, "{}", started.stderr);
    let shown = run(&["workspace", "show", "demo"]).await?;
    assert!(
        shown.stdout.contains("sleeps      not by itself"),
        "{}",
        shown.stdout
    );
    let asleep = run(&["workspace", "pause", "demo", "--format", "json"]).await?;
    assert_eq!(asleep.json()?["state"], "paused", "{}", asleep.stderr);
    let wrong = run(&["workspace", "sleep", "demo", "--pause-after", "5s"]).await?;
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("from 1m to 30d"), "{}", wrong.stderr);
    world.tear_down().await
}
