//! A stand-in for a workspace: a bridge that speaks the real preamble, and behind it a server that
//! writes down every byte it is sent.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::{SinkExt, StreamExt};
use kalpana_domain::clock::Clock;
use kalpana_protocol::preamble::{self, Audience, Denial, Target, Unverified};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::grpc;
use crate::world::World;

/// Nobody listens on this port of the stand-in.
pub(crate) const CLOSED_PORT: u16 = 4000;

/// Which it says are open when it is asked for the closed one.
pub(crate) const OPEN_PORTS: [u16; 2] = [5173, 8080];

/// What an application must not say for more than its own host: cookies of ours, of every host of
/// the site, of a whole public suffix, and where else the browser is to go or to forget.
pub(crate) const PRESUMPTUOUS: &str = "Set-Cookie: __Host-kws=evil; Path=/\r\n\
     Set-Cookie: __HOST-kwn=evil; Path=/\r\n\
     Set-Cookie: __Host-ksess=evil; Secure; Path=/\r\n\
     Set-Cookie: app=1; Domain=kalpana.localhost; Path=/\r\n\
     Set-Cookie: wide=1; domain = .localhost; Secure\r\n\
     Set-Cookie: twice=1; Domain=co.uk; Path=/; DOMAIN=.github.io\r\n\
     Alt-Svc: h3=\":1\"\r\n\
     Clear-Site-Data: \"cookies\"\r\n\
     Strict-Transport-Security: max-age=0\r\n\
     Service-Worker-Allowed: /\r\n";

/// How much of what goes over a connection is written down; what comes after it is passed on only.
const RECORD_LIMIT: usize = 4 << 20;

/// What arrived over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) target: Target,
    pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
}

impl Arrived {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Files by their path.
pub(crate) type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) arrived: Arc<Mutex<Vec<Arrived>>>,
    /// What is served besides, by path.
    pub(crate) files: Files,
    /// How many more events may be sent.
    pub(crate) events: Arc<Semaphore>,
    /// What a back end answered, where there is one, over all connections.
    pub(crate) answered: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Bridge {
    /// Listens where the workspace's route says, for one generation.
    pub(crate) fn start(world: &World, workspace: &'static str, generation: u64) -> Self {
        Self::listen(world, workspace, generation, None)
    }

    /// Listens in the same place, and passes everything on to the server behind `backend`, a socket.
    pub(crate) fn before(world: &World, workspace: &'static str, backend: &Path) -> Self {
        Self::listen(world, workspace, 1, Some(backend.to_owned()))
    }

    fn listen(
        world: &World,
        workspace: &'static str,
        generation: u64,
        backend: Option<PathBuf>,
    ) -> Self {
        let path = world.site.bridge_socket(workspace);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let answered = Arc::<Mutex<Vec<u8>>>::default();
        let answers = Arc::clone(&answered);
        let (clock, list) = (Arc::clone(&world.clock), Arc::clone(&arrived));
        let files = Files::default();
        let served = Arc::clone(&files);
        let events = Arc::new(Semaphore::new(0));
        let allowed = Arc::clone(&events);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let now = u64::try_from(clock.now().as_second()).unwrap();
                let (list, served) = (Arc::clone(&list), Arc::clone(&served));
                let events = Arc::clone(&allowed);
                let (backend, answers) = (backend.clone(), Arc::clone(&answers));
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut line = Vec::new();
                    stream.read_until(b'\n', &mut line).await.unwrap();
                    let outcome = admit(&line, workspace, generation, now);
                    let answer = preamble::answer(outcome.as_ref().map(|_| ()).map_err(|d| *d));
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if let Ok(target) = outcome {
                        let bytes = Arc::default();
                        list.lock().unwrap().push(Arrived {
                            target,
                            bytes: Arc::clone(&bytes),
                        });
                        let stream = Recorded { stream, bytes };
                        // An ending connection is the tests' own doing.
                        let _ = match backend {
                            None => serve(BufReader::new(stream), &served, &events).await,
                            Some(path) => relay(stream, &path, answers).await,
                        };
                    }
                });
            }
        });
        Self {
            arrived,
            files,
            events,
            answered,
            task,
        }
    }

    /// Everything that arrived, over all connections in the order they were opened.
    pub(crate) fn text(&self) -> String {
        self.arrived
            .lock()
            .unwrap()
            .iter()
            .map(Arrived::text)
            .collect()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.arrived
            .lock()
            .unwrap()
            .iter()
            .map(|arrived| arrived.target.to_string())
            .collect()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn admit(line: &[u8], workspace: &str, generation: u64, now: u64) -> Result<Target, Denial> {
    let unverified = Unverified::parse(line).map_err(|_| Denial::Malformed)?;
    assert_eq!(unverified.audience(), Audience::Gateway);
    let key = World::key(workspace, generation);
    let claims = unverified.verify(&key, workspace, generation, now)?;
    match claims.target {
        Target::Port(port) if port.get() == CLOSED_PORT => Err(Denial::Refused(
            OPEN_PORTS.into_iter().filter_map(NonZeroU16::new).collect(),
        )),
        target => Ok(target),
    }
}

#[derive(Debug)]
pub(crate) struct Recorded {
    stream: BufReader<UnixStream>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read_now = &buffer.filled()[before..];
        let mut bytes = self.bytes.lock().unwrap();
        let room = RECORD_LIMIT.saturating_sub(bytes.len());
        bytes.extend_from_slice(&read_now[..read_now.len().min(room)]);
        drop(bytes);
        read
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Passes both directions on until either side ends.
async fn relay(
    mut stream: Recorded,
    backend: &Path,
    answered: Arc<Mutex<Vec<u8>>>,
) -> io::Result<()> {
    let mut backend = Recorded {
        stream: BufReader::new(UnixStream::connect(backend).await?),
        bytes: answered,
    };
    tokio::io::copy_bidirectional(&mut stream, &mut backend).await?;
    Ok(())
}

/// Answers requests by their path, on one connection until it ends.
async fn serve(
    mut stream: BufReader<Recorded>,
    files: &Files,
    events: &Semaphore,
) -> io::Result<()> {
    if stream.fill_buf().await?.starts_with(b"PRI ") {
        return grpc::serve(stream).await;
    }
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let file = files.lock().unwrap().get(path).cloned();
        if let Some(bytes) = file {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
            continue;
        }
        match path.split('?').next().unwrap_or_default() {
            "/ws" => {
                let key =
                    derive_accept_key(header("sec-websocket-key").unwrap_or_default().as_bytes());
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await?;
                let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        break;
                    }
                }
                return Ok(());
            }
            "/half" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x0ahal")
                    .await?;
                // The rest of the message never comes.
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            "/sse" => {
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
                    )
                    .await?;
                // Quiet until the other side ends it.
                stream.read_u8().await?;
            }
            "/events" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await?;
                for number in 1..=9 {
                    let Ok(allowed) = events.acquire().await else {
                        return Ok(());
                    };
                    allowed.forget();
                    let event = format!("9\r\ndata: {number}\n\n\r\n");
                    stream.write_all(event.as_bytes()).await?;
                }
                stream.write_all(b"0\r\n\r\n").await?;
            }
            "/cors" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://app.example\r\nVary: Accept\r\n\r\n")
                    .await?;
            }
            "/hang" => {
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            "/die" => return Ok(()),
            "/uninvited" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    .await?;
            }
            "/answers" => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{PRESUMPTUOUS}\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            "/hints" => {
                let hints = format!("HTTP/1.1 103 Early Hints\r\n{PRESUMPTUOUS}\r\n");
                stream.write_all(hints.as_bytes()).await?;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await?;
            }
            "/switches" => {
                let key =
                    derive_accept_key(header("sec-websocket-key").unwrap_or_default().as_bytes());
                let head = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {key}\r\n{PRESUMPTUOUS}\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            "/redirects" => {
                stream
                    .write_all(b"HTTP/1.1 302 Found\r\nLocation: /echo?redirected\r\nContent-Length: 0\r\n\r\n")
                    .await?;
            }
            _ => {
                let length = header("content-length").and_then(|length| length.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                stream.read_exact(&mut body).await?;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                );
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}
