//! What is to be done with a request, by its head and by what is in memory. No I/O.
//!
//! Both ways through the gateway ask here: [`proxy`](crate::proxy) for all requests, and
//! [`tunnel`](crate::tunnel) for WebSockets.

mod meaning;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::UPGRADE;
use kalpana_auth::ticket::UsedTickets;
use kalpana_auth::workspace_session::{self, KeyRing};
use kalpana_bridge_client::ConnectError;
use kalpana_certs::Resolver;
use kalpana_config::Site;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::clock::Clock;
use pingora_http::RequestHeader;
use tokio_util::sync::CancellationToken;

use crate::authenticate;
use crate::authorize::{self, Permit, Refusal, Rules};
use crate::callback::{self, CallbackError, Desk};
use crate::client::TrustedProxies;
use crate::headers::{self, Policies};
use crate::host::{Host, Hosts, Ports};
use crate::limit::Limits;
use crate::live::{Entry, Live, Switch};
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::rate::Rates;
use crate::request::{Kind, RequestContext};
use crate::respond::Reply;
use crate::routes::{Routes, Target};
use crate::sessions::Sessions;
use crate::waker::{Visitor, Waker};
pub use meaning::is_for_people;
use meaning::{is_navigation, shows, wakes};

/// Where whom to write to about a weakness is told.
const SECURITY_TXT: &str = "/.well-known/security.txt";

/// Everything that judging a request needs, all of it in memory.
pub struct Judge {
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
    /// What workspace sessions are made with.
    pub keys: KeyRing,
    /// Which tickets were used.
    pub used: UsedTickets,
    /// Counts.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What a request may bring.
    pub limits: Limits,
    /// Which certificate stands for which host.
    pub certificates: Arc<Resolver>,
    /// Proxies in front of us, which use their connections for whatever they are asked for.
    pub trusted: TrustedProxies,
    /// How often requests may come.
    pub rates: Arc<Rates>,
    /// Whom to write to about a weakness of this site.
    pub security_contact: Option<String>,
    /// How long workspace sessions last.
    pub session_lifetime: Duration,
    /// Who was where.
    pub presence: Arc<Presence>,
    /// Who wakes what sleeps.
    pub waker: Waker,
    /// Cancelled when another process has taken over.
    pub left: CancellationToken,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Judge").finish_non_exhaustive()
    }
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Next {
    /// Forward it.
    Forward,
    /// Wake the workspace, then judge it again.
    Wake(Visitor),
    /// Answer it. The reason is empty when nothing was refused.
    Answer(Reply, &'static str),
}

impl Judge {
    /// Judges a request by its head, which is so many bytes long, and notes in `request` what it
    /// is. One that is to be forwarded to a workspace has a permit there.
    pub fn judge(
        &self,
        head: &RequestHeader,
        head_bytes: usize,
        request: &mut RequestContext,
    ) -> Next {
        if self.limits.is_head_too_large(&head.headers, head_bytes) {
            return Next::Answer(Reply::HeadTooLarge, "head_too_large");
        }
        if self.limits.announces_too_much(&head.headers) {
            return Next::Answer(Reply::BodyTooLarge, "body_too_large");
        }
        if let Err(too_many) = self.rates.client(request.client) {
            return Next::Answer(Reply::TooManyRequests(too_many), "rate_address");
        }
        // Answered before the host is looked at: none has a use behind a gateway, and the last is
        // only there to frighten servers of HTTP/1 (RFC 9113, section 3.4).
        if matches!(head.method.as_str(), "CONNECT" | "TRACE" | "PRI") {
            return Next::Answer(Reply::MethodNotAllowed, "method");
        }
        let Some(host) = headers::requested_host(&head.headers, &head.uri) else {
            return Next::Answer(Reply::BadRequest, "bad_host");
        };
        let meant = self.hosts.parse(host, Ports::Own);
        request.origin = match meant {
            Host::App => self.hosts.app_origin().to_owned(),
            Host::Workspace(address) => self.hosts.workspace_origin(address),
            Host::Unknown | Host::Foreign | Host::Bad => String::new(),
        };
        if self.needs_other_certificate(request) {
            return Next::Answer(Reply::OtherCertificate, "other_certificate");
        }
        match meant {
            Host::App => {
                request.kind = Kind::App;
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
                self.judge_workspace(head, request, address)
            }
            Host::Unknown => Next::Answer(Reply::NotFound, "unknown_host"),
            Host::Foreign => Next::Answer(Reply::Misdirected, "foreign_host"),
            Host::Bad => Next::Answer(Reply::BadRequest, "bad_host"),
        }
    }

    /// Tells whether a request came over a connection that was made for another name, whose
    /// certificate does not stand for this one. Source: RFC 9110, section 15.5.20.
    fn needs_other_certificate(&self, request: &RequestContext) -> bool {
        let host = request.host();
        let host = host.split_once(':').map_or(host, |(name, _)| name);
        if host.is_empty() {
            return false;
        }
        request.facts.as_ref().is_some_and(|facts| {
            let is_good = |name: &str| self.certificates.is_good_for(name, host);
            !self.trusted.contains(facts.client.ip())
                && facts
                    .server_name
                    .as_deref()
                    .is_some_and(|name| !is_good(name))
        })
    }

    /// Judges a request, and wakes the workspace it is for where whoever sends it means to go there:
    /// the request waits meanwhile, and is none the wiser.
    pub async fn decide(
        &self,
        head: &RequestHeader,
        head_bytes: usize,
        request: &mut RequestContext,
    ) -> Next {
        let next = self.judge(head, head_bytes, request);
        let (Next::Wake(visitor), Kind::Workspace(address)) = (&next, request.kind) else {
            return next;
        };
        if let Err(error) = self
            .waker
            .wake(address.workspace, *visitor, request.client)
            .await
        {
            tracing::warn!(
                request.id, host = request.host(), %error,
                "the workspace could not be woken: {error}"
            );
        }
        // Whatever became of it: it may have been stopped, and is started then.
        match self.judge_workspace(head, request, address) {
            // It could not be woken, or was put to sleep again in that very moment.
            Next::Wake(_) => Next::Answer(self.not_woken(address), "not_woken"),
            next => next,
        }
    }

    fn not_woken(&self, address: WorkspaceAddress) -> Reply {
        Reply::NotWoken {
            control: self.control_page(address),
        }
    }

    fn judge_workspace(
        &self,
        head: &RequestHeader,
        request: &mut RequestContext,
        address: WorkspaceAddress,
    ) -> Next {
        if !self.sessions.is_heard() || !self.routes.is_known() {
            return Next::Answer(Reply::NotReady, "not_ready");
        }
        let path = head.uri.path();
        if path == callback::PATH {
            return self.redeem(head, request, address);
        }
        if callback::is_own_path(path) {
            return Next::Answer(Reply::NotFound, "own_path");
        }
        let now = self.clock.now();
        let proven = authenticate::authenticate(&head.headers, &self.keys, request.host(), now);
        let share = self.sessions.sharing().find(address);
        let own_origin = request.origin.as_str();
        request.sibling = authorize::origin::sibling(&head.headers, address, own_origin).cloned();
        let facts = authorize::Request {
            address,
            share: share.as_deref(),
            path,
            method: head.method.as_str(),
            is_upgrade: head.headers.contains_key(UPGRADE),
            headers: &head.headers,
            own_origin,
            control_origin: self.hosts.app_origin(),
        };
        let rules = Rules {
            now,
            session_lifetime: self.session_lifetime,
            is_revoked: |session| self.sessions.is_revoked(session),
        };
        let route = self.routes.find(address.workspace);
        match authorize::authorize(&facts, proven, route, &rules) {
            Ok(permit) if permit.visit().right.is_some() && self.sessions.is_stale() => {
                Next::Answer(Reply::ControlPlaneAway, "session_unsure")
            }
            Ok(permit) => {
                if let Err(too_many) = self.rates.user(permit.visit().right) {
                    return Next::Answer(Reply::TooManyRequests(too_many), "rate_user");
                }
                if let Err(too_many) = self.rates.workspace(address.workspace) {
                    return Next::Answer(Reply::TooManyRequests(too_many), "rate_workspace");
                }
                if let Some(kind) = shows(head, &permit.visit()) {
                    self.presence.note(address.workspace, kind);
                }
                request.permit = Some(permit);
                Next::Forward
            }
            Err(Refusal::OtherOrigin(reason)) => Next::Answer(Reply::OtherOrigin, reason),
            Err(Refusal::Preflight(allowed)) => {
                let reason = match &allowed {
                    Some(_) => "",
                    None => "preflight_other_origin",
                };
                Next::Answer(Reply::Preflight(allowed), reason)
            }
            Err(Refusal::NotRunning {
                route,
                visit,
                session,
            }) => {
                let is_owner = visit.is_owners();
                if is_owner && matches!(route.target, Target::Stopped) && wakes(head) {
                    return Next::Answer(self.begin_sign_in(head, address), "wakes");
                }
                let visitor = visit.user().map(|user| Visitor { user, session });
                if let Some(visitor) = visitor
                    && matches!(
                        route.target,
                        Target::Paused {
                            stays_asleep: false
                        }
                    )
                    && wakes(head)
                {
                    if self.sessions.is_stale() {
                        return Next::Answer(Reply::ControlPlaneAway, "session_unsure");
                    }
                    if let Err(too_many) = self.rates.user(visit.right) {
                        return Next::Answer(Reply::TooManyRequests(too_many), "rate_user");
                    }
                    return Next::Wake(visitor);
                }
                let reply = if is_owner {
                    self.not_running(address, &route.target)
                } else {
                    Reply::SharedNotRunning
                };
                Next::Answer(reply, "not_running")
            }
            Err(Refusal::StartedSince) => {
                Next::Answer(Reply::Starting { step: None }, "not_running")
            }
            Err(Refusal::Unauthenticated(reason)) => {
                let reply = if is_navigation(head) && !facts.is_upgrade {
                    self.begin_sign_in(head, address)
                } else {
                    unauthenticated(request)
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
            Err(Refusal::LinkOver(reason)) => Next::Answer(Reply::LinkOver, reason),
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
        if self.sessions.is_stale() {
            return Next::Answer(Reply::ControlPlaneAway, "session_unsure");
        }
        if self.left.is_cancelled() {
            // Only the process that has taken over knows which tickets are used from now on.
            return Next::Answer(Reply::NotReady, "not_ready");
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
                request.host(),
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
            Err(error @ CallbackError::LinkOver) => Next::Answer(Reply::LinkOver, error.as_str()),
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
            retry: format!("{}/", request.origin),
        }
    }

    fn not_running(&self, address: WorkspaceAddress, target: &Target) -> Reply {
        let control = self.control_page(address);
        match target {
            Target::Starting { step } => Reply::Starting { step: step.clone() },
            Target::Stopping => Reply::Stopping { control },
            Target::Failed { message } => Reply::Failed {
                reason: message.to_string(),
                control,
            },
            Target::Paused { .. } => Reply::Asleep { control },
            Target::Stopped | Target::Running(_) => Reply::Stopped { control },
        }
    }

    fn control_page(&self, address: WorkspaceAddress) -> String {
        format!("{}/workspace/{}", self.site.base_url(), address.workspace)
    }

    /// Says what it means that a workspace could not be reached. Which other ports are open there is
    /// for the owner to know.
    pub fn explain_unreachable(
        &self,
        failure: Option<&ConnectError>,
        address: WorkspaceAddress,
        is_owner: bool,
    ) -> Reply {
        match (failure, address.surface) {
            (Some(ConnectError::Refused { listening, .. }), Surface::Port(port)) => {
                let listening = listening.iter().filter(|_| is_owner);
                let url = |port| {
                    let surface = Surface::Port(port);
                    let address = WorkspaceAddress { surface, ..address };
                    (port, self.site.workspace_url(&address.to_string()))
                };
                Reply::PortClosed {
                    port,
                    listening: listening.map(url).collect(),
                }
            }
            (Some(ConnectError::NotReady), _) => Reply::Starting { step: None },
            (Some(ConnectError::Timeout), _) => Reply::WorkspaceSilent,
            _ => Reply::WorkspaceUnreachable {
                control: self.control_page(address),
            },
        }
    }

    /// Enters a request that was let in among what is open; `None` when its permission has ended
    /// since it was judged, which nothing would have found to cut.
    pub fn enter(&self, permit: &Permit, switch: &Switch) -> Option<Entry> {
        let (route, visit) = (permit.route(), permit.visit());
        let entry = self.live.enter(permit.session(), visit, switch);
        let is_current = self
            .routes
            .find(route.workspace)
            .is_some_and(|current| current.generation == route.generation && current.runs());
        let is_over = self.sessions.is_revoked(permit.session())
            || self.sessions.sharing().is_over(&visit)
            || (visit.right.is_some() && self.sessions.is_stale());
        (is_current && !is_over).then_some(entry)
    }

    /// Tells whether a request is for a workspace's host, of whichever kind.
    pub fn is_for_workspace(&self, head: &RequestHeader) -> bool {
        headers::requested_host(&head.headers, &head.uri)
            .is_some_and(|host| matches!(self.hosts.parse(host, Ports::Own), Host::Workspace(_)))
    }
}

/// Refuses a request that is none to redirect, and says where a browser may sign in to its host.
pub fn unauthenticated(request: &RequestContext) -> Reply {
    Reply::Unauthenticated {
        sign_in: format!("{}/", request.origin),
    }
}

/// Says whom to write to about a weakness. Source: RFC 9116. It asks to be read anew within a
/// year; ours is always half a year from its end.
fn security_txt(contact: &str, base_url: &str, now: kalpana_domain::Timestamp) -> String {
    let expires = now + Duration::from_secs(182 * 86_400);
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("Contact: {contact}\nExpires: {expires}\nCanonical: {base_url}{SECURITY_TXT}\n")
}
