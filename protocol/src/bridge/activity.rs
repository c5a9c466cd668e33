//! What goes on in a container, as its bridge sees it.

use serde::{Deserialize, Serialize};

/// Most processes that [`Activity::busiest`] names.
pub const BUSIEST_LIMIT: usize = 3;

/// Most programs that [`Activity::keepers`] names.
pub const KEEPERS_LIMIT: usize = 16;

/// Longest command line in an answer, in bytes.
pub const COMMAND_LIMIT: usize = 100;

/// The answer to `activity`: what goes on in a workspace, so that its sleep can be decided honestly.
///
/// The person's own programs are all that run in the container but the bridge and the editor. A
/// program that the editor starts is the person's, unless it came with the editor: a shell in a
/// terminal, a debugged program, a language server of an installed extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Seconds since somebody last typed into a terminal; `None` when nobody did since the start.
    /// Accurate to 8 seconds. Whatever a program reads from its terminal counts as typed.
    pub typed_seconds_ago: Option<u64>,
    /// CPU time of the person's own programs per wall-clock time over the window, in thousandths of
    /// one CPU: two busy CPUs are 2000.
    pub cpu_millis: u64,
    /// Bytes per second that they read from and wrote to disks over the window. What the page cache
    /// answered is not among them. 0 where the system does not say.
    pub disk_bytes_per_second: u64,
    /// How long was measured, in seconds; 0 while nothing was yet.
    pub window_seconds: u64,
    /// The busiest of them by CPU time and then by bytes, the busiest first; at most
    /// [`BUSIEST_LIMIT`]. Those of which both round to 0 are left out; some may have ended since.
    pub busiest: Vec<BusyProcess>,
    /// Programs that were asked not to be put to sleep, with `kalpana keep-awake`; at most
    /// [`KEEPERS_LIMIT`], those that last longest first.
    pub keepers: Vec<Keeper>,
}

/// One of the person's own programs that did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusyProcess {
    /// Its number in the container.
    pub pid: u32,
    /// Its command line: printable, in one line, at most [`COMMAND_LIMIT`] bytes; not to be trusted.
    pub command: String,
    /// Its share of [`Activity::cpu_millis`], children that it has waited for included.
    pub cpu_millis: u64,
    /// Its share of [`Activity::disk_bytes_per_second`], those children included.
    pub disk_bytes_per_second: u64,
}

/// A `kalpana keep-awake` whose time is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    /// Its number in the container.
    pub pid: u32,
    /// What it runs, within the bounds of [`BusyProcess::command`]; empty when it only waits.
    pub command: String,
    /// Seconds until its time is over, rounded up.
    pub seconds_left: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_has_the_documented_form() {
        let activity = Activity {
            typed_seconds_ago: Some(42),
            cpu_millis: 1930,
            disk_bytes_per_second: 1_048_576,
            window_seconds: 60,
            busiest: vec![BusyProcess {
                pid: 321,
                command: "cargo build --release".into(),
                cpu_millis: 1900,
                disk_bytes_per_second: 1_000_000,
            }],
            keepers: vec![Keeper {
                pid: 300,
                command: "make test".into(),
                seconds_left: 5400,
            }],
        };
        insta::assert_json_snapshot!(activity, @r#"
        {
          "typed_seconds_ago": 42,
          "cpu_millis": 1930,
          "disk_bytes_per_second": 1048576,
          "window_seconds": 60,
          "busiest": [
            {
              "pid": 321,
              "command": "cargo build --release",
              "cpu_millis": 1900,
              "disk_bytes_per_second": 1000000
            }
          ],
          "keepers": [
            {
              "pid": 300,
              "command": "make test",
              "seconds_left": 5400
            }
          ]
        }
        "#);
        insta::assert_json_snapshot!(Activity::default(), @r#"
        {
          "typed_seconds_ago": null,
          "cpu_millis": 0,
          "disk_bytes_per_second": 0,
          "window_seconds": 0,
          "busiest": [],
          "keepers": []
        }
        "#);
    }
}
