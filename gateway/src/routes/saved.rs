//! The table on disk, for a start while the orchestrator is away.
//!
//! It is written soon after it changed, as a whole and atomically, and sealed: it holds the keys to
//! workspaces, and a file that anybody else had changed must open nothing. What it says may be old.
//! That costs little: a bridge refuses the key of an earlier generation, a session of one opens
//! nothing, and which sessions have ended and what is shared is heard of `web`, without whom nothing
//! is served at all.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Route, Routes};
use crate::seal::Seal;

/// What a sealed table is bound to.
const FORM: &[u8] = b"kalpana routes 1";

/// A table older than this is not used: whoever has been away for so long waits to be told.
const MAXIMUM_AGE: Duration = Duration::from_secs(7 * 86_400);

/// Shortest time between two writes, and how many times longer than writing the pause is at least:
/// a large table is written less often.
const PAUSE: (Duration, u32) = (Duration::from_secs(2), 100);

/// Keeps the table in a file.
#[derive(Clone)]
pub struct Keeper {
    path: PathBuf,
    seal: Seal,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keeper")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Table<R> {
    /// Unit: seconds since the epoch.
    saved_at: i64,
    routes: R,
}

/// The file holds no table that can be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it was not sealed with this gateway's key, or has been changed since")]
    Forged,
    #[error("it is of another version")]
    Form(#[from] rmp_serde::decode::Error),
    #[error("it is older than a week")]
    Old,
}

impl Keeper {
    /// Keeps the table at `path`, sealed by `seal`.
    pub fn new(path: PathBuf, seal: Seal, clock: Arc<dyn Clock>) -> Self {
        Self { path, seal, clock }
    }

    /// Fills `routes` with what was kept, if anything was.
    pub fn recall(&self, routes: &Routes) {
        match self.read() {
            Ok(table) => {
                let count = table.routes.len();
                tracing::info!(
                    "until the orchestrator is heard, {count} routes are those of {}",
                    Timestamp::from_second(table.saved_at).unwrap_or_default()
                );
                routes.recall(table.routes);
            }
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                "no workspace is served until the orchestrator is heard: the routes in {} are of no use: {error}",
                self.path.display()
            ),
        }
    }

    /// Writes the table after it changed, until `until`, and a last time then unless `left`: the
    /// process that took over keeps it from then on.
    pub async fn keep(
        &self,
        routes: &Arc<Routes>,
        until: &CancellationToken,
        left: &CancellationToken,
    ) {
        while !until.is_cancelled() && !left.is_cancelled() {
            tokio::select! {
                biased;
                () = routes.changed.notified() => {}
                () = left.cancelled() => return,
                () = until.cancelled() => return,
            }
            let began = Instant::now();
            self.write(Arc::clone(routes)).await;
            let pause = PAUSE.0.max(began.elapsed() * PAUSE.1);
            tokio::select! {
                () = left.cancelled() => return,
                () = until.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if until.is_cancelled()
                && tokio::time::timeout(Duration::ZERO, routes.changed.notified())
                    .await
                    .is_ok()
            {
                self.write(Arc::clone(routes)).await;
            }
        }
    }

    async fn write(&self, routes: Arc<Routes>) {
        let keeper = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let written = keeper.write_now(&routes);
            (written, routes)
        });
        let Ok((written, routes)) = written.await else {
            return;
        };
        if let Err(error) = written {
            // Tried again after the pause.
            routes.changed.notify_one();
            tracing::warn!(
                "the routes could not be kept in {}, so a gateway that starts while the orchestrator is away would know older ones or none: {error}",
                self.path.display()
            );
        }
    }

    fn write_now(&self, routes: &Routes) -> io::Result<()> {
        let routes: Vec<Arc<Route>> = routes
            .table
            .iter()
            .map(|entry| Arc::clone(&entry))
            .collect();
        let saved_at = self.clock.now().as_second();
        let table = rmp_serde::to_vec(&Table { saved_at, routes }).map_err(io::Error::other)?;
        let sealed = self.seal.seal(FORM, table);
        let sealed = sealed.map_err(|_| io::Error::other("sealing failed"))?;
        replace(&self.path, &sealed)
    }

    fn read(&self) -> Result<Table<Vec<Route>>, Unusable> {
        let file = fs::read(&self.path)?;
        let table = self.seal.open(FORM, &file);
        let table: Table<Vec<Route>> = rmp_serde::from_slice(&table.ok_or(Unusable::Forged)?)?;
        let age = self.clock.now().as_second().saturating_sub(table.saved_at);
        if u64::try_from(age).is_ok_and(|age| age > MAXIMUM_AGE.as_secs()) {
            return Err(Unusable::Old);
        }
        Ok(table)
    }
}

/// Replaces a file as a whole; after a crash there is the old one or the new one. Only we may read
/// it.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(".routes-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::NONCE_LEN;
    use kalpana_domain::clock::ManualClock;
    use kalpana_domain::id::{Generation, UserId, WorkspaceId};

    use super::super::Target;
    use super::super::tests::routes;
    use super::*;

    struct Kept {
        keeper: Keeper,
        clock: Arc<ManualClock>,
        _directory: tempfile::TempDir,
    }

    fn kept() -> Kept {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let path = directory.path().join("routes.sealed");
        let keeper = Keeper::new(
            path,
            Seal::new(vec![[1; 32], [2; 32]]),
            Arc::clone(&clock) as _,
        );
        let routes = routes();
        routes.recall(vec![Route {
            workspace: WorkspaceId::parse("abcdefghij01").unwrap(),
            owner: UserId::from_bytes([1; 16]),
            generation: Generation(3),
            assets: None,
            target: Target::Failed {
                message: "no space left".into(),
            },
        }]);
        keeper.write_now(&routes).unwrap();
        Kept {
            keeper,
            clock,
            _directory: directory,
        }
    }

    fn recalled(keeper: &Keeper) -> Option<Arc<Route>> {
        let routes = routes();
        keeper.recall(&routes);
        let found = routes.find(WorkspaceId::parse("abcdefghij01").unwrap());
        assert_eq!(found.is_some(), routes.is_known());
        found
    }

    #[test]
    fn what_was_kept_is_recalled_for_a_week() {
        let kept = kept();
        let route = recalled(&kept.keeper).unwrap();
        assert_eq!(route.generation, Generation(3));
        let another = Keeper {
            seal: Seal::new(vec![[9; 32], [1; 32]]),
            ..kept.keeper.clone()
        };
        assert!(recalled(&another).is_some(), "by the key before");
        kept.clock.advance(MAXIMUM_AGE.try_into().unwrap());
        assert!(recalled(&kept.keeper).is_some());
        kept.clock.advance(jiff::SignedDuration::from_secs(1));
        assert!(recalled(&kept.keeper).is_none());
    }

    #[test]
    fn a_file_that_was_changed_cut_or_sealed_by_others_is_not_used() {
        let kept = kept();
        let path = kept.keeper.path.clone();
        let whole = fs::read(&path).unwrap();
        for position in [0, NONCE_LEN, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(recalled(&kept.keeper).is_none(), "byte {position}");
        }
        for length in [0, 5, NONCE_LEN, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(recalled(&kept.keeper).is_none(), "{length} bytes");
        }
        fs::write(&path, &whole).unwrap();
        let stranger = Keeper {
            seal: Seal::new(vec![[9; 32]]),
            ..kept.keeper.clone()
        };
        assert!(recalled(&stranger).is_none());
        assert!(recalled(&kept.keeper).is_some());
    }

    #[test]
    fn only_the_gateway_may_read_the_file() {
        let kept = kept();
        kept.keeper.write_now(&routes()).unwrap();
        let mode = fs::metadata(&kept.keeper.path)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
