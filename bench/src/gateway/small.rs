//! W1 and W2: requests, each authenticated, over connections that are kept.

use super::http2;
use super::measure::{Load, Sample};
use super::requests::{self, Asked};
use super::rounds::Rounds;
use super::stage::Stage;
use super::target::{self, Target};
use super::upstream::LARGE;
use crate::Figure;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 32;

/// Connections with large bodies.
const LARGE_CONNECTIONS: usize = 8;

/// Measures W1: small answers over HTTP/1.
pub(crate) async fn over_http1(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    let asked = Asked::get("/");
    let rounds = ask(stage, targets, "W1", CONNECTIONS, &asked).await?;
    let goal = |peer: &str| match peer {
        "haproxy" => Some(1.0),
        "nginx" => Some(0.4),
        "caddy" | "traefik" | "chp" => Some(0.15),
        _ => None,
    };
    let cell = "W1 authenticated GET, HTTP/1, 32 connections";
    Ok(rounds.figures(cell, "CPU-µs/request", Sample::cost, goal))
}

/// Measures W1h2: the same over HTTP/2, where many workspaces share a connection.
pub(crate) async fn over_http2(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    // It does not speak HTTP/2.
    let targets: Vec<&Target> = targets.iter().filter(|t| t.name != "chp").collect();
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    let block = async |place: usize| {
        let target = targets[place];
        let mut load = Load::new();
        http2::closed(&mut load, &stage.http2, target).await?;
        Ok(load.measure(target, stage.options.length()).await)
    };
    let rounds = Rounds::run("W1h2", &names, stage.options.rounds(), block).await?;
    let goal = |peer: &str| match peer {
        "haproxy" => Some(1.5),
        _ => Some(1.0),
    };
    let cell = "W1h2 authenticated GET, HTTP/2, 4 connections of 32 streams";
    Ok(rounds.figures(cell, "CPU-µs/request", Sample::cost, goal))
}

/// Measures W2: bodies of a MiB, either way.
pub(crate) async fn large(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let up = Asked {
        method: "POST",
        path: "/up",
        body: vec![b'x'; LARGE],
    };
    for (cell, asked) in [
        ("W2 download of 1 MiB", Asked::get("/down")),
        ("W2 upload of 1 MiB", up),
    ] {
        let rounds = ask(stage, targets, cell, LARGE_CONNECTIONS, &asked).await?;
        figures.extend(rounds.figures(cell, "CPU-µs/MiB", Sample::cost, |_| None));
    }
    Ok(figures)
}

async fn ask(
    stage: &Stage,
    targets: &[Target],
    what: &str,
    connections: usize,
    asked: &Asked,
) -> anyhow::Result<Rounds> {
    let block = async |place: usize| {
        let target: &Target = &targets[place];
        let mut load = Load::new();
        let visitors = target.some(connections);
        requests::closed(&mut load, &stage.http1, target, &visitors, asked).await?;
        Ok(load.measure(target, stage.options.length()).await)
    };
    let names = target::names(targets);
    Rounds::run(what, &names, stage.options.rounds(), block).await
}
