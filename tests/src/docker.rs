//! Asks the engine itself, by label, what there is.

use anyhow::{Context, bail};
use tokio::process::Command;

/// Runs the engine's command line and returns its output.
///
/// # Errors
/// If it fails, with what it said.
pub async fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .await
        .context("docker")?;
    if !output.status.success() {
        bail!(
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the containers of an instance, running or not, by name.
///
/// # Errors
/// If the engine does not answer.
pub async fn containers(instance: &str) -> anyhow::Result<Vec<String>> {
    let filter = format!("label=kalpana.instance={instance}");
    lines(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]).await
}

/// Counts the networks of an instance.
///
/// # Errors
/// If the engine does not answer.
pub async fn networks(instance: &str) -> anyhow::Result<usize> {
    let filter = format!("label=kalpana.instance={instance}");
    Ok(lines(&["network", "ls", "--quiet", "--filter", &filter])
        .await?
        .len())
}

/// Runs a command as the workspace's user in the one container of a workspace.
///
/// # Errors
/// If there is not exactly one running container, or the command fails.
pub async fn run_inside(workspace: &str, script: &str) -> anyhow::Result<String> {
    let container = container_of(workspace).await?;
    docker(&[
        "exec",
        "--user",
        "64000:64000",
        &container,
        "sh",
        "-c",
        script,
    ])
    .await
}

/// Starts a command as the workspace's user and leaves it running.
///
/// # Errors
/// As [`run_inside`].
pub async fn start_inside(workspace: &str, script: &str) -> anyhow::Result<()> {
    let container = container_of(workspace).await?;
    docker(&[
        "exec",
        "--detach",
        "--user",
        "64000:64000",
        &container,
        "sh",
        "-c",
        script,
    ])
    .await?;
    Ok(())
}

/// Returns the one running container of a workspace.
///
/// # Errors
/// If there is none, or more than one.
pub async fn container_of(workspace: &str) -> anyhow::Result<String> {
    let filter = format!("label=kalpana.workspace={workspace}");
    let mut names = lines(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).await?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (Some(_), false) => bail!("workspace {workspace} has several containers"),
        (None, _) => bail!("workspace {workspace} has no running container"),
    }
}

/// Removes all that an instance left on the engine.
///
/// # Errors
/// If the engine does not answer.
pub async fn clean_up(instance: &str) -> anyhow::Result<()> {
    let filter = format!("label=kalpana.instance={instance}");
    for (list, remove) in [
        (vec!["ps", "--all", "--quiet"], vec!["rm", "--force"]),
        (vec!["network", "ls", "--quiet"], vec!["network", "rm"]),
        (
            vec!["volume", "ls", "--quiet"],
            vec!["volume", "rm", "--force"],
        ),
    ] {
        let found = lines(&[&list[..], &["--filter", filter.as_str()]].concat()).await?;
        for one in &found {
            docker(&[&remove[..], &[one.as_str()]].concat()).await?;
        }
    }
    Ok(())
}

async fn lines(arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    Ok(docker(arguments)
        .await?
        .lines()
        .map(str::to_owned)
        .collect())
}
