//! `make bench-store`: both stores beside their bare drivers, and moving 100,000 records between
//! them.
//!
//! SQLite is in a file on the disk of the temporary directory, MongoDB whatever
//! `KALPANA_TEST_MONGODB_URI` names, else SecantusDB, which is written in Python: its times are its
//! own and not MongoDB's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures_util::TryStreamExt;
use kalpana_bench::{Figure, Pairs, report};
use kalpana_config::Secret;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::{AuditId, SessionId, UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::user::{EmailAddress, Role, User};
use kalpana_domain::workspace::{Egress, Size, Spec, Workspace, WorkspaceName};
use kalpana_store::mongo::MongoStore;
use kalpana_store::records::{NewUser, NewWorkspace, Session};
use kalpana_store::sqlite::SqliteStore;
use kalpana_store::transfer::mover::{Mover, Pace};
use kalpana_store::transfer::{Incoming, Record, SessionRecord, UserRecord, WorkspaceRecord};
use kalpana_store::{OpenMode, Store};
use kalpana_test_mongodb::Database;
use mongodb::bson::{Document, doc};
use rusqlite::{Connection, TransactionBehavior};
use tokio_util::sync::CancellationToken;

/// Workspaces there are, and rows of the list that is measured.
const WORKSPACES: usize = 1000;

/// Records that are moved.
const RECORDS: usize = 100_000;

/// Places in one import while filling.
const PAGE: usize = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let database = Database::fresh().await?;
    let server = database.driver().await?;
    let info = server.run_command(doc! { "buildInfo": 1 }).await?;
    let version = info.get_str("version").unwrap_or("?");
    let is_surrogate = std::env::var_os("KALPANA_TEST_MONGODB_URI").is_none();
    let name = if is_surrogate {
        "SecantusDB".to_owned()
    } else {
        format!("MongoDB {version}")
    };
    let mut figures = sqlite(&folder.path().join("a/kalpana.sqlite3")).await?;
    figures.extend(mongodb(&database, &server, &name).await?);
    figures.extend(migration(folder.path(), &name).await?);
    report("store", &figures)
}

fn settings(database: &Database) -> kalpana_config::Store {
    let mut settings = kalpana_config::Store::default();
    settings.mongodb.uri = Some(Secret::new(database.uri().to_owned()));
    database.name().clone_into(&mut settings.mongodb.database);
    settings
}

async fn open_sqlite(path: &Path, mode: OpenMode) -> anyhow::Result<Store> {
    let settings = kalpana_config::Store::default();
    Ok(Arc::new(SqliteStore::open(path, &settings, mode).await?))
}

async fn open_mongodb(database: &Database, mode: OpenMode) -> anyhow::Result<Store> {
    Ok(Arc::new(
        MongoStore::open(&settings(database), mode, None).await?,
    ))
}

fn event() -> AuditEvent {
    AuditEvent {
        id: AuditId::generate(),
        at: SystemClock.now(),
        organization: None,
        actor: Actor::System,
        action: AuditAction::WorkspaceCreate,
        subject: "subject".to_owned(),
        address: Some("192.0.2.1".to_owned()),
        request_id: Some("request".to_owned()),
    }
}

fn new_user(number: usize) -> anyhow::Result<NewUser> {
    Ok(NewUser {
        id: UserId::generate(),
        email: EmailAddress::parse(&format!("user{number}@example.com"))?,
        name: format!("User {number}"),
        role: Role::Member,
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
        created_at: SystemClock.now(),
    })
}

fn new_workspace(owner: &User) -> anyhow::Result<NewWorkspace> {
    Ok(NewWorkspace {
        id: WorkspaceId::from_random(rand::random()),
        organization: owner.organization,
        owner: owner.id,
        spec: Spec {
            name: WorkspaceName::parse("My project")?,
            repository: None,
            branch: None,
            size: Size::Small,
            egress: Egress::Open,
        },
        filled_from: None,
        created_at: SystemClock.now(),
    })
}

/// Makes the workspaces that are read and listed.
async fn populate(store: &Store) -> anyhow::Result<Vec<Workspace>> {
    let ada = store.create_user(new_user(0)?, event()).await?;
    let quota = Quota {
        workspaces: u32::MAX,
    };
    let mut made = Vec::new();
    for _ in 0..WORKSPACES {
        let new = new_workspace(&ada)?;
        made.push(store.create_workspace(new, quota, None, event()).await?);
    }
    Ok(made)
}

/// Writes a workspace with its event, again and again.
async fn write(store: &Store, workspace: &mut Workspace) -> anyhow::Result<()> {
    *workspace = store.update_workspace(workspace, Some(event())).await?;
    Ok(())
}

async fn sqlite(path: &Path) -> anyhow::Result<Vec<Figure>> {
    let store = open_sqlite(path, OpenMode::Migrate).await?;
    let made = populate(&store).await?;
    let mut bare = Connection::open(path)?;
    bare.pragma_update(None, "synchronous", "FULL")?;
    let one = "SELECT * FROM workspaces WHERE id = ?1";
    let ours = async |round: usize| {
        let id = made[round % WORKSPACES].id;
        store.workspace(id).await?.context("there")?;
        Ok(())
    };
    let peer = async |round: usize| {
        let id = made[round % WORKSPACES].id;
        let mut statement = bare.prepare_cached(one)?;
        statement.query_row([id.as_str()], |row| row.get::<_, String>("lifecycle"))?;
        Ok(())
    };
    let reads = Pairs::measure(5000, ours, peer).await?;

    let all = "SELECT * FROM workspaces WHERE deleted_at IS NULL ORDER BY created_at, id";
    let ours = async |_| {
        anyhow::ensure!(store.all_workspaces().await?.len() == WORKSPACES);
        Ok(())
    };
    let peer = async |_| {
        let mut statement = bare.prepare_cached(all)?;
        let rows = statement.query_map([], |row| row.get::<_, String>("lifecycle"))?;
        anyhow::ensure!(rows.count() == WORKSPACES);
        Ok(())
    };
    let lists = Pairs::measure(100, ours, peer).await?;

    let (mut first, second) = (made[0].clone(), made[1].id);
    let ours = async |_| write(&store, &mut first).await;
    let peer = async |_| {
        let event = event();
        let transaction = bare.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "UPDATE workspaces SET version = version + 1 WHERE id = ?1",
            [second.as_str()],
        )?;
        transaction.execute(
            "INSERT INTO audit_events (id, at, actor, action, subject) VALUES (?1, 0, '\"system\"', ?2, ?3)",
            (event.id.to_string(), event.action.as_str(), event.subject),
        )?;
        Ok(transaction.commit()?)
    };
    let writes = Pairs::measure(1000, ours, peer).await?;
    Ok(vec![
        reads
            .figure("SQLite: workspace read, beside bare rusqlite", "µs", 50)
            .at_most(50.0),
        reads.figure("SQLite: workspace read, beside bare rusqlite", "µs", 99),
        writes
            .figure("SQLite: durable write and event, beside bare", "ms", 50)
            .at_most(2.0),
        writes.figure("SQLite: durable write and event, beside bare", "ms", 99),
        lists
            .figure("SQLite: list of 1,000, beside bare", "ms", 50)
            .at_most(20.0),
    ])
}

async fn mongodb(
    database: &Database,
    bare: &mongodb::Database,
    name: &str,
) -> anyhow::Result<Vec<Figure>> {
    let store = open_mongodb(database, OpenMode::Migrate).await?;
    let made = populate(&store).await?;
    let workspaces = bare.collection::<Document>("workspaces");
    let events = bare.collection::<Document>("benchEvents");
    let ours = async |round: usize| {
        let id = made[round % WORKSPACES].id;
        store.workspace(id).await?.context("there")?;
        Ok(())
    };
    let peer = async |round: usize| {
        let id = made[round % WORKSPACES].id;
        let found = workspaces.find_one(doc! { "_id": id.as_str() }).await?;
        found.context("there")?;
        Ok(())
    };
    let reads = Pairs::measure(2000, ours, peer).await?;

    let ours = async |_| {
        anyhow::ensure!(store.all_workspaces().await?.len() == WORKSPACES);
        Ok(())
    };
    let peer = async |_| {
        let found = workspaces.find(doc! {}).await?;
        let found: Vec<Document> = found.try_collect().await?;
        anyhow::ensure!(found.len() == WORKSPACES);
        Ok(())
    };
    let lists = Pairs::measure(50, ours, peer).await?;

    let (mut first, second) = (made[0].clone(), made[1].id);
    let ours = async |_| write(&store, &mut first).await;
    let peer = async |_| {
        let mut session = bare.client().start_session().await?;
        session.start_transaction().await?;
        workspaces
            .update_one(
                doc! { "_id": second.as_str() },
                doc! { "$inc": { "version": 1_i64 } },
            )
            .session(&mut session)
            .await?;
        let event = doc! { "_id": AuditId::generate().to_string() };
        events.insert_one(event).session(&mut session).await?;
        Ok(session.commit_transaction().await?)
    };
    let writes = Pairs::measure(300, ours, peer).await?;
    let cell = |what: &str| format!("{name}: {what}, beside the bare driver");
    Ok(vec![
        reads.figure(&cell("read"), "ms", 50).at_most(1.0),
        reads.figure(&cell("read"), "ms", 99),
        writes.figure(&cell("write and event"), "ms", 50),
        lists.figure(&cell("list of 1,000"), "ms", 50).at_most(20.0),
    ])
}

/// Fills a fresh store with [`RECORDS`] records, most of them of the log.
async fn fill(path: &Path) -> anyhow::Result<()> {
    let scratch = open_sqlite(&path.with_extension("model"), OpenMode::Migrate).await?;
    let ada = scratch.create_user(new_user(0)?, event()).await?;
    let quota = Quota { workspaces: 1 };
    let made = scratch
        .create_workspace(new_workspace(&ada)?, quota, None, event())
        .await?;
    let organizations = scratch
        .export(kalpana_store::transfer::Collection::Organizations, None, 1)
        .await?;

    let store = open_sqlite(path, OpenMode::Receive).await?;
    let incoming = Incoming {
        from: scratch.store_id().await?,
        started_at: SystemClock.now(),
    };
    store.begin_incoming(incoming).await?;
    let (users, sessions, workspaces) = (RECORDS / 100, RECORDS / 20, RECORDS / 20);
    let log = RECORDS - users - sessions - workspaces - organizations.len();
    store.import(organizations).await?;
    let mut ids = Vec::new();
    let mut records = Vec::new();
    for number in 0..users {
        let new = new_user(number)?;
        ids.push(new.id);
        records.push(Record::User(UserRecord {
            id: new.id,
            email: new.email,
            name: new.name,
            password_hash: new.password_hash,
            organization: ada.organization,
            role: new.role,
            created_at: new.created_at,
        }));
    }
    import(&store, records).await?;
    let now = Timestamp::from_millisecond(SystemClock.now().as_millisecond())?;
    let sessions = (0..sessions).map(|number| {
        let mut secret_hash = [0; 32];
        secret_hash[..8].copy_from_slice(&number.to_be_bytes());
        Record::Session(SessionRecord {
            session: Session {
                id: SessionId::generate(),
                user: ids[number % ids.len()],
                secret_hash,
                created_at: now,
                last_used_at: now,
                // Not removed by the database's own clock while it is moved.
                expires_at: now + std::time::Duration::from_secs(30 * 86_400),
                address: Some("192.0.2.1".to_owned()),
                user_agent: Some("browser".to_owned()),
            },
            ended_at: None,
        })
    });
    import(&store, sessions.collect()).await?;
    let workspaces = (0..workspaces).map(|number| {
        let workspace = Workspace {
            id: WorkspaceId::from_random(rand::random()),
            owner: ids[number % ids.len()],
            ..made.clone()
        };
        Record::Workspace(Box::new(WorkspaceRecord {
            workspace,
            deleted_at: None,
        }))
    });
    import(&store, workspaces.collect()).await?;
    let log = (1..=log as u64).map(|sequence| {
        let event = AuditEvent { at: now, ..event() };
        Record::AuditEvent { sequence, event }
    });
    import(&store, log.collect()).await?;
    Ok(store.complete_incoming().await?)
}

async fn import(store: &Store, records: Vec<Record>) -> anyhow::Result<()> {
    for part in records.chunks(PAGE) {
        store.import(part.to_vec()).await?;
    }
    Ok(())
}

async fn migration(folder: &Path, name: &str) -> anyhow::Result<Vec<Figure>> {
    let path = |name: &str| -> PathBuf { folder.join(name).join("kalpana.sqlite3") };
    fill(&path("from")).await?;
    let database = Database::fresh().await?;
    let mut figures = Vec::new();
    let there = (
        open_sqlite(&path("from"), OpenMode::Use).await?,
        open_mongodb(&database, OpenMode::Receive).await?,
    );
    figures.extend(moved(there, &format!("SQLite → {name}")).await?);
    let back = (
        open_mongodb(&database, OpenMode::Use).await?,
        open_sqlite(&path("to"), OpenMode::Receive).await?,
    );
    figures.extend(moved(back, &format!("{name} → SQLite")).await?);
    Ok(figures)
}

async fn moved((from, to): (Store, Store), way: &str) -> anyhow::Result<[Figure; 2]> {
    let mover = Mover::new(from, to, way.to_owned(), Pace::default(), SystemClock);
    let summary = mover.run(&|_| {}, &CancellationToken::new()).await?;
    let count: u64 = summary.collections.iter().map(|moved| moved.count).sum();
    anyhow::ensure!(count == RECORDS as u64, "{count} records arrived");
    let seconds = summary.took.as_secs_f64();
    let frozen = summary.frozen_for.as_secs_f64();
    Ok([
        Figure::new(format!("move {RECORDS} records, {way}"), "s", seconds).at_most(60.0),
        Figure::new(format!("writers wait meanwhile, {way}"), "s", frozen),
    ])
}
