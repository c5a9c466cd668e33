//! Workspaces that are put away, against a real store and a real directory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use kalpana_domain::audit::AuditAction;
use kalpana_domain::clock::Clock as _;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::sleep::IdleTime;
use kalpana_domain::snapshot::SnapshotKind;
use kalpana_domain::workspace::Workspace;
use tokio::sync::Semaphore;

use crate::snapshot::filler::{FillError, Filler as _, PutAway};
use crate::snapshot::keeper::SnapshotError;
use crate::snapshot::shelf::Record;
use crate::snapshot::tests::World;

const DAY: Duration = Duration::from_secs(86_400);

/// Archives a workspace, and returns its row and the snapshot afterwards.
async fn archived(world: &World, row: &Workspace) -> (Workspace, Record) {
    let asker = world.asker();
    let begun = world
        .keeper
        .archive_workspace(row.id.as_str(), &asker, None);
    let begun = begun.await.unwrap();
    let found = world.settled(row).await;
    let made = found.into_iter().find(|found| found.id == begun.id);
    (world.row(row).await, made.unwrap())
}

#[tokio::test]
async fn an_archived_workspace_has_no_volumes_and_gets_its_files_back_when_it_starts() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    let (now, made) = archived(&world, &row).await;
    assert_eq!(made.kind, SnapshotKind::Archive);
    assert_eq!(now.filled_from, Some(made.reference()));
    assert!(now.is_archived());
    assert_eq!(world.audited().await[0], AuditAction::WorkspaceArchive);

    let filler = world.filler();
    let volumes = || world.engine.world.lock().unwrap().volumes.len();
    assert_eq!(volumes(), 2);
    let of = made.reference();
    assert_eq!(filler.discard(row.id, of).await.unwrap(), PutAway::Now);
    assert_eq!(volumes(), 0);
    assert_eq!(filler.discard(row.id, of).await.unwrap(), PutAway::Before);

    // What is not there cannot be copied, archived again, or deleted while it is needed.
    let refused = world.take(&row, "").await.unwrap_err();
    assert!(matches!(refused, SnapshotError::InProgress(_)), "{refused}");
    let (id, asker) = (made.id.to_string(), world.asker());
    let again = world
        .keeper
        .archive_workspace(row.id.as_str(), &asker, None);
    assert!(matches!(again.await, Err(SnapshotError::InProgress(_))));
    let deleted = world.keeper.delete(row.id.as_str(), &id, &asker, None);
    assert!(matches!(deleted.await, Err(SnapshotError::InUse(_))));
    world.keeper.take_due().await;
    assert_eq!(world.settled(&row).await.len(), 1);

    world.write(&row, b"");
    filler.fill(row.id, of).await.unwrap();
    assert_eq!(world.content(&row), "work");
}

#[tokio::test]
async fn volumes_are_kept_unless_an_archive_of_them_is_whole() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    let manual = world.taken(&row).await;
    let filler = world.filler();
    let kept = filler.discard(row.id, manual.reference()).await.unwrap();
    assert_eq!(kept, PutAway::NotAnArchive);
    let (_, made) = archived(&world, &row).await;
    let other = WorkspaceId::parse("zzzzzzzzzz99").unwrap();
    let kept = filler.discard(other, made.reference()).await.unwrap();
    assert_eq!(kept, PutAway::NotAnArchive, "somebody else's");
    let path = world.keeper.shelf.archive(made.reference());
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(made.bytes - 1)
        .unwrap();
    let cut = filler.discard(row.id, made.reference()).await;
    assert!(matches!(cut, Err(FillError::Gone(_))));
    std::fs::remove_file(&path).unwrap();
    let gone = filler.discard(row.id, made.reference()).await;
    assert!(matches!(gone, Err(FillError::Gone(_))));
    assert_eq!(world.engine.world.lock().unwrap().volumes.len(), 2);
}

#[tokio::test]
async fn what_runs_changes_or_cannot_be_read_is_not_archived() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    world.porter.skipped.store(2, Ordering::Relaxed);
    let (now, made) = archived(&world, &row).await;
    assert_eq!(now.filled_from, None);
    assert!(made.failure.unwrap().contains("2 of its files"));
    world.porter.skipped.store(0, Ordering::Relaxed);

    // Somebody starts it while its files are copied.
    world.porter.gate.forget_permits(Semaphore::MAX_PERMITS);
    let (id, asker) = (row.id.as_str(), world.asker());
    let begun = world.keeper.archive_workspace(id, &asker, None);
    let begun = begun.await.unwrap();
    let running = Workspace {
        lifecycle: Lifecycle::Running {
            since: world.clock.now(),
        },
        ..row.clone()
    };
    let store = &world.fixture.store;
    store.update_workspace(&running, None).await.unwrap();
    world.porter.gate.add_permits(1);
    let found = world.settled(&row).await;
    let made = found.iter().find(|found| found.id == begun.id).unwrap();
    assert!(made.failure.as_ref().unwrap().contains("meanwhile"));
    assert_eq!(world.row(&row).await.filled_from, None);
    let refused = world.keeper.archive_workspace(id, &asker, None);
    let refused = refused.await.unwrap_err();
    assert!(matches!(refused, SnapshotError::NotStopped(_)), "{refused}");
}

#[tokio::test]
async fn who_is_stopped_for_long_is_archived_as_its_owner_or_the_site_has_it() {
    let mut world = World::new().await;
    world.keeper.limits.every = None;
    let row = world.stopped(b"work").await;
    let store = Arc::clone(&world.fixture.store);
    let set = async |row: &Workspace, own: Option<IdleTime>| {
        let mut changed = row.clone();
        changed.sleep.archive_after = own;
        store.update_workspace(&changed, None).await.unwrap()
    };
    let hours = SignedDuration::from_hours;
    world.clock.advance(hours(24 * 40));
    world.keeper.archive_due().await;
    assert!(!world.row(&row).await.is_archived(), "nobody wants it");
    world.keeper.limits.archive_after = Some(30 * DAY);
    let own = set(&row, Some(IdleTime::NEVER)).await;
    world.keeper.archive_due().await;
    assert!(!world.row(&row).await.is_archived(), "its owner does not");
    let own = set(&own, None).await;
    // One that was tried in vain waits.
    world.porter.skipped.store(1, Ordering::Relaxed);
    world.keeper.archive_due().await;
    world.porter.skipped.store(0, Ordering::Relaxed);
    world.keeper.archive_due().await;
    assert!(!world.row(&row).await.is_archived());
    let seen = set(&own, Some(IdleTime::NEVER)).await;
    world.keeper.limits.archive_after_limit = Some(2 * DAY);
    let touched = Workspace {
        updated_at: world.clock.now(),
        ..seen
    };
    store.update_workspace(&touched, None).await.unwrap();
    world.clock.advance(hours(47));
    world.keeper.archive_due().await;
    assert!(!world.row(&row).await.is_archived(), "not yet");
    world.clock.advance(hours(1));
    world.keeper.archive_due().await;
    assert!(world.row(&row).await.is_archived(), "the site's limit");
    let kept = world.settled(&row).await;
    let whole = kept.iter().filter(|made| made.failure.is_none());
    assert_eq!(whole.count(), 1);
}

#[tokio::test]
async fn the_latest_files_of_an_archived_workspace_outlive_a_restore_of_older_ones() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    world.write(&row, b"latest");
    let (_, latest) = archived(&world, &row).await;
    let (id, asker) = (old.id.to_string(), world.asker());
    let restored = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    restored.await.unwrap();
    let now = world.row(&row).await;
    assert_eq!(now.filled_from, Some(old.reference()));
    let stopped = Workspace {
        lifecycle: Lifecycle::Stopped,
        filled_from: None,
        ..now
    };
    let store = &world.fixture.store;
    store.update_workspace(&stopped, None).await.unwrap();
    // Whatever is taken afterwards, they are nowhere else.
    world.clock.advance(SignedDuration::from_hours(24));
    world.taken(&row).await;
    let kept = world.settled(&row).await;
    let kept = kept.iter().find(|made| made.id == latest.id).unwrap();
    assert_eq!(kept.kind, SnapshotKind::Archive);
    world
        .filler()
        .fill(row.id, latest.reference())
        .await
        .unwrap();
    assert_eq!(world.content(&row), "latest");
}

#[tokio::test]
async fn volumes_that_are_gone_do_not_pass_for_an_empty_workspace() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    let (now, first) = archived(&world, &row).await;
    let filler = world.filler();
    filler.discard(row.id, first.reference()).await.unwrap();
    // The row is of a time before, as in a backup of the database.
    let older = Workspace {
        filled_from: None,
        ..now
    };
    let store = &world.fixture.store;
    store.update_workspace(&older, None).await.unwrap();
    let (now, made) = archived(&world, &row).await;
    assert_eq!(now.filled_from, None);
    assert!(made.failure.unwrap().contains("not on the engine"));
    let is_kept = |kept: &[Record]| kept.iter().any(|made| made.id == first.id);
    assert!(is_kept(&world.settled(&row).await));
    // Not even after it ran empty for a while.
    world.write(&row, b"");
    world.clock.advance(SignedDuration::from_hours(24));
    world.taken(&row).await;
    assert!(is_kept(&world.settled(&row).await), "it is the only copy");
}

#[tokio::test]
async fn volumes_count_for_more_than_a_row_that_is_older_than_they_are() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    let (backup, made) = archived(&world, &row).await;
    let (filler, of) = (world.filler(), made.reference());
    filler.discard(row.id, of).await.unwrap();
    assert!(!filler.is_in_place(row.id, of).await.unwrap());
    world.write(&row, b"");
    filler.fill(row.id, of).await.unwrap();
    // Somebody works in it, and then the row is what it was before.
    world.write(&row, b"newer");
    assert!(backup.is_archived());
    assert!(filler.is_in_place(row.id, of).await.unwrap());
    let kept = filler.discard(row.id, of).await.unwrap();
    assert_eq!(kept, PutAway::NotAnArchive);
    // Where the volumes were lost, the archive is put in place again.
    world.engine.world.lock().unwrap().volumes.clear();
    assert!(!filler.is_in_place(row.id, of).await.unwrap());
    world.write(&row, b"newer");
    // Another restore keeps them first, though the archive was removed by then.
    let other = world.stopped(b"other").await;
    let elsewhere = world.taken(&other).await.reference();
    assert!(!filler.is_in_place(other.id, elsewhere).await.unwrap());
    let manual = {
        let own = Workspace {
            filled_from: None,
            ..world.row(&row).await
        };
        let store = &world.fixture.store;
        store.update_workspace(&own, None).await.unwrap();
        let manual = world.taken(&row).await;
        let old = Workspace {
            filled_from: Some(of),
            ..world.row(&row).await
        };
        store.update_workspace(&old, None).await.unwrap();
        manual
    };
    let (id, asker) = (manual.id.to_string(), world.asker());
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    assert_eq!(kept.await.unwrap().kind, SnapshotKind::BeforeRestore);
    world.settled(&row).await;
}

#[tokio::test]
async fn an_archive_that_is_restored_on_purpose_is_an_ordinary_snapshot_from_then_on() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    let (now, made) = archived(&world, &row).await;
    let (filler, of) = (world.filler(), made.reference());
    filler.fill(row.id, of).await.unwrap();
    let own = Workspace {
        filled_from: None,
        ..now
    };
    let store = &world.fixture.store;
    store.update_workspace(&own, None).await.unwrap();
    world.write(&row, b"newer");
    let (id, asker) = (made.id.to_string(), world.asker());
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    assert_eq!(kept.await.unwrap().kind, SnapshotKind::BeforeRestore);
    world.settled(&row).await;
    assert_eq!(world.row(&row).await.filled_from, Some(of));
    // Its volumes are replaced, and not left or put away, whoever stops it before.
    assert!(!filler.is_in_place(row.id, of).await.unwrap());
    let kept = filler.discard(row.id, of).await.unwrap();
    assert_eq!(kept, PutAway::NotAnArchive);
    filler.fill(row.id, of).await.unwrap();
    assert_eq!(world.content(&row), "work");
}

#[tokio::test]
async fn newer_files_are_kept_first_even_when_their_own_old_archive_is_restored() {
    let world = World::new().await;
    let row = world.stopped(b"work").await;
    let (backup, made) = archived(&world, &row).await;
    world.filler().fill(row.id, made.reference()).await.unwrap();
    // Somebody works in it, and then the row is what it was before.
    world.write(&row, b"newer");
    assert_eq!(backup.filled_from, Some(made.reference()));
    let (id, asker) = (made.id.to_string(), world.asker());
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    let kept = kept.await.unwrap();
    assert_ne!(kept.id, made.id, "a copy of what is there");
    world.settled(&row).await;
    world.filler().fill(row.id, kept.reference()).await.unwrap();
    assert_eq!(world.content(&row), "newer");
}
