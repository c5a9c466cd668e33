//! Ports that are known before anybody listens there, as an authority must know them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;

/// Holds a free port of 127.0.0.1: bound but not listened on, so that nobody else is given it.
///
/// # Errors
/// If none is free.
pub fn reserve_port() -> anyhow::Result<(socket2::Socket, u16)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let port = socket
        .local_addr()?
        .as_socket_ipv4()
        .context("IPv4")?
        .port();
    Ok((socket, port))
}
