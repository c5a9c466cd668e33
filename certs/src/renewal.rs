//! When a certificate is replaced. Pure.

use std::time::Duration;

use kalpana_domain::Timestamp;

/// Waits after one, two, three … failures. Unit: seconds. An authority like Let's Encrypt takes
/// five failed validations of a name in an hour.
const BACK_OFF: [i64; 8] = [
    60,
    5 * 60,
    20 * 60,
    30 * 60,
    60 * 60,
    2 * 60 * 60,
    4 * 60 * 60,
    6 * 60 * 60,
];

/// Days before the end at which somebody should know that no new certificate could be had.
const ALERTS: [i64; 3] = [1, 7, 14];

/// When the authority would like a certificate to be replaced (RFC 9773).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

/// Returns when a certificate that is good from `not_before` to `not_after` is to be replaced: at
/// a point of the authority's window, else at about two thirds of its lifetime.
///
/// `seed` is of the certificate, so that the point stays where it is, and differs from site to site.
pub fn renew_at(
    not_before: Timestamp,
    not_after: Timestamp,
    window: Option<Window>,
    seed: u64,
) -> Timestamp {
    // A window that ends too late, or before it begins, is not one.
    let window = window.filter(|window| window.start <= window.end && window.start < not_after);
    let (start, end) = match window {
        Some(window) => (
            window.start.as_second(),
            window.end.min(not_after).as_second(),
        ),
        None => {
            let (start, end) = (not_before.as_second(), not_after.as_second());
            let lifetime = (end - start).max(0);
            // A thirtieth of the lifetime at most, three days of 90.
            let jitter = lifetime / 30;
            let two_thirds = start + lifetime / 3 * 2;
            (two_thirds - jitter, two_thirds)
        }
    };
    let span = u64::try_from(end - start).unwrap_or(0);
    let offset = i64::try_from(seed % (span + 1)).unwrap_or(0);
    Timestamp::from_second(start + offset).unwrap_or(not_before)
}

/// Returns when to try again after `failures` in a row, the last at `now`, of which the authority
/// said that it wants to be left alone for `retry_after`.
pub fn retry_at(now: Timestamp, failures: u32, retry_after: Option<Duration>) -> Timestamp {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = BACK_OFF[index.min(BACK_OFF.len() - 1)];
    let asked = retry_after.map_or(0, |wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
    // Who asks for more than a day is asked again after one: a certificate may live for six.
    let wait = wait.max(asked.min(86_400));
    Timestamp::from_second(now.as_second() + wait).unwrap_or(now)
}

/// Returns how many days before the end of a certificate an alert is due, of those that are due at
/// `now`: 14, 7 or 1. One whose lifetime is shorter than six weeks counts in parts of it.
pub fn alert(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Option<i64> {
    let lifetime = not_after.as_second() - not_before.as_second();
    let left = not_after.as_second() - now.as_second();
    ALERTS.into_iter().find(|days| {
        let limit = (days * 86_400).min(lifetime * days / 42);
        left <= limit
    })
}

/// Returns the seed of a certificate's fingerprint, which is hex.
pub fn seed(fingerprint: &str) -> u64 {
    u64::from_str_radix(fingerprint.get(..16).unwrap_or_default(), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).expect("a time")
    }

    #[test]
    fn without_a_window_it_is_replaced_shortly_before_two_thirds() {
        for seed in [0, 1, 12_345, u64::MAX] {
            let at = renew_at(day(0), day(90), None, seed);
            assert!(day(57) <= at && at <= day(60), "{at}");
        }
        let six_days = renew_at(day(0), day(6), None, 77);
        assert!(day(3) < six_days && six_days <= day(4), "{six_days}");
    }

    #[test]
    fn within_a_window_the_point_stays_where_it_is() {
        let window = Some(Window {
            start: day(50),
            end: day(52),
        });
        let at = renew_at(day(0), day(90), window, 99);
        assert!(day(50) <= at && at <= day(52));
        assert_eq!(at, renew_at(day(0), day(90), window, 99));
        assert_ne!(at, renew_at(day(0), day(90), window, 100));
    }

    #[test]
    fn a_window_in_the_past_means_now_and_one_after_the_end_means_nothing() {
        let past = Some(Window {
            start: day(1),
            end: day(2),
        });
        assert!(renew_at(day(0), day(90), past, 5) <= day(2));
        let beyond = Some(Window {
            start: day(91),
            end: day(92),
        });
        assert!(renew_at(day(0), day(90), beyond, 5) <= day(60));
        let reversed = Some(Window {
            start: day(52),
            end: day(50),
        });
        assert!(renew_at(day(0), day(90), reversed, 5) >= day(57));
    }

    #[test]
    fn waits_grow_to_six_hours_and_the_authority_may_ask_for_a_day() {
        let wait = |failures, retry_after| {
            retry_at(day(0), failures, retry_after).as_second() - day(0).as_second()
        };
        assert_eq!(wait(1, None), 60);
        assert_eq!(wait(3, None), 1200);
        assert_eq!(wait(1000, None), 6 * 3600);
        assert_eq!(wait(1, Some(Duration::from_secs(7200))), 7200);
        assert_eq!(wait(1, Some(Duration::from_secs(u64::MAX))), DAY);
        let within_the_hour = (1..5).map(|failures| wait(failures, None)).sum::<i64>();
        assert!(within_the_hour + wait(5, None) > 3600, "five in an hour");
    }

    #[test]
    fn alerts_come_at_14_7_and_1_days_and_sooner_for_short_lives() {
        let left = |days, lifetime| alert(day(0), day(lifetime), day(lifetime - days));
        assert_eq!(left(20, 90), None);
        assert_eq!(left(14, 90), Some(14));
        assert_eq!(left(7, 90), Some(7));
        assert_eq!(left(1, 90), Some(1));
        assert_eq!(left(-3, 90), Some(1));
        assert_eq!(left(3, 6), None, "not due for renewal before");
        assert_eq!(left(2, 6), Some(14));
        assert_eq!(left(1, 6), Some(7));
    }

    proptest! {
        #[test]
        fn it_is_always_replaced_before_it_ends(
            lifetime in 3600_i64..400 * DAY,
            start in -500 * DAY..500 * DAY,
            length in -10 * DAY..500 * DAY,
            with_window: bool,
            seed: u64,
        ) {
            let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
            let window = with_window.then(|| Window { start: at(start), end: at(start + length) });
            let renewal = renew_at(at(0), at(lifetime), window, seed);
            prop_assert!(renewal <= at(lifetime));
        }
    }
}
