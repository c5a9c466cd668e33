//! HTTP/2 as no browser speaks it, frame by frame: whoever floods is hung up on, everybody else is
//! served meanwhile, and the memory that it costs has a bound.

use kalpana_config::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Stream, get};
use crate::memory::{is_flat, resident};
use crate::world::{Options, World, patient};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HOST: &str = "kalpana.localhost:8443";

/// Types of frames. Source: RFC 9113, section 6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Codes of errors. Source: RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field that is not to be remembered. Source: RFC 7541, section 6.2.2.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).unwrap());
    field.extend(value.as_bytes());
    field
}

fn fields(method: &str) -> Vec<u8> {
    [
        literal(":method", method),
        literal(":scheme", "https"),
        literal(":authority", HOST),
        literal(":path", "/"),
    ]
    .concat()
}

/// How a connection went.
#[derive(Debug, Default)]
struct Heard {
    /// The code it was ended with, where it said one before it was closed.
    go_away: Option<u32>,
    answers: usize,
    resets: usize,
    pongs: usize,
}

/// Opens a connection and says hello.
async fn greeted(world: &World, settings: &[u8]) -> Stream {
    let mut stream = world.tls(HOST, b"h2").await;
    stream.write_all(PREFACE).await.unwrap();
    let hello = frame(SETTINGS, 0, 0, settings);
    stream.write_all(&hello).await.unwrap();
    stream
}

/// Sends `bytes`, and reads what comes back until the other side hangs up.
async fn until_the_end(stream: Stream, bytes: Vec<u8>) -> Heard {
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        // Fails half way when the other side has had enough.
        let _ = write.write_all(&bytes).await;
        let _ = write.flush().await;
        write
    });
    let heard = patient(async {
        let mut heard = Heard::default();
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if read.read_exact(&mut payload).await.is_err() {
                break;
            }
            match head[3] {
                HEADERS => heard.answers += 1,
                RST_STREAM => heard.resets += 1,
                PING => heard.pongs += 1,
                GO_AWAY => {
                    heard.go_away = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
                _ => {}
            }
        }
        heard
    })
    .await;
    writing.abort();
    heard
}

/// Makes the attack, and checks that it is ended, with `code` if with any, costs no memory and is
/// nobody else's concern. A close may overtake the frame that explains it.
async fn is_ended(world: &World, settings: &[u8], attack: Vec<u8>, code: u32) {
    let others = world.site.base_host();
    let mut neighbour = world.h1(&others).await;
    let before = resident();
    let heard = until_the_end(greeted(world, settings).await, attack).await;
    assert!(heard.go_away.is_none_or(|said| said == code), "{heard:?}");
    is_flat(before);
    let answer = patient(neighbour.send_request(get(&others, "/", "")));
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(world.send(get(&others, "/", "")).await.status(), 200);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let world = World::start().await;
    let mut attack = Vec::new();
    for number in 0..300 {
        let stream = 2 * number + 1;
        let flags = END_STREAM | END_HEADERS;
        attack.extend(frame(HEADERS, flags, stream, &fields("GET")));
        attack.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    is_ended(&world, &[], attack, ENHANCE_YOUR_CALM).await;
    let reached = world.web_heard.lock().unwrap().len();
    assert!(reached < 200, "{reached} of 300 requests went on");
}

#[tokio::test]
async fn a_head_that_never_ends_ends_its_connection() {
    let world = World::start().await;
    let mut attack = frame(HEADERS, END_STREAM, 1, &fields("GET"));
    for _ in 0..100_000 {
        attack.extend(frame(CONTINUATION, 0, 1, &literal("x-more", "of the same")));
    }
    is_ended(&world, &[], attack, ENHANCE_YOUR_CALM).await;
    assert_eq!(world.web_heard.lock().unwrap().len(), 2, "the neighbour's");
}

#[tokio::test]
async fn a_head_that_never_ends_and_says_nothing_ends_its_connection_too() {
    let world = World::start().await;
    let mut attack = frame(HEADERS, END_STREAM, 1, &fields("GET"));
    for _ in 0..100_000 {
        attack.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    is_ended(&world, &[], attack, ENHANCE_YOUR_CALM).await;
}

#[tokio::test]
async fn data_without_data_ends_its_connection() {
    let world = World::start().await;
    let mut attack = frame(HEADERS, END_HEADERS, 1, &fields("POST"));
    for _ in 0..200_000 {
        attack.extend(frame(DATA, 0, 1, &[]));
    }
    is_ended(&world, &[], attack, ENHANCE_YOUR_CALM).await;
}

#[tokio::test]
async fn windows_that_overflow_end_their_connection() {
    let world = World::start().await;
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let attack = frame(WINDOW_UPDATE, 0, 0, &most);
    is_ended(&world, &[], attack, FLOW_CONTROL_ERROR).await;
    // SETTINGS_INITIAL_WINDOW_SIZE beyond what there can be. The library says the more general of
    // the two codes that fit.
    let settings = [0, 4, 0xff, 0xff, 0xff, 0xff];
    is_ended(&world, &settings, Vec::new(), PROTOCOL_ERROR).await;
}

fn hasty() -> Options {
    Options {
        configure: |config| config.gateway.keepalive_timeout = Span::seconds(1),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let world = World::with(hasty()).await;
    let others = world.site.base_host();
    let mut head = fields("GET");
    // A field of 3 KiB, remembered under the first index of the sender's own (RFC 7541, 6.2.1) …
    head.extend(b"\x40\x01x\x7f\x81\x17");
    head.extend([b'y'; 3072]);
    // … and then named by one byte, again and again: 12 KB on the wire, 37 MB of fields.
    head.extend([0x80 | 62; 12_000]);
    let before = resident();
    let attack = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    let heard = until_the_end(greeted(&world, &[]).await, attack).await;
    assert!(
        heard.answers + heard.resets > 0 || heard.go_away.is_some(),
        "{heard:?}"
    );
    is_flat(before);
    assert!(world.web_heard.lock().unwrap().is_empty());
    assert_eq!(world.send(get(&others, "/", "")).await.status(), 200);
}

#[tokio::test]
async fn pings_and_settings_do_not_keep_a_connection_without_requests() {
    let world = World::with(hasty()).await;
    let mut attack = Vec::new();
    for _ in 0..50_000 {
        attack.extend(frame(PING, 0, 0, b"12345678"));
        attack.extend(frame(SETTINGS, 0, 0, &[]));
    }
    let heard = until_the_end(greeted(&world, &[]).await, attack).await;
    assert!(heard.pongs > 0, "{heard:?}");
    assert!(world.web_heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_not_queued() {
    let world = World::with(hasty()).await;
    let others = world.site.base_host();
    let before = resident();
    let mut stream = greeted(&world, &[]).await;
    let pings = frame(PING, 0, 0, b"12345678").repeat(1000);
    // Until it is hung up on: its answers fill the socket, then nothing more is read of it.
    let flooded = patient(async { while stream.write_all(&pings).await.is_ok() {} });
    let served = async {
        for _ in 0..20 {
            assert_eq!(world.send(get(&others, "/", "")).await.status(), 200);
        }
    };
    tokio::join!(flooded, served);
    is_flat(before);
}
