//! Certificates: where they come from, and which one a TLS client is shown.
//!
//! [`Certs::open`] is the door. With no configuration a [`local`] authority is made on first
//! start and signs a certificate for the site; an operator may instead name [`files`]. Either way
//! the [`resolver`] answers handshakes from an atomically swapped table, and [`Certs::keep`]
//! replaces what grows old without dropping a connection. Keys are held here and nowhere else.

pub mod error;
pub mod files;
pub mod local;
pub mod metrics;
pub mod resolver;
pub mod served;
mod storage;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kalpana_config::Site;
use kalpana_domain::clock::Clock;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use resolver::Resolver;

use crate::files::Files;
use crate::local::LocalAuthority;
use crate::metrics::Metrics;
use crate::served::Served;

/// How often [`Certs::keep`] looks whether something must be replaced.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// The certificates of a site, and the task that keeps them fresh.
pub struct Certs {
    source: Source,
    resolver: Arc<Resolver>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

enum Source {
    Local(LocalAuthority),
    Files(Files),
}

impl Certs {
    /// Reads the site's certificate, or makes one with a local authority, and registers metrics.
    ///
    /// # Errors
    /// [`Error`], each of which names the file and what to do about it.
    pub fn open(
        site: &Site,
        config: &kalpana_config::Certs,
        registry: &Registry,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let source = match (&config.certificate_file, &config.key_file) {
            (Some(certificate), Some(key)) => Source::Files(Files::new(certificate, key)),
            _ => Source::Local(LocalAuthority::new(site, config.local_lifetime.0)),
        };
        let certs = Self {
            source,
            resolver: Arc::default(),
            metrics: Metrics::register(registry)?,
            clock,
        };
        let served = match &certs.source {
            Source::Local(authority) => authority.obtain(certs.clock.now())?,
            Source::Files(files) => {
                let served = files.load(certs.clock.now())?;
                warn_of_missing_names(&served, site);
                served
            }
        };
        certs.serve(served);
        Ok(certs)
    }

    /// Returns what a TLS server asks for its certificate.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Replaces certificates that are due until `shutdown`. What fails is tried again at the next
    /// check; until then the old certificate is served.
    pub async fn keep(&self, shutdown: CancellationToken) {
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = checks.tick() => {}
            }
            if let Err(error) = self.refresh() {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not replace the certificate, serving the old one: {error}"
                );
            }
        }
    }

    /// Replaces the certificate if it is due now; returns whether it was.
    ///
    /// # Errors
    /// [`Error`] when a new one cannot be made or read. The old one goes on being served.
    pub fn refresh(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let fresh = match &self.source {
            Source::Local(authority) => {
                let is_due = self
                    .resolver
                    .current()
                    .is_none_or(|served| served.is_due(now));
                is_due.then(|| authority.obtain(now)).transpose()?
            }
            Source::Files(files) => files.load_if_changed(now)?,
        };
        let Some(fresh) = fresh else { return Ok(false) };
        tracing::info!(
            certificate.expires = %fresh.not_after,
            "now serving a certificate that expires at {}",
            fresh.not_after
        );
        self.serve(fresh);
        Ok(true)
    }

    fn serve(&self, served: Served) {
        self.metrics.served(&served);
        self.resolver.replace(served);
    }
}

impl fmt::Debug for Certs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certs").finish_non_exhaustive()
    }
}

/// An operator's certificate may be meant for a balancer's own names too, so a missing name is
/// said, not refused.
fn warn_of_missing_names(served: &Served, site: &Site) {
    for name in [site.domain.clone(), format!("*.{}", site.workspace_domain)] {
        if !served.names.contains(&name) {
            tracing::warn!(
                name,
                "the certificate in certs.certificate_file does not name {name}; browsers will \
                 refuse that host"
            );
        }
    }
}
