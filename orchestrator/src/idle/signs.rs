//! What was seen of every workspace that is awake or asleep. All of it can be lost at any time: who
//! is known anew has as long as somebody who has just come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;
use kalpana_protocol::orchestrator::AwakeKind;

use super::Signs;
use crate::uptime::Uptime;

/// How long after the last word of a gateway nobody is put to sleep any more: it may be that people
/// type, and that nobody tells. Three times as long as between two words.
const SILENCE: Duration = Duration::from_secs(15);

/// How long a silent gateway is waited for while another speaks. One that ends says so; one that was
/// killed has lost its connections, and its clients have come back to the other.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Keeps signs. Clones keep the same.
#[derive(Debug, Clone)]
pub(crate) struct Register {
    shared: Arc<Mutex<Shared>>,
    uptime: Arc<dyn Uptime>,
}

#[derive(Debug, Default)]
struct Shared {
    known: HashMap<WorkspaceId, Known>,
    /// When each gateway last told who was there.
    heard: HashMap<String, Duration>,
}

#[derive(Debug)]
struct Known {
    /// Since when the workspace is in its state, by its row: another is another time awake or asleep.
    since: Timestamp,
    state: State,
}

#[derive(Debug)]
enum State {
    Awake(Signs),
    Asleep {
        /// Since when this process knows.
        known_since: Duration,
        /// How long it had been asleep by then, by the clock.
        before: Duration,
    },
}

impl Register {
    /// Makes a register of nothing.
    pub(crate) fn new(uptime: Arc<dyn Uptime>) -> Self {
        Self {
            shared: Arc::default(),
            uptime,
        }
    }

    /// Returns now, in uptime.
    pub(crate) fn now(&self) -> Duration {
        self.uptime.now()
    }

    /// Notes that a gateway told all it knows, and whether it has nothing to tell any more.
    pub(crate) fn heard(&self, gateway: &str, is_leaving: bool) {
        let now = self.now();
        let mut shared = self.lock();
        if is_leaving {
            shared.heard.remove(gateway);
        } else {
            shared.heard.insert(gateway.to_owned(), now);
        }
    }

    /// Returns up to when every gateway has told who was there; `None` when one is silent, or none is
    /// known.
    pub(crate) fn heard_until(&self) -> Option<Duration> {
        let now = self.now();
        let mut shared = self.lock();
        let newest = shared.heard.values().max().copied()?;
        shared
            .heard
            .retain(|_, heard| newest.saturating_sub(*heard) <= FORGOTTEN);
        let oldest = shared.heard.values().min().copied();
        oldest.filter(|heard| now.saturating_sub(*heard) <= SILENCE)
    }

    /// Notes that a workspace was used `ago` before now, as a gateway saw: by a person, or otherwise.
    pub(crate) fn used(&self, workspace: WorkspaceId, kind: AwakeKind, ago: Duration) {
        let now = self.now();
        if let Some(known) = self.lock().known.get_mut(&workspace)
            && let State::Awake(signs) = &mut known.state
        {
            let at = now.saturating_sub(ago);
            match kind {
                AwakeKind::Visit | AwakeKind::Typing => signs.person(kind, at),
                _ => signs.port_used(at),
            }
        }
    }

    /// Reads or changes the signs of a workspace that is awake since `since`. Signs of an earlier
    /// time awake are forgotten.
    pub(crate) fn signs<T>(
        &self,
        workspace: WorkspaceId,
        since: Timestamp,
        use_it: impl FnOnce(&mut Signs) -> T,
    ) -> T {
        let now = self.now();
        let mut shared = self.lock();
        let anew = || Known {
            since,
            state: State::Awake(Signs::new(now)),
        };
        let known = shared.known.entry(workspace).or_insert_with(anew);
        if known.since != since {
            *known = anew();
        }
        match &mut known.state {
            State::Awake(signs) => use_it(signs),
            // A row has another time for each of its states, so this is a clock that stood still.
            state @ State::Asleep { .. } => {
                let mut signs = Signs::new(now);
                let used = use_it(&mut signs);
                *state = State::Awake(signs);
                used
            }
        }
    }

    /// Returns how long a workspace has been asleep since `since`. `passed` is how long by the clock:
    /// it is believed once, of the time before this process knew.
    pub(crate) fn asleep_for(
        &self,
        workspace: WorkspaceId,
        since: Timestamp,
        passed: Duration,
    ) -> Duration {
        let now = self.now();
        let mut shared = self.lock();
        let known = shared.known.entry(workspace).or_insert_with(|| Known {
            since,
            state: State::Asleep {
                known_since: now,
                before: passed,
            },
        });
        match known.state {
            State::Asleep {
                known_since,
                before,
            } if known.since == since => before + now.saturating_sub(known_since),
            _ => {
                *known = Known {
                    since,
                    state: State::Asleep {
                        known_since: now,
                        before: Duration::ZERO,
                    },
                };
                Duration::ZERO
            }
        }
    }

    /// Forgets all workspaces but those that `is_there` names.
    pub(crate) fn retain(&self, is_there: impl Fn(WorkspaceId) -> bool) {
        self.lock().known.retain(|id, _| is_there(*id));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uptime::ManualUptime;

    fn register() -> (Register, Arc<ManualUptime>) {
        let uptime = Arc::new(ManualUptime::default());
        (Register::new(uptime.clone()), uptime)
    }

    fn workspace() -> WorkspaceId {
        WorkspaceId::parse("abcdefghij01").unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_time_awake_begins_with_nobody_there() {
        let (register, uptime) = register();
        register.signs(workspace(), at(1), |_| ());
        register.used(workspace(), AwakeKind::Typing, Duration::ZERO);
        let person = |since| register.signs(workspace(), since, |signs| signs.person);
        assert!(person(at(1)).is_some());
        uptime.advance(Duration::from_secs(60));
        assert_eq!(person(at(2)), None);
        let awake_since = register.signs(workspace(), at(2), |signs| signs.awake_since);
        assert_eq!(awake_since, Duration::from_secs(60));
    }

    #[test]
    fn sleep_is_counted_by_uptime_once_it_is_known() {
        let (register, uptime) = register();
        let (id, hour) = (workspace(), Duration::from_secs(3600));
        assert_eq!(register.asleep_for(id, at(1), hour), hour);
        uptime.advance(hour);
        // The clock was set forward by a year.
        let slept = register.asleep_for(id, at(1), 8760 * hour);
        assert_eq!(slept, 2 * hour);
        register.signs(id, at(2), |_| ());
        assert_eq!(register.asleep_for(id, at(3), hour), Duration::ZERO);
    }

    #[test]
    fn a_gateway_that_fell_silent_is_waited_for_and_one_that_left_is_not() {
        let (register, uptime) = register();
        let second = Duration::from_secs(1);
        assert_eq!(register.heard_until(), None);
        register.heard("a", false);
        uptime.advance(5 * second);
        register.heard("b", false);
        assert_eq!(register.heard_until(), Some(Duration::ZERO));
        uptime.advance(SILENCE);
        register.heard("b", false);
        assert_eq!(register.heard_until(), None, "a may know of somebody");
        register.heard("a", true);
        assert_eq!(register.heard_until(), Some(register.now()));
        register.heard("a", false);
        uptime.advance(FORGOTTEN + second);
        assert_eq!(register.heard_until(), None, "nobody speaks");
        register.heard("b", false);
        assert_eq!(register.heard_until(), Some(register.now()), "a is no more");
    }

    #[test]
    fn a_visit_to_what_sleeps_is_no_sign_of_its_next_time_awake() {
        let (register, _) = register();
        register.asleep_for(workspace(), at(1), Duration::ZERO);
        register.used(workspace(), AwakeKind::Visit, Duration::ZERO);
        assert_eq!(
            register.signs(workspace(), at(2), |signs| signs.person),
            None
        );
        register.retain(|_| false);
        assert!(register.lock().known.is_empty());
    }
}
