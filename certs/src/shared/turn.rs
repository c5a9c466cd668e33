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

/// How often gateways look at what others did, and speak while they order.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often it is looked what others ordered.
    pub look: Duration,
    /// How often whoever has a turn says so.
    pub speak: Duration,
    /// For how long nobody must have said so before another takes the turn.
    pub silence: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(15),
            speak: Duration::from_secs(8),
            silence: Duration::from_secs(30),
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
            Some(kept) if self.waited.is_over(&name, kept.version, self.pace.silence) => {
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
            tokio::time::sleep(self.pace.speak).await;
            match tokio::time::timeout(self.pace.speak, self.say(turn)).await {
                Ok(Ok(())) => told = Instant::now(),
                Ok(Err(ShelfError::Changed | ShelfError::Foreign)) => return,
                Ok(Err(ShelfError::Away(_))) | Err(_) => {
                    if told.elapsed() + self.pace.speak * 2 > self.pace.silence {
                        return;
                    }
                }
            }
        }
    }

    /// Says that a turn is ours still.
    async fn say(&self, turn: &mut Turn) -> Result<(), ShelfError> {
        let holder = self.holder.as_bytes();
        let mut said = self.shelf.put(&turn.name, turn.version, holder).await;
        if matches!(said, Err(ShelfError::Changed)) {
            // Perhaps by ourselves, when an answer was lost.
            turn.version = self.our_version(&turn.name).await?;
            said = self.shelf.put(&turn.name, turn.version, holder).await;
        }
        turn.version = said?;
        Ok(())
    }

    /// Returns the version of a turn that is ours.
    async fn our_version(&self, name: &str) -> Result<u64, ShelfError> {
        match self.shelf.get(name).await? {
            Some(kept) if kept.contents == self.holder.as_bytes() => Ok(kept.version),
            _ => Err(ShelfError::Changed),
        }
    }

    /// Lets the next gateway have its turn at once. One that cannot be told waits.
    pub(crate) async fn end_turn(&self, turn: Turn) {
        let ended = async {
            let version = self.our_version(&turn.name).await?;
            self.shelf.remove(&turn.name, version).await
        };
        if let Err(error) = ended.await {
            tracing::debug!(%error, "could not end our turn: {error}");
        }
    }
}
