//! `bridge pack` and `bridge unpack`: a workspace's two volumes as one tar archive, and back.
//!
//! Both run in a container of their own that has nothing but the volumes, with a workspace's files in
//! them: names, links and modes are whatever a stranger made them, and so is an archive. So nothing
//! here opens a path. Every directory is opened by its own name from the one above it, and no link is
//! ever followed.
//!
//! ```text
//! workspace/...  home/...          entries, parents before what is in them, names in order of bytes
//! kalpana-end                      what has to have come before: see `ArchiveEnd`
//! ```
//!
//! Anything that reads POSIX archives with GNU's long names and sparse files reads these; `unpack`
//! reads what `pack` writes. Reading order: [`pack`], [`entry`], [`unpack`], [`descent`].

pub mod descent;
pub mod empty;
pub mod entry;
pub mod pack;
pub mod pax;
pub mod read;
pub mod sparse;
pub mod unpack;
pub mod write;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::log;

/// How much is written or read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// The exit code of a program that was told something impossible.
const USAGE: u8 = 2;

/// How much of a name is shown to people, in bytes.
const SHOWN_LIMIT: usize = 200;

/// How many of the things that went wrong are told one by one.
const COMPLAINTS_LIMIT: usize = 20;

/// Longest name of an entry, in bytes. Deeper trees can be made, but nobody could open what is in
/// them by name.
pub const NAME_LIMIT: usize = 16 << 10;

/// Most that is said about one entry ahead of it, in bytes: its attributes, or its name.
const EXTENSION_LIMIT: u64 = 1 << 20;

/// The names under which the volumes are in an archive, in their order there.
pub const ROOT_NAMES: [&str; 2] = ["workspace", "home"];

/// Where the volumes are, in the order of [`ROOT_NAMES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots(pub [PathBuf; 2]);

/// The arguments are not those of either job.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("usage: bridge (pack | unpack) [--root workspace=DIRECTORY] [--root home=DIRECTORY]")]
pub struct UsageError;

impl Default for Roots {
    fn default() -> Self {
        Self(["/workspace".into(), "/home/dev".into()])
    }
}

impl Roots {
    /// Reads the arguments after `pack` or `unpack`.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn parse(args: &[OsString]) -> Result<Self, UsageError> {
        let mut roots = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg != "--root" {
                return Err(UsageError);
            }
            let value = args.next().ok_or(UsageError)?.as_bytes();
            let equals = value.iter().position(|&byte| byte == b'=');
            let (name, path) = value.split_at(equals.ok_or(UsageError)?);
            let path = &path[1..];
            let index = ROOT_NAMES.iter().position(|root| root.as_bytes() == name);
            if path.is_empty() {
                return Err(UsageError);
            }
            roots.0[index.ok_or(UsageError)?] = OsStr::from_bytes(path).into();
        }
        Ok(roots)
    }
}

/// Says the first things that go wrong, and counts the others: there may be very many.
#[derive(Debug, Default)]
pub struct Complaints {
    heard: usize,
}

impl Complaints {
    /// Says `text`, or only counts it.
    pub fn say(&mut self, text: &str) {
        self.heard += 1;
        if self.heard <= COMPLAINTS_LIMIT {
            log::say_to_init(text);
        }
    }

    fn finish(&self) {
        if let Some(more @ 1..) = self.heard.checked_sub(COMPLAINTS_LIMIT) {
            log::say_to_init(&format!("and {more} more"));
        }
    }
}

/// Does `bridge pack`: the archive goes to standard output. `args` are those after `pack`.
///
/// Exits with 0 if the archive is whole, with 1 if it is not, and with 2 if the arguments make no
/// sense.
pub fn run_pack(args: &[OsString]) -> ExitCode {
    run(args, |roots, complaints| {
        // Rust's own standard output looks for ends of lines in what is written.
        let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        let mut output = BufWriter::with_capacity(CHUNK, Counted { output, bytes: 0 });
        let end = pack::write(roots, &mut output, complaints)?;
        output.flush()?;
        complaints.finish();
        // Whoever reads the archive through others learns so whether all of it arrived.
        log::say_to_init(&format!(
            "packed {} files and {} directories, {} bytes; skipped {}; {} bytes of archive",
            end.files,
            end.directories,
            end.bytes,
            end.skipped,
            output.get_ref().bytes
        ));
        Ok(())
    })
}

/// Counts what is written.
struct Counted {
    output: File,
    bytes: u64,
}

impl std::io::Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let count = self.output.write(buffer)?;
        self.bytes = self.bytes.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

/// Does `bridge unpack`: the archive comes from standard input, and replaces what is in the volumes.
/// `args` are those after `unpack`.
///
/// Exits with 0 if everything is restored and on the disk, with 1 if it is not, and with 2 if the
/// arguments make no sense.
pub fn run_unpack(args: &[OsString]) -> ExitCode {
    run(args, |roots, complaints| {
        let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let input = std::io::BufReader::with_capacity(CHUNK, input);
        let end = unpack::restore(roots, input, complaints)?;
        complaints.finish();
        log::say_to_init(&format!(
            "unpacked {} files and {} directories, {} bytes; {} were skipped when it was packed",
            end.files, end.directories, end.bytes, end.skipped
        ));
        Ok(())
    })
}

fn run(
    args: &[OsString],
    job: impl FnOnce(&Roots, &mut Complaints) -> Result<(), Box<dyn std::error::Error>>,
) -> ExitCode {
    let roots = match Roots::parse(args) {
        Ok(roots) => roots,
        Err(error) => {
            log::say_to_init(&format!("fatal: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let mut complaints = Complaints::default();
    match job(&roots, &mut complaints) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complaints.finish();
            log::say_to_init(&format!("fatal: {}", log::chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Returns a name as a text that fits into a line, whatever it is. Of a long one the end is shown.
fn shown(name: &[u8]) -> String {
    let hidden = name.len().saturating_sub(SHOWN_LIMIT);
    let dots = if hidden > 0 { "..." } else { "" };
    format!("{dots}{}", name[hidden..].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_the_volumes_unless_told_otherwise() {
        let parse = |args: &[&str]| Roots::parse(&args.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Roots::default()));
        let one = Roots(["/workspace".into(), "/a=b".into()]);
        assert_eq!(parse(&["--root", "home=/a=b"]), Ok(one));
        let both = Roots(["x".into(), "/y".into()]);
        let args = ["--root", "home=/y", "--root", "workspace=x"];
        assert_eq!(parse(&args), Ok(both));
        for args in [
            &["--root"][..],
            &["--root", "home"],
            &["--root", "home="],
            &["--root", "etc=/etc"],
            &["--exclude", "x"],
            &["-"],
        ] {
            assert_eq!(parse(args), Err(UsageError), "{args:?}");
        }
    }
}
