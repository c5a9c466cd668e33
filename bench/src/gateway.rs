//! `make bench-gateway`: our gateway beside other proxies, in one run on one machine.
//!
//! [`stage`] makes what all have in common: one [`certificate`], the [`upstream`] program in a
//! process of its own that stands for every workspace, and the feeds that [`ours`] follows.
//! [`peers`] are started with configurations made from templates, and [`fairness`] sees that each
//! judges as it is said to. Proxies run on one processor,
//! client and upstream on another, one thread each.
//!
//! The figure that counts is processor time per operation of a proxy with all its processes
//! ([`measure`], [`process`]), because it is the same whether the machine is fast or busy; times
//! and rates come beside it. Every round measures all targets, forth and back ([`rounds`]); what
//! is compared is the median over rounds of the ratio ([`statistics`]).
//!
//! The workloads: [`inside`] (W0), [`small`] (W1, W2; over [`requests`] and [`http2`]),
//! [`handshakes`] (W3), [`websockets`] (W4), [`memory`] (W5), [`routes`] (W6), [`churn`] (W7),
//! [`latency`] (W8), [`hostile`] (W9) and [`replacement`] (W10). [`results`] keeps what they came
//! to, [`docs`] and [`chart`] show it.

mod auth;
mod certificate;
mod chart;
mod child;
mod churn;
mod client;
mod docs;
mod fairness;
mod fixture;
mod frames;
mod handshakes;
mod hostile;
mod http1;
mod http2;
mod inside;
mod latency;
mod measure;
mod memory;
mod options;
mod ours;
mod peers;
mod process;
mod replacement;
mod requests;
mod results;
mod rounds;
mod routes;
mod small;
mod stage;
mod statistics;
mod target;
mod token;
mod upstream;
mod websockets;

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use self::options::{Options, Part, Workload};
use self::stage::Stage;
use crate::Figure;

/// Runs what the command line asks for.
///
/// # Errors
/// When something cannot be started, or does not answer as it should.
pub fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match options.part {
        Some(Part::Upstream(part)) => runtime.block_on(part.run()),
        Some(Part::Auth(part)) => runtime.block_on(part.run()),
        None => {
            pin(child::CLIENT_CPU)?;
            LocalSet::new().block_on(&runtime, interruptible(options))
        }
    }
}

/// Keeps this thread, and all that it starts, on one processor.
fn pin(cpu: &str) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu.parse()?);
    sched_setaffinity(None, &set).context("the benchmark needs two processors")
}

/// Runs the benchmark until it is done or somebody wants it to stop, and ends what it started.
async fn interruptible(options: Options) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = run(options) => outcome,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let writes_docs = options.write_docs;
    let is_measuring = !options.is_nothing();
    if is_measuring {
        let stage = Stage::set(options).await?;
        let mut figures = Vec::new();
        let outcome = measure(&stage, &mut figures).await;
        // What was measured before something went wrong is worth keeping.
        results::write(&figures, stage.options.quick)?;
        if let Err(error) = outcome {
            let logs = stage.keep_logs();
            return Err(error).with_context(|| format!("logs are in {}", logs.display()));
        }
    }
    if writes_docs {
        docs::write(&results::read()?)?;
    }
    Ok(())
}

/// Runs the workloads that are wanted: first those that share running proxies, then those that
/// start them anew.
async fn measure(stage: &Stage, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    use Workload::{W0, W1, W1h2, W2, W3, W4, W5, W6, W7, W8, W9, W10};
    let wants = |workload| stage.options.wants(workload);
    if wants(W0) {
        figures.extend(inside::measure(&stage.options)?);
    }
    if [W1, W1h2, W2, W3, W4, W8, W9].into_iter().any(wants) {
        let targets = stage.targets().await?;
        if wants(W1) {
            figures.extend(small::over_http1(stage, &targets).await?);
        }
        if wants(W1h2) {
            figures.extend(small::over_http2(stage, &targets).await?);
        }
        if wants(W2) {
            figures.extend(small::large(stage, &targets).await?);
        }
        if wants(W3) {
            figures.extend(handshakes::measure(stage, &targets).await?);
        }
        if wants(W4) {
            figures.extend(websockets::echo(stage, &targets).await?);
        }
        if wants(W8) {
            figures.extend(latency::added(stage, &targets).await?);
        }
        if wants(W9) {
            figures.extend(hostile::slow(stage, &targets).await?);
        }
        for target in targets {
            target.stop().await?;
        }
    }
    if wants(W5) {
        figures.extend(memory::quiet(stage).await?);
    }
    if wants(W6) {
        figures.extend(routes::many(stage).await?);
    }
    if wants(W7) {
        figures.extend(churn::changes(stage).await?);
    }
    if wants(W10) {
        figures.extend(replacement::restart(stage).await?);
    }
    Ok(())
}

/// Says on standard error what is being done.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
