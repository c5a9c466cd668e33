//! The head of a connection's first request, read before Pingora does: a WebSocket to a workspace
//! is served by a [`tunnel`](crate::tunnel), which costs a fraction of the memory.
//!
//! Only a plain, well-formed upgrade is recognised here. Everything else, what cannot be read
//! included, goes to Pingora with the bytes that were read, and is judged there.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use pingora_http::RequestHeader;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::framing::has_bare_line_feed;

/// Most header fields that are looked at. More is too many anyway.
const FIELD_LIMIT: usize = 128;

/// How many bytes HTTP/2 begins with. Source: RFC 9113, section 3.4.
const PREFACE_LENGTH: usize = 24;

/// What a connection begins with.
#[derive(Debug)]
pub enum First {
    /// A request for a WebSocket.
    WebSocket {
        /// Its head.
        head: Box<RequestHeader>,
        /// The same as it came.
        read: Bytes,
    },
    /// Anything else, as far as it was read.
    Other(Bytes),
}

/// Reads what follows `first_byte` until the first request's head is complete, or longer than
/// `limit` bytes, or unreadable.
///
/// # Errors
/// The stream's.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    first_byte: u8,
    limit: usize,
) -> io::Result<First> {
    let mut bytes = BytesMut::with_capacity(2048);
    bytes.put_u8(first_byte);
    loop {
        let is_ended = stream.read_buf(&mut bytes).await? == 0;
        let is_more_wanted = bytes.len() <= limit && !is_ended;
        match parse(&bytes) {
            Parsed::Partial if is_more_wanted => {}
            Parsed::Partial | Parsed::Other => return Ok(First::Other(bytes.freeze())),
            Parsed::WebSocket(head) => {
                let read = bytes.freeze();
                return Ok(First::WebSocket { head, read });
            }
        }
    }
}

/// Reads what follows `first_byte` of the words that HTTP/2 begins with. Pingora would wait for
/// them for as long as they take. What else may stand there is for Pingora to refuse.
///
/// # Errors
/// The stream's.
pub async fn read_preface(
    stream: &mut (impl AsyncRead + Unpin),
    first_byte: u8,
) -> io::Result<First> {
    let mut preface = [first_byte; PREFACE_LENGTH];
    stream.read_exact(&mut preface[1..]).await?;
    Ok(First::Other(Bytes::copy_from_slice(&preface)))
}

enum Parsed {
    Partial,
    WebSocket(Box<RequestHeader>),
    Other,
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        // A client that speaks WebSocket before it is told that it may is none.
        Ok(httparse::Status::Complete(length))
            if length == bytes.len() && !has_bare_line_feed(bytes) => {}
        Ok(httparse::Status::Complete(_)) | Err(_) => return Parsed::Other,
    }
    let (Some("GET"), Some(path), Some(1)) = (request.method, request.path, request.version) else {
        return Parsed::Other;
    };
    match to_header(path, request.headers) {
        Some(head) if is_websocket(&head.headers) => Parsed::WebSocket(Box::new(head)),
        _ => Parsed::Other,
    }
}

fn to_header(path: &str, fields: &[httparse::Header<'_>]) -> Option<RequestHeader> {
    // The target as clients of servers send it; a whole URL or an asterisk is for Pingora to judge.
    if !path.starts_with('/') || !path.is_ascii() {
        return None;
    }
    let mut head = RequestHeader::build(Method::GET, path.as_bytes(), Some(fields.len())).ok()?;
    for field in fields {
        let value = HeaderValue::from_bytes(field.value).ok()?;
        head.append_header(field.name.to_owned(), value).ok()?;
    }
    Some(head)
}

/// Tells whether a head asks for a WebSocket and nothing else. Source: RFC 6455, section 4.1.
fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let is_asked = upgrades
        .next()
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let nominated = headers.get_all(CONNECTION).iter();
    let is_nominated = nominated
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    is_asked && upgrades.next().is_none() && is_nominated && !has_body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UPGRADE_HEAD: &str = "GET /a?b HTTP/1.1\r\nHost: x.test\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: k\r\n\r\n";

    async fn first(bytes: &[u8]) -> io::Result<First> {
        read(&mut &bytes[1..], bytes[0], 4096).await
    }

    #[tokio::test]
    async fn an_upgrade_is_recognised_and_read_whole() {
        let First::WebSocket { head, read } = first(UPGRADE_HEAD.as_bytes()).await.unwrap() else {
            panic!("not recognised");
        };
        assert_eq!(read, UPGRADE_HEAD);
        assert_eq!(head.uri.to_string(), "/a?b");
        assert_eq!(head.headers.len(), 4);
    }

    #[tokio::test]
    async fn everything_else_is_left_as_it_came() {
        let change = |from: &str, to: &str| UPGRADE_HEAD.replacen(from, to, 1);
        for text in [
            "GET / HTTP/1.1\r\nHost: x.test\r\n\r\n".to_owned(),
            "garbage\r\n\r\n".to_owned(),
            "GET / HT".to_owned(),
            change("GET", "POST"),
            change("HTTP/1.1", "HTTP/1.0"),
            change("/a?b", "https://x.test/a?b"),
            change("WebSocket", "h2c"),
            change("WebSocket", "websocket, h2c"),
            change("keep-alive, Upgrade", "keep-alive"),
            change("HTTP/1.1\r\n", "HTTP/1.1\n"),
            change("Sec-WebSocket-Key: k", "Content-Length: 0"),
            change("Sec-WebSocket-Key: k", "Transfer-Encoding: chunked"),
            change("Sec-WebSocket-Key: k", "Upgrade: websocket"),
            change("Sec-WebSocket-Key: k", "Sec-WebSocket-Key: \u{1}"),
            format!("{UPGRADE_HEAD}frames too early"),
        ] {
            let First::Other(bytes) = first(text.as_bytes()).await.unwrap() else {
                panic!("recognised: {text}");
            };
            assert_eq!(bytes, text.as_bytes(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_given_up_at_the_limit() {
        let endless = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(100_000));
        let First::Other(bytes) = first(endless.as_bytes()).await.unwrap() else {
            panic!("recognised");
        };
        assert!(
            bytes.len() > 4096 && bytes.len() < 20_000,
            "{}",
            bytes.len()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_kept(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let First::Other(kept) = runtime.block_on(first(&bytes)).unwrap() {
                prop_assert_eq!(kept, bytes);
            }
        }
    }
}
