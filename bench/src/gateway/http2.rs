//! Requests over HTTP/2: few connections with many streams, each for a workspace of its own, as a
//! browser does when one certificate is good for all of them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use rustls::ClientConfig;

use super::client;
use super::measure::Load;
use super::target::{Target, Visitor};

/// Connections.
const CONNECTIONS: usize = 4;

/// Streams that ask at the same time on each.
const STREAMS: usize = 32;

/// Asks on every stream, again as soon as the answer is there.
pub(crate) async fn closed(
    load: &mut Load,
    config: &Arc<ClientConfig>,
    target: &Target,
) -> anyhow::Result<()> {
    for _ in 0..CONNECTIONS {
        let visitors = target.some(STREAMS);
        let stream = client::connect(config, target.address, &visitors[0]).await?;
        let (sender, connection) = Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        load.spawn(async move |_| Ok(connection.await?));
        let sender = sender.ready().await?;
        for visitor in visitors {
            let (mut sender, request) = (sender.clone(), request(&visitor)?);
            load.spawn(async move |counters| {
                while !counters.is_over() {
                    let started = Instant::now();
                    sender = exchange(sender, request.clone()).await?;
                    counters.done(started);
                }
                Ok(())
            });
        }
    }
    Ok(())
}

fn request(visitor: &Visitor) -> anyhow::Result<Request<()>> {
    let request = Request::get(format!("https://{}/", visitor.host))
        .header("user-agent", "bench")
        .header("accept", "*/*")
        .header("cookie", &visitor.cookie);
    Ok(request.body(())?)
}

async fn exchange(
    sender: SendRequest<Bytes>,
    request: Request<()>,
) -> anyhow::Result<SendRequest<Bytes>> {
    let mut sender = sender.ready().await?;
    let (answer, _) = sender.send_request(request, true)?;
    let answer = answer.await?;
    ensure!(answer.status() == 200, "answered {}", answer.status());
    let mut body = answer.into_body();
    while let Some(part) = body.data().await {
        body.flow_control().release_capacity(part?.len())?;
    }
    Ok(sender)
}
