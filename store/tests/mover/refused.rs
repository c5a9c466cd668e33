//! Moves that may not be, and looking without touching.

use kalpana_domain::Timestamp;
use kalpana_store::transfer::mover::{MoveError, Pace, Stage, is_half_filled, plan};
use kalpana_store::transfer::{Freeze, Incoming, MoveId};
use kalpana_store::{OpenMode, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::place::{Backend, PACE, dump, migrate, mover};
use crate::records::{at, event};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_with_something_in_it_is_refused() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    let source = sqlite.filled().await;
    let before = dump(&source).await;
    for backend in [&sqlite, &mongodb] {
        let used = backend.filled().await;
        let content = dump(&used).await;
        let refused = migrate(&source, &used).await;
        assert!(
            matches!(refused, Err(MoveError::DestinationInUse)),
            "{refused:?}"
        );
        assert_eq!(dump(&used).await, content);
        // A store that was only just made holds its organisation already.
        let place = backend.place();
        let made = place.open(OpenMode::Migrate).await.expect("made");
        let refused = migrate(&source, &made).await;
        assert!(
            matches!(refused, Err(MoveError::DestinationInUse)),
            "{refused:?}"
        );
        place.remove().await;
    }
    assert_eq!(dump(&source).await, before);
    source
        .append_audit(event("free"))
        .await
        .expect("the source is not frozen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_filled_from_another_store_is_refused() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    let source = sqlite.filled().await;
    for backend in [&sqlite, &mongodb] {
        let place = backend.place();
        let destination = place.receive().await;
        let from = Uuid::new_v4();
        let incoming = Incoming {
            from,
            started_at: at(0),
        };
        destination.begin_incoming(incoming).await.expect("empty");
        let refused = migrate(&source, &destination).await;
        assert!(
            matches!(refused, Err(MoveError::DestinationOfAnother { from: other }) if other == from),
            "{refused:?}"
        );
        // Nobody but a mover opens it.
        for mode in [OpenMode::Use, OpenMode::Migrate] {
            let refused = place.open(mode).await.expect_err("half filled");
            assert!(is_half_filled(&refused), "{refused:?}");
        }
        place.remove().await;
    }
}

#[tokio::test]
async fn a_store_is_not_moved_onto_itself() {
    let sqlite = Backend::sqlite();
    let source = sqlite.filled().await;
    let refused = migrate(&source, &source).await;
    assert!(matches!(refused, Err(MoveError::SameStore)), "{refused:?}");
}

#[tokio::test]
async fn a_place_half_filled_before_the_store_went_elsewhere_is_refused() {
    let sqlite = Backend::sqlite();
    let source = sqlite.filled().await;
    let half = sqlite.place().receive().await;
    let from = source.store_id().await.expect("known");
    let incoming = Incoming {
        from,
        started_at: at(0),
    };
    half.begin_incoming(incoming).await.expect("empty");
    let freeze = Freeze {
        by: MoveId::new_v4(),
        until: Timestamp::MAX,
    };
    source.freeze(freeze, at(0)).await.expect("frozen");
    source
        .retire(freeze.by, "elsewhere".to_owned())
        .await
        .expect("retired");
    let refused = migrate(&source, &half).await;
    assert!(
        matches!(&refused, Err(MoveError::MovedElsewhere { place }) if place == "elsewhere"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_changes_nothing() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    let source = sqlite.filled().await;
    let before = dump(&source).await;
    let planned = plan(&source, None, "new").await.expect("a plan");
    assert_eq!(planned.stage, Stage::Fresh);
    let records: u64 = planned
        .collections
        .iter()
        .map(|planned| planned.in_source)
        .sum();
    assert_eq!(records, before.len() as u64);
    for backend in [&sqlite, &mongodb] {
        let place = backend.place();
        let destination = place.receive().await;
        let seen = plan(&source, Some(&destination), "new")
            .await
            .expect("a plan");
        assert_eq!(seen, planned);
        assert_eq!(destination.incoming().await.expect("read"), None);
        assert_eq!(dump(&destination).await, []);
        place.remove().await;
    }
    assert_eq!(dump(&source).await, before);
    source
        .append_audit(event("free"))
        .await
        .expect("the source is not frozen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_that_was_lifted_is_not_renewed() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    for backend in [&sqlite, &mongodb] {
        let store = backend.filled().await;
        let freeze = Freeze {
            by: MoveId::new_v4(),
            until: Timestamp::UNIX_EPOCH,
        };
        store.freeze(freeze, at(0)).await.expect("frozen");
        let longer = Freeze {
            until: Timestamp::MAX,
            ..freeze
        };
        store.renew(longer).await.expect("nobody wrote");
        let refused = store.append_audit(event("refused")).await;
        assert!(
            matches!(refused, Err(StoreError::Frozen { moved_to: None })),
            "{refused:?}"
        );
        store.renew(freeze).await.expect("ours");
        store
            .append_audit(event("late"))
            .await
            .expect("the freeze is over");
        for refused in [
            store.renew(longer).await,
            store.retire(freeze.by, "new".to_owned()).await,
        ] {
            assert!(
                matches!(refused, Err(StoreError::Conflict { what: "freeze" })),
                "{refused:?}"
            );
        }
        store
            .append_audit(event("later"))
            .await
            .expect("still free");
    }
}

#[tokio::test]
async fn the_freeze_of_another_move_is_not_touched() {
    let sqlite = Backend::sqlite();
    let (source, destination) = (sqlite.filled().await, sqlite.place().receive().await);
    let freeze = Freeze {
        by: MoveId::new_v4(),
        until: Timestamp::MAX,
    };
    source.freeze(freeze, at(0)).await.expect("frozen");
    let pace = Pace {
        patience: std::time::Duration::ZERO,
        ..PACE
    };
    let stop = CancellationToken::new();
    let refused = mover(&source, &destination, pace).run(&|_| {}, &stop).await;
    assert!(
        matches!(refused, Err(MoveError::FrozenByAnother { .. })),
        "{refused:?}"
    );
    assert!(
        source.thaw(freeze.by).await.expect("thawed"),
        "it was still there"
    );
    migrate(&source, &destination).await.expect("goes on");
}
