//! What can be watched. Labels are small closed sets: never a workspace, a user or a path.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::connection::Tls;
use crate::tunnel::pump::End;

/// The gateway's metrics. Clones count into the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: HistogramVec,
    denied: IntCounterVec,
    wakes: HistogramVec,
    feeds: IntGaugeVec,
    /// Connections from outside that are open.
    pub connections: IntGauge,
    /// WebSockets that are open.
    pub websockets: IntGauge,
    /// Workspaces that are known.
    pub routes: IntGauge,
    handshakes_failed: IntCounterVec,
    handshakes: IntCounterVec,
    tunnels_ended: IntCounterVec,
    assets: IntCounterVec,
    assets_filled: IntCounterVec,
    asset_bytes: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Prometheus's, when the registry has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let requests = HistogramVec::new(
            HistogramOpts::new(
                "kalpana_gateway_request_duration_seconds",
                "Time from a request's head to the end of its answer; WebSockets are not counted.",
            )
            .buckets(vec![
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
            ]),
            &["route_kind", "status_class"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        let wakes = HistogramVec::new(
            HistogramOpts::new(
                "kalpana_gateway_wake_duration_seconds",
                "Time that visitors of a sleeping workspace waited until it was awake, once for all \
                 who waited together.",
            )
            .buckets(vec![
                0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]),
            &["outcome"],
        )?;
        registry.register(Box::new(wakes.clone()))?;
        for outcome in ["woken", "failed"] {
            wakes.with_label_values(&[outcome]);
        }
        let feeds = IntGaugeVec::new(
            Opts::new(
                "kalpana_gateway_feed_up",
                "Whether the line to the publisher of a feed is up (1) or not (0).",
            ),
            &["feed"],
        )?;
        registry.register(Box::new(feeds.clone()))?;
        let handshakes = counters(
            "kalpana_gateway_handshakes_total",
            "TLS handshakes that were completed, full or resumed.",
            "kind",
        )?;
        let tunnels_ended = counters(
            "kalpana_gateway_websockets_ended_total",
            "WebSockets to workspaces that have ended, by who or what ended them.",
            "end",
        )?;
        // Shown from the start, so that the first of a kind is seen as a rise.
        for end in End::ALL {
            tunnels_ended.with_label_values(&[end.as_str()]);
        }
        let assets = counters(
            "kalpana_gateway_assets_total",
            "Requests for the editor's own files, by whether they were answered from memory.",
            "cache",
        )?;
        for cache in ["hit", "miss"] {
            assets.with_label_values(&[cache]);
        }
        let assets_filled = counters(
            "kalpana_gateway_asset_fills_total",
            "Files of the editor that were to be kept in memory, by what came of it.",
            "outcome",
        )?;
        for outcome in ["kept", "not_listed", "unfit", "skipped", "failed"] {
            assets_filled.with_label_values(&[outcome]);
        }
        Ok(Self {
            assets,
            assets_filled,
            asset_bytes: gauge(
                "kalpana_gateway_asset_cache_bytes",
                "Memory that the editor's kept files take.",
            )?,
            requests,
            wakes,
            feeds,
            denied: counters(
                "kalpana_gateway_denied_total",
                "Requests that were refused before they reached anything, by reason.",
                "reason",
            )?,
            handshakes_failed: counters(
                "kalpana_gateway_handshakes_failed_total",
                "TLS handshakes that came to nothing, by reason.",
                "reason",
            )?,
            handshakes,
            tunnels_ended,
            connections: gauge(
                "kalpana_gateway_connections",
                "Connections from outside that are open.",
            )?,
            websockets: gauge("kalpana_gateway_websockets", "WebSockets that are open.")?,
            routes: gauge(
                "kalpana_gateway_routes",
                "Workspaces that the gateway knows.",
            )?,
        })
    }

    /// Counts an answered request.
    pub fn answered(&self, route_kind: &'static str, status: u16, duration: Duration) {
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500..600 => "5xx",
            _ => "none",
        };
        self.requests
            .with_label_values(&[route_kind, class])
            .observe(duration.as_secs_f64());
    }

    /// Counts a sleeping workspace that somebody came to, and how long they waited.
    pub fn woken(&self, is_awake: bool, duration: Duration) {
        let outcome = if is_awake { "woken" } else { "failed" };
        self.wakes
            .with_label_values(&[outcome])
            .observe(duration.as_secs_f64());
    }

    /// Counts a refused request.
    pub fn denied(&self, reason: &'static str) {
        self.denied.with_label_values(&[reason]).inc();
    }

    /// Counts a handshake that failed.
    pub fn handshake_failed(&self, reason: &'static str) {
        self.handshakes_failed.with_label_values(&[reason]).inc();
    }

    /// Counts a completed handshake.
    pub fn shaken(&self, tls: Tls) {
        let kind = if tls.is_resumed { "resumed" } else { "full" };
        self.handshakes.with_label_values(&[kind]).inc();
    }

    /// Counts a WebSocket that has ended.
    pub fn tunnel_ended(&self, end: &'static str) {
        self.tunnels_ended.with_label_values(&[end]).inc();
    }

    /// Counts a request for a file of the editor: a `hit` or a `miss`.
    pub fn asset(&self, cache: &'static str) {
        self.assets.with_label_values(&[cache]).inc();
    }

    /// Counts what came of fetching a file of the editor, and shows how many bytes are kept now.
    pub fn asset_filled(&self, outcome: &'static str, bytes: u64) {
        self.assets_filled.with_label_values(&[outcome]).inc();
        self.asset_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Shows whether a feed is up.
    pub fn feed(&self, feed: &'static str, is_up: bool) {
        self.feeds.with_label_values(&[feed]).set(i64::from(is_up));
    }
}

/// Counts something that is open until it is dropped.
#[derive(Debug)]
pub struct Open(IntGauge);

impl Open {
    /// Raises `gauge`.
    pub fn count(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
