//! Which certificate a client is shown, answered from memory during the handshake.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::answers::{ACME_TLS, Answers};
use crate::served::Served;

/// An atomically swapped table of certificates by name.
#[derive(Debug, Default)]
pub struct Resolver {
    table: ArcSwap<Table>,
    answers: Arc<Answers>,
    /// Held while the table is made anew.
    changing: Mutex<()>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    /// Shown where no name fits, and last in the order of names.
    stand_in: Option<Arc<Served>>,
    /// By what they are called.
    served: BTreeMap<String, Arc<Served>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the domain that one label stands before.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// What a client with a wrong or no name sees.
    default: Option<Arc<CertifiedKey>>,
}

impl Resolver {
    /// Returns the answers that are given to authorities.
    pub fn answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    /// Serves `served` under `id` from the next handshake on.
    pub fn put(&self, id: &str, served: Arc<Served>) {
        self.change(|table| {
            table.served.insert(id.to_owned(), served);
        });
    }

    /// Stops to serve what is called `id`.
    pub fn take(&self, id: &str) {
        self.change(|table| {
            table.served.remove(id);
        });
    }

    /// Shows `served` to whom nothing else can be shown.
    pub fn stand_in(&self, served: Option<Arc<Served>>) {
        self.change(|table| table.stand_in = served);
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let _changing = self.changing.lock().expect("no holder panics");
        let mut table = Table::clone(&self.table.load());
        change(&mut table);
        table.index();
        self.table.store(Arc::new(table));
    }

    /// Returns what is served under `id`.
    pub fn current(&self, id: &str) -> Option<Arc<Served>> {
        self.table.load().served.get(id).cloned()
    }

    /// Tells whether a certificate names `host`; one that only stands in does not count.
    pub fn names(&self, host: &str) -> bool {
        let table = self.table.load();
        let found = table.named(host);
        let stands_in = |key: &Arc<CertifiedKey>| {
            let stand_in = table.stand_in.as_ref();
            stand_in.is_some_and(|served| Arc::ptr_eq(&served.key, key))
        };
        found.is_some_and(|key| !stands_in(&key))
    }

    /// Returns the certificate for a server name: the exact one, else a wildcard's, else the
    /// default, which lets a client with a wrong or no name see whose certificate it got.
    pub fn find(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let named = server_name.and_then(|name| table.named(name));
        named.or_else(|| table.default.clone())
    }

    /// Tells whether a connection that was made for `server_name` is good for `host` as well:
    /// whether they are the same, or the certificate that was shown names the host.
    ///
    /// Browsers use one connection for every host that its certificate names.
    pub fn is_good_for(&self, server_name: &str, host: &str) -> bool {
        if server_name.eq_ignore_ascii_case(host) {
            return true;
        }
        let table = self.table.load();
        let shown = table.named(server_name).or_else(|| table.default.clone());
        shown
            .zip(table.named(host))
            .is_some_and(|(shown, named)| Arc::ptr_eq(&shown, &named))
    }
}

impl Table {
    /// Makes the look-ups anew. A stand-in is named only where nothing else is.
    fn index(&mut self) {
        self.exact.clear();
        self.wildcard.clear();
        for served in self.stand_in.iter().chain(self.served.values()) {
            for name in &served.names {
                let key = Arc::clone(&served.key);
                match name.strip_prefix("*.") {
                    Some(parent) => self.wildcard.insert(parent.to_owned(), key),
                    None => self.exact.insert(name.clone(), key),
                };
            }
        }
        // The site's own names come first in what the site calls its certificates' main one: the
        // one with the most names, and of these the first.
        let main = self
            .served
            .values()
            .max_by_key(|served| (served.names.len(), std::cmp::Reverse(&served.names)));
        let default = main.or(self.stand_in.as_ref());
        self.default = default.map(|served| Arc::clone(&served.key));
    }

    fn named(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        self.exact.get(&name).or(wildcard).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_authority = client_hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS));
        if is_authority {
            return self.answers.tls(client_hello.server_name()?);
        }
        self.find(client_hello.server_name())
    }
}
