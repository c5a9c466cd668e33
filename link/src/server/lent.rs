//! A request's body, lent to who answers and taken back with what was left of it.
//!
//! A refusal is often made before the body is read. Were the connection then closed with the body
//! still in it, the other side would lose the next request, which it sends over a connection that
//! it believes to be a good one. So what was left is read and thrown away, within bounds; beyond
//! them the answer says that the connection ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// Most that is thrown away. Unit: bytes.
const LIMIT: u64 = 1 << 20;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Lent<B: Body + Unpin = Incoming> {
    body: Option<B>,
    back: Option<oneshot::Sender<B>>,
}

/// What is left of it, once it was dropped.
#[derive(Debug)]
pub(super) struct Left<B = Incoming>(oneshot::Receiver<B>);

impl<B: Body<Data = Bytes> + Unpin> Lent<B> {
    pub(super) fn new(body: B) -> (Self, Left<B>) {
        let (back, left) = oneshot::channel();
        let lent = Self {
            body: Some(body),
            back: Some(back),
        };
        (lent, Left(left))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Left<B> {
    /// Reads what is left. Returns false when the connection is of no use any more.
    pub(super) async fn use_up(mut self) -> bool {
        // Still held by who answers: theirs to read.
        let Ok(mut body) = self.0.try_recv() else {
            return true;
        };
        if body.is_end_stream() {
            return true;
        }
        let mut room = LIMIT;
        if body.size_hint().lower() > room {
            return false;
        }
        let reading = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                let length = frame.data_ref().map_or(0, Bytes::len);
                match room.checked_sub(length as u64) {
                    Some(less) => room = less,
                    None => return false,
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap_or(false)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, B::size_hint)
    }
}

impl<B: Body + Unpin> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody waits for it when the answer is given up.
            let _ = back.send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn what_was_left_is_read_within_bounds() {
        let body = |length: usize| Full::new(Bytes::from(vec![b'a'; length]));
        for (length, is_used_up) in [(0, true), (10, true), (1 << 20, true), (2 << 20, false)] {
            let (lent, left) = Lent::new(body(length));
            drop(lent);
            assert_eq!(left.use_up().await, is_used_up, "{length} bytes");
        }
    }

    #[tokio::test]
    async fn what_was_read_or_is_still_being_read_is_not_touched() {
        let (lent, left) = Lent::new(Full::new(Bytes::from_static(b"all")));
        assert_eq!(lent.collect().await.unwrap().to_bytes(), "all");
        assert!(left.use_up().await);
        let (lent, left) = Lent::new(Full::new(Bytes::from_static(b"held")));
        assert!(left.use_up().await);
        assert_eq!(lent.collect().await.unwrap().to_bytes(), "held");
    }
}
