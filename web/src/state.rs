//! What handlers may reach.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use kalpana_auth::Accounts;
use kalpana_auth::ticket::TicketSigner;
use kalpana_config::{Site, Web};
use kalpana_domain::clock::Clock;
use kalpana_domain::workspace::Egress;
use kalpana_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::Gateway;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::orchestrator::Orchestrator;
use crate::outlet::Slots;
use crate::sessions::Sessions;
use crate::sharing::Sharing;

/// What handlers may reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Parts>);

/// The parts of the state.
pub(crate) struct Parts {
    /// The site's names.
    pub(crate) site: Site,
    /// Our section of the configuration.
    pub(crate) config: Web,
    /// What workspaces may reach unless asked otherwise.
    pub(crate) egress_default: Egress,
    /// How long a deleted workspace can be restored.
    pub(crate) trash_retention: Duration,
    /// What is remembered.
    pub(crate) store: Store,
    /// Whether it answered when it was last asked, seconds ago.
    pub(crate) is_store_up: AtomicBool,
    /// Who is who.
    pub(crate) accounts: Accounts,
    /// What signs the way to a workspace.
    pub(crate) tickets: TicketSigner,
    /// Who must hear of ended sessions.
    pub(crate) sessions: Sessions,
    /// How ports are shared.
    pub(crate) sharing: Sharing,
    /// Who may change workspaces.
    pub(crate) orchestrator: Orchestrator,
    /// Who has the certificates.
    pub(crate) gateway: Gateway,
    /// What changes while people look.
    pub(crate) live: Arc<Live>,
    /// How many may look at once.
    pub(crate) slots: Slots,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The API's description, as it is served.
    pub(crate) openapi: Bytes,
    /// Tasks that outlive their request.
    pub(crate) tasks: TaskTracker,
    /// When to end.
    pub(crate) shutdown: CancellationToken,
}

impl AppState {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
