//! The PROXY protocol, versions 1 and 2: how a load balancer in front of us says whose connection
//! it passes on. Read before TLS, and only from addresses that the operator named.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longest header that is read: one of version 2 with addresses and a few kilobytes beside them.
const LIMIT: usize = 4096;

/// How a header of version 1 begins, and its longest.
const V1_PREFIX: &[u8] = b"PROXY ";
const V1_LIMIT: usize = 107;

/// Bytes of a header of version 2 that are always there.
const V2_FIXED: usize = 16;

/// Why there is no client address.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// What came is no header.
    #[error("a trusted proxy sent no PROXY protocol header")]
    Malformed,
    /// The header is longer than any we accept.
    #[error("a trusted proxy sent a PROXY protocol header of more than {LIMIT} bytes")]
    TooLong,
    /// The connection ended or failed.
    #[error("a trusted proxy closed the connection before the PROXY protocol header was complete")]
    Closed(#[source] io::Error),
}

/// Reads the header off a connection, and not a byte more. Returns the client's address, or `None`
/// when the proxy speaks for itself (a health check).
///
/// # Errors
/// [`ProxyProtocolError`]; the connection is of no use then.
pub async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let mut header = Vec::with_capacity(128);
    loop {
        // Never more than is known to belong to the header: what follows belongs to TLS.
        let missing = match parse(&header) {
            Parsed::Complete(client) => return Ok(client),
            Parsed::Malformed => return Err(ProxyProtocolError::Malformed),
            Parsed::Incomplete { missing } => missing,
        };
        if header.len() + missing > LIMIT {
            return Err(ProxyProtocolError::TooLong);
        }
        let start = header.len();
        header.resize(start + missing, 0);
        stream
            .read_exact(&mut header[start..])
            .await
            .map_err(ProxyProtocolError::Closed)?;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Complete(Option<SocketAddr>),
    /// At least so many bytes are still to come.
    Incomplete {
        missing: usize,
    },
    Malformed,
}

fn parse(header: &[u8]) -> Parsed {
    if header.first() == v2::PROTOCOL_PREFIX.first() {
        parse_v2(header)
    } else {
        parse_v1(header)
    }
}

/// A line; how long it is shows only at its end.
fn parse_v1(header: &[u8]) -> Parsed {
    let prefix = &V1_PREFIX[..header.len().min(V1_PREFIX.len())];
    if !header.starts_with(prefix) || header.len() > V1_LIMIT {
        return Parsed::Malformed;
    }
    if !header.ends_with(b"\n") {
        return Parsed::Incomplete { missing: 1 };
    }
    match v1::Header::try_from(header).map(|header| header.addresses) {
        Ok(v1::Addresses::Unknown) => Parsed::Complete(None),
        Ok(v1::Addresses::Tcp4(ip)) => {
            Parsed::Complete(Some((ip.source_address, ip.source_port).into()))
        }
        Ok(v1::Addresses::Tcp6(ip)) => {
            Parsed::Complete(Some((ip.source_address, ip.source_port).into()))
        }
        Err(_) => Parsed::Malformed,
    }
}

/// Sixteen bytes, of which the last two say how much follows.
fn parse_v2(header: &[u8]) -> Parsed {
    let prefix = &v2::PROTOCOL_PREFIX[..header.len().min(v2::PROTOCOL_PREFIX.len())];
    if !header.starts_with(prefix) {
        return Parsed::Malformed;
    }
    let announced = match header.get(V2_FIXED - 2..V2_FIXED) {
        Some(length) => V2_FIXED + usize::from(u16::from_be_bytes([length[0], length[1]])),
        None => V2_FIXED,
    };
    if header.len() < announced {
        let missing = announced - header.len();
        return Parsed::Incomplete { missing };
    }
    match v2::Header::try_from(header) {
        Ok(header) => Parsed::Complete(match (header.command, header.addresses) {
            (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            _ => None,
        }),
        Err(_) => Parsed::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap());
        let (far, near) = tokio::join!(far, listener.accept());
        (far.unwrap(), near.unwrap().0)
    }

    /// Sends a header and what belongs to TLS after it; returns what was read of both.
    async fn pass(
        bytes: &[u8],
    ) -> (
        Result<Option<SocketAddr>, ProxyProtocolError>,
        Option<String>,
    ) {
        let (mut far, mut near) = pair().await;
        far.write_all(bytes).await.unwrap();
        far.write_all(b"TLS").await.unwrap();
        far.shutdown().await.unwrap();
        let client = read(&mut near).await;
        let mut rest = String::new();
        let rest = near.read_to_string(&mut rest).await.ok().map(|_| rest);
        (client, rest)
    }

    fn v2(command: v2::Command, source: &str, destination: &str) -> Vec<u8> {
        let addresses: (SocketAddr, SocketAddr) =
            (source.parse().unwrap(), destination.parse().unwrap());
        v2::Builder::with_addresses(v2::Version::Two | command, v2::Protocol::Stream, addresses)
            .write_tlv(v2::Type::Authority, b"abcdefghij01.kalpana.localhost")
            .unwrap()
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_rest() {
        let proxied = v2::Command::Proxy;
        for (header, client) in [
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\r\n".to_vec(),
                Some("192.0.2.1:4242"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".to_vec(),
                Some("[2001:db8::1]:1"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (
                v2(proxied, "192.0.2.1:4242", "198.51.100.1:443"),
                Some("192.0.2.1:4242"),
            ),
            (
                v2(proxied, "[2001:db8::1]:1", "[2001:db8::2]:443"),
                Some("[2001:db8::1]:1"),
            ),
            (
                v2(v2::Command::Local, "192.0.2.1:4242", "198.51.100.1:443"),
                None,
            ),
        ] {
            let (read, rest) = pass(&header).await;
            let client: Option<SocketAddr> = client.map(|text| text.parse().unwrap());
            assert_eq!(read.unwrap(), client);
            assert_eq!(rest.as_deref(), Some("TLS"));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_and_not_waited_for() {
        for bytes in [
            b"\x16\x03\x01\x02\x00".as_slice(),
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 evil 198.51.100.1 4242 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4242 99999\r\n",
            b"PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0",
        ] {
            let (read, _) = pass(bytes).await;
            assert!(
                matches!(read, Err(ProxyProtocolError::Malformed)),
                "{:?}: {read:?}",
                String::from_utf8_lossy(bytes)
            );
        }
        let mut endless = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
        endless.extend([0xff, 0xff]);
        let (too_long, _) = pass(&endless).await;
        assert!(
            matches!(too_long, Err(ProxyProtocolError::TooLong)),
            "{too_long:?}"
        );
        let (mut far, mut near) = pair().await;
        far.write_all(b"PROXY TCP4 192").await.unwrap();
        drop(far);
        let cut_off = read(&mut near).await;
        assert!(
            matches!(cut_off, Err(ProxyProtocolError::Closed(_))),
            "{cut_off:?}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_ask_for_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Parsed::Incomplete { missing } = parse(&bytes) {
                prop_assert!(missing > 0);
            }
        }
    }
}
