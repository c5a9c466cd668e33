//! W4: WebSockets that talk: a message there and back.

use std::time::Instant;

use tokio::io::AsyncWriteExt;

use super::measure::{Load, Sample};
use super::rounds::Rounds;
use super::stage::Stage;
use super::target::{self, Target};
use super::{client, frames};
use crate::Figure;

/// WebSockets that talk at the same time.
const WEBSOCKETS: usize = 64;

/// Measures W4.
pub(crate) async fn echo(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (cell, length) in [
        ("W4 WebSocket echo of 64 B", 64),
        ("W4 WebSocket echo of 4 KiB", 4096),
    ] {
        let block = async |place: usize| block(stage, &targets[place], length).await;
        let names = target::names(targets);
        let rounds = Rounds::run(cell, &names, stage.options.rounds(), block).await?;
        figures.extend(rounds.figures(cell, "CPU-µs/echo", Sample::cost, |_| Some(0.85)));
    }
    Ok(figures)
}

async fn block(stage: &Stage, target: &Target, length: usize) -> anyhow::Result<Sample> {
    let mut load = Load::new();
    for visitor in target.some(WEBSOCKETS) {
        let mut socket = client::open_websocket(&stage.http1, target.address, &visitor).await?;
        let message = frames::frame(&vec![b'x'; length], true);
        load.spawn(async move |counters| {
            let mut buffer = Vec::with_capacity(16 << 10);
            while !counters.is_over() {
                let started = Instant::now();
                socket.write_all(&message).await?;
                socket.flush().await?;
                frames::receive(&mut socket, length, &mut buffer).await?;
                counters.done(started);
            }
            Ok(())
        });
    }
    Ok(load.measure(target, stage.options.length()).await)
}
