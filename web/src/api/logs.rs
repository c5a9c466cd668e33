//! A workspace's log, passed through from the orchestrator line by line.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::header;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kalpana_protocol::orchestrator::LogLine;
use serde::Deserialize;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;
use utoipa::IntoParams;

use crate::error::ApiResult;
use crate::extract::{Query, Read, WorkspaceFor};
use crate::outlet::Outlet;
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::LogLineView;

/// Longest line passed on, in bytes. A longer one ends the stream: the orchestrator cuts them.
const LINE_LIMIT: usize = 64 << 10;

/// How long one stream lasts. Whoever follows asks again, and proves again who they are.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How a log is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Whether to go on with lines as they come. Default: false.
    #[serde(default)]
    follow: bool,
}

/// Streams a workspace's log
#[utoipa::path(
    get,
    path = "/api/workspaces/{id}/logs",
    tag = "workspaces",
    security(("session" = []), ("token" = ["workspace:read"])),
    params(("id" = String, Path, description = "The workspace's id"), LogQuery),
    responses((
        status = 200,
        description = "Newline-delimited JSON, one LogLine each",
        body = LogLineView,
        content_type = "application/x-ndjson"
    ))
)]
pub(crate) async fn logs(
    State(state): State<AppState>,
    context: RequestContext,
    target: WorkspaceFor<Read>,
    Query(query): Query<LogQuery>,
) -> ApiResult<Response> {
    let slot = state.slots.take(target.by.user.id)?;
    let ended = state.sessions.end_of(&target.by.principal.credential);
    let source = state
        .orchestrator
        .log(target.workspace.id, query.follow, &context)
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
    let body = Body::from_stream(stream.map(Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

pub(super) fn lines(
    body: Incoming,
) -> impl Stream<Item = Result<String, LinesCodecError>> + Send + Unpin {
    let bytes = body.into_data_stream().map_err(io::Error::other);
    FramedRead::new(
        StreamReader::new(bytes),
        LinesCodec::new_with_max_length(LINE_LIMIT),
    )
}

async fn pass_on(
    mut lines: impl Stream<Item = Result<String, LinesCodecError>> + Unpin,
    outlet: &Outlet<Bytes>,
) {
    while let Some(line) = lines.next().await {
        if line.as_ref().is_ok_and(String::is_empty) {
            continue;
        }
        let written = line
            .map_err(|error| error.to_string())
            .and_then(|line| rewrite(&line).map_err(|error| error.to_string()));
        match written {
            Ok(line) => {
                if outlet.send(line).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error, "ended a log that cannot be read: {error}");
                return;
            }
        }
    }
}

/// Reads a line of the internal log and writes the outside's.
fn rewrite(line: &str) -> Result<Bytes, serde_json::Error> {
    let line: LogLine = serde_json::from_str(line)?;
    let mut text = serde_json::to_vec(&LogLineView::from(line))?;
    text.push(b'\n');
    Ok(text.into())
}
