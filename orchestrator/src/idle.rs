//! Who is idle long enough to be put to sleep, and why the others are not. Pure: no I/O, no clock.
//!
//! A workspace is awake for a person who was there, or for work that goes on. A person is there when
//! they visit or type; a tab that is merely open is nobody. Work goes on when programs of theirs use
//! the processor or the disks, or while `kalpana keep-awake` holds; work that nobody comes to look at
//! for long is frozen all the same, so that what hangs does not hold a workspace awake for ever.
//!
//! [`signs`] keeps what was seen, and [`watch`] looks and acts. Times are uptime: no step of the
//! clock puts anybody to sleep.

pub(crate) mod ask;
pub(crate) mod signs;
pub(crate) mod watch;

use std::time::Duration;

use kalpana_protocol::bridge::Activity;
use kalpana_protocol::orchestrator::AwakeKind;

/// CPU time from which programs count as at work, in thousandths of one CPU. An editor's language
/// servers and file watchers at rest were measured below 20.
const BUSY_CPU_MILLIS: u64 = 50;

/// Disk traffic from which programs count as at work, in bytes per second.
const BUSY_DISK_BYTES: u64 = 512 << 10;

/// Longest that one `kalpana keep-awake` holds: what it takes itself.
const LONGEST_KEEPER: Duration = Duration::from_secs(86_400);

/// How long a workspace may be idle. `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timers {
    /// Until it is put to sleep.
    pub(crate) pause_after: Option<Duration>,
    /// From falling asleep until it is stopped.
    pub(crate) stop_after: Option<Duration>,
    /// How long work goes on that nobody comes to look at.
    pub(crate) unattended: Option<Duration>,
}

/// What shows that a workspace is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Since when it is awake.
    pub(crate) awake_since: Duration,
    /// When a person was last there, and what they did.
    pub(crate) person: Option<(AwakeKind, Duration)>,
    /// When a terminal was last typed into, by the container's word.
    pub(crate) typed: Option<Duration>,
    /// When its programs were last seen at work, and what they were, for people.
    pub(crate) busy: Option<(Duration, String)>,
    /// Until when a program holds it awake, and which, for people.
    pub(crate) keeper: Option<(Duration, String)>,
}

/// Why a workspace is awake, and how long it will be unless something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What kind of sign it is awake for.
    pub(crate) kind: AwakeKind,
    /// The same in words.
    pub(crate) text: String,
    /// When that was seen.
    pub(crate) at: Duration,
    /// When it is put to sleep; `None`: not by itself.
    pub(crate) sleeps_at: Option<Duration>,
}

impl Signs {
    /// Begins with nobody there.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            awake_since: now,
            person: None,
            typed: None,
            busy: None,
            keeper: None,
        }
    }

    /// Notes that a person was there at `at`.
    pub(crate) fn person(&mut self, kind: AwakeKind, at: Duration) {
        if self.person.is_none_or(|(_, known)| known < at) {
            self.person = Some((kind, at));
        }
    }

    /// Notes that somebody or something uses a port at `at`: work, which is bounded, because a page
    /// that is merely open may look the same.
    pub(crate) fn port_used(&mut self, at: Duration) {
        if self.busy.as_ref().is_none_or(|(known, _)| *known < at) {
            self.busy = Some((at, "one of its ports is in use".to_owned()));
        }
    }

    /// Notes that nobody could say at `now` what is at work: it may be that something is.
    pub(crate) fn silent(&mut self, now: Duration) {
        let text = "it does not say what is at work in it";
        self.busy = Some((now, text.to_owned()));
    }

    /// Notes what a bridge saw until `now`. What it says is a container's word: it may keep its own
    /// workspace awake for as long as nobody need come to look at it, and no longer.
    pub(crate) fn activity(&mut self, activity: &Activity, now: Duration) {
        if let Some(seconds) = activity.typed_seconds_ago {
            let at = now.saturating_sub(Duration::from_secs(seconds));
            if at >= self.awake_since {
                self.typed = Some(at);
            }
        }
        let is_busy = activity.cpu_millis >= BUSY_CPU_MILLIS
            || activity.disk_bytes_per_second >= BUSY_DISK_BYTES;
        if is_busy && activity.window_seconds > 0 {
            self.busy = Some((now, at_work(activity)));
        }
        let lasting = activity.keepers.iter().max_by_key(|k| k.seconds_left);
        self.keeper = lasting.map(|keeper| {
            let left = Duration::from_secs(keeper.seconds_left).min(LONGEST_KEEPER);
            let until = now.saturating_add(left);
            let what = match printable(&keeper.command) {
                command if command.is_empty() => "`kalpana keep-awake` holds it".to_owned(),
                command => format!("`kalpana keep-awake` holds it for `{command}`"),
            };
            (until, what)
        });
    }

    /// Judges at `now`.
    pub(crate) fn judge(&self, timers: Timers, now: Duration) -> Verdict {
        let mut verdict = Verdict {
            kind: AwakeKind::Started,
            text: "it was started or woken".to_owned(),
            at: self.awake_since,
            sleeps_at: None,
        };
        if let Some((kind, at)) = self.person
            && at >= verdict.at
        {
            let text = match kind {
                AwakeKind::Typing => "somebody typed",
                _ => "somebody visited it",
            };
            verdict = Verdict {
                kind,
                text: text.to_owned(),
                at,
                ..verdict
            };
        }
        let attended = verdict.at;
        if let Some(at) = self.typed
            && at >= verdict.at
        {
            verdict.kind = AwakeKind::Typing;
            verdict.text = "somebody typed into a terminal".to_owned();
            verdict.at = at;
        }
        if let Some((at, what)) = &self.busy
            && *at >= verdict.at
        {
            verdict.kind = AwakeKind::Busy;
            verdict.text.clone_from(what);
            verdict.at = *at;
        }
        let Some(pause_after) = timers.pause_after else {
            return verdict;
        };
        let mut sleeps_at = verdict.at.saturating_add(pause_after);
        if let Some((until, what)) = self.keeper.as_ref().filter(|(until, _)| *until > now)
            && *until > sleeps_at
        {
            sleeps_at = *until;
            verdict.kind = AwakeKind::KeepAwake;
            verdict.text.clone_from(what);
        }
        if let Some(unattended) = timers.unattended {
            sleeps_at = sleeps_at.min(attended.saturating_add(unattended.max(pause_after)));
        }
        verdict.sleeps_at = Some(sleeps_at);
        verdict
    }
}

/// Says in words what is at work.
fn at_work(activity: &Activity) -> String {
    match activity.busiest.first() {
        Some(busiest) if activity.cpu_millis >= BUSY_CPU_MILLIS => format!(
            "`{}` (pid {}) uses {} % of a CPU",
            printable(&busiest.command),
            busiest.pid,
            busiest.cpu_millis.max(10) / 10
        ),
        Some(busiest) => format!(
            "`{}` (pid {}) reads and writes {} kB/s",
            printable(&busiest.command),
            busiest.pid,
            busiest.disk_bytes_per_second >> 10
        ),
        None => "its programs are at work".to_owned(),
    }
}

/// Makes a container's text fit to be shown in one line.
fn printable(text: &str) -> String {
    let text: String = text.chars().take(100).collect();
    crate::logs::printable(&text).replace('`', "'")
}

#[cfg(test)]
mod tests;
