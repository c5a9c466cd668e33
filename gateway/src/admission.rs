//! How many connections one visitor may have open: a cap by network, so that nobody can hold all
//! of the gateway's descriptors.
//!
//! A visitor is an IPv4 address or an IPv6 network of 64 bits, because whoever has one address of
//! such a network has all of them. Proxies in front of us are exempt: they carry many visitors.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use kalpana_domain::network::visitor;

/// The connections that are open, by visitor.
#[derive(Debug)]
pub struct Admission {
    open: DashMap<IpAddr, u32>,
    limit: u32,
}

impl Admission {
    /// Lets each visitor have `limit` connections.
    pub fn new(limit: u32) -> Self {
        Self {
            open: DashMap::new(),
            limit,
        }
    }

    /// Lets one more connection in, until what is returned is dropped; `None` when the visitor has
    /// as many as may be.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admitted> {
        let visitor = visitor(client);
        let mut open = self.open.entry(visitor).or_insert(0);
        if *open >= self.limit {
            return None;
        }
        *open += 1;
        Some(Admitted {
            admission: Arc::clone(self),
            visitor,
        })
    }

    #[cfg(test)]
    fn visitors(&self) -> usize {
        self.open.len()
    }
}

/// One connection of a visitor.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    visitor: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // One step, so that a connection that is let in meanwhile is not forgotten.
        if let Entry::Occupied(mut open) = self.admission.open.entry(self.visitor) {
            if *open.get() <= 1 {
                open.remove();
            } else {
                *open.get_mut() -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_visitor_has_as_many_connections_as_may_be_and_others_theirs() {
        let admission = Arc::new(Admission::new(2));
        let first = admission.admit(address("192.0.2.1"));
        let _second = admission.admit(address("::ffff:192.0.2.1")).unwrap();
        assert!(admission.admit(address("192.0.2.1")).is_none());
        assert!(admission.admit(address("192.0.2.2")).is_some());
        drop(first);
        assert!(admission.admit(address("192.0.2.1")).is_some());
    }

    #[test]
    fn a_network_of_64_bits_is_one_visitor() {
        let admission = Arc::new(Admission::new(1));
        let _one = admission.admit(address("2001:db8::1")).unwrap();
        assert!(admission.admit(address("2001:db8::ffff:2")).is_none());
        assert!(admission.admit(address("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let admission = Arc::new(Admission::new(8));
        let open: Vec<_> = (0..8)
            .filter_map(|number| admission.admit(IpAddr::from([10, 0, 0, number % 2])))
            .collect();
        assert_eq!((open.len(), admission.visitors()), (8, 2));
        drop(open);
        assert_eq!(admission.visitors(), 0);
    }
}
