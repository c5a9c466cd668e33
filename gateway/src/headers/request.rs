//! What a request loses and gains on its way to a workspace or to `web`.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, FORWARDED, HOST};
use http::{HeaderName, HeaderValue, Uri};
use kalpana_auth::cookie;
use kalpana_domain::address::Surface;
use kalpana_link::{InternalToken, PeerPolicy, REQUEST_ID_HEADER};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

/// What a request is given on its way.
#[derive(Debug, Clone, Copy)]
pub struct Added<'a> {
    /// Who asks.
    pub client: Option<IpAddr>,
    /// The host as browsers write it, with its port.
    pub host: &'a str,
    /// The request's id.
    pub request_id: &'a str,
}

/// Tells whether a header says on whose behalf or by which way a request comes, which only a
/// gateway may say. `_` counts as `-`, because many programs read them as the same.
fn is_identity(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Most are told by their first letter, before anything is written anew.
    if !name.starts_with(['x', 'f', 't', 'p']) {
        return false;
    }
    let name = name.replace('_', "-");
    name.starts_with("x-forwarded")
        || name.starts_with("x-kalpana")
        || matches!(
            name.as_str(),
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "true-client-ip"
                | "x-original-url"
                | "x-original-host"
                | "x-rewrite-url"
                | "x-request-id"
                | "proxy"
        )
}

/// Tells whether an `Authorization` value carries one of our own tokens.
fn is_own_token(value: &HeaderValue) -> bool {
    let text = value.as_bytes().trim_ascii();
    let Some((scheme, token)) = text.split_at_checked(b"bearer".len()) else {
        return false;
    };
    let token = token.trim_ascii_start();
    scheme.eq_ignore_ascii_case(b"bearer")
        && (token.starts_with(b"kp_") || token.starts_with(b"ks1_"))
}

/// Rewrites a request on its way to a workspace.
///
/// # Errors
/// Pingora's, when a value of ours is no header value.
pub fn to_workspace(request: &mut RequestHeader, added: Added<'_>, surface: Surface) -> Result<()> {
    strip_identity(request);
    strip_cookies(request)?;
    if let (Surface::Port(_), Some(client)) = (surface, added.client) {
        // Not for the editor, which takes the host to be what stands there, its quotes included.
        request.insert_header(FORWARDED, forwarded(client, added.host))?;
    }
    if request
        .headers
        .get_all(AUTHORIZATION)
        .iter()
        .any(is_own_token)
    {
        request.remove_header(&AUTHORIZATION);
    }
    add(request, added)
}

/// Rewrites a request on its way to `web`, which knows our cookies and tokens.
///
/// # Errors
/// Pingora's, when a value of ours is no header value.
pub fn to_web(
    request: &mut RequestHeader,
    added: Added<'_>,
    token: Option<&InternalToken>,
) -> Result<()> {
    strip_identity(request);
    if let Some(token) = token {
        request.insert_header(PeerPolicy::HEADER, format!("Bearer {}", token.expose()))?;
    }
    add(request, added)
}

fn strip_identity(request: &mut RequestHeader) {
    let names = request.headers.keys().filter(|name| is_identity(name));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in &names {
        request.remove_header(name);
    }
}

/// Leaves only what is not ours of all `Cookie` headers, as one: HTTP/2 clients send several, and
/// HTTP/1 servers expect one.
fn strip_cookies(request: &mut RequestHeader) -> Result<()> {
    let kept: Vec<Vec<u8>> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| cookie::strip_reserved(value.as_bytes()))
        .map(std::borrow::Cow::into_owned)
        .filter(|kept| !kept.is_empty())
        .collect();
    request.remove_header(&COOKIE);
    // Judged again as a whole: what was joined is what an upstream will parse.
    let joined = kept.join(b"; ".as_slice());
    if let Some(kept) = cookie::strip_reserved(&joined).filter(|kept| !kept.is_empty())
        && let Ok(value) = HeaderValue::from_bytes(&kept)
    {
        request.insert_header(COOKIE, value)?;
    }
    Ok(())
}

fn add(request: &mut RequestHeader, added: Added<'_>) -> Result<()> {
    // An absolute-form target would name a host a second time.
    if request.uri.authority().is_some() {
        let path = request
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        if let Ok(uri) = path.parse::<Uri>() {
            request.set_uri(uri);
        }
    }
    let host = HeaderValue::from_str(added.host)
        .map_err(|error| Error::because(ErrorType::InvalidHTTPHeader, "a host of ours", error))?;
    request.insert_header(HOST, host.clone())?;
    if let Some(client) = added.client {
        request.insert_header("x-forwarded-for", client.to_canonical().to_string())?;
    }
    request.insert_header("x-forwarded-proto", HeaderValue::from_static("https"))?;
    request.insert_header("x-forwarded-host", host)?;
    let port = added.host.rsplit_once(':').map_or("443", |(_, port)| port);
    request.insert_header("x-forwarded-port", port)?;
    request.insert_header(REQUEST_ID_HEADER, added.request_id)
}

/// Says in one header what the `X-Forwarded-` ones say. Source: RFC 7239.
fn forwarded(client: IpAddr, host: &str) -> String {
    let client = match client.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    format!("for={client};host=\"{host}\";proto=https")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::headers::testing::{ADDED, listed, request};

    #[test]
    fn a_workspace_sees_the_users_headers_and_ours() {
        let mut request = request(&[
            ("host", b"ABCDEFGHIJ01.kalpana.localhost.:8443"),
            ("cookie", b"a=1; __Host-kws=secret"),
            ("cookie", b"__Host-ksess=ks1_secret; b=2"),
            ("authorization", b"bearer  kp_secret"),
            ("forwarded", b"host=evil.example"),
            ("x-forwarded-host", b"evil.example"),
            ("x_forwarded_for", b"10.0.0.1"),
            ("x-kalpana-internal", b"Bearer x"),
            ("x_kalpana-user", b"root"),
            ("x-real-ip", b"10.0.0.1"),
            ("x-original-url", b"/.kalpana/callback"),
            ("x-rewrite-url", b"/admin"),
            ("x-request-id", b"forged"),
            ("x-app", b"kept"),
        ]);
        to_workspace(&mut request, ADDED, Surface::Editor).unwrap();
        let expected = [
            ("cookie", "a=1; b=2"),
            ("host", "abcdefghij01.kalpana.localhost:8443"),
            ("x-app", "kept"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "abcdefghij01.kalpana.localhost:8443"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "the-id"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(listed(&request.headers), expected);
    }

    #[test]
    fn a_port_is_told_whom_its_page_was_asked_for_in_both_ways() {
        for (client, host, forwarded, port) in [
            (
                "192.0.2.7",
                "3000-abcdefghij01.kalpana.test:8443",
                "for=192.0.2.7;host=\"3000-abcdefghij01.kalpana.test:8443\";proto=https",
                "8443",
            ),
            (
                "2001:db8::1",
                "3000-abcdefghij01.kalpana.test",
                "for=\"[2001:db8::1]\";host=\"3000-abcdefghij01.kalpana.test\";proto=https",
                "443",
            ),
            (
                "::ffff:192.0.2.7",
                "a.test",
                "for=192.0.2.7;host=\"a.test\";proto=https",
                "443",
            ),
        ] {
            let mut request = request(&[
                ("forwarded", b"for=10.0.0.1"),
                ("forwarded", b"for=10.0.0.2"),
                ("x-forwarded-port", b"1"),
            ]);
            let added = Added {
                client: Some(client.parse().unwrap()),
                host,
                request_id: "the-id",
            };
            to_workspace(&mut request, added, Surface::Port(3000)).unwrap();
            let values = |name: &str| {
                let values = request.headers.get_all(name).iter();
                values
                    .map(|v| v.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(values("forwarded"), [forwarded]);
            assert_eq!(values("x-forwarded-port"), [port]);
        }
    }

    #[test]
    fn the_users_own_credentials_pass() {
        for value in [
            "Bearer other",
            "Basic a3BfOng=",
            "Bearer xkp_",
            "Token kp_1",
        ] {
            let mut request = request(&[("authorization", value.as_bytes())]);
            to_workspace(&mut request, ADDED, Surface::Editor).unwrap();
            assert_eq!(request.headers.get(AUTHORIZATION).unwrap(), value);
        }
        for value in [
            "Bearer kp_x",
            "BEARER ks1_x",
            " bearer\tkp_x",
            "Bearer   ks1_",
        ] {
            let mut request = request(&[("authorization", value.as_bytes())]);
            to_workspace(&mut request, ADDED, Surface::Editor).unwrap();
            assert_eq!(request.headers.get(AUTHORIZATION), None, "{value}");
        }
    }

    #[test]
    fn web_gets_our_cookies_and_the_internal_token() {
        let mut request = request(&[
            ("cookie", b"__Host-ksess=ks1_x"),
            ("authorization", b"Bearer kp_x"),
            ("x-kalpana-internal", b"Bearer forged"),
        ]);
        let token = InternalToken::generate();
        to_web(&mut request, ADDED, Some(&token)).unwrap();
        assert_eq!(request.headers.get(COOKIE).unwrap(), "__Host-ksess=ks1_x");
        assert_eq!(request.headers.get(AUTHORIZATION).unwrap(), "Bearer kp_x");
        let internal: Vec<_> = request.headers.get_all(PeerPolicy::HEADER).iter().collect();
        assert_eq!(internal, [&format!("Bearer {}", token.expose())]);
    }

    #[test]
    fn an_absolute_target_loses_its_host() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri("https://evil.example/path?query".parse().unwrap());
        to_workspace(&mut request, ADDED, Surface::Editor).unwrap();
        assert_eq!(request.uri.to_string(), "/path?query");
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[xX][-_][Ff]orwarded[-_](for|host|proto|user|prefix)",
            "[xX][-_][Kk]alpana[-_][a-z]{1,8}",
            "[Ff]orwarded|[xX][-_]real[-_]ip",
            "[a-z][a-z-]{0,12}",
            Just("cookie".to_owned()),
            Just("authorization".to_owned()),
        ]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "(__Host-ksess|__Host-kws|__Host-kwn|a)=[a-z;=_ ]{0,20}".prop_map(String::into_bytes),
            "[a-z]=1; ?(__Host-ksess|__Host-kws)=x(; c=d)?".prop_map(String::into_bytes),
            "(Bearer|bearer) +(kp_|ks1_|x)[a-z]{0,5}".prop_map(String::into_bytes),
            proptest::collection::vec(0x20u8..=0xfe, 0..20)
                .prop_map(|bytes| bytes.into_iter().filter(|byte| *byte != 0x7f).collect()),
        ]
    }

    proptest! {
        #[test]
        fn nothing_of_ours_ever_survives(
            headers in proptest::collection::vec((name(), value()), 0..12)
        ) {
            let borrowed: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            let mut request = request(&borrowed);
            to_workspace(&mut request, ADDED, Surface::Editor).unwrap();
            let cookies: Vec<&[u8]> =
                request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
            prop_assert!(cookies.len() <= 1);
            for kind in [
                cookie::Cookie::Session,
                cookie::Cookie::WorkspaceSession,
                cookie::Cookie::WorkspaceNonce,
            ] {
                prop_assert_eq!(cookie::find(cookies.iter().copied(), kind), Ok(None));
            }
            prop_assert!(!request.headers.get_all(AUTHORIZATION).iter().any(is_own_token));
            let identity: Vec<_> = request.headers.iter().filter(|(name, _)| is_identity(name)).collect();
            prop_assert_eq!(identity.len(), 5, "only ours: {:?}", identity);
            prop_assert_eq!(request.headers.get(REQUEST_ID_HEADER).unwrap(), "the-id");
            prop_assert_eq!(request.headers.get("x-forwarded-host").unwrap(), ADDED.host);
        }
    }
}
