//! Whether an HTTP/1 head can be read in one way only. Pure.
//!
//! Pingora reads some heads that are against the rules, and passes on what it made of them. That
//! is one request for both sides. But whoever sends such a head hopes that somebody on the way
//! reads it otherwise, and no client that people use sends any.

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

/// Tells whether a head may be read in different ways. `raw` is the head as it came, `headers`
/// what was read of it, where a length that the body does not have may be missing already.
///
/// Ambiguous are: lines that end in LF alone, a target with spaces or without its leading slash,
/// a length that is no number or is named twice, one beside a transfer coding, any transfer
/// coding but one `chunked`, and a request of HTTP/1.0 that should have a body and names no length.
/// Source: RFC 9112, sections 2.2, 3.2 and 6.3; RFC 1945, section 7.2.2.
pub fn is_ambiguous(raw: &[u8], headers: &HeaderMap) -> bool {
    has_bare_line_feed(raw)
        || !has_plain_target(raw)
        || has_odd_length(raw, headers)
        || lacks_length(raw)
}

/// Tells whether a line of a head ends in LF alone.
pub fn has_bare_line_feed(raw: &[u8]) -> bool {
    raw.iter()
        .enumerate()
        .any(|(at, byte)| *byte == b'\n' && (at == 0 || raw[at - 1] != b'\r'))
}

/// A body of HTTP/1.0 without a length ends, for some, with the connection.
fn lacks_length(raw: &[u8]) -> bool {
    let [method, _target, version] = request_line(raw)[..] else {
        return false;
    };
    let has_body = matches!(method, b"POST" | b"PUT" | b"PATCH");
    version == b"HTTP/1.0" && has_body && lengths(raw).next().is_none()
}

/// Returns the words of the request line.
fn request_line(raw: &[u8]) -> Vec<&[u8]> {
    // Empty lines before a request line are to be ignored.
    let mut lines = raw.trim_ascii_start().split(|byte| *byte == b'\r');
    let line = lines.next().unwrap_or_default();
    line.split(|byte| *byte == b' ').collect()
}

/// The target is a path, a whole URL (which names its own host and is judged by that), an
/// authority (of `CONNECT`, which is refused) or an asterisk.
fn has_plain_target(raw: &[u8]) -> bool {
    let [method, target, _version] = request_line(raw)[..] else {
        return false;
    };
    let is_url = target.windows(3).any(|part| part == b"://");
    target.starts_with(b"/") || target == b"*" || is_url || method == b"CONNECT"
}

fn has_odd_length(raw: &[u8], headers: &HeaderMap) -> bool {
    let mut lengths = lengths(raw);
    let length = lengths.next();
    let is_plain = |length: &[u8]| !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    if length.is_some_and(|length| !is_plain(length)) || lengths.next().is_some() {
        return true;
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return false;
    };
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    !is_chunked || codings.next().is_some() || length.is_some()
}

/// Returns the lengths that a head names, as they came.
fn lengths(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = line[..colon].trim_ascii();
        name.eq_ignore_ascii_case(b"content-length")
            .then(|| line[colon + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn judge(raw: &str) -> bool {
        let mut headers = HeaderMap::new();
        for line in raw.split("\r\n") {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("transfer-encoding")
            {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_str(value).unwrap());
            }
        }
        is_ambiguous(raw.as_bytes(), &headers)
    }

    #[test]
    fn what_clients_send_is_clear() {
        for raw in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\nGET /a?b=c://d HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n",
        ] {
            assert!(!judge(raw), "{raw:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_ambiguous() {
        for raw in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET  /a HTTP/1.1\r\n\r\n",
            "GET a HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5,5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: x\r\n\r\n",
            "PATCH /a HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(judge(raw), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(raw: Vec<u8>) {
            let _ = is_ambiguous(&raw, &HeaderMap::new());
        }
    }
}
