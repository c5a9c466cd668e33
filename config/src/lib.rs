//! What an operator may set: one file per section, with units, defaults and validation.
//!
//! Values are layered: defaults, then `kalpana.toml`, then `KALPANA_SECTION__KEY` variables, then
//! command-line flags. An unknown key is an error that names it. [`Config::load`] reports every
//! mistake it finds, each with its path and where the value came from. Services receive their own
//! section, not the whole.

pub mod sample;
pub mod secret;
pub mod section;
pub mod site;
pub mod source;
pub mod units;
pub mod validate;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use secret::Secret;
pub use section::auth::Auth;
pub use section::certs::Certs;
pub use section::certs::acme::{Acme, ChallengeKind};
pub use section::certs::{DomainCerts, Source as CertificateSource};
pub use section::gateway::Gateway;
pub use section::orchestrator::Orchestrator;
pub use section::server::Server;
pub use section::store::{Mongodb, Store};
pub use section::telemetry::Telemetry;
pub use section::web::Web;
pub use site::Site;
pub use source::LoadError;
pub use units::{ByteSize, Network, Span};
pub use validate::{Problem, Problems};

/// Everything an operator may set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The site: its name in the world and its directories.
    pub server: Server,
    /// The gateway: what listens for the outside.
    pub gateway: Gateway,
    /// Certificates.
    pub certs: Certs,
    /// What is remembered, and where.
    pub store: Store,
    /// Passwords, sessions, tokens.
    pub auth: Auth,
    /// Containers.
    pub orchestrator: Orchestrator,
    /// The API and the page.
    pub web: Web,
    /// Logs, metrics and health.
    pub telemetry: Telemetry,
}

impl Config {
    /// Reads the configuration: defaults, then `file` if given, then the environment, then
    /// `overrides` (pairs of a dotted path and a TOML value, from flags).
    ///
    /// # Errors
    /// [`LoadError`] if the file cannot be read, a key is unknown, a value has the wrong shape, or
    /// [`Config::validate`] finds problems.
    pub fn load(file: Option<&Path>, overrides: &[(String, String)]) -> Result<Self, LoadError> {
        source::load(file, overrides)
    }

    /// Tells whether gateways share what an authority issued.
    pub fn shares_certificates(&self) -> bool {
        let usual = self.store.mongodb.uri.is_some();
        self.certs.shared.unwrap_or(usual)
    }

    /// Returns every problem of every section, each with its path.
    pub fn validate(&self) -> Problems {
        let mut problems = Problems::default();
        self.server.validate(&mut problems.at("server"));
        self.gateway.validate(&mut problems.at("gateway"));
        let domains = [self.server.domain.as_str(), self.server.workspace_domain()];
        self.certs.validate(domains, &mut problems.at("certs"));
        self.store.validate(&mut problems.at("store"));
        self.auth.validate(&mut problems.at("auth"));
        self.orchestrator.validate(&mut problems.at("orchestrator"));
        self.web.validate(&mut problems.at("web"));
        self.telemetry.validate(&mut problems.at("telemetry"));
        problems
    }
}
