//! What people are told while the database does nothing or takes no changes, and what goes on
//! meanwhile.

use kalpana_auth::nonce::Nonce;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_store::transfer::{Freeze, MoveId};
use serde_json::json;

use crate::support::http::Answer;
use crate::support::{PASSWORD, Site};

/// Where the data goes; nobody outside may learn it.
const PLACE: &str = "mongodb://db.internal/kalpana";

async fn freeze(site: &Site) -> MoveId {
    let freeze = Freeze {
        by: MoveId::new_v4(),
        until: Timestamp::MAX,
    };
    site.store.freeze(freeze, SystemClock.now()).await.unwrap();
    freeze.by
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn while_the_data_is_moved_everything_can_be_seen_and_changes_wait() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let by = freeze(&site).await;
    let credentials = json!({"email": "root@example.com", "password": PASSWORD});
    let sign_in = async || site.stranger().post("/api/session", &credentials).await;
    for (answer, what) in [
        (sign_in().await, "signing in"),
        (
            root.post(
                "/api/tokens",
                &json!({"name": "t", "scopes": ["workspace:read"]}),
            )
            .await,
            "a new token",
        ),
    ] {
        assert_eq!(answer.outcome(), (503, "store_frozen".to_owned()), "{what}");
        assert_eq!(answer.header("retry-after"), Some("5"), "{what}");
        assert!(text(&answer).contains("is being moved"), "{answer:?}");
    }
    for path in [
        "/api/session",
        "/api/workspaces",
        "/api/tokens",
        "/api/site",
    ] {
        assert_eq!(root.get(path).await.status, 200, "{path}");
    }
    assert_eq!(site.stranger().get("/api/health").await.status, 200);
    assert!(site.store.thaw(by).await.unwrap());
    assert_eq!(sign_in().await.status, 201);
}

#[tokio::test]
async fn after_a_move_the_place_is_kept_from_people() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let by = freeze(&site).await;
    site.store.retire(by, PLACE.to_owned()).await.unwrap();
    let answer = root.send("DELETE", "/api/session", None).await;
    assert_eq!(answer.outcome(), (503, "store_frozen".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("5"));
    let body = text(&answer);
    assert!(body.contains("point Kalpana at the new database"), "{body}");
    assert!(!body.contains("db.internal"), "{body}");
}

#[tokio::test]
async fn the_way_to_a_workspace_waits_on_a_page_that_loads_itself_again() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let id = site.workspace(&ada, "w").await;
    site.orchestrator().run(&id).await;
    let by = freeze(&site).await;
    let rid = Nonce::generate().rid();
    let path = format!("/auth/workspace?host={id}&rid={rid}&to=%2F");
    let answer = ada.navigating().get(&path).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'self'"), "{policy}");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = text(&answer);
    assert!(
        page.contains(r#"<meta http-equiv="refresh" content="5">"#),
        "{page}"
    );
    assert!(
        page.contains("is being moved to another database"),
        "{page}"
    );
    assert!(page.contains("open editors go on"), "{page}");
    assert!(site.store.thaw(by).await.unwrap());
    assert_eq!(ada.navigating().get(&path).await.status, 303);
}

#[tokio::test]
async fn a_file_that_somebody_else_holds_puts_writes_off_and_loses_none() {
    let site = Site::start_with(|config| {
        config.store.busy_timeout = kalpana_config::Span::seconds(1);
    })
    .await;
    let root = site.administrator().await;
    let token = async |name: &str| {
        let wish = json!({"name": name, "scopes": ["workspace:read"]});
        root.post("/api/tokens", &wish).await
    };
    let mut acknowledged = vec!["before".to_owned()];
    assert_eq!(token("before").await.status, 201);

    // Longer than the store waits for it.
    let holder = rusqlite::Connection::open(site.site.store_path()).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let credentials = json!({"email": "root@example.com", "password": PASSWORD});
    for (answer, what) in [
        (token("refused").await, "a new token"),
        (
            site.stranger().post("/api/session", &credentials).await,
            "signing in",
        ),
        (root.delete("/api/session").await, "signing out"),
    ] {
        assert_eq!(
            answer.outcome(),
            (503, "store_unavailable".to_owned()),
            "{what}"
        );
        assert!(answer.header("retry-after").is_some(), "{what}");
        assert!(
            text(&answer).contains("The database does not answer."),
            "{answer:?}"
        );
    }
    // Reading needs no lock: who is signed in sees everything.
    for path in ["/api/session", "/api/workspaces", "/api/tokens"] {
        assert_eq!(root.get(path).await.status, 200, "{path}");
    }
    // A write that is under way when the lock is given back is carried out.
    let late = token("late");
    let release = async {
        tokio::task::yield_now().await;
        holder.execute_batch("ROLLBACK").unwrap();
    };
    let (late, ()) = tokio::join!(late, release);
    assert_eq!(late.status, 201, "{late:?}");
    acknowledged.push("late".to_owned());

    assert_eq!(token("after").await.status, 201);
    acknowledged.push("after".to_owned());
    let listed = root.get("/api/tokens").await.json();
    let mut names: Vec<_> = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    acknowledged.sort();
    assert_eq!(
        names, acknowledged,
        "what was acknowledged, and nothing else"
    );
}
