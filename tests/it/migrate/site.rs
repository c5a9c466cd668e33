//! A store to move, and the executable to move it with.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{AuditId, OrganizationId, SessionId, UserId};
use kalpana_domain::organization::Organization;
use kalpana_domain::user::{EmailAddress, Role};
use kalpana_store::mongo::MongoStore;
use kalpana_store::records::Session;
use kalpana_store::sqlite::SqliteStore;
use kalpana_store::transfer::{Collection, Incoming, Record, SessionRecord, UserRecord};
use kalpana_store::{OpenMode, Store};
use kalpana_test_mongodb::Database;
use kalpana_tests::world::executable;
use nix::errno::Errno;
use nix::unistd::{Uid, chown};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a run may take on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(240);

/// Where one store is, as `[store]` names it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Sqlite(std::path::PathBuf),
    Mongodb { uri: String, name: String },
}

impl Place {
    pub(crate) fn file(folder: &Path, name: &str) -> Self {
        Self::Sqlite(folder.join(name))
    }

    /// Names a database on the server of another, which must be kept meanwhile.
    pub(crate) fn database(database: &Database) -> Self {
        Self::Mongodb {
            uri: database.uri().to_owned(),
            name: format!("{}_{:08x}", database.name(), rand::random::<u32>()),
        }
    }

    /// Writes it as the command line does.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Mongodb { uri, .. } => uri.clone(),
        }
    }

    pub(crate) async fn open(&self, mode: OpenMode) -> anyhow::Result<Store> {
        let mut settings = kalpana_config::Store::default();
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path, &settings, mode).await?),
            Self::Mongodb { uri, name } => {
                settings.mongodb.uri = Some(kalpana_config::Secret::new(uri.clone()));
                settings.mongodb.database.clone_from(name);
                Arc::new(MongoStore::open(&settings, mode, None).await?)
            }
        })
    }

    /// Makes a store of so many people, each signed in, and twice as many audit events.
    pub(crate) async fn fill(&self, people: usize) -> anyhow::Result<()> {
        let store = self.open(OpenMode::Receive).await?;
        let incoming = Incoming {
            from: uuid::Uuid::new_v4(),
            started_at: Timestamp::UNIX_EPOCH,
        };
        store.begin_incoming(incoming).await?;
        let organization = Organization {
            id: OrganizationId::generate(),
            slug: Organization::DEFAULT_SLUG.to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let users: Vec<UserRecord> = (0..people).map(|_| user(organization.id)).collect();
        let sessions = users.iter().map(|user| session(user.id)).collect();
        let events = (1..=2 * people as u64).map(event).collect();
        store
            .import(vec![Record::Organization(organization)])
            .await?;
        store
            .import(users.into_iter().map(Record::User).collect())
            .await?;
        store.import(sessions).await?;
        store.import(events).await?;
        Ok(store.complete_incoming().await?)
    }

    /// Returns everything that is there.
    pub(crate) async fn dump(&self) -> anyhow::Result<Vec<Record>> {
        let store = self.open(OpenMode::Use).await?;
        let mut all = Vec::new();
        for collection in Collection::ALL {
            all.extend(store.export(collection, None, 100_000).await?);
        }
        Ok(all)
    }

    /// Removes a database that a shared server would keep.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        if let Self::Mongodb { uri, name } = self {
            let client = mongodb::Client::with_uri_str(uri).await?;
            client.database(name).drop().await?;
        }
        Ok(())
    }
}

fn user(organization: OrganizationId) -> UserRecord {
    let id = UserId::generate();
    UserRecord {
        id,
        email: EmailAddress::parse(&format!("{id}@example.com")).expect("legal"),
        name: "Ada \u{1f980}".to_owned(),
        password_hash: "$argon2id$".to_owned(),
        organization,
        role: Role::Member,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn session(user: UserId) -> Record {
    Record::Session(SessionRecord {
        session: Session {
            id: SessionId::generate(),
            user,
            secret_hash: rand::random(),
            created_at: Timestamp::UNIX_EPOCH,
            last_used_at: Timestamp::UNIX_EPOCH,
            // The database's own clock must not end it.
            expires_at: Timestamp::from_second(4_000_000_000).expect("in range"),
            address: None,
            user_agent: None,
        },
        ended_at: None,
    })
}

fn event(sequence: u64) -> Record {
    Record::AuditEvent {
        sequence,
        event: AuditEvent {
            id: AuditId::generate(),
            at: Timestamp::UNIX_EPOCH,
            organization: None,
            actor: Actor::System,
            action: AuditAction::SessionRefuse,
            subject: "subject".to_owned(),
            address: None,
            request_id: None,
        },
    }
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A user and group id that nobody has. Root would become the user of a site that is not there.
const UNPRIVILEGED: u32 = 61_234;

/// Gives a folder and the files in it to who runs the executable.
fn hand_over(folder: &Path) -> anyhow::Result<()> {
    let (user, group) = (Some(UNPRIVILEGED.into()), Some(UNPRIVILEGED.into()));
    chown(folder, user, group)?;
    for entry in std::fs::read_dir(folder)? {
        match chown(&entry?.path(), user, group) {
            // SQLite's own files come and go.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns `kalpana migrate` with settings that name a folder and the database of a place.
fn command(folder: &Path, database: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = if Uid::effective().is_root() {
        hand_over(folder)?;
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={UNPRIVILEGED}"));
        command.arg(format!("--regid={UNPRIVILEGED}"));
        command.args(["--clear-groups", "--"]);
        command.arg(executable()?);
        command
    } else {
        Command::new(executable()?)
    };
    command
        .arg("migrate")
        .args(arguments)
        .args(["--set", &format!("server.data_dir={}", folder.display())])
        .args(["--set", &format!("store.mongodb.database={database}")])
        .env_clear()
        .envs(std::env::var("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Runs it to its end.
pub(crate) async fn run(folder: &Path, database: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
    let output = command(folder, database, arguments)?.output();
    let output = tokio::time::timeout(RUN_LIMIT, output)
        .await
        .context("it does not end")??;
    Ok(Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A move between two places.
pub(crate) struct Move<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) from: Place,
    pub(crate) to: Place,
}

impl Move<'_> {
    fn database(&self) -> &str {
        match (&self.from, &self.to) {
            (Place::Mongodb { name, .. }, _) | (_, Place::Mongodb { name, .. }) => name,
            _ => "kalpana",
        }
    }

    fn arguments(&self) -> [String; 4] {
        let (from, to) = (self.from.text(), self.to.text());
        ["--from".to_owned(), from, "--to".to_owned(), to]
    }

    /// Starts it.
    pub(crate) fn start(&self) -> anyhow::Result<Child> {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(command(self.folder, self.database(), &arguments)?.spawn()?)
    }

    /// Starts it and kills it at the first line of its progress that begins like this. Tells
    /// whether there was one.
    pub(crate) async fn kill_at(&self, begin: &str) -> anyhow::Result<bool> {
        let mut process = self.start()?;
        let stderr = process.stderr.take().context("piped")?;
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await? {
            if line.starts_with(begin) {
                process.kill().await?;
                return Ok(true);
            }
        }
        process.wait().await?;
        Ok(false)
    }

    /// Runs it to its end with further arguments.
    pub(crate) async fn run(&self, further: &[&str]) -> anyhow::Result<Ran> {
        let arguments = self.arguments();
        let own: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(self.folder, self.database(), &[&own[..], further].concat()).await
    }

    /// Runs it to its end and makes sure that the new place has what the old one has.
    pub(crate) async fn finish(&self) -> anyhow::Result<()> {
        let ran = self.run(&[]).await?;
        ensure!(ran.code == 0, "exit code {}: {}", ran.code, ran.stderr);
        let (old, new) = (self.from.dump().await?, self.to.dump().await?);
        ensure!(old == new, "the places differ; {}", ran.stderr);
        Ok(())
    }
}
