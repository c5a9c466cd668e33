//! Deletions are taken back, and files go when they were given up, on the real engine.

use std::time::Duration;

use kalpana_tests::docker::{docker, run_inside};
use kalpana_tests::{World, until};

/// A name that could be an id.
const NAME: &str = "demoproject1";

/// The volumes of a workspace.
async fn volumes(id: &str) -> anyhow::Result<usize> {
    let label = format!("label=kalpana.workspace={id}");
    let listed = docker(&["volume", "ls", "--quiet", "--filter", &label]).await?;
    Ok(listed.lines().count())
}

async fn until_gone(id: &str) -> anyhow::Result<()> {
    until("the volumes to go", Duration::from_secs(60), async || {
        Ok((volumes(id).await? == 0).then_some(()))
    })
    .await
}

/// Signs the command line in, makes a workspace and puts a file into it. Returns its id.
async fn workspace_with_a_file(world: &World, name: &str) -> anyhow::Result<String> {
    world.member("cli").await?;
    let login = ["login", "--email", "cli@example.com", "--password-stdin"];
    let password = "a long enough password of cli";
    let ran = world.kalpana(&login, &[], password).await?;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let create = ["workspace", "create", name, "--format", "json"];
    let made = world.kalpana(&create, &[], "").await?.json()?;
    let id = made["id"].as_str().expect("an id").to_owned();
    run_inside(&id, "echo precious > /workspace/work.txt").await?;
    Ok(id)
}

#[tokio::test]
async fn a_deleted_workspace_comes_back_with_its_files_until_they_are_given_up()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let run = async |arguments: &[&str]| world.kalpana(arguments, &[], "").await;
    let id = workspace_with_a_file(&world, NAME).await?;
    let empty = run(&["workspace", "deleted"]).await?;
    assert_eq!(empty.stdout.trim(), "no deleted workspaces");

    let deleted = run(&["workspace", "delete", NAME, "--yes"]).await?;
    assert!(
        deleted
            .stdout
            .contains(&format!("kalpana workspace restore {id}")),
        "{}{}",
        deleted.stdout,
        deleted.stderr
    );
    assert_eq!(volumes(&id).await?, 2);
    let listed = run(&["workspace", "deleted", "--format", "json"])
        .await?
        .json()?;
    assert_eq!(listed[0]["id"], id.as_str());
    let restored = run(&["workspace", "restore", NAME, "--format", "json"]).await?;
    assert_eq!(restored.json()?["state"], "stopped", "{}", restored.stderr);
    let started = run(&["workspace", "start", NAME]).await?;
    assert_eq!(started.code, 0, "{}", started.stderr);
    assert_eq!(
        run_inside(&id, "cat /workspace/work.txt").await?.trim(),
        "precious"
    );

    // Taken back at once, while the container is being removed: it is stopped, and nothing is lost.
    let deleting = run(&["workspace", "delete", NAME, "--yes", "--no-wait"]).await?;
    assert_eq!(deleting.code, 0, "{}", deleting.stderr);
    let restored = run(&["workspace", "restore", &id]).await?;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let started = until("a start", Duration::from_secs(60), async || {
        let started = run(&["workspace", "start", NAME]).await?;
        Ok((started.code == 0).then_some(()))
    });
    started.await?;
    assert_eq!(
        run_inside(&id, "cat /workspace/work.txt").await?.trim(),
        "precious"
    );

    // What lives is not given up. What was deleted is, and a process that dies at once forgets it not.
    let refused = run(&["workspace", "purge", NAME, "--yes"]).await?;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    let deleted = run(&["workspace", "delete", NAME, "--yes"]).await?;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    let unasked = run(&["workspace", "purge", NAME]).await?;
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let purged = run(&["workspace", "purge", NAME, "--yes"]).await?;
    assert_eq!(purged.code, 0, "{}", purged.stderr);
    world.kill_role("orchestrator").await?;
    until_gone(&id).await?;
    let refused = until("the orchestrator", Duration::from_secs(30), async || {
        let refused = run(&["workspace", "restore", &id]).await?;
        Ok(refused
            .stderr
            .contains("no such workspace")
            .then_some(refused))
    });
    assert_eq!(refused.await?.code, 1);
    world.tear_down().await
}

#[tokio::test]
async fn the_trash_empties_itself_when_the_time_is_over() -> anyhow::Result<()> {
    let world = World::start(&["orchestrator.trash_retention=3s"]).await?;
    let id = workspace_with_a_file(&world, "short-lived").await?;
    let other = ["workspace", "create", "other", "--format", "json"];
    let other = world.kalpana(&other, &[], "").await?.json()?;
    let delete = ["workspace", "delete", &id, "--yes"];
    assert_eq!(world.kalpana(&delete, &[], "").await?.code, 0);
    until_gone(&id).await?;
    let other = other["id"].as_str().expect("an id");
    assert_eq!(volumes(other).await?, 2, "it lives");
    let listed = ["workspace", "deleted", "--format", "json"];
    let listed = world.kalpana(&listed, &[], "").await?.json()?;
    assert_eq!(listed, serde_json::json!([]));
    world.tear_down().await
}
