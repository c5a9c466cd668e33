//! A program of the operator's own.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use kalpana_config::section::certs::dns::Exec as Settings;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{DnsError, Provider, secret};

/// How much of what it says is kept, in bytes: the end, for the last line.
const TAIL_BYTES: usize = 8 * 1024;

/// How long something that it left running may keep its stderr open after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Exec {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

/// A program that runs. When dropped before its end, it and all that it started are killed.
struct Group(Option<Pid>);

impl Exec {
    pub(crate) fn new(settings: &Settings) -> Result<Self, DnsError> {
        let mut command = settings.command.iter().cloned();
        let program = command.next().ok_or_else(|| DnsError::Setting {
            provider: "exec",
            problem: "command names no program".to_owned(),
        })?;
        Ok(Self {
            program,
            arguments: command.collect(),
            timeout: settings.timeout.0,
        })
    }

    async fn run(&self, action: &str, name: &str, value: &str) -> Result<(), DnsError> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .args([action, name, value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        // What we were configured with is not its business.
        for (variable, _) in std::env::vars_os() {
            if variable.as_encoded_bytes().starts_with(b"KALPANA_") {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .spawn()
            .map_err(|error| self.failed(name, format!("cannot be started ({error})")))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let mut group = Group(pid.map(Pid::from_raw));
        let stderr = child.stderr.take();
        let words = tokio::spawn(async move {
            match stderr {
                Some(stderr) => tail(stderr).await,
                None => Vec::new(),
            }
        });
        let ended = tokio::time::timeout(self.timeout, child.wait()).await;
        let Ok(ended) = ended else {
            drop(group);
            let words = last_line(words).await;
            let limit = self.timeout;
            return Err(self.failed(
                name,
                with_words(format!("did not end in {limit:?}"), &words),
            ));
        };
        // Its number may be another's from now on.
        group.0 = None;
        let status = ended.map_err(|error| self.failed(name, error.to_string()))?;
        let words = last_line(words).await;
        if status.success() {
            return Ok(());
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with {code}"),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
        };
        Err(self.failed(name, with_words(how, &words)))
    }

    fn failed(&self, record: &str, said: String) -> DnsError {
        DnsError::ProgramFailed {
            program: self.program.clone(),
            record: record.to_owned(),
            said,
        }
    }
}

#[async_trait]
impl Provider for Exec {
    fn name(&self) -> &'static str {
        "the program in certs.acme.dns.exec"
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.run("set", name, value).await
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.run("clear", name, value).await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Reads to the end and keeps the last bytes.
async fn tail(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(length) = stream.read(&mut chunk).await {
        if length == 0 {
            break;
        }
        kept.extend_from_slice(&chunk[..length]);
        let surplus = kept.len().saturating_sub(TAIL_BYTES);
        kept.drain(..surplus);
    }
    kept
}

async fn last_line(words: tokio::task::JoinHandle<Vec<u8>>) -> String {
    let stop = words.abort_handle();
    let Ok(Ok(bytes)) = tokio::time::timeout(LAST_WORDS, words).await else {
        stop.abort();
        return String::new();
    };
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    secret::harmless(line.unwrap_or_default(), &[])
}

fn with_words(how: String, words: &str) -> String {
    match words {
        "" => how,
        words => format!("{how}: {words}"),
    }
}
