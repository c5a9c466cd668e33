//! What the owner sees when a workspace does not answer, and everybody when we do not.

use http::StatusCode;
use kalpana_protocol::orchestrator::PhaseName;
use kalpana_protocol::routes::{Step, Target};
use kalpana_protocol::sharing::SharedPort;

use crate::bridge::{Bridge, CLOSED_PORT};
use crate::client::{Answer, code, cookie, get, location, navigate, query, request, text};
use crate::sharing::shared;
use crate::world::{MINE, Options, World};

async fn page(world: &World, label: &str, path: &str, session: &str) -> Answer {
    let mut request = navigate(&world.host(label), path);
    request
        .headers_mut()
        .insert("cookie", session.parse().unwrap());
    world.send(request).await
}

/// A workspace that a visit wakes.
const PAUSED: Target = Target::Paused {
    stays_asleep: false,
};

#[tokio::test]
async fn the_owner_is_told_what_became_of_the_workspace() {
    let world = World::start().await;
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let control = format!("https://kalpana.localhost:8443/workspace/{MINE}");
    for (target, expected, sentence) in [
        (
            Target::Stopped,
            "workspace_stopped",
            "This workspace is stopped",
        ),
        (
            Target::Starting { step: None },
            "workspace_starting",
            "Your workspace is starting",
        ),
        (PAUSED, "workspace_asleep", "This workspace is asleep"),
        (
            Target::Stopping,
            "workspace_stopping",
            "This workspace is stopping",
        ),
        (
            Target::Failed {
                message: "no space left & <nothing> done".to_owned(),
            },
            "workspace_failed",
            "no space left &amp; &lt;nothing&gt; done",
        ),
    ] {
        let is_starting = matches!(target, Target::Starting { .. });
        world.route(MINE, world.user, 1, target).await;
        let answer = page(&world, MINE, "/", &session).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        assert!(text(&answer).contains(sentence), "{}", text(&answer));
        assert_eq!(text(&answer).contains(&control), !is_starting, "the way on");
        let answer = world.send(get(&world.host(MINE), "/", &session)).await;
        assert_eq!(code(&answer), expected);
    }
}

/// Opens a page as somebody who types its address.
async fn visit(world: &World, path: &str, session: &str, more: &[(&str, &str)]) -> Answer {
    let own = [
        ("cookie", session),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("accept", "text/html"),
    ];
    let headers = [&own[..], more].concat();
    world
        .send(request("GET", &world.host(MINE), path, &headers))
        .await
}

#[tokio::test]
async fn an_owner_who_means_to_open_a_stopped_workspace_is_sent_to_have_it_started() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 2);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    world.route(MINE, world.user, 1, Target::Stopped).await;
    let meant = [("sec-fetch-user", "?1")];
    for nobody in [
        &[][..],
        &[("sec-fetch-user", "?1"), ("sec-purpose", "prefetch")],
    ] {
        let answer = visit(&world, "/", &session, nobody).await;
        assert_eq!(
            answer.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "{nobody:?}"
        );
    }
    let answer = visit(&world, "/a?b=c", &session, &meant).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let target = location(&answer);
    assert!(
        target.starts_with("https://kalpana.localhost:8443/auth/workspace?"),
        "{target}"
    );
    assert_eq!(query(target, "to").as_deref(), Some("/a?b=c"));

    // They come back with a ticket for the start before the feed has told of it.
    let rid = query(target, "rid").unwrap();
    let nonce = cookie(&answer, "__Host-kwn").unwrap();
    let ticket = world.sign(&world.grant(MINE, &rid, 2));
    let answer = world.call_back(MINE, &ticket, "/echo", &nonce).await;
    assert_eq!(
        (answer.status(), location(&answer)),
        (StatusCode::SEE_OTHER, "/echo")
    );
    let session = cookie(&answer, "__Host-kws").unwrap();
    for target in [None, Some(Target::Starting { step: None })] {
        if let Some(target) = target {
            world.route(MINE, world.user, 2, target).await;
        }
        let answer = visit(&world, "/echo", &session, &meant).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            text(&answer).contains("Your workspace is starting"),
            "{}",
            text(&answer)
        );
    }
    let running = world.running(MINE, 2);
    world.route(MINE, world.user, 2, running).await;
    let answer = visit(&world, "/echo", &session, &meant).await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", text(&answer));
}

#[tokio::test]
async fn a_port_without_a_listener_is_named() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let label = format!("{CLOSED_PORT}-{MINE}");
    let session = world.sign_in(&label, 1).await;
    let answer = page(&world, &label, "/", &session).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(
        text(&answer).contains("listens on port 4000"),
        "{}",
        text(&answer)
    );
    assert!(
        text(&answer).contains(&format!(
            "href=\"https://5173-{MINE}.kalpana.localhost:8443\" target=\"_top\">5173</a>"
        )),
        "{}",
        text(&answer)
    );
    let answer = world.send(get(&world.host(&label), "/", &session)).await;
    assert_eq!(code(&answer), "port_closed");
    let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(told["error"]["listening"], serde_json::json!([5173, 8080]));
}

#[tokio::test]
async fn which_other_ports_are_open_is_the_owners_to_know() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world
        .share(SharedPort {
            port: CLOSED_PORT,
            ..shared("public")
        })
        .await;
    let label = format!("{CLOSED_PORT}-{MINE}");
    let answer = world.send(navigate(&world.host(&label), "/")).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(!text(&answer).contains("5173"), "{}", text(&answer));
    let answer = world.send(get(&world.host(&label), "/", "")).await;
    let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(told["error"]["listening"], serde_json::json!([]));
}

#[tokio::test]
async fn a_start_is_shown_phase_by_phase_as_the_orchestrator_tells_it() {
    let world = World::start().await;
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let step = Step {
        phase: PhaseName::Clone,
        detail: Some("Receiving objects: <40%>".to_owned()),
    };
    let starting = Target::Starting { step: Some(step) };
    world.route(MINE, world.user, 1, starting).await;
    let answer = page(&world, MINE, "/", &session).await;
    for part in [
        "data-phase=\"boot\" data-state=\"done\"",
        "data-phase=\"clone\" data-state=\"running\"",
        "data-phase=\"editor\" data-state=\"pending\"",
        "Receiving objects: &lt;40%&gt;",
    ] {
        assert!(text(&answer).contains(part), "{part}: {}", text(&answer));
    }
    // What the page asks again and again for.
    let answer = world.send(get(&world.host(MINE), "/", &session)).await;
    let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(told["error"]["phase"], "clone");
    assert_eq!(told["error"]["detail"], "Receiving objects: <40%>");
}

#[tokio::test]
async fn a_workspace_that_dies_gives_a_page_with_the_way_on() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    for path in ["/die", "/uninvited"] {
        let answer = page(&world, MINE, path, &session).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{path}");
        assert!(text(&answer).contains("does not answer"), "{path}");
    }
    drop(bridge);
    let answer = page(&world, MINE, "/", &session).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(text(&answer).contains(&format!("/workspace/{MINE}")));
    // A bridge that runs another generation is not the one that was meant.
    let _restarted = Bridge::start(&world, MINE, 2);
    let answer = world.send(get(&world.host(MINE), "/", &session)).await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer)),
        (502, "workspace_unreachable".to_owned())
    );
}

#[tokio::test]
async fn without_the_control_plane_workspaces_go_on() {
    let world = World::with(Options {
        web: false,
        ..Options::default()
    })
    .await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let base = world.site.base_host();
    let answer = world.send(navigate(&base, "/")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(text(&answer).contains("Kalpana is restarting"));
    let answer = world.send(get(&base, "/api/site", "")).await;
    assert_eq!(code(&answer), "control_plane_unavailable");
    let answer = world.send(get(&world.host(MINE), "/echo", &session)).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn before_anything_was_heard_of_sessions_nothing_is_served() {
    let world = World::with(Options {
        session_feed: false,
        ..Options::default()
    })
    .await;
    let bridge = Bridge::start(&world, MINE, 1);
    let answer = world.send(navigate(&world.host(MINE), "/")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(&answer).contains("Kalpana is starting"));
    let answer = world.send(get(&world.site.base_host(), "/", "")).await;
    assert_eq!(
        answer.status(),
        StatusCode::OK,
        "the control plane judges for itself"
    );
    assert_eq!(bridge.text(), "");
}
