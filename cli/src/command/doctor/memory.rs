//! Whether what the site remembers can be used.

use std::error::Error;
use std::time::Duration;

use kalpana_config::{Config, Site};
use kalpana_store::examine::{Examined, examine};
use kalpana_store::{StoreError, StoreResult};

use super::verdict::Verdict;

const CHECK: &str = "store";

/// A question that takes longer than this is felt with every click.
const SLOW: Duration = Duration::from_millis(100);

/// Examines the configured store, which is not changed.
pub(super) async fn look(config: &Config, site: &Site) -> Vec<Verdict> {
    vec![judge(&examine(&config.store, site.store_path()).await)]
}

fn judge(examined: &StoreResult<Examined>) -> Verdict {
    match examined {
        Ok(Examined {
            at,
            moved_to: Some(place),
            ..
        }) => Verdict::failed(
            CHECK,
            "store_moved",
            format!("everything at {at} was moved to {place}"),
            "Set [store] to the new place and restart Kalpana.",
        ),
        Ok(Examined { at, latency, .. }) => match latency {
            Some(latency) if *latency > SLOW => Verdict::warning(
                CHECK,
                "store_slow",
                format!("{at} takes {} ms for one question", latency.as_millis()),
                "Bring the database nearer to this machine, or see what loads it.",
            ),
            Some(latency) => {
                let message = format!("{at} is sound and answers in {} ms", latency.as_millis());
                Verdict::ok(CHECK, message)
            }
            None => Verdict::ok(CHECK, format!("{at} is undamaged and of this version")),
        },
        Err(error) => {
            let mut message = error.to_string();
            if let Some(source) = error.source() {
                message = format!("{message}: {source}");
            }
            let (code, next_step) = match error {
                StoreError::Corrupt { .. } => (
                    "store_damaged",
                    "Stop Kalpana, keep a copy of what is there, and restore the latest backup.",
                ),
                StoreError::Unavailable { .. } => (
                    "store_unavailable",
                    "Start the database, or see what keeps it; running workspaces go on meanwhile.",
                ),
                _ => ("store_unusable", "The message says what to do."),
            };
            Verdict::failed(CHECK, code, message, next_step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examined(latency: Option<u64>, moved_to: Option<&str>) -> StoreResult<Examined> {
        Ok(Examined {
            at: "s".to_owned(),
            latency: latency.map(Duration::from_millis),
            moved_to: moved_to.map(ToOwned::to_owned),
        })
    }

    #[test]
    fn a_store_is_judged_by_what_it_says() {
        assert_eq!(judge(&examined(None, None)).code, None);
        assert_eq!(judge(&examined(Some(3), None)).code, None);
        assert!(judge(&examined(Some(300), None)).is("store_slow"));
        assert!(judge(&examined(None, Some("elsewhere"))).is("store_moved"));
        let damaged = Err(StoreError::Corrupt {
            what: "w".to_owned(),
            source: None,
        });
        assert!(judge(&damaged).is("store_damaged"));
        let unusable = Err(StoreError::Open {
            at: "s".to_owned(),
            reason: "r; do this".to_owned(),
            source: None,
        });
        let verdict = judge(&unusable);
        assert!(verdict.is("store_unusable") && verdict.message.contains("r; do this"));
    }
}
