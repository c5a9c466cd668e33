//! What a store tells of what was written to it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::stream::BoxStream;
use kalpana_domain::Timestamp;
use kalpana_domain::id::SessionId;

use crate::records::EndedSession;

/// Something that was written, by this process or another. Told after it can be read, at least
/// once, in no particular order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEvent {
    /// A session was ended.
    SessionEnded(EndedSession),
    /// Some port is shared in another way than before.
    SharingChanged,
    /// Something may have been missed, for instance while the database was away: who keeps a copy
    /// reads it again.
    Missed,
}

/// Events as they happen.
pub type EventStream = BoxStream<'static, StoreEvent>;

/// How far back each look for what ended goes: clocks of writers differ, and a write may commit
/// late.
const OVERLAP: Duration = Duration::from_secs(60);

/// Which ended sessions have been told already.
pub(crate) struct Told {
    since: Timestamp,
    sessions: HashSet<SessionId>,
}

impl Told {
    /// Begins with nothing told of what ended from a little before `now` on.
    pub(crate) fn since(now: Timestamp) -> Self {
        Self {
            since: now - OVERLAP,
            sessions: HashSet::new(),
        }
    }

    /// Returns where the next look begins.
    pub(crate) fn start(&self) -> Timestamp {
        self.since
    }

    /// Returns the events of sessions that were not told yet, and remembers them.
    pub(crate) fn new_among(
        &mut self,
        ended: Vec<EndedSession>,
        now: Timestamp,
    ) -> Vec<StoreEvent> {
        let current: HashSet<SessionId> = ended.iter().map(|session| session.id).collect();
        let news = ended
            .into_iter()
            .filter(|session| !self.sessions.contains(&session.id))
            .map(StoreEvent::SessionEnded)
            .collect();
        self.sessions = current;
        self.since = now - OVERLAP;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_told_once_while_looks_overlap() {
        let now = Timestamp::from_second(1000).expect("in range");
        let mut told = Told::since(now);
        let ended = |seconds| EndedSession {
            id: SessionId::generate(),
            ended_at: Timestamp::from_second(seconds).expect("in range"),
        };
        let (first, second) = (ended(999), ended(1000));
        let news = told.new_among(vec![first.clone()], now);
        assert_eq!(news, [StoreEvent::SessionEnded(first.clone())]);
        let news = told.new_among(vec![first.clone(), second.clone()], now);
        assert_eq!(news, [StoreEvent::SessionEnded(second.clone())]);
        assert_eq!(told.new_among(vec![first, second], now), []);
    }
}
