//! `[gateway]`: what listens for the outside.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Network, Span};
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
    /// Longest time from the first byte of a request to the end of its header. Default: 10s.
    pub header_timeout: Span,
    /// How long an idle connection between requests is kept. Default: 60s.
    pub keepalive_timeout: Span,
    /// How long the client of a WebSocket may be quiet until it is asked whether it is still there;
    /// one that does not answer within the same time again is gone. Default: 30s.
    pub websocket_ping: Span,
    /// Largest request header, in bytes including the request line; more is answered 431.
    /// Default: 32768.
    pub header_limit_bytes: usize,
    /// Most header fields of a request; more are answered 431. Default: 100.
    pub header_limit_fields: usize,
    /// Largest request body; more is answered 413. Default: 4GiB.
    pub body_limit: ByteSize,
    /// Slowest request body, per second, once it took longer than ten seconds; slower ones are
    /// answered 408. Bodies of unknown length sent to a workspace are exempt: they may be a
    /// conversation. Default: 512B.
    pub body_rate: ByteSize,
    /// Connections that one address (of IPv6, one /64) may have open; more are closed at once.
    /// Default: 1024.
    pub connections_per_address: u32,
    /// Requests per second that one address (of IPv6, one /64) may make on average; ten seconds of
    /// them may come at once, more are answered 429. 0 is no limit. Default: 1000.
    pub requests_per_address: u32,
    /// Requests per second that one person may send to workspaces on average, in the same way,
    /// whichever addresses they come from. Default: 1000.
    pub requests_per_user: u32,
    /// Requests per second that one workspace may be sent on average, in the same way. Default:
    /// 1000.
    pub requests_per_workspace: u32,
    /// Memory for the editor's own files, which are the same in every workspace of an image: they
    /// are kept compressed and given to browsers without asking the workspace. An editor takes
    /// about 6MiB. 0 keeps none. Default: 64MiB.
    pub asset_cache: ByteSize,
    /// Whom to write to about a weakness of this site: `mailto:…` or `https://…`. Set, it is told
    /// at `/.well-known/security.txt`. Default: none.
    pub security_contact: Option<String>,
    /// Proxies in front of the gateway: their `X-Forwarded-For` is believed, and the limit of
    /// connections does not hold for them. Default: none.
    pub trusted_proxies: Vec<Network>,
    /// Load balancers in front of the gateway that begin each connection with a PROXY protocol
    /// header, version 1 or 2; from them it is required, from others it is refused. Default: none.
    pub proxy_protocol_from: Vec<Network>,
    /// Longest wait for the head of a workspace's answer, from the last byte of the request on; after
    /// that it is answered 504. What comes after the head may take as long as it likes, and so may
    /// calls by gRPC. 0s is no limit. Default: 10m.
    pub response_header_timeout: Span,
    /// How long people may go on in their workspaces while `web` is away, which alone can say that a
    /// session has ended. After that workspaces are closed to all but visitors of public ports until
    /// it is back. 0s closes them at once. Default: 15m.
    pub revocation_lease: Span,
    /// How long a workspace session lasts without being made anew. Default: 12h.
    pub session_lifetime: Span,
    /// How long open connections may go on after the first stop signal. Default: 10s.
    pub drain_timeout: Span,
    /// How long connections that are open when another process takes over (`kalpana gateway
    /// --upgrade`) may go on in this one. Default: 12h.
    pub upgrade_drain_timeout: Span,
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
            header_timeout: Span::seconds(10),
            keepalive_timeout: Span::seconds(60),
            websocket_ping: Span::seconds(30),
            header_limit_bytes: 32 << 10,
            header_limit_fields: 100,
            body_limit: ByteSize(4 << 30),
            body_rate: ByteSize(512),
            connections_per_address: 1024,
            requests_per_address: 1000,
            requests_per_user: 1000,
            requests_per_workspace: 1000,
            asset_cache: ByteSize(64 << 20),
            security_contact: None,
            trusted_proxies: Vec::new(),
            proxy_protocol_from: Vec::new(),
            response_header_timeout: Span::seconds(600),
            revocation_lease: Span::seconds(900),
            session_lifetime: Span::seconds(12 * 3600),
            drain_timeout: Span::seconds(10),
            upgrade_drain_timeout: Span::seconds(12 * 3600),
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
            ("header_timeout", self.header_timeout),
            ("keepalive_timeout", self.keepalive_timeout),
            ("websocket_ping", self.websocket_ping),
            ("session_lifetime", self.session_lifetime),
        ] {
            problems.require(span.0.as_secs() >= 1, field, "must be at least 1s");
        }
        problems.require(
            (4096..=1 << 20).contains(&self.header_limit_bytes),
            "header_limit_bytes",
            "must be from 4096 to 1048576",
        );
        problems.require(
            (16..=250).contains(&self.header_limit_fields),
            "header_limit_fields",
            "must be from 16 to 250",
        );
        problems.require(
            self.body_limit.0 >= 1 << 20,
            "body_limit",
            "must be at least 1MiB",
        );
        problems.require(
            self.connections_per_address >= 8,
            "connections_per_address",
            "must be at least 8, which is what one browser opens",
        );
        problems.require(
            self.security_contact.as_ref().is_none_or(|contact| {
                let is_known = ["mailto:", "https://", "tel:"]
                    .iter()
                    .any(|scheme| contact.starts_with(scheme));
                is_known && contact.bytes().all(|byte| byte.is_ascii_graphic())
            }),
            "security_contact",
            "must be a mailto:, https:// or tel: URI",
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
