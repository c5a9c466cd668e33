//! `[store]`: what is remembered, and where.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::Span;
use crate::validate::Scope;

/// What is remembered, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file. Default: `<data_dir>/store/kalpana.sqlite3`.
    pub path: Option<PathBuf>,
    /// How long a write waits for another process's write. Default: 5s.
    pub busy_timeout: Span,
    /// Connections for reading, per process. Default: 4.
    pub readers: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: None,
            busy_timeout: Span::seconds(5),
            readers: 4,
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
    }
}
