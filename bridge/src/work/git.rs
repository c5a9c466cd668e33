//! Runs Git in one repository: briefly, quietly, and with nothing of ours around it.
//!
//! The repository belongs to the workspace's user, and so does its configuration, which names
//! programs for Git to run. They run with that user's rights, as Git itself does; what is taken from
//! Git here is time, output, and whatever could change the repository or reach the network.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long one Git may take.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of its output that are read.
pub const OUTPUT_LIMIT: usize = 1 << 20;

/// Bytes of its complaints that are kept.
const COMPLAINT_LIMIT: usize = 4 << 10;

/// What Git must not do, whatever the repository says.
const OPTIONS: &[&str] = &[
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
];

/// Git's environment, besides [`INHERITED`].
const ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ASKPASS", "/bin/false"),
    // Its complaints are shown in the language of all other messages.
    ("LC_ALL", "C"),
    ("LANGUAGE", "C"),
];

/// Variables of ours that Git sees too.
const INHERITED: &[&str] = &["PATH", "HOME"];

/// Git in one repository.
#[derive(Debug, Clone, Copy)]
pub struct Git<'a> {
    /// The directory that the repository's `.git` is in.
    pub directory: &'a Path,
    /// When everything has to be over.
    pub deadline: Instant,
}

/// What Git wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The first [`OUTPUT_LIMIT`] bytes.
    pub bytes: Vec<u8>,
    /// Whether there was more. Git was ended then.
    pub is_cut: bool,
}

/// Git did not say what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It was not even started.
    #[error("there was no time left to look")]
    NoTime,
    /// It was ended.
    #[error("git took too long")]
    TooLong,
    /// It is not there, or a system call failed. The kind alone is what a person can make use of.
    #[error("git cannot be run: {}", .0.kind())]
    Run(#[source] std::io::Error),
    /// It said why.
    #[error("git failed: {complaint}")]
    Failed {
        /// What it wrote to standard error, any number of lines; not to be trusted.
        complaint: String,
    },
    /// It wrote something else.
    #[error("git answered with something unexpected")]
    Unexpected,
}

impl Git<'_> {
    /// Runs Git to its end, to the end of its time or to the end of what is read of it.
    ///
    /// # Errors
    /// [`GitError`], but not [`GitError::Unexpected`].
    pub async fn run(&self, args: &[&str]) -> Result<Output, GitError> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(GitError::NoTime);
        }
        let deadline = self.deadline.min(now + TIME_LIMIT);
        tokio::time::timeout_at(deadline, self.run_to_end(args))
            .await
            .map_err(|_| GitError::TooLong)?
    }

    /// Runs Git and returns the number that it wrote.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn count(&self, args: &[&str]) -> Result<u64, GitError> {
        let output = self.run(args).await?;
        number(&output.bytes).ok_or(GitError::Unexpected)
    }

    async fn run_to_end(&self, args: &[&str]) -> Result<Output, GitError> {
        let mut running = Running(self.command(args).spawn().map_err(GitError::Run)?);
        let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let reading = async {
            let read = read(stdout, OUTPUT_LIMIT).await;
            if read.is_cut {
                running.kill();
            }
            read
        };
        let complaining = async {
            let mut stderr = stderr;
            let read = read(stderr.as_mut(), COMPLAINT_LIMIT).await;
            if let Some(mut rest) = stderr {
                // It would wait for ever for somebody to read on.
                let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            }
            read
        };
        let (output, complaint) = tokio::join!(reading, complaining);
        let status = running.0.wait().await.map_err(GitError::Run)?;
        if !status.success() && !output.is_cut {
            let complaint = String::from_utf8_lossy(&complaint.bytes).trim().to_owned();
            let complaint = if complaint.is_empty() {
                status.to_string()
            } else {
                complaint
            };
            return Err(GitError::Failed { complaint });
        }
        Ok(output)
    }

    fn command(&self, args: &[&str]) -> Command {
        let inherited = |name: &&'static str| Some((*name, std::env::var_os(name)?));
        let environment: Vec<(&str, OsString)> = INHERITED.iter().filter_map(inherited).collect();
        let mut command = Command::new("git");
        command
            .args(["--no-optional-locks", "--no-pager", "-C"])
            .arg(self.directory)
            // Named, because Git would look further up for another one if this is broken.
            .arg("--git-dir=.git")
            .args(OPTIONS)
            .args(args)
            .env_clear()
            .envs(environment)
            .envs(ENVIRONMENT.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that it can be ended with all that it has started.
            .process_group(0);
        command
    }
}

/// A Git that is ended, with its process group, when nobody waits for it any more.
struct Running(Child);

impl Running {
    fn kill(&self) {
        // Without an id it has been waited for, and its number may be another's by now.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads a stream up to a limit; what cannot be read ends it.
async fn read(stream: Option<impl AsyncRead + Unpin>, limit_bytes: usize) -> Output {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What was read before an error counts; Git's exit status says whether it is all.
        let _ = stream
            .take(limit_bytes as u64 + 1)
            .read_to_end(&mut bytes)
            .await;
    }
    let is_cut = bytes.len() > limit_bytes;
    bytes.truncate(limit_bytes);
    Output { bytes, is_cut }
}

fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with a repository, as little of one as Git accepts.
    fn repository() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in ["objects", "refs"] {
            std::fs::create_dir_all(directory.path().join(".git").join(name)).unwrap();
        }
        std::fs::write(directory.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        directory
    }

    fn git(directory: &Path, limit: Duration) -> Git<'_> {
        Git {
            directory,
            deadline: Instant::now() + limit,
        }
    }

    /// Runs a shell script as a repository's configuration could.
    async fn script(script: &str, limit: Duration) -> Result<Output, GitError> {
        let alias = format!("alias.script=!{script}");
        let repository = repository();
        git(repository.path(), limit)
            .run(&["-c", &alias, "script"])
            .await
    }

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(number(b"12\n"), Some(12));
        for bytes in [&b""[..], b"-1\n", b"1 2\n", b"\xff"] {
            assert_eq!(number(bytes), None, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn environment_is_built_from_a_list() {
        let output = script("env", LIMIT).await.unwrap();
        let text = String::from_utf8(output.bytes).unwrap();
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .collect();
        for name in [
            "GIT_TERMINAL_PROMPT",
            "GIT_OPTIONAL_LOCKS",
            "LC_ALL",
            "PATH",
        ] {
            assert!(names.contains(&name), "{text}");
        }
        // Set by every test runner of ours.
        assert!(!names.contains(&"CARGO_MANIFEST_DIR"), "{text}");
    }

    #[tokio::test]
    async fn endless_output_is_cut_and_ended() {
        let output = script("yes", LIMIT).await.unwrap();
        assert_eq!((output.bytes.len(), output.is_cut), (OUTPUT_LIMIT, true));
    }

    #[tokio::test]
    async fn endless_complaints_are_cut_and_change_nothing_else() {
        let failed = script("yes | head -c 9000000 >&2; exit 3", LIMIT).await;
        let Err(GitError::Failed { complaint }) = failed else {
            panic!("{failed:?}");
        };
        assert!(complaint.len() <= COMPLAINT_LIMIT);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let late = script("sleep 600", Duration::from_millis(50)).await;
        assert!(matches!(late, Err(GitError::TooLong)), "{late:?}");
    }

    #[tokio::test]
    async fn what_is_given_up_is_ended_with_all_that_it_has_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let patient = format!("sleep 600 & echo $! >{}; wait", file.display());
        let started = async {
            loop {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                if let Some(pid) = text.strip_suffix('\n') {
                    return pid.to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        let sleeper = tokio::select! {
            outcome = script(&patient, LIMIT) => panic!("{outcome:?}"),
            sleeper = started => sleeper,
        };
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{sleeper}/stat"));
            // A dead one stays until somebody has waited for it.
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let ending = async {
            while is_alive() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, ending).await.unwrap();
    }

    #[tokio::test]
    async fn broken_repository_is_not_mistaken_for_the_one_around_it() {
        let outer = repository();
        let inner = outer.path().join("inner");
        std::fs::create_dir_all(inner.join(".git")).unwrap();
        let failed = git(&inner, LIMIT).run(&["remote"]).await;
        let Err(GitError::Failed { complaint }) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(complaint, "fatal: not a git repository: '.git'");
        let good = git(outer.path(), LIMIT).run(&["remote"]).await.unwrap();
        assert_eq!(good.bytes, b"");
    }

    #[tokio::test]
    async fn nothing_is_started_when_the_time_is_over() {
        let late = git(Path::new("/"), Duration::ZERO).run(&["remote"]).await;
        assert!(matches!(late, Err(GitError::NoTime)), "{late:?}");
    }
}
