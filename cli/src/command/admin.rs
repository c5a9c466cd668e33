//! `kalpana admin`: what is done on the site's own machine, for scripts and for being locked out.
//!
//! Works on the store itself, so it needs the rights of the site's owner and no password. Each
//! change is in the audit log as done at the console.

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use kalpana_auth::{Accounts, NewAccount};
use kalpana_config::Config;
use kalpana_domain::clock::SystemClock;
use kalpana_domain::user::Role;
use kalpana_store::{OpenMode, Store};
use prometheus::Registry;
use serde_json::json;

use super::Settings;
use super::login::read_password;
use crate::output::{self, Format};
use crate::privilege;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account
    CreateUser(CreateUser),
    /// Print a fresh link that makes the first administrator
    SetupLink(SetupLink),
}

#[derive(Debug, Args)]
pub(crate) struct CreateUser {
    /// E-mail address they sign in with
    #[arg(long)]
    email: String,
    /// Name shown to people
    #[arg(long)]
    name: String,
    /// `administrator` or `member`
    #[arg(long, default_value = "member")]
    role: Role,
    /// Read the password from standard input instead of asking on the terminal
    #[arg(long)]
    password_stdin: bool,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(crate) struct SetupLink {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::CreateUser(command) => command.run().await,
            Self::SetupLink(command) => command.run().await,
        }
    }
}

/// Opens the store of the site on this machine.
async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let site = privilege::site(config)?;
    // As the roles do: what this makes, such as SQLite's own files, stays usable for them.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
    privilege::become_role(crate::role::Role::Web, config)
        .context("cannot become the site's user\nhint: run `kalpana up` once first")?;
    let (settings, path) = (&config.store, site.store_path());
    Ok(kalpana_store::open(settings, path, OpenMode::Use, &Registry::new()).await?)
}

impl CreateUser {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        let password = read_password("Password for the new account: ", self.password_stdin)?;
        let account = NewAccount {
            email: self.email,
            name: self.name,
            password,
        };
        let store = open_store(&config).await?;
        let accounts = Accounts::new(store, &config.auth, Arc::new(SystemClock))?;
        let user = accounts.create_user_at_console(account, self.role).await?;
        let answer = json!({
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "role": user.role,
        });
        output::answer(self.format, &answer, |_| {
            format!("made {} ({})", user.name, user.id)
        })
    }
}

impl SetupLink {
    async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        let site = privilege::site(&config)?;
        let store = open_store(&config).await?;
        let link =
            kalpana_web::setup_link(store, &site, &config.auth, Arc::new(SystemClock)).await?;
        let link = link.context(
            "somebody has an account already\nhint: `kalpana admin create-user` makes another one",
        )?;
        output::answer(self.format, &json!({ "url": link }), |_| link.clone())
    }
}
