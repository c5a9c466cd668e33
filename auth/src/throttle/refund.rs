//! A rate limit by key (GCRA) that can be paid back.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::{KEYS, TooManyAttempts};

/// How often something may happen for each key.
pub(super) struct Limiter<K: Hash + Eq + Clone, C: Clock> {
    limiter: RateLimiter<K, Cells<K>, C, NoOpMiddleware<C::Instant>>,
    cells: Cells<K>,
    /// What one attempt costs: the time until one more is allowed.
    cost: Duration,
    clock: C,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    pub(super) fn new(quota: Quota, clock: C) -> Self {
        let cells = Cells(Arc::default());
        Self {
            limiter: RateLimiter::new(quota, cells.clone(), clock.clone()),
            cells,
            cost: quota.replenish_interval(),
            clock,
        }
    }

    /// Charges `key` for one attempt.
    ///
    /// # Errors
    /// [`TooManyAttempts`] when it came too early. It then costs nothing.
    pub(super) fn take(&self, key: &K) -> Result<(), TooManyAttempts> {
        if self.limiter.len() >= KEYS {
            self.limiter.retain_recent();
            if self.limiter.len() >= KEYS {
                return Err(TooManyAttempts {
                    retry_after: Duration::from_secs(60),
                });
            }
        }
        self.limiter.check_key(key).map_err(|until| {
            let retry_after = until.wait_time_from(self.clock.now());
            TooManyAttempts {
                retry_after: retry_after.max(Duration::from_secs(1)),
            }
        })
    }

    /// Pays `key` back what it was charged at `at`, less what has come back by itself since: never
    /// more than the attempt still costs, however long it took.
    pub(super) fn give_back(&self, key: &K, at: C::Instant) {
        let passed = Duration::from(self.clock.now().duration_since(at));
        let credit = Nanos::from(self.cost.saturating_sub(passed));
        self.cells.credit(key, credit);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.limiter.len()
    }
}

/// When each key has paid off everything, as GCRA keeps it; shared with the limiter, which offers
/// no way to lower it.
struct Cells<K: Hash + Eq + Clone>(Arc<DashMapStateStore<K>>);

impl<K: Hash + Eq + Clone> Cells<K> {
    fn credit(&self, key: &K, credit: Nanos) {
        // Not through the map's own `measure_and_replace`, which would make a key that is gone.
        let Some(cell) = self.0.get(key) else { return };
        // One without a time was charged nothing.
        let _: Result<(), ()> = cell.measure_and_replace(&NotKeyed::NonKey, |paid_off| {
            let lowered = paid_off.ok_or(())?.saturating_sub(credit);
            Ok(((), lowered))
        });
    }
}

impl<K: Hash + Eq + Clone> Clone for Cells<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Hash + Eq + Clone> StateStore for Cells<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, measure)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Cells<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&*self.0, drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.0);
    }

    fn len(&self) -> usize {
        ShrinkableKeyedStateStore::len(&*self.0)
    }

    fn is_empty(&self) -> bool {
        ShrinkableKeyedStateStore::is_empty(&*self.0)
    }
}
