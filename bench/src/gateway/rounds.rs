//! Rounds: every contestant measured in each, forth and back, so that whatever else the machine
//! does falls on all of them alike.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::measure::Sample;
use super::{say, statistics};
use crate::Figure;

/// Fewest rounds without disturbance that a figure is made of; with fewer all are used, and the
/// figure says so.
const ENOUGH: usize = 3;

/// What every contestant came to in each round. The first is what the others are compared with.
#[derive(Debug)]
pub(crate) struct Rounds {
    names: Vec<String>,
    rounds: Vec<Vec<Sample>>,
}

impl Rounds {
    /// Measures each of `names` with `block`, which is given its place, in `count` rounds of
    /// A-B-…-B-A.
    ///
    /// # Errors
    /// Those of the block.
    pub(crate) async fn run(
        what: &str,
        names: &[&str],
        count: usize,
        mut block: impl AsyncFnMut(usize) -> anyhow::Result<Sample>,
    ) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(7);
        let mut rounds = Vec::new();
        for round in 0..count {
            let mut order: Vec<usize> = (0..names.len()).collect();
            order.shuffle(&mut random);
            let mut samples = vec![Sample::default(); names.len()];
            for index in order.iter().chain(order.iter().rev()).copied() {
                let sample = block(index).await?;
                tell(what, round, names[index], &sample);
                samples[index] = std::mem::take(&mut samples[index]).and(sample);
            }
            rounds.push(samples);
        }
        Ok(Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            rounds,
        })
    }

    /// Returns the first's figure beside each other, of what `value` reads from a sample. `goal`
    /// says what the ratio must not be above.
    pub(crate) fn figures(
        &self,
        cell: &str,
        unit: &'static str,
        value: impl Fn(&Sample) -> f64,
        goal: impl Fn(&str) -> Option<f64>,
    ) -> Vec<Figure> {
        self.figures_of_rounds(cell, unit, |round, index| value(&round[index]), goal)
    }

    /// The same for what `value` reads from a whole round and the place of one of its samples.
    pub(crate) fn figures_of_rounds(
        &self,
        cell: &str,
        unit: &'static str,
        value: impl Fn(&[Sample], usize) -> f64,
        goal: impl Fn(&str) -> Option<f64>,
    ) -> Vec<Figure> {
        (1..self.names.len())
            .map(|other| {
                let cell = format!("{cell}, beside {}", self.names[other]);
                self.figure(cell, unit, &value, other, goal(&self.names[other]))
            })
            .collect()
    }

    /// Returns the median over all rounds of what `value` reads from the first's samples.
    pub(crate) fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let values = self.rounds.iter().map(|round| value(&round[0]));
        statistics::median(&values.collect::<Vec<f64>>())
    }

    /// Returns how many operations failed, of everybody in all rounds.
    pub(crate) fn errors(&self) -> u64 {
        self.rounds
            .iter()
            .flatten()
            .map(|sample| sample.errors)
            .sum()
    }

    fn figure(
        &self,
        cell: String,
        unit: &'static str,
        value: impl Fn(&[Sample], usize) -> f64,
        other: usize,
        goal: Option<f64>,
    ) -> Figure {
        let (used, is_disturbed) = self.used(other);
        let of =
            |index: usize| -> Vec<f64> { used.iter().map(|round| value(round, index)).collect() };
        let (ours, theirs) = (of(0), of(other));
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
        let ci = statistics::interval(&ratios);
        let pair = |value: &dyn Fn(&Sample) -> f64| -> Value {
            let values = [0, other].map(|index| {
                let values: Vec<f64> = used.iter().map(|round| value(&round[index])).collect();
                (statistics::median(&values) * 10.0).round() / 10.0
            });
            json!(values)
        };
        let errors = [0, other]
            .map(|index| -> u64 { self.rounds.iter().map(|round| round[index].errors).sum() });
        let is_bound = [0, other].map(|index| used.iter().any(|r| r[index].is_client_bound()));
        Figure {
            peer: Some(statistics::median(&theirs)),
            ratio: Some(statistics::median(&ratios)),
            ci: Some(ci),
            goal,
            met: goal.map(|goal| ci[1] <= goal && errors[0] == 0),
            more: vec![
                ("goal_is", json!("ratio")),
                ("rounds", json!(used.len())),
                ("disturbed", json!(is_disturbed)),
                ("client_bound", json!(is_bound)),
                ("errors", json!(errors)),
                ("per_second", pair(&Sample::rate)),
                ("p50_us", pair(&|sample| sample.quantile(50.0))),
                ("p99_us", pair(&|sample| sample.quantile(99.0))),
            ],
            ..Figure::new(cell, unit, statistics::median(&ours))
        }
    }

    /// Returns the rounds that count for a pair, and whether they are disturbed ones.
    fn used(&self, other: usize) -> (Vec<&Vec<Sample>>, bool) {
        let is_quiet =
            |round: &&Vec<Sample>| !round[0].is_disturbed() && !round[other].is_disturbed();
        let quiet: Vec<_> = self.rounds.iter().filter(is_quiet).collect();
        if quiet.len() >= ENOUGH.min(self.rounds.len()) {
            (quiet, false)
        } else {
            (self.rounds.iter().collect(), true)
        }
    }
}

/// Says how a block went.
fn tell(what: &str, round: usize, name: &str, sample: &Sample) {
    let mut note = String::new();
    if sample.is_client_bound() {
        note.push_str("  client-bound");
    }
    if sample.is_disturbed() {
        note.push_str("  disturbed");
    }
    if let Some(error) = &sample.first_error {
        note.push_str("  ");
        note.push_str(error);
    }
    say(&format!(
        "{what} {round:>2} {name:<14} {:>8.0}/s {:>8.2} CPU-µs p50 {:>7.0} p99 {:>7.0} µs busy {:>3.0} % errors {}{note}",
        sample.rate(),
        sample.cost(),
        sample.quantile(50.0),
        sample.quantile(99.0),
        sample.load() * 100.0,
        sample.errors,
    ));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_is_measured_forth_and_back_and_compared_with_the_first() {
        let mut order = Vec::new();
        let block = async |place: usize| {
            order.push(place);
            let cost = 10 * (place as u64 + 1);
            Ok(Sample {
                operations: 1000,
                cpu: Duration::from_millis(cost),
                elapsed: Duration::from_secs(1),
                ..Sample::default()
            })
        };
        let rounds = Rounds::run("test", &["ours", "b", "c"], 4, block)
            .await
            .unwrap();
        for round in order.chunks(6) {
            let back: Vec<usize> = round.iter().rev().copied().collect();
            assert_eq!(round, back);
        }
        let goal = |name: &str| (name == "b").then_some(0.5);
        let figures = rounds.figures("cell", "µs", Sample::cost, goal);
        assert_eq!(figures[0].cell, "cell, beside b");
        assert_eq!((figures[0].ours, figures[0].peer), (10.0, Some(20.0)));
        assert_eq!(
            (figures[0].ci, figures[0].met),
            (Some([0.5, 0.5]), Some(true))
        );
        assert_eq!(
            (figures[1].ratio.unwrap(), figures[1].met),
            (1.0 / 3.0, None)
        );
    }
}
