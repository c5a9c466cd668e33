//! What the kernel says is in the table, read from `nft -j list table`. Pure.
//!
//! How `nft` writes a rule down differs by its version, so rules are not compared with our text but
//! with how this very host showed them when they had just been laid.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use kalpana_domain::id::WorkspaceId;
use serde_json::{Map, Value};

use super::rules::{Element, Set};

/// A table that is there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    /// Chains, rules, sets and counters, without what they hold or count, nor how the kernel numbers
    /// them.
    pub(crate) layout: Vec<Value>,
    /// How many rules each chain has.
    pub(crate) rules: BTreeMap<String, usize>,
    /// What is in the sets.
    pub(crate) elements: BTreeSet<Element>,
    /// Whether a set holds something that we would never put there.
    pub(crate) is_strange: bool,
}

/// A listing that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is not JSON.
    #[error("the listing of the packet filter is not JSON")]
    Json(#[from] serde_json::Error),
    /// It is, and not of a table.
    #[error("the listing of the packet filter lists no table")]
    NoTable,
}

impl Listing {
    /// Reads what `nft -j list table` printed.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn parse(text: &str) -> Result<Self, Unreadable> {
        let listed: Value = serde_json::from_str(text)?;
        let objects = listed["nftables"].as_array().ok_or(Unreadable::NoTable)?;
        let mut found = Self {
            layout: Vec::new(),
            rules: BTreeMap::new(),
            elements: BTreeSet::new(),
            is_strange: false,
        };
        for object in objects {
            let Some((kind, fields)) = object.as_object().and_then(|object| object.iter().next())
            else {
                continue;
            };
            let Some(fields) = fields.as_object() else {
                continue;
            };
            if kind != "metainfo" {
                found.note(kind, fields);
            }
        }
        if found.layout.is_empty() {
            return Err(Unreadable::NoTable);
        }
        Ok(found)
    }

    fn note(&mut self, kind: &str, fields: &Map<String, Value>) {
        let mut fields = fields.clone();
        fields.remove("handle");
        match kind {
            "counter" => {
                fields.remove("packets");
                fields.remove("bytes");
            }
            "rule" => {
                let chain = fields.get("chain").and_then(Value::as_str);
                *self
                    .rules
                    .entry(chain.unwrap_or_default().to_owned())
                    .or_default() += 1;
            }
            "set" => {
                let held = fields.remove("elem");
                let name = fields.get("name").and_then(Value::as_str);
                let set = Set::ALL.into_iter().find(|set| Some(set.name()) == name);
                let held = held.as_ref().and_then(Value::as_array);
                for element in held.into_iter().flatten() {
                    match set.and_then(|set| read_element(set, element)) {
                        Some(element) => {
                            self.elements.insert(element);
                        }
                        None => self.is_strange = true,
                    }
                }
            }
            _ => {}
        }
        self.layout.push(Value::Object(Map::from_iter([(
            kind.to_owned(),
            fields.into(),
        )])));
    }
}

/// Reads `{"concat": ["kw…", ADDRESS]}`, where the address is one or a network.
fn read_element(set: Set, element: &Value) -> Option<Element> {
    let [interface, address] = element["concat"].as_array()?.as_slice() else {
        return None;
    };
    let workspace = interface.as_str()?.strip_prefix("kw")?;
    let network = match address {
        Value::String(one) => Ipv4Net::from(one.parse::<Ipv4Addr>().ok()?),
        _ => {
            let prefix = &address["prefix"];
            let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
            Ipv4Net::new(prefix["addr"].as_str()?.parse().ok()?, length).ok()?
        }
    };
    Some(Element {
        set,
        workspace: WorkspaceId::parse(workspace).ok()?,
        network,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(handle: u32, packets: u32, elements: &str) -> String {
        format!(
            r#"{{"nftables": [
                {{"metainfo": {{"version": "1.0.6"}}}},
                {{"table": {{"family": "inet", "name": "kalpana", "handle": {handle}}}}},
                {{"counter": {{"name": "to_host", "handle": 4, "packets": {packets}, "bytes": 9}}}},
                {{"set": {{"name": "reachable", "handle": {handle}, "flags": ["interval"] {elements}}}}},
                {{"chain": {{"name": "input", "handle": 5, "hook": "input", "prio": -10}}}},
                {{"rule": {{"chain": "input", "handle": {handle}, "expr": [{{"drop": null}}]}}}}
            ]}}"#
        )
    }

    #[test]
    fn numbers_counts_and_what_is_in_sets_do_not_change_the_layout() {
        let elements = r#", "elem": [
            {"concat": ["kwaaaaaaaaaaaa", "192.168.7.9"]},
            {"concat": ["kwaaaaaaaaaaaa", {"prefix": {"addr": "10.20.0.0", "len": 16}}]}]"#;
        let first = Listing::parse(&listing(1, 0, "")).unwrap();
        let second = Listing::parse(&listing(77, 5, elements)).unwrap();
        assert_eq!(first.layout, second.layout);
        assert_eq!(first.rules, BTreeMap::from([("input".to_owned(), 1)]));
        assert!(first.elements.is_empty() && !second.is_strange);
        let networks: Vec<String> = second
            .elements
            .iter()
            .map(|element| element.network.to_string())
            .collect();
        assert_eq!(networks, ["10.20.0.0/16", "192.168.7.9/32"]);
    }

    #[test]
    fn the_table_as_a_host_lists_it_is_whole() {
        // Made with nft 1.0.6 on Linux 6.18 from what `rules` writes.
        let found = Listing::parse(include_str!("listing/nft-1.0.6.json")).unwrap();
        assert_eq!(found.rules, super::super::rules::rules_by_chain());
        assert!(!found.is_strange);
        let elements: Vec<String> = found
            .elements
            .iter()
            .map(|element| format!("{} {}", element.set.name(), element.network))
            .collect();
        assert_eq!(
            elements,
            [
                "reachable 10.20.0.0/16",
                "reachable 192.168.7.9/32",
                "reachable_here 192.168.7.9/32",
                "resolvers 10.0.0.2/32"
            ]
        );
    }

    #[test]
    fn a_chain_of_another_priority_and_a_rule_more_are_another_layout() {
        let text = listing(1, 0, "");
        let as_it_was = Listing::parse(&text).unwrap();
        let moved = Listing::parse(&text.replace("-10", "10")).unwrap();
        assert_ne!(as_it_was.layout, moved.layout);
        let rule = r#"{"rule": {"chain": "input", "handle": 1, "expr": [{"drop": null}]}}"#;
        let more = text.replace(rule, &format!("{rule},{rule}"));
        let more = Listing::parse(&more).unwrap();
        assert_ne!(as_it_was.layout, more.layout);
        assert_eq!(more.rules, BTreeMap::from([("input".to_owned(), 2)]));
    }

    #[test]
    fn what_we_would_never_put_into_a_set_is_strange() {
        for element in [
            r#"{"concat": ["kw*", "192.168.7.9"]}"#,
            r#"{"concat": ["eth0", "192.168.7.9"]}"#,
            r#"{"concat": ["kwaaaaaaaaaaaa", {"range": ["10.0.0.1", "10.0.0.9"]}]}"#,
            r#"{"concat": ["kwaaaaaaaaaaaa", {"prefix": {"addr": "10.0.0.0", "len": 300}}]}"#,
            r#"{"concat": ["kwaaaaaaaaaaaa"]}"#,
            r#""kwaaaaaaaaaaaa""#,
            "7",
        ] {
            let text = listing(1, 0, &format!(r#", "elem": [{element}]"#));
            assert!(Listing::parse(&text).unwrap().is_strange, "{element}");
        }
    }

    #[test]
    fn what_is_no_listing_is_not_read() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"nftables": 1}"#,
            r#"{"nftables": [1, {}]}"#,
        ] {
            assert!(Listing::parse(text).is_err(), "{text:?}");
        }
    }
}
