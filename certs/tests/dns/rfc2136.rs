//! Dynamic updates on a real BIND.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use kalpana_certs::dns::{DnsError, DnsProof, Record};
use kalpana_config::Span;
use kalpana_config::section::certs::dns::{Dns, Rfc2136};
use kalpana_domain::clock::{Clock, ManualClock};
use kalpana_test_acme::{Bind, ChallengeServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::world::{CANARY, DOMAIN, NAME, ONE, SecretFile, TWO, checked, refusal, settings};

async fn bind() -> Bind {
    Bind::start().await.expect("BIND")
}

fn config(bind: &Bind, resolvers: &[SocketAddr]) -> Dns {
    with_key(bind, resolvers, Bind::KEY_NAME, &bind.key_file())
}

fn with_key(bind: &Bind, resolvers: &[SocketAddr], key_name: &str, key_file: &Path) -> Dns {
    Dns {
        rfc2136: Some(Rfc2136 {
            server: bind.server(),
            key_name: key_name.to_owned(),
            key_algorithm: "hmac-sha256".to_owned(),
            key_file: key_file.to_owned(),
            zone: None,
        }),
        ..settings(resolvers)
    }
}

fn proof(config: &Dns) -> DnsProof {
    DnsProof::new(config).expect("settings")
}

#[tokio::test]
async fn two_values_stand_beside_each_other_and_go_one_by_one() {
    let bind = bind().await;
    let proof = proof(&config(&bind, &[bind.server()]));
    let one = proof.prove(DOMAIN, ONE).await.expect("proven");
    let two = proof.prove("*.example.test", TWO).await.expect("proven");
    assert_eq!(one.name, NAME);
    assert_eq!(bind.txt(NAME).await.expect("asked"), [TWO, ONE]);
    proof.publish(&one).await.expect("set once more");
    assert_eq!(bind.txt(NAME).await.expect("asked"), [TWO, ONE]);
    proof.clear(&one).await.expect("cleared");
    assert_eq!(bind.txt(NAME).await.expect("asked"), [TWO]);
    proof.clear(&one).await.expect("absent is fine");
    proof.clear(&two).await.expect("cleared");
    assert!(bind.txt(NAME).await.expect("asked").is_empty());
}

#[tokio::test]
async fn a_record_that_was_written_down_is_cleared_by_another_process() {
    let bind = bind().await;
    let config = config(&bind, &[bind.server()]);
    let record = proof(&config).prove(DOMAIN, ONE).await.expect("proven");
    let written = serde_json::to_string(&record).expect("plain data");
    let read: Record = serde_json::from_str(&written).expect("what was written");
    proof(&config).clear(&read).await.expect("cleared");
    assert!(bind.txt(NAME).await.expect("asked").is_empty());
}

#[tokio::test]
async fn a_record_is_located_without_setting_anything() {
    let bind = bind().await;
    let proof = proof(&config(&bind, &[bind.server()]));
    let record = proof.locate("*.example.test", ONE).await.expect("located");
    assert_eq!((record.name.as_str(), record.value.as_str()), (NAME, ONE));
    assert!(bind.txt(NAME).await.expect("asked").is_empty());
}

#[tokio::test]
async fn an_alias_leads_the_record_into_another_zone() {
    let bind = bind().await;
    bind.add("_acme-challenge.app.example.test. 1 CNAME app._acme.example.test.")
        .await
        .expect("an alias");
    let proof = proof(&config(&bind, &[bind.server()]));
    let record = proof.prove("app.example.test", ONE).await.expect("proven");
    assert_eq!(record.name, "app._acme.example.test");
    assert_eq!(bind.txt(&record.name).await.expect("asked"), [ONE]);
    proof.clear(&record).await.expect("cleared");
    assert!(bind.txt(&record.name).await.expect("asked").is_empty());
}

#[tokio::test]
async fn aliases_that_lead_in_a_circle_are_given_up() {
    let bind = bind().await;
    for alias in [
        "_acme-challenge.app.example.test. 1 CNAME b.example.test.",
        "b.example.test. 1 CNAME _acme-challenge.app.example.test.",
    ] {
        bind.add(alias).await.expect("an alias");
    }
    let proof = proof(&config(&bind, &[bind.server()]));
    let error = proof.prove("app.example.test", ONE).await;
    let error = error.expect_err("a circle");
    assert_eq!(error.code(), "dns_lookup_failed");
    assert!(error.to_string().contains("CNAME"), "{error}");
}

#[tokio::test]
async fn a_wrong_key_is_named_in_the_error() {
    let bind = bind().await;
    let here = [bind.server()];
    let unknown = with_key(&bind, &here, "somebody", &bind.key_file());
    let error = refusal(&proof(&unknown)).await;
    assert_eq!(error.code(), "dns_key_wrong");
    assert!(error.to_string().contains("somebody (BADKEY)"), "{error}");

    let secret = SecretFile::with("Y2FuYXJ5LThkMmY=");
    let other = with_key(&bind, &here, Bind::KEY_NAME, &secret.path());
    let error = refusal(&proof(&other)).await;
    assert_eq!(error.code(), "dns_key_wrong");
    assert!(
        error.to_string().contains("kalpana-test (BADSIG)"),
        "{error}"
    );
    assert!(bind.txt(NAME).await.expect("asked").is_empty());
}

#[tokio::test]
async fn a_key_that_may_not_is_refused_and_named() {
    let bind = bind().await;
    let key = bind.stranger_key_file();
    let config = with_key(&bind, &[bind.server()], Bind::STRANGER, &key);
    let error = refusal(&proof(&config)).await;
    assert_eq!(error.code(), "dns_provider_refused");
    assert!(error.to_string().contains("stranger"), "{error}");
}

#[tokio::test]
async fn a_wrong_clock_is_told_from_a_wrong_key() {
    let bind = bind().await;
    let long_ago = "2020-01-01T00:00:00Z".parse().expect("a time");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(long_ago));
    let config = config(&bind, &[bind.server()]);
    let proof = DnsProof::with_clock(&config, &clock).expect("settings");
    assert_eq!(refusal(&proof).await.code(), "dns_clock_wrong");
}

#[tokio::test]
async fn a_zone_that_the_server_has_not_is_unknown() {
    let bind = bind().await;
    let anybody = ChallengeServer::start().await.expect("a name server");
    let mut config = config(&bind, &[anybody.address()]);
    let error = proof(&config).prove("elsewhere.test", ONE).await;
    let error = error.expect_err("no zone");
    assert_eq!(error.code(), "dns_zone_unknown");
    assert!(
        error.to_string().contains("_acme-challenge.elsewhere.test"),
        "{error}"
    );
    assert!(error.next_step().contains("CNAME"), "{}", error.next_step());

    let rfc2136 = config.rfc2136.as_mut().expect("the provider");
    rfc2136.zone = Some("elsewhere.test".to_owned());
    let error = refusal(&proof(&config)).await;
    assert_eq!(error.code(), "dns_zone_unknown");
    let error = proof(&config).prove("elsewhere.test", ONE).await;
    assert_eq!(error.expect_err("no zone").code(), "dns_zone_unknown");
}

#[tokio::test]
async fn a_server_that_is_down_or_silent_is_unreachable() {
    let mut bind = bind().await;
    let anybody = ChallengeServer::start().await.expect("a name server");
    let proof = proof(&config(&bind, &[anybody.address()]));
    bind.pause();
    let error = refusal(&proof).await;
    assert_eq!(error.code(), "dns_unreachable");
    assert!(
        error.to_string().contains("did not answer within 10 s"),
        "{error}"
    );
    bind.resume();
    bind.end().await;
    let error = refusal(&proof).await;
    assert_eq!(error.code(), "dns_unreachable");
    assert!(
        error.to_string().contains(&bind.server().to_string()),
        "{error}"
    );
    bind.start_again().await.expect("started again");
    proof
        .clear(&proof.locate(DOMAIN, ONE).await.expect("located"))
        .await
        .expect("it is back");
}

#[tokio::test]
async fn a_server_that_lags_behind_is_waited_for_and_named() {
    let bind = bind().await;
    let laggard = Bind::start().await.expect("another BIND");
    let mut config = config(&bind, &[bind.server(), laggard.server()]);
    config.propagation_timeout = Span::seconds(1);
    let proof = proof(&config);
    let error = proof.prove(DOMAIN, ONE).await.expect_err("never seen");
    let error = checked(&proof, error);
    assert_eq!(error.code(), "dns_not_propagated");
    let DnsError::NotPropagated { missing, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(missing.len(), 1, "{error}");
    assert_eq!(missing[0].address, Some(laggard.server()));
    assert_eq!(missing[0].said, "it has nothing of that name");
    assert!(bind.txt(NAME).await.expect("asked").is_empty(), "cleared");

    laggard
        .add(&format!("{NAME}. 1 TXT \"another\""))
        .await
        .expect("a record");
    let error = proof.prove(DOMAIN, ONE).await.expect_err("never seen");
    assert!(error.to_string().contains("1 other TXT records"), "{error}");
    laggard
        .add(&format!("{NAME}. 1 TXT \"{ONE}\""))
        .await
        .expect("a record");
    proof.prove(DOMAIN, ONE).await.expect("seen at both");
}

#[tokio::test]
async fn a_server_that_is_dead_is_passed_over_when_all_others_have_the_record() {
    let bind = bind().await;
    let dead: SocketAddr = ([127, 0, 0, 3], bind.server().port()).into();
    let mut config = config(&bind, &[dead, bind.server()]);
    config.propagation_timeout = Span::seconds(1);
    proof(&config).prove(DOMAIN, ONE).await.expect("proven");
    config.resolvers = vec![dead];
    let error = proof(&config).prove(DOMAIN, ONE).await;
    assert_eq!(error.expect_err("nobody").code(), "dns_lookup_failed");
}

#[tokio::test]
async fn a_resolver_that_fails_is_named() {
    let bind = bind().await;
    let anybody = ChallengeServer::start().await.expect("a name server");
    anybody.servfail(NAME).await.expect("told");
    let proof = proof(&config(&bind, &[anybody.address()]));
    let error = proof.prove(DOMAIN, ONE).await.expect_err("no answer");
    assert_eq!(error.code(), "dns_lookup_failed");
    let words = checked(&proof, error).to_string();
    assert!(words.contains(&anybody.address().to_string()), "{words}");
}

#[tokio::test]
async fn what_is_no_domain_and_no_value_is_refused_before_anybody_is_asked() {
    let bind = bind().await;
    let proof = proof(&config(&bind, &[bind.server()]));
    let code = async |domain: &str, value: &str| {
        let error = proof.locate(domain, value).await;
        error.expect_err("refused").code()
    };
    assert_eq!(code("a..b", ONE).await, "dns_record_invalid");
    assert_eq!(code(DOMAIN, "").await, "dns_record_invalid");
    assert_eq!(code(DOMAIN, "a\"</Value>").await, "dns_record_invalid");
    assert_eq!(code(DOMAIN, &"x".repeat(256)).await, "dns_record_invalid");
}

#[test]
fn a_key_that_others_can_read_or_that_is_none_is_refused() {
    let secret = SecretFile::with(&format!("{CANARY}!"));
    let config = Dns {
        rfc2136: Some(Rfc2136 {
            server: ([127, 0, 0, 1], 53).into(),
            key_name: "k".to_owned(),
            key_algorithm: "hmac-sha256".to_owned(),
            key_file: secret.path(),
            zone: None,
        }),
        ..settings(&[])
    };
    let error = DnsProof::new(&config).expect_err("not base64");
    assert_eq!(error.code(), "dns_secret_malformed");
    assert!(!format!("{error} {error:?}").contains(CANARY));
    secret.set_mode(0o644);
    let error = DnsProof::new(&config).expect_err("readable by others");
    assert_eq!(error.code(), "dns_secret_exposed");
    assert!(error.next_step().contains("chmod 0600"));
}

/// Says that all went well, to whoever asks, without a signature.
async fn impostor() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.expect("a length");
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await.expect("a question");
            // What is kept is the head and the zone: labels, their end, type and class.
            let labels = answer[12..].iter().position(|byte| *byte == 0);
            answer.truncate(12 + labels.expect("their end") + 5);
            answer[2] |= 0x80;
            answer[6..12].fill(0);
            let length = u16::try_from(answer.len()).expect("short");
            stream.write_u16(length).await.expect("sent");
            stream.write_all(&answer).await.expect("sent");
        }
    });
    address
}

#[tokio::test]
async fn an_answer_that_nobody_signed_is_not_believed() {
    let bind = bind().await;
    let mut config = config(&bind, &[bind.server()]);
    let rfc2136 = config.rfc2136.as_mut().expect("the provider");
    rfc2136.server = impostor().await;
    rfc2136.zone = Some("example.test".to_owned());
    let error = refusal(&proof(&config)).await;
    assert_eq!(error.code(), "dns_provider_garbled");
    assert!(
        error.to_string().contains("its signature is wrong"),
        "{error}"
    );
}
