//! What can be watched about certificates.

use prometheus::{IntGaugeVec, Opts, Registry};

use crate::error::Error;
use crate::served::Served;

/// The certificate metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    expiry: IntGaugeVec,
}

impl Metrics {
    /// Registers `kalpana_certs_expiry_timestamp_seconds{name}`; `name` is the first name of the
    /// certificate served, or `authority`.
    ///
    /// # Errors
    /// [`Error::Metrics`] when the registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let options = Opts::new(
            "kalpana_certs_expiry_timestamp_seconds",
            "When the certificate stops being good, in seconds since 1970.",
        );
        let expiry = IntGaugeVec::new(options, &["name"]).map_err(Error::Metrics)?;
        registry
            .register(Box::new(expiry.clone()))
            .map_err(Error::Metrics)?;
        Ok(Self { expiry })
    }

    /// Shows what is served from now on.
    pub fn served(&self, served: &Served) {
        self.expiry.reset();
        let name = served.names.first().map_or("unnamed", String::as_str);
        let leaf = self.expiry.with_label_values(&[name]);
        leaf.set(served.not_after.as_second());
        if let Some(authority) = served.authority_not_after {
            let gauge = self.expiry.with_label_values(&["authority"]);
            gauge.set(authority.as_second());
        }
    }
}
