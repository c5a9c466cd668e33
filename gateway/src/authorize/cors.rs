//! Pages of one port that use another: the part of CORS that has to be ours, because browsers send
//! preflights without a session. Pure.
//!
//! A preflight to a port that asks for a session can never bring one, and to pass it on would be to
//! let anybody reach the application. So it is answered here, from the two names alone. What is
//! answered to the request that follows it is the application's to say; only where it says nothing,
//! its own workspace's pages may read.
//!
//! Source: the Fetch standard, section 3.3 (CORS protocol).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};
use pingora_core::Result;
use pingora_http::ResponseHeader;

/// How long a browser may remember the answer to a preflight, in seconds. The answer never changes,
/// but two hours are the most that any browser keeps.
const MAX_AGE: &str = "7200";

/// What a preflight is answered, when the page that it is about may make the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    origin: HeaderValue,
    method: HeaderValue,
    headers: Option<HeaderValue>,
}

impl Allowed {
    /// Allows what the preflight asks for to the page at `origin`.
    pub fn what_is_asked(headers: &HeaderMap, origin: &HeaderValue) -> Option<Self> {
        Some(Self {
            origin: origin.clone(),
            method: headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.clone(),
            headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        })
    }

    /// Writes the permission into the answer to the preflight.
    ///
    /// # Errors
    /// Pingora's, when there are more headers than it holds.
    pub fn write(&self, answer: &mut ResponseHeader) -> Result<()> {
        open_to(answer, &self.origin)?;
        answer.insert_header(ACCESS_CONTROL_ALLOW_METHODS, self.method.clone())?;
        if let Some(headers) = &self.headers {
            answer.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone())?;
        }
        answer.insert_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE)
    }
}

/// Tells whether a request asks, before another one, whether that one may be made.
pub fn is_preflight(method: &str, headers: &HeaderMap) -> bool {
    method == "OPTIONS"
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets the page at `origin` read an answer.
///
/// # Errors
/// Pingora's, when there are more headers than it holds.
pub fn open_to(answer: &mut ResponseHeader, origin: &HeaderValue) -> Result<()> {
    answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
    answer.insert_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")
}

/// Completes an application's answer at a port that asks for a session: one that says nothing of
/// who may read it may be read by `sibling`, a page of its own workspace.
///
/// `Vary` is set for everybody, because a browser would otherwise keep the answer to the port's own
/// page and give it, unreadable, to a sibling.
///
/// # Errors
/// Pingora's, when there are more headers than it holds.
pub fn complete(answer: &mut ResponseHeader, sibling: Option<&HeaderValue>) -> Result<()> {
    if answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        return Ok(());
    }
    answer.append_header(VARY, "Origin")?;
    match sibling {
        Some(origin) => open_to(answer, origin),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            answer.append_header(*name, *value).unwrap();
        }
        answer
    }

    #[test]
    fn what_an_application_says_of_its_readers_is_left_alone() {
        let sibling = HeaderValue::from_static("https://3000-abcdefghij01.kalpana.test");
        for headers in [
            &[("access-control-allow-origin", "https://app.example")][..],
            &[
                ("access-control-allow-origin", "*"),
                ("vary", "Accept"),
                ("access-control-allow-methods", "GET"),
            ],
        ] {
            let mut completed = answer(headers);
            complete(&mut completed, Some(&sibling)).unwrap();
            assert_eq!(completed.headers, answer(headers).headers);
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_open_to_a_sibling_and_to_nobody_else() {
        let sibling = "https://3000-abcdefghij01.kalpana.test";
        let mut completed = answer(&[("vary", "Accept")]);
        complete(&mut completed, Some(&HeaderValue::from_static(sibling))).unwrap();
        let expected = answer(&[
            ("vary", "Accept"),
            ("vary", "Origin"),
            ("access-control-allow-origin", sibling),
            ("access-control-allow-credentials", "true"),
        ]);
        assert_eq!(completed.headers, expected.headers);
        let mut completed = answer(&[]);
        complete(&mut completed, None).unwrap();
        assert_eq!(completed.headers, answer(&[("vary", "Origin")]).headers);
    }
}
