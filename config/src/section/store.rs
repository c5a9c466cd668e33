//! `[store]`: what is remembered, and where.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::units::Span;
use crate::validate::Scope;

/// What is remembered, and where: in a SQLite file, or in MongoDB once store.mongodb.uri is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file. Default: `<data_dir>/store/kalpana.sqlite3`.
    pub path: Option<PathBuf>,
    /// How long a write waits for another process's write. Default: 5s.
    pub busy_timeout: Span,
    /// Connections for reading, per process. Default: 4.
    pub readers: usize,
    /// How often to look for what other processes wrote, where the database does not tell by
    /// itself (SQLite; MongoDB without change streams). Default: 1s.
    pub poll_interval: Span,
    /// How long an operation may take before it is given up. Default: 10s.
    pub operation_timeout: Span,
    /// The MongoDB database, for sites with more than one machine.
    pub mongodb: Mongodb,
}

/// `[store.mongodb]`: a MongoDB replica set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mongodb {
    /// Where it is: `mongodb://host1,host2/?replicaSet=rs0` or `mongodb+srv://host`. Set, it is used
    /// instead of SQLite. May hold a user and a password; better in the settings below.
    pub uri: Option<Secret<String>>,
    /// The database's name on the server. Default: kalpana.
    pub database: String,
    /// The user to sign in as (SCRAM-SHA-256), instead of one in the URI.
    pub username: Option<String>,
    /// A file whose first line is that user's password.
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) that the server's must be signed by, instead of the public ones. Turns
    /// TLS on.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key (PEM) to show to the server. Turns TLS on; signs in with it
    /// (X.509) when the URI says `authMechanism=MONGODB-X509`.
    pub certificate_file: Option<PathBuf>,
    /// Connections, per process. Default: 32.
    pub pool_size: u32,
    /// How long to look for a server before an operation is refused. Default: 3s.
    pub connect_timeout: Span,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: None,
            busy_timeout: Span::seconds(5),
            readers: 4,
            poll_interval: Span::seconds(1),
            operation_timeout: Span::seconds(10),
            mongodb: Mongodb::default(),
        }
    }
}

impl Default for Mongodb {
    fn default() -> Self {
        Self {
            uri: None,
            database: "kalpana".to_owned(),
            username: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            pool_size: 32,
            connect_timeout: Span::seconds(3),
        }
    }
}

impl Store {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        if let Some(path) = &self.path {
            problems.require(path.is_absolute(), "path", "must be an absolute path");
        }
        problems.require(
            (1..=64).contains(&self.readers),
            "readers",
            "must be from 1 to 64",
        );
        problems.require(
            (1..=60).contains(&self.busy_timeout.0.as_secs()),
            "busy_timeout",
            "must be from 1s to 60s",
        );
        problems.require(
            (100..=60_000).contains(&self.poll_interval.0.as_millis()),
            "poll_interval",
            "must be from 100ms to 60s",
        );
        problems.require(
            (1..=120).contains(&self.operation_timeout.0.as_secs()),
            "operation_timeout",
            "must be from 1s to 120s",
        );
        self.mongodb.validate(problems);
    }
}

impl Mongodb {
    /// Longest database name, in bytes. Source: MongoDB's limits on names.
    const DATABASE_LIMIT: usize = 63;

    fn validate(&self, problems: &mut Scope<'_>) {
        if let Some(uri) = &self.uri {
            let uri = uri.expose();
            problems.require(
                uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://"),
                "mongodb.uri",
                "must begin with mongodb:// or mongodb+srv://",
            );
        }
        let is_name = (1..=Self::DATABASE_LIMIT).contains(&self.database.len())
            && self
                .database
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        problems.require(
            is_name && !["admin", "local", "config"].contains(&self.database.as_str()),
            "mongodb.database",
            "must be 1 to 63 letters, digits, '-' and '_', and not admin, local or config",
        );
        problems.require(
            self.username.is_some() == self.password_file.is_some(),
            "mongodb.password_file",
            "must be set together with mongodb.username",
        );
        for (field, path) in [
            ("mongodb.password_file", &self.password_file),
            ("mongodb.ca_file", &self.ca_file),
            ("mongodb.certificate_file", &self.certificate_file),
        ] {
            if let Some(path) = path {
                problems.require(path.is_absolute(), field, "must be an absolute path");
            }
        }
        problems.require(
            (1..=1000).contains(&self.pool_size),
            "mongodb.pool_size",
            "must be from 1 to 1000",
        );
        problems.require(
            (1..=60).contains(&self.connect_timeout.0.as_secs()),
            "mongodb.connect_timeout",
            "must be from 1s to 60s",
        );
    }
}
