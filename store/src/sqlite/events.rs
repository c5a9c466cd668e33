//! What other processes wrote, found by asking SQLite whether anybody wrote at all.

use futures_util::stream::{self, StreamExt};
use kalpana_domain::clock::{Clock, SystemClock};

use super::SqliteStore;
use crate::error::StoreResult;
use crate::events::{EventStream, StoreEvent, Told};
use crate::repository::{Events, Sessions};

impl Events for SqliteStore {
    fn events(&self) -> EventStream {
        let looker = Looker {
            store: self.clone(),
            seen_change: None,
            seen_sharing: None,
            told: Told::since(SystemClock.now()),
        };
        let interval = self.poll_interval;
        stream::unfold(looker, move |mut looker| async move {
            loop {
                tokio::time::sleep(interval).await;
                // A store that does not answer now is asked again; nothing is forgotten meanwhile.
                match looker.look().await {
                    Ok(news) if news.is_empty() => {}
                    Ok(news) => return Some((stream::iter(news), looker)),
                    Err(error) => tracing::debug!(%error, "could not look for news: {error}"),
                }
            }
        })
        .flatten()
        .boxed()
    }
}

struct Looker {
    store: SqliteStore,
    seen_change: Option<i64>,
    seen_sharing: Option<(u64, u64, i64)>,
    told: Told,
}

impl Looker {
    async fn look(&mut self) -> StoreResult<Vec<StoreEvent>> {
        let change = self.store.change_counter().await?;
        if self.seen_change == Some(change) {
            return Ok(Vec::new());
        }
        let ended = self.store.ended_sessions(self.told.start()).await?;
        let sharing = self.store.sharing_mark().await?;
        self.seen_change = Some(change);
        let mut news = self.told.new_among(ended, SystemClock.now());
        if self.seen_sharing.replace(sharing) != Some(sharing) {
            news.push(StoreEvent::SharingChanged);
        }
        Ok(news)
    }
}

impl SqliteStore {
    /// Returns a number that differs after any write to the file, by any process.
    async fn change_counter(&self) -> StoreResult<i64> {
        // Audit events come with all that is told of; their last number is in the index's last page.
        self.read(|connection| {
            let last: Option<i64> =
                connection.query_row("SELECT max(sequence) FROM audit_events", [], |row| {
                    row.get(0)
                })?;
            Ok(last.unwrap_or(0))
        })
        .await
    }
}
