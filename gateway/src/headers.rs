//! What is stripped, added and rewritten on the way in and on the way out. Pure.
//!
//! Towards a workspace: none of our cookies or tokens, and nothing by which a client could pretend
//! to be the gateway. Towards the browser: nothing by which a workspace could reach beyond its own
//! host. Pingora has applied the `Connection` header's nominations before these run, so that a
//! client cannot nominate what we add.

mod answer;
mod request;

use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use pingora_http::{RequestHeader, ResponseHeader};

pub use self::answer::Policies;
pub use self::request::{Added, to_web, to_workspace};

/// Headers that concern one connection, not the message. Source: RFC 9110, section 7.6.1.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let tokens = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tokens
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect()
}

/// Takes away what concerns the client's connection only, where Pingora does not.
pub fn strip_hop_by_hop(request: &mut RequestHeader) {
    for name in nominated(&request.headers) {
        request.remove_header(&name);
    }
    for name in HOP_BY_HOP {
        request.remove_header(name);
    }
}

/// Takes away what concerns the upstream's connection only, where Pingora does not.
pub fn strip_hop_by_hop_of_answer(answer: &mut ResponseHeader) {
    for name in nominated(&answer.headers) {
        answer.remove_header(&name);
    }
    for name in HOP_BY_HOP {
        answer.remove_header(name);
    }
}

/// Returns the host that a request names in its `Host` header, its target, or both; `None` when it
/// names none, has more than one `Host`, or names two that differ.
pub fn requested_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a [u8]> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let authority = uri.authority().map(http::uri::Authority::as_str);
    match (host.map(HeaderValue::as_bytes), second, authority) {
        (_, Some(_), _) | (None, None, None) => None,
        (Some(host), None, None) => Some(host),
        (None, None, Some(authority)) => Some(authority.as_bytes()),
        (Some(host), None, Some(authority)) => host
            .eq_ignore_ascii_case(authority.as_bytes())
            .then_some(host),
    }
}

#[cfg(test)]
mod testing {
    use std::net::IpAddr;

    use super::*;

    pub(super) const ADDED: Added<'_> = Added {
        client: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        host: "abcdefghij01.kalpana.localhost:8443",
        request_id: "the-id",
    };

    pub(super) fn request(headers: &[(&str, &[u8])]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/path?query", None).unwrap();
        for (name, value) in headers {
            request
                .append_header((*name).to_owned(), HeaderValue::from_bytes(value).unwrap())
                .unwrap();
        }
        request
    }

    pub(super) fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
        let mut listed: Vec<_> = headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        listed.sort();
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host() {
        let host = |hosts: &[&str], uri: &str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            let uri: Uri = uri.parse().unwrap();
            requested_host(&headers, &uri).map(|host| String::from_utf8_lossy(host).into_owned())
        };
        assert_eq!(host(&["a.test"], "/"), Some("a.test".to_owned()));
        assert_eq!(host(&[], "https://a.test/"), Some("a.test".to_owned()));
        assert_eq!(
            host(&["A.test"], "https://a.test/"),
            Some("A.test".to_owned())
        );
        assert_eq!(host(&["b.test"], "https://a.test/"), None);
        assert_eq!(host(&["a.test", "a.test"], "/"), None);
        assert_eq!(host(&[], "/"), None);
    }
}
