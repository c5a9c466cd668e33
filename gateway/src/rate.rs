//! How often a visitor may ask, by address and by who they are, and how often a workspace may be
//! asked: token buckets (GCRA).
//!
//! The limits are far above what people do; they keep one visitor, or one workspace that everybody
//! looks at, from taking the gateway from all others. A bucket holds ten seconds of its rate, so
//! that an editor that loads hundreds of files at once is not slowed down.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::network::visitor;
use kalpana_domain::sharing::Right;

/// Seconds of its rate that a bucket holds.
pub const WINDOW_SECONDS: u32 = 10;

/// How often buckets that are full again are forgotten.
pub const SWEEP: Duration = Duration::from_secs(30);

/// Somebody asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// What is limited: `address`, `user` or `workspace`.
    pub what: &'static str,
    /// How many requests its bucket holds.
    pub burst: u32,
    /// When the next one is let in. Unit: whole seconds, at least one.
    pub wait_seconds: u64,
}

/// The rates of this process.
#[derive(Debug)]
pub struct Rates {
    addresses: Buckets<IpAddr>,
    users: Buckets<[u8; 16]>,
    workspaces: Buckets<u128>,
}

impl Rates {
    /// Allows so many requests per second to each address, to each user and to each workspace; zero
    /// is no limit.
    pub fn new(per_address: u32, per_user: u32, per_workspace: u32) -> Self {
        Self {
            addresses: Buckets::new("address", per_address),
            users: Buckets::new("user", per_user),
            workspaces: Buckets::new("workspace", per_workspace),
        }
    }

    /// Counts a request of a client. One whose address is not known is not limited.
    ///
    /// # Errors
    /// [`TooMany`] when it came too early; it then costs nothing.
    pub fn client(&self, client: Option<IpAddr>) -> Result<(), TooMany> {
        match client {
            Some(client) => self.addresses.take(&visitor(client)),
            None => Ok(()),
        }
    }

    /// Counts a request of whoever has a right, whichever of their addresses it comes from and
    /// whichever workspace it is for. A link is nobody in particular, so everybody who has it
    /// counts by address only, as does whoever needs no right.
    ///
    /// # Errors
    /// As [`Rates::client`].
    pub fn user(&self, right: Option<Right>) -> Result<(), TooMany> {
        match right {
            Some(Right::Owner(user) | Right::Member(user) | Right::Organization(user)) => {
                self.users.take(user.as_bytes())
            }
            Some(Right::Link(_)) | None => Ok(()),
        }
    }

    /// Counts a request to a workspace.
    ///
    /// # Errors
    /// As [`Rates::client`].
    pub fn workspace(&self, workspace: WorkspaceId) -> Result<(), TooMany> {
        self.workspaces.take(&workspace.to_u128())
    }

    /// Forgets buckets that are full again.
    pub fn sweep(&self) {
        self.addresses.sweep();
        self.users.sweep();
        self.workspaces.sweep();
    }
}

#[derive(Debug)]
struct Buckets<K: Hash + Eq + Clone> {
    what: &'static str,
    burst: u32,
    limiter: Option<DefaultKeyedRateLimiter<K>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(what: &'static str, per_second: u32) -> Self {
        let burst = per_second.saturating_mul(WINDOW_SECONDS);
        let quota = NonZeroU32::new(per_second)
            .zip(NonZeroU32::new(burst))
            .map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst));
        Self {
            what,
            burst,
            limiter: quota.map(RateLimiter::keyed),
        }
    }

    fn take(&self, key: &K) -> Result<(), TooMany> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            TooMany {
                what: self.what,
                burst: self.burst,
                wait_seconds: wait.as_secs() + 1,
            }
        })
    }

    fn sweep(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::id::UserId;

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_bucket_holds_ten_seconds_of_its_rate_for_each_address() {
        let rates = Rates::new(1, 0, 0);
        for _ in 0..10 {
            assert_eq!(rates.client(address(1)), Ok(()));
        }
        let refused = rates.client(address(1)).unwrap_err();
        assert_eq!((refused.what, refused.burst), ("address", 10));
        assert!((1..=2).contains(&refused.wait_seconds), "{refused:?}");
        assert_eq!(rates.client(address(2)), Ok(()));
        assert_eq!(rates.client(None), Ok(()));
    }

    #[test]
    fn a_user_is_limited_wherever_they_come_from_and_a_link_is_no_user() {
        let rates = Rates::new(0, 1, 0);
        let (ada, bob) = (UserId::generate(), UserId::generate());
        for right in [Right::Owner(ada), Right::Member(ada)]
            .iter()
            .cycle()
            .take(10)
        {
            assert_eq!(rates.user(Some(*right)), Ok(()));
        }
        let refused = rates.user(Some(Right::Organization(ada))).unwrap_err();
        assert_eq!((refused.what, refused.burst), ("user", 10));
        assert_eq!(rates.user(Some(Right::Owner(bob))), Ok(()));
        for _ in 0..20 {
            assert_eq!(rates.user(None), Ok(()));
        }
        rates.sweep();
    }

    #[test]
    fn a_workspace_is_limited_whoever_asks() {
        let rates = Rates::new(0, 0, 1);
        let workspace = WorkspaceId::from_random([7; 16]);
        for _ in 0..10 {
            assert_eq!(rates.workspace(workspace), Ok(()));
        }
        assert_eq!(rates.workspace(workspace).unwrap_err().what, "workspace");
        assert_eq!(rates.client(address(1)), Ok(()), "no limit is no limit");
        rates.sweep();
    }
}
