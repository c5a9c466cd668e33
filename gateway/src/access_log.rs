//! One line per request.
//!
//! It names what was asked for without its query, because queries carry tickets and tokens, and
//! never a cookie, a token or a person.

use std::time::Duration;

use pingora_core::protocols::http::ServerSession;

use crate::request::RequestContext;

/// The target by which operators find or silence these lines.
pub const TARGET: &str = "kalpana::access";

/// Longest path that is written out.
const PATH_LIMIT: usize = 256;

/// Writes the line of a request that has ended.
pub fn write(session: &ServerSession, request: &RequestContext, status: u16, duration: Duration) {
    let head = session.req_header();
    let path = shorten(head.uri.path());
    let milliseconds = duration.as_secs_f64() * 1000.0;
    let tls = session
        .digest()
        .and_then(|digest| digest.ssl_digest.as_ref());
    let (kind, method) = (request.kind.as_str(), head.method.as_str());
    tracing::info!(
        target: TARGET,
        {
            request.id = request.id,
            route.kind = kind,
            host = request.host,
            method,
            path,
            status,
            duration_ms = milliseconds,
            bytes.received = session.body_bytes_read(),
            bytes.sent = session.body_bytes_sent(),
            http = if session.is_http2() { 2 } else { 1 },
            upgraded = session.was_upgraded(),
            denied = request.denied,
            upstream_ms = request.upstream_took.map(|took| took.as_secs_f64() * 1000.0),
            tls = tls.map(|tls| tls.version.as_ref()),
            client.address = request.client.map(tracing::field::display),
        },
        "{method} {path} {status} {kind} {milliseconds:.1}ms"
    );
}

fn shorten(path: &str) -> &str {
    let end = path.floor_char_boundary(PATH_LIMIT);
    &path[..end.min(path.len())]
}
