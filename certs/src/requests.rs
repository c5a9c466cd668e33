//! What visitors and operators ask for.

use std::sync::Arc;

use kalpana_domain::Timestamp;
use kalpana_protocol::certificates::{Certificate, Problem};

use crate::Certs;
use crate::book::{self, Entry, Memory};
use crate::keeper::Exists;
use crate::plan::{self, Origin, Wanted};

impl Certs {
    /// Tells whether hosts have certificates of their own, and this one has none yet.
    pub fn lacks(&self, host: &str) -> bool {
        self.is_on_demand() && !self.resolver.names(host)
    }

    /// Tells whether hosts have certificates of their own.
    pub fn is_on_demand(&self) -> bool {
        let issuing = self.issuing.as_ref();
        issuing.is_some_and(|issuing| issuing.is_on_demand)
    }

    /// Tells whether a certificate for `host` was asked for before.
    pub fn knows(&self, host: &str) -> bool {
        self.book().contains_key(host)
    }

    /// Returns how many single hosts that `fit` have certificates, or want them.
    pub fn count_single_hosts(&self, fit: &dyn Fn(&str) -> bool) -> usize {
        let book = self.book();
        let single = book.values().filter(|entry| entry.is_on_demand);
        single.filter(|entry| fit(&entry.wanted.id)).count()
    }

    /// Waits for the certificate of a single host that exists, and is ordered if nobody has; `false`
    /// when it cannot be had now. `host` is in lower case. May be dropped at any time: the order
    /// goes on.
    ///
    /// A host that failed lately is not tried again before its time, nor is one that is beyond the
    /// week's budget.
    pub async fn want(&self, host: &str) -> bool {
        let mut ended = self.ended.subscribe();
        if !self.ask_for_host(host) {
            return self.resolver.names(host);
        }
        self.wake.notify_one();
        loop {
            match self.book().get(host) {
                Some(entry) if entry.served.is_some() => return true,
                Some(entry) if entry.memory.problem.is_none() => {}
                _ => return false,
            }
            if ended.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Enters a host; `false` when there is nothing to wait for.
    fn ask_for_host(&self, host: &str) -> bool {
        let Some(issuing) = self.issuing.as_ref().filter(|issuing| issuing.is_on_demand) else {
            return false;
        };
        let now = self.clock.now();
        let mut book = self.book();
        if let Some(entry) = book.get(host) {
            let is_due = entry.issue_at().is_some_and(|at| at <= now);
            return entry.served.is_none() && (entry.is_running || is_due);
        }
        let mut entry = self.remembered(Wanted::new(vec![host.to_owned()], Origin::Acme));
        entry.is_on_demand = true;
        if let Some(served) = &entry.served {
            // The process before ordered it, after this one had looked.
            self.resolver.put(host, Arc::clone(served));
            book.insert(host.to_owned(), entry);
            return false;
        }
        match issuing.budget().spend(&issuing.vault, now) {
            Ok(Ok(())) => {}
            Ok(Err(free)) => {
                self.metrics.ordered("over_budget");
                tracing::warn!(
                    host,
                    "no certificate for {host}: the week's budget is spent; the next can be \
                     ordered at {free}"
                );
                return false;
            }
            Err(error) => {
                tracing::error!(%error, "no certificate for {host}: {error}");
                return false;
            }
        }
        // One that failed before a restart is not tried sooner for it.
        let is_due = entry.issue_at().is_some_and(|at| at <= now);
        book.insert(host.to_owned(), entry);
        is_due
    }

    /// Orders a new certificate for `id` now, whenever it would be due, and waits for it.
    ///
    /// # Errors
    /// [`Problem`]: it is unknown, brought by an operator, or could not be had.
    pub async fn renew(&self, id: &str) -> Result<Certificate, Problem> {
        let now = self.clock.now();
        if self.issuing.is_some() && !self.may_issue() {
            return Err(refused(
                "certificate_elsewhere",
                "another process of this site orders certificates".to_owned(),
                "Ask that one; during an upgrade, try again in a moment.",
                now,
            ));
        }
        let mut ended = self.ended.subscribe();
        let before = {
            let mut book = self.book();
            let entry = book.get_mut(id).ok_or_else(|| unknown(id, now))?;
            match entry.wanted.origin {
                Origin::Acme => {}
                Origin::Files { .. } => {
                    return Err(refused(
                        "certificate_from_files",
                        format!("the certificate for {id} comes from files"),
                        "Replace the files; they are read again within a minute.",
                        now,
                    ));
                }
                Origin::Local => {
                    return Err(refused(
                        "certificate_local",
                        format!("the certificate for {id} is signed by the site's own authority"),
                        "Nothing needs to be done: it is replaced by itself.",
                        now,
                    ));
                }
            }
            entry.is_asked_for = true;
            entry.attempts
        };
        self.wake.notify_one();
        loop {
            {
                let book = self.book();
                let entry = book.get(id).ok_or_else(|| unknown(id, now))?;
                if entry.attempts > before {
                    return match &entry.memory.problem {
                        None => Ok(entry.show(self.clock.now())),
                        Some(problem) => Err(problem.clone()),
                    };
                }
            }
            if ended.changed().await.is_err() {
                return Err(unknown(id, now));
            }
        }
    }

    /// Orders a certificate for a host of the site that has none, and waits for it.
    ///
    /// # Errors
    /// [`Problem`], as of [`Certs::renew`]; there is no such host (`exists`); or the week's budget
    /// is spent.
    pub async fn issue(&self, host: &str, exists: Exists<'_>) -> Result<Certificate, Problem> {
        let now = self.clock.now();
        let id = plan::id_of(host);
        if self.book().contains_key(&id) {
            return self.renew(&id).await;
        }
        if !self.lacks(host) {
            return Err(refused(
                "certificate_covered",
                format!("{host} is named by a certificate that is there"),
                "`kalpana certs list` shows them; `kalpana certs renew` replaces one.",
                now,
            ));
        }
        if !exists(host) {
            return Err(refused(
                "certificate_no_host",
                format!("no workspace of this site is at {host}"),
                "A certificate is ordered for the host of a workspace, or of one of its ports, as \
                 the workspace's page shows it.",
                now,
            ));
        }
        let has_it = self.want(host).await;
        let book = self.book();
        match book.get(&id) {
            Some(entry) if has_it => Ok(entry.show(self.clock.now())),
            Some(Entry {
                memory:
                    Memory {
                        problem: Some(problem),
                        ..
                    },
                ..
            }) => Err(problem.clone()),
            _ => Err(refused(
                "certificate_budget",
                "no more certificates may be ordered for single hosts this week".to_owned(),
                "Wait, prove a wildcard by DNS (certs.acme.dns), or raise \
                 certs.acme.on_demand_per_week if the authority allows more.",
                now,
            )),
        }
    }

    /// Has the authority declare a certificate void, and orders another with another key. The old
    /// one is served until that is there.
    ///
    /// # Errors
    /// [`Problem`]: it is unknown, not of an authority, or the authority refused.
    pub async fn revoke(&self, id: &str) -> Result<Certificate, Problem> {
        let now = self.clock.now();
        let found = self.book().get(id).map(|entry| {
            let is_issued = entry.wanted.origin == Origin::Acme;
            entry.served.clone().filter(|_| is_issued)
        });
        let (Some(served), Some(issuing)) = (found.ok_or_else(|| unknown(id, now))?, &self.issuing)
        else {
            return Err(refused(
                "certificate_not_issued",
                format!("no authority has issued the certificate for {id}"),
                "There is nothing to revoke.",
                now,
            ));
        };
        let revoked = issuing.acme.revoke(served.leaf()).await;
        revoked.map_err(|failure| book::problem_of(&failure, now, 1, None))?;
        tracing::warn!(
            certificate = id,
            serial = served.serial,
            "revoked the certificate for {id} with serial number {}",
            served.serial
        );
        self.note_revoked(id, &served);
        self.settle(issuing, id, |entry| entry.memory.is_revoked = true);
        self.renew(id).await
    }
}

fn unknown(id: &str, now: Timestamp) -> Problem {
    refused(
        "certificate_unknown",
        format!("there is no certificate called {id}"),
        "`kalpana certs list` shows them.",
        now,
    )
}

fn refused(code: &str, message: String, next_step: &str, at: Timestamp) -> Problem {
    Problem {
        code: code.to_owned(),
        message,
        next_step: next_step.to_owned(),
        at,
        failures: 1,
        retry_at: None,
    }
}
