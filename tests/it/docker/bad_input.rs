//! Everything that can be given wrongly: a clear answer, nothing half made.

use std::time::Duration;

use kalpana_tests::docker::{containers, docker, run_inside};
use kalpana_tests::{GitServer, World, until};
use reqwest::Method;
use serde_json::json;

use super::journey::running_workspace;

#[tokio::test]
async fn wrong_requests_for_a_workspace_get_a_stable_code_and_make_nothing() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let ada = world.administrator().await?;
    let long = "a".repeat(300);
    for (body, code) in [
        (json!({ "name": "🦀" }), "invalid_name"),
        (json!({ "name": long }), "invalid_name"),
        (
            json!({ "name": "a", "repository": "ext::sh -c id" }),
            "invalid_repository",
        ),
        (
            json!({ "name": "a", "repository": "file:///etc/passwd" }),
            "invalid_repository",
        ),
        (
            json!({ "name": "a", "repository": "ssh://-oProxyCommand=id/x" }),
            "invalid_repository",
        ),
        (
            json!({ "name": "a", "repository": "--upload-pack=id" }),
            "invalid_repository",
        ),
        (
            json!({ "name": "a", "repository": "https://h/x", "branch": "--upload-pack=id" }),
            "invalid_branch",
        ),
        (json!({ "name": "a", "size": "gigantic" }), "invalid_size"),
        (json!({ "name": "a", "egress": "some" }), "invalid_egress"),
        (json!({ "name": "a", "owner": "me" }), "invalid_request"),
        (json!({}), "invalid_request"),
    ] {
        let answer = ada.post("/api/workspaces", &body).await?;
        assert_eq!(answer.status, 400, "{body} {}", answer.body);
        let error = &answer.json()?["error"];
        assert_eq!(error["code"], code, "{body}");
        assert!(
            error["message"].as_str().is_some_and(|text| text.len() > 5),
            "{error}"
        );
    }
    assert_eq!(
        ada.get("/api/workspaces").await?.json()?["workspaces"],
        json!([])
    );
    assert_eq!(containers(&world.instance).await?, Vec::<String>::new());
    world.tear_down().await
}

#[tokio::test]
async fn a_repository_that_is_not_there_fails_with_its_reason_and_can_be_deleted()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let body = json!({ "name": "Demo", "repository": git.url(0, "missing") });
    let id = ada.create_workspace(&body).await?;
    let failed = until("the failure", Duration::from_secs(60), async || {
        let workspace = ada.get(&format!("/api/workspaces/{id}")).await?.json()?;
        Ok((workspace["state"] == "failed").then_some(workspace))
    })
    .await?;
    assert_eq!(failed["failure"]["code"], "clone_failed", "{failed}");
    until(
        "its container to be removed",
        Duration::from_secs(30),
        async || Ok(containers(&world.instance).await?.is_empty().then_some(())),
    )
    .await?;

    // The repository appears, and a retry is all it takes.
    git.add_repository("missing", &[("README.md", "found\n")])
        .await?;
    assert_eq!(
        ada.post(&format!("/api/workspaces/{id}/start"), &json!({}))
            .await?
            .status,
        202
    );
    ada.until_state(&id, "running").await?;
    assert_eq!(
        run_inside(&id, "cat /workspace/missing/README.md").await?,
        "found"
    );
    world.tear_down().await
}

#[tokio::test]
async fn a_missing_image_and_a_missing_engine_are_named_with_what_to_do() -> anyhow::Result<()> {
    for (setting, code) in [
        ("orchestrator.image=kalpana/nowhere:none", "image_missing"),
        (
            "orchestrator.engine_socket=/nowhere/docker.sock",
            "engine_unavailable",
        ),
    ] {
        let world = World::start(&[setting, "orchestrator.start_timeout=5s"]).await?;
        let ada = world.administrator().await?;
        let id = ada.create_workspace(&json!({ "name": "Demo" })).await?;
        let failed = until(code, Duration::from_secs(60), async || {
            let workspace = ada.get(&format!("/api/workspaces/{id}")).await?.json()?;
            Ok((workspace["state"] == "failed").then_some(workspace))
        })
        .await?;
        assert_eq!(failed["failure"]["code"], code, "{failed}");
        assert!(
            failed["failure"]["hint"]
                .as_str()
                .is_some_and(|hint| !hint.is_empty()),
            "{failed}"
        );
        world.tear_down().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_container_that_dies_is_noticed_and_can_be_started_again() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let editor = ada.origin(&id);
    assert_eq!(ada.navigate(&format!("{editor}/")).await?.1.status, 200);
    docker(&[
        "kill",
        "--signal",
        "KILL",
        &containers(&world.instance).await?[0],
    ])
    .await?;
    let failed = until(
        "the death to be noticed",
        Duration::from_secs(30),
        async || {
            let workspace = ada.get(&format!("/api/workspaces/{id}")).await?.json()?;
            Ok((workspace["state"] == "failed").then_some(workspace))
        },
    )
    .await?;
    assert_eq!(failed["failure"]["code"], "container_died", "{failed}");
    let (_, page) = ada.navigate(&format!("{editor}/")).await?;
    assert!(!page.body.contains("workbench"), "{}", page.body);
    assert_eq!(
        ada.post(&format!("/api/workspaces/{id}/start"), &json!({}))
            .await?
            .status,
        202
    );
    ada.until_state(&id, "running").await?;
    assert_eq!(
        run_inside(&id, "cat /workspace/demo0/README.md").await?,
        "# Demo"
    );
    world.tear_down().await
}

#[tokio::test]
async fn wrong_sign_ins_hosts_and_headers_are_answered_clearly() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let ada = world.administrator().await?;
    let stranger = world.browser()?;
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email, "password": "wrong wrong wrong" });
        let answer = stranger.post("/api/session", &body).await?;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()?["error"]["code"], "wrong_credentials");
    }
    let reused = json!({ "token": world.setup_token()?, "email": "eve@example.com", "name": "Eve", "password": "correct horse battery staple" });
    assert_eq!(stranger.post("/api/setup", &reused).await?.status, 409);

    let unknown = stranger
        .raw(Method::GET, &stranger.origin("not-a-workspace"), &[])
        .await?;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let large = "x".repeat(64 << 10);
    let answer = ada
        .raw(
            Method::GET,
            "/api/session",
            &[("cookie", &format!("a={large}"))],
        )
        .await?;
    assert_eq!(answer.status, 431, "{}", answer.body);
    assert_eq!(ada.get("/api/session").await?.status, 200, "others go on");
    for ticket in ["", "v4.public.AAAA", &large[..2000]] {
        let url = format!(
            "{}/.kalpana/cb?t={ticket}&to=/",
            stranger.origin("abcdefghij01")
        );
        let answer = stranger.navigate_once(&url).await?;
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    world.tear_down().await
}

#[tokio::test]
async fn a_taken_port_and_an_unwritable_directory_are_named_with_what_to_do() -> anyhow::Result<()>
{
    let world = World::prepare(&[])?;
    let _holder = std::net::TcpListener::bind(("127.0.0.1", world.port))?;
    let (code, output) = world.up_refused().await?;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("gateway.listen"), "{output}");

    let blocked = world.folder().join("file");
    std::fs::write(&blocked, "in the way")?;
    let setting = format!("server.data_dir={}", blocked.join("data").display());
    let (code, output) = World::prepare(&[&setting])?.up_refused().await?;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("server.data_dir"), "{output}");
    Ok(())
}
