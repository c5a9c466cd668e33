//! TLS session tickets whose keys can be handed to the process that takes over, so that browsers
//! resume across a restart. Keys live in memory only and for hours: a ticket is as secret as the
//! session it resumes.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

/// How long a key makes new tickets.
const ROTATION: Duration = Duration::from_secs(6 * 3600);

/// How long a ticket may be used. A key opens tickets for as long after its rotation.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Bytes that name a key, in front of each ticket.
const NAME_LENGTH: usize = 8;

/// A key as it is handed over.
#[derive(Clone, Serialize, Deserialize)]
pub struct TicketKey {
    name: [u8; NAME_LENGTH],
    secret: [u8; 32],
    /// Unit: seconds since the epoch.
    made_at: i64,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TicketKey(…)")
    }
}

impl TicketKey {
    fn generate(now: Timestamp) -> Self {
        Self {
            name: rand::random(),
            secret: rand::random(),
            made_at: now.as_second(),
        }
    }

    fn is_older(&self, age: Duration, now: Timestamp) -> bool {
        let seconds = now.as_second().saturating_sub(self.made_at);
        u64::try_from(seconds).is_ok_and(|seconds| seconds >= age.as_secs())
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.secret).ok()
    }
}

/// Makes and opens tickets.
pub struct Ticketer {
    /// The newest first; never empty.
    keys: RwLock<Vec<TicketKey>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl Ticketer {
    /// Goes on with the keys of the process before, or begins with a fresh one.
    pub fn new(keys: Vec<TicketKey>, clock: Arc<dyn Clock>) -> Self {
        let ticketer = Self {
            keys: RwLock::new(keys),
            clock,
        };
        ticketer.rotate();
        ticketer
    }

    /// Returns the keys, for the process that takes over.
    pub fn keys(&self) -> Vec<TicketKey> {
        self.keys.read().expect("no holder panics").clone()
    }

    /// Makes a new key when the newest is old, and forgets those whose tickets are all over.
    fn rotate(&self) {
        let now = self.clock.now();
        let is_due = |keys: &[TicketKey]| {
            keys.first()
                .is_none_or(|newest| newest.is_older(ROTATION, now))
        };
        if !is_due(&self.keys.read().expect("no holder panics")) {
            return;
        }
        let mut keys = self.keys.write().expect("no holder panics");
        if is_due(&keys) {
            keys.retain(|key| !key.is_older(ROTATION + LIFETIME, now));
            keys.insert(0, TicketKey::generate(now));
        }
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.rotate();
        let keys = self.keys.read().expect("no holder panics");
        let newest = keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = newest
            .aead()?
            .seal_in_place_append_tag(Aad::from(newest.name), &mut sealed)
            .ok()?;
        let mut ticket = Vec::with_capacity(NAME_LENGTH + NONCE_LEN + sealed.len());
        ticket.extend_from_slice(&newest.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LENGTH>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let now = self.clock.now();
        let keys = self.keys.read().expect("no holder panics");
        let key = keys
            .iter()
            .find(|key| key.name == *name && !key.is_older(ROTATION + LIFETIME, now))?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key
            .aead()?
            .open_in_place(nonce, Aad::from(*name), &mut sealed)
            .ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::clock::ManualClock;
    use proptest::prelude::*;

    use super::*;

    fn ticketer() -> (Ticketer, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(
            Timestamp::from_second(1_800_000_000).unwrap(),
        ));
        (Ticketer::new(Vec::new(), Arc::clone(&clock) as _), clock)
    }

    #[test]
    fn a_ticket_is_opened_by_its_maker_and_by_who_took_over() {
        let (old, clock) = ticketer();
        let ticket = old.encrypt(b"session").unwrap();
        assert_eq!(old.decrypt(&ticket).unwrap(), b"session");
        let new = Ticketer::new(old.keys(), Arc::clone(&clock) as _);
        assert_eq!(new.decrypt(&ticket).unwrap(), b"session");
        assert_eq!(ticketer().0.decrypt(&ticket), None, "a stranger");
    }

    #[test]
    fn keys_rotate_and_old_tickets_end() {
        let (ticketer, clock) = ticketer();
        let ticket = ticketer.encrypt(b"session").unwrap();
        clock.advance(ROTATION.try_into().unwrap());
        assert_ne!(ticketer.encrypt(b"session").unwrap()[..8], ticket[..8]);
        assert_eq!(ticketer.decrypt(&ticket).unwrap(), b"session");
        clock.advance(LIFETIME.try_into().unwrap());
        assert_eq!(ticketer.decrypt(&ticket), None);
        ticketer.encrypt(b"session").unwrap();
        assert_eq!(ticketer.keys().len(), 2, "the first is forgotten");
    }

    proptest! {
        #[test]
        fn what_was_changed_is_no_ticket(position in 0_usize..64, bit in 0_u8..8, length in 0_usize..64) {
            let (ticketer, _) = ticketer();
            let ticket = ticketer.encrypt(b"a session of some bytes").unwrap();
            let mut changed = ticket.clone();
            changed[position % ticket.len()] ^= 1 << bit;
            prop_assert_eq!(ticketer.decrypt(&changed), None);
            prop_assert_eq!(ticketer.decrypt(&ticket[..length.min(ticket.len() - 1)]), None);
        }
    }
}
