//! Signals: the first asks for a clean stop, the second ends at once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two signals that ask a process to stop.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Starts listening for them.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Returns a token that the first signal cancels; the second ends the process with code 130.
///
/// # Errors
/// If the system refuses to deliver signals.
pub(crate) fn shutdown_on_signal() -> anyhow::Result<CancellationToken> {
    let mut signals = StopSignals::listen()?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping");
        token.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(shutdown)
}
