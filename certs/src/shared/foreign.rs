//! The answers of orders that other gateways run: an authority may ask any of us.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{CERTIFICATES, Shared, id_of, name_of, read, write};
use crate::shelf::ShelfError;

/// Shortest time between two looks at what others answer, however many ask: tokens are guessed by
/// anybody.
const PAUSE: Duration = Duration::from_millis(200);

/// An answer that an authority may ask any gateway for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SharedAnswer {
    /// What stands at a path of HTTP-01.
    Http {
        /// The end of the path.
        token: String,
        /// What is there.
        text: String,
    },
    /// What a certificate of TLS-ALPN-01 has in it.
    Tls {
        /// The host.
        host: String,
        /// SHA-256 of the key authorization.
        digest: Vec<u8>,
    },
}

/// What others answer, as it was when somebody last asked.
pub(crate) struct Foreign {
    shared: Arc<Shared>,
    looked: tokio::sync::Mutex<Option<Instant>>,
    answers: Mutex<HashMap<String, SharedAnswer>>,
}

impl Foreign {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            looked: tokio::sync::Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Returns another gateway's answer for a token, or for a host.
    pub(crate) async fn find(&self, key: &str) -> Option<SharedAnswer> {
        self.look().await;
        let answers = self.answers.lock().expect("no holder panics");
        answers.get(key).cloned()
    }

    /// Reads what others answer; a look that began after this was called is as good.
    async fn look(&self) {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|began| began >= asked) {
            return;
        }
        if let Some(before) = *looked {
            tokio::time::sleep_until(before + PAUSE).await;
        }
        *looked = Some(Instant::now());
        match self.shared.answers().await {
            Ok(answers) => *self.answers.lock().expect("no holder panics") = answers,
            Err(error) => {
                tracing::warn!(%error, "what other gateways prove cannot be read: {error}");
            }
        }
    }
}

impl Shared {
    /// Lets the others answer for an order of ours.
    pub(crate) async fn give_answers(
        &self,
        id: &str,
        answers: &[SharedAnswer],
    ) -> Result<(), ShelfError> {
        let name = name_of(id, "answers");
        let version = self.shelf.get(&name).await?.map_or(0, |kept| kept.version);
        self.shelf
            .put(&name, version, &write(&answers))
            .await
            .map(drop)
    }

    /// Takes the answers of an order away. Those that stay prove nothing any more.
    pub(crate) async fn take_answers(&self, id: &str) {
        if let Err(error) = self.take_away(&name_of(id, "answers")).await {
            tracing::debug!(%error, "could not take answers away: {error}");
        }
    }

    async fn answers(&self) -> Result<HashMap<String, SharedAnswer>, ShelfError> {
        let mut all = HashMap::new();
        for (name, _) in self.shelf.list(CERTIFICATES).await? {
            if id_of(&name, "answers").is_none() {
                continue;
            }
            let kept = self.shelf.get(&name).await?;
            let answers: Option<Vec<SharedAnswer>> = kept.and_then(|kept| read(&kept.contents));
            for answer in answers.unwrap_or_default() {
                let key = match &answer {
                    SharedAnswer::Http { token, .. } => token.clone(),
                    SharedAnswer::Tls { host, .. } => host.clone(),
                };
                all.insert(key, answer);
            }
        }
        Ok(all)
    }
}
