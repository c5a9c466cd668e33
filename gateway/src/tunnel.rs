//! WebSockets to workspaces, past Pingora: what is open for hours must cost little.
//!
//! The first request of an HTTP/1 connection ([`head`](crate::head)) and an extended `CONNECT` of
//! an HTTP/2 one (RFC 8441) come here. Both are judged like every other request. Then [`open`] asks
//! the workspace over HTTP/1, and [`pump`] passes bytes until either side ends or [`control`] cuts
//! it, in which case the client is told why in a close frame of its own. [`frames`] says where one
//! may be put. A WebSocket that is asked for later on a connection's life goes through Pingora,
//! which serves it as well, in more memory and without the goodbye.

pub mod control;
pub mod frames;
mod h2;
mod open;
pub mod pump;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pingora_core::protocols::http::v2::server::HttpSession;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::access_log::{self, Ended};
use crate::authorize::Permit;
use crate::client::TrustedProxies;
use crate::connection::{Facts, Stream};
use crate::headers::{self, Added};
use crate::judge::{self, Judge, Next};
use crate::limit;
use crate::live::{Entry, Switch};
use crate::metrics::Open;
use crate::request::{Kind, RequestContext};
use crate::respond::Reply;
use crate::routes;
use crate::upstream::CONNECT_LIMIT;
use control::Control;
use open::{Answer, OpenError};
use pump::{End, Pump};

/// Longest wait for a client to take the answer to its upgrade.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What tunnels are served with.
#[derive(Debug)]
pub struct Tunnels {
    /// Decides.
    pub judge: Arc<Judge>,
    /// Proxies in front of us whose word on the client is taken.
    pub trusted: TrustedProxies,
    /// How long a client may be quiet until it is asked whether it is there.
    pub ping: Duration,
}

/// A workspace that agreed to a tunnel.
struct Agreed {
    head: ResponseHeader,
    workspace: tokio::net::UnixStream,
    early: Bytes,
    control: Arc<Control>,
    entry: Entry,
}

/// What a client is to be told.
enum Outcome {
    Agreed(Agreed),
    Declined(ResponseHeader, Incoming),
    Refused(Reply, &'static str),
}

impl Tunnels {
    /// Serves an upgrade over HTTP/1, `head_bytes` long, that is all a connection has sent so far.
    pub async fn serve_http1(
        &self,
        mut stream: Box<Stream>,
        head: Box<RequestHeader>,
        head_bytes: usize,
        facts: Arc<Facts>,
    ) {
        let mut line = Line::new(&head, 1);
        let is_for_people = judge::is_for_people(&head);
        let mut request = self.begin(&head, facts);
        let outcome = Box::pin(self.ask(*head, head_bytes, &mut request)).await;
        let agreed = match outcome {
            Outcome::Agreed(mut agreed) => {
                let head = &mut agreed.head;
                let _ = head.insert_header(CONNECTION, "Upgrade");
                let _ = head.insert_header(UPGRADE, "websocket");
                let bytes = to_wire(&agreed.head);
                if write_all(&mut stream, &bytes).await.is_err() {
                    self.end(&line, &request);
                    return;
                }
                agreed
            }
            Outcome::Declined(head, body) => {
                line.status = head.status.as_u16();
                line.sent = Box::pin(pass_on(&mut stream, head, body)).await;
                self.end(&line, &request);
                return;
            }
            Outcome::Refused(reply, reason) => {
                self.refuse(&reply, reason, &mut request);
                line.status = reply.status();
                if let Ok((mut head, body)) =
                    reply.write(&self.judge.policies, &request.id, is_for_people)
                {
                    let _ = head.insert_header(CONNECTION, "close");
                    let mut bytes = to_wire(&head);
                    bytes.extend_from_slice(body.as_bytes());
                    if write_all(&mut stream, &bytes).await.is_ok() {
                        line.sent = body.len() as u64;
                    }
                    let _ = stream.shutdown().await;
                }
                self.end(&line, &request);
                return;
            }
        };
        line.status = 101;
        self.pump(stream, agreed, line, request).await;
    }

    /// Serves an extended `CONNECT` for a WebSocket on one stream of an HTTP/2 connection.
    pub async fn serve_http2(&self, mut session: HttpSession, facts: Arc<Facts>) {
        let head_bytes = limit::list_size(session.req_header());
        let is_for_people = judge::is_for_people(session.req_header());
        let mut request = self.begin(session.req_header(), facts);
        let mut line = Line::new(session.req_header(), 2);
        let outcome = match to_upgrade(session.req_header()) {
            Some(head) => Box::pin(self.ask(head, head_bytes, &mut request)).await,
            None => Outcome::Refused(Reply::BadRequest, "bad_host"),
        };
        let agreed = match outcome {
            Outcome::Agreed(mut agreed) => {
                // What HTTP/2 has instead of switching protocols.
                let _ = agreed.head.set_status(StatusCode::OK);
                agreed.head.remove_header(&SEC_WEBSOCKET_ACCEPT);
                agreed
            }
            Outcome::Declined(head, body) => {
                line.status = head.status.as_u16();
                line.sent = Box::pin(pass_on_h2(&mut session, head, body)).await;
                self.end(&line, &request);
                return;
            }
            Outcome::Refused(reply, reason) => {
                self.refuse(&reply, reason, &mut request);
                line.status = reply.status();
                if let Ok((head, body)) =
                    reply.write(&self.judge.policies, &request.id, is_for_people)
                {
                    line.sent = body.len() as u64;
                    let is_bare = body.is_empty();
                    if session
                        .write_response_header(Box::new(head), is_bare)
                        .is_ok()
                        && !is_bare
                    {
                        let _ = session.write_body(Bytes::from(body), true).await;
                    }
                }
                self.end(&line, &request);
                return;
            }
        };
        line.status = 200;
        let head = Box::new(agreed.head.clone());
        let is_written = session.write_response_header(head, false).is_ok();
        match h2::H2Stream::new(session).filter(|_| is_written) {
            Some(stream) => self.pump(stream, agreed, line, request).await,
            None => self.end(&line, &request),
        }
    }

    fn begin(&self, head: &RequestHeader, facts: Arc<Facts>) -> RequestContext {
        let mut request = RequestContext::new();
        request.client = Some(self.trusted.client(facts.client.ip(), &head.headers));
        request.facts = Some(facts);
        request
    }

    /// Judges an upgrade and asks the workspace for it.
    async fn ask(
        &self,
        mut head: RequestHeader,
        head_bytes: usize,
        request: &mut RequestContext,
    ) -> Outcome {
        match self.judge.judge(&head, head_bytes, request) {
            Next::Forward => {}
            // Editors that have lost their connection try again by themselves: nobody meant it.
            Next::Wake(_) => return Outcome::Refused(Reply::Internal, "internal"),
            Next::Answer(reply, reason) => return Outcome::Refused(reply, reason),
        }
        let (Kind::Workspace(address), Some(permit)) = (request.kind, request.permit.clone())
        else {
            // The control plane has no WebSockets.
            return Outcome::Refused(Reply::NotFound, "no_websocket");
        };
        request.forwarded = Some(Instant::now());
        let target = routes::bridge_target(permit.surface());
        let now = self.judge.clock.now();
        let Some(bridge) = permit.route().bridge(&self.judge.site) else {
            return Outcome::Refused(Reply::Internal, "internal");
        };
        let workspace = match bridge.connect(target, now, CONNECT_LIMIT).await {
            Ok(workspace) => workspace,
            Err(error) => {
                let reply =
                    self.judge
                        .explain_unreachable(Some(&error), address, request.is_owners());
                let reason = reply.code();
                tracing::warn!(request.id, host = request.host(), "no tunnel: {error}");
                return Outcome::Refused(reply, reason);
            }
        };
        let added = Added {
            client: request.client,
            host: request.host(),
            request_id: &request.id,
        };
        headers::strip_hop_by_hop(&mut head);
        if headers::to_workspace(&mut head, added, address.surface).is_err() {
            return Outcome::Refused(Reply::Internal, "internal");
        }
        let answer = open::open(workspace, &head).await;
        request.upstream_took = request.forwarded.map(|since| since.elapsed());
        self.weigh(answer, &permit, request)
    }

    fn weigh(
        &self,
        answer: Result<Answer, OpenError>,
        permit: &Permit,
        request: &RequestContext,
    ) -> Outcome {
        let policies = &self.judge.policies;
        match answer {
            Ok(Answer::Switched(mut head, workspace, early)) => {
                if policies.from_workspace(&mut head, &request.id).is_err() {
                    return Outcome::Refused(Reply::Internal, "internal");
                }
                let control = Arc::<Control>::default();
                let switch = Switch::Tunnel(Arc::clone(&control));
                match self.judge.enter(permit, &switch) {
                    Some(entry) => Outcome::Agreed(Agreed {
                        head,
                        workspace,
                        early,
                        control,
                        entry,
                    }),
                    None => Outcome::Refused(judge::unauthenticated(request), "session_revoked"),
                }
            }
            Ok(Answer::Declined(mut head, body)) => {
                match policies.from_workspace(&mut head, &request.id) {
                    Ok(()) => Outcome::Declined(head, body),
                    Err(_) => Outcome::Refused(Reply::Internal, "internal"),
                }
            }
            Err(error) => {
                tracing::warn!(request.id, host = request.host(), "no tunnel: {error}");
                let reply = match (error, request.kind) {
                    (OpenError::Timeout, _) => Reply::WorkspaceSilent,
                    (_, Kind::Workspace(address)) => {
                        self.judge.explain_unreachable(None, address, false)
                    }
                    _ => Reply::Internal,
                };
                let reason = reply.code();
                Outcome::Refused(reply, reason)
            }
        }
    }

    fn refuse(&self, reply: &Reply, reason: &'static str, request: &mut RequestContext) {
        request.status = Some(reply.status());
        if !reason.is_empty() {
            request.denied = Some(reason);
            self.judge.metrics.denied(reason);
        }
    }

    async fn pump<C>(&self, client: C, agreed: Agreed, mut line: Line, mut request: RequestContext)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let _open = Open::count(&self.judge.metrics.websockets);
        let Agreed {
            head,
            workspace,
            early,
            control,
            entry,
        } = agreed;
        // Held for hours: only what its line in the log will need is kept.
        drop(head);
        request.permit = None;
        let pump = Pump::new(client, workspace, &early, self.ping, Arc::clone(&control));
        drop(early);
        let end = pump.await;
        drop(entry);
        let seen = control.seen();
        line.received = seen.received;
        line.sent = seen.sent;
        line.end = Some(end);
        self.judge.metrics.tunnel_ended(end.as_str());
        self.end(&line, &request);
    }

    fn end(&self, line: &Line, request: &RequestContext) {
        let duration = request.started.elapsed();
        let is_upgraded = line.end.is_some();
        if !is_upgraded {
            self.judge
                .metrics
                .answered(request.kind.as_str(), line.status, duration);
        }
        let ended = Ended {
            method: line.method,
            path: &line.path,
            status: line.status,
            duration,
            received: line.received,
            sent: line.sent,
            http: line.http,
            is_upgraded,
            end: line.end.map(End::as_str),
        };
        access_log::write(&ended, request);
    }
}

/// What the log will say.
struct Line {
    method: &'static str,
    path: Box<str>,
    http: u8,
    status: u16,
    received: u64,
    sent: u64,
    end: Option<End>,
}

impl Line {
    fn new(head: &RequestHeader, http: u8) -> Self {
        Self {
            method: if http == 2 { "CONNECT" } else { "GET" },
            path: access_log::shorten(head.uri.path()).into(),
            http,
            status: 0,
            received: 0,
            sent: 0,
            end: None,
        }
    }
}

/// Makes the upgrade that an extended `CONNECT` means. Source: RFC 8441, section 5. `None` when it
/// names no host, or two.
fn to_upgrade(connect: &RequestHeader) -> Option<RequestHeader> {
    let path = connect
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let host = headers::requested_host(&connect.headers, &connect.uri)?;
    let host = HeaderValue::from_bytes(host).ok()?;
    let mut head = RequestHeader::build(Method::GET, path.as_bytes(), None).ok()?;
    for (name, value) in &connect.headers {
        head.append_header(name.clone(), value.clone()).ok()?;
    }
    head.insert_header(HOST, host).ok()?;
    head.insert_header(CONNECTION, "Upgrade").ok()?;
    head.insert_header(UPGRADE, "websocket").ok()?;
    let key: [u8; 16] = rand::random();
    head.insert_header(SEC_WEBSOCKET_KEY, STANDARD.encode(key))
        .ok()?;
    Some(head)
}

/// Returns an answer's head as HTTP/1 writes it.
fn to_wire(head: &ResponseHeader) -> Vec<u8> {
    let reason = head.get_reason_phrase().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    head.header_to_h1_wire(&mut bytes);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

async fn write_all(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    tokio::time::timeout(ANSWER_LIMIT, write)
        .await
        .map_err(std::io::Error::other)?
}

/// Passes an answer on that is no upgrade, and ends the connection with it. Returns the length of
/// what was passed on of its body.
async fn pass_on(stream: &mut Stream, mut head: ResponseHeader, mut body: Incoming) -> u64 {
    let mut sent = 0;
    let _ = head.insert_header(CONNECTION, "close");
    if write_all(stream, &to_wire(&head)).await.is_err() {
        return sent;
    }
    // A body of no announced length ends with the connection.
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            if write_all(stream, data).await.is_err() {
                return sent;
            }
            sent += data.len() as u64;
        }
    }
    let _ = stream.shutdown().await;
    sent
}

async fn pass_on_h2(session: &mut HttpSession, head: ResponseHeader, mut body: Incoming) -> u64 {
    let mut sent = 0;
    session.set_write_timeout(Some(ANSWER_LIMIT));
    if session
        .write_response_header(Box::new(head), false)
        .is_err()
    {
        return sent;
    }
    while let Some(frame) = body.frame().await {
        // Left without its end, which resets the stream.
        let Ok(frame) = frame else { return sent };
        if let Ok(data) = frame.into_data() {
            let length = data.len() as u64;
            if session.write_body(data, false).await.is_err() {
                return sent;
            }
            sent += length;
        }
    }
    let _ = session.finish();
    sent
}
