//! Who a request to a workspace host claims to be, as far as its cookie proves it. No I/O.

use http::HeaderMap;
use http::header::COOKIE;
use kalpana_auth::cookie::{self, Cookie};
use kalpana_auth::nonce::Nonces;
use kalpana_auth::workspace_session::{KeyRing, WorkspaceSession, WorkspaceSessionError};
use kalpana_domain::Timestamp;

/// Why a request carries no proof of who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// It has no cookie of ours.
    NoCookie,
    /// It has two, so that one is somebody else's.
    Ambiguous,
    /// Its cookie is not what we make, not for this host, or over.
    Invalid(WorkspaceSessionError),
}

impl Unproven {
    /// Returns the reason's name, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCookie => "no_session",
            Self::Ambiguous => "ambiguous_cookie",
            Self::Invalid(WorkspaceSessionError::Malformed) => "session_malformed",
            Self::Invalid(WorkspaceSessionError::Forged) => "session_forged",
            Self::Invalid(WorkspaceSessionError::OtherHost) => "session_other_host",
            Self::Invalid(WorkspaceSessionError::Expired) => "session_expired",
        }
    }
}

/// Reads and checks the workspace session of a request to `host`.
///
/// # Errors
/// [`Unproven`] says what is missing. The client is told none of it.
pub fn authenticate(
    headers: &HeaderMap,
    keys: &KeyRing,
    host: &str,
    now: Timestamp,
) -> Result<WorkspaceSession, Unproven> {
    let value = cookie::find(cookies(headers), Cookie::WorkspaceSession)
        .map_err(|_| Unproven::Ambiguous)?
        .ok_or(Unproven::NoCookie)?;
    keys.verify(value, host, now).map_err(Unproven::Invalid)
}

/// Reads the nonces of the sign-ins that this browser has begun on this host. An ambiguous cookie
/// counts as none: the sign-in is begun anew.
pub fn nonces(headers: &HeaderMap) -> Nonces {
    match cookie::find(cookies(headers), Cookie::WorkspaceNonce) {
        Ok(Some(value)) => Nonces::parse(value),
        Ok(None) | Err(_) => Nonces::default(),
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .map(http::HeaderValue::as_bytes)
}
