//! Between a connection and Pingora: requests get their connection's facts, and WebSockets of
//! HTTP/2 go their own way.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use crate::connection::{self, Facts};
use crate::proxy::Proxy;
use crate::tunnel::Tunnels;

/// What serves the requests of one connection.
pub struct Front {
    proxy: Arc<HttpProxy<Proxy>>,
    tunnels: Arc<Tunnels>,
    facts: Arc<Facts>,
}

impl Front {
    /// Serves the connection of which `facts` are known.
    pub fn new(proxy: Arc<HttpProxy<Proxy>>, tunnels: Arc<Tunnels>, facts: Arc<Facts>) -> Self {
        Self {
            proxy,
            tunnels,
            facts,
        }
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Front")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpServerApp for Front {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let facts = Arc::clone(&self.facts);
        match session {
            ServerSession::H2(session) if is_websocket(session.req_header()) => {
                self.tunnels.serve_http2(session, facts).await;
                None
            }
            session => {
                let serve = self.proxy.process_new_http(session, shutdown);
                connection::with_facts(facts, serve).await
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }
}

/// Tells whether a request is an extended `CONNECT` for a WebSocket. Source: RFC 8441.
fn is_websocket(head: &pingora_http::RequestHeader) -> bool {
    let protocol = head.extensions.get::<h2::ext::Protocol>();
    head.method == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}
