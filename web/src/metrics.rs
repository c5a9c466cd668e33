//! What can be counted of the public API.

use std::time::Duration;

use http::StatusCode;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics of web. Labels are closed sets: a route is its template, never a path.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    request_duration: HistogramVec,
    refused: IntCounterVec,
    /// Live streams being written, to pages and to followers of logs.
    pub(crate) streams: IntGauge,
}

impl Metrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When the registry has metrics of the same name already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let request_duration = HistogramVec::new(
            HistogramOpts::new(
                "kalpana_web_request_duration_seconds",
                "Time from a request's arrival to the head of its answer, in seconds.",
            ),
            &["route", "status_class"],
        )?;
        let streams = IntGauge::new(
            "kalpana_web_streams",
            "Event and log streams being written.",
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "kalpana_web_refused_total",
                "Requests that were refused or failed, by the code that they were answered with.",
            ),
            &["code"],
        )?;
        registry.register(Box::new(request_duration.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(streams.clone()))?;
        Ok(Self {
            request_duration,
            refused,
            streams,
        })
    }

    /// Counts one request that was answered with an error of this code, which is one of a closed set.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refused.with_label_values(&[code]).inc();
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, route: &str, status: StatusCode, after: Duration) {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.request_duration
            .with_label_values(&[route, class])
            .observe(after.as_secs_f64());
    }
}
