//! A store in memory, behind the same bad weather as the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{Generation, OrganizationId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_domain::sleep::SleepPolicy;
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_store::records::{DeletedWorkspace, Idempotency, NewWorkspace};
use kalpana_store::repository::{Trash, Workspaces};
use kalpana_store::{Outage, Page, PageRequest, StoreError, StoreResult};

use crate::engine::fake::Sky;

/// Rows in memory.
#[derive(Debug, Clone)]
pub(super) struct FakeStore {
    pub(super) rows: Arc<Mutex<BTreeMap<WorkspaceId, Workspace>>>,
    pub(super) trash: Arc<Mutex<BTreeMap<WorkspaceId, DeletedWorkspace>>>,
    pub(super) audit: Arc<Mutex<Vec<AuditEvent>>>,
    pub(super) sky: Sky,
}

impl FakeStore {
    fn ask<T>(
        &self,
        effect: impl FnOnce(&mut BTreeMap<WorkspaceId, Workspace>) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let result = self.sky.under(|| effect(&mut self.rows.lock().unwrap()));
        let away = || StoreError::Unavailable {
            outage: Outage::Refused,
            reason: "bad weather".into(),
            source: None,
        };
        result.unwrap_or_else(|| Err(away()))
    }
}

#[async_trait]
impl Workspaces for FakeStore {
    async fn create_workspace(
        &self,
        new: NewWorkspace,
        quota: Quota,
        _idempotency: Option<Idempotency>,
        audit: AuditEvent,
    ) -> StoreResult<Workspace> {
        self.ask(|rows| {
            quota.admit(held(rows, new.owner))?;
            let row = Workspace {
                id: new.id,
                organization: new.organization,
                owner: new.owner,
                spec: new.spec,
                sleep: SleepPolicy::default(),
                filled_from: new.filled_from,
                desired: Desired::Running,
                lifecycle: Lifecycle::Starting {
                    since: new.created_at,
                },
                generation: Generation(1),
                version: 1,
                created_at: new.created_at,
                updated_at: new.created_at,
            };
            rows.insert(row.id, row.clone());
            self.audit.lock().unwrap().push(audit);
            Ok(row)
        })
    }

    async fn workspace(&self, id: WorkspaceId) -> StoreResult<Option<Workspace>> {
        self.ask(|rows| Ok(rows.get(&id).cloned()))
    }

    async fn workspaces_of(&self, _: UserId, _: PageRequest) -> StoreResult<Page<Workspace>> {
        unreachable!("the orchestrator lists everything or nothing")
    }

    async fn workspaces_in(
        &self,
        _: OrganizationId,
        _: PageRequest,
    ) -> StoreResult<Page<Workspace>> {
        unreachable!("the orchestrator lists everything or nothing")
    }

    async fn all_workspaces(&self) -> StoreResult<Vec<Workspace>> {
        self.ask(|rows| Ok(rows.values().cloned().collect()))
    }

    async fn update_workspace(
        &self,
        workspace: &Workspace,
        audit: Option<AuditEvent>,
    ) -> StoreResult<Workspace> {
        self.ask(|rows| {
            let stored = rows.get_mut(&workspace.id);
            let stored = stored.ok_or(StoreError::NotFound { what: "workspace" })?;
            if stored.version != workspace.version {
                return Err(StoreError::Conflict { what: "version" });
            }
            *stored = Workspace {
                version: workspace.version + 1,
                ..workspace.clone()
            };
            self.audit.lock().unwrap().extend(audit);
            Ok(stored.clone())
        })
    }

    async fn admit_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        audit: AuditEvent,
    ) -> StoreResult<Workspace> {
        self.ask(|rows| {
            let others = rows
                .clone()
                .into_iter()
                .filter(|(id, _)| *id != workspace.id);
            let others = held(&others.collect(), workspace.owner);
            let stored = rows.get_mut(&workspace.id);
            let stored = stored.ok_or(StoreError::NotFound { what: "workspace" })?;
            if stored.version != workspace.version {
                return Err(StoreError::Conflict { what: "version" });
            }
            quota.admit(others)?;
            *stored = Workspace {
                version: workspace.version + 1,
                ..workspace.clone()
            };
            self.audit.lock().unwrap().push(audit);
            Ok(stored.clone())
        })
    }

    async fn finish_deletion(&self, workspace: &Workspace, now: Timestamp) -> StoreResult<()> {
        self.ask(|rows| match rows.get(&workspace.id) {
            None => Err(StoreError::NotFound { what: "workspace" }),
            Some(stored) if stored.version != workspace.version => {
                Err(StoreError::Conflict { what: "version" })
            }
            Some(stored) => {
                let deleted = DeletedWorkspace {
                    workspace: Workspace {
                        version: stored.version + 1,
                        ..stored.clone()
                    },
                    deleted_at: now,
                };
                self.trash.lock().unwrap().insert(workspace.id, deleted);
                rows.remove(&workspace.id);
                Ok(())
            }
        })
    }
}

#[async_trait]
impl Trash for FakeStore {
    async fn deleted_workspace(&self, id: WorkspaceId) -> StoreResult<Option<DeletedWorkspace>> {
        self.ask(|_| Ok(self.trash.lock().unwrap().get(&id).cloned()))
    }

    async fn deleted_workspaces_of(
        &self,
        _: UserId,
        _: PageRequest,
    ) -> StoreResult<Page<DeletedWorkspace>> {
        unreachable!("the orchestrator lists everything or nothing")
    }

    async fn restore_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        audit: AuditEvent,
    ) -> StoreResult<Workspace> {
        self.ask(|rows| {
            let mut trash = self.trash.lock().unwrap();
            let deleted = trash.get(&workspace.id).map(|deleted| &deleted.workspace);
            let stored = rows
                .get(&workspace.id)
                .or(deleted.filter(|row| row.desired != Desired::Purged))
                .ok_or(StoreError::NotFound { what: "workspace" })?;
            if stored.version != workspace.version {
                return Err(StoreError::Conflict { what: "version" });
            }
            quota.admit(held(rows, workspace.owner))?;
            let restored = Workspace {
                version: workspace.version + 1,
                ..workspace.clone()
            };
            trash.remove(&workspace.id);
            rows.insert(workspace.id, restored.clone());
            self.audit.lock().unwrap().push(audit);
            Ok(restored)
        })
    }

    async fn purge_workspace(&self, workspace: &Workspace, audit: AuditEvent) -> StoreResult<()> {
        self.ask(|_| {
            let mut trash = self.trash.lock().unwrap();
            let row = trash
                .get_mut(&workspace.id)
                .map(|deleted| &mut deleted.workspace)
                .filter(|row| row.desired != Desired::Purged)
                .ok_or(StoreError::NotFound { what: "workspace" })?;
            if row.version != workspace.version {
                return Err(StoreError::Conflict { what: "version" });
            }
            row.desired = Desired::Purged;
            row.version += 1;
            self.audit.lock().unwrap().push(audit);
            Ok(())
        })
    }
}

fn held(rows: &BTreeMap<WorkspaceId, Workspace>, owner: UserId) -> u32 {
    let held = rows
        .values()
        .filter(|row| row.owner == owner && Quota::counts(row));
    u32::try_from(held.count()).unwrap()
}
