//! Requests that are not what they should be.

use serde_json::{Value, json};

use crate::support::http::Browser;
use crate::support::{PASSWORD, Site};

/// Every call that takes a body, with one that is good.
fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/api/setup",
            json!({"token": "t", "email": "a@example.com", "name": "A", "password": PASSWORD}),
        ),
        (
            "/api/session",
            json!({"email": "a@example.com", "password": PASSWORD}),
        ),
        (
            "/api/tokens",
            json!({"name": "t", "scopes": ["workspace:read"]}),
        ),
        ("/api/workspaces", json!({"name": "w"})),
        (
            "/api/admin/users",
            json!({"email": "b@example.com", "name": "B", "password": PASSWORD, "role": "member"}),
        ),
    ]
}

#[tokio::test]
async fn bodies_are_understood_wholly_or_not_used() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let asked_before = site.orchestrator().calls().len();
    let deep = "[".repeat(10_000);
    for (path, good) in bodies() {
        let with = |key: &str, value: Value| {
            let mut body = good.clone();
            body[key] = value;
            body.to_string()
        };
        let text = good.to_string();
        let first_key = good.as_object().unwrap().keys().next().unwrap().clone();
        let cases = [
            with("userId", json!("x")),
            with("owner", json!({"id": "x"})),
            with("organization", json!("x")),
            with(&first_key, json!({"$gt": ""})),
            with(&first_key, Value::Null),
            with(&first_key, json!(f64::MAX)),
            // The same field twice: two readers could believe two things.
            format!(
                "{},\"{first_key}\":{}}}",
                &text[..text.len() - 1],
                good[&first_key]
            ),
            format!("{{\"{first_key}\":NaN}}"),
            format!("{{\"{first_key}\":{deep}"),
            deep.clone(),
            format!("{text}{text}"),
            "{}".to_owned(),
            "null".to_owned(),
            String::new(),
            "\u{feff}{}".to_owned(),
        ];
        for body in cases {
            let answer = root.send("POST", path, Some(body.clone().into())).await;
            let outcome = answer.outcome();
            assert_eq!(
                outcome,
                (400, "invalid_request".to_owned()),
                "{path} {body:.100}"
            );
            assert!(answer.body.len() < 2000, "no echo of what was sent");
        }
        let not_utf8 = root
            .send("POST", path, Some(vec![b'"', 0xff, b'"'].into()))
            .await;
        assert_eq!(not_utf8.code(), "invalid_request");
    }
    assert_eq!(
        site.orchestrator().calls().len(),
        asked_before,
        "nothing of it reached anybody"
    );
}

#[tokio::test]
async fn bodies_are_json_and_of_bounded_size() {
    let site = Site::start().await;
    let root = site.administrator().await;
    for (path, good) in bodies() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/json",
        ] {
            let answer = root.with("content-type", kind).post(path, &good).await;
            assert_eq!(
                answer.outcome(),
                (415, "unsupported_media_type".to_owned()),
                "{path} {kind}"
            );
        }
        let large = json!({"name": "a".repeat(70_000)});
        assert_eq!(
            root.post(path, &large).await.outcome(),
            (413, "body_too_large".to_owned())
        );
    }
    // Twenty mebibytes that are announced are refused before one of them is read.
    let announced = root.with("content-length", "20971520");
    let answer = announced
        .send("POST", "/api/workspaces", Some("{".into()))
        .await;
    assert_eq!(answer.outcome(), (413, "body_too_large".to_owned()));
    // Calls without a body take none, and none that says something.
    let id = site.workspace(&root, "w").await;
    let path = format!("/api/workspaces/{id}/stop");
    let wrong = root.post(&path, &json!({"force": true})).await;
    assert_eq!(wrong.outcome(), (400, "invalid_request".to_owned()));
    assert_eq!(root.post(&path, &json!({})).await.status, 202);
}

#[tokio::test]
async fn wishes_for_workspaces_are_checked_before_anybody_hears_of_them() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let asked_before = site.orchestrator().calls().len();
    let long = "n".repeat(300);
    let repository = |url: &str| json!({"name": "w", "repository": url});
    for (wish, code) in [
        (json!({"name": ""}), "invalid_name"),
        (json!({"name": "🚀 rocket"}), "invalid_name"),
        (json!({"name": long}), "invalid_name"),
        (json!({"name": "-rf"}), "invalid_name"),
        (
            json!({"name": "'; DROP TABLE workspaces; --"}),
            "invalid_name",
        ),
        (repository("ext::sh -c touch% /tmp/x"), "invalid_repository"),
        (repository("file:///etc"), "invalid_repository"),
        (repository("ssh://-oProxyCommand=x/y"), "invalid_repository"),
        (repository("git@host:path"), "invalid_repository"),
        (repository("--upload-pack=touch"), "invalid_repository"),
        (
            repository("https://user:secret@host/x"),
            "invalid_repository",
        ),
        (repository(""), "invalid_repository"),
        (
            json!({"name": "w", "repository": "https://h/r", "branch": "--upload-pack=x"}),
            "invalid_branch",
        ),
        (
            json!({"name": "w", "repository": "https://h/r", "branch": "a..b"}),
            "invalid_branch",
        ),
        (json!({"name": "w", "branch": "main"}), "invalid_branch"),
        (json!({"name": "w", "size": "huge"}), "invalid_size"),
        (json!({"name": "w", "egress": "some"}), "invalid_egress"),
    ] {
        let answer = root.post("/api/workspaces", &wish).await;
        assert_eq!(answer.outcome(), (400, code.to_owned()), "{wish}");
    }
    for key in ["", &"k".repeat(256), "é"] {
        let mut browser = root.clone();
        let value = http::HeaderValue::from_bytes(key.as_bytes()).unwrap();
        browser.headers.insert("idempotency-key", value);
        let answer = browser.post("/api/workspaces", &json!({"name": "w"})).await;
        assert_eq!(
            answer.outcome(),
            (400, "invalid_idempotency_key".to_owned()),
            "{key}"
        );
    }
    assert_eq!(
        site.orchestrator().calls().len(),
        asked_before,
        "nothing of it reached anybody"
    );
}

#[tokio::test]
async fn changes_come_from_our_own_pages_or_from_programs() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let own = site.site.base_url();
    let bare = root.with("sec-fetch-site", "").with("sec-fetch-mode", "");
    let sibling = "https://abcdefghijk1.kalpana.localhost:8443";
    let cases: Vec<(&str, Browser, bool)> = vec![
        ("same origin", root.clone(), true),
        ("same site", root.with("sec-fetch-site", "same-site"), false),
        (
            "cross site",
            root.with("sec-fetch-site", "cross-site"),
            false,
        ),
        ("nothing", root.with("sec-fetch-site", "none"), false),
        ("no-cors", root.with("sec-fetch-mode", "no-cors"), false),
        ("own origin only", bare.with("origin", &own), true),
        ("sibling's origin", bare.with("origin", sibling), false),
        ("null origin", bare.with("origin", "null"), false),
        ("claims both", root.with("origin", sibling), false),
        ("a cookie and no word", bare.clone(), false),
    ];
    for (name, browser, is_allowed) in &cases {
        for (method, path, body) in [
            (
                "POST",
                "/api/workspaces",
                Some(json!({"name": "w"}).to_string()),
            ),
            (
                "POST",
                "/api/tokens",
                Some(json!({"name": "t", "scopes": ["workspace:read"]}).to_string()),
            ),
            ("DELETE", "/api/workspaces/zzzzzzzzzzzz", None),
        ] {
            let answer = browser.send(method, path, body.map(Into::into)).await;
            let is_refused = answer.status == 403 && answer.code() == "cross_site_request";
            assert_eq!(
                !is_refused, *is_allowed,
                "{name}: {method} {path} {answer:?}"
            );
        }
        assert_eq!(
            browser.get("/api/session").await.status,
            200,
            "{name}: reading is not a change"
        );
    }
    // Signing somebody in as somebody else is a change too, though there is no cookie yet.
    let wish = json!({"email": "root@example.com", "password": PASSWORD});
    let stranger = site.stranger();
    let forged = stranger
        .with("sec-fetch-site", "cross-site")
        .with("sec-fetch-mode", "navigate");
    assert_eq!(
        forged.post("/api/session", &wish).await.outcome(),
        (403, "cross_site_request".to_owned())
    );
    let program = stranger
        .with("sec-fetch-site", "")
        .with("sec-fetch-mode", "");
    assert_eq!(
        program.post("/api/session", &wish).await.status,
        201,
        "the command line"
    );
    let token = site.token_of(&root, &["workspace:write"]).await;
    let odd = token.with("sec-fetch-site", "cross-site");
    assert_eq!(
        odd.post("/api/workspaces", &json!({"name": "w"}))
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn what_a_page_elsewhere_can_make_a_browser_send_changes_nothing() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let id = site.workspace(&root, "w").await;
    let state = async || {
        let mut state = Vec::new();
        for path in ["/api/workspaces", "/api/tokens", "/api/admin/users"] {
            let answer = root.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            state.push(answer.body);
        }
        state
    };
    let (before, asked_before) = (state().await, site.orchestrator().calls().len());
    let marks = [
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "no-cors"),
        ("origin", "https://abcdefghijk1.kalpana.localhost:8443"),
        ("origin", "null"),
    ];
    let kinds = [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ];
    let mut calls = bodies();
    calls.extend(["start", "stop"].map(|verb| {
        (
            format!("/api/workspaces/{id}/{verb}").leak() as &str,
            json!({}),
        )
    }));
    for (path, body) in &calls {
        for kind in kinds {
            let sends = root.with("content-type", kind);
            for (name, value) in marks {
                let answer = sends.with(name, value).post(path, body).await;
                let expected = (403, "cross_site_request".to_owned());
                assert_eq!(answer.outcome(), expected, "{path} {kind} {name}: {value}");
            }
            // Of our own page it is the kind of body that is refused.
            if kind != "application/json" && *body != json!({}) {
                let answer = sends.post(path, body).await;
                let expected = (415, "unsupported_media_type".to_owned());
                assert_eq!(answer.outcome(), expected, "{path} {kind}");
            }
        }
    }
    assert_eq!(state().await, before);
    assert_eq!(site.orchestrator().calls().len(), asked_before);
}

#[tokio::test]
async fn a_cookie_that_only_looks_like_the_session_is_nobodys() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let own = root.headers["cookie"].to_str().unwrap().to_owned();
    for name in [
        "\u{2000}__Host-ksess",
        "\u{a0}__Host-ksess",
        "\u{feff}__Host-ksess",
        "__Host-ksess\u{2000}",
        "__host-ksess",
    ] {
        let planted = format!("{name}=ks1_tossed");
        for (cookies, status) in [
            (planted.clone(), 401),
            (format!("{planted}; {own}"), 200),
            (format!("{own}; {planted}"), 200),
        ] {
            let mut browser = root.clone();
            let value = http::HeaderValue::from_bytes(cookies.as_bytes()).unwrap();
            browser.headers.insert("cookie", value);
            let answer = browser.get("/api/session").await;
            assert_eq!(answer.status, status, "{cookies}");
        }
    }
}

#[tokio::test]
async fn two_session_cookies_are_one_too_many_and_junk_beside_one_is_not() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let own = root.headers["cookie"].to_str().unwrap().to_owned();
    let twice = root.with("cookie", &format!("{own}; __Host-ksess=ks1_tossed"));
    let answer = twice.get("/api/session").await;
    assert_eq!(answer.outcome(), (400, "ambiguous_cookie".to_owned()));
    assert!(
        answer
            .header("set-cookie")
            .unwrap()
            .starts_with("__Host-ksess=;")
    );
    let counted = prometheus::TextEncoder::new()
        .encode_to_string(&site.registry.gather())
        .unwrap();
    let trace = "kalpana_web_refused_total{code=\"ambiguous_cookie\"} 1";
    assert!(counted.contains(trace), "{counted}");
    let junk = [b"a=\xff\xfe; \x80; ", own.as_bytes()].concat();
    let mut browser = root.clone();
    browser
        .headers
        .insert("cookie", http::HeaderValue::from_bytes(&junk).unwrap());
    assert_eq!(browser.get("/api/session").await.status, 200);
}
