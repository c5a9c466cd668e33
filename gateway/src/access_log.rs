//! One line per request.
//!
//! It names what was asked for without its query, because queries carry tickets and tokens, and
//! never a cookie, a token or a person.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::request::RequestContext;

/// The target by which operators find or silence these lines.
pub const TARGET: &str = "kalpana::access";

/// Longest path that is written out.
const PATH_LIMIT: usize = 256;

/// Longest account of an error that is written out.
const ERROR_LIMIT: usize = 512;

/// What is known of a request once it has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
    /// The status it was answered with; 0 when it was not.
    pub status: u16,
    /// How long it took.
    pub duration: Duration,
    /// Bytes of its body, or of what a tunnel took.
    pub received: u64,
    /// Bytes of the answer's body, or of what a tunnel gave.
    pub sent: u64,
    /// The version of HTTP.
    pub http: u8,
    /// Whether it became something else than HTTP.
    pub is_upgraded: bool,
    /// How a tunnel ended.
    pub end: Option<&'static str>,
}

/// Writes the line of a request that has ended.
pub fn write(ended: &Ended<'_>, request: &RequestContext) {
    let path = shorten(ended.path);
    let milliseconds = ended.duration.as_secs_f64() * 1000.0;
    let (kind, method, status) = (request.kind.as_str(), ended.method, ended.status);
    let tls = request.facts.as_ref().map(|facts| facts.tls);
    tracing::info!(
        target: TARGET,
        {
            request.id = request.id,
            route.kind = kind,
            host = request.host(),
            method,
            path,
            status,
            duration_ms = milliseconds,
            bytes.received = ended.received,
            bytes.sent = ended.sent,
            http = ended.http,
            upgraded = ended.is_upgraded,
            end = ended.end,
            denied = request.denied,
            cache = request.cache,
            upstream_ms = request.upstream_took.map(|took| took.as_secs_f64() * 1000.0),
            tls = tls.map(|tls| tls.version),
            resumed = tls.map(|tls| tls.is_resumed),
            client.address = request.client.map(tracing::field::display),
        },
        "{method} {path} {status} {kind} {milliseconds:.1}ms"
    );
}

/// Returns the beginning of a path, as much as is written out.
pub fn shorten(path: &str) -> &str {
    let end = path.floor_char_boundary(PATH_LIMIT);
    &path[..end.min(path.len())]
}

/// Returns what an error says, cut short: Pingora quotes the whole of a head that it cannot read,
/// and whoever wrote that head would fill the log.
pub fn brief(error: &impl fmt::Display) -> String {
    let mut brief = Brief(String::new());
    if write!(brief, "{error}").is_err() {
        brief.0.push('…');
    }
    brief.0
}

/// Takes text up to [`ERROR_LIMIT`], and then no more.
struct Brief(String);

impl Write for Brief {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = ERROR_LIMIT - self.0.len();
        let end = text.floor_char_boundary(room.min(text.len()));
        self.0.push_str(&text[..end]);
        if end < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_goes_on_for_ever_is_cut_short() {
        assert_eq!(brief(&"cannot read it"), "cannot read it");
        let long = brief(&"é".repeat(1 << 20));
        assert_eq!(long, format!("{}…", "é".repeat(ERROR_LIMIT / 2)));
    }
}
