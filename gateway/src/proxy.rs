//! A request's way through Pingora's phases. Each phase calls one file; the decisions are there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::UPGRADE;
use http::{Method, StatusCode};
use kalpana_auth::fetch;
use kalpana_auth::ticket::UsedTickets;
use kalpana_auth::workspace_session::{self, KeyRing};
use kalpana_bridge_client::ConnectError;
use kalpana_config::Site;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::clock::Clock;
use kalpana_link::InternalToken;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use tokio::time::Instant;

use crate::authorize::{self, Refusal, Rules};
use crate::callback::{self, CallbackError, Desk};
use crate::client::TrustedProxies;
use crate::headers::{self, Added, Policies};
use crate::host::{Host, Hosts, Ports};
use crate::limit::{BodyFault, Limits};
use crate::live::{Live, Upstreams};
use crate::metrics::{Metrics, Open};
use crate::rate::Rates;
use crate::request::{Kind, RequestContext};
use crate::respond::Reply;
use crate::routes::{Routes, Target};
use crate::sessions::Sessions;
use crate::upstream::Upstream;
use crate::{access_log, authenticate, connection};

/// Where whom to write to about a weakness is told.
const SECURITY_TXT: &str = "/.well-known/security.txt";

/// Everything that judging and forwarding a request needs, all of it in memory.
pub struct Proxy {
    /// The site's names.
    pub site: Site,
    /// The same, for telling hosts apart.
    pub hosts: Hosts,
    /// What answers are completed with.
    pub policies: Policies,
    /// Where workspaces are.
    pub routes: Arc<Routes>,
    /// Which sessions have ended.
    pub sessions: Arc<Sessions>,
    /// What is open.
    pub live: Arc<Live>,
    /// The connections it is open over.
    pub upstreams: Arc<Upstreams>,
    /// What workspace sessions are made with.
    pub keys: KeyRing,
    /// Which tickets were used.
    pub used: UsedTickets,
    /// Makes peers.
    pub upstream: Upstream,
    /// What `web` asks of us.
    pub token: Option<InternalToken>,
    /// Counts.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Proxies in front of us whose word on the client is taken.
    pub trusted: TrustedProxies,
    /// What a request may bring.
    pub limits: Limits,
    /// How often requests may come.
    pub rates: Arc<Rates>,
    /// Whom to write to about a weakness of this site.
    pub security_contact: Option<String>,
    /// How long a quiet connection is kept, between requests and in the middle of one. WebSockets
    /// are exempt.
    pub quiet_limit: Duration,
    /// How long workspace sessions last.
    pub session_lifetime: Duration,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Proxy").finish_non_exhaustive()
    }
}

/// What is to be done with a request.
enum Next {
    /// Forward it.
    Forward,
    /// Answer it.
    Answer(Reply, &'static str),
}

impl Proxy {
    /// Judges a request by its head alone.
    fn judge(&self, session: &Session, request: &mut RequestContext) -> Next {
        let head = session.req_header();
        if self.limits.is_head_too_large(session.as_downstream()) {
            return Next::Answer(Reply::HeadTooLarge, "head_too_large");
        }
        if self.limits.announces_too_much(&head.headers) {
            return Next::Answer(Reply::BodyTooLarge, "body_too_large");
        }
        if let Err(too_many) = self.rates.client(request.client) {
            return Next::Answer(Reply::TooManyRequests(too_many), "rate_address");
        }
        // Answered before the host is looked at: neither has a use behind a gateway.
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Next::Answer(Reply::MethodNotAllowed, "method");
        }
        let Some(host) = headers::requested_host(&head.headers, &head.uri) else {
            return Next::Answer(Reply::BadRequest, "bad_host");
        };
        match self.hosts.parse(host, Ports::Own) {
            Host::App => {
                request.kind = Kind::App;
                request.host = self.site.base_host();
                match &self.security_contact {
                    Some(contact) if head.uri.path() == SECURITY_TXT => {
                        let text = security_txt(contact, &self.site.base_url(), self.clock.now());
                        Next::Answer(Reply::SecurityContact { text }, "")
                    }
                    _ => Next::Forward,
                }
            }
            Host::Workspace(address) => {
                request.kind = Kind::Workspace(address);
                request.host = self.site.workspace_host(&address.to_string());
                self.judge_workspace(session, request, address)
            }
            Host::Unknown => Next::Answer(Reply::NotFound, "unknown_host"),
            Host::Foreign => Next::Answer(Reply::Misdirected, "foreign_host"),
            Host::Bad => Next::Answer(Reply::BadRequest, "bad_host"),
        }
    }

    fn judge_workspace(
        &self,
        session: &Session,
        request: &mut RequestContext,
        address: WorkspaceAddress,
    ) -> Next {
        if !self.sessions.is_heard() || !self.routes.is_heard() {
            return Next::Answer(Reply::NotReady, "not_ready");
        }
        let head = session.req_header();
        let path = head.uri.path();
        if path == callback::PATH {
            return self.redeem(head, request, address);
        }
        if callback::is_own_path(path) {
            return Next::Answer(Reply::NotFound, "own_path");
        }
        let now = self.clock.now();
        let proven = authenticate::authenticate(&head.headers, &self.keys, &request.host, now);
        let share = self.sessions.sharing().find(address);
        let facts = authorize::Request {
            address,
            share: share.as_deref(),
            path,
            method: head.method.as_str(),
            is_upgrade: head.headers.contains_key(UPGRADE),
            headers: &head.headers,
            own_origin: &format!("https://{}", request.host),
            control_origin: &self.site.base_url(),
        };
        let rules = Rules {
            now,
            session_lifetime: self.session_lifetime,
            is_revoked: |session| self.sessions.is_revoked(session),
        };
        let route = self.routes.find(address.workspace);
        match authorize::authorize(&facts, proven, route, &rules) {
            Ok(permit) => match self.rates.workspace(address.workspace) {
                Ok(()) => {
                    request.permit = Some(permit);
                    Next::Forward
                }
                Err(too_many) => Next::Answer(Reply::TooManyRequests(too_many), "rate_workspace"),
            },
            Err(Refusal::OtherOrigin(reason)) => Next::Answer(Reply::OtherOrigin, reason),
            Err(Refusal::NotRunning { route, is_owner }) => {
                let reply = if is_owner {
                    self.not_running(address, &route.target)
                } else {
                    Reply::SharedNotRunning
                };
                Next::Answer(reply, "not_running")
            }
            Err(Refusal::Unauthenticated(reason)) => {
                let reply = if is_navigation(head) && !facts.is_upgrade {
                    self.begin_sign_in(head, address)
                } else {
                    Reply::Unauthenticated
                };
                Next::Answer(reply, reason)
            }
            // By another right they may still be let in, which the control plane knows.
            Err(Refusal::NotShared(reason)) => {
                let reply = if is_navigation(head) && !facts.is_upgrade {
                    self.begin_sign_in(head, address)
                } else {
                    self.forbidden(address, true)
                };
                Next::Answer(reply, reason)
            }
            Err(Refusal::LinkOver(reason)) => Next::Answer(self.forbidden(address, true), reason),
            Err(Refusal::OtherPath) => {
                Next::Answer(self.forbidden(address, false), "link_other_path")
            }
        }
    }

    fn begin_sign_in(&self, head: &RequestHeader, address: WorkspaceAddress) -> Reply {
        let target = head.uri.path_and_query().map_or("/", |path| path.as_str());
        callback::begin(&self.site, address, &head.headers, target)
    }

    fn forbidden(&self, address: WorkspaceAddress, forgets_session: bool) -> Reply {
        Reply::Forbidden {
            request: format!("{}/request-access?host={address}", self.site.base_url()),
            forgets_session,
        }
    }

    fn redeem(
        &self,
        head: &RequestHeader,
        request: &RequestContext,
        address: WorkspaceAddress,
    ) -> Next {
        if head.method != Method::GET {
            return Next::Answer(Reply::MethodNotAllowed, "method");
        }
        let redeemed = match self.sessions.verifier() {
            None => return Next::Answer(Reply::NotReady, "not_ready"),
            Some(verifier) => callback::redeem(
                &Desk {
                    verifier: &verifier,
                    used: &self.used,
                    keys: &self.keys,
                    session_lifetime: self.session_lifetime.min(workspace_session::LIFETIME),
                    now: self.clock.now(),
                    is_revoked: |session| self.sessions.is_revoked(session),
                },
                address,
                &request.host,
                head.uri.query(),
                &head.headers,
                (
                    self.routes.find(address.workspace).as_deref(),
                    self.sessions.sharing().find(address).as_deref(),
                ),
            ),
        };
        match redeemed {
            Ok(reply) => Next::Answer(reply, ""),
            Err(error @ CallbackError::NotShared) => {
                Next::Answer(self.forbidden(address, true), error.as_str())
            }
            Err(error) => Next::Answer(self.sign_in_failed(request, &error), error.as_str()),
        }
    }

    fn sign_in_failed(&self, request: &RequestContext, error: &CallbackError) -> Reply {
        tracing::info!(
            request.id = request.id,
            "a sign-in to a workspace host did not succeed: {}",
            error.as_str()
        );
        Reply::SignInFailed {
            retry: format!("https://{}/", request.host),
        }
    }

    fn not_running(&self, address: WorkspaceAddress, target: &Target) -> Reply {
        let control = self.control_page(address);
        match target {
            Target::Starting => Reply::Starting,
            Target::Stopping => Reply::Stopping { control },
            Target::Failed { message } => Reply::Failed {
                reason: message.clone(),
                control,
            },
            Target::Stopped | Target::Running(_) => Reply::Stopped { control },
        }
    }

    fn control_page(&self, address: WorkspaceAddress) -> String {
        format!("{}/workspace/{}", self.site.base_url(), address.workspace)
    }

    /// Says what a failed upstream means to whoever asked. `None` when there is nobody to tell.
    fn explain(&self, error: &Error, request: &RequestContext) -> Option<Reply> {
        if let ErrorType::HTTPStatus(code) = error.etype() {
            return Some(match code {
                401 => Reply::Unauthenticated,
                408 => Reply::RequestTimeout,
                413 => Reply::BodyTooLarge,
                400..500 => Reply::BadRequest,
                _ => Reply::Internal,
            });
        }
        match error.esource() {
            ErrorSource::Downstream => match error.etype() {
                ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => None,
                ErrorType::ReadTimedout => Some(Reply::RequestTimeout),
                _ => Some(Reply::BadRequest),
            },
            ErrorSource::Upstream => Some(match request.kind {
                Kind::Workspace(address) => self.explain_workspace(error, request, address),
                Kind::App | Kind::Unknown => Reply::ControlPlaneAway,
            }),
            ErrorSource::Internal | ErrorSource::Unset => Some(Reply::Internal),
        }
    }

    fn explain_workspace(
        &self,
        error: &Error,
        request: &RequestContext,
        address: WorkspaceAddress,
    ) -> Reply {
        let failure = request.dial_failure.lock().expect("no holder panics");
        match (&*failure, address.surface) {
            (Some(ConnectError::Refused { .. }), Surface::Port(port)) => Reply::PortClosed { port },
            (Some(ConnectError::NotReady), _) => Reply::Starting,
            (Some(ConnectError::Timeout), _) => Reply::WorkspaceSilent,
            (None, _) if matches!(error.etype(), ErrorType::ReadTimedout) => Reply::WorkspaceSilent,
            _ => Reply::WorkspaceUnreachable {
                control: self.control_page(address),
            },
        }
    }

    async fn answer(
        &self,
        session: &mut Session,
        request: &mut RequestContext,
        reply: &Reply,
    ) -> Result<()> {
        let head = session.req_header();
        let is_head = head.method == Method::HEAD;
        let (answer, body) = reply.write(&self.policies, &request.id, is_for_people(head))?;
        if reply.status() >= 400 && !session.as_downstream_mut().is_body_empty() {
            // What the client is still sending is not worth reading.
            session.as_downstream_mut().set_keepalive(None);
        }
        request.status = Some(reply.status());
        let is_bare = is_head || body.is_empty();
        session
            .write_response_header(Box::new(answer), is_bare)
            .await?;
        if !is_bare {
            session
                .write_response_body(Some(Bytes::from(body)), true)
                .await?;
        }
        Ok(())
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
        match self.judge(session, request) {
            Next::Forward => Ok(false),
            Next::Answer(reply, reason) => {
                if !reason.is_empty() {
                    request.denied = Some(reason);
                    self.metrics.denied(reason);
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
        // Of somebody who is not signed in nothing limits how many such bodies they send.
        let may_converse = request
            .permit
            .as_ref()
            .is_some_and(|permit| permit.visit().right.is_some());
        let watch = request
            .body
            .get_or_insert_with(|| self.limits.watch(headers, may_converse));
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
        _session: &mut Session,
        request: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        match (request.kind, &request.permit) {
            (Kind::App, None) => self.upstream.web(),
            (Kind::Workspace(_), Some(permit)) => {
                self.upstream.workspace(permit, &request.dial_failure)
            }
            // `judge` forwards nothing else; were it ever to, nothing is reached.
            _ => Error::e_explain(ErrorType::InternalError, "a request without a permit"),
        }
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        descriptor: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        request: &mut RequestContext,
    ) -> Result<()> {
        let Some(permit) = &request.permit else {
            return Ok(());
        };
        let (session, visit) = (permit.session(), permit.visit());
        let Some(handle) = self.upstreams.find(descriptor) else {
            return Error::e_explain(ErrorType::InternalError, "a connection nobody opened");
        };
        request.live = Some(self.live.enter(session, visit, handle));
        // Asked again now that a revocation would find the entry: between the judgement and this
        // moment it would have found nothing to cut.
        if self.sessions.is_revoked(session) || self.sessions.sharing().is_over(&visit) {
            return Error::e_explain(ErrorType::HTTPStatus(401), "the session has just ended");
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
            host: &request.host,
            request_id: &request.id,
        };
        match request.kind {
            Kind::App => headers::to_web(head, added, self.token.as_ref()),
            Kind::Workspace(_) | Kind::Unknown => headers::to_workspace(head, added),
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        request: &mut RequestContext,
    ) -> Result<()> {
        request.upstream_took = request.forwarded.map(|since| since.elapsed());
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            if !session.req_header().headers.contains_key(UPGRADE) {
                // Both ends would go on to read the same bytes in different ways.
                let uninvited = "the upstream switched protocols without being asked to";
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, uninvited).into_up());
            }
            // A WebSocket may be quiet for as long as it likes.
            session.as_downstream_mut().set_read_timeout(None);
            request.websocket = Some(Open::count(&self.metrics.websockets));
        } else if answer.status.is_informational() {
            return Ok(());
        }
        match request.kind {
            Kind::App => self.policies.ours(answer, &request.id),
            Kind::Workspace(_) | Kind::Unknown => self.policies.from_workspace(answer, &request.id),
        }
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut RequestContext,
    ) -> FailToProxy {
        let is_answered = session.response_written().is_some();
        let code = match self.explain(error, request).filter(|_| !is_answered) {
            None => 0,
            Some(reply) => {
                request.denied = Some(reply.code());
                self.metrics.denied(reply.code());
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
            self.metrics
                .answered(request.kind.as_str(), status, duration);
        }
        if let Some(error) = error
            && error.esource() != &ErrorSource::Downstream
        {
            tracing::warn!(
                request.id = request.id,
                route.kind = request.kind.as_str(),
                host = request.host,
                "a request failed: {error}"
            );
        }
        access_log::write(downstream, request, status, duration);
        // Open things end with the request, not with its keep-alive connection.
        request.live = None;
        request.websocket = None;
    }
}

/// Says whom to write to about a weakness. Source: RFC 9116. It asks to be read anew within a
/// year; ours is always half a year from its end.
fn security_txt(contact: &str, base_url: &str, now: kalpana_domain::Timestamp) -> String {
    let expires = now + Duration::from_secs(182 * 86_400);
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("Contact: {contact}\nExpires: {expires}\nCanonical: {base_url}{SECURITY_TXT}\n")
}

fn is_navigation(head: &RequestHeader) -> bool {
    let accept = head.headers.get(http::header::ACCEPT);
    fetch::is_navigation(
        head.method.as_str(),
        authorize::fetch_headers(&head.headers),
        accept.map(http::HeaderValue::as_bytes),
    )
}

/// Tells whether an answer of ours should be a page: for navigations, and for whoever asks for
/// HTML without saying what for.
fn is_for_people(head: &RequestHeader) -> bool {
    let mode = head.headers.get("sec-fetch-mode");
    let accept = head.headers.get(http::header::ACCEPT);
    match mode {
        Some(mode) => mode.as_bytes() == b"navigate",
        None => accept.is_some_and(|accept| {
            let accept = accept.as_bytes().to_ascii_lowercase();
            accept
                .windows(b"text/html".len())
                .any(|part| part == b"text/html")
        }),
    }
}
