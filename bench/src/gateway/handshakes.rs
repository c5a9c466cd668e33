//! W3: TLS handshakes, each with one request: in full, and resumed by clients that come back after
//! ten thousand others.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;
use tokio::task::JoinSet;

use super::client;
use super::http1;
use super::measure::{Counters, Load, Sample};
use super::rounds::Rounds;
use super::stage::Stage;
use super::target::{self, Target, Visitor};
use crate::Figure;

/// Clients that shake hands at the same time.
const CLIENTS: usize = 16;

/// Clients that come back.
const RETURNING: usize = 64;

/// Sessions of others in between.
const OTHERS: usize = 10_000;

/// Measures W3.
pub(crate) async fn measure(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    let names = target::names(targets);
    let rounds = stage.options.rounds();
    let full = async |place: usize| {
        let target = &targets[place];
        let mut load = Load::new();
        for visitor in target.some(CLIENTS) {
            let (config, address) = (Arc::clone(&stage.http1), target.address);
            load.spawn(async move |counters| {
                repeat(&config, address, &visitor, &counters, HandshakeKind::Full).await
            });
        }
        Ok(load.measure(target, stage.options.length()).await)
    };
    let full = Rounds::run("W3", &names, rounds, full).await?;
    let cell = "W3 full handshake with a request";
    let mut figures = full.figures(cell, "CPU-µs", Sample::cost, |_| Some(0.85));

    let mut clients = Vec::new();
    for target in targets {
        let returning = returning(stage, target).await?;
        if target.name == super::ours::NAME {
            let lost = 100.0 - returning.resumed_percent;
            let others = stage.options.scaled(OTHERS);
            let cell = format!("W3r sessions forgotten after {others} others");
            figures.push(Figure::new(cell, "%", lost).at_most(5.0));
        }
        super::say(&format!(
            "W3r {:<8} {:.0} % resumed",
            target.name, returning.resumed_percent
        ));
        clients.push(returning);
    }
    let resumed = async |place: usize| {
        let target: &Target = &targets[place];
        let mut load = Load::new();
        for (visitor, config) in clients[place].clients.iter().take(CLIENTS) {
            let (visitor, config) = (visitor.clone(), Arc::clone(config));
            let address = target.address;
            load.spawn(async move |counters| {
                repeat(
                    &config,
                    address,
                    &visitor,
                    &counters,
                    HandshakeKind::Resumed,
                )
                .await
            });
        }
        Ok(load.measure(target, stage.options.length()).await)
    };
    let resumed = Rounds::run("W3r", &names, rounds, resumed).await?;
    let cell = "W3r resumed handshake with a request";
    figures.extend(resumed.figures(cell, "CPU-µs", Sample::cost, |_| None));
    let (short, long) = (resumed.median(Sample::cost), full.median(Sample::cost));
    let mut own =
        Figure::new("W3r resumed handshake, beside own full", "CPU-µs", short).beside(long);
    own.goal = Some(0.6);
    own.met = Some(short / long <= 0.6);
    own.more = vec![("goal_is", json!("ratio"))];
    figures.push(own);
    Ok(figures)
}

/// Connects, asks once and closes, again and again. Counts handshakes of one kind only.
async fn repeat(
    config: &Arc<ClientConfig>,
    address: std::net::SocketAddr,
    visitor: &Visitor,
    counters: &Counters,
    kind: HandshakeKind,
) -> anyhow::Result<()> {
    while !counters.is_over() {
        let started = Instant::now();
        match visit(config, address, visitor).await {
            Ok(was) if was == kind => counters.done(started),
            Ok(was) => counters.failed(&format!("{was:?}")),
            Err(error) => counters.failed(&error),
        }
    }
    Ok(())
}

/// Connects, asks once and closes. Returns how hands were shaken.
async fn visit(
    config: &Arc<ClientConfig>,
    address: std::net::SocketAddr,
    visitor: &Visitor,
) -> anyhow::Result<HandshakeKind> {
    let mut stream = client::connect(config, address, visitor).await?;
    let request = visitor.request("GET", "/", "");
    let status = http1::exchange(&mut stream, &request, &mut Vec::new()).await?;
    ensure!(status == 200, "answered {status}");
    let kind = stream.get_ref().1.handshake_kind();
    Ok(kind.unwrap_or(HandshakeKind::Full))
}

struct Returning {
    clients: Vec<(Visitor, Arc<ClientConfig>)>,
    resumed_percent: f64,
}

/// Makes clients that have been there, lets others come, and sees how many are remembered.
async fn returning(stage: &Stage, target: &Target) -> anyhow::Result<Returning> {
    let mut clients = Vec::new();
    for visitor in target.some(RETURNING) {
        let authority = &stage.certificate.authority;
        let config = client::config(authority, client::HTTP1, true)?;
        visit(&config, target.address, &visitor).await?;
        clients.push((visitor, config));
    }
    let mut others = JoinSet::new();
    for number in 0..stage.options.scaled(OTHERS) {
        if others.len() >= CLIENTS {
            others.join_next().await;
        }
        let visitor = target.visitors[number % target.visitors.len()].clone();
        let (config, address) = (Arc::clone(&stage.http1), target.address);
        others.spawn_local(async move { visit(&config, address, &visitor).await });
    }
    others.join_all().await;
    let mut resumed = 0;
    for (visitor, config) in &clients {
        let kind = visit(config, target.address, visitor).await?;
        resumed += usize::from(kind == HandshakeKind::Resumed);
    }
    Ok(Returning {
        resumed_percent: 100.0 * resumed as f64 / clients.len() as f64,
        clients,
    })
}
