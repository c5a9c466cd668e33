//! One child process: its log lines, its readiness, its end.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use super::Launch;
use super::upgrade::Outcome;
use crate::role::Role;
use crate::telemetry::LogFormat;

/// Longest log line passed on, in bytes; the rest of a longer one follows as further lines.
const LINE_LIMIT: usize = 64 << 10;

/// Says that a child's process is a child of ours, and of which process.
pub(crate) const SUPERVISOR_VARIABLE: &str = "KALPANA_SUPERVISOR_PID";

/// Name of the line by which web tells us the setup link, beside systemd's own lines.
pub(crate) const SETUP_LINK_LINE: &str = "X_KALPANA_SETUP_LINK";

/// Says that a gateway is to take over from the one that runs.
pub(crate) const TAKE_OVER_VARIABLE: &str = "KALPANA_TAKE_OVER";

/// Tells one process of a role from the next.
pub(super) type Number = u64;

/// Something that happened to a role.
#[derive(Debug)]
pub(super) enum Event {
    /// This process of it can do its work.
    Ready(Role, Number),
    /// It told the link that makes the first administrator.
    SetupLink(String),
    /// This process of it ended.
    Exited(Role, Number, ExitStatus),
    /// Its wait is over.
    Restart(Role),
    /// Somebody asks for a new gateway in place of the one that runs.
    Upgrade(oneshot::Sender<Outcome>),
    /// This process should have been ready by now.
    Overdue(Number),
}

/// A living child. Dropping this kills it.
#[derive(Debug)]
pub(super) struct Child {
    /// Which process of its role it is.
    pub(super) number: Number,
    orders: mpsc::UnboundedSender<Signal>,
}

impl Child {
    /// Starts a role's process.
    ///
    /// # Errors
    /// If the process or its readiness socket cannot be made.
    pub(super) fn spawn(
        role: Role,
        launch: &Launch,
        events: mpsc::Sender<Event>,
        takes_over: bool,
    ) -> anyhow::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let notify = launch.run_dir.join(format!("notify-{role}-{number}.sock"));
        let readiness = bind_readiness(&notify)?;
        let mut command = Command::new(&launch.executable);
        command
            .arg(role.name())
            .args(&launch.arguments)
            .env(
                "KALPANA_TELEMETRY__LOG_FORMAT",
                launch.log_format.as_setting(),
            )
            .env("NOTIFY_SOCKET", &notify)
            .env(SUPERVISOR_VARIABLE, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group: Ctrl-C in the terminal reaches us alone, and we stop it in order.
            .process_group(0)
            .kill_on_drop(true);
        if takes_over {
            command.env(TAKE_OVER_VARIABLE, "1");
        }
        if let Some(token) = &launch.token {
            command.env(kalpana_link::InternalToken::VARIABLE, token.expose());
        }
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot start the {role} process"))?;
        let format = launch.log_format;
        if let Some(stdout) = process.stdout.take() {
            tokio::spawn(relay_lines(role, format, stdout));
        }
        let stderr = process.stderr.take();
        let listening = tokio::spawn(listen(role, number, readiness, events.clone()));
        let (orders, mut ordered) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let relay = stderr.map(|stderr| tokio::spawn(relay_lines(role, format, stderr)));
            let status = loop {
                tokio::select! {
                    status = process.wait() => break status,
                    order = ordered.recv() => {
                        // Still unreaped, so the pid is still its own.
                        let Some(pid) = process.id().and_then(|pid| i32::try_from(pid).ok()) else {
                            continue;
                        };
                        let _ = kill(Pid::from_raw(pid), order.unwrap_or(Signal::SIGKILL));
                    }
                }
            };
            // The last lines first: they say why it ended.
            if let Some(relay) = relay {
                let _ = tokio::time::timeout(std::time::Duration::from_secs(1), relay).await;
            }
            listening.abort();
            let _ = std::fs::remove_file(&notify);
            if let Ok(status) = status {
                let _ = events.send(Event::Exited(role, number, status)).await;
            }
        });
        Ok(Self { number, orders })
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        let _ = self.orders.send(Signal::SIGTERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        let _ = self.orders.send(Signal::SIGKILL);
    }
}

fn bind_readiness(path: &Path) -> anyhow::Result<UnixDatagram> {
    let _ = std::fs::remove_file(path);
    let failed = || format!("cannot make the readiness socket {}", path.display());
    let socket = UnixDatagram::bind(path).with_context(failed)?;
    // The run directory's group: the roles' users are in it.
    let mode = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(PathBuf::from(path), mode).with_context(failed)?;
    Ok(socket)
}

/// Reads what the child says of itself, in the form that systemd defined (`sd_notify(3)`).
async fn listen(role: Role, number: Number, socket: UnixDatagram, events: mpsc::Sender<Event>) {
    let mut buffer = vec![0; 8192];
    while let Ok(length) = socket.recv(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        for line in text.lines() {
            let event = match line.split_once('=') {
                Some(("READY", "1")) => Event::Ready(role, number),
                Some((SETUP_LINK_LINE, link)) => Event::SetupLink(link.to_owned()),
                _ => continue,
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

async fn relay_lines(role: Role, format: LogFormat, output: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = tokio::io::AsyncReadExt::take(&mut reader, LINE_LIMIT as u64);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = label(role, format, text.trim_end_matches(['\n', '\r']));
        // One write per line, so that lines of different roles never mix.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Says whose line it is: a prefix for people, a field for programs.
fn label(role: Role, format: LogFormat, line: &str) -> String {
    match (format, line.strip_prefix('{')) {
        (LogFormat::Json, Some(rest)) => format!("{{\"role\":\"{role}\",{rest}\n"),
        _ => format!("{role:<12} | {line}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_whose_they_are_in_both_formats() {
        assert_eq!(
            label(Role::Web, LogFormat::Text, "hello"),
            "web          | hello\n"
        );
        assert_eq!(
            label(Role::Gateway, LogFormat::Json, r#"{"level":"INFO"}"#),
            "{\"role\":\"gateway\",\"level\":\"INFO\"}\n"
        );
        assert_eq!(
            label(Role::Orchestrator, LogFormat::Json, "panicked"),
            "orchestrator | panicked\n"
        );
    }
}
