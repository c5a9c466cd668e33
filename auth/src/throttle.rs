//! How often somebody may try to sign in.
//!
//! Three limits at once. One account from one address, and one address (IPv6: one /64, which is
//! what one customer gets) on the whole, by GCRA. And one account from anywhere: after a number of
//! wrong passwords within an hour each further one doubles a pause, from a second to a quarter of
//! an hour, never a lock. A right password clears it. Accounts that do not exist are counted like
//! those that do.
//!
//! An attempt is paid for before the password is looked at, so that attempts in parallel cannot
//! pass each other; a right password is paid back, and so is one that could not be looked at. The
//! address is paid nothing back: its limit is also one of work.

mod refund;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::Quota;
use governor::clock::{Clock, DefaultClock, Reference};
use kalpana_domain::network::visitor;
use kalpana_domain::user::EmailAddress;
use refund::Limiter;

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

/// An attempt that was let through. It stays counted as a failed one, also when it is dropped,
/// unless it is handed to [`Throttle::succeeded`] or [`Throttle::withdraw`].
#[derive(Debug)]
#[must_use]
pub struct Attempt(Counted<<DefaultClock as Clock>::Instant>);

impl Throttle {
    /// Makes limits as configured.
    pub fn new(settings: &kalpana_config::Auth) -> Self {
        Self(Limits::new(settings, DefaultClock::default()))
    }

    /// Counts an attempt to sign in as `account`, before the password is looked at.
    ///
    /// # Errors
    /// [`TooManyAttempts`] when it came too early. The account is then charged nothing.
    pub fn attempt(
        &self,
        account: &EmailAddress,
        address: Option<IpAddr>,
    ) -> Result<Attempt, TooManyAttempts> {
        self.0.attempt(account, address).map(Attempt)
    }

    /// Ends an attempt whose password was right: the account from this address is charged nothing
    /// for it, and the account's failures are forgotten.
    pub fn succeeded(&self, attempt: &Attempt) {
        self.0.succeeded(&attempt.0);
    }

    /// Ends an attempt whose password nobody looked at: the account is charged nothing for it.
    pub fn withdraw(&self, attempt: &Attempt) {
        self.0.withdraw(&attempt.0);
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

/// What an attempt was charged to, and when.
#[derive(Debug)]
struct Counted<I> {
    account: EmailAddress,
    network: IpAddr,
    at: I,
}

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
            pairs: Limiter::new(pairs, clock.clone()),
            addresses: Limiter::new(addresses, clock.clone()),
            accounts: Mutex::default(),
            clock,
        }
    }

    fn attempt(
        &self,
        account: &EmailAddress,
        address: Option<IpAddr>,
    ) -> Result<Counted<C::Instant>, TooManyAttempts> {
        let counted = Counted {
            account: account.clone(),
            network: network(address),
            at: self.clock.now(),
        };
        let pair = (account.clone(), counted.network);
        self.pairs.take(&pair)?;
        self.addresses
            .take(&counted.network)
            .and_then(|()| self.by_account(account))
            .inspect_err(|_| self.pairs.give_back(&pair, counted.at))?;
        Ok(counted)
    }

    fn succeeded(&self, counted: &Counted<C::Instant>) {
        self.accounts().remove(&counted.account);
        let pair = (counted.account.clone(), counted.network);
        self.pairs.give_back(&pair, counted.at);
    }

    fn withdraw(&self, counted: &Counted<C::Instant>) {
        self.forgive(&counted.account);
        let pair = (counted.account.clone(), counted.network);
        self.pairs.give_back(&pair, counted.at);
    }

    fn by_address(&self, address: Option<IpAddr>) -> Result<(), TooManyAttempts> {
        self.addresses.take(&network(address))
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

    /// Takes one failure back. A pause goes on from the latest attempt.
    fn forgive(&self, account: &EmailAddress) {
        let mut accounts = self.accounts();
        let Some(failures) = accounts.get_mut(account) else {
            return;
        };
        failures.count = failures.count.saturating_sub(1);
        failures.blocked_for = pause_after(failures.count);
        if failures.count == 0 {
            accounts.remove(account);
        }
    }
}

/// Returns how long an account rests after its nth failure.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(extra) => Duration::from_secs(1 << extra.min(20)).min(LONGEST_PAUSE),
    }
}

/// Returns who an attempt comes from; no address is one visitor.
fn network(address: Option<IpAddr>) -> IpAddr {
    address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), visitor)
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

    /// Attempts that end with a wrong password, or with nothing at all.
    fn fail(
        limits: &Limits<FakeRelativeClock>,
        account: &EmailAddress,
        address: Option<IpAddr>,
    ) -> Result<(), TooManyAttempts> {
        limits.attempt(account, address).map(drop)
    }

    #[test]
    fn one_account_from_one_address_has_five_attempts_a_minute() {
        let (clock, limits) = limits();
        for _ in 0..5 {
            assert_eq!(fail(&limits, &account(1), address(1)), Ok(()));
        }
        let refused = limits
            .attempt(&account(1), address(1))
            .expect_err("refused");
        assert!(
            refused.retry_after <= Duration::from_secs(12),
            "{refused:?}"
        );
        assert_eq!(fail(&limits, &account(1), address(2)), Ok(()));
        assert_eq!(fail(&limits, &account(2), address(1)), Ok(()));
        clock.advance(refused.retry_after);
        assert_eq!(fail(&limits, &account(1), address(1)), Ok(()));
    }

    #[test]
    fn one_address_has_thirty_attempts_a_minute() {
        let (_clock, limits) = limits();
        for number in 0..30 {
            assert_eq!(fail(&limits, &account(number), address(1)), Ok(()));
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
            assert_eq!(fail(&limits, &account, Some(address.into())), Ok(()));
        }
        let neighbour = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9);
        assert!(limits.attempt(&account(1), Some(neighbour.into())).is_err());
        let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 9, 9, 9, 9);
        assert_eq!(fail(&limits, &account(1), Some(other.into())), Ok(()));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("legal");
        assert_eq!(network(Some(mapped)), network(address(1)));
    }

    #[test]
    fn an_account_rests_longer_and_longer_and_is_never_locked() {
        let (clock, limits) = limits();
        for number in 0..20 {
            assert_eq!(fail(&limits, &account(1), address(number)), Ok(()));
        }
        let mut pauses = Vec::new();
        for number in 20..33 {
            let refused = limits
                .attempt(&account(1), address(number))
                .expect_err("rests");
            pauses.push(refused.retry_after.as_secs());
            clock.advance(refused.retry_after);
            assert_eq!(fail(&limits, &account(1), address(number + 100)), Ok(()));
        }
        assert_eq!(
            pauses,
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
        );
        clock.advance(WINDOW);
        for number in 200..220 {
            assert_eq!(fail(&limits, &account(1), address(number)), Ok(()));
        }
    }

    #[test]
    fn a_right_password_clears_the_account() {
        let throttle = Throttle::new(&kalpana_config::Auth::default());
        let right = throttle.attempt(&account(1), address(0)).expect("early");
        for number in 1..20 {
            drop(
                throttle
                    .attempt(&account(1), address(number))
                    .expect("early"),
            );
        }
        assert!(throttle.attempt(&account(1), address(20)).is_err());
        // Let through before the account had to rest.
        throttle.succeeded(&right);
        assert!(throttle.attempt(&account(1), address(21)).is_ok());
    }

    #[test]
    fn right_passwords_cost_the_account_nothing() {
        let (clock, limits) = limits();
        for round in 0..100 {
            let attempt = limits.attempt(&account(1), address(1)).expect("free");
            limits.succeeded(&attempt);
            // What one address pays for the work is paid all the same.
            clock.advance(Duration::from_secs(2));
            assert_eq!(limits.accounts().len(), 0, "{round}");
        }
    }

    #[test]
    fn a_right_password_gives_back_its_own_attempt_and_no_other() {
        let (_clock, limits) = limits();
        for _ in 0..4 {
            assert_eq!(fail(&limits, &account(1), address(1)), Ok(()));
        }
        for _ in 0..3 {
            let attempt = limits.attempt(&account(1), address(1)).expect("the fifth");
            limits.succeeded(&attempt);
        }
        assert_eq!(fail(&limits, &account(1), address(1)), Ok(()));
        assert!(fail(&limits, &account(1), address(1)).is_err());
    }

    #[test]
    fn a_slow_right_password_does_not_buy_further_guesses() {
        let (clock, limits) = limits();
        let slow: Vec<_> = (0..5)
            .map(|_| limits.attempt(&account(1), address(1)).expect("in time"))
            .collect();
        // All of it has come back by itself when the answers do.
        clock.advance(Duration::from_secs(60));
        for _ in 0..5 {
            assert_eq!(fail(&limits, &account(1), address(1)), Ok(()));
        }
        for attempt in &slow {
            limits.succeeded(attempt);
        }
        assert!(fail(&limits, &account(1), address(1)).is_err());
    }

    #[test]
    fn what_nobody_looked_at_costs_the_account_nothing() {
        let (_clock, limits) = limits();
        for number in 0..60 {
            let attempt = limits.attempt(&account(1), address(number % 3));
            limits.withdraw(&attempt.expect("free"));
        }
        assert_eq!(limits.accounts().len(), 0);
        for _ in 0..5 {
            assert_eq!(fail(&limits, &account(1), address(1)), Ok(()));
        }
        assert!(fail(&limits, &account(1), address(1)).is_err());
    }

    #[test]
    fn a_withdrawn_attempt_leaves_earlier_failures_as_they_are() {
        let (_clock, limits) = limits();
        for number in 0..19 {
            assert_eq!(fail(&limits, &account(1), address(number)), Ok(()));
        }
        let attempt = limits.attempt(&account(1), address(19)).expect("the last");
        assert!(fail(&limits, &account(1), address(20)).is_err(), "rests");
        limits.withdraw(&attempt);
        assert_eq!(fail(&limits, &account(1), address(20)), Ok(()));
        assert!(fail(&limits, &account(1), address(21)).is_err(), "rests");
    }

    #[test]
    fn guesses_in_parallel_with_right_passwords_stay_within_the_limit() {
        let (_clock, limits) = limits();
        let guesses: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..100)
                .map(|number| {
                    let limits = &limits;
                    scope.spawn(move || {
                        let Ok(attempt) = limits.attempt(&account(1), address(1)) else {
                            return 0;
                        };
                        let is_right = number % 10 == 0;
                        if is_right {
                            limits.succeeded(&attempt);
                        }
                        usize::from(!is_right)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("joined"))
                .sum()
        });
        assert!(guesses <= 5, "{guesses}");
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
