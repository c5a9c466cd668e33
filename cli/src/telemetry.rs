//! Logs: text for people, JSON for programs, always on standard error.

use std::io::IsTerminal;

use anyhow::Context;
use kalpana_config::Telemetry;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Resolves the setting: `auto` is text on a terminal and JSON elsewhere.
    pub(crate) fn resolve(setting: &str) -> Self {
        match setting {
            "text" => Self::Text,
            "json" => Self::Json,
            _ if std::io::stderr().is_terminal() => Self::Text,
            _ => Self::Json,
        }
    }

    /// Returns the setting that forces this format, for child processes.
    pub(crate) fn as_setting(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Directives that come before the operator's, which win over them. Pingora tells of every
/// connection that breaks off as an error; the gateway's own access log says what mattered.
const QUIET: &str = "pingora_core=off,pingora_proxy=off,rusqlite_migration=warn";

/// Starts logging.
///
/// # Errors
/// If `telemetry.log` is not a filter, or logging was started before.
pub(crate) fn start(telemetry: &Telemetry) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{}", telemetry.log))
        .with_context(|| format!("telemetry.log: {:?} is not a log filter", telemetry.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match LogFormat::resolve(&telemetry.log_format) {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}
