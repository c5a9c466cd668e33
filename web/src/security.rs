//! What browsers are told to forbid, and which requests of theirs are not believed.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use kalpana_auth::cookie::{self, Cookie};
use kalpana_auth::fetch::{self, Verdict};
use kalpana_config::Site;

use crate::error::ApiError;
use crate::extract::bearer;
use crate::state::AppState;

/// Sent with every answer, whatever it is.
const EVERYWHERE: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// The policy of an answer that is no page: were a browser to show it, nothing in it would run.
const NOTHING: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The policy of the plain error page, which has a style sheet of its own and nothing else.
const PLAIN_PAGE: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; \
                          base-uri 'none'; form-action 'none'";

/// Returns the policy of an application page with these inline scripts.
///
/// Scripts come from this origin, or are among the page's own inline ones, by hash. Styles may be
/// inline: the interface's components position things with them, and a style runs no code. Frames
/// are the workspaces' editors, and this origin only because an editor's frame passes through it to
/// sign in (browsers hold each redirect against the policy); its pages refuse to be framed.
pub(crate) fn page_policy(site: &Site, inline_scripts: &[&str]) -> String {
    let hashes: String = inline_scripts
        .iter()
        .map(|hash| format!(" '{hash}'"))
        .collect();
    let workspaces = site.workspace_url("*");
    format!(
        "default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
         frame-src 'self' {workspaces}; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
         object-src 'none'"
    )
}

/// Adds what every answer carries, without touching what the answer says itself.
pub(crate) fn harden(headers: &mut HeaderMap, is_asset: bool) {
    for (name, value) in EVERYWHERE {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(if is_page {
            PLAIN_PAGE
        } else {
            NOTHING
        }));
    if !is_asset {
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }
}

/// Refuses changes that a page of another origin made a browser ask for.
///
/// A program with an API token is not a browser and is not asked. Neither is a request that has no
/// session cookie and none of the headers by which browsers name the page that sends them: every
/// browser sends one of them with a change, sign-in by a hostile page included.
pub(crate) async fn refuse_foreign(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    match judge(&state.site, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn judge(site: &Site, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if bearer(headers).is_some() {
        return Ok(());
    }
    let first = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let own = fetch::Headers {
        site: first("sec-fetch-site"),
        mode: first("sec-fetch-mode"),
        origin: first("origin"),
    };
    let is_unmarked = own.site.is_none() && own.mode.is_none() && own.origin.is_none();
    if is_unmarked && matches!(session_cookie(headers), Ok(None)) {
        return Ok(());
    }
    match fetch::check_control(method.as_str(), own, &site.base_url()) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(reason) => {
            let reason = reason.as_str();
            tracing::info!(
                reason,
                "refused a change that came from elsewhere: {reason}"
            );
            Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "cross_site_request",
                "This request did not come from this site's own pages.",
            )
            .hint(format!(
                "Programs use an API token, or send `Origin: {}`.",
                site.base_url()
            )))
        }
    }
}

/// Returns the session cookie's value, if there is one.
///
/// # Errors
/// 400 when there are two: one of them was tossed in by somebody else, and we cannot tell which.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let all = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes);
    cookie::find(all, Cookie::Session).map_err(|ambiguous| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "ambiguous_cookie",
            format!("The cookie {} was sent twice.", ambiguous.name),
        )
        .hint("Both were removed; sign in again.")
        .forget_session()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let config = kalpana_config::Config::default();
        Site::resolve(&config, false, Some(std::path::Path::new("/home/u"))).unwrap()
    }

    #[test]
    fn a_page_may_run_its_own_scripts_and_frame_workspaces_only() {
        let policy = page_policy(&site(), &["sha256-a", "sha256-b"]);
        assert!(
            policy.contains("script-src 'self' 'sha256-a' 'sha256-b';"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-src 'self' https://*.kalpana.localhost:8443;"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(
            !policy.contains("script-src 'self' 'unsafe-inline'"),
            "{policy}"
        );
    }

    /// Method, headers, and whether the change is believed.
    type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], bool);

    #[test]
    fn changes_are_believed_only_from_our_own_pages() {
        let own = "https://kalpana.localhost:8443";
        let cookie = ("cookie", "__Host-ksess=ks1_x");
        let cases: [Case<'_>; 16] = [
            ("POST", &[cookie, ("sec-fetch-site", "same-origin")], true),
            ("POST", &[cookie, ("sec-fetch-site", "same-site")], false),
            ("POST", &[cookie, ("sec-fetch-site", "cross-site")], false),
            ("POST", &[cookie, ("sec-fetch-site", "none")], false),
            (
                "POST",
                &[
                    cookie,
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-mode", "no-cors"),
                ],
                false,
            ),
            ("POST", &[cookie, ("origin", own)], true),
            ("POST", &[cookie, ("origin", "null")], false),
            (
                "POST",
                &[
                    cookie,
                    ("origin", "https://abcdefghijkl.kalpana.localhost:8443"),
                ],
                false,
            ),
            (
                "POST",
                &[
                    cookie,
                    ("origin", "https://kalpana.localhost:8443.evil.example"),
                ],
                false,
            ),
            ("DELETE", &[cookie], false),
            // Sign-in by another site's form, before there is a cookie.
            (
                "POST",
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
                false,
            ),
            ("POST", &[("origin", "https://evil.example")], false),
            // The command line signs in.
            ("POST", &[], true),
            (
                "POST",
                &[
                    cookie,
                    ("authorization", "Bearer kp_x"),
                    ("sec-fetch-site", "cross-site"),
                ],
                true,
            ),
            ("GET", &[cookie, ("sec-fetch-site", "cross-site")], true),
            // Two cookies prove nothing; the route refuses them, this refuses them earlier.
            (
                "POST",
                &[("cookie", "__Host-ksess=a; __Host-ksess=b")],
                false,
            ),
        ];
        for (method, headers, is_allowed) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let verdict = judge(&site(), &method, &map);
            assert_eq!(verdict.is_ok(), is_allowed, "{method} {headers:?}");
        }
    }
}
