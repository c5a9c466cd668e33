//! The servers do what tests rely on.

use std::time::Duration;

use kalpana_test_acme::{Bind, ChallengeServer, Pebble, PebbleOptions};
use serde_json::Value;

/// A client that trusts the root of an authority's https and no other.
fn client(pebble: &Pebble) -> reqwest::Client {
    let root = std::fs::read(pebble.root_file()).expect("the root");
    let root = reqwest::Certificate::from_pem(&root).expect("PEM");
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .timeout(Duration::from_secs(5))
        .build()
        .expect("a client")
}

async fn directory(client: &reqwest::Client, pebble: &Pebble) -> reqwest::Result<Value> {
    let answer = client.get(pebble.directory_url()).send().await?;
    let text = answer.text().await?;
    Ok(serde_json::from_str(&text).expect("JSON"))
}

async fn pebble(options: PebbleOptions) -> (ChallengeServer, Pebble) {
    let dns = ChallengeServer::start().await.expect("a name server");
    let pebble = Pebble::start(&dns, options).await.expect("an authority");
    (dns, pebble)
}

#[tokio::test]
async fn pebble_serves_its_directory_to_who_trusts_its_root() {
    let (_dns, ours) = pebble(PebbleOptions::default()).await;
    let (_other_dns, other) = pebble(PebbleOptions::default()).await;
    let found = directory(&client(&ours), &ours).await.expect("trusted");
    assert!(found["newOrder"].is_string(), "{found}");
    let refused = directory(&client(&other), &ours).await;
    refused.expect_err("another's root is not trusted");
    assert!(ours.log().contains("Listening"), "{}", ours.log());
}

#[tokio::test]
async fn pebble_has_as_many_roots_as_asked_for_and_others_after_a_restart() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = PebbleOptions {
        alternate_roots: 2,
        chain_length: 3,
        validity: Some(3600),
        eab: Some(("kid-1".to_owned(), key.to_owned())),
        ..PebbleOptions::default()
    };
    let (_dns, mut pebble) = pebble(options).await;
    let client = client(&pebble);
    let found = directory(&client, &pebble).await.expect("an answer");
    assert_eq!(found["meta"]["externalAccountRequired"], true);
    let mut roots = std::collections::BTreeSet::new();
    for index in 0..3 {
        roots.insert(pebble.issuing_root(index).await.expect("a root"));
    }
    assert_eq!(roots.len(), 3);
    pebble.issuing_root(3).await.expect_err("there are three");

    pebble.end().await;
    let nobody = directory(&client, &pebble).await;
    nobody.expect_err("nobody is there");
    pebble.start_again().await.expect("started again");
    directory(&client, &pebble).await.expect("the same https");
    assert!(!roots.contains(&pebble.issuing_root(0).await.expect("a root")));
}

#[tokio::test]
async fn a_paused_pebble_is_silent_until_it_goes_on() {
    let (_dns, pebble) = pebble(PebbleOptions::default()).await;
    let client = client(&pebble);
    pebble.pause();
    let answer = tokio::time::timeout(Duration::from_secs(1), directory(&client, &pebble)).await;
    answer.expect_err("silence");
    pebble.resume();
    directory(&client, &pebble).await.expect("it is back");
}

#[tokio::test]
async fn a_server_ends_with_its_value() {
    let server = ChallengeServer::start().await.expect("started");
    let address = server.address();
    drop(server);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "it lives on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bind_keeps_its_records_when_it_is_killed_and_started_again() {
    let mut bind = Bind::start().await.expect("started");
    bind.add("a.example.test. 1 TXT \"x\"")
        .await
        .expect("added");
    bind.end().await;
    bind.add("b.example.test. 1 TXT \"x\"")
        .await
        .expect_err("nobody is there");
    bind.start_again().await.expect("started again");
    assert_eq!(bind.txt("a.example.test").await.expect("asked"), ["x"]);
    assert!(bind.txt("b.example.test").await.expect("asked").is_empty());
}
