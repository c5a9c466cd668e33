//! `kalpana workspace snapshot`: copies of all files of a workspace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use futures_util::TryStreamExt;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::io::StreamReader;

use super::view::Workspace;
use super::{One, POLL, confirmed, wait};
use crate::api::Api;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Take a snapshot: a copy of all files in /workspace and the home directory, kept outside of it
    Create(Create),
    /// List the snapshots of a workspace, newest first
    #[command(visible_alias = "ls")]
    List(List),
    /// Replace the files of a stopped workspace by those of a snapshot, and start it
    ///
    /// Its present files are kept first, in a snapshot of their own.
    Restore(Restore),
    /// Download a snapshot: a tar archive, compressed with Zstandard
    Download(Download),
    /// Delete a snapshot for good
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    one: One,
    /// What to remember it by, up to 200 characters
    #[arg(long, short, default_value = "")]
    note: String,
    /// Return at once instead of waiting until it is ready
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Archive {
    #[command(flatten)]
    one: One,
    /// Return at once instead of waiting until it is archived
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    one: One,
}

/// A snapshot of a workspace.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    one: One,
    /// Id of the snapshot, or enough of its end to tell it from the others
    snapshot: String,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    which: Which,
    /// Return at once instead of waiting until the workspace runs
    #[arg(long)]
    no_wait: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    #[command(flatten)]
    which: Which,
    /// Where to write it, `-` for standard output [default: NAME-ID.tar.zst]
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Deserialize)]
struct All {
    snapshots: Vec<Taken>,
}

/// A snapshot, as the API answers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    id: String,
    kind: String,
    note: String,
    state: String,
    created_at: String,
    finished_at: Option<String>,
    bytes: u64,
    files: u64,
    skipped: u64,
    failure: Option<String>,
}

impl Taken {
    fn row(&self) -> Vec<String> {
        let state = match self.state.as_str() {
            "ready" => human(self.bytes),
            "making" => format!("{} so far", human(self.bytes)),
            state => state.to_owned(),
        };
        let about = self.failure.as_ref().unwrap_or(&self.note);
        vec![
            self.id.clone(),
            self.created_at.clone(),
            self.kind.replace('_', " "),
            state,
            self.files.to_string(),
            about.clone(),
        ]
    }

    fn describe(&self) -> String {
        match self.state.as_str() {
            "ready" => {
                let left_out = match self.skipped {
                    0 => String::new(),
                    skipped => format!("; {skipped} could not be read and are not in it"),
                };
                let size = human(self.bytes);
                format!(
                    "snapshot {}: {} files, {size}{left_out}",
                    self.id, self.files
                )
            }
            state => format!("snapshot {}: {state}", self.id),
        }
    }
}

/// Returns a number of bytes for people.
fn human(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut shown = bytes;
    while shown >= 10_240 && unit + 1 < units.len() {
        shown >>= 10;
        unit += 1;
    }
    format!("{shown} {}", units[unit])
}

async fn all(api: &Api, workspace: &Workspace) -> anyhow::Result<Vec<Taken>> {
    let path = format!("/api/workspaces/{}/snapshots", workspace.id);
    let all: All = api.get(&path).await?;
    Ok(all.snapshots)
}

impl Which {
    /// Finds the snapshot, and returns it with its path in the API.
    async fn find(&self) -> anyhow::Result<(Api, Workspace, Taken, String)> {
        let (api, workspace) = self.one.find().await?;
        let mut meant = all(&api, &workspace).await?;
        meant.retain(|taken| !self.snapshot.is_empty() && taken.id.ends_with(&self.snapshot));
        let [taken] = meant.as_slice() else {
            let (found, hint) = match meant.len() {
                0 => ("no snapshot", "shows those there are"),
                _ => ("several snapshots", "shows their whole ids"),
            };
            bail!(
                "{} has {found} {:?}\nhint: `kalpana workspace snapshot list {}` {hint}",
                workspace.name,
                self.snapshot,
                workspace.id
            );
        };
        let path = format!("/api/workspaces/{}/snapshots/{}", workspace.id, taken.id);
        Ok((api, workspace, taken.clone(), path))
    }
}

impl Snapshot {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Restore(restore) => restore.run().await,
            Self::Download(download) => download.run().await,
            Self::Delete(delete) => delete.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let path = format!("/api/workspaces/{}/snapshots", workspace.id);
        let wish = json!({ "note": self.note });
        let taken: Taken = api.call(Method::POST, &path, Some(&wish)).await?;
        let taken = match self.no_wait {
            true => taken,
            false => until_ready(&api, &workspace, taken).await?,
        };
        output::answer(self.one.remote.format, &taken, Taken::describe)
    }
}

impl Archive {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let path = format!("/api/workspaces/{}", workspace.id);
        let begun = format!("{path}/archive");
        let taken: Taken = api.call(Method::POST, &begun, None::<&()>).await?;
        if self.no_wait {
            return output::answer(self.one.remote.format, &taken, Taken::describe);
        }
        output::note("putting its files into a snapshot");
        let taken = until_ready(&api, &workspace, taken).await?;
        let deadline = tokio::time::Instant::now() + ARCHIVED_WITHIN;
        let archived = loop {
            let now: Workspace = api.get(&path).await?;
            if now.is_archived {
                break now;
            }
            if now.state != "stopped" {
                bail!("{} was started meanwhile, and is {}", now.name, now.state);
            }
            if tokio::time::Instant::now() >= deadline {
                bail!(
                    "{} is not archived, though its files are in the snapshot {}\nhint: try again; \
                     `kalpana workspace logs` shows more",
                    now.name,
                    taken.id
                );
            }
            // What keeps it from being archived is said there.
            let taken = until_ready(&api, &workspace, taken.clone()).await?;
            if let Some(failure) = taken.failure {
                bail!("{failure}");
            }
            tokio::time::sleep(POLL).await;
        };
        output::answer(self.one.remote.format, &archived, |archived| {
            format!(
                "archived {} ({}): {} files, {}; it starts with them again",
                archived.name,
                archived.id,
                taken.files,
                human(taken.bytes)
            )
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let all = all(&api, &workspace).await?;
        output::answer(self.one.remote.format, &all, |all| {
            if all.is_empty() {
                let id = &workspace.id;
                return format!("no snapshots; `kalpana workspace snapshot create {id}` takes one");
            }
            let headings = ["ID", "TAKEN", "WHY", "SIZE", "FILES", "NOTE"];
            output::table(&headings, all.iter().map(Taken::row).collect())
        })
    }
}

impl Restore {
    async fn run(self) -> anyhow::Result<()> {
        let (api, workspace, taken, path) = self.which.find().await?;
        if !self.yes {
            let question = format!(
                "Replace all files of {} ({}) by those of {}? Its present files are kept in a \
                 snapshot of their own.",
                workspace.name, workspace.id, taken.created_at
            );
            confirmed(&question, "nothing was changed")?;
        }
        let path = format!("{path}/restore");
        let kept: Taken = api.call(Method::POST, &path, None::<&()>).await?;
        if self.no_wait {
            return output::answer(self.which.one.remote.format, &kept, Taken::describe);
        }
        output::note("keeping the present files");
        let kept = until_ready(&api, &workspace, kept).await?;
        output::note("putting the files of the snapshot in place");
        let path = format!("/api/workspaces/{}", workspace.id);
        let restored = loop {
            let now: Workspace = api.get(&path).await?;
            if now.updated_at != workspace.updated_at {
                break wait(&api, now, "running").await?;
            }
            // Somebody else may have started it meanwhile, which its snapshot then says.
            let kept = until_ready(&api, &workspace, kept.clone()).await?;
            if let Some(failure) = kept.failure {
                bail!("{failure}");
            }
            tokio::time::sleep(POLL).await;
        };
        output::answer(self.which.one.remote.format, &restored, Workspace::describe)
    }
}

impl Download {
    async fn run(self) -> anyhow::Result<()> {
        let (api, workspace, taken, path) = self.which.find().await?;
        let response = api.stream(&format!("{path}/content")).await?;
        let bytes = response.bytes_stream().map_err(std::io::Error::other);
        let mut archive = StreamReader::new(bytes);
        if self.output.as_deref() == Some(Path::new("-")) {
            let mut stdout = tokio::io::stdout();
            return copy(&mut archive, &mut stdout, taken.bytes).await;
        }
        let path = self.output.unwrap_or_else(|| {
            let name = workspace.name.replace(' ', "-");
            format!("{name}-{}.tar.zst", taken.id).into()
        });
        // Nothing of the caller's is written over.
        let file = tokio::fs::File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .await;
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        if let Err(error) = copy(&mut archive, &mut file, taken.bytes).await {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(error);
        }
        let answer = json!({ "path": path, "bytes": taken.bytes });
        output::answer(self.which.one.remote.format, &answer, |_| {
            format!(
                "wrote {} ({}); `tar --zstd -xf` unpacks it",
                path.display(),
                human(taken.bytes)
            )
        })
    }
}

/// Copies an archive, and sees that it is whole.
async fn copy(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    expected: u64,
) -> anyhow::Result<()> {
    let copied = tokio::io::copy(from, to)
        .await
        .context("the download broke off")?;
    to.flush().await.context("cannot write the archive")?;
    if copied != expected {
        bail!("the download broke off after {copied} of {expected} bytes\nhint: try again");
    }
    Ok(())
}

impl Delete {
    async fn run(self) -> anyhow::Result<()> {
        let (api, workspace, taken, path) = self.which.find().await?;
        if !self.yes {
            let question = format!(
                "Delete the snapshot of {} ({}) from {} for good?",
                workspace.name, workspace.id, taken.created_at
            );
            confirmed(&question, "nothing was deleted")?;
        }
        api.call::<()>(Method::DELETE, &path, None::<&()>).await?;
        let answer = json!({ "id": taken.id, "deleted": true });
        output::answer(self.which.one.remote.format, &answer, |_| {
            format!("deleted the snapshot {}", taken.id)
        })
    }
}

/// How soon after its snapshot is whole a workspace is archived: by then the snapshot was read again,
/// at 100 MB a second at worst for one of 60 GB.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(600);

/// Waits until a snapshot is whole.
async fn until_ready(api: &Api, workspace: &Workspace, taken: Taken) -> anyhow::Result<Taken> {
    loop {
        let found = all(api, workspace).await?;
        let Some(found) = found.into_iter().find(|found| found.id == taken.id) else {
            bail!("the snapshot was deleted while it was taken");
        };
        match found.state.as_str() {
            "ready" => return Ok(found),
            "failed" => bail!(
                "the snapshot could not be taken: {}",
                found.failure.as_deref().unwrap_or("no reason was given")
            ),
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_at_a_glance() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(10_239), "10239 B");
        assert_eq!(human(10_240), "10 KiB");
        assert_eq!(human(250 << 20), "250 MiB");
        assert_eq!(human(u64::MAX), "17179869183 GiB");
    }
}
