//! How much a request may bring before anybody has looked at it.

use pingora_core::protocols::http::ServerSession;

/// Tells whether a request's head is larger than `limit_bytes`.
///
/// Over HTTP/1 it is counted as it came. Over HTTP/2 the library refuses larger lists by itself,
/// with the same status; what is counted here is the list as HTTP/2 defines its size.
pub fn is_head_too_large(session: &ServerSession, limit_bytes: usize) -> bool {
    let size = match session.as_http1() {
        Some(session) => session.get_headers_raw_bytes().len(),
        None => {
            let head = session.req_header();
            let fields = head.headers.iter();
            let fields: usize = fields
                .map(|(name, value)| name.as_str().len() + value.len() + 32)
                .sum();
            fields + head.raw_path().len()
        }
    };
    size > limit_bytes
}
