//! What is open right now: by session, by user and by workspace, so that the end of any of them ends
//! it too.
//!
//! A WebSocket or an event stream may stay open for days after the request that opened it was
//! judged. Each request that was let in to a workspace is entered here with a handle: a tunnel's
//! switch, which lets it say goodbye, or the upstream connection of a request that Pingora serves.
//! To cut it there ends it at the client too, over HTTP/1 and for the one stream of an HTTP/2
//! connection alike, which the same browser may be using for other hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use kalpana_domain::id::{SessionId, UserId, WorkspaceId};

use crate::sharing::Visit;
use crate::tunnel::control::{Control, Cut, Seen};
use crate::upstream::connections::Handle;

/// Whom something open depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// The control session that its workspace session was made from.
    Session(SessionId),
    /// The person.
    User(UserId),
    /// The workspace it reaches.
    Workspace(WorkspaceId),
}

/// How something that is open is ended.
#[derive(Debug, Clone)]
pub enum Switch {
    /// By its upstream connection.
    Connection(Arc<Handle>),
    /// By itself.
    Tunnel(Arc<Control>),
}

impl Switch {
    fn cut(&self, cut: Cut) {
        match self {
            Self::Connection(handle) => handle.cut(),
            Self::Tunnel(control) => control.cut(cut),
        }
    }
}

/// The requests under way, by everything they depend on.
#[derive(Debug, Default)]
pub struct Live {
    open: DashMap<Key, Vec<Opened>>,
    next: AtomicU64,
}

/// A tunnel that is open.
#[derive(Debug, Clone, Copy)]
pub struct OpenTunnel {
    /// A number that no other has.
    pub number: u64,
    /// Whose it is.
    pub visit: Visit,
    /// What it has done so far.
    pub seen: Seen,
}

#[derive(Debug, Clone)]
struct Opened {
    number: u64,
    visit: Visit,
    switch: Switch,
}

impl Live {
    /// Enters a request of `session`, part of `visit`, until the entry is dropped.
    pub fn enter(self: &Arc<Self>, session: SessionId, visit: Visit, switch: &Switch) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let user = visit.user().map(Key::User);
        let workspace = Key::Workspace(visit.address.workspace);
        let keys = [Some(Key::Session(session)), user, Some(workspace)];
        for key in keys.into_iter().flatten() {
            self.open.entry(key).or_default().push(Opened {
                number,
                visit,
                switch: switch.clone(),
            });
        }
        Entry {
            live: Arc::clone(self),
            keys,
            number,
        }
    }

    /// Cuts everything that depends on `key`. Returns how much that was.
    pub fn cut(&self, key: Key, cut: Cut) -> usize {
        // Copied, because what is cut may leave at once.
        let open = self.open.get(&key).map(|open| open.clone());
        let open = open.unwrap_or_default();
        open.iter().for_each(|opened| opened.switch.cut(cut));
        open.len()
    }

    /// Cuts everything that is part of a visit which is over. Returns how much that was.
    pub fn cut_visits(&self, is_over: impl Fn(&Visit) -> bool, cut: Cut) -> usize {
        self.cut_each(|opened| is_over(&opened.visit), cut)
    }

    /// Cuts every tunnel that is open.
    pub fn cut_tunnels(&self, cut: Cut) {
        self.cut_each(|opened| matches!(opened.switch, Switch::Tunnel(_)), cut);
    }

    /// Returns the tunnels that are open to workspaces.
    pub fn tunnels(&self) -> Vec<OpenTunnel> {
        let mut tunnels = Vec::new();
        for open in &self.open {
            if !matches!(open.key(), Key::Workspace(_)) {
                continue;
            }
            for opened in open.value() {
                if let Switch::Tunnel(control) = &opened.switch {
                    tunnels.push(OpenTunnel {
                        number: opened.number,
                        visit: opened.visit,
                        seen: control.seen(),
                    });
                }
            }
        }
        tunnels
    }

    fn cut_each(&self, is_meant: impl Fn(&Opened) -> bool, cut: Cut) -> usize {
        let of_workspaces = self.open.iter();
        let of_workspaces = of_workspaces.filter(|open| matches!(open.key(), Key::Workspace(_)));
        let mut count = 0;
        for open in of_workspaces {
            for opened in open.value().iter().filter(|opened| is_meant(opened)) {
                opened.switch.cut(cut);
                count += 1;
            }
        }
        count
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// One request under way.
#[derive(Debug)]
pub struct Entry {
    live: Arc<Live>,
    keys: [Option<Key>; 3],
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        for key in self.keys.into_iter().flatten() {
            // One step, so that a request that is entered meanwhile is not forgotten.
            self.live.open.remove_if_mut(&key, |_, open| {
                let position = open.iter().rposition(|opened| opened.number == self.number);
                if let Some(position) = position {
                    open.swap_remove(position);
                }
                open.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::RawFd;
    use std::os::unix::net::UnixStream;

    use kalpana_domain::address::WorkspaceAddress;
    use kalpana_domain::id::Generation;
    use kalpana_domain::sharing::Right;

    use super::*;
    use crate::upstream::connections::Upstreams;

    const USER: UserId = UserId::from_bytes([1; 16]);

    fn visit(label: &str) -> Visit {
        Visit {
            address: WorkspaceAddress::parse_label(label).unwrap(),
            generation: Generation(1),
            right: Some(Right::Owner(USER)),
        }
    }

    fn open(upstreams: &Upstreams, number: RawFd) -> (Switch, UnixStream) {
        let (ours, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (Switch::Connection(upstreams.opened(number, ours)), far)
    }

    fn is_open(far: &mut UnixStream) -> bool {
        match far.read(&mut [0]) {
            Ok(length) => length > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    #[test]
    fn what_depends_on_something_ends_with_it_and_nothing_else_does() {
        let (upstreams, live) = (Upstreams::default(), Arc::new(Live::default()));
        let (mine, theirs) = (SessionId::generate(), SessionId::generate());
        let (one, mut one_far) = open(&upstreams, 1);
        let (two, mut two_far) = open(&upstreams, 2);
        let entry = live.enter(mine, visit("abcdefghij01"), &one);
        let other = live.enter(theirs, visit("abcdefghij02"), &two);
        assert_eq!(live.cut(Key::Session(mine), Cut::SessionEnded), 1);
        assert!(!is_open(&mut one_far) && is_open(&mut two_far));
        assert_eq!(live.cut(Key::User(USER), Cut::SessionEnded), 2);
        let workspace = Key::Workspace(visit("abcdefghij02").address.workspace);
        assert_eq!(live.cut(workspace, Cut::Asleep), 1);
        assert!(!is_open(&mut two_far));
        drop((entry, other));
        assert!(live.is_empty());
    }

    #[test]
    fn a_tunnel_is_told_why_and_the_first_reason_stays() {
        let live = Arc::new(Live::default());
        let control = Arc::new(Control::default());
        let switch = Switch::Tunnel(Arc::clone(&control));
        let _entry = live.enter(SessionId::generate(), visit("abcdefghij01"), &switch);
        let context = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(control.poll_cut(&context), None);
        let workspace = visit("abcdefghij01").address.workspace;
        live.cut(Key::Workspace(workspace), Cut::Asleep);
        live.cut_tunnels(Cut::GoingAway);
        assert_eq!(control.poll_cut(&context), Some(Cut::Asleep));
    }

    #[test]
    fn cutting_visits_ends_those_that_are_meant_and_no_others() {
        let (upstreams, live) = (Upstreams::default(), Arc::new(Live::default()));
        let session = SessionId::generate();
        let (one, mut one_far) = open(&upstreams, 1);
        let (two, mut two_far) = open(&upstreams, 2);
        let _one = live.enter(session, visit("3000-abcdefghij01"), &one);
        let _two = live.enter(session, visit("4000-abcdefghij01"), &two);
        let meant = visit("3000-abcdefghij01");
        let cut = live.cut_visits(|visit| *visit == meant, Cut::SharingChanged);
        assert_eq!(cut, 1);
        assert!(!is_open(&mut one_far) && is_open(&mut two_far));
    }
}
