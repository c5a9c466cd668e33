//! Moves beside writers and readers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kalpana_store::transfer::mover::{Pace, Progress};
use kalpana_store::transfer::{Collection, Record};
use kalpana_store::{OpenMode, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::place::{Backend, PACE, Place, dump, migrate, mover};
use crate::records::{event, new_user, session};

/// Makes people and signs them in until the store has moved. Returns the ids of what was
/// acknowledged.
async fn write_until_moved(store: Store) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    loop {
        let (user, made) = (new_user(), event("made"));
        let (id, made_id) = (user.id, made.id);
        match store.create_user(user, made).await {
            Ok(_) => acknowledged.extend([id.to_string(), made_id.to_string()]),
            Err(StoreError::Frozen { moved_to: None }) => {
                tokio::task::yield_now().await;
                continue;
            }
            Err(StoreError::Frozen { moved_to: Some(_) }) => return acknowledged,
            Err(error) => panic!("{error:?}"),
        }
        let (session, signed_in) = (session(id), event("signed in"));
        let (session_id, signed_in_id) = (session.id, signed_in.id);
        match store.create_session(session, signed_in).await {
            Ok(()) => acknowledged.extend([session_id.to_string(), signed_in_id.to_string()]),
            Err(StoreError::Frozen { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Reads what is there all the time until the move has ended.
async fn read_until(store: Store, is_over: std::sync::Arc<AtomicBool>) -> u64 {
    let mut reads = 0;
    while !is_over.load(Ordering::Relaxed) {
        let workspaces = store.all_workspaces().await.expect("reading goes on");
        assert!(!workspaces.is_empty());
        reads += 1;
    }
    reads
}

async fn what_is_acknowledged_is_moved(from: &Backend, to: &Backend) {
    let source = from.filled().await;
    let place = to.place();
    let destination = place.receive().await;
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(write_until_moved(source.clone())))
        .collect();
    let reader = tokio::spawn(read_until(source.clone(), is_over.clone()));
    migrate(&source, &destination).await.expect("moved");
    is_over.store(true, Ordering::Relaxed);
    let records = dump(&destination).await;
    let ids: BTreeSet<String> = records
        .iter()
        .map(|record| match record {
            Record::AuditEvent { event, .. } => event.id.to_string(),
            other => other.key(),
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("no panic"));
    }
    assert!(!acknowledged.is_empty(), "somebody wrote");
    let lost: Vec<_> = acknowledged.difference(&ids).collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert_eq!(
        records,
        dump(&source).await,
        "nothing is there that was not written"
    );
    assert!(reader.await.expect("no panic") > 0);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_during_a_move_to_mongodb_is_moved() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    what_is_acknowledged_is_moved(&sqlite, &mongodb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_during_a_move_from_mongodb_is_moved() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    what_is_acknowledged_is_moved(&mongodb, &sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_during_a_move_between_files_is_moved() {
    let sqlite = Backend::sqlite();
    what_is_acknowledged_is_moved(&sqlite, &sqlite).await;
}

/// Does something from within a report, which does not wait for anybody, and waits for it.
fn right_now(doing: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(doing);
        });
    });
}

async fn a_freeze_that_ran_out_does_not_lose_a_write(from: &Backend, to: &Backend) {
    let source_place = from.place();
    source_place.fill(crate::records::everything()).await;
    let source = source_place.open(OpenMode::Use).await.expect("complete");
    let place = to.place();
    let destination = place.receive().await;
    // Nobody renews it, as if this process had been away.
    let pace = Pace {
        freeze: Duration::from_millis(1),
        renewal: Duration::from_secs(3600),
        ..PACE
    };
    let is_written = AtomicBool::new(false);
    let report = |told: Progress| {
        let Progress::Verified(moved) = told else {
            return;
        };
        // The last moment: everything is compared, nothing is retired.
        if moved.collection == Collection::AuditEvents && !is_written.swap(true, Ordering::Relaxed)
        {
            let place: &Place = &source_place;
            right_now(async {
                let writer = place.open(OpenMode::Use).await.expect("opens");
                while let Err(error) = writer.append_audit(event("the last")).await {
                    assert!(matches!(error, StoreError::Frozen { .. }), "{error:?}");
                }
            });
        }
    };
    let stop = CancellationToken::new();
    let moved = mover(&source, &destination, pace).run(&report, &stop).await;
    moved.expect("moved in a second round");
    let written = dump(&destination).await.into_iter().any(
        |record| matches!(record, Record::AuditEvent { event, .. } if event.subject == "the last"),
    );
    assert!(written, "the write that got in is moved");
    assert_eq!(dump(&destination).await, dump(&source).await);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_of_sqlite_that_ran_out_does_not_lose_a_write() {
    let sqlite = Backend::sqlite();
    a_freeze_that_ran_out_does_not_lose_a_write(&sqlite, &sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_of_mongodb_that_ran_out_does_not_lose_a_write() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    a_freeze_that_ran_out_does_not_lose_a_write(&mongodb, &sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_in_late_below_newer_ones_is_moved() {
    let sqlite = Backend::sqlite();
    let place = sqlite.place();
    place.fill(crate::records::everything()).await;
    let Place::Sqlite(path) = &place else {
        panic!("a file")
    };
    let source = place.open(OpenMode::Use).await.expect("complete");
    let destination = sqlite.place().receive().await;
    let report = |told: Progress| {
        // As a transaction does that took its number long ago and ended just before the freeze.
        if told == Progress::Frozen {
            let connection = rusqlite::Connection::open(path).expect("opens");
            let sql = "INSERT INTO audit_events (sequence, id, at, actor, action, subject)
                       VALUES (2, ?1, 0, '{\"kind\":\"system\"}', 'user.create', 'late')";
            connection
                .execute(sql, [event("late").id.to_string()])
                .expect("inserted");
        }
    };
    let stop = CancellationToken::new();
    let moved = mover(&source, &destination, PACE).run(&report, &stop).await;
    moved.expect("moved");
    let records = dump(&destination).await;
    assert!(
        records
            .iter()
            .any(|record| matches!(record, Record::AuditEvent { sequence: 2, .. }))
    );
    assert_eq!(records, dump(&source).await);
}
