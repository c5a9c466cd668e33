//! WebSocket frames, by hand: the benchmark should measure the proxy and not its own library.
//! Source: RFC 6455.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The key of RFC 6455's own example, and what a server answers to it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FINAL_BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;

/// Largest frame that is read.
const LIMIT: usize = 1 << 20;

/// Returns a binary frame. A client's is masked, with zeros: proxies cannot tell.
pub(crate) fn frame(payload: &[u8], is_masked: bool) -> Vec<u8> {
    let mask = if is_masked { MASKED } else { 0 };
    let mut frame = vec![FINAL_BINARY];
    match payload.len() {
        short @ 0..126 => frame.push(mask | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(mask | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(mask | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if is_masked {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

/// Where in a buffer the payload of its first frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
    mask: Option<[u8; 4]>,
}

/// Finds the first frame, once its header is there.
fn place(bytes: &[u8]) -> io::Result<Option<Place>> {
    let Some(second) = bytes.get(1) else {
        return Ok(None);
    };
    let (length, mut start) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(field) => (u64::from(field[0]) << 8 | u64::from(field[1]), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(field) => {
                let length = field
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                (length, 10)
            }
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LIMIT {
        return Err(io::Error::other("the frame is too large"));
    }
    let mask = if second & MASKED == 0 {
        None
    } else {
        let Some(field) = bytes.get(start..start + 4) else {
            return Ok(None);
        };
        start += 4;
        Some([field[0], field[1], field[2], field[3]])
    };
    Ok(Some(Place {
        start,
        end: start + length,
        mask,
    }))
}

/// Sends frames of clients back, unmasked, until the stream ends. `buffer` holds what came with
/// the request's head.
pub(crate) async fn echo(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut buffer: Vec<u8>,
) -> io::Result<()> {
    loop {
        let mut answers = Vec::new();
        while let Some(place) = place(&buffer)?.filter(|place| place.end <= buffer.len()) {
            let payload = &mut buffer[place.start..place.end];
            if let Some(mask) = place.mask.filter(|mask| *mask != [0; 4]) {
                let masks = mask.iter().cycle();
                payload
                    .iter_mut()
                    .zip(masks)
                    .for_each(|(byte, mask)| *byte ^= mask);
            }
            answers.extend(frame(payload, false));
            buffer.drain(..place.end);
        }
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            stream.flush().await?;
        }
        if buffer.is_empty() {
            // Thousands of these are idle at once.
            buffer = Vec::new();
        }
        let mut part = [0; 4096];
        let read = if buffer.is_empty() {
            stream.read(&mut part).await?
        } else {
            buffer.reserve(64 << 10);
            let read = stream.read_buf(&mut buffer).await?;
            if read > 0 {
                continue;
            }
            0
        };
        if read == 0 {
            return Ok(());
        }
        buffer.extend(&part[..read]);
    }
}

/// Reads one frame of a server, whose payload must have `length` bytes and is thrown away.
pub(crate) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    buffer.clear();
    let place = loop {
        if let Some(place) = place(buffer)? {
            break place;
        }
        buffer.reserve(4096);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    if place.end - place.start != length {
        return Err(io::Error::other("another frame than was sent"));
    }
    let rest = place.end.saturating_sub(buffer.len());
    super::http1::discard(stream, rest, buffer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        for (length, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let bytes = frame(&vec![1; length], false);
            assert_eq!(bytes.len(), header + length);
            let expected = Place {
                start: header,
                end: header + length,
                mask: None,
            };
            assert_eq!(place(&bytes).unwrap(), Some(expected));
        }
        assert_eq!(frame(b"hi", true), b"\x82\x82\0\0\0\0hi");
    }

    #[test]
    fn a_header_that_is_not_all_there_is_waited_for() {
        let bytes = frame(&[0; 70_000], true);
        for end in 0..14 {
            assert_eq!(place(&bytes[..end]).unwrap(), None, "{end}");
        }
        let huge = [FINAL_BINARY, 127, 255, 0, 0, 0, 0, 0, 0, 0];
        assert!(place(&huge).is_err());
    }

    #[tokio::test]
    async fn frames_come_back_unmasked_however_they_are_cut() {
        let (mut ours, mut theirs) = tokio::io::duplex(7);
        let server = tokio::spawn(async move { echo(&mut theirs, Vec::new()).await });
        let mut buffer = Vec::new();
        for length in [0, 5, 200] {
            let sent = frame(&vec![9; length], true);
            let (mut reader, mut writer) = tokio::io::split(&mut ours);
            let (written, received) = tokio::join!(
                writer.write_all(&sent),
                receive(&mut reader, length, &mut buffer)
            );
            written.unwrap();
            received.unwrap();
        }
        ours.write_all(b"\x82\x82\x01\x02\x03\x04\x60\x60")
            .await
            .unwrap();
        let mut answer = [0; 4];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"\x82\x02ab");
        drop(ours);
        server.await.unwrap().unwrap();
    }
}
