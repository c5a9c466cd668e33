//! How often somebody may ask to be let in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kalpana_domain::Timestamp;
use kalpana_domain::id::UserId;

use crate::error::{ApiError, ApiResult};

/// Wishes of one person within [`WINDOW`].
const LIMIT: u32 = 20;

/// How long a wish counts.
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// People remembered; when there are more, those whose window is over are forgotten, and if that
/// does not help, further ones have to wait.
const PEOPLE: usize = 10_000;

/// Counts wishes by person.
#[derive(Debug, Default)]
pub(crate) struct Asking(Mutex<HashMap<UserId, Window>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Timestamp,
    count: u32,
}

impl Asking {
    /// Counts a wish.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub(crate) fn count(&self, user: UserId, now: Timestamp) -> ApiResult<()> {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= PEOPLE && !people.contains_key(&user) {
            people.retain(|_, window| now < window.since + WINDOW);
            if people.len() >= PEOPLE {
                return Err(too_many(WINDOW));
            }
        }
        let window = people.entry(user).or_insert(Window {
            since: now,
            count: 0,
        });
        if now >= window.since + WINDOW {
            *window = Window {
                since: now,
                count: 0,
            };
        }
        if window.count >= LIMIT {
            let left = (window.since + WINDOW).duration_since(now);
            return Err(too_many(left.unsigned_abs()));
        }
        window.count += 1;
        Ok(())
    }
}

fn too_many(wait: Duration) -> ApiError {
    ApiError::new(
        http::StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "You have asked for access very often.",
    )
    .hint("Wait a while, then ask again.")
    .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_may_ask_so_often_in_an_hour() {
        let asking = Asking::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let (ada, bob) = (UserId::generate(), UserId::generate());
        for _ in 0..LIMIT {
            asking.count(ada, at(10)).unwrap();
        }
        let refused = asking.count(ada, at(3609)).unwrap_err();
        assert_eq!(refused.code(), "too_many_requests");
        asking.count(bob, at(3609)).unwrap();
        asking.count(ada, at(3610)).unwrap();
    }

    #[test]
    fn the_memory_of_who_asked_is_bounded() {
        let asking = Asking::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for number in 0..PEOPLE as u128 {
            let user = UserId::from_bytes(number.to_be_bytes());
            asking.count(user, at(0)).unwrap();
        }
        assert!(asking.count(UserId::generate(), at(1)).is_err());
        asking.count(UserId::generate(), at(3600)).unwrap();
        assert_eq!(asking.0.lock().unwrap().len(), 1);
    }
}
