//! The command line.

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::auth::Auth;
use super::peers::Peer;
use super::upstream::Upstream;

/// Measures the gateway beside other proxies.
#[derive(Debug, Parser)]
#[command(name = "gateway")]
pub(crate) struct Options {
    /// A part of the benchmark that runs in a process of its own
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    /// Only these workloads, such as W1,W5
    #[arg(long, value_delimiter = ',', ignore_case = true)]
    only: Vec<Workload>,
    /// Only these peers
    #[arg(long, value_delimiter = ',')]
    peers: Option<Vec<Peer>>,
    /// Rounds of each workload
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of each block
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// One short round, and a tenth of the connections and routes: a look at whether it runs
    #[arg(long)]
    pub(crate) quick: bool,
    /// Replace the table and the chart in docs/ with what the last runs came to; alone, measure
    /// nothing
    #[arg(long)]
    pub(crate) write_docs: bool,
}

/// What runs beside the benchmark.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// The server behind every proxy
    Upstream(Upstream),
    /// The service that some proxies ask about requests
    Auth(Auth),
}

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Within the gateway: judgement, tables
    W0,
    /// Small requests over HTTP/1
    W1,
    /// Small requests over HTTP/2
    W1h2,
    /// Large bodies
    W2,
    /// Handshakes, full and resumed
    W3,
    /// WebSockets that talk
    W4,
    /// WebSockets that are quiet: memory
    W5,
    /// Many routes
    W6,
    /// Routes that change
    W7,
    /// Latency
    W8,
    /// Clients that mean harm
    W9,
    /// Replacing the gateway under load
    W10,
}

impl Options {
    /// Tells whether nothing is to be measured, because only the documents are to be written.
    pub(crate) fn is_nothing(&self) -> bool {
        self.write_docs && self.only.is_empty() && !self.quick
    }

    /// Tells whether a workload is wanted.
    pub(crate) fn wants(&self, workload: Workload) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }

    /// Returns the peers that are wanted.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let all = || Peer::value_variants().to_vec();
        self.peers.clone().unwrap_or_else(all)
    }

    /// Returns the number of rounds.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    /// Returns the length of a block.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { 1.0 } else { self.seconds })
    }

    /// Returns `full`, or a tenth of it for a quick look.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}
