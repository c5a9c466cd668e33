//! Where a person is signed in, and their password: seen and changed by themselves alone.

use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_store::PageRequest;
use serde_json::{Value, json};

use crate::support::http::{Answer, Browser};
use crate::support::{PASSWORD, Site};

const NEW: &str = "another horse battery staple 43";

async fn places(browser: &Browser) -> Vec<Value> {
    let answer = browser.get("/api/sessions").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["sessions"].as_array().unwrap().clone()
}

/// Returns the id of the session that a browser has.
async fn own(browser: &Browser) -> String {
    let places = places(browser).await;
    let own: Vec<_> = places.iter().filter(|p| p["is_current"] == true).collect();
    assert_eq!(own.len(), 1, "{places:?}");
    own[0]["id"].as_str().unwrap().to_owned()
}

async fn is_signed_in(browser: &Browser) -> bool {
    let answer = browser.get("/api/session").await;
    match answer.status {
        200 => true,
        _ => {
            assert_eq!(answer.outcome(), (401, "unauthenticated".to_owned()));
            false
        }
    }
}

async fn change(browser: &Browser, wish: &Value) -> Answer {
    let body = Some(wish.to_string().into());
    browser.send("PUT", "/api/password", body).await
}

async fn can_sign_in(site: &Site, email: &str, password: &str) -> bool {
    let wish = json!({"email": email, "password": password});
    let answer = site.stranger().post("/api/session", &wish).await;
    match answer.status {
        201 => true,
        _ => {
            assert_eq!(answer.outcome(), (401, "wrong_credentials".to_owned()));
            false
        }
    }
}

async fn log(site: &Site) -> Vec<AuditEvent> {
    let page = site.store.audit_events(PageRequest::first()).await;
    page.unwrap().items
}

/// Returns the latest entries' actions, newest first, which all are `by` of their session.
async fn latest(site: &Site, by: &str, count: usize) -> Vec<AuditAction> {
    let log = log(site).await;
    let entries = log.iter().take(count);
    entries
        .map(|entry| {
            let is_theirs = matches!(
                &entry.actor,
                Actor::Session { session, .. } if session.to_string() == by
            );
            assert!(is_theirs, "{entry:?}");
            entry.action
        })
        .collect()
}

#[tokio::test]
async fn a_person_sees_where_they_are_signed_in_and_nobody_elses_places() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let wish = json!({"email": "ada@example.com", "password": PASSWORD});
    let phone = site
        .stranger()
        .with("user-agent", "Phone/1.0")
        .with("x-forwarded-for", "192.0.2.7");
    let answer = phone.post("/api/session", &wish).await;
    let phone = phone.with_cookie_of(&answer);

    let seen = places(&phone).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let here = seen.iter().find(|place| place["is_current"] == true);
    let here = here.unwrap();
    assert_eq!(here["user_agent"], "Phone/1.0");
    assert_eq!(here["address"], "192.0.2.7");
    assert!(here["last_used_at"].is_string() && here["expires_at"].is_string());
    assert_eq!(places(&root).await.len(), 1);
    assert_ne!(own(&ada).await, own(&phone).await);
    let text = Value::from(seen).to_string();
    let secret = phone.headers["cookie"].to_str().unwrap();
    assert!(!text.contains("ks1_") && !text.contains(&secret[12..]));
    assert!(!text.contains("hash"), "{text}");
}

#[tokio::test]
async fn a_session_ended_elsewhere_is_refused_at_once_and_its_stream_ends() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let phone = site.sign_in("ada@example.com").await;
    let (here, there) = (own(&ada).await, own(&phone).await);
    let mut stream = phone.events().await;
    stream.until_ready().await;

    // Nobody ends somebody else's, and cannot tell it from one that is not there.
    let before = log(&site).await;
    let missing = root.delete("/api/sessions/not-an-id").await;
    assert_eq!(missing.outcome(), (404, "session_not_found".to_owned()));
    for id in [&there, "01938f2e-0000-7000-8000-000000000000"] {
        let answer = root.delete(&format!("/api/sessions/{id}")).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.anonymous(), missing.anonymous());
    }
    assert!(is_signed_in(&phone).await);
    assert_eq!(log(&site).await, before);

    let answer = ada.delete(&format!("/api/sessions/{there}")).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("set-cookie"), None, "ada stays");
    assert!(!is_signed_in(&phone).await);
    assert_eq!(stream.next().await, None, "its stream ends with it");
    assert!(is_signed_in(&ada).await);
    assert_eq!(places(&ada).await.len(), 1);
    assert_eq!(latest(&site, &here, 1).await, [AuditAction::SessionEnd]);
    assert_eq!(log(&site).await[0].subject, there);
    let again = ada.delete(&format!("/api/sessions/{there}")).await;
    assert_eq!(again.outcome(), (404, "session_not_found".to_owned()));

    // One's own is a sign-out.
    let answer = ada.delete(&format!("/api/sessions/{here}")).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-ksess=;"), "{cookie}");
    assert!(!is_signed_in(&ada).await);
}

#[tokio::test]
async fn everywhere_else_is_everywhere_but_here_and_nobody_elses() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let others = [
        site.sign_in("ada@example.com").await,
        site.sign_in("ada@example.com").await,
    ];
    let mut streams = [others[0].events().await, others[1].events().await];
    for stream in &mut streams {
        stream.until_ready().await;
    }
    let mut kept = ada.events().await;
    kept.until_ready().await;
    let here = own(&ada).await;

    assert_eq!(ada.delete("/api/sessions").await.status, 204);
    for (other, stream) in others.iter().zip(&mut streams) {
        assert!(!is_signed_in(other).await);
        assert_eq!(stream.next().await, None);
    }
    assert!(is_signed_in(&ada).await && is_signed_in(&root).await);
    let id = site.workspace(&ada, "w").await;
    kept.until("workspace", &id).await;
    assert_eq!(places(&ada).await.len(), 1);
    let log = log(&site).await;
    let ends = log
        .iter()
        .filter(|entry| entry.action == AuditAction::SessionEndOthers);
    assert_eq!(ends.count(), 1);
    assert_eq!(ada.delete("/api/sessions").await.status, 204, "none left");
    assert_eq!(own(&ada).await, here);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_tokens_only_when_asked() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let other = site.sign_in("ada@example.com").await;
    let program = site.token_of(&ada, &["workspace:read"]).await;
    let roots = site.token_of(&root, &["workspace:read"]).await;
    let mut stream = other.events().await;
    stream.until_ready().await;
    let here = own(&ada).await;

    let answer = change(&ada, &json!({"current": PASSWORD, "new": NEW})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(!is_signed_in(&other).await);
    assert_eq!(stream.next().await, None, "its stream ends with it");
    assert!(is_signed_in(&ada).await && is_signed_in(&root).await);
    assert_eq!(latest(&site, &here, 1).await, [AuditAction::PasswordChange]);
    assert!(is_signed_in(&program).await, "tokens stay unless asked");
    assert!(!can_sign_in(&site, "ada@example.com", PASSWORD).await);
    assert!(can_sign_in(&site, "ada@example.com", NEW).await);
    assert!(can_sign_in(&site, "root@example.com", PASSWORD).await);

    let mut stream = program.events().await;
    stream.until_ready().await;
    let wish = json!({"current": NEW, "new": PASSWORD, "revoke_tokens": true});
    assert_eq!(change(&ada, &wish).await.status, 204);
    assert!(!is_signed_in(&program).await);
    assert_eq!(stream.next().await, None);
    assert!(is_signed_in(&roots).await, "somebody else's token stays");
    assert_eq!(
        latest(&site, &here, 2).await,
        [AuditAction::TokenRevokeAll, AuditAction::PasswordChange]
    );
}

#[tokio::test]
async fn a_refused_change_of_a_password_changes_nothing() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let other = site.sign_in("ada@example.com").await;
    let program = site.token_of(&ada, &["workspace:read"]).await;
    let here = own(&ada).await;
    let wide = "correct horse battery staple ４２";
    for (current, new, status, code) in [
        ("wrong but long enough 1", NEW, 403, "wrong_password"),
        ("", NEW, 403, "wrong_password"),
        (PASSWORD, "short", 400, "password_too_short"),
        (PASSWORD, "aaaaaaaaaaaaaaaa", 400, "password_too_weak"),
        (PASSWORD, &"a".repeat(300), 400, "password_too_long"),
        (PASSWORD, PASSWORD, 400, "password_unchanged"),
        // What is the same password on another keyboard.
        (PASSWORD, wide, 400, "password_unchanged"),
    ] {
        let wish = json!({"current": current, "new": new, "revoke_tokens": true});
        let answer = change(&ada, &wish).await;
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{new}");
    }
    let log = log(&site).await;
    let changes = log
        .iter()
        .filter(|entry| entry.action == AuditAction::PasswordChange);
    assert_eq!(changes.count(), 0);
    let refusals = log
        .iter()
        .filter(|entry| entry.action == AuditAction::PasswordRefuse);
    assert_eq!(refusals.count(), 2, "wrong passwords are written down");
    let text = format!("{log:?}");
    assert!(!text.contains("wrong but long") && !text.contains(NEW));
    for wish in [
        json!({"current": PASSWORD}),
        json!({"new": NEW}),
        json!({"current": PASSWORD, "new": NEW, "user": "x"}),
        json!({"current": PASSWORD, "new": NEW, "revoke_tokens": "yes"}),
    ] {
        let answer = change(&ada, &wish).await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()));
    }
    assert!(is_signed_in(&ada).await && is_signed_in(&other).await);
    assert!(is_signed_in(&program).await);
    assert!(can_sign_in(&site, "ada@example.com", PASSWORD).await);
    assert_eq!(own(&ada).await, here);
}

#[tokio::test]
async fn guessing_the_current_password_is_slowed_down_like_a_sign_in() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let root = root.with("x-forwarded-for", "192.0.2.9");
    let wish = json!({"current": "wrong but long enough 1", "new": NEW});
    let limit = site.config.auth.sign_in_per_minute_pair;
    for _ in 0..limit {
        let answer = change(&root, &wish).await;
        assert_eq!(answer.outcome(), (403, "wrong_password".to_owned()));
    }
    let refused = change(&root, &wish).await;
    assert_eq!(refused.outcome(), (429, "too_many_attempts".to_owned()));
    assert!(refused.header("retry-after").is_some());
    assert!(is_signed_in(&root).await, "who guesses is not thrown out");
}

#[tokio::test]
async fn only_the_persons_own_browser_on_this_origin_may_do_so() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let other = site.sign_in("root@example.com").await;
    let there = own(&other).await;
    let program = site
        .token_of(&root, &["workspace:write", "users:write"])
        .await;
    let wish = json!({"current": PASSWORD, "new": NEW}).to_string();
    let one = format!("/api/sessions/{there}");
    let calls = [
        ("DELETE", one.as_str(), None),
        ("DELETE", "/api/sessions", None),
        ("PUT", "/api/password", Some(wish)),
    ];
    let answer = program.get("/api/sessions").await;
    assert_eq!(answer.outcome(), (403, "session_required".to_owned()));
    let bare = root.with("sec-fetch-site", "").with("sec-fetch-mode", "");
    let sibling = "https://abcdefghij01.kalpana.localhost:8443";
    for (method, path, body) in calls {
        let send = async |browser: &Browser| {
            let body = body.clone().map(Into::into);
            browser.send(method, path, body).await.outcome()
        };
        let token = send(&program).await;
        assert_eq!(token, (403, "session_required".to_owned()), "{path}");
        let stranger = send(&site.stranger()).await;
        assert_eq!(stranger, (401, "unauthenticated".to_owned()), "{path}");
        for foreign in [
            root.with("sec-fetch-site", "same-site"),
            root.with("sec-fetch-site", "cross-site"),
            root.with("origin", sibling),
            bare.with("origin", sibling),
            bare.clone(),
        ] {
            let (status, code) = send(&foreign).await;
            assert_eq!(
                (status, code.as_str()),
                (403, "cross_site_request"),
                "{path}"
            );
        }
    }
    assert!(is_signed_in(&other).await);
    assert!(can_sign_in(&site, "root@example.com", PASSWORD).await);
}
