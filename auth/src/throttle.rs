//! How often somebody may try to sign in.
//!
//! Three limits at once. One account from one address, and one address (IPv6: one /64, which is
//! what one customer gets) on the whole, by GCRA. And one account from anywhere: after a number of
//! wrong passwords within an hour each further one doubles a pause, from a second to a quarter of
//! an hour, never a lock. A right password clears it. Accounts that do not exist are counted like
//! those that do.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use kalpana_domain::user::EmailAddress;

/// Wrong passwords for one account within [`WINDOW`] that cost nothing but the other limits.
const FREE_FAILURES: u32 = 20;

/// Failures are forgotten this long after the last one.
const WINDOW: Duration = Duration::from_secs(3600);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Most keys that one limit remembers. Beyond it those that have recovered are forgotten; should
/// that not help, new ones are refused.
const KEYS: usize = 100_000;

/// An attempt came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts")]
pub struct TooManyAttempts {
    /// When the next one may come.
    pub retry_after: Duration,
}

/// The sign-in limits of this process.
pub struct Throttle(Limits<DefaultClock>);

impl Throttle {
    /// Makes limits as configured.
    pub fn new(settings: &kalpana_config::Auth) -> Self {
        Self(Limits::new(settings, DefaultClock::default()))
    }

    /// Counts an attempt to sign in as `account`, before the password is looked at. It counts as
    /// failed until [`Throttle::succeeded`] says otherwise, so that attempts in parallel cannot
    /// pass each other.
    ///
    /// # Errors
    /// [`TooManyAttempts`] when it came too early. It then costs nothing.
    pub fn attempt(
        &self,
        account: &EmailAddress,
        address: Option<IpAddr>,
    ) -> Result<(), TooManyAttempts> {
        self.0.attempt(account, address)
    }

    /// Forgets the failures of `account`: its password was right.
    pub fn succeeded(&self, account: &EmailAddress) {
        self.0.accounts().remove(account);
    }

    /// Counts an attempt that is about no account, such as a setup secret.
    ///
    /// # Errors
    /// [`TooManyAttempts`] when it came too early.
    pub fn attempt_from(&self, address: Option<IpAddr>) -> Result<(), TooManyAttempts> {
        self.0.by_address(address)
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Throttle")
    }
}

type Limiter<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Failures<I> {
    count: u32,
    latest: I,
    blocked_for: Duration,
}

struct Limits<C: Clock> {
    clock: C,
    pairs: Limiter<(EmailAddress, IpAddr), C>,
    addresses: Limiter<IpAddr, C>,
    accounts: Mutex<HashMap<EmailAddress, Failures<C::Instant>>>,
}

impl<C: Clock + Clone> Limits<C> {
    fn new(settings: &kalpana_config::Auth, clock: C) -> Self {
        let quota = |per_minute: u32| {
            Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN))
        };
        let pairs = quota(settings.sign_in_per_minute_pair);
        let addresses = quota(settings.sign_in_per_minute_address);
        Self {
            pairs: RateLimiter::dashmap_with_clock(pairs, clock.clone()),
            addresses: RateLimiter::dashmap_with_clock(addresses, clock.clone()),
            accounts: Mutex::default(),
            clock,
        }
    }

    fn attempt(
        &self,
        account: &EmailAddress,
        address: Option<IpAddr>,
    ) -> Result<(), TooManyAttempts> {
        let network = network(address);
        take(&self.pairs, &(account.clone(), network), &self.clock)?;
        take(&self.addresses, &network, &self.clock)?;
        self.by_account(account)
    }

    fn by_address(&self, address: Option<IpAddr>) -> Result<(), TooManyAttempts> {
        take(&self.addresses, &network(address), &self.clock)
    }

    fn accounts(&self) -> std::sync::MutexGuard<'_, HashMap<EmailAddress, Failures<C::Instant>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_account(&self, account: &EmailAddress) -> Result<(), TooManyAttempts> {
        let now = self.clock.now();
        let since = |earlier: C::Instant| Duration::from(now.duration_since(earlier));
        let mut accounts = self.accounts();
        if accounts.len() >= KEYS {
            accounts.retain(|_, failures| since(failures.latest) < WINDOW);
        }
        if accounts.len() >= KEYS && !accounts.contains_key(account) {
            return Err(TooManyAttempts {
                retry_after: LONGEST_PAUSE,
            });
        }
        let failures = accounts
            .entry(account.clone())
            .and_modify(|failures| {
                if since(failures.latest) >= WINDOW {
                    failures.count = 0;
                    failures.blocked_for = Duration::ZERO;
                }
            })
            .or_insert(Failures {
                count: 0,
                latest: now,
                blocked_for: Duration::ZERO,
            });
        let passed = since(failures.latest);
        if passed < failures.blocked_for {
            return Err(TooManyAttempts {
                retry_after: failures.blocked_for - passed,
            });
        }
        failures.count = failures.count.saturating_add(1);
        failures.latest = now;
        failures.blocked_for = pause_after(failures.count);
        Ok(())
    }
}

/// Returns how long an account rests after its nth failure.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(extra) => Duration::from_secs(1 << extra.min(20)).min(LONGEST_PAUSE),
    }
}

fn take<K: std::hash::Hash + Eq + Clone, C: Clock>(
    limiter: &Limiter<K, C>,
    key: &K,
    clock: &C,
) -> Result<(), TooManyAttempts> {
    if limiter.len() >= KEYS {
        limiter.retain_recent();
        if limiter.len() >= KEYS {
            return Err(TooManyAttempts {
                retry_after: Duration::from_secs(60),
            });
        }
    }
    limiter.check_key(key).map_err(|until| {
        let retry_after = until.wait_time_from(clock.now());
        TooManyAttempts {
            retry_after: retry_after.max(Duration::from_secs(1)),
        }
    })
}

/// Returns what stands for one visitor: an IPv4 address, or an IPv6 network of 64 bits. An IPv4
/// address written as IPv6 is the IPv4 address; no address is one visitor.
fn network(address: Option<IpAddr>) -> IpAddr {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        Some(address) => address,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits() -> (FakeRelativeClock, Limits<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (
            clock.clone(),
            Limits::new(&kalpana_config::Auth::default(), clock),
        )
    }

    fn account(number: usize) -> EmailAddress {
        EmailAddress::parse(&format!("user{number}@example.com")).expect("legal")
    }

    fn address(number: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    #[test]
    fn one_account_from_one_address_has_five_attempts_a_minute() {
        let (clock, limits) = limits();
        for _ in 0..5 {
            assert_eq!(limits.attempt(&account(1), address(1)), Ok(()));
        }
        let refused = limits
            .attempt(&account(1), address(1))
            .expect_err("refused");
        assert!(
            refused.retry_after <= Duration::from_secs(12),
            "{refused:?}"
        );
        assert_eq!(limits.attempt(&account(1), address(2)), Ok(()));
        assert_eq!(limits.attempt(&account(2), address(1)), Ok(()));
        clock.advance(refused.retry_after);
        assert_eq!(limits.attempt(&account(1), address(1)), Ok(()));
    }

    #[test]
    fn one_address_has_thirty_attempts_a_minute() {
        let (_clock, limits) = limits();
        for number in 0..30 {
            assert_eq!(limits.attempt(&account(number), address(1)), Ok(()));
        }
        assert!(limits.attempt(&account(30), address(1)).is_err());
        assert!(limits.by_address(address(1)).is_err());
    }

    #[test]
    fn an_ipv6_network_is_one_visitor_whatever_the_spelling() {
        let (_clock, limits) = limits();
        for number in 0..5_u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, number, 2, 3, 4);
            let spelling = if number % 2 == 0 {
                "User1@Example.com"
            } else {
                " user1@example.com"
            };
            let account = EmailAddress::parse(spelling).expect("legal");
            assert_eq!(limits.attempt(&account, Some(address.into())), Ok(()));
        }
        let neighbour = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9);
        assert!(limits.attempt(&account(1), Some(neighbour.into())).is_err());
        let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 9, 9, 9, 9);
        assert_eq!(limits.attempt(&account(1), Some(other.into())), Ok(()));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("legal");
        assert_eq!(network(Some(mapped)), network(address(1)));
    }

    #[test]
    fn an_account_rests_longer_and_longer_and_is_never_locked() {
        let (clock, limits) = limits();
        for number in 0..20 {
            assert_eq!(limits.attempt(&account(1), address(number)), Ok(()));
        }
        let mut pauses = Vec::new();
        for number in 20..33 {
            let refused = limits
                .attempt(&account(1), address(number))
                .expect_err("rests");
            pauses.push(refused.retry_after.as_secs());
            clock.advance(refused.retry_after);
            assert_eq!(limits.attempt(&account(1), address(number + 100)), Ok(()));
        }
        assert_eq!(
            pauses,
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
        );
        clock.advance(WINDOW);
        for number in 200..220 {
            assert_eq!(limits.attempt(&account(1), address(number)), Ok(()));
        }
    }

    #[test]
    fn a_right_password_clears_the_account() {
        let throttle = Throttle::new(&kalpana_config::Auth::default());
        for number in 0..20 {
            assert_eq!(throttle.attempt(&account(1), address(number)), Ok(()));
        }
        assert!(throttle.attempt(&account(1), address(20)).is_err());
        throttle.succeeded(&account(1));
        assert_eq!(throttle.attempt(&account(1), address(21)), Ok(()));
    }

    #[test]
    fn attempts_in_parallel_are_counted_exactly() {
        let (_clock, limits) = limits();
        let allowed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..100)
                .map(|number| {
                    let limits = &limits;
                    scope.spawn(move || limits.attempt(&account(1), address(number)).is_ok())
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| usize::from(thread.join().expect("joined")))
                .sum()
        });
        assert_eq!(allowed, 20);
    }

    #[test]
    fn memory_is_bounded_and_recovers() {
        let (clock, limits) = limits();
        for number in 0..KEYS as u32 {
            assert_eq!(limits.by_address(address(number)), Ok(()));
        }
        assert!(limits.by_address(address(KEYS as u32)).is_err());
        clock.advance(Duration::from_secs(120));
        assert_eq!(limits.by_address(address(KEYS as u32)), Ok(()));
        assert_eq!(limits.addresses.len(), 1);
    }
}
