//! A database that goes away and comes back, seen by a process that has it open all the time.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use kalpana_config::Secret;
use kalpana_domain::audit::AuditAction;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::sharing::{PortShare, Rule, SharingLevel};
use kalpana_store::{OpenMode, Outage, Store, StoreError, StoreEvent};
use kalpana_test_mongodb::{Options, Server};
use mongodb::Client;
use mongodb::bson::doc;
use prometheus::Registry;

use crate::world::{World, at, event, log, make_user, make_workspace, new_session};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

fn settings(server: &Server) -> kalpana_config::Store {
    let mut settings = kalpana_config::Store::default();
    settings.mongodb.uri = Some(Secret::new(server.uri()));
    settings.mongodb.connect_timeout = "1s".parse().expect("legal");
    settings.operation_timeout = "1s".parse().expect("legal");
    settings.poll_interval = "100ms".parse().expect("legal");
    settings
}

/// Opens the store as services do: behind its guard.
async fn open(server: &Server, registry: &Registry) -> Store {
    let path = Path::new("/nowhere");
    kalpana_store::open(&settings(server), path, OpenMode::Migrate, registry)
        .await
        .expect("a store that opens")
}

/// Asks until the store answers, and returns how often it did not.
async fn until_it_answers(store: &Store) -> u32 {
    let asking = async {
        let mut refused = 0;
        while let Err(error) = store.ping().await {
            assert_is_away(&error);
            refused += 1;
            // Refusals are immediate: let the driver's own tasks run.
            tokio::task::yield_now().await;
        }
        refused
    };
    tokio::time::timeout(LIMIT, asking)
        .await
        .expect("it recovers")
}

fn assert_is_away(error: &StoreError) {
    assert!(
        matches!(
            error,
            StoreError::Unavailable {
                outage: Outage::Away,
                ..
            }
        ),
        "{error:?}"
    );
}

/// Returns a sample of the metrics, as `name{labels}` has it.
fn metric(registry: &Registry, line: &str) -> f64 {
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("text");
    let sample = text.lines().find_map(|sample| sample.strip_prefix(line));
    sample.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_lost_nothing_and_is_used_again_without_reopening() {
    let options = Options {
        sync: true,
        ..Options::default()
    };
    let mut server = Server::start_with(options).await.expect("started");
    let store = open(&server, &Registry::new()).await;
    let mut written = Vec::new();
    for round in 0..3 {
        // Writes until the server dies in the middle.
        let writer = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut answered = Vec::new();
                loop {
                    let event = event(AuditAction::SessionRefuse);
                    match store.append_audit(event.clone()).await {
                        Ok(()) => answered.push(event),
                        Err(error) => {
                            assert_is_away(&error);
                            return answered;
                        }
                    }
                }
            })
        };
        // Some of it is there: the writer is in full swing.
        let started = async {
            while log(&store).await.len() < 5 * (round + 1) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, started)
            .await
            .expect("it writes");
        server.kill().await.expect("killed");
        written.extend(writer.await.expect("joined"));
        let error = store.user(kalpana_domain::id::UserId::generate()).await;
        assert_is_away(&error.expect_err("away"));
        server.start_again().await.expect("started");
        until_it_answers(&store).await;
    }
    let mut kept = Vec::new();
    let mut after = None;
    loop {
        let page = store.audit_events(crate::world::page(after, 200)).await;
        let mut page = page.expect("listed");
        kept.append(&mut page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // The last of each round's five may be the one whose answer was lost.
    assert!(written.len() >= 12, "{}", written.len());
    for event in &written {
        assert!(kept.contains(event), "lost: {event:?}");
    }
    // Beyond what was answered there may be one for each kill whose answer was lost.
    assert!(
        kept.len() <= written.len() + 3,
        "{} {}",
        kept.len(),
        written.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_costs_three_time_outs_and_then_nothing() {
    let server = Server::start().await.expect("started");
    let registry = Registry::new();
    let store = open(&server, &registry).await;
    store.ping().await.expect("answers");
    // A connection is given back a moment after it was used.
    let given_back = async {
        while metric(&registry, "kalpana_store_connections{state=\"idle\"}") < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, given_back)
        .await
        .expect("given back");
    assert!(
        metric(
            &registry,
            "kalpana_store_operation_seconds_count{operation=\"ping\"}"
        ) >= 1.0
    );
    server.hold().expect("held");
    let mut tolerated = 0;
    while metric(&registry, "kalpana_store_breaker_open") == 0.0 {
        assert_is_away(&store.ping().await.expect_err("silent"));
        tolerated += 1;
    }
    assert_eq!(tolerated, 3);
    let error = store.ping().await.expect_err("refused");
    assert!(error.to_string().contains("asked again in"), "{error}");
    let outcome = |outcome: &str| {
        let labels = format!("operation=\"ping\",outcome=\"{outcome}\"");
        metric(
            &registry,
            &format!("kalpana_store_operations_total{{{labels}}}"),
        )
    };
    assert_eq!((outcome("away"), outcome("rejected")), (3.0, 1.0));
    server.release().expect("released");
    until_it_answers(&store).await;
    assert_eq!(metric(&registry, "kalpana_store_breaker_open"), 0.0);
    assert!(outcome("ok") >= 2.0);
}

/// Waits for the next event that a predicate takes.
async fn hear(
    events: &mut kalpana_store::events::EventStream,
    is_awaited: impl Fn(&StoreEvent) -> bool,
) -> StoreEvent {
    let hearing = async {
        loop {
            let event = events.next().await.expect("never ends");
            if is_awaited(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(LIMIT, hearing).await.expect("told")
}

pub(crate) async fn an_ended_session_is_told_to_other_processes(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let mut events = other.events();
    // Sessions are ended at times near the present, whatever the clock of the rest says.
    let now = SystemClock.now();
    let mut awaited = Vec::new();
    for secret in 1..4 {
        let session = new_session(&ada, secret);
        let creation = event(AuditAction::SessionCreate);
        one.create_session(session.clone(), creation)
            .await
            .expect("kept");
        awaited.push(session.id);
    }
    let end = async |id| {
        let ending = event(AuditAction::SessionEnd);
        assert!(
            one.end_session(ada.id, id, now, ending)
                .await
                .expect("ended")
        );
    };
    let heard = async {
        let mut heard = std::collections::BTreeSet::new();
        while heard.len() < awaited.len() {
            // What followers do: what they may have missed they read.
            let ended = match hear(&mut events, |_| true).await {
                StoreEvent::SessionEnded(ended) => vec![ended],
                _ => other.ended_sessions(now).await.expect("read"),
            };
            for session in ended {
                assert_eq!(session.ended_at.as_millisecond(), now.as_millisecond());
                heard.insert(session.id);
            }
        }
        heard.into_iter().collect::<Vec<_>>()
    };
    let ending = async {
        for id in &awaited {
            end(*id).await;
        }
    };
    let (heard, ()) = tokio::join!(heard, ending);
    awaited.sort();
    assert_eq!(heard, awaited);
}

pub(crate) async fn a_shared_port_is_told_to_other_processes(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let workspace = make_workspace(&one, &ada).await.id;
    let mut events = other.events();
    for port in [3000, 4000] {
        let share = PortShare {
            rule: Rule {
                level: SharingLevel::Public,
                ..Rule::default()
            },
            updated_at: at(2),
            ..PortShare::blank(workspace, port)
        };
        let change = event(AuditAction::ShareChange);
        let kept = one.put_port_share(&share, change).await.expect("kept");
        let told = async {
            // What followers do: whatever may have changed they read.
            while other.port_share(workspace, port).await.expect("read") != Some(kept.clone()) {
                hear(&mut events, |_| true).await;
            }
            hear(&mut events, |event| {
                matches!(event, StoreEvent::SharingChanged | StoreEvent::Missed)
            })
            .await
        };
        tokio::time::timeout(LIMIT, told).await.expect("told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_followers_are_told_that_something_may_be_missed() {
    let mut server = Server::start().await.expect("started");
    let store = open(&server, &Registry::new()).await;
    let mut events = store.events();
    assert_eq!(hear(&mut events, |_| true).await, StoreEvent::Missed);
    server.kill().await.expect("killed");
    // Away for longer than the driver tries to go on where it was, after which nothing is missed.
    let next = hear(&mut events, |_| true);
    let (next, ()) = tokio::join!(next, async {
        while !store
            .ping()
            .await
            .is_err_and(|error| error.to_string().contains("asked again"))
        {}
        server.start_again().await.expect("started");
    });
    assert_eq!(next, StoreEvent::Missed);
    let ada = make_user(&store, "ada").await;
    let session = new_session(&ada, 1);
    let creation = event(AuditAction::SessionCreate);
    store
        .create_session(session.clone(), creation)
        .await
        .expect("kept");
    let ending = event(AuditAction::SessionEnd);
    assert!(
        store
            .end_session(session.user, session.id, at(1), ending)
            .await
            .expect("ended")
    );
    let ended = hear(&mut events, |event| *event != StoreEvent::Missed).await;
    assert!(matches!(ended, StoreEvent::SessionEnded(ended) if ended.id == session.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_without_change_streams_is_looked_at_again_and_again() {
    let server = Server::start().await.expect("started");
    let store = open(&server, &Registry::new()).await;
    let ada = make_user(&store, "ada").await;
    let session = new_session(&ada, 1);
    let creation = event(AuditAction::SessionCreate);
    store
        .create_session(session.clone(), creation)
        .await
        .expect("kept");
    // What a server that is no replica set answers to `watch`.
    Client::with_uri_str(server.uri())
        .await
        .expect("connected")
        .database("admin")
        .run_command(doc! {
            "configureFailPoint": "failCommand",
            "mode": "alwaysOn",
            "data": { "failCommands": ["aggregate"], "errorCode": 40_573 },
        })
        .await
        .expect("set");
    let mut events = store.events();
    assert_eq!(hear(&mut events, |_| true).await, StoreEvent::Missed);
    let now = SystemClock.now();
    let ending = event(AuditAction::SessionEnd);
    assert!(
        store
            .end_session(session.user, session.id, now, ending)
            .await
            .expect("ended")
    );
    let ended = hear(&mut events, |event| *event != StoreEvent::Missed).await;
    assert!(matches!(ended, StoreEvent::SessionEnded(ended) if ended.id == session.id));
}
