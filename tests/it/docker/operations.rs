//! What an operator sees: metrics, health, logs, users, ports.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use kalpana_tests::{GitServer, World, until};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::journey::running_workspace;

/// Reads a loopback port of a role.
pub(crate) async fn admin(port: u16, path: &str) -> anyhow::Result<(u16, String)> {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test]
async fn metrics_are_those_of_the_documentation_and_logs_carry_request_ids_and_no_secrets()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let git = GitServer::start(world.pool)?;
    let ada = world.administrator().await?;
    let id = running_workspace(&world, &git, &ada).await?;
    let editor = ada.origin(&id);
    assert_eq!(ada.navigate(&format!("{editor}/")).await?.1.status, 200);
    // What is counted only when it happens.
    let stranger = world.browser()?;
    assert_eq!(stranger.raw(Method::GET, &editor, &[]).await?.status, 401);
    assert_eq!(stranger.get("/api/session").await?.status, 401);
    let mut garbage = tokio::net::TcpStream::connect(("127.0.0.1", world.port)).await?;
    garbage.write_all(b"not TLS at all\r\n\r\n").await?;

    let documented: BTreeSet<String> = include_str!("../../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `kalpana_")?.split('`').next())
        .map(|rest| format!("kalpana_{rest}"))
        .collect();
    // Removed orphans need an orphan; their counter is registered all the same.
    let rare = BTreeSet::from(["kalpana_orchestrator_orphans_removed_total".to_owned()]);
    until(
        "all documented metrics",
        Duration::from_secs(20),
        async || {
            let mut shown = BTreeSet::new();
            for port in world.admin_ports {
                let (status, text) = admin(port, "/metrics").await?;
                assert_eq!(status, 200);
                let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
                shown.extend(
                    helps
                        .filter_map(|help| help.split(' ').next())
                        .map(str::to_owned),
                );
            }
            let unknown: Vec<_> = shown.difference(&documented).collect();
            assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
            let is_complete = documented
                .difference(&shown)
                .all(|name| rare.contains(name));
            Ok(is_complete.then_some(()))
        },
    )
    .await?;
    for port in world.admin_ports {
        assert_eq!(admin(port, "/healthz").await?, (200, "ok\n".to_owned()));
        assert_eq!(admin(port, "/readyz").await?, (200, "ready\n".to_owned()));
    }

    let answer = ada.get("/api/session").await?;
    let request_id = answer
        .header("x-request-id")
        .expect("a request id")
        .to_owned();
    until(
        "the lines of one request",
        Duration::from_secs(10),
        async || {
            let output = world.output();
            let of_role = |role: &str| {
                let start = format!("{{\"role\":\"{role}\"");
                output
                    .lines()
                    .any(|line| line.starts_with(&start) && line.contains(&request_id))
            };
            Ok((of_role("gateway") && of_role("web")).then_some(()))
        },
    )
    .await?;
    let output = world.output();
    let cookies = [ada.cookies(&editor), ada.cookies(&ada.origin(""))].join("; ");
    let secrets = cookies
        .split("; ")
        .filter_map(|cookie| Some(cookie.split_once('=')?.1));
    for secret in secrets.chain(["correct horse battery staple", "ada@example.com"]) {
        assert!(
            secret.len() > 8 && !output.contains(secret),
            "a secret is in the log"
        );
    }
    world.tear_down().await
}

#[tokio::test]
async fn started_by_root_each_role_has_its_own_user_and_no_internal_port_is_open()
-> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let mut users = BTreeSet::new();
    let mut listening = BTreeSet::new();
    for role in ["gateway", "orchestrator", "web"] {
        let pid = world.pid_of(role)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let uids = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .expect("Uid")
            .trim();
        let uid = uids.split_whitespace().next().expect("a uid").to_owned();
        assert!(
            uids.split_whitespace().all(|one| one == uid),
            "{role}: {uids}"
        );
        assert_ne!(uid, "0", "{role} runs as root");
        users.insert(uid);
        listening.extend(listening_ports(pid)?);
    }
    assert_eq!(users.len(), 3, "each role has its own user");
    let mut expected = BTreeSet::from(world.admin_ports);
    expected.insert(world.port);
    let extra: Vec<_> = listening.difference(&expected).collect();
    assert!(expected.is_subset(&listening), "{listening:?}");
    assert_eq!(
        extra.len(),
        1,
        "beside these only the plain HTTP port: {extra:?}"
    );

    let run = std::fs::metadata(world.data_dir().join("run"))?;
    assert_eq!(
        run.mode() & 0o7777,
        0o3770,
        "others cannot reach the sockets"
    );
    let store = std::fs::metadata(world.data_dir().join("store/kalpana.sqlite3"))?;
    assert_eq!(store.mode() & 0o007, 0, "others cannot read the database");
    world.tear_down().await
}

/// Its number in the kernel's `capability.h`.
const CAP_NET_ADMIN: u32 = 12;

#[tokio::test]
async fn started_by_anyone_else_it_works_and_names_the_weaker_check() -> anyhow::Result<()> {
    let world = World::start_unprivileged(&[]).await?;
    assert!(world.output().contains("weaker"), "{}", world.output());
    // It may not set the packet filter, and says so; another site's, which it cannot open for its own
    // workspaces, may be in force, so nothing is cloned from this host.
    let ada = world.administrator().await?;
    let id = ada.create_workspace(&json!({ "name": "Plain" })).await?;
    ada.until_state(&id, "running").await?;
    let (_, page) = ada.navigate(&format!("{}/", ada.origin(&id))).await?;
    assert!(page.body.contains("workbench"), "{}", page.body);
    let told = "the packet filter is not in force";
    assert!(world.output().contains(told), "{}", world.output());
    world.tear_down().await
}

#[tokio::test]
async fn a_user_that_may_set_the_packet_filter_lends_that_to_the_orchestrator_alone()
-> anyhow::Result<()> {
    let world = World::start_with_net_admin(&["orchestrator.firewall=required"]).await?;
    let ada = world.administrator().await?;
    let id = ada.create_workspace(&json!({ "name": "Held" })).await?;
    ada.until_state(&id, "running").await?;
    for (role, expected) in [("gateway", false), ("web", false), ("orchestrator", true)] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid_of(role)?))?;
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let line = status.lines().find_map(|line| line.strip_prefix(set));
            let bits = line.expect(set).trim_start_matches(':').trim();
            let may_filter = u64::from_str_radix(bits, 16)? & (1 << CAP_NET_ADMIN) != 0;
            assert_eq!(may_filter, expected, "{role} {set} {bits}");
        }
    }
    world.tear_down().await
}

#[tokio::test]
async fn where_the_filter_is_required_and_cannot_be_set_no_workspace_starts() -> anyhow::Result<()>
{
    let world = World::start_unprivileged(&["orchestrator.firewall=required"]).await?;
    let ada = world.administrator().await?;
    for egress in ["open", "none"] {
        let wish = json!({ "name": egress, "egress": egress });
        let id = ada.create_workspace(&wish).await?;
        ada.until_state(&id, "failed").await?;
        let shown = ada.get(&format!("/api/workspaces/{id}")).await?.json()?;
        assert_eq!(shown["failure"]["code"], "firewall_unavailable", "{shown}");
        let message = shown["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("CAP_NET_ADMIN"), "{message}");
        let hint = shown["failure"]["hint"].as_str().unwrap_or_default();
        assert!(hint.contains("kalpana doctor"), "{shown}");
    }
    world.tear_down().await
}

/// Returns the TCP ports that a process listens on.
fn listening_ports(pid: i32) -> anyhow::Result<BTreeSet<u16>> {
    let mut inodes = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(target) = std::fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inodes.insert(inode.to_owned());
        }
    }
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields[1], fields[3], fields[9]);
            if state == "0A" && inodes.contains(inode) {
                let port = local.rsplit(':').next().unwrap_or_default();
                ports.insert(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(ports)
}
