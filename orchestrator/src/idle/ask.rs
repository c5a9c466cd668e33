//! Asks a bridge what goes on in its container.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_protocol::bridge::Activity;

use crate::ready::Followers;

/// How long an answer may take, dialling included.
const LIMIT: Duration = Duration::from_secs(5);

/// Whom to ask what goes on in workspaces.
#[async_trait]
pub(crate) trait Insiders: fmt::Debug + Send + Sync {
    /// Returns what goes on in a workspace that runs; `None` when nobody answers. Not to be trusted.
    async fn activity(&self, workspace: WorkspaceId, generation: Generation) -> Option<Activity>;
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
}
