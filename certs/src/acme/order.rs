//! One order, from the authority's first answer to the certificate on disk.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType,
    Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use kalpana_config::ChallengeKind;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::http::Http;
use super::problem::Failure;
use super::{Acme, Notes, Step, chain};
use crate::answers::Answer;
use crate::dns::{DnsError, DnsProof, Record};
use crate::plan::Wanted;
use crate::served::Served;
use crate::shared::SharedAnswer;
use crate::vault::{self, Kind};

/// How the authority is asked whether it is done.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// How far behind our clock may be. Unit: seconds.
const SKEW: i64 = 300;

/// An order that was begun, as it is written down.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The authority.
    pub(super) directory: String,
    /// Where the order is.
    pub(super) url: String,
    /// The names it is for.
    pub(super) names: Vec<String>,
    /// The key that the certificate will be for, as PEM.
    key: String,
    /// Records that were set for it, and are to be taken away.
    #[serde(default)]
    records: Vec<Record>,
}

/// What is there while the authority looks.
#[derive(Default)]
struct Proofs {
    /// Taken away when dropped.
    answers: Vec<Answer>,
    /// The same, as other gateways give them.
    shared: Vec<SharedAnswer>,
    dns: Option<DnsProof>,
}

impl Acme {
    /// Removes what is written down of an order whose certificate is kept already: this process
    /// may have ended between the two.
    pub(crate) fn forget_finished(&self, id: &str) {
        let pending: Option<Pending> = self.vault.read(Kind::Order, id);
        if pending.is_some_and(|pending| self.vault.is_for(id, &pending.key))
            && let Err(error) = self.vault.remove(Kind::Order, id)
        {
            tracing::warn!(%error, "could not remove a finished order: {error}");
        }
    }

    /// Begins a new order.
    pub(super) async fn order(
        &self,
        account: &Account,
        wanted: &Wanted,
        replaces: Option<&CertificateDer<'_>>,
    ) -> Result<(Order, Pending), Failure> {
        let identifiers: Vec<_> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
        let new = || match &self.config.profile {
            Some(profile) => NewOrder::new(&identifiers).profile(profile),
            None => NewOrder::new(&identifiers),
        };
        let replaced = replaces.and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let order = match replaced {
            None => account.new_order(&new()).await,
            Some(replaced) => match account.new_order(&new().replaces(replaced)).await {
                Ok(order) => Ok(order),
                // To say what is replaced is a courtesy. The authority may not know how to take it,
                // or know the old certificate no more.
                Err(error) => {
                    let failure = Failure::of_authority(&error);
                    if failure.may_pass {
                        return Err(failure);
                    }
                    account.new_order(&new()).await
                }
            },
        };
        let order = order.map_err(|error| Failure::of_authority(&error))?;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|error| Failure::internal(&error))?;
        let pending = Pending {
            directory: self.config.directory_url().to_owned(),
            url: order.url().to_owned(),
            names: wanted.names.clone(),
            key: key.serialize_pem(),
            records: Vec::new(),
        };
        Ok((order, pending))
    }

    /// Takes an order from where it is to the end.
    pub(super) async fn finish(
        &self,
        mut order: Order,
        http: &Http,
        wanted: &Wanted,
        pending: &mut Pending,
        failures: u32,
        note: Notes<'_>,
    ) -> Result<Served, Failure> {
        let result = self
            .advance(&mut order, http, wanted, pending, failures, note)
            .await;
        match &result {
            // The certificate is on disk: what was written down for the order has served.
            Ok(_) => self.forget(wanted)?,
            Err(failure) if !failure.may_pass => self.forget(wanted)?,
            Err(_) => {}
        }
        result
    }

    async fn advance(
        &self,
        order: &mut Order,
        http: &Http,
        wanted: &Wanted,
        pending: &mut Pending,
        failures: u32,
        note: Notes<'_>,
    ) -> Result<Served, Failure> {
        let of_authority = |error: instant_acme::Error| Failure::of_authority(&error);
        let mut proofs = Proofs::default();
        let proven = if order.state().status == OrderStatus::Pending {
            self.prove(order, wanted, pending, failures, &mut proofs, note)
                .await
        } else {
            Ok(())
        };
        if let Some(shared) = &self.shared
            && !proofs.shared.is_empty()
        {
            shared.take_answers(&wanted.id).await;
        }
        // Also what a process set that was killed before it could take it away.
        self.clear(wanted, pending, &mut proofs).await;
        drop(proofs);
        proven?;
        if order.state().status == OrderStatus::Ready {
            note(Step::Finalizing);
            let key = KeyPair::from_pem(&pending.key).map_err(|error| Failure::internal(&error))?;
            let mut params = CertificateParams::new(wanted.names.clone())
                .map_err(|error| Failure::internal(&error))?;
            params.distinguished_name = DistinguishedName::new();
            let request = params
                .serialize_request(&key)
                .map_err(|error| Failure::internal(&error))?;
            order
                .finalize_csr(request.der())
                .await
                .map_err(of_authority)?;
        }
        note(Step::Fetching);
        let mut fetched = order
            .poll_certificate(&PATIENCE)
            .await
            .map_err(of_authority)?;
        if let Some(name) = &self.config.preferred_chain {
            let account = self.account(http).await?;
            fetched = chain::preferred(&account, http, fetched, name).await;
        }
        // Looked at before it takes the place of the one that is kept.
        let served =
            vault::unite(&pending.key, &fetched).map_err(|error| Failure::storage(&error))?;
        self.check(&served, wanted)?;
        note(Step::Keeping);
        self.vault
            .keep(&wanted.id, &pending.key, &fetched)
            .map_err(|error| Failure::storage(&error))?;
        note(Step::Kept);
        Ok(served)
    }

    /// Proves every name that is not proven yet, and waits for the authority to see it.
    async fn prove(
        &self,
        order: &mut Order,
        wanted: &Wanted,
        pending: &mut Pending,
        failures: u32,
        proofs: &mut Proofs,
        note: Notes<'_>,
    ) -> Result<(), Failure> {
        note(Step::Proving);
        let kinds = self.kinds(failures);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| Failure::of_authority(&error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let offered = |kind: &&ChallengeType| {
                authorization
                    .challenges
                    .iter()
                    .any(|has| has.r#type == **kind)
            };
            let Some(kind) = kinds.iter().find(offered).cloned() else {
                return Err(Failure::no_challenge(&name, &kinds));
            };
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(Failure::no_challenge(&name, &kinds));
            };
            let proof = challenge.key_authorization();
            match kind {
                ChallengeType::Http01 => {
                    let (token, text) = (challenge.token.clone(), proof.as_str().to_owned());
                    proofs.answers.push(self.answers.put_http(&token, &text));
                    proofs.shared.push(SharedAnswer::Http { token, text });
                    self.let_others_answer(wanted, proofs).await?;
                }
                ChallengeType::TlsAlpn01 => {
                    let digest = proof.digest().as_ref().to_vec();
                    let answer = self.answers.put_tls(&name, &digest);
                    let answer = answer.map_err(|error| Failure::internal(&error))?;
                    proofs.answers.push(answer);
                    let host = name.clone();
                    proofs.shared.push(SharedAnswer::Tls { host, digest });
                    self.let_others_answer(wanted, proofs).await?;
                }
                _ => {
                    let of_dns = |error: DnsError| Failure::dns(&error);
                    let dns = self.dns(proofs)?;
                    let record = dns.locate(&name, &proof.dns_value()).await;
                    let record = record.map_err(of_dns)?;
                    // Written down first, so that a process that is killed leaves no record.
                    pending.records.push(record.clone());
                    self.write_down(wanted, pending)?;
                    dns.publish(&record).await.map_err(of_dns)?;
                }
            }
            if challenge.status == ChallengeStatus::Pending {
                let ready = challenge.set_ready().await;
                ready.map_err(|error| Failure::of_authority(&error))?;
            }
        }
        note(Step::Validating);
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(Self::why_invalid(order).await),
            Err(error @ instant_acme::Error::Api(_)) => {
                let failure = Failure::of_authority(&error);
                if failure.may_pass || failure.may_go_on_at_once {
                    return Err(failure);
                }
                let detailed = Self::why_invalid(order).await;
                Err(if detailed.is_unknown() {
                    failure
                } else {
                    detailed
                })
            }
            Err(error) => Err(Failure::of_authority(&error)),
        }
    }

    /// Has the other gateways of the site give the same answers: the authority may ask any of us.
    async fn let_others_answer(&self, wanted: &Wanted, proofs: &Proofs) -> Result<(), Failure> {
        match &self.shared {
            Some(shared) => shared
                .give_answers(&wanted.id, &proofs.shared)
                .await
                .map_err(|error| Failure::shared(&error)),
            None => Ok(()),
        }
    }

    /// Finds out what the authority did not like of an order that it gave up.
    async fn why_invalid(order: &mut Order) -> Failure {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                continue;
            }
            let name = authorization.identifier().to_string();
            let problem = authorization
                .challenges
                .iter()
                .find_map(|challenge| challenge.error.clone());
            if let Some(problem) = problem {
                return Failure::of_problem(&problem).about(&name);
            }
        }
        Failure::unknown()
    }

    /// The kinds of proof that can be given, the best first; another first after each failure.
    fn kinds(&self, failures: u32) -> Vec<ChallengeType> {
        let mut kinds = match self.config.challenge {
            ChallengeKind::Http01 => vec![ChallengeType::Http01],
            ChallengeKind::TlsAlpn01 => vec![ChallengeType::TlsAlpn01],
            ChallengeKind::Dns01 => vec![ChallengeType::Dns01],
            ChallengeKind::Auto if self.config.dns.is_some() => vec![ChallengeType::Dns01],
            ChallengeKind::Auto if self.has_plain => {
                vec![ChallengeType::TlsAlpn01, ChallengeType::Http01]
            }
            ChallengeKind::Auto => vec![ChallengeType::TlsAlpn01],
        };
        let turn = usize::try_from(failures).unwrap_or(0) % kinds.len();
        kinds.rotate_left(turn);
        kinds
    }

    /// Returns how records are set. Read anew for each order, so that a changed secret counts.
    fn dns<'proofs>(&self, proofs: &'proofs mut Proofs) -> Result<&'proofs DnsProof, Failure> {
        if proofs.dns.is_none() {
            let config = self.config.dns.as_ref().ok_or_else(Failure::no_dns)?;
            proofs.dns = Some(DnsProof::new(config).map_err(|error| Failure::dns(&error))?);
        }
        Ok(proofs.dns.as_ref().expect("it was just made"))
    }

    fn write_down(&self, wanted: &Wanted, pending: &Pending) -> Result<(), Failure> {
        self.vault
            .write(Kind::Order, &wanted.id, pending)
            .map_err(|error| Failure::storage(&error))
    }

    /// Takes the records away. One that stays is no harm; it is logged.
    async fn clear(&self, wanted: &Wanted, pending: &mut Pending, proofs: &mut Proofs) {
        if pending.records.is_empty() {
            return;
        }
        let dns = match self.dns(proofs) {
            Ok(dns) => dns,
            Err(failure) => {
                tracing::warn!("could not take records of DNS away: {}", failure.message);
                return;
            }
        };
        for record in std::mem::take(&mut pending.records) {
            if let Err(error) = dns.clear(&record).await {
                tracing::warn!(%error, "could not take a record of DNS away: {error}");
            }
        }
        if let Err(error) = self.write_down(wanted, pending) {
            tracing::warn!("could not write the order down: {}", error.message);
        }
    }

    /// Refuses what browsers would.
    fn check(&self, served: &Served, wanted: &Wanted) -> Result<(), Failure> {
        let now = self.clock.now();
        if served.not_before.as_second() > now.as_second() + SKEW || served.not_after <= now {
            return Err(Failure::clock(served.not_before, served.not_after, now));
        }
        if !served.covers(&wanted.names) {
            return Err(Failure::other_names(&served.names, &wanted.names));
        }
        Ok(())
    }
}
