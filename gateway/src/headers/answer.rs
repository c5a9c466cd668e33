//! What an answer loses and gains on its way to the browser.

use http::header::{CONTENT_SECURITY_POLICY, SET_COOKIE};
use http::{HeaderName, HeaderValue};
use kalpana_auth::cookie;
use kalpana_config::Site;
use kalpana_link::REQUEST_ID_HEADER;
use pingora_core::Result;
use pingora_http::ResponseHeader;

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

fn is_stripped(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-kalpana") || STRIPPED_FROM_ANSWERS.contains(&name)
}

/// How long browsers are to remember that a public site is https only.
const HSTS: &str = "max-age=31536000";

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
        let names = answer.headers.keys().filter(|name| is_stripped(name));
        let names: Vec<HeaderName> = names.cloned().collect();
        for name in &names {
            answer.remove_header(name);
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

#[cfg(test)]
mod tests {
    use kalpana_config::Config;

    use super::*;
    use crate::headers::testing::listed;

    fn site(domain: &str, workspace_domain: Option<&str>) -> Site {
        let mut config = Config::default();
        config.server.data_dir = Some("/data".into());
        config.server.domain = domain.to_owned();
        config.server.workspace_domain = workspace_domain.map(ToOwned::to_owned);
        Site::resolve(&config, false, None).unwrap()
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
}
