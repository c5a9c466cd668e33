//! Several gateways of one site: one orders, all serve, and any of them proves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use kalpana_certs::shelf::{Kept, ShelfError};
use kalpana_certs::{Pace, Shelf, Step};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_protocol::certificates::{Certificate, CertificateState};

use crate::world::{Authority, Opened, PATIENCE, Running};

const SITE: &str = "example.test";

/// Quick, so that nobody waits long for a gateway that is gone.
const PACE: Pace = Pace {
    look: Duration::from_millis(50),
    speak: Duration::from_millis(100),
    silence: Duration::from_secs(2),
};

/// Versions and contents, by name.
type Versioned = BTreeMap<String, (u64, Vec<u8>)>;

/// A shelf in memory, which may be away.
#[derive(Default)]
struct Memory {
    kept: Mutex<Versioned>,
    is_away: AtomicBool,
}

impl Memory {
    fn look(&self) -> Result<MutexGuard<'_, Versioned>, ShelfError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(ShelfError::Away("it is away".to_owned()));
        }
        Ok(self.kept.lock().expect("no holder panics"))
    }

    fn names(&self) -> Vec<String> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.keys().cloned().collect()
    }
}

#[async_trait]
impl Shelf for Memory {
    async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, ShelfError> {
        let kept = self.look()?;
        let found = kept.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(found
            .map(|(name, (version, _))| (name.clone(), *version))
            .collect())
    }

    async fn get(&self, name: &str) -> Result<Option<Kept>, ShelfError> {
        let kept = self.look()?;
        Ok(kept.get(name).map(|(version, contents)| Kept {
            version: *version,
            contents: contents.clone(),
        }))
    }

    async fn put(&self, name: &str, version: u64, contents: &[u8]) -> Result<u64, ShelfError> {
        let mut kept = self.look()?;
        if kept.get(name).map_or(0, |(known, _)| *known) != version {
            return Err(ShelfError::Changed);
        }
        kept.insert(name.to_owned(), (version + 1, contents.to_vec()));
        Ok(version + 1)
    }

    async fn remove(&self, name: &str, version: u64) -> Result<(), ShelfError> {
        let mut kept = self.look()?;
        match kept.get(name) {
            Some((known, _)) if *known == version => {
                kept.remove(name);
                Ok(())
            }
            _ => Err(ShelfError::Changed),
        }
    }
}

fn is_there(certificate: &Certificate) -> bool {
    certificate.state == CertificateState::Good
}

fn serial(certificate: Certificate) -> String {
    certificate.served.expect("served").serial
}

/// Waits until a certificate that is made now begins later than the one that is served: which of
/// two is newer is told by the second.
async fn after_the_second_of(gateway: &Running) {
    let served = gateway.find(SITE).and_then(|found| found.served);
    let begins = served.expect("served").not_before.as_second();
    let passed = async {
        while SystemClock.now().as_second() <= begins {
            tokio::task::yield_now().await;
        }
    };
    let passed = tokio::time::timeout(PATIENCE, passed).await;
    passed.expect("a second passes");
}

/// A directory of a gateway's own, and what is there, shared over `shelf`.
fn open(authority: &Authority, shelf: &Arc<Memory>, more: &str) -> (tempfile::TempDir, Opened) {
    let directory = tempfile::tempdir().expect("a directory");
    let opened = Opened::open(directory.path(), &authority.settings(more));
    let shelf: Arc<dyn Shelf> = Arc::clone(shelf) as _;
    (directory, opened.shared_over(shelf, PACE))
}

#[tokio::test]
async fn any_gateway_proves_what_another_orders_and_serves_it() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let authority = Authority::start(|_| {}).await;
        let shelf = Arc::<Memory>::default();
        let more = format!("challenge = \"{challenge}\"\n");
        let (_one, orders) = open(&authority, &shelf, &more);
        let (_other, answers) = open(&authority, &shelf, &more);
        // The authority only ever meets the one that does not order.
        let answers = answers.answer((authority.http, authority.tls)).await;
        let orders = orders.order();
        let ordered = serial(orders.until(SITE, is_there).await);
        assert_eq!(authority.pebble.issued(), 1, "{challenge}");
        let answers = answers.order();
        let served = serial(answers.until(SITE, is_there).await);
        assert_eq!(ordered, served, "{challenge}");
        assert_eq!(authority.pebble.issued(), 1, "{challenge}");
        // Nothing is left of the order but what is shared.
        let names = shelf.names();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].starts_with("account/"), "{names:?}");
        assert_eq!(names[1], "certificates/example.test/copy");
    }
}

#[tokio::test]
async fn gateways_that_start_together_order_one_certificate() {
    let authority = Authority::start(|_| {}).await;
    let shelf = Arc::<Memory>::default();
    let more = "challenge = \"http-01\"\n";
    let (_first, one) = open(&authority, &shelf, more);
    let (_second, other) = open(&authority, &shelf, more);
    let (_third, third) = open(&authority, &shelf, more);
    let third = third.answer((authority.http, authority.tls)).await;
    let running = [one.order(), other.order(), third.order()];
    let mut serials = Vec::new();
    for gateway in &running {
        serials.push(serial(gateway.until(SITE, is_there).await));
    }
    serials.dedup();
    assert_eq!(serials.len(), 1, "{serials:?}");
    assert_eq!(authority.pebble.issued(), 1);

    // A renewal that one was asked for is served by all.
    after_the_second_of(&running[0]).await;
    let renewed = running[0].certs.renew(SITE).await.expect("renewed");
    let renewed = serial(renewed);
    assert_ne!(renewed, serials[0]);
    for gateway in &running {
        let is_new = |certificate: &Certificate| {
            let shown = certificate.served.as_ref();
            shown.is_some_and(|shown| shown.serial == renewed)
        };
        gateway.until(SITE, is_new).await;
    }
    assert_eq!(authority.pebble.issued(), 2);
}

#[tokio::test]
async fn a_gateway_that_ends_in_mid_order_is_followed_by_another() {
    let authority = Authority::start(|_| {}).await;
    let shelf = Arc::<Memory>::default();
    let more = "challenge = \"http-01\"\n";
    let (_first, one) = open(&authority, &shelf, more);
    let (_second, other) = open(&authority, &shelf, more);
    // Nobody answers the authority yet, so the first stays where it waits for it.
    let (reached, mut is_reached) = tokio::sync::watch::channel(false);
    let one = one.observed_by(Arc::new(move |_: &str, step| {
        if step == Step::Validating {
            reached.send_replace(true);
        }
    }));
    let one = one.order();
    is_reached
        .wait_for(|reached| *reached)
        .await
        .expect("it orders");
    one.abort().await;
    let names = shelf.names();
    assert!(
        names.contains(&"certificates/example.test/turn".to_owned()),
        "{names:?}"
    );

    let other = other.answer((authority.http, authority.tls)).await.order();
    other.until(SITE, is_there).await;
    assert_eq!(authority.pebble.issued(), 1);
}

#[tokio::test]
async fn what_one_could_not_have_the_others_do_not_ask_for_too() {
    let authority = Authority::start(|_| {}).await;
    let shelf = Arc::<Memory>::default();
    let (_first, one) = open(&authority, &shelf, "challenge = \"http-01\"\n");
    let (_second, other) = open(&authority, &shelf, "challenge = \"http-01\"\n");
    // Nobody answers the authority.
    let (one, other) = (one.order(), other.order());
    let failed = |found: &Certificate| found.problem.is_some();
    let here = one.until(SITE, failed).await.problem.expect("failed");
    let there = other.until(SITE, failed).await.problem.expect("told");
    assert_eq!(here, there, "one attempt, which both know of");
    assert_eq!(here.failures, 1);
}

#[tokio::test]
async fn who_was_away_while_others_renewed_does_not_give_them_the_old_one_back() {
    let authority = Authority::start(|_| {}).await;
    let shelf = Arc::<Memory>::default();
    let more = "challenge = \"http-01\"\n";
    let (first, one) = open(&authority, &shelf, more);
    let (_second, other) = open(&authority, &shelf, more);
    let one = one.order();
    let other = other.answer((authority.http, authority.tls)).await.order();
    let old = serial(one.until(SITE, is_there).await);
    other.until(SITE, is_there).await;
    one.abort().await;
    after_the_second_of(&other).await;
    let new = serial(other.certs.renew(SITE).await.expect("renewed"));
    assert_ne!(old, new);

    let settings = authority.settings(more);
    let again = Opened::open(first.path(), &settings);
    let again = again.shared_over(Arc::clone(&shelf) as _, PACE).order();
    let is_new = |found: &Certificate| {
        let shown = found.served.as_ref();
        shown.is_some_and(|shown| shown.serial == new)
    };
    again.until(SITE, is_new).await;
    other.until(SITE, is_new).await;
    assert_eq!(authority.pebble.issued(), 2);
}

#[tokio::test]
async fn without_what_is_shared_nothing_is_ordered_and_people_are_told() {
    let authority = Authority::start(|_| {}).await;
    let shelf = Arc::<Memory>::default();
    shelf.is_away.store(true, Ordering::Relaxed);
    let (_directory, opened) = open(&authority, &shelf, "challenge = \"http-01\"\n");
    let running = opened.answer((authority.http, authority.tls)).await.order();
    let certificate = running.until(SITE, |found| found.problem.is_some()).await;
    let problem = certificate.problem.expect("a problem");
    assert_eq!(problem.code, "certs_shared");
    assert!(problem.next_step.contains("session.key"), "{problem:?}");
    assert_eq!(authority.pebble.issued(), 0);

    // Nobody has to wait for the next attempt.
    shelf.is_away.store(false, Ordering::Relaxed);
    running.until(SITE, is_there).await;
    let untold = running.certs.journal().untold();
    assert_eq!(
        untold.len(),
        1,
        "nothing was asked of an authority before: {untold:?}"
    );
}
