//! What workspaces use of the machine: now, in the last day, and while somebody watches.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use http::{HeaderName, HeaderValue};
use kalpana_protocol::figures::Now;
use tokio_util::codec::LinesCodecError;

use super::logs::lines;
use crate::error::ApiResult;
use crate::extract::{Read, WorkspaceFor};
use crate::outlet::Outlet;
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{FiguresView, NowView};

/// How often a quiet stream shows that it lives: that of a stopped workspace tells nothing.
const PING: Duration = Duration::from_secs(15);

/// How long one stream lasts. Whoever watches asks again, and proves again who they are.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Shows what a workspace uses, and used in each minute of the last day
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/figures",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((status = 200, body = FiguresView))
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Read>,
) -> ApiResult<axum::Json<FiguresView>> {
    let told = state
        .orchestrator
        .figures(target.workspace.id, &context)
        .await?;
    Ok(axum::Json(told.into()))
}

/// Streams what a workspace uses, every two seconds while it runs
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/figures/live",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id")),
    responses((
        status = 200,
        description = "Server-sent events: `figures` with a FiguresNow for what is known, and for each \
                       reading that follows.",
        body = NowView,
        content_type = "text/event-stream"
    ))
)]
pub(crate) async fn live(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Read>,
) -> ApiResult<Response> {
    let slot = state.slots.take(target.by.user.id)?;
    let ended = state.sessions.end_of(&target.by.principal.credential);
    let source = state
        .orchestrator
        .live_figures(target.workspace.id, &context)
        .await?;
    let (outlet, stream) = Outlet::new();
    let shutdown = state.shutdown.clone();
    state.tasks.spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = ended => {}
            () = tokio::time::sleep(LIFETIME) => {}
            () = outlet.closed() => {}
            () = pass_on(lines(source.into_body()), &outlet) => {}
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

async fn pass_on(
    mut lines: impl Stream<Item = Result<String, LinesCodecError>> + Unpin,
    outlet: &Outlet<Event>,
) {
    while let Some(line) = lines.next().await {
        let written = line
            .map_err(|error| error.to_string())
            .and_then(|line| rewrite(&line).map_err(|error| error.to_string()));
        match written {
            Ok(event) => {
                if outlet.send(event).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "ended a stream of figures that cannot be read: {error}"
                );
                return;
            }
        }
    }
}

/// Reads a line of the internal stream and writes the outside's.
fn rewrite(line: &str) -> Result<Event, serde_json::Error> {
    let now: Now = serde_json::from_str(line)?;
    let text = serde_json::to_string(&NowView::from(now))?;
    Ok(Event::default().event("figures").data(text))
}
