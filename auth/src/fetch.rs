//! Which requests a browser may make with our cookies: the answer to cross-site request forgery,
//! by what browsers say about a request (Fetch Metadata) or, where they say nothing, by `Origin`.
//!
//! Pure functions over the few headers that decide. A workspace is a sibling site under the same
//! domain and sends our `SameSite=Lax` cookies along, which is why "same-site" is not good enough
//! for anything that changes something.

/// The headers that decide, as they came. A header that came twice should be passed as it stands
/// first: its forger gains nothing, since browsers send each once and no page can set them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a [u8]>,
    /// `Sec-Fetch-Mode`.
    pub mode: Option<&'a [u8]>,
    /// `Origin`.
    pub origin: Option<&'a [u8]>,
}

/// Whether a request may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny(Reason),
}

/// Why a request may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It comes from a page of another origin.
    OtherOrigin,
    /// It was made without the checks that a page of our own would have had (`no-cors`).
    NoCors,
    /// Nothing says where it comes from.
    Unknown,
}

impl Reason {
    /// Returns the reason's name, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherOrigin => "other_origin",
            Self::NoCors => "no_cors",
            Self::Unknown => "unknown_origin",
        }
    }
}

fn is_reading(method: &str) -> bool {
    // HTTP's safe methods; they change nothing here, so a forged one gains nothing.
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

fn is_origin(header: &[u8], origin: &str) -> bool {
    header == origin.as_bytes()
}

/// Decides about a request to the control plane that carries the session cookie.
///
/// One that changes something must come from a page of the control plane itself:
/// `Sec-Fetch-Site: same-origin`, or where a browser does not send that, an `Origin` equal to
/// `own_origin`.
pub fn check_control(method: &str, headers: Headers<'_>, own_origin: &str) -> Verdict {
    if is_reading(method) {
        return Verdict::Allow;
    }
    if headers.mode == Some(b"no-cors") {
        return Verdict::Deny(Reason::NoCors);
    }
    match (headers.site, headers.origin) {
        (_, Some(origin)) if !is_origin(origin, own_origin) => Verdict::Deny(Reason::OtherOrigin),
        (Some(b"same-origin"), _) | (None, Some(_)) => Verdict::Allow,
        (Some(_), _) => Verdict::Deny(Reason::OtherOrigin),
        (None, None) => Verdict::Deny(Reason::Unknown),
    }
}

/// Decides about a plain request to a workspace host that carries the workspace session cookie.
///
/// Anything but reading is refused when `Origin` names another origin than the host itself or the
/// control plane, or, without `Origin`, when the browser says that it comes from elsewhere.
/// Programs of the user's own that send neither are let through.
pub fn check_workspace(
    method: &str,
    headers: Headers<'_>,
    own_origin: &str,
    control_origin: &str,
) -> Verdict {
    if is_reading(method) {
        return Verdict::Allow;
    }
    match (headers.origin, headers.site) {
        (Some(origin), _) => {
            if is_origin(origin, own_origin) || is_origin(origin, control_origin) {
                Verdict::Allow
            } else {
                Verdict::Deny(Reason::OtherOrigin)
            }
        }
        (None, Some(b"cross-site" | b"same-site")) => Verdict::Deny(Reason::OtherOrigin),
        (None, _) => Verdict::Allow,
    }
}

/// Decides about a plain request to a port of a workspace that carries that host's session cookie,
/// and comes from no page of the same workspace.
///
/// As [`check_workspace`], but reading is refused too when there is an `Origin` and it is another
/// one. Browsers name the origin of what they read only if the page asks to see it, and development
/// servers often let every page do so, with credentials: another workspace under the same domain,
/// which gets our cookie sent along, could read all that this one serves to its owner.
pub fn check_port(
    method: &str,
    headers: Headers<'_>,
    own_origin: &str,
    control_origin: &str,
) -> Verdict {
    match headers.origin {
        Some(origin) if !is_origin(origin, own_origin) && !is_origin(origin, control_origin) => {
            Verdict::Deny(Reason::OtherOrigin)
        }
        _ => check_workspace(method, headers, own_origin, control_origin),
    }
}

/// Decides about a WebSocket to a workspace host that carries the workspace session cookie. The
/// same-origin policy does not hold for WebSockets, so `Origin` must be the host's own.
pub fn check_websocket(headers: Headers<'_>, own_origin: &str) -> Verdict {
    match headers.origin {
        Some(origin) if is_origin(origin, own_origin) => Verdict::Allow,
        Some(_) => Verdict::Deny(Reason::OtherOrigin),
        None => Verdict::Deny(Reason::Unknown),
    }
}

/// Tells whether somebody meant to open a page in a tab of their own, by typing, clicking or reloading:
/// frames, scripts, fetches ahead of time and programs do not count, and neither do browsers that
/// do not say (`Sec-Fetch-User`, `Sec-Fetch-Dest`, `Sec-Purpose`). Redirects leave it as it is.
pub fn is_meant<'a>(header: impl Fn(&'static str) -> Option<&'a [u8]>) -> bool {
    header("sec-fetch-user") == Some(b"?1")
        && header("sec-fetch-dest") == Some(b"document")
        && header("sec-purpose").is_none()
}

/// Tells whether a request opens a page, so that the answer to a missing session may be a
/// redirect to sign-in. Everything else gets an error that a program can read.
pub fn is_navigation(method: &str, headers: Headers<'_>, accept: Option<&[u8]>) -> bool {
    let takes_pages = |accept: &[u8]| {
        accept.split(|byte| *byte == b',').any(|range| {
            range
                .trim_ascii()
                .split(|byte| *byte == b';')
                .next()
                .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/html"))
        })
    };
    method == "GET"
        && match headers.mode {
            Some(mode) => mode == b"navigate",
            None => accept.is_some_and(takes_pages),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://kalpana.localhost:8443";
    const SIBLING: &str = "https://abcdefghij01.kalpana.localhost:8443";

    fn headers<'a>(
        site: Option<&'a str>,
        mode: Option<&'a str>,
        origin: Option<&'a str>,
    ) -> Headers<'a> {
        Headers {
            site: site.map(str::as_bytes),
            mode: mode.map(str::as_bytes),
            origin: origin.map(str::as_bytes),
        }
    }

    #[test]
    fn the_control_plane_is_changed_by_its_own_pages_only() {
        use Reason::{NoCors, OtherOrigin, Unknown};
        use Verdict::{Allow, Deny};
        let same = Some("same-origin");
        let cors = Some("cors");
        let rows = [
            (same, cors, Some(OWN), Allow),
            (same, cors, None, Allow),
            (None, None, Some(OWN), Allow),
            (None, None, None, Deny(Unknown)),
            (same, Some("no-cors"), Some(OWN), Deny(NoCors)),
            (same, cors, Some(SIBLING), Deny(OtherOrigin)),
            (Some("same-site"), cors, Some(SIBLING), Deny(OtherOrigin)),
            (Some("same-site"), cors, Some(OWN), Deny(OtherOrigin)),
            (
                Some("same-site"),
                Some("no-cors"),
                Some(SIBLING),
                Deny(NoCors),
            ),
            (
                Some("cross-site"),
                Some("navigate"),
                Some("null"),
                Deny(OtherOrigin),
            ),
            (Some("cross-site"), cors, None, Deny(OtherOrigin)),
            (Some("none"), Some("navigate"), None, Deny(OtherOrigin)),
            (Some("Same-Origin"), cors, None, Deny(OtherOrigin)),
            (Some(""), None, None, Deny(OtherOrigin)),
            (None, None, Some("null"), Deny(OtherOrigin)),
            (None, None, Some(""), Deny(OtherOrigin)),
            (
                None,
                None,
                Some("https://kalpana.localhost:8443/"),
                Deny(OtherOrigin),
            ),
            (
                None,
                None,
                Some("https://kalpana.localhost"),
                Deny(OtherOrigin),
            ),
            (
                None,
                None,
                Some("http://kalpana.localhost:8443"),
                Deny(OtherOrigin),
            ),
        ];
        for (site, mode, origin, expected) in rows {
            let headers = headers(site, mode, origin);
            for method in ["POST", "PUT", "PATCH", "DELETE", "post", "get", "X"] {
                assert_eq!(
                    check_control(method, headers, OWN),
                    expected,
                    "{method} {headers:?}"
                );
            }
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(
                    check_control(method, headers, OWN),
                    Allow,
                    "{method} {headers:?}"
                );
            }
        }
    }

    #[test]
    fn a_workspace_is_changed_by_itself_and_the_control_plane() {
        use Verdict::{Allow, Deny};
        let denied = Deny(Reason::OtherOrigin);
        let rows = [
            (Some("same-origin"), Some(SIBLING), Allow),
            (Some("same-site"), Some(OWN), Allow),
            (
                Some("same-site"),
                Some("https://zbcdefghij01.kalpana.localhost:8443"),
                denied,
            ),
            (Some("cross-site"), Some("https://evil.example"), denied),
            (Some("cross-site"), Some("null"), denied),
            (Some("cross-site"), None, denied),
            (Some("same-site"), None, denied),
            (Some("same-origin"), None, Allow),
            (Some("none"), None, Allow),
            (None, None, Allow),
            (None, Some("https://evil.example"), denied),
        ];
        for (site, origin, expected) in rows {
            let headers = headers(site, None, origin);
            assert_eq!(
                check_workspace("POST", headers, SIBLING, OWN),
                expected,
                "{headers:?}"
            );
            assert_eq!(
                check_workspace("GET", headers, SIBLING, OWN),
                Allow,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn a_port_is_read_by_itself_the_control_plane_and_whoever_does_not_ask_to_see_it() {
        let check = |method, site, origin| {
            check_port(method, headers(site, None, origin), SIBLING, OWN) == Verdict::Allow
        };
        let other = Some("https://3000-zbcdefghij01.kalpana.localhost:8443");
        for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
            assert!(check(method, Some("same-origin"), Some(SIBLING)));
            assert!(check(method, Some("same-site"), Some(OWN)));
            assert!(check(method, None, None));
            assert!(!check(method, Some("same-site"), other), "{method}");
            assert!(!check(method, Some("cross-site"), Some("null")), "{method}");
            assert!(!check(method, None, Some("https://evil.example")));
        }
        assert!(check("GET", Some("same-site"), None), "an image, a link");
        assert!(!check("POST", Some("same-site"), None));
    }

    #[test]
    fn a_websocket_comes_from_its_own_host() {
        let check = |origin| check_websocket(headers(Some("same-origin"), None, origin), SIBLING);
        assert_eq!(check(Some(SIBLING)), Verdict::Allow);
        for origin in [OWN, "null", "", "https://evil.example"] {
            assert_eq!(
                check(Some(origin)),
                Verdict::Deny(Reason::OtherOrigin),
                "{origin}"
            );
        }
        assert_eq!(check(None), Verdict::Deny(Reason::Unknown));
    }

    #[test]
    fn only_a_navigation_is_redirected() {
        let html = Some(b"application/json, text/html;q=0.9".as_slice());
        let rows = [
            ("GET", Some("navigate"), None, true),
            ("GET", None, html, true),
            ("GET", None, Some(b"*/*".as_slice()), false),
            ("GET", None, Some(b"text/htmlx".as_slice()), false),
            ("GET", None, None, false),
            ("GET", Some("cors"), html, false),
            ("GET", Some("websocket"), html, false),
            ("HEAD", Some("navigate"), html, false),
            ("POST", Some("navigate"), html, false),
            ("OPTIONS", None, html, false),
        ];
        for (method, mode, accept, expected) in rows {
            assert_eq!(
                is_navigation(method, headers(None, mode, None), accept),
                expected,
                "{method} {mode:?}"
            );
        }
    }
}
