//! Where a request may come from, by what browsers say about it.

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};
use kalpana_auth::fetch::{self, Verdict};
use kalpana_domain::address::{Surface, WorkspaceAddress};

use super::{Refusal, Request};

/// Picks out the headers by which browsers say where a request comes from.
pub fn fetch_headers(headers: &HeaderMap) -> fetch::Headers<'_> {
    let get = |name| headers.get(name).map(HeaderValue::as_bytes);
    fetch::Headers {
        site: get("sec-fetch-site"),
        mode: get("sec-fetch-mode"),
        origin: get("origin"),
    }
}

/// Returns the `Origin` of a request to a port, if that is a surface of the same workspace.
///
/// Whose code is behind the ports of a workspace is one question, so they may use each other; no
/// port may use the editor, which runs code as the owner. This is read off the two names: it tells
/// nobody whether there is such a workspace.
pub fn sibling<'a>(
    headers: &'a HeaderMap,
    address: WorkspaceAddress,
    own_origin: &str,
) -> Option<&'a HeaderValue> {
    if address.surface == Surface::Editor {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    let (label, site) = origin
        .to_str()
        .ok()?
        .strip_prefix("https://")?
        .split_once('.')?;
    let (_, own_site) = own_origin.split_once('.')?;
    // A label has one spelling and browsers write origins in one way, so bytes can be compared.
    let from = WorkspaceAddress::parse_label(label)?;
    (from.workspace == address.workspace && site == own_site).then_some(origin)
}

/// Refuses what a page elsewhere makes a browser send with a session of ours.
pub(super) fn check(request: &Request<'_>) -> Result<(), Refusal> {
    if sibling(request.headers, request.address, request.own_origin).is_some() {
        return Ok(());
    }
    let fetch = fetch_headers(request.headers);
    let (own, control) = (request.own_origin, request.control_origin);
    let verdict = match request.address.surface {
        _ if request.is_upgrade => fetch::check_websocket(fetch, own),
        Surface::Editor => fetch::check_workspace(request.method, fetch, own, control),
        Surface::Port(_) => fetch::check_port(request.method, fetch, own, control),
    };
    match verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny(reason) => Err(Refusal::OtherOrigin(reason.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surfaces_of_one_workspace_are_siblings_of_its_ports_and_nothing_else_is() {
        let is_sibling = |label: &str, origin: &str| {
            let address = WorkspaceAddress::parse_label(label).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
            let own = format!("https://{label}.kalpana.test:8443");
            sibling(&headers, address, &own).is_some()
        };
        let port = "8080-abcdefghij01";
        for origin in [
            "https://3000-abcdefghij01.kalpana.test:8443",
            "https://8080-abcdefghij01.kalpana.test:8443",
            "https://abcdefghij01.kalpana.test:8443",
        ] {
            assert!(is_sibling(port, origin), "{origin}");
            assert!(
                !is_sibling("abcdefghij01", origin),
                "{origin} to the editor"
            );
        }
        for origin in [
            "https://3000-abcdefghij02.kalpana.test:8443",
            "https://abcdefghij02.kalpana.test:8443",
            "https://kalpana.test:8443",
            "http://3000-abcdefghij01.kalpana.test:8443",
            "https://3000-abcdefghij01.kalpana.test",
            "https://3000-abcdefghij01.kalpana.test:8444",
            "https://3000-abcdefghij01.evil.test:8443",
            "https://3000-abcdefghij01.kalpana.test.evil.test:8443",
            "https://evil.3000-abcdefghij01.kalpana.test:8443",
            "https://3000-ABCDEFGHIJ01.kalpana.test:8443",
            "https://3000-abcdefghij01.kalpana.test:8443/",
            "https://x@3000-abcdefghij01.kalpana.test:8443",
            "https://80-abcdefghij01.kalpana.test:8443",
            "https://3000-abcdefghij01.kalpana.test:8443 https://evil.test",
            "https://３000-abcdefghij01.kalpana.test:8443",
            "null",
            "",
        ] {
            assert!(!is_sibling(port, origin), "{origin}");
        }
    }
}
