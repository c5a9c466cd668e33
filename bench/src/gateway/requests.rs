//! Requests over HTTP/1 connections that are kept, as a browser's are: each connection belongs to
//! one workspace.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustls::ClientConfig;

use super::measure::{Counters, Load};
use super::target::{Target, Visitor};
use super::{client, http1};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The method.
    pub(crate) method: &'static str,
    /// The path.
    pub(crate) path: &'static str,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// A `GET`.
    pub(crate) fn get(path: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            body: Vec::new(),
        }
    }

    fn of(&self, visitor: &Visitor) -> Vec<u8> {
        let length = match self.body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let mut request = visitor.request(self.method, self.path, &length);
        request.extend_from_slice(&self.body);
        request
    }
}

/// Asks over `connections`, on each again as soon as the answer is there.
pub(crate) async fn closed(
    load: &mut Load,
    config: &Arc<ClientConfig>,
    target: &Target,
    visitors: &[Visitor],
    asked: &Asked,
) -> anyhow::Result<()> {
    for visitor in visitors {
        let mut stream = client::connect(config, target.address, visitor).await?;
        let request = asked.of(visitor);
        load.spawn(async move |counters| {
            let mut buffer = Vec::with_capacity(64 << 10);
            while !counters.is_over() {
                let started = Instant::now();
                let status = http1::exchange(&mut stream, &request, &mut buffer).await?;
                ensure!(status == 200, "answered {status}");
                counters.done(started);
            }
            Ok(())
        });
    }
    Ok(())
}

/// Asks at a fixed rate, whatever comes back: each connection has its own timetable, and a request
/// that had to wait for the answer before it is timed from when it was due.
pub(crate) async fn open(
    load: &mut Load,
    config: &Arc<ClientConfig>,
    target: &Target,
    visitors: &[Visitor],
    rate: f64,
) -> anyhow::Result<()> {
    let every = Duration::from_secs_f64(visitors.len() as f64 / rate);
    let asked = Asked::get("/");
    let begin = Instant::now() + Duration::from_millis(200);
    for (place, visitor) in visitors.iter().enumerate() {
        let stream = client::connect(config, target.address, visitor).await?;
        let request = asked.of(visitor);
        let first = begin + every.mul_f64(place as f64 / visitors.len() as f64);
        load.spawn(move |counters| keep_time(counters, stream, request, first, every));
    }
    Ok(())
}

async fn keep_time(
    counters: Rc<Counters>,
    mut stream: client::Stream,
    request: Vec<u8>,
    first: Instant,
    every: Duration,
) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(16 << 10);
    let mut due = first;
    while !counters.is_over() {
        let mut started = due;
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            // The timer is up to a millisecond late, for which the proxy cannot help.
            started = Instant::now();
        }
        let status = http1::exchange(&mut stream, &request, &mut buffer).await?;
        ensure!(status == 200, "answered {status}");
        counters.done(started);
        due += every;
    }
    Ok(())
}
