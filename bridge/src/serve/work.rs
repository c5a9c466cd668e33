//! What has to be done after a start: the repository, then the editor.

use std::sync::Arc;

use kalpana_protocol::bridge::{Phase, PhaseName};
use tokio::sync::watch;

use super::editor::{self, Health};
use super::link::Link;
use super::{Shared, clone};
use crate::clock;

/// Brings the workspace up and keeps the editor running.
///
/// The editor starts while the repository is still being cloned, because both take their time; it
/// is shown to nobody before the clone is whole, and ended if there will be none.
pub(super) async fn run(shared: Arc<Shared>, link: Link) {
    let (sender, mut health) = watch::channel(Health::Starting);
    let keeper = tokio::spawn({
        let (shared, link) = (Arc::clone(&shared), link.clone());
        async move { editor::keep(&shared, &link, &sender).await }
    });
    if !clone::ensure(&shared, &link).await {
        keeper.abort();
        // Until it has let go, it could start the editor once more.
        let _ = keeper.await;
        editor::stop(&link).await;
        return;
    }
    loop {
        let state = health.borrow_and_update().clone();
        shared
            .is_editor_ready
            .send_replace(state == Health::Healthy);
        let now = clock::now();
        shared.events.phase(match state {
            Health::Starting => Phase::running(PhaseName::Editor, now),
            Health::Healthy => Phase::done(PhaseName::Editor, now),
            Health::Broken { code, message } => {
                Phase::failed(PhaseName::Editor, now, code, message)
            }
        });
        if health.changed().await.is_err() {
            return;
        }
    }
}
