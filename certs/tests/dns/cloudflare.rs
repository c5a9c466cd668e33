//! Cloudflare, on the wire.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use kalpana_certs::dns::DnsProof;
use kalpana_config::section::certs::dns::{Dns, Token};
use serde_json::{Value, json};

use crate::world::{CANARY, Hosted, NAME, SecretFile, refusal, settings, two_values_come_and_go};

const TOKEN: &str = "canary-8d2f-token";
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// Records on one page: fewer than are asked for, so that there is a second.
const PAGE: usize = 2;

struct World {
    hosted: Arc<Hosted>,
    url: String,
    token: SecretFile,
}

impl World {
    async fn start() -> Self {
        let hosted = Hosted::start().await;
        let router = Router::new()
            .route("/client/v4/zones", get(zones))
            .route(
                "/client/v4/zones/{zone}/dns_records",
                get(list).post(create),
            )
            .route("/client/v4/zones/{zone}/dns_records/{id}", delete(remove))
            .with_state(Arc::clone(&hosted));
        let url = hosted.serve(router).await + "/client/v4";
        Self {
            hosted,
            url,
            token: SecretFile::with(&format!("{TOKEN}\n")),
        }
    }

    fn proof(&self) -> DnsProof {
        let config = Dns {
            cloudflare: Some(Token {
                token_file: self.token.path(),
                url: Some(self.url.clone()),
            }),
            ..settings(&[self.hosted.server.address()])
        };
        DnsProof::new(&config).expect("settings")
    }
}

fn good(result: &Value, pages: usize) -> Response {
    Json(json!({
        "success": true, "errors": [], "messages": [], "result": result,
        "result_info": { "page": 1, "per_page": PAGE, "total_pages": pages, "count": 1 },
    }))
    .into_response()
}

fn bad(status: StatusCode, code: u32, message: &str) -> Response {
    let errors = json!([{ "code": code, "message": message }]);
    let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
    (status, Json(body)).into_response()
}

fn check(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let header = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if header == Some(&format!("Bearer {TOKEN}")) {
        return Ok(());
    }
    // It repeats what it was given, which must not get into our words.
    let words = format!("Invalid access token {}", header.unwrap_or_default());
    Err(Box::new(bad(StatusCode::FORBIDDEN, 9109, &words)))
}

async fn zones(headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Response {
    if let Err(response) = check(&headers) {
        return *response;
    }
    match query.get("name").map(String::as_str) {
        Some("example.test") => good(&json!([{ "id": ZONE, "name": "example.test" }]), 1),
        _ => good(&json!([]), 0),
    }
}

async fn list(
    State(hosted): State<Arc<Hosted>>,
    headers: HeaderMap,
    Path(zone): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if let Err(response) = check(&headers) {
        return *response;
    }
    assert_eq!(zone, ZONE);
    assert_eq!(query["type"], "TXT");
    let page: usize = query["page"].parse().expect("a number");
    let all = hosted.ids(&query["name"]);
    let records: Vec<Value> = all
        .iter()
        .skip((page - 1) * PAGE)
        .take(PAGE)
        .map(|(id, value)| json!({ "id": id.to_string(), "content": format!("\"{value}\"") }))
        .collect();
    good(&json!(records), all.len().div_ceil(PAGE))
}

async fn create(
    State(hosted): State<Arc<Hosted>>,
    headers: HeaderMap,
    Path(zone): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    if let Err(response) = check(&headers) {
        return *response;
    }
    assert_eq!(zone, ZONE);
    assert_eq!((&body["type"], &body["ttl"]), (&json!("TXT"), &json!(60)));
    let name = body["name"].as_str().expect("a name");
    let content = body["content"].as_str().expect("a content");
    let value = content.trim_matches('"');
    assert_eq!(content, format!("\"{value}\""), "in quotes");
    if hosted.values(name).iter().any(|held| held == value) {
        return bad(
            StatusCode::BAD_REQUEST,
            81058,
            "An identical record already exists.",
        );
    }
    let id = hosted.add(name, value).await;
    good(&json!({ "id": id.to_string(), "content": content }), 1)
}

async fn remove(
    State(hosted): State<Arc<Hosted>>,
    headers: HeaderMap,
    Path((_, id)): Path<(String, String)>,
) -> Response {
    if let Err(response) = check(&headers) {
        return *response;
    }
    if hosted.remove(id.parse().expect("an id")).await {
        good(&json!({ "id": id }), 1)
    } else {
        bad(StatusCode::NOT_FOUND, 81044, "Record does not exist.")
    }
}

#[tokio::test]
async fn two_values_stand_beside_what_is_there_and_go_one_by_one() {
    let world = World::start().await;
    for other in ["v=spf1", "verification=1", "verification=2"] {
        world.hosted.add(NAME, other).await;
    }
    two_values_come_and_go(&world.proof(), &world.hosted).await;
    let pages = world.hosted.calls();
    assert!(
        pages.iter().any(|call| call.contains("page=3")),
        "{pages:?}"
    );
}

#[tokio::test]
async fn a_wrong_token_is_told_without_showing_it() {
    let mut world = World::start().await;
    world.token = SecretFile::with(&format!("{CANARY}-wrong"));
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_key_wrong");
    let words = error.to_string();
    assert!(
        words.contains("Cloudflare did not accept the key"),
        "{words}"
    );
    assert!(
        words.contains("Invalid access token Bearer (redacted) (9109)"),
        "{words}"
    );
}

#[tokio::test]
async fn a_zone_that_the_token_does_not_see_is_unknown() {
    let world = World::start().await;
    let error = world.proof().prove("elsewhere.test", "value").await;
    let error = error.expect_err("no zone");
    assert_eq!(error.code(), "dns_zone_unknown");
    assert!(
        error.to_string().contains("_acme-challenge.elsewhere.test"),
        "{error}"
    );
}

#[tokio::test]
async fn too_many_calls_are_repeated_when_it_says_so_and_given_up_when_that_is_late() {
    let world = World::start().await;
    let proof = world.proof();
    world
        .hosted
        .answer_next(429, Some(("retry-after", "0")), "slow down");
    world
        .hosted
        .answer_next(429, Some(("retry-after", "0")), "slow down");
    proof.prove("example.test", "value").await.expect("proven");
    world
        .hosted
        .answer_next(429, Some(("retry-after", "3600")), "slow down");
    let error = refusal(&proof).await;
    assert_eq!(error.code(), "dns_provider_limited");
    assert!(error.to_string().contains("3600s"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_given_in_its_own_words() {
    let world = World::start().await;
    let body = json!({
        "success": false,
        "errors": [{ "code": 1004, "message": "DNS Validation Error" }],
        "result": null,
    });
    world.hosted.answer_next(400, None, &body.to_string());
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_provider_refused");
    assert!(
        error.to_string().contains("DNS Validation Error (1004)"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_answer_of_its_own_is_told_from_a_failure_and_from_a_redirect() {
    let world = World::start().await;
    let proof = world.proof();
    world
        .hosted
        .answer_next(200, None, "<html>a login page</html>");
    assert_eq!(refusal(&proof).await.code(), "dns_provider_garbled");
    world.hosted.answer_next(502, None, "bad gateway");
    assert_eq!(refusal(&proof).await.code(), "dns_unreachable");
    world.hosted.answer_next(200, None, &"x".repeat(2 << 20));
    let error = refusal(&proof).await;
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
    let elsewhere = Some(("location", "http://127.0.0.1:1/"));
    world.hosted.answer_next(302, elsewhere, "");
    let error = refusal(&proof).await;
    assert!(error.to_string().contains("redirects elsewhere"), "{error}");
}

#[tokio::test]
async fn nobody_at_its_url_is_unreachable_and_plain_http_elsewhere_is_refused() {
    let mut world = World::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    world.url = format!("http://{address}");
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_unreachable");
    let config = Dns {
        cloudflare: Some(Token {
            token_file: world.token.path(),
            url: Some("http://api.example.test/".to_owned()),
        }),
        ..settings(&[])
    };
    let error = DnsProof::new(&config).expect_err("the token would be read by all");
    assert_eq!(error.code(), "dns_setting_wrong");
}
