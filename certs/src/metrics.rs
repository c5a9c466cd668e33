//! What can be watched about certificates.

use kalpana_domain::Timestamp;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::book::{Book, Entry};
use crate::error::Error;

/// What all certificates of single hosts are called: their names would be too many.
const SINGLE_HOSTS: &str = "single_hosts";

/// The certificate metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    expiry: IntGaugeVec,
    renewal: IntGaugeVec,
    failures: IntGaugeVec,
    certificates: IntGaugeVec,
    orders: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics. `name` is what a certificate of the site is called, `authority` for
    /// the local one, `single_hosts` for all that are of single hosts; of these the worst is shown.
    ///
    /// # Errors
    /// [`Error::Metrics`] when the registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name: &str, help: &str, label: &str| -> Result<IntGaugeVec, Error> {
            let gauge =
                IntGaugeVec::new(Opts::new(name, help), &[label]).map_err(Error::Metrics)?;
            registry
                .register(Box::new(gauge.clone()))
                .map_err(Error::Metrics)?;
            Ok(gauge)
        };
        let orders = Opts::new(
            "kalpana_certs_orders_total",
            "Certificates that were asked of an authority, by what came of it.",
        );
        let orders = IntCounterVec::new(orders, &["result"]).map_err(Error::Metrics)?;
        registry
            .register(Box::new(orders.clone()))
            .map_err(Error::Metrics)?;
        orders.with_label_values(&["issued"]);
        Ok(Self {
            expiry: gauge(
                "kalpana_certs_expiry_timestamp_seconds",
                "When the certificate stops being good, in seconds since 1970.",
                "name",
            )?,
            renewal: gauge(
                "kalpana_certs_renewal_timestamp_seconds",
                "When the next certificate will be ordered or signed, in seconds since 1970.",
                "name",
            )?,
            failures: gauge(
                "kalpana_certs_failures",
                "How often in a row the next certificate could not be had.",
                "name",
            )?,
            certificates: gauge(
                "kalpana_certs_certificates",
                "Certificates by state.",
                "state",
            )?,
            orders,
        })
    }

    /// Counts an attempt: `issued`, `over_budget` or the code of its failure.
    pub(crate) fn ordered(&self, result: &str) {
        self.orders.with_label_values(&[result]).inc();
    }

    /// Shows how all certificates are.
    pub(crate) fn show(&self, book: &Book, now: Timestamp) {
        self.expiry.reset();
        self.renewal.reset();
        self.failures.reset();
        for state in ["good", "failing", "expired", "missing"] {
            self.certificates.with_label_values(&[state]).set(0);
        }
        for entry in book.values() {
            let certificate = entry.show(now);
            let state = match certificate.state {
                kalpana_protocol::certificates::CertificateState::Good => "good",
                kalpana_protocol::certificates::CertificateState::Failing => "failing",
                kalpana_protocol::certificates::CertificateState::Expired => "expired",
                kalpana_protocol::certificates::CertificateState::Missing => "missing",
            };
            self.certificates.with_label_values(&[state]).inc();
            let name = label(entry);
            if let Some(served) = &entry.served {
                set_least(&self.expiry, name, served.not_after.as_second());
                if let Some(authority) = served.authority_not_after {
                    let gauge = self.expiry.with_label_values(&["authority"]);
                    gauge.set(authority.as_second());
                }
            }
            if let Some(renewal) = certificate.next_renewal {
                set_least(&self.renewal, name, renewal.as_second());
            }
            let failures = self.failures.with_label_values(&[name]);
            failures.set(failures.get().max(i64::from(entry.memory.failures)));
        }
    }
}

fn label(entry: &Entry) -> &str {
    if entry.is_on_demand {
        SINGLE_HOSTS
    } else {
        &entry.wanted.id
    }
}

/// Sets a gauge unless it shows less already. One that was just made shows nothing.
fn set_least(gauge: &IntGaugeVec, name: &str, value: i64) {
    let gauge = gauge.with_label_values(&[name]);
    let shown = gauge.get();
    gauge.set(if shown == 0 { value } else { shown.min(value) });
}
