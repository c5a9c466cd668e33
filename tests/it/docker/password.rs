//! A changed password, from the account page to what another browser has open in a workspace.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::StreamExt;
use kalpana_tests::{GitServer, World};
use reqwest::Method;
use serde_json::json;

use super::inside::start_echo_server;
use super::journey::running_workspace;

/// Longest wait for something that is closed at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// How soon it has to be closed.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_changed_password_closes_what_another_browser_has_open_in_a_workspace()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    start_echo_server(&id).await?;
    let (old, new) = (
        "correct horse battery staple",
        "an entirely different sentence",
    );
    let elsewhere = world.browser()?;
    let credentials = json!({ "email": "ada@example.com", "password": old });
    let signed_in = elsewhere.post("/api/session", &credentials).await?;
    assert_eq!(signed_in.status, 201, "{}", signed_in.body);

    let port = ada.origin(&format!("3000-{id}"));
    let mut open = Vec::new();
    for browser in [&elsewhere, &ada] {
        browser.navigate(&format!("{port}/")).await?;
        let mut socket = browser
            .websocket(&format!("{port}/socket"), Some(&port))
            .await?;
        let greeting = socket.next().await.context("a greeting")??;
        anyhow::ensure!(greeting.is_text(), "{greeting:?}");
        let mut events = browser.stream(&format!("{port}/sse")).await?;
        events.next().await.context("an event")??;
        open.push((socket, events));
    }

    let change = json!({ "current": old, "new": new });
    let changed = ada
        .send(Method::PUT, "/api/password", Some(&change))
        .await?;
    assert!((200..300).contains(&changed.status), "{}", changed.body);
    let answered = Instant::now();
    let (mut stays, mut events_stay) = open.pop().context("ada's own")?;
    let (mut socket, mut events) = open.pop().context("what is elsewhere")?;
    let ended = async {
        let heard = socket.next().await;
        let is_closed = !matches!(&heard, Some(Ok(message)) if message.is_text());
        anyhow::ensure!(is_closed, "{heard:?}");
        let event = events.next().await;
        anyhow::ensure!(!matches!(event, Some(Ok(_))), "the stream goes on");
        Ok(())
    };
    tokio::time::timeout(PATIENCE, ended).await??;
    let took = answered.elapsed();
    assert!(took < AT_ONCE, "{took:?} after the answer");
    let as_page = [
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
    ];
    let ask = format!("{port}/again");
    let refused = elsewhere.raw(Method::GET, &ask, &as_page).await?;
    assert_eq!(refused.status, 401, "{}", refused.body);
    assert_eq!(elsewhere.get("/api/session").await?.status, 401);

    // Who changed it goes on, and what they have open does too.
    let answer = ada.raw(Method::GET, &ask, &as_page).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let quiet = Duration::from_millis(200);
    for is_quiet in [
        tokio::time::timeout(quiet, stays.next()).await.is_err(),
        tokio::time::timeout(quiet, events_stay.next())
            .await
            .is_err(),
    ] {
        assert!(is_quiet, "something of their own was closed");
    }
    let refused = elsewhere.post("/api/session", &credentials).await?;
    assert_eq!(refused.status, 401);
    let credentials = json!({ "email": "ada@example.com", "password": new });
    let again = elsewhere.post("/api/session", &credentials).await?;
    assert_eq!(again.status, 201, "{}", again.body);
    world.tear_down().await
}
