//! Snapshots from the command line, through every process, on the real engine.

use std::time::Duration;

use kalpana_tests::docker::{docker, run_inside};
use kalpana_tests::{World, until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// What every archive of Zstandard begins with (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Signs the command line in and makes a workspace. Returns its id.
async fn workspace(world: &World) -> anyhow::Result<String> {
    world.member("cli").await?;
    let login = ["login", "--email", "cli@example.com", "--password-stdin"];
    let ran = world
        .kalpana(&login, &[], "a long enough password of cli")
        .await?;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let create = ["workspace", "create", "demo", "--format", "json"];
    let made = world.kalpana(&create, &[], "").await?.json()?;
    Ok(made["id"].as_str().expect("an id").to_owned())
}

async fn list(world: &World) -> anyhow::Result<Vec<Value>> {
    let list = ["workspace", "snapshot", "list", "demo", "--format", "json"];
    let listed = world.kalpana(&list, &[], "").await?.json()?;
    Ok(listed.as_array().cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_snapshot_is_taken_downloaded_restored_copied_and_deleted() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let run = async |arguments: &[&str]| world.kalpana(arguments, &[], "").await;
    let id = workspace(&world).await?;
    run_inside(&id, "echo first > /workspace/work.txt").await?;
    let none = run(&["workspace", "snapshot", "list", "demo"]).await?;
    assert!(none.stdout.contains("snapshot create"), "{}", none.stdout);

    let taken = run(&["workspace", "snapshot", "create", "demo", "--note", "one"]).await?;
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert!(taken.stdout.contains(" files, "), "{}", taken.stdout);
    let found = list(&world).await?;
    let snapshot = found[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(found[0]["note"], "one");

    let archive = world.folder().join("archive");
    let to = archive.to_str().expect("text");
    let download = ["workspace", "snapshot", "download", "demo", &snapshot];
    let again = [&download[..], &["--output", to]].concat();
    let downloaded = run(&again).await?;
    assert_eq!(downloaded.code, 0, "{}", downloaded.stderr);
    let bytes = std::fs::read(&archive)?;
    assert_eq!(bytes[..4], MAGIC);
    assert_eq!(found[0]["bytes"], bytes.len());
    let refused = run(&again).await?;
    assert_eq!(refused.code, 1, "it would have been written over");

    run_inside(&id, "echo second > /workspace/work.txt").await?;
    let restore = [
        "workspace",
        "snapshot",
        "restore",
        "demo",
        &snapshot,
        "--yes",
    ];
    let early = run(&restore).await?;
    assert_eq!(early.code, 1);
    assert!(
        early.stderr.contains("top the workspace first"),
        "{}",
        early.stderr
    );
    assert_eq!(run(&["workspace", "stop", "demo"]).await?.code, 0);
    let restored = run(&restore).await?;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(run_inside(&id, "cat /workspace/work.txt").await?, "first");

    let kept = list(&world).await?;
    assert_eq!(kept[0]["kind"], "before_restore");
    let of = format!("{id}/{}", kept[0]["id"].as_str().expect("an id"));
    let copy = [
        "workspace",
        "create",
        "copy",
        "--snapshot",
        &of,
        "--format",
        "json",
    ];
    let copy = run(&copy).await?.json()?;
    let copy = copy["id"].as_str().expect("an id");
    assert_eq!(run_inside(copy, "cat /workspace/work.txt").await?, "second");

    let delete = [
        "workspace",
        "snapshot",
        "delete",
        "demo",
        &snapshot,
        "--yes",
    ];
    assert_eq!(run(&delete).await?.code, 0);
    assert_eq!(list(&world).await?.len(), 1);
    world.tear_down().await
}

#[tokio::test]
async fn a_snapshot_that_a_killed_orchestrator_was_taking_has_failed_and_leaves_nothing()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let run = async |arguments: &[&str]| world.kalpana(arguments, &[], "").await;
    let id = workspace(&world).await?;
    // Nothing that compresses, so that it takes its time.
    let fill = "head -c 600000000 /dev/urandom > /workspace/noise";
    run_inside(&id, fill).await?;
    let begin = ["workspace", "snapshot", "create", "demo", "--no-wait"];
    assert_eq!(run(&begin).await?.code, 0);
    let of_ours = format!("kal-{id}-pack");
    until("its files to be carried", LIMIT, async || {
        let name = format!("name={of_ours}");
        let found = docker(&["ps", "--quiet", "--filter", &name]).await?;
        Ok((!found.trim().is_empty()).then_some(()))
    })
    .await?;
    world.kill_role("orchestrator").await?;
    let found = list(&world).await?;
    assert_eq!(found[0]["state"], "failed", "{found:?}");
    let failure = found[0]["failure"].as_str().unwrap_or_default();
    assert!(failure.contains("take it again"), "{failure}");
    let kept = world.data_dir().join("orchestrator/snapshots").join(&id);
    let names: Vec<_> = std::fs::read_dir(kept)?.collect::<Result<_, _>>()?;
    assert_eq!(names.len(), 1, "its record alone");
    until("what carried to be removed", LIMIT, async || {
        let name = format!("name={of_ours}");
        let found = docker(&["ps", "--all", "--quiet", "--filter", &name]).await?;
        Ok(found.trim().is_empty().then_some(()))
    })
    .await?;
    let taken = run(&["workspace", "snapshot", "create", "demo"]).await?;
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    world.tear_down().await
}

#[tokio::test]
async fn an_archived_workspace_has_no_volumes_and_starts_with_its_files() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let run = async |arguments: &[&str]| world.kalpana(arguments, &[], "").await;
    let id = workspace(&world).await?;
    let of_it = format!("label=kalpana.workspace={id}");
    let volumes = async || docker(&["volume", "ls", "-q", "--filter", &of_it]).await;
    let write = "mkdir /workspace/d && echo kept > /workspace/d/f && echo home > ~/h && \
                 chmod 600 ~/h && ln -s d/f /workspace/l";
    run_inside(&id, write).await?;
    let early = run(&["workspace", "archive", "demo"]).await?;
    assert_eq!(early.code, 1);
    assert!(
        early.stderr.contains("top the workspace first"),
        "{}",
        early.stderr
    );

    assert_eq!(run(&["workspace", "stop", "demo"]).await?.code, 0);
    assert_eq!(volumes().await?.lines().count(), 2);
    let archived = run(&["workspace", "archive", "demo"]).await?;
    assert_eq!(archived.code, 0, "{}", archived.stderr);
    assert!(
        archived.stdout.contains("archived demo"),
        "{}",
        archived.stdout
    );
    let are_gone = async || Ok(volumes().await?.is_empty().then_some(()));
    until("its volumes to be removed", LIMIT, are_gone).await?;
    let shown = run(&["workspace", "list"]).await?;
    assert!(shown.stdout.contains("archived"), "{}", shown.stdout);
    let kept = list(&world).await?;
    assert_eq!(kept[0]["kind"], "archive");
    let needed = kept[0]["id"].as_str().expect("an id");
    let delete = ["workspace", "snapshot", "delete", "demo", needed, "--yes"];
    assert_eq!(run(&delete).await?.code, 1, "it is needed");

    // Deleted and restored it is archived still.
    assert_eq!(
        run(&["workspace", "delete", "demo", "--yes"]).await?.code,
        0
    );
    assert_eq!(run(&["workspace", "restore", &id]).await?.code, 0);
    assert_eq!(run(&["workspace", "start", "demo"]).await?.code, 0);
    let read = "cat /workspace/l ~/h && stat -c %a ~/h";
    assert_eq!(run_inside(&id, read).await?, "kept\nhome\n600");
    assert_eq!(volumes().await?.lines().count(), 2);
    world.tear_down().await
}
