//! Hosts and paths that are nearly ours: each is the gateway's own or the workspace's, never both,
//! and without a session it is nobody's.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bridge::Bridge;
use crate::client::get;
use crate::world::{MINE, World, patient};

/// Paths, and whether the gateway answers them itself.
const PATHS: &[(&str, bool)] = &[
    ("/.kalpana", true),
    ("/.kalpana/", true),
    ("/.kalpana/x", true),
    ("/.kalpana/../x", true),
    ("/.kalpana/%2e%2e/x", true),
    ("/.kalpana//cb", true),
    ("/.kalpana/cb;x", true),
    ("/.kalpana/cb/", true),
    ("/.kalpana;x/cb", false),
    ("/;x/.kalpana/cb", false),
    ("//.kalpana/cb", false),
    ("/./.kalpana/cb", false),
    ("/x/../.kalpana/cb", false),
    ("/x/%2e%2e/.kalpana/cb", false),
    ("/%2e%2e/.kalpana/cb", false),
    ("/%2fx/.kalpana/cb", false),
    ("/%2f.kalpana/cb", false),
    ("/%2ekalpana/cb", false),
    ("/.kalpana%2fcb", false),
    ("/\\.kalpana/cb", false),
    ("/.kalpana\\cb", false),
    ("/.KALPANA/cb", false),
    ("/.kalpana%00/cb", false),
];

/// Sends a request for a path with these fields; returns the status.
async fn ask(world: &World, host: &str, path: &str, fields: &str) -> u16 {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    let mut stream = world.tls(host, b"http/1.1").await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = patient(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{path}: {answer:?}"))
}

#[tokio::test]
async fn a_path_is_the_gateways_or_the_workspaces_and_without_a_session_nobodys() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    for label in [MINE.to_owned(), format!("3000-{MINE}")] {
        let host = world.host(&label);
        let session = world.sign_in(&label, 1).await;
        let signed_in = format!("Cookie: {session}\r\n");
        for (path, is_own) in PATHS {
            let before = bridge.text().matches("GET /").count();
            let stranger = ask(&world, &host, path, "").await;
            let expected = if *is_own { 404 } else { 401 };
            assert_eq!(stranger, expected, "{path} of a stranger");
            let status = ask(&world, &host, path, &signed_in).await;
            assert_eq!(status, if *is_own { 404 } else { 200 }, "{path}");
            let passed_on = bridge.text().matches("GET /").count() - before;
            assert_eq!(passed_on, usize::from(!is_own), "{path}");
        }
        // Only the plain one redeems tickets, and a bad one opens nothing.
        let status = ask(&world, &host, "/.kalpana/cb?t=x", &signed_in).await;
        assert_eq!(status, 400);
    }
}

#[tokio::test]
async fn a_port_has_one_spelling_on_the_wire() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let fields = format!("Cookie: {session}\r\n");
    let name = world.host(MINE);
    for port in [
        "0080",
        "+3000",
        "3000.0",
        "65536",
        "99999",
        "-1",
        "-3000",
        "03000",
        "80",
        "443",
        "0",
        "1023",
        "3e3",
        "0x1000",
        "3000;x",
        "3000%20",
        "３０００",
        "٣٠٠٠",
        "3_000",
        "3000-3000",
        "",
    ] {
        for between in ["-", "--"] {
            let host = format!("{port}{between}{name}");
            let mut stream = world.tls(&name, b"http/1.1").await;
            let head =
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let _ = patient(stream.read_to_end(&mut answer)).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let status = answer.get(9..12).unwrap_or("none");
            assert!(["400", "404"].contains(&status), "{host}: {answer}");
        }
    }
    assert_eq!(bridge.text(), "");
    let answer = world.send(get(&name, "/sentinel", &session)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(bridge.targets(), ["editor"]);
}
