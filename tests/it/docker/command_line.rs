//! The command line, as a person at a terminal and as a script.

use kalpana_tests::{GitServer, World};

#[tokio::test]
async fn a_script_makes_a_user_signs_in_and_takes_a_workspace_through_its_life()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    git.add_repository("demo", &[("README.md", "hello\n")])
        .await?;
    world.member("cli").await?;
    let password = "a long enough password of cli";
    let login = ["login", "--email", "cli@example.com", "--password-stdin"];
    let ran = world.kalpana(&login, &[], password).await?;
    assert_eq!(
        (ran.code, ran.stdout.trim()),
        (0, format!("signed in to {}", world.base_url()).as_str()),
        "{}",
        ran.stderr
    );

    let url = git.url(0, "demo");
    let create = [
        "workspace",
        "create",
        "demo",
        "--repository",
        &url,
        "--format",
        "json",
    ];
    let made = world.kalpana(&create, &[], "").await?.json()?;
    assert_eq!(made["state"], "running");
    let id = made["id"].as_str().expect("an id").to_owned();
    let listed = world
        .kalpana(&["workspace", "list", "--format", "json"], &[], "")
        .await?
        .json()?;
    assert_eq!(listed[0]["id"], id.as_str());
    let text = world.kalpana(&["workspace", "list"], &[], "").await?;
    assert!(
        text.stdout.contains("running") && text.stdout.contains("demo"),
        "{}",
        text.stdout
    );
    let address = world
        .kalpana(&["workspace", "url", "demo", "--port", "3000"], &[], "")
        .await?;
    assert_eq!(
        address.stdout.trim(),
        format!("https://3000-{id}.kalpana.localhost:{}", world.port)
    );
    share_and_unshare(&world).await?;
    let logs = world.kalpana(&["workspace", "logs", &id], &[], "").await?;
    assert_eq!(logs.code, 0, "{}", logs.stderr);
    assert!(!logs.stdout.trim().is_empty(), "a log has lines");

    let stopped = world
        .kalpana(&["workspace", "stop", "demo", "--format", "json"], &[], "")
        .await?;
    assert_eq!(stopped.json()?["state"], "stopped");
    let shown = world.kalpana(&["workspace", "show", &id], &[], "").await?;
    assert!(
        shown.stdout.contains("state       stopped"),
        "{}",
        shown.stdout
    );
    let unasked = world
        .kalpana(&["workspace", "delete", &id], &[], "")
        .await?;
    assert_eq!(unasked.code, 1);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let deleted = world
        .kalpana(&["workspace", "delete", &id, "--yes"], &[], "")
        .await?;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);

    let create = [
        "token",
        "create",
        "ci",
        "--scope",
        "workspace:read",
        "--email",
        "cli@example.com",
        "--password-stdin",
    ];
    let issued = world.kalpana(&create, &[], password).await?;
    let token = issued.stdout.trim().to_owned();
    assert!(token.starts_with("kp_"), "{token} {}", issued.stderr);
    assert_eq!(world.kalpana(&["logout"], &[], "").await?.code, 0);
    let variables = [("KALPANA_TOKEN", token.as_str())];
    let listed = world
        .kalpana(&["workspace", "list", "--format", "json"], &variables, "")
        .await?;
    assert_eq!(listed.json()?, serde_json::json!([]));
    let refused = world
        .kalpana(&["workspace", "create", "no"], &variables, "")
        .await?;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("error:"), "{}", refused.stderr);
    let nobody = world.kalpana(&["workspace", "list"], &[], "").await?;
    assert!(nobody.stderr.contains("kalpana login"), "{}", nobody.stderr);
    world.tear_down().await
}

/// Shares a port of the workspace `demo` as far as the site allows, and stops.
async fn share_and_unshare(world: &World) -> anyhow::Result<()> {
    let share = |level| {
        let share = ["workspace", "share", "demo", "--port", "3000", "--level"];
        let more = [level, "--expires", "2h", "--keep", "--format", "json"];
        [&share[..], &more[..]].concat()
    };
    let shared = world.kalpana(&share("organization"), &[], "").await?;
    let shared = shared.json()?;
    assert_eq!(shared["level_in_force"], "organization");
    assert_eq!(shared["keep_after_restart"], true);
    assert!(shared["expires_at"].is_string(), "{shared}");
    let refused = world.kalpana(&share("public"), &[], "").await?;
    assert_eq!(refused.code, 1);
    for words in ["sharing_not_allowed", "web.sharing_maximum"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let link = ["workspace", "link", "demo", "--port", "3000"];
    let refused = world.kalpana(&link, &[], "").await?;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    let unshare = ["workspace", "unshare", "demo", "--port", "3000"];
    let stopped = world.kalpana(&unshare, &[], "").await?;
    assert_eq!(
        (stopped.code, stopped.stdout.trim()),
        (0, "port 3000 of demo is not shared"),
        "{}",
        stopped.stderr
    );
    Ok(())
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name_before_anything_starts() -> anyhow::Result<()> {
    for (setting, named) in [
        ("gateway.listen_on=1", "listen_on"),
        ("orchestrator.egress=sometimes", "orchestrator.egress"),
        ("web.sharing_maximum=everybody", "web.sharing_maximum"),
        ("server.domain=UPPER", "server.domain"),
        ("certs.key_file=/nowhere", "certs.key_file"),
    ] {
        let world = World::prepare(&[setting])?;
        let (code, output) = world.up_refused().await?;
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(named), "{named} is not in: {output}");
        assert!(
            !world.data_dir().exists(),
            "{setting} left something behind"
        );
    }
    Ok(())
}
