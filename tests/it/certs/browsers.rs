//! Browsers of a machine: a real Chromium, and the databases in which they keep whom they trust.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::site::Machine;

/// How long a browser may take to start and to show a page, on a busy machine.
const PAGE_LIMIT: Duration = Duration::from_secs(90);

/// Opens a page in a new Chromium of this machine, and returns what it shows; where it shows none,
/// its own words on why. Every name is at 127.0.0.1.
pub(crate) async fn open(machine: &Machine, url: &str) -> anyhow::Result<String> {
    let profile = machine.path("profile").display().to_string();
    let output = Command::new("chromium")
        .env("HOME", machine.home())
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-sync"])
        .arg("--host-resolver-rules=MAP * 127.0.0.1")
        .arg(format!("--user-data-dir={profile}"))
        .args(["--dump-dom", url])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PAGE_LIMIT, output)
        .await
        .with_context(|| format!("Chromium does not come to an end with {url}"))??;
    let shown = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(match said.split_once("Page load failed: ") {
        Some((_, why)) => why.lines().next().unwrap_or_default().to_owned(),
        None => shown.into_owned(),
    })
}

/// Makes a database as a browser does when it first runs.
pub(crate) async fn make_database(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    certutil(folder, &["-N", "--empty-password"])
        .await
        .map(|_| ())
}

/// Runs the real `certutil` on a database, and returns what it prints.
pub(crate) async fn certutil(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let database = format!("sql:{}", folder.display());
    let output = Command::new("certutil")
        .args(["-d", &database])
        .args(arguments)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "certutil {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
