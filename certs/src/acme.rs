//! Certificates from an authority that speaks ACME (RFC 8555).
//!
//! [`Acme::issue`] takes one from wish to certificate: [`account`], [`order`], its proofs, the key.
//! Where it stopped before, by a crash or by an error that passes, it goes on. [`problem`] says in
//! words for people what went wrong, [`http`] is how the authority is spoken with.

pub(crate) mod account;
mod chain;
pub(crate) mod http;
pub(crate) mod order;
pub(crate) mod problem;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier, RevocationReason, RevocationRequest};
use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use rustls::pki_types::CertificateDer;

use crate::acme::http::Http;
use crate::acme::order::Pending;
use crate::acme::problem::Failure;
use crate::answers::Answers;
use crate::plan::Wanted;
use crate::renewal::Window;
use crate::served::Served;
use crate::shared::Shared;
use crate::vault::{Kind, Vault};

/// Longest time that one certificate may take, all its proofs among it.
const ORDER_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Longest time of anything else that is asked of the authority.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// How often an order goes on after the authority did not take a nonce: it may have restarted, and
/// forgotten them all. `instant-acme` tries three times itself.
const NONCE_TRIES: usize = 25;

/// How often the authority may be asked for its window, at least and at most. Unit: seconds.
const WINDOW_AGE: std::ops::RangeInclusive<u64> = 60..=86_400;

/// How far an order has come. Also the places at which it may be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The account is looked up or made.
    Account,
    /// The authority is asked for a new order.
    Ordering,
    /// The order is there, and written down.
    Ordered,
    /// A proof is prepared: a record set, a file or a certificate put there.
    Proving,
    /// The authority looks at the proofs.
    Validating,
    /// All names are proven; the certificate is asked for.
    Finalizing,
    /// The certificate is fetched.
    Fetching,
    /// It is here, and not on disk yet.
    Keeping,
    /// It is on disk.
    Kept,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::Ordering,
        Self::Ordered,
        Self::Proving,
        Self::Validating,
        Self::Finalizing,
        Self::Fetching,
        Self::Keeping,
        Self::Kept,
    ];

    /// Says it to people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Account => "opening the account at the authority",
            Self::Ordering => "asking the authority for an order",
            Self::Ordered => "the order is made",
            Self::Proving => "preparing the proof that the names are ours",
            Self::Validating => "the authority looks at the proof",
            Self::Finalizing => "asking for the certificate",
            Self::Fetching => "fetching the certificate",
            Self::Keeping => "writing the certificate down",
            Self::Kept => "the certificate is here",
        }
    }
}

/// What is told of an order that runs.
pub(crate) type Notes<'a> = &'a (dyn Fn(Step) + Send + Sync);

/// The authority, and how names are proven to it.
pub(crate) struct Acme {
    config: kalpana_config::Acme,
    vault: Vault,
    answers: Arc<Answers>,
    clock: Arc<dyn Clock>,
    /// Whether anything answers at port 80.
    has_plain: bool,
    /// What other gateways of the site know, where there may be any.
    shared: Option<Arc<Shared>>,
}

impl Acme {
    pub(crate) fn new(
        config: &kalpana_config::Acme,
        vault: &Vault,
        answers: Arc<Answers>,
        clock: Arc<dyn Clock>,
        has_plain: bool,
    ) -> Self {
        Self {
            config: config.clone(),
            vault: vault.clone(),
            answers,
            clock,
            has_plain,
            shared: None,
        }
    }

    /// Shares the account, and what proves names, with other gateways.
    pub(crate) fn share(&mut self, shared: Arc<Shared>) {
        self.shared = Some(shared);
    }

    /// Orders a certificate for `wanted` and keeps it, or goes on with the order that was begun.
    /// `replaces` is the one it takes the place of. After `failures` in a row another kind of proof
    /// is tried, where there is a choice.
    ///
    /// # Errors
    /// [`Failure`]; nothing that was kept before has changed then.
    pub(crate) async fn issue(
        &self,
        wanted: &Wanted,
        replaces: Option<&CertificateDer<'_>>,
        failures: u32,
        note: Notes<'_>,
    ) -> Result<Served, Failure> {
        let http = Http::new(&self.config)?;
        let attempts = async {
            let mut last = None;
            let mut has_forgotten = false;
            for _ in 0..NONCE_TRIES {
                match self.attempt(&http, wanted, replaces, failures, note).await {
                    Err(failure) if failure.may_go_on_at_once => last = Some(failure),
                    Err(failure) if failure.is_of_account() && !has_forgotten => {
                        tracing::warn!("{failure}");
                        self.forget_account();
                        has_forgotten = true;
                        last = Some(failure);
                    }
                    other => return other,
                }
            }
            Err(last.expect("there was an attempt"))
        };
        let result = tokio::time::timeout(ORDER_LIMIT, attempts).await;
        let result = result.unwrap_or_else(|_| Err(Failure::took_too_long(ORDER_LIMIT)));
        result.map_err(|failure| failure.with_retry_after(http.retry_after()))
    }

    async fn attempt(
        &self,
        http: &Http,
        wanted: &Wanted,
        replaces: Option<&CertificateDer<'_>>,
        failures: u32,
        note: Notes<'_>,
    ) -> Result<Served, Failure> {
        note(Step::Account);
        let account = self.account(http).await?;
        if let Some(mut pending) = self.pending(wanted) {
            match self
                .resume(&account, http, wanted, &mut pending, failures, note)
                .await
            {
                Some(result) => return result,
                // It is over at the authority. A new one is as good.
                None => self.forget(wanted)?,
            }
        }
        note(Step::Ordering);
        let (order, mut pending) = self.order(&account, wanted, replaces).await?;
        self.vault
            .write(Kind::Order, &wanted.id, &pending)
            .map_err(|error| Failure::storage(&error))?;
        note(Step::Ordered);
        self.finish(order, http, wanted, &mut pending, failures, note)
            .await
    }

    /// Goes on with an order; `None` when the authority does not know it any more.
    async fn resume(
        &self,
        account: &Account,
        http: &Http,
        wanted: &Wanted,
        pending: &mut Pending,
        failures: u32,
        note: Notes<'_>,
    ) -> Option<Result<Served, Failure>> {
        note(Step::Ordered);
        let mut order = match account.order(pending.url.clone()).await {
            Ok(order) => order,
            Err(error) => {
                let failure = Failure::of_authority(&error);
                return failure.may_pass.then_some(Err(failure));
            }
        };
        if order.state().status == instant_acme::OrderStatus::Invalid {
            return None;
        }
        tracing::info!(certificate = %wanted.id, "going on with the order for {}", wanted.id);
        let finish = self.finish(order, http, wanted, pending, failures, note);
        Some(finish.await)
    }

    /// Returns the order that was begun for the same names, at the same authority.
    fn pending(&self, wanted: &Wanted) -> Option<Pending> {
        self.forget_finished(&wanted.id);
        let pending: Pending = self.vault.read(Kind::Order, &wanted.id)?;
        let is_ours =
            pending.names == wanted.names && pending.directory == self.config.directory_url();
        is_ours.then_some(pending)
    }

    fn forget(&self, wanted: &Wanted) -> Result<(), Failure> {
        self.vault
            .remove(Kind::Order, &wanted.id)
            .map_err(|error| Failure::storage(&error))
    }

    /// Asks when a certificate should be replaced, and when to ask again; `None` where the
    /// authority has no opinion.
    pub(crate) async fn window(&self, leaf: &CertificateDer<'_>) -> Option<(Window, Timestamp)> {
        let ask = async {
            let http = Http::new(&self.config).ok()?;
            let account = self.existing_account(&http).await?;
            let id = CertificateIdentifier::try_from(leaf).ok()?;
            match account.renewal_info(&id).await {
                Ok((info, again)) => Some((info, again)),
                Err(instant_acme::Error::Unsupported(_)) => None,
                Err(error) => {
                    tracing::debug!(%error, "no renewal information: {error}");
                    None
                }
            }
        };
        let (info, again) = tokio::time::timeout(CALL_LIMIT, ask).await.ok()??;
        let at = |time: time::OffsetDateTime| Timestamp::from_second(time.unix_timestamp()).ok();
        let window = Window {
            start: at(info.suggested_window.start)?,
            end: at(info.suggested_window.end)?,
        };
        if let Some(reason) = &info.explanation_url {
            tracing::info!(
                reason,
                "the authority gives a reason for when to renew: {reason}"
            );
        }
        let again = again
            .as_secs()
            .clamp(*WINDOW_AGE.start(), *WINDOW_AGE.end());
        let again = i64::try_from(again).unwrap_or(86_400);
        let again = Timestamp::from_second(self.clock.now().as_second() + again).ok()?;
        Some((window, again))
    }

    /// Has the authority declare a certificate void.
    ///
    /// # Errors
    /// [`Failure`]. One that is void already is none.
    pub(crate) async fn revoke(&self, leaf: &CertificateDer<'_>) -> Result<(), Failure> {
        let http = Http::new(&self.config)?;
        let revoke = async {
            let account = self.account(&http).await?;
            let request = RevocationRequest {
                certificate: leaf,
                reason: Some(RevocationReason::Superseded),
            };
            match account.revoke(&request).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    let failure = Failure::of_authority(&error);
                    if failure.is("alreadyRevoked") {
                        Ok(())
                    } else {
                        Err(failure)
                    }
                }
            }
        };
        let result = tokio::time::timeout(CALL_LIMIT, revoke).await;
        result
            .unwrap_or_else(|_| Err(Failure::took_too_long(CALL_LIMIT)))
            .map_err(|failure| failure.with_retry_after(http.retry_after()))
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Acme")
            .field("directory", &self.config.directory_url())
            .finish_non_exhaustive()
    }
}
