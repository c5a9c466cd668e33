//! W10: the gateway is replaced while requests and WebSockets go on.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{self, PATIENCE};
use super::stage::Stage;
use super::target::{Target, Visitor};
use super::{http1, memory, say};
use crate::Figure;

/// WebSockets that are open meanwhile.
const WEBSOCKETS: usize = 1000;

/// Clients that keep their connection for as long as they may.
const KEEPERS: usize = 16;

/// Clients that connect anew for each request.
const COMERS: usize = 4;

/// How long clients ask before and after the replacement.
const AROUND: Duration = Duration::from_secs(3);

/// What the clients came to.
#[derive(Debug, Default)]
struct Count {
    answered: Cell<u64>,
    failed: Cell<u64>,
    longest: Cell<Duration>,
}

impl Count {
    fn note(&self, started: Instant, outcome: anyhow::Result<bool>) -> bool {
        match outcome {
            Ok(is_last) => {
                self.answered.set(self.answered.get() + 1);
                self.longest.set(self.longest.get().max(started.elapsed()));
                is_last
            }
            Err(error) => {
                say(&format!("W10 a request failed: {error:#}"));
                self.failed.set(self.failed.get() + 1);
                true
            }
        }
    }
}

/// Measures W10.
pub(crate) async fn restart(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let mut target = stage.ours.start().await?;
    let opened = stage.options.scaled(WEBSOCKETS);
    let sockets = memory::open_all(stage, &target, opened).await?;
    let (count, over) = (Rc::new(Count::default()), CancellationToken::new());
    let mut clients = begin(stage, &target, &count, &over);
    tokio::time::sleep(AROUND).await;
    let started = Instant::now();
    let successor = stage.ours.succeed().await?;
    let took = started.elapsed();
    tokio::time::sleep(AROUND).await;
    over.cancel();
    while clients.join_next().await.is_some() {}
    let alive = memory::echo(sockets, 64).await;
    let dropped = opened - alive.len();
    // Nothing is left to the old one, which ends by itself; the new one serves.
    drop(alive);
    let old = target.children.pop().context("it was started")?;
    old.until_gone(PATIENCE).await?;
    let visitor = &target.visitors[0];
    let outcome = once(
        &stage.http1,
        &target,
        visitor,
        &visitor.request("GET", "/", ""),
    )
    .await;
    ensure!(outcome.is_ok(), "the new gateway serves nobody");
    successor.stop().await?;
    say(&format!(
        "W10 {} requests answered over a replacement of {:.1} s, {} failed; {dropped} of {opened} \
         WebSockets dropped",
        count.answered.get(),
        took.as_secs_f64(),
        count.failed.get()
    ));
    let failed = count.failed.get() as f64;
    let longest = count.longest.get().as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new(
            "W10 requests that failed while the gateway was replaced",
            "count",
            failed,
        )
        .at_most(0.0),
        Figure::new(
            format!("W10 WebSockets of {opened} that were dropped"),
            "count",
            dropped as f64,
        )
        .at_most(0.0),
        Figure::new(
            "W10 longest request while the gateway was replaced",
            "ms",
            longest,
        ),
    ])
}

fn begin(
    stage: &Stage,
    target: &Target,
    count: &Rc<Count>,
    over: &CancellationToken,
) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for (place, visitor) in target.some(KEEPERS + COMERS).into_iter().enumerate() {
        let (config, address) = (Arc::clone(&stage.http1), target.address);
        let (count, over) = (Rc::clone(count), over.clone());
        clients.spawn_local(async move {
            let request = visitor.request("GET", "/", "");
            let mut kept = None;
            while !over.is_cancelled() {
                let started = Instant::now();
                let outcome = async {
                    let mut stream = match kept.take() {
                        Some(stream) => stream,
                        None => client::connect(&config, address, &visitor).await?,
                    };
                    let is_last = ask(&mut stream, &request).await?;
                    if place < KEEPERS && !is_last {
                        kept = Some(stream);
                    }
                    Ok(is_last)
                };
                count.note(started, outcome.await);
            }
        });
    }
    clients
}

async fn once(
    config: &Arc<ClientConfig>,
    target: &Target,
    visitor: &Visitor,
    request: &[u8],
) -> anyhow::Result<bool> {
    let mut stream = client::connect(config, target.address, visitor).await?;
    ask(&mut stream, request).await
}

/// Sends a request and reads its answer. Returns whether the connection is not to be used again.
async fn ask(stream: &mut client::Stream, request: &[u8]) -> anyhow::Result<bool> {
    let mut buffer = Vec::new();
    let asking = http1::converse(stream, request, &mut buffer);
    let head = tokio::time::timeout(PATIENCE, asking).await??;
    ensure!(head.status == 200, "answered {}", head.status);
    Ok(head.is_last)
}
