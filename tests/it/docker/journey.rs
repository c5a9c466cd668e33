//! The main job, end to end, with a Rust client as the user.

use std::time::Duration;

use futures_util::StreamExt;
use kalpana_test_mongodb::Database;
use kalpana_tests::docker::{containers, networks, run_inside};
use kalpana_tests::{Browser, GitServer, World, until};
use serde_json::json;

use super::inside::{heard, start_echo_server};

/// Makes a workspace from the repository `demo` and waits until it runs.
pub(crate) async fn running_workspace(
    world: &World,
    git: &GitServer,
    browser: &Browser,
) -> anyhow::Result<String> {
    // Networks are given out from the pool's start, the lowest free one first.
    let taken = networks(&world.instance).await?;
    git.add_repository(&format!("demo{taken}"), &[("README.md", "# Demo\n")])
        .await?;
    let repository = git.url(u32::try_from(taken)?, &format!("demo{taken}"));
    let body = json!({ "name": "Demo", "repository": repository });
    let id = browser.create_workspace(&body).await?;
    browser.until_state(&id, "running").await?;
    Ok(id)
}

#[tokio::test]
async fn a_new_user_gets_from_the_setup_link_to_code_server_and_files_survive_a_restart()
-> anyhow::Result<()> {
    from_the_setup_link_to_code_server_and_back(World::start(&[]).await?).await
}

#[tokio::test]
async fn on_mongodb_a_new_user_gets_from_the_setup_link_to_code_server_the_same_way()
-> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let world = World::start_on(database.uri(), database.name(), &[]).await?;
    let file = world.data_dir().join("store/kalpana.sqlite3");
    assert!(!file.exists(), "nothing is kept in a file then");
    from_the_setup_link_to_code_server_and_back(world).await
}

async fn from_the_setup_link_to_code_server_and_back(world: World) -> anyhow::Result<()> {
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;

    let editor = ada.origin(&id);
    let (url, page) = ada.navigate(&format!("{editor}/")).await?;
    assert_eq!(page.status, 200, "{url}");
    assert!(url.starts_with(&editor), "{url}");
    assert!(
        page.body.contains("workbench"),
        "not VS Code: {}",
        page.body
    );
    let framed_by = format!("frame-ancestors 'self' {}", ada.origin(""));
    assert!(
        page.headers
            .iter()
            .any(|(name, value)| name == "content-security-policy" && *value == framed_by),
        "who may frame the editor: {:?}",
        page.headers
    );

    let cloned = run_inside(
        &id,
        "cat /workspace/demo0/README.md && git -C /workspace/demo0 log --format=%s",
    )
    .await?;
    assert_eq!(cloned, "# Demo\nFirst");
    run_inside(
        &id,
        "echo mine > /workspace/demo0/mine.txt; echo home > ~/kept",
    )
    .await?;

    let stopped = ada
        .post(&format!("/api/workspaces/{id}/stop"), &json!({}))
        .await?;
    assert_eq!(stopped.status, 202, "{}", stopped.body);
    ada.until_state(&id, "stopped").await?;
    assert_eq!(containers(&world.instance).await?, Vec::<String>::new());
    let (url, page) = ada.navigate(&format!("{editor}/")).await?;
    assert!(
        !page.body.contains("workbench"),
        "{url} shows an editor of a stopped workspace"
    );

    let started = ada
        .post(&format!("/api/workspaces/{id}/start"), &json!({}))
        .await?;
    assert_eq!(started.status, 202, "{}", started.body);
    ada.until_state(&id, "running").await?;
    let kept = run_inside(&id, "cat /workspace/demo0/mine.txt ~/kept").await?;
    assert_eq!(kept, "mine\nhome");
    let (_, page) = ada.navigate(&format!("{editor}/")).await?;
    assert!(page.body.contains("workbench"));

    let deleted = ada
        .send(
            reqwest::Method::DELETE,
            &format!("/api/workspaces/{id}"),
            None,
        )
        .await?;
    assert_eq!(deleted.status, 202, "{}", deleted.body);
    until(
        "the workspace to be gone",
        Duration::from_secs(60),
        async || {
            let answer = ada.get(&format!("/api/workspaces/{id}")).await?;
            Ok((answer.status == 404).then_some(()))
        },
    )
    .await?;
    assert_eq!(containers(&world.instance).await?, Vec::<String>::new());
    let filter = format!("label=kalpana.instance={}", world.instance);
    let volumes =
        kalpana_tests::docker::docker(&["volume", "ls", "-q", "--filter", &filter]).await?;
    assert_eq!(
        volumes.lines().count(),
        2,
        "a deletion keeps the volumes: {volumes}"
    );
    world.tear_down().await
}

#[tokio::test]
async fn a_port_is_reached_by_its_owner_and_nothing_of_ours_arrives_there() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let port = ada.origin(&format!("3000-{id}"));

    let (_, nobody) = ada.navigate(&format!("{port}/")).await?;
    assert_eq!(nobody.status, 502, "nobody listens yet: {}", nobody.body);
    assert!(nobody.body.contains("3000"), "the page names the port");
    start_echo_server(&id).await?;

    // A stranger first, in every way there is; then the sentinel that must be first in the log.
    let stranger = world.browser()?;
    let sent_away = stranger
        .navigate_once(&format!("{port}/secret?a=1#x"))
        .await?;
    assert_eq!(sent_away.status, 303);
    for method in [
        reqwest::Method::GET,
        reqwest::Method::POST,
        reqwest::Method::OPTIONS,
    ] {
        let headers = [("sec-fetch-mode", "cors"), ("origin", port.as_str())];
        let answer = stranger
            .raw(method.clone(), &format!("{port}/api"), &headers)
            .await?;
        assert_eq!(
            (answer.status, answer.header("location")),
            (401, None),
            "{method}"
        );
    }
    let refused = stranger
        .websocket(&format!("{port}/ws"), Some(&port))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    let (_, page) = ada.navigate(&format!("{port}/sentinel")).await?;
    assert_eq!(page.status, 200);
    let first = heard(&id)
        .await?
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(
        first.contains("/sentinel"),
        "something arrived before: {first}"
    );

    // The owner over HTTP, WebSocket, server-sent events and an error path.
    let names: Vec<Option<&str>> = page
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.split('=').next())
        .collect();
    assert_eq!(
        names,
        [Some("app"), Some("wide")],
        "reserved cookies are not for apps to set"
    );
    assert!(
        !page
            .headers
            .iter()
            .any(|(_, value)| value.contains("Domain=")),
        "{page:?}"
    );
    let mut socket = ada.websocket(&format!("{port}/ws"), Some(&port)).await?;
    let message = socket.next().await.expect("a message")?.into_text()?;
    assert!(message.contains("/ws"), "{message}");
    let mut events = ada.stream(&format!("{port}/sse")).await?;
    let event = String::from_utf8(events.next().await.expect("an event")?.to_vec())?;
    assert!(event.contains("/sse"), "{event}");
    assert_eq!(ada.get(&format!("{port}/error")).await?.status, 500);
    assert_eq!(ada.get(&format!("{port}/die")).await?.status, 502);
    let log = heard(&id).await?;
    assert!(
        log.contains("app=1"),
        "the app's own cookie does arrive: {log}"
    );
    let cookies = ada.cookies(&port);
    assert!(
        cookies.contains("__Host-kws="),
        "the search below could find something: {cookies}"
    );
    for secret in ["__Host-k", "ks1_", "kp_", "kalpana-internal"] {
        assert!(
            !log.to_lowercase().contains(secret),
            "{secret} arrived: {log}"
        );
    }
    for (name, value) in cookies
        .split("; ")
        .filter_map(|cookie| cookie.split_once('='))
    {
        assert!(
            !name.starts_with("__Host-") || !log.contains(value),
            "{name} arrived"
        );
    }

    // Another person, signed in: exactly as if there were no such workspace, on a page where they
    // can ask for access to whatever there is.
    let bob = world.member("bob").await?;
    let (foreign_at, foreign) = bob.navigate(&format!("{port}/")).await?;
    let (missing_at, missing) = bob.navigate(&bob.origin("3000-zzzzzzzzzzzz")).await?;
    assert_eq!(
        foreign_at,
        format!("{}/request-access?host=3000-{id}&to=%2F", world.base_url())
    );
    assert_eq!(foreign_at, missing_at.replace("zzzzzzzzzzzz", &id));
    assert_eq!(
        (foreign.status, &foreign.body),
        (missing.status, &missing.body)
    );
    assert!(!heard(&id).await?.contains("bob"), "nothing of his arrived");
    world.tear_down().await
}
