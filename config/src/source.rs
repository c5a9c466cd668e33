//! Where values come from, and errors that say so.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

use crate::Config;
use crate::validate::Problems;

/// Variables with this prefix set values: `KALPANA_GATEWAY__LISTEN` sets `gateway.listen`.
pub const ENVIRONMENT_PREFIX: &str = "KALPANA_";

const SECTIONS: [&str; 8] = [
    "server",
    "gateway",
    "certs",
    "store",
    "auth",
    "orchestrator",
    "web",
    "telemetry",
];

/// Why the configuration could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The named file is not there or not readable.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key is unknown or a value has the wrong shape.
    #[error("{message}")]
    Shape {
        /// Which, where it came from, and what was expected.
        message: String,
    },
    /// Values have the right shape but are wrong.
    #[error("{problems}")]
    Invalid {
        /// Every mistake.
        problems: Problems,
    },
}

pub(crate) fn load(
    file: Option<&Path>,
    overrides: &[(String, String)],
) -> Result<Config, LoadError> {
    let mut layers = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        // Read by us and not by figment, which passes over a file that is not there.
        layers = layers.merge(NamedToml {
            path: path.to_owned(),
            text,
        });
    }
    // Only names with a section: KALPANA_URL and KALPANA_TOKEN belong to the command line.
    let environment = Env::prefixed(ENVIRONMENT_PREFIX)
        .filter(|name| {
            let name = name.as_str().to_ascii_lowercase();
            name.split_once("__")
                .is_some_and(|(section, _)| SECTIONS.contains(&section))
        })
        .split("__");
    layers = layers.merge(environment);
    for (path, value) in overrides {
        let value: figment::value::Value =
            match toml::from_str::<toml::Table>(&format!("v = {value}")) {
                Ok(mut table) => {
                    figment::value::Value::serialize(table.remove("v")).map_err(|error| {
                        LoadError::Shape {
                            message: error.to_string(),
                        }
                    })?
                }
                Err(_) => figment::value::Value::from(value.as_str()),
            };
        layers = layers.merge((path.as_str(), value));
    }
    let config: Config = layers.extract().map_err(|error| LoadError::Shape {
        message: describe(error),
    })?;
    let problems = config.validate();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(LoadError::Invalid { problems })
    }
}

/// A TOML text that errors can name by its file.
struct NamedToml {
    path: PathBuf,
    text: String,
}

impl figment::Provider for NamedToml {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.path.display().to_string())
    }

    fn data(
        &self,
    ) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        Toml::string(&self.text).data()
    }
}

/// Writes every mistake figment found as `path: what (where)`.
fn describe(errors: figment::Error) -> String {
    let describe_one = |error: figment::Error| {
        let path = error.path.join(".");
        let place = match &error.metadata {
            Some(metadata) if metadata.name.contains("environment") => {
                let keys: Vec<&str> = error.path.iter().map(String::as_str).collect();
                format!(
                    " (from {ENVIRONMENT_PREFIX}{})",
                    keys.join("__").to_uppercase()
                )
            }
            Some(metadata) => format!(" (in {})", metadata.name),
            None => String::new(),
        };
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}: ")
        };
        format!("{prefix}{}{place}", error.kind)
    };
    errors
        .into_iter()
        .map(describe_one)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn nothing_set_gives_the_defaults_and_the_defaults_are_valid() {
        assert_eq!(load(None, &[]).expect("valid"), Config::default());
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = file("[server]\ndomain = \"file.example\"\n[gateway]\nthreads = 3\n");
        let overrides = [("server.domain".to_owned(), "flag.example".to_owned())];
        let config = load(Some(file.path()), &overrides).expect("valid");
        assert_eq!(config.server.domain, "flag.example");
        assert_eq!(config.gateway.threads, 3);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file() {
        let file = file("[gateway]\nlisten_on = \"0.0.0.0:443\"\n");
        let message = load(Some(file.path()), &[])
            .expect_err("unknown key")
            .to_string();
        assert!(message.contains("listen_on"), "{message}");
        assert!(
            message.contains(&file.path().display().to_string()),
            "{message}"
        );
    }

    #[test]
    fn every_invalid_value_is_listed_with_its_path() {
        let file = file(
            "[server]\ndomain = \"UPPER\"\n[orchestrator]\negress = \"some\"\nsubnet_pool = \"8.8.8.0/24\"\n",
        );
        let message = load(Some(file.path()), &[])
            .expect_err("invalid")
            .to_string();
        for path in [
            "server.domain",
            "orchestrator.egress",
            "orchestrator.subnet_pool",
        ] {
            assert!(message.contains(path), "{path} missing from {message}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let path = Path::new("/nonexistent/kalpana.toml");
        assert!(matches!(load(Some(path), &[]), Err(LoadError::Read { .. })));
    }
}
