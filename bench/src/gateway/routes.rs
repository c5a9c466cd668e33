//! W6: a table of ten routes beside one of a million.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::client;
use super::http1;
use super::measure::{Load, Sample};
use super::process;
use super::requests::{self, Asked};
use super::rounds::Rounds;
use super::stage::{Stage, WORKSPACES};
use super::target::Target;
use super::{say, statistics};
use crate::Figure;

/// Routes of the large table.
const MANY: usize = 1_000_000;

/// Routes of the small one.
const FEW: usize = 10;

/// Connections that ask at the same time.
const CONNECTIONS: usize = 32;

/// Routes that are added one by one, to see how soon they are there.
const ADDED: usize = 50;

/// How long memory is left to settle.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures W6.
pub(crate) async fn many(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let few = stage.second(FEW)?;
    let small = few.start().await?;
    let large = stage.ours.start().await?;
    tokio::time::sleep(SETTLE).await;
    let weigh = || process::memory_of(&large.processes()).rss;
    let before = weigh();
    let many = stage.options.scaled(MANY);
    let started = Instant::now();
    stage.ours.publish_all(WORKSPACES..many).await?;
    let took = started.elapsed();
    tokio::time::sleep(SETTLE).await;
    let bytes = (weigh() - before) * 1024.0 / (many - WORKSPACES) as f64;
    say(&format!(
        "W6 {bytes:.0} B for each of {many} routes, published in {took:?}"
    ));

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
    let cell = format!("W6 memory of a route, of {many}");
    figures.push(Figure::new(cell, "B RSS", bytes).at_most(250.0));
    let visible = visible(stage, &large).await?;
    let cell = format!("W6 a route is visible, with {many} others");
    figures.push(Figure::new(cell, "ms", visible).at_most(1.0));
    small.stop().await?;
    large.stop().await?;
    Ok(figures)
}

/// Returns how long it takes from when a route is published until a request is answered by it.
/// Unit: milliseconds, median.
async fn visible(stage: &Stage, target: &Target) -> anyhow::Result<f64> {
    let number = WORKSPACES - 1;
    let visitor = target.visitors.last().context("there are visitors")?;
    let mut stream = client::connect(&stage.http1, target.address, visitor).await?;
    let request = visitor.request("GET", "/", "");
    let mut buffer = Vec::new();
    let mut times = Vec::new();
    for _ in 0..ADDED {
        stage
            .ours
            .until_applied(stage.ours.withdraw(number))
            .await?;
        let status = http1::exchange(&mut stream, &request, &mut buffer).await?;
        ensure!(status == 401, "without a route it was answered {status}");
        let published = Instant::now();
        stage.ours.publish(number);
        while http1::exchange(&mut stream, &request, &mut buffer).await? != 200 {
            ensure!(
                published.elapsed() < client::PATIENCE,
                "the route does not appear"
            );
        }
        times.push(published.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(statistics::median(&times))
}
