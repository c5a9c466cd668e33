//! DigitalOcean, on the wire.

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

const TOKEN: &str = "dop_v1_canary-8d2f";

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
            .route("/v2/domains/{zone}", get(domain))
            .route("/v2/domains/{zone}/records", get(list).post(create))
            .route("/v2/domains/{zone}/records/{id}", delete(remove))
            .with_state(Arc::clone(&hosted));
        let url = hosted.serve(router).await + "/v2/";
        Self {
            hosted,
            url,
            token: SecretFile::with(TOKEN),
        }
    }

    fn proof(&self) -> DnsProof {
        let config = Dns {
            digitalocean: Some(Token {
                token_file: self.token.path(),
                url: Some(self.url.clone()),
            }),
            ..settings(&[self.hosted.server.address()])
        };
        DnsProof::new(&config).expect("settings")
    }
}

fn bad(status: StatusCode, id: &str, message: &str) -> Response {
    let body = json!({ "id": id, "message": message, "request_id": "4d9d8375" });
    (status, Json(body)).into_response()
}

fn check(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let header = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if header == Some(&format!("Bearer {TOKEN}")) {
        return Ok(());
    }
    let words = "Unable to authenticate you";
    Err(Box::new(bad(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        words,
    )))
}

async fn domain(headers: HeaderMap, Path(zone): Path<String>) -> Response {
    if let Err(response) = check(&headers) {
        return *response;
    }
    if zone == "example.test" {
        return Json(json!({ "domain": { "name": zone, "ttl": 1800 } })).into_response();
    }
    let words = "The resource you were accessing could not be found.";
    bad(StatusCode::NOT_FOUND, "not_found", words)
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
    assert_eq!(
        (zone.as_str(), query["type"].as_str()),
        ("example.test", "TXT")
    );
    let page: usize = query["page"].parse().expect("a number");
    let all = hosted.ids(&query["name"]);
    let records: Vec<Value> = all
        .iter()
        .skip((page - 1) * PAGE)
        .take(PAGE)
        .map(|(id, value)| json!({ "id": id, "type": "TXT", "data": value, "ttl": 60 }))
        .collect();
    let links = if page * PAGE < all.len() {
        json!({ "pages": { "next": "http://127.0.0.1:1/not/to/be/followed" } })
    } else {
        json!({})
    };
    let total = all.len();
    let body = json!({ "domain_records": records, "links": links, "meta": { "total": total } });
    Json(body).into_response()
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
    let name = body["name"].as_str().expect("a name");
    let value = body["data"].as_str().expect("a value");
    assert_eq!(name, "_acme-challenge", "names are within the zone");
    if body["ttl"].as_u64() < Some(30) {
        let words = "TTL must be at least 30.";
        return bad(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unprocessable_entity",
            words,
        );
    }
    // It keeps the same record as often as it is told.
    let id = hosted.add(&format!("{name}.{zone}"), value).await;
    let body = json!({ "domain_record": { "id": id, "data": value } });
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn remove(
    State(hosted): State<Arc<Hosted>>,
    headers: HeaderMap,
    Path((_, id)): Path<(String, u64)>,
) -> Response {
    if let Err(response) = check(&headers) {
        return *response;
    }
    if hosted.remove(id).await {
        StatusCode::NO_CONTENT.into_response()
    } else {
        bad(
            StatusCode::NOT_FOUND,
            "not_found",
            "The resource could not be found.",
        )
    }
}

#[tokio::test]
async fn two_values_stand_beside_what_is_there_and_go_one_by_one() {
    let world = World::start().await;
    for other in ["v=spf1", "verification=1", "verification=2"] {
        world.hosted.add(NAME, other).await;
    }
    two_values_come_and_go(&world.proof(), &world.hosted).await;
    let calls = world.hosted.calls();
    assert!(
        calls.iter().any(|call| call.contains("page=3")),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_wrong_token_is_told() {
    let mut world = World::start().await;
    world.token = SecretFile::with(&format!("{CANARY}-wrong"));
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_key_wrong");
    assert!(
        error.to_string().contains("Unable to authenticate you"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_may_not_is_refused_in_its_own_words() {
    let world = World::start().await;
    let body = json!({ "id": "forbidden", "message": "You are not authorized" });
    world.hosted.answer_next(403, None, &body.to_string());
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_provider_refused");
    assert!(
        error
            .to_string()
            .contains("You are not authorized (forbidden)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_domain_that_the_account_has_not_is_unknown() {
    let world = World::start().await;
    let error = world.proof().prove("elsewhere.test", "value").await;
    assert_eq!(error.expect_err("no zone").code(), "dns_zone_unknown");
}

#[tokio::test]
async fn too_many_calls_are_repeated_when_it_says_so() {
    let world = World::start().await;
    let proof = world.proof();
    let words = r#"{ "id": "too_many_requests", "message": "API rate limit exceeded." }"#;
    world
        .hosted
        .answer_next(429, Some(("retry-after", "0")), words);
    proof.prove("example.test", "value").await.expect("proven");
    world
        .hosted
        .answer_next(429, Some(("retry-after", "1800")), words);
    assert_eq!(refusal(&proof).await.code(), "dns_provider_limited");
}
