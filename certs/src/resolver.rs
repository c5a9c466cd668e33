//! Which certificate a client is shown, answered from memory during the handshake.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::served::Served;

/// An atomically swapped table of certificates by name.
#[derive(Debug, Default)]
pub struct Resolver {
    table: ArcSwapOption<Table>,
}

#[derive(Debug)]
struct Table {
    served: Served,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the domain that one label stands before.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    /// Serves `served` from the next handshake on.
    pub fn replace(&self, served: Served) {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for name in &served.names {
            match name.strip_prefix("*.") {
                Some(parent) => wildcard.insert(parent.to_owned(), Arc::clone(&served.key)),
                None => exact.insert(name.clone(), Arc::clone(&served.key)),
            };
        }
        self.table.store(Some(Arc::new(Table {
            served,
            exact,
            wildcard,
        })));
    }

    /// Returns what is served now; `None` before the first.
    pub fn current(&self) -> Option<Served> {
        self.table.load().as_ref().map(|table| table.served.clone())
    }

    /// Returns the certificate for a server name: the exact one, else a wildcard's, else the
    /// default, which lets a client with a wrong or no name see whose certificate it got.
    pub fn find(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let table = table.as_ref()?;
        let named = server_name.and_then(|name| table.named(name));
        Some(named.unwrap_or_else(|| Arc::clone(&table.served.key)))
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
        let named = table.as_ref().and_then(|table| table.named(host));
        self.find(Some(server_name))
            .zip(named)
            .is_some_and(|(shown, named)| Arc::ptr_eq(&shown, &named))
    }
}

impl Table {
    fn named(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        self.exact.get(&name).or(wildcard).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(client_hello.server_name())
    }
}
