//! `kalpana workspace sleep`: when a workspace is put to sleep, and what wakes it.

use clap::Args;
use kalpana_domain::sleep::{IdleTime, InvalidIdleTime};
use reqwest::Method;
use serde_json::json;

use super::One;
use crate::output;

/// An idle time, or the site's own.
#[derive(Debug, Clone, Copy)]
enum Chosen {
    Site,
    Own(IdleTime),
}

fn chosen(text: &str) -> Result<Chosen, InvalidTime> {
    match text {
        "default" => Ok(Chosen::Site),
        text => text.parse().map(Chosen::Own).map_err(InvalidTime),
    }
}

/// What was given is no idle time.
#[derive(Debug, thiserror::Error)]
#[error("expected a time from 1m to 30d, \"never\", or \"default\" for as the site has it")]
struct InvalidTime(#[source] InvalidIdleTime);

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("visit").multiple(false))]
pub(crate) struct Sleep {
    #[command(flatten)]
    one: One,
    /// How long it may be idle until it is put to sleep: 30m, 8h, never, default
    #[arg(long, value_name = "TIME", value_parser = chosen)]
    pause_after: Option<Chosen>,
    /// How long it may be asleep until it is stopped: 12h, 7d, never, default
    #[arg(long, value_name = "TIME", value_parser = chosen)]
    stop_after: Option<Chosen>,
    /// How long it may be stopped until it is archived: 14d, never, default
    #[arg(long, value_name = "TIME", value_parser = chosen)]
    archive_after: Option<Chosen>,
    /// A visit leaves it asleep, until it is started
    #[arg(long, group = "visit")]
    stay_asleep: bool,
    /// A visit wakes it, as is usual
    #[arg(long, group = "visit")]
    wake_on_visit: bool,
}

impl Sleep {
    /// Changes what was named, and shows all of it.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (api, mut workspace) = self.one.find().await?;
        let seconds = |chosen: Option<Chosen>, before: Option<u32>| match chosen {
            None => before,
            Some(Chosen::Site) => None,
            Some(Chosen::Own(time)) => Some(time.seconds()),
        };
        let before = &workspace.sleep;
        let wish = json!({
            "pause_after_seconds": seconds(self.pause_after, before.pause_after_seconds),
            "stop_after_seconds": seconds(self.stop_after, before.stop_after_seconds),
            "archive_after_seconds": seconds(self.archive_after, before.archive_after_seconds),
            "stays_asleep": self.stay_asleep || (before.stays_asleep && !self.wake_on_visit),
        });
        let is_asked = self.pause_after.is_some()
            || self.stop_after.is_some()
            || self.archive_after.is_some()
            || self.stay_asleep
            || self.wake_on_visit;
        if is_asked {
            let path = format!("/api/workspaces/{}/sleep", workspace.id);
            workspace = api.call(Method::PUT, &path, Some(&wish)).await?;
        }
        output::answer(self.one.remote.format, &workspace.sleep, |sleep| {
            sleep.lines().join("\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_as_people_write_them() {
        assert!(matches!(chosen("default"), Ok(Chosen::Site)));
        assert!(matches!(chosen("never"), Ok(Chosen::Own(IdleTime::NEVER))));
        assert!(matches!(chosen("90m"), Ok(Chosen::Own(time)) if time.seconds() == 5400));
        for text in ["", "0", "5s", "forever", "2 h"] {
            assert!(chosen(text).is_err(), "{text:?}");
        }
    }
}
