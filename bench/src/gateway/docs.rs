//! The table in `docs/benchmarks.md`, between two marks, and the chart beside it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::chart;

const BEGIN: &str = "<!-- gateway figures: written by `make bench-gateway ARGS=--write-docs` -->";
const END: &str = "<!-- end of gateway figures -->";

const CHART: &str =
    "![What other proxies need for what Kalpana's gateway needs one of](images/gateway-bench.svg)";

/// Replaces the table and the chart.
pub(crate) fn write(rows: &[Value]) -> anyhow::Result<()> {
    let page = docs().join("benchmarks.md");
    let text = fs::read_to_string(&page)?;
    let table = format!("\n{CHART}\n\n{}\n\n{}", machine(), table(rows));
    let text = between_marks(&text, &table).context("docs/benchmarks.md has lost its marks")?;
    fs::write(page, text)?;
    Ok(fs::write(
        docs().join("images/gateway-bench.svg"),
        chart::draw(rows),
    )?)
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn between_marks(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{new}\n{END}{after}"))
}

/// Says in one line on what the figures were taken.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let count = cpu.matches("processor\t").count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "Machine: {count} processors ({model}), Linux {}.",
        kernel.trim()
    )
}

fn table(rows: &[Value]) -> String {
    let mut table = String::from(
        "| figure | unit | ours | peer | ratio | 95 % interval | goal | met | note |\n\
         |---|---|--:|--:|--:|--:|--:|:-:|---|\n",
    );
    for row in rows {
        let number = |field: &str| row[field].as_f64().map_or("–".to_owned(), short);
        let ci = row["ci"].as_array().map_or("–".to_owned(), |ends| {
            let ends: Vec<String> = ends.iter().filter_map(Value::as_f64).map(short).collect();
            ends.join("–")
        });
        let goal = match (row["goal"].as_f64(), row["goal_is"].as_str()) {
            (Some(goal), Some("ratio")) => format!("≤ {}×", short(goal)),
            (Some(goal), _) => format!("≤ {}", short(goal)),
            (None, _) => "–".to_owned(),
        };
        let met = match row["met"].as_bool() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {ci} | {goal} | {met} | {} |",
            row["cell"].as_str().unwrap_or_default(),
            row["unit"].as_str().unwrap_or_default(),
            number("ours"),
            number("peer"),
            number("ratio"),
            notes(row)
        );
    }
    table
}

/// Returns what must be known of a figure to believe it.
fn notes(row: &Value) -> String {
    let mut notes = Vec::new();
    let pair = |field: &str, index: usize| row[field].get(index).cloned().unwrap_or_default();
    match (
        pair("client_bound", 0) == true,
        pair("client_bound", 1) == true,
    ) {
        (true, true) => notes.push("client-bound".to_owned()),
        (true, false) => notes.push("ours client-bound".to_owned()),
        (false, true) => notes.push("peer client-bound".to_owned()),
        (false, false) => {}
    }
    if row["disturbed"] == true {
        notes.push("disturbed".to_owned());
    }
    for (index, whose) in ["ours", "peer"].into_iter().enumerate() {
        if let Some(errors @ 1..) = pair("errors", index).as_u64() {
            notes.push(format!("{errors} errors of {whose}"));
        }
    }
    if let (Some(ours), Some(peer)) = (pair("held", 0).as_u64(), pair("held", 1).as_u64()) {
        notes.push(format!("held {ours} and {peer}"));
    }
    notes.join(", ")
}

fn short(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let expected = format!("before\n{BEGIN}\nnew\n{END}\nafter\n");
        assert_eq!(between_marks(&text, "new"), Some(expected));
        assert_eq!(between_marks("no marks", "new"), None);
    }

    #[test]
    fn a_row_says_what_its_figure_is_worth() {
        let row = json!({
            "cell": "W1 x, beside nginx", "unit": "µs", "ours": 25.0, "peer": 100.0,
            "ratio": 0.25, "ci": [0.2, 0.3], "goal": 0.4, "goal_is": "ratio", "met": true,
            "client_bound": [true, false], "disturbed": true, "errors": [0, 2],
        });
        let table = table(&[row]);
        assert_eq!(
            table.lines().last(),
            Some(
                "| W1 x, beside nginx | µs | 25 | 100 | 0.25 | 0.2–0.3 | ≤ 0.4× | yes | \
                 ours client-bound, disturbed, 2 errors of peer |"
            )
        );
    }
}
