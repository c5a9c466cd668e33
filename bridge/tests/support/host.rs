//! A bridge outside any container, as processes of this machine.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use kalpana_bridge_client::Bridge;
use kalpana_protocol::bridge::LogLine;
use kalpana_protocol::launch::LaunchSettings;
use kalpana_protocol::preamble::Audience;

use crate::support::{LIMIT, WORKSPACE_UID, dial, eventually, launch, write_launch};

/// A bridge of this machine. As root its children really drop to the workspace's user; as
/// anybody else they keep the user they have.
pub(crate) struct Host {
    base: tempfile::TempDir,
    pub(crate) launch: LaunchSettings,
    init: Option<Child>,
    log: Option<Receiver<String>>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["run", "runtime", "home", "workspace"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        // Copies, because the workspace's user need not be able to enter our directories.
        let program = |from: &str, name: &str| {
            let path = base.path().join(name);
            std::fs::copy(from, &path).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        };
        program(env!("CARGO_BIN_EXE_bridge"), "bridge");
        program(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/editor.pl"),
            "editor",
        );
        let (uid, gid) = if is_root() {
            (WORKSPACE_UID, WORKSPACE_UID)
        } else {
            (
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            )
        };
        let launch = launch(
            &base.path().join("home"),
            &base.path().join("workspace"),
            uid,
            gid,
        );
        Self {
            base,
            launch,
            init: None,
            log: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.path("bridge"));
        command
            .arg("init")
            .env("KALPANA_RUN_DIR", self.path("run"))
            .env("KALPANA_RUNTIME_DIR", self.path("runtime"))
            .env("KALPANA_WORKSPACE_ROOT", self.path("workspace"))
            .env("KALPANA_EDITOR", self.path("editor"))
            .env("KALPANA_CANARY", "canary-in-the-environment")
            .env("KALPANA_KEEP_USER", if is_root() { "0" } else { "1" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// Starts `bridge init` with the launch settings as they are now.
    pub(crate) fn start(&mut self) {
        write_launch(&self.path("run"), &self.launch);
        let mut init = self.command().spawn().unwrap();
        let (sender, log) = channel();
        let output = BufReader::new(init.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                echo(&line);
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        self.log = Some(log);
        self.init = Some(init);
    }

    pub(crate) fn init_pid(&self) -> i32 {
        i32::try_from(self.init.as_ref().unwrap().id()).unwrap()
    }

    /// Ends it as the engine does, and returns its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        signal(self.init_pid(), rustix::process::Signal::TERM);
        self.init.take().unwrap().wait().unwrap().code().unwrap()
    }

    /// Waits for a line of the container's log.
    pub(crate) fn logged(&self, is_it: impl Fn(&LogLine) -> bool) -> LogLine {
        let deadline = Instant::now() + LIMIT;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let line = self
                .log
                .as_ref()
                .unwrap()
                .recv_timeout(rest)
                .expect("the line is logged");
            let line: LogLine = serde_json::from_str(&line).expect("the log is JSON lines");
            if is_it(&line) {
                return line;
            }
        }
    }

    pub(crate) fn gateway(&self) -> Bridge {
        dial(
            &self.path("run"),
            Audience::Gateway,
            rustix::process::geteuid().as_raw(),
        )
    }

    pub(crate) fn orchestrator(&self) -> Bridge {
        dial(
            &self.path("run"),
            Audience::Orchestrator,
            rustix::process::geteuid().as_raw(),
        )
    }

    /// Returns the process of `serve`, once there is one that is not `but`.
    pub(crate) async fn serve_pid(&self, but: Option<i32>) -> i32 {
        let find = || child_named(self.init_pid(), "serve").filter(|pid| Some(*pid) != but);
        eventually("serve runs", || std::future::ready(find())).await
    }

    /// Returns the process of the editor.
    pub(crate) fn editor_pid(&self) -> i32 {
        child_named(self.init_pid(), "--socket").expect("the editor runs")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut init) = self.init.take() {
            signal(
                i32::try_from(init.id()).unwrap(),
                rustix::process::Signal::TERM,
            );
            init.wait().unwrap();
        }
    }
}

#[expect(clippy::print_stderr, reason = "shown with a test that fails")]
fn echo(line: &str) {
    eprintln!("{line}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Returns the direct children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = tasks.map(|task| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    });
    lists
        .collect::<String>()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Returns the child of `pid` with `argument` on its command line.
fn child_named(pid: i32, argument: &str) -> Option<i32> {
    children(pid).into_iter().find(|child| {
        let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|&byte| byte == 0);
        // `bridge exec` has the same arguments, just before it becomes the program.
        let is_itself = arguments.clone().nth(1) != Some(b"exec");
        is_itself && arguments.any(|found| found == argument.as_bytes())
    })
}
