//! The one door to a snapshot of a workspace.

use std::ops::Deref;

use axum::extract::FromRequestParts;
use http::request::Parts;
use kalpana_domain::id::SnapshotId;
use kalpana_domain::snapshot::SnapshotRef;

use super::body::PathParts;
use super::workspace::{Purpose, WorkspaceFor};
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// A snapshot of a workspace that whoever asks may do `P` to, whether or not there is one. Who may not
/// learns nothing of it.
#[derive(Debug)]
pub(crate) struct SnapshotFor<P> {
    target: WorkspaceFor<P>,
    snapshot: SnapshotId,
}

impl<P> SnapshotFor<P> {
    /// Returns how it is named.
    pub(crate) fn reference(&self) -> SnapshotRef {
        SnapshotRef {
            workspace: self.target.workspace.id,
            snapshot: self.snapshot,
        }
    }
}

impl<P> Deref for SnapshotFor<P> {
    type Target = WorkspaceFor<P>;

    fn deref(&self) -> &WorkspaceFor<P> {
        &self.target
    }
}

impl<P: Purpose> FromRequestParts<AppState> for SnapshotFor<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let target = WorkspaceFor::from_request_parts(parts, state).await?;
        let path = PathParts::from_request_parts(parts, state).await?;
        match SnapshotId::parse(path.part("snapshot")) {
            Ok(snapshot) => Ok(Self { target, snapshot }),
            Err(_) => Err(ApiError::snapshot_not_found()),
        }
    }
}
