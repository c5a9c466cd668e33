//! What is written, from a change stream; by looking again and again where the deployment has none.

use futures_util::stream::{self, StreamExt};
use kalpana_domain::Timestamp;
use kalpana_domain::clock::{Clock, SystemClock};
use mongodb::bson::{Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::FullDocumentType;

use super::failure::{code, code_of};
use super::{MongoStore, gate, name, sessions};
use crate::error::StoreResult;
use crate::events::{EventStream, StoreEvent, Told};
use crate::repository::{Events, Sessions};

type Changes = ChangeStream<ChangeStreamEvent<Document>>;

impl Events for MongoStore {
    fn events(&self) -> EventStream {
        let watcher = Watcher {
            store: self.clone(),
            way: Way::Connecting,
            is_away: false,
        };
        stream::unfold(watcher, |mut watcher| async move {
            loop {
                let news = watcher.next().await;
                if !news.is_empty() {
                    return Some((stream::iter(news), watcher));
                }
            }
        })
        .flatten()
        .boxed()
    }
}

struct Watcher {
    store: MongoStore,
    way: Way,
    /// Whether the last try to connect failed, so that it is logged once.
    is_away: bool,
}

enum Way {
    Connecting,
    Following(Box<Followed>),
    Looking(Box<Looked>),
}

/// What is followed.
struct Followed {
    sessions: Changes,
    ports: Changes,
}

/// What was seen when it was last looked.
struct Looked {
    told: Told,
    writes: Option<i64>,
    sharing: Option<(usize, u64, i64)>,
}

impl Watcher {
    /// Returns what comes next; nothing when it is worth asking again.
    async fn next(&mut self) -> Vec<StoreEvent> {
        match &mut self.way {
            Way::Connecting => self.connect().await,
            Way::Following(followed) => match followed.next().await {
                Some(news) => news,
                // The driver has tried to resume already.
                None => {
                    self.way = Way::Connecting;
                    Vec::new()
                }
            },
            Way::Looking(looked) => {
                tokio::time::sleep(self.store.poll_interval).await;
                match look(&self.store, looked).await {
                    Ok(news) => news,
                    Err(error) => {
                        tracing::debug!(%error, "could not look for news: {error}");
                        Vec::new()
                    }
                }
            }
        }
    }

    async fn connect(&mut self) -> Vec<StoreEvent> {
        match self.store.changes().await {
            Ok(changes) => {
                self.way = Way::Following(Box::new(changes));
                self.is_away = false;
                vec![StoreEvent::Missed]
            }
            Err(error) if is_unsupported(&error) => {
                let interval = self.store.poll_interval;
                tracing::warn!(
                    location = self.store.location,
                    "this MongoDB deployment has no change streams: what other processes write, \
                     such as a sign-out, is noticed up to {interval:?} late (store.poll_interval); \
                     a replica set of MongoDB itself has them"
                );
                self.way = Way::Looking(Box::new(Looked {
                    told: Told::since(SystemClock.now()),
                    writes: None,
                    sharing: None,
                }));
                vec![StoreEvent::Missed]
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "cannot follow what is written: {error}");
                }
                tokio::time::sleep(self.store.poll_interval).await;
                Vec::new()
            }
        }
    }
}

impl MongoStore {
    async fn changes(&self) -> Result<Followed, Error> {
        let endings = doc! { "$match": { "fullDocument.endedAt": { "$type": "date" } } };
        let sessions = self
            .collection(name::SESSIONS)
            .watch()
            .pipeline([endings])
            .full_document(FullDocumentType::UpdateLookup)
            .await?;
        let ports = self.collection(name::PORT_SHARES).watch().await?;
        Ok(Followed { sessions, ports })
    }
}

impl Followed {
    /// Returns what comes next; `None` when one of the streams has ended.
    async fn next(&mut self) -> Option<Vec<StoreEvent>> {
        tokio::select! {
            change = self.sessions.next() => Some(read(change?.ok()?).into_iter().collect()),
            change = self.ports.next() => {
                change?.ok()?;
                Some(vec![StoreEvent::SharingChanged])
            }
        }
    }
}

fn read(change: ChangeStreamEvent<Document>) -> Option<StoreEvent> {
    let record = sessions::read(change.full_document?).ok()?;
    sessions::ended(&record).map(StoreEvent::SessionEnded)
}

async fn look(store: &MongoStore, looked: &mut Looked) -> StoreResult<Vec<StoreEvent>> {
    let writes = gate::writes(store).await?;
    if looked.writes == Some(writes) {
        return Ok(Vec::new());
    }
    let now: Timestamp = SystemClock.now();
    let ended = store.ended_sessions(looked.told.start()).await?;
    let sharing = store.sharing_mark().await?;
    looked.writes = Some(writes);
    let mut news = looked.told.new_among(ended, now);
    if looked.sharing.replace(sharing) != Some(sharing) {
        news.push(StoreEvent::SharingChanged);
    }
    Ok(news)
}

/// Tells a deployment without change streams from one that does not answer now.
fn is_unsupported(error: &Error) -> bool {
    // 59 and 115 are "no such command" and "not supported" of servers that only speak the wire.
    matches!(
        code_of(error),
        Some(code::CHANGE_STREAM_ONLY_ON_REPLICA_SETS | 59 | 115)
    ) || matches!(error.kind.as_ref(), ErrorKind::IncompatibleServer { .. })
}
