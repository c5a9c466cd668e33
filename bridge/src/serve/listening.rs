//! Which ports of this container a visitor could be led to.

use std::net::IpAddr;
use std::num::NonZeroU16;

use kalpana_protocol::preamble::Listening;
use procfs::net::{TcpNetEntry, TcpState};

/// Returns the ports that somebody listens on, on the loopback or on all addresses.
///
/// None when the system does not say: they are a help, and nothing is decided by them.
pub(super) fn ports() -> Listening {
    let both = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = both.into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.state == TcpState::Listen)
        .filter_map(|entry| reachable(&entry))
        .collect()
}

fn reachable(entry: &TcpNetEntry) -> Option<NonZeroU16> {
    let address = entry.local_address.ip().to_canonical();
    let is_reached = match address {
        // Servers are dialled at the first address of the loopback.
        IpAddr::V4(address) => address.is_unspecified() || address.octets() == [127, 0, 0, 1],
        IpAddr::V6(address) => address.is_unspecified() || address.is_loopback(),
    };
    NonZeroU16::new(entry.local_address.port()).filter(|_| is_reached)
}
