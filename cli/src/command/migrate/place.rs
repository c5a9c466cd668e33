//! Where a store is, as the command line names it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kalpana_config::{Config, Secret, Site, Span};
use kalpana_store::guard::{Guard, Limits, Metrics};
use kalpana_store::mongo::MongoStore;
use kalpana_store::sqlite::SqliteStore;
use kalpana_store::transfer::mover;
use kalpana_store::{OpenMode, Repository, Store, StoreError};
use nix::unistd::Uid;
use prometheus::Registry;

use crate::privilege;
use crate::role::Role;

/// How long one step may take, at least: more than an operation of the site may, and longer than
/// MongoDB keeps the transaction of a run that was killed (60 s), which the next one waits for.
const OPERATION_LIMIT: Duration = Duration::from_secs(120);

/// A store's place.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A server's URI, which may hold a password.
    Mongodb(Secret<String>),
}

/// A store that is open, and what people call it.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) name: String,
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() && path.file_name().is_some() {
                Ok(Self::Sqlite(path))
            } else {
                Err("expected the absolute path of a file, as in sqlite:/var/lib/kalpana/store/kalpana.sqlite3".to_owned())
            };
        }
        if ["mongodb://", "mongodb+srv://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Ok(Self::Mongodb(Secret::new(text.to_owned())));
        }
        Err("expected sqlite:/absolute/path, mongodb://… or mongodb+srv://…".to_owned())
    }
}

impl Place {
    /// Returns the place that the configuration names.
    pub(super) fn configured(config: &Config, site: &Site) -> Self {
        match &config.store.mongodb.uri {
            Some(uri) => Self::Mongodb(uri.clone()),
            None => Self::Sqlite(site.store_path().to_owned()),
        }
    }

    /// Tells whether both are the same by their names. Not all that are look so.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => {
                let canonical = |path: &PathBuf| path.canonicalize().unwrap_or(path.clone());
                canonical(one) == canonical(other)
            }
            (Self::Mongodb(one), Self::Mongodb(other)) => {
                without_password(one.expose()) == without_password(other.expose())
            }
            _ => false,
        }
    }

    /// Returns what to call a place that is not open, without a password.
    pub(super) fn name(&self, config: &Config) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Mongodb(uri) => format!(
                "{} (database {})",
                without_password(uri.expose()),
                config.store.mongodb.database
            ),
        }
    }

    /// Returns what a shell passes on as this place, without a password.
    pub(super) fn argument(&self) -> String {
        let text = match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Mongodb(uri) => without_password(uri.expose()),
        };
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/:._,+-".contains(&byte));
        if is_plain {
            text
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    }

    /// Returns the settings below `store` that name this place, and the value of each; none is for
    /// a setting to take away.
    pub(super) fn settings(&self, config: &Config) -> Vec<(&'static str, Option<String>)> {
        match self {
            Self::Sqlite(path) => {
                let path = Some(path.display().to_string());
                let other = config.store.mongodb.uri.as_ref();
                let removal = other.map(|_| ("mongodb.uri", None));
                [("path", path)].into_iter().chain(removal).collect()
            }
            Self::Mongodb(uri) => vec![
                ("mongodb.uri", Some(without_password(uri.expose()))),
                (
                    "mongodb.database",
                    Some(config.store.mongodb.database.clone()),
                ),
            ],
        }
    }

    /// Tells whether the place was given with a user, whom its settings do not show.
    pub(super) fn has_user(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Mongodb(uri) => without_password(uri.expose()) != *uri.expose(),
        }
    }

    /// Tells whether anything is there, and makes nothing.
    pub(super) async fn exists(&self, config: &Config) -> anyhow::Result<bool> {
        let exists = match self {
            Self::Sqlite(path) => SqliteStore::exists(path).await,
            Self::Mongodb(_) => MongoStore::exists(&self.store_settings(config)).await,
        };
        exists.with_context(|| format!("cannot look at {}", self.name(config)))
    }

    /// Opens the store there.
    pub(super) async fn open(&self, config: &Config, mode: OpenMode) -> anyhow::Result<Opened> {
        let opened = self.open_plainly(config, mode).await;
        opened.map_err(|error| self.refuse(config, error))
    }

    /// Opens what is there, also when it is half filled, and makes nothing: none when there is
    /// nothing.
    pub(super) async fn look(&self, config: &Config) -> anyhow::Result<Option<Opened>> {
        if !self.exists(config).await? {
            return Ok(None);
        }
        let opened = match self.open_plainly(config, OpenMode::Use).await {
            // It was prepared long ago, so receiving has nothing to make there.
            Err(error) if mover::is_half_filled(&error) => {
                self.open_plainly(config, OpenMode::Receive).await
            }
            other => other,
        };
        let opened = opened.map_err(|error| self.refuse(config, error))?;
        Ok(Some(opened))
    }

    /// Says which place cannot be opened, and as whom this was tried where that may surprise.
    fn refuse(&self, config: &Config, error: StoreError) -> anyhow::Error {
        let mut message = format!("cannot use {}", self.name(config));
        if matches!(self, Self::Sqlite(_)) && privilege::has_role_users(Uid::effective()) {
            let user = Role::Web.user();
            message += &format!(
                "\nhint: this runs as the user {user}, as Kalpana does when root starts it: {user} \
                 must be able to write the file and its directory"
            );
        }
        anyhow::Error::new(error).context(message)
    }

    async fn open_plainly(
        &self,
        config: &Config,
        mode: OpenMode,
    ) -> kalpana_store::StoreResult<Opened> {
        let settings = self.store_settings(config);
        let limits = Limits {
            operation: settings.operation_timeout.0,
        };
        let metrics = Metrics::register(&Registry::new())?;
        let (store, name): (Arc<dyn Repository>, String) = match self {
            Self::Sqlite(path) => {
                let store = SqliteStore::open(path, &settings, mode).await?;
                (Arc::new(store), self.name(config))
            }
            Self::Mongodb(_) => {
                let store = MongoStore::open(&settings, mode, None).await?;
                let name = store.location().to_owned();
                (Arc::new(store), name)
            }
        };
        let store = Arc::new(Guard::new(store, limits, metrics));
        Ok(Opened { store, name })
    }

    /// Returns the configured settings with this place in them.
    fn store_settings(&self, config: &Config) -> kalpana_config::Store {
        let mut settings = config.store.clone();
        let limit = settings.operation_timeout.0.max(OPERATION_LIMIT);
        settings.operation_timeout = Span(limit);
        if let Self::Mongodb(uri) = self {
            settings.mongodb.uri = Some(uri.clone());
        }
        settings
    }
}

/// Takes user and password out of a URI.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let hosts = authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts);
    format!("{scheme}://{hosts}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_server() {
        for good in [
            "sqlite:/a/b.sqlite3",
            "mongodb://h",
            "mongodb+srv://h/?tls=true",
        ] {
            assert!(good.parse::<Place>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "sqlite:",
            "sqlite:a",
            "sqlite:/",
            "/a",
            "http://h",
            "postgres://h",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let uri = "mongodb://ada:canary@h1:27017,h2/?replicaSet=rs0";
        let place: Place = uri.parse().expect("a place");
        let config = Config::default();
        let shown = format!(
            "{place:?} {} {:?}",
            place.name(&config),
            place.settings(&config)
        );
        assert!(
            !shown.contains("canary") && !shown.contains("ada"),
            "{shown}"
        );
        assert!(
            shown.contains("mongodb://h1:27017,h2/?replicaSet=rs0"),
            "{shown}"
        );
        assert!(place.has_user());
        assert_eq!(without_password("mongodb://h/a@b"), "mongodb://h/a@b");
        let argument = "'mongodb://h1:27017,h2/?replicaSet=rs0'";
        assert_eq!(place.argument(), argument);
    }
}
