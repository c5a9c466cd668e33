//! `kalpana migrate`: everything that a site remembers, from one place to another.

mod place;
mod progress;
mod words;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, bail};
use clap::Args;
use kalpana_config::Config;
use kalpana_domain::clock::SystemClock;
use kalpana_store::transfer::Collection;
use kalpana_store::transfer::mover::{self, Mover, Pace, Summary};
use kalpana_store::{OpenMode, Store};
use serde_json::json;

use super::Settings;
use crate::lifecycle::shutdown_on_signal;
use crate::output::{self, Format};
use crate::privilege;
use crate::role::Role;
use place::{Opened, Place};
use progress::Display;

/// Move everything that is remembered from one place to another
///
/// Kalpana may run meanwhile: everything can be read all the time, and changes wait only for the
/// last part, some seconds. Cut off at any moment, even by a power failure, the same command goes
/// on where it stopped. Nothing is removed from the old place.
///
/// A PLACE is sqlite:/absolute/path, mongodb://… or mongodb+srv://…. Everybody on the machine sees
/// the command line, so keep passwords out of it: set store.mongodb.username and password_file.
/// These, the database's name and the other settings of [store.mongodb] hold for a MongoDB PLACE.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Where everything is now; the configured store unless given
    #[arg(long, value_name = "PLACE")]
    from: Option<Place>,
    /// Where everything is to be; must be empty, or half filled by an earlier run
    #[arg(long, value_name = "PLACE", required_unless_present = "reinstate")]
    to: Option<Place>,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the old place (--from) into use again after a move
    ///
    /// What was changed in the new place since stays there alone. With --to naming the new place,
    /// says how much that is.
    #[arg(long)]
    reinstate: bool,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        let site = privilege::site(&config)?;
        // As the roles do: what this makes, such as SQLite's own files, stays usable for them.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
        privilege::become_role(Role::Web, &config)
            .context("cannot become the site's user\nhint: run `kalpana up` once first")?;
        let from = match &self.from {
            Some(place) => place.clone(),
            None => Place::configured(&config, &site),
        };
        if self.reinstate {
            return self.take_back(&config, &from).await;
        }
        let to = self.to.as_ref().context("--to is missing")?;
        if from.is_same(to) {
            bail!(
                "--from and --to are the same place, {}\nhint: name where everything is to be with --to",
                from.name(&config)
            );
        }
        let source = open_source(&from, &config).await?;
        if self.dry_run {
            return self.tell_plan(&config, &from, &source, to).await;
        }
        self.carry_out(&config, &from, source, to).await
    }

    async fn carry_out(
        &self,
        config: &Config,
        from: &Place,
        source: Opened,
        to: &Place,
    ) -> anyhow::Result<()> {
        let stop = shutdown_on_signal()?;
        let destination = to.open(config, OpenMode::Receive).await?;
        let _turn = take_turn(&destination.store).await?;
        output::note(&format!("from {}\nto   {}", source.name, destination.name));
        let display = Display::new();
        let mover = Mover::new(
            source.store,
            destination.store,
            destination.name.clone(),
            Pace::default(),
            SystemClock,
        );
        let moved = mover.run(&|event| display.show(&event), &stop).await;
        display.end();
        let summary = moved.map_err(|error| words::explain(error, from))?;
        let answer = answer(&summary, &source.name, &destination.name, config, to);
        output::answer(self.format, &answer, |_| {
            words::summary(&summary, &source.name, &destination.name)
                + &words::what_now(config, to, from)
        })
    }

    async fn tell_plan(
        &self,
        config: &Config,
        from: &Place,
        source: &Opened,
        to: &Place,
    ) -> anyhow::Result<()> {
        let destination = to.look(config).await?;
        let name = match &destination {
            Some(opened) => opened.name.clone(),
            None => to.name(config),
        };
        let store = destination.as_ref().map(|opened| &opened.store);
        let plan = mover::plan(&source.store, store, &name)
            .await
            .map_err(|error| words::explain(error, from))?;
        let collections: Vec<_> = plan
            .collections
            .iter()
            .map(|planned| {
                json!({
                    "collection": planned.collection.name(),
                    "in_source": planned.in_source,
                    "in_destination": planned.in_destination,
                })
            })
            .collect();
        let answer = json!({
            "dry_run": true,
            "from": source.name,
            "to": name,
            "to_exists": store.is_some(),
            "stage": words::stage(plan.stage),
            "collections": collections,
        });
        output::answer(self.format, &answer, |_| {
            words::plan(&plan, &source.name, &name, store.is_some())
        })
    }

    async fn take_back(&self, config: &Config, from: &Place) -> anyhow::Result<()> {
        let old = open_source(from, config).await?;
        let Some(moved_to) = old.store.moved_to().await? else {
            bail!(
                "{} was not moved anywhere, so it takes changes already\n\
                 hint: name the old place with --from; without it, the configured store is meant",
                old.name
            );
        };
        let news = match &self.to {
            Some(to) => {
                let new = to.look(config).await?;
                let new =
                    new.with_context(|| format!("there is nothing at {}", to.name(config)))?;
                let plan = count_both(&old.store, &new.store).await?;
                Some(words::news(&plan, &new.name))
            }
            None => None,
        };
        output::note(&words::warning(&moved_to, news.as_deref()));
        if !self.dry_run {
            old.store.reinstate().await?;
        }
        let answer = json!({
            "dry_run": self.dry_run,
            "reinstated": old.name,
            "was_moved_to": moved_to,
        });
        output::answer(self.format, &answer, |_| {
            if self.dry_run {
                format!("{} would take changes again; nothing was changed", old.name)
            } else {
                format!(
                    "{} takes changes again\n\nKalpana uses it with these settings; restart it if \
                     it has others (variables and flags win over the file):\n{}",
                    old.name,
                    words::settings(config, from)
                )
            }
        })
    }
}

async fn open_source(from: &Place, config: &Config) -> anyhow::Result<Opened> {
    if !from.exists(config).await? {
        bail!(
            "there is nothing at {}\nhint: name the place that holds everything with --from",
            from.name(config)
        );
    }
    from.open(config, OpenMode::Use).await
}

/// Makes sure that nobody else on this machine fills the destination at the same time: what the
/// other wrote late could be out of date. The kernel gives the turn back when this process ends,
/// however it ends.
async fn take_turn(destination: &Store) -> anyhow::Result<UnixDatagram> {
    let name = format!("kalpana-migrate-{}", destination.store_id().await?);
    let address = SocketAddr::from_abstract_name(name)?;
    UnixDatagram::bind_addr(&address).context(
        "another `kalpana migrate` fills this destination right now\n\
         hint: wait until it has ended, or stop it, and run this again",
    )
}

/// Counts what two stores hold, whatever they say of each other.
async fn count_both(old: &Store, new: &Store) -> anyhow::Result<Vec<(Collection, u64, u64)>> {
    let mut counts = Vec::new();
    for collection in Collection::ALL {
        let (old, new) = tokio::try_join!(old.count(collection), new.count(collection))?;
        counts.push((collection, old, new));
    }
    Ok(counts)
}

fn answer(
    summary: &Summary,
    from: &str,
    to: &str,
    config: &Config,
    place: &Place,
) -> serde_json::Value {
    let collections: Vec<_> = summary
        .collections
        .iter()
        .map(|moved| {
            json!({
                "collection": moved.collection.name(),
                "records": moved.count,
                "sha256": words::hexadecimal(&moved.digest),
            })
        })
        .collect();
    let settings: serde_json::Map<_, _> = place
        .settings(config)
        .into_iter()
        .map(|(key, value)| (format!("store.{key}"), value.into()))
        .collect();
    json!({
        "dry_run": false,
        "from": from,
        "to": to,
        "stage": words::stage(summary.stage),
        "collections": collections,
        "frozen_ms": u64::try_from(summary.frozen_for.as_millis()).unwrap_or(u64::MAX),
        "took_ms": u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
        "settings": settings,
    })
}
