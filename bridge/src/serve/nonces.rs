//! Which preambles were used already.

use std::collections::{HashSet, VecDeque};

use kalpana_protocol::preamble::CLOCK_SKEW_SECONDS;

/// Most nonces remembered; past it the oldest is forgotten first. Only holders of a key can add
/// any, so that nobody else can push one out.
const LIMIT: usize = 16_384;

/// The nonces of verified preambles that have not expired.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    seen: HashSet<[u8; 16]>,
    order: VecDeque<(u64, [u8; 16])>,
}

impl Nonces {
    /// Remembers a nonce until its preamble expires. Returns false if it was there already.
    pub(super) fn insert(&mut self, nonce: [u8; 16], expires: u64, now: u64) -> bool {
        while let Some(&(oldest_expires, oldest)) = self.order.front()
            && (oldest_expires.saturating_add(CLOCK_SKEW_SECONDS) < now
                || self.order.len() >= LIMIT)
        {
            self.order.pop_front();
            self.seen.remove(&oldest);
        }
        let is_new = self.seen.insert(nonce);
        if is_new {
            self.order.push_back((expires, nonce));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(number: u64) -> [u8; 16] {
        u128::from(number).to_be_bytes()
    }

    #[test]
    fn nonce_is_new_once_and_forgotten_after_its_preamble_expired() {
        let mut nonces = Nonces::default();
        assert!(nonces.insert(nonce(1), 100, 50));
        assert!(!nonces.insert(nonce(1), 100, 100 + CLOCK_SKEW_SECONDS));
        assert!(nonces.insert(nonce(2), 300, 101 + CLOCK_SKEW_SECONDS));
        assert_eq!(nonces.seen.len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut nonces = Nonces::default();
        for number in 0..2 * LIMIT as u64 {
            assert!(nonces.insert(nonce(number), 1000, 0));
        }
        assert_eq!((nonces.seen.len(), nonces.order.len()), (LIMIT, LIMIT));
    }
}
