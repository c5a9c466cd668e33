//! What the table holds: rules for all workspaces of the host, and what each may reach besides.
//! Pure: text for `nft -f`, made of constants, networks and ids only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::workspace::Egress;

use crate::network;

/// The table's family and name. Every site on the host has the same.
pub(crate) const TABLE: [&str; 2] = ["inet", "kalpana"];

/// Where packets come in: before Docker's own filter, which is at 0. What is let through here still
/// passes that one.
const HOOKS: [(&str, &str); 2] = [
    (
        "input",
        "{ type filter hook input priority -10 ; policy accept ; }",
    ),
    (
        "forward",
        "{ type filter hook forward priority -10 ; policy accept ; }",
    ),
];

const COUNTERS: [&str; 6] = [
    "to_host",
    "to_workspaces",
    "to_nowhere",
    "to_private",
    "mail",
    "ipv6",
];

const CHAINS: [&str; 3] = ["from_workspace_to_host", "from_workspace", "to_workspace"];

/// What a workspace sends to whoever began. What it began itself is judged packet by packet, so that
/// nothing outlives a gap in which the rules were not there.
const ANSWERS: &str = "ct direction reply ct state established,related accept";

/// The rules, by chain, in their order.
///
/// Source for the networks: IANA's special-purpose registry (RFC 6890); 168.63.129.16 is where Azure
/// serves what 169.254.169.254 serves elsewhere, and more. Workspaces have no IPv6, so all of it is
/// dropped.
const RULES: [(&str, &str); 19] = [
    ("input", "iifname \"kw*\" goto from_workspace_to_host"),
    ("forward", "iifname \"kw*\" goto from_workspace"),
    ("forward", "oifname \"kw*\" goto to_workspace"),
    // To the host itself.
    (
        "from_workspace_to_host",
        "meta nfproto ipv6 counter name ipv6 drop",
    ),
    ("from_workspace_to_host", ANSWERS),
    (
        "from_workspace_to_host",
        "meta l4proto { tcp, udp } th dport 53 iifname . ip daddr @resolvers accept",
    ),
    (
        "from_workspace_to_host",
        "iifname . ip daddr @reachable_here accept",
    ),
    ("from_workspace_to_host", "counter name to_host drop"),
    // To anywhere else.
    ("from_workspace", "meta nfproto ipv6 counter name ipv6 drop"),
    (
        "from_workspace",
        "oifname \"kw*\" counter name to_workspaces drop",
    ),
    ("from_workspace", ANSWERS),
    (
        "from_workspace",
        "meta l4proto { tcp, udp } th dport 53 iifname . ip daddr @resolvers accept",
    ),
    (
        "from_workspace",
        "ip daddr { 0.0.0.0/8, 127.0.0.0/8, 168.63.129.16, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4 } \
         counter name to_nowhere drop",
    ),
    ("from_workspace", "iifname . ip daddr @reachable accept"),
    ("from_workspace", "tcp dport 25 counter name mail drop"),
    (
        "from_workspace",
        "ip daddr { 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, \
         198.18.0.0/15 } counter name to_private drop",
    ),
    // To a workspace, from anywhere but this host, which is how it is reached.
    ("to_workspace", "meta nfproto ipv6 counter name ipv6 drop"),
    ("to_workspace", "ct state established,related accept"),
    ("to_workspace", "counter name to_workspaces drop"),
];

/// A set of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// Private networks beyond the host.
    Reachable,
    /// Addresses of the host itself: only those that were named one by one.
    ReachableHere,
    /// Name servers, for questions alone.
    Resolvers,
}

impl Set {
    pub(crate) const ALL: [Self; 3] = [Self::Reachable, Self::ReachableHere, Self::Resolvers];

    /// Returns its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::ReachableHere => "reachable_here",
            Self::Resolvers => "resolvers",
        }
    }

    fn definition(self) -> &'static str {
        match self {
            Self::Reachable => "{ type ifname . ipv4_addr ; flags interval ; }",
            Self::ReachableHere | Self::Resolvers => "{ type ifname . ipv4_addr ; }",
        }
    }
}

/// One thing that one workspace may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    pub(crate) set: Set,
    pub(crate) workspace: WorkspaceId,
    pub(crate) network: Ipv4Net,
}

impl Element {
    /// Returns it as it stands in braces. A network of one is an address, for sets without
    /// intervals.
    fn text(&self) -> String {
        let interface = network::bridge_name(self.workspace);
        if self.network.prefix_len() == 32 {
            format!("\"{interface}\" . {}", self.network.addr())
        } else {
            format!("\"{interface}\" . {}", self.network)
        }
    }
}

/// What workspaces may reach besides the public internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Networks, none of which overlap.
    reachable: Vec<Ipv4Net>,
    /// Those among what was named that are one address.
    addresses: Vec<Ipv4Addr>,
}

impl Allowed {
    /// Makes it of what an operator named.
    pub(crate) fn new(named: &[Ipv4Net]) -> Self {
        let addresses = named
            .iter()
            .filter(|network| network.prefix_len() == 32)
            .map(Ipv4Net::addr)
            .collect();
        // The kernel refuses intervals that overlap.
        Self {
            reachable: Ipv4Net::aggregate(&named.to_vec()),
            addresses,
        }
    }

    /// Returns the elements of one workspace. One without egress asks no name server; of what is
    /// reachable, the engine lets it get to this host's own addresses alone.
    pub(crate) fn elements(
        &self,
        workspace: WorkspaceId,
        egress: Egress,
        resolvers: &[Ipv4Addr],
    ) -> BTreeSet<Element> {
        let resolvers = match egress {
            Egress::Open => resolvers,
            Egress::None => &[],
        };
        let one = |address: &Ipv4Addr| Ipv4Net::from(*address);
        let reachable = self.reachable.iter().map(|net| (Set::Reachable, *net));
        let here = self
            .addresses
            .iter()
            .map(|address| (Set::ReachableHere, one(address)));
        let resolvers = resolvers
            .iter()
            .map(|address| (Set::Resolvers, one(address)));
        reachable
            .chain(here)
            .chain(resolvers)
            .map(|(set, network)| Element {
                set,
                workspace,
                network,
            })
            .collect()
    }
}

/// Returns the script that makes the table what it should be, at once and without a gap. What is in
/// the sets stays, so that sites on one host do not take each other's away.
pub(crate) fn lay() -> String {
    let [family, table] = TABLE;
    let mut script = format!("add table {family} {table}\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = script.write_fmt(text);
        script.push('\n');
    };
    for counter in COUNTERS {
        line(format_args!("add counter {family} {table} {counter}"));
    }
    for set in Set::ALL {
        let (name, definition) = (set.name(), set.definition());
        line(format_args!("add set {family} {table} {name} {definition}"));
    }
    for (chain, definition) in HOOKS {
        line(format_args!(
            "add chain {family} {table} {chain} {definition}"
        ));
    }
    for chain in CHAINS {
        line(format_args!("add chain {family} {table} {chain}"));
    }
    line(format_args!("flush table {family} {table}"));
    for (chain, rule) in RULES {
        line(format_args!("add rule {family} {table} {chain} {rule}"));
    }
    script
}

/// Returns the script that makes the table anew, whatever is there, and keeps these elements.
pub(crate) fn lay_anew(elements: &BTreeSet<Element>) -> String {
    let [family, table] = TABLE;
    let mut script = format!("add table {family} {table}\ndelete table {family} {table}\n");
    script.push_str(&lay());
    script.push_str(&change(&BTreeSet::new(), elements));
    script
}

/// Returns the script that takes elements away and then adds others.
pub(crate) fn change(remove: &BTreeSet<Element>, add: &BTreeSet<Element>) -> String {
    let [family, table] = TABLE;
    let mut script = String::new();
    for (verb, elements) in [("delete", remove), ("add", add)] {
        for set in Set::ALL {
            let of_it = elements.iter().filter(|element| element.set == set);
            let texts: Vec<String> = of_it.map(Element::text).collect();
            if !texts.is_empty() {
                let (name, texts) = (set.name(), texts.join(", "));
                let _ = writeln!(
                    script,
                    "{verb} element {family} {table} {name} {{ {texts} }}"
                );
            }
        }
    }
    script
}

/// Returns how many rules each chain has when the table is as it should be.
pub(crate) fn rules_by_chain() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (chain, _) in RULES {
        *counts.entry(chain.to_owned()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(text: &str) -> WorkspaceId {
        WorkspaceId::parse(text).unwrap()
    }

    fn allowed(named: &[&str]) -> Allowed {
        let named: Vec<Ipv4Net> = named.iter().map(|text| text.parse().unwrap()).collect();
        Allowed::new(&named)
    }

    #[test]
    fn the_table_is_what_people_have_read() {
        insta::assert_snapshot!(lay());
    }

    #[test]
    fn a_workspace_has_what_was_named_and_the_name_servers_it_may_ask() {
        let allowed = allowed(&["10.20.0.0/16", "192.168.7.9/32", "10.20.3.4/32"]);
        let resolvers = [Ipv4Addr::new(10, 0, 0, 2)];
        let open = allowed.elements(workspace("aaaaaaaaaaaa"), Egress::Open, &resolvers);
        let none = allowed.elements(workspace("bbbbbbbbbbbb"), Egress::None, &resolvers);
        insta::assert_snapshot!(change(&none, &open), @r#"
        delete element inet kalpana reachable { "kwbbbbbbbbbbbb" . 10.20.0.0/16, "kwbbbbbbbbbbbb" . 192.168.7.9 }
        delete element inet kalpana reachable_here { "kwbbbbbbbbbbbb" . 10.20.3.4, "kwbbbbbbbbbbbb" . 192.168.7.9 }
        add element inet kalpana reachable { "kwaaaaaaaaaaaa" . 10.20.0.0/16, "kwaaaaaaaaaaaa" . 192.168.7.9 }
        add element inet kalpana reachable_here { "kwaaaaaaaaaaaa" . 10.20.3.4, "kwaaaaaaaaaaaa" . 192.168.7.9 }
        add element inet kalpana resolvers { "kwaaaaaaaaaaaa" . 10.0.0.2 }
        "#);
    }

    #[test]
    fn networks_that_overlap_or_meet_become_one_and_open_nothing_of_the_host() {
        let elements = allowed(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"]).elements(
            workspace("aaaaaaaaaaaa"),
            Egress::Open,
            &[],
        );
        let only = Element {
            set: Set::Reachable,
            workspace: workspace("aaaaaaaaaaaa"),
            network: "10.0.0.0/8".parse().unwrap(),
        };
        assert_eq!(elements, BTreeSet::from([only]));
    }

    #[test]
    fn every_rule_is_in_a_chain_that_is_made_and_goes_to_one() {
        let is_made =
            |name: &str| CHAINS.contains(&name) || HOOKS.iter().any(|(hook, _)| *hook == name);
        for (chain, rule) in RULES {
            assert!(is_made(chain), "{chain}");
            if let Some((_, target)) = rule.split_once("goto ") {
                assert!(is_made(target), "{target}");
            }
            if let Some((_, rest)) = rule.split_once("counter name ") {
                let counter = rest.split(' ').next().unwrap();
                assert!(COUNTERS.contains(&counter), "{counter}");
            }
        }
        for chain in CHAINS {
            let last = RULES.iter().rev().find(|(of, _)| *of == chain).unwrap();
            assert!(last.1.ends_with("drop"), "{chain} ends with {}", last.1);
        }
    }
}
