//! The feed over a real Unix socket: snapshot, changes, acknowledgement, cut lines, strangers.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use kalpana_link::feed::{Follow, Publisher, State, follow};
use kalpana_link::{CallError, Client, InternalToken, Listener, PeerPolicy, server};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Numbers(Vec<u32>);

impl State for Numbers {
    type Change = u32;
    fn apply(&mut self, change: &u32) {
        self.0.push(*change);
    }

    fn split_off(&mut self) -> Option<Self> {
        (self.0.len() > 100).then(|| Self(self.0.drain(..100).collect()))
    }
}

struct Recorder {
    known: Mutex<Numbers>,
    parts: Mutex<Vec<u32>>,
    count: watch::Sender<usize>,
    snapshots: watch::Sender<usize>,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            parts: Mutex::default(),
            count: watch::channel(0).0,
            snapshots: watch::channel(0).0,
        })
    }

    async fn until_it_knows(&self, count: usize) {
        let waited = async {
            self.count
                .subscribe()
                .wait_for(|known| *known >= count)
                .await
                .map(|_| ())
        };
        tokio::time::timeout(Duration::from_secs(10), waited)
            .await
            .expect("in time")
            .expect("alive");
    }
}

impl Follow for Recorder {
    type State = Numbers;
    type Change = u32;
    fn part(&self, part: Numbers) -> bool {
        self.parts.lock().unwrap().extend(part.0);
        true
    }
    fn snapshot(&self, last: Numbers) {
        let mut state = Numbers(std::mem::take(&mut *self.parts.lock().unwrap()));
        state.0.extend(last.0);
        self.count.send_replace(state.0.len());
        *self.known.lock().unwrap() = state;
        self.snapshots.send_modify(|snapshots| *snapshots += 1);
    }
    fn change(&self, change: u32) {
        let mut known = self.known.lock().unwrap();
        known.0.push(change);
        self.count.send_replace(known.0.len());
    }
    fn connected(&self, _: bool) {}
}

struct Site {
    folder: tempfile::TempDir,
    publisher: Publisher<Numbers>,
    serving: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut site = Self {
            folder,
            publisher: Publisher::new(Numbers(vec![1])),
            serving: None,
        };
        site.serve();
        site
    }

    fn serve(&mut self) {
        let path = self.folder.path().join("feed.sock");
        let listener = Listener::bind(&path, 0o600, PeerPolicy::same_user(None)).unwrap();
        let router = Router::new().nest("/numbers", self.publisher.router());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server::serve(listener, router, shutdown.clone()));
        self.serving = Some((shutdown, task));
    }

    /// Ends the listener and every connection, as the end of the process would.
    async fn stop_serving(&mut self) {
        let (_, task) = self.serving.take().expect("serving");
        task.abort();
        let _ = task.await;
    }

    fn client(&self) -> Client {
        Client::new("numbers", self.folder.path().join("feed.sock"), None)
    }

    fn follow(&self, recorder: &Arc<Recorder>) -> CancellationToken {
        let (client, recorder, stop) = (
            self.client(),
            Arc::clone(recorder),
            CancellationToken::new(),
        );
        let shutdown = stop.clone();
        tokio::spawn(async move { follow(client, "/numbers", "one", &*recorder, shutdown).await });
        stop
    }
}

#[tokio::test]
async fn a_reader_gets_the_snapshot_then_changes_and_its_acknowledgement_is_seen() {
    let site = Site::start();
    let recorder = Recorder::new();
    site.follow(&recorder);
    recorder.until_it_knows(1).await;
    let seq = site.publisher.publish(2);
    let heard = site
        .publisher
        .wait_acknowledged(seq, Duration::from_secs(10))
        .await;
    assert_eq!(
        (heard.done, heard.waiting),
        (vec!["one".to_owned()], vec![])
    );
    assert_eq!(*recorder.known.lock().unwrap(), Numbers(vec![1, 2]));
}

#[tokio::test]
async fn a_reader_that_was_cut_off_continues_without_a_new_snapshot() {
    let mut site = Site::start();
    let recorder = Recorder::new();
    site.follow(&recorder);
    recorder.until_it_knows(1).await;
    site.stop_serving().await;
    for number in 2..=50 {
        site.publisher.publish(number);
    }
    site.serve();
    recorder.until_it_knows(50).await;
    assert_eq!(*recorder.known.lock().unwrap(), Numbers((1..=50).collect()));
    assert_eq!(*recorder.snapshots.borrow(), 1);
}

#[tokio::test]
async fn a_large_state_is_told_in_parts_and_changes_follow_it() {
    let mut site = Site::start();
    site.stop_serving().await;
    site.publisher = Publisher::new(Numbers((0..1050).collect()));
    site.serve();
    let recorder = Recorder::new();
    site.follow(&recorder);
    recorder.until_it_knows(1050).await;
    site.publisher.publish(1050);
    recorder.until_it_knows(1051).await;
    let all = Numbers((0..=1050).collect());
    assert_eq!(*recorder.known.lock().unwrap(), all);
    assert_eq!(*recorder.snapshots.borrow(), 1);
}

#[tokio::test]
async fn a_reader_of_an_earlier_run_gets_everything_anew() {
    let mut site = Site::start();
    let recorder = Recorder::new();
    site.follow(&recorder);
    recorder.until_it_knows(1).await;
    site.stop_serving().await;
    site.publisher = Publisher::new(Numbers(vec![7, 8, 9]));
    site.serve();
    recorder.until_it_knows(3).await;
    assert_eq!(*recorder.known.lock().unwrap(), Numbers(vec![7, 8, 9]));
    assert_eq!(*recorder.snapshots.borrow(), 2);
}

#[tokio::test]
async fn a_call_without_the_token_is_refused_and_with_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guarded.sock");
    let token = InternalToken::generate();
    let listener =
        Listener::bind(&path, 0o600, PeerPolicy::same_user(Some(token.clone()))).unwrap();
    let router = Router::new().route("/", axum::routing::get(|| async { axum::Json(7) }));
    tokio::spawn(server::serve(listener, router, CancellationToken::new()));
    let ask = async |token| {
        let client = Client::new("guarded", &path, token);
        client
            .call::<u32>(http::Method::GET, "/", None, None::<&()>)
            .await
    };
    assert_eq!(ask(Some(token)).await.unwrap(), 7);
    for wrong in [None, Some(InternalToken::generate())] {
        let refused = ask(wrong).await;
        assert!(
            matches!(refused, Err(CallError::Refused { status, .. }) if status == 401),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_process_of_another_user_is_hung_up_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sock");
    let policy = PeerPolicy {
        allowed_uids: vec![u32::MAX - 1],
        token: None,
    };
    let listener = Listener::bind(&path, 0o600, policy).unwrap();
    tokio::spawn(server::serve(
        listener,
        Router::new(),
        CancellationToken::new(),
    ));
    let client = Client::new("other", &path, None);
    let refused = client
        .call::<()>(http::Method::GET, "/", None, None::<&()>)
        .await;
    assert!(
        matches!(refused, Err(CallError::Unavailable { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_living_listener_is_not_replaced_and_a_dead_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.sock");
    let first = Listener::bind(&path, 0o600, PeerPolicy::same_user(None)).unwrap();
    let second = Listener::bind(&path, 0o600, PeerPolicy::same_user(None));
    assert!(matches!(second, Err(kalpana_link::BindError::InUse { .. })));
    drop(first);
    std::os::unix::net::UnixListener::bind(&path)
        .map(drop)
        .unwrap(); // leaves its file behind
    assert!(Listener::bind(&path, 0o600, PeerPolicy::same_user(None)).is_ok());
}
