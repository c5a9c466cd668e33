//! What was measured, kept between runs: a run of one workload replaces that workload's figures
//! and leaves the others.

use std::fs;
use std::io;

use serde_json::Value;

use crate::Figure;

const NAME: &str = "gateway";

/// Where figures go that are not worth keeping.
const ROUGH: &str = "gateway-rough";

/// Prints figures as a table and writes them beside those of other workloads. Those of a quick look
/// are kept apart, and so are those of a debug build, whose service that some peers ask is slow.
pub(crate) fn write(figures: &[Figure], is_quick: bool) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        super::say("this is a debug build: what it measures of nginx, Caddy and Traefik is wrong");
    }
    if is_quick || cfg!(debug_assertions) {
        return crate::report(ROUGH, figures);
    }
    let before = read()?;
    crate::report(NAME, figures)?;
    let merged = merge(before, &read()?);
    let lines: String = merged.iter().map(|row| format!("{row}\n")).collect();
    Ok(fs::write(crate::results(NAME), lines)?)
}

/// Reads all that was measured.
pub(crate) fn read() -> anyhow::Result<Vec<Value>> {
    let text = match fs::read_to_string(crate::results(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let rows = text.lines().map(serde_json::from_str);
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the workload that a figure is of: the first word of its cell.
pub(crate) fn workload(row: &Value) -> &str {
    let cell = row["cell"].as_str().unwrap_or_default();
    cell.split(' ').next().unwrap_or_default()
}

fn merge(before: Vec<Value>, now: &[Value]) -> Vec<Value> {
    let is_old = |row: &Value| !now.iter().any(|new| workload(new) == workload(row));
    let kept = before.into_iter().filter(is_old);
    let mut all: Vec<Value> = kept.chain(now.iter().cloned()).collect();
    all.sort_by_key(|row| order(workload(row)));
    all
}

/// Orders workloads by their number: `W1h2` follows `W1`, and `W10` comes last.
fn order(workload: &str) -> (u32, String) {
    let digits: String = workload
        .chars()
        .skip(1)
        .take_while(char::is_ascii_digit)
        .collect();
    (digits.parse().unwrap_or(u32::MAX), workload.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_is_replaced_as_a_whole() {
        let row = |cell: &str, ours: u32| json!({ "cell": cell, "ours": ours });
        let before = vec![
            row("W10 a", 1),
            row("W1 a", 1),
            row("W1 b", 1),
            row("W3 a", 1),
        ];
        let merged = merge(before, &[row("W1 a", 2), row("W2 a", 2), row("W1h2 a", 2)]);
        let expected = vec![
            row("W1 a", 2),
            row("W1h2 a", 2),
            row("W2 a", 2),
            row("W3 a", 1),
            row("W10 a", 1),
        ];
        assert_eq!(merged, expected);
    }
}
