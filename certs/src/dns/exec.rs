//! A program of the operator's own.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use kalpana_config::section::certs::dns::Exec;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{DnsError, Provider};

/// Most of what a program says that is listened to. Unit: bytes.
const WORDS: u64 = 64 << 10;

/// Runs a program to set and clear records.
#[derive(Debug)]
pub(super) struct Program {
    command: Vec<String>,
    timeout: Duration,
}

impl Program {
    pub(super) fn new(config: &Exec) -> Self {
        Self {
            command: config.command.clone(),
            timeout: config.timeout.0,
        }
    }

    async fn run(&self, what: &str, name: &str, value: &str) -> Result<(), DnsError> {
        let provider = || self.command.first().cloned().unwrap_or_default();
        let refused = |why: String| DnsError::Refused {
            provider: provider(),
            name: name.to_owned(),
            why,
        };
        let unreachable = |why: String| DnsError::Unreachable {
            provider: provider(),
            why,
        };
        // No shell, nothing of our environment but the path, and a group of its own to end.
        let mut child = Command::new(provider())
            .args(self.command.iter().skip(1))
            .args([what, name, value])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unreachable(error.to_string()))?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let stderr = child.stderr.take();
        let run = async {
            let mut words = Vec::new();
            if let Some(stderr) = stderr {
                let _ = stderr.take(WORDS).read_to_end(&mut words).await;
            }
            (child.wait().await, words)
        };
        let Ok((status, words)) = tokio::time::timeout(self.timeout, run).await else {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let seconds = self.timeout.as_secs();
            return Err(refused(format!("it ran for more than {seconds} s")));
        };
        let status = status.map_err(|error| unreachable(error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&words);
        let last = words.lines().rev().find(|line| !line.trim().is_empty());
        let last: String = last
            .unwrap_or("it says nothing")
            .chars()
            .take(200)
            .collect();
        Err(refused(format!("{status}: {last}")))
    }
}

#[async_trait]
impl Provider for Program {
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.run("set", name, value).await
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.run("clear", name, value).await
    }
}
