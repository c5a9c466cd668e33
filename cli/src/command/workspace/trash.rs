//! `kalpana workspace deleted`, `restore` and `purge`.

use anyhow::bail;
use clap::Args;
use kalpana_domain::id::WorkspaceId;
use reqwest::Method;
use serde_json::json;

use super::view::{DeletedPage, DeletedWorkspace, Workspace};
use super::{One, Remote, confirmed};
use crate::api::Api;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Deleted {
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[command(flatten)]
    one: One,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

async fn list(api: &Api) -> anyhow::Result<Vec<DeletedWorkspace>> {
    let mut all = Vec::new();
    let mut path = "/api/deleted-workspaces".to_owned();
    loop {
        let page: DeletedPage = api.get(&path).await?;
        all.extend(page.workspaces);
        match page.next_cursor {
            Some(cursor) => path = format!("/api/deleted-workspaces?cursor={cursor}"),
            None => return Ok(all),
        }
    }
}

/// Finds a deleted workspace by its id or, when only one has it, by its name.
async fn find(api: &Api, wanted: &str) -> anyhow::Result<DeletedWorkspace> {
    let all = list(api).await?;
    if let Some(found) = all.iter().find(|one| one.id == wanted) {
        return Ok(found.clone());
    }
    let mut named = all.into_iter().filter(|one| one.name == wanted);
    let Some(found) = named.next() else {
        bail!(
            "there is no deleted workspace {wanted:?}\nhint: `kalpana workspace deleted` shows yours"
        );
    };
    if named.next().is_some() {
        bail!("several deleted workspaces are called {wanted:?}\nhint: name one by its id");
    }
    Ok(found)
}

impl Deleted {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let all = list(&Api::signed_in(self.remote.url.as_deref())?).await?;
        output::answer(self.remote.format, &all, |all| {
            if all.is_empty() {
                return "no deleted workspaces".to_owned();
            }
            let headings = ["ID", "NAME", "REPOSITORY", "DELETED", "KEPT UNTIL"];
            output::table(&headings, all.iter().map(DeletedWorkspace::row).collect())
        })
    }
}

impl Restore {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let One { workspace, remote } = self.one;
        let api = Api::signed_in(remote.url.as_deref())?;
        // A name may look like an id. One that is still being deleted is in no list of deleted ones,
        // and goes by its id.
        let id = match (find(&api, &workspace).await, WorkspaceId::parse(&workspace)) {
            (Ok(found), _) => found.id,
            (Err(_), Ok(id)) => id.to_string(),
            (Err(error), Err(_)) => return Err(error),
        };
        let path = format!("/api/deleted-workspaces/{id}/restore");
        let restored: Workspace = api.call(Method::POST, &path, None::<&()>).await?;
        output::answer(remote.format, &restored, Workspace::describe)
    }
}

impl Purge {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let One { workspace, remote } = self.one;
        let api = Api::signed_in(remote.url.as_deref())?;
        let deleted = find(&api, &workspace).await?;
        if !self.yes {
            let question = format!(
                "Remove the files of {} ({}) for good? They cannot be got back.",
                deleted.name, deleted.id
            );
            confirmed(&question, "nothing was removed")?;
        }
        let path = format!("/api/deleted-workspaces/{}", deleted.id);
        let (): () = api.call(Method::DELETE, &path, None::<&()>).await?;
        let answer = json!({ "id": deleted.id, "purged": true });
        output::answer(remote.format, &answer, |_| {
            format!(
                "the files of {} ({}) are being removed",
                deleted.name, deleted.id
            )
        })
    }
}
