//! A request's way through Pingora's phases. Each phase calls one file; the decisions are in
//! [`judge`](crate::judge).

mod answers;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::header::UPGRADE;
use kalpana_link::InternalToken;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use tokio::time::Instant;

use crate::access_log::{self, Ended};
use crate::assets::{Assets, Found};
use crate::authorize::cors;
use crate::client::TrustedProxies;
use crate::connection;
use crate::framing;
use crate::headers::{self, Added};
use crate::judge::{Judge, Next};
use crate::limit::{self, BodyFault};
use crate::live::Switch;
use crate::metrics::Open;
use crate::request::{Kind, RequestContext};
use crate::respond::Reply;
use crate::upstream::connections::Upstreams;
use crate::upstream::{Speech, Upstream};

/// What forwarding a request needs besides the judgement.
pub struct Proxy {
    /// Decides.
    pub judge: Arc<Judge>,
    /// The connections that requests are open over.
    pub upstreams: Arc<Upstreams>,
    /// Makes peers.
    pub upstream: Upstream,
    /// The editor's own files, where they are kept.
    pub assets: Option<Arc<Assets>>,
    /// What `web` asks of us.
    pub token: Option<InternalToken>,
    /// Proxies in front of us whose word on the client is taken.
    pub trusted: TrustedProxies,
    /// How long a quiet connection is kept, between requests and in the middle of one. WebSockets
    /// are exempt.
    pub quiet_limit: Duration,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Proxy").finish_non_exhaustive()
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new()
    }

    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {
        // No compression here: it would buffer event streams, and secrets next to an attacker's
        // text must not share a compression window.
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestContext,
    ) -> Result<()> {
        connection::head_is_complete();
        let downstream = session.as_downstream_mut();
        if downstream.get_keepalive().is_some() {
            downstream.set_keepalive(Some(self.quiet_limit.as_secs().max(1)));
        }
        downstream.set_read_timeout(Some(self.quiet_limit));
        let address = downstream
            .client_addr()
            .and_then(|address| address.as_inet());
        let peer = address.map(std::net::SocketAddr::ip);
        let headers = &session.req_header().headers;
        request.client = peer.map(|peer| self.trusted.client(peer, headers));
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestContext,
    ) -> Result<bool> {
        let downstream = session.as_downstream();
        let is_ambiguous = downstream.as_http1().is_some_and(|h1| {
            framing::is_ambiguous(
                h1.get_headers_raw_bytes().as_ref(),
                &downstream.req_header().headers,
            )
        });
        if is_ambiguous {
            // Nobody knows where the next request would begin.
            session.as_downstream_mut().set_keepalive(None);
            request.denied = Some("ambiguous");
            self.judge.metrics.denied("ambiguous");
            self.answer(session, request, &Reply::BadRequest).await?;
            return Ok(true);
        }
        let head_bytes = limit::head_bytes(session.as_downstream());
        let head = session.req_header();
        match self.judge.decide(head, head_bytes, request).await {
            Next::Forward => {
                let assets = self.assets.as_ref();
                let head = session.req_header();
                match assets.and_then(|assets| assets.look_up(&self.judge.site, head, request)) {
                    Some(Found::Hit(hit)) => {
                        request.cache = Some("hit");
                        self.give(session, request, hit).await?;
                        Ok(true)
                    }
                    Some(Found::Miss) => {
                        request.cache = Some("miss");
                        Ok(false)
                    }
                    None => Ok(false),
                }
            }
            Next::Wake(_) => Error::e_explain(ErrorType::InternalError, "a request to wake twice"),
            Next::Answer(reply, reason) => {
                if !reason.is_empty() {
                    request.denied = Some(reason);
                    self.judge.metrics.denied(reason);
                }
                self.answer(session, request, &reply).await?;
                Ok(true)
            }
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _is_end: bool,
        request: &mut RequestContext,
    ) -> Result<()> {
        // What comes after an upgrade is no body.
        if request.websocket.is_some() {
            return Ok(());
        }
        let headers = &session.req_header().headers;
        if let (Some(upstream), None) = (&request.upstream, request.upstream_took) {
            // Who still sends is not waiting yet.
            upstream.asked();
        }
        // Of somebody who is not signed in nothing limits how many such bodies they send.
        let may_converse = request
            .permit
            .as_ref()
            .is_some_and(|permit| permit.visit().right.is_some());
        let watch = request
            .body
            .get_or_insert_with(|| self.judge.limits.watch(headers, may_converse));
        let bytes = body.as_ref().map_or(0, Bytes::len);
        let (code, reason) = match watch.received(bytes, Instant::now()) {
            Ok(()) => return Ok(()),
            Err(BodyFault::TooLarge) => (413, "the body is larger than may be"),
            Err(BodyFault::TooSlow) => (408, "the body comes too slowly"),
        };
        Error::e_explain(ErrorType::HTTPStatus(code), reason)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        request: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        match (request.kind, &request.permit) {
            (Kind::App, None) => self.upstream.web(),
            (Kind::Workspace(_), Some(permit)) => {
                let speech = Speech::of(session.req_header(), permit.surface());
                self.upstream
                    .workspace(permit, speech, &request.dial_failure)
            }
            // `judge` forwards nothing else; were it ever to, nothing is reached.
            _ => Error::e_explain(ErrorType::InternalError, "a request without a permit"),
        }
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        descriptor: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        request: &mut RequestContext,
    ) -> Result<()> {
        let Some(permit) = &request.permit else {
            return Ok(());
        };
        let Some(handle) = self.upstreams.find(descriptor) else {
            return Error::e_explain(ErrorType::InternalError, "a connection nobody opened");
        };
        let switch = Switch::Connection(Arc::clone(&handle));
        match self.judge.enter(permit, &switch) {
            Some(entry) => request.live = Some(entry),
            None => return Error::e_explain(ErrorType::HTTPStatus(401), "it has just ended"),
        }
        // A call by gRPC says itself how long it may take, which may be for ever.
        if Speech::of(session.req_header(), permit.surface()) == Speech::Http1 {
            handle.asked();
            request.upstream = Some(handle);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        request: &mut RequestContext,
    ) -> Result<()> {
        request.forwarded = Some(std::time::Instant::now());
        let added = Added {
            client: request.client,
            host: request.host(),
            request_id: &request.id,
        };
        match request.kind {
            Kind::App => headers::to_web(head, added, self.token.as_ref()),
            Kind::Workspace(address) => headers::to_workspace(head, added, address.surface),
            Kind::Unknown => Error::e_explain(ErrorType::InternalError, "a request for nobody"),
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        request: &mut RequestContext,
    ) -> Result<()> {
        if is_hint(answer.status) {
            // No more than the answer that follows may it reach beyond the workspace's own host.
            return match request.kind {
                Kind::App => Ok(()),
                _ => self.judge.policies.from_workspace(answer, &request.id),
            };
        }
        request.upstream_took = request.forwarded.map(|since| since.elapsed());
        if let Some(upstream) = &request.upstream {
            upstream.answered();
        }
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            if !session.req_header().headers.contains_key(UPGRADE) {
                // Both ends would go on to read the same bytes in different ways.
                let uninvited = "the upstream switched protocols without being asked to";
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, uninvited).into_up());
            }
            // A WebSocket may be quiet for as long as it likes.
            session.as_downstream_mut().set_read_timeout(None);
            request.websocket = Some(Open::count(&self.judge.metrics.websockets));
        }
        match request.kind {
            Kind::App => self.judge.policies.ours(answer, &request.id),
            Kind::Workspace(_) | Kind::Unknown => {
                if request.is_private_port() {
                    cors::complete(answer, request.sibling.as_ref())?;
                }
                self.judge.policies.from_workspace(answer, &request.id)
            }
        }
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut RequestContext,
        is_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let (head, body) = (session.req_header(), session.as_ref());
        if !head.method.is_idempotent() || body.retry_buffer_truncated() || request.was_given_up() {
            error.set_retry(false);
        } else {
            // A pooled connection may have been closed at the far end just before it was used.
            error.retry.decide_reuse(is_reused);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut RequestContext,
    ) -> FailToProxy {
        // A hint is no answer: whoever got one still waits.
        let is_answered = session
            .response_written()
            .is_some_and(|answer| !is_hint(answer.status));
        let code = match self.explain(error, request).filter(|_| !is_answered) {
            None => 0,
            Some(reply) => {
                request.denied = Some(reply.code());
                self.judge.metrics.denied(reply.code());
                let status = reply.status();
                match self.answer(session, request, &reply).await {
                    Ok(()) => status,
                    Err(_) => 0,
                }
            }
        };
        FailToProxy {
            error_code: code,
            can_reuse_downstream: false,
        }
    }

    fn suppress_error_log(
        &self,
        _session: &Session,
        _request: &RequestContext,
        _error: &Error,
    ) -> bool {
        // Ours says it, with the request's id.
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        request: &mut RequestContext,
    ) {
        connection::request_has_ended();
        let duration = request.started.elapsed();
        let written = session
            .response_written()
            .map(|answer| answer.status.as_u16());
        let status = written.or(request.status).unwrap_or(0);
        let downstream = session.as_downstream();
        if !downstream.was_upgraded() {
            self.judge
                .metrics
                .answered(request.kind.as_str(), status, duration);
        }
        if let Some(error) = error
            && error.esource() != &ErrorSource::Downstream
        {
            tracing::warn!(
                request.id = request.id,
                route.kind = request.kind.as_str(),
                host = request.host(),
                "a request failed: {}",
                access_log::brief(error)
            );
        }
        let head = downstream.req_header();
        let ended = Ended {
            method: head.method.as_str(),
            path: head.uri.path(),
            status,
            duration,
            received: downstream.body_bytes_read() as u64,
            sent: downstream.body_bytes_sent() as u64,
            http: if downstream.is_http2() { 2 } else { 1 },
            is_upgraded: downstream.was_upgraded(),
            end: None,
        };
        access_log::write(&ended, request);
        // Open things end with the request, not with its keep-alive connection.
        request.upstream = None;
        request.live = None;
        request.websocket = None;
    }
}

/// Tells whether a status announces another one.
fn is_hint(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
