//! Whose turn it is to order a certificate.
//!
//! A gateway takes a turn by writing its name, and keeps it by writing it again and again. Another
//! one takes it over when the writing has not changed for a while by its own watch: no two clocks
//! are compared.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::{Shared, name_of};
use crate::shelf::ShelfError;

/// How turns are kept.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    /// How often whoever has one says so.
    pub every: Duration,
    /// For how long nobody must have said so before another takes it.
    pub limit: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(8),
            limit: Duration::from_secs(30),
        }
    }
}

/// The turns of others that were seen: their versions, and since when.
#[derive(Debug, Default)]
pub(crate) struct Waited(Mutex<HashMap<String, (u64, Instant)>>);

impl Waited {
    /// Tells whether the turn `name` has been at `version` for longer than `limit`.
    fn is_over(&self, name: &str, version: u64, limit: Duration) -> bool {
        let mut seen = self.0.lock().expect("no holder panics");
        let now = Instant::now();
        match seen.get(name) {
            Some((known, since)) if *known == version => now.duration_since(*since) > limit,
            _ => {
                seen.insert(name.to_owned(), (version, now));
                false
            }
        }
    }

    fn forget(&self, name: &str) {
        self.0.lock().expect("no holder panics").remove(name);
    }
}

/// This gateway's turn, until it ends it or is too long without a word.
pub(crate) struct Turn {
    name: String,
    version: u64,
}

impl Shared {
    /// Takes the turn for a certificate; `None` while another gateway has it.
    pub(crate) async fn take_turn(&self, id: &str) -> Result<Option<Turn>, ShelfError> {
        let name = name_of(id, "turn");
        let version = match self.shelf.get(&name).await? {
            None => 0,
            // Ours from before a restart.
            Some(kept) if kept.contents == self.holder.as_bytes() => kept.version,
            Some(kept) if self.waited.is_over(&name, kept.version, self.turns.limit) => {
                tracing::warn!(
                    certificate = id,
                    "the gateway that was ordering the certificate for {id} says nothing any more"
                );
                kept.version
            }
            Some(_) => return Ok(None),
        };
        self.waited.forget(&name);
        match self.shelf.put(&name, version, self.holder.as_bytes()).await {
            Ok(version) => Ok(Some(Turn { name, version })),
            Err(ShelfError::Changed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a turn until it is lost: because another gateway took it, or because ours could not be
    /// told for so long that another may.
    pub(crate) async fn keep_turn(&self, turn: &mut Turn) {
        let mut told = Instant::now();
        loop {
            tokio::time::sleep(self.turns.every).await;
            let put = self
                .shelf
                .put(&turn.name, turn.version, self.holder.as_bytes());
            match tokio::time::timeout(self.turns.every, put).await {
                Ok(Ok(version)) => {
                    turn.version = version;
                    told = Instant::now();
                }
                Ok(Err(ShelfError::Changed | ShelfError::Foreign)) => return,
                Ok(Err(ShelfError::Away(_))) | Err(_) => {
                    if told.elapsed() + self.turns.every * 2 > self.turns.limit {
                        return;
                    }
                }
            }
        }
    }

    /// Lets the next gateway have its turn at once. One that cannot be told waits.
    pub(crate) async fn end_turn(&self, turn: Turn) {
        let removed = self.shelf.remove(&turn.name, turn.version).await;
        if let Err(error) = removed {
            tracing::debug!(%error, "could not end our turn: {error}");
        }
    }
}
