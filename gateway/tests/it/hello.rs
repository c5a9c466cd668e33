//! Hellos of TLS as no browser writes them: whatever the name in it and however it is cut up, what
//! a request may reach is settled by its own host and session.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::bridge::Bridge;
use crate::world::{FOREIGN, MINE, World, patient};

/// A connection that sends every byte in a segment of its own.
struct Crumbs(TcpStream);

impl AsyncRead for Crumbs {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Crumbs {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// How a hello is written.
#[derive(Debug, Clone)]
struct Hello {
    name: String,
    /// Longest record, where it is cut up.
    record: Option<usize>,
    is_crumbled: bool,
}

/// Says hello, and asks a workspace for something; returns the status.
async fn ask(world: &World, hello: &Hello, label: &str, session: &str) -> u16 {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = world.tls_config(b"http/1.1", provider);
    config.max_fragment_size = hello.record;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(hello.name.clone()).unwrap();
    let stream = TcpStream::connect(world.bound.tls).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!(
        "GET /echo HTTP/1.1\r\nHost: {}\r\nCookie: {session}\r\nConnection: close\r\n\r\n",
        world.host(label)
    );
    let mut answer = Vec::new();
    if hello.is_crumbled {
        let mut stream = patient(connector.connect(name, Crumbs(stream)))
            .await
            .unwrap();
        patient(stream.write_all(head.as_bytes())).await.unwrap();
        patient(stream.flush()).await.unwrap();
        let _ = patient(stream.read_to_end(&mut answer)).await;
    } else {
        let mut stream = patient(connector.connect(name, stream)).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = patient(stream.read_to_end(&mut answer)).await;
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{hello:?}: {answer:?}"))
}

#[tokio::test]
async fn however_a_hello_is_written_the_same_session_opens_the_same_host() {
    let world = World::start().await;
    let (mine, foreign) = (
        Bridge::start(&world, MINE, 1),
        Bridge::start(&world, FOREIGN, 1),
    );
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    let owner = kalpana_domain::id::UserId::generate();
    world.route(FOREIGN, owner, 1, target).await;
    let session = world.sign_in(MINE, 1).await;
    let mut served = 0;
    for name in [
        format!("{MINE}.kalpana.localhost"),
        format!("{}.KALPANA.LocalHost", MINE.to_uppercase()),
        format!("{MINE}.kalpana.localhost."),
        format!("{FOREIGN}.kalpana.localhost"),
        "Kalpana.localhost".to_owned(),
    ] {
        for (record, is_crumbled) in [
            (None, false),
            (None, true),
            (Some(32), false),
            (Some(32), true),
        ] {
            let name = name.clone();
            let hello = Hello {
                name,
                record,
                is_crumbled,
            };
            assert_eq!(ask(&world, &hello, MINE, &session).await, 200, "{hello:?}");
            assert_eq!(ask(&world, &hello, MINE, "").await, 401, "{hello:?}");
            assert_eq!(
                ask(&world, &hello, FOREIGN, &session).await,
                401,
                "{hello:?}"
            );
            served += 1;
        }
    }
    assert_eq!(mine.text().matches("GET /echo ").count(), served);
    assert_eq!(foreign.text(), "");
}

/// Returns a hello for a name as it is, which no library of ours would write.
fn raw_hello(name: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    let counted = |bytes: Vec<u8>| [length(&bytes), bytes].concat();
    let extension =
        |kind: u16, body: Vec<u8>| [kind.to_be_bytes().to_vec(), counted(body)].concat();
    // Source: RFC 8446, section 4.1.2, and RFC 6066, section 3.
    let names = counted([vec![0], counted(name.to_vec())].concat());
    let share = counted([vec![0, 0x1d], counted(vec![9; 32])].concat());
    let extensions = [
        extension(0, names),
        extension(43, vec![2, 3, 4]),
        extension(10, counted(vec![0, 0x1d])),
        extension(13, counted(vec![4, 3, 8, 4, 8, 7])),
        extension(51, share),
    ]
    .concat();
    let body = [
        vec![3, 3],
        vec![7; 32],
        vec![0],
        counted(vec![0x13, 1]),
        vec![1, 0],
        counted(extensions),
    ]
    .concat();
    let message = [vec![1, 0], counted(body)].concat();
    [vec![22, 3, 1], counted(message)].concat()
}

#[tokio::test]
async fn a_name_that_is_none_is_no_way_around_the_handshake() {
    let world = World::start().await;
    let web = |world: &World| world.web_heard.lock().unwrap().len();
    for (name, is_served) in [
        (b"kalpana.localhost".as_slice(), true),
        (b"KALPANA.localhost", true),
        (b"kalpana.localhost.", false),
        (b"kalpana.localhost\0.evil.example", false),
        (b"k\xe1lpana.localhost", false),
        (b"kalpana.localhost/../x", false),
        (b"", false),
        (&[b'a'; 4000], false),
    ] {
        let mut stream = TcpStream::connect(world.bound.tls).await.unwrap();
        stream.write_all(&raw_hello(name)).await.unwrap();
        let mut first = [0; 1];
        let _ = patient(stream.read(&mut first)).await;
        // A record of a handshake or an alert: the former only for a name of ours.
        let shown = name.escape_ascii().to_string();
        let is_shaken = first[0] == 22;
        assert!(
            is_shaken || first[0] == 21 || first[0] == 0,
            "{shown}: {first:?}"
        );
        if is_served {
            assert!(is_shaken, "{shown}");
        }
        let plain = b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\n\r\n";
        let _ = stream.write_all(plain).await;
        let mut answer = Vec::new();
        let _ = patient(stream.read_to_end(&mut answer)).await;
        assert!(!answer.windows(5).any(|part| part == b"HTTP/"), "{shown}");
    }
    assert_eq!(web(&world), 0);
}
