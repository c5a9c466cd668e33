//! Requests that mean one thing in HTTP/2, where length and name are beside the text, and might
//! mean another when they are written out as HTTP/1. Behind the gateway stand servers that say what
//! they saw: nothing of what is refused, and exactly one request of what is not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::backend::Backend;
use crate::bridge::Bridge;
use crate::client::{Stream, get};
use crate::h2_abuse::{DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, RST_STREAM, frame};
use crate::h2_abuse::{PREFACE, SETTINGS};
use crate::world::{MINE, World, patient};

/// What must become of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// No server sees it, and its sender gets no answer of a server's.
    Refused,
    /// A server sees this method, target and body.
    Seen(&'static str),
    /// The same, or nothing, and its sender is refused: the head was right, what followed was not.
    SeenAtMost(&'static str),
}
use Fate::{Refused, Seen, SeenAtMost};

type Field = (&'static str, &'static str);

/// One request, as the frames of one stream.
#[derive(Debug)]
struct Case {
    /// The names that begin with a colon, where `HOST` stands for the workspace's host.
    pseudo: Vec<Field>,
    fields: Vec<Field>,
    body: &'static str,
    trailers: Vec<Field>,
    fate: Fate,
}

const SCHEME: Field = (":scheme", "https");
const AUTHORITY: Field = (":authority", "HOST");

fn of_pseudo(pseudo: &[Field], fate: Fate) -> Case {
    Case {
        pseudo: pseudo.to_vec(),
        fields: Vec::new(),
        body: "",
        trailers: Vec::new(),
        fate,
    }
}

fn of_path(path: &'static str, fate: Fate) -> Case {
    of_pseudo(
        &[(":method", "GET"), SCHEME, AUTHORITY, (":path", path)],
        fate,
    )
}

fn of_host(authority: &'static str, fate: Fate) -> Case {
    let pseudo = [
        (":method", "GET"),
        SCHEME,
        (":authority", authority),
        (":path", "/a"),
    ];
    of_pseudo(&pseudo, fate)
}

fn of_fields(fields: &[Field], body: &'static str, fate: Fate) -> Case {
    let pseudo = [(":method", "POST"), SCHEME, AUTHORITY, (":path", "/a")];
    Case {
        fields: fields.to_vec(),
        body,
        ..of_pseudo(&pseudo, fate)
    }
}

fn of_trailers(trailers: &[Field], fate: Fate) -> Case {
    Case {
        trailers: trailers.to_vec(),
        ..of_fields(&[], "hello", fate)
    }
}

const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

fn cases() -> Vec<Case> {
    let unambiguous = vec![
        of_path("/a", Seen("GET /a ")),
        of_path("/a?b=c&d", Seen("GET /a?b=c&d ")),
        of_path("/a%0d%0ab", Seen("GET /a%0d%0ab ")),
        of_fields(&[], "hello", Seen("POST /a hello")),
        of_fields(&[("content-length", "5")], "hello", Seen("POST /a hello")),
        of_fields(&[("te", "trailers")], "hello", Seen("POST /a hello")),
        of_fields(&[("host", "HOST")], "hello", Seen("POST /a hello")),
        of_trailers(&[("x", "y")], Seen("POST /a hello")),
    ];
    let lengths = [
        "3",
        "10",
        "+5",
        "-5",
        "0x5",
        "5,5",
        "5, 6",
        "5 5",
        "",
        "99999999999999999999",
    ]
    .map(|length| of_fields(&[("content-length", length)], "hello", Refused));
    let two_lengths = [of_fields(
        &[("content-length", "5"), ("content-length", "6")],
        "hello",
        Refused,
    )];
    // That much is a whole request already when more than it comes.
    let more_than_nothing = ["hello", SMUGGLED]
        .map(|body| of_fields(&[("content-length", "0")], body, SeenAtMost("POST /a ")));
    let codings = ["chunked", "identity", "gzip, chunked", "\tchunked", ""]
        .map(|coding| of_fields(&[("transfer-encoding", coding)], SMUGGLED, Refused));
    let of_connection = [
        ("connection", "close"),
        ("connection", "content-length"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("te", "chunked"),
    ]
    .map(|field| of_fields(&[field], "hello", Refused));
    let values = [
        "a\r\nTransfer-Encoding: chunked",
        "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        "a\nb",
        "a\rb",
        "a\0b",
        "\r\n",
    ]
    .map(|value| of_fields(&[("x", value)], "hello", Refused));
    let names = [
        "Transfer-Encoding",
        "X",
        "x\r\ntransfer-encoding",
        "x: y\r\nz",
        "x:",
        "transfer-encoding:chunked",
        "transfer-encoding ",
        " x",
        "x\0",
        "",
    ]
    .map(|name| of_fields(&[(name, "chunked")], SMUGGLED, Refused));
    let paths = [
        "/a b",
        "/a HTTP/1.1",
        "/a HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled",
        "/a\r\nx: y",
        "/a\nb",
        "/a\tb",
        "/a\0",
        "",
        "a",
        "http://other.example/a",
    ]
    .map(|path| of_path(path, Refused));
    let hosts = [
        "",
        "user@HOST",
        "HOST@other.example",
        "HOST, HOST",
        "HOST\r\nx: y",
        "HOST HTTP/1.1",
        "HOST/a",
        "other.example",
    ]
    .map(|host| of_host(host, Refused));
    let (method, path) = ((":method", "GET"), (":path", "/a"));
    let pseudo = [
        vec![method, SCHEME, AUTHORITY, path, (":path", "/b")],
        vec![method, SCHEME, AUTHORITY, path, AUTHORITY],
        vec![method, (":method", "POST"), SCHEME, AUTHORITY, path],
        vec![method, SCHEME, SCHEME, AUTHORITY, path],
        vec![method, SCHEME, AUTHORITY, path, (":status", "200")],
        vec![method, SCHEME, AUTHORITY, path, (":other", "x")],
        vec![SCHEME, AUTHORITY, path],
        vec![method, AUTHORITY, path],
        vec![method, SCHEME, AUTHORITY],
        vec![method, SCHEME, path],
        vec![("x", "y"), method, SCHEME, AUTHORITY, path],
        vec![
            (":method", "GET /smuggled HTTP/1.1\r\nx: y\r\n\r\nGET"),
            SCHEME,
            AUTHORITY,
            path,
        ],
        vec![(":method", "GE T"), SCHEME, AUTHORITY, path],
        vec![(":method", ""), SCHEME, AUTHORITY, path],
        vec![method, (":scheme", "https://HOST/b?"), AUTHORITY, path],
    ]
    .map(|pseudo| of_pseudo(&pseudo, Refused));
    let hosts_that_differ = [
        of_fields(&[("host", "other.example")], "hello", Refused),
        of_fields(&[("host", "HOST"), ("host", "HOST")], "hello", Refused),
    ];
    let trailers = [
        ("X", "y"),
        ("x", "a\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
        ("transfer-encoding", "chunked"),
    ]
    .map(|trailer| of_trailers(&[trailer], Refused));
    // No server is told of them, so they mean nothing.
    let ignored_trailers = [
        ("content-length", "100"),
        ("host", "other.example"),
        (":path", "/b"),
    ]
    .map(|trailer| of_trailers(&[trailer], Seen("POST /a hello")));
    let mut cases = unambiguous;
    cases.extend(lengths);
    cases.extend(two_lengths);
    cases.extend(more_than_nothing);
    cases.extend(codings);
    cases.extend(of_connection);
    cases.extend(values);
    cases.extend(names);
    cases.extend(paths);
    cases.extend(hosts);
    cases.extend(pseudo);
    cases.extend(hosts_that_differ);
    cases.extend(trailers);
    cases.extend(ignored_trailers);
    cases
}

/// Writes a length with a prefix of seven bits. Source: RFC 7541, section 5.1.
fn length(bytes: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return bytes.push(u8::try_from(length).unwrap());
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// Writes fields that are not to be remembered. Source: RFC 7541, section 6.2.2.
fn block<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>, host: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        let value = value.replace("HOST", host);
        block.push(0);
        length(&mut block, name.len());
        block.extend(name.as_bytes());
        length(&mut block, value.len());
        block.extend(value.as_bytes());
    }
    block
}

/// Sends a case as the first stream of a connection, and tells what came back of it.
async fn send(world: &World, host: &str, session: &str, case: &Case) -> String {
    let mut stream = world.tls(host, b"h2").await;
    let origin = format!("https://{host}");
    let usual = [("cookie", session), ("origin", &origin)];
    let fields = case.pseudo.iter().chain(&case.fields).copied();
    let head = block(fields.chain(usual), host);
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let is_last = |last: bool| if last { END_STREAM } else { 0 };
    let has_trailers = !case.trailers.is_empty();
    let has_body = !case.body.is_empty();
    let flags = END_HEADERS | is_last(!has_body && !has_trailers);
    bytes.extend(frame(HEADERS, flags, 1, &head));
    if has_body {
        bytes.extend(frame(DATA, is_last(!has_trailers), 1, case.body.as_bytes()));
    }
    if has_trailers {
        let trailers = block(case.trailers.iter().copied(), host);
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
    }
    stream.write_all(&bytes).await.unwrap();
    patient(outcome(&mut stream)).await
}

/// What the first byte of an answer's head is where its status is 200. Source: RFC 7541, appendix A.
const OK: u8 = 0x88;

async fn outcome(stream: &mut Stream) -> String {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        match head[3] {
            HEADERS if payload.first() == Some(&OK) => return "answered".to_owned(),
            HEADERS => return format!("refused, {:x?}", &payload[..payload.len().min(8)]),
            RST_STREAM => return format!("reset, {payload:x?}"),
            GO_AWAY => return format!("hung up, {payload:x?}"),
            _ => {}
        }
    }
    "hung up".to_owned()
}

/// Sends each case and then an ordinary request, which a server that is out of step would answer
/// with something else. Returns every case that did not end as it must.
async fn differences(backend: &Backend, cases: Vec<Case>) -> Vec<String> {
    let world = World::start().await;
    let bridge = Bridge::before(&world, MINE, &backend.socket());
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let host = world.host(MINE);
    let mut differences = Vec::new();
    for case in cases {
        bridge.answered.lock().unwrap().clear();
        let outcome = send(&world, &host, &session, &case).await;
        let sentinel = world.send(get(&host, "/sentinel", &session)).await;
        let sentinel = String::from_utf8_lossy(sentinel.body()).into_owned();
        let seen = String::from_utf8_lossy(&bridge.answered.lock().unwrap()).into_owned();
        let seen: Vec<&str> = seen
            .lines()
            .filter_map(|line| line.strip_prefix("saw "))
            .map(|line| line.trim_end_matches('\r'))
            .collect();
        let last = "GET /sentinel ";
        let is_right = match case.fate {
            Refused => seen == [last] && outcome != "answered",
            Seen(expected) => seen == [expected, last] && outcome == "answered",
            SeenAtMost(expected) => {
                let is_seen = seen == [expected, last] || seen == [last];
                is_seen && outcome != "answered"
            }
        };
        if !is_right || sentinel != format!("saw {last}\n") {
            differences.push(format!(
                "{case:?}: {outcome}, saw {seen:?}, then {sentinel:?}"
            ));
        }
    }
    differences
}

async fn one_request_is_one_request(backend: Backend, cases: Vec<Case>) {
    let differences = differences(&backend, cases).await;
    assert!(
        differences.is_empty(),
        "{} saw something else, or the gateway refuses otherwise:\n{}",
        backend.name,
        differences.join("\n")
    );
}

#[tokio::test]
async fn hyper_sees_one_request_for_one_of_http2() {
    one_request_is_one_request(Backend::hyper().await, cases()).await;
}

#[tokio::test]
async fn node_sees_one_request_for_one_of_http2() {
    one_request_is_one_request(Backend::node().await, cases()).await;
}

#[tokio::test]
async fn nginx_sees_one_request_for_one_of_http2() {
    one_request_is_one_request(Backend::nginx().await, cases()).await;
}

#[tokio::test]
async fn a_body_that_looks_like_requests_is_a_body() {
    // The servers tell the first line of it.
    for backend in [Backend::hyper().await, Backend::node().await] {
        let case = of_fields(&[], SMUGGLED, Seen("POST /a 0"));
        one_request_is_one_request(backend, vec![case]).await;
    }
}
