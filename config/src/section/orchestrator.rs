//! `[orchestrator]`: containers.

use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::units::{Network, Span};
use crate::validate::Scope;

/// What no workspace is let through to, whoever names it: this network, loopback, link-local with
/// the cloud's metadata address, Azure's, multicast and what is reserved.
const NEVER_REACHABLE: [Ipv4Net; 6] = [
    network([0, 0, 0, 0], 8),
    network([127, 0, 0, 0], 8),
    network([168, 63, 129, 16], 32),
    network([169, 254, 0, 0], 16),
    network([224, 0, 0, 0], 4),
    network([240, 0, 0, 0], 4),
];

/// Networks that may be named as reachable: each of a workspace's is an entry in a kernel's table.
const REACHABLE_LIMIT: usize = 64;

/// Containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Orchestrator {
    /// The container engine's Unix socket. Default: `/var/run/docker.sock`.
    pub engine_socket: String,
    /// Name of this site on the engine: the value of the `kalpana.instance` label. Two sites on one
    /// engine must differ; each sees and removes only its own. Default: `kalpana`.
    pub instance: String,
    /// The image workspaces run. Default: `kalpana/workspace:dev`, which `make image` builds.
    pub image: String,
    /// The private IPv4 network that workspaces' own networks are cut from, a /28 each. It must not
    /// be in use on the host. Default: `10.213.0.0/16`.
    pub subnet_pool: String,
    /// What workspaces may reach unless asked otherwise: `open` or `none`. Default: `open`.
    pub egress: String,
    /// Whether the host's packet filter keeps workspaces from the host, private networks, the
    /// cloud's metadata address and each other. `auto`: where this process may set it; elsewhere
    /// workspaces start all the same, and the log says so. `required`: without it no workspace is
    /// started. `off`: it is left alone. Default: `auto`.
    pub firewall: String,
    /// Private addresses that workspaces may reach all the same: an internal Git server or registry,
    /// as an address or a network, IPv4. An address of this host has to be named by itself; a network
    /// does not include it. Default: none.
    pub reachable: Vec<Network>,
    /// Workspaces one person may have; those that failed or are deleted do not count. Default: 10.
    pub workspaces_per_user: u32,
    /// How long a deleted workspace can be restored; then its volumes are removed. Default: 30d.
    pub trash_retention: Span,
    /// How long a workspace may be idle until it is put to sleep: its programs are frozen in memory,
    /// and a visit wakes them. `0s`: never. Default: 15m.
    pub pause_after: Span,
    /// How long a workspace may be asleep until it is stopped, which frees its memory. `0s`: never.
    /// Default: 2h.
    pub stop_after: Span,
    /// How long a workspace may be stopped until it is archived: its files are put into a snapshot,
    /// compressed, and its volumes are removed until it starts again. `0s`: never. Default: 0s.
    pub archive_after: Span,
    /// The longest that its owner may have a workspace be idle until it is put to sleep. `0s`: as long
    /// as they like, and for ever. Default: 0s.
    pub pause_after_limit: Span,
    /// The longest that its owner may have a workspace be asleep until it is stopped. `0s`: as long as
    /// they like, and for ever. Default: 0s.
    pub stop_after_limit: Span,
    /// The longest that its owner may have a workspace be stopped until it is archived. `0s`: as long
    /// as they like, and for ever. Default: 0s.
    pub archive_after_limit: Span,
    /// How long programs may keep a workspace awake that nobody comes to look at. `0s`: for ever.
    /// Default: 12h.
    pub unattended_limit: Span,
    /// Where snapshots of workspaces are kept, best on another disk than the workspaces: the
    /// orchestrator's user must own it. Default: `orchestrator/snapshots` in the data directory.
    pub snapshot_dir: Option<PathBuf>,
    /// How often a snapshot of a workspace that was in use is taken by itself. `0s`: never. Default:
    /// 24h.
    pub snapshot_every: Span,
    /// How many of those are kept for a workspace. Default: 3.
    pub snapshots_scheduled: usize,
    /// How many snapshots that its owner asked for a workspace may have. Default: 10.
    pub snapshots_per_workspace: usize,
    /// What snapshots leave free on their disk, in MiB. Default: 2048.
    pub snapshot_reserve_mib: u64,
    /// Where a day of what each workspace used is kept, at most 150 KiB for each: the orchestrator's user
    /// must own it. Default: `orchestrator/figures` in the data directory.
    pub figures_dir: Option<PathBuf>,
    /// How long a start may take without a sign of progress. Default: 120s.
    pub start_timeout: Span,
    /// How long a first clone may take in all. Default: 30m.
    pub clone_timeout: Span,
    /// How long a container may take to end by itself. Default: 20s.
    pub stop_timeout: Span,
    /// How often everything is compared with what should be, beside reacting to events. Default:
    /// 30s.
    pub reconcile_interval: Span,
    /// Workspaces being started at the same time. Default: 4.
    pub concurrent_starts: usize,
    /// Container runtime, when not the engine's default: `runsc`, say. Default: none.
    pub runtime: Option<String>,
}

impl Default for Orchestrator {
    fn default() -> Self {
        Self {
            engine_socket: "/var/run/docker.sock".to_owned(),
            instance: "kalpana".to_owned(),
            image: "kalpana/workspace:dev".to_owned(),
            subnet_pool: "10.213.0.0/16".to_owned(),
            egress: "open".to_owned(),
            firewall: "auto".to_owned(),
            reachable: Vec::new(),
            workspaces_per_user: 10,
            trash_retention: Span::seconds(30 * 86_400),
            pause_after: Span::seconds(15 * 60),
            stop_after: Span::seconds(2 * 3600),
            archive_after: Span::seconds(0),
            pause_after_limit: Span::seconds(0),
            stop_after_limit: Span::seconds(0),
            archive_after_limit: Span::seconds(0),
            unattended_limit: Span::seconds(12 * 3600),
            snapshot_dir: None,
            snapshot_every: Span::seconds(24 * 3600),
            snapshots_scheduled: 3,
            snapshots_per_workspace: 10,
            snapshot_reserve_mib: 2048,
            figures_dir: None,
            start_timeout: Span::seconds(120),
            clone_timeout: Span::seconds(30 * 60),
            stop_timeout: Span::seconds(20),
            reconcile_interval: Span::seconds(30),
            concurrent_starts: 4,
            runtime: None,
        }
    }
}

impl Orchestrator {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        problems.require(
            self.engine_socket.starts_with('/'),
            "engine_socket",
            "must be an absolute path to a Unix socket",
        );
        let is_name = (1..=32).contains(&self.instance.len())
            && self
                .instance
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        problems.require(is_name, "instance", "must be 1 to 32 of a-z, 0-9 and '-'");
        problems.require(!self.image.is_empty(), "image", "must name an image");
        problems.require(
            crate::section::orchestrator::parse_pool(&self.subnet_pool).is_some(),
            "subnet_pool",
            "must be a private IPv4 network from /8 to /28, such as \"10.213.0.0/16\"",
        );
        problems.require(
            matches!(self.egress.as_str(), "open" | "none"),
            "egress",
            "must be \"open\" or \"none\"",
        );
        problems.require(
            matches!(self.firewall.as_str(), "auto" | "required" | "off"),
            "firewall",
            "must be \"auto\", \"required\" or \"off\"",
        );
        problems.require(
            self.reachable.len() <= REACHABLE_LIMIT,
            "reachable",
            "must be at most 64 networks",
        );
        problems.require(
            self.reachable.iter().all(may_be_reachable),
            "reachable",
            "must be IPv4 networks that overlap with none of 0.0.0.0/8, 127.0.0.0/8, \
             168.63.129.16, 169.254.0.0/16, 224.0.0.0/4 and 240.0.0.0/4",
        );
        problems.require(
            (1..=1000).contains(&self.workspaces_per_user),
            "workspaces_per_user",
            "must be from 1 to 1000",
        );
        problems.require(
            (1..=64).contains(&self.concurrent_starts),
            "concurrent_starts",
            "must be from 1 to 64",
        );
        for (field, path) in [
            ("snapshot_dir", &self.snapshot_dir),
            ("figures_dir", &self.figures_dir),
        ] {
            let is_absolute = path.as_ref().is_none_or(|path| path.is_absolute());
            problems.require(is_absolute, field, "must be an absolute path");
        }
        for (field, count) in [
            ("snapshots_scheduled", self.snapshots_scheduled),
            ("snapshots_per_workspace", self.snapshots_per_workspace),
        ] {
            problems.require(count <= 1000, field, "must be at most 1000");
        }
        problems.require(
            self.snapshot_every.0.is_zero() || self.snapshot_every.0.as_secs() >= 60,
            "snapshot_every",
            "must be 0s (never) or at least 60s",
        );
        for (field, span) in [
            ("pause_after", self.pause_after),
            ("stop_after", self.stop_after),
            ("archive_after", self.archive_after),
            ("pause_after_limit", self.pause_after_limit),
            ("stop_after_limit", self.stop_after_limit),
            ("archive_after_limit", self.archive_after_limit),
            ("unattended_limit", self.unattended_limit),
        ] {
            let is_sensible = span.0.is_zero() || span.0.as_secs() >= 1;
            problems.require(is_sensible, field, "must be 0s (for ever) or at least 1s");
        }
        for (field, span) in [
            ("trash_retention", self.trash_retention),
            ("start_timeout", self.start_timeout),
            ("clone_timeout", self.clone_timeout),
            ("stop_timeout", self.stop_timeout),
            ("reconcile_interval", self.reconcile_interval),
        ] {
            problems.require(span.0.as_secs() >= 1, field, "must be at least 1s");
        }
    }
}

/// Reads a private IPv4 network: its first address and its prefix length, 8 to 28.
pub fn parse_pool(text: &str) -> Option<(std::net::Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix): (std::net::Ipv4Addr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    let is_aligned = (8..=28).contains(&prefix) && u32::from(address) << prefix == 0;
    (is_aligned && address.is_private()).then_some((address, prefix))
}

fn may_be_reachable(named: &Network) -> bool {
    named.as_ipv4().is_some_and(|named| {
        NEVER_REACHABLE
            .iter()
            .all(|never| !never.contains(&named) && !named.contains(never))
    })
}

const fn network(address: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_the_metadata_address_cannot_be_made_reachable() {
        for (named, expected) in [
            ("10.20.0.0/16", true),
            ("192.168.7.9", true),
            ("203.0.113.4", true),
            ("0.0.0.0/0", false),
            ("0.0.0.0/1", false),
            ("127.0.0.1", false),
            ("126.0.0.0/7", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("169.0.0.0/8", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("fd00::/8", false),
            ("::ffff:10.0.0.0/104", false),
        ] {
            let named: Network = named.parse().expect(named);
            assert_eq!(may_be_reachable(&named), expected, "{named}");
        }
    }
}
