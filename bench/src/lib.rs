//! Figures: how they are taken, compared and written down.
//!
//! Each binary is one `make bench-<name>`: it prints a table and writes a JSON line for each
//! figure, `{cell, unit, ours, peer, ratio, ci, goal, met}`, to `bench/results/<name>.jsonl`. Times
//! of one machine mean little elsewhere, so where there is something to compare with it is
//! measured in the same run, in turns, and the ratio is what counts.

pub mod gateway;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

/// Resamples that a confidence interval is taken from.
const RESAMPLES: usize = 1000;

/// One figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub cell: String,
    /// Its unit.
    pub unit: &'static str,
    /// Ours.
    pub ours: f64,
    /// What it is compared with, measured in the same run.
    pub peer: Option<f64>,
    /// The ratio, where it is not that of the two.
    pub ratio: Option<f64>,
    /// 95 % confidence interval of the ratio.
    pub ci: Option<[f64; 2]>,
    /// What ours must not be above.
    pub goal: Option<f64>,
    /// What there is beyond that, by name.
    pub more: Vec<(&'static str, Value)>,
    /// Whether the goal is met, where that is not a matter of `ours` alone.
    pub met: Option<bool>,
}

impl Figure {
    /// Makes a figure with nothing to compare with and no goal.
    pub fn new(cell: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self {
            cell: cell.into(),
            unit,
            ours,
            peer: None,
            ratio: None,
            ci: None,
            goal: None,
            more: Vec::new(),
            met: None,
        }
    }

    /// Sets what it is compared with.
    #[must_use]
    pub fn beside(mut self, peer: f64) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets what it must not be above.
    #[must_use]
    pub fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Returns it as it is written to the results.
    fn json(&self) -> Value {
        let mut row = json!({
            "cell": self.cell,
            "unit": self.unit,
            "ours": rounded(self.ours),
            "peer": self.peer.map(rounded),
            "ratio": self.ratio.or(self.peer.map(|peer| self.ours / peer)).map(rounded),
            "ci": self.ci.map(|ci| ci.map(rounded)),
            "goal": self.goal.map(rounded),
            "met": self.met.or(self.goal.map(|goal| self.ours <= goal)),
        });
        for (name, value) in &self.more {
            row[name] = value.clone();
        }
        row
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Times of the same work done by us and by a peer, in turns.
#[derive(Debug, Default)]
pub struct Pairs {
    /// Ours.
    pub ours: Vec<Duration>,
    /// The peer's.
    pub peer: Vec<Duration>,
}

impl Pairs {
    /// Times both, `rounds` times in turns, so that whatever else the machine does falls on both.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn measure(
        rounds: usize,
        mut ours: impl AsyncFnMut(usize) -> anyhow::Result<()>,
        mut peer: impl AsyncFnMut(usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut pairs = Self::default();
        for round in 0..rounds {
            let started = Instant::now();
            ours(round).await?;
            pairs.ours.push(started.elapsed());
            let started = Instant::now();
            peer(round).await?;
            pairs.peer.push(started.elapsed());
        }
        Ok(pairs)
    }

    /// Returns the figure of a quantile, in milliseconds or microseconds by `unit`.
    pub fn figure(&self, cell: &str, unit: &'static str, percent: usize) -> Figure {
        let scale = if unit == "µs" { 1000.0 } else { 1.0 };
        let count = self.ours.len();
        let ours = quantile(&self.ours, percent) * scale;
        let peer = quantile(&self.peer, percent) * scale;
        Figure {
            ci: Some(self.interval(percent)),
            ..Figure::new(format!("{cell} p{percent} (n={count})"), unit, ours).beside(peer)
        }
    }

    /// Returns the 95 % confidence interval of the ratio of a quantile, by bootstrap with a fixed
    /// seed.
    fn interval(&self, percent: usize) -> [f64; 2] {
        let mut random = StdRng::seed_from_u64(1);
        let mut resampled = |samples: &[Duration]| {
            let drawn: Vec<Duration> = (0..samples.len())
                .filter_map(|_| samples.choose(&mut random).copied())
                .collect();
            quantile(&drawn, percent)
        };
        let mut ratios: Vec<f64> = (0..RESAMPLES)
            .map(|_| resampled(&self.ours) / resampled(&self.peer))
            .collect();
        ratios.sort_by(f64::total_cmp);
        [
            ratios[RESAMPLES * 25 / 1000],
            ratios[RESAMPLES * 975 / 1000],
        ]
    }
}

/// Returns the nearest-rank quantile in milliseconds; zero of no samples.
pub fn quantile(samples: &[Duration], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    let found = sorted.get(rank - 1).or(sorted.last());
    found.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// Returns the file that the results of a benchmark are written to.
fn results(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    folder.join(format!("{name}.jsonl"))
}

/// Prints the table and writes the results.
///
/// # Errors
/// If the results cannot be written.
pub fn report(name: &str, figures: &[Figure]) -> anyhow::Result<()> {
    let path = results(name);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = std::fs::File::create(path)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<66} {:>10} {:>10} {:>7} {:>14} {:>7} {:>6}",
        "figure", "ours", "peer", "ratio", "ci", "goal", "met"
    )?;
    for row in figures.iter().map(Figure::json) {
        writeln!(file, "{row}")?;
        let cell = format!(
            "{} [{}]",
            row["cell"].as_str().unwrap_or_default(),
            row["unit"].as_str().unwrap_or_default()
        );
        let text = |field: &str| match &row[field] {
            Value::Null => "-".to_owned(),
            Value::Array(ends) => {
                let ends: Vec<String> = ends.iter().map(ToString::to_string).collect();
                ends.join("–")
            }
            value => value.to_string(),
        };
        writeln!(
            out,
            "{cell:<66} {:>10} {:>10} {:>7} {:>14} {:>7} {:>6}",
            text("ours"),
            text("peer"),
            text("ratio"),
            text("ci"),
            text("goal"),
            text("met")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_by_nearest_rank() {
        let samples: Vec<Duration> = (1..=10).rev().map(Duration::from_millis).collect();
        assert_eq!(
            [1, 50, 95, 100].map(|percent| quantile(&samples, percent)),
            [1.0, 5.0, 10.0, 10.0]
        );
        assert_eq!(quantile(&[], 50), 0.0);
    }

    #[test]
    fn an_interval_holds_the_ratio_of_what_is_twice_as_slow() {
        let times = |scale: u32| (1..200).map(move |n| Duration::from_micros(100 + n % 7) * scale);
        let pairs = Pairs {
            ours: times(2).collect(),
            peer: times(1).collect(),
        };
        let [low, high] = pairs.interval(50);
        assert!(
            low <= 2.0 && 2.0 <= high && high - low < 0.2,
            "{low} {high}"
        );
    }
}
