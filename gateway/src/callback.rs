//! `/.kalpana/cb`: a ticket from the control plane becomes this host's own session.
//!
//! A workspace's own service worker sees this navigation and with it the ticket. That is why a
//! ticket is good once, for one host, for a minute, and only together with the nonce cookie that
//! this browser was given before and that no script can read.

use http::HeaderMap;
use kalpana_auth::cookie::Cookie;
use kalpana_auth::nonce::{Nonce, Nonces};
use kalpana_auth::ticket::{Ticket, TicketError, TicketVerifier, UsedTickets};
use kalpana_auth::workspace_session::{KeyRing, WorkspaceGrant};
use kalpana_config::Site;
use kalpana_domain::Timestamp;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::SessionId;
use kalpana_domain::sharing::Right;
use url::form_urlencoded;

use crate::authenticate;
use crate::respond::Reply;
use crate::routes::Route;
use crate::sharing::Shared;

/// Every path below this on a workspace host is the gateway's.
pub const OWN_PATHS: &str = "/.kalpana";

/// The path of the callback.
pub const PATH: &str = "/.kalpana/cb";

/// Longest path that a sign-in returns to; a longer one is forgotten.
const RETURN_LIMIT: usize = 4096;

/// Tells whether a path on a workspace host is the gateway's own. Compared as it came: what an
/// upstream might make of an escaped or doubled slash is the upstream's alone.
pub fn is_own_path(path: &str) -> bool {
    path.strip_prefix(OWN_PATHS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why a ticket did not become a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackError {
    /// The query has none.
    NoTicket,
    /// It is not good, or not here or now, or not any more.
    Ticket(TicketError),
    /// This browser did not begin the sign-in.
    NoNonce,
    /// It is for another workspace, or the workspace is not what it was.
    OtherRoute,
    /// The port is not shared with who has it, or not any more.
    NotShared,
    /// The link that it was made for has ended.
    LinkOver,
    /// Its control session has ended.
    Revoked,
}

impl CallbackError {
    /// Returns the reason's name, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoTicket => "no_ticket",
            Self::Ticket(TicketError::Expired) => "ticket_expired",
            Self::Ticket(TicketError::OtherHost) => "ticket_other_host",
            Self::Ticket(TicketError::Replayed) => "ticket_replayed",
            Self::Ticket(_) => "ticket_forged",
            Self::NoNonce => "ticket_without_nonce",
            Self::OtherRoute => "ticket_other_route",
            Self::NotShared => "ticket_not_shared",
            Self::LinkOver => "ticket_link_over",
            Self::Revoked => "ticket_revoked",
        }
    }
}

/// What a ticket is judged by.
#[derive(Debug)]
pub struct Desk<'a, R> {
    /// Who signs tickets.
    pub verifier: &'a TicketVerifier,
    /// Which were used.
    pub used: &'a UsedTickets,
    /// What sessions are made with.
    pub keys: &'a KeyRing,
    /// How long sessions last.
    pub session_lifetime: std::time::Duration,
    /// The time.
    pub now: Timestamp,
    /// Whether a control session has ended.
    pub is_revoked: R,
}

/// Redeems the ticket in `query` for a session of `host`, and returns the redirect to the page
/// that was asked for in the first place. `found` is what is known of the workspace and of how the
/// port is shared.
///
/// # Errors
/// [`CallbackError`]; the ticket is then still good, unless it was used before.
pub fn redeem(
    desk: &Desk<'_, impl Fn(SessionId) -> bool>,
    address: WorkspaceAddress,
    host: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    found: (Option<&Route>, Option<&Shared>),
) -> Result<Reply, CallbackError> {
    let field = |name| {
        let mut fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        fields
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    };
    let text = field("t").ok_or(CallbackError::NoTicket)?;
    let ticket = desk
        .verifier
        .verify(&text, host, desk.now)
        .map_err(CallbackError::Ticket)?;
    let mut nonces = authenticate::nonces(headers);
    if !nonces.contains(&ticket.grant.rid) {
        return Err(CallbackError::NoNonce);
    }
    let Ticket { grant, .. } = &ticket;
    let (route, share) = found;
    let fits = |route: &&Route| {
        route.workspace == grant.workspace
            && match grant.right {
                // A visit that starts the workspace comes back before the feed has told so.
                Right::Owner(user) => route.owner == user && route.generation <= grant.generation,
                _ => route.generation == grant.generation,
            }
    };
    let Some(route) = route.filter(fits) else {
        return Err(CallbackError::OtherRoute);
    };
    if grant.workspace != address.workspace {
        return Err(CallbackError::OtherRoute);
    }
    let is_owner = matches!(grant.right, Right::Owner(_));
    let is_shared =
        share.is_some_and(|share| share.admits(Some(grant.right), desk.now, route.generation));
    if !is_owner && !is_shared {
        return Err(match (grant.right, address.surface) {
            (Right::Link(_), Surface::Port(_)) => CallbackError::LinkOver,
            // A link never led to an editor.
            _ => CallbackError::NotShared,
        });
    }
    if (desk.is_revoked)(grant.session) {
        return Err(CallbackError::Revoked);
    }
    // Last, so that only a ticket that is worth a session is used up.
    desk.used
        .consume(&ticket, desk.now)
        .map_err(CallbackError::Ticket)?;
    nonces.remove(&grant.rid);
    let session = desk.keys.mint(
        &WorkspaceGrant {
            session: grant.session,
            right: grant.right,
            address,
            generation: grant.generation,
        },
        host,
        desk.now,
    );
    Ok(Reply::Redirect {
        location: safe_return(field("to").as_deref()).to_owned(),
        cookies: vec![
            Cookie::WorkspaceSession.set(&session, desk.session_lifetime),
            nonce_cookie(&nonces),
        ],
    })
}

/// Returns the redirect that begins a sign-in to a workspace host and comes back to `target`.
pub fn begin(site: &Site, address: WorkspaceAddress, headers: &HeaderMap, target: &str) -> Reply {
    let nonce = Nonce::generate();
    let rid = nonce.rid();
    let mut nonces = authenticate::nonces(headers);
    nonces.add(nonce);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("host", &address.to_string())
        .append_pair("rid", &rid)
        .append_pair("to", safe_return(Some(target)))
        .finish();
    Reply::Redirect {
        location: format!("{}/auth/workspace?{query}", site.base_url()),
        cookies: vec![nonce_cookie(&nonces)],
    }
}

fn nonce_cookie(nonces: &Nonces) -> String {
    match nonces.to_value() {
        Some(value) => Cookie::WorkspaceNonce.set(&value, Nonces::LIFETIME),
        None => Cookie::WorkspaceNonce.clear(),
    }
}

/// Returns the path to come back to: one on this host, or `/` when `wanted` could lead elsewhere.
pub fn safe_return(wanted: Option<&str>) -> &str {
    let is_safe = |path: &&str| {
        path.len() <= RETURN_LIMIT
            && path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && path.bytes().all(|byte| byte.is_ascii_graphic())
            && !is_own_path(path)
    };
    wanted.filter(is_safe).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_leads_to_this_host_only() {
        for path in [
            "/",
            "/?folder=/workspace",
            "/a/b?c=d&e=%20#f",
            "/.kalpana2",
            "/a//b",
        ] {
            assert_eq!(safe_return(Some(path)), path);
        }
        let long = format!("/{}", "a".repeat(8192));
        for path in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https:evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/%09/\nevil",
            "/a b",
            "/caf\u{e9}",
            "/a\\b",
            "/.kalpana/cb?t=x",
            &long,
        ] {
            assert_eq!(safe_return(Some(path)), "/", "{path:?}");
        }
        assert_eq!(safe_return(None), "/");
    }

    #[test]
    fn own_paths_are_compared_as_they_came() {
        for path in [
            "/.kalpana",
            "/.kalpana/",
            "/.kalpana/cb",
            "/.kalpana/%2e%2e/x",
        ] {
            assert!(is_own_path(path), "{path}");
        }
        for path in [
            "/",
            "/.kalpanax",
            "//.kalpana/cb",
            "/.KALPANA/cb",
            "/%2ekalpana/cb",
            "/x/.kalpana/",
        ] {
            assert!(!is_own_path(path), "{path}");
        }
    }
}
