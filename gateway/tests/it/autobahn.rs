//! The conformance suite for WebSockets, by kosoku, through a tunnel. Between the suite, which
//! speaks neither TLS nor our cookies, and the gateway stands what adds both; behind the gateway a
//! server that sends back what it is sent.

use std::collections::HashMap;

use futures_util::{SinkExt, StreamExt, stream};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::process::Command;

use crate::backend::installed;
use crate::bridge::Bridge;
use crate::world::{MINE, World, patient};

/// Every case of the suite that is not about compression, which nobody here offers.
const CASES: usize = 301;

/// Longest run of the whole suite; it takes a minute on a slow machine.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// What the suite says of one case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    behavior: String,
    behavior_close: String,
}

fn is_good(verdict: &str) -> bool {
    matches!(verdict, "OK" | "NON-STRICT" | "INFORMATIONAL")
}

#[tokio::test]
async fn the_conformance_suite_passes_through_a_tunnel() {
    let world = World::start().await;
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("echo.sock");
    tokio::spawn(echo(UnixListener::bind(&socket).unwrap()));
    let _bridge = Bridge::before(&world, MINE, &socket);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = stream::unfold(listener, |listener| async {
        let (stream, _) = listener.accept().await.unwrap();
        Some((stream, listener))
    });
    let adding = accepted.for_each_concurrent(None, |stream| add(&world, &session, stream));
    let mut suite = Command::new(installed("kosoku"))
        .args(["--exclude", "12.*", "--exclude", "13.*"])
        .args(["--parallelism", "4", "--outdir"])
        .arg(folder.path())
        .arg(address.to_string())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("scripts/backends has installed it");
    tokio::select! {
        ended = tokio::time::timeout(LIMIT, suite.wait()) => {
            ended.expect("in time").unwrap();
        }
        () = adding => unreachable!("there is always one more"),
    }
    let report = std::fs::read(folder.path().join("index.json")).unwrap();
    let report: HashMap<String, HashMap<String, Verdict>> =
        serde_json::from_slice(&report).unwrap();
    let cases: Vec<_> = report.values().flatten().collect();
    let failed: Vec<_> = cases
        .iter()
        .filter(|(_, verdict)| !is_good(&verdict.behavior) || !is_good(&verdict.behavior_close))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(cases.len(), CASES);
}

/// Passes one connection of the suite on to the gateway, as the owner's browser would open it.
async fn add(world: &World, session: &str, stream: TcpStream) {
    let mut plain = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if plain.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let ours = ["host", "origin", "cookie"];
    let kept = head.trim_end().split("\r\n").filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !ours.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    });
    let kept: Vec<&str> = kept.collect();
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let head = format!(
        "{}\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: {session}\r\n\r\n",
        kept.join("\r\n")
    );
    let mut tls = patient(world.tls(&host, b"http/1.1")).await;
    // Either side may have hung up: that is what some cases are about.
    if tls.write_all(head.as_bytes()).await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut plain, &mut tls).await;
    }
}

async fn echo(listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                let is_data = message.is_text() || message.is_binary();
                if is_data && socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}
