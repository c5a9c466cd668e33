//! Whom the engine asks for a workspace's names: the name servers of the host, as Docker takes them
//! from its files when a container starts.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};

/// The host's name servers.
const FILE: &str = "/etc/resolv.conf";

/// Those that systemd's own resolver asks, which is what Docker gives to containers where the first
/// file names that resolver alone.
const BEHIND_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";

/// Longest file that is read. Unit: bytes.
const FILE_LIMIT: u64 = 64 << 10;

/// Most name servers that are let through to.
const SERVERS_LIMIT: usize = 8;

/// Returns the name servers that workspaces may ask. None where none can be read: the engine then
/// takes public ones, which need no leave.
pub(crate) fn of_this_host() -> Vec<Ipv4Addr> {
    let own = read(FILE);
    let servers = if own.is_empty() {
        read(BEHIND_SYSTEMD)
    } else {
        own
    };
    servers.into_iter().take(SERVERS_LIMIT).collect()
}

fn read(path: &str) -> Vec<Ipv4Addr> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    match file.and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut bytes)) {
        Ok(_) => parse(&bytes),
        Err(_) => Vec::new(),
    }
}

/// Reads name servers, but those on loopback, which no container could reach, and those of IPv6,
/// which workspaces do not have.
fn parse(bytes: &[u8]) -> Vec<Ipv4Addr> {
    // A line that cannot be read must not cost the name servers in the others.
    let lines = bytes.split(|byte| *byte == b'\n');
    let parsed = lines.filter_map(|line| resolv_conf::Config::parse(line).ok());
    let servers = parsed.flat_map(|config| config.nameservers);
    let reachable = servers.filter_map(|server| match IpAddr::from(server) {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        _ => None,
    });
    reachable.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_but_for_those_no_container_could_ask() {
        let text = b"# a comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver\n\
                     nameserver fd00::1\nnameserver fe80::1%eth0\nsearch example.com\n\
                     options nonsense:x\n\xff\nnameserver 169.254.169.253\nnameserver 0.0.0.0\n";
        assert_eq!(
            parse(text),
            [
                Ipv4Addr::new(10, 0, 0, 2),
                Ipv4Addr::new(169, 254, 169, 253)
            ]
        );
        assert_eq!(parse(b"nameserver 127.0.0.53\n"), Vec::<Ipv4Addr>::new());
        assert_eq!(parse(b""), Vec::<Ipv4Addr>::new());
    }
}
