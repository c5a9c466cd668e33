//! As much HTTP/1 as both ends of a benchmark need, and nothing that costs more.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest head, and what is read at once.
const PART: usize = 16 << 10;

/// A head, and how much of the buffer it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes up to and with the empty line.
    pub(crate) length: usize,
    /// The status; 0 of a request.
    pub(crate) status: u16,
    /// The announced length of the body.
    pub(crate) body: usize,
    /// Whether the body comes in chunks.
    pub(crate) is_chunked: bool,
    /// Whether the connection ends with this message.
    pub(crate) is_last: bool,
}

/// Reads from `stream` until `buffer` begins with a whole head. `None` when the stream ends
/// before the first byte.
pub(crate) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Head>> {
    loop {
        if let Some(head) = parse_head(buffer) {
            return Ok(Some(head));
        }
        if buffer.len() > PART {
            return Err(io::Error::other("the head has no end"));
        }
        buffer.reserve(PART);
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

/// Sends a request and reads the whole answer, whose body is thrown away. Returns its status.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<u16> {
    Ok(converse(stream, request, buffer).await?.status)
}

/// The same, but returns all of the answer's head.
pub(crate) async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<Head> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer(stream, buffer).await
}

/// Reads a whole answer, whose body is thrown away. Returns its head.
async fn answer(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Head> {
    buffer.clear();
    let head = read_head(stream, buffer).await?;
    let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
    if head.is_chunked {
        while !buffer.ends_with(b"0\r\n\r\n") {
            // The end is within the last bytes, whatever came before them.
            let kept = buffer.len().saturating_sub(8);
            buffer.drain(..kept);
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(head);
    }
    let rest = (head.length + head.body).saturating_sub(buffer.len());
    discard(stream, rest, buffer).await?;
    Ok(head)
}

/// Reads `rest` bytes and throws them away.
pub(crate) async fn discard(
    stream: &mut (impl AsyncRead + Unpin),
    mut rest: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    while rest > 0 {
        buffer.clear();
        buffer.reserve(4 * PART);
        let read = stream.take(rest as u64).read_buf(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        rest -= read;
    }
    Ok(())
}

/// Finds the head that `bytes` begin with.
fn parse_head(bytes: &[u8]) -> Option<Head> {
    let length = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.");
    let status = status.and_then(|rest| rest.get(2..5)).unwrap_or_default();
    let mut head = Head {
        length,
        status: status.parse().unwrap_or(0),
        body: 0,
        is_chunked: false,
        is_last: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            head.body = value.trim().parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.is_chunked = value.trim().eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.is_last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_once_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\nA: b\r\n\r\nabc";
        let head = Head {
            length: text.len() - 3,
            status: 200,
            body: 3,
            is_chunked: false,
            is_last: false,
        };
        assert_eq!(parse_head(text), Some(head));
        assert_eq!(parse_head(&text[..head.length - 1]), None);
        let request = parse_head(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert_eq!((request.status, request.is_chunked), (0, true));
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_end_and_no_further() {
        for body in [
            "Content-Length: 5\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let (mut ours, mut theirs) = tokio::io::duplex(16);
            let text = format!("HTTP/1.1 204 X\r\n{body}");
            let writer = tokio::spawn(async move { theirs.write_all(text.as_bytes()).await });
            let head = answer(&mut ours, &mut Vec::new()).await.unwrap();
            writer.await.unwrap().unwrap();
            assert_eq!(head.status, 204, "{body}");
            assert_eq!(ours.read(&mut [0]).await.unwrap(), 0);
        }
    }
}
