//! From a permit to a connection: who is dialled, how, and which connections may be shared.
//!
//! Pingora pools idle connections by the peer's address and its group. The address is the bridge's
//! socket, which is one workspace's; the group is the workspace's generation and the surface that
//! the preamble asked for, and what is spoken, because what is behind a connection was settled when
//! it was opened.

pub mod connections;

use std::fmt;
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Version};
use kalpana_bridge_client::ConnectError;
use kalpana_config::Site;
use kalpana_domain::address::Surface;
use kalpana_domain::clock::Clock;
use kalpana_protocol::preamble::Target as BridgeTarget;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::{HttpPeer, Tracer, Tracing};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use tokio::net::UnixStream;

use self::connections::{Handle, Upstreams};
use crate::authorize::Permit;
use crate::request::DialFailure;
use crate::routes::{self, Route};

/// Longest wait for the bridge's answer to a preamble. The bridge may be waiting for the editor.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept. code-server closes its own after 5 s; to be later than it
/// would be to lose a request now and then.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// The kind of body that gRPC has. Source: the gRPC protocol over HTTP/2.
const GRPC: &[u8] = b"application/grpc";

/// How long `web` may take to accept a connection.
const WEB_CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long `web` may be silent in the middle of a request. Its event streams say something every
/// fifteen seconds.
const WEB_SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// What is spoken with a program in a workspace. Nothing negotiates it: there is no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 from the first byte ("prior knowledge", RFC 9113, section 3.3).
    Http2,
}

impl Speech {
    /// Chooses what is spoken for a request to a surface: HTTP/2 for gRPC, which there is over
    /// nothing else, and HTTP/1.1, which every other program understands.
    ///
    /// gRPC-Web is made for HTTP/1.1 and stays there.
    pub fn of(head: &RequestHeader, surface: Surface) -> Self {
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let rest = kind.and_then(|kind| {
            let (start, rest) = kind.split_at_checked(GRPC.len())?;
            start.eq_ignore_ascii_case(GRPC).then_some(rest)
        });
        let is_grpc = rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';' | b' ', ..]));
        let is_http2 = head.version == Version::HTTP_2;
        if is_grpc && is_http2 && matches!(surface, Surface::Port(_)) {
            Self::Http2
        } else {
            Self::Http1
        }
    }
}

/// Makes peers.
pub struct Upstream {
    web_socket: String,
    site: Arc<Site>,
    clock: Arc<dyn Clock>,
    upstreams: Arc<Upstreams>,
}

impl Upstream {
    /// Makes peers for the sockets of `site`.
    pub fn new(site: &Site, clock: Arc<dyn Clock>, upstreams: Arc<Upstreams>) -> Self {
        Self {
            web_socket: site.web_socket().to_string_lossy().into_owned(),
            site: Arc::new(site.clone()),
            clock,
            upstreams,
        }
    }

    /// Returns the peer behind the base domain.
    ///
    /// # Errors
    /// Pingora's, when the socket's path is none.
    pub fn web(&self) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new_uds(&self.web_socket, false, String::new())?;
        peer.options.connection_timeout = Some(WEB_CONNECT_LIMIT);
        peer.options.read_timeout = Some(WEB_SILENCE_LIMIT);
        peer.options.idle_timeout = Some(IDLE_LIMIT);
        Ok(Box::new(peer))
    }

    /// Returns the peer that a permit allows to reach. Why it could not be dialled is left in
    /// `failure`.
    ///
    /// There is no limit on reading: an event stream may be quiet for hours. How long the head of an
    /// answer may take is watched by [`Upstreams`].
    ///
    /// # Errors
    /// Pingora's, when the socket's path is none.
    pub fn workspace(
        &self,
        permit: &Permit,
        speech: Speech,
        failure: &DialFailure,
    ) -> Result<Box<HttpPeer>> {
        let route = permit.route();
        let Some(socket) = route.socket(&self.site) else {
            return Error::e_explain(ErrorType::InternalError, "a permit to what does not run");
        };
        let mut peer = HttpPeer::new_uds(&socket.to_string_lossy(), false, String::new())?;
        peer.group_key = group(route.generation.0, permit.surface(), speech);
        if speech == Speech::Http2 {
            peer.options.set_http_version(2, 2);
        }
        // A connection is cut for the sake of one request, so it serves one at a time.
        peer.options.max_h2_streams = 1;
        let opening = Arc::new(Opening {
            upstreams: Arc::clone(&self.upstreams),
            opened: OnceLock::new(),
        });
        peer.options.idle_timeout = Some(IDLE_LIMIT);
        peer.options.tracer = Some(Tracer(Box::new(Trace(Arc::clone(&opening)))));
        peer.options.custom_l4 = Some(Arc::new(Dialer {
            route: Arc::clone(route),
            site: Arc::clone(&self.site),
            target: routes::bridge_target(permit.surface()),
            clock: Arc::clone(&self.clock),
            failure: Arc::clone(failure),
            opening,
        }));
        Ok(Box::new(peer))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// Returns a number that no other generation or surface of the same workspace has, nor the same one
/// when something else is spoken with it.
fn group(generation: u64, surface: Surface, speech: Speech) -> u64 {
    let surface = match surface {
        Surface::Editor => 0,
        Surface::Port(port) => u64::from(port),
    };
    let speech = match speech {
        Speech::Http1 => 0,
        Speech::Http2 => 1,
    };
    (generation << 17) | (speech << 16) | surface
}

/// Connects to a bridge and has it open the target.
struct Dialer {
    route: Arc<Route>,
    site: Arc<Site>,
    target: BridgeTarget,
    clock: Arc<dyn Clock>,
    failure: DialFailure,
    opening: Arc<Opening>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dialer")
            .field("workspace", &self.route.workspace)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Connect for Dialer {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let Some(bridge) = self.route.bridge(&self.site) else {
            return Error::e_explain(ErrorType::InternalError, "a permit to what does not run");
        };
        let connected = bridge
            .connect(self.target, self.clock.now(), CONNECT_LIMIT)
            .await;
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => {
                let kind = match error {
                    ConnectError::Timeout => ErrorType::ConnectTimedout,
                    _ => ErrorType::ConnectRefused,
                };
                let text = format!("cannot reach workspace {}: {error}", bridge.workspace);
                *self.failure.lock().expect("no holder panics") = Some(error);
                return Error::e_explain(kind, text);
            }
        };
        let stream = self.opening.remember(stream).map_err(|error| {
            Error::because(ErrorType::SocketError, "duplicating a descriptor", error)
        })?;
        Ok(stream.into())
    }
}

/// A connection from when it is opened until it is closed, whichever requests it serves meanwhile.
#[derive(Debug)]
struct Opening {
    upstreams: Arc<Upstreams>,
    opened: OnceLock<(i32, Arc<Handle>)>,
}

impl Opening {
    fn remember(&self, stream: UnixStream) -> std::io::Result<UnixStream> {
        let stream = stream.into_std()?;
        let duplicate = stream.try_clone()?;
        let number = stream.as_raw_fd();
        let handle = self.upstreams.opened(number, duplicate);
        // Each peer opens one connection at most; were it two, the later would merely not be cut.
        let _ = self.opened.set((number, handle));
        UnixStream::from_std(stream)
    }
}

/// Tells [`Opening`] that its connection is about to be closed.
#[derive(Debug)]
struct Trace(Arc<Opening>);

impl Tracing for Trace {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        if let Some((number, handle)) = self.0.opened.get() {
            self.0.upstreams.closed(*number, handle);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Trace(Arc::clone(&self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_surfaces_and_protocols_never_share_a_group() {
        let (editor, port) = (Surface::Editor, Surface::Port);
        let groups = [
            group(1, editor, Speech::Http1),
            group(1, port(1024), Speech::Http1),
            group(1, port(1024), Speech::Http2),
            group(1, port(65535), Speech::Http1),
            group(1, port(65535), Speech::Http2),
            group(2, editor, Speech::Http1),
            group(2, port(1024), Speech::Http1),
            group(2, port(1024), Speech::Http2),
        ];
        let distinct: std::collections::HashSet<_> = groups.iter().collect();
        assert_eq!(distinct.len(), groups.len());
    }

    #[test]
    fn http2_is_spoken_for_grpc_that_came_by_it_to_a_port() {
        let of = |kind: &str, version, surface| {
            let mut head = RequestHeader::build("POST", b"/", None).unwrap();
            head.insert_header(CONTENT_TYPE, kind).unwrap();
            head.set_version(version);
            Speech::of(&head, surface)
        };
        let port = Surface::Port(50051);
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC; charset=utf-8",
        ] {
            assert_eq!(of(kind, Version::HTTP_2, port), Speech::Http2, "{kind}");
            assert_eq!(of(kind, Version::HTTP_11, port), Speech::Http1);
            assert_eq!(of(kind, Version::HTTP_2, Surface::Editor), Speech::Http1);
        }
        for kind in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grp",
            "application/json",
            "",
        ] {
            assert_eq!(of(kind, Version::HTTP_2, port), Speech::Http1, "{kind}");
        }
        let silent = RequestHeader::build("GET", b"/", None).unwrap();
        assert_eq!(Speech::of(&silent, port), Speech::Http1);
    }
}
