//! A workspace's own network: a bridge that nobody else is on, and its place in the pool.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;

use kalpana_domain::id::WorkspaceId;
use kalpana_domain::workspace::Egress;

use crate::engine::NetworkSeen;
use crate::labels;

/// Prefix length of a workspace's network: room for the gateway, the container and a few to come.
const PREFIX: u8 = 28;

/// Where nobody answers (RFC 5737). Containers without egress are given it as their resolver,
/// because the engine's own would forward their questions to the outside.
pub(crate) const NO_RESOLVER: &str = "192.0.2.1";

/// Option that names the bridge interface, so that a packet filter can match it.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// Option that lets members of one bridge reach each other.
pub(crate) const INTER_CONTAINER: &str = "com.docker.network.bridge.enable_icc";

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// Its first address.
    pub(crate) address: Ipv4Addr,
    /// Its prefix length.
    pub(crate) prefix: u8,
}

impl Subnet {
    /// Reads `10.0.0.0/28`. `None` for anything else, IPv6 among it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Self {
            address: address.parse().ok()?,
            prefix,
        })
    }

    /// Returns the first and the last address, as numbers.
    fn range(self) -> (u32, u32) {
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        let first = u32::from(self.address) & !hosts;
        (first, first | hosts)
    }

    fn overlaps(self, other: Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.range(), other.range());
        first <= other_last && other_first <= last
    }

    /// Returns the host's address on the network: the first usable one.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.range().0 + 1)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// Returns the lowest /28 of `pool` that overlaps with none in use, or `None` when all do.
///
/// The lowest one, not a random one: people and packet filters can tell what comes next.
pub(crate) fn lowest_free(pool: Subnet, in_use: &[Subnet]) -> Option<Subnet> {
    let (first, last) = pool.range();
    (first..=last)
        .step_by(1 << (32 - PREFIX))
        .map(|address| Subnet {
            address: address.into(),
            prefix: PREFIX,
        })
        .find(|candidate| !in_use.iter().any(|other| candidate.overlaps(*other)))
}

/// A network to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkDefinition {
    /// Its name.
    pub(crate) name: String,
    /// Its addresses.
    pub(crate) subnet: Subnet,
    /// Whether it leads nowhere.
    pub(crate) is_internal: bool,
    /// The bridge driver's options.
    pub(crate) options: HashMap<String, String>,
    /// Its labels.
    pub(crate) labels: HashMap<String, String>,
}

/// Returns the name of a workspace's network.
pub(crate) fn name(workspace: WorkspaceId) -> String {
    format!("kal-{workspace}")
}

/// Returns the name of a workspace's bridge interface: 14 characters, of 15 that Linux allows.
pub(crate) fn bridge_name(workspace: WorkspaceId) -> String {
    format!("kw{workspace}")
}

/// Returns the network of a workspace.
pub(crate) fn definition(
    instance: &str,
    workspace: WorkspaceId,
    egress: Egress,
    subnet: Subnet,
) -> NetworkDefinition {
    NetworkDefinition {
        name: name(workspace),
        subnet,
        is_internal: is_internal(egress),
        options: HashMap::from([
            (BRIDGE_NAME.to_owned(), bridge_name(workspace)),
            (INTER_CONTAINER.to_owned(), "false".to_owned()),
        ]),
        labels: labels::of(instance, workspace),
    }
}

/// Tells whether a network that is there is what the workspace needs.
pub(crate) fn is_as_wanted(seen: &NetworkSeen, egress: Egress) -> bool {
    seen.is_internal == is_internal(egress) && !seen.is_open_inside && !seen.subnets.is_empty()
}

fn is_internal(egress: Egress) -> bool {
    egress == Egress::None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).expect(text)
    }

    #[test]
    fn the_first_workspace_gets_the_first_network_and_its_first_address_is_the_gateway() {
        let free = lowest_free(subnet("10.213.0.0/16"), &[]).expect("an empty pool");
        assert_eq!(free, subnet("10.213.0.0/28"));
        assert_eq!(free.gateway(), Ipv4Addr::new(10, 213, 0, 1));
    }

    #[test]
    fn networks_in_use_are_passed_over_whatever_their_size() {
        let pool = subnet("10.213.0.0/24");
        let in_use = |texts: &[&str]| texts.iter().map(|text| subnet(text)).collect::<Vec<_>>();
        for (used, expected) in [
            (vec!["10.213.0.0/28"], Some("10.213.0.16/28")),
            (vec!["10.213.0.16/28"], Some("10.213.0.0/28")),
            (
                vec!["10.213.0.0/27", "172.17.0.0/16"],
                Some("10.213.0.32/28"),
            ),
            (vec!["10.213.0.9/32"], Some("10.213.0.16/28")),
            (vec!["10.0.0.0/8"], None),
            (vec!["0.0.0.0/0"], None),
        ] {
            assert_eq!(
                lowest_free(pool, &in_use(&used)),
                expected.map(subnet),
                "{used:?}"
            );
        }
    }

    #[test]
    fn a_pool_holds_as_many_networks_as_fit_and_then_is_exhausted() {
        let pool = subnet("10.9.8.0/24");
        let mut in_use = Vec::new();
        while let Some(free) = lowest_free(pool, &in_use) {
            in_use.push(free);
        }
        assert_eq!(in_use.len(), 16);
        assert_eq!(in_use.last(), Some(&subnet("10.9.8.240/28")));
    }

    #[test]
    fn texts_that_are_no_ipv4_network_are_not_read() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "fd00::/64",
            "10.0.0/8",
            "a/8",
        ] {
            assert_eq!(Subnet::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn bridge_names_fit_into_an_interface_name(random: [u8; 16]) {
            prop_assert!(bridge_name(WorkspaceId::from_random(random)).len() <= 15);
        }

        #[test]
        fn what_is_given_out_never_overlaps_with_what_is_in_use(
            used in proptest::collection::vec((any::<u32>(), 8_u8..=32), 0..40)
        ) {
            let pool = subnet("10.0.0.0/12");
            let used: Vec<Subnet> = used
                .into_iter()
                .map(|(address, prefix)| Subnet { address: (address & 0x000f_ffff | 0x0a00_0000).into(), prefix })
                .collect();
            if let Some(free) = lowest_free(pool, &used) {
                prop_assert!(free.overlaps(pool));
                prop_assert!(used.iter().all(|other| !free.overlaps(*other)));
            }
        }
    }
}
