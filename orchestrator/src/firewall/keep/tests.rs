//! The keeper beside a table that others change, too.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kalpana_domain::workspace::Egress;
use serde_json::json;

use super::*;

/// A packet filter in memory, which understands the scripts that we write.
#[derive(Debug, Default)]
struct Memory {
    table: Mutex<Option<Table>>,
    interfaces: Mutex<BTreeSet<String>>,
    /// Calls that are refused before one is not.
    refusals: AtomicUsize,
    trouble: Mutex<Option<fn() -> FilterError>>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    rules: Vec<(String, String)>,
    elements: BTreeSet<(String, String)>,
}

impl Table {
    fn obey(&mut self, line: &str) -> Result<(), FilterError> {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        match *words.as_slice() {
            ["flush", "table", ..] => self.rules.clear(),
            ["add", "rule", _, _, chain, rule] => {
                self.rules.push((chain.to_owned(), rule.to_owned()));
            }
            [verb @ ("add" | "delete"), "element", _, _, set, held] => {
                let held = held.trim_matches(|c| matches!(c, '{' | '}' | ' '));
                for element in held.split(", ") {
                    let element = (set.to_owned(), element.to_owned());
                    let is_new = match verb {
                        "add" => self.elements.insert(element),
                        _ => self.elements.remove(&element),
                    };
                    if !is_new {
                        return Err(refused());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn json(&self) -> String {
        let mut objects = vec![json!({"table": {"name": "kalpana", "handle": 1}})];
        for set in Set::ALL {
            let of_it = self.elements.iter().filter(|(name, _)| name == set.name());
            let elements: Vec<Value> = of_it
                .map(|(_, text)| {
                    let (interface, network) = text.split_once(" . ").unwrap();
                    let network = match network.split_once('/') {
                        Some((addr, len)) => {
                            json!({"prefix": {"addr": addr, "len": len.parse::<u8>().unwrap()}})
                        }
                        None => json!(network),
                    };
                    json!({"concat": [interface.trim_matches('"'), network]})
                })
                .collect();
            objects.push(json!({"set": {"name": set.name(), "elem": elements}}));
        }
        for (handle, (chain, rule)) in self.rules.iter().enumerate() {
            objects.push(json!({"rule": {"chain": chain, "handle": handle, "expr": rule}}));
        }
        json!({ "nftables": objects }).to_string()
    }
}

fn refused() -> FilterError {
    FilterError::Refused {
        complaint: "Error: Could not process rule: File exists".to_owned(),
    }
}

#[async_trait]
impl Filter for Memory {
    async fn list(&self) -> Result<Option<String>, FilterError> {
        if let Some(trouble) = *self.trouble.lock().unwrap() {
            return Err(trouble());
        }
        Ok(self.table.lock().unwrap().as_ref().map(Table::json))
    }

    async fn apply(&self, script: &str) -> Result<(), FilterError> {
        if let Some(trouble) = *self.trouble.lock().unwrap() {
            return Err(trouble());
        }
        if self.refusals.load(Ordering::Relaxed) > 0 {
            self.refusals.fetch_sub(1, Ordering::Relaxed);
            return Err(refused());
        }
        let mut table = self.table.lock().unwrap();
        let mut next = table.clone();
        for line in script.lines() {
            match line {
                "add table inet kalpana" => next = Some(next.unwrap_or_default()),
                "delete table inet kalpana" => next = None,
                other => next.as_mut().ok_or_else(refused)?.obey(other)?,
            }
        }
        *table = next;
        Ok(())
    }

    fn has_interface(&self, name: &str) -> bool {
        self.interfaces.lock().unwrap().contains(name)
    }
}

/// One site's keeper, and what it shares with others.
struct Site {
    filter: Arc<Memory>,
    firewall: Firewall,
}

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

impl Site {
    fn beside(filter: &Arc<Memory>, mode: Mode, named: &[&str]) -> Self {
        let named: Vec<Ipv4Net> = named.iter().map(|text| text.parse().unwrap()).collect();
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let firewall = Firewall {
            filter: filter.clone(),
            resolvers: || vec![SERVER],
            ..Firewall::new(mode, &named, metrics)
        };
        Self {
            filter: Arc::clone(filter),
            firewall,
        }
    }

    fn alone(mode: Mode, named: &[&str]) -> Self {
        Self::beside(&Arc::default(), mode, named)
    }

    fn elements(&self) -> Vec<String> {
        let table = self.filter.table.lock().unwrap();
        let elements = table.iter().flat_map(|table| table.elements.iter());
        elements
            .map(|(set, text)| format!("{set} {text}"))
            .collect()
    }

    fn is_whole(&self) -> bool {
        let table = self.filter.table.lock().unwrap();
        let text = table.as_ref().map(Table::json);
        text.is_some_and(|text| Listing::parse(&text).unwrap().rules == rules::rules_by_chain())
    }

    fn connect(&self, row: &Workspace) {
        let name = network::bridge_name(row.id);
        self.filter.interfaces.lock().unwrap().insert(name);
    }

    fn disconnect(&self, row: &Workspace) {
        let name = network::bridge_name(row.id);
        self.filter.interfaces.lock().unwrap().remove(&name);
    }
}

fn row(id: &str, egress: Egress) -> Workspace {
    let mut row = crate::testing::workspace();
    row.id = WorkspaceId::parse(id).unwrap();
    row.spec.egress = egress;
    row
}

#[tokio::test]
async fn a_workspace_has_its_own_when_it_starts_and_nothing_when_it_is_gone() {
    let site = Site::alone(Mode::Required, &["10.20.0.0/16"]);
    let open = row("aaaaaaaaaaaa", Egress::Open);
    site.firewall.before_network().await.unwrap();
    assert!(site.is_whole(), "before there is a network");
    assert_eq!(site.elements(), Vec::<String>::new());
    site.connect(&open);
    site.firewall.before_start(&open).await.unwrap();
    let own = [
        "reachable \"kwaaaaaaaaaaaa\" . 10.20.0.0/16",
        "resolvers \"kwaaaaaaaaaaaa\" . 10.0.0.2",
    ];
    assert_eq!(site.elements(), own);
    site.firewall.look(&[]).await;
    assert_eq!(site.elements(), own, "a store that is away takes nothing");
    site.disconnect(&open);
    site.firewall.look(std::slice::from_ref(&open)).await;
    assert_eq!(site.elements(), Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_removed_is_back_at_the_next_look_and_before_the_next_start() {
    let site = Site::alone(Mode::Auto, &["10.20.0.0/16"]);
    let open = row("aaaaaaaaaaaa", Egress::Open);
    site.connect(&open);
    site.firewall.look(std::slice::from_ref(&open)).await;
    let before = site.elements();
    type Damage = fn(&mut Option<Table>);
    let damages: [Damage; 4] = [
        |table| *table = None,
        |table| drop(table.as_mut().unwrap().rules.pop()),
        |table| table.as_mut().unwrap().rules[4].1 = "accept".to_owned(),
        |table| {
            let strange = ("reachable".to_owned(), "\"kw*\" . 10.0.0.0/8".to_owned());
            table.as_mut().unwrap().elements.insert(strange);
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        damage(&mut site.filter.table.lock().unwrap());
        site.firewall.look(std::slice::from_ref(&open)).await;
        assert!(site.is_whole(), "damage {number}");
        assert_eq!(site.elements(), before, "damage {number}");
        damage(&mut site.filter.table.lock().unwrap());
        site.firewall.before_start(&open).await.unwrap();
        assert!(site.is_whole(), "damage {number}");
        assert_eq!(site.elements(), before, "damage {number}");
    }
    // What it may not have any more goes, but for a name server that its container still asks.
    for (set, network) in [("reachable", "10.9.0.0/16"), ("resolvers", "10.0.0.3")] {
        let element = (set.to_owned(), format!("\"kwaaaaaaaaaaaa\" . {network}"));
        let mut table = site.filter.table.lock().unwrap();
        table.as_mut().unwrap().elements.insert(element);
    }
    site.firewall.look(std::slice::from_ref(&open)).await;
    assert_eq!(site.elements().len(), before.len() + 1);
    site.firewall.before_start(&open).await.unwrap();
    assert_eq!(site.elements(), before);
}

#[tokio::test]
async fn sites_on_one_host_leave_each_other_what_is_theirs() {
    let one = Site::alone(Mode::Required, &["10.20.0.0/16"]);
    let other = Site::beside(&one.filter, Mode::Required, &["192.168.0.0/16"]);
    let (mine, theirs) = (
        row("aaaaaaaaaaaa", Egress::Open),
        row("bbbbbbbbbbbb", Egress::None),
    );
    one.connect(&mine);
    other.connect(&theirs);
    one.firewall.before_start(&mine).await.unwrap();
    other.firewall.before_start(&theirs).await.unwrap();
    let both = [
        "reachable \"kwaaaaaaaaaaaa\" . 10.20.0.0/16",
        "reachable \"kwbbbbbbbbbbbb\" . 192.168.0.0/16",
        "resolvers \"kwaaaaaaaaaaaa\" . 10.0.0.2",
    ];
    assert_eq!(one.elements(), both);
    one.firewall.look(std::slice::from_ref(&mine)).await;
    other.firewall.look(std::slice::from_ref(&theirs)).await;
    assert_eq!(one.elements(), both);
    // Who finds a rule gone repairs it without taking the other's.
    one.filter
        .table
        .lock()
        .unwrap()
        .as_mut()
        .unwrap()
        .rules
        .pop();
    one.firewall.look(std::slice::from_ref(&mine)).await;
    assert_eq!(one.elements(), both);
    // What a site left behind that is gone is taken away by whoever looks.
    one.disconnect(&mine);
    other.firewall.look(std::slice::from_ref(&theirs)).await;
    assert_eq!(one.elements(), both[1..2]);
}

#[tokio::test]
async fn without_the_filter_nothing_starts_where_it_is_required_and_everything_elsewhere() {
    let trouble: fn() -> FilterError = || FilterError::Forbidden;
    for (mode, egress, starts) in [
        (Mode::Required, Egress::Open, false),
        (Mode::Required, Egress::None, false),
        (Mode::Auto, Egress::Open, true),
        (Mode::Off, Egress::Open, true),
    ] {
        let site = Site::alone(mode, &[]);
        let row = row("aaaaaaaaaaaa", egress);
        site.connect(&row);
        *site.filter.trouble.lock().unwrap() = Some(trouble);
        for result in [
            site.firewall.before_network().await,
            site.firewall.before_start(&row).await,
        ] {
            assert_eq!(result.is_ok(), starts, "{mode:?} {egress:?}");
            if let Err(hold) = result {
                let Hold::Lasting(reason) = hold else {
                    panic!("{hold:?}")
                };
                assert_eq!(reason.code, FailureCode::FirewallUnavailable);
                assert_eq!(
                    reason.message,
                    "The host's packet filter is not in force (this process may not change the \
                     packet filter), and without it no workspace is started \
                     (orchestrator.firewall): have Kalpana started by root, or give its \
                     orchestrator CAP_NET_ADMIN."
                );
            }
        }
    }
}

#[tokio::test]
async fn a_bridge_that_is_not_on_this_host_is_not_held_by_its_filter() {
    let site = Site::alone(Mode::Required, &[]);
    let open = row("aaaaaaaaaaaa", Egress::Open);
    let in_force = || *site.firewall.is_in_force.lock().unwrap();
    let hold = site.firewall.before_start(&open).await.unwrap_err();
    let Hold::Lasting(reason) = hold else {
        panic!("{hold:?}")
    };
    assert!(
        reason.message.contains("networks are elsewhere"),
        "{reason:?}"
    );
    assert_eq!(in_force(), Some(false));
    // The table itself is fine, and that changes nothing.
    site.firewall.look(&[]).await;
    site.firewall.before_network().await.unwrap();
    assert_eq!(in_force(), Some(false));
    site.connect(&open);
    site.firewall.look(std::slice::from_ref(&open)).await;
    assert_eq!(in_force(), Some(true));
}

#[tokio::test]
async fn a_refusal_is_tried_again_and_a_lasting_one_is_told() {
    let site = Site::alone(Mode::Required, &["10.20.0.0/16"]);
    let open = row("aaaaaaaaaaaa", Egress::Open);
    site.connect(&open);
    site.filter.refusals.store(4, Ordering::Relaxed);
    site.firewall.before_start(&open).await.unwrap();
    assert_eq!(site.elements().len(), 2);
    site.filter.refusals.store(usize::MAX, Ordering::Relaxed);
    *site.filter.table.lock().unwrap() = None;
    let hold = site.firewall.before_start(&open).await.unwrap_err();
    let Hold::Passing(error) = hold else {
        panic!("{hold:?}")
    };
    assert!(error.to_string().contains("File exists"), "{error:?}");
}

#[tokio::test]
async fn a_filter_that_is_off_is_never_touched() {
    let site = Site::alone(Mode::Off, &["10.20.0.0/16"]);
    let open = row("aaaaaaaaaaaa", Egress::Open);
    site.firewall.before_network().await.unwrap();
    site.firewall.before_start(&open).await.unwrap();
    site.firewall.look(std::slice::from_ref(&open)).await;
    assert!(site.filter.table.lock().unwrap().is_none());
}

#[tokio::test]
async fn what_is_reachable_no_more_is_taken_from_who_may_reach_nothing_else() {
    let before = Site::alone(Mode::Auto, &["10.20.0.0/16"]);
    let after = Site::beside(&before.filter, Mode::Auto, &[]);
    let none = row("aaaaaaaaaaaa", Egress::None);
    before.connect(&none);
    before.firewall.before_start(&none).await.unwrap();
    assert_eq!(before.elements().len(), 1);
    after.firewall.look(std::slice::from_ref(&none)).await;
    assert_eq!(before.elements(), Vec::<String>::new());
}

#[tokio::test]
async fn a_process_that_begins_beside_workspaces_without_a_bridge_does_not_say_that_they_are_held()
{
    let site = Site::alone(Mode::Auto, &[]);
    let mut running = row("aaaaaaaaaaaa", Egress::Open);
    running.lifecycle = Lifecycle::Running {
        since: running.created_at,
    };
    site.firewall.look(std::slice::from_ref(&running)).await;
    assert_eq!(*site.firewall.is_in_force.lock().unwrap(), Some(false));
    site.connect(&running);
    site.firewall.look(std::slice::from_ref(&running)).await;
    assert_eq!(*site.firewall.is_in_force.lock().unwrap(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_never_answers_holds_up_a_start_for_so_long() {
    let site = Site::alone(Mode::Auto, &[]);
    let open = row("aaaaaaaaaaaa", Egress::Open);
    site.connect(&open);
    let _held = site.firewall.layout.lock().await;
    let begin = tokio::time::Instant::now();
    site.firewall.before_start(&open).await.unwrap();
    assert_eq!(begin.elapsed(), PATIENCE);
    assert_eq!(*site.firewall.is_in_force.lock().unwrap(), Some(false));
}
