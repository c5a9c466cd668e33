//! `kalpana config`: check and show the configuration.

use clap::Subcommand;

use super::Settings;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the configuration and say where each mistake is
    Check(Settings),
    /// Show the configuration in force, secrets redacted
    Show(Settings),
    /// Print a sample kalpana.toml with every setting
    Sample,
    /// Print the JSON schema of kalpana.toml
    Schema,
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(settings) => {
                settings.load()?;
                output::print_line("the configuration is right")
            }
            Self::Show(settings) => {
                output::print_line(toml::to_string(&settings.load()?)?.trim_end())
            }
            Self::Sample => output::print_line(kalpana_config::sample::sample().trim_end()),
            Self::Schema => {
                let schema = kalpana_config::sample::schema();
                output::print_line(&serde_json::to_string_pretty(&schema)?)
            }
        }
    }
}
