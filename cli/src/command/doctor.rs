//! `kalpana doctor`: everything that commonly breaks a site, looked at from the machine it runs on.
//!
//! Each file below looks at one thing and judges what it saw; the judging does no I/O. `runner`
//! lets none of them wait for another, `verdict` is how they are told. Nothing is ever changed.

mod certificates;
mod directories;
mod engine;
mod firewall;
mod kernel;
mod memory;
mod names;
mod processes;
mod public;
mod runner;
mod space;
mod verdict;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use kalpana_config::{Config, Site};

use self::runner::{Look, look_at_all};
use self::verdict::{Report, Verdict, told};
use super::Settings;
use crate::output::{self, Format};
use crate::privilege;
use crate::role::Role;

/// How long most things may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How long the whole of a database may take to be read, or several hosts to be looked at.
const LONG_LIMIT: Duration = Duration::from_secs(60);

/// Look at everything that commonly breaks a site, on the machine it runs on
///
/// Says of each thing how it is and, where something is wrong, what to do. Changes nothing. Ends
/// with 1 when something failed; warnings are no failure.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

impl Doctor {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let report = Report::new(runtime.block_on(self.look()));
        // What hangs is left behind.
        runtime.shutdown_background();
        output::answer(self.format, &report, told)?;
        match report.failures() {
            0 => Ok(()),
            1 => bail!("one check failed"),
            several => bail!("{several} checks failed"),
        }
    }

    async fn look(&self) -> Vec<Verdict> {
        let loaded = self.settings.load();
        let resolved = loaded.and_then(|config| {
            let site = privilege::site(&config)?;
            Ok((config, site))
        });
        match resolved {
            Ok((config, site)) => {
                let mut verdicts = vec![Verdict::ok("configuration", "readable and sound")];
                verdicts.extend(look_at_site(&config, &site).await);
                verdicts
            }
            Err(error) => vec![judge_configuration(&error)],
        }
    }
}

/// Everything else is somewhere that only the configuration knows.
fn judge_configuration(error: &anyhow::Error) -> Verdict {
    let text = format!("{error:#}");
    let message = text.split("\nhint: ").next().unwrap_or_default();
    Verdict::failed(
        "configuration",
        "configuration_wrong",
        format!("{message}; nothing else was looked at"),
        "Correct it: `kalpana config sample` shows every setting, `kalpana config check` checks it \
         again.",
    )
}

async fn look_at_site(config: &Config, site: &Site) -> Vec<Verdict> {
    look_at_all(vec![
        Look::new("directories", LIMIT, directories::look(site)),
        Look::new("disk_space", LIMIT, space::look(site)),
        Look::new("role_web", LIMIT, processes::look(site, Role::Web)),
        Look::new(
            "role_orchestrator",
            LIMIT,
            processes::look(site, Role::Orchestrator),
        ),
        Look::new("role_gateway", LIMIT, processes::look(site, Role::Gateway)),
        Look::new("store", LONG_LIMIT, memory::look(config, site)),
        Look::new("certificate", LIMIT, certificates::ask(site)),
        Look::new(
            "shown_certificate",
            LONG_LIMIT,
            certificates::look(config, site),
        ),
        Look::new("dns", LIMIT, names::look(site)),
        Look::new("public_url", LIMIT, public::look(site)),
        Look::new("websocket", LIMIT, public::look_at_websocket(config, site)),
        Look::new("clock", LIMIT, async { kernel::look_at_clock() }),
        Look::new("engine", LIMIT, engine::look(config)),
        Look::new("packet_filter", LIMIT, firewall::look(config)),
        Look::new("inotify_watches", LIMIT, async { kernel::look() }),
    ])
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_said_without_its_own_hint() {
        let error = anyhow::anyhow!("the configuration is wrong: x\nhint: y");
        let verdict = judge_configuration(&error);
        assert!(verdict.is("configuration_wrong"));
        assert_eq!(
            verdict.message,
            "the configuration is wrong: x; nothing else was looked at"
        );
    }
}
