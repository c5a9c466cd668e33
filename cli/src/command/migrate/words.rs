//! What is said about a move before, after and instead of it.

use std::fmt::Write;

use anyhow::anyhow;
use kalpana_config::Config;
use kalpana_store::transfer::Collection;
use kalpana_store::transfer::mover::{MoveError, Plan, Stage, Summary};

use super::place::Place;
use crate::output::table;

/// Writes a number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names a stage for programs.
pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Fresh => "fresh",
        Stage::HalfFilled => "half_filled",
        Stage::Retired => "retired",
        Stage::Done => "done",
    }
}

/// Says what was done.
pub(super) fn summary(summary: &Summary, from: &str, to: &str) -> String {
    match summary.stage {
        Stage::Done => return format!("everything from {from} is at {to} already\n"),
        Stage::Retired => {
            return format!(
                "completed the move from {from} to {to}: everything was copied and verified before\n"
            );
        }
        Stage::Fresh | Stage::HalfFilled => {}
    }
    let total = summary.collections.iter().map(|moved| moved.count).sum();
    let rows = summary
        .collections
        .iter()
        .map(|moved| {
            vec![
                moved.collection.name().to_owned(),
                number(moved.count),
                hexadecimal(&moved.digest),
            ]
        })
        .collect();
    format!(
        "moved {} records from {from} to {to} in {:.1} s; changes waited {:.1} s\n\n{}\n",
        number(total),
        summary.took.as_secs_f64(),
        summary.frozen_for.as_secs_f64(),
        table(&["COLLECTION", "RECORDS", "SHA-256"], rows)
    )
}

/// Says what must be done after a move, and what until then.
pub(super) fn what_now(config: &Config, to: &Place, from: &Place) -> String {
    format!(
        "\nNow give Kalpana these settings and restart it (variables and flags win over the file):\n\
         {}\n\nUntil then Kalpana reads the old place and refuses changes.\n\
         The old place keeps what it has; to use it again instead:\n\n    \
         kalpana migrate --reinstate --from {}",
        settings(config, to),
        from.argument()
    )
}

/// Lists the settings that name a place.
pub(super) fn settings(config: &Config, place: &Place) -> String {
    let mut text = String::new();
    let mut section = "";
    let mut removals = Vec::new();
    for (key, value) in place.settings(config) {
        let (own, name) = match key.split_once('.') {
            Some((_, name)) => ("[store.mongodb]", name),
            None => ("[store]", key),
        };
        let Some(value) = value else {
            removals.push(key);
            continue;
        };
        if section != own {
            section = own;
            let _ = write!(text, "\n    {own}");
        }
        let _ = write!(text, "\n    {name} = {}", toml::Value::String(value));
    }
    for key in removals {
        let _ = write!(
            text,
            "\n\nand take store.{key} away (in the environment: KALPANA_STORE__MONGODB__URI)"
        );
    }
    if place.has_user() {
        text.push_str(
            "\n\nThe user and password of the URI are left out here: they belong in username and \
             password_file.",
        );
    }
    text
}

/// Says what would be done.
pub(super) fn plan(plan: &Plan, from: &str, to: &str, exists: bool) -> String {
    let total: u64 = plan
        .collections
        .iter()
        .map(|planned| planned.in_source)
        .sum();
    let first = match plan.stage {
        Stage::Fresh if exists => format!(
            "would move {} records from {from} to {to}, which is empty",
            number(total)
        ),
        Stage::Fresh => format!(
            "would move {} records from {from} to {to}, where there is nothing yet: it would be made",
            number(total)
        ),
        Stage::HalfFilled => format!(
            "would go on moving {} records from {from} to {to}, which an earlier run half filled",
            number(total)
        ),
        Stage::Retired => {
            format!("would complete the move from {from} to {to}: everything is there already")
        }
        Stage::Done => format!("would do nothing: everything from {from} is at {to} already"),
    };
    let rows = plan
        .collections
        .iter()
        .map(|planned| {
            vec![
                planned.collection.name().to_owned(),
                number(planned.in_source),
                number(planned.in_destination),
            ]
        })
        .collect();
    format!(
        "{first}\n\n{}\n\nnothing was changed; run the same without --dry-run to do it",
        table(&["COLLECTION", "FROM", "TO"], rows)
    )
}

/// Says what taking an old place into use again leaves behind.
pub(super) fn warning(moved_to: &str, news: Option<&str>) -> String {
    let news = news
        .unwrap_or("--to with that place says how much that is. Kalpana may still be using it.");
    format!(
        "warning: everything was moved to {moved_to}. What was changed there since, such as new \
         accounts, tokens and workspaces, stays there and is not in the old place. {news}"
    )
}

/// Says how much more a new place has than the old one.
pub(super) fn news(counts: &[(Collection, u64, u64)], new: &str) -> String {
    let more: Vec<String> = counts
        .iter()
        .filter(|(_, old, new)| new > old)
        .map(|(collection, old, new)| format!("{} {}", number(new - old), collection.name()))
        .collect();
    if more.is_empty() {
        format!("{new} has no more records than the old place; records may have changed.")
    } else {
        format!("{new} has more than the old place: {}.", more.join(", "))
    }
}

/// Adds the next step to an error.
pub(super) fn explain(error: MoveError, from: &Place) -> anyhow::Error {
    let from = from.argument();
    let again = "the source takes changes; the same command again goes on where this stopped";
    let hint = match &error {
        MoveError::SameStore => {
            "one is the other by another name, or a copy of its file; name two places".to_owned()
        }
        MoveError::DestinationInUse => "nothing was changed; name a place with nothing in it: \
             another file, or another store.mongodb.database"
            .to_owned(),
        MoveError::DestinationOfAnother { .. } => "nothing was changed; run the move that began \
             it again to complete it, or name another place"
            .to_owned(),
        MoveError::MovedElsewhere { place } => format!(
            "nothing was changed; if {place} is in use, leave it so; if its move was cut off, name \
             it with --to; to use the source again: kalpana migrate --reinstate --from {from}"
        ),
        MoveError::DestinationLost { .. } => format!(
            "if it was removed, use the source again: kalpana migrate --reinstate --from {from}"
        ),
        MoveError::FrozenByAnother { .. } => "another `kalpana migrate` of this source is at \
             work: wait until it has ended, or stop it, and run this again"
            .to_owned(),
        MoveError::FreezeRanOut { .. } => format!(
            "{again}; try at a quieter time, and check that the clocks of all machines agree"
        ),
        MoveError::Differs { .. } => format!(
            "{again}; if it ends so again, name another place, and keep this one for who looks \
             into it"
        ),
        MoveError::Stopped | MoveError::Store { .. } => again.to_owned(),
    };
    // The hint goes last, after the causes.
    let message = error.to_string();
    match error {
        MoveError::Store { source, .. } => {
            anyhow::Error::new(source).context(format!("{message}\nhint: {hint}"))
        }
        _ => anyhow!("{message}\nhint: {hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_their_thousands() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (100_000, "100,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
