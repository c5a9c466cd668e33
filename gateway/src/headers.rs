//! What is stripped, added and rewritten on the way in and on the way out. Pure.
//!
//! Towards a workspace: none of our cookies or tokens, and nothing by which a client could pretend
//! to be the gateway. Towards the browser: nothing by which a workspace could reach beyond its own
//! host. Pingora has applied the `Connection` header's nominations before these run, so that a
//! client cannot nominate what we add.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, COOKIE, FORWARDED, HOST, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use kalpana_auth::cookie;
use kalpana_config::Site;
use kalpana_domain::address::Surface;
use kalpana_link::{InternalToken, PeerPolicy, REQUEST_ID_HEADER};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

/// Headers with which a workspace could bind the browser to something beyond its own host, or
/// speak in the gateway's name. `Clear-Site-Data` is among them because its cookies part reaches
/// the whole registrable domain, and with it the control plane's session.
const STRIPPED_FROM_ANSWERS: [&str; 8] = [
    "alt-svc",
    "report-to",
    "reporting-endpoints",
    "nel",
    "strict-transport-security",
    "public-key-pins",
    "clear-site-data",
    REQUEST_ID_HEADER,
];

/// How long browsers are to remember that a public site is https only.
const HSTS: &str = "max-age=31536000";

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
    let name = name.as_str().replace('_', "-");
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
    let names: Vec<HeaderName> = request.headers.keys().cloned().collect();
    for name in names.iter().filter(|name| is_identity(name)) {
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
    request.insert_header(HOST, added.host)?;
    if let Some(client) = added.client {
        request.insert_header("x-forwarded-for", client.to_canonical().to_string())?;
    }
    request.insert_header("x-forwarded-proto", "https")?;
    request.insert_header("x-forwarded-host", added.host)?;
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

/// The policy headers that answers get, worked out once.
#[derive(Debug, Clone)]
pub struct Policies {
    frame_ancestors: HeaderValue,
    hsts: Option<HeaderValue>,
}

impl Policies {
    /// Works out the policies of `site`.
    ///
    /// The control plane frames the editor only where both share a site; elsewhere storage in the
    /// frame would not work, and the editor opens in a tab of its own. `'self'` is always there:
    /// the editor frames its own webviews.
    pub fn new(site: &Site) -> Self {
        let ancestors = if site.is_single_domain() {
            format!("frame-ancestors 'self' {}", site.base_url())
        } else {
            "frame-ancestors 'self'".to_owned()
        };
        let is_public = !site.domain.ends_with(".localhost");
        Self {
            frame_ancestors: HeaderValue::from_str(&ancestors)
                .expect("a validated domain makes a header value"),
            hsts: is_public.then(|| HeaderValue::from_static(HSTS)),
        }
    }

    /// Returns who may frame a page of a workspace host.
    pub fn frame_ancestors(&self) -> &HeaderValue {
        &self.frame_ancestors
    }

    /// Rewrites an answer on its way from a workspace.
    ///
    /// # Errors
    /// Pingora's, when a value of ours is no header value.
    pub fn from_workspace(&self, answer: &mut ResponseHeader, request_id: &str) -> Result<()> {
        let names: Vec<HeaderName> = answer.headers.keys().cloned().collect();
        for name in &names {
            if STRIPPED_FROM_ANSWERS.contains(&name.as_str())
                || name.as_str().starts_with("x-kalpana")
            {
                answer.remove_header(name);
            }
        }
        confine_cookies(answer)?;
        // A second policy: browsers enforce both, so the application's own stays in force.
        answer.append_header(CONTENT_SECURITY_POLICY, self.frame_ancestors.clone())?;
        self.ours(answer, request_id)
    }

    /// Completes an answer of our own or of `web`.
    ///
    /// # Errors
    /// Pingora's, when a value of ours is no header value.
    pub fn ours(&self, answer: &mut ResponseHeader, request_id: &str) -> Result<()> {
        if let Some(hsts) = &self.hsts {
            answer.insert_header("strict-transport-security", hsts.clone())?;
        }
        answer.insert_header(REQUEST_ID_HEADER, request_id)
    }
}

/// Makes every cookie of a workspace its own host's: reserved names are dropped, `Domain` is taken
/// away, which leaves a cookie of this host only.
fn confine_cookies(answer: &mut ResponseHeader) -> Result<()> {
    let values: Vec<HeaderValue> = answer.headers.get_all(SET_COOKIE).iter().cloned().collect();
    if values.is_empty() {
        return Ok(());
    }
    answer.remove_header(&SET_COOKIE);
    for value in values {
        if cookie::is_reserved_set_cookie(value.as_bytes()) {
            continue;
        }
        if let Ok(value) = HeaderValue::from_bytes(&without_domain(value.as_bytes())) {
            answer.append_header(SET_COOKIE, value)?;
        }
    }
    Ok(())
}

fn without_domain(set_cookie: &[u8]) -> Vec<u8> {
    let mut pieces = set_cookie.split(|byte| *byte == b';');
    let cookie = pieces.next().unwrap_or_default();
    let kept = pieces.filter(|piece| {
        let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        !name.trim_ascii().eq_ignore_ascii_case(b"domain")
    });
    std::iter::once(cookie)
        .chain(kept)
        .collect::<Vec<_>>()
        .join(b";".as_slice())
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
mod tests {
    use kalpana_config::Config;
    use proptest::prelude::*;

    use super::*;

    const ADDED: Added<'_> = Added {
        client: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        host: "abcdefghij01.kalpana.localhost:8443",
        request_id: "the-id",
    };

    fn request(headers: &[(&str, &[u8])]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/path?query", None).unwrap();
        for (name, value) in headers {
            request
                .append_header((*name).to_owned(), HeaderValue::from_bytes(value).unwrap())
                .unwrap();
        }
        request
    }

    fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
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

    fn site(domain: &str, workspace_domain: Option<&str>) -> Site {
        let mut config = Config::default();
        config.server.data_dir = Some("/data".into());
        config.server.domain = domain.to_owned();
        config.server.workspace_domain = workspace_domain.map(ToOwned::to_owned);
        Site::resolve(&config, false, None).unwrap()
    }

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

    #[test]
    fn an_answer_stays_within_its_host() {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            (
                "set-cookie",
                "a=1; Domain=kalpana.localhost; Path=/; Secure",
            ),
            (
                "set-cookie",
                "b=2; path=/; DOMAIN = .kalpana.localhost;HttpOnly",
            ),
            ("set-cookie", "__Host-kws=evil; Path=/; Secure"),
            ("set-cookie", "__HOST-ksess=evil; Path=/; Secure"),
            ("set-cookie", "domain=kept; Path=/"),
            ("alt-svc", "h3=\":443\""),
            ("clear-site-data", "\"cookies\""),
            ("nel", "{}"),
            ("report-to", "{}"),
            ("strict-transport-security", "max-age=0"),
            ("x-kalpana-user", "root"),
            ("content-security-policy", "default-src 'self'"),
            ("service-worker-allowed", "/"),
        ] {
            answer.append_header(name, value).unwrap();
        }
        let policies = Policies::new(&site("kalpana.localhost", None));
        policies.from_workspace(&mut answer, "the-id").unwrap();
        let expected = [
            ("content-security-policy", "default-src 'self'"),
            (
                "content-security-policy",
                "frame-ancestors 'self' https://kalpana.localhost:8443",
            ),
            ("service-worker-allowed", "/"),
            ("set-cookie", "a=1; Path=/; Secure"),
            ("set-cookie", "b=2; path=/;HttpOnly"),
            ("set-cookie", "domain=kept; Path=/"),
            ("x-request-id", "the-id"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(listed(&answer.headers), expected);
    }

    #[test]
    fn a_public_site_is_https_only_and_a_second_domain_is_not_framed() {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        let policies = Policies::new(&site("kalpana.example", Some("spaces.example")));
        policies.from_workspace(&mut answer, "id").unwrap();
        assert_eq!(
            answer.headers.get("strict-transport-security").unwrap(),
            HSTS
        );
        assert_eq!(
            answer.headers.get(CONTENT_SECURITY_POLICY).unwrap(),
            "frame-ancestors 'self'"
        );
    }

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
