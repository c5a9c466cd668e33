//! The circuit breaker: after a few operations in a row without an answer it refuses all but one
//! now and then, until one is answered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Operations in a row without an answer that open it.
const TOLERATED: u32 = 3;

/// First and longest rest between tries.
const REST: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Operations pass.
    Closed { unanswered: u32 },
    /// One operation may try after `next_try`; it is under way when `is_tried`.
    Open {
        next_try: Instant,
        rest: Duration,
        is_tried: bool,
    },
}

#[derive(Debug)]
pub(super) struct Breaker(Mutex<State>);

/// Whether an operation may begin.
#[derive(Debug)]
pub(super) enum Admission<'a> {
    /// It may, and must tell how it went.
    Admitted(Permit<'a>),
    /// It may not for this long.
    Refused { next_try: Duration },
}

/// An operation that was let in. Dropped without an answer, for instance because its caller went
/// away, it says nothing about the store.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self(Mutex::new(State::Closed { unanswered: 0 }))
    }
}

impl Breaker {
    pub(super) fn admit(&self, now: Instant) -> Admission<'_> {
        let mut state = self.lock();
        let is_trial = match &mut *state {
            State::Closed { .. } => false,
            State::Open {
                next_try, is_tried, ..
            } if *is_tried || now < *next_try => {
                let next_try = next_try.saturating_duration_since(now);
                return Admission::Refused { next_try };
            }
            State::Open { is_tried, .. } => {
                *is_tried = true;
                true
            }
        };
        Admission::Admitted(Permit {
            breaker: self,
            is_trial,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Notes whether the store answered. Returns the new position when this changed it: true for
    /// open.
    pub(super) fn answered(&mut self, is_answer: bool, now: Instant) -> Option<bool> {
        let mut state = self.breaker.lock();
        let is_trial = std::mem::replace(&mut self.is_trial, false);
        let (next, change) = match *state {
            State::Closed { .. } if is_answer => (State::Closed { unanswered: 0 }, None),
            State::Closed { unanswered } if unanswered + 1 < TOLERATED => {
                let unanswered = unanswered + 1;
                (State::Closed { unanswered }, None)
            }
            State::Closed { .. } => (open(now, REST.0), Some(true)),
            // Any answer is good news, also to an operation that began before.
            State::Open { .. } if is_answer => (State::Closed { unanswered: 0 }, Some(false)),
            State::Open { rest, .. } if is_trial => (open(now, (rest * 2).min(REST.1)), None),
            open @ State::Open { .. } => (open, None),
        };
        *state = next;
        change
    }
}

fn open(now: Instant, rest: Duration) -> State {
    State::Open {
        next_try: now + rest,
        rest,
        is_tried: false,
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let State::Open { is_tried, .. } = &mut *self.breaker.lock()
        {
            *is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(breaker: &Breaker, now: Instant) -> Permit<'_> {
        match breaker.admit(now) {
            Admission::Admitted(permit) => permit,
            Admission::Refused { next_try } => panic!("refused for {next_try:?}"),
        }
    }

    fn is_refused(breaker: &Breaker, now: Instant) -> bool {
        matches!(breaker.admit(now), Admission::Refused { .. })
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        let changes: Vec<_> = (0..TOLERATED)
            .map(|_| permit(&breaker, now).answered(false, now))
            .collect();
        assert_eq!(changes, [None, None, Some(true)]);
        breaker
    }

    #[test]
    fn an_answer_in_between_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(permit(&breaker, now).answered(false, now), None);
            assert_eq!(permit(&breaker, now).answered(false, now), None);
            assert_eq!(permit(&breaker, now).answered(true, now), None);
        }
    }

    #[test]
    fn an_open_one_lets_one_try_at_a_time_and_rests_longer_each_time() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut rests = Vec::new();
        for _ in 0..6 {
            assert!(is_refused(&breaker, now));
            let Admission::Refused { next_try } = breaker.admit(now) else {
                panic!("refused")
            };
            rests.push(next_try.as_millis());
            now += next_try;
            let mut trial = permit(&breaker, now);
            assert!(is_refused(&breaker, now), "one at a time");
            assert_eq!(trial.answered(false, now), None);
        }
        assert_eq!(rests, [250, 500, 1000, 2000, 4000, 5000]);
        now += REST.1;
        assert_eq!(permit(&breaker, now).answered(true, now), Some(false));
        assert!(!is_refused(&breaker, now));
    }

    #[test]
    fn a_try_whose_caller_went_away_does_not_stay_the_only_one() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + REST.0;
        drop(permit(&breaker, later));
        assert!(!is_refused(&breaker, later));
    }

    #[test]
    fn an_answer_to_an_older_operation_closes_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        let mut early = permit(&breaker, now);
        for _ in 0..TOLERATED {
            permit(&breaker, now).answered(false, now);
        }
        assert_eq!(early.answered(true, now), Some(false));
    }
}
