//! The task that does what is due: reads changed files, signs, orders, renews.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kalpana_domain::Timestamp;
use rustix::fs::{FlockOperation, flock};
use tokio_util::sync::CancellationToken;

use crate::acme::problem::Failure;
use crate::book::{self, Entry, Memory, Task};
use crate::error::Error;
use crate::files::Files;
use crate::local::LocalAuthority;
use crate::plan::{Origin, Wanted};
use crate::renewal;
use crate::served::Served;
use crate::synchronize::Place;
use crate::vault::{self, Kind};
use crate::{Certs, Issuing};

/// How often it is looked whether something is due, at least.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Orders that run at the same time.
const PARALLEL: usize = 16;

/// Tells whether a single host still exists. One that does not is not renewed.
pub type Exists<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

impl Certs {
    /// Replaces certificates that are due, and orders those that are wanted, until `shutdown`. What
    /// fails is tried again; until then the old certificate is served.
    pub async fn keep(&self, exists: Exists<'_>, shutdown: CancellationToken) {
        tokio::join!(
            self.keep_synchronized(exists, &shutdown),
            self.keep_fresh(exists, &shutdown),
        );
    }

    async fn keep_fresh(&self, exists: Exists<'_>, shutdown: &CancellationToken) {
        let mut running = FuturesUnordered::new();
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.refresh();
            if self.may_issue() {
                for (id, task) in self.due(PARALLEL.saturating_sub(running.len()), exists) {
                    running.push(self.work(id, task));
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(()) = running.next() => {}
                _ = checks.tick() => {}
                () = self.wake.notified() => {}
            }
        }
        // What runs is written down, and goes on in the process that comes next.
        drop(running);
        if let Some(issuing) = &self.issuing {
            *issuing.lock.lock().expect("no holder panics") = None;
        }
    }

    /// Looks again at once whether something is due.
    pub fn look(&self) {
        self.wake.notify_one();
    }

    /// Reads files that changed, and has the local authority sign what is due. What fails is shown
    /// in [`Certs::list`]; the old certificate is served on.
    pub fn refresh(&self) {
        let now = self.clock.now();
        for (id, files) in &self.files {
            let fresh = files.load_if_changed(now);
            self.replaced(id, fresh, now, Files::NEXT_STEP);
        }
        let local = self.book().values().find_map(|entry| {
            let is_local = entry.wanted.origin == Origin::Local;
            let served = entry.served.as_ref().filter(|_| is_local)?;
            (served.due_at() <= now).then(|| entry.wanted.id.clone())
        });
        if let (Some(id), Some(authority)) = (local, &self.local) {
            let fresh = authority.obtain(now).map(Some);
            self.replaced(&id, fresh, now, LocalAuthority::NEXT_STEP);
        }
        self.look_for_flaws();
        self.note_ending();
    }

    /// Takes in what came of a look at files.
    fn replaced(
        &self,
        id: &str,
        fresh: Result<Option<Served>, Error>,
        now: Timestamp,
        next_step: &str,
    ) {
        match fresh {
            Ok(None) => {
                // What was wrong is right again, and as it was before.
                if let Some(entry) = self.book().get_mut(id) {
                    entry.memory.problem = None;
                }
            }
            Ok(Some(served)) => {
                tracing::info!(
                    certificate = id,
                    "now serving a certificate for {id} that expires at {}",
                    served.not_after
                );
                let served = Arc::new(served);
                self.note_replaced(id, &served);
                if let Some(entry) = self.book().get_mut(id) {
                    entry.succeeded(Arc::clone(&served));
                }
                self.resolver.put(id, served);
                self.show();
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not replace the certificate for {id}, serving the old one: {error}"
                );
                let mut failure = Failure::storage(&error);
                failure.code = error.code();
                failure.message = error.to_string();
                next_step.clone_into(&mut failure.next_step);
                self.note_failed(id, &failure, now);
                if let Some(entry) = self.book().get_mut(id) {
                    entry.failed(&failure, now);
                    entry.memory.problem =
                        Some(book::problem_of(&failure, now, entry.memory.failures, None));
                }
            }
        }
    }

    /// Tells whether this process orders; another one of the same directory may.
    pub(crate) fn may_issue(&self) -> bool {
        let Some(issuing) = &self.issuing else {
            return false;
        };
        let mut lock = issuing.lock.lock().expect("no holder panics");
        if lock.is_none() {
            let path = issuing.vault.lock_path();
            let opened = File::options().create(true).append(true).open(&path);
            *lock = opened
                .ok()
                .filter(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok());
        }
        lock.is_some()
    }

    /// Returns what is due, at most `room` of it, and notes that it runs.
    fn due(&self, room: usize, exists: Exists<'_>) -> Vec<(String, Task)> {
        let now = self.clock.now();
        let gone: Vec<String> = self
            .book()
            .values()
            .filter(|entry| entry.is_on_demand && entry.task(now) == Some(Task::Issue))
            .filter(|entry| !exists(&entry.wanted.id))
            .map(|entry| entry.wanted.id.clone())
            .collect();
        for id in gone {
            self.forget(&id);
        }
        let mut book = self.book();
        let mut due: Vec<&mut Entry> = book
            .values_mut()
            .filter(|entry| entry.task(now).is_some())
            .collect();
        // The site's own come first, and what is missing before what is to be replaced.
        due.sort_by_key(|entry| (entry.is_on_demand, entry.served.is_some()));
        due.into_iter()
            .take(room)
            .filter_map(|entry| {
                let task = entry.task(now)?;
                entry.is_running = true;
                Some((entry.wanted.id.clone(), task))
            })
            .collect()
    }

    /// Forgets the certificate of a host that is gone.
    fn forget(&self, id: &str) {
        self.book().remove(id);
        self.resolver.take(id);
        if let Some(issuing) = &self.issuing {
            if let Err(error) = issuing.vault.forget(id) {
                tracing::warn!(%error, "could not remove the certificate for {id}: {error}");
            }
            if issuing.shared.is_some() {
                issuing.withdrawn().insert(id.to_owned());
                issuing.look.notify_one();
            }
        }
        self.announce();
    }

    async fn work(&self, id: String, task: Task) {
        let Some(issuing) = &self.issuing else { return };
        match task {
            Task::Issue => self.issue_one(issuing, &id).await,
            Task::AskWindow => self.ask_window(issuing, &id).await,
        }
    }

    async fn issue_one(&self, issuing: &Issuing, id: &str) {
        let Some((wanted, old, failures, is_asked_for)) = self.book().get(id).map(|entry| {
            let Entry { wanted, memory, .. } = entry;
            let is_asked_for = entry.is_asked_for || memory.is_revoked;
            (
                wanted.clone(),
                entry.served.clone(),
                memory.failures,
                is_asked_for,
            )
        }) else {
            return;
        };
        if !is_asked_for && let Some(newer) = self.newer(issuing, &wanted, old.as_deref()) {
            let newer = Arc::new(newer);
            self.resolver.put(id, Arc::clone(&newer));
            self.note_replaced(id, &newer);
            self.settle(issuing, id, |entry| entry.succeeded(newer));
            self.end_stand_in();
            self.show();
            self.announce();
            return;
        }
        let note = |step| {
            if let Some(entry) = self.book().get_mut(id) {
                entry.step = Some(step);
            }
            if let Some(observer) = &self.observer {
                observer(id, step);
            }
        };
        let (issued, turn) = match self.place(id, is_asked_for).await {
            Ok(Place::Others) => return,
            Ok(Place::Ours(mut turn)) => {
                let replaces = old.as_ref().map(|old| old.leaf());
                let issue = issuing.acme.issue(&wanted, replaces, failures, &note);
                let issued = tokio::select! {
                    issued = issue => Some(issued),
                    () = self.keep_turn(turn.as_mut()) => None,
                };
                match issued {
                    Some(issued) => (issued, turn),
                    None => (Err(Failure::turn_lost()), None),
                }
            }
            Err(failure) => (Err(failure), None),
        };
        let now = self.clock.now();
        match issued {
            Ok(served) => {
                let served = Arc::new(served);
                tracing::info!(
                    certificate = id,
                    "now serving a certificate for {id} by {} that expires at {}",
                    served.issuer,
                    served.not_after
                );
                self.metrics.ordered("issued");
                self.resolver.put(id, Arc::clone(&served));
                self.note_replaced(id, &served);
                self.settle(issuing, id, |entry| entry.succeeded(served));
                self.end_stand_in();
            }
            Err(failure) => {
                self.metrics.ordered(failure.code);
                self.note_failed(id, &failure, now);
                self.settle(issuing, id, |entry| entry.failed(&failure, now));
                self.report(id, old.as_deref(), &failure, now);
            }
        }
        self.show();
        self.announce();
        self.pass_on(id, turn).await;
    }

    /// Returns what is kept, if it is better than what is served: the process before may have ordered
    /// it after this one had looked, and then handed over.
    fn newer(&self, issuing: &Issuing, wanted: &Wanted, old: Option<&Served>) -> Option<Served> {
        let kept = issuing.vault.certificate(&wanted.id)?;
        self.is_better(wanted, old, &kept).then_some(kept)
    }

    /// Returns what another gateway has, in PEM, if it is better than what is served.
    pub(crate) fn better(
        &self,
        wanted: &Wanted,
        old: Option<&Served>,
        pem: &str,
    ) -> Option<Served> {
        let offered = vault::read_copy(pem)
            .inspect_err(|error| {
                tracing::error!(%error, "another gateway's certificate cannot be used: {error}");
            })
            .ok()?;
        self.is_better(wanted, old, &offered).then_some(offered)
    }

    fn is_better(&self, wanted: &Wanted, old: Option<&Served>, offered: &Served) -> bool {
        let is_newer = old.is_none_or(|old| old.not_before < offered.not_before);
        is_newer && offered.covers(&wanted.names) && offered.not_after > self.clock.now()
    }

    /// Says that there is no new certificate, the louder the less time is left.
    fn report(&self, id: &str, old: Option<&Served>, failure: &Failure, now: Timestamp) {
        let Failure {
            code,
            message,
            next_step,
            ..
        } = failure;
        let alert = old.and_then(|old| {
            renewal::alert(old.not_before, old.not_after, now).map(|_| old.not_after)
        });
        match (alert, old) {
            (Some(end), _) => tracing::error!(
                certificate = id,
                code,
                "could not renew the certificate for {id}, which ends at {end}: {message}. {next_step}"
            ),
            (None, Some(_)) => tracing::warn!(
                certificate = id,
                code,
                "could not renew the certificate for {id} yet: {message}. {next_step}"
            ),
            (None, None) => tracing::error!(
                certificate = id,
                code,
                "could not get a certificate for {id}: {message}. {next_step}"
            ),
        }
    }

    async fn ask_window(&self, issuing: &Issuing, id: &str) {
        let served = self.book().get(id).and_then(|entry| entry.served.clone());
        let Some(served) = served else { return };
        let answer = issuing.acme.window(served.leaf()).await;
        let tomorrow = self.clock.now().as_second() + 86_400;
        let tomorrow = Timestamp::from_second(tomorrow).unwrap_or(Timestamp::MAX);
        self.settle(issuing, id, |entry| {
            entry.is_running = false;
            match answer {
                Some((window, again)) => {
                    entry.memory.window = Some(window);
                    entry.memory.ask_again = Some(again);
                }
                None => entry.memory.ask_again = Some(tomorrow),
            }
        });
        self.show();
    }

    /// Changes an entry, and writes down what is to be remembered of it.
    pub(crate) fn settle(&self, issuing: &Issuing, id: &str, change: impl FnOnce(&mut Entry)) {
        let memory: Option<Memory> = self.book().get_mut(id).map(|entry| {
            change(entry);
            entry.memory.clone()
        });
        let Some(memory) = memory else { return };
        if let Err(error) = issuing.vault.write(Kind::State, id, &memory) {
            tracing::error!(%error, "could not write down how the certificate for {id} is: {error}");
        }
    }

    /// Ends the stand-in once every certificate of the site is there.
    pub(crate) fn end_stand_in(&self) {
        let is_whole = self
            .book()
            .values()
            .all(|entry| entry.is_on_demand || entry.served.is_some());
        if is_whole {
            self.resolver.stand_in(None);
        }
    }

    pub(crate) fn announce(&self) {
        self.ended.send_modify(|count| *count += 1);
    }

    /// Shows in metrics how everything is.
    pub(crate) fn show(&self) {
        self.metrics.show(&self.book(), self.clock.now());
    }
}
