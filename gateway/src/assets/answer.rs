//! A kept file as an answer.

use http::HeaderMap;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::cache::Asset;

/// A path with a commit in it never means anything else. Not for shared caches: who may have an
/// answer is for the gateway to say.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// A file that somebody asked for.
#[derive(Debug)]
pub struct Hit {
    /// The file.
    pub asset: Asset,
    content_type: String,
    etag: String,
    /// Whether the browser has it already.
    pub is_known: bool,
}

impl Hit {
    /// Answers a request for `path` with a file. `None` when the client does not take the form in
    /// which it is kept.
    pub fn new(asset: Asset, path: &str, headers: &HeaderMap) -> Option<Self> {
        if asset.is_brotli && !accepts_brotli(headers) {
            return None;
        }
        let etag = format!("\"{}\"", asset.hash);
        let is_known = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim().trim_start_matches("W/") == etag);
        Some(Self {
            asset,
            content_type: content_type(path),
            etag,
            is_known,
        })
    }

    /// Writes the head, which still lacks what every answer of a workspace host gets.
    ///
    /// # Errors
    /// Pingora's, when a value is no header value.
    pub fn head(&self) -> Result<ResponseHeader> {
        let status = if self.is_known { 304 } else { 200 };
        let mut head = ResponseHeader::build(status, Some(12))?;
        head.insert_header(CACHE_CONTROL, IMMUTABLE)?;
        head.insert_header(ETAG, &self.etag)?;
        head.insert_header(VARY, "Accept-Encoding")?;
        if !self.is_known {
            head.insert_header(CONTENT_TYPE, &self.content_type)?;
            head.insert_header(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
            head.insert_header(CONTENT_LENGTH, self.asset.body.len().to_string())?;
            if self.asset.is_brotli {
                head.insert_header(CONTENT_ENCODING, "br")?;
            }
        }
        Ok(head)
    }
}

/// Returns the type of the file with this name.
fn content_type(path: &str) -> String {
    let kind = mime_guess::from_path(path).first_raw();
    match kind.unwrap_or("application/octet-stream") {
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    }
}

/// Tells whether a client says that it takes Brotli. Source: RFC 9110, section 12.5.3.
fn accepts_brotli(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_brotli = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("br"));
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            is_brotli && weight.is_none_or(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0))
        })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::assets::manifest::Digest;

    fn headers(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)))
            .collect()
    }

    fn asset(is_brotli: bool) -> Asset {
        Asset {
            hash: Digest::of(b"abc"),
            body: Bytes::from_static(b"abc"),
            is_brotli,
        }
    }

    #[test]
    fn only_who_takes_brotli_is_given_it() {
        for (value, is_taken) in [
            ("gzip, deflate, br, zstd", true),
            ("BR;q=0.5", true),
            ("br; q=0", false),
            ("br;q=x", false),
            ("gzip", false),
            ("brotli", false),
        ] {
            let headers = headers(&[(ACCEPT_ENCODING, value)]);
            assert_eq!(accepts_brotli(&headers), is_taken, "{value}");
            assert_eq!(Hit::new(asset(true), "a.js", &headers).is_some(), is_taken);
            assert!(Hit::new(asset(false), "a.png", &headers).is_some());
        }
        assert!(!accepts_brotli(&HeaderMap::new()));
    }

    #[test]
    fn the_name_says_the_type() {
        for (path, expected) in [
            ("out/main.js", "text/javascript; charset=utf-8"),
            ("out/main.css", "text/css; charset=utf-8"),
            ("out/pre/index.html", "text/html; charset=utf-8"),
            ("extensions/theme/package.json", "application/json"),
            ("release/onig.wasm", "application/wasm"),
            ("out/media/codicon.ttf", "font/ttf"),
            ("out/icon.svg", "image/svg+xml"),
            ("extensions/LICENSE", "application/octet-stream"),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }

    #[test]
    fn a_browser_that_has_it_is_not_sent_it_again() {
        let etag = format!("W/\"x\", \"{}\"", Digest::of(b"abc"));
        let mut known = HeaderMap::new();
        known.insert(IF_NONE_MATCH, etag.parse().unwrap());
        let hit = Hit::new(asset(false), "a.js", &known).unwrap();
        let head = hit.head().unwrap();
        assert_eq!(head.status, 304);
        assert!(!head.headers.contains_key(CONTENT_LENGTH));
        let other = headers(&[(IF_NONE_MATCH, "\"x\"")]);
        let hit = Hit::new(asset(false), "a.js", &other).unwrap();
        assert_eq!(hit.head().unwrap().status, 200);
    }
}
