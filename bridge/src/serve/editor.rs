//! Keeps the editor running and finds out whether it answers.

use std::time::{Duration, Instant};

use kalpana_protocol::bridge::{LogSource, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::Shared;
use super::link::{Child, ChildEvent, Link};
use crate::backoff::Backoff;
use crate::control::{ExitStatus, Spawn, Stop};
use crate::settings::Settings;
use crate::{environment, log};

/// How long an editor may take from its start to its first answer.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long one probe may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// Short runs in a row after which the editor counts as broken. It is still started again.
const TOLERATED_FAILURES: u32 = 3;

/// How long the editor keeps a window's session after its connection broke. Each one holds an
/// extension host of more than 150 MB; the editor's own default is three hours.
const RECONNECTION_GRACE_SECONDS: u32 = 300;

const NAME: &str = "editor";

/// How the editor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It is being started, or started again.
    Starting,
    /// It answers.
    Healthy,
    /// It does not get well by itself, though it is tried on.
    Broken {
        /// One of the codes of [`Phase`].
        code: &'static str,
        /// What happened and what to do.
        message: String,
    },
}

/// Keeps the editor running for ever, and `health` up to date.
pub(super) async fn keep(shared: &Shared, link: &Link, health: &watch::Sender<Health>) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(
        Duration::from_millis(500),
        Duration::from_secs(30),
        Duration::from_secs(60),
    );
    let mut running = link.adopt(NAME).await.unwrap_or_default();
    loop {
        let started = Instant::now();
        let child = match running.take() {
            Some(child) => Ok(child),
            None => {
                // A socket that a dead editor left would be in the way of its successor.
                let _ = std::fs::remove_file(settings.editor_socket());
                link.spawn(spawn(shared)).await
            }
        };
        let ending = match child {
            Ok(mut child) => {
                let status = tokio::select! {
                    status = follow(shared, &mut child) => status,
                    never = probe(settings, health) => match never {},
                };
                format!("ended with {status}")
            }
            Err(error) => format!("could not be started: {error}"),
        };
        log::say_to_init(&format!("the editor {ending}"));
        let delay = backoff.next(started.elapsed());
        health.send_replace(if backoff.failures() < TOLERATED_FAILURES {
            Health::Starting
        } else {
            let message = format!("The editor {ending}, again and again; see the workspace's log.");
            Health::Broken {
                code: Phase::EDITOR_FAILED,
                message,
            }
        });
        tokio::time::sleep(delay).await;
    }
}

/// Ends the editor, because there will be nothing to edit.
pub(super) async fn stop(link: &Link) {
    if let Ok(Some(child)) = link.adopt(NAME).await {
        // It may have ended already.
        let _ = child.signal(Stop::Terminate).await;
    }
}

async fn follow(shared: &Shared, child: &mut Child) -> ExitStatus {
    loop {
        match child.next().await {
            ChildEvent::Output { text, .. } => shared.events.log(LogSource::Editor, text),
            ChildEvent::Exited(status) => return status,
        }
    }
}

/// Probes until the editor answers, then rests.
async fn probe(settings: &Settings, health: &watch::Sender<Health>) -> std::convert::Infallible {
    let deadline = Instant::now() + START_DEADLINE;
    let mut pause = Duration::from_millis(20);
    loop {
        let answer = tokio::time::timeout(PROBE_DEADLINE, answers(settings)).await;
        if matches!(answer, Ok(Ok(true))) {
            health.send_replace(Health::Healthy);
            return std::future::pending().await;
        }
        if Instant::now() > deadline {
            let seconds = START_DEADLINE.as_secs();
            let message = format!(
                "The editor did not answer within {seconds} seconds; give the workspace more memory or see its log."
            );
            health.send_replace(Health::Broken {
                code: Phase::EDITOR_TIMEOUT,
                message,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(250));
    }
}

/// Asks for `/healthz`, which is the one path that does not count as somebody being there.
async fn answers(settings: &Settings) -> std::io::Result<bool> {
    let mut stream = connect(settings).await?;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status == *b"HTTP/1.1 200")
}

/// Connects to the editor.
///
/// # Errors
/// If nobody listens there, or somebody else does: the directory is the workspace user's to write,
/// and root must not be led from there to a socket that only root may open.
pub(super) async fn connect(settings: &Settings) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(settings.editor_socket()).await?;
    let owner = stream.peer_cred()?.uid();
    let expected = if settings.keeps_user {
        rustix::process::geteuid().as_raw()
    } else {
        settings.launch.uid
    };
    if owner == expected {
        Ok(stream)
    } else {
        Err(std::io::Error::other(
            "the editor's socket belongs to somebody else",
        ))
    }
}

fn spawn(shared: &Shared) -> Spawn {
    let Shared { settings, user, .. } = shared;
    let mut env = environment::of_children(settings, user);
    env.insert(
        "VSCODE_PROXY_URI".to_owned(),
        settings.launch.editor.port_url_template.clone(),
    );
    Spawn {
        name: NAME.to_owned(),
        source: LogSource::Editor,
        argv: argv(settings),
        env,
        cwd: settings.root.to_string_lossy().into_owned(),
    }
}

/// Returns the editor's command line.
fn argv(settings: &Settings) -> Vec<String> {
    let socket = settings.editor_socket().to_string_lossy().into_owned();
    let grace = RECONNECTION_GRACE_SECONDS.to_string();
    let launch = &settings.launch;
    [
        settings.editor.as_str(),
        // Whoever reaches the socket was let through by the bridge, and nobody else can.
        "--auth",
        "none",
        "--socket",
        &socket,
        // Root cannot override permissions here; the directory keeps everybody else out.
        "--socket-mode",
        "0666",
        "--disable-telemetry",
        "--disable-update-check",
        // Ports have hosts of their own, and rules with them.
        "--disable-proxy",
        "--disable-getting-started-override",
        "--disable-workspace-trust",
        "--reconnection-grace-time",
        &grace,
        "--link-protection-trusted-domains",
        &launch.editor.trusted_domain,
        &launch.folder,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::test_support;

    #[test]
    fn editor_is_started_for_the_bridge_alone() {
        let settings = test_support::settings(std::path::Path::new("/base"));
        insta::assert_snapshot!(argv(&settings).join("\n"), @r"
        /nonexistent/code-server
        --auth
        none
        --socket
        /base/runtime/editor/editor.sock
        --socket-mode
        0666
        --disable-telemetry
        --disable-update-check
        --disable-proxy
        --disable-getting-started-override
        --disable-workspace-trust
        --reconnection-grace-time
        300
        --link-protection-trusted-domains
        kalpana.localhost:8443
        /base/workspace
        ");
    }
}
