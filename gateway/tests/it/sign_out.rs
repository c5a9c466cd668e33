//! What is left after a sign-out: nothing, in any of a browser's tabs.

use crate::bridge::Bridge;
use crate::client::{code, cookie, get, location, navigate};
use crate::world::{MINE, World};

#[tokio::test]
async fn after_a_sign_out_no_tab_gets_a_new_session_without_signing_in() {
    let mut world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let mut tabs = Vec::new();
    for label in [
        MINE.to_owned(),
        format!("3000-{MINE}"),
        format!("8080-{MINE}"),
    ] {
        // One ticket is used up, and one is on its way, with a nonce for either.
        let (rid, nonce) = world.begin_sign_in(&label).await;
        let used = world.sign(&world.grant(&label, &rid, 1));
        let answer = world.call_back(&label, &used, "/", &nonce).await;
        let session = cookie(&answer, "__Host-kws").unwrap();
        let (rid, unused_nonce) = world.begin_sign_in(&label).await;
        let unused = world.sign(&world.grant(&label, &rid, 1));
        let answer = world
            .send(get(&world.host(&label), "/echo", &session))
            .await;
        assert_eq!(answer.status(), 200, "{label}");
        tabs.push((label, session, [(used, nonce), (unused, unused_nonce)]));
    }
    let heard = bridge.text();
    world.revoke(world.session).await;

    // And so it stays when the gateway is another process, which hears of it as it starts.
    for is_restarted in [false, true] {
        if is_restarted {
            world.restart().await;
        }
        for (label, session, tickets) in &tabs {
            let host = world.host(label);
            let answer = world.send(get(&host, "/echo", session)).await;
            let refused = (answer.status().as_u16(), code(&answer));
            assert_eq!(refused, (401, "unauthenticated".to_owned()), "{label}");
            for (ticket, nonce) in tickets {
                let both = format!("{session}; {nonce}");
                for cookies in [nonce, &both] {
                    let answer = world.call_back(label, ticket, "/", cookies).await;
                    assert_eq!(answer.status(), 400, "{label}");
                    assert_eq!(cookie(&answer, "__Host-kws"), None, "{label}");
                }
            }
            // A reload leads to the control plane, which decides, and brings no session by itself.
            let mut reload = navigate(&host, "/");
            reload
                .headers_mut()
                .insert("cookie", session.parse().unwrap());
            let answer = world.send(reload).await;
            assert_eq!(answer.status(), 303, "{label}");
            let sign_in = format!("{}/auth/workspace?", world.site.base_url());
            assert!(location(&answer).starts_with(&sign_in), "{label}");
            assert_eq!(cookie(&answer, "__Host-kws"), None, "{label}");
        }
    }
    assert_eq!(bridge.text(), heard, "nothing of it arrived");
    // A new sign-in is one.
    world.session = kalpana_domain::id::SessionId::generate();
    let session = world.sign_in(MINE, 1).await;
    let answer = world.send(get(&world.host(MINE), "/echo", &session)).await;
    assert_eq!(answer.status(), 200);
}
