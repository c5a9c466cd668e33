//! How much a request may bring, and how slowly.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use tokio::time::Instant;

/// How long a body may take before its rate counts: the first packets of a connection are slow.
const GRACE: Duration = Duration::from_secs(10);

/// What a request may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest head, in bytes, the request line included.
    pub head_bytes: usize,
    /// Most header fields.
    pub head_fields: usize,
    /// Largest body, in bytes.
    pub body_bytes: u64,
    /// Slowest body, in bytes per second, once it took longer than ten seconds.
    pub body_rate: u64,
}

impl Limits {
    /// Tells whether a request's head, so many bytes long, is larger than may be.
    pub fn is_head_too_large(&self, headers: &HeaderMap, bytes: usize) -> bool {
        headers.len() > self.head_fields || bytes > self.head_bytes
    }

    /// Tells whether a request announces a body that is larger than may be.
    pub fn announces_too_much(&self, headers: &HeaderMap) -> bool {
        announced(headers).is_some_and(|bytes| bytes > self.body_bytes)
    }

    /// Begins to watch the body of a request.
    ///
    /// A body of no announced length may be a conversation, such as a call that streams both ways,
    /// and is as slow as its parties like, where `may_converse`.
    pub fn watch(&self, headers: &HeaderMap, may_converse: bool) -> BodyWatch {
        let has_rate = !may_converse || announced(headers).is_some();
        BodyWatch {
            limit: self.body_bytes,
            rate: has_rate.then_some(self.body_rate),
            received: 0,
            started: Instant::now(),
        }
    }
}

/// Returns how large a request's head is.
///
/// Over HTTP/1 it is counted as it came. Over HTTP/2 the library refuses larger lists by itself,
/// with the same status; what is counted here is the list as HTTP/2 defines its size.
pub fn head_bytes(session: &ServerSession) -> usize {
    match session.as_http1() {
        Some(session) => session.get_headers_raw_bytes().len(),
        None => list_size(session.req_header()),
    }
}

/// Returns the size of a header list. Source: RFC 9113, section 6.5.2.
pub fn list_size(head: &RequestHeader) -> usize {
    let fields = head.headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    fields + head.raw_path().len()
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than may be.
    TooLarge,
    /// It comes more slowly than may be.
    TooSlow,
}

/// Counts a body while it comes.
#[derive(Debug)]
pub struct BodyWatch {
    limit: u64,
    rate: Option<u64>,
    received: u64,
    started: Instant,
}

impl BodyWatch {
    /// Counts a part of the body.
    ///
    /// # Errors
    /// [`BodyFault`] when the rest is not worth waiting for.
    pub fn received(&mut self, bytes: usize, now: Instant) -> Result<(), BodyFault> {
        self.received = self.received.saturating_add(bytes as u64);
        if self.received > self.limit {
            return Err(BodyFault::TooLarge);
        }
        let took = now.saturating_duration_since(self.started);
        match self.rate {
            Some(rate) if took > GRACE && self.received < rate.saturating_mul(took.as_secs()) => {
                Err(BodyFault::TooSlow)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        head_bytes: 0,
        head_fields: 0,
        body_bytes: 100_000,
        body_rate: 500,
    };

    fn headers(length: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_body_ends_at_its_limit_whatever_it_announced() {
        assert!(LIMITS.announces_too_much(&headers(Some("100001"))));
        assert!(!LIMITS.announces_too_much(&headers(Some("100000"))));
        assert!(!LIMITS.announces_too_much(&headers(None)));
        let mut body = LIMITS.watch(&headers(None), true);
        let now = Instant::now();
        assert_eq!(body.received(100_000, now), Ok(()));
        assert_eq!(body.received(1, now), Err(BodyFault::TooLarge));
    }

    #[test]
    fn a_body_that_drips_is_given_ten_seconds() {
        let mut body = LIMITS.watch(&headers(Some("90000")), true);
        let start = body.started;
        for second in 0..=10 {
            let now = start + Duration::from_secs(second);
            assert_eq!(body.received(1, now), Ok(()), "second {second}");
        }
        let now = start + Duration::from_secs(11);
        assert_eq!(body.received(1, now), Err(BodyFault::TooSlow));
        assert_eq!(body.received(6000, now), Ok(()), "fast enough on the whole");
    }

    #[test]
    fn a_conversation_takes_its_time_where_there_may_be_one() {
        let late = |body: &mut BodyWatch| {
            let now = body.started + Duration::from_secs(3600);
            body.received(1, now)
        };
        assert_eq!(late(&mut LIMITS.watch(&headers(None), true)), Ok(()));
        assert_eq!(
            late(&mut LIMITS.watch(&headers(None), false)),
            Err(BodyFault::TooSlow)
        );
    }
}
