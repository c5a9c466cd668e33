//! Moves that are cut off at every point there is, and run again.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use kalpana_store::transfer::mover::{MoveError, Pace, Progress, Stage, Summary};
use kalpana_store::transfer::{Collection, Record};
use kalpana_store::{Store, StoreError, StoreResult};
use tokio_util::sync::CancellationToken;

use crate::place::{Backend, PACE, dump, migrate, migrate_at, mover};
use crate::records::{self, event, session};

/// A freeze that nobody has to wait for, when it is left behind.
const SHORT: Pace = Pace {
    freeze: Duration::from_millis(300),
    renewal: Duration::from_millis(100),
    ..PACE
};

/// Moves until `number` steps were told, then drops everything, as a killed process would. None
/// when it was cut off.
async fn cut_off_after(
    number: usize,
    pace: Pace,
    source: &Store,
    destination: &Store,
) -> Option<Result<Summary, MoveError>> {
    let told = AtomicUsize::new(0);
    let report = |_: Progress| {
        told.fetch_add(1, Ordering::Relaxed);
    };
    let (mover, stop) = (mover(source, destination, pace), CancellationToken::new());
    let mut run = pin!(mover.run(&report, &stop));
    std::future::poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if told.load(Ordering::Relaxed) >= number => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Writes as soon as the source is not frozen: what was cut off may leave a freeze, even one that
/// was still on its way, which ends by itself. None when the store is moved.
async fn when_free<T>(mut write: impl AsyncFnMut() -> StoreResult<T>) -> Option<T> {
    loop {
        match write().await {
            Ok(value) => return Some(value),
            Err(StoreError::Frozen { moved_to: None }) => tokio::task::yield_now().await,
            Err(StoreError::Frozen { moved_to: Some(_) }) => return None,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Writes, changes and removes, unless the store is moved by then.
async fn change(source: &Store) {
    let appended = when_free(async || source.append_audit(event("between")).await).await;
    if appended.is_none() {
        return;
    }
    let workspaces = source.all_workspaces().await.expect("listed");
    let workspace = workspaces.first().expect("there is one");
    when_free(async || source.update_workspace(workspace, None).await).await;
    let users = source
        .export(Collection::Users, None, 1)
        .await
        .expect("exported");
    let Some(Record::User(user)) = users.first() else {
        panic!("there is one")
    };
    // What ended in the round before goes, what ends now stays.
    let purge = async || source.purge_sessions(records::at(8)).await;
    when_free(purge).await;
    let (new, now) = (session(user.id), records::at(5));
    when_free(async || source.create_session(new.clone(), event("in")).await).await;
    when_free(async || {
        source
            .end_session(new.user, new.id, now, event("out"))
            .await
    })
    .await;
}

async fn a_move_that_is_cut_off_anywhere_goes_on(from: &Backend, to: &Backend, pace: Pace) {
    let source = from.filled().await;
    for number in 1.. {
        let place = to.place();
        let destination = place.receive().await;
        if let Some(result) = cut_off_after(number, pace, &source, &destination).await {
            result.expect("moved");
            assert_eq!(dump(&destination).await, dump(&source).await);
            assert!(number > 25, "there are many places to cut at");
            place.remove().await;
            return;
        }
        change(&source).await;
        let (_, told) = migrate_at(pace, &source, &destination)
            .await
            .expect("moved");
        // The last step may have been on its way when it was cut off.
        let ends = [Progress::Completed, Progress::Began { stage: Stage::Done }];
        assert!(
            told.last().is_some_and(|last| ends.contains(last)),
            "cut off after {number}"
        );
        assert_eq!(
            dump(&destination).await,
            dump(&source).await,
            "cut off after {number}"
        );
        source.reinstate().await.expect("reinstated");
        place.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_between_files_that_is_cut_off_anywhere_goes_on() {
    let sqlite = Backend::sqlite();
    a_move_that_is_cut_off_anywhere_goes_on(&sqlite, &sqlite, SHORT).await;
}

/// One page for a collection: the places between pages are those between files.
const LARGE: Pace = Pace { page: 200, ..SHORT };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_mongodb_that_is_cut_off_anywhere_goes_on() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    a_move_that_is_cut_off_anywhere_goes_on(&sqlite, &mongodb, LARGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_from_mongodb_that_is_cut_off_anywhere_goes_on() {
    let (sqlite, mongodb) = (Backend::sqlite(), Backend::mongodb().await);
    a_move_that_is_cut_off_anywhere_goes_on(&mongodb, &sqlite, LARGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_stopped_anywhere_leaves_the_source_free() {
    let sqlite = Backend::sqlite();
    let source = sqlite.filled().await;
    for number in 1.. {
        let destination = sqlite.place().receive().await;
        let (stop, told) = (CancellationToken::new(), AtomicUsize::new(0));
        let report = |_: Progress| {
            if told.fetch_add(1, Ordering::Relaxed) + 1 == number {
                stop.cancel();
            }
        };
        match mover(&source, &destination, PACE).run(&report, &stop).await {
            Err(MoveError::Stopped) => {
                let free = source.append_audit(event("free")).await;
                free.expect("the source takes changes at once");
                migrate(&source, &destination).await.expect("moved");
            }
            // Too late to stop: what is begun then is brought to its end.
            Ok(_) => {}
            Err(error) => panic!("stopped after {number}: {error:?}"),
        }
        assert_eq!(dump(&destination).await, dump(&source).await);
        source.reinstate().await.expect("reinstated");
        if told.load(Ordering::Relaxed) < number {
            return;
        }
    }
}
