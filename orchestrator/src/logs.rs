//! A workspace's log: what we did to it, and what its container wrote.
//!
//! A container's text is hostile. Lines are bounded, control characters that could drive a
//! terminal are replaced, and what is not one of the bridge's JSON lines is shown as plain text.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Buf as _, Bytes, BytesMut};
use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;
use kalpana_protocol::orchestrator::LogLine;
use serde::Deserialize;
use tokio::sync::broadcast;

/// Longest text of a line, in bytes.
const TEXT_LIMIT: usize = 8 << 10;

/// Longest raw line that is looked at, in bytes: a JSON line escapes its text.
const RAW_LIMIT: usize = 64 << 10;

/// Lines kept of what we did to a workspace and of the last words of its containers.
const KEPT: usize = 500;

/// Replaces the control characters of a text, tabs apart.
pub(crate) fn printable(text: &str) -> String {
    let safe = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(safe).collect()
}

/// Cuts a text to at most `limit` bytes, between characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Reads one line as the engine returns it: its own time, a space, what the container wrote.
pub(crate) fn parse(line: &[u8]) -> LogLine {
    #[derive(Deserialize)]
    struct Structured {
        at: Timestamp,
        source: String,
        text: String,
    }
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\r', '\n']);
    let (at, text) = match line.split_once(' ') {
        Some((at, text)) if at.parse::<Timestamp>().is_ok() => (at, text),
        _ => ("", line),
    };
    match serde_json::from_str::<Structured>(text) {
        Ok(line) => LogLine {
            at: line.at.to_string(),
            source: match line.source.as_str() {
                known @ ("git" | "editor") => known.to_owned(),
                // In particular never `kalpana`: a container does not speak for us.
                _ => "bridge".to_owned(),
            },
            text: printable(cut(&line.text, TEXT_LIMIT)),
        },
        Err(_) => LogLine {
            at: at.parse::<Timestamp>().unwrap_or_default().to_string(),
            source: "bridge".to_owned(),
            text: printable(cut(text, TEXT_LIMIT)),
        },
    }
}

/// Cuts a stream of bytes into lines, of which it keeps no more than a bounded part.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: BytesMut,
    is_overlong: bool,
}

impl Lines {
    /// Takes the next bytes and returns the lines that they complete.
    pub(crate) fn push(&mut self, mut bytes: Bytes) -> Vec<LogLine> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let part = bytes.split_to(end);
            bytes.advance(1);
            self.keep(&part);
            lines.extend(self.finish());
        }
        self.keep(&bytes);
        lines
    }

    /// Returns the last line, if it had no end.
    pub(crate) fn finish(&mut self) -> Option<LogLine> {
        let is_overlong = std::mem::take(&mut self.is_overlong);
        let line = self.rest.split();
        (is_overlong || !line.is_empty()).then(|| parse(&line))
    }

    fn keep(&mut self, part: &[u8]) {
        let room = RAW_LIMIT.saturating_sub(self.rest.len());
        self.is_overlong |= part.len() > room;
        self.rest.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// What we did to workspaces, and the last words of containers that are gone. In memory, bounded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<HashMap<WorkspaceId, Kept>>>);

#[derive(Debug)]
struct Kept {
    lines: VecDeque<LogLine>,
    news: broadcast::Sender<LogLine>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            news: broadcast::channel(64).0,
        }
    }
}

impl Journal {
    /// Notes something we did, as a line of the workspace's log.
    pub(crate) fn note(&self, workspace: WorkspaceId, at: Timestamp, text: &str) {
        let line = LogLine {
            at: at.to_string(),
            source: "kalpana".to_owned(),
            text: printable(cut(text, TEXT_LIMIT)),
        };
        let mut journal = self.lock();
        let kept = journal.entry(workspace).or_default();
        push(kept, line.clone());
        // There may be nobody to hear.
        let _ = kept.news.send(line);
    }

    /// Keeps the last words of a container that is about to be removed.
    pub(crate) fn keep(&self, workspace: WorkspaceId, lines: Vec<LogLine>) {
        let mut journal = self.lock();
        let kept = journal.entry(workspace).or_default();
        let earlier = kept.lines.clone();
        for line in lines.into_iter().filter(|line| !earlier.contains(line)) {
            push(kept, line);
        }
    }

    /// Returns what is kept, oldest first, and what will be noted from now on.
    pub(crate) fn read(
        &self,
        workspace: WorkspaceId,
    ) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let mut journal = self.lock();
        let kept = journal.entry(workspace).or_default();
        let mut lines: Vec<_> = kept.lines.iter().cloned().collect();
        // Stable, so that lines of one moment keep their order. Unreadable times come first.
        lines.sort_by_key(|line| line.at.parse::<Timestamp>().unwrap_or_default());
        (lines, kept.news.subscribe())
    }

    /// Forgets a workspace.
    pub(crate) fn forget(&self, workspace: WorkspaceId) {
        self.lock().remove(&workspace);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Kept>> {
        self.0.lock().expect("no holder panics")
    }
}

fn push(kept: &mut Kept, line: LogLine) {
    if kept.lines.len() == KEPT {
        kept.lines.pop_front();
    }
    kept.lines.push_back(line);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(at: &str, source: &str, text: &str) -> LogLine {
        LogLine {
            at: at.into(),
            source: source.into(),
            text: text.into(),
        }
    }

    #[test]
    fn the_bridges_lines_are_read() {
        let raw = br#"2026-01-02T03:04:06.123456789Z {"at":"2026-01-02T03:04:05Z","source":"git","text":"Cloning"}"#;
        assert_eq!(parse(raw), line("2026-01-02T03:04:05Z", "git", "Cloning"));
    }

    #[test]
    fn what_is_no_line_of_the_bridge_is_shown_as_text_and_never_as_ours() {
        let at = "2026-01-02T03:04:05Z";
        for (raw, expected) in [
            (
                "Segmentation fault",
                line(at, "bridge", "Segmentation fault"),
            ),
            (
                r#"{"at":"x","source":"git","text":"y"}"#,
                line(at, "bridge", r#"{"at":"x","source":"git","text":"y"}"#),
            ),
            (
                r#"{"at":"2026-01-02T03:04:05Z","source":"kalpana","text":"You were hacked"}"#,
                line(at, "bridge", "You were hacked"),
            ),
            (
                "\u{1b}[31mred\u{7}",
                line(at, "bridge", "\u{fffd}[31mred\u{fffd}"),
            ),
        ] {
            assert_eq!(parse(format!("{at} {raw}").as_bytes()), expected);
        }
        assert_eq!(parse(b"no time").at, "1970-01-01T00:00:00Z");
        assert_eq!(
            parse(b"\xff\xfe").text,
            "no time".replace("no time", "\u{fffd}\u{fffd}")
        );
    }

    #[test]
    fn lines_are_put_together_from_pieces_and_bounded() {
        let mut lines = Lines::default();
        assert_eq!(
            lines.push(Bytes::from_static(b"2026-01-02T03:04:05Z a")),
            vec![]
        );
        let found = lines.push(Bytes::from_static(b"b\n2026-01-02T03:04:05Z c"));
        assert_eq!(found, vec![line("2026-01-02T03:04:05Z", "bridge", "ab")]);
        assert_eq!(lines.finish().map(|line| line.text), Some("c".into()));
        assert_eq!(lines.finish(), None);
        for _ in 0..100 {
            assert_eq!(lines.push(Bytes::from(vec![b'x'; 16 << 10])), vec![]);
        }
        assert!(lines.rest.len() <= RAW_LIMIT);
        let found = lines.push(Bytes::from_static(b"\nnext\n"));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].text.len(), TEXT_LIMIT);
        assert_eq!(found[1].text, "next");
    }

    proptest! {
        #[test]
        fn any_bytes_become_printable_bounded_lines(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut lines = Lines::default();
            let mut found: Vec<LogLine> = chunks.into_iter().flat_map(|chunk| lines.push(chunk.into())).collect();
            found.extend(lines.finish());
            for line in found {
                prop_assert!(!line.text.chars().any(|c| c.is_control() && c != '\t'));
                prop_assert!(line.at.parse::<Timestamp>().is_ok());
            }
        }
    }

    #[test]
    fn the_journal_keeps_a_bounded_number_of_lines_in_order() {
        let journal = Journal::default();
        let id = WorkspaceId::parse("abcdefghij01").unwrap();
        for second in 0..1000 {
            journal.note(
                id,
                Timestamp::from_second(second).unwrap(),
                &second.to_string(),
            );
        }
        journal.keep(id, vec![line("1970-01-01T00:00:00Z", "editor", "first")]);
        let (lines, _) = journal.read(id);
        assert_eq!(lines.len(), KEPT);
        assert_eq!(lines[0].text, "first");
        assert_eq!(lines[KEPT - 1].text, "999");
    }
}
