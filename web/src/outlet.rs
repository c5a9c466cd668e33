//! Streams to clients that may be slow, or may stop reading and never say so.
//!
//! A task writes into a bounded [`Outlet`]; the response's body reads from it. A client that takes
//! nothing for [`PATIENCE`] is given up, and its place is free again, even while the connection
//! itself lingers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::Stream;
use http::StatusCode;
use kalpana_domain::id::UserId;
use prometheus::IntGauge;
use tokio::sync::mpsc;

use crate::error::{ApiError, ApiResult};

/// Items that may wait for a client.
const WAITING: usize = 64;

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most streams of one person: several browsers with several tabs each.
const STREAMS_PER_USER: usize = 32;

/// The client is gone, or so slow that it counts as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The end of a stream that is written to.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    sender: mpsc::Sender<T>,
    patience: Duration,
}

impl<T: Send + 'static> Outlet<T> {
    /// Makes an outlet and the stream that carries what is put in.
    pub(crate) fn new() -> (Self, impl Stream<Item = T> + Send + 'static) {
        Self::with(WAITING, PATIENCE)
    }

    fn with(waiting: usize, patience: Duration) -> (Self, impl Stream<Item = T> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(waiting);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|item| (item, receiver))
        });
        (Self { sender, patience }, stream)
    }

    /// Hands one item to the client, waiting a while for it to take earlier ones.
    ///
    /// # Errors
    /// [`Gone`] when it does not.
    pub(crate) async fn send(&self, item: T) -> Result<(), Gone> {
        self.sender
            .send_timeout(item, self.patience)
            .await
            .map_err(|_| Gone)
    }

    /// Waits until the client has hung up.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// The places for streams: so many in all, so many for one person.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Places>);

#[derive(Debug)]
struct Places {
    limit: usize,
    taken: Mutex<Taken>,
    gauge: IntGauge,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<UserId, usize>,
}

/// One taken place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    places: Arc<Places>,
    user: UserId,
}

impl Slots {
    /// Makes `limit` places, and shows on `gauge` how many are taken.
    pub(crate) fn new(limit: usize, gauge: IntGauge) -> Self {
        Self(Arc::new(Places {
            limit,
            taken: Mutex::default(),
            gauge,
        }))
    }

    /// Takes a place for `user`.
    ///
    /// # Errors
    /// 429 when the person has too many streams, 503 when everybody together has.
    pub(crate) fn take(&self, user: UserId) -> ApiResult<Slot> {
        let mut taken = self.0.lock();
        if taken.all >= self.0.limit {
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_streams",
                "Too many pages are listening for changes right now.",
            )
            .hint("Reload the page to see the latest state.")
            .retry_after(Duration::from_secs(10)));
        }
        let own = taken.by_user.entry(user).or_default();
        if *own >= STREAMS_PER_USER {
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_streams",
                "You have too many pages open that listen for changes.",
            )
            .hint("Close some of them.")
            .retry_after(Duration::from_secs(10)));
        }
        *own += 1;
        taken.all += 1;
        self.0.gauge.inc();
        Ok(Slot {
            places: Arc::clone(&self.0),
            user,
        })
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("no holder panics")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_user.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.by_user.remove(&self.user);
            }
        }
        self.places.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn slots(limit: usize) -> Slots {
        Slots::new(limit, IntGauge::new("streams", "for the test").unwrap())
    }

    #[test]
    fn places_are_limited_for_all_and_for_one_and_come_back() {
        let (one, other) = (UserId::generate(), UserId::generate());
        let places = slots(STREAMS_PER_USER + 1);
        let mut held: Vec<_> = (0..STREAMS_PER_USER)
            .map(|_| places.take(one).unwrap())
            .collect();
        assert_eq!(places.take(one).unwrap_err().code(), "too_many_streams");
        let last = places.take(other).unwrap();
        assert!(places.take(other).is_err(), "every place is taken");
        drop(last);
        assert!(places.take(other).is_ok());
        held.clear();
        assert_eq!(
            (places.0.gauge.get(), places.0.lock().by_user.len()),
            (0, 0)
        );
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (outlet, stream) = Outlet::with(1, Duration::from_millis(5));
        assert_eq!(outlet.send(1).await, Ok(()));
        assert_eq!(outlet.send(2).await, Err(Gone));
        drop(outlet);
        let taken: Vec<i32> = stream.collect().await;
        assert_eq!(taken, [1]);
    }
}
