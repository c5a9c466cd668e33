//! Networks other than the one that was given, and the same by other means.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use libc::{c_int, c_long};

use crate::attempt::{Attempt, NO_ANSWER, address, call, number, try_call};

/// Where clouds tell machines their credentials. Source: RFC 3927 and the clouds' manuals.
const METADATA: &str = "169.254.169.254:80";
const METADATA_6: &str = "[fd00:ec2::254]:80";
/// How long to wait for a connection to who is on the same link, if at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// Families and protocols that `libc` does not have. Source: `linux/socket.h`.
const FAMILY_MCTP: c_int = 45;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("socket for packets", || {
        socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
    }),
    ("socket for raw ICMP", || {
        socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
    }),
    ("socket for raw ICMPv6", || {
        socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)
    }),
    ("socket to the hypervisor", || {
        socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)
    }),
    ("socket for the kernel's cryptography", || {
        socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)
    }),
    ("socket for XDP", || socket(libc::AF_XDP, libc::SOCK_RAW, 0)),
    ("socket for IPsec keys", || {
        socket(libc::AF_KEY, libc::SOCK_RAW, 2)
    }),
    ("socket for Bluetooth", || {
        socket(libc::AF_BLUETOOTH, libc::SOCK_RAW, 1)
    }),
    ("socket for CAN", || socket(libc::AF_CAN, libc::SOCK_RAW, 1)),
    ("socket for RDS", || {
        socket(libc::AF_RDS, libc::SOCK_SEQPACKET, 0)
    }),
    ("socket for TIPC", || {
        socket(libc::AF_TIPC, libc::SOCK_STREAM, 0)
    }),
    ("socket for MCTP", || {
        socket(FAMILY_MCTP, libc::SOCK_DGRAM, 0)
    }),
    ("netlink of the packet filter", || {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)
    }),
    ("netlink of IPsec", || {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_XFRM)
    }),
    ("netlink of audit", || {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT)
    }),
    ("netlink of interfaces", || {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)
    }),
    ("socket for TCP", || {
        socket(libc::AF_INET, libc::SOCK_STREAM, 0)
    }),
    ("mark packets", || {
        let socket = call(
            libc::SYS_socket,
            [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0],
        )?;
        let (level, option) = (libc::SOL_SOCKET.into(), libc::SO_MARK.into());
        try_call(
            libc::SYS_setsockopt,
            [socket, level, option, address(&1_u32), 4],
        )
    }),
    ("add a route", || {
        let socket = call(
            libc::SYS_socket,
            [libc::AF_INET.into(), libc::SOCK_DGRAM.into(), 0],
        )?;
        // `struct rtentry`, empty: permission is asked for first.
        let route = [0_u64; 15];
        let add = libc::SIOCADDRT as c_long;
        try_call(libc::SYS_ioctl, [socket, add, address(&route)])
    }),
    ("the cloud's credentials", || connect(METADATA)),
    ("the cloud's credentials, IPv6", || connect(METADATA_6)),
];

fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<(), c_int> {
    try_call(
        libc::SYS_socket,
        [family.into(), kind.into(), protocol.into()],
    )
}

fn connect(to: &str) -> Result<(), c_int> {
    let to: SocketAddr = to.parse().map_err(|_| libc::EINVAL)?;
    match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(NO_ANSWER),
        Err(error) => Err(number(&error)),
    }
}
