//! The database goes away while people work, and comes back.
//!
//! `KALPANA_OUTAGE_SECONDS` says how long it is away; `make soak` sets ten minutes.

#[path = "outage/busy.rs"]
mod busy;

use std::io::Write;
use std::time::{Duration, Instant};

use kalpana_test_mongodb::{Options, Server};
use kalpana_tests::{Browser, GitServer, World, until};
use mongodb::bson::doc;
use serde_json::{Value, json};

use self::busy::Busy;
use super::inside::start_echo_server;
use super::journey::running_workspace;
use super::operations::admin;

/// How long the database is away unless the environment says otherwise.
const SHORT: Duration = Duration::from_secs(15);

/// How long the site may take to notice what became of the database.
const NOTICE: Duration = Duration::from_secs(90);

/// How often somebody knocks while the database is away.
const PACE: Duration = Duration::from_millis(250);

/// The password of the first administrator.
const PASSWORD: &str = "correct horse battery staple";

/// How a database can be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    /// Its process is gone, and comes back with what was on its disk.
    Down,
    /// It takes connections and says nothing.
    Silent,
    /// It answers everything, each time later than anybody waits.
    Slow,
}

#[tokio::test]
async fn the_database_is_down_and_comes_back() -> anyhow::Result<()> {
    away_and_back(Away::Down).await
}

#[tokio::test]
async fn the_database_is_silent_and_comes_back() -> anyhow::Result<()> {
    away_and_back(Away::Silent).await
}

#[tokio::test]
async fn the_database_is_slow_and_comes_back() -> anyhow::Result<()> {
    away_and_back(Away::Slow).await
}

fn length() -> anyhow::Result<Duration> {
    match std::env::var("KALPANA_OUTAGE_SECONDS") {
        Ok(seconds) => Ok(Duration::from_secs(seconds.parse()?)),
        Err(_) => Ok(SHORT),
    }
}

async fn away_and_back(away: Away) -> anyhow::Result<()> {
    let length = length()?;
    // A short outage is over before the usual limits are; a long one is met with those.
    let settings = [
        // Everybody knocks from the same address here.
        "auth.sign_in_per_minute_address=1000",
        "auth.sign_in_per_minute_pair=1000",
        "store.operation_timeout=2s",
        "store.mongodb.connect_timeout=1s",
    ];
    let settings = if length <= SHORT {
        &settings[..]
    } else {
        &settings[..2]
    };
    // What it acknowledges must be on its disk when it is killed.
    let options = Options {
        sync: true,
        ..Options::default()
    };
    let mut server = Server::start_with(options).await?;
    let world = World::start_on(&server.uri(), "kalpana", settings).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let stopped_in_time = running_workspace(&world, &git, &ada).await?;
    start_echo_server(&id).await?;
    // Signed in at the site, and not at the workspace yet.
    let newcomer = sign_in(&world)
        .await?
        .map_err(|status| anyhow::anyhow!("{status}"))?;
    let pids = pids(&world)?;
    let busy = Busy::start(&ada, &id).await?;

    // Acknowledged just before: it must be carried out afterwards.
    let stop = format!("/api/workspaces/{stopped_in_time}/stop");
    assert_eq!(ada.post(&stop, &json!({})).await?.status, 202);
    leave(&mut server, away).await?;
    let knocked = knock(&world, &ada, &newcomer, &id, length).await?;
    come_back(&mut server, away).await?;

    until(
        "both roles to find the database again",
        NOTICE,
        async || {
            let mut are_well = true;
            for port in &world.admin_ports[1..] {
                are_well &= admin(*port, "/readyz").await?.0 == 200;
                are_well &= gauge(*port, "kalpana_store_breaker_open").await? == Some(0.0);
            }
            Ok(are_well.then_some(()))
        },
    )
    .await?;
    let signed_in = until("signing in to work again", NOTICE, async || {
        Ok(sign_in(&world).await?.ok())
    })
    .await?;
    ada.until_state(&stopped_in_time, "stopped").await?;
    let again = format!("/api/workspaces/{stopped_in_time}/start");
    assert_eq!(signed_in.post(&again, &json!({})).await?.status, 202);
    ada.until_state(&stopped_in_time, "running").await?;

    let done = busy.stop().await?;
    done.demand_no_failure();
    let kept = ada.get("/api/tokens").await?.json()?;
    let names: Vec<&str> = kept["tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| token["name"].as_str())
        .collect();
    let lost: Vec<_> = done
        .acknowledged
        .iter()
        .filter(|name| !names.contains(&name.as_str()))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(newcomer.get("/api/session").await?.status, 200);
    assert_eq!(self::pids(&world)?, pids, "nothing was restarted");
    let _ = writeln!(
        std::io::stderr(),
        "{away:?} for {} s: {done}; {knocked}; 0 acknowledged writes lost",
        length.as_secs()
    );
    world.tear_down().await
}

async fn leave(server: &mut Server, away: Away) -> anyhow::Result<()> {
    match away {
        Away::Down => server.kill().await,
        Away::Silent => server.hold(),
        Away::Slow => {
            let slow = doc! {
                "failCommands": ["find", "insert", "update", "delete", "aggregate", "getMore",
                    "findAndModify", "count", "ping", "commitTransaction", "abortTransaction"],
                "blockConnection": true,
                // Longer than the longest limit there is by default.
                "blockTimeMS": 15_000,
            };
            fail_point(server, doc! { "mode": "alwaysOn", "data": slow }).await
        }
    }
}

async fn come_back(server: &mut Server, away: Away) -> anyhow::Result<()> {
    match away {
        Away::Down => server.start_again().await,
        Away::Silent => server.release(),
        Away::Slow => fail_point(server, doc! { "mode": "off" }).await,
    }
}

async fn fail_point(server: &Server, more: mongodb::bson::Document) -> anyhow::Result<()> {
    let mut command = doc! { "configureFailPoint": "failCommand" };
    command.extend(more);
    let client = mongodb::Client::with_uri_str(server.uri()).await?;
    client.database("admin").run_command(command).await?;
    Ok(())
}

/// What those who knocked at a site without a database were told.
struct Knocked {
    answers: usize,
    took: Vec<Duration>,
}

impl std::fmt::Display for Knocked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut took = self.took.clone();
        took.sort();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
        let (median, late, last) = (at(50), at(99), at(100));
        write!(
            formatter,
            "{} answers, all 503 (p50 {median} ms, p99 {late} ms, longest {last} ms)",
            self.answers
        )
    }
}

/// Knocks for `length` at all that needs the database; each time it must say what is away.
async fn knock(
    world: &World,
    ada: &Browser,
    newcomer: &Browser,
    id: &str,
    length: Duration,
) -> anyhow::Result<Knocked> {
    let began = Instant::now();
    let web = world.admin_ports[2];
    let stop = format!("/api/workspaces/{id}/stop");
    let editor = format!("{}/", ada.origin(id));
    let credentials = json!({ "email": "ada@example.com", "password": PASSWORD });
    let mut pace = tokio::time::interval(PACE);
    let mut took = Vec::new();
    let mut has_opened = false;
    while began.elapsed() < length || !has_opened {
        assert!(
            began.elapsed() < length + NOTICE,
            "the breaker never opened"
        );
        pace.tick().await;
        let stranger = world.browser()?;
        let calls: [(&str, &Browser, &str, Option<&Value>); 4] = [
            ("signing in", &stranger, "/api/session", Some(&credentials)),
            (
                "a new workspace",
                ada,
                "/api/workspaces",
                Some(&json!({ "name": "x" })),
            ),
            ("a stop", ada, &stop, Some(&json!({}))),
            ("who am I", ada, "/api/session", None),
        ];
        for (what, browser, path, body) in calls {
            let asked = Instant::now();
            let answer = match body {
                Some(body) => browser.post(path, body).await?,
                None => browser.get(path).await?,
            };
            took.push(asked.elapsed());
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            assert!(answer.header("retry-after").is_some(), "{what}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), None, "{what}: {answer:?}");
            let error = &answer.json()?["error"];
            assert_eq!(error["code"], "store_unavailable", "{what}");
            assert_eq!(error["message"], "The database does not answer.", "{what}");
        }
        let asked = Instant::now();
        let (url, page) = newcomer.navigate(&editor).await?;
        took.push(asked.elapsed());
        assert_eq!(page.status, 503, "{url}: {page:?}");
        assert!(page.header("retry-after").is_some(), "{page:?}");
        let kind = page.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/html"), "{page:?}");
        assert!(
            page.body.contains("The database does not answer."),
            "{}",
            page.body
        );
        assert!(page.body.contains("open editors go on"), "{}", page.body);
        has_opened |= gauge(web, "kalpana_store_breaker_open").await? == Some(1.0);
    }
    for outcome in ["away", "rejected"] {
        let count = operations(web, outcome).await?;
        assert!(count > 0.0, "operations by outcome {outcome}: {count}");
    }
    until("web to say what it lacks", NOTICE, async || {
        let (status, text) = admin(web, "/readyz").await?;
        Ok((status == 503 && text.contains("the database does not answer")).then_some(()))
    })
    .await?;
    assert_eq!(admin(web, "/healthz").await?.0, 200, "it lives");
    let health = ada.get("/api/health").await?.json()?;
    assert_eq!(
        (&health["status"], &health["database"]),
        (&json!("ok"), &json!("away"))
    );
    let answers = took.len();
    Ok(Knocked { answers, took })
}

/// Signs in, or returns the refusal's status.
async fn sign_in(world: &World) -> anyhow::Result<Result<Browser, u16>> {
    let browser = world.browser()?;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let answer = browser.post("/api/session", &body).await?;
    Ok(match answer.status {
        201 => Ok(browser),
        status => Err(status),
    })
}

fn pids(world: &World) -> anyhow::Result<[i32; 3]> {
    Ok([
        world.pid_of("gateway")?,
        world.pid_of("orchestrator")?,
        world.pid_of("web")?,
    ])
}

/// Reads a gauge from a role's metrics.
async fn gauge(port: u16, name: &str) -> anyhow::Result<Option<f64>> {
    let (_, text) = admin(port, "/metrics").await?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.map(str::parse).transpose()?)
}

/// Sums up the operations on the store that ended so.
async fn operations(port: u16, outcome: &str) -> anyhow::Result<f64> {
    let (_, text) = admin(port, "/metrics").await?;
    let label = format!("outcome=\"{outcome}\"");
    let counts = text
        .lines()
        .filter(|line| line.starts_with("kalpana_store_operations_total{") && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum())
}
