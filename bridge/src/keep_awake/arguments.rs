//! The arguments of `kalpana keep-awake`: read by the program itself, and by whoever looks for it
//! among the processes.

use std::ffi::OsStr;
use std::time::Duration;

use super::duration::{self, DurationError};

/// The programs that can keep a workspace awake, which are one: a link and what it points to.
const PROGRAMS: [&str; 2] = [super::PROGRAM, "bridge"];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAwake<A> {
    /// How long at most; between one second and [`duration::LONGEST`].
    pub duration: Duration,
    /// What to run; nothing to wait only.
    pub command: Vec<A>,
}

/// Why nothing is kept awake.
#[derive(Debug, PartialEq, Eq)]
pub enum Usage {
    /// The help was asked for.
    Help,
    /// The arguments make no sense.
    Invalid(ArgumentsError),
}

/// The arguments make no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArgumentsError {
    /// There are none.
    #[error("say for how long: kalpana keep-awake 2h")]
    NoDuration,
    /// The first is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// Something follows the duration.
    #[error("put -- before the command: kalpana keep-awake 2h -- {command} ...")]
    NoDashes {
        /// The first word of it.
        command: String,
    },
    /// Nothing follows the dashes.
    #[error("a command must follow --")]
    NoCommand,
}

impl<A: AsRef<OsStr> + Clone> KeepAwake<A> {
    /// Reads the arguments after `keep-awake`.
    ///
    /// # Errors
    /// [`Usage`] if the help was asked for, or the arguments make no sense.
    pub fn parse(args: &[A]) -> Result<Self, Usage> {
        let invalid = |error| Err(Usage::Invalid(error));
        let Some((first, rest)) = args.split_first() else {
            return invalid(ArgumentsError::NoDuration);
        };
        let first = first.as_ref().to_string_lossy();
        if matches!(&*first, "--help" | "-h" | "help") {
            return Err(Usage::Help);
        }
        let duration = match duration::parse(&first) {
            Ok(duration) => duration,
            Err(error) => return invalid(error.into()),
        };
        let command = match rest.split_first() {
            None => Vec::new(),
            Some((dashes, command)) if dashes.as_ref() == "--" => {
                if command.is_empty() {
                    return invalid(ArgumentsError::NoCommand);
                }
                command.to_vec()
            }
            Some((help, _)) if matches!(help.as_ref().to_str(), Some("--help" | "-h")) => {
                return Err(Usage::Help);
            }
            Some((other, _)) => {
                let command = other.as_ref().to_string_lossy().into_owned();
                return invalid(ArgumentsError::NoDashes { command });
            }
        };
        Ok(Self { duration, command })
    }

    /// Returns what a process with this command line asks, if it is one that keeps awake.
    pub fn of_process(argv: &[A]) -> Option<Self> {
        let [program, subcommand, args @ ..] = argv else {
            return None;
        };
        let program = std::path::Path::new(program).file_name()?;
        let is_it =
            PROGRAMS.iter().any(|&name| program == name) && subcommand.as_ref() == "keep-awake";
        is_it.then(|| Self::parse(args).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<KeepAwake<String>, Usage> {
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        KeepAwake::parse(&args)
    }

    fn hour(command: &[&str]) -> KeepAwake<String> {
        KeepAwake {
            duration: Duration::from_secs(3600),
            command: command.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    #[test]
    fn command_follows_two_dashes() {
        assert_eq!(parse(&["1h"]), Ok(hour(&[])));
        assert_eq!(parse(&["1h", "--", "make"]), Ok(hour(&["make"])));
        let with_dashes = ["1h", "--", "cargo", "run", "--", "--help"];
        assert_eq!(parse(&with_dashes), Ok(hour(&with_dashes[2..])));
    }

    #[test]
    fn help_is_not_taken_from_the_command() {
        for args in [&["--help"][..], &["-h"], &["help"], &["1h", "--help"]] {
            assert_eq!(parse(args), Err(Usage::Help), "{args:?}");
        }
        assert_eq!(parse(&["1h", "--", "--help"]), Ok(hour(&["--help"])));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let sentences = [
            &[][..],
            &["make"],
            &["1h", "make", "test"],
            &["1h", "--"],
            &["2d"],
            &["25h"],
        ]
        .map(|args| match parse(args) {
            Err(Usage::Invalid(error)) => error.to_string(),
            other => panic!("{args:?}: {other:?}"),
        });
        insta::assert_snapshot!(sentences.join("\n"), @r#"
        say for how long: kalpana keep-awake 2h
        "make" is no duration: write it like 90s, 30m, 2h or 1h30m
        put -- before the command: kalpana keep-awake 2h -- make ...
        a command must follow --
        "2d" is no duration: write it like 90s, 30m, 2h or 1h30m
        "25h" is too long: a workspace can be kept awake for 24h at most
        "#);
    }

    #[test]
    fn process_is_known_by_its_command_line() {
        let of = |argv: &[&str]| {
            let argv: Vec<_> = argv.iter().map(|&arg| arg.to_owned()).collect();
            KeepAwake::of_process(&argv)
        };
        for program in ["kalpana", "/usr/local/bin/kalpana", "./bridge"] {
            assert_eq!(of(&[program, "keep-awake", "1h"]), Some(hour(&[])));
        }
        let command = ["kalpana", "keep-awake", "1h", "--", "make"];
        assert_eq!(of(&command), Some(hour(&["make"])));
        for other in [
            &["kalpana"][..],
            &["kalpana", "keep-awake"],
            &["kalpana", "keep-awake", "--help"],
            &["kalpana", "exec", "keep-awake", "1h"],
            &["notkalpana", "keep-awake", "1h"],
            &["vim", "keep-awake", "1h"],
            &["", "keep-awake", "1h"],
            &[],
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
