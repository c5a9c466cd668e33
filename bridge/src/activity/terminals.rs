//! When somebody last typed into a terminal.
//!
//! A terminal is `/dev/pts/<number>`. The kernel sets its time of access when a program reads from
//! it, that is when something was typed, at most every 8 seconds. Opening a terminal is no typing: a
//! program may open one too, and so its time of creation is told apart.
//!
//! *Source:* `tty_update_time` in the kernel's `drivers/tty/tty_io.c`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where the container's terminals are.
pub const TERMINALS: &str = "/dev/pts";

/// The times of one terminal, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When a program last read from it.
    pub accessed: i64,
    /// When it was made.
    pub created: i64,
}

/// Returns when somebody last typed into one of the terminals in `directory`, in seconds since 1970;
/// `None` when nobody did into those that are still open.
pub fn typed_at(directory: &Path) -> Option<i64> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    latest(entries.filter_map(|entry| {
        let name = entry.file_name();
        let is_terminal = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        // One that is closed meanwhile is no error.
        let metadata = entry.metadata().ok().filter(|_| is_terminal)?;
        Some(times(&metadata))
    }))
}

fn times(terminal: &Metadata) -> Times {
    Times {
        accessed: terminal.atime(),
        created: terminal.ctime(),
    }
}

/// Returns when somebody last typed into any of some terminals.
pub fn latest(terminals: impl IntoIterator<Item = Times>) -> Option<i64> {
    let terminals = terminals.into_iter();
    terminals
        .filter(|times| times.accessed > times.created)
        .map(|times| times.accessed)
        .max()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{File, FileTimes};
    use std::io::{Read as _, Write as _};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::time::{Duration, Instant};

    use rustix::pty::OpenptFlags;

    use super::*;

    #[test]
    fn latest_reading_counts_and_opening_does_not() {
        let times = |accessed, created| Times { accessed, created };
        assert_eq!(latest([]), None);
        assert_eq!(latest([times(900, 900)]), None);
        let some = [times(500, 100), times(700, 100), times(900, 900)];
        assert_eq!(latest(some), Some(700));
    }

    #[test]
    fn only_numbered_entries_are_terminals() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["ptmx", "7", "seven"] {
            let file = File::create(directory.path().join(name)).unwrap();
            // Later than the files were made: those with longer names later than the terminal.
            let made = file.metadata().unwrap().modified().unwrap();
            let accessed = made + Duration::from_secs(100 * name.len() as u64);
            file.set_times(FileTimes::new().set_accessed(accessed))
                .unwrap();
        }
        let made = directory.path().join("7").metadata().unwrap().ctime();
        let typed = typed_at(directory.path()).unwrap();
        assert!((typed - made - 100).abs() <= 1, "{typed} {made}");
        assert_eq!(typed_at(&directory.path().join("missing")), None);
    }

    #[tokio::test]
    async fn typing_into_a_real_terminal_moves_its_time() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let keyboard = rustix::pty::openpt(flags).unwrap();
        rustix::pty::grantpt(&keyboard).unwrap();
        rustix::pty::unlockpt(&keyboard).unwrap();
        let path = rustix::pty::ptsname(&keyboard, Vec::new()).unwrap();
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        let look = || latest([times(&path.metadata().unwrap())]);
        let mut keyboard = File::from(keyboard);
        let mut program = File::options()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
            .open(path)
            .unwrap();
        assert_eq!(look(), None);
        let opened = path.metadata().unwrap().ctime();
        let deadline = Instant::now() + Duration::from_secs(60);
        let typed = loop {
            keyboard.write_all(b"x\n").unwrap();
            let mut line = [0; 2];
            program.read_exact(&mut line).unwrap();
            if let Some(typed) = look() {
                break typed;
            }
            assert!(Instant::now() < deadline, "the time never moved");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(typed > opened && typed <= opened + 60, "{typed} {opened}");
    }
}
