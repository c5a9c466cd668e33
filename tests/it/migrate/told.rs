//! What `kalpana migrate` says, and what it leaves alone.

use kalpana_store::{OpenMode, StoreError};
use kalpana_test_mongodb::Database;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::site::{Move, Place, run};

fn files(folder: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn a_move_between_files_says_what_it_did_and_what_to_do_now() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let own = Move {
        folder: folder.path(),
        from: Place::file(folder.path(), "old.sqlite3"),
        to: Place::file(folder.path(), "new.sqlite3"),
    };
    own.from.fill(2).await?;
    let (from, to) = (own.from.text(), own.to.text());
    let before = own.from.dump().await?;

    let planned = own.run(&["--dry-run"]).await?;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert_eq!(
        planned.stdout,
        format!(
            "would move 9 records from {from} to {to}, where there is nothing yet: it would be made

 COLLECTION        FROM  TO
 organizations     1     0
 users             2     0
 setup secret      0     0
 sessions          2     0
 tokens            0     0
 workspaces        0     0
 shared ports      0     0
 sealed copies     0     0
 idempotency keys  0     0
 audit events      4     0

nothing was changed; run the same without --dry-run to do it
"
        )
    );
    let there = files(folder.path())?;
    assert!(
        !there.iter().any(|name| name.starts_with("new")),
        "{there:?}"
    );
    assert_eq!(own.from.dump().await?, before);

    let moved = own.run(&[]).await?;
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    let path = folder.path().join("new.sqlite3");
    for line in [
        format!("moved 9 records from {from} to {to} in "),
        format!("path = \"{}\"", path.display()),
        "restart it".to_owned(),
        format!("kalpana migrate --reinstate --from {from}"),
    ] {
        assert!(moved.stdout.contains(&line), "{line} in {}", moved.stdout);
    }
    let lines: Vec<&str> = moved.stderr.lines().collect();
    assert_eq!(lines[..2], [format!("from {from}"), format!("to   {to}")]);
    assert!(
        lines.contains(&"copying users: 2 of 2 (100 %)"),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"froze the source: changes wait, reading goes on"),
        "{lines:?}"
    );
    assert_eq!(lines.last(), Some(&"completed the destination"));
    assert_eq!(own.to.dump().await?, before);

    let again = own.run(&["--format", "json"]).await?;
    assert_eq!(again.code, 0, "{}", again.stderr);
    let answer: serde_json::Value = serde_json::from_str(&again.stdout)?;
    assert_eq!(answer["stage"], "done");
    assert_eq!(answer["settings"]["store.path"], path.display().to_string());
    Ok(())
}

#[tokio::test]
async fn a_mistake_is_refused_with_the_next_step() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (old, used) = (
        Place::file(folder.path(), "old.sqlite3"),
        Place::file(folder.path(), "used.sqlite3"),
    );
    old.fill(1).await?;
    used.fill(1).await?;
    let (from, to) = (old.text(), used.text());
    let missing = format!("sqlite:{}", folder.path().join("none.sqlite3").display());
    for (arguments, code, expected) in [
        (vec!["--from", &from], 2, "--to <PLACE>"),
        (
            vec!["--from", "/a", "--to", &to],
            2,
            "expected sqlite:/absolute/path",
        ),
        (
            vec!["--from", "sqlite:a", "--to", &to],
            2,
            "expected the absolute path",
        ),
        (
            vec!["--from", &from, "--to", &from],
            1,
            "are the same place",
        ),
        (
            vec!["--from", &missing, "--to", &to],
            1,
            "there is nothing at",
        ),
        (
            vec!["--from", &from, "--to", &to],
            1,
            "the destination is not empty",
        ),
        (
            vec!["--from", &from, "--to", &to, "--dry-run"],
            1,
            "the destination is not empty",
        ),
        (
            vec!["--from", &from, "--reinstate"],
            1,
            "was not moved anywhere",
        ),
        (
            vec!["--from", &from, "--to", "mongodb://ada:canary@127.0.0.1:1/"],
            1,
            "store.mongodb.uri",
        ),
    ] {
        let ran = run(folder.path(), "kalpana", &arguments).await?;
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(expected),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        let is_explained = code == 2 || ran.stderr.contains("hint: ");
        assert!(
            is_explained || expected == "store.mongodb.uri",
            "{}",
            ran.stderr
        );
    }
    let left = files(folder.path())?;
    assert!(
        !left.iter().any(|name| name.starts_with("none")),
        "{left:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_old_place_is_taken_into_use_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let own = Move {
        folder: folder.path(),
        from: Place::file(folder.path(), "old.sqlite3"),
        to: Place::file(folder.path(), "new.sqlite3"),
    };
    own.from.fill(1).await?;
    own.finish().await?;
    let new = own.to.open(OpenMode::Use).await?;
    assert!(
        new.put_setup_secret([1; 32], kalpana_domain::Timestamp::UNIX_EPOCH)
            .await
            .is_ok()
    );
    let looked = own.run(&["--reinstate", "--dry-run"]).await?;
    assert_eq!(looked.code, 0, "{}", looked.stderr);
    let writes = || async {
        let old = own.from.open(OpenMode::Use).await?;
        let written = old
            .put_setup_secret([2; 32], kalpana_domain::Timestamp::UNIX_EPOCH)
            .await;
        anyhow::Ok(written)
    };
    let refused = writes().await?;
    assert!(
        matches!(refused, Err(StoreError::Frozen { moved_to: Some(_) })),
        "{refused:?}"
    );

    let ran = own.run(&["--reinstate"]).await?;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("warning: everything was moved to "),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("takes changes again"), "{}", ran.stdout);
    writes().await?.expect("free");
    Ok(())
}

#[tokio::test]
async fn looking_at_a_database_makes_nothing_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let database = Database::fresh().await?;
    let own = Move {
        folder: folder.path(),
        from: Place::file(folder.path(), "old.sqlite3"),
        to: Place::database(&database),
    };
    own.from.fill(1).await?;
    let planned = own.run(&["--dry-run"]).await?;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(
        planned.stdout.contains("where there is nothing yet"),
        "{}",
        planned.stdout
    );
    let Place::Mongodb { name, .. } = &own.to else {
        anyhow::bail!("a database")
    };
    let client = mongodb::Client::with_uri_str(database.uri()).await?;
    assert!(!client.list_database_names().await?.contains(name));

    // Half filled is told, and is left so.
    assert!(own.kill_at("copying users").await?);
    let planned = own.run(&["--dry-run", "--format", "json"]).await?;
    let answer: serde_json::Value = serde_json::from_str(&planned.stdout)?;
    assert_eq!(answer["to_exists"], true, "{}", planned.stderr);
    own.finish().await?;
    own.to.remove().await
}

#[tokio::test]
async fn a_stop_is_clean_and_goes_on_later() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let own = Move {
        folder: folder.path(),
        from: Place::file(folder.path(), "old.sqlite3"),
        to: Place::file(folder.path(), "new.sqlite3"),
    };
    own.from.fill(3000).await?;
    let process = own.start()?;
    let pid = i32::try_from(process.id().unwrap_or_default())?;
    let mut process = process;
    let mut lines = {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let stderr = process.stderr.take().expect("piped");
        BufReader::new(stderr).lines()
    };
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with("copying organizations") {
            kill(Pid::from_raw(pid), Signal::SIGINT)?;
        }
        told.push(line);
    }
    assert_eq!(process.wait().await?.code(), Some(1), "{told:?}");
    assert!(
        told.contains(&"error: the move was stopped before its end".to_owned()),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|line| line.starts_with("hint: the source takes changes")),
        "{told:?}"
    );
    own.finish().await
}
