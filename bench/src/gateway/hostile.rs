//! W9: clients that mean harm: some never say who they are, some say it forever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{self, Stream};
use super::measure::{Load, Sample};
use super::requests;
use super::rounds::Rounds;
use super::say;
use super::stage::Stage;
use super::target::{Target, Visitor};
use crate::Figure;

/// Clients of each kind, while others ask.
const HOSTILE: usize = 1000;

/// Clients of each kind whose end is waited for.
const TIMED: usize = 20;

/// Longest that a client may hold a connection without having asked for anything. Unit: seconds.
const LONGEST: f64 = 10.0;

/// Longest wait for a client to be cut. One that is not cut by then is said to take this long.
const PATIENCE: Duration = Duration::from_secs(75);

/// Connections that ask meanwhile.
const CONNECTIONS: usize = 32;

/// Requests per second meanwhile.
const RATE: f64 = 2000.0;

/// The ways to mean harm.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    /// Half a handshake, then silence.
    Handshake,
    /// One line of a head each second.
    Head,
}

/// Measures W9.
pub(crate) async fn slow(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (harm, cell) in [
        (Harm::Handshake, "W9 a handshake that stops is cut"),
        (Harm::Head, "W9 a request head that drips is cut"),
    ] {
        let mut seconds = Vec::new();
        for target in targets {
            let longest = longest(stage, target, harm).await;
            say(&format!(
                "W9 {:<8} {harm:?} cut after {longest:.1} s",
                target.name
            ));
            seconds.push(longest);
        }
        let alone = targets.len() == 1;
        for (target, theirs) in targets.iter().zip(&seconds).skip(usize::from(!alone)) {
            let cell = format!("{cell}, beside {}", target.name);
            let figure = Figure::new(cell, "s", seconds[0]).beside(*theirs);
            figures.push(figure.at_most(LONGEST));
        }
    }
    for target in targets {
        if target.name == super::ours::NAME {
            figures.extend(under_attack(stage, target).await?);
        }
    }
    Ok(figures)
}

/// Compares requests while others mean harm with requests while nobody does.
async fn under_attack(stage: &Stage, target: &Target) -> anyhow::Result<Vec<Figure>> {
    let block = async |place: usize| {
        let mut attack = Load::new();
        if place == 0 {
            let count = stage.options.scaled(HOSTILE);
            for number in 0..2 * count {
                let harm = if number % 2 == 0 {
                    Harm::Handshake
                } else {
                    Harm::Head
                };
                let visitor = target.visitors[number % target.visitors.len()].clone();
                let (config, address) = (Arc::clone(&stage.http1), target.address);
                attack.spawn(async move |counters| {
                    while !counters.is_over() {
                        // Cut is what it is meant to be; it comes back.
                        let _ = attack_once(&config, address, &visitor, harm).await;
                    }
                    Ok(())
                });
            }
            // So that all of them are there.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let mut load = Load::new();
        let visitors = target.some(CONNECTIONS);
        requests::open(&mut load, &stage.http1, target, &visitors, RATE).await?;
        let sample = load.measure(target, stage.options.length()).await;
        attack.end().await;
        Ok(sample)
    };
    let names = ["attack", "none"];
    let rounds = Rounds::run("W9", &names, stage.options.rounds(), block).await?;
    let clients = 2 * stage.options.scaled(HOSTILE);
    let cell = format!("W9 p99 of 2,000 requests per second, under {clients} slow clients");
    let p99 = |sample: &Sample| sample.quantile(99.0);
    let mut figures = rounds.figures(&cell, "µs", p99, |_| Some(1.2));
    let errors = rounds.errors() as f64;
    figures.push(Figure::new("W9 requests that failed meanwhile", "count", errors).at_most(0.0));
    Ok(figures)
}

/// Returns how long the longest of some attacks lasted. Unit: seconds.
async fn longest(stage: &Stage, target: &Target, harm: Harm) -> f64 {
    let mut attacks = tokio::task::JoinSet::new();
    for visitor in target.some(TIMED) {
        let (config, address) = (Arc::clone(&stage.http1), target.address);
        attacks.spawn_local(async move {
            let started = Instant::now();
            let attack = attack_once(&config, address, &visitor, harm);
            let _ = tokio::time::timeout(PATIENCE, attack).await;
            started.elapsed().as_secs_f64()
        });
    }
    let lasted = attacks.join_all().await;
    lasted.into_iter().fold(0.0, f64::max)
}

/// Attacks until it is cut.
async fn attack_once(
    config: &Arc<ClientConfig>,
    address: std::net::SocketAddr,
    visitor: &Visitor,
    harm: Harm,
) -> anyhow::Result<()> {
    match harm {
        Harm::Handshake => {
            let mut stream = client::connect_tcp(address).await?;
            // The beginning of a record that announces 512 bytes of a handshake.
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").await?;
            while stream.read(&mut [0; 64]).await? > 0 {}
            Ok(())
        }
        Harm::Head => drip(client::connect(config, address, visitor).await?, visitor).await,
    }
}

async fn drip(stream: Stream, visitor: &Visitor) -> anyhow::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        let begin = format!("GET / HTTP/1.1\r\nHost: {}\r\n", visitor.host);
        writer.write_all(begin.as_bytes()).await?;
        for number in 0.. {
            writer.flush().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let line = format!("X-{number}: y\r\n");
            writer.write_all(line.as_bytes()).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    let read = async {
        // An answer such as 408 may come before the end.
        while reader.read(&mut [0; 64]).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    tokio::select! {
        outcome = write => outcome?,
        outcome = read => outcome?,
    }
    Ok(())
}
