//! Taking over what other gateways of the site ordered, and letting them have what this one did.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::acme::problem::Failure;
use crate::book::{Entry, Memory};
use crate::budget;
use crate::error::Error;
use crate::keeper::Exists;
use crate::plan::{Origin, Wanted};
use crate::shared::{Copy, Foreign, Pace, Shared, Turn};
use crate::shelf::{Shelf, ShelfError};
use crate::{Certs, Issuing};

/// How often it is looked, at least, while somebody waits for what another gateway orders.
const LOOK_WHILE_WAITING: Duration = Duration::from_secs(1);

/// Whether this gateway may order.
pub(crate) enum Place {
    /// It may: no other orders the same.
    Ours(Option<Turn>),
    /// Another one has ordered it, or does.
    Others,
}

impl Certs {
    /// Shares certificates with the other gateways of the site over `shelf`: one orders, all serve.
    ///
    /// # Errors
    /// [`Error::Unwritable`] when it cannot be written down which gateway this is.
    pub fn shared_over(mut self, shelf: Arc<dyn Shelf>, pace: Pace) -> Result<Self, Error> {
        let Some(issuing) = &mut self.issuing else {
            return Ok(self);
        };
        let holder = issuing.vault.holder()?;
        let shared = Arc::new(Shared::new(shelf, holder, pace));
        issuing.acme.share(Arc::clone(&shared));
        issuing.shared = Some(Arc::clone(&shared));
        let served = self.book.get_mut().expect("no holder panics").values();
        let served =
            served.filter(|entry| entry.wanted.origin == Origin::Acme && entry.served.is_some());
        let served = served.map(|entry| entry.wanted.id.clone());
        issuing.ungiven = BTreeSet::from_iter(served).into();
        self.resolver.answers().share(Foreign::new(shared));
        Ok(self)
    }

    /// Looks again and again what other gateways ordered, until `shutdown`. Ends at once where
    /// nothing is shared.
    pub(crate) async fn keep_synchronized(&self, exists: Exists<'_>, shutdown: &CancellationToken) {
        let Some((issuing, shared)) = self.sharing() else {
            return;
        };
        let look = shared.pace().look;
        let mut was_away = false;
        loop {
            let looked = tokio::select! {
                () = shutdown.cancelled() => return,
                looked = self.synchronize(issuing, shared, exists) => looked,
            };
            match looked {
                Ok(()) => {
                    was_away = false;
                    if shared.is_back() {
                        self.try_what_was_not_agreed();
                    }
                }
                Err(error) => {
                    if !shared.may_come_back(&error) && !std::mem::replace(&mut was_away, true) {
                        tracing::warn!(
                            %error,
                            "certificates of other gateways are not seen: {error}"
                        );
                    }
                }
            }
            if self.wait_no_longer() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(look.min(LOOK_WHILE_WAITING)) => {}
                }
            } else {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = issuing.look.notified() => {}
                    () = tokio::time::sleep(look) => {}
                }
            }
        }
    }

    /// Has what the gateways could not agree on tried now that they can.
    fn try_what_was_not_agreed(&self) {
        for entry in self.book().values_mut() {
            let problem = entry.memory.problem.as_mut();
            if let Some(problem) = problem.filter(|problem| problem.code == Failure::SHARED) {
                problem.retry_at = None;
            }
        }
        self.look();
    }

    fn sharing(&self) -> Option<(&Issuing, &Arc<Shared>)> {
        let issuing = self.issuing.as_ref()?;
        Some((issuing, issuing.shared.as_ref()?))
    }

    /// Lets what another gateway was doing be tried again here; tells whether there was any.
    fn wait_no_longer(&self) -> bool {
        let mut was_waiting = false;
        for entry in self.book().values_mut() {
            was_waiting |= std::mem::take(&mut entry.is_elsewhere);
        }
        if was_waiting {
            self.look();
        }
        was_waiting
    }

    async fn synchronize(
        &self,
        issuing: &Issuing,
        shared: &Shared,
        exists: Exists<'_>,
    ) -> Result<(), ShelfError> {
        for (id, copy) in shared.news().await? {
            // What is being ordered here is looked at again when its turn comes.
            let is_running = self.book().get(&id).is_some_and(|entry| entry.is_running);
            if is_running {
                continue;
            }
            if self.book().contains_key(&id) || (issuing.is_on_demand && exists(&id)) {
                self.adopt(issuing, &id, copy);
            }
        }
        let ungiven = issuing.ungiven().clone();
        for id in ungiven {
            self.give(issuing, shared, &id).await?;
            issuing.ungiven().remove(&id);
        }
        let withdrawn = issuing.withdrawn().clone();
        for id in withdrawn {
            shared.withdraw(&id).await?;
            issuing.withdrawn().remove(&id);
        }
        if issuing.is_on_demand {
            let now = self.clock.now();
            let here = issuing.budget().spent(now);
            let all = shared.spent(&here, budget::since(now)).await?;
            issuing.budget().join(&all);
        }
        Ok(())
    }

    /// Gives a certificate to the others, unless what they have is better: that is taken then.
    async fn give(&self, issuing: &Issuing, shared: &Shared, id: &str) -> Result<(), ShelfError> {
        let (version, copy) = shared.copy(id).await?;
        if copy.is_some_and(|copy| self.adopt(issuing, id, copy)) {
            return Ok(());
        }
        let memory = self.book().get(id).map(|entry| entry.memory.clone());
        let Some(memory) = memory else { return Ok(()) };
        let pem = issuing.vault.copy(id);
        shared.give(id, version, &Copy { pem, memory }).await
    }

    /// Takes in what another gateway has of a certificate. Returns whether it is a better one.
    fn adopt(&self, issuing: &Issuing, id: &str, copy: Copy) -> bool {
        let mut is_running = false;
        let (wanted, old, known) = match self.book().get(id) {
            Some(entry) => {
                is_running = entry.is_running;
                (
                    entry.wanted.clone(),
                    entry.served.clone(),
                    entry.memory.clone(),
                )
            }
            None => {
                let wanted = Wanted::new(vec![id.to_owned()], Origin::Acme);
                (wanted, None, Default::default())
            }
        };
        if wanted.origin != Origin::Acme || wanted.id != id {
            return false;
        }
        if let Some(pem) = &copy.pem
            && let Some(better) = self.better(&wanted, old.as_deref(), pem)
        {
            match issuing.vault.keep_copy(id, pem) {
                Ok(_) => {
                    tracing::info!(
                        certificate = id,
                        "now serving the certificate for {id} that another gateway ordered; it \
                         expires at {}",
                        better.not_after
                    );
                    let better = Arc::new(better);
                    self.enter_single_host(wanted);
                    self.resolver.put(id, Arc::clone(&better));
                    self.settle(issuing, id, |entry| entry.succeeded(better));
                    self.end_stand_in();
                    self.show();
                    self.announce();
                    return true;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot take another gateway's certificate: {error}");
                }
            }
        }
        let failed_at = |memory: &Memory| memory.problem.as_ref().map(|problem| problem.at);
        if !is_running && failed_at(&copy.memory) > failed_at(&known) {
            self.settle(issuing, id, |entry| entry.memory = copy.memory);
            self.announce();
        }
        false
    }

    /// Enters a single host that another gateway knows and this one does not.
    fn enter_single_host(&self, wanted: Wanted) {
        self.book().entry(wanted.id.clone()).or_insert_with(|| {
            let mut entry = Entry::new(wanted, None, Default::default());
            entry.is_on_demand = true;
            entry
        });
    }

    /// Finds out whether this gateway is the one to order. Where another has ordered, its
    /// certificate is served from now on.
    pub(crate) async fn place(&self, id: &str, is_asked_for: bool) -> Result<Place, Failure> {
        let Some((issuing, shared)) = self.sharing() else {
            return Ok(Place::Ours(None));
        };
        let refused = |error: ShelfError| Failure::shared(&error);
        let turn = match shared.take_turn(id).await {
            Ok(turn) => turn,
            Err(error) if shared.may_come_back(&error) => None,
            Err(error) => return Err(refused(error)),
        };
        let Some(turn) = turn else {
            if let Some(entry) = self.book().get_mut(id) {
                entry.is_running = false;
                entry.is_elsewhere = true;
            }
            issuing.look.notify_one();
            return Ok(Place::Others);
        };
        if !is_asked_for {
            let is_there = match shared.copy(id).await {
                Ok((_, copy)) => copy.is_some_and(|copy| self.adopt(issuing, id, copy)),
                Err(error) => {
                    shared.end_turn(turn).await;
                    return Err(refused(error));
                }
            };
            if is_there {
                shared.end_turn(turn).await;
                return Ok(Place::Others);
            }
        }
        Ok(Place::Ours(Some(turn)))
    }

    /// Lets the others know what came of an order, and have their turn.
    pub(crate) async fn pass_on(&self, id: &str, turn: Option<Turn>) {
        let (Some((issuing, shared)), Some(turn)) = (self.sharing(), turn) else {
            return;
        };
        if let Err(error) = self.give(issuing, shared, id).await {
            tracing::warn!(
                certificate = id,
                %error,
                "other gateways cannot have the certificate for {id} yet: {error}"
            );
            issuing.ungiven().insert(id.to_owned());
        }
        shared.end_turn(turn).await;
    }

    /// Keeps a turn until another gateway has it.
    pub(crate) async fn keep_turn(&self, turn: Option<&mut Turn>) {
        match (self.sharing(), turn) {
            (Some((_, shared)), Some(turn)) => shared.keep_turn(turn).await,
            _ => std::future::pending().await,
        }
    }
}

impl Issuing {
    pub(crate) fn withdrawn(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.withdrawn.lock().expect("no holder panics")
    }

    pub(crate) fn ungiven(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.ungiven.lock().expect("no holder panics")
    }
}
