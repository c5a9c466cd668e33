//! The door to a deleted workspace: found, and allowed for what is about to be done to it.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use http::request::Parts;
use kalpana_auth::Authenticated;
use kalpana_domain::workspace::{Desired, Workspace};

use super::workspace::{Purpose, demand, name};
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// The workspace of the path, deleted or not, which whoever asks may do `P` to.
///
/// Answers 404 alike for what does not exist, for what was given up and for what is somebody else's.
#[derive(Debug)]
pub(crate) struct DeletedFor<P> {
    /// The workspace.
    pub(crate) workspace: Workspace,
    /// Whether its deletion is complete.
    pub(crate) is_complete: bool,
    /// Who asks.
    pub(crate) by: Authenticated,
    purpose: PhantomData<P>,
}

impl<P: Purpose> FromRequestParts<AppState> for DeletedFor<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let (by, id) = name::<P>(parts, state).await?;
        let (workspace, is_complete) = match state.store.deleted_workspace(id).await? {
            Some(deleted) if deleted.workspace.desired != Desired::Purged => {
                (Some(deleted.workspace), true)
            }
            Some(_) => (None, true),
            None => (state.store.workspace(id).await?, false),
        };
        let workspace = workspace.ok_or_else(ApiError::workspace_not_found)?;
        demand::<P>(&by, &workspace)?;
        Ok(Self {
            workspace,
            is_complete,
            by,
            purpose: PhantomData,
        })
    }
}
