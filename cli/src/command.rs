//! The command tree and its help.

pub(crate) mod admin;
pub(crate) mod certs;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod gateway;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod workspace;

use std::future::Future;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use kalpana_config::Config;

use crate::output::Format;
use crate::role::Role;

/// Cloud development environments on your own machines
///
/// `kalpana up` runs a whole site on this machine. `kalpana login`, then `kalpana workspace`, use
/// one.
#[derive(Debug, Parser)]
#[command(
    name = "kalpana",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Kalpana {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole site on this machine
    Up(Settings),
    // Its help is above its arguments.
    Gateway(gateway::Gateway),
    /// Run the orchestrator alone
    Orchestrator(Settings),
    /// Run the API and the page alone
    Web(Settings),
    /// Sign in to a site and keep an API token for the commands below
    Login(login::Login),
    /// Forget the API token that `login` kept, and revoke it
    Logout(Remote),
    /// Create, list, start, stop and delete workspaces
    #[command(subcommand, visible_alias = "ws")]
    Workspace(workspace::Command),
    /// Create, list and revoke API tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Administer the site on the machine it runs on
    #[command(subcommand)]
    Admin(admin::Command),
    /// See, order, renew and revoke the site's certificates
    #[command(subcommand)]
    Certs(certs::Command),
    // Its help is above its arguments.
    Doctor(doctor::Doctor),
    // Its help is above its arguments.
    Migrate(migrate::Migrate),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::Command),
}

/// Where settings come from
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// Read settings from this file
    ///
    /// Without it, /etc/kalpana/kalpana.toml is read when it exists.
    #[arg(long, short, value_name = "FILE", env = "KALPANA_CONFIG")]
    config: Option<PathBuf>,
    /// Set one value, as in --set gateway.listen=0.0.0.0:443
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
}

/// Where the site is
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The site's URL
    #[arg(long, env = "KALPANA_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    if key.split('.').count() < 2 {
        return Err("the key names a section and a setting, such as gateway.listen".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

impl Settings {
    /// The file that is read when no other is named.
    const USUAL_FILE: &str = "/etc/kalpana/kalpana.toml";

    /// Returns the file that is read, if any.
    fn file(&self) -> Option<PathBuf> {
        let usual = PathBuf::from(Self::USUAL_FILE);
        self.config
            .clone()
            .or_else(|| usual.exists().then_some(usual))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// If it cannot be read or is wrong, with every mistake and where it is.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        let file = self.file();
        Config::load(file.as_deref(), &self.settings).map_err(|error| {
            let message = match &error {
                kalpana_config::LoadError::Read { .. } => return anyhow::Error::new(error),
                other => other.to_string(),
            };
            let lines: Vec<&str> = message.lines().collect();
            anyhow::anyhow!(
                "the configuration is wrong: {}\nhint: `kalpana config sample` shows every setting",
                lines.join("; ")
            )
        })
    }

    /// Returns the arguments that give a child process the same settings.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let file = self
            .file()
            .map(|file| vec!["--config".to_owned(), file.display().to_string()]);
        let values = self
            .settings
            .iter()
            .flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        file.into_iter().flatten().chain(values).collect()
    }
}

impl Kalpana {
    /// Does what was asked.
    ///
    /// # Errors
    /// What went wrong, with a hint where there is one.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Up(settings) => up::run(&settings),
            Command::Gateway(gateway) => gateway.run(),
            Command::Orchestrator(settings) => serve::run(Role::Orchestrator, &settings, false),
            Command::Web(settings) => serve::run(Role::Web, &settings, false),
            Command::Login(login) => block_on(login.run()),
            Command::Logout(remote) => block_on(login::logout(remote)),
            Command::Workspace(command) => block_on(command.run()),
            Command::Token(command) => block_on(command.run()),
            Command::Admin(command) => block_on(command.run()),
            Command::Certs(command) => block_on(command.run()),
            Command::Doctor(command) => command.run(),
            Command::Migrate(command) => block_on(command.run()),
            Command::Config(command) => command.run(),
        }
    }
}

/// Runs a command of a user on one thread.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Kalpana::command().debug_assert();
    }

    #[test]
    fn a_setting_names_its_section() {
        assert_eq!(
            parse_setting("gateway.listen=0.0.0.0:443"),
            Ok(("gateway.listen".to_owned(), "0.0.0.0:443".to_owned()))
        );
        assert!(parse_setting("listen=1").is_err());
        assert!(parse_setting("gateway.listen").is_err());
    }
}
