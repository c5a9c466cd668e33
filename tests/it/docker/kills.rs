//! The orchestrator is killed again and again, at any moment, while people start, put to sleep, wake,
//! stop, delete and restore: nothing is doubled, nothing is left over, nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use http::Method;
use kalpana_tests::docker::{containers, docker, networks, run_inside};
use kalpana_tests::{Browser, World, until};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// How often the orchestrator is killed, unless `KALPANA_LIFECYCLE_KILLS` says so: `make soak` does.
const KILLS: usize = 5;

/// Workspaces that there are meanwhile.
const WORKSPACES: usize = 3;

/// After a kill it may take this long until everything is as it should be.
const CONVERGENCE: Duration = Duration::from_secs(30);

/// The latest moment of a kill after the wishes: a start takes about as long.
const LATEST: Duration = Duration::from_millis(2500);

/// What the workspaces of a site were asked for, and what must hold of them.
struct Site<'a> {
    world: &'a World,
    ada: &'a Browser,
    ids: Vec<String>,
    /// Those with a file of their own inside, and what is in it.
    marked: BTreeMap<String, String>,
}

impl Site<'_> {
    /// Asks for something of a workspace that its state allows. Returns whether it was taken.
    async fn wish(&self, id: &str, random: &mut StdRng) -> anyhow::Result<bool> {
        let shown = self.ada.get(&format!("/api/workspaces/{id}")).await?;
        let state = match shown.status {
            404 => "deleted".to_owned(),
            _ => shown.json()?["state"]
                .as_str()
                .context("a state")?
                .to_owned(),
        };
        let delete = (Method::DELETE, format!("/api/workspaces/{id}"));
        let start = (Method::POST, format!("/api/workspaces/{id}/start"));
        let pause = (Method::POST, format!("/api/workspaces/{id}/pause"));
        let stop = (Method::POST, format!("/api/workspaces/{id}/stop"));
        let restore = (
            Method::POST,
            format!("/api/deleted-workspaces/{id}/restore"),
        );
        let (method, path) = match state.as_str() {
            "deleted" | "deleting" => restore,
            "stopped" | "failed" if random.random_bool(0.8) => start,
            "running" if random.random_bool(0.5) => pause,
            "paused" if random.random_bool(0.6) => start,
            "starting" | "running" | "paused" if random.random_bool(0.7) => stop,
            "stopping" => return Ok(false),
            _ => delete,
        };
        let answer = self.ada.send(method, &path, None).await?;
        Ok(answer.status == 202)
    }

    /// Looks whether everything has come to rest; says what has not.
    async fn unsettled(&self) -> anyhow::Result<Option<String>> {
        let listed = self.ada.get("/api/workspaces").await?;
        if listed.status != 200 {
            return Ok(Some(format!("the list: {}", listed.status)));
        }
        let (mut running, mut asleep) = (BTreeSet::new(), BTreeSet::new());
        for workspace in listed.json()?["workspaces"].as_array().context("a list")? {
            let id = workspace["id"].as_str().context("an id")?;
            match workspace["state"].as_str() {
                Some(state @ ("running" | "paused")) => {
                    running.insert(id.to_owned());
                    if state == "paused" {
                        asleep.insert(id.to_owned());
                    }
                }
                Some("stopped") => {}
                state => return Ok(Some(format!("{id} is {state:?} {}", workspace["failure"]))),
            }
        }
        let found = containers(&self.world.instance).await?;
        if found.len() != running.len() {
            return Ok(Some(format!("{found:?} for {running:?}")));
        }
        for id in &running {
            if found.iter().filter(|name| name.contains(id)).count() != 1 {
                return Ok(Some(format!("{found:?} for {running:?}")));
            }
        }
        let frozen = self.frozen().await?;
        if frozen.len() != asleep.len() {
            return Ok(Some(format!("frozen are {frozen:?}, asleep {asleep:?}")));
        }
        let networks = networks(&self.world.instance).await?;
        Ok((networks != running.len()).then(|| format!("{networks} networks for {running:?}")))
    }

    /// The containers that are frozen.
    async fn frozen(&self) -> anyhow::Result<Vec<String>> {
        let ours = format!("label=kalpana.instance={}", self.world.instance);
        let filters = ["--filter", &ours, "--filter", "status=paused"];
        let listed = [&["ps"], &filters[..], &["--format", "{{.Names}}"]].concat();
        let names = docker(&listed).await?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Waits until everything is at rest, and checks that nothing is lost.
    async fn converges(&mut self) -> anyhow::Result<()> {
        let mut last = String::new();
        let settled = until(
            "everything to be as it should be",
            CONVERGENCE,
            async || match self.unsettled().await? {
                None => Ok(Some(())),
                Some(reason) => {
                    last = reason;
                    Ok(None)
                }
            },
        );
        settled.await.context(last)?;
        for id in &self.ids {
            let label = format!("label=kalpana.workspace={id}");
            let volumes = docker(&["volume", "ls", "--quiet", "--filter", &label]).await?;
            let expected = if self.marked.contains_key(id) { 2 } else { 0 };
            anyhow::ensure!(
                volumes.lines().count() >= expected,
                "{id} has lost a volume: {volumes:?}"
            );
        }
        let frozen = self.frozen().await?;
        for name in containers(&self.world.instance).await? {
            if frozen.contains(&name) {
                continue;
            }
            let id = self.ids.iter().find(|id| name.contains(id.as_str()));
            let id = id.context("a workspace of ours")?.clone();
            let file = "/workspace/mark";
            if let Some(mark) = self.marked.get(&id) {
                let found = run_inside(&id, &format!("cat {file}")).await?;
                anyhow::ensure!(found.trim() == mark, "{id} has {found:?} instead of {mark}");
            } else {
                run_inside(&id, &format!("echo {id} > {file}")).await?;
                self.marked.insert(id.clone(), id);
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_orchestrator_that_is_killed_at_any_moment_loses_nothing_and_doubles_nothing()
-> anyhow::Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = number("KALPANA_LIFECYCLE_KILLS").unwrap_or(KILLS);
    let seed = number("KALPANA_LIFECYCLE_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let mut random = StdRng::seed_from_u64(seed as u64);
    let world = World::start(&["orchestrator.stop_timeout=2s"]).await?;
    let ada = world.administrator().await?;
    let mut site = Site {
        world: &world,
        ada: &ada,
        ids: Vec::new(),
        marked: BTreeMap::new(),
    };
    let (mut wishes, mut slowest) = (0, Duration::ZERO);
    for kill in 0..kills {
        if site.ids.len() < WORKSPACES {
            let body: Value = json!({ "name": format!("number {kill}") });
            site.ids.push(ada.create_workspace(&body).await?);
            wishes += 1;
        }
        for id in site.ids.clone() {
            if random.random_bool(0.7) && site.wish(&id, &mut random).await? {
                wishes += 1;
            }
        }
        // The moment is the point: anywhere in what was just asked for.
        tokio::time::sleep(random.random_range(Duration::ZERO..LATEST)).await;
        // Counted from when the next process is ready: how long the supervisor waits is its affair.
        world.kill_role("orchestrator").await?;
        let ready = Instant::now();
        let converged = site.converges().await;
        converged.with_context(|| format!("seed {seed}, kill {kill}"))?;
        slowest = slowest.max(ready.elapsed());
    }
    println!(
        "seed {seed}: {kills} kills during {wishes} wishes: 0 duplicates, 0 left over, 0 volumes lost; \
         everything as it should be within {:.1} s of the next start",
        slowest.as_secs_f64()
    );
    world.tear_down().await
}
