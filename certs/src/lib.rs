//! Certificates: where they come from, and which one a TLS client is shown.
//!
//! [`Certs::open`] is the door. What is wanted is worked out by [`plan`] from the configuration: a
//! [`local`] authority signs, an operator brings [`files`], whose [`flaws`] are told, or an authority issues by [`acme`],
//! which proves the names with [`answers`] or with records of [`dns`]. The [`book`] knows how each
//! of them is and [`renewal`] when it is replaced; [`keeper`] does what is due, and [`requests`] takes
//! what visitors and operators ask for. Several gateways of a site share over a [`shelf`] what
//! [`shared`] says, which [`synchronize`] takes in and gives. What happens is in the [`journal`] until
//! the site's audit log has it. The [`resolver`]
//! answers handshakes from an atomically swapped table, so that nothing ever waits for a
//! certificate but the first visitor of a host that has none. Keys are held here, and in the
//! [`vault`] on disk, and nowhere else.

pub mod acme;
pub mod answers;
mod book;
mod budget;
pub mod chain;
pub mod dns;
pub mod error;
pub mod files;
mod flaws;
pub mod journal;
mod keeper;
pub mod local;
pub mod metrics;
mod plan;
pub mod renewal;
mod requests;
pub mod resolver;
pub mod served;
mod shared;
pub mod shelf;
mod storage;
mod synchronize;
mod vault;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard};

use kalpana_config::Site;
use kalpana_domain::clock::Clock;
use kalpana_protocol::certificates::Certificates;
use prometheus::Registry;
use tokio::sync::{Notify, watch};

pub use acme::Step;
pub use answers::Answers;
pub use error::Error;
pub use keeper::Exists;
pub use resolver::Resolver;
pub use shared::Pace;
pub use shelf::Shelf;

use crate::acme::Acme;
use crate::book::{Book, Entry, Memory};
use crate::budget::Budget;
use crate::files::Files;
use crate::journal::Journal;
use crate::local::LocalAuthority;
use crate::metrics::Metrics;
use crate::plan::{Origin, Plan, Wanted};
use crate::shared::Shared;
use crate::vault::{Kind, Vault};

/// What is told of each step of each order, by the certificate's name: for logs, and for tests that
/// interrupt one.
pub type Observer = Arc<dyn Fn(&str, Step) + Send + Sync>;

/// The certificates of a site, and the task that keeps them fresh.
pub struct Certs {
    book: Mutex<Book>,
    local: Option<LocalAuthority>,
    files: Vec<(String, Files)>,
    issuing: Option<Issuing>,
    resolver: Arc<Resolver>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    journal: Journal,
    /// Wakes the keeper.
    wake: Notify,
    /// Changes whenever an attempt has ended.
    ended: watch::Sender<u64>,
    observer: Option<Observer>,
}

/// What is needed to order certificates.
struct Issuing {
    acme: Acme,
    vault: Vault,
    budget: Mutex<Budget>,
    is_on_demand: bool,
    /// What other gateways of the site know, where there may be any.
    shared: Option<Arc<Shared>>,
    /// Certificates that the others do not have yet.
    ungiven: Mutex<BTreeSet<String>>,
    /// Certificates of hosts that are gone, which the others have still.
    withdrawn: Mutex<BTreeSet<String>>,
    /// Wakes the task that looks at what others know.
    look: Notify,
    /// Held while this process is the one that orders.
    lock: Mutex<Option<File>>,
}

impl Certs {
    /// Reads the site's certificates, or makes them with a local authority, and registers metrics.
    /// What must be ordered is ordered by [`Certs::keep`]; until it is there, a certificate of the
    /// local authority stands in. `has_plain` tells whether anything answers at port 80.
    ///
    /// # Errors
    /// [`Error`], each of which names the file and what to do about it.
    pub fn open(
        site: &Site,
        config: &kalpana_config::Certs,
        has_plain: bool,
        registry: &Registry,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let plan = plan::plan(site, config);
        let resolver = Arc::<Resolver>::default();
        let uses_acme = plan
            .wanted
            .iter()
            .any(|wanted| wanted.origin == Origin::Acme);
        let issuing = if uses_acme || plan.is_on_demand {
            let vault = Vault::open(&site.gateway_dir())?;
            let answers = resolver.answers();
            let acme = Acme::new(&config.acme, &vault, answers, Arc::clone(&clock), has_plain);
            Some(Issuing {
                acme,
                budget: Mutex::new(Budget::open(&vault, config.acme.on_demand_per_week)),
                vault,
                is_on_demand: plan.is_on_demand,
                shared: None,
                ungiven: Mutex::default(),
                withdrawn: Mutex::default(),
                look: Notify::new(),
                lock: Mutex::new(None),
            })
        } else {
            None
        };
        let mut certs = Self {
            book: Mutex::default(),
            local: None,
            files: Vec::new(),
            issuing,
            resolver,
            metrics: Metrics::register(registry)?,
            clock,
            journal: Journal::open(&site.gateway_dir())?,
            wake: Notify::new(),
            ended: watch::Sender::new(0),
            observer: None,
        };
        certs.fill(site, config, plan)?;
        Ok(certs)
    }

    /// Tells `observer` of each step of each order.
    #[must_use]
    pub fn observed_by(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Loads what is wanted and there, and lets the local authority sign what it is to sign.
    fn fill(
        &mut self,
        site: &Site,
        config: &kalpana_config::Certs,
        plan: Plan,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let lifetime = config.local_lifetime.0;
        let mut missing: Vec<String> = Vec::new();
        for wanted in plan.wanted {
            let entry = match &wanted.origin {
                Origin::Local => {
                    let authority = LocalAuthority::new(site, wanted.names.clone(), lifetime);
                    let served = authority.obtain(now)?;
                    self.local = Some(authority);
                    Entry::new(wanted, Some(served), Memory::default())
                }
                Origin::Files { certificate, key } => {
                    let files = Files::new(certificate, key);
                    let served = files.load(now)?;
                    self.files.push((wanted.id.clone(), files));
                    Entry::new(wanted, Some(served), Memory::default())
                }
                Origin::Acme => {
                    let entry = self.remembered(wanted);
                    if entry.served.is_none() {
                        missing.extend(entry.wanted.names.iter().cloned());
                    }
                    entry
                }
            };
            self.enter(entry);
        }
        if plan.is_on_demand {
            self.recall_single_hosts(site);
        }
        if !missing.is_empty() {
            let workspaces = format!("*.{}", site.workspace_domain);
            if plan.is_on_demand && !missing.contains(&workspaces) {
                missing.push(workspaces);
            }
            tracing::info!(
                "no certificate for {} yet; one of the local authority stands in, which browsers \
                 do not trust",
                missing.join(", ")
            );
            let authority = LocalAuthority::new(site, missing, lifetime);
            self.resolver
                .stand_in(Some(Arc::new(authority.obtain(now)?)));
        }
        self.note_unnoted();
        self.look_for_flaws();
        self.show();
        Ok(())
    }

    /// Reads the certificates of single hosts that were ordered before.
    fn recall_single_hosts(&self, site: &Site) {
        let Some(issuing) = &self.issuing else { return };
        let suffix = format!(".{}", site.workspace_domain);
        for id in issuing.vault.ids() {
            if !id.ends_with(&suffix) || id.starts_with('_') || self.book().contains_key(&id) {
                continue;
            }
            let mut entry = self.remembered(Wanted::new(vec![id], Origin::Acme));
            entry.is_on_demand = true;
            if entry.served.is_some() {
                self.enter(entry);
            }
        }
    }

    /// Makes an entry of what the vault has.
    fn remembered(&self, wanted: Wanted) -> Entry {
        if let Some(issuing) = &self.issuing {
            issuing.acme.forget_finished(&wanted.id);
        }
        let vault = self.issuing.as_ref().map(|issuing| &issuing.vault);
        let served = vault.and_then(|vault| vault.certificate(&wanted.id));
        let memory = vault.and_then(|vault| vault.read(Kind::State, &wanted.id));
        Entry::new(wanted, served, memory.unwrap_or_default())
    }

    fn enter(&self, entry: Entry) {
        let id = entry.wanted.id.clone();
        if let Some(served) = &entry.served {
            self.resolver.put(&id, Arc::clone(served));
        }
        self.book().insert(id, entry);
    }

    /// Returns what a TLS server asks for its certificate.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Returns what is answered to authorities.
    pub fn answers(&self) -> Arc<Answers> {
        self.resolver.answers()
    }

    /// Returns how all certificates are, those of the site first.
    pub fn list(&self) -> Certificates {
        let now = self.clock.now();
        let book = self.book();
        let (single, own): (Vec<_>, Vec<_>) = book.values().partition(|entry| entry.is_on_demand);
        let certificates = own.into_iter().chain(single).map(|entry| entry.show(now));
        Certificates {
            certificates: certificates.collect(),
            on_demand_left: self
                .issuing
                .as_ref()
                .filter(|issuing| issuing.is_on_demand)
                .map(|issuing| issuing.budget().left(now)),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder panics")
    }
}

impl Issuing {
    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().expect("no holder panics")
    }
}

impl fmt::Debug for Certs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certs").finish_non_exhaustive()
    }
}
