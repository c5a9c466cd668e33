//! What the gateways of one site share: certificates, the account, whose turn it is to order, and
//! the answers that an authority may ask any of them for.
//!
//! ```text
//! certificates/<id>/copy      key, chain, and how it came along
//!                   /turn     which gateway orders it right now
//!                   /answers  what the authority may ask for meanwhile
//! account/<authority>         key and URL of the account
//! budget                      when certificates of single hosts were ordered
//! ```

mod foreign;
mod turn;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use kalpana_domain::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use foreign::{Foreign, SharedAnswer};
pub use turn::Pace;
pub(crate) use turn::Turn;

use crate::book::Memory;
use crate::shelf::{Shelf, ShelfError};

/// Begins the names of everything about certificates.
const CERTIFICATES: &str = "certificates/";

/// How often a list that several write is read and written again.
const TRIES: usize = 8;

/// A certificate as others may take it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Copy {
    /// Key and chain; `None` while there was never one.
    pub(crate) pem: Option<String>,
    /// How it came along.
    pub(crate) memory: Memory,
}

/// The shelf, with what this gateway has seen there.
pub(crate) struct Shared {
    shelf: Arc<dyn Shelf>,
    /// What tells this gateway from the others, the same after a restart.
    holder: String,
    pace: Pace,
    waited: turn::Waited,
    /// Since when nothing is heard of the shelf.
    away: Mutex<Option<Instant>>,
    /// The versions of copies that were taken or given, by the certificates' names.
    seen: Mutex<HashMap<String, u64>>,
}

impl Shared {
    pub(crate) fn new(shelf: Arc<dyn Shelf>, holder: String, pace: Pace) -> Self {
        Self {
            shelf,
            holder,
            pace,
            waited: turn::Waited::default(),
            away: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Returns the copies that others have written since they were last looked at.
    pub(crate) async fn news(&self) -> Result<Vec<(String, Copy)>, ShelfError> {
        let mut news = Vec::new();
        for (name, version) in self.shelf.list(CERTIFICATES).await? {
            let Some(id) = id_of(&name, "copy") else {
                continue;
            };
            if self.seen().get(id) == Some(&version) {
                continue;
            }
            if let (_, Some(copy)) = self.copy(id).await? {
                news.push((id.to_owned(), copy));
            }
        }
        Ok(news)
    }

    /// Returns the copy of a certificate, where there is one, and its version.
    pub(crate) async fn copy(&self, id: &str) -> Result<(u64, Option<Copy>), ShelfError> {
        let Some(kept) = self.shelf.get(&name_of(id, "copy")).await? else {
            return Ok((0, None));
        };
        self.seen().insert(id.to_owned(), kept.version);
        Ok((kept.version, read(&kept.contents)))
    }

    /// Gives a certificate to the others, in place of the copy that had `version`.
    pub(crate) async fn give(&self, id: &str, version: u64, copy: &Copy) -> Result<(), ShelfError> {
        let name = name_of(id, "copy");
        let version = self.shelf.put(&name, version, &write(copy)).await?;
        self.seen().insert(id.to_owned(), version);
        Ok(())
    }

    /// Takes away what is shared of a certificate, because its host is gone.
    pub(crate) async fn withdraw(&self, id: &str) -> Result<(), ShelfError> {
        for part in ["copy", "answers"] {
            self.take_away(&name_of(id, part)).await?;
        }
        Ok(())
    }

    async fn take_away(&self, name: &str) -> Result<(), ShelfError> {
        match self.shelf.get(name).await? {
            Some(kept) => self.shelf.remove(name, kept.version).await,
            None => Ok(()),
        }
    }

    /// Returns the account at an authority that another gateway opened.
    pub(crate) async fn account(&self, authority: &str) -> Result<Option<Vec<u8>>, ShelfError> {
        let kept = self.shelf.get(&format!("account/{authority}")).await?;
        Ok(kept.map(|kept| kept.contents))
    }

    /// Lets the others use an account.
    pub(crate) async fn give_account(
        &self,
        authority: &str,
        account: &[u8],
    ) -> Result<(), ShelfError> {
        let name = format!("account/{authority}");
        let version = self.shelf.get(&name).await?.map_or(0, |kept| kept.version);
        self.shelf.put(&name, version, account).await.map(drop)
    }

    /// Adds when certificates of single hosts were ordered here, and returns when all were, since
    /// `since`.
    pub(crate) async fn spent(
        &self,
        here: &[Timestamp],
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, ShelfError> {
        for _ in 0..TRIES {
            let kept = self.shelf.get("budget").await?;
            let version = kept.as_ref().map_or(0, |kept| kept.version);
            let known: Option<Vec<Timestamp>> = kept.and_then(|kept| read(&kept.contents));
            let mut all: Vec<Timestamp> = known.unwrap_or_default();
            let ours: Vec<Timestamp> = here
                .iter()
                .copied()
                .filter(|at| !all.contains(at))
                .collect();
            all.retain(|at| *at >= since);
            if ours.is_empty() {
                return Ok(all);
            }
            all.extend(ours);
            all.sort();
            match self.shelf.put("budget", version, &write(&all)).await {
                Err(ShelfError::Changed) => {}
                other => return other.map(|_| all),
            }
        }
        Err(ShelfError::Changed)
    }

    /// Tells whether the shelf was heard of so lately that it may come back before people need to
    /// know: at a start, `web` may be there a little later than the gateway.
    pub(crate) fn may_come_back(&self, error: &ShelfError) -> bool {
        if !matches!(error, ShelfError::Away(_)) {
            return false;
        }
        let mut away = self.away.lock().expect("no holder panics");
        away.get_or_insert_with(Instant::now).elapsed() < self.pace.silence
    }

    /// Notes that the shelf was heard of. Returns whether it was away before.
    pub(crate) fn is_back(&self) -> bool {
        let was_away = self.away.lock().expect("no holder panics").take();
        was_away.is_some()
    }

    /// How often gateways look and speak.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.seen.lock().expect("no holder panics")
    }
}

fn name_of(id: &str, part: &str) -> String {
    format!("{CERTIFICATES}{id}/{part}")
}

fn id_of<'name>(name: &'name str, part: &str) -> Option<&'name str> {
    name.strip_prefix(CERTIFICATES)?
        .strip_suffix(part)?
        .strip_suffix('/')
}

fn write(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data becomes JSON")
}

/// Reads what another gateway wrote, perhaps of another version; what cannot be read is not there.
fn read<T: DeserializeOwned>(contents: &[u8]) -> Option<T> {
    serde_json::from_slice(contents)
        .inspect_err(
            |error| tracing::warn!(%error, "what a gateway shared cannot be read: {error}"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_certificate_and_what_of_it() {
        let name = name_of("_.example.test", "copy");
        assert_eq!(name, "certificates/_.example.test/copy");
        assert_eq!(id_of(&name, "copy"), Some("_.example.test"));
        assert_eq!(id_of(&name, "turn"), None);
        assert_eq!(id_of("budget", "copy"), None);
    }
}
