//! W5: what a quiet WebSocket weighs, and how many can be held.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::client::{self, Stream};
use super::ours;
use super::peers::Peer;
use super::stage::Stage;
use super::target::Target;
use super::{frames, process, say};
use crate::Figure;

/// WebSockets that are opened: as many as a process may hold with 20,000 descriptors, which is two
/// for each, and some to spare.
const WEBSOCKETS: usize = 9500;

/// WebSockets that are opened, or written to, at the same time.
const AT_ONCE: usize = 32;

/// How long memory is left to settle.
const SETTLE: Duration = Duration::from_millis(1500);

/// A message that needs every buffer there is.
const BULK: usize = 256 << 10;

/// What one proxy came to.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// WebSockets that were still there at the end.
    alive: usize,
    /// Unit of these: kB of PSS per WebSocket.
    fresh: f64,
    echoed: f64,
    bulk: f64,
}

/// Reads one of the weights.
type Weight = fn(&Held) -> f64;

/// Measures W5. Each proxy is started anew, so that no other workload has warmed it.
pub(crate) async fn quiet(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let mut all = Vec::new();
    let target = stage.ours.start().await?;
    let ours = hold(stage, target).await?;
    for peer in stage.options.peers() {
        let target = stage.start(peer).await?;
        all.push((peer, hold(stage, target).await?));
    }
    Ok(figures(stage, ours, &all))
}

fn figures(stage: &Stage, ours: Held, peers: &[(Peer, Held)]) -> Vec<Figure> {
    let wanted = stage.options.scaled(WEBSOCKETS);
    let mut figures = Vec::new();
    let after_bulk = Some(ours.echoed * 1.15);
    let cells: [(&str, Weight, Option<f64>); 3] = [
        ("W5 quiet WebSocket, fresh", |held| held.fresh, Some(16.0)),
        (
            "W5 quiet WebSocket, after an echo of 64 B",
            |held| held.echoed,
            Some(16.0),
        ),
        (
            "W5 quiet WebSocket, after an echo of 256 KiB",
            |held| held.bulk,
            after_bulk,
        ),
    ];
    for (cell, value, goal) in cells {
        for (peer, held) in peers {
            let mut figure = Figure::new(
                format!("{cell}, beside {}", peer.name()),
                "kB PSS",
                value(&ours),
            )
            .beside(value(held));
            figure.more = vec![("held", json!([ours.alive, held.alive]))];
            figure.goal = goal;
            figures.push(figure);
        }
    }
    let cell = format!("W5 WebSockets of {wanted} that could not be held");
    let missing = wanted.saturating_sub(ours.alive);
    figures.push(Figure::new(cell, "count", missing as f64).at_most(0.0));
    figures
}

async fn hold(stage: &Stage, target: Target) -> anyhow::Result<Held> {
    // One visit first: what is made for the first visitor is not a WebSocket's weight.
    drop(client::open_websocket(&stage.http1, target.address, &target.visitors[0]).await?);
    tokio::time::sleep(SETTLE).await;
    let weigh = || process::memory_of(&target.processes()).pss;
    let empty = weigh();
    let wanted = stage.options.scaled(WEBSOCKETS);
    let (mut sockets, refused) = open(stage, &target, wanted).await;
    let opened = sockets.len().max(1) as f64;
    let mut weights = Vec::new();
    for length in [None, Some(64), Some(BULK)] {
        if let Some(length) = length {
            sockets = echo(sockets, length).await;
        }
        tokio::time::sleep(SETTLE).await;
        weights.push((weigh() - empty) / opened);
    }
    let held = Held {
        alive: sockets.len(),
        fresh: weights[0],
        echoed: weights[1],
        bulk: weights[2],
    };
    let proxy = target.children[0].pid();
    say(&format!(
        "W5 {:<8} held {} of {wanted}, {:.1} kB fresh, {:.1} after 64 B, {:.1} after 256 KiB, {} files open{}",
        target.name,
        held.alive,
        held.fresh,
        held.echoed,
        held.bulk,
        process::open_files(proxy),
        refused
            .map(|error| format!("; {error:#}"))
            .unwrap_or_default(),
    ));
    drop(sockets);
    target.stop().await?;
    Ok(held)
}

/// Opens WebSockets until there are enough or one is refused.
async fn open(
    stage: &Stage,
    target: &Target,
    wanted: usize,
) -> (Vec<Stream>, Option<anyhow::Error>) {
    let mut opening = JoinSet::new();
    let mut sockets = Vec::new();
    let mut refused = None;
    let mut begun = 0;
    loop {
        while begun < wanted && opening.len() < AT_ONCE && refused.is_none() {
            let visitor = target.visitors[begun % target.visitors.len()].clone();
            let (config, address) = (Arc::clone(&stage.http1), target.address);
            opening.spawn_local(
                async move { client::open_websocket(&config, address, &visitor).await },
            );
            begun += 1;
        }
        match opening.join_next().await {
            Some(Ok(Ok(socket))) => sockets.push(socket),
            Some(Ok(Err(error))) => refused = Some(error),
            Some(Err(error)) => refused = Some(error.into()),
            None => return (sockets, refused),
        }
    }
}

/// Sends a message over each and waits for it to come back. Returns those over which it did.
pub(crate) async fn echo(sockets: Vec<Stream>, length: usize) -> Vec<Stream> {
    let message: Arc<[u8]> = frames::frame(&vec![b'x'; length], true).into();
    let mut echoing = JoinSet::new();
    let mut alive = Vec::new();
    let mut sockets = sockets.into_iter();
    loop {
        while echoing.len() < AT_ONCE {
            let Some(socket) = sockets.next() else { break };
            let (message, length) = (Arc::clone(&message), length);
            echoing.spawn_local(async move {
                let exchange = echo_one(socket, &message, length);
                tokio::time::timeout(client::PATIENCE, exchange).await
            });
        }
        match echoing.join_next().await {
            Some(Ok(Ok(Ok(socket)))) => alive.push(socket),
            Some(_) => {}
            None => return alive,
        }
    }
}

async fn echo_one(stream: Stream, message: &[u8], length: usize) -> std::io::Result<Stream> {
    // Both at once: a message that fills every buffer is not taken unless its echo is.
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = Vec::new();
    let write = async {
        writer.write_all(message).await?;
        writer.flush().await
    };
    let read = frames::receive(&mut reader, length, &mut buffer);
    tokio::try_join!(write, read)?;
    Ok(reader.unsplit(writer))
}

/// Opens `count` WebSockets, all of which must open.
pub(crate) async fn open_all(
    stage: &Stage,
    target: &Target,
    count: usize,
) -> anyhow::Result<Vec<Stream>> {
    match open(stage, target, count).await {
        (sockets, None) => Ok(sockets),
        (_, Some(error)) => Err(error.context(ours::NAME)),
    }
}
