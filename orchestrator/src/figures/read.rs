//! Reads what the kernel counts of a container.

use std::io;
use std::path::Path;
use std::time::Duration;

use kalpana_domain::id::WorkspaceId;
use kalpana_protocol::figures::Unavailable;

use super::tree::{Missing, Place, Tree};
use crate::network;

/// A limit of memory from here on is none: version 1 says so by the largest number it knows.
const NO_LIMIT: u64 = 1 << 60;

/// What the kernel counted of a container until some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// When, in uptime.
    pub(crate) at: Duration,
    /// CPU time used.
    pub(crate) cpu: Duration,
    /// CPU time that may be used in a second, in thousandths of one CPU.
    pub(crate) cpu_limit_millis: Option<u64>,
    /// Memory in use, without files that are merely cached. Unit: bytes.
    pub(crate) memory: u64,
    /// Memory that may be used. Unit: bytes.
    pub(crate) memory_limit: Option<u64>,
    /// Processes and threads there are.
    pub(crate) processes: Option<u64>,
    /// Processes and threads there may be.
    pub(crate) processes_limit: Option<u64>,
    /// Bytes read from disks, and written to them.
    pub(crate) disk: Option<(u64, u64)>,
    /// Bytes received from the network, and sent to it.
    pub(crate) network: Option<(u64, u64)>,
    /// Processes that the kernel ended because memory was used up.
    pub(crate) oom_kills: u64,
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// The groups are not there.
    #[error("the container's control groups are not on this host")]
    Gone,
    /// They may not be read.
    #[error("the container's control groups may not be read by this user")]
    Forbidden,
    /// They say what is not understood.
    #[error("the container's control groups say what is not understood")]
    Garbled,
    /// Nobody says which container it is.
    #[error("the container engine does not answer")]
    EngineAway,
}

impl From<Missing> for ReadError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Elsewhere => Self::Gone,
            Missing::Forbidden => Self::Forbidden,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A group that is removed while its files are open answers with "no such device".
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                Self::Gone
            }
            _ => Self::Garbled,
        }
    }
}

impl From<ReadError> for Unavailable {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gone => Self::Elsewhere,
            ReadError::Forbidden => Self::Forbidden,
            ReadError::Garbled => Self::Unreadable,
            ReadError::EngineAway => Self::EngineAway,
        }
    }
}

impl Tree {
    /// Reads what is counted at `place`. CPU time and memory must be there; the rest may be absent.
    ///
    /// # Errors
    /// [`ReadError`]; what cannot be read is not guessed.
    pub(crate) fn read(
        &self,
        place: &Place,
        workspace: WorkspaceId,
        now: Duration,
    ) -> Result<Counters, ReadError> {
        let counters = match place {
            Place::V1 {
                cpuacct,
                memory,
                cpu,
                pids,
                blkio,
            } => Counters {
                cpu: Duration::from_nanos(number(&cpuacct.join("cpuacct.usage"))?),
                cpu_limit_millis: cpu.as_deref().and_then(cpu_limit_v1),
                memory: working_set(
                    number(&memory.join("memory.usage_in_bytes"))?,
                    &text(&memory.join("memory.stat"))?,
                    "total_inactive_file",
                )?,
                memory_limit: Some(number(&memory.join("memory.limit_in_bytes"))?)
                    .filter(|limit| *limit < NO_LIMIT),
                processes: pids
                    .as_deref()
                    .and_then(|pids| optional(pids, "pids.current")),
                processes_limit: pids.as_deref().and_then(|pids| optional(pids, "pids.max")),
                disk: blkio.as_deref().and_then(disk_v1),
                network: self.network(workspace, memory),
                oom_kills: value(&text(&memory.join("memory.oom_control"))?, "oom_kill")
                    .unwrap_or(0),
                at: now,
            },
            Place::V2(group) => Counters {
                cpu: Duration::from_micros(
                    value(&text(&group.join("cpu.stat"))?, "usage_usec")
                        .ok_or(ReadError::Garbled)?,
                ),
                cpu_limit_millis: text(&group.join("cpu.max"))
                    .ok()
                    .and_then(|max| cpu_max(&max)),
                memory: working_set(
                    number(&group.join("memory.current"))?,
                    &text(&group.join("memory.stat"))?,
                    "inactive_file",
                )?,
                memory_limit: optional(group, "memory.max"),
                processes: optional(group, "pids.current"),
                processes_limit: optional(group, "pids.max"),
                disk: text(&group.join("io.stat")).ok().map(|stat| disk_v2(&stat)),
                network: self.network(workspace, group),
                oom_kills: value(&text(&group.join("memory.events"))?, "oom_kill").unwrap_or(0),
                at: now,
            },
        };
        Ok(counters)
    }

    /// Reads what a workspace received and sent: at its own bridge, or inside of its container.
    fn network(&self, workspace: WorkspaceId, group: &Path) -> Option<(u64, u64)> {
        let bridge = self.interfaces.join(network::bridge_name(workspace));
        let at_bridge = |what: &str| number(&bridge.join("statistics").join(what)).ok();
        // What the host's end sends is what the container receives.
        if let (Some(received), Some(sent)) = (at_bridge("tx_bytes"), at_bridge("rx_bytes")) {
            return Some((received, sent));
        }
        let inside = || text(&group.join("cgroup.procs")).ok();
        let pid: u32 = inside()?.lines().next()?.trim().parse().ok()?;
        let listed = self.processes.join(pid.to_string()).join("net/dev");
        let counted = interfaces(&text(&listed).ok()?);
        // It may have ended meanwhile, and another have its number.
        let is_still_inside = inside()?.lines().any(|line| line.trim().parse() == Ok(pid));
        is_still_inside.then_some(counted)
    }
}

fn text(path: &Path) -> Result<String, ReadError> {
    Ok(std::fs::read_to_string(path)?)
}

fn number(path: &Path) -> Result<u64, ReadError> {
    text(path)?.trim().parse().map_err(|_| ReadError::Garbled)
}

/// Reads a number that may be absent, or `max` for none.
fn optional(group: &Path, file: &str) -> Option<u64> {
    number(&group.join(file)).ok()
}

/// Returns the value of a line such as `name 42`.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| value.trim().parse().ok())?
    })
}

fn working_set(usage: u64, stat: &str, cached: &str) -> Result<u64, ReadError> {
    let cached = value(stat, cached).ok_or(ReadError::Garbled)?;
    Ok(usage.saturating_sub(cached))
}

fn cpu_limit_v1(group: &Path) -> Option<u64> {
    // Without a limit the quota is -1, which is no number here.
    let quota = optional(group, "cpu.cfs_quota_us")?;
    let period = optional(group, "cpu.cfs_period_us")?;
    quota.checked_mul(1000)?.checked_div(period)
}

/// Reads `50000 100000`, or `max 100000` for none.
fn cpu_max(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    quota.checked_mul(1000)?.checked_div(period)
}

/// Adds up lines such as `8:0 Read 4096`.
fn disk_v1(group: &Path) -> Option<(u64, u64)> {
    let all = text(&group.join("blkio.throttle.io_service_bytes_recursive"))
        .or_else(|_| text(&group.join("blkio.throttle.io_service_bytes")))
        .ok()?;
    let sum = |kind: &str| {
        let of_kind = all.lines().filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            (fields.next()? == kind).then(|| fields.next()?.parse().ok())?
        });
        of_kind.fold(0, u64::saturating_add)
    };
    Some((sum("Read"), sum("Write")))
}

/// Adds up lines such as `8:0 rbytes=4096 wbytes=0 rios=1`.
fn disk_v2(text: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let fields = text.split_whitespace();
        let values = fields.filter_map(|field| field.strip_prefix(name)?.parse().ok());
        values.fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Adds up what all interfaces but the loopback received and sent.
fn interfaces(text: &str) -> (u64, u64) {
    let lines = text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let mut counters = counters.split_whitespace();
        let received: u64 = counters.next()?.parse().ok()?;
        let sent: u64 = counters.nth(7)?.parse().ok()?;
        (name.trim() != "lo").then_some((received, sent))
    });
    lines.fold((0, 0), |(received, sent), (more_received, more_sent)| {
        (
            received.saturating_add(more_received),
            sent.saturating_add(more_sent),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> WorkspaceId {
        WorkspaceId::parse("abcdefghij01").unwrap()
    }

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let tree = Tree {
            groups: directory.path().join("cgroup"),
            processes: directory.path().join("proc"),
            interfaces: directory.path().join("net"),
        };
        (directory, tree)
    }

    const V1: [(&str, &str); 11] = [
        ("cgroup/cpuacct/c/cpuacct.usage", "42706509\n"),
        ("cgroup/cpu/c/cpu.cfs_quota_us", "50000\n"),
        ("cgroup/cpu/c/cpu.cfs_period_us", "100000\n"),
        ("cgroup/memory/c/memory.usage_in_bytes", "5000000\n"),
        (
            "cgroup/memory/c/memory.stat",
            "inactive_file 7\ntotal_rss 102400\ntotal_inactive_file 2000000\n",
        ),
        ("cgroup/memory/c/memory.limit_in_bytes", "67108864\n"),
        (
            "cgroup/memory/c/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        ),
        ("cgroup/pids/c/pids.current", "12\n"),
        ("cgroup/pids/c/pids.max", "1024\n"),
        (
            "cgroup/blkio/c/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 4096\n8:0 Write 10\n8:0 Sync 3\n8:16 Read 1\nTotal 4107\n",
        ),
        ("net/kwabcdefghij01/statistics/rx_bytes", "70\n"),
    ];

    fn place_v1(tree: &Tree) -> Place {
        let at = |controller: &str| tree.groups.join(controller).join("c");
        Place::V1 {
            cpuacct: at("cpuacct"),
            memory: at("memory"),
            cpu: Some(at("cpu")),
            pids: Some(at("pids")),
            blkio: Some(at("blkio")),
        }
    }

    #[test]
    fn what_version_1_counts_is_read() {
        let mut files = V1.to_vec();
        files.push(("net/kwabcdefghij01/statistics/tx_bytes", "900\n"));
        let (_directory, tree) = host(&files);
        let expected = Counters {
            at: Duration::from_secs(9),
            cpu: Duration::from_nanos(42_706_509),
            cpu_limit_millis: Some(500),
            memory: 3_000_000,
            memory_limit: Some(64 << 20),
            processes: Some(12),
            processes_limit: Some(1024),
            disk: Some((4097, 10)),
            network: Some((900, 70)),
            oom_kills: 3,
        };
        let read = tree.read(&place_v1(&tree), workspace(), Duration::from_secs(9));
        assert_eq!(read, Ok(expected));
    }

    const V2: [(&str, &str); 10] = [
        ("cgroup/c/cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
        ("cgroup/c/cpu.max", "200000 100000\n"),
        ("cgroup/c/memory.current", "5000000\n"),
        (
            "cgroup/c/memory.stat",
            "anon 1\ninactive_anon 9\ninactive_file 1000000\n",
        ),
        ("cgroup/c/memory.max", "8589934592\n"),
        ("cgroup/c/memory.events", "low 0\noom 2\noom_kill 1\n"),
        ("cgroup/c/pids.current", "7\n"),
        ("cgroup/c/pids.max", "max\n"),
        (
            "cgroup/c/io.stat",
            "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n8:16 rbytes=1 wbytes=2\n",
        ),
        ("cgroup/c/cgroup.procs", "42\n43\n"),
    ];

    #[test]
    fn what_version_2_counts_is_read_and_the_network_inside_where_there_is_no_bridge() {
        let mut files = V2.to_vec();
        let listed = "Inter-|   Receive\n face |bytes\n    lo:  5 0 0 0 0 0 0 0  5 0\n  eth0: 300 2 0 0 0 0 0 0 40 1 0\n";
        files.push(("proc/42/net/dev", listed));
        let (_directory, tree) = host(&files);
        let expected = Counters {
            at: Duration::ZERO,
            cpu: Duration::from_millis(1500),
            cpu_limit_millis: Some(2000),
            memory: 4_000_000,
            memory_limit: Some(8 << 30),
            processes: Some(7),
            processes_limit: None,
            disk: Some((11, 22)),
            network: Some((300, 40)),
            oom_kills: 1,
        };
        let place = Place::V2(tree.groups.join("c"));
        let read = tree.read(&place, workspace(), Duration::ZERO);
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_has_no_limit_and_what_is_not_counted_is_absent() {
        let mut files = V2[..6].to_vec();
        files[1].1 = "max 100000\n";
        files[4].1 = "max\n";
        let (_directory, tree) = host(&files);
        let place = Place::V2(tree.groups.join("c"));
        let read = tree.read(&place, workspace(), Duration::ZERO).unwrap();
        assert_eq!(
            (read.cpu_limit_millis, read.memory_limit, read.processes),
            (None, None, None)
        );
        assert_eq!((read.disk, read.network), (None, None));

        let mut files = V1.to_vec();
        files[1].1 = "-1\n";
        files[5].1 = "9223372036854771712\n";
        let (_directory, tree) = host(&files);
        let read = tree.read(&place_v1(&tree), workspace(), Duration::ZERO);
        let read = read.unwrap();
        assert_eq!((read.cpu_limit_millis, read.memory_limit), (None, None));
    }

    #[test]
    fn what_is_gone_or_garbled_is_no_figure() {
        for (change, expected) in [
            ((0, "usage_usec 1", "nothing"), ReadError::Garbled),
            ((2, "5000000", "-5"), ReadError::Garbled),
            ((3, "inactive_file", "other"), ReadError::Garbled),
        ] {
            let (index, from, to) = change;
            let mut files = V2.to_vec();
            let changed = files[index].1.replace(from, to);
            files[index].1 = &changed;
            let (_directory, tree) = host(&files);
            let place = Place::V2(tree.groups.join("c"));
            let read = tree.read(&place, workspace(), Duration::ZERO);
            assert_eq!(read, Err(expected), "{change:?}");
        }
        let (_directory, tree) = host(&[]);
        let place = Place::V2(tree.groups.join("c"));
        let read = tree.read(&place, workspace(), Duration::ZERO);
        assert_eq!(read, Err(ReadError::Gone));
    }
}
