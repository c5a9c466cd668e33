//! A workspace's socket is listened on by somebody else: connections to who was there before are
//! not for them.

use crate::bridge::Bridge;
use crate::client::{get, text};
use crate::world::{MINE, World};

/// How often each is asked: often enough that a connection would be used again.
const TIMES: usize = 3;

async fn ask(world: &World, session: &str) {
    for _ in 0..TIMES {
        let answer = world.send(get(&world.host(MINE), "/echo", session)).await;
        assert_eq!(answer.status(), 200, "{}", text(&answer));
    }
}

#[tokio::test]
async fn the_next_generation_is_asked_though_the_one_before_still_answers() {
    let world = World::start().await;
    let before = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    ask(&world, &session).await;
    assert_eq!(before.targets(), ["editor"], "one connection, kept");
    let heard = before.text();

    // The same path, and the connections to who was there before stay open.
    let after = Bridge::start(&world, MINE, 2);
    let target = world.running(MINE, 2);
    world.route(MINE, world.user, 2, target).await;
    let refused = world.send(get(&world.host(MINE), "/echo", &session)).await;
    assert_eq!(refused.status(), 401, "a session of the one before");
    let session = world.sign_in(MINE, 2).await;
    ask(&world, &session).await;
    assert_eq!(after.text().matches("GET /echo ").count(), TIMES);
    assert_eq!(before.text(), heard);
}

#[tokio::test]
async fn who_comes_back_at_the_same_path_is_asked_over_a_connection_of_their_own() {
    let world = World::start().await;
    let before = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    ask(&world, &session).await;
    assert_eq!(before.targets(), ["editor"]);

    drop(before);
    let after = Bridge::start(&world, MINE, 1);
    ask(&world, &session).await;
    assert_eq!(after.text().matches("GET /echo ").count(), TIMES);
    assert_eq!(after.targets(), ["editor"]);
}
