//! Network addresses, as far as they tell visitors apart.

use std::net::{IpAddr, Ipv6Addr};

/// Returns what stands for one visitor in limits: an IPv4 address, or an IPv6 network of 64 bits,
/// because whoever has one address of such a network has all of them. An IPv4 address written as
/// IPv6 is the IPv4 address.
pub fn visitor(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_an_ipv4_address_or_an_ipv6_network() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(visitor(address).to_string(), expected);
        }
    }
}
