//! `GET /api/events`: tells a page of every workspace its viewer may see, as it changes.
//!
//! First all there are, then `ready`, then changes. Nothing is told of a workspace that the access
//! rule does not let the viewer read: not that it changed, not that it is gone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue};
use kalpana_auth::Authenticated;
use kalpana_domain::access::{Action, may};
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::user::{Role, Scope};
use kalpana_domain::workspace::Workspace;
use kalpana_store::{Page, PageRequest, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::error::{ApiResult, describe};
use crate::extract::CurrentUser;
use crate::live::Change;
use crate::outlet::{Gone, Outlet};
use crate::state::AppState;
use crate::view::WorkspaceRemoved;

/// How soon a browser whose stream was cut comes back. Its own default of some seconds would leave
/// a page behind whenever the machine's network changes, which each start and stop does.
const RETRY: Duration = Duration::from_millis(300);

/// How often a quiet stream shows that it lives.
const PING: Duration = Duration::from_secs(15);

/// How long one stream lasts. The browser opens the next by itself, and proves again who it is.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Streams the workspaces the caller may see, and their changes
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    responses((
        status = 200,
        description = "Server-sent events: `workspace` with a Workspace for each there is and for \
                       each change, `workspace_removed` with `{\"id\": …}`, `ready` with `{}` after \
                       the first round.",
        body = String,
        content_type = "text/event-stream",
    ))
)]
pub(crate) async fn events(
    State(state): State<AppState>,
    user: CurrentUser,
) -> ApiResult<Response> {
    user.demand(Scope::WorkspaceRead)?;
    let by = user.0;
    let slot = state.slots.take(by.user.id)?;
    let ended = state.sessions.end_of(&by.principal.credential);
    // Before the first round is read, so that no change falls between the two.
    let changes = state.live.subscribe();
    let (outlet, stream) = Outlet::new();
    let task_state = state.clone();
    state.tasks.spawn(async move {
        let viewer = Viewer {
            state: task_state,
            by,
            outlet,
            told: HashMap::new(),
        };
        let shutdown = viewer.state.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = ended => {}
            () = tokio::time::sleep(LIFETIME) => {}
            _ = viewer.tell_everything(changes) => {}
        }
        drop(slot);
    });
    let stream = stream.map(Ok::<_, Infallible>);
    let keep_alive = KeepAlive::new().interval(PING).text("ping");
    let mut response = Sse::new(stream).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// One open page.
struct Viewer {
    state: AppState,
    by: Authenticated,
    outlet: Outlet<Event>,
    /// What the page knows of, and in which version of the row: only of these is it told that they
    /// are gone, and nothing older than that.
    told: HashMap<WorkspaceId, u64>,
}

/// Why a stream ended.
enum End {
    Gone,
    Store(StoreError),
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Viewer {
    async fn tell_everything(mut self, changes: broadcast::Receiver<Change>) {
        match self.tell_until_end(changes).await {
            Ok(()) | Err(End::Gone) => {}
            Err(End::Store(error)) => {
                // The page opens the next stream, and keeps showing what it knows meanwhile.
                let chain = describe(&error);
                tracing::warn!(error = chain, "ended an event stream: {chain}");
            }
        }
    }

    async fn tell_until_end(
        &mut self,
        mut changes: broadcast::Receiver<Change>,
    ) -> Result<(), End> {
        self.tell_all().await?;
        self.outlet
            .send(Event::default().event("ready").retry(RETRY).data("{}"))
            .await?;
        loop {
            let change = tokio::select! {
                () = self.outlet.closed() => return Ok(()),
                change = changes.recv() => change,
            };
            match change {
                Ok(Change::Workspace { row, json }) => self.tell_one(&row, &json).await?,
                Ok(Change::Removed(id)) => self.tell_removed(id).await?,
                Ok(Change::StartOver) | Err(RecvError::Lagged(_)) => self.tell_all().await?,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// Tells of all there is, and of what is not there any more.
    async fn tell_all(&mut self) -> Result<(), End> {
        let before = std::mem::take(&mut self.told);
        let mut after = None;
        loop {
            let request = PageRequest {
                after,
                limit: PageRequest::LIMIT,
            };
            let page = visible(&self.state, &self.by, request).await?;
            for row in page.items {
                let view = self
                    .state
                    .live
                    .view(&row, &self.state.store, &self.state.site)
                    .await?;
                let json: Arc<str> = serde_json::to_string(&view).unwrap_or_default().into();
                self.tell_one(&row, &json).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for id in before.into_keys() {
            if !self.told.contains_key(&id) {
                self.send_removed(id).await?;
            }
        }
        Ok(())
    }

    async fn tell_one(&mut self, row: &Workspace, json: &str) -> Result<(), End> {
        let is_outdated = self
            .told
            .get(&row.id)
            .is_some_and(|told| row.version < *told);
        if !is_outdated && may(&self.by.principal, Action::Read, row) {
            self.told.insert(row.id, row.version);
            self.outlet
                .send(Event::default().event("workspace").data(json))
                .await?;
        }
        Ok(())
    }

    async fn tell_removed(&mut self, id: WorkspaceId) -> Result<(), End> {
        match self.told.remove(&id) {
            Some(_) => self.send_removed(id).await,
            None => Ok(()),
        }
    }

    async fn send_removed(&self, id: WorkspaceId) -> Result<(), End> {
        let removed = WorkspaceRemoved { id: id.to_string() };
        let json = serde_json::to_string(&removed).unwrap_or_default();
        let event = Event::default().event("workspace_removed").data(json);
        Ok(self.outlet.send(event).await?)
    }
}

/// Returns part of the workspaces that somebody may see: their own, or for an administrator the
/// organisation's.
pub(crate) async fn visible(
    state: &AppState,
    by: &Authenticated,
    request: PageRequest,
) -> Result<Page<Workspace>, StoreError> {
    let principal = &by.principal;
    if principal.role == Role::Administrator {
        state
            .store
            .workspaces_in(principal.organization, request)
            .await
    } else {
        state.store.workspaces_of(principal.user, request).await
    }
}
