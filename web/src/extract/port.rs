//! The one door to a port of a workspace.

use std::ops::Deref;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::WorkspaceId;

use super::body::PathParts;
use super::workspace::{Purpose, WorkspaceFor};
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// A port of a workspace that whoever asks may do `P` to. Who may not learns nothing of the port.
#[derive(Debug)]
pub(crate) struct PortFor<P> {
    target: WorkspaceFor<P>,
    port: u16,
}

impl<P> PortFor<P> {
    /// Returns the workspace's id and the port, which name it in the store.
    pub(crate) fn key(&self) -> (WorkspaceId, u16) {
        (self.target.workspace.id, self.port)
    }

    /// Returns its address.
    pub(crate) fn address(&self) -> WorkspaceAddress {
        WorkspaceAddress {
            workspace: self.target.workspace.id,
            surface: Surface::Port(self.port),
        }
    }
}

impl<P> Deref for PortFor<P> {
    type Target = WorkspaceFor<P>;

    fn deref(&self) -> &WorkspaceFor<P> {
        &self.target
    }
}

impl<P: Purpose> FromRequestParts<AppState> for PortFor<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let target = WorkspaceFor::from_request_parts(parts, state).await?;
        let path = PathParts::from_request_parts(parts, state).await?;
        let label = format!("{}-{}", path.part("port"), target.workspace.id);
        match WorkspaceAddress::parse_label(&label).map(|address| address.surface) {
            Some(Surface::Port(port)) => Ok(Self { target, port }),
            _ => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_port",
                "This is not a port that can be reached from outside.",
            )
            .hint("Ports are numbers from 1024 to 65535.")),
        }
    }
}
