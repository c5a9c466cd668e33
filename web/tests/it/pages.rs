//! Pages, the API's edges, and what every answer carries.

use prometheus::TextEncoder;

use crate::support::Site;

#[tokio::test]
async fn every_answer_tells_browsers_what_to_forbid() {
    let site = Site::start().await;
    let stranger = site.stranger();
    for path in [
        "/",
        "/api/site",
        "/api/nothing",
        "/nothing",
        "/auth/workspace",
        "/api/session",
    ] {
        let answer = stranger.get(path).await;
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            answer.header("cross-origin-opener-policy"),
            Some("same-origin"),
            "{path}"
        );
        let policy = answer.header("content-security-policy").unwrap();
        // An editor's frame passes `/auth/workspace` on its way, and may say why it got no further.
        let framed_by = if path == "/auth/workspace" {
            "frame-ancestors 'self'"
        } else {
            "frame-ancestors 'none'"
        };
        assert!(policy.contains(framed_by), "{path}: {policy}");
        assert!(!policy.contains("unsafe-eval"), "{path}: {policy}");
        let scripts = policy
            .split("; ")
            .find(|part| part.starts_with("script-src"));
        assert!(
            scripts.is_none_or(|scripts| !scripts.contains("unsafe-inline")),
            "{policy}"
        );
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(id.len(), 36, "{path}: {id}");
        let caching = answer.header("cache-control");
        let is_page = path == "/";
        assert_eq!(
            caching,
            Some(if is_page { "no-cache" } else { "no-store" }),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_first_page_is_there_and_other_paths_are_honest_about_not_being() {
    let site = Site::start().await;
    let stranger = site.stranger();
    let first = stranger.get("/").await;
    assert_eq!(first.status, 200);
    assert_eq!(
        first.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let known = stranger
        .with("if-none-match", first.header("etag").unwrap())
        .get("/")
        .await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let packed = stranger.with("accept-encoding", "gzip").get("/").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < first.body.len() && packed.body.starts_with(&[0x1f, 0x8b]));
    let head = stranger.send("HEAD", "/", None).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for path in [
        "/nothing",
        "/workspace/nonsense",
        "/..%2f..%2fetc%2fpasswd",
        "/%ff",
        "//evil.example",
    ] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8"),
            "{path}"
        );
    }
    let post = stranger.send("POST", "/login", None).await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn calls_that_do_not_exist_say_so_in_json() {
    let site = Site::start().await;
    let stranger = site.stranger();
    let health = stranger.get("/api/health").await.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["database"], "ok");
    for path in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/workspaces/a/b/c",
        "/api/%00",
    ] {
        assert_eq!(
            stranger.get(path).await.outcome(),
            (404, "not_found".to_owned()),
            "{path}"
        );
    }
    let wrong = stranger.send("PUT", "/api/session", None).await;
    assert_eq!(wrong.outcome(), (405, "method_not_allowed".to_owned()));
    let served = stranger.get("/api/openapi.json").await;
    assert_eq!(served.body, kalpana_web::openapi_json().unwrap());
    let about = stranger.get("/api/site").await.json();
    assert_eq!(
        about["workspace_url"],
        "https://{label}.kalpana.localhost:8443"
    );
    assert_eq!(
        about["sizes"][0],
        serde_json::json!({"name": "small", "cpus": 1.0, "memory_bytes": 2_147_483_648_u64})
    );
    assert_eq!(about["notices"][0]["code"], "single_domain");
}

#[tokio::test]
async fn metrics_name_routes_and_never_paths() {
    let site = Site::start().await;
    let root = site.administrator().await;
    for path in [
        "/",
        "/api/workspaces/zzzzzzzzzzzz",
        "/api/odd-path",
        "/odd-page",
        "/workspace/abcdefghijk1",
    ] {
        root.get(path).await;
    }
    let text = TextEncoder::new()
        .encode_to_string(&site.registry.gather())
        .unwrap();
    for expected in [
        "kalpana_web_request_duration_seconds_count{route=\"/api/workspaces/{id}\",status_class=\"4xx\"} 1",
        "kalpana_web_request_duration_seconds_count{route=\"asset\",status_class=\"4xx\"}",
        "kalpana_web_request_duration_seconds_count{route=\"unknown\",status_class=\"4xx\"} 1",
        "kalpana_web_streams 0",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("zzzz") && !text.contains("odd"), "{text}");
}

/// `make test` builds the interface first; a build that left it out has one page and no more.
#[tokio::test]
async fn pages_of_the_interface_can_be_typed_and_reloaded_with_a_policy_of_their_own() {
    let site = Site::start().await;
    let stranger = site.stranger();
    let is_left_out = String::from_utf8_lossy(&stranger.get("/").await.body)
        .contains("The user interface was left out");
    for path in ["/login", "/setup", "/dashboard", "/workspace/abcdefghijk1"] {
        let answer = stranger.get(path).await;
        if is_left_out {
            assert_eq!(answer.status, 404, "{path}");
            continue;
        }
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        let scripts = policy
            .split("; ")
            .find(|part| part.starts_with("script-src 'self'"))
            .unwrap();
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        let inline = page.matches("<script>").count() + page.matches("<script id=").count();
        let hashes = scripts.matches("'sha256-").count();
        assert!(
            (1..=inline).contains(&hashes),
            "{path}: {inline} scripts, {scripts}"
        );
        let script = page.split("src=\"/_next/static/").nth(1).unwrap();
        let script = script.split('"').next().unwrap();
        let loaded = stranger.get(&format!("/_next/static/{script}")).await;
        assert_eq!(loaded.status, 200, "{script}");
        assert!(
            loaded
                .header("cache-control")
                .unwrap()
                .ends_with("immutable")
        );
        assert_eq!(
            loaded.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
    }
    if !is_left_out {
        let payload = stranger.get("/workspace/abcdefghijk1.txt?_rsc=x").await;
        assert_eq!(payload.status, 200);
        assert_eq!(
            payload.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
}
