//! `kalpana_store_*`: what operators see of the store.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::error::{Outage, StoreError, StoreResult};

/// Bounds of the histogram, in seconds: from a row in memory to a time-out.
const BUCKETS: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0,
];

/// Counters, times and gauges of one store. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    operations: IntCounterVec,
    seconds: HistogramVec,
    breaker_open: IntGauge,
    pool: Pool,
    probe: Arc<OnceLock<Probe>>,
}

/// Counts connections: in use, idle.
type Probe = Box<dyn Fn() -> (usize, usize) + Send + Sync>;

/// The gauges of the connections.
#[derive(Clone)]
pub(crate) struct Pool {
    used: IntGauge,
    idle: IntGauge,
    waits_failed: IntCounter,
}

impl Pool {
    /// Changes the number of connections in use.
    pub(crate) fn used(&self, by: i64) {
        self.used.add(by);
    }

    /// Changes the number of idle connections.
    pub(crate) fn idle(&self, by: i64) {
        self.idle.add(by);
    }

    /// Notes that an idle connection was closed.
    pub(crate) fn closed(&self) {
        if self.idle.get() > 0 {
            self.idle.dec();
        }
    }

    /// Notes that an operation got no connection.
    pub(crate) fn checkout_failed(&self) {
        self.waits_failed.inc();
    }
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// `Unavailable` when the registry holds metrics of the same name.
    pub fn register(registry: &Registry) -> StoreResult<Self> {
        Self::try_register(registry).map_err(|error| StoreError::Unavailable {
            outage: Outage::Refused,
            reason: "metrics of the store cannot be registered".to_owned(),
            source: Some(Box::new(error)),
        })
    }

    fn try_register(registry: &Registry) -> prometheus::Result<Self> {
        let operations = IntCounterVec::new(
            Opts::new(
                "kalpana_store_operations_total",
                "Operations on the store, by what became of them",
            ),
            &["operation", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "kalpana_store_operation_seconds",
                "How long operations on the store took",
            )
            .buckets(BUCKETS.to_vec()),
            &["operation"],
        )?;
        let breaker_open = IntGauge::new(
            "kalpana_store_breaker_open",
            "1 while operations are refused at once because the store does not answer",
        )?;
        let connections = IntGaugeVec::new(
            Opts::new(
                "kalpana_store_connections",
                "Connections to the store, in use and idle",
            ),
            &["state"],
        )?;
        let waits_failed = IntCounter::new(
            "kalpana_store_connection_waits_failed_total",
            "Operations that got no connection",
        )?;
        registry.register(Box::new(operations.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(breaker_open.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(waits_failed.clone()))?;
        let pool = Pool {
            used: connections.with_label_values(&["used"]),
            idle: connections.with_label_values(&["idle"]),
            waits_failed,
        };
        Ok(Self {
            operations,
            seconds,
            breaker_open,
            pool,
            probe: Arc::default(),
        })
    }

    /// Returns the gauges of the connections, for a driver that tells of each.
    pub(crate) fn pool(&self) -> Pool {
        self.pool.clone()
    }

    /// Takes the numbers of connections, used and idle, from `probe` after each operation.
    pub(crate) fn watch_pool(&self, probe: impl Fn() -> (usize, usize) + Send + Sync + 'static) {
        // Set once, when the store is opened.
        let _ = self.probe.set(Box::new(probe));
    }

    /// Counts an operation and, unless it was refused at once, how long it took.
    pub(super) fn observe(
        &self,
        operation: &'static str,
        outcome: &'static str,
        took: Option<Duration>,
    ) {
        self.operations
            .with_label_values(&[operation, outcome])
            .inc();
        if let Some(took) = took {
            self.seconds
                .with_label_values(&[operation])
                .observe(took.as_secs_f64());
        }
        if let Some(probe) = self.probe.get() {
            let (used, idle) = probe();
            let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.pool.used.set(gauge(used));
            self.pool.idle.set(gauge(idle));
        }
    }

    /// Notes the breaker's position.
    pub(super) fn breaker(&self, is_open: bool) {
        self.breaker_open.set(i64::from(is_open));
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}
