//! Moves that nothing disturbs.

use kalpana_store::transfer::mover::{Progress, Stage};
use kalpana_store::transfer::{Collection, Record};
use kalpana_store::{OpenMode, Store, StoreError};

use crate::place::{Backend, Place, dump, migrate};
use crate::records::{event, new_user};

/// Moves a filled store to a new place and looks at both. Returns the new store and its digests.
async fn everything_moves(source: &Store, place: &Place) -> (Store, Vec<[u8; 32]>) {
    let before = dump(source).await;
    let destination = place.receive().await;
    let (summary, told) = migrate(source, &destination).await.expect("moved");
    assert_eq!(summary.stage, Stage::Fresh);
    assert_eq!(dump(&destination).await, before);
    assert_eq!(dump(source).await, before, "the source keeps what it has");
    assert_eq!(
        told.first(),
        Some(&Progress::Began {
            stage: Stage::Fresh
        })
    );
    assert_eq!(told.last(), Some(&Progress::Completed));
    for moved in &summary.collections {
        let records = before
            .iter()
            .filter(|record| record.collection() == moved.collection);
        assert_eq!(moved.count, records.count() as u64);
        assert!(told.contains(&Progress::Verified(moved.clone())));
    }
    let collections = summary.collections.iter().map(|moved| moved.collection);
    assert!(collections.eq(Collection::ALL));

    // The old store tells where everything is.
    let refused = source.create_user(new_user(), event("late")).await;
    let place_is_told =
        matches!(&refused, Err(StoreError::Frozen { moved_to: Some(to) }) if to == "new");
    assert!(place_is_told, "{refused:?}");
    // The new one is like one that was always there.
    let opened = place.open(OpenMode::Migrate).await.expect("opens");
    assert_eq!(dump(&opened).await, before, "nothing is made in it");
    (
        opened,
        summary
            .collections
            .iter()
            .map(|moved| moved.digest)
            .collect(),
    )
}

/// The next events have places after all that came from elsewhere.
async fn the_log_goes_on(store: &Store) {
    let places = |records: Vec<Record>| -> Vec<u64> {
        let places = records.iter().filter_map(|record| match record {
            Record::AuditEvent { sequence, .. } => Some(*sequence),
            _ => None,
        });
        places.collect()
    };
    let before = places(dump(store).await);
    store.append_audit(event("next")).await.expect("appended");
    let after = places(dump(store).await);
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.last() > before.last(), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_from_sqlite_to_mongodb_and_back() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    let first = sqlite.filled().await;
    let place = mongodb.place();
    let (second, there) = everything_moves(&first, &place).await;
    let (third, back) = everything_moves(&second, &sqlite.place()).await;
    assert_eq!(there, back, "digests do not depend on the backend");
    the_log_goes_on(&third).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_between_two_files() {
    let sqlite = Backend::sqlite();
    let first = sqlite.filled().await;
    let (second, _) = everything_moves(&first, &sqlite.place()).await;
    the_log_goes_on(&second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_goes_on_in_mongodb() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    let place = mongodb.place();
    let (second, _) = everything_moves(&sqlite.filled().await, &place).await;
    the_log_goes_on(&second).await;
    place.remove().await;
}

#[tokio::test]
async fn a_second_run_has_nothing_to_do() {
    let sqlite = Backend::sqlite();
    let (source, destination) = (sqlite.filled().await, sqlite.place().receive().await);
    migrate(&source, &destination).await.expect("moved");
    let before = dump(&destination).await;
    let (summary, told) = migrate(&source, &destination).await.expect("no work");
    assert_eq!(summary.stage, Stage::Done);
    assert_eq!(told, [Progress::Began { stage: Stage::Done }]);
    assert_eq!(dump(&destination).await, before);
}

#[tokio::test]
async fn a_reinstated_source_takes_changes_and_moves_again() {
    let sqlite = Backend::sqlite();
    let source = sqlite.filled().await;
    let first = sqlite.place().receive().await;
    migrate(&source, &first).await.expect("moved");
    source.reinstate().await.expect("reinstated");
    source.append_audit(event("after")).await.expect("appended");
    let second = sqlite.place().receive().await;
    migrate(&source, &second).await.expect("moved again");
    assert_eq!(dump(&second).await, dump(&source).await);
}
