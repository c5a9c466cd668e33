//! acme-dns, on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kalpana_certs::dns::{DnsError, DnsProof};
use kalpana_config::section::certs::dns::{AcmeDns, Dns};
use serde_json::{Value, json};

use crate::world::{DOMAIN, Hosted, NAME, ONE, SecretFile, TWO, settings};

const USER: &str = "c36f50e8-4632-44f0-83fe-canary-8d2f";
const PASSWORD: &str = "htB9mR9DYgcu9bX-canary-8d2f";
const SUBDOMAIN: &str = "8e5700ea-a4bf-41c7-8a77-e990661dcc6a";
const TARGET: &str = "8e5700ea-a4bf-41c7-8a77-e990661dcc6a.acmedns.test";

struct World {
    hosted: Arc<Hosted>,
    config: Dns,
    _registration: SecretFile,
}

impl World {
    async fn start(password: &str) -> Self {
        let hosted = Hosted::start().await;
        let router = Router::new()
            .route("/update", post(update))
            .with_state(Arc::clone(&hosted));
        let url = hosted.serve(router).await;
        let registration = SecretFile::with(
            &json!({
                "username": USER, "password": password, "fulldomain": TARGET,
                "subdomain": SUBDOMAIN, "allowfrom": [],
            })
            .to_string(),
        );
        let files = BTreeMap::from([(DOMAIN.to_owned(), registration.path())]);
        let config = Dns {
            acme_dns: Some(AcmeDns {
                url,
                registration_files: files,
            }),
            ..settings(&[hosted.server.address()])
        };
        Self {
            hosted,
            config,
            _registration: registration,
        }
    }

    fn proof(&self) -> DnsProof {
        DnsProof::new(&self.config).expect("settings")
    }

    async fn add_alias(&self) {
        let alias = self.hosted.server.set_cname(NAME, TARGET).await;
        alias.expect("an alias");
    }

    async fn refusal(&self) -> DnsError {
        let proof = self.proof();
        proof.prove(DOMAIN, ONE).await.expect_err("refused")
    }
}

/// Keeps the two newest values, as the real one does.
async fn update(
    State(hosted): State<Arc<Hosted>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bad = |status: StatusCode, word: &str| (status, Json(json!({ "error": word })));
    let is_known = header("x-api-user") == Some(USER) && header("x-api-key") == Some(PASSWORD);
    if !is_known || body["subdomain"] != SUBDOMAIN {
        return bad(StatusCode::UNAUTHORIZED, "forbidden").into_response();
    }
    let value = body["txt"].as_str().expect("a value");
    hosted.add(TARGET, value).await;
    let ids = hosted.ids(TARGET);
    for (id, _) in &ids[..ids.len().saturating_sub(2)] {
        hosted.remove(*id).await;
    }
    Json(json!({ "txt": value })).into_response()
}

#[tokio::test]
async fn the_domain_and_its_wildcard_are_proven_through_the_alias() {
    let world = World::start(PASSWORD).await;
    world.add_alias().await;
    let proof = world.proof();
    let one = proof.prove(DOMAIN, ONE).await.expect("proven");
    let two = proof.prove("*.example.test", TWO).await.expect("proven");
    assert_eq!((one.name.as_str(), two.name.as_str()), (TARGET, TARGET));
    proof.publish(&two).await.expect("set once more");
    assert_eq!(world.hosted.values(TARGET), [TWO, ONE], "twice is as once");
    proof.clear(&one).await.expect("nothing to do");
    proof.publish(&one).await.expect("set anew");
    assert!(world.hosted.values(TARGET).contains(&ONE.to_owned()));
}

#[tokio::test]
async fn a_missing_alias_is_told_with_the_record_to_add() {
    let world = World::start(PASSWORD).await;
    let error = world.refusal().await;
    assert_eq!(error.code(), "dns_alias_missing");
    let record = format!("`{NAME}. CNAME {TARGET}.`");
    assert!(error.next_step().contains(&record), "{}", error.next_step());
    let error = world.proof().prove("elsewhere.test", ONE).await;
    assert_eq!(
        error.expect_err("no registration").code(),
        "dns_zone_unknown"
    );
}

#[tokio::test]
async fn wrong_credentials_are_told_without_showing_them() {
    let world = World::start("canary-8d2f-wrong").await;
    world.add_alias().await;
    let error = world.refusal().await;
    assert_eq!(error.code(), "dns_key_wrong");
    assert!(error.to_string().contains("forbidden (401"), "{error}");
    let words = format!("{error} {error:?} {:?}", world.proof());
    assert!(!words.contains("canary"), "{words}");
}

#[tokio::test]
async fn a_refusal_is_given_in_its_own_words() {
    let world = World::start(PASSWORD).await;
    world.add_alias().await;
    world
        .hosted
        .answer_next(400, None, r#"{ "error": "bad_txt" }"#);
    let error = world.refusal().await;
    assert_eq!(error.code(), "dns_provider_refused");
    assert!(error.to_string().contains("bad_txt"), "{error}");
    world.hosted.answer_next(404, None, "nothing here");
    assert_eq!(world.refusal().await.code(), "dns_provider_garbled");
}

#[tokio::test]
async fn a_registration_that_is_none_is_refused_without_showing_it() {
    let mut world = World::start(PASSWORD).await;
    let broken = SecretFile::with("{ \"password\": \"canary-8d2f\" }");
    let acme_dns = world.config.acme_dns.as_mut().expect("the provider");
    acme_dns
        .registration_files
        .insert(DOMAIN.to_owned(), broken.path());
    let error = DnsProof::new(&world.config).expect_err("no registration");
    assert_eq!(error.code(), "dns_secret_malformed");
    assert!(
        !format!("{error} {error:?}").contains("canary"),
        "{error:?}"
    );
}
