//! `[certs]`: where certificates come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::Span;
use crate::validate::Scope;

/// Certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certs {
    /// A PEM file with the certificate chain, leaf first, for the base domain and a wildcard below
    /// the workspace domain. Default: none, which makes a local authority sign one.
    pub certificate_file: Option<PathBuf>,
    /// The PEM file with the key that belongs to it; readable by its owner only.
    pub key_file: Option<PathBuf>,
    /// Lifetime of a certificate that the local authority signs. Renewed at two thirds. Default:
    /// 90d.
    pub local_lifetime: Span,
}

impl Default for Certs {
    fn default() -> Self {
        Self {
            certificate_file: None,
            key_file: None,
            local_lifetime: Span::seconds(90 * 86_400),
        }
    }
}

impl Certs {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        problems.require(
            self.certificate_file.is_some() == self.key_file.is_some(),
            "key_file",
            "certificate_file and key_file must be given together",
        );
        problems.require(
            (3600..=397 * 86_400).contains(&self.local_lifetime.0.as_secs()),
            "local_lifetime",
            "must be from 1h to 397d, the longest that browsers accept",
        );
    }
}
