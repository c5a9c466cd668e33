//! `make bench-lifecycle`: how long a workspace takes, what the gateway adds, what it all weighs.
//!
//! Prints a table and writes one JSON line per figure to `bench/results/lifecycle.jsonl`. The
//! first argument is the number of workspaces that are made, 20 unless given. Where there is
//! something to compare with in the same run it is the peer; otherwise there is none.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use kalpana_tests::docker::{docker, run_inside, start_inside};
use kalpana_tests::{Browser, GitServer, World, until};
use serde_json::{Value, json};

/// Requests of one latency sample set.
const REQUESTS: usize = 2000;

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
    report(&outcome?)
}

async fn measure(world: &World, runs: usize) -> anyhow::Result<Vec<Value>> {
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
    figures.extend(quantiles(
        "create → served",
        "ms",
        &served,
        &[50, 95],
        Some(4000.0),
    ));
    figures.extend(latency(&ada, &id).await?);
    figures.extend(memory(world, "with one workspace")?);
    let image = kalpana_tests::world::image();
    let size = docker(&["image", "inspect", "--format", "{{.Size}}", &image]).await?;
    figures.push(figure(
        "workspace image",
        "MB",
        size.parse::<f64>()? / 1e6,
        None,
        None,
    ));
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
async fn latency(browser: &Browser, id: &str) -> anyhow::Result<Vec<Value>> {
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
    let (mut through, mut straight) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does falls on both.
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let answer = browser.get(&format!("{port}/")).await?;
        through.push(started.elapsed());
        anyhow::ensure!(answer.body == "ok", "through the gateway: {}", answer.body);
        let started = Instant::now();
        let answer = direct.get(&direct_url).send().await?.text().await?;
        straight.push(started.elapsed());
        anyhow::ensure!(answer == "ok", "straight: {answer}");
    }
    let rows = [50, 99].map(|percent| {
        let goal = if percent == 50 { 300.0 } else { 1000.0 };
        let (ours, peer) = (quantile(&through, percent), quantile(&straight, percent));
        let cell = format!("request p{percent}, gateway (TLS, h2) against direct (plain h1)");
        let mut row = figure(&cell, "µs", ours * 1000.0, Some(peer * 1000.0), None);
        row["added"] = ((ours - peer) * 1000.0).round().into();
        row["goal"] = goal.into();
        row["met"] = ((ours - peer) * 1000.0 <= goal).into();
        row
    });
    Ok(rows.into())
}

fn memory(world: &World, when: &str) -> anyhow::Result<Vec<Value>> {
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
            Ok(figure(
                &format!("RSS of {role}, {when}"),
                "MB",
                kilobytes / 1024.0,
                None,
                None,
            ))
        })
        .collect()
}

fn quantiles(
    cell: &str,
    unit: &str,
    samples: &[Duration],
    percents: &[usize],
    goal: Option<f64>,
) -> Vec<Value> {
    percents
        .iter()
        .map(|percent| {
            let goal = goal.filter(|_| *percent == 95);
            let cell = format!("{cell} p{percent} (n={})", samples.len());
            figure(&cell, unit, quantile(samples, *percent), None, goal)
        })
        .collect()
}

/// Returns the nearest-rank quantile in milliseconds.
fn quantile(samples: &[Duration], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent)
        .div_ceil(100)
        .clamp(1, sorted.len());
    sorted[rank - 1].as_secs_f64() * 1000.0
}

fn figure(cell: &str, unit: &str, ours: f64, peer: Option<f64>, goal: Option<f64>) -> Value {
    let round = |value: f64| (value * 10.0).round() / 10.0;
    json!({
        "cell": cell,
        "unit": unit,
        "ours": round(ours),
        "peer": peer.map(round),
        "ratio": peer.map(|peer| (ours / peer * 100.0).round() / 100.0),
        "ci": null,
        "goal": goal,
        "met": goal.map(|goal| ours <= goal),
    })
}

fn report(figures: &[Value]) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/results");
    std::fs::create_dir_all(&folder)?;
    let mut file = std::fs::File::create(folder.join("lifecycle.jsonl"))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<66} {:>9} {:>9} {:>7} {:>7}",
        "figure", "ours", "peer", "goal", "met"
    )?;
    for row in figures {
        writeln!(file, "{row}")?;
        let cell = format!(
            "{} [{}]",
            row["cell"].as_str().unwrap_or_default(),
            row["unit"].as_str().unwrap_or_default()
        );
        let text = |field: &str| match &row[field] {
            Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        writeln!(
            out,
            "{cell:<66} {:>9} {:>9} {:>7} {:>7}",
            text("ours"),
            text("peer"),
            text("goal"),
            text("met")
        )?;
    }
    Ok(())
}
