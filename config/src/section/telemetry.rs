//! `[telemetry]`: logs, metrics and health.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::validate::Scope;

/// Logs, metrics and health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged: a level, or `target=level` pairs separated by commas. Default: `info`.
    pub log: String,
    /// `auto` (text on a terminal, JSON elsewhere), `text` or `json`. Default: `auto`.
    pub log_format: String,
    /// The loopback address that `/metrics`, `/healthz` and `/readyz` are served on. Default:
    /// `127.0.0.1`.
    pub admin_address: IpAddr,
    /// Port of the gateway's metrics and health; 0 picks one. Default: 9611.
    pub gateway_port: u16,
    /// Port of the orchestrator's. Default: 9612.
    pub orchestrator_port: u16,
    /// Port of web's. Default: 9613.
    pub web_port: u16,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            log_format: "auto".to_owned(),
            admin_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            gateway_port: 9611,
            orchestrator_port: 9612,
            web_port: 9613,
        }
    }
}

impl Telemetry {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        problems.require(
            self.admin_address.is_loopback(),
            "admin_address",
            "must be a loopback address; put a scraper on this machine or a proxy in front",
        );
        problems.require(
            matches!(self.log_format.as_str(), "auto" | "text" | "json"),
            "log_format",
            "must be \"auto\", \"text\" or \"json\"",
        );
        let mut ports = [self.gateway_port, self.orchestrator_port, self.web_port];
        ports.sort_unstable();
        let is_distinct = ports
            .windows(2)
            .all(|pair| pair[0] != pair[1] || pair[0] == 0);
        problems.require(is_distinct, "gateway_port", "the three ports must differ");
    }
}
