//! W8: what a proxy adds to the time of a request, beside the upstream's own TLS.

use super::measure::{Load, Sample};
use super::requests::{self, Asked};
use super::rounds::Rounds;
use super::stage::Stage;
use super::target::Target;
use crate::Figure;

/// Connections at a fixed rate.
const CONNECTIONS: usize = 32;

/// Requests per second at a fixed rate.
const RATE: f64 = 2000.0;

/// What is added cannot be told from noise below this. Unit: microseconds.
const NOISE: f64 = 5.0;

/// Measures W8.
pub(crate) async fn added(stage: &Stage, targets: &[Target]) -> anyhow::Result<Vec<Figure>> {
    let floor = stage.direct()?;
    let targets: Vec<&Target> = targets.iter().chain([&floor]).collect();
    let direct = targets.len() - 1;
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    let rounds = stage.options.rounds();
    let one = async |place: usize| {
        let target = targets[place];
        let mut load = Load::new();
        let asked = Asked::get("/");
        requests::closed(&mut load, &stage.http1, target, &target.some(1), &asked).await?;
        Ok(load.measure(target, stage.options.length()).await)
    };
    let one = Rounds::run("W8 c=1", &names, rounds, one).await?;
    let fixed = async |place: usize| {
        let target = targets[place];
        let mut load = Load::new();
        let visitors = target.some(CONNECTIONS);
        requests::open(&mut load, &stage.http1, target, &visitors, RATE).await?;
        Ok(load.measure(target, stage.options.length()).await)
    };
    let fixed = Rounds::run("W8 2,000/s", &names, rounds, fixed).await?;
    let mut figures = Vec::new();
    for (rounds, how) in [
        (&one, "one connection"),
        (&fixed, "2,000 requests per second"),
    ] {
        for percent in [50.0, 99.0] {
            let added = |round: &[Sample], place: usize| {
                let floor = round[direct].quantile(percent);
                (round[place].quantile(percent) - floor).max(NOISE)
            };
            let goal = |peer: &str| (peer == "haproxy").then_some(1.2);
            let cell = format!("W8 p{percent} added to a request, {how}");
            let all = rounds.figures_of_rounds(&cell, "µs", added, goal);
            figures.extend(
                all.into_iter()
                    .filter(|figure| !figure.cell.ends_with("direct")),
            );
        }
    }
    Ok(figures)
}
