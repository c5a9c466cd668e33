//! `kalpana doctor`, as whoever runs it sees it: on a machine where nothing runs, beside a site
//! that does, and with what is wrong put in its way.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use kalpana_tests::world::{World, executable};
use serde_json::Value;
use tokio::process::Command;

use crate::certs::site::{Authority, Machine, Ran, serve};

/// How long it may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const NAMES: [&str; 2] = ["kalpana.localhost", "*.kalpana.localhost"];

/// A socket below which nobody listens.
const NO_ENGINE: &str = "orchestrator.engine_socket=/nonexistent/engine.sock";

/// Runs it on a machine with these settings, started by `launcher`.
async fn doctor_by(
    launcher: &[&str],
    machine: &Machine,
    format: &str,
    settings: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<Ran> {
    let own = executable()?.display().to_string();
    let command = [launcher, &[own.as_str(), "doctor", "--format", format]].concat();
    let output = Command::new(command[0])
        .args(&command[1..])
        .args(settings.iter().flat_map(|setting| ["--set", setting]))
        .env_clear()
        .envs(std::env::var("PATH").map(|path| ("PATH", path)))
        .env("HOME", machine.home())
        .env("KALPANA_SERVER__DATA_DIR", machine.path("d"))
        .env("SSL_CERT_FILE", machine.file("nobody.pem", "")?)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output).await;
    let output = output.context("kalpana doctor does not end")??;
    Ok(Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

async fn doctor(machine: &Machine, settings: &[&str]) -> anyhow::Result<Ran> {
    doctor_by(&[], machine, "json", settings, &[]).await
}

/// Returns the status and code of every answer to a check.
fn answers(ran: &Ran, check: &str) -> Vec<(String, String)> {
    let report = ran.json();
    let checks = report["checks"].as_array().expect("checks").iter();
    let of = checks.filter(|verdict| verdict["check"] == check);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    of.map(|verdict| {
        let (status, code) = (text(&verdict["status"]), text(&verdict["code"]));
        assert_eq!(status == "ok", code == "-", "{verdict}");
        assert_eq!(status == "ok", verdict["next_step"].is_null(), "{verdict}");
        (status, code)
    })
    .collect()
}

fn one(status: &str, code: &str) -> Vec<(String, String)> {
    vec![(status.to_owned(), code.to_owned())]
}

#[tokio::test]
async fn where_nothing_runs_each_role_is_named() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    std::fs::remove_dir_all(machine.path("d"))?;
    let settings = [NO_ENGINE, "server.public_port=1"];
    let ran = doctor(&machine, &settings).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["is_good"], false);
    for role in ["web", "orchestrator", "gateway"] {
        let code = format!("{role}_not_running");
        assert_eq!(answers(&ran, &format!("role_{role}")), one("failed", &code));
    }
    assert_eq!(answers(&ran, "engine"), one("failed", "engine_unavailable"));
    assert_eq!(answers(&ran, "store"), one("failed", "store_unusable"));
    assert_eq!(answers(&ran, "dns"), one("ok", "-"));
    assert_eq!(answers(&ran, "configuration"), one("ok", "-"));
    // What follows from that is not said again.
    for check in ["public_url", "websocket"] {
        assert_eq!(answers(&ran, check), one("skipped", "gateway_not_running"));
    }
    let text = doctor_by(&[], &machine, "text", &settings, &[]).await?;
    assert_eq!(text.code, 1);
    assert!(
        text.stdout
            .contains("(web_not_running)\n         hint: `kalpana up`"),
        "{text:?}"
    );
    assert!(text.stderr.contains("checks failed"), "{text:?}");
    // It only looked.
    assert!(!machine.path("d").exists());
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_said_alone() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let ran = doctor(&machine, &["gateway.lisen=1"]).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["checks"].as_array().map(Vec::len), Some(1));
    let wrong = one("failed", "configuration_wrong");
    assert_eq!(answers(&ran, "configuration"), wrong);
    let usage = doctor_by(&[], &machine, "yaml", &[], &[]).await?;
    assert_eq!(usage.code, 2, "{usage:?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_intermediate_and_a_key_for_everybody_are_found() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let root = Authority::root("Test Root")?;
    let leaf = root
        .intermediate("Test Intermediate")?
        .sign(&NAMES, (-1, 89))?;
    let server = serve(&leaf, &[]).await?;
    let roots = machine.file("roots.pem", &root.pem())?;
    let certificate = machine.file("c.pem", &leaf.pem)?;
    let key = machine.file("k.pem", &leaf.key_pem)?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let settings = [
        server.setting(),
        format!("certs.certificate_file={certificate}"),
        format!("certs.key_file={key}"),
        NO_ENGINE.to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let variables = [("SSL_CERT_FILE", roots.as_str())];
    let ran = doctor_by(&[], &machine, "json", &settings, &variables).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    let incomplete = one("failed", "chain_incomplete");
    let both = [incomplete.clone(), incomplete].concat();
    assert_eq!(answers(&ran, "shown_certificate"), both);
    let exposed = one("failed", "certificate_key_exposed");
    assert_eq!(answers(&ran, "certificate_files"), exposed);
    assert!(!ran.stdout.contains("PRIVATE KEY"));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_found() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let script = "mount -t tmpfs -o size=1m,nr_inodes=4 none \"$KALPANA_SERVER__DATA_DIR\" && \
                  mkdir \"$KALPANA_SERVER__DATA_DIR\"/a \"$KALPANA_SERVER__DATA_DIR\"/b \
                  \"$KALPANA_SERVER__DATA_DIR\"/store && exec \"$0\" \"$@\"";
    let launcher = ["unshare", "--mount", "--map-root-user", "sh", "-c", script];
    let ran = doctor_by(&launcher, &machine, "json", &[NO_ENGINE], &[]).await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(answers(&ran, "disk_space"), one("failed", "disk_full"));
    assert_eq!(
        answers(&ran, "disk_inodes"),
        one("failed", "disk_inodes_full")
    );
    Ok(())
}

#[tokio::test]
async fn an_engine_that_hangs_holds_nobody_up() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    // It takes connections, and nobody ever reads them.
    let socket = machine.path("engine.sock");
    let _silent = UnixListener::bind(&socket)?;
    let setting = format!("orchestrator.engine_socket={}", socket.display());
    let ran = doctor(&machine, &[&setting]).await?;
    let engine = answers(&ran, "engine");
    assert_eq!(engine.len(), 1, "{ran:?}");
    assert_eq!(engine[0].0, "failed", "{ran:?}");
    assert_eq!(answers(&ran, "role_web"), one("failed", "web_not_running"));
    assert_eq!(answers(&ran, "clock").len(), 1);
    Ok(())
}

#[tokio::test]
async fn beside_a_site_that_runs_everything_of_the_site_is_good() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let own = world.arguments();
    let mut arguments = vec!["doctor", "--format", "json"];
    arguments.extend(own.iter().map(String::as_str));
    let before = entries(&world.data_dir().join("store"))?;
    let ran = world.kalpana(&arguments, &[], "").await?;
    assert_eq!(before, entries(&world.data_dir().join("store"))?);
    let ran = Ran {
        code: ran.code,
        stdout: ran.stdout,
        stderr: ran.stderr,
    };
    for check in [
        "configuration",
        "directories",
        "role_web",
        "role_orchestrator",
        "role_gateway",
        "store",
        "certificate",
        "shown_certificate",
        "dns",
        "public_url",
        "websocket",
        "engine",
        "workspace_image",
        "packet_filter",
    ] {
        let found = answers(&ran, check);
        assert!(!found.is_empty(), "{check}: {ran:?}");
        for (status, code) in found {
            assert_eq!(status, "ok", "{check} {code}: {ran:?}");
        }
    }
    let refused = "refused user";
    assert!(!world.output().contains(refused), "{}", world.output());
    world.tear_down().await
}

fn entries(folder: &std::path::Path) -> anyhow::Result<Vec<std::ffi::OsString>> {
    let mut names = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
