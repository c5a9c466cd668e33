//! What the orchestrator counts.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::snapshot::SnapshotKind;
use kalpana_protocol::orchestrator::{AwakeKind, PhaseName};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::engine::{Call, EngineError};
use crate::figures::meter::Occasion;

/// Upper bounds of the buckets for phases of a start. Unit: seconds.
const PHASE_BUCKETS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];

/// Upper bounds of the buckets for engine calls. Unit: seconds.
const CALL_BUCKETS: &[f64] = &[
    0.002, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
];

/// The orchestrator's metrics. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    workspaces: IntGaugeVec,
    phases: HistogramVec,
    calls: HistogramVec,
    engine_up: IntGauge,
    passes: IntCounterVec,
    orphans: IntCounterVec,
    volumes: IntGaugeVec,
    volumes_removed: IntCounter,
    idle_decisions: IntCounterVec,
    snapshots: IntCounterVec,
    figures_watchers: IntGauge,
    figures_readings: IntCounterVec,
    oom_kills: IntCounter,
    firewall_active: IntGauge,
    firewall_repairs: IntCounter,
}

impl Metrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// The registry's, when one of the names is taken.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            workspaces: IntGaugeVec::new(
                Opts::new("kalpana_orchestrator_workspaces", "Workspaces by state"),
                &["state"],
            )?,
            phases: HistogramVec::new(
                HistogramOpts::new(
                    "kalpana_orchestrator_start_phase_seconds",
                    "How long each phase of a start took",
                )
                .buckets(PHASE_BUCKETS.to_vec()),
                &["phase"],
            )?,
            calls: HistogramVec::new(
                HistogramOpts::new(
                    "kalpana_orchestrator_engine_calls_seconds",
                    "How long calls to the container engine took",
                )
                .buckets(CALL_BUCKETS.to_vec()),
                &["call", "outcome"],
            )?,
            engine_up: IntGauge::new(
                "kalpana_orchestrator_engine_up",
                "Whether the container engine answers: 1 or 0",
            )?,
            passes: IntCounterVec::new(
                Opts::new(
                    "kalpana_orchestrator_reconcile_passes_total",
                    "Comparisons of a workspace with what it should be",
                ),
                &["outcome"],
            )?,
            orphans: IntCounterVec::new(
                Opts::new(
                    "kalpana_orchestrator_orphans_removed_total",
                    "Containers and networks of ours that belonged to no workspace",
                ),
                &["kind"],
            )?,
            volumes: IntGaugeVec::new(
                Opts::new(
                    "kalpana_orchestrator_volumes",
                    "Volumes of workspaces: in use, of deleted workspaces, or of none that is known",
                ),
                &["kind"],
            )?,
            volumes_removed: IntCounter::new(
                "kalpana_orchestrator_volumes_removed_total",
                "Volumes of deleted workspaces that were removed for good",
            )?,
            idle_decisions: IntCounterVec::new(
                Opts::new(
                    "kalpana_orchestrator_idle_decisions_total",
                    "Looks at who is idle: what each workspace was left awake for, or what was done",
                ),
                &["reason"],
            )?,
            snapshots: IntCounterVec::new(
                Opts::new(
                    "kalpana_orchestrator_snapshots_total",
                    "Snapshots of workspaces that were taken, or could not be, by why they were",
                ),
                &["kind", "outcome"],
            )?,
            figures_watchers: IntGauge::new(
                "kalpana_orchestrator_figures_watchers",
                "Pages and programs that watch what a workspace uses",
            )?,
            figures_readings: IntCounterVec::new(
                Opts::new(
                    "kalpana_orchestrator_figures_readings_total",
                    "Readings of what a workspace uses, by whether somebody watches it or a minute has passed",
                ),
                &["occasion"],
            )?,
            oom_kills: IntCounter::new(
                "kalpana_orchestrator_oom_kills_total",
                "Processes of workspaces that the kernel ended because memory was used up",
            )?,
            firewall_active: IntGauge::new(
                "kalpana_orchestrator_firewall_active",
                "Whether the host's packet filter holds workspaces: 1 or 0",
            )?,
            firewall_repairs: IntCounter::new(
                "kalpana_orchestrator_firewall_repairs_total",
                "Times that the packet filter's table was removed or changed by somebody else and made anew",
            )?,
        };
        registry.register(Box::new(metrics.workspaces.clone()))?;
        registry.register(Box::new(metrics.phases.clone()))?;
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.engine_up.clone()))?;
        registry.register(Box::new(metrics.passes.clone()))?;
        registry.register(Box::new(metrics.orphans.clone()))?;
        registry.register(Box::new(metrics.volumes.clone()))?;
        registry.register(Box::new(metrics.volumes_removed.clone()))?;
        registry.register(Box::new(metrics.idle_decisions.clone()))?;
        registry.register(Box::new(metrics.snapshots.clone()))?;
        registry.register(Box::new(metrics.figures_watchers.clone()))?;
        registry.register(Box::new(metrics.figures_readings.clone()))?;
        registry.register(Box::new(metrics.oom_kills.clone()))?;
        registry.register(Box::new(metrics.firewall_active.clone()))?;
        registry.register(Box::new(metrics.firewall_repairs.clone()))?;
        // Present from the start, so that a dashboard shows 0 and not nothing.
        metrics.workspaces_by_state(&HashMap::new());
        for phase in PhaseName::ALL {
            metrics.phases.with_label_values(&[phase.as_str()]);
        }
        let awake = AwakeKind::ALL.map(AwakeKind::as_str);
        for reason in awake
            .into_iter()
            .chain(["paused", "stopped", "gateway_silent"])
        {
            metrics.idle_decisions.with_label_values(&[reason]);
        }
        for kind in SnapshotKind::ALL {
            for outcome in ["ready", "failed"] {
                metrics
                    .snapshots
                    .with_label_values(&[kind.as_str(), outcome]);
            }
        }
        for occasion in Occasion::ALL {
            metrics
                .figures_readings
                .with_label_values(&[occasion.as_str()]);
        }
        for outcome in ["settled", "waiting", "failed"] {
            metrics.passes.with_label_values(&[outcome]);
        }
        for kind in ["in_use", "in_trash", "unknown"] {
            metrics.volumes.with_label_values(&[kind]);
        }
        for kind in ["container", "network"] {
            metrics.orphans.with_label_values(&[kind]);
        }
        Ok(metrics)
    }

    /// Sets how many workspaces are in each state.
    pub(crate) fn workspaces_by_state(&self, counts: &HashMap<&'static str, i64>) {
        for state in Lifecycle::NAMES {
            let count = counts.get(state).copied().unwrap_or(0);
            self.workspaces.with_label_values(&[state]).set(count);
        }
    }

    /// Counts what came of a look at whether a workspace is idle.
    pub(crate) fn idle_decision(&self, reason: &str) {
        self.idle_decisions.with_label_values(&[reason]).inc();
    }

    /// Counts a finished phase of a start.
    pub(crate) fn phase(&self, phase: PhaseName, took: Duration) {
        self.phases
            .with_label_values(&[phase.as_str()])
            .observe(took.as_secs_f64());
    }

    /// Counts an engine call.
    pub(crate) fn call<T>(&self, call: Call, took: Duration, result: &Result<T, EngineError>) {
        let outcome = result.as_ref().err().map_or("ok", EngineError::outcome);
        self.calls
            .with_label_values(&[call.as_str(), outcome])
            .observe(took.as_secs_f64());
    }

    /// Sets whether the engine answers.
    pub(crate) fn engine_up(&self, is_up: bool) {
        self.engine_up.set(i64::from(is_up));
    }

    /// Sets whether the packet filter is in force.
    pub(crate) fn firewall_active(&self, is_active: bool) {
        self.firewall_active.set(i64::from(is_active));
    }

    /// Counts a repair of the packet filter.
    pub(crate) fn firewall_repaired(&self) {
        self.firewall_repairs.inc();
    }

    /// Counts a pass.
    pub(crate) fn pass(&self, outcome: &'static str) {
        self.passes.with_label_values(&[outcome]).inc();
    }

    /// Sets how many volumes there are of each kind.
    pub(crate) fn volumes(&self, counts: &BTreeMap<&'static str, i64>) {
        for (kind, count) in counts {
            self.volumes.with_label_values(&[kind]).set(*count);
        }
    }

    /// Counts a snapshot that was taken, or could not be: `ready` or `failed`.
    pub(crate) fn snapshot(&self, kind: SnapshotKind, outcome: &'static str) {
        self.snapshots
            .with_label_values(&[kind.as_str(), outcome])
            .inc();
    }

    /// Notes that somebody watches the figures of a workspace, or does not any more.
    pub(crate) fn figures_watchers(&self, more: i64) {
        self.figures_watchers.add(more);
    }

    /// Counts a reading of what a workspace uses.
    pub(crate) fn figures_read(&self, occasion: Occasion) {
        self.figures_readings
            .with_label_values(&[occasion.as_str()])
            .inc();
    }

    /// Returns how many readings there were.
    #[cfg(test)]
    pub(crate) fn figures_readings(&self, occasion: Occasion) -> u64 {
        self.figures_readings
            .with_label_values(&[occasion.as_str()])
            .get()
    }

    /// Counts processes that the kernel ended because memory was used up.
    pub(crate) fn oom_kills(&self, more: u64) {
        self.oom_kills.inc_by(more);
    }

    /// Counts a volume that was removed.
    pub(crate) fn volume_removed(&self) {
        self.volumes_removed.inc();
    }

    /// Counts an orphan that was removed.
    pub(crate) fn orphan(&self, kind: &'static str) {
        self.orphans.with_label_values(&[kind]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_help_are_what_the_reference_lists() {
        let registry = Registry::new();
        Metrics::register(&registry)
            .unwrap()
            .call(Call::Info, Duration::ZERO, &Ok(()));
        let families = registry.gather();
        let names: Vec<String> = families
            .iter()
            .map(|family| format!("{}: {}", family.name(), family.help()))
            .collect();
        insta::assert_snapshot!(names.join("\n"), @"
        kalpana_orchestrator_engine_calls_seconds: How long calls to the container engine took
        kalpana_orchestrator_engine_up: Whether the container engine answers: 1 or 0
        kalpana_orchestrator_figures_readings_total: Readings of what a workspace uses, by whether somebody watches it or a minute has passed
        kalpana_orchestrator_figures_watchers: Pages and programs that watch what a workspace uses
        kalpana_orchestrator_firewall_active: Whether the host's packet filter holds workspaces: 1 or 0
        kalpana_orchestrator_firewall_repairs_total: Times that the packet filter's table was removed or changed by somebody else and made anew
        kalpana_orchestrator_idle_decisions_total: Looks at who is idle: what each workspace was left awake for, or what was done
        kalpana_orchestrator_oom_kills_total: Processes of workspaces that the kernel ended because memory was used up
        kalpana_orchestrator_orphans_removed_total: Containers and networks of ours that belonged to no workspace
        kalpana_orchestrator_reconcile_passes_total: Comparisons of a workspace with what it should be
        kalpana_orchestrator_snapshots_total: Snapshots of workspaces that were taken, or could not be, by why they were
        kalpana_orchestrator_start_phase_seconds: How long each phase of a start took
        kalpana_orchestrator_volumes: Volumes of workspaces: in use, of deleted workspaces, or of none that is known
        kalpana_orchestrator_volumes_removed_total: Volumes of deleted workspaces that were removed for good
        kalpana_orchestrator_workspaces: Workspaces by state
        ");
    }
}
