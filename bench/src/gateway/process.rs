//! What `/proc` tells of processes: processor time, memory, who is whose child.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Length of one tick of processor time. Source: proc(5); Linux tells user space 100 per second on
/// every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

/// Memory of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Memory {
    /// Proportional set size: shared pages count by their share. Unit: kB.
    pub(crate) pss: f64,
    /// Resident set size. Unit: kB.
    pub(crate) rss: f64,
}

/// Returns a process and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(stat) = read_stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// Returns the processor time that processes have used, with that of children that have ended.
/// A process that is gone counts nothing.
pub(crate) fn cpu_of(pids: &[u32]) -> Duration {
    let ticks = pids.iter().filter_map(|pid| read_stat(*pid));
    TICK * u32::try_from(ticks.map(|stat| stat.ticks).sum::<u64>()).unwrap_or(u32::MAX)
}

/// Returns the processor time that all processes of the machine have used since it started, and
/// what its hypervisor took. Interrupts are nobody's, so they are left out.
pub(crate) fn cpu_of_machine() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    TICK * u32::try_from(machine_ticks(&text)).unwrap_or(u32::MAX)
}

/// Returns the memory of processes together.
pub(crate) fn memory_of(pids: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let memory = parse_rollup(&text);
        sum.pss += memory.pss;
        sum.rss += memory.rss;
    }
    sum
}

/// Returns how many files a process has open.
pub(crate) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    ticks: u64,
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads the fields that follow the command's name, which may itself hold spaces and brackets.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // utime, stime, cutime, cstime are the fields 14 to 17 of proc(5), counted from 1.
    let ticks = fields.get(11..15)?.iter();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks.filter_map(|field| field.parse::<u64>().ok()).sum(),
    })
}

/// Adds up user, nice, system and steal of all processors.
fn machine_ticks(text: &str) -> u64 {
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 7]
        .iter()
        .filter_map(|index| fields.get(*index))
        .sum()
}

fn parse_rollup(text: &str) -> Memory {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Memory {
        pss: field("Pss:").unwrap_or(0.0),
        rss: field("Rss:").unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let text = "42 (a) b) (c)) S 7 42 42 0 -1 4194560 100 0 0 0 30 12 5 3 20 0 1 0 100 1 1";
        let expected = Stat {
            parent: 7,
            ticks: 50,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("42 (gone"), None);
    }

    #[test]
    fn idle_time_and_interrupts_are_not_counted() {
        let text = "cpu  100 20 30 5000 600 7 8 9 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine_ticks(text), 159);
        assert_eq!(machine_ticks(""), 0);
    }

    #[test]
    fn the_rollup_is_read_by_name() {
        let text = "5560-7ffd ---p 00000000 00:00 0 [rollup]\nRss:    1536 kB\nPss:     768 kB\n\
                    Pss_Dirty: 9 kB\n";
        let expected = Memory {
            pss: 768.0,
            rss: 1536.0,
        };
        assert_eq!(parse_rollup(text), expected);
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_has_memory() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(memory_of(&[own]).pss > 0.0);
        assert!(open_files(own) > 2);
    }
}
