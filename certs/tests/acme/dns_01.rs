//! A wildcard, proven by records on a real BIND that the authority asks itself.

use std::os::unix::process::ExitStatusExt;

use kalpana_certs::Step;
use kalpana_protocol::certificates::{Certificate, CertificateState};
use kalpana_test_acme::{Bind, Pebble, PebbleOptions};
use tokio::process::Command;

use crate::world::{Authority, PATIENCE, run};

const SITE: &str = "example.test";
const RECORD: &str = "_acme-challenge.example.test";

/// A site whose zone BIND has.
struct World {
    bind: Bind,
    authority: Authority,
}

impl World {
    async fn start() -> Self {
        let bind = Bind::start().await.expect("BIND");
        let mut authority = Authority::start(|_| {}).await;
        let options = PebbleOptions::default();
        let pebble = Pebble::start_asking(bind.server(), options).await;
        authority.pebble = pebble.expect("an authority");
        Self { bind, authority }
    }

    fn settings(&self) -> String {
        let dns = format!(
            "[certs.acme.dns]\nresolvers = [\"{server}\"]\n\
             [certs.acme.dns.rfc2136]\nserver = \"{server}\"\nkey_name = \"{name}\"\n\
             key_file = \"{file}\"\n",
            server = self.bind.server(),
            name = Bind::KEY_NAME,
            file = self.bind.key_file().display(),
        );
        self.authority.settings(&dns)
    }

    /// Waits until no record is left.
    async fn cleared(&self) {
        let look = async {
            while !self.bind.txt(RECORD).await.expect("asked").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, look).await;
        outcome.expect("no record is left behind");
    }
}

fn is_good(certificate: &Certificate) -> bool {
    certificate.state == CertificateState::Good
}

#[tokio::test]
async fn a_domain_and_its_wildcard_are_proven_at_one_name_which_is_empty_afterwards() {
    let world = World::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let ports = (world.authority.http, world.authority.tls);
    let running = run(directory.path(), ports, &world.settings(), None).await;
    let issued = running.until(SITE, is_good).await;
    let mut names = issued.names.clone();
    names.sort();
    assert_eq!(names, ["*.example.test", SITE]);
    world.cleared().await;
    let added = world.bind.log().matches("adding an RR at").count();
    assert_eq!(added, 2, "{}", world.bind.log());
}

#[tokio::test]
async fn an_alias_leads_the_authority_to_the_record() {
    let world = World::start().await;
    let alias = format!("{RECORD}. 1 CNAME proof.example.test.");
    world.bind.add(&alias).await.expect("an alias");
    let directory = tempfile::tempdir().expect("a directory");
    let ports = (world.authority.http, world.authority.tls);
    let running = run(directory.path(), ports, &world.settings(), None).await;
    running.until(SITE, is_good).await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_is_told_and_one_that_is_given_back_is_used() {
    let world = World::start().await;
    let key = std::fs::read(world.bind.key_file()).expect("the key");
    let other = std::fs::read(world.bind.stranger_key_file()).expect("another");
    std::fs::write(world.bind.key_file(), other).expect("written");
    let directory = tempfile::tempdir().expect("a directory");
    let ports = (world.authority.http, world.authority.tls);
    let running = run(directory.path(), ports, &world.settings(), None).await;
    let failed = running.until(SITE, |found| found.problem.is_some()).await;
    let error = failed.problem.expect("an error");
    assert_eq!(error.code, "dns_key_wrong");
    assert!(error.message.contains(RECORD), "{}", error.message);
    std::fs::write(world.bind.key_file(), key).expect("written");
    running.advance(1);
    running.until(SITE, is_good).await;
}

#[tokio::test]
async fn killed_at_any_step_no_record_is_left_behind() {
    let world = World::start().await;
    let settings = world.settings();
    for step in Step::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "crash::the_one_that_is_killed"])
            .env("KALPANA_TEST_KILLED_AT", format!("{step:?}"))
            .env("KALPANA_TEST_DIRECTORY", directory.path())
            .env("KALPANA_TEST_HTTP", world.authority.http.to_string())
            .env("KALPANA_TEST_TLS", world.authority.tls.to_string())
            .env("KALPANA_TEST_SETTINGS", &settings)
            .output()
            .await
            .expect("ran");
        assert_eq!(output.status.signal(), Some(9), "{step:?}: {output:?}");
        let ports = (world.authority.http, world.authority.tls);
        let running = run(directory.path(), ports, &settings, None).await;
        running.until(SITE, is_good).await;
        world.cleared().await;
        drop(running);
        eprintln!("killed at {step:?}: nothing is left");
    }
}
