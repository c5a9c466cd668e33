//! Deleted workspaces.

use std::time::Duration;

use kalpana_domain::Timestamp;
use kalpana_domain::workspace::Size;
use kalpana_store::records::DeletedWorkspace;
use serde::Serialize;
use utoipa::ToSchema;

use super::workspace::SizeName;

/// A deleted workspace, which can be restored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedWorkspace)]
pub(crate) struct DeletedWorkspaceView {
    /// Its id.
    #[schema(example = "kq3v8x1zt0ab", pattern = "^[a-z][a-z0-9]{11}$")]
    id: String,
    /// The name shown to people.
    name: String,
    /// The repository that was cloned into it.
    repository: Option<String>,
    /// The branch that was checked out; the remote's default when absent.
    branch: Option<String>,
    /// How much of the machine it may use.
    size: SizeName,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its deletion was complete.
    #[schema(value_type = String, format = DateTime)]
    deleted_at: Timestamp,
    /// Until when it can be restored; then its files are removed.
    #[schema(value_type = String, format = DateTime)]
    kept_until: Timestamp,
}

impl DeletedWorkspaceView {
    /// Shows a deleted workspace that is kept for `retention`.
    pub(crate) fn new(deleted: &DeletedWorkspace, retention: Duration) -> Self {
        let workspace = &deleted.workspace;
        let spec = &workspace.spec;
        let kept_until = deleted.deleted_at.checked_add(retention);
        Self {
            id: workspace.id.to_string(),
            name: spec.name.to_string(),
            repository: spec.repository.as_ref().map(|url| url.as_str().to_owned()),
            branch: spec.branch.as_ref().map(|name| name.as_str().to_owned()),
            size: Size::into(spec.size),
            created_at: workspace.created_at,
            deleted_at: deleted.deleted_at,
            kept_until: kept_until.unwrap_or(Timestamp::MAX),
        }
    }
}

/// Part of a list of deleted workspaces.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedWorkspaces)]
pub(crate) struct DeletedWorkspacesPage {
    /// The workspaces, the last deleted first.
    pub(crate) workspaces: Vec<DeletedWorkspaceView>,
    /// Where the next part starts, when there is one.
    pub(crate) next_cursor: Option<String>,
}
