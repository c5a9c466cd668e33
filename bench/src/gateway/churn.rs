//! W7: a thousand routes change each second while requests and WebSockets go on.

use std::time::{Duration, Instant};

use super::measure::{Load, Sample};
use super::memory;
use super::ours::Ours;
use super::requests;
use super::rounds::Rounds;
use super::say;
use super::stage::{Stage, WORKSPACES};
use crate::Figure;

/// WebSockets that are open meanwhile.
const WEBSOCKETS: usize = 1000;

/// Connections that ask meanwhile.
const CONNECTIONS: usize = 32;

/// Requests per second meanwhile.
const RATE: f64 = 5000.0;

/// Changes per second.
const CHANGES: f64 = 1000.0;

/// Measures W7.
pub(crate) async fn changes(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let target = stage.ours.start().await?;
    let opened = stage.options.scaled(WEBSOCKETS);
    let sockets = memory::open_all(stage, &target, opened).await?;
    let block = async |place: usize| {
        let mut load = Load::new();
        let visitors = target.some(CONNECTIONS);
        requests::open(&mut load, &stage.http1, &target, &visitors, RATE).await?;
        let measuring = load.measure(&target, stage.options.length());
        if place == 0 {
            tokio::select! {
                sample = measuring => Ok(sample),
                () = change(&stage.ours) => unreachable!("changes have no end"),
            }
        } else {
            Ok(measuring.await)
        }
    };
    let names = ["changes", "none"];
    let rounds = Rounds::run("W7", &names, stage.options.rounds(), block).await?;
    let alive = memory::echo(sockets, 64).await.len();
    say(&format!("W7 {alive} of {opened} WebSockets are still open"));
    let cell = "W7 p99 of 5,000 requests per second, 1,000 route changes per second";
    let p99 = |sample: &Sample| sample.quantile(99.0);
    let mut figures = rounds.figures(cell, "µs", p99, |_| Some(1.1));
    let errors = rounds.errors() as f64;
    figures.push(Figure::new("W7 requests that failed meanwhile", "count", errors).at_most(0.0));
    let cell = format!("W7 WebSockets of {opened} that ended meanwhile");
    figures.push(Figure::new(cell, "count", (opened - alive) as f64).at_most(0.0));
    target.stop().await?;
    Ok(figures)
}

/// Adds and removes routes that nobody asks for, without an end.
async fn change(ours: &Ours) {
    let every = Duration::from_secs_f64(1.0 / CHANGES);
    let mut due = Instant::now();
    for number in (WORKSPACES..2 * WORKSPACES).cycle() {
        tokio::time::sleep_until(due.into()).await;
        due += every;
        ours.publish(number);
        tokio::time::sleep_until(due.into()).await;
        due += every;
        ours.withdraw(number);
    }
}
