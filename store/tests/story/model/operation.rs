//! The operations that seeds are made of: how one is drawn, and how a store performs it.

use std::fmt::Debug;

use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{
    AuditId, Generation, LinkId, OrganizationId, SessionId, SnapshotId, TokenId, UserId,
    WorkspaceId,
};
use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::quota::Quota;
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::sharing::{AccessRequest, LinkPath, PortShare, Rule, ShareLink, SharingLevel};
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::user::{EmailAddress, Role, Scope};
use kalpana_domain::workspace::{Desired, Egress, Size, Spec, Workspace, WorkspaceName};
use kalpana_store::records::{
    Idempotency, NewUser, NewWorkspace, PasswordChange, SecretHash, Session, Token,
};
use kalpana_store::transfer::{Freeze, MoveId};
use kalpana_store::{Page, PageRequest, Store, StoreResult};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use super::state::Model;
use crate::world::at;

/// One operation with its arguments.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    IsSetupRequired,
    PutSetupSecret(SecretHash, Timestamp),
    CompleteSetup(SecretHash, NewUser, AuditEvent),
    CreateUser(NewUser, AuditEvent),
    User(UserId),
    UserByEmail(EmailAddress),
    UpgradePasswordHash(UserId, String, String),
    ChangePassword(PasswordChange, AuditEvent),
    Users(usize),
    CreateSession(Session, AuditEvent),
    Session(SecretHash, Timestamp, Timestamp),
    TouchSession(SessionId, Timestamp),
    SessionsOf(UserId, Timestamp, Timestamp),
    EndSession(UserId, SessionId, Timestamp, AuditEvent),
    EndOtherSessions(UserId, Option<SessionId>, Timestamp, AuditEvent),
    EndedSessions(Timestamp),
    PurgeSessions(Timestamp),
    CreateToken(Token, AuditEvent),
    Token(TokenId, Timestamp),
    TokensOf(UserId, Timestamp),
    TouchToken(TokenId, Timestamp),
    RevokeToken(UserId, TokenId, Timestamp, AuditEvent),
    CreateWorkspace(NewWorkspace, Quota, Option<Idempotency>, AuditEvent),
    Workspace(WorkspaceId),
    WorkspacesOf(UserId, usize),
    WorkspacesIn(OrganizationId, usize),
    AllWorkspaces,
    UpdateWorkspace(Workspace, Option<AuditEvent>),
    AdmitWorkspace(Workspace, Quota, AuditEvent),
    FinishDeletion(Workspace, Timestamp),
    DeletedWorkspace(WorkspaceId),
    DeletedWorkspacesOf(UserId, usize),
    RestoreWorkspace(Workspace, Quota, AuditEvent),
    PurgeWorkspace(Workspace, AuditEvent),
    PortShare(WorkspaceId, u16),
    PortSharesOf(WorkspaceId),
    PortShareByLink(SecretHash),
    AllPortShares,
    PutPortShare(Box<PortShare>, AuditEvent),
    AppendAudit(AuditEvent),
    AuditEvents(usize),
    Freeze(MoveId),
    Thaw(MoveId),
    Retire(MoveId, String),
    MovedTo,
    Reinstate,
}

/// Writes an answer down so that two can be compared: the value, or what kind of error it is.
pub(super) fn told<T: Debug>(answer: &StoreResult<T>) -> String {
    format!("{answer:?}")
}

/// Reads all pages of a list.
async fn pages<T: Debug>(
    size: usize,
    mut read: impl AsyncFnMut(PageRequest) -> StoreResult<Page<T>>,
) -> String {
    let (mut sizes, mut items, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let request = PageRequest { after, limit: size };
        match read(request).await {
            Ok(mut page) => {
                sizes.push(page.items.len());
                items.append(&mut page.items);
                after = page.next;
            }
            Err(error) => return told::<()>(&Err(error)),
        }
        if after.is_none() {
            return told(&Ok((sizes, items)));
        }
    }
}

impl Operation {
    /// Performs it on a store.
    pub(super) async fn run(self, store: &Store) -> String {
        match self {
            Self::IsSetupRequired => told(&store.is_setup_required().await),
            Self::PutSetupSecret(hash, now) => told(&store.put_setup_secret(hash, now).await),
            Self::CompleteSetup(hash, user, event) => {
                told(&store.complete_setup(hash, user, event).await)
            }
            Self::CreateUser(user, event) => told(&store.create_user(user, event).await),
            Self::User(id) => told(&store.user(id).await),
            Self::UserByEmail(email) => {
                let found = store.user_by_email(&email).await;
                told(&found.map(|found| found.map(|found| (found.user, found.password_hash))))
            }
            Self::UpgradePasswordHash(id, known, hash) => {
                told(&store.upgrade_password_hash(id, known, hash).await)
            }
            Self::ChangePassword(wish, event) => told(&store.change_password(wish, event).await),
            Self::Users(size) => pages(size, async |page| store.users(page).await).await,
            Self::CreateSession(session, event) => {
                told(&store.create_session(session, event).await)
            }
            Self::Session(hash, now, since) => told(&store.session(hash, now, since).await),
            Self::TouchSession(id, now) => told(&store.touch_session(id, now).await),
            Self::SessionsOf(user, now, since) => told(&store.sessions_of(user, now, since).await),
            Self::EndSession(user, id, now, event) => {
                told(&store.end_session(user, id, now, event).await)
            }
            Self::EndOtherSessions(user, kept, now, event) => {
                told(&store.end_other_sessions(user, kept, now, event).await)
            }
            Self::EndedSessions(since) => told(&store.ended_sessions(since).await),
            Self::PurgeSessions(before) => told(&store.purge_sessions(before).await),
            Self::CreateToken(token, event) => told(&store.create_token(token, event).await),
            Self::Token(id, now) => told(&store.token(id, now).await),
            Self::TokensOf(user, now) => told(&store.tokens_of(user, now).await),
            Self::TouchToken(id, now) => told(&store.touch_token(id, now).await),
            Self::RevokeToken(user, id, now, event) => {
                told(&store.revoke_token(user, id, now, event).await)
            }
            Self::CreateWorkspace(new, quota, idempotency, event) => {
                told(&store.create_workspace(new, quota, idempotency, event).await)
            }
            Self::Workspace(id) => told(&store.workspace(id).await),
            Self::WorkspacesOf(owner, size) => {
                pages(size, async |page| store.workspaces_of(owner, page).await).await
            }
            Self::WorkspacesIn(organization, size) => {
                pages(size, async |page| {
                    store.workspaces_in(organization, page).await
                })
                .await
            }
            Self::AllWorkspaces => told(&store.all_workspaces().await),
            Self::UpdateWorkspace(asked, event) => {
                told(&store.update_workspace(&asked, event).await)
            }
            Self::AdmitWorkspace(asked, quota, event) => {
                told(&store.admit_workspace(&asked, quota, event).await)
            }
            Self::FinishDeletion(asked, now) => told(&store.finish_deletion(&asked, now).await),
            Self::DeletedWorkspace(id) => told(&store.deleted_workspace(id).await),
            Self::DeletedWorkspacesOf(owner, size) => {
                pages(size, async |page| {
                    store.deleted_workspaces_of(owner, page).await
                })
                .await
            }
            Self::RestoreWorkspace(asked, quota, event) => {
                told(&store.restore_workspace(&asked, quota, event).await)
            }
            Self::PurgeWorkspace(asked, event) => told(&store.purge_workspace(&asked, event).await),
            Self::PortShare(workspace, port) => told(&store.port_share(workspace, port).await),
            Self::PortSharesOf(workspace) => told(&store.port_shares_of(workspace).await),
            Self::PortShareByLink(secret) => told(&store.port_share_by_link(secret).await),
            Self::AllPortShares => told(&store.all_port_shares().await),
            Self::PutPortShare(share, event) => told(&store.put_port_share(&share, event).await),
            Self::AppendAudit(event) => told(&store.append_audit(event).await),
            Self::AuditEvents(size) => {
                pages(size, async |page| store.audit_events(page).await).await
            }
            Self::Freeze(by) => {
                let until = at(1_000_000);
                told(&store.freeze(Freeze { by, until }, at(0)).await)
            }
            Self::Thaw(by) => told(&store.thaw(by).await),
            Self::Retire(by, place) => told(&store.retire(by, place).await),
            Self::MovedTo => told(&store.moved_to().await),
            Self::Reinstate => told(&store.reinstate().await),
        }
    }

    /// Draws an operation, mostly about what is there.
    pub(super) fn draw(random: &mut StdRng, model: &Model) -> Self {
        let mut draw = Draw { random, model };
        let size = draw.random.random_range(1..4);
        if model.is_closed() && draw.chance(0.4) {
            return match draw.random.random_range(0..4) {
                0 => Self::Thaw(draw.mover()),
                1 => Self::Retire(draw.mover(), "elsewhere".to_owned()),
                2 => Self::MovedTo,
                _ => Self::Reinstate,
            };
        }
        let event = draw.event();
        match draw.random.random_range(0..87) {
            0 => Self::IsSetupRequired,
            1..3 => Self::PutSetupSecret(draw.hash(), draw.time()),
            3..6 => Self::CompleteSetup(draw.hash(), draw.new_user(), event),
            6..11 => Self::CreateUser(draw.new_user(), event),
            11 => Self::User(draw.user()),
            12 => Self::UserByEmail(draw.email()),
            // Hints may be dropped by a frozen store, so what they do there is not fixed.
            13 if !model.is_closed() => {
                Self::UpgradePasswordHash(draw.user(), draw.text(), draw.text())
            }
            14 => Self::Users(size),
            15..19 => Self::CreateSession(draw.session(), event),
            19..21 => Self::Session(draw.hash(), draw.time(), draw.time()),
            21 if !model.is_closed() => Self::TouchSession(draw.session_id(), draw.time()),
            22..24 => Self::EndSession(draw.user(), draw.session_id(), draw.time(), event),
            24 => Self::EndedSessions(draw.time()),
            25 => Self::PurgeSessions(draw.time()),
            26..29 => Self::CreateToken(draw.token(), event),
            29 => Self::Token(draw.token_id(), draw.time()),
            30 => Self::TokensOf(draw.user(), draw.time()),
            31 if !model.is_closed() => Self::TouchToken(draw.token_id(), draw.time()),
            32..34 => Self::RevokeToken(draw.user(), draw.token_id(), draw.time(), event),
            34..42 => {
                let quota = Quota {
                    workspaces: draw.random.random_range(0..8),
                };
                Self::CreateWorkspace(draw.new_workspace(), quota, draw.idempotency(), event)
            }
            42 => Self::Workspace(draw.workspace_id()),
            43 => Self::WorkspacesOf(draw.user(), size),
            44 => Self::WorkspacesIn(draw.organization(), size),
            45 => Self::AllWorkspaces,
            46..51 => {
                let event = draw.chance(0.5).then_some(event);
                Self::UpdateWorkspace(draw.changed_workspace(), event)
            }
            51..53 => Self::FinishDeletion(draw.changed_workspace(), draw.time()),
            53..55 => Self::AppendAudit(event),
            55 => Self::AuditEvents(size),
            56 => Self::Freeze(draw.mover()),
            57 => Self::Thaw(draw.mover()),
            58 => Self::MovedTo,
            60 => Self::PortShare(draw.workspace_id(), draw.port()),
            61 => Self::PortSharesOf(draw.workspace_id()),
            62 => Self::PortShareByLink(draw.hash()),
            63 => Self::AllPortShares,
            64..70 => Self::PutPortShare(Box::new(draw.port_share()), event),
            70 => Self::SessionsOf(draw.user(), draw.time(), draw.time()),
            71 => {
                let kept = draw.chance(0.7).then(|| draw.session_id());
                Self::EndOtherSessions(draw.user(), kept, draw.time(), event)
            }
            75 => Self::DeletedWorkspace(draw.workspace_id()),
            76 | 77 => Self::DeletedWorkspacesOf(draw.user(), size),
            78..82 => {
                let quota = Quota {
                    workspaces: draw.random.random_range(0..8),
                };
                Self::RestoreWorkspace(draw.changed_workspace(), quota, event)
            }
            84..87 => {
                let quota = Quota {
                    workspaces: draw.random.random_range(0..8),
                };
                Self::AdmitWorkspace(draw.changed_workspace(), quota, event)
            }
            82 | 83 => Self::PurgeWorkspace(draw.changed_workspace(), event),
            72..75 => Self::ChangePassword(draw.password_change(), event),
            _ => Self::AuditEvents(size),
        }
    }
}

/// Draws arguments.
struct Draw<'a> {
    random: &'a mut StdRng,
    model: &'a Model,
}

impl Draw<'_> {
    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.iter().choose(self.random).expect("not empty")
    }

    /// Draws one of few times, some of them finer than what is kept.
    fn time(&mut self) -> Timestamp {
        let fraction = self.pick(&[0, 0, 1_000_000, 1_999_999, 999_999_999]);
        at(self.random.random_range(0..20)) + std::time::Duration::from_nanos(fraction)
    }

    fn hash(&mut self) -> SecretHash {
        [self.random.random_range(0..6); 32]
    }

    fn text(&mut self) -> String {
        let texts = [
            "",
            "plain",
            "{\"$gt\":\"\"}",
            "a.b$c",
            "nul\0",
            "'; --",
            "🦀\u{202e}",
        ];
        self.pick(&texts).to_owned()
    }

    fn mover(&mut self) -> MoveId {
        MoveId::from_u128(self.random.random_range(1..3))
    }

    fn organization(&mut self) -> OrganizationId {
        if self.chance(0.9) {
            return self.model.organization;
        }
        OrganizationId::from_bytes(self.random.random())
    }

    fn user(&mut self) -> UserId {
        let known = self.model.users.keys().choose(self.random).copied();
        known
            .filter(|_| self.chance(0.9))
            .unwrap_or_else(|| UserId::from_bytes(self.random.random()))
    }

    fn email(&mut self) -> EmailAddress {
        let number = self.random.random_range(0..8);
        EmailAddress::parse(&format!("user{number}@example.com")).expect("legal")
    }

    fn session_id(&mut self) -> SessionId {
        let known = self.model.sessions.keys().choose(self.random).copied();
        known
            .filter(|_| self.chance(0.9))
            .unwrap_or_else(|| SessionId::from_bytes(self.random.random()))
    }

    /// Draws a change of a password, mostly by who knows the one there is.
    fn password_change(&mut self) -> PasswordChange {
        let user = self.user();
        let known = self.model.users.get(&user);
        let known = known.map(|record| record.password_hash.clone());
        PasswordChange {
            user,
            known_hash: known
                .filter(|_| self.chance(0.8))
                .unwrap_or_else(|| self.text()),
            new_hash: self.text(),
            kept: self.session_id(),
            at: self.time(),
            revocation: self.chance(0.5).then(|| self.event()),
        }
    }

    fn token_id(&mut self) -> TokenId {
        let known = self.model.tokens.keys().choose(self.random).copied();
        known
            .filter(|_| self.chance(0.9))
            .unwrap_or_else(|| TokenId::from_bytes(self.random.random()))
    }

    fn workspace_id(&mut self) -> WorkspaceId {
        let known = self.model.workspaces.keys().choose(self.random).copied();
        known
            .filter(|_| self.chance(0.9))
            .unwrap_or_else(|| WorkspaceId::from_random(self.random.random()))
    }

    fn port(&mut self) -> u16 {
        self.pick(&[1024, 3000, 65_535])
    }

    fn link(&mut self) -> ShareLink {
        ShareLink {
            id: LinkId::from_bytes(self.random.random()),
            secret_hash: self.hash(),
            path: LinkPath::whole(),
            is_one_use: self.chance(0.5),
            created_at: self.time(),
            expires_at: self.time(),
            used_at: self.chance(0.5).then(|| self.time()),
        }
    }

    /// Draws a way of sharing a port, mostly one that follows on what is there.
    fn port_share(&mut self) -> PortShare {
        let (workspace, port) = (self.workspace_id(), self.port());
        let known = self.model.ports.get(&(workspace.to_string(), port));
        let known = known.filter(|_| self.chance(0.8)).cloned();
        let mut share = known.unwrap_or_else(|| PortShare::blank(workspace, port));
        share.updated_at = self.time();
        if self.chance(0.1) {
            share.version = self.random.random_range(0..4);
        }
        if self.chance(0.2) {
            share.rule = Rule::default();
            share.links.clear();
            share.requests.clear();
            return share;
        }
        share.rule = Rule {
            level: self.pick(&SharingLevel::ALL),
            members: (0..self.random.random_range(0..3))
                .map(|_| self.user())
                .collect(),
            expires_at: self.chance(0.5).then(|| self.time()),
            generation: self
                .chance(0.5)
                .then(|| Generation(self.random.random_range(0..1 << 40))),
        };
        let links = self.random.random_range(0..3);
        share.links = (0..links).map(|_| self.link()).collect();
        if self.chance(0.3) {
            share.requests.push(AccessRequest {
                user: self.user(),
                asked_at: self.time(),
            });
        }
        share
    }

    fn event(&mut self) -> AuditEvent {
        let known = self.model.log.iter().map(|event| event.id);
        let taken = known.choose(self.random).filter(|_| self.chance(0.05));
        let user = self.user();
        let actors = [
            Actor::System,
            Actor::Console,
            Actor::Anonymous,
            Actor::Session {
                user,
                session: SessionId::from_bytes([3; 16]),
            },
        ];
        AuditEvent {
            id: taken.unwrap_or_else(|| AuditId::from_bytes(self.random.random())),
            at: self.time(),
            organization: self.chance(0.5).then_some(self.model.organization),
            actor: actors.into_iter().choose(self.random).expect("not empty"),
            action: self.pick(&[AuditAction::UserCreate, AuditAction::SessionRefuse]),
            subject: self.text(),
            address: self.chance(0.5).then(|| self.text()),
            request_id: self.chance(0.5).then(|| self.text()),
        }
    }

    fn new_user(&mut self) -> NewUser {
        let id = self.user();
        NewUser {
            id: if self.chance(0.1) {
                id
            } else {
                UserId::from_bytes(self.random.random())
            },
            email: self.email(),
            name: self.text(),
            role: self.pick(&[Role::Member, Role::Administrator]),
            password_hash: self.text(),
            created_at: self.time(),
        }
    }

    fn session(&mut self) -> Session {
        let id = self.session_id();
        Session {
            id: if self.chance(0.1) {
                id
            } else {
                SessionId::from_bytes(self.random.random())
            },
            user: self.user(),
            secret_hash: self.hash(),
            created_at: self.time(),
            last_used_at: self.time(),
            expires_at: self.time(),
            address: self.chance(0.5).then(|| self.text()),
            user_agent: self.chance(0.5).then(|| self.text()),
        }
    }

    fn token(&mut self) -> Token {
        let id = self.token_id();
        let scopes = [Scope::WorkspaceRead, Scope::WorkspaceDelete];
        Token {
            id: if self.chance(0.1) {
                id
            } else {
                TokenId::from_bytes(self.random.random())
            },
            user: self.user(),
            secret_hash: self.hash(),
            name: self.text(),
            scopes: scopes.into_iter().filter(|_| self.chance(0.5)).collect(),
            created_at: self.time(),
            expires_at: self.time(),
            last_used_at: self.chance(0.3).then(|| self.time()),
        }
    }

    fn snapshot(&mut self) -> Option<SnapshotRef> {
        self.chance(0.3).then(|| SnapshotRef {
            workspace: self.workspace_id(),
            snapshot: SnapshotId::from_bytes(self.random.random()),
        })
    }

    fn new_workspace(&mut self) -> NewWorkspace {
        let id = self.workspace_id();
        let repository = RepositoryUrl::try_from("https://git.example.com/a.git".to_owned());
        let repository = repository.expect("legal");
        // Not before those that are there: what a clock that goes back finds of the keys of
        // requests, which are removed at their end, is not fixed.
        let made = self.model.workspaces.values();
        let latest = made.map(|record| record.workspace.created_at).max();
        let created_at = self.time();
        NewWorkspace {
            id: if self.chance(0.1) {
                id
            } else {
                WorkspaceId::from_random(self.random.random())
            },
            organization: self.organization(),
            owner: self.user(),
            spec: Spec {
                name: WorkspaceName::parse("My project").expect("legal"),
                repository: self.chance(0.5).then_some(repository),
                branch: self
                    .chance(0.5)
                    .then(|| BranchName::try_from("main".to_owned()).expect("legal")),
                size: self.pick(&[Size::Small, Size::Medium]),
                egress: self.pick(&[Egress::Open, Egress::None]),
            },
            filled_from: self.snapshot(),
            created_at: latest.map_or(created_at, |latest| latest.max(created_at)),
        }
    }

    fn idempotency(&mut self) -> Option<Idempotency> {
        self.chance(0.5).then(|| Idempotency {
            key: self.text(),
            request_hash: self.hash(),
            expires_at: self.time(),
        })
    }

    /// Draws a change of a workspace, now and then of an older state or of one that is not there.
    fn changed_workspace(&mut self) -> Workspace {
        let known = self.model.workspaces.values().choose(self.random);
        let since = self.time();
        let reason = FailureReason::new(FailureCode::ContainerDied, self.text());
        let lifecycles = [
            Lifecycle::Stopped,
            Lifecycle::Running { since },
            Lifecycle::Paused { since },
            Lifecycle::Stopping { since },
            Lifecycle::Failed { at: since, reason },
            Lifecycle::Deleting { since },
        ];
        let lifecycle = lifecycles.into_iter().choose(self.random);
        let mut workspace = match known {
            Some(record) => record.workspace.clone(),
            None => {
                let new = self.new_workspace();
                Workspace {
                    id: new.id,
                    organization: new.organization,
                    owner: new.owner,
                    spec: new.spec,
                    sleep: Default::default(),
                    filled_from: new.filled_from,
                    desired: Desired::Running,
                    lifecycle: Lifecycle::Stopped,
                    generation: Generation(1),
                    version: 1,
                    created_at: new.created_at,
                    updated_at: new.created_at,
                }
            }
        };
        if self.chance(0.2) {
            workspace.version = self.random.random_range(0..4);
        }
        workspace.sleep = SleepPolicy {
            pause_after: IdleTime::from_seconds(self.random.random_range(0..120)).ok(),
            stop_after: self.pick(&[None, Some(IdleTime::NEVER)]),
            archive_after: IdleTime::from_seconds(86_400)
                .ok()
                .filter(|_| self.chance(0.5)),
            stays_asleep: self.chance(0.5),
        };
        workspace.filled_from = self.snapshot();
        workspace.desired = self.pick(&[Desired::Running, Desired::Stopped, Desired::Deleted]);
        workspace.lifecycle = lifecycle.expect("not empty");
        workspace.generation = Generation(self.random.random_range(0..1 << 40));
        workspace.updated_at = self.time();
        workspace
    }
}
