//! Any role may be killed while workspaces run: nothing is lost, nothing is doubled.

use std::time::Duration;

use kalpana_tests::docker::{containers, docker};
use kalpana_tests::{GitServer, World, until};
use serde_json::json;

use super::journey::running_workspace;

#[tokio::test]
async fn every_role_can_be_killed_while_a_workspace_runs() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let editor = ada.origin(&id);
    assert_eq!(ada.navigate(&format!("{editor}/")).await?.1.status, 200);
    let before = containers(&world.instance).await?;
    let started = started_at(&before[0]).await?;

    for role in ["gateway", "orchestrator", "web"] {
        world.kill_role(role).await?;
        until(
            &format!("the editor after {role} died"),
            Duration::from_secs(30),
            async || {
                let answer = ada.navigate(&format!("{editor}/")).await;
                Ok(answer
                    .is_ok_and(|(_, page)| page.status == 200 && page.body.contains("workbench"))
                    .then_some(()))
            },
        )
        .await?;
        assert_eq!(
            containers(&world.instance).await?,
            before,
            "after {role} died"
        );
        assert_eq!(
            started_at(&before[0]).await?,
            started,
            "{role}'s death restarted nothing"
        );
    }

    // The site as a whole, too: the container outlives it and is adopted.
    let mut world = world;
    assert_eq!(world.stop().await?, 0, "{}", world.output());
    assert_eq!(containers(&world.instance).await?, before);
    world.up().await?;
    let ada = ada; // the session is in the store and survives
    until(
        "the editor after a restart",
        Duration::from_secs(30),
        async || {
            let answer = ada.navigate(&format!("{editor}/")).await?;
            Ok((answer.1.status == 200 && answer.1.body.contains("workbench")).then_some(()))
        },
    )
    .await?;
    assert_eq!(started_at(&before[0]).await?, started);
    world.tear_down().await
}

#[tokio::test]
async fn a_workspace_being_made_while_the_orchestrator_is_killed_is_made_once() -> anyhow::Result<()>
{
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    git.add_repository("demo", &[("README.md", "hello\n")])
        .await?;
    let body = json!({ "name": "Demo", "repository": git.url(0, "demo") });
    let id = ada.create_workspace(&body).await?;
    let mut kills = 0;
    while kills < 3 {
        world.kill_role("orchestrator").await?;
        kills += 1;
    }
    ada.until_state(&id, "running").await?;
    assert_eq!(
        containers(&world.instance).await?.len(),
        1,
        "after {kills} kills"
    );
    world.tear_down().await
}

#[tokio::test]
async fn the_roles_die_with_their_supervisor_and_a_second_one_is_refused() -> anyhow::Result<()> {
    let mut world = World::start(&[]).await?;
    let (code, output) = world.up_refused().await?;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("already running"), "{output}");
    let pids = ["gateway", "orchestrator", "web"].map(|role| world.pid_of(role));
    world.kill_supervisor().await?;
    for pid in pids {
        let pid = pid?;
        until(
            &format!("role {pid} to end"),
            Duration::from_secs(10),
            async || {
                let state =
                    std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // A first thread that has ended may have left others, which hold the sockets.
                let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
                    .map_or(0, |threads| threads.count());
                let is_over = state.is_empty() || (state.contains(") Z ") && threads <= 1);
                Ok(is_over.then_some(()))
            },
        )
        .await?;
    }
    world.up().await?;
    world.tear_down().await
}

async fn started_at(container: &str) -> anyhow::Result<String> {
    docker(&[
        "inspect",
        "--format",
        "{{.Id}} {{.State.StartedAt}}",
        container,
    ])
    .await
}
