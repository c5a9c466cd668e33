//! `make bench-lifecycle`: how long a workspace takes, what the gateway adds, what it all weighs.
//!
//! The first argument is the number of workspaces that are made, 20 unless given.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use kalpana_bench::{Figure, Pairs, quantile, report};
use kalpana_tests::docker::{docker, run_inside, start_inside};
use kalpana_tests::{Browser, GitServer, World, until};
use serde_json::json;

/// Requests of one latency sample set.
const REQUESTS: usize = 2000;

/// How often a workspace is woken.
const WAKES: usize = 60;

/// Visitors who come to a sleeping workspace at once.
const CROWD: usize = 200;

/// A server of one fixed answer, on all of the container's addresses.
const FIXED: &str = "require('http').createServer((q,r)=>{q.resume();r.end('ok')})\
                     .listen(3000,'0.0.0.0',()=>require('fs').writeFileSync('/tmp/fixed',''))";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let runs: usize = std::env::args()
        .nth(1)
        .map_or(Ok(20), |runs| runs.parse())?;
    let world = World::start(&["orchestrator.workspaces_per_user=1000"]).await?;
    let outcome = measure(&world, runs).await;
    world.tear_down().await?;
    report("lifecycle", &outcome?)
}

async fn measure(world: &World, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let git = GitServer::start(world.pool)?;
    git.add_repository("demo", &[("README.md", "# Demo\n")])
        .await?;
    let ada = world.administrator().await?;
    let mut figures = memory(world, "before any workspace")?;
    let mut served = Vec::new();
    let mut last = None;
    for run in 0..runs {
        let (id, took) = create_until_served(world, &git, &ada).await?;
        served.push(took);
        if run + 1 == runs {
            last = Some(id);
        } else {
            delete(&ada, &id).await?;
        }
    }
    let id = last.context("at least one run")?;
    for percent in [50, 95] {
        let cell = format!("create → served p{percent} (n={runs})");
        let figure = Figure::new(cell, "ms", quantile(&served, percent));
        figures.push(if percent == 95 {
            figure.at_most(4000.0)
        } else {
            figure
        });
    }
    figures.extend(latency(&ada, &id).await?);
    figures.extend(waking(&ada, &id).await?);
    figures.extend(memory(world, "with one workspace")?);
    let image = kalpana_tests::world::image();
    let size = docker(&["image", "inspect", "--format", "{{.Size}}", &image]).await?;
    let size = size.parse::<f64>()? / 1e6;
    figures.push(Figure::new("workspace image", "MB", size));
    Ok(figures)
}

/// Makes a workspace and waits for the workbench's HTML through the gateway.
async fn create_until_served(
    world: &World,
    git: &GitServer,
    browser: &Browser,
) -> anyhow::Result<(String, Duration)> {
    let networks = kalpana_tests::docker::networks(&world.instance).await?;
    let url = git.url(u32::try_from(networks)?, "demo");
    let started = Instant::now();
    let id = browser
        .create_workspace(&json!({ "name": "Bench", "repository": url }))
        .await?;
    browser.until_state(&id, "running").await?;
    let editor = format!("{}/", browser.origin(&id));
    until("the workbench", Duration::from_secs(60), async || {
        let (_, page) = browser.navigate(&editor).await?;
        Ok((page.status == 200 && page.body.contains("workbench")).then_some(()))
    })
    .await?;
    Ok((id, started.elapsed()))
}

async fn delete(browser: &Browser, id: &str) -> anyhow::Result<()> {
    let path = format!("/api/workspaces/{id}");
    browser.send(reqwest::Method::DELETE, &path, None).await?;
    until("the deletion", Duration::from_secs(60), async || {
        Ok((browser.get(&path).await?.status == 404).then_some(()))
    })
    .await
}

/// Compares requests through the gateway with requests straight to the container.
async fn latency(browser: &Browser, id: &str) -> anyhow::Result<Vec<Figure>> {
    start_inside(id, &format!("exec node -e \"{FIXED}\"")).await?;
    until("the server inside", Duration::from_secs(20), async || {
        Ok(run_inside(id, "cat /tmp/fixed").await.ok())
    })
    .await?;
    let container = kalpana_tests::docker::container_of(id).await?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address: Ipv4Addr = docker(&["inspect", "--format", format, &container])
        .await?
        .parse()?;
    let port = browser.origin(&format!("3000-{id}"));
    browser.navigate(&format!("{port}/")).await?;
    let direct = reqwest::Client::new();
    let direct_url = format!("http://{}/", SocketAddr::from((address, 3000)));
    let through = async |_| {
        let answer = browser.get(&format!("{port}/")).await?;
        anyhow::ensure!(answer.body == "ok", "through the gateway: {}", answer.body);
        Ok(())
    };
    let straight = async |_| {
        let answer = direct.get(&direct_url).send().await?.text().await?;
        anyhow::ensure!(answer == "ok", "straight: {answer}");
        Ok(())
    };
    let pairs = Pairs::measure(REQUESTS, through, straight).await?;
    let rows = [(50, 300.0), (99, 1000.0)].map(|(percent, goal)| {
        let cell = "request, gateway (TLS, h2) against direct (plain h1)";
        let mut row = pairs.figure(cell, "µs", percent).at_most(goal);
        // The goal is for what the gateway adds.
        let added = row.ours - row.peer.unwrap_or(0.0);
        row.more.push(("added", added.round().into()));
        row.met = Some(added <= goal);
        row
    });
    Ok(rows.into())
}

/// Puts the workspace to sleep and visits it, again and again: from the visit to the first byte.
async fn waking(browser: &Browser, id: &str) -> anyhow::Result<Vec<Figure>> {
    let page = format!("{}/", browser.origin(&format!("3000-{id}")));
    let mut waited = Vec::with_capacity(WAKES);
    for _ in 0..WAKES {
        asleep(browser, id).await?;
        let started = Instant::now();
        let answer = browser.visit(&page).await?;
        waited.push(started.elapsed());
        anyhow::ensure!(answer.body == "ok", "asleep → visit: {}", answer.body);
    }
    asleep(browser, id).await?;
    let started = Instant::now();
    let visits = (0..CROWD).map(|_| browser.visit(&page));
    let answers = futures_util::future::join_all(visits).await;
    let took = started.elapsed();
    let lost = answers
        .iter()
        .filter(|answer| !answer.as_ref().is_ok_and(|answer| answer.body == "ok"))
        .count();
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let cell = |percent| format!("asleep → first byte p{percent} (n={WAKES})");
    Ok(vec![
        Figure::new(cell(50), "ms", quantile(&waited, 50)).at_most(50.0),
        Figure::new(cell(95), "ms", quantile(&waited, 95)).at_most(100.0),
        Figure::new(
            format!("asleep → {CROWD} first visits, last byte"),
            "ms",
            ms(took),
        ),
        Figure::new(format!("of {CROWD} first visits lost"), "", lost as f64).at_most(0.0),
    ])
}

/// Puts the workspace to sleep and waits until its container is frozen.
async fn asleep(browser: &Browser, id: &str) -> anyhow::Result<()> {
    let path = format!("/api/workspaces/{id}/pause");
    browser.send(reqwest::Method::POST, &path, None).await?;
    let label = format!("label=kalpana.workspace={id}");
    until("sleep", Duration::from_secs(30), async || {
        let state = docker(&["ps", "--filter", &label, "--format", "{{.State}}"]).await?;
        Ok((state.trim() == "paused").then_some(()))
    })
    .await
}

fn memory(world: &World, when: &str) -> anyhow::Result<Vec<Figure>> {
    ["gateway", "orchestrator", "web"]
        .into_iter()
        .map(|role| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid_of(role)?))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kilobytes: f64 = line
                .context("VmRSS")?
                .trim()
                .trim_end_matches(" kB")
                .parse()?;
            let cell = format!("RSS of {role}, {when}");
            Ok(Figure::new(cell, "MB", kilobytes / 1024.0))
        })
        .collect()
}
