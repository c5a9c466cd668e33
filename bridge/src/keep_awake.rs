//! `kalpana keep-awake`: asks that the workspace is not put to sleep, from inside of it.
//!
//! Asking is nothing but running: `bridge serve` finds the process by its command line, which says
//! for how long, and by when it started. So a request ends with its process, however that ends, and
//! there is nothing to clean up.

pub mod arguments;
pub mod duration;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use arguments::KeepAwake;
use arguments::Usage;

/// The name under which the bridge is on the workspace user's path.
pub const PROGRAM: &str = "kalpana";

/// The exit code of a program that was told something impossible.
const USAGE: u8 = 2;

/// The exit codes of a command that could not be started, as shells have them: it is no program, or
/// it is not there.
const CANNOT_START: u8 = 126;
const NOT_FOUND: u8 = 127;

const HELP: &str = "\
What can be asked of Kalpana from inside a workspace.

Usage: kalpana keep-awake <DURATION> [-- COMMAND [ARGUMENT...]]

Commands:
  keep-awake  Keep this workspace from being put to sleep for a while

`kalpana keep-awake --help` says more. Everything else is done on the site's own pages.";

const KEEP_AWAKE_HELP: &str = "\
Keep this workspace from being put to sleep for a while.

Usage: kalpana keep-awake <DURATION> [-- COMMAND [ARGUMENT...]]

  DURATION  how long at most: 90s, 30m, 2h, 1h30m; 24h is the longest
  COMMAND   run this, and keep the workspace awake until it ends or the time is over

Without a command it waits until the time is over; Ctrl-C ends it before.
With one it ends when the command does, and with its exit code. A command that
takes longer goes on, but does not keep the workspace awake any more.
The site's limit on work that nobody attends to holds all the same.

  kalpana keep-awake 2h
  kalpana keep-awake 8h -- make nightly";

/// Does what `kalpana` is asked to inside a workspace. `args` are those after the program's name.
pub fn kalpana(args: &[OsString]) -> ExitCode {
    let first = args.first().map(|arg| arg.to_string_lossy());
    match first.as_deref() {
        Some("keep-awake") => run(&args[1..]),
        None | Some("help" | "--help" | "-h") => help(HELP),
        Some("--version" | "-V") => help(concat!("kalpana ", env!("CARGO_PKG_VERSION"))),
        Some(other) => {
            say(format_args!("there is no {other:?} inside a workspace"));
            say_plainly(format_args!("\n{HELP}"));
            ExitCode::from(USAGE)
        }
    }
}

/// Keeps the workspace awake. `args` are those after `keep-awake`.
pub fn run(args: &[OsString]) -> ExitCode {
    let keep_awake = match KeepAwake::parse(args) {
        Ok(keep_awake) => keep_awake,
        Err(Usage::Help) => return help(KEEP_AWAKE_HELP),
        Err(Usage::Invalid(error)) => {
            say(error);
            say_plainly("hint: kalpana keep-awake --help");
            return ExitCode::from(USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(keep(&keep_awake)));
    outcome.unwrap_or_else(|error| {
        say(format_args!("cannot keep awake: {error}"));
        ExitCode::FAILURE
    })
}

async fn keep(keep_awake: &KeepAwake<OsString>) -> std::io::Result<ExitCode> {
    let duration = keep_awake.duration;
    let Some((program, arguments)) = keep_awake.command.split_first() else {
        say(format_args!(
            "this workspace is kept awake for {}; Ctrl-C ends that",
            duration::text(duration)
        ));
        tokio::time::sleep(duration).await;
        return Ok(ExitCode::SUCCESS);
    };
    let signals = Signals::catch()?;
    match Command::new(program).args(arguments).spawn() {
        Ok(child) => follow(child, signals, duration).await,
        Err(error) => {
            let name = program.to_string_lossy();
            say(format_args!("cannot start {name:?}: {error}"));
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let code = if is_missing { NOT_FOUND } else { CANNOT_START };
            Ok(ExitCode::from(code))
        }
    }
}

/// Waits for a command, whatever signals come, and returns its exit code as shells do.
async fn follow(
    mut child: Child,
    mut signals: Signals,
    duration: Duration,
) -> std::io::Result<ExitCode> {
    let over = tokio::time::sleep(duration);
    tokio::pin!(over);
    let mut is_over = false;
    loop {
        tokio::select! {
            status = child.wait() => return status.map(exit_code),
            () = &mut over, if !is_over => {
                is_over = true;
                say(format_args!(
                    "the time is over ({}): the command goes on, but does not keep this workspace awake any more",
                    duration::text(duration)
                ));
            }
            // A terminal sends these to the command as well, which then does with them what it wants.
            () = next(&mut signals.interrupt) => {}
            () = next(&mut signals.quit) => {}
            // These may be for us alone.
            () = next(&mut signals.terminate) => pass_on(&child, rustix::process::Signal::TERM),
            () = next(&mut signals.hang_up) => pass_on(&child, rustix::process::Signal::HUP),
        }
    }
}

/// The signals that must not end us before the command. Those that whoever started us has ignored,
/// as `nohup` does, stay so, for us and for the command.
struct Signals {
    interrupt: Option<Signal>,
    quit: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        let status = procfs::process::Process::myself().and_then(|process| process.status());
        let ignored = status.map_or(0, |status| status.sigign);
        let catch = |kind: SignalKind| {
            let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            quit: catch(SignalKind::quit())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }
}

/// Waits for a signal, for ever if it is not caught.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn pass_on(child: &Child, signal: rustix::process::Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code();
    let code = code.or_else(|| status.signal().map(|signal| 128 + signal));
    // Neither is ever out of range.
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn help(text: &str) -> ExitCode {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    ExitCode::SUCCESS
}

fn say(sentence: impl Display) {
    say_plainly(format_args!("{PROGRAM}: {sentence}"));
}

fn say_plainly(text: impl Display) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_the_reviewed_text() {
        insta::assert_snapshot!(HELP);
        insta::assert_snapshot!(KEEP_AWAKE_HELP);
        for line in HELP.lines().chain(KEEP_AWAKE_HELP.lines()) {
            assert!(line.chars().count() <= 88, "{line}");
        }
    }
}
