//! The internal API: intents in, feeds and logs out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::workspace::Workspace;
use kalpana_link::REQUEST_ID_HEADER;
use kalpana_protocol::orchestrator::{
    CreateWorkspace, Intent, InternalError, LogLine, PRESENT_LIMIT, Presence, SleepIntent, Work,
    WorkspaceAnswer,
};
use kalpana_store::StoreError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, mpsc};

mod figures;
mod snapshots;

use crate::engine::Engine;
use crate::figures::Figures;
use crate::idle::watch::Watch;
use crate::intent::{Change, IntentError, Intents};
use crate::logs::{Journal, Lines};
use crate::reconcile::describe;
use crate::snapshot::Keeper;

/// Longest request body, in bytes.
const BODY_LIMIT: usize = 64 << 10;

/// Longest name of a gateway, in bytes.
const NAME_LIMIT: usize = 64;

/// Lines of a container's log that are returned at first.
const LOG_TAIL: usize = 2000;

/// Lines that may wait for a slow reader; the container's log waits with them.
const LOG_QUEUE: usize = 64;

/// How long a followed log goes on listening for the next container.
const LOG_PATIENCE: Duration = Duration::from_millis(250);

/// What handlers reach.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) intents: Intents,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) journal: Journal,
    pub(crate) watch: Arc<Watch>,
    pub(crate) keeper: Keeper,
    pub(crate) figures: Figures,
}

/// Returns every route of the API.
pub(crate) fn router(api: Api) -> Router {
    let feeds = api.intents.feeds.clone();
    Router::new()
        .route("/v1/workspaces", post(create))
        .route("/v1/workspaces/{id}/start", post(start))
        .route("/v1/workspaces/{id}/wake", post(wake))
        .route("/v1/workspaces/{id}/pause", post(pause))
        .route("/v1/workspaces/{id}/stop", post(stop))
        .route("/v1/workspaces/{id}/delete", post(delete))
        .route("/v1/workspaces/{id}/restore", post(restore))
        .route("/v1/workspaces/{id}/purge", post(purge))
        .route("/v1/workspaces/{id}/sleep", post(sleep))
        .route("/v1/workspaces/{id}/logs", get(logs))
        .route("/v1/workspaces/{id}/wakefulness", get(wakefulness))
        .route("/v1/workspaces/{id}/work", get(work))
        .route("/v1/presence", post(presence))
        .merge(snapshots::routes())
        .merge(figures::routes())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(api)
        .nest("/v1/routes", feeds.routes.router())
        .nest("/v1/progress", feeds.progress.router())
}

async fn create(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Answer {
    let request: CreateWorkspace = read(&body)?;
    let row = api.intents.create(&request, request_id(&headers)).await?;
    accepted(&row)
}

async fn start(state: State<Api>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    change(state, id, headers, body, Change::Start).await
}

async fn wake(state: State<Api>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    change(state, id, headers, body, Change::Wake).await
}

async fn pause(state: State<Api>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    change(state, id, headers, body, Change::Pause).await
}

async fn stop(state: State<Api>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    change(state, id, headers, body, Change::Stop).await
}

async fn delete(state: State<Api>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    change(state, id, headers, body, Change::Delete).await
}

async fn change(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
    change: Change,
) -> Answer {
    let intent: Intent = read(&body)?;
    let row = api
        .intents
        .change(&id, change, &intent.asker, request_id(&headers))
        .await?;
    accepted(&row)
}

async fn sleep(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let intent: SleepIntent = read(&body)?;
    let changed = api.intents.set_sleep(&id, &intent, request_id(&headers));
    accepted(&changed.await?)
}

async fn restore(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Intent { asker } = read(&body)?;
    let restored = api.intents.restore(&id, &asker, request_id(&headers));
    accepted(&restored.await?)
}

async fn purge(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Intent { asker } = read(&body)?;
    let purged = api.intents.purge(&id, &asker, request_id(&headers));
    accepted(&purged.await?)
}

async fn wakefulness(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let row = api.intents.find(&id).await?;
    Ok(Json(api.watch.wakefulness(row.id).await).into_response())
}

async fn work(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let row = api.intents.find(&id).await?;
    let summary = api.watch.work(row.id).await;
    Ok(Json(Work { summary }).into_response())
}

/// Takes a gateway's word on who is there. What makes no sense is left out.
async fn presence(State(api): State<Api>, body: Bytes) -> Answer {
    let told: Presence = read(&body)?;
    if told.gateway.len() > NAME_LIMIT {
        return Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            code: "invalid",
            message: format!("gateway: at most {NAME_LIMIT} bytes"),
        });
    }
    let register = &api.watch.register;
    for sign in told.present.into_iter().take(PRESENT_LIMIT) {
        if let Ok(id) = WorkspaceId::parse(&sign.workspace) {
            register.used(id, sign.kind, Duration::from_secs(sign.seconds_ago));
        }
    }
    if !told.has_more {
        register.heard(&told.gateway, told.is_leaving);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Debug, Deserialize)]
struct LogQuery {
    #[serde(default)]
    follow: bool,
}

async fn logs(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Answer {
    let row = api.intents.find(&id).await?;
    let (sender, receiver) = mpsc::channel(LOG_QUEUE);
    tokio::spawn(async move {
        // The reader is gone, or the log is over: either way there is nothing left to do.
        let _ = tell_log(&api, row, query.follow, &sender).await;
    });
    let lines = futures_util::stream::unfold(receiver, |mut receiver| async {
        let line: LogLine = receiver.recv().await?;
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(text)), receiver))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}

/// The reader of a log has left.
struct Left;

/// Sends a workspace's log: what is kept, then what its container writes. When followed, it goes
/// on until the workspace is neither running nor on its way.
async fn tell_log(
    api: &Api,
    row: Workspace,
    follow: bool,
    sender: &mpsc::Sender<LogLine>,
) -> Result<(), Left> {
    let (kept, mut news) = api.journal.read(row.id);
    for line in kept {
        send(sender, line).await?;
    }
    let mut told: Option<String> = None;
    let mut row = Some(row);
    while let Some(known) = row {
        let containers = api
            .engine
            .containers(Some(known.id))
            .await
            .unwrap_or_default();
        let current = containers.into_iter().find(|container| {
            container.generation == Some(known.generation) && Some(&container.id) != told.as_ref()
        });
        if let Some(container) = current {
            tell_container(api, &container.id, follow, sender, &mut news).await?;
            told = Some(container.id);
        }
        if !follow {
            return Ok(());
        }
        // What was noted last belongs to the log, the reason of a failure in particular.
        while let Ok(line) = news.try_recv() {
            send(sender, line).await?;
        }
        let is_over = matches!(
            known.lifecycle,
            Lifecycle::Stopped | Lifecycle::Failed { .. }
        );
        if is_over {
            return Ok(());
        }
        tokio::select! {
            () = sender.closed() => return Err(Left),
            line = news.recv() => if let Ok(line) = line { send(sender, line).await? },
            () = tokio::time::sleep(LOG_PATIENCE) => {}
        }
        row = api.intents.find(known.id.as_str()).await.ok();
    }
    Ok(())
}

async fn tell_container(
    api: &Api,
    id: &str,
    follow: bool,
    sender: &mpsc::Sender<LogLine>,
    news: &mut broadcast::Receiver<LogLine>,
) -> Result<(), Left> {
    let mut stream = api.engine.logs(id, LOG_TAIL, follow);
    let mut lines = Lines::default();
    loop {
        let bytes = tokio::select! {
            () = sender.closed() => return Err(Left),
            // A lagging or closed journal costs lines of ours, never the container's.
            Ok(line) = news.recv() => {
                send(sender, line).await?;
                continue;
            }
            next = stream.next() => match next {
                Some(Ok(bytes)) => bytes,
                Some(Err(_)) | None => break,
            },
        };
        for line in lines.push(bytes) {
            send(sender, line).await?;
        }
    }
    match lines.finish() {
        Some(line) => send(sender, line).await,
        None => Ok(()),
    }
}

async fn send(sender: &mpsc::Sender<LogLine>, line: LogLine) -> Result<(), Left> {
    sender.send(line).await.map_err(|_| Left)
}

type Answer = Result<Response, Refusal>;

/// An error as the internal API answers it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

fn accepted(row: &Workspace) -> Answer {
    let workspace = serde_json::to_value(row).map_err(|error| Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "internal",
        message: error.to_string(),
    })?;
    Ok((StatusCode::ACCEPTED, Json(WorkspaceAnswer { workspace })).into_response())
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal {
        status: StatusCode::BAD_REQUEST,
        code: "invalid",
        message: error.to_string(),
    })
}

/// Returns the request's id, if it is one that may go into a log.
fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    (id.len() <= 64).then_some(id)
}

impl From<IntentError> for Refusal {
    fn from(error: IntentError) -> Self {
        let (status, code) = match &error {
            IntentError::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            IntentError::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
            IntentError::Quota(_) => (StatusCode::CONFLICT, "quota_exceeded"),
            IntentError::Transition(_) => (StatusCode::CONFLICT, "invalid_transition"),
            IntentError::Idempotency => (StatusCode::CONFLICT, "idempotency_conflict"),
            IntentError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            IntentError::Store(StoreError::Corrupt { .. }) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
            IntentError::Store(StoreError::Frozen { moved_to: None }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_frozen")
            }
            IntentError::Store(StoreError::Frozen { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_moved")
            }
            IntentError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            let chain = describe(&error);
            tracing::error!(error = chain, "an intent was not taken: {chain}");
        } else if status.is_server_error() {
            let chain = describe(&error);
            tracing::warn!(error = chain, "an intent was put off: {chain}");
        }
        Self {
            status,
            code,
            message: error.to_string(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = InternalError {
            code: self.code.to_owned(),
            message: self.message,
        };
        (self.status, Json(error)).into_response()
    }
}

#[cfg(test)]
mod tests;
