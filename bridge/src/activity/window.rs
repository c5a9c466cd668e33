//! Remembers the last minute, and answers from it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use kalpana_protocol::bridge::Activity;
use kalpana_protocol::bridge::activity::{BUSIEST_LIMIT, BusyProcess, KEEPERS_LIMIT, Keeper};

use super::command_line::printable;
use super::ownership::Ownership;
use super::processes::{Process, Sample};
use super::tally::{self, Identity, Spent};
use crate::keep_awake::KeepAwake;

/// How far back an answer reaches.
pub const LENGTH: Duration = Duration::from_secs(60);

/// The time from one sample to the next, while nobody asks.
pub const INTERVAL: Duration = Duration::from_secs(15);

/// The shortest time between two samples, however often somebody asks.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What was seen of late.
///
/// Of all samples but the newest only the differences are kept.
#[derive(Debug)]
pub struct Window {
    ownership: Ownership,
    newest: Option<Sample>,
    steps: VecDeque<Step>,
    /// When somebody last typed, in seconds since 1970. It outlives the terminal.
    typed_at: Option<i64>,
}

/// What was used between two samples.
#[derive(Debug)]
struct Step {
    from: Instant,
    to: Instant,
    spent: BTreeMap<Identity, (String, Spent)>,
}

impl Window {
    /// Remembers nothing yet.
    pub fn new(ownership: Ownership) -> Self {
        Self {
            ownership,
            newest: None,
            steps: VecDeque::new(),
            typed_at: None,
        }
    }

    /// Returns whether a new sample would tell more than those before it.
    pub fn wants_sample(&self, now: Instant) -> bool {
        self.newest
            .as_ref()
            .is_none_or(|newest| now.saturating_duration_since(newest.at) >= SHORTEST_INTERVAL)
    }

    /// Takes a sample in, and when somebody last typed into a terminal that is open, in seconds
    /// since 1970.
    pub fn add(&mut self, sample: Sample, typed_at: Option<i64>) {
        self.typed_at = self.typed_at.max(typed_at);
        if let Some(before) = &self.newest {
            let is_persons = |pid| self.ownership.is_persons(pid, &sample);
            let spent = tally::spent(before, &sample, is_persons);
            let named = spent.into_iter().map(|(identity, spent)| {
                let command = sample.processes.get(&identity.pid).map(name);
                (identity, (command.unwrap_or_default(), spent))
            });
            self.steps.push_back(Step {
                from: before.at,
                to: sample.at,
                spent: named.collect(),
            });
        }
        self.forget(sample.at);
        self.newest = Some(sample);
    }

    /// Answers what goes on. `now_seconds` is the same time in seconds since 1970.
    pub fn answer(&mut self, now: Instant, now_seconds: i64) -> Activity {
        self.forget(now);
        let typed = self.typed_at.map(|at| now_seconds.saturating_sub(at));
        let mut activity = Activity {
            // A clock that was set back makes it now.
            typed_seconds_ago: typed.map(|seconds| u64::try_from(seconds).unwrap_or(0)),
            keepers: self.keepers(now),
            ..Activity::default()
        };
        let (Some(first), Some(last)) = (self.steps.front(), self.steps.back()) else {
            return activity;
        };
        let length = last.to.saturating_duration_since(first.from);
        let mut total = Spent::default();
        let mut by_process: BTreeMap<Identity, (&str, Spent)> = BTreeMap::new();
        for (&identity, (command, spent)) in self.steps.iter().flat_map(|step| &step.spent) {
            total += *spent;
            let entry = by_process.entry(identity).or_default();
            entry.0 = command;
            entry.1 += *spent;
        }
        let mut busiest: Vec<_> = by_process.into_iter().collect();
        busiest.sort_by_key(|(_, (_, spent))| std::cmp::Reverse((spent.cpu, spent.disk_bytes)));
        activity.window_seconds = length.as_secs();
        activity.cpu_millis = cpu_millis(total, length);
        activity.disk_bytes_per_second = disk_bytes_per_second(total, length);
        let busy = |(identity, (command, spent)): (Identity, (&str, Spent))| BusyProcess {
            pid: identity.pid,
            command: command.to_owned(),
            cpu_millis: cpu_millis(spent, length),
            disk_bytes_per_second: disk_bytes_per_second(spent, length),
        };
        let busiest = busiest.into_iter().map(busy);
        activity.busiest = busiest
            .filter(|process| process.cpu_millis > 0 || process.disk_bytes_per_second > 0)
            .take(BUSIEST_LIMIT)
            .collect();
        activity
    }

    fn keepers(&self, now: Instant) -> Vec<Keeper> {
        let Some(newest) = &self.newest else {
            return Vec::new();
        };
        let uptime = newest.uptime + now.saturating_duration_since(newest.at);
        let keepers = newest.processes.iter().filter_map(|(&pid, process)| {
            let keep_awake = KeepAwake::of_process(&process.argv)?;
            let left = keep_awake
                .duration
                .saturating_sub(uptime.saturating_sub(process.started));
            (!left.is_zero()).then(|| Keeper {
                pid,
                command: printable(&keep_awake.command),
                seconds_left: left.as_millis().div_ceil(1000) as u64,
            })
        });
        let mut keepers: Vec<_> = keepers.collect();
        keepers.sort_by_key(|keeper| std::cmp::Reverse(keeper.seconds_left));
        keepers.truncate(KEEPERS_LIMIT);
        keepers
    }

    /// Drops what began too long ago, and after a long pause everything.
    fn forget(&mut self, now: Instant) {
        let is_old = |step: &Step| now.saturating_duration_since(step.from) > LENGTH;
        while self.steps.front().is_some_and(is_old) {
            self.steps.pop_front();
        }
        let is_stale = |newest: &Sample| now.saturating_duration_since(newest.at) > LENGTH;
        if self.newest.as_ref().is_some_and(is_stale) {
            self.newest = None;
        }
    }
}

fn name(process: &Process) -> String {
    if process.argv.is_empty() {
        printable(&[&process.name])
    } else {
        printable(&process.argv)
    }
}

/// Returns CPU time per wall-clock time, in thousandths of one CPU; 0 for no time at all.
fn cpu_millis(spent: Spent, length: Duration) -> u64 {
    per_second(spent.cpu.as_millis(), length)
}

fn disk_bytes_per_second(spent: Spent, length: Duration) -> u64 {
    per_second(u128::from(spent.disk_bytes), length)
}

fn per_second(amount: u128, length: Duration) -> u64 {
    let rate = (amount * 1000).checked_div(length.as_millis());
    u64::try_from(rate.unwrap_or(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn window() -> Window {
        Window::new(Ownership::new(1, 2, Path::new("/opt/editor")))
    }

    fn process(cpu_seconds: u32, disk_bytes: u64, argv: &str) -> Process {
        Process {
            parent: 9,
            cpu: cpu_seconds * SECOND,
            disk_bytes,
            name: "name".into(),
            argv: argv.split_whitespace().map(str::to_owned).collect(),
            ..Process::default()
        }
    }

    fn sample(at: Instant, processes: &[(u32, Process)]) -> Sample {
        Sample {
            at,
            uptime: 1000 * SECOND,
            processes: processes.iter().cloned().collect(),
        }
    }

    #[test]
    fn nothing_was_measured_before_the_second_sample() {
        let (mut window, start) = (window(), Instant::now());
        assert!(window.wants_sample(start));
        window.add(sample(start, &[(5, process(500, 500, "make"))]), None);
        assert!(!window.wants_sample(start + SECOND / 2));
        assert!(window.wants_sample(start + SECOND));
        assert_eq!(window.answer(start, 0), Activity::default());
    }

    #[test]
    fn rates_are_over_the_window_and_the_busiest_come_first() {
        let (mut window, start) = (window(), Instant::now());
        let processes = |cpu: [u32; 4], bytes| {
            [
                (2, process(cpu[0], 0, "bridge serve")),
                (5, process(cpu[1], 0, "make")),
                (6, process(cpu[2], bytes, "cp a b")),
                (7, process(cpu[3], 0, "node server.js")),
                (8, process(0, bytes / 2, "dd")),
                (9, process(100, 0, "idle")),
            ]
        };
        window.add(sample(start, &processes([0, 0, 0, 0], 0)), None);
        window.add(
            sample(start + 10 * SECOND, &processes([10, 10, 0, 1], 1000)),
            None,
        );
        window.add(
            sample(start + 20 * SECOND, &processes([20, 20, 0, 3], 4000)),
            None,
        );
        let answer = window.answer(start + 20 * SECOND, 0);
        let busy = |pid, command: &str, cpu_millis, disk_bytes_per_second| BusyProcess {
            pid,
            command: command.into(),
            cpu_millis,
            disk_bytes_per_second,
        };
        let expected = Activity {
            cpu_millis: 1150,
            disk_bytes_per_second: 300,
            window_seconds: 20,
            busiest: vec![
                busy(5, "make", 1000, 0),
                busy(7, "node server.js", 150, 0),
                busy(6, "cp a b", 0, 200),
            ],
            ..Activity::default()
        };
        assert_eq!(answer, expected);
    }

    #[test]
    fn what_rounds_to_nothing_is_not_busy() {
        let (mut window, start) = (window(), Instant::now());
        window.add(sample(start, &[(5, process(0, 0, "sh"))]), None);
        window.add(
            sample(start + 10 * SECOND, &[(5, process(0, 9, "sh"))]),
            None,
        );
        assert_eq!(window.answer(start + 10 * SECOND, 0).busiest, []);
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let (mut window, start) = (window(), Instant::now());
        for (number, cpu) in [0, 15, 30, 30, 30, 30].into_iter().enumerate() {
            let at = start + INTERVAL * number as u32;
            window.add(sample(at, &[(5, process(cpu, 0, "make"))]), None);
        }
        let answer = window.answer(start + 75 * SECOND, 0);
        assert_eq!((answer.window_seconds, answer.cpu_millis), (60, 250));
        // Nobody could look for a while: what was then is not what is now.
        let answer = window.answer(start + 200 * SECOND, 0);
        assert_eq!(answer, Activity::default());
    }

    #[test]
    fn typing_is_remembered_when_its_terminal_is_gone() {
        let (mut window, start) = (window(), Instant::now());
        let mut typed = |typed_at, now| {
            window.add(sample(start, &[]), typed_at);
            window.answer(start, now).typed_seconds_ago
        };
        assert_eq!(typed(None, 1000), None);
        assert_eq!(typed(Some(990), 1000), Some(10));
        assert_eq!(typed(None, 1010), Some(20));
        assert_eq!(typed(Some(980), 1010), Some(20));
        // The clock was set back.
        assert_eq!(typed(None, 900), Some(0));
    }

    #[test]
    fn keepers_are_those_whose_time_is_not_over() {
        let (mut window, start) = (window(), Instant::now());
        let keeper = |started: u32, argv: &str| Process {
            started: started * SECOND,
            ..process(0, 0, argv)
        };
        let processes = [
            (20, keeper(990, "kalpana keep-awake 90s")),
            (
                21,
                keeper(900, "/usr/local/bin/kalpana keep-awake 1h -- make test"),
            ),
            (22, keeper(100, "kalpana keep-awake 10m -- make")),
            (23, keeper(999, "kalpana keep-awake nonsense")),
            (24, keeper(999, "less keep-awake 1h")),
        ];
        window.add(sample(start, &processes), None);
        let answer = window.answer(start + SECOND / 2, 0);
        let keeper = |pid, command: &str, seconds_left| Keeper {
            pid,
            command: command.into(),
            seconds_left,
        };
        assert_eq!(
            answer.keepers,
            [keeper(21, "make test", 3500), keeper(20, "", 80)]
        );
        let many: Vec<_> = (30..60)
            .map(|pid| {
                (
                    pid,
                    process(0, 0, &format!("kalpana keep-awake {}m", 100 + pid)),
                )
            })
            .collect();
        window.add(sample(start + SECOND, &many), None);
        let answer = window.answer(start + SECOND, 0);
        assert_eq!(answer.keepers.len(), KEEPERS_LIMIT);
        assert_eq!(answer.keepers[0].pid, 59);
    }
}
