//! One person cannot see, wake or enter what is another's.

use kalpana_tests::{GitServer, World};
use reqwest::Method;
use serde_json::json;

use super::journey::running_workspace;

#[tokio::test]
async fn a_foreign_workspace_answers_exactly_as_one_that_does_not_exist() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let bob = world.member("bob").await?;
    let missing = "zzzzzzzzzzzz";

    for (method, path) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/start"),
        (Method::POST, "/stop"),
        (Method::GET, "/logs"),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let ask = async |id: &str| {
            let url = format!("/api/workspaces/{id}{path}");
            let answer = bob.send(method.clone(), &url, body.as_ref()).await?;
            let mut error = answer.json()?["error"].clone();
            error["request_id"] = "".into();
            anyhow::Ok((answer.status, error))
        };
        let (foreign, unknown) = (ask(&id).await?, ask(missing).await?);
        assert_eq!(foreign, unknown, "{method} {path}");
        assert_eq!(foreign.0, 404, "{method} {path}");
    }
    assert_eq!(
        bob.get("/api/workspaces").await?.json()?["workspaces"],
        json!([])
    );

    for host in [id.as_str(), missing] {
        let (_, page) = bob.navigate(&bob.origin(host)).await?;
        assert_eq!(page.status, 404, "{host}");
    }
    let without = world.browser()?;
    let ask = async |host: &str| {
        let fetched = without
            .raw(
                Method::GET,
                &without.origin(host),
                &[("sec-fetch-mode", "cors")],
            )
            .await?;
        let visited = without.navigate_once(&without.origin(host)).await?;
        let length = visited.header("location").map(str::len);
        anyhow::Ok((
            fetched.status,
            fetched.body.len(),
            visited.status,
            visited.body.len(),
            length,
        ))
    };
    assert_eq!(ask(&id).await?, ask(missing).await?);
    assert_eq!(
        ada.get(&format!("/api/workspaces/{id}")).await?.json()?["state"],
        "running"
    );
    world.tear_down().await
}

#[tokio::test]
async fn signing_out_ends_the_workspace_sessions_too() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let editor = ada.origin(&id);
    assert_eq!(ada.navigate(&format!("{editor}/")).await?.1.status, 200);
    let as_page = [
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(
        ada.raw(Method::GET, &format!("{editor}/healthz"), &as_page)
            .await?
            .status,
        200
    );

    let kept = ada.cookies(&editor);
    assert_eq!(
        ada.send(Method::DELETE, "/api/session", None).await?.status,
        204
    );
    let thief = world.browser()?;
    for cookie in kept.split("; ") {
        thief.plant_cookie(&editor, &format!("{cookie}; Secure; Path=/"));
    }
    for browser in [&ada, &thief] {
        let answer = browser
            .raw(Method::GET, &format!("{editor}/healthz"), &as_page)
            .await?;
        assert_eq!(answer.status, 401, "{}", answer.body);
        let (url, _) = browser.navigate(&format!("{editor}/")).await?;
        assert!(url.contains("/login"), "{url}");
    }
    world.tear_down().await
}
