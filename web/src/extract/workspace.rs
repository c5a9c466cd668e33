//! The one door to a workspace: loaded, and allowed for what is about to be done to it.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use kalpana_auth::Authenticated;
use kalpana_domain::access::{Action, may};
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::user::Scope;
use kalpana_domain::workspace::Workspace;

use super::body::Named;
use super::who::CurrentUser;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// Something that may be done to a workspace through the API.
pub(crate) trait Purpose: Send {
    /// What the access rule calls it.
    const ACTION: Action;
    /// What a token needs for it.
    const SCOPE: Scope;
}

macro_rules! purpose {
    ($(#[$doc:meta])* $name:ident, $action:expr, $scope:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;
        impl Purpose for $name {
            const ACTION: Action = $action;
            const SCOPE: Scope = $scope;
        }
    };
}

purpose!(
    /// See it and its log.
    Read,
    Action::Read,
    Scope::WorkspaceRead
);
purpose!(
    /// Start it.
    Start,
    Action::Start,
    Scope::WorkspaceWrite
);
purpose!(
    /// Stop it.
    Stop,
    Action::Stop,
    Scope::WorkspaceWrite
);
purpose!(
    /// Delete it.
    Delete,
    Action::Delete,
    Scope::WorkspaceDelete
);
purpose!(
    /// Take its deletion back.
    Restore,
    Action::Restore,
    Scope::WorkspaceWrite
);
purpose!(
    /// Remove its files for good.
    Purge,
    Action::Purge,
    Scope::WorkspaceDelete
);

purpose!(
    /// See how its ports are shared.
    ReadSharing,
    Action::ReadSharing,
    Scope::WorkspaceRead
);
purpose!(
    /// Change how its ports are shared.
    Share,
    Action::Share,
    Scope::WorkspaceWrite
);

purpose!(
    /// See which snapshots there are.
    ReadSnapshots,
    Action::ReadSnapshots,
    Scope::WorkspaceRead
);
purpose!(
    /// Take snapshots and use them.
    UseSnapshots,
    Action::UseSnapshots,
    Scope::WorkspaceWrite
);
purpose!(
    /// Delete a snapshot.
    DeleteSnapshot,
    Action::DeleteSnapshot,
    Scope::WorkspaceDelete
);

/// The workspace of the path, which whoever asks may do `P` to.
///
/// Answers 404 alike for what does not exist and for what is somebody else's. Who may see it but
/// not do this gets 403. A token's scope is looked at first, before anything that depends on the
/// id, so that its answer tells nothing either.
#[derive(Debug)]
pub(crate) struct WorkspaceFor<P> {
    /// The workspace.
    pub(crate) workspace: Workspace,
    /// Who asks.
    pub(crate) by: Authenticated,
    purpose: PhantomData<P>,
}

impl<P: Purpose> FromRequestParts<AppState> for WorkspaceFor<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let (by, id) = name::<P>(parts, state).await?;
        let workspace = state
            .store
            .workspace(id)
            .await?
            .ok_or_else(ApiError::workspace_not_found)?;
        demand::<P>(&by, &workspace)?;
        Ok(Self {
            workspace,
            by,
            purpose: PhantomData,
        })
    }
}

/// Reads who asks, whose credential must reach as far as `P`, and the id in the path.
pub(super) async fn name<P: Purpose>(
    parts: &mut Parts,
    state: &AppState,
) -> ApiResult<(Authenticated, WorkspaceId)> {
    let user = CurrentUser::from_request_parts(parts, state).await?;
    user.demand(P::SCOPE)?;
    let Named(id) = Named::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::workspace_not_found())?;
    let id = WorkspaceId::parse(&id).map_err(|_| ApiError::workspace_not_found())?;
    Ok((user.0, id))
}

/// Refuses whoever may not do `P` to the workspace.
pub(super) fn demand<P: Purpose>(by: &Authenticated, workspace: &Workspace) -> ApiResult<()> {
    if may(&by.principal, P::ACTION, workspace) {
        Ok(())
    } else if may(&by.principal, Action::Read, workspace) {
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Only its owner may do that to this workspace.",
        )
        .hint("Ask the workspace's owner."))
    } else {
        Err(ApiError::workspace_not_found())
    }
}
