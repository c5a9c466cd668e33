//! Where a request may come from, by what browsers say about it.

use http::HeaderMap;
use kalpana_auth::fetch::{self, Verdict};

use super::{Refusal, Request};

/// Picks out the headers by which browsers say where a request comes from.
pub fn fetch_headers(headers: &HeaderMap) -> fetch::Headers<'_> {
    let get = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    fetch::Headers {
        site: get("sec-fetch-site"),
        mode: get("sec-fetch-mode"),
        origin: get("origin"),
    }
}

/// Refuses what a page elsewhere makes a browser send with a session of ours.
pub(super) fn check(request: &Request<'_>) -> Result<(), Refusal> {
    let fetch = fetch_headers(request.headers);
    let verdict = if request.is_upgrade {
        fetch::check_websocket(fetch, request.own_origin)
    } else {
        fetch::check_workspace(
            request.method,
            fetch,
            request.own_origin,
            request.control_origin,
        )
    };
    match verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny(reason) => Err(Refusal::OtherOrigin(reason.as_str())),
    }
}
