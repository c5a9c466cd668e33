//! Tells `web` what happened to certificates, for the audit log, until it has it all.

use std::time::Duration;

use http::{Method, StatusCode};
use kalpana_certs::journal::Journal;
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::HAPPENED_PATH;
use tokio_util::sync::CancellationToken;

/// How long to wait after `web` did not take something.
const PAUSE: Duration = Duration::from_secs(5);

/// Tells all that is untold, and all that comes, until `until`. What `web` does not take is told
/// again later, by the next process if need be.
pub async fn report(journal: &Journal, client: &Client, until: &CancellationToken) {
    let mut was_away = false;
    loop {
        let told = tokio::select! {
            () = until.cancelled() => return,
            told = tell(journal, client) => told,
        };
        let is_away = told.is_err();
        if let Err(error) = told
            && !std::mem::replace(&mut was_away, true)
        {
            tracing::warn!(
                %error,
                "the audit log does not have yet what happened to certificates: {error}"
            );
        }
        was_away = is_away;
        tokio::select! {
            () = until.cancelled() => return,
            () = journal.written(), if !is_away => {}
            () = tokio::time::sleep(PAUSE), if is_away => {}
        }
    }
}

/// Tells everything once. What is refused for good is in the log of this machine alone.
///
/// # Errors
/// Why something has to be told again: `web` is away, or does not know such events yet.
async fn tell(journal: &Journal, client: &Client) -> Result<(), CallError> {
    let mut all = Ok(());
    for happened in journal.untold() {
        let answer: Result<(), CallError> = client
            .call(Method::POST, HAPPENED_PATH, None, Some(&happened))
            .await;
        match answer {
            Ok(()) => {}
            Err(CallError::Refused {
                status: StatusCode::BAD_REQUEST,
                ..
            }) => tracing::error!(?happened, "the audit log does not take what happened"),
            Err(error @ CallError::Refused { .. }) => {
                all = Err(error);
                continue;
            }
            Err(error) => return Err(error),
        }
        journal.told(&happened);
    }
    all
}
