//! One of everything that a store may hold, and more where that is of interest.

use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{
    AuditId, Generation, LinkId, OrganizationId, SessionId, SnapshotId, TokenId, UserId,
    WorkspaceId,
};
use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::organization::Organization;
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::sharing::{AccessRequest, LinkPath, PortShare, Rule, ShareLink, SharingLevel};
use kalpana_domain::sleep::{IdleTime, SleepPolicy};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::user::{EmailAddress, Role, Scope};
use kalpana_domain::workspace::{Desired, Egress, Size, Spec, Workspace, WorkspaceName};
use kalpana_store::records::{NewUser, SealedCopy, Session, Token};
use kalpana_store::transfer::{
    IdempotencyKeyRecord, Record, SessionRecord, SetupSecretRecord, TokenRecord, UserRecord,
    WorkspaceRecord,
};

/// Text that means something to some program on the way.
const HOSTILE: [&str; 12] = [
    "",
    "/",
    "a/b",
    "Z",
    "a",
    "nul\0nul",
    "'; DROP TABLE users; --",
    "{\"$where\": \"sleep(9)\"}",
    "$set.a.b",
    "\u{202e}right to left\u{feff}",
    "\u{ffff}last of its plane",
    "\u{1f980} crab \u{10ffff}",
];

/// Far ahead, because what is over by the database's own clock may be removed at any moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(4_000_000_000 + seconds).expect("in range")
}

fn hash() -> [u8; 32] {
    rand::random()
}

pub(crate) fn event(subject: &str) -> AuditEvent {
    AuditEvent {
        id: AuditId::generate(),
        at: at(0),
        organization: None,
        actor: Actor::System,
        action: AuditAction::SessionRefuse,
        subject: subject.to_owned(),
        address: None,
        request_id: None,
    }
}

pub(crate) fn new_user() -> NewUser {
    let id = UserId::generate();
    NewUser {
        id,
        email: EmailAddress::parse(&format!("{id}@example.com")).expect("legal"),
        name: "Ada".to_owned(),
        role: Role::Member,
        password_hash: "$argon2id$".to_owned(),
        created_at: at(0),
    }
}

pub(crate) fn session(user: UserId) -> Session {
    Session {
        id: SessionId::generate(),
        user,
        secret_hash: hash(),
        created_at: at(0),
        last_used_at: at(1),
        expires_at: at(100_000),
        address: None,
        user_agent: None,
    }
}

fn lifecycles() -> [(Lifecycle, Desired); 7] {
    // Times inside a state are kept as they are, finer than the store's own.
    let since = Timestamp::new(4_000_000_000, 123_456_789).expect("in range");
    let reason = FailureReason::new(FailureCode::CloneFailed, "no\0 such \u{1f980}");
    [
        (Lifecycle::Stopped, Desired::Stopped),
        (Lifecycle::Starting { since }, Desired::Running),
        (Lifecycle::Running { since }, Desired::Running),
        (Lifecycle::Paused { since }, Desired::Running),
        (Lifecycle::Stopping { since }, Desired::Stopped),
        (Lifecycle::Failed { at: since, reason }, Desired::Running),
        (Lifecycle::Deleting { since }, Desired::Deleted),
    ]
}

fn workspace(user: &UserRecord, number: usize) -> WorkspaceRecord {
    let [lifecycle, ..] = &lifecycles()[number % 7..] else {
        unreachable!("there are seven")
    };
    let (lifecycle, mut desired) = lifecycle.clone();
    // Every third is a tombstone, and every other of these was given up.
    if number % 6 == 3 {
        desired = Desired::Purged;
    }
    let is_bare = number.is_multiple_of(2);
    let url = "https://git.example.com/team/%F0%9F%A6%80.git?a=b";
    WorkspaceRecord {
        workspace: Workspace {
            id: WorkspaceId::from_random(rand::random()),
            organization: user.organization,
            owner: user.id,
            spec: Spec {
                name: WorkspaceName::parse("My project").expect("legal"),
                repository: (!is_bare).then(|| RepositoryUrl::parse(url).expect("legal")),
                branch: (!is_bare).then(|| BranchName::parse("feature/\u{1f980}").expect("legal")),
                size: Size::Small,
                egress: Egress::Open,
            },
            sleep: SleepPolicy {
                pause_after: IdleTime::from_seconds(60 * number as u32 % 3600).ok(),
                stop_after: None,
                archive_after: (!is_bare).then_some(IdleTime::NEVER),
                stays_asleep: is_bare,
            },
            filled_from: is_bare.then(|| SnapshotRef {
                workspace: WorkspaceId::from_random(rand::random()),
                snapshot: SnapshotId::generate(),
            }),
            desired,
            lifecycle,
            generation: Generation(number as u64),
            version: number as u64 + 1,
            created_at: at(number as i64),
            updated_at: at(number as i64 + 1),
        },
        deleted_at: number.is_multiple_of(3).then(|| at(9)),
    }
}

/// Returns how two ports of a workspace are shared: a little, and in every way there is.
fn shares(workspace: WorkspaceId, user: UserId, number: usize) -> [Record; 2] {
    let asked_at = Timestamp::new(4_000_000_000, 123_456_789).expect("in range");
    let plain = PortShare {
        rule: Rule {
            level: SharingLevel::ALL[number % 5],
            ..Rule::default()
        },
        requests: vec![AccessRequest { user, asked_at }],
        version: 1,
        updated_at: at(1),
        ..PortShare::blank(workspace, 1024)
    };
    let link = ShareLink {
        id: LinkId::generate(),
        secret_hash: hash(),
        path: LinkPath::parse("/docs/a~b").expect("legal"),
        is_one_use: number.is_multiple_of(2),
        created_at: at(1),
        expires_at: at(1000),
        used_at: number.is_multiple_of(2).then_some(asked_at),
    };
    let full = PortShare {
        rule: Rule {
            level: SharingLevel::Link,
            members: vec![user, UserId::from_bytes([9; 16])],
            expires_at: Some(at(1000)),
            generation: Some(Generation(number as u64)),
        },
        links: vec![link],
        port: 65_535,
        ..plain.clone()
    };
    [plain, full].map(|share| Record::PortShare(Box::new(share)))
}

/// Returns a whole store's records; what they refer to comes before them.
pub(crate) fn everything() -> Vec<Record> {
    let organization = |slug: &str| Organization {
        id: OrganizationId::generate(),
        slug: slug.to_owned(),
        created_at: at(0),
    };
    let (main, other) = (
        organization(Organization::DEFAULT_SLUG),
        organization("other"),
    );
    let users: Vec<UserRecord> = HOSTILE
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let new = new_user();
            UserRecord {
                id: new.id,
                email: new.email,
                name: (*text).to_owned(),
                password_hash: format!("$argon2id${text}"),
                organization: if number == 3 { other.id } else { main.id },
                role: if number == 0 {
                    Role::Administrator
                } else {
                    Role::Member
                },
                created_at: at(number as i64),
            }
        })
        .collect();
    let mut records = vec![Record::Organization(main), Record::Organization(other)];
    records.extend(users.iter().cloned().map(Record::User));
    records.push(Record::SetupSecret(SetupSecretRecord {
        secret_hash: hash(),
        created_at: at(0),
    }));
    for (number, (user, text)) in users.iter().zip(HOSTILE).enumerate() {
        let is_odd = number % 2 == 1;
        let session = Session {
            address: is_odd.then(|| "2001:db8::1".to_owned()),
            user_agent: is_odd.then(|| text.to_owned()),
            ..session(user.id)
        };
        records.push(Record::Session(SessionRecord {
            session,
            ended_at: is_odd.then(|| at(7)),
        }));
        records.push(Record::Token(TokenRecord {
            token: Token {
                id: TokenId::generate(),
                user: user.id,
                secret_hash: hash(),
                name: text.to_owned(),
                scopes: vec![Scope::WorkspaceRead, Scope::WorkspaceDelete],
                created_at: at(0),
                expires_at: at(1000),
                last_used_at: is_odd.then(|| at(3)),
            },
            revoked_at: (!is_odd).then(|| at(5)),
        }));
        records.push(Record::SealedCopy(SealedCopy {
            name: format!("c/{text}"),
            contents: hash().to_vec(),
            version: number as u64 + 1,
            updated_at: at(number as i64),
        }));
        let workspace = workspace(user, number);
        records.push(Record::IdempotencyKey(IdempotencyKeyRecord {
            user: users[0].id,
            key: text.to_owned(),
            request_hash: hash(),
            workspace: workspace.workspace.id,
            expires_at: at(3600),
        }));
        if workspace.deleted_at.is_none() {
            records.extend(shares(workspace.workspace.id, user.id, number));
        }
        records.push(Record::Workspace(Box::new(workspace)));
        records.push(Record::AuditEvent {
            // Numbers are missing, as after writes that did not come to their end.
            sequence: 1 + 3 * number as u64,
            event: AuditEvent {
                organization: is_odd.then_some(user.organization),
                actor: if is_odd {
                    Actor::Console
                } else {
                    Actor::Anonymous
                },
                address: is_odd.then(|| "192.0.2.1".to_owned()),
                request_id: is_odd.then(|| text.to_owned()),
                ..event(text)
            },
        });
    }
    records
}
