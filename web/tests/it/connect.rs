//! The way from the control host to a workspace's host.

use http_body_util::BodyExt;
use kalpana_auth::nonce::Nonce;
use kalpana_auth::ticket::TicketVerifier;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_link::Client;
use kalpana_protocol::feed::Line;
use kalpana_protocol::sessions::SessionLine;
use kalpana_store::PageRequest;
use url::Url;

use crate::support::http::{Answer, Browser};
use crate::support::{Site, in_time};

fn location(answer: &Answer) -> Url {
    assert_eq!(answer.status, 303, "{answer:?}");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains("frame-ancestors 'self'"),
        "an editor's frame passes: {policy}"
    );
    let base = Url::parse("https://kalpana.localhost:8443").unwrap();
    base.join(answer.header("location").unwrap()).unwrap()
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .unwrap()
        .1
        .into_owned()
}

async fn ticket_keys(site: &Site) -> Vec<String> {
    let client = Client::new(
        "web",
        site.site.web_internal_socket(),
        Some(site.token.clone()),
    );
    let response = client
        .stream("/v1/sessions?reader=test", None)
        .await
        .unwrap();
    let frame = in_time(response.into_body().frame())
        .await
        .unwrap()
        .unwrap();
    match serde_json::from_slice::<SessionLine>(&frame.into_data().unwrap()).unwrap() {
        Line::Snapshot { state, .. } => state.ticket_keys,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_owner_of_a_running_workspace_leaves_with_a_ticket_for_that_host() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let id = site.workspace(&ada, "w").await;
    site.orchestrator().run(&id).await;
    let verifier = TicketVerifier::new(&ticket_keys(&site).await).unwrap();
    for label in [id.clone(), format!("3000-{id}")] {
        let rid = Nonce::generate().rid();
        let path = format!(
            "/auth/workspace?host={label}&rid={rid}&to=%2F%3Ffolder%3D%2Fworkspace%2Fa%2Bb"
        );
        let answer = ada.navigating().get(&path).await;
        let target = location(&answer);
        let host = format!("{label}.kalpana.localhost:8443");
        assert_eq!(
            target.origin().ascii_serialization(),
            format!("https://{host}")
        );
        assert_eq!(target.path(), "/.kalpana/cb");
        assert_eq!(parameter(&target, "to"), "/?folder=/workspace/a+b");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let now: Timestamp = SystemClock.now();
        let ticket = verifier
            .verify(&parameter(&target, "t"), &host, now)
            .unwrap();
        assert_eq!(ticket.grant.rid, rid);
        assert_eq!(ticket.grant.workspace.as_str(), id);
        assert_eq!(ticket.grant.generation.0, 1);
        assert!(
            verifier
                .verify(
                    &parameter(&target, "t"),
                    "other.kalpana.localhost:8443",
                    now
                )
                .is_err()
        );
    }
    let log = site
        .store
        .audit_events(PageRequest::first())
        .await
        .unwrap()
        .items;
    let entries = log
        .iter()
        .filter(|event| event.action.as_str() == "workspace.connect");
    let subjects: Vec<_> = entries.map(|event| event.subject.as_str()).collect();
    assert_eq!(subjects, [id.as_str(), id.as_str()]);
}

#[tokio::test]
async fn strangers_sign_in_first_and_come_back_to_the_same_place() {
    let site = Site::start().await;
    site.administrator().await;
    let rid = Nonce::generate().rid();
    let path = format!("/auth/workspace?host=abcdefghijk1&rid={rid}&to=%2Fa%3Fb%3D%2526");
    let answer = site.stranger().navigating().get(&path).await;
    let target = location(&answer);
    assert_eq!(target.path(), "/login");
    assert_eq!(parameter(&target, "next"), path);
    let outdated = site
        .stranger()
        .navigating()
        .with("cookie", "__Host-ksess=ks1_gone");
    assert_eq!(location(&outdated.get(&path).await).path(), "/login");
}

#[tokio::test]
async fn what_is_not_theirs_and_what_is_not_there_are_the_same_page() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let id = site.workspace(&ada, "w").await;
    site.orchestrator().run(&id).await;
    let rid = Nonce::generate().rid();
    let mut answers = Vec::new();
    // An administrator sees the workspace in lists, and still does not get in.
    for label in [
        id.as_str(),
        "zzzzzzzzzzzz",
        "80-zzzzzzzzzzzz",
        "x",
        "",
        "a.b",
        "%2e%2e",
    ] {
        let path = format!("/auth/workspace?host={label}&rid={rid}&to=/");
        let answer = root.navigating().get(&path).await;
        assert_eq!(answer.status, 404, "{label}: {answer:?}");
        assert_eq!(answer.header("location"), None);
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        headers.remove("date");
        answers.push((headers, answer.body));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

/// What a browser sends when somebody types an address, clicks a link or reloads.
fn meaning_it(by: &Browser) -> Browser {
    by.navigating()
        .with("sec-fetch-user", "?1")
        .with("sec-fetch-dest", "document")
}

#[tokio::test]
async fn an_owner_who_means_to_open_a_stopped_workspace_has_it_started() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let id = site.workspace(&ada, "w").await;
    let orchestrator = site.orchestrator();
    orchestrator
        .change(&id, |row| row.lifecycle = Lifecycle::Stopped)
        .await;
    let starts = || {
        let calls = orchestrator.calls();
        calls
            .iter()
            .filter(|call| call.path.ends_with("/start"))
            .count()
    };
    let rid = Nonce::generate().rid();
    let path = format!("/auth/workspace?host=3000-{id}&rid={rid}&to=%2Fa");
    let page = format!("/workspace/{id}");
    let frame = ada
        .navigating()
        .with("sec-fetch-user", "?1")
        .with("sec-fetch-dest", "iframe");
    let early = meaning_it(&ada).with("sec-purpose", "prefetch");
    for nobody in [&ada.navigating(), &frame, &early] {
        assert_eq!(location(&nobody.get(&path).await).path(), page);
    }
    let incomplete = format!("/auth/workspace?host=3000-{id}&rid=x&to=%2Fa");
    assert_eq!(
        location(&meaning_it(&ada).get(&incomplete).await).path(),
        page
    );
    // An administrator sees it in lists, and is nobody here.
    assert_ne!(meaning_it(&root).get(&path).await.status, 500);
    assert_eq!(starts(), 0);

    // What cannot be started now is explained on its page.
    orchestrator.refuse(Some((409, "quota_exceeded", "too many run")));
    assert_eq!(location(&meaning_it(&ada).get(&path).await).path(), page);
    orchestrator.refuse(None);
    let before = starts();

    let answer = meaning_it(&ada).get(&path).await;
    let target = location(&answer);
    assert_eq!(target.path(), "/.kalpana/cb");
    assert_eq!(parameter(&target, "to"), "/a");
    let verifier = TicketVerifier::new(&ticket_keys(&site).await).unwrap();
    let host = format!("3000-{id}.kalpana.localhost:8443");
    let ticket = parameter(&target, "t");
    let ticket = verifier.verify(&ticket, &host, SystemClock.now()).unwrap();
    let row = site
        .store
        .workspace(ticket.grant.workspace)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        ticket.grant.generation, row.generation,
        "of the start that was asked for"
    );
    assert!(matches!(row.lifecycle, Lifecycle::Starting { .. }));
    // Whoever comes while it starts is let in to watch, and starts nothing.
    let watching = location(&ada.navigating().get(&path).await);
    assert_eq!(watching.path(), "/.kalpana/cb");
    assert_eq!(starts() - before, 1);

    for lifecycle in [
        Lifecycle::Stopping {
            since: SystemClock.now(),
        },
        Lifecycle::Failed {
            at: SystemClock.now(),
            reason: FailureReason::new(FailureCode::CloneFailed, "no such branch"),
        },
    ] {
        orchestrator
            .change(&id, |row| row.lifecycle = lifecycle)
            .await;
        assert_eq!(location(&meaning_it(&ada).get(&path).await).path(), page);
    }
    assert_eq!(starts() - before, 1);
}

#[tokio::test]
async fn where_to_go_afterwards_stays_on_the_workspace_host() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    site.orchestrator().run(&id).await;
    let rid = Nonce::generate().rid();
    let long = format!("%2F{}", "a".repeat(8192));
    for to in [
        "//evil",
        "%2F%2Fevil",
        "%2F%5Cevil",
        "/%5Cevil",
        "https:evil",
        "https%3A%2F%2Fevil",
        "javascript:alert(1)",
        "/%09/evil",
        "/%0d%0aset-cookie:x",
        "",
        "%00",
        &long,
        "/a&to=//evil",
    ] {
        let answer = root
            .navigating()
            .get(&format!("/auth/workspace?host={id}&rid={rid}&to={to}"))
            .await;
        let target = location(&answer);
        assert_eq!(parameter(&target, "to"), "/", "{to}");
        assert_eq!(
            target.host_str(),
            Some(format!("{id}.kalpana.localhost").as_str()),
            "{to}"
        );
    }
}

#[tokio::test]
async fn incomplete_links_and_scripts_get_no_ticket() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    site.orchestrator().run(&id).await;
    for rid in ["", "short", &"a".repeat(44), "%00"] {
        let answer = root
            .navigating()
            .get(&format!("/auth/workspace?host={id}&rid={rid}&to=/"))
            .await;
        assert_eq!(answer.status, 400, "{rid}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(
            page.contains("This link to a workspace is not complete."),
            "{page}"
        );
    }
    let rid = Nonce::generate().rid();
    let path = format!("/auth/workspace?host={id}&rid={rid}&to=/");
    for mode in ["cors", "no-cors", "same-origin"] {
        let script = root
            .with("sec-fetch-mode", mode)
            .with("sec-fetch-site", "same-site");
        assert_eq!(script.get(&path).await.status, 403, "{mode}");
    }
    let token = site
        .token_of(&root, &["workspace:read", "workspace:write"])
        .await;
    let program = token.with("accept", "text/html");
    assert_eq!(program.get(&path).await.status, 404, "a token never enters");
    let twice = root
        .navigating()
        .with("cookie", "__Host-ksess=a; __Host-ksess=b");
    let answer = twice.get(&path).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .header("set-cookie")
            .unwrap()
            .starts_with("__Host-ksess=;")
    );
    assert_eq!(
        root.navigating().send("POST", &path, None).await.status,
        403,
        "not a change"
    );
}
