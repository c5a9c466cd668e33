//! Keeps the table as it should be, and says so when it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::Ipv4Net;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::workspace::Workspace;
use kalpana_store::repository::Workspaces;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::listing::{Listing, Unreadable};
use super::nft::{Filter, FilterError, Nft};
use super::resolvers;
use super::rules::{self, Allowed, Element, Set};
use crate::metrics::Metrics;
use crate::network;
use crate::reconcile::describe;

/// Tries in one go. Other sites on the host change the same table, so that what was just seen may not
/// be so any more.
const TRIES: usize = 5;

/// How long one start or look waits for the table in all, others of this process that hold it included.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much the operator wants the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In force where it can be.
    Auto,
    /// Without it nothing is started.
    Required,
    /// It is left alone.
    Off,
}

impl FromStr for Mode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "required" => Ok(Self::Required),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

/// Why the table is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotInForce {
    /// The kernel or its tool did not do as asked.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// What is there cannot be understood.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It was laid and is not there, or not whole.
    #[error("the table does not hold what was put into it")]
    NotWhole,
    /// A workspace's bridge is not here, so neither is its traffic.
    #[error(
        "the interface {interface} is not in this process's network: the container engine's networks \
         are elsewhere"
    )]
    Elsewhere {
        /// The workspace's.
        interface: String,
    },
}

/// Why a workspace does not start now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Hold {
    /// Somebody has to change something first.
    #[error("{}", .0.message)]
    Lasting(FailureReason),
    /// It may be otherwise at the next try.
    #[error("the host's packet filter is required and not in force")]
    Passing(#[source] NotInForce),
}

impl NotInForce {
    /// Tells whether trying again cannot help.
    fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Filter(FilterError::Missing | FilterError::Forbidden) | Self::Elsewhere { .. }
        )
    }

    /// Returns what an operator does about it.
    fn next_step(&self) -> &'static str {
        match self {
            Self::Filter(FilterError::Missing) => "install the Debian package nftables",
            Self::Filter(FilterError::Forbidden) => {
                "have Kalpana started by root, or give its orchestrator CAP_NET_ADMIN"
            }
            Self::Elsewhere { .. } => {
                "run the orchestrator on the engine's host, in the host's own network namespace"
            }
            _ => {
                "look at `nft list table inet kalpana`; `nft delete table inet kalpana` has it made anew"
            }
        }
    }
}

/// Keeps the table.
#[derive(Debug)]
pub(crate) struct Firewall {
    mode: Mode,
    filter: Arc<dyn Filter>,
    allowed: Allowed,
    resolvers: fn() -> Vec<Ipv4Addr>,
    metrics: Metrics,
    /// How this host shows the table when it is as it should be; held while it is looked at, so that
    /// two starts do not repair it at once.
    layout: tokio::sync::Mutex<Option<Vec<Value>>>,
    is_in_force: Mutex<Option<bool>>,
    /// A bridge that was not in this process's network when its workspace was to start.
    missing: Mutex<Option<String>>,
}

impl Firewall {
    /// Makes a keeper of this host's table that lets workspaces reach what was named.
    pub(crate) fn new(mode: Mode, named: &[Ipv4Net], metrics: Metrics) -> Self {
        Self {
            mode,
            filter: Arc::new(Nft),
            allowed: Allowed::new(named),
            resolvers: resolvers::of_this_host,
            metrics,
            layout: tokio::sync::Mutex::default(),
            is_in_force: Mutex::default(),
            missing: Mutex::default(),
        }
    }

    /// Looks at the table each `interval`, until the shutdown.
    pub(crate) async fn run(
        &self,
        store: Arc<dyn Workspaces>,
        interval: Duration,
        shutdown: CancellationToken,
    ) {
        if self.mode == Mode::Off {
            self.warn_of_what_stays().await;
            return;
        }
        while !shutdown.is_cancelled() {
            // A store that is away has everything left as it is.
            let rows = store.all_workspaces().await.unwrap_or_default();
            self.look(&rows).await;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// Says what a table that is left alone means for this site's workspaces.
    async fn warn_of_what_stays(&self) {
        if matches!(self.filter.list().await, Ok(Some(_))) {
            tracing::warn!(
                "orchestrator.firewall is off, and the packet filter's table inet kalpana is there all \
                 the same: workspaces started from now on reach no private name server and nothing of \
                 orchestrator.reachable through it; if no other site on this host needs it, remove it \
                 with `nft delete table inet kalpana`"
            );
        }
    }

    /// Looks at the table, and puts right what is not as it should be: the rules, and what belongs
    /// to these workspaces or to none that has an interface. No rows, when the store says none, leave
    /// what workspaces have.
    pub(crate) async fn look(&self, rows: &[Workspace]) {
        if self.mode == Mode::Off {
            return;
        }
        let servers = (self.resolvers)();
        let is_here = |row: &&Workspace| self.filter.has_interface(&network::bridge_name(row.id));
        let here = rows.iter().filter(is_here);
        let own: BTreeMap<_, _> = here
            .map(|row| {
                let elements = self.allowed.elements(row.id, row.spec.egress, &servers);
                (row.id, elements)
            })
            .collect();
        let result = self.bring_about(&own, Resolvers::Keep).await;
        let result = result.and_then(|()| self.recall_missing(rows, own.is_empty()));
        self.note(result.as_ref().err());
    }

    /// Repeats that bridges are elsewhere, until one has been seen here. A process that has just begun
    /// knows it by workspaces that run and have none.
    fn recall_missing(&self, rows: &[Workspace], are_all_missing: bool) -> Result<(), NotInForce> {
        let mut missing = self.missing.lock().expect("no holder panics");
        if are_all_missing {
            let mut running = rows
                .iter()
                .filter(|row| matches!(row.lifecycle, Lifecycle::Running { .. }));
            let of_it = running.next().map(|row| network::bridge_name(row.id));
            *missing = missing.take().or(of_it);
        } else {
            *missing = None;
        }
        match missing.clone() {
            Some(interface) => Err(NotInForce::Elsewhere { interface }),
            None => Ok(()),
        }
    }

    /// Sees before a workspace's network is made that the rules are there to meet it.
    ///
    /// # Errors
    /// Why the workspace must not start.
    pub(crate) async fn before_network(&self) -> Result<(), Hold> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        let none = BTreeMap::new();
        let result = self.bring_about(&none, Resolvers::Keep).await;
        // Elsewhere or not shows when the network is there.
        match &result {
            Ok(()) => Ok(()),
            Err(_) => self.judge(result),
        }
    }

    /// Sees before a workspace's container is started that the rules are in force for its network, and
    /// that it can reach what it may.
    ///
    /// # Errors
    /// Why the workspace must not start.
    pub(crate) async fn before_start(&self, row: &Workspace) -> Result<(), Hold> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        let interface = network::bridge_name(row.id);
        let is_here = self.filter.has_interface(&interface);
        *self.missing.lock().expect("no holder panics") = (!is_here).then(|| interface.clone());
        let result = if is_here {
            let servers = (self.resolvers)();
            let elements = self.allowed.elements(row.id, row.spec.egress, &servers);
            let own = BTreeMap::from([(row.id, elements)]);
            self.bring_about(&own, Resolvers::Replace).await
        } else {
            Err(NotInForce::Elsewhere { interface })
        };
        self.judge(result)
    }

    fn judge(&self, result: Result<(), NotInForce>) -> Result<(), Hold> {
        self.note(result.as_ref().err());
        match result {
            Err(_) if self.mode != Mode::Required => Ok(()),
            Err(error) if error.is_lasting() => {
                let message = format!(
                    "The host's packet filter is not in force ({}), and without it no workspace is \
                     started (orchestrator.firewall): {}.",
                    describe(&error),
                    error.next_step()
                );
                Err(Hold::Lasting(FailureReason::new(
                    FailureCode::FirewallUnavailable,
                    message,
                )))
            }
            other => other.map_err(Hold::Passing),
        }
    }

    /// Brings the table to hold the rules, and what these workspaces may reach.
    async fn bring_about(
        &self,
        own: &BTreeMap<WorkspaceId, BTreeSet<Element>>,
        resolvers: Resolvers,
    ) -> Result<(), NotInForce> {
        tokio::time::timeout(PATIENCE, self.try_repeatedly(own, resolvers))
            .await
            .unwrap_or(Err(FilterError::TimedOut.into()))
    }

    async fn try_repeatedly(
        &self,
        own: &BTreeMap<WorkspaceId, BTreeSet<Element>>,
        resolvers: Resolvers,
    ) -> Result<(), NotInForce> {
        let mut layout = self.layout.lock().await;
        let mut last = NotInForce::NotWhole;
        for _ in 0..TRIES {
            match self.try_once(&mut layout, own, resolvers).await {
                // Somebody changed it between the look and the change: look again.
                Err(
                    error
                    @ (NotInForce::Filter(FilterError::Refused { .. }) | NotInForce::NotWhole),
                ) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn try_once(
        &self,
        layout: &mut Option<Vec<Value>>,
        own: &BTreeMap<WorkspaceId, BTreeSet<Element>>,
        resolvers: Resolvers,
    ) -> Result<(), NotInForce> {
        let mut found = self.listing().await?;
        let is_as_laid =
            |found: &Listing| !found.is_strange && layout.as_ref() == Some(&found.layout);
        if !found.as_ref().is_some_and(is_as_laid) {
            if layout.is_some() {
                tracing::warn!(
                    "somebody else removed or changed the packet filter's table inet kalpana, making it \
                     what it should be"
                );
                self.metrics.firewall_repaired();
            }
            found = Some(self.lay(found).await?);
            *layout = found.as_ref().map(|found| found.layout.clone());
        }
        let elements = found.map(|found| found.elements).unwrap_or_default();
        let is_there = |id| self.filter.has_interface(&network::bridge_name(id));
        let (remove, add) = differences(&elements, own, resolvers, is_there);
        if remove.is_empty() && add.is_empty() {
            return Ok(());
        }
        Ok(self.filter.apply(&rules::change(&remove, &add)).await?)
    }

    async fn listing(&self) -> Result<Option<Listing>, NotInForce> {
        let text = self.filter.list().await?;
        Ok(text.map(|text| Listing::parse(&text)).transpose()?)
    }

    /// Lays the rules, over those that are there if that can be, and returns what is there then.
    async fn lay(&self, found: Option<Listing>) -> Result<Listing, NotInForce> {
        let is_strange = found.as_ref().is_some_and(|found| found.is_strange);
        let kept = found.map(|found| found.elements).unwrap_or_default();
        let laid = if is_strange {
            self.filter.apply(&rules::lay_anew(&kept)).await
        } else {
            match self.filter.apply(&rules::lay()).await {
                // A chain or a set of that name is another: made by hand, or by another version.
                Err(FilterError::Refused { .. }) => {
                    self.filter.apply(&rules::lay_anew(&kept)).await
                }
                other => other,
            }
        };
        laid?;
        let now = self.listing().await?.ok_or(NotInForce::NotWhole)?;
        if now.rules != rules::rules_by_chain() || now.is_strange {
            return Err(NotInForce::NotWhole);
        }
        Ok(now)
    }

    /// Notes whether the table is in force, and says so once when that changes.
    fn note(&self, error: Option<&NotInForce>) {
        let is_in_force = error.is_none();
        self.metrics.firewall_active(is_in_force);
        let before = {
            let mut known = self.is_in_force.lock().expect("no holder panics");
            known.replace(is_in_force)
        };
        match (before, error) {
            (Some(true), None) | (Some(false), Some(_)) => {}
            (_, None) => tracing::info!(
                "the packet filter is in force: workspaces reach neither this host nor private networks"
            ),
            (_, Some(error)) => {
                let (cause, next_step) = (describe(error), error.next_step());
                let consequence = match self.mode {
                    Mode::Required => "workspaces are not started",
                    Mode::Auto | Mode::Off => {
                        "workspaces reach this host, private networks and the cloud's metadata address"
                    }
                };
                tracing::error!(
                    error = cause,
                    "the packet filter is not in force, and {consequence}: {cause}; {next_step}"
                );
            }
        }
    }
}

/// What becomes of name servers that a workspace has and would not be given today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolvers {
    /// They stay: a container that runs asks those that were the host's when it started.
    Keep,
    /// They go.
    Replace,
}

/// Returns what is to be taken out of the sets and what is to be put in. What belongs to another
/// site's workspace is left, unless that has no interface any more.
fn differences(
    found: &BTreeSet<Element>,
    own: &BTreeMap<WorkspaceId, BTreeSet<Element>>,
    resolvers: Resolvers,
    is_there: impl Fn(WorkspaceId) -> bool,
) -> (BTreeSet<Element>, BTreeSet<Element>) {
    let is_too_much = |element: &&Element| match own.get(&element.workspace) {
        Some(wanted) if wanted.contains(element) => false,
        Some(_) => element.set != Set::Resolvers || resolvers == Resolvers::Replace,
        None => !is_there(element.workspace),
    };
    let remove = found.iter().filter(is_too_much).copied().collect();
    let wanted: BTreeSet<Element> = own.values().flatten().copied().collect();
    (remove, wanted.difference(found).copied().collect())
}

#[cfg(test)]
mod tests;
