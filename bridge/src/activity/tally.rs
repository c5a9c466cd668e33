//! What processes did between two samples.
//!
//! A process counts for what it used itself and for what its children used that it has waited for:
//! so a compiler that began and ended between the samples is found in the time of the `make` that
//! started it. The same time must not count twice when a process of the earlier sample ends. By then
//! its time is part of what some ancestor waited for; what it had used when it was last seen is
//! therefore taken off the ancestor's increase, and its last moments remain.
//!
//! What cannot be seen: the last moments of a program whose parent is not the person's (the editor,
//! or the bridge, which adopts orphans), and children whose parent ignores that they end. Both are
//! bounded by the time between two samples.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use super::processes::{Process, Sample};

/// Names a process for ever: its number, and when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it started, as time since the machine did.
    pub started: Duration,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// CPU time.
    pub cpu: Duration,
    /// Bytes read from and written to disks.
    pub disk_bytes: u64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.disk_bytes = self.disk_bytes.saturating_add(other.disk_bytes);
    }
}

/// Returns what the processes of `after` that `counts` accepts used since `before`. Those that used
/// nothing are left out.
pub fn spent(
    before: &Sample,
    after: &Sample,
    counts: impl Fn(u32) -> bool,
) -> BTreeMap<Identity, Spent> {
    let known = known_of_children(before, after);
    let mut all = BTreeMap::new();
    for (&pid, process) in &after.processes {
        let known = known.get(&pid).copied().unwrap_or_default();
        let spent = match same(before, pid, process) {
            Some(earlier) => increase(earlier, process, known),
            None => total(process),
        };
        if spent != Spent::default() && counts(pid) {
            let started = process.started;
            all.insert(Identity { pid, started }, spent);
        }
    }
    all
}

fn increase(earlier: &Process, later: &Process, known: Spent) -> Spent {
    let waited = later.waited_cpu.saturating_sub(earlier.waited_cpu);
    let disk_bytes = later.disk_bytes.saturating_sub(earlier.disk_bytes);
    Spent {
        cpu: later.cpu.saturating_sub(earlier.cpu) + waited.saturating_sub(known.cpu),
        disk_bytes: disk_bytes.saturating_sub(known.disk_bytes),
    }
}

fn total(process: &Process) -> Spent {
    Spent {
        cpu: process.cpu.saturating_add(process.waited_cpu),
        disk_bytes: process.disk_bytes,
    }
}

/// Returns, for each process of both samples, what was known in the first of its descendants that
/// have ended since: of those without a nearer ancestor that lives.
fn known_of_children(before: &Sample, after: &Sample) -> BTreeMap<u32, Spent> {
    let lives = |pid: u32, process: &Process| same(after, pid, process).is_some();
    let mut known: BTreeMap<u32, Spent> = BTreeMap::new();
    for (&pid, ended) in &before.processes {
        if lives(pid, ended) {
            continue;
        }
        let mut parent = ended.parent;
        // As many steps as there are processes: numbers that were given away again could make a ring.
        for _ in &before.processes {
            let Some(process) = before.processes.get(&parent) else {
                break;
            };
            if lives(parent, process) {
                *known.entry(parent).or_default() += total(ended);
                break;
            }
            parent = process.parent;
        }
    }
    known
}

/// Returns the process of a sample that is the same as `process`, and not another with its number.
fn same<'a>(sample: &'a Sample, pid: u32, process: &Process) -> Option<&'a Process> {
    let found = sample.processes.get(&pid)?;
    (found.started == process.started).then_some(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;
    use crate::activity::processes;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Makes a sample of processes: number, parent, start, own CPU, CPU of children, disk bytes.
    fn sample(processes: &[[u64; 6]]) -> Sample {
        let process = |&[pid, parent, started, cpu, waited, disk_bytes]: &[u64; 6]| {
            let process = Process {
                parent: parent as u32,
                started: seconds(started),
                cpu: seconds(cpu),
                waited_cpu: seconds(waited),
                disk_bytes,
                ..Process::default()
            };
            (pid as u32, process)
        };
        Sample {
            at: Instant::now(),
            uptime: seconds(1000),
            processes: processes.iter().map(process).collect(),
        }
    }

    /// Returns what each process used: its number, seconds and bytes.
    fn used(before: &[[u64; 6]], after: &[[u64; 6]]) -> Vec<(u32, u64, u64)> {
        let spent = spent(&sample(before), &sample(after), |pid| pid != 1);
        spent
            .iter()
            .map(|(identity, spent)| (identity.pid, spent.cpu.as_secs(), spent.disk_bytes))
            .collect()
    }

    #[test]
    fn processes_of_both_samples_count_for_their_increase() {
        let before = [[2, 1, 0, 5, 7, 100], [3, 1, 0, 1, 0, 0]];
        let after = [[2, 1, 0, 9, 7, 150], [3, 1, 0, 1, 0, 0]];
        assert_eq!(used(&before, &after), [(2, 4, 50)]);
    }

    #[test]
    fn new_process_counts_whole_even_under_an_old_number() {
        let before = [[3, 1, 10, 500, 0, 900]];
        let after = [[2, 1, 900, 3, 1, 10], [3, 1, 901, 2, 0, 0]];
        assert_eq!(used(&before, &after), [(2, 4, 10), (3, 2, 0)]);
    }

    #[test]
    fn children_that_began_and_ended_unseen_count_for_their_parent() {
        let before = [[2, 1, 0, 1, 40, 100]];
        let after = [[2, 1, 0, 1, 55, 400]];
        assert_eq!(used(&before, &after), [(2, 15, 300)]);
    }

    #[test]
    fn child_that_ended_counts_only_for_its_last_moments() {
        // It had used 10 seconds and 100 bytes when last seen, and 12 and 130 in the end.
        let before = [[2, 1, 0, 1, 0, 5], [3, 2, 1, 10, 0, 100]];
        let after = [[2, 1, 0, 1, 12, 135]];
        assert_eq!(used(&before, &after), [(2, 2, 30)]);
    }

    #[test]
    fn whole_family_that_ended_counts_for_the_ancestor_that_lives() {
        let before = [[2, 1, 0, 1, 0, 0], [3, 2, 1, 1, 20, 0], [4, 3, 1, 10, 0, 0]];
        // 3 waited for 4, which had used 11 in the end, and used 1 more itself; then it ended.
        let after = [[2, 1, 0, 1, 1 + 1 + 20 + 11, 0]];
        assert_eq!(used(&before, &after), [(2, 2, 0)]);
    }

    #[test]
    fn child_that_nobody_waited_for_takes_nothing_off_its_parents_own_time() {
        let before = [[2, 1, 0, 1, 0, 0], [3, 2, 1, 10, 0, 0]];
        let after = [[2, 1, 0, 4, 0, 0]];
        assert_eq!(used(&before, &after), [(2, 3, 0)]);
    }

    #[test]
    fn ring_of_parents_ends() {
        let before = [[2, 3, 0, 1, 0, 0], [3, 2, 0, 1, 0, 0]];
        assert_eq!(used(&before, &[[4, 1, 5, 1, 0, 0]]), [(4, 1, 0)]);
    }

    /// A shell that is ended with the test.
    struct Shell(Child);

    impl Shell {
        fn start(script: &str) -> Self {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).stdin(Stdio::piped());
            Self(shell.spawn().unwrap())
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn short_lived_programs_are_found_in_whoever_starts_them() {
        // As make does with compilers, it only starts programs and waits for them.
        let work = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done";
        let shell = Shell::start(&format!("while :; do sh -c '{work}' || exit; done"));
        let pid = shell.0.id();
        let before = processes::read();
        let first = &before.processes[&pid];
        let deadline = Instant::now() + seconds(60);
        let after = loop {
            let after = processes::read();
            if after.processes[&pid].waited_cpu >= first.waited_cpu + seconds(1) / 2 {
                break after;
            }
            assert!(Instant::now() < deadline);
        };
        let last = &after.processes[&pid];
        let spent = spent(&before, &after, |other| other == pid);
        let sum: Duration = spent.values().map(|spent| spent.cpu).sum();
        let own = last.cpu - first.cpu;
        assert!(own < sum / 2, "{own:?} of {sum:?}");
        assert!(sum <= own + (last.waited_cpu - first.waited_cpu));
    }

    #[test]
    fn long_program_that_ends_is_not_counted_again() {
        let work = "i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done";
        let mut shell = Shell::start(&format!("sh -c '{work}; read line'; read line"));
        let pid = shell.0.id();
        let deadline = Instant::now() + seconds(60);
        let child = |sample: &Sample| {
            let mut processes = sample.processes.iter();
            let found = processes.find(|(_, process)| process.parent == pid);
            found.map(|(&pid, process)| (pid, process.cpu))
        };
        // Until it is done and waits to be told to end.
        let (mut before, mut used) = (processes::read(), Duration::ZERO);
        loop {
            let after = processes::read();
            let now = child(&after).map_or(Duration::ZERO, |(_, cpu)| cpu);
            if !now.is_zero() && now == used && after.at - before.at > Duration::from_millis(200) {
                before = after;
                break;
            }
            if now != used {
                (before, used) = (after, now);
            }
            assert!(Instant::now() < deadline, "{used:?}");
        }
        let stdin = shell.0.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").unwrap();
        let after = loop {
            let after = processes::read();
            if child(&after).is_none() {
                break after;
            }
            assert!(Instant::now() < deadline);
        };
        let waited = after.processes[&pid].waited_cpu;
        assert!(waited >= used, "{waited:?} {used:?}");
        let spent = spent(&before, &after, |other| other == pid);
        let spent: Duration = spent.values().map(|spent| spent.cpu).sum();
        assert!(spent < used / 2, "{spent:?} {used:?}");
    }
}
