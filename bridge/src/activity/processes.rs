//! Looks at every process once.
//!
//! Nothing here needs a capability. The times and the command line of a process are open to every
//! user; its disk traffic (`/proc/<pid>/io`) is open to its own user and to nobody else, not even to
//! root without `CAP_SYS_PTRACE`. Whoever reads the processes of the workspace's user therefore
//! [borrows that user's eyes](see_as) first.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::{Duration, Instant};

use procfs::process::Process as Entry;

/// Bytes of a command line that are looked at. A program may have megabytes of them.
const ARGV_LIMIT: u64 = 4 << 10;

/// All processes at one moment, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken.
    pub at: Instant,
    /// The time since the machine started, which is what [`Process::started`] counts in too.
    pub uptime: Duration,
    /// The processes.
    pub processes: BTreeMap<u32, Process>,
}

/// A process at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The number of its parent; 0 when that is outside the container.
    pub parent: u32,
    /// When it started, as time since the machine did. With the number it names a process for ever.
    pub started: Duration,
    /// CPU time of its own, all threads together.
    pub cpu: Duration,
    /// CPU time of the children that it has waited for, and of theirs.
    pub waited_cpu: Duration,
    /// Bytes that it read from and wrote to disks, together with the children that it has waited
    /// for; 0 where the system does not say.
    pub disk_bytes: u64,
    /// The name of its program, without the folder, 15 bytes at most.
    pub name: String,
    /// The beginning of its command line; empty when it has ended and nobody waited for it yet.
    pub argv: Vec<String>,
}

/// Lets the calling thread, and no other, read files as a user does, from now on.
///
/// What a thread may read of a process depends on its file system identity alone, so that the
/// process it belongs to stays what it is: no other user may look into it or signal it.
pub fn see_as(uid: u32, gid: u32) {
    // Neither call says whether it worked. Where it did not, disk traffic reads as 0.
    nix::unistd::setfsgid(gid.into());
    nix::unistd::setfsuid(uid.into());
}

/// Takes a sample. A process that vanishes meanwhile, or may not be read, is left out.
pub fn read() -> Sample {
    let at = Instant::now();
    let uptime = uptime();
    let ticks = Ticks {
        per_second: procfs::ticks_per_second().max(1),
    };
    let entries = procfs::process::all_processes().into_iter().flatten();
    let processes = entries.filter_map(|entry| look(&entry.ok()?, ticks));
    Sample {
        at,
        uptime,
        processes: processes.collect(),
    }
}

fn look(entry: &Entry, ticks: Ticks) -> Option<(u32, Process)> {
    let stat = entry.stat().ok()?;
    let waited = stat.cutime.saturating_add(stat.cstime);
    let process = Process {
        parent: u32::try_from(stat.ppid).ok()?,
        started: ticks.duration(stat.starttime),
        cpu: ticks.duration(stat.utime.saturating_add(stat.stime)),
        waited_cpu: ticks.duration(u64::try_from(waited).unwrap_or(0)),
        disk_bytes: entry
            .io()
            .map_or(0, |io| io.read_bytes.saturating_add(io.write_bytes)),
        name: stat.comm,
        argv: argv(entry),
    };
    Some((u32::try_from(stat.pid).ok()?, process))
}

fn argv(entry: &Entry) -> Vec<String> {
    let mut bytes = Vec::new();
    if let Ok(file) = entry.open_relative("cmdline") {
        // What vanishes half-way is as good as what was read of it.
        let _ = file.take(ARGV_LIMIT).read_to_end(&mut bytes);
    }
    split(&bytes)
}

/// Splits what `/proc/<pid>/cmdline` holds: every argument ends with a zero byte.
fn split(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes
        .split(|&byte| byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Returns the time since the machine started, that which it slept included.
fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The unit in which the kernel counts time.
#[derive(Clone, Copy)]
struct Ticks {
    per_second: u64,
}

impl Ticks {
    fn duration(self, ticks: u64) -> Duration {
        let rest = ticks % self.per_second * 1_000_000_000 / self.per_second;
        Duration::from_secs(ticks / self.per_second) + Duration::from_nanos(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    /// A process that ends with the test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn command_lines_are_split_at_zero_bytes() {
        assert_eq!(split(b"make\0-j\08\0"), ["make", "-j", "8"]);
        assert_eq!(split(b"echo\0\0last\0"), ["echo", "", "last"]);
        assert_eq!(split(b"a title"), ["a title"]);
        assert_eq!(split(b"\xff\0"), ["\u{fffd}"]);
        assert_eq!(split(b""), Vec::<String>::new());
    }

    #[test]
    fn ticks_become_time() {
        let ticks = Ticks { per_second: 100 };
        assert_eq!(ticks.duration(250), Duration::from_millis(2500));
        let ticks = Ticks { per_second: 1024 };
        assert_eq!(ticks.duration(1536), Duration::from_millis(1500));
    }

    #[test]
    fn process_with_an_odd_name_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("(a) b) R 1");
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let child = Command::new(&program).arg("60").arg0("odd\nname").spawn();
        let child = Running(child.unwrap());
        let found = read().processes.remove(&child.0.id()).unwrap();
        assert_eq!(found.name, "(a) b) R 1");
        assert_eq!(found.argv, ["odd\nname", "60"]);
        assert_eq!(found.parent, std::process::id());
    }

    #[test]
    fn start_is_measured_by_the_same_clock_as_the_sample() {
        let before = uptime();
        let child = Running(Command::new("sleep").arg("60").spawn().unwrap());
        let sample = read();
        let started = sample.processes[&child.0.id()].started;
        let tick = Duration::from_millis(20);
        assert!(started + tick >= before, "{started:?} {before:?}");
        assert!(started <= sample.uptime + tick, "{started:?}");
    }

    #[test]
    fn disk_traffic_of_another_user_is_read_with_that_users_eyes() {
        if !rustix::process::geteuid().is_root() {
            // Nobody else could become another user.
            return;
        }
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::os::unix::fs::chown(directory.path(), Some(64000), Some(64000)).unwrap();
        let script = "head -c 8000000 /dev/zero >file; sync file; echo done; exec sleep 60";
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .current_dir(directory.path())
            .stdout(std::process::Stdio::piped())
            .uid(64000)
            .gid(64000);
        let mut child = Running(command.spawn().unwrap());
        let mut said = [0; 5];
        let mut output = child.0.stdout.take().unwrap();
        output.read_exact(&mut said).unwrap();
        let pid = child.0.id();
        let looking = std::thread::spawn(move || {
            see_as(64000, 64000);
            read().processes[&pid].disk_bytes
        });
        let bytes = looking.join().unwrap();
        // A directory in memory has no disk below it.
        let is_on_disk = read().processes[&pid].disk_bytes > 0;
        assert!(!is_on_disk || bytes >= 8_000_000, "{bytes}");
    }
}
