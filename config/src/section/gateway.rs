//! `[gateway]`: what listens for the outside.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::units::Span;
use crate::validate::Scope;

/// The gateway: what listens for the outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Where TLS is served. Default: `127.0.0.1:8443`; in production `0.0.0.0:443` or `[::]:443`.
    pub listen: SocketAddr,
    /// Where plain HTTP is answered, with a redirect to https. Default: `127.0.0.1:8080`; in
    /// production port 80. Empty turns it off.
    pub listen_http: Option<SocketAddr>,
    /// Longest TLS handshake. Default: 10s.
    pub handshake_timeout: Span,
    /// Longest wait for the first byte of a request on a new connection. Default: 10s.
    pub first_byte_timeout: Span,
    /// How long an idle connection between requests is kept. Default: 60s.
    pub keepalive_timeout: Span,
    /// Largest request header, in bytes including the request line; more is answered 431.
    /// Default: 32768.
    pub header_limit_bytes: usize,
    /// How long a workspace session lasts without being made anew. Default: 12h.
    pub session_lifetime: Span,
    /// How long open connections may go on after the first stop signal. Default: 10s.
    pub drain_timeout: Span,
    /// Threads that serve requests. Default: 0, which means one per CPU.
    pub threads: usize,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            listen_http: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            handshake_timeout: Span::seconds(10),
            first_byte_timeout: Span::seconds(10),
            keepalive_timeout: Span::seconds(60),
            header_limit_bytes: 32 << 10,
            session_lifetime: Span::seconds(12 * 3600),
            drain_timeout: Span::seconds(10),
            threads: 0,
        }
    }
}

impl Gateway {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        for (field, span) in [
            ("handshake_timeout", self.handshake_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("keepalive_timeout", self.keepalive_timeout),
            ("session_lifetime", self.session_lifetime),
        ] {
            problems.require(span.0.as_secs() >= 1, field, "must be at least 1s");
        }
        problems.require(
            (4096..=1 << 20).contains(&self.header_limit_bytes),
            "header_limit_bytes",
            "must be from 4096 to 1048576",
        );
        problems.require(self.threads <= 1024, "threads", "must be at most 1024");
        problems.require(
            self.listen_http
                .is_none_or(|plain| plain != self.listen || plain.port() == 0),
            "listen_http",
            "must differ from gateway.listen",
        );
    }
}
