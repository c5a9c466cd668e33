//! The socket at which `kalpana up` is asked to upgrade its gateway.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::child::Event;

/// What is asked.
pub(crate) const REQUEST: &str = "upgrade gateway\n";

/// How long a caller may take to ask.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// How an upgrade ended: what to tell whoever asked for it.
pub(super) type Outcome = Result<String, String>;

/// Listens at `path`, which only our own user may open.
///
/// # Errors
/// If the socket cannot be made.
pub(super) fn listen(path: &Path, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
    let failed = || format!("cannot make the socket {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(failed)?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).with_context(failed)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, events.clone()));
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, events: mpsc::Sender<Event>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(REQUEST.len() as u64);
    let asked = tokio::time::timeout(ASK_LIMIT, limited.read_line(&mut line)).await;
    if !matches!(asked, Ok(Ok(_))) {
        return;
    }
    let outcome = if line == REQUEST {
        let (sender, outcome) = oneshot::channel();
        let _ = events.send(Event::Upgrade(sender)).await;
        outcome
            .await
            .unwrap_or_else(|_| Err("`kalpana up` is stopping".to_owned()))
    } else {
        Err("this `kalpana up` does not know what was asked; is it older?".to_owned())
    };
    let answer = match outcome {
        Ok(text) => format!("ok {text}\n"),
        Err(text) => format!("error {text}\n"),
    };
    // Whoever asked may have left.
    let _ = stream.write_all(answer.as_bytes()).await;
}
