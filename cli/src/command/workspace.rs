//! `kalpana workspace`: create, list, show, start, pause, sleep, stop, archive, delete, deleted, restore, purge,
//! snapshot, top, logs, url, share, unshare, link.

mod activity;
mod sharing;
mod sleep;
mod snapshot;
mod top;
mod trash;
mod view;
mod work;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use futures_util::TryStreamExt;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio_util::io::StreamReader;

use super::Remote;
use crate::api::Api;
use crate::output;
use activity::Shown;
use view::{LogLine, Page, Progress, Workspace};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a workspace and wait until it runs
    Create(Create),
    /// List your workspaces
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one workspace
    Show(One),
    /// Start a workspace, or wake it, and wait until it runs
    Start(Change),
    /// Put a workspace to sleep: its programs are frozen, and a visit wakes them
    Pause(Change),
    /// Say when a workspace is put to sleep by itself, and whether a visit wakes it
    Sleep(sleep::Sleep),
    /// Stop a workspace and wait until it has stopped; its files stay
    Stop(Change),
    /// Archive a stopped workspace and wait until it is: its files are kept in a snapshot, compressed
    ///
    /// Its volumes are removed, and the files are put in place again when it starts.
    Archive(snapshot::Archive),
    /// Delete a workspace and wait until it is gone; it can be restored for a while
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// List your deleted workspaces, and until when each can be restored
    Deleted(trash::Deleted),
    /// Restore a deleted workspace, or one that is being deleted; it is stopped then
    Restore(trash::Restore),
    /// Remove the files of a deleted workspace at once, for good
    Purge(trash::Purge),
    /// Take, list, restore, download and delete snapshots of a workspace's files
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Print what a workspace uses: CPU, memory, processes, network and disk
    Top(top::Top),
    /// Print a workspace's log
    Logs(Logs),
    /// Print the address of a workspace's editor, or of one of its ports
    Url(Address),
    /// Let others visit a port of a workspace
    Share(sharing::Share),
    /// Let nobody else visit a port any more, and revoke its links
    Unshare(sharing::Unshare),
    /// Make a link that opens a shared port without an account
    Link(sharing::Link),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name shown to people
    name: String,
    /// Git repository to clone, https:// or http://
    #[arg(long, short, value_name = "URL")]
    repository: Option<String>,
    /// Branch to check out [default: the repository's]
    #[arg(long, short)]
    branch: Option<String>,
    /// How much of the machine it may use
    #[arg(long, value_parser = ["small", "medium", "large"])]
    size: Option<String>,
    /// What its programs may reach [default: the site's]
    #[arg(long, value_parser = ["open", "none"])]
    egress: Option<String>,
    /// Begin with the files of a snapshot, given as WORKSPACE/SNAPSHOT, the ids of both
    #[arg(long, value_name = "WORKSPACE/SNAPSHOT", value_parser = snapshot_of)]
    snapshot: Option<(String, String)>,
    /// Return at once instead of waiting until it runs
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// Id or name of the workspace
    workspace: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    #[command(flatten)]
    one: One,
    /// Return at once instead of waiting
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    change: Change,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    one: One,
    /// Keep printing as lines are written
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Address {
    #[command(flatten)]
    one: One,
    /// A port that a program in the workspace listens on
    #[arg(long, value_parser = clap::value_parser!(u16).range(1024..))]
    port: Option<u16>,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(list) => list.run().await,
            Self::Show(one) => {
                let (api, workspace) = one.find().await?;
                let shown = Shown::of(&api, workspace).await;
                output::answer(one.remote.format, &shown, Shown::describe)
            }
            Self::Start(change) => change.run("start", "running").await,
            Self::Pause(change) => change.run("pause", "paused").await,
            Self::Sleep(sleep) => sleep.run().await,
            Self::Stop(change) => change.run("stop", "stopped").await,
            Self::Archive(archive) => archive.run().await,
            Self::Delete(delete) => delete.run().await,
            Self::Deleted(deleted) => deleted.run().await,
            Self::Restore(restore) => restore.run().await,
            Self::Purge(purge) => purge.run().await,
            Self::Snapshot(snapshot) => snapshot.run().await,
            Self::Top(top) => top.run().await,
            Self::Logs(logs) => logs.run().await,
            Self::Url(address) => address.run().await,
            Self::Share(share) => share.run().await,
            Self::Unshare(unshare) => unshare.run().await,
            Self::Link(link) => link.run().await,
        }
    }
}

impl One {
    /// Finds the workspace by its id or, when only one has it, by its name.
    async fn find(&self) -> anyhow::Result<(Api, Workspace)> {
        let api = Api::signed_in(self.remote.url.as_deref())?;
        if kalpana_domain::id::WorkspaceId::parse(&self.workspace).is_ok() {
            let found: anyhow::Result<Workspace> = api
                .get(&format!("/api/workspaces/{}", self.workspace))
                .await;
            match found {
                Ok(workspace) => return Ok((api, workspace)),
                Err(error) if !is_not_found(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let all = list(&api).await?;
        let mut named = all.into_iter().filter(|one| one.name == self.workspace);
        let Some(workspace) = named.next() else {
            bail!(
                "there is no workspace {:?}\nhint: `kalpana workspace list` shows yours",
                self.workspace
            );
        };
        if named.next().is_some() {
            bail!(
                "several workspaces are called {:?}\nhint: name one by its id",
                self.workspace
            );
        }
        Ok((api, workspace))
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<crate::api::Refused>()
        .is_some_and(|refused| refused.status == 404)
}

async fn list(api: &Api) -> anyhow::Result<Vec<Workspace>> {
    let mut all = Vec::new();
    let mut path = "/api/workspaces".to_owned();
    loop {
        let page: Page = api.get(&path).await?;
        all.extend(page.workspaces);
        match page.next_cursor {
            Some(cursor) => path = format!("/api/workspaces?cursor={cursor}"),
            None => return Ok(all),
        }
    }
}

/// Reads the ids of a workspace and one of its snapshots.
fn snapshot_of(text: &str) -> Result<(String, String), &'static str> {
    let (workspace, snapshot) = text
        .split_once('/')
        .ok_or("expected WORKSPACE/SNAPSHOT, the ids of both")?;
    Ok((workspace.to_owned(), snapshot.to_owned()))
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let all = list(&Api::signed_in(self.remote.url.as_deref())?).await?;
        output::answer(self.remote.format, &all, |all| {
            if all.is_empty() {
                return "no workspaces; `kalpana workspace create NAME` makes one".to_owned();
            }
            let headings = ["ID", "NAME", "STATE", "SIZE", "REPOSITORY", "CREATED"];
            output::table(&headings, all.iter().map(Workspace::row).collect())
        })
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let api = Api::signed_in(self.remote.url.as_deref())?;
        let mut body = json!({ "name": self.name });
        let chosen = [
            ("repository", &self.repository),
            ("branch", &self.branch),
            ("size", &self.size),
            ("egress", &self.egress),
        ];
        for (field, value) in chosen {
            if let Some(value) = value {
                body[field] = value.as_str().into();
            }
        }
        if let Some((workspace, snapshot)) = &self.snapshot {
            body["snapshot"] = json!({ "workspace_id": workspace, "snapshot_id": snapshot });
        }
        let workspace: Workspace = api
            .call(Method::POST, "/api/workspaces", Some(&body))
            .await?;
        let workspace = if self.no_wait {
            workspace
        } else {
            wait(&api, workspace, "running").await?
        };
        output::answer(self.remote.format, &workspace, Workspace::describe)
    }
}

impl Change {
    async fn run(self, verb: &str, goal: &str) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let path = format!("/api/workspaces/{}/{verb}", workspace.id);
        let workspace: Workspace = api.call(Method::POST, &path, None::<&()>).await?;
        let workspace = if self.no_wait {
            workspace
        } else {
            wait(&api, workspace, goal).await?
        };
        output::answer(self.one.remote.format, &workspace, Workspace::describe)
    }
}

impl Delete {
    async fn run(self) -> anyhow::Result<()> {
        let one = &self.change.one;
        let (api, workspace) = one.find().await?;
        if !self.yes {
            if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
                for line in work::Work::of(&api, &workspace.id).await {
                    output::note(&line);
                }
            }
            let question = format!(
                "Delete {} ({})? It can be restored for a while, by default 30 days.",
                workspace.name, workspace.id
            );
            confirmed(&question, "nothing was deleted")?;
        }
        let path = format!("/api/workspaces/{}", workspace.id);
        let deleting: Workspace = api.call(Method::DELETE, &path, None::<&()>).await?;
        if !self.change.no_wait {
            until_gone(&api, &path).await?;
        }
        let answer = json!({ "id": deleting.id, "deleted": !self.change.no_wait });
        output::answer(one.remote.format, &answer, |_| {
            let word = if self.change.no_wait {
                "deleting"
            } else {
                "deleted"
            };
            let id = &deleting.id;
            format!(
                "{word} {} ({id}); `kalpana workspace restore {id}` brings it back",
                deleting.name
            )
        })
    }
}

/// Waits until nothing is found at `path` any more.
async fn until_gone(api: &Api, path: &str) -> anyhow::Result<()> {
    loop {
        match api.get::<Workspace>(path).await {
            Ok(_) => tokio::time::sleep(POLL).await,
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Asks before something is deleted. `otherwise` says what a refusal means.
///
/// # Errors
/// When the answer is not yes, or nobody is there to give one.
fn confirmed(question: &str, otherwise: &'static str) -> anyhow::Result<()> {
    use std::io::{BufRead, IsTerminal, Write};
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to confirm the deletion\nhint: pass --yes");
    }
    write!(std::io::stderr().lock(), "{question} [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        bail!(otherwise)
    }
}

impl Logs {
    async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let path = format!(
            "/api/workspaces/{}/logs?follow={}",
            workspace.id, self.follow
        );
        let response = api.stream(&path).await?;
        let bytes = response.bytes_stream().map_err(std::io::Error::other);
        let mut lines = StreamReader::new(bytes).lines();
        while let Some(line) = lines.next_line().await.context("the log broke off")? {
            match self.one.remote.format {
                output::Format::Json => output::print_line(&line)?,
                output::Format::Text => {
                    let line: LogLine =
                        serde_json::from_str(&line).context("an unreadable line")?;
                    output::print_line(&line.for_terminal())?;
                }
            }
        }
        Ok(())
    }
}

impl Address {
    async fn run(self) -> anyhow::Result<()> {
        let (_, workspace) = self.one.find().await?;
        let url = match self.port {
            None => workspace.url.clone(),
            Some(port) => workspace
                .url
                .replacen("https://", &format!("https://{port}-"), 1),
        };
        output::answer(self.one.remote.format, &json!({ "url": url }), |_| {
            url.clone()
        })
    }
}

/// How often a state that is waited for is asked for.
const POLL: Duration = Duration::from_millis(300);

/// Waits until the workspace is in the state `goal`, telling how far it is.
async fn wait(api: &Api, mut workspace: Workspace, goal: &str) -> anyhow::Result<Workspace> {
    let mut told = Progress::default();
    loop {
        for line in told.news(&workspace) {
            output::note(&line);
        }
        if workspace.state == goal {
            return Ok(workspace);
        }
        if workspace.state == "failed" {
            let failure = workspace.failure.as_ref();
            let message = failure.map_or("it failed", |failure| failure.message.as_str());
            let hint = failure.and_then(|failure| failure.hint.as_deref());
            bail!(
                "{} did not get to {goal}: {message}\nhint: {}",
                workspace.name,
                hint.unwrap_or("`kalpana workspace logs` shows more")
            );
        }
        tokio::time::sleep(POLL).await;
        workspace = api
            .get(&format!("/api/workspaces/{}", workspace.id))
            .await?;
    }
}
