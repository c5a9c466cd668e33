//! Speaks to the kernel's packet filter through `nft`: its program is found at fixed places, run
//! without a shell and without an environment, and held to a time and to so much output.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::rules::TABLE;

/// Where distributions put it.
const PLACES: [&str; 4] = [
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/bin/nft",
    "/usr/local/sbin/nft",
];

/// How long one call may take. Each is a transaction of the kernel, which is quick or waits for others.
const LIMIT: Duration = Duration::from_secs(10);

/// Longest listing that is read: what some ten thousand workspaces would have. Unit: bytes.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// Longest complaint that is read. Unit: bytes.
const COMPLAINT_LIMIT: u64 = 4 << 10;

/// Why the packet filter could not be asked or told something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// The program is not on this machine.
    #[error("there is no nft on this machine")]
    Missing,
    /// The kernel lets this process neither see nor change it.
    #[error("this process may not change the packet filter")]
    Forbidden,
    /// The kernel or the program refused, and said why.
    #[error("nft refused: {complaint}")]
    Refused {
        /// What it said, in one line.
        complaint: String,
    },
    /// It did not end in time.
    #[error("nft did not end in time")]
    TimedOut,
    /// It printed more than is read.
    #[error("nft printed more than {OUTPUT_LIMIT} bytes")]
    TooLong,
    /// It could not be run or heard.
    #[error("nft cannot be run")]
    Io(#[from] io::Error),
}

/// The packet filter of the network namespace that this process is in.
#[async_trait]
pub(crate) trait Filter: std::fmt::Debug + Send + Sync {
    /// Returns our table as JSON, or `None` when there is none.
    async fn list(&self) -> Result<Option<String>, FilterError>;
    /// Carries out a script: all of it, or nothing.
    async fn apply(&self, script: &str) -> Result<(), FilterError>;
    /// Tells whether there is an interface of that name.
    fn has_interface(&self, name: &str) -> bool;
}

/// The kernel's, by way of `nft`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nft;

#[async_trait]
impl Filter for Nft {
    async fn list(&self) -> Result<Option<String>, FilterError> {
        let [family, table] = TABLE;
        match run(&["-j", "list", "table", family, table], "").await {
            Ok(text) => Ok(Some(text)),
            Err(FilterError::Refused { complaint }) if is_no_table(&complaint) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, script: &str) -> Result<(), FilterError> {
        run(&["-f", "-"], script).await.map(drop)
    }

    fn has_interface(&self, name: &str) -> bool {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        );
        socket.is_ok_and(|socket| rustix::net::netdevice::name_to_index(socket, name).is_ok())
    }
}

/// Returns where `nft` is.
fn program() -> Result<PathBuf, FilterError> {
    let found = PLACES.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_owned).ok_or(FilterError::Missing)
}

async fn run(arguments: &[&str], input: &str) -> Result<String, FilterError> {
    let mut command = Command::new(program()?);
    command
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    tokio::time::timeout(LIMIT, converse(command, input))
        .await
        .unwrap_or(Err(FilterError::TimedOut))
}

async fn converse(mut command: Command, input: &str) -> Result<String, FilterError> {
    let mut child = command.spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    };
    let told = async move {
        // Who does not read to the end says why when it ends.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        Ok(())
    };
    let ((), output, complaint) = tokio::try_join!(
        told,
        read(stdout, OUTPUT_LIMIT + 1),
        read(stderr, COMPLAINT_LIMIT)
    )?;
    if output.len() as u64 > OUTPUT_LIMIT {
        return Err(FilterError::TooLong);
    }
    if child.wait().await?.success() {
        return Ok(String::from_utf8_lossy(&output).into_owned());
    }
    Err(refusal(&String::from_utf8_lossy(&complaint)))
}

async fn read(from: impl AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn refusal(complaint: &str) -> FilterError {
    if complaint.contains("Operation not permitted") {
        return FilterError::Forbidden;
    }
    let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
    FilterError::Refused { complaint }
}

fn is_no_table(complaint: &str) -> bool {
    complaint.contains("No such file or directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_is_told_from_who_asked_for_something_impossible() {
        let forbidden = "Operation not permitted (you must be root)\nnetlink: Error: cache \
                         initialization failed: Operation not permitted\n";
        assert!(matches!(refusal(forbidden), FilterError::Forbidden));
        let missing = "Error: No such file or directory\nlist table inet kalpana\n     ^^^^^^^\n";
        let FilterError::Refused { complaint } = refusal(missing) else {
            panic!("refused")
        };
        assert!(is_no_table(&complaint));
        assert!(!complaint.contains('\n'));
    }

    #[tokio::test]
    async fn a_program_that_prints_without_end_is_not_heard_out() {
        let mut command = Command::new("/usr/bin/yes");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let result = converse(command, "").await;
        assert!(matches!(result, Err(FilterError::TooLong)), "{result:?}");
    }
}
