//! What a request's head says of who is behind it: a person who means it, or a page that is merely
//! open. Pure.

use kalpana_auth::fetch;
use kalpana_protocol::orchestrator::AwakeKind;
use pingora_http::RequestHeader;

use crate::authorize;
use crate::sharing::Visit;

/// Tells whether the owner of a stopped workspace means to open it, so that the control plane should
/// start it and let them in anew. That leads in no circle: who comes back has a session for a start
/// that is newer than the stopped one, or is shown the workspace's page instead.
pub(super) fn wakes(head: &RequestHeader) -> bool {
    is_navigation(head)
        && fetch::is_meant(|name| head.headers.get(name).map(http::HeaderValue::as_bytes))
}

/// Returns what a request shows of how a workspace is used. Somebody who is signed in and opens a page
/// is there. Who is not, or what changes something, may be somebody at work or a page that is merely
/// open. What only reads is nobody: pages ask for news.
pub(super) fn shows(head: &RequestHeader, visit: &Visit) -> Option<AwakeKind> {
    let is_reading = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if wakes(head) && visit.user().is_some() {
        Some(AwakeKind::Visit)
    } else if !is_reading || wakes(head) {
        Some(AwakeKind::Busy)
    } else {
        None
    }
}

/// Tells whether a request is a browser that goes to a page.
pub(super) fn is_navigation(head: &RequestHeader) -> bool {
    let accept = head.headers.get(http::header::ACCEPT);
    fetch::is_navigation(
        head.method.as_str(),
        authorize::origin::fetch_headers(&head.headers),
        accept.map(http::HeaderValue::as_bytes),
    )
}

/// Tells whether an answer of ours should be a page: for navigations, and for whoever asks for
/// HTML without saying what for.
pub fn is_for_people(head: &RequestHeader) -> bool {
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
