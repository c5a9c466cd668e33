//! How many certificates of single hosts may still be ordered this week.
//!
//! An authority counts what it issued for a domain in seven days, and refuses all that is beyond:
//! then not even the site's own name could be renewed. So less than that is ordered. Kept on disk,
//! because a restart does not make the authority forget.

use std::collections::VecDeque;

use kalpana_domain::Timestamp;

use crate::error::Error;
use crate::vault::Vault;

/// The time that orders count. Unit: seconds.
const WEEK: i64 = 7 * 86_400;

/// Returns since when orders count at `now`.
pub(crate) fn since(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second() - WEEK).unwrap_or(Timestamp::MIN)
}

/// When certificates were ordered, the oldest first.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    spent: VecDeque<Timestamp>,
}

impl Budget {
    /// Reads what was spent. `limit` is how many orders a week may have.
    pub(crate) fn open(vault: &Vault, limit: u32) -> Self {
        let mut spent: Vec<Timestamp> = vault.read_file(&vault.budget_path()).unwrap_or_default();
        spent.sort();
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            spent: spent.into(),
        }
    }

    /// Returns how many may be ordered at `now`.
    pub(crate) fn left(&mut self, now: Timestamp) -> u32 {
        self.forget(now);
        u32::try_from(self.limit.saturating_sub(self.spent.len())).unwrap_or(u32::MAX)
    }

    /// Counts an order before it is made; when none is left, returns when one will be.
    ///
    /// # Errors
    /// [`Error::Unwritable`] when it could not be written down: it must not be ordered then.
    pub(crate) fn spend(
        &mut self,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<Result<(), Timestamp>, Error> {
        if self.left(now) == 0 {
            let oldest = self.spent.front().copied().unwrap_or(now);
            let free = Timestamp::from_second(oldest.as_second() + WEEK).unwrap_or(now);
            return Ok(Err(free));
        }
        self.spent.push_back(now);
        vault
            .write_file(&vault.budget_path(), &self.spent)
            .inspect_err(|_| {
                let _ = self.spent.pop_back();
            })?;
        Ok(Ok(()))
    }

    /// Returns when the orders were made that count at `now`, by this gateway or another.
    pub(crate) fn spent(&mut self, now: Timestamp) -> Vec<Timestamp> {
        self.forget(now);
        self.spent.iter().copied().collect()
    }

    /// Counts what other gateways ordered, too.
    pub(crate) fn join(&mut self, others: &[Timestamp]) {
        let known = self.spent.clone();
        let new = others.iter().filter(|at| !known.contains(at));
        self.spent.extend(new);
        self.spent.make_contiguous().sort();
    }

    fn forget(&mut self, now: Timestamp) {
        let is_over = |at: &Timestamp| at.as_second() + WEEK <= now.as_second();
        while self.spent.front().is_some_and(is_over) {
            self.spent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    #[test]
    fn what_was_ordered_counts_for_seven_days_and_across_restarts() {
        let directory = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(directory.path()).expect("opened");
        let mut budget = Budget::open(&vault, 2);
        assert_eq!(budget.spend(&vault, at(0)).expect("written"), Ok(()));
        assert_eq!(budget.spend(&vault, at(100)).expect("written"), Ok(()));
        let refused = budget.spend(&vault, at(200)).expect("looked");
        assert_eq!(refused, Err(at(WEEK)));

        let mut again = Budget::open(&vault, 2);
        assert_eq!(again.left(at(200)), 0);
        assert_eq!(again.left(at(WEEK)), 1);
        assert_eq!(again.spend(&vault, at(WEEK)).expect("written"), Ok(()));
        assert_eq!(again.left(at(WEEK)), 0);
    }
}
