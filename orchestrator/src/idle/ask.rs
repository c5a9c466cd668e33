//! Asks a bridge what goes on in its container, and what there is that is nowhere else.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_protocol::bridge::Activity;
use kalpana_protocol::bridge::work::WorkSummary;

use crate::ready::Followers;

/// How long an answer may take, dialling included.
const LIMIT: Duration = Duration::from_secs(5);

/// The same, where repositories are looked through.
const WORK_LIMIT: Duration = Duration::from_secs(22);

/// Whom to ask what goes on in workspaces.
#[async_trait]
pub(crate) trait Insiders: fmt::Debug + Send + Sync {
    /// Returns what goes on in a workspace that runs; `None` when nobody answers. Not to be trusted.
    async fn activity(&self, workspace: WorkspaceId, generation: Generation) -> Option<Activity>;

    /// Returns what is in the repositories of a workspace that runs, and nowhere else; `None` when
    /// nobody answers. Not to be trusted.
    async fn work(&self, workspace: WorkspaceId, generation: Generation) -> Option<WorkSummary>;
}

#[async_trait]
impl Insiders for Followers {
    async fn activity(&self, workspace: WorkspaceId, generation: Generation) -> Option<Activity> {
        let asking = async {
            let (rpc, _notifications) = self.dial(workspace, generation, LIMIT).await.ok()?;
            rpc.activity(LIMIT).await.ok()
        };
        tokio::time::timeout(LIMIT, asking).await.ok().flatten()
    }

    async fn work(&self, workspace: WorkspaceId, generation: Generation) -> Option<WorkSummary> {
        let asking = async {
            let (rpc, _notifications) = self.dial(workspace, generation, LIMIT).await.ok()?;
            rpc.work_summary(WORK_LIMIT).await.ok()
        };
        tokio::time::timeout(WORK_LIMIT, asking)
            .await
            .ok()
            .flatten()
    }
}
