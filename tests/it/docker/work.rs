//! What is in a workspace and nowhere else is told before it is deleted.

use kalpana_tests::docker::run_inside;
use kalpana_tests::{GitServer, World};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_uncommitted_unpushed_or_stashed_is_told_to_the_owner() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    git.add_repository("demo", &[("README.md", "# Demo\n")])
        .await?;
    let ada = world.administrator().await?;
    let eve = world.member("eve").await?;
    let body = json!({ "name": "Demo", "repository": git.url(0, "demo") });
    let id = ada.create_workspace(&body).await?;
    let path = format!("/api/workspaces/{id}/work");
    // While it starts nobody can look.
    let told = ada.get(&path).await?.json()?;
    assert_eq!(
        told,
        json!({ "is_known": false, "is_cut": false, "repositories": [] })
    );
    ada.until_state(&id, "running").await?;
    let clean = ada.get(&path).await?.json()?;
    let repository = json!({
        "path": "/workspace/demo", "branch": "main", "uncommitted": 0, "examples": [],
        "unpushed": 0, "stashes": 0, "has_remote": true, "problem": null,
    });
    assert_eq!(
        clean,
        json!({ "is_known": true, "is_cut": false, "repositories": [repository] })
    );

    let script = "cd /workspace/demo && git config user.email a@example.com && git config user.name A \
                  && echo one >> README.md && git stash --quiet \
                  && git checkout --quiet -b elsewhere && echo two > two && git add two \
                  && git commit --quiet -m two && git checkout --quiet main \
                  && echo three >> README.md && echo four > 'a new file'";
    run_inside(&id, script).await?;
    let told = ada.get(&path).await?.json()?;
    let found = &told["repositories"][0];
    let counts = ["uncommitted", "unpushed", "stashes"].map(|name| &found[name]);
    assert_eq!(counts, [&json!(2), &json!(1), &json!(1)], "{told}");
    let mut examples: Vec<&str> = found["examples"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    examples.sort_unstable();
    assert_eq!(examples, ["README.md", "a new file"]);
    assert_eq!(eve.get(&path).await?.status, 404);
    world.tear_down().await
}
