//! Amazon Route 53, on the wire.

use std::sync::Arc;

use kalpana_certs::dns::{DnsProof, Record};
use kalpana_config::section::certs::dns::{Dns, Route53};
use kalpana_domain::clock::{Clock, ManualClock};

use crate::route53_fake::{Fake, KEY_ID, SECRET, ZONE, problem};
use crate::world::{
    CANARY, DOMAIN, NAME, ONE, SecretFile, TWO, refusal, settings, two_values_come_and_go,
};

struct World {
    fake: Arc<Fake>,
    config: Dns,
    _secret: SecretFile,
}

impl World {
    async fn start() -> Self {
        Self::start_with(SECRET).await
    }

    async fn start_with(secret: &str) -> Self {
        let (fake, url) = Fake::start().await;
        let secret = SecretFile::with(secret);
        let config = Dns {
            route53: Some(Route53 {
                access_key_id: KEY_ID.to_owned(),
                secret_access_key_file: secret.path(),
                hosted_zone_id: None,
                url: Some(url),
            }),
            ..settings(&[fake.hosted.server.address()])
        };
        Self {
            fake,
            config,
            _secret: secret,
        }
    }

    fn proof(&self) -> DnsProof {
        self.proof_at("2026-06-01T12:00:00Z")
    }

    fn proof_at(&self, now: &str) -> DnsProof {
        let now = now.parse().expect("a time");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now));
        DnsProof::with_clock(&self.config, &clock).expect("settings")
    }

    fn route53(&mut self) -> &mut Route53 {
        self.config.route53.as_mut().expect("the provider")
    }

    fn add_zone(&self, name: &str, id: &str, is_private: bool) {
        let zone = (name.to_owned(), id.to_owned(), is_private);
        self.fake.zones.lock().expect("zones").push(zone);
    }
}

#[tokio::test]
async fn two_values_stand_beside_what_is_there_and_go_one_by_one() {
    let world = World::start().await;
    two_values_come_and_go(&world.proof(), &world.fake.hosted).await;
    world.fake.hosted.add(NAME, "v=spf1").await;
    two_values_come_and_go(&world.proof(), &world.fake.hosted).await;
}

#[tokio::test]
async fn what_somebody_else_adds_in_between_is_not_lost() {
    let world = World::start().await;
    let proof = world.proof();
    world.fake.hosted.add(NAME, "v=spf1").await;
    world
        .fake
        .meanwhile
        .lock()
        .expect("meanwhile")
        .push(TWO.to_owned());
    let record = proof.prove(DOMAIN, ONE).await.expect("proven");
    assert_eq!(world.fake.hosted.values(NAME), [TWO, ONE, "v=spf1"]);
    assert_eq!(world.fake.batches.lock().expect("batches").len(), 2);
    proof.clear(&record).await.expect("cleared");
    assert_eq!(world.fake.hosted.values(NAME), [TWO, "v=spf1"]);
}

#[tokio::test]
async fn a_set_that_never_holds_still_is_given_up() {
    let world = World::start().await;
    let many = (0..20).map(|number| format!("other-{number}"));
    world.fake.meanwhile.lock().expect("meanwhile").extend(many);
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_provider_refused");
    assert!(
        error
            .to_string()
            .contains("do not match (InvalidChangeBatch)"),
        "{error}"
    );
}

#[tokio::test]
async fn the_zone_is_the_public_one_among_many_of_that_name() {
    let mut world = World::start().await;
    world.add_zone("example.test.", "Z0PRIVATE", true);
    world.add_zone("example.test.", "ZPRIVATE", true);
    world.add_zone("aaa.test.", "ZA", false);
    world.add_zone("zzz.test.", "ZZ", false);
    world.proof().prove(DOMAIN, ONE).await.expect("proven");

    world.add_zone("example.test.", "ZOTHER", false);
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_zone_unknown");
    assert!(error.to_string().contains("hosted_zone_id"), "{error}");
    world.route53().hosted_zone_id = Some(ZONE.to_owned());
    world.proof().prove(DOMAIN, TWO).await.expect("proven");
}

#[tokio::test]
async fn a_zone_that_the_account_has_not_is_unknown() {
    let mut world = World::start().await;
    let error = world.proof().prove("elsewhere.test", ONE).await;
    assert_eq!(error.expect_err("no zone").code(), "dns_zone_unknown");
    world.route53().hosted_zone_id = Some("ZNOWHERE".to_owned());
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_zone_unknown");
    assert!(error.to_string().contains("ZNOWHERE"), "{error}");
}

#[tokio::test]
async fn a_wrong_key_a_wrong_secret_and_a_wrong_clock_are_told_apart() {
    let mut world = World::start_with(&format!("{CANARY}-wrong")).await;
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_key_wrong");
    assert!(
        error.to_string().contains("signature we calculated"),
        "{error}"
    );
    let error = refusal(&world.proof_at("2020-01-01T00:00:00Z")).await;
    assert_eq!(error.code(), "dns_clock_wrong");
    world.route53().access_key_id = "AKIDOTHER".to_owned();
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_key_wrong");
    assert!(
        error.to_string().contains("InvalidClientTokenId"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_that_may_not_is_refused_in_its_own_words() {
    let world = World::start().await;
    let words = "User: arn:aws:iam::1:user/k is not authorized";
    let body = problem("AccessDenied", words);
    world.fake.hosted.answer_next(403, None, &body);
    let error = refusal(&world.proof()).await;
    assert_eq!(error.code(), "dns_provider_refused");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_set_with_a_routing_policy_is_left_alone() {
    let world = World::start().await;
    world.fake.hosted.add(NAME, "v=spf1").await;
    let policy = "<SetIdentifier>a</SetIdentifier><Weight>1</Weight>";
    policy.clone_into(&mut world.fake.policy.lock().expect("policy"));
    let error = refusal(&world.proof()).await;
    assert!(error.to_string().contains("routing policy"), "{error}");
    assert_eq!(world.fake.hosted.values(NAME), ["v=spf1"]);
}

#[tokio::test]
async fn throttling_is_waited_for() {
    let world = World::start().await;
    let body = problem("Throttling", "Rate exceeded");
    let soon = Some(("retry-after", "0"));
    world.fake.hosted.answer_next(400, soon, &body);
    world.proof().prove(DOMAIN, ONE).await.expect("proven");
    let late = Some(("retry-after", "600"));
    world.fake.hosted.answer_next(400, late, &body);
    let record = Record {
        name: NAME.to_owned(),
        value: ONE.to_owned(),
    };
    let error = world.proof().clear(&record).await.expect_err("too late");
    assert_eq!(error.code(), "dns_provider_limited");
}
