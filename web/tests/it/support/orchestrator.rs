//! An orchestrator that speaks the internal API over a real socket, keeps rows in the real store,
//! and starts nothing. It can be told to refuse, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::{AuditId, OrganizationId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::workspace::{Desired, Egress, Spec, Workspace, WorkspaceName};
use kalpana_link::feed::{Publisher, State as Published};
use kalpana_link::{InternalToken, Listener, PeerPolicy, server};
use kalpana_protocol::figures::{Figures, Limits, Now, Sample};
use kalpana_protocol::orchestrator::{
    Awake, AwakeKind, CreateWorkspace, Intent, InternalError, Progress, ProgressChange,
    SleepIntent, Snapshot, SnapshotState, Snapshots, TakeSnapshot, Wakefulness, Work,
    WorkspaceAnswer,
};
use kalpana_store::Store;
use kalpana_store::records::NewWorkspace;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::in_time;

/// The snapshot that every workspace has here.
pub(crate) const SNAPSHOT: &str = "01938f2e-0000-7000-8000-000000000001";

/// One call that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Value,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
struct Starts(Vec<Progress>);

impl Published for Starts {
    type Change = ProgressChange;

    fn apply(&mut self, change: &ProgressChange) {
        if let ProgressChange::Progress { progress } = change {
            self.0.retain(|other| other.workspace != progress.workspace);
            self.0.push(progress.clone());
        }
    }
}

#[derive(Clone)]
struct Desk {
    store: Store,
    feed: Publisher<Starts>,
    calls: Arc<Mutex<Vec<Call>>>,
    refusal: Arc<Mutex<Option<(StatusCode, InternalError)>>>,
    log: Arc<Mutex<Vec<Value>>>,
}

/// The orchestrator.
pub(crate) struct Orchestrator {
    desk: Desk,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Orchestrator {
    pub(crate) fn start(site: &kalpana_config::Site, store: Store, token: &InternalToken) -> Self {
        let policy = PeerPolicy::same_user(Some(token.clone()));
        let listener = Listener::bind(&site.orchestrator_socket(), 0o660, policy).unwrap();
        let desk = Desk {
            store,
            feed: Publisher::new(Starts::default()),
            calls: Arc::default(),
            refusal: Arc::default(),
            log: Arc::default(),
        };
        let routes = Router::new()
            .route("/v1/workspaces", post(create))
            .route("/v1/workspaces/{id}/logs", get(log))
            .route("/v1/workspaces/{id}/sleep", post(set_sleep))
            .route("/v1/workspaces/{id}/work", get(work))
            .route("/v1/workspaces/{id}/figures", get(figures))
            .route("/v1/workspaces/{id}/figures/live", get(live_figures))
            .route("/v1/workspaces/{id}/wakefulness", get(wakefulness))
            .route(
                "/v1/workspaces/{id}/snapshots",
                get(snapshots).post(take_snapshot),
            )
            .route("/v1/workspaces/{id}/archive", post(archive))
            .route(
                "/v1/workspaces/{id}/snapshots/{snapshot}/{what}",
                post(use_snapshot),
            )
            .route("/v1/workspaces/{id}/{intent}", post(intend))
            .layer(axum::middleware::from_fn_with_state(desk.clone(), note))
            .with_state(desk.clone())
            .nest("/v1/progress", desk.feed.router());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, routes, shutdown.clone()));
        Self {
            desk,
            shutdown,
            serving,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        in_time(self.serving).await.unwrap();
    }

    /// Returns what was asked so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// Makes every call be refused from now on, or none.
    pub(crate) fn refuse(&self, refusal: Option<(u16, &str, &str)>) {
        *self.desk.refusal.lock().unwrap() = refusal.map(|(status, code, message)| {
            let error = InternalError {
                code: code.to_owned(),
                message: message.to_owned(),
            };
            (StatusCode::from_u16(status).unwrap(), error)
        });
    }

    /// Sets what every log says.
    pub(crate) fn set_log(&self, lines: Vec<Value>) {
        *self.desk.log.lock().unwrap() = lines;
    }

    /// Changes a row, and says so.
    pub(crate) async fn change(&self, id: &str, change: impl FnOnce(&mut Workspace)) {
        let id = WorkspaceId::parse(id).unwrap();
        let mut row = self.desk.store.workspace(id).await.unwrap().unwrap();
        change(&mut row);
        self.desk.store.update_workspace(&row, None).await.unwrap();
        self.publish(ProgressChange::Row {
            workspace: id.to_string(),
        });
    }

    /// Marks a workspace as running.
    pub(crate) async fn run(&self, id: &str) {
        self.change(id, |row| {
            row.lifecycle = Lifecycle::Running {
                since: SystemClock.now(),
            };
        })
        .await;
    }

    /// Removes a row, and says so.
    pub(crate) async fn remove(&self, id: &str) {
        let id = WorkspaceId::parse(id).unwrap();
        let mut row = self.desk.store.workspace(id).await.unwrap().unwrap();
        row.desired = Desired::Deleted;
        row.lifecycle = row.lifecycle.delete(SystemClock.now());
        let row = self.desk.store.update_workspace(&row, None).await.unwrap();
        self.desk
            .store
            .finish_deletion(&row, SystemClock.now())
            .await
            .unwrap();
        self.publish(ProgressChange::Removed {
            workspace: id.to_string(),
            owner: row.owner.to_string(),
        });
    }

    pub(crate) fn publish(&self, change: ProgressChange) {
        self.desk.feed.publish(change);
    }
}

async fn note(
    State(desk): State<Desk>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    desk.calls.lock().unwrap().push(Call {
        path: parts.uri.to_string(),
        request_id: parts
            .headers
            .get("x-request-id")
            .map(|id| id.to_str().unwrap().to_owned()),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    });
    let refusal = desk.refusal.lock().unwrap().clone();
    if let Some((status, error)) = refusal {
        return (status, Json(error)).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(bytes)))
        .await
}

/// Returns a snapshot that is ready.
fn snapshot(workspace: &str, id: &str) -> Snapshot {
    Snapshot {
        id: id.into(),
        workspace: workspace.into(),
        kind: "manual".into(),
        note: "before the upgrade".into(),
        state: SnapshotState::Ready,
        created_at: "2026-01-02T03:04:05Z".into(),
        finished_at: Some("2026-01-02T03:04:06Z".into()),
        bytes: 7,
        files: 3,
        skipped: 0,
        failure: None,
    }
}

async fn snapshots(Path(id): Path<String>) -> Json<Snapshots> {
    Json(Snapshots {
        snapshots: vec![snapshot(&id, SNAPSHOT)],
        limit: 10,
    })
}

async fn take_snapshot(Path(id): Path<String>, Json(asked): Json<TakeSnapshot>) -> Response {
    let taken = Snapshot {
        note: asked.note,
        state: SnapshotState::Making,
        finished_at: None,
        ..snapshot(&id, SNAPSHOT)
    };
    (StatusCode::ACCEPTED, Json(taken)).into_response()
}

async fn archive(Path(id): Path<String>, Json(_): Json<Intent>) -> Response {
    (StatusCode::ACCEPTED, Json(snapshot(&id, SNAPSHOT))).into_response()
}

async fn use_snapshot(
    Path((id, of, what)): Path<(String, String, String)>,
    Json(_): Json<Intent>,
) -> Response {
    match what.as_str() {
        "restore" => (StatusCode::ACCEPTED, Json(snapshot(&id, &of))).into_response(),
        "delete" => StatusCode::NO_CONTENT.into_response(),
        "content" => ([(http::header::CONTENT_LENGTH, "7")], "archive").into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn create(State(desk): State<Desk>, Json(wish): Json<CreateWorkspace>) -> Response {
    let egress = match wish.egress.as_deref() {
        Some("none") => Egress::None,
        _ => Egress::Open,
    };
    let owner = UserId::parse(&wish.asker.user).unwrap();
    let workspace = NewWorkspace {
        id: WorkspaceId::from_random(*uuid::Uuid::new_v4().as_bytes()),
        organization: OrganizationId::parse(&wish.organization).unwrap(),
        owner,
        spec: Spec {
            name: WorkspaceName::parse(&wish.name).unwrap(),
            repository: wish.repository.map(|url| url.try_into().unwrap()),
            branch: wish.branch.map(|branch| branch.try_into().unwrap()),
            size: wish.size.parse().unwrap(),
            egress,
        },
        filled_from: None,
        created_at: SystemClock.now(),
    };
    let row = desk
        .store
        .create_workspace(workspace, Quota { workspaces: 1000 }, None, event())
        .await
        .unwrap();
    answer(&desk, &row)
}

async fn set_sleep(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Json(wish): Json<SleepIntent>,
) -> Response {
    let id = WorkspaceId::parse(&id).unwrap();
    let mut row = desk.store.workspace(id).await.unwrap().unwrap();
    let time = |seconds: Option<u32>| seconds.map(|time| IdleTime::from_seconds(time).unwrap());
    row.sleep = SleepPolicy {
        pause_after: time(wish.pause_after),
        stop_after: time(wish.stop_after),
        archive_after: time(wish.archive_after),
        stays_asleep: wish.stays_asleep,
    };
    let written = desk.store.update_workspace(&row, Some(event())).await;
    answer(&desk, &written.unwrap())
}

/// Everything uses the same.
fn now() -> Now {
    Now::Running {
        limits: Limits {
            cpu_cores: Some(1.0),
            memory_bytes: Some(2 << 30),
            processes: Some(1024),
        },
        sample: sample(),
    }
}

fn sample() -> Sample {
    Sample {
        at: "2026-01-02T03:04:05Z".to_owned(),
        cpu_cores: Some(0.25),
        memory_bytes: 1 << 30,
        processes: Some(42),
        received_per_second: Some(1000),
        sent_per_second: None,
        read_per_second: Some(0),
        written_per_second: Some(0),
        oom_kills: 0,
    }
}

async fn figures() -> Json<Figures> {
    Json(Figures {
        now: now(),
        limits: Limits::default(),
        resolution: 60,
        history: vec![sample()],
    })
}

/// Tells what there is, then that it was stopped, and ends.
async fn live_figures() -> Body {
    let lines = [now(), Now::Stopped].map(|now| serde_json::to_string(&now).unwrap());
    Body::from(format!("{}\n{}\n", lines[0], lines[1]))
}

/// Nobody can look.
async fn work() -> Json<Work> {
    Json(Work::default())
}

/// Everywhere the same goes on.
async fn wakefulness() -> Json<Wakefulness> {
    Json(Wakefulness {
        awake: Some(Awake {
            kind: AwakeKind::Busy,
            text: "`cargo build` (pid 812) uses 97 % of a CPU".to_owned(),
            at: "2026-01-02T03:04:05Z".to_owned(),
        }),
        pauses_at: Some("2026-01-02T03:19:05Z".to_owned()),
        stops_at: None,
    })
}

async fn intend(
    State(desk): State<Desk>,
    Path((id, intent)): Path<(String, String)>,
    Json(_): Json<Intent>,
) -> Response {
    let id = WorkspaceId::parse(&id).unwrap();
    let now: Timestamp = SystemClock.now();
    if let "restore" | "purge" = intent.as_str() {
        return from_trash(&desk, id, &intent).await;
    }
    let mut row = desk.store.workspace(id).await.unwrap().unwrap();
    let moved = match intent.as_str() {
        "start" => {
            row.generation = row.generation.next();
            row.lifecycle.clone().start(now)
        }
        "pause" => row.lifecycle.clone().pause(now),
        "stop" => row.lifecycle.clone().stop(now),
        _ => Ok(row.lifecycle.clone().delete(now)),
    };
    match moved {
        Ok(lifecycle) => {
            row.lifecycle = lifecycle;
            let row = desk
                .store
                .update_workspace(&row, Some(event()))
                .await
                .unwrap();
            answer(&desk, &row)
        }
        Err(error) => {
            let refusal = InternalError {
                code: "invalid_transition".to_owned(),
                message: error.to_string(),
            };
            (StatusCode::CONFLICT, Json(refusal)).into_response()
        }
    }
}

/// Restores or gives up a workspace whose deletion is complete.
async fn from_trash(desk: &Desk, id: WorkspaceId, intent: &str) -> Response {
    let deleted = desk.store.deleted_workspace(id).await.unwrap().unwrap();
    let row = Workspace {
        desired: Desired::Stopped,
        lifecycle: Lifecycle::Stopped,
        updated_at: SystemClock.now(),
        ..deleted.workspace
    };
    if intent == "purge" {
        desk.store.purge_workspace(&row, event()).await.unwrap();
        return answer(desk, &row);
    }
    let quota = Quota { workspaces: 1000 };
    let restored = desk.store.restore_workspace(&row, quota, event()).await;
    answer(desk, &restored.unwrap())
}

async fn log(State(desk): State<Desk>) -> Body {
    let lines = desk.log.lock().unwrap().clone();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Body::from(text)
}

fn answer(desk: &Desk, row: &Workspace) -> Response {
    desk.feed.publish(ProgressChange::Row {
        workspace: row.id.to_string(),
    });
    let answer = WorkspaceAnswer {
        workspace: serde_json::to_value(row).unwrap(),
    };
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

fn event() -> AuditEvent {
    AuditEvent {
        id: AuditId::generate(),
        at: SystemClock.now(),
        organization: None,
        actor: Actor::System,
        action: AuditAction::WorkspaceCreate,
        subject: "test".to_owned(),
        address: None,
        request_id: None,
    }
}
