//! What a workspace uses of the machine.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use futures_util::TryStreamExt;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufReadExt;
use tokio_util::io::StreamReader;

use super::One;
use crate::output::{self, Format};

const HOUR_MS: i64 = 3_600_000;

/// How long a stream that ended is left before it is asked for anew: each lasts an hour at most.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    one: One,
    /// Keep printing, a line every two seconds
    #[arg(long, short)]
    watch: bool,
    /// Print JSON, as --format json does
    #[arg(long)]
    json: bool,
}

/// What a workspace uses, and what it used.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Figures {
    now: Now,
    limits: Limits,
    resolution: u32,
    history: Vec<Sample>,
}

/// What it uses at this moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Now {
    state: String,
    reason: Option<String>,
    limits: Option<Limits>,
    sample: Option<Sample>,
}

/// What it may use.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Limits {
    cpu_cores: Option<f64>,
    memory_bytes: Option<u64>,
    processes: Option<u64>,
}

/// What it used.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sample {
    at: String,
    cpu_cores: Option<f64>,
    memory_bytes: u64,
    processes: Option<u64>,
    received_per_second: Option<u64>,
    sent_per_second: Option<u64>,
    read_per_second: Option<u64>,
    written_per_second: Option<u64>,
    oom_kills: u64,
}

impl Top {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let format = match self.json {
            true => Format::Json,
            false => self.one.remote.format,
        };
        let path = format!("/api/workspaces/{}/figures", workspace.id);
        if !self.watch {
            let figures: Figures = api.get(&path).await?;
            let now = SystemClock.now();
            return output::answer(format, &figures, |figures| {
                figures.describe(&workspace.name, now)
            });
        }
        if format == Format::Text {
            output::print_line(&line(HEADINGS.map(str::to_owned)))?;
        }
        loop {
            // Who may not watch any more, or has nobody to ask, is told.
            let response = api.stream(&format!("{path}/live")).await?;
            let bytes = response.bytes_stream().map_err(std::io::Error::other);
            let mut lines = StreamReader::new(bytes).lines();
            while let Some(text) = lines.next_line().await.context("the figures broke off")? {
                if let Some(data) = text.strip_prefix("data:") {
                    let now = serde_json::from_str(data.trim()).context("unreadable figures")?;
                    print(format, &now, &workspace.name)?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn print(format: Format, now: &Now, name: &str) -> anyhow::Result<()> {
    match (format, &now.sample) {
        (Format::Json, _) => output::print_line(&serde_json::to_string(now)?),
        (Format::Text, Some(sample)) => output::print_line(&line(sample.cells())),
        (Format::Text, None) => output::print_line(&now.why_none(name)),
    }
}

const HEADINGS: [&str; 7] = [
    "CPU",
    "MEMORY",
    "PROCESSES",
    "RECEIVED",
    "SENT",
    "READ",
    "WRITTEN",
];

/// Lays out a line of what is watched: no later one is known, so columns have a width of their own.
fn line(cells: [String; 7]) -> String {
    let padded = cells.map(|cell| format!("{cell:<12}"));
    padded.concat().trim_end().to_owned()
}

impl Figures {
    fn describe(&self, name: &str, now: Timestamp) -> String {
        let hour_ago = now.as_millisecond() - HOUR_MS;
        let is_recent = |sample: &&Sample| {
            sample
                .at
                .parse()
                .is_ok_and(|at: Timestamp| at.as_millisecond() > hour_ago)
        };
        let last_hour: Vec<&Sample> = self.history.iter().filter(is_recent).collect();
        if self.now.sample.is_none() && last_hour.is_empty() {
            return self.now.why_none(name);
        }
        let cells = |sample: Option<&Sample>| match sample {
            Some(sample) => sample.cells().to_vec(),
            None => vec!["-".to_owned(); HEADINGS.len()],
        };
        let row = |what: &str, cells: Vec<String>| [vec![what.to_owned()], cells].concat();
        let mut rows = vec![row("now", cells(self.now.sample.as_ref()))];
        let peak = Sample::peak(&last_hour);
        rows.extend(peak.map(|peak| row("last hour's peak", peak.cells().to_vec())));
        rows.push(row("limit", self.limits.cells()));
        let mut text = output::table(&[&[""][..], &HEADINGS].concat(), rows);
        if self.now.sample.is_none() {
            text = format!("{text}\n{}", self.now.why_none(name));
        }
        let killed = self
            .now
            .sample
            .as_ref()
            .map_or(0, |sample| sample.oom_kills);
        if killed > 0 {
            text = format!(
                "{text}\nthe kernel ended {killed} of its processes because memory was used up; \
                 `kalpana workspace logs {name}` may say which"
            );
        }
        text
    }
}

impl Now {
    /// Says why there is nothing, and what to do.
    fn why_none(&self, name: &str) -> String {
        match (self.state.as_str(), self.reason.as_deref()) {
            ("stopped", _) => {
                format!("{name} does not run; `kalpana workspace start {name}` starts it")
            }
            (_, Some("engine_away")) => {
                "the container engine does not answer; `kalpana doctor` on the server says more"
                    .to_owned()
            }
            (_, Some("elsewhere")) => {
                "its container is not on the server's own host, or is not there any more, so what it uses \
                 cannot be read"
                    .to_owned()
            }
            (_, Some("forbidden")) => {
                "the server may not read control groups; run its orchestrator as a user that may"
                    .to_owned()
            }
            _ => "what it uses cannot be read; the server's log says more".to_owned(),
        }
    }
}

impl Limits {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec!["-".to_owned(); HEADINGS.len()];
        cells[0] = cores(self.cpu_cores);
        cells[1] = self.memory_bytes.map_or_else(|| "-".to_owned(), bytes);
        cells[2] = count(self.processes);
        cells
    }
}

impl Sample {
    fn cells(&self) -> [String; 7] {
        let rate = |rate: Option<u64>| match rate {
            Some(rate) => format!("{}/s", bytes(rate)),
            None => "-".to_owned(),
        };
        [
            cores(self.cpu_cores),
            bytes(self.memory_bytes),
            count(self.processes),
            rate(self.received_per_second),
            rate(self.sent_per_second),
            rate(self.read_per_second),
            rate(self.written_per_second),
        ]
    }

    /// Returns the most of everything that there was in some samples.
    fn peak(samples: &[&Self]) -> Option<Self> {
        let most = |value: fn(&Self) -> Option<u64>| {
            let values = samples.iter().filter_map(|sample| value(sample));
            values.max()
        };
        let cpu = samples.iter().filter_map(|sample| sample.cpu_cores);
        let last = samples.last()?;
        Some(Self {
            at: last.at.clone(),
            cpu_cores: cpu.max_by(f64::total_cmp),
            memory_bytes: most(|sample| Some(sample.memory_bytes))?,
            processes: most(|sample| sample.processes),
            received_per_second: most(|sample| sample.received_per_second),
            sent_per_second: most(|sample| sample.sent_per_second),
            read_per_second: most(|sample| sample.read_per_second),
            written_per_second: most(|sample| sample.written_per_second),
            oom_kills: last.oom_kills,
        })
    }
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn cores(cores: Option<f64>) -> String {
    cores.map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}"))
}

/// Returns a number of bytes as people read it.
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu: f64, memory_bytes: u64) -> Sample {
        Sample {
            at: "2026-01-02T03:04:05Z".into(),
            cpu_cores: Some(cpu),
            memory_bytes,
            processes: Some(12),
            received_per_second: Some(2048),
            sent_per_second: None,
            read_per_second: Some(0),
            written_per_second: Some(512),
            oom_kills: 0,
        }
    }

    fn now_of_tests() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn figures(state: &str, now: Option<Sample>, history: Vec<Sample>) -> Figures {
        let limits = Limits {
            cpu_cores: Some(1.0),
            memory_bytes: Some(2 << 30),
            processes: Some(1024),
        };
        Figures {
            now: Now {
                state: state.into(),
                reason: None,
                limits: Some(limits),
                sample: now,
            },
            limits,
            resolution: 60,
            history,
        }
    }

    #[test]
    fn the_table_has_what_is_the_last_hours_peak_and_the_limit() {
        let mut old = sample(9.0, 9 << 30);
        old.at = "2026-01-02T02:04:04Z".into();
        let mut history = vec![old];
        history.extend((0..60).map(|minute| sample(0.01 * f64::from(minute), 1 << 20)));
        let mut now = sample(0.5, 3 << 19);
        now.oom_kills = 2;
        let figures = figures("running", Some(now), history);
        let text = figures.describe("demo", now_of_tests());
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "CPU MEMORY PROCESSES RECEIVED SENT READ WRITTEN",
            "now 0.50 1.5 MiB 12 2.0 KiB/s - 0 B/s 512 B/s",
            "last hour's peak 0.59 1.0 MiB 12 2.0 KiB/s - 0 B/s 512 B/s",
            "limit 1.00 2.0 GiB 1024 - - - -",
            "the kernel ended 2 of its processes because memory was used up; `kalpana workspace logs \
             demo` may say which",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn where_there_is_nothing_it_says_what_to_do() {
        let none = figures("stopped", None, Vec::new());
        let text = none.describe("demo", now_of_tests());
        assert_eq!(
            text,
            "demo does not run; `kalpana workspace start demo` starts it"
        );
    }
}
