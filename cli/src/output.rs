//! What people and programs read: tables, JSON, errors with their hint.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Prints `value` as JSON, or what `text` makes of it.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn answer<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value)?,
        Format::Text => text(value),
    };
    print_line(&text)
}

/// Prints a line to standard output. A reader that has gone away, such as `head`, is no error.
///
/// # Errors
/// If standard output cannot be written for another reason.
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Tells a person something on standard error, beside the answer.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Lays out rows under headings.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(headings);
    table.add_rows(rows);
    let lines: Vec<String> = table
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// Prints an error for a person: the sentence, its causes, and the hints on lines of their own.
pub(crate) fn error(error: &anyhow::Error) {
    let mut sentences = Vec::new();
    let mut hints = Vec::new();
    for cause in error.chain() {
        for (position, line) in cause.to_string().lines().enumerate() {
            match line.strip_prefix("hint: ") {
                Some(hint) => hints.push(hint.to_owned()),
                None if position == 0 => sentences.push(line.to_owned()),
                None => hints.push(line.to_owned()),
            }
        }
    }
    sentences.dedup();
    let (mark, hint_mark) = if std::io::stderr().is_terminal() {
        ("\u{1b}[1;31merror:\u{1b}[0m", "\u{1b}[1;36mhint:\u{1b}[0m")
    } else {
        ("error:", "hint:")
    };
    note(&format!("{mark} {}", sentences.join(": ")));
    for hint in hints {
        note(&format!("{hint_mark} {hint}"));
    }
}
