//! How far a move is, on standard error: one line that is redrawn on a terminal, lines of their own
//! elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kalpana_store::transfer::mover::{Progress, Stage};

use super::words;

/// How often counts are shown: on a terminal, and elsewhere.
const OFTEN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Where progress is shown.
pub(super) struct Display {
    is_terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the last line is to be drawn over.
    is_open: bool,
    shown_at: Option<Instant>,
}

impl Display {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            state: Mutex::default(),
        }
    }

    /// Shows what happened.
    pub(super) fn show(&self, event: &Progress) {
        match event {
            Progress::Copied { of: 0, .. } | Progress::Compared { done: 0, .. } => {}
            Progress::Copied {
                collection,
                done,
                of,
            } => {
                let share = u128::from(*done) * 100 / u128::from(*of);
                let line = format!(
                    "copying {}: {} of {} ({share} %)",
                    collection.name(),
                    words::number(*done),
                    words::number(*of),
                );
                self.count(&line, done == of);
            }
            Progress::Compared { collection, done } => {
                let line = format!("comparing {}: {}", collection.name(), words::number(*done));
                self.count(&line, false);
            }
            other => {
                if let Some(line) = line(other) {
                    self.lasting(&line);
                }
            }
        }
    }

    /// Leaves the last line as it is.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_open) {
            let _ = writeln!(std::io::stderr().lock());
        }
    }

    /// Shows a line that the next one replaces, unless one was shown a moment ago.
    fn count(&self, line: &str, is_last: bool) {
        let mut state = self.lock();
        let often = if self.is_terminal { OFTEN.0 } else { OFTEN.1 };
        if !is_last && state.shown_at.is_some_and(|at| at.elapsed() < often) {
            return;
        }
        state.shown_at = Some(Instant::now());
        self.write(&mut state, line, self.is_terminal && !is_last);
    }

    fn lasting(&self, line: &str) {
        self.write(&mut self.lock(), line, false);
    }

    fn write(&self, state: &mut State, line: &str, is_open: bool) {
        // Nobody may be reading any more; the move goes on.
        let mut stderr = std::io::stderr().lock();
        let begin = if state.is_open { "\r\u{1b}[K" } else { "" };
        let end = if is_open { "" } else { "\n" };
        let _ = write!(stderr, "{begin}{line}{end}");
        let _ = stderr.flush();
        state.is_open = is_open;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(event: &Progress) -> Option<String> {
    let text = match event {
        Progress::Began { stage } => match stage {
            Stage::Fresh => return None,
            Stage::HalfFilled => "going on where an earlier run stopped",
            Stage::Retired => "an earlier run copied everything; only its last step is left",
            Stage::Done => "an earlier run did everything",
        },
        Progress::Copied { .. } | Progress::Compared { .. } => return None,
        Progress::WaitingForFreeze { at_most } => {
            return Some(format!(
                "waiting for an earlier run to let go of the source, {} s at most",
                at_most.as_secs()
            ));
        }
        Progress::Frozen => "froze the source: changes wait, reading goes on",
        Progress::Verified(moved) => {
            return Some(format!(
                "verified {}: {}, the same on both sides",
                moved.collection.name(),
                words::number(moved.count)
            ));
        }
        Progress::Thawed { is_lifted: true } => "thawed the source: it takes changes again",
        Progress::Thawed { is_lifted: false } => {
            "the freeze of the source ran out: it takes changes again"
        }
        Progress::Retired => "retired the source: it takes no more changes",
        Progress::Completed => "completed the destination",
    };
    Some(text.to_owned())
}
