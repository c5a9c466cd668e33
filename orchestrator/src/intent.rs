//! What people ask for, turned into rows. Answered after the commit; carried out afterwards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan as _;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{AuditId, OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::{InvalidTransition, Lifecycle};
use kalpana_domain::quota::{Quota, QuotaExceeded};
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::workspace::{Desired, Egress, Size, Spec, Workspace, WorkspaceName};
use kalpana_protocol::orchestrator::{Asker, CreateWorkspace};
use kalpana_store::StoreError;
use kalpana_store::records::{Idempotency, NewWorkspace};
use kalpana_store::repository::{Trash, Workspaces};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::feed::Feeds;
use crate::snapshot::Shelf;

mod archive;
mod fill;
mod sleep;
mod trash;

/// How often a write is repeated when somebody else was faster.
const ATTEMPTS: usize = 16;

/// Workspaces that may be starting or waiting for it; more are asked to come back.
const STARTING_LIMIT: i64 = 256;

/// Longest idempotency key, in bytes.
const KEY_LIMIT: usize = 255;

/// How long an idempotency key is remembered. Unit: hours.
const KEY_HOURS: i64 = 24;

/// An intent was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntentError {
    /// There is no such workspace.
    #[error("there is no workspace {id:?}")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// A field is not what it must be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must be.
        reason: String,
    },
    /// The person has as many workspaces as they may.
    #[error(transparent)]
    Quota(QuotaExceeded),
    /// The workspace's state does not allow it.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request")]
    Idempotency,
    /// Too many workspaces are being started.
    #[error("too many workspaces are being started; try again in a moment")]
    Overloaded,
    /// The store did not do as asked.
    #[error("the store did not keep the change")]
    Store(#[source] StoreError),
}

/// What is asked of a workspace that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Start it, or wake it.
    Start,
    /// Wake it if it sleeps.
    Wake,
    /// Put it to sleep.
    Pause,
    /// Stop it.
    Stop,
    /// Delete it.
    Delete,
}

impl Change {
    /// Returns a workspace as it is to be once the change is kept.
    fn of(self, row: &Workspace, now: Timestamp) -> Result<Workspace, InvalidTransition> {
        let lifecycle = row.lifecycle.clone();
        let is_asleep = matches!(lifecycle, Lifecycle::Paused { .. });
        let mut changed = Workspace {
            updated_at: now,
            ..row.clone()
        };
        match self {
            // What it was doing goes on, so that sessions and connections to it are good still.
            Self::Wake => changed.lifecycle = lifecycle.wake(now)?,
            Self::Start if is_asleep => changed.lifecycle = lifecycle.wake(now)?,
            Self::Start => {
                changed.lifecycle = lifecycle.start(now)?;
                changed.desired = Desired::Running;
                changed.generation = row.generation.next();
            }
            Self::Pause => changed.lifecycle = lifecycle.pause(now)?,
            Self::Stop => {
                changed.lifecycle = lifecycle.stop(now)?;
                changed.desired = Desired::Stopped;
            }
            Self::Delete => {
                changed.lifecycle = lifecycle.delete(now);
                changed.desired = Desired::Deleted;
            }
        }
        Ok(changed)
    }
}

/// Takes intents.
#[derive(Clone)]
pub(crate) struct Intents {
    pub(crate) store: Arc<dyn Workspaces>,
    pub(crate) trash: Arc<dyn Trash>,
    pub(crate) feeds: Feeds,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whom to tell that there is work.
    pub(crate) waker: Arc<dyn Fn(WorkspaceId) + Send + Sync>,
    /// Told when files were given up, so that they go at once.
    pub(crate) given_up: Arc<Notify>,
    /// What one person may have.
    pub(crate) quota: Quota,
    /// What workspaces may reach unless asked otherwise.
    pub(crate) egress: Egress,
    /// Where snapshots are.
    pub(crate) shelf: Shelf,
}

impl Intents {
    /// Makes a workspace, which is then started.
    ///
    /// # Errors
    /// [`IntentError`]; nothing is half made.
    pub(crate) async fn create(
        &self,
        request: &CreateWorkspace,
        request_id: Option<&str>,
    ) -> Result<Workspace, IntentError> {
        let actor = actor(&request.asker)?;
        let owner = parsed("asker.user", UserId::parse(&request.asker.user))?;
        let organization = parsed("organization", OrganizationId::parse(&request.organization))?;
        let spec = self.spec(request)?;
        let filled_from = match &request.snapshot {
            None => None,
            Some(of) => Some(self.snapshot_of(of, owner).await?),
        };
        self.admit()?;
        let now = self.clock.now();
        let idempotency = match &request.idempotency_key {
            None => None,
            Some(key) if (1..=KEY_LIMIT).contains(&key.len()) => Some(Idempotency {
                key: key.clone(),
                request_hash: request_hash(request),
                expires_at: now + KEY_HOURS.hours(),
            }),
            Some(_) => return Err(invalid("idempotency_key", "must have 1 to 255 bytes")),
        };
        for _ in 0..ATTEMPTS {
            let id = WorkspaceId::from_random(rand::random());
            let audit = AuditEvent {
                id: AuditId::generate(),
                at: now,
                organization: Some(organization),
                actor: actor.clone(),
                action: AuditAction::WorkspaceCreate,
                subject: id.to_string(),
                address: request.asker.address.clone(),
                request_id: request_id.map(str::to_owned),
            };
            let new = NewWorkspace {
                id,
                organization,
                owner,
                spec: spec.clone(),
                filled_from,
                created_at: now,
            };
            let created = self
                .store
                .create_workspace(new, self.quota, idempotency.clone(), audit);
            match created.await {
                Ok(row) => return Ok(self.tell(row)),
                // Drawn before, or another caller's retry got in between.
                Err(StoreError::Conflict { what: "id" }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(IntentError::Overloaded)
    }

    /// Changes what is wanted of a workspace.
    ///
    /// # Errors
    /// [`IntentError`]; nothing is half changed.
    pub(crate) async fn change(
        &self,
        id: &str,
        change: Change,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> Result<Workspace, IntentError> {
        let actor = actor(asker)?;
        let not_found = || not_found(id);
        let parsed_id = WorkspaceId::parse(id).map_err(|_| not_found())?;
        for attempt in 0..ATTEMPTS {
            let row = self
                .store
                .workspace(parsed_id)
                .await?
                .ok_or_else(not_found)?;
            let now = self.clock.now();
            let action = match (change, &row.lifecycle) {
                // Where it already is as asked, nothing is changed and nothing told anew.
                (Change::Start | Change::Wake, Lifecycle::Running { .. })
                | (Change::Pause, Lifecycle::Paused { .. })
                | (Change::Delete, Lifecycle::Deleting { .. }) => return Ok(self.tell(row)),
                (Change::Start, Lifecycle::Paused { .. }) | (Change::Wake, _) => {
                    AuditAction::WorkspaceWake
                }
                (Change::Start, _) => AuditAction::WorkspaceStart,
                (Change::Pause, _) => AuditAction::WorkspacePause,
                (Change::Stop, _) => AuditAction::WorkspaceStop,
                (Change::Delete, _) => AuditAction::WorkspaceDelete,
            };
            let changed = change.of(&row, now)?;
            if matches!(changed.lifecycle, Lifecycle::Starting { .. }) {
                self.admit()?;
            }
            let audit = event(&row, action, (&actor, asker), now, request_id);
            let is_counted_anew = !Quota::counts(&row) && Quota::counts(&changed);
            let written = if is_counted_anew {
                self.store
                    .admit_workspace(&changed, self.quota, audit)
                    .await
            } else {
                self.store.update_workspace(&changed, Some(audit)).await
            };
            match written {
                Ok(row) => return Ok(self.tell(row)),
                Err(StoreError::Conflict { .. }) => {
                    tracing::debug!(workspace.id = %row.id, attempt, "somebody wrote {} in between", row.id);
                    give_way().await;
                }
                Err(StoreError::NotFound { .. }) => return Err(not_found()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(IntentError::Overloaded)
    }

    /// Returns a workspace.
    ///
    /// # Errors
    /// [`IntentError::NotFound`] when there is none of that name.
    pub(crate) async fn find(&self, id: &str) -> Result<Workspace, IntentError> {
        let not_found = || not_found(id);
        let id = WorkspaceId::parse(id).map_err(|_| not_found())?;
        self.store.workspace(id).await?.ok_or_else(not_found)
    }

    /// Reads every field anew: what `web` checked is what `web` saw.
    fn spec(&self, request: &CreateWorkspace) -> Result<Spec, IntentError> {
        let repository = request
            .repository
            .as_deref()
            .map(RepositoryUrl::parse)
            .transpose();
        let branch = request.branch.as_deref().map(BranchName::parse).transpose();
        let egress = request
            .egress
            .as_deref()
            .map(str::parse::<Egress>)
            .transpose();
        let spec = Spec {
            name: parsed("name", WorkspaceName::parse(&request.name))?,
            repository: parsed("repository", repository)?,
            branch: parsed("branch", branch)?,
            size: parsed("size", request.size.parse::<Size>())?,
            egress: parsed("egress", egress)?.unwrap_or(self.egress),
        };
        if spec.branch.is_some() && spec.repository.is_none() {
            return Err(invalid("branch", "a branch needs a repository"));
        }
        Ok(spec)
    }

    fn admit(&self) -> Result<(), IntentError> {
        let starting = self.feeds.counts().get("starting").copied().unwrap_or(0);
        if starting < STARTING_LIMIT {
            Ok(())
        } else {
            Err(IntentError::Overloaded)
        }
    }

    /// Tells everybody what was committed, and that there is work.
    fn tell(&self, row: Workspace) -> Workspace {
        // A running row is one that an idempotent repeat found: whoever brought it there told it.
        if !matches!(row.lifecycle, Lifecycle::Running { .. }) {
            self.feeds.row(&row, None);
        }
        (self.waker)(row.id);
        row
    }
}

/// Lets others write before the next attempt.
async fn give_way() {
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..5))).await;
}

fn not_found(id: &str) -> IntentError {
    IntentError::NotFound {
        id: id.chars().take(64).collect(),
    }
}

/// Returns what the audit log says of a change.
fn event(
    row: &Workspace,
    action: AuditAction,
    (actor, asker): (&Actor, &Asker),
    at: Timestamp,
    request_id: Option<&str>,
) -> AuditEvent {
    AuditEvent {
        id: AuditId::generate(),
        at,
        organization: Some(row.organization),
        actor: actor.clone(),
        action,
        subject: row.id.to_string(),
        address: asker.address.clone(),
        request_id: request_id.map(str::to_owned),
    }
}

pub(crate) fn actor(asker: &Asker) -> Result<Actor, IntentError> {
    let user = parsed("asker.user", UserId::parse(&asker.user))?;
    match (&asker.session, &asker.token) {
        (Some(session), None) => {
            let session = parsed("asker.session", SessionId::parse(session))?;
            Ok(Actor::Session { user, session })
        }
        (None, Some(token)) => {
            let token = parsed("asker.token", TokenId::parse(token))?;
            Ok(Actor::Token { user, token })
        }
        _ => Err(invalid("asker", "needs a session or a token, and not both")),
    }
}

/// Returns the hash of what is asked, without who happens to carry it.
fn request_hash(request: &CreateWorkspace) -> [u8; 32] {
    let asked = serde_json::json!([
        request.organization,
        request.name,
        request.repository,
        request.branch,
        request.size,
        request.egress,
        request.snapshot,
    ]);
    Sha256::digest(asked.to_string().as_bytes()).into()
}

fn parsed<T, E: fmt::Display>(field: &'static str, result: Result<T, E>) -> Result<T, IntentError> {
    result.map_err(|reason| invalid(field, &reason.to_string()))
}

fn invalid(field: &'static str, reason: &str) -> IntentError {
    IntentError::Invalid {
        field,
        reason: reason.to_owned(),
    }
}

impl From<StoreError> for IntentError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Quota(exceeded) => Self::Quota(exceeded),
            StoreError::Conflict {
                what: "idempotency",
            } => Self::Idempotency,
            StoreError::NotFound { what } => Self::Invalid {
                field: "asker",
                reason: format!("{what} not found"),
            },
            other => Self::Store(other),
        }
    }
}

impl fmt::Debug for Intents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Intents").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
