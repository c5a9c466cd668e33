//! Two machines of one site, each with a gateway and a web of its own, on one store: one of them
//! orders, both serve, and the log has what happened once.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use kalpana_domain::audit::{Actor, AuditEvent};
use kalpana_store::{OpenMode, PageRequest};
use kalpana_test_acme::reserve_port;
use kalpana_test_acme::{ChallengeServer, Pebble, PebbleOptions};
use kalpana_test_mongodb::Database;
use kalpana_tests::until;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::process::Child;

use super::gateway::{DOMAIN, Names, Options, Proof, give, run, settings};
use super::site::Machine;

/// How long something may take on a busy machine that takes a look of one gateway at the other.
const LIMIT: Duration = Duration::from_secs(90);

/// One of the machines.
struct Member {
    machine: Machine,
    settings: String,
    /// Its gateway, and its web once that was started. They end with the test.
    processes: Vec<Child>,
    _ports: [socket2::Socket; 2],
}

impl Member {
    fn start(&mut self, role: &str) -> anyhow::Result<()> {
        let process = run(&self.machine, role, &self.settings)?;
        self.processes.push(process);
        Ok(())
    }

    /// Returns the serial number that is served, when it is.
    async fn serial(&self) -> anyhow::Result<Option<String>> {
        let ran = self.machine.certs(&["list", "--format", "json"]).await?;
        if ran.code != 0 {
            return Ok(None);
        }
        let served = &ran.json()["certificates"][0]["served"]["serial"];
        Ok(served.as_str().map(ToOwned::to_owned))
    }

    async fn until_served(&self, is_right: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let served = until("a certificate", LIMIT, async || {
            Ok(self.serial().await?.filter(|serial| is_right(serial)))
        });
        served.await.map_err(|error| {
            let log = std::fs::read_to_string(self.machine.path("log"));
            error.context(log.unwrap_or_default())
        })
    }
}

/// Returns what the log has of certificates, the earliest first.
async fn audited(store: &kalpana_config::Store) -> anyhow::Result<Vec<AuditEvent>> {
    let path = store.path.clone().unwrap_or_default();
    let store = kalpana_store::open(store, &path, OpenMode::Use, &Registry::new()).await?;
    let page = PageRequest {
        after: None,
        limit: PageRequest::LIMIT,
    };
    let mut events = store.audit_events(page).await?.items;
    events.retain(|event| event.action.as_str().starts_with("certificate."));
    events.reverse();
    Ok(events)
}

/// `store` is the section of the configuration.
async fn one_orders_and_both_serve(store: Value) -> anyhow::Result<()> {
    let section = match &store["path"] {
        Value::Null => format!(
            "[store.mongodb]\nuri = {}\ndatabase = {}\n",
            store["mongodb"]["uri"], store["mongodb"]["database"]
        ),
        path => format!("[store]\npath = {path}\n"),
    };
    let mut members = Vec::new();
    let mut authority = None;
    for _ in 0..2 {
        let (tls, port) = reserve_port()?;
        let (plain, plain_port) = reserve_port()?;
        if authority.is_none() {
            // Whoever orders, the first one is asked for the proof.
            let names = ChallengeServer::start().await?;
            let options = PebbleOptions {
                http_port: plain_port,
                tls_port: port,
                ..PebbleOptions::default()
            };
            let pebble = Pebble::start_asking(names.address(), options).await?;
            authority = Some((pebble, Names::Any(names)));
        }
        let (pebble, names) = authority.as_ref().expect("started");
        let machine = Machine::new()?;
        let options = Options::default();
        let ports = (port, plain_port);
        let text = settings(&machine, Proof::Http01, ports, &options, names, pebble)?;
        let text = text.replace("source = \"acme\"", "source = \"acme\"\nshared = true");
        members.push(Member {
            settings: machine.file("kalpana.toml", &format!("{text}\n{section}"))?,
            machine,
            processes: Vec::new(),
            _ports: [tls, plain],
        });
    }
    let (pebble, _names) = authority.expect("started");
    let [mut first, mut second] = <[Member; 2]>::try_from(members).ok().expect("two");

    // All gateways of a site have one key.
    first.start("gateway")?;
    let key = first.machine.path("d/gateway/session.key");
    let key = until("a key", LIMIT, async || Ok(std::fs::read(&key).ok())).await?;
    let gateway = second.machine.path("d/gateway");
    std::fs::create_dir_all(&gateway)?;
    std::fs::write(gateway.join("session.key"), key)?;
    for (path, mode) in [(gateway.join("session.key"), 0o600), (gateway, 0o700)] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
        give(&path)?;
    }
    second.start("gateway")?;
    // Without a web they know nothing of each other, and order nothing.
    assert_eq!(first.serial().await?, None);
    first.start("web")?;
    second.start("web")?;

    let serial = first.until_served(|_| true).await?;
    let served_at = Instant::now();
    assert_eq!(second.until_served(|_| true).await?, serial);
    assert_eq!(pebble.issued(), 1);

    // Which of two is newer is told by the second.
    let passed = async || Ok((served_at.elapsed() > Duration::from_secs(1)).then_some(()));
    until("another second", LIMIT, passed).await?;
    let ran = second
        .machine
        .certs(&["renew", DOMAIN, "--format", "json"])
        .await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    let renewed = second.until_served(|now| now != serial).await?;
    first.until_served(|serial| serial == renewed).await?;
    assert_eq!(pebble.issued(), 2);

    let store = serde_json::from_value(store)?;
    let all = until("both in the log", LIMIT, async || {
        let audited = audited(&store).await?;
        Ok((audited.len() >= 3).then_some(audited))
    });
    let all = all.await?;
    let told: Vec<(&str, &Actor, &str)> = all
        .iter()
        .map(|event| (event.action.as_str(), &event.actor, event.subject.as_str()))
        .collect();
    let (old, new) = (format!("{DOMAIN} {serial}"), format!("{DOMAIN} {renewed}"));
    assert_eq!(
        told,
        [
            ("certificate.replace", &Actor::System, old.as_str()),
            ("certificate.renew", &Actor::Console, DOMAIN),
            ("certificate.replace", &Actor::System, new.as_str()),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn two_machines_on_one_mongodb_order_one_certificate() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let mongodb = json!({ "uri": database.uri(), "database": database.name() });
    one_orders_and_both_serve(json!({ "mongodb": mongodb })).await
}

#[tokio::test]
async fn two_gateways_on_one_sqlite_file_order_one_certificate() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let folder = machine.path("store");
    std::fs::create_dir(&folder)?;
    give(&folder)?;
    give(machine.folder.path())?;
    one_orders_and_both_serve(json!({ "path": folder.join("kalpana.sqlite3") })).await
}
