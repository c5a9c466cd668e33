//! What open pages are told, and what they are not.

use kalpana_domain::lifecycle::Lifecycle;
use kalpana_protocol::orchestrator::{Phase, PhaseName, PhaseStatus, Progress, ProgressChange};

use crate::support::{Site, in_time};

#[tokio::test]
async fn pages_are_told_of_their_own_workspaces_and_of_no_others() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let eve = site.member(&root, "eve").await;
    let first = site.workspace(&ada, "first").await;
    let foreign = site.workspace(&eve, "foreign").await;

    let mut adas = ada.events().await;
    let mut eves = eve.events().await;
    let mut roots = root.events().await;
    assert_eq!(adas.until_ready().await, [first.as_str()]);
    assert_eq!(eves.until_ready().await, [foreign.as_str()]);
    let mut both = [first.clone(), foreign.clone()];
    both.sort();
    assert_eq!(roots.until_ready().await, both);

    site.orchestrator().run(&foreign).await;
    let second = site.workspace(&ada, "second").await;
    site.orchestrator().remove(&foreign).await;
    site.orchestrator().remove(&first).await;
    site.orchestrator().run(&second).await;

    // A change is told in the end, however the ones before it were joined.
    let mut seen = adas.until("workspace_removed", &first).await;
    loop {
        let (event, data) = adas.next().await.unwrap();
        let is_last =
            event == "workspace" && data["id"] == second.as_str() && data["state"] == "running";
        seen.push((event, data));
        if is_last {
            break;
        }
    }
    for (event, data) in &seen {
        let text = data.to_string();
        assert!(
            !text.contains(&foreign) && !text.contains("foreign"),
            "{event}: {data}"
        );
    }
    let told = eves.until("workspace_removed", &foreign).await;
    for (event, data) in &told {
        assert_eq!(data["id"], foreign.as_str(), "{event}: {data}");
    }
    // Nothing more is to come for eve: a last change of her own is the next thing she hears.
    let own = site.workspace(&eve, "own").await;
    let (event, data) = eves.next().await.unwrap();
    assert_eq!(
        (event.as_str(), &data["id"]),
        ("workspace", &own.clone().into())
    );
    roots.until("workspace", &own).await;
}

#[tokio::test]
async fn the_phases_of_a_start_are_told_while_it_starts() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    let mut events = root.events().await;
    events.until_ready().await;
    let phase = |name, status, detail: Option<String>| Phase {
        name,
        status,
        started_at: Some("2026-01-01T00:00:00Z".to_owned()),
        finished_at: None,
        detail,
    };
    let progress = |generation| Progress {
        workspace: id.clone(),
        generation,
        phases: vec![
            phase(PhaseName::Network, PhaseStatus::Done, None),
            phase(
                PhaseName::Clone,
                PhaseStatus::Running,
                Some("x".repeat(10_000)),
            ),
        ],
    };
    site.orchestrator().publish(ProgressChange::Progress {
        progress: progress(1),
    });
    let told = events.until_told(|told| !told["progress"].is_null()).await;
    let phases = &told["progress"]["phases"];
    assert_eq!(
        (&phases[0]["name"], &phases[0]["status"]),
        (&"network".into(), &"done".into())
    );
    assert_eq!(phases[1]["detail"].as_str().map(str::len), Some(500), "cut");

    site.orchestrator().run(&id).await;
    let told = events.until_told(|told| told["state"] == "running").await;
    assert!(told["progress"].is_null(), "{told}");
    // An earlier start's progress is not a later one's.
    site.orchestrator().publish(ProgressChange::Progress {
        progress: progress(1),
    });
    site.orchestrator()
        .change(&id, |row| {
            row.generation = row.generation.next();
            row.lifecycle = Lifecycle::Starting {
                since: row.updated_at,
            };
        })
        .await;
    let told = events.until_told(|told| told["state"] == "starting").await;
    assert!(
        told["progress"].is_null() && told["generation"] == 2,
        "{told}"
    );
}

#[tokio::test]
async fn what_happened_while_the_orchestrator_was_not_heard_is_told_afterwards() {
    let mut site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    let mut events = root.events().await;
    events.until_ready().await;
    site.stop_orchestrator().await;
    // A second orchestrator, with a feed of its own that says nothing of what changed before.
    let next = crate::support::orchestrator::Orchestrator::start(
        &site.site,
        site.store.clone(),
        &site.token,
    );
    let workspace = kalpana_domain::id::WorkspaceId::parse(&id).unwrap();
    let mut row = site.store.workspace(workspace).await.unwrap().unwrap();
    row.lifecycle = Lifecycle::Running {
        since: row.updated_at,
    };
    site.store.update_workspace(&row, None).await.unwrap();
    loop {
        let (_, told) = events.next().await.unwrap();
        if told["state"] == "running" {
            break;
        }
    }
    next.stop().await;
}

#[tokio::test]
async fn streams_are_limited_and_their_places_come_back() {
    let mut site = Site::start_with(|config| config.web.event_streams = 2).await;
    let root = site.administrator().await;
    let mut first = root.events().await;
    first.until_ready().await;
    let mut second = root.events().await;
    second.until_ready().await;
    let third = root.get("/api/events").await;
    assert_eq!(third.outcome(), (503, "too_many_streams".to_owned()));
    assert!(third.header("retry-after").is_some());
    drop(first);
    // The place is free as soon as the service has seen the connection end.
    let again = async {
        loop {
            let response = root.open("GET", "/api/events", None).await;
            if response.status() == 200 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time(again).await;
    site.stop_web().await;
    assert_eq!(second.next().await, None, "shutting down ends streams");
}

#[tokio::test]
async fn a_stream_needs_somebody_with_the_scope() {
    let site = Site::start().await;
    let root = site.administrator().await;
    assert_eq!(
        site.stranger().get("/api/events").await.outcome(),
        (401, "unauthenticated".to_owned())
    );
    let writer = site.token_of(&root, &["workspace:write"]).await;
    assert_eq!(
        writer.get("/api/events").await.outcome(),
        (403, "insufficient_scope".to_owned())
    );
    let reader = site.token_of(&root, &["workspace:read"]).await;
    reader.events().await.until_ready().await;
}
