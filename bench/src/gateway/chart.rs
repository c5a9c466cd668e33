//! A chart of the figures that have peers: bars, each as long as what a peer needs for what ours
//! needs one of.

use std::fmt::Write;

use serde_json::Value;

use super::results;

/// Figures that are shown: the beginning of their cells, and what they are called.
const SHOWN: [(&str, &str); 7] = [
    ("W1 ", "authenticated request, HTTP/1 (CPU)"),
    ("W1h2 ", "authenticated request, HTTP/2 (CPU)"),
    ("W3 full", "full TLS handshake (CPU)"),
    ("W3r resumed handshake with", "resumed TLS handshake (CPU)"),
    ("W4 WebSocket echo of 64 B", "WebSocket message (CPU)"),
    (
        "W5 quiet WebSocket, after an echo of 64 B",
        "quiet WebSocket (memory)",
    ),
    (
        "W5 quiet WebSocket, after an echo of 256",
        "quiet WebSocket after bulk (memory)",
    ),
];

const WIDTH: f64 = 900.0;
const LEFT: f64 = 120.0;
const ROW: f64 = 20.0;

/// Bars are cut at this many times ours.
const LIMIT: f64 = 8.0;

/// Draws the chart as SVG.
pub(crate) fn draw(rows: &[Value]) -> String {
    let mut body = String::new();
    let mut top = 40.0;
    for (cell, title) in SHOWN {
        let of_cell = rows.iter().filter(|row| {
            let text = row["cell"].as_str().unwrap_or_default();
            text.starts_with(cell)
                && text.contains(", beside ")
                && !results::workload(row).is_empty()
        });
        let bars: Vec<(&str, f64, f64)> = of_cell.filter_map(bar).collect();
        let Some((_, _, ours)) = bars.first() else {
            continue;
        };
        let _ = writeln!(
            body,
            r#"<text x="0" y="{:.0}" class="title">{title}</text>"#,
            top
        );
        top += 8.0;
        bar_of(&mut body, top, "kalpana", 1.0, *ours, "ours");
        top += ROW;
        for (name, times, value) in bars
            .iter()
            .map(|(name, times, ours)| (name, times, ours * times))
        {
            bar_of(&mut body, top, name, *times, value, "peer");
            top += ROW;
        }
        top += 28.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\" \
         aria-label=\"What other proxies need for what Kalpana's gateway needs one of\">\n\
         <style>text {{ font: 13px sans-serif; fill: #57606a }} .title {{ font-weight: bold; \
         fill: #1f6feb }} .ours {{ fill: #1f6feb }} .peer {{ fill: #8c959f }}</style>\n\
         <text x=\"0\" y=\"16\">Shorter is better. The number is the peer's cost as a multiple of \
         Kalpana's, then the cost itself.</text>\n{body}</svg>\n"
    )
}

/// Returns the peer of a row, its cost as a multiple of ours, and ours.
fn bar(row: &Value) -> Option<(&str, f64, f64)> {
    let (_, peer) = row["cell"].as_str()?.rsplit_once(", beside ")?;
    let ours = row["ours"].as_f64()?;
    let ratio = row["ratio"].as_f64().filter(|ratio| *ratio > 0.0)?;
    Some((peer, 1.0 / ratio, ours))
}

fn bar_of(body: &mut String, top: f64, name: &str, times: f64, value: f64, class: &str) {
    let full = WIDTH - LEFT - 160.0;
    let length = full * times.min(LIMIT) / LIMIT;
    let (middle, after) = (top + 13.0, LEFT + length + 6.0);
    let _ = writeln!(
        body,
        r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{name}</text><rect x="{LEFT}" y="{top:.0}" width="{length:.0}" height="16" class="{class}"/><text x="{after:.0}" y="{middle:.0}">{times:.2}× ({value:.1})</text>"#,
        LEFT - 8.0
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_peer_that_needs_twice_as_much_is_twice_as_long() {
        let row = json!({ "cell": "W1 x, beside nginx", "ours": 10.0, "ratio": 0.5 });
        assert_eq!(bar(&row), Some(("nginx", 2.0, 10.0)));
        let svg = draw(&[row]);
        assert!(svg.contains("2.00× (20.0)"), "{svg}");
        assert!(
            svg.contains(r#"width="155""#) && svg.contains(r#"width="78""#),
            "{svg}"
        );
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        assert!(!draw(&[]).contains("<rect"));
    }
}
