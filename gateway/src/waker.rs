//! Wakes what sleeps: once for any number of requests that wait for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::Method;
use kalpana_domain::id::{SessionId, UserId, WorkspaceId};
use kalpana_link::{CallError, Client};
use kalpana_protocol::orchestrator::{Asker, Intent, WorkspaceAnswer};

use crate::metrics::Metrics;
use crate::routes::Routes;

/// Longest wait until requests can be sent to a workspace that is being woken. It takes some tens of
/// milliseconds; a person who waits longer than this should be told something.
const LIMIT: Duration = Duration::from_secs(10);

/// Who comes to a workspace that sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// The person.
    pub user: UserId,
    /// Their session.
    pub session: SessionId,
}

/// Why a workspace was not woken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotWoken {
    /// The orchestrator did not take the wish.
    #[error("{0}")]
    Refused(Arc<CallError>),
    /// It took it, and nothing came of it in time.
    #[error("it was still asleep after {} s", LIMIT.as_secs())]
    TimedOut,
}

type Waking = Shared<BoxFuture<'static, Result<(), NotWoken>>>;

/// Asks the orchestrator to wake workspaces.
#[derive(Clone)]
pub struct Waker {
    client: Client,
    routes: Arc<Routes>,
    metrics: Metrics,
    under_way: Arc<Mutex<HashMap<WorkspaceId, Waking>>>,
}

impl Waker {
    /// Makes one that asks through `client`, and sees in `routes` what came of it.
    pub fn new(client: Client, routes: Arc<Routes>, metrics: Metrics) -> Self {
        Self {
            client: client.with_timeout(LIMIT),
            routes,
            metrics,
            under_way: Arc::default(),
        }
    }

    /// Has a workspace woken under the name of whoever comes first, and waits until it is
    /// not asleep any more.
    ///
    /// # Errors
    /// [`NotWoken`]. Trying again does no harm.
    pub async fn wake(
        &self,
        workspace: WorkspaceId,
        by: Visitor,
        address: Option<IpAddr>,
    ) -> Result<(), NotWoken> {
        let waking = {
            let mut under_way = self.under_way.lock().expect("no holder panics");
            let begin = || self.begin(workspace, by, address);
            under_way.entry(workspace).or_insert_with(begin).clone()
        };
        waking.await
    }

    /// Begins to wake a workspace, in a task of its own: whoever asked first may leave, and the
    /// others wait all the same.
    fn begin(&self, workspace: WorkspaceId, by: Visitor, address: Option<IpAddr>) -> Waking {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let outcome = this.ask(workspace, by, address).await;
            this.metrics.woken(outcome.is_ok(), began.elapsed());
            let mut under_way = this.under_way.lock().expect("no holder panics");
            under_way.remove(&workspace);
            outcome
        });
        // The task does not panic; were it to, nothing was woken.
        async move { task.await.unwrap_or(Err(NotWoken::TimedOut)) }
            .boxed()
            .shared()
    }

    async fn ask(
        &self,
        workspace: WorkspaceId,
        by: Visitor,
        address: Option<IpAddr>,
    ) -> Result<(), NotWoken> {
        let intent = Intent {
            asker: Asker {
                user: by.user.to_string(),
                session: Some(by.session.to_string()),
                token: None,
                address: address.map(|address| address.to_string()),
            },
        };
        let path = format!("/v1/workspaces/{workspace}/wake");
        let asking = async {
            let answer: Result<WorkspaceAnswer, CallError> = self
                .client
                .call(Method::POST, &path, None, Some(&intent))
                .await;
            answer.map_err(|error| NotWoken::Refused(Arc::new(error)))?;
            self.routes.until_awake(workspace).await;
            Ok(())
        };
        tokio::time::timeout(LIMIT, asking)
            .await
            .unwrap_or(Err(NotWoken::TimedOut))
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Waker").finish_non_exhaustive()
    }
}
