//! The contract in memory: what each operation answers and leaves behind.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{Generation, OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_domain::sharing::PortShare;
use kalpana_domain::user::{Role, User};
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_store::records::{
    DeletedWorkspace, EndedAccess, EndedSession, Idempotency, NewUser, NewWorkspace,
    PasswordChange, SecretHash, Session, Token,
};
use kalpana_store::transfer::{
    MoveId, Record, SessionRecord, SetupSecretRecord, TokenRecord, UserRecord, WorkspaceRecord,
};
use kalpana_store::{StoreError, StoreResult};

use super::operation::{Operation, told};

/// Everything a store remembers.
pub(super) struct Model {
    pub(super) organization: OrganizationId,
    pub(super) users: BTreeMap<UserId, UserRecord>,
    setup_secret: Option<(SecretHash, Timestamp)>,
    pub(super) sessions: BTreeMap<SessionId, SessionRecord>,
    pub(super) tokens: BTreeMap<TokenId, TokenRecord>,
    pub(super) workspaces: BTreeMap<WorkspaceId, WorkspaceRecord>,
    /// By the workspace's id as text and the port: in the order that stores keep.
    pub(super) ports: BTreeMap<(String, u16), PortShare>,
    keys: BTreeMap<(UserId, String), (SecretHash, WorkspaceId, Timestamp)>,
    pub(super) log: Vec<AuditEvent>,
    pub(super) frozen_by: Option<MoveId>,
    moved_to: Option<String>,
}

/// Cuts a time to what stores keep.
fn cut(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).expect("in range")
}

fn conflict<T>(what: &'static str) -> StoreResult<T> {
    Err(StoreError::Conflict { what })
}

fn not_found<T>(what: &'static str) -> StoreResult<T> {
    Err(StoreError::NotFound { what })
}

/// Returns a port of which nothing is remembered any more, as it was given.
fn asked_again(asked: &PortShare) -> PortShare {
    PortShare {
        version: 0,
        ..asked.clone()
    }
}

fn user(record: &UserRecord) -> User {
    User {
        id: record.id,
        email: record.email.clone(),
        name: record.name.clone(),
        organization: record.organization,
        role: record.role,
        created_at: record.created_at,
    }
}

/// Returns the sizes of the pages that a list comes in, and all of it.
fn in_pages<T: Debug>(items: &[T], size: usize) -> String {
    let sizes: Vec<usize> = match items.len() {
        0 => vec![0],
        _ => items.chunks(size).map(<[T]>::len).collect(),
    };
    told(&Ok((sizes, items)))
}

impl Model {
    pub(super) fn new(organization: OrganizationId) -> Self {
        Self {
            organization,
            users: BTreeMap::new(),
            setup_secret: None,
            sessions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            ports: BTreeMap::new(),
            keys: BTreeMap::new(),
            log: Vec::new(),
            frozen_by: None,
            moved_to: None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frozen_by.is_some() || self.moved_to.is_some()
    }

    fn writable(&self) -> StoreResult<()> {
        if self.is_closed() {
            let moved_to = self.moved_to.clone();
            return Err(StoreError::Frozen { moved_to });
        }
        Ok(())
    }

    /// Checks that an event can be written.
    fn fits(&self, event: &AuditEvent) -> StoreResult<()> {
        match self.log.iter().any(|known| known.id == event.id) {
            true => conflict("audit"),
            false => Ok(()),
        }
    }

    fn append(&mut self, event: &AuditEvent) {
        let at = cut(event.at);
        self.log.push(AuditEvent {
            at,
            ..event.clone()
        });
    }

    fn complete_setup(
        &mut self,
        hash: SecretHash,
        new: &NewUser,
        event: &AuditEvent,
    ) -> StoreResult<User> {
        self.writable()?;
        if !self.users.is_empty() {
            return conflict("setup");
        }
        if self.setup_secret.is_none_or(|(known, _)| known != hash) {
            return not_found("setup secret");
        }
        self.create_user(new, Role::Administrator, event)
    }

    fn create_user(&mut self, new: &NewUser, role: Role, event: &AuditEvent) -> StoreResult<User> {
        self.writable()?;
        if self.users.values().any(|known| known.email == new.email) {
            return conflict("email");
        }
        if self.users.contains_key(&new.id) {
            return conflict("id");
        }
        self.fits(event)?;
        let record = UserRecord {
            id: new.id,
            email: new.email.clone(),
            name: new.name.clone(),
            password_hash: new.password_hash.clone(),
            organization: self.organization,
            role,
            created_at: cut(new.created_at),
        };
        let made = user(&record);
        self.users.insert(new.id, record);
        self.setup_secret = None;
        self.append(event);
        Ok(made)
    }

    fn create_session(&mut self, session: &Session, event: &AuditEvent) -> StoreResult<()> {
        self.writable()?;
        if !self.users.contains_key(&session.user) {
            return not_found("reference");
        }
        let is_taken = |known: &SessionRecord| {
            known.session.id == session.id || known.session.secret_hash == session.secret_hash
        };
        if self.sessions.values().any(is_taken) {
            return conflict("id");
        }
        self.fits(event)?;
        let kept = Session {
            created_at: cut(session.created_at),
            last_used_at: cut(session.last_used_at),
            expires_at: cut(session.expires_at),
            ..session.clone()
        };
        let record = SessionRecord {
            session: kept,
            ended_at: None,
        };
        self.sessions.insert(session.id, record);
        self.append(event);
        Ok(())
    }

    fn session(
        &self,
        hash: SecretHash,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> Option<(Session, User)> {
        let record = self.sessions.values().find(|record| {
            let session = &record.session;
            session.secret_hash == hash
                && record.ended_at.is_none()
                && session.expires_at > cut(now)
                && session.last_used_at >= cut(idle_since)
        })?;
        let session = record.session.clone();
        Some((session.clone(), user(self.users.get(&session.user)?)))
    }

    fn change_password(
        &mut self,
        wish: &PasswordChange,
        event: &AuditEvent,
    ) -> StoreResult<EndedAccess> {
        self.writable()?;
        match self.users.get(&wish.user) {
            None => return not_found("user"),
            Some(user) if user.password_hash != wish.known_hash => return conflict("password"),
            Some(_) => {}
        }
        self.fits(event)?;
        let tokens = match &wish.revocation {
            Some(_) => self.tokens_of(wish.user, wish.at),
            None => Vec::new(),
        };
        if let Some(revocation) = wish.revocation.as_ref().filter(|_| !tokens.is_empty()) {
            self.fits(revocation)?;
            if revocation.id == event.id {
                return conflict("audit");
            }
        }
        let sessions = self.others(wish.user, Some(wish.kept), wish.at);
        for id in &sessions {
            self.sessions.get_mut(id).expect("there").ended_at = Some(cut(wish.at));
        }
        let user = self.users.get_mut(&wish.user).expect("there");
        user.password_hash.clone_from(&wish.new_hash);
        self.append(event);
        let mut tokens: Vec<_> = tokens.into_iter().map(|token| token.id).collect();
        tokens.sort();
        for id in &tokens {
            self.tokens.get_mut(id).expect("there").revoked_at = Some(cut(wish.at));
        }
        if let Some(revocation) = wish.revocation.as_ref().filter(|_| !tokens.is_empty()) {
            self.append(revocation);
        }
        Ok(EndedAccess { sessions, tokens })
    }

    fn sessions_of(&self, user: UserId, now: Timestamp, idle_since: Timestamp) -> Vec<Session> {
        let mut found: Vec<Session> = self
            .sessions
            .values()
            .filter(|record| record.ended_at.is_none())
            .map(|record| record.session.clone())
            .filter(|session| {
                session.user == user
                    && session.expires_at > cut(now)
                    && session.last_used_at >= cut(idle_since)
            })
            .collect();
        found.sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.id)));
        found
    }

    /// Returns the living sessions of a person but one, sorted.
    fn others(&self, user: UserId, kept: Option<SessionId>, now: Timestamp) -> Vec<SessionId> {
        let living = self.sessions.values().filter(|record| {
            record.session.user == user
                && record.ended_at.is_none()
                && record.session.expires_at > cut(now)
        });
        let ids = living.map(|record| record.session.id);
        ids.filter(|id| Some(*id) != kept).collect()
    }

    fn end_other_sessions(
        &mut self,
        user: UserId,
        kept: Option<SessionId>,
        now: Timestamp,
        event: &AuditEvent,
    ) -> StoreResult<Vec<SessionId>> {
        self.writable()?;
        let ended = self.others(user, kept, now);
        if ended.is_empty() {
            return Ok(ended);
        }
        self.fits(event)?;
        for id in &ended {
            self.sessions.get_mut(id).expect("there").ended_at = Some(cut(now));
        }
        self.append(event);
        Ok(ended)
    }

    fn end_session(
        &mut self,
        user: UserId,
        id: SessionId,
        now: Timestamp,
        event: &AuditEvent,
    ) -> StoreResult<bool> {
        self.writable()?;
        let fits = self.fits(event);
        let now = cut(now);
        let Some(record) = self.sessions.get_mut(&id) else {
            return Ok(false);
        };
        let is_theirs = record.session.user == user;
        if !is_theirs || record.ended_at.is_some() || record.session.expires_at <= now {
            return Ok(false);
        }
        fits?;
        record.ended_at = Some(now);
        self.append(event);
        Ok(true)
    }

    fn ended_sessions(&self, since: Timestamp) -> Vec<EndedSession> {
        let mut ended: Vec<EndedSession> = self
            .sessions
            .values()
            .filter_map(|record| {
                let ended_at = record.ended_at.filter(|at| *at >= cut(since))?;
                let id = record.session.id;
                Some(EndedSession { id, ended_at })
            })
            .collect();
        ended.sort_by_key(|session| (session.ended_at, session.id));
        ended
    }

    fn purge_sessions(&mut self, before: Timestamp) -> u64 {
        if self.is_closed() {
            return 0;
        }
        let (count, before) = (self.sessions.len(), cut(before));
        self.sessions.retain(|_, record| {
            record.ended_at.is_none_or(|at| at >= before) && record.session.expires_at >= before
        });
        (count - self.sessions.len()) as u64
    }

    fn create_token(&mut self, token: &Token, event: &AuditEvent) -> StoreResult<()> {
        self.writable()?;
        if !self.users.contains_key(&token.user) {
            return not_found("reference");
        }
        if self.tokens.contains_key(&token.id) {
            return conflict("id");
        }
        self.fits(event)?;
        let kept = Token {
            created_at: cut(token.created_at),
            expires_at: cut(token.expires_at),
            last_used_at: token.last_used_at.map(cut),
            ..token.clone()
        };
        let record = TokenRecord {
            token: kept,
            revoked_at: None,
        };
        self.tokens.insert(token.id, record);
        self.append(event);
        Ok(())
    }

    fn living_token(&self, id: TokenId, now: Timestamp) -> Option<&Token> {
        let record = self.tokens.get(&id)?;
        let is_alive = record.revoked_at.is_none() && record.token.expires_at > cut(now);
        is_alive.then_some(&record.token)
    }

    fn revoke_token(
        &mut self,
        owner: UserId,
        id: TokenId,
        now: Timestamp,
        event: &AuditEvent,
    ) -> StoreResult<bool> {
        self.writable()?;
        if self
            .living_token(id, now)
            .is_none_or(|token| token.user != owner)
        {
            return Ok(false);
        }
        self.fits(event)?;
        if let Some(record) = self.tokens.get_mut(&id) {
            record.revoked_at = Some(cut(now));
        }
        self.append(event);
        Ok(true)
    }

    fn tokens_of(&self, owner: UserId, now: Timestamp) -> Vec<Token> {
        let mut tokens: Vec<Token> = self
            .tokens
            .keys()
            .filter_map(|id| self.living_token(*id, now))
            .filter(|token| token.user == owner)
            .cloned()
            .collect();
        tokens.sort_by_key(|token| std::cmp::Reverse((token.created_at, token.id)));
        tokens
    }

    fn create_workspace(
        &mut self,
        new: &NewWorkspace,
        quota: Quota,
        idempotency: Option<&Idempotency>,
        event: &AuditEvent,
    ) -> StoreResult<Workspace> {
        self.writable()?;
        let now = cut(new.created_at);
        if let Some(idempotency) = idempotency
            && let Some((hash, id, expires_at)) =
                self.keys.get(&(new.owner, idempotency.key.clone()))
            && *expires_at > now
        {
            return match (*hash == idempotency.request_hash, self.workspaces.get(id)) {
                (true, Some(record)) => Ok(record.workspace.clone()),
                _ => conflict("idempotency"),
            };
        }
        let held = self.living().filter(|held| held.owner == new.owner);
        let held = held.filter(|held| Quota::counts(held)).count();
        quota.admit(u32::try_from(held).expect("few"))?;
        if !self.users.contains_key(&new.owner) || new.organization != self.organization {
            return not_found("reference");
        }
        if self.workspaces.contains_key(&new.id) {
            return conflict("id");
        }
        self.fits(event)?;
        let made = Workspace {
            id: new.id,
            organization: new.organization,
            owner: new.owner,
            spec: new.spec.clone(),
            sleep: Default::default(),
            filled_from: new.filled_from,
            desired: Desired::Running,
            lifecycle: Lifecycle::Starting { since: now },
            generation: Generation(1),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let record = WorkspaceRecord {
            workspace: made.clone(),
            deleted_at: None,
        };
        self.workspaces.insert(new.id, record);
        if let Some(idempotency) = idempotency {
            let key = (new.owner, idempotency.key.clone());
            let end = cut(idempotency.expires_at);
            self.keys
                .insert(key, (idempotency.request_hash, new.id, end));
        }
        self.append(event);
        Ok(made)
    }

    fn living(&self) -> impl Iterator<Item = &Workspace> {
        let living = self
            .workspaces
            .values()
            .filter(|row| row.deleted_at.is_none());
        living.map(|row| &row.workspace)
    }

    fn newest(&self, is_wanted: impl Fn(&Workspace) -> bool) -> Vec<&Workspace> {
        let mut found: Vec<_> = self
            .living()
            .filter(|workspace| is_wanted(workspace))
            .collect();
        found.sort_by_key(|workspace| {
            std::cmp::Reverse((workspace.created_at, workspace.id.as_str()))
        });
        found
    }

    /// Returns the row that a write which saw `version` may change.
    fn seen(&mut self, id: WorkspaceId, version: u64) -> StoreResult<&mut WorkspaceRecord> {
        match self.workspaces.get_mut(&id) {
            Some(record) if record.deleted_at.is_none() => {
                if record.workspace.version == version {
                    return Ok(record);
                }
                conflict("version")
            }
            _ => not_found("workspace"),
        }
    }

    fn update_workspace(
        &mut self,
        asked: &Workspace,
        event: Option<&AuditEvent>,
    ) -> StoreResult<Workspace> {
        self.writable()?;
        let fits = event.map_or(Ok(()), |event| self.fits(event));
        let record = self.seen(asked.id, asked.version)?;
        fits?;
        let row = &mut record.workspace;
        row.sleep = asked.sleep;
        row.filled_from = asked.filled_from;
        row.desired = asked.desired;
        row.lifecycle = asked.lifecycle.clone();
        row.generation = asked.generation;
        row.updated_at = cut(asked.updated_at);
        row.version += 1;
        let changed = row.clone();
        if let Some(event) = event {
            self.append(event);
        }
        Ok(changed)
    }

    fn admit_workspace(
        &mut self,
        asked: &Workspace,
        quota: Quota,
        event: &AuditEvent,
    ) -> StoreResult<Workspace> {
        self.writable()?;
        self.seen(asked.id, asked.version)?;
        let others = self
            .living()
            .filter(|held| held.owner == asked.owner && held.id != asked.id && Quota::counts(held));
        quota.admit(u32::try_from(others.count()).expect("few"))?;
        self.update_workspace(asked, Some(event))
    }

    fn finish_deletion(&mut self, asked: &Workspace, now: Timestamp) -> StoreResult<()> {
        self.writable()?;
        let record = self.seen(asked.id, asked.version)?;
        record.deleted_at = Some(cut(now));
        record.workspace.updated_at = cut(now);
        record.workspace.version += 1;
        self.ports.retain(|_, share| share.workspace != asked.id);
        Ok(())
    }

    /// Returns the row that a write to what can be restored may change, if it saw `version`.
    fn restorable(&mut self, asked: &Workspace) -> StoreResult<&mut WorkspaceRecord> {
        match self.workspaces.get_mut(&asked.id) {
            Some(record) if record.workspace.desired != Desired::Purged => {
                if record.workspace.version == asked.version {
                    return Ok(record);
                }
                conflict("version")
            }
            _ => not_found("workspace"),
        }
    }

    fn restore_workspace(
        &mut self,
        asked: &Workspace,
        quota: Quota,
        event: &AuditEvent,
    ) -> StoreResult<Workspace> {
        self.writable()?;
        self.restorable(asked)?;
        let others = self
            .living()
            .filter(|held| held.owner == asked.owner && held.id != asked.id && Quota::counts(held));
        quota.admit(u32::try_from(others.count()).expect("few"))?;
        self.fits(event)?;
        let record = self.restorable(asked)?;
        record.deleted_at = None;
        let row = &mut record.workspace;
        row.sleep = asked.sleep;
        row.filled_from = asked.filled_from;
        row.desired = asked.desired;
        row.lifecycle = asked.lifecycle.clone();
        row.generation = asked.generation;
        row.updated_at = cut(asked.updated_at);
        row.version += 1;
        let restored = row.clone();
        self.append(event);
        Ok(restored)
    }

    fn purge_workspace(&mut self, asked: &Workspace, event: &AuditEvent) -> StoreResult<()> {
        self.writable()?;
        let known = self.workspaces.get(&asked.id);
        if known.is_none_or(|record| record.deleted_at.is_none()) {
            return not_found("workspace");
        }
        self.restorable(asked)?;
        self.fits(event)?;
        let record = self.restorable(asked)?;
        record.workspace.desired = Desired::Purged;
        record.workspace.updated_at = cut(asked.updated_at);
        record.workspace.version += 1;
        self.append(event);
        Ok(())
    }

    /// Returns a tombstone as stores tell it.
    fn deleted(record: &WorkspaceRecord) -> Option<DeletedWorkspace> {
        record.deleted_at.map(|deleted_at| DeletedWorkspace {
            workspace: record.workspace.clone(),
            deleted_at,
        })
    }

    fn deleted_of(&self, owner: UserId) -> Vec<DeletedWorkspace> {
        let mut found: Vec<_> = self
            .workspaces
            .values()
            .filter_map(Self::deleted)
            .filter(|deleted| {
                let workspace = &deleted.workspace;
                workspace.owner == owner && workspace.desired != Desired::Purged
            })
            .collect();
        found.sort_by_key(|deleted| {
            std::cmp::Reverse((deleted.deleted_at, deleted.workspace.id.to_string()))
        });
        found
    }

    fn put_port_share(&mut self, asked: &PortShare, event: &AuditEvent) -> StoreResult<PortShare> {
        self.writable()?;
        if !self.living().any(|row| row.id == asked.workspace) {
            return not_found("workspace");
        }
        let key = (asked.workspace.to_string(), asked.port);
        let known = self.ports.get(&key).map_or(0, |known| known.version);
        if known != asked.version {
            return conflict("version");
        }
        self.fits(event)?;
        self.append(event);
        if asked.is_blank() {
            self.ports.remove(&key);
            return Ok(asked_again(asked));
        }
        let made = u64::try_from(asked.updated_at.as_millisecond()).expect("positive");
        let mut kept = asked.clone();
        kept.version = if known == 0 { made } else { known + 1 };
        kept.updated_at = cut(kept.updated_at);
        kept.rule.expires_at = kept.rule.expires_at.map(cut);
        self.ports.insert(key, kept.clone());
        Ok(kept)
    }

    fn append_audit(&mut self, event: &AuditEvent) -> StoreResult<()> {
        self.writable()?;
        self.fits(event)?;
        self.append(event);
        Ok(())
    }

    fn freeze(&mut self, by: MoveId) -> StoreResult<()> {
        if self.moved_to.is_some() || self.frozen_by.is_some_and(|holder| holder != by) {
            return conflict("freeze");
        }
        self.frozen_by = Some(by);
        Ok(())
    }

    fn retire(&mut self, by: MoveId, place: &str) -> StoreResult<()> {
        if self.frozen_by != Some(by) {
            return conflict("freeze");
        }
        self.frozen_by = None;
        self.moved_to = Some(place.to_owned());
        Ok(())
    }

    /// Performs an operation and returns what a store must answer.
    pub(super) fn answer(&mut self, operation: &Operation) -> String {
        use Operation as O;
        match operation {
            O::IsSetupRequired => told(&Ok(self.users.is_empty())),
            O::PutSetupSecret(hash, now) => told(&self.writable().map(|()| {
                if self.users.is_empty() {
                    self.setup_secret = Some((*hash, cut(*now)));
                }
                self.users.is_empty()
            })),
            O::CompleteSetup(hash, new, event) => told(&self.complete_setup(*hash, new, event)),
            O::CreateUser(new, event) => told(&self.create_user(new, new.role, event)),
            O::User(id) => told(&Ok(self.users.get(id).map(user))),
            O::UserByEmail(email) => {
                let found = self.users.values().find(|known| known.email == *email);
                told(&Ok(
                    found.map(|known| (user(known), known.password_hash.clone()))
                ))
            }
            O::UpgradePasswordHash(id, known, hash) => {
                let record = self.users.get_mut(id);
                if let Some(record) = record.filter(|record| record.password_hash == *known) {
                    record.password_hash.clone_from(hash);
                }
                told(&Ok(()))
            }
            O::ChangePassword(wish, event) => told(&self.change_password(wish, event)),
            O::Users(size) => {
                let mut users: Vec<User> = self.users.values().map(user).collect();
                users.sort_by_key(|user| (user.created_at, user.id));
                in_pages(&users, *size)
            }
            O::CreateSession(session, event) => told(&self.create_session(session, event)),
            O::Session(hash, now, since) => told(&Ok(self.session(*hash, *now, *since))),
            O::TouchSession(id, now) => {
                if let Some(record) = self.sessions.get_mut(id) {
                    let session = &mut record.session;
                    session.last_used_at = session.last_used_at.max(cut(*now));
                }
                told(&Ok(()))
            }
            O::SessionsOf(user, now, since) => told(&Ok(self.sessions_of(*user, *now, *since))),
            O::EndSession(user, id, now, event) => told(&self.end_session(*user, *id, *now, event)),
            O::EndOtherSessions(user, kept, now, event) => {
                told(&self.end_other_sessions(*user, *kept, *now, event))
            }
            O::EndedSessions(since) => told(&Ok(self.ended_sessions(*since))),
            O::PurgeSessions(before) => told(&Ok(self.purge_sessions(*before))),
            O::CreateToken(token, event) => told(&self.create_token(token, event)),
            O::Token(id, now) => {
                let token = self.living_token(*id, *now);
                told(&Ok(token.map(|token| {
                    (token.clone(), user(&self.users[&token.user]))
                })))
            }
            O::TokensOf(owner, now) => told(&Ok(self.tokens_of(*owner, *now))),
            O::TouchToken(id, now) => {
                if let Some(record) = self.tokens.get_mut(id) {
                    let last = &mut record.token.last_used_at;
                    *last = Some(last.map_or(cut(*now), |known| known.max(cut(*now))));
                }
                told(&Ok(()))
            }
            O::RevokeToken(owner, id, now, event) => {
                told(&self.revoke_token(*owner, *id, *now, event))
            }
            O::CreateWorkspace(new, quota, idempotency, event) => {
                told(&self.create_workspace(new, *quota, idempotency.as_ref(), event))
            }
            O::Workspace(id) => told(&Ok(self.living().find(|workspace| workspace.id == *id))),
            O::WorkspacesOf(owner, size) => {
                in_pages(&self.newest(|workspace| workspace.owner == *owner), *size)
            }
            O::WorkspacesIn(organization, size) => {
                let found = self.newest(|workspace| workspace.organization == *organization);
                in_pages(&found, *size)
            }
            O::AllWorkspaces => {
                let mut all = self.newest(|_| true);
                all.reverse();
                told(&Ok(all))
            }
            O::UpdateWorkspace(asked, event) => told(&self.update_workspace(asked, event.as_ref())),
            O::AdmitWorkspace(asked, quota, event) => {
                told(&self.admit_workspace(asked, *quota, event))
            }
            O::FinishDeletion(asked, now) => told(&self.finish_deletion(asked, *now)),
            O::DeletedWorkspace(id) => told(&Ok(self.workspaces.get(id).and_then(Self::deleted))),
            O::DeletedWorkspacesOf(owner, size) => in_pages(&self.deleted_of(*owner), *size),
            O::RestoreWorkspace(asked, quota, event) => {
                told(&self.restore_workspace(asked, *quota, event))
            }
            O::PurgeWorkspace(asked, event) => told(&self.purge_workspace(asked, event)),
            O::PortShare(workspace, port) => {
                told(&Ok(self.ports.get(&(workspace.to_string(), *port))))
            }
            O::PortSharesOf(workspace) => {
                let ports = self.ports.values();
                told(&Ok(ports
                    .filter(|share| share.workspace == *workspace)
                    .collect::<Vec<_>>()))
            }
            O::PortShareByLink(secret) => {
                let mut ports = self.ports.values();
                told(&Ok(ports.find(|share| {
                    share.links.iter().any(|link| link.secret_hash == *secret)
                })))
            }
            O::AllPortShares => told(&Ok(self.ports.values().collect::<Vec<_>>())),
            O::PutPortShare(share, event) => told(&self.put_port_share(share, event)),
            O::AppendAudit(event) => told(&self.append_audit(event)),
            O::AuditEvents(size) => {
                let newest_first: Vec<_> = self.log.iter().rev().collect();
                in_pages(&newest_first, *size)
            }
            O::Freeze(by) => told(&self.freeze(*by)),
            O::Thaw(by) => {
                let is_ours = self.frozen_by == Some(*by);
                if is_ours {
                    self.frozen_by = None;
                }
                told(&Ok(is_ours))
            }
            O::Retire(by, place) => told(&self.retire(*by, place)),
            O::MovedTo => told(&Ok(&self.moved_to)),
            O::Reinstate => {
                self.moved_to = None;
                told(&Ok(()))
            }
        }
    }

    /// Returns everything, as [`super::dump`] does.
    pub(super) fn dump(&self) -> Vec<Record> {
        let users = self.users.values().cloned().map(Record::User);
        let setup = self.setup_secret.map(|(secret_hash, created_at)| {
            Record::SetupSecret(SetupSecretRecord {
                secret_hash,
                created_at,
            })
        });
        let sessions = self.sessions.values().cloned().map(Record::Session);
        let tokens = self.tokens.values().cloned().map(Record::Token);
        let mut workspaces: Vec<_> = self.workspaces.values().cloned().collect();
        workspaces.sort_by_key(|row| row.workspace.id.to_string());
        let workspaces = workspaces
            .into_iter()
            .map(|row| Record::Workspace(Box::new(row)));
        let log = (1..)
            .zip(&self.log)
            .map(|(sequence, event)| Record::AuditEvent {
                sequence,
                event: event.clone(),
            });
        let ports = self.ports.values().cloned();
        let ports = ports.map(|share| Record::PortShare(Box::new(share)));
        let all = users.chain(setup).chain(sessions).chain(tokens);
        all.chain(workspaces).chain(ports).chain(log).collect()
    }
}
