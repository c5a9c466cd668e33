//! `kalpana keep-awake` as a process, and what a look at all processes makes of it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use kalpana_bridge::activity::ownership::Ownership;
use kalpana_bridge::activity::processes;
use kalpana_bridge::activity::window::Window;
use kalpana_protocol::bridge::activity::Keeper;
use rustix::process::{Pid, Signal, kill_process};

/// The bridge under its other name.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("kalpana");
        symlink(env!("CARGO_BIN_EXE_bridge"), link).unwrap();
        Self(directory)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.0.path().join("kalpana"));
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn start(&self, args: &[&str]) -> Running {
        Running(self.command(args).spawn().unwrap())
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Returns the first line that it says on standard error.
    fn said(&mut self) -> String {
        let mut line = String::new();
        let errors = self.0.stderr.take().unwrap();
        BufReader::new(errors).read_line(&mut line).unwrap();
        line
    }

    /// Returns the first line that its command writes to standard output.
    fn wrote(&mut self) -> String {
        let mut line = String::new();
        let output = self.0.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Looks at this process's children as a bridge looks at a container's processes.
fn look() -> Window {
    let ownership = Ownership::new(std::process::id(), 0, Path::new("/nonexistent"));
    let mut window = Window::new(ownership);
    window.add(processes::read(), None);
    window
}

fn keeper(window: &mut Window, running: &Running) -> Option<Keeper> {
    let keepers = window.answer(Instant::now(), 0).keepers;
    keepers
        .into_iter()
        .find(|keeper| keeper.pid == running.0.id())
}

#[test]
fn it_is_seen_while_it_runs_and_not_after() {
    let site = Site::new();
    let mut bare = site.start(&["keep-awake", "1h30m"]);
    assert_eq!(
        bare.said(),
        "kalpana: this workspace is kept awake for 1h30m; Ctrl-C ends that\n"
    );
    let mut working = site.start(&["keep-awake", "2h", "--", "sh", "-c", "echo on; exec cat"]);
    assert_eq!(working.wrote(), "on\n");
    let mut window = look();
    let found = keeper(&mut window, &bare).unwrap();
    assert_eq!(found.command, "");
    assert!(
        (5380..=5400).contains(&found.seconds_left),
        "{}",
        found.seconds_left
    );
    let found = keeper(&mut window, &working).unwrap();
    assert_eq!(found.command, "sh -c echo on; exec cat");
    assert!((7180..=7200).contains(&found.seconds_left));
    bare.signal(Signal::INT);
    assert_eq!(bare.0.wait().unwrap().code(), None, "a signal ends it");
    // Without anything more to read its command ends.
    drop(working.0.stdin.take());
    assert!(working.0.wait().unwrap().success());
    let mut window = look();
    assert_eq!(keeper(&mut window, &bare), None);
    assert_eq!(keeper(&mut window, &working), None);
}

#[test]
fn command_keeps_its_streams_and_its_exit_code() {
    let site = Site::new();
    let script = "echo out; echo error >&2; exit 7";
    let output = site.output(&["keep-awake", "1h", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("out\n".into(), "error\n".into())
    );
    let output = site.output(&["keep-awake", "1h", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(128 + 9));
    let output = site.output(&["keep-awake", "1h", "--", "/nonexistent/program"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).starts_with("kalpana: cannot start \"/nonexistent/program\": "));
    let output = site.output(&["keep-awake", "1h", "--", "/"]);
    assert_eq!(output.status.code(), Some(126));
}

#[test]
fn command_outlives_its_time_and_one_line_says_so() {
    let site = Site::new();
    let mut working = site.start(&["keep-awake", "1s", "--", "cat"]);
    assert_eq!(
        working.said(),
        "kalpana: the time is over (1s): the command goes on, but does not keep this workspace awake any more\n"
    );
    assert_eq!(keeper(&mut look(), &working), None);
    assert_eq!(working.0.try_wait().unwrap(), None);
    drop(working.0.stdin.take());
    assert!(working.0.wait().unwrap().success());
    let output = site.output(&["keep-awake", "1s"]);
    assert!(output.status.success());
}

#[test]
fn signals_are_the_commands_to_handle() {
    let site = Site::new();
    let script = "trap 'exit 5' TERM; trap 'exit 6' INT; echo on; while :; do read line; done";
    let mut working = site.start(&["keep-awake", "1h", "--", "sh", "-c", script]);
    assert_eq!(working.wrote(), "on\n");
    // From a terminal it would reach the command without help.
    working.signal(Signal::INT);
    working.signal(Signal::TERM);
    drop(working.0.stdin.take());
    assert_eq!(working.0.wait().unwrap().code(), Some(5));
}

#[test]
fn ignored_signal_stays_ignored() {
    let site = Site::new();
    let program = site.0.path().join("kalpana");
    // As nohup does.
    let script = r#"trap '' HUP; exec "$0" keep-awake 1h -- sh -c 'echo on; read line; exit 4'"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut working = Running(command.spawn().unwrap());
    assert_eq!(working.wrote(), "on\n");
    working.signal(Signal::HUP);
    drop(working.0.stdin.take());
    assert_eq!(working.0.wait().unwrap().code(), Some(4));
}

#[test]
fn what_is_not_available_is_refused_with_the_usage() {
    let site = Site::new();
    for args in [&["workspace", "list"][..], &["exec"], &["init"], &["--yes"]] {
        let output = site.output(args);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stdout), "");
        let said = text(&output.stderr);
        let first = format!("kalpana: there is no {:?} inside a workspace\n", args[0]);
        assert!(said.starts_with(&first), "{said}");
        assert!(said.contains("\nUsage: kalpana keep-awake "), "{said}");
    }
    for args in [&[][..], &["--help"], &["keep-awake", "--help"]] {
        let output = site.output(args);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("\nUsage: kalpana keep-awake "));
        assert_eq!(text(&output.stderr), "");
    }
    let output = site.output(&["keep-awake", "25h"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "kalpana: \"25h\" is too long: a workspace can be kept awake for 24h at most\n\
         hint: kalpana keep-awake --help\n"
    );
}
