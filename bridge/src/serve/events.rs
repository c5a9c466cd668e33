//! What happened so far, and who wants to hear what happens next.

use std::sync::{Arc, Mutex, PoisonError};

use kalpana_protocol::bridge::{
    LogLine, LogSource, Outgoing, Phase, PhaseName, PhaseStatus, TEXT_LIMIT, notification,
};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::{clock, log};

/// Notifications that may wait for one client. A client that falls further behind is dropped.
const QUEUE_LIMIT: usize = 512;

/// The phases so far and the clients that follow them.
#[derive(Debug)]
pub(super) struct Events {
    phases: Mutex<Vec<Phase>>,
    listeners: broadcast::Sender<Arc<str>>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            phases: Mutex::default(),
            listeners: broadcast::Sender::new(QUEUE_LIMIT),
        }
    }

    /// Notes where a phase stands and tells every client.
    pub(super) fn phase(&self, mut phase: Phase) {
        for text in [&mut phase.detail, &mut phase.message]
            .into_iter()
            .flatten()
        {
            text.truncate(text.floor_char_boundary(TEXT_LIMIT));
        }
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let text = notify(notification::PHASE, serde_json::to_value(&phase));
        let known = phases.iter_mut().find(|known| known.name == phase.name);
        // Progress within a phase is for whoever watches, not for the record.
        if known
            .as_ref()
            .is_none_or(|known| known.status != phase.status)
        {
            log::say_to_init(&sentence(&phase));
        }
        match known {
            Some(known) => *known = phase,
            None => phases.push(phase),
        }
        // Sent under the lock, so that `follow` neither misses nor repeats anything.
        self.send(text);
    }

    /// Tells every client what a child wrote.
    pub(super) fn log(&self, source: LogSource, text: String) {
        if self.listeners.receiver_count() > 0 {
            let line = LogLine {
                at: clock::now(),
                source,
                text,
            };
            self.send(notify(notification::LOG, serde_json::to_value(&line)));
        }
    }

    /// Returns the phases so far and a queue of all that follows them.
    pub(super) fn follow(&self) -> (Vec<Phase>, broadcast::Receiver<Arc<str>>) {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        (phases.clone(), self.listeners.subscribe())
    }

    fn send(&self, text: Arc<str>) {
        // Without a client there is nobody to tell.
        let _ = self.listeners.send(text);
    }
}

/// Returns where a phase stands, for people who read the log.
fn sentence(phase: &Phase) -> String {
    let name = match phase.name {
        PhaseName::Boot => "boot",
        PhaseName::Clone => "repository",
        PhaseName::Editor => "editor",
    };
    let status = match phase.status {
        PhaseStatus::Running => "started",
        PhaseStatus::Done => "ready",
        PhaseStatus::Failed => "failed",
    };
    match phase.message.as_ref().or(phase.detail.as_ref()) {
        Some(more) => format!("{name} {status}: {more}"),
        None => format!("{name} {status}"),
    }
}

fn notify(method: &str, params: serde_json::Result<Value>) -> Arc<str> {
    let params = params.expect("phases and lines have text keys and no failing values");
    Outgoing::notification(method, params).to_text().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follower_gets_each_phase_once() {
        let events = Events::new();
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        events.phase(Phase::done(PhaseName::Boot, at));
        events.phase(Phase::running(PhaseName::Clone, at));
        let (phases, mut queue) = events.follow();
        assert_eq!(
            phases,
            [
                Phase::done(PhaseName::Boot, at),
                Phase::running(PhaseName::Clone, at)
            ]
        );
        assert!(queue.is_empty());
        events.phase(Phase::done(PhaseName::Clone, at));
        assert_eq!(
            &*queue.try_recv().unwrap(),
            r#"{"jsonrpc":"2.0","method":"phase","params":{"at":"2026-01-02T03:04:05Z","name":"clone","status":"done"}}"#
        );
        assert_eq!(events.follow().0[1], Phase::done(PhaseName::Clone, at));
    }

    #[test]
    fn log_says_what_happened_and_why() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let failed = Phase::failed(PhaseName::Clone, at, Phase::CLONE_FAILED, "No.".into());
        assert_eq!(sentence(&failed), "repository failed: No.");
        assert_eq!(
            sentence(&Phase::done(PhaseName::Editor, at)),
            "editor ready"
        );
    }

    #[test]
    fn slow_follower_lags_and_nobody_waits() {
        let events = Events::new();
        let (_, mut queue) = events.follow();
        for number in 0..=QUEUE_LIMIT {
            events.log(LogSource::Git, number.to_string());
        }
        assert!(matches!(
            queue.try_recv(),
            Err(broadcast::error::TryRecvError::Lagged(1))
        ));
    }
}
