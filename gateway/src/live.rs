//! What is open right now, by session and by what it visits: so that the end of a session ends it
//! too, and the end of sharing what visitors have open.
//!
//! A WebSocket or an event stream may stay open for days after the request that opened it was
//! judged. Each request that was let in to a workspace is entered here with a handle on its
//! upstream connection; to cut it there ends it at the client too, over HTTP/1 and for the one
//! stream of an HTTP/2 connection alike, which the same browser may be using for other hosts.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dashmap::DashMap;
use kalpana_domain::id::SessionId;

use crate::sharing::Visit;

/// A handle on one upstream connection, which the pool may pass from request to request.
#[derive(Debug)]
pub struct Handle {
    /// A duplicate of the connection's descriptor while it is open. Pingora owns the original and
    /// offers only its number, which could mean another file by the time it is used.
    stream: Mutex<Option<UnixStream>>,
}

impl Handle {
    /// Ends the connection in both directions.
    pub fn cut(&self) {
        if let Some(stream) = self.lock().as_ref() {
            // It may have ended already, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.stream.lock().expect("no holder panics")
    }
}

/// The upstream connections that are open, by the number that Pingora knows them by.
#[derive(Debug, Default)]
pub struct Upstreams {
    by_number: DashMap<RawFd, Arc<Handle>>,
}

impl Upstreams {
    /// Enters a new connection, of which `duplicate` is a second descriptor.
    pub fn opened(&self, number: RawFd, duplicate: UnixStream) -> Arc<Handle> {
        let handle = Arc::new(Handle {
            stream: Mutex::new(Some(duplicate)),
        });
        self.by_number.insert(number, Arc::clone(&handle));
        handle
    }

    /// Forgets a connection. To be called before its descriptor is closed, so that the number
    /// cannot mean another connection yet.
    pub fn closed(&self, number: RawFd, handle: &Arc<Handle>) {
        handle.lock().take();
        self.by_number
            .remove_if(&number, |_, known| Arc::ptr_eq(known, handle));
    }

    /// Returns the handle of an open connection.
    pub fn find(&self, number: RawFd) -> Option<Arc<Handle>> {
        self.by_number.get(&number).map(|found| Arc::clone(&found))
    }

    /// Returns how many are open, pooled ones included.
    pub fn count(&self) -> usize {
        self.by_number.len()
    }
}

/// The requests under way, by session.
#[derive(Debug, Default)]
pub struct Live {
    by_session: DashMap<SessionId, HashMap<u64, (Visit, Arc<Handle>)>>,
    next: AtomicU64,
}

impl Live {
    /// Enters a request of `session`, part of `visit`, that travels over `handle`, until the entry is
    /// dropped.
    pub fn enter(self: &Arc<Self>, session: SessionId, visit: Visit, handle: Arc<Handle>) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.by_session
            .entry(session)
            .or_default()
            .insert(number, (visit, handle));
        Entry {
            live: Arc::clone(self),
            session,
            number,
        }
    }

    /// Cuts everything that `session` has open. Returns how much that was.
    pub fn cut(&self, session: SessionId) -> usize {
        let open = self.by_session.get(&session);
        let handles = open.iter().flat_map(|open| open.values());
        handles.map(|(_, handle)| handle.cut()).count()
    }

    /// Cuts everything that is part of a visit which is over. Returns how much that was.
    pub fn cut_visits(&self, is_over: impl Fn(&Visit) -> bool) -> usize {
        let mut cut = 0;
        for open in &self.by_session {
            let over = open.values().filter(|(visit, _)| is_over(visit));
            cut += over.map(|(_, handle)| handle.cut()).count();
        }
        cut
    }
}

/// One request under way.
#[derive(Debug)]
pub struct Entry {
    live: Arc<Live>,
    session: SessionId,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(mut open) = self.live.by_session.get_mut(&self.session) {
            open.remove(&self.number);
        }
        self.live
            .by_session
            .remove_if(&self.session, |_, open| open.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use kalpana_domain::address::WorkspaceAddress;
    use kalpana_domain::id::Generation;

    use super::*;

    fn visit(label: &str) -> Visit {
        Visit {
            address: WorkspaceAddress::parse_label(label).unwrap(),
            generation: Generation(1),
            right: None,
        }
    }

    #[test]
    fn cutting_a_session_ends_its_connections_and_no_others() {
        let (upstreams, live) = (Upstreams::default(), Arc::new(Live::default()));
        let (mine, theirs) = (SessionId::generate(), SessionId::generate());
        let open = |number: RawFd| {
            let (ours, far) = UnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            (upstreams.opened(number, ours), far)
        };
        let ((one, mut one_far), (two, mut two_far)) = (open(1), open(2));
        let entry = live.enter(mine, visit("abcdefghij01"), one);
        let _other = live.enter(theirs, visit("abcdefghij01"), two);
        assert_eq!(live.cut(mine), 1);
        assert_eq!(one_far.read(&mut [0]).unwrap(), 0, "ended");
        let still = two_far.read(&mut [0]).unwrap_err();
        assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock);
        drop(entry);
        assert_eq!(live.cut(mine), 0);
    }

    #[test]
    fn cutting_visits_ends_those_that_are_meant_and_no_others() {
        let (upstreams, live) = (Upstreams::default(), Arc::new(Live::default()));
        let session = SessionId::generate();
        let open = |number: RawFd, label: &str| {
            let (ours, far) = UnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let handle = upstreams.opened(number, ours);
            (live.enter(session, visit(label), handle), far)
        };
        let (_one, mut one_far) = open(1, "3000-abcdefghij01");
        let (_two, mut two_far) = open(2, "4000-abcdefghij01");
        let meant = visit("3000-abcdefghij01");
        assert_eq!(live.cut_visits(|visit| *visit == meant), 1);
        assert_eq!(one_far.read(&mut [0]).unwrap(), 0, "ended");
        let still = two_far.read(&mut [0]).unwrap_err();
        assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_number_that_was_given_again_means_the_newer_connection() {
        let upstreams = Upstreams::default();
        let old = upstreams.opened(7, UnixStream::pair().unwrap().0);
        let new = upstreams.opened(7, UnixStream::pair().unwrap().0);
        upstreams.closed(7, &old);
        assert!(Arc::ptr_eq(&upstreams.find(7).unwrap(), &new));
        upstreams.closed(7, &new);
        assert_eq!(upstreams.count(), 0);
    }
}
