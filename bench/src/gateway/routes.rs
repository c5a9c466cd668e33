//! W6: a table of ten routes beside one of a million.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::measure::{Load, Sample};
use super::peers::{HAPROXY_MAP, HAPROXY_SOCKET, Peer};
use super::requests::{self, Asked};
use super::rounds::Rounds;
use super::stage::{Stage, WORKSPACES};
use super::target::Target;
use super::{client, fixture, http1, process, say, statistics};
use crate::Figure;

/// Routes of the large table.
const MANY: usize = 1_000_000;

/// Routes of the large table at a quick look.
const SOME: usize = 20_000;

/// Routes of the small one.
const FEW: usize = 10;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 32;

/// Routes that are added one by one, to see how soon they are there.
const ADDED: usize = 50;

/// How long memory is left to settle.
const SETTLE: Duration = Duration::from_secs(3);

/// What a proxy came to.
#[derive(Debug, Clone, Copy)]
struct Table {
    /// Memory of a route. Unit: bytes of RSS.
    bytes: f64,
    /// Time from when a route is added until a request is answered by it. Unit: milliseconds.
    visible: f64,
}

/// Measures W6.
pub(crate) async fn many(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let many = if stage.options.quick { SOME } else { MANY };
    let few = stage.second(FEW)?;
    let small = few.start().await?;
    let large = stage.ours.start().await?;
    let before = weigh(&large).await;
    let started = Instant::now();
    stage.ours.publish_all(WORKSPACES..many).await?;
    say(&format!(
        "W6 published {many} routes in {:?}",
        started.elapsed()
    ));
    let bytes = (weigh(&large).await - before) / (many - WORKSPACES) as f64;

    let pair = [&large, &small];
    let block = async |place: usize| {
        let mut load = Load::new();
        let visitors = pair[place].some(CONNECTIONS);
        let asked = Asked::get("/");
        requests::closed(&mut load, &stage.http1, pair[place], &visitors, &asked).await?;
        Ok(load.measure(pair[place], stage.options.length()).await)
    };
    let names = ["many routes", "ten routes"];
    let rounds = Rounds::run("W6", &names, stage.options.rounds(), block).await?;
    let cell = format!("W6 authenticated GET with {many} routes");
    let mut figures = rounds.figures(&cell, "CPU-µs/request", Sample::cost, |_| Some(1.03));

    let change = async |is_there: bool| {
        let number = WORKSPACES - 1;
        if is_there {
            stage.ours.publish(number);
            Ok(())
        } else {
            stage.ours.until_applied(stage.ours.withdraw(number)).await
        }
    };
    let visible = visible(stage, &large, change).await?;
    small.stop().await?;
    large.stop().await?;
    let ours = Table { bytes, visible };
    let peer = if stage.options.peers().contains(&Peer::Haproxy) {
        Some(haproxy(stage, many).await?)
    } else {
        None
    };
    for (cell, unit, value, goal) in [
        (
            "memory of a route",
            "B RSS",
            (|t| t.bytes) as fn(&Table) -> f64,
            250.0,
        ),
        ("a new route is visible", "ms", |t| t.visible, 1.0),
    ] {
        let mut figure = Figure::new(format!("W6 {cell}, of {many}"), unit, value(&ours));
        if let Some(peer) = &peer {
            figure.cell.push_str(", beside haproxy");
            figure.peer = Some(value(peer));
        }
        figures.push(figure.at_most(goal));
    }
    Ok(figures)
}

/// Returns a target's memory once it has settled. Unit: bytes of RSS.
async fn weigh(target: &Target) -> f64 {
    tokio::time::sleep(SETTLE).await;
    process::memory_of(&target.processes()).rss * 1024.0
}

/// Measures the same on haproxy, whose table is a map that its socket changes.
async fn haproxy(stage: &Stage, many: usize) -> anyhow::Result<Table> {
    let small = stage.start_with(Peer::Haproxy, FEW).await?;
    let before = weigh(&small).await;
    small.stop().await?;
    let large = stage.start_with(Peer::Haproxy, many).await?;
    let bytes = (weigh(&large).await - before) / (many - FEW) as f64;
    let number = WORKSPACES - 1;
    let map = stage.folder().join(HAPROXY_MAP).display().to_string();
    let (workspace, subject) = (fixture::workspace(number), fixture::subject(number));
    let change = async |is_there: bool| {
        let command = if is_there {
            // A space within the value.
            format!(
                "add map {map} {workspace} {}\n",
                subject.replace(' ', "\\ ")
            )
        } else {
            format!("del map {map} {workspace}\n")
        };
        tell(&stage.folder().join(HAPROXY_SOCKET), &command).await
    };
    let visible = visible(stage, &large, change).await?;
    large.stop().await?;
    Ok(Table { bytes, visible })
}

async fn tell(socket: &Path, command: &str) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(command.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.trim().is_empty(), "haproxy answered {answer:?}");
    Ok(())
}

/// Takes the last visitor's route away and adds it with `change`, again and again. Returns how long
/// it takes until a request is answered by it. Unit: milliseconds, median.
async fn visible(
    stage: &Stage,
    target: &Target,
    change: impl AsyncFn(bool) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let visitor = target.visitors.last().context("there are visitors")?;
    let request = visitor.request("GET", "/", "");
    let mut buffer = Vec::new();
    let mut times = Vec::new();
    for _ in 0..ADDED {
        change(false).await?;
        let mut stream = client::connect(&stage.http1, target.address, visitor).await?;
        let status = http1::exchange(&mut stream, &request, &mut buffer).await?;
        ensure!(status != 200, "without a route it was answered {status}");
        let published = Instant::now();
        change(true).await?;
        loop {
            match http1::exchange(&mut stream, &request, &mut buffer).await {
                Ok(200) => break,
                Ok(_) => {}
                // Some close what they refuse.
                Err(_) => {
                    stream = client::connect(&stage.http1, target.address, visitor).await?;
                }
            }
            let waited = published.elapsed();
            ensure!(waited < client::PATIENCE, "the route does not appear");
        }
        times.push(published.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(statistics::median(&times))
}
