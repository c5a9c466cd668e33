//! Who a request comes from: the peer, or, where a trusted proxy stands in front of us, whom it
//! says it asks for. Pure.

use std::net::IpAddr;

use http::HeaderMap;
use kalpana_config::Network;

/// The proxies in front of us whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Trusts every address of these networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Tells whether `address` is a proxy of ours.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns who a request of `peer` comes from: the last address of `X-Forwarded-For` that is
    /// no proxy of ours. What stands before it anybody may have written. A proxy that names
    /// nobody, or what is no address, asks for itself.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            return peer;
        }
        let mut client = peer;
        let fields = headers.get_all("x-forwarded-for").iter().rev();
        for field in fields {
            let Ok(field) = field.to_str() else {
                return client;
            };
            for text in field.rsplit(',') {
                let Some(address) = parse(text.trim()) else {
                    return client;
                };
                client = address;
                if !self.contains(address) {
                    return client;
                }
            }
        }
        client
    }
}

/// Reads an address as proxies write it: alone, in brackets, or with a port behind it.
fn parse(text: &str) -> Option<IpAddr> {
    let address = text
        .parse()
        .or_else(|_| {
            text.parse()
                .map(|address: std::net::SocketAddr| address.ip())
        })
        .ok()
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, fields: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("x-forwarded-for", field.parse().unwrap());
        }
        let proxies = TrustedProxies::new(trusted.into());
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_proxy_of_ours_is_believed() {
        assert_eq!(client("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        let forged = "203.0.113.7, 198.51.100.1, 10.0.0.2";
        assert_eq!(client("10.0.0.1", &[forged]), "198.51.100.1");
        assert_eq!(
            client("10.0.0.1", &["203.0.113.7", "198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1, evil"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["evil", "10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (field, expected) in [
            ("198.51.100.1:4242", "198.51.100.1"),
            ("[2001:db9::1]:4242", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("2001:db9::1", "2001:db9::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client("2001:db8::5", &[field]), expected);
        }
    }
}
