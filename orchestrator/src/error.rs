//! Why the orchestrator could not start. Once it runs, it copes.

use kalpana_link::listener::BindError;

use crate::keys::NodeKeyError;

/// Why the orchestrator could not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names something impossible.
    #[error("orchestrator.{field} is {value:?}: {reason}")]
    Configuration {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
    /// The node key could not be read or made.
    #[error(transparent)]
    NodeKey(#[from] NodeKeyError),
    /// The directory that is shared with containers could not be made.
    #[error(
        "cannot prepare the run directory; check that server.run_dir is writable for this user"
    )]
    RunDirectory(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory of snapshots could not be made.
    #[error(
        "cannot prepare the directory of snapshots; check that orchestrator.snapshot_dir is writable \
         for this user"
    )]
    Snapshots(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory of figures could not be made.
    #[error(
        "cannot prepare the directory of figures; check that orchestrator.figures_dir is writable for \
         this user"
    )]
    Figures(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The internal socket could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store did not answer.
    #[error("the store does not answer; check store.path, and that `kalpana web` has started")]
    Store(#[from] kalpana_store::StoreError),
    /// Metrics were registered twice.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}
