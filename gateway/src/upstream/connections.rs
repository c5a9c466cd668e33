//! The connections to workspaces that are open, so that they can be cut: when what they serve is no
//! longer allowed, and when nothing comes of it.

use std::net::Shutdown;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use crate::monotonic::now;

/// How often it is looked whether somebody has waited for too long.
const LOOK: Duration = Duration::from_millis(500);

/// Nobody waits.
const IDLE: u64 = 0;

/// Somebody waited for too long.
const GIVEN_UP: u64 = u64::MAX;

/// A handle on one upstream connection, which the pool may pass from request to request. It serves
/// one at a time.
#[derive(Debug)]
pub struct Handle {
    /// A duplicate of the connection's descriptor while it is open. Pingora owns the original and
    /// offers only its number, which could mean another file by the time it is used.
    stream: Mutex<Option<UnixStream>>,
    /// When the workspace last had something to answer to, [`IDLE`] or [`GIVEN_UP`].
    ///
    /// One number for each connection, looked at now and then, instead of a timer for each request:
    /// Pingora's own limit is one on every read, and an event stream may be quiet for hours.
    waits_since: AtomicU64,
}

impl Handle {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream: Mutex::new(Some(stream)),
            waits_since: AtomicU64::new(IDLE),
        }
    }

    /// Ends the connection in both directions.
    pub fn cut(&self) {
        if let Some(stream) = self.lock().as_ref() {
            // It may have ended already, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Notes that a request, or more of it, was passed on, whose answer has not begun.
    pub fn asked(&self) {
        self.waits_since.store(now(), Ordering::Relaxed);
    }

    /// Notes that the head of the answer is there.
    pub fn answered(&self) {
        self.waits_since.store(IDLE, Ordering::Relaxed);
    }

    /// Tells whether it was cut because no answer came.
    pub fn was_given_up(&self) -> bool {
        self.waits_since.load(Ordering::Relaxed) == GIVEN_UP
    }

    /// Cuts it if somebody has waited since `before` or longer.
    fn give_up(&self, before: u64) -> bool {
        let since = self.waits_since.load(Ordering::Relaxed);
        if since == IDLE || since > before {
            return false;
        }
        let given_up = self.waits_since.compare_exchange(
            since,
            GIVEN_UP,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if given_up.is_ok() {
            self.cut();
        }
        given_up.is_ok()
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
        let handle = Arc::new(Handle::new(duplicate));
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

    /// Cuts those whose workspace leaves a request without an answer for longer than `limit`, until
    /// `until`. A limit of zero is none.
    pub async fn watch(&self, limit: Duration, until: &CancellationToken) {
        if limit.is_zero() {
            return until.cancelled().await;
        }
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        while tokio::time::timeout(LOOK, until.cancelled()).await.is_err() {
            let before = now().saturating_sub(limit);
            self.by_number.iter().for_each(|open| {
                open.give_up(before);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pair() -> (Handle, UnixStream) {
        let (ours, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (Handle::new(ours), far)
    }

    fn is_open(far: &mut UnixStream) -> bool {
        far.read(&mut [0])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
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

    #[test]
    fn only_who_has_waited_for_too_long_is_given_up() {
        let (handle, mut far) = pair();
        assert!(!handle.give_up(now() + 1000), "nobody waits");
        handle.asked();
        let asked = handle.waits_since.load(Ordering::Relaxed);
        assert!(!handle.give_up(asked - 1), "not for long enough");
        handle.answered();
        assert!(!handle.give_up(now() + 1000), "the answer is there");
        assert!(is_open(&mut far) && !handle.was_given_up());
        handle.asked();
        assert!(handle.give_up(now() + 1000));
        assert!(!is_open(&mut far) && handle.was_given_up());
    }
}
