//! What is measured: something that listens, and the visitors it knows.

use std::net::SocketAddr;

use rand::seq::IndexedRandom;
use rustls::pki_types::ServerName;

use super::child::Child;
use super::fairness::Judgement;
use super::fixture::{self, DOMAIN};
use super::process;

/// Something to send requests to.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name in the results.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Who may visit which workspace.
    pub(crate) visitors: Vec<Visitor>,
    /// How much it judges.
    pub(crate) judgement: Judgement,
    /// Its processes, the service that it asks included.
    pub(crate) children: Vec<Child>,
}

/// Somebody with a session for one workspace.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The name in the TLS handshake.
    pub(crate) server_name: ServerName<'static>,
    /// The host with its port.
    pub(crate) host: String,
    /// The `Cookie` header.
    pub(crate) cookie: String,
}

impl Visitor {
    /// Makes the visitor of a workspace behind `address`, whose cookie `make` makes for a host.
    pub(crate) fn new(
        number: usize,
        address: SocketAddr,
        make: impl Fn(&str) -> String,
    ) -> anyhow::Result<Self> {
        let name = format!("{}.{DOMAIN}", fixture::workspace(number));
        let host = format!("{name}:{}", address.port());
        Ok(Self {
            cookie: make(&host),
            server_name: ServerName::try_from(name)?,
            host,
        })
    }

    /// Returns a request over HTTP/1, as a browser would send it at its shortest.
    pub(crate) fn request(&self, method: &str, path: &str, more: &str) -> Vec<u8> {
        let Self { host, cookie, .. } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n\
             Cookie: {cookie}\r\n{more}\r\n"
        )
        .into_bytes()
    }

    /// Returns the request that opens a WebSocket.
    pub(crate) fn upgrade(&self) -> Vec<u8> {
        let more = format!(
            "Origin: https://{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n",
            self.host,
            super::frames::KEY
        );
        self.request("GET", "/ws", &more)
    }
}

impl Target {
    /// Returns all processes of the target as they are now.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let roots = self.children.iter().map(Child::pid);
        roots.flat_map(process::tree).collect()
    }

    /// Returns some of its visitors, of different workspaces while there are so many.
    pub(crate) fn some(&self, count: usize) -> Vec<Visitor> {
        let drawn: Vec<&Visitor> = self.visitors.sample(&mut rand::rng(), count).collect();
        drawn.into_iter().cycle().take(count).cloned().collect()
    }

    /// Ends it and waits until it is gone.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for child in self.children {
            child.stop().await?;
        }
        Ok(())
    }
}

/// Returns the names of targets.
pub(crate) fn names(targets: &[Target]) -> Vec<&str> {
    targets.iter().map(|target| target.name).collect()
}
