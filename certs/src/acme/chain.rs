//! Which of several chains is taken.

use instant_acme::Account;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::http::Http;
use crate::served::Facts;

/// Most chains that are looked at.
const CHAINS: usize = 8;

/// Returns the chain whose topmost certificate was issued by `preferred`; the one that was given
/// first where none is.
pub(super) async fn preferred(
    account: &Account,
    http: &Http,
    first: String,
    preferred: &str,
) -> String {
    if is_issued_by(&first, preferred) {
        return first;
    }
    for url in http.alternates().into_iter().take(CHAINS) {
        let _ = http.take_chain();
        // Fetched as if it were an order, which is the same signed request; the answer is no order,
        // and the client keeps what it is.
        let _ = account.order(url).await;
        if let Some(chain) = http.take_chain()
            && is_issued_by(&chain, preferred)
        {
            return chain;
        }
    }
    tracing::warn!(
        preferred,
        "the authority offers no chain that {preferred} issued (certs.acme.preferred_chain); \
         its first one is taken"
    );
    first
}

fn is_issued_by(chain: &str, name: &str) -> bool {
    let topmost = CertificateDer::pem_slice_iter(chain.as_bytes()).last();
    topmost
        .and_then(Result::ok)
        .and_then(|certificate| Facts::read(&certificate))
        .is_some_and(|facts| facts.issuer == name)
}
