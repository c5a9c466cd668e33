//! What the time of an answer tells of a workspace that one may not have: not even that it exists.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kalpana_domain::id::UserId;

use crate::bridge::Bridge;
use crate::client::{get, navigate, request, whole};
use crate::world::{FOREIGN, MINE, NOBODYS, World, patient};

/// Requests of each kind for either workspace; enough that chance alone moves [`advantage`] by
/// about 0.01.
const TIMES: usize = 1500;

/// How often of two answers the slower one may be the forbidden workspace's. An answer that is
/// slower by a tenth of the spread is past it; asking the container first would be at 1.
const TELLS_NOTHING: std::ops::Range<f64> = 0.4..0.6;

/// Returns how likely a measurement of `these` is the longer one beside one of `others`: 0.5 when
/// the two cannot be told apart (the Mann-Whitney statistic; ties count half).
fn advantage(these: &[Duration], others: &[Duration]) -> f64 {
    let mut others = others.to_vec();
    others.sort();
    let beaten: usize = these
        .iter()
        .map(|this| {
            let shorter = others.partition_point(|other| other < this);
            shorter + others.partition_point(|other| other <= this)
        })
        .sum();
    beaten as f64 / 2.0 / (these.len() * others.len()) as f64
}

#[test]
fn the_measure_tells_a_tenth_of_the_spread_apart() {
    let spread = |from: u64| -> Vec<Duration> {
        let micros = from..from + 1000;
        micros.map(Duration::from_micros).collect()
    };
    assert!(TELLS_NOTHING.contains(&advantage(&spread(0), &spread(0))));
    assert!(!TELLS_NOTHING.contains(&advantage(&spread(150), &spread(0))));
    assert!(!TELLS_NOTHING.contains(&advantage(&spread(0), &spread(150))));
}

/// What somebody asks who is signed in to a workspace of their own.
fn attempts(host: &str, session: &str) -> Vec<(&'static str, Request<Full<Bytes>>)> {
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("cookie", session),
    ];
    vec![
        ("a page", navigate(host, "/")),
        ("a call", get(host, "/echo", session)),
        ("a WebSocket", request("GET", host, "/ws", &upgrade)),
        ("a callback", get(host, "/.kalpana/cb?t=x", session)),
    ]
}

#[tokio::test]
async fn the_time_of_an_answer_does_not_tell_a_forbidden_workspace_from_none() {
    let world = World::start().await;
    let _mine = Bridge::start(&world, MINE, 1);
    let _foreign = Bridge::start(&world, FOREIGN, 1);
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, UserId::generate(), 1, target).await;
    let session = world.sign_in(MINE, 1).await;
    let mut h1 = world.h1(&world.host(MINE)).await;
    let kinds = attempts("x", &session).len();
    let mut took = vec![(Vec::new(), Vec::new()); kinds];
    for time in 0..TIMES {
        // The two take turns at being first, so that neither has the other's warm caches.
        let mut labels = [FOREIGN, NOBODYS];
        labels.rotate_left(time % 2);
        for label in labels {
            let asked = attempts(&world.host(label), &session);
            for ((kind, request), (foreign, nobodys)) in asked.into_iter().zip(&mut took) {
                patient(h1.ready()).await.unwrap();
                let begun = Instant::now();
                let answer = patient(h1.send_request(request)).await.unwrap();
                let took = begun.elapsed();
                let answer = whole(answer).await;
                assert!(
                    [303, 400, 401].contains(&answer.status().as_u16()),
                    "{kind}"
                );
                if label == FOREIGN { foreign } else { nobodys }.push(took);
            }
        }
    }
    for ((kind, _), (foreign, nobodys)) in attempts("x", &session).iter().zip(&took) {
        let told = advantage(foreign, nobodys);
        println!("{kind}: {told:.3} of {TIMES} pairs");
        assert!(TELLS_NOTHING.contains(&told), "{kind}: {told:.3}");
    }
}
