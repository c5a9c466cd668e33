//! What is known of each certificate: wanted, served, when next, and why not. Pure but for the clock
//! that is passed in.

use std::collections::BTreeMap;
use std::sync::Arc;

use kalpana_domain::Timestamp;
use kalpana_protocol::certificates::{Certificate, CertificateState, Problem, Shown};
use serde::{Deserialize, Serialize};

use crate::acme::Step;
use crate::acme::problem::Failure;
use crate::plan::{Origin, Wanted};
use crate::renewal::{self, Window};
use crate::served::Served;

/// All certificates, by what they are called.
pub(crate) type Book = BTreeMap<String, Entry>;

/// One certificate.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) wanted: Wanted,
    /// Whether it is of a single host, and there because somebody came to it.
    pub(crate) is_on_demand: bool,
    pub(crate) served: Option<Arc<Served>>,
    pub(crate) memory: Memory,
    /// Whether somebody asked for a new one, whenever it would be due.
    pub(crate) is_asked_for: bool,
    /// What is being done for it.
    pub(crate) step: Option<Step>,
    /// Whether something is.
    pub(crate) is_running: bool,
    /// Whether another gateway was found doing it, or it cannot be asked yet whether one does.
    pub(crate) is_elsewhere: bool,
    /// How many attempts have ended since the start.
    pub(crate) attempts: u64,
    /// What visitors will stumble over in one that an operator brought.
    pub(crate) flaw: Option<Failure>,
    /// The days before its end of which was told last.
    pub(crate) alerted: Option<i64>,
}

/// What is remembered of a certificate across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Why the last attempt failed.
    pub(crate) problem: Option<Problem>,
    /// How many have failed in a row.
    pub(crate) failures: u32,
    /// When the authority would like it to be replaced.
    pub(crate) window: Option<Window>,
    /// When to ask it again.
    pub(crate) ask_again: Option<Timestamp>,
    /// Whether it was declared void, so that it must be replaced.
    pub(crate) is_revoked: bool,
    /// Fingerprint of the certificate that was last written into the journal.
    pub(crate) noted: Option<String>,
}

/// What is to be done for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Order one.
    Issue,
    /// Ask the authority when it is to be replaced.
    AskWindow,
}

impl Entry {
    pub(crate) fn new(wanted: Wanted, served: Option<Served>, memory: Memory) -> Self {
        Self {
            wanted,
            is_on_demand: false,
            served: served.map(Arc::new),
            memory,
            is_asked_for: false,
            step: None,
            is_running: false,
            is_elsewhere: false,
            attempts: 0,
            flaw: None,
            alerted: None,
        }
    }

    /// Returns when the next certificate is to be ordered; `None` where nothing is.
    pub(crate) fn issue_at(&self) -> Option<Timestamp> {
        match self.wanted.origin {
            Origin::Acme => {}
            Origin::Local => return self.served.as_ref().map(|served| served.due_at()),
            Origin::Files { .. } => return None,
        }
        let retry = self
            .memory
            .problem
            .as_ref()
            .and_then(|problem| problem.retry_at);
        let renewal = match &self.served {
            Some(served) if !self.memory.is_revoked && served.covers(&self.wanted.names) => {
                renewal::renew_at(
                    served.not_before,
                    served.not_after,
                    self.memory.window,
                    renewal::seed(&served.fingerprint),
                )
            }
            _ => Timestamp::MIN,
        };
        Some(retry.map_or(renewal, |retry| renewal.max(retry)))
    }

    /// Returns what is to be done at `now`.
    pub(crate) fn task(&self, now: Timestamp) -> Option<Task> {
        if self.is_running || self.is_elsewhere || self.wanted.origin != Origin::Acme {
            return None;
        }
        if self.is_asked_for || self.issue_at().is_some_and(|at| at <= now) {
            return Some(Task::Issue);
        }
        let asks = self.served.is_some() && self.memory.ask_again.is_none_or(|at| at <= now);
        asks.then_some(Task::AskWindow)
    }

    /// Takes in a new certificate.
    pub(crate) fn succeeded(&mut self, served: Arc<Served>) {
        self.memory = Memory {
            noted: Some(served.fingerprint.clone()),
            ..Memory::default()
        };
        self.served = Some(served);
        self.alerted = None;
        self.ended();
    }

    /// Takes in that there is none.
    pub(crate) fn failed(&mut self, failure: &Failure, now: Timestamp) {
        self.memory.failures = self.memory.failures.saturating_add(1);
        let retry_at = renewal::retry_at(now, self.memory.failures, failure.retry_after);
        self.memory.problem = Some(problem_of(
            failure,
            now,
            self.memory.failures,
            Some(retry_at),
        ));
        self.ended();
    }

    fn ended(&mut self) {
        self.is_running = false;
        self.is_elsewhere = false;
        self.is_asked_for = false;
        self.step = None;
        self.attempts += 1;
    }

    /// Shows it to people.
    pub(crate) fn show(&self, now: Timestamp) -> Certificate {
        let flaw = self
            .flaw
            .as_ref()
            .map(|flaw| problem_of(flaw, now, 0, None));
        let problem = self.memory.problem.clone().or(flaw);
        let state = match &self.served {
            None => CertificateState::Missing,
            Some(served) if served.not_after <= now => CertificateState::Expired,
            Some(_) if problem.is_some() => CertificateState::Failing,
            Some(_) => CertificateState::Good,
        };
        Certificate {
            id: self.wanted.id.clone(),
            names: self.wanted.names.clone(),
            source: self.wanted.origin.name().to_owned(),
            state,
            served: self.served.as_deref().map(shown),
            next_renewal: self.issue_at().map(|at| at.max(now)),
            step: self.step.map(|step| step.words().to_owned()),
            problem,
        }
    }
}

/// Puts a failure into the shape that people are told.
pub(crate) fn problem_of(
    failure: &Failure,
    at: Timestamp,
    failures: u32,
    retry_at: Option<Timestamp>,
) -> Problem {
    Problem {
        code: failure.code.to_owned(),
        message: failure.message.clone(),
        next_step: failure.next_step.clone(),
        at,
        failures,
        retry_at,
    }
}

fn shown(served: &Served) -> Shown {
    Shown {
        issuer: served.issuer.clone(),
        serial: served.serial.clone(),
        not_before: served.not_before,
        not_after: served.not_after,
        chain_length: served.key.cert.len(),
        fingerprint: served.fingerprint.clone(),
    }
}
