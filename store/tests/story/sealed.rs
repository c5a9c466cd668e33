//! What gateways share.

use futures_util::future::join_all;
use kalpana_store::records::{SealedCopy, SealedMark};
use kalpana_store::{Store, StoreError, StoreResult};

use crate::world::{World, at};

fn copy(name: &str, contents: &[u8]) -> SealedCopy {
    SealedCopy {
        name: name.to_owned(),
        contents: contents.to_vec(),
        version: 0,
        updated_at: at(1),
    }
}

fn is_conflict<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::Conflict { what: "version" }))
}

async fn names(store: &Store, prefix: &str) -> Vec<String> {
    let marks = store.sealed_copies(prefix).await.expect("listed");
    marks.into_iter().map(|mark| mark.name).collect()
}

pub(crate) async fn a_sealed_copy_is_kept_as_it_was_given(world: &World) {
    let store = world.open().await;
    assert_eq!(store.sealed_copy("a/1").await.expect("read"), None);
    let every_byte: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    for (name, contents) in [
        ("a/1", &every_byte[..]),
        ("a/2", b""),
        ("a", b"short"),
        ("b/%_$gt'; --", b"hostile"),
    ] {
        let kept = store.put_sealed_copy(&copy(name, contents)).await;
        let kept = kept.expect("kept");
        assert!(kept.version > 0);
        assert_eq!(store.sealed_copy(name).await.expect("read"), Some(kept));
    }
    assert_eq!(names(&store, "a/").await, ["a/1", "a/2"]);
    assert_eq!(names(&store, "").await, ["a", "a/1", "a/2", "b/%_$gt'; --"]);
    assert_eq!(names(&store, "c").await, <[&str; 0]>::default());
    let kept = store.sealed_copy("a/1").await.expect("read").expect("kept");
    assert_eq!(kept.contents, every_byte);
    let marks = store.sealed_copies("a/1").await.expect("listed");
    let mark = SealedMark {
        name: "a/1".to_owned(),
        version: kept.version,
    };
    assert_eq!(marks, [mark]);
}

pub(crate) async fn only_who_saw_the_latest_version_writes_a_sealed_copy(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let first = one.put_sealed_copy(&copy("a", b"1")).await.expect("kept");
    assert!(is_conflict(
        &other.put_sealed_copy(&copy("a", b"mine")).await
    ));
    let second = SealedCopy {
        contents: b"2".to_vec(),
        ..first.clone()
    };
    let second = other.put_sealed_copy(&second).await.expect("kept");
    assert_eq!(second.version, first.version + 1);
    assert!(is_conflict(&one.put_sealed_copy(&first).await));
    assert!(
        !one.remove_sealed_copy("a", first.version)
            .await
            .expect("no")
    );
    assert!(!one.remove_sealed_copy("b", 1).await.expect("no"));

    // One that was removed and is made again is not the one before.
    assert!(
        one.remove_sealed_copy("a", second.version)
            .await
            .expect("removed")
    );
    assert_eq!(other.sealed_copy("a").await.expect("read"), None);
    assert!(is_conflict(&one.put_sealed_copy(&second).await));
    let again = SealedCopy {
        updated_at: at(60),
        ..copy("a", b"3")
    };
    let again = other.put_sealed_copy(&again).await.expect("kept");
    assert!(again.version > second.version);
    assert!(is_conflict(&one.put_sealed_copy(&second).await));
}

pub(crate) async fn one_of_many_writers_of_a_sealed_copy_wins_each_version(world: &World) {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 5;
    let stores = join_all((0..WRITERS).map(|_| world.open())).await;
    let mut version = 0;
    for _ in 0..ROUNDS {
        let asked = stores.iter().enumerate().map(|(number, store)| {
            let mine = SealedCopy {
                version,
                ..copy("turn", &[u8::try_from(number).expect("few")])
            };
            async move { store.put_sealed_copy(&mine).await }
        });
        let answers = join_all(asked).await;
        let won: Vec<&SealedCopy> = answers.iter().flatten().collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert_eq!(
            answers.iter().filter(|answer| is_conflict(answer)).count(),
            WRITERS - 1
        );
        let read = stores[0].sealed_copy("turn").await.expect("read");
        assert_eq!(read.as_ref(), Some(won[0]));
        version = won[0].version;
    }
}
