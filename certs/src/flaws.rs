//! What visitors will stumble over in a certificate that an operator brought, though it is served.

use kalpana_domain::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::Certs;
use crate::acme::problem::Failure;
use crate::chain::End;
use crate::plan::Origin;
use crate::renewal;
use crate::served::Served;

impl Certs {
    /// Looks what is wrong with the certificates that an operator brought, and says what is new.
    pub(crate) fn look_for_flaws(&self) {
        if self.files.is_empty() {
            return;
        }
        let now = self.clock.now();
        let roots = roots();
        for entry in self.book().values_mut() {
            let Origin::Files { certificate, .. } = &entry.wanted.origin else {
                continue;
            };
            let names = &entry.wanted.names;
            let served = entry.served.as_deref();
            let flaw = served.and_then(|served| worst(served, names, &roots, now));
            let is_new = entry.flaw != flaw;
            if let Some(flaw) = flaw.as_ref().filter(|_| is_new) {
                tracing::warn!(
                    code = flaw.code,
                    "{}: {}. {}",
                    certificate.display(),
                    flaw.message,
                    flaw.next_step
                );
            }
            entry.flaw = flaw;
        }
    }
}

/// Reads whom this machine trusts, which an operator may change at any time.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Returns the worst flaw of a certificate that is to be good for `names`, at `now`, on a machine that
/// trusts `roots`.
pub(crate) fn worst(
    served: &Served,
    names: &[String],
    roots: &RootCertStore,
    now: Timestamp,
) -> Option<Failure> {
    name_not_covered(served, names)
        .or_else(|| chain_incomplete(served, roots))
        .or_else(|| chain_out_of_order(served))
        .or_else(|| ends_soon(served, now))
}

fn name_not_covered(served: &Served, names: &[String]) -> Option<Failure> {
    let missing = names
        .iter()
        .filter(|name| !served.covers(std::slice::from_ref(name)));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    (!missing.is_empty()).then(|| {
        Failure::new(
            "name_not_covered",
            format!(
                "the certificate does not name {}, and browsers refuse that",
                missing.join(" and ")
            ),
            "Get one that names the site's domain and *.<workspace domain>, and replace the files.",
        )
    })
}

fn chain_incomplete(served: &Served, roots: &RootCertStore) -> Option<Failure> {
    // A machine that trusts nobody cannot tell an intermediate from a root.
    if roots.is_empty() {
        return None;
    }
    let chain = parsed(&served.key.cert)?;
    let known = roots.subjects();
    let end = End::of(&chain, &|name| {
        known.iter().any(|known| known.as_ref() == name.as_raw())
    });
    let End::Unknown { issuer, is_leaf } = end else {
        return None;
    };
    let what = if is_leaf {
        "the certificate"
    } else {
        "the last certificate of the file"
    };
    Some(Failure::new(
        "chain_incomplete",
        format!(
            "{what} is signed by {issuer}, whose certificate is neither in the file nor known here"
        ),
        format!(
            "If {issuer} is an intermediate, append its certificate to the file (authorities call \
             this the full chain): browsers and programs that do not know it refuse the site. If it \
             is your own authority, install it on this machine."
        ),
    ))
}

fn chain_out_of_order(served: &Served) -> Option<Failure> {
    (!served.is_in_order).then(|| {
        Failure::new(
            "chain_out_of_order",
            "the certificates of the file are not in order, each signed by the next one".to_owned(),
            "Put the site's own first, then who signed it, and so on: some programs refuse it \
             otherwise.",
        )
    })
}

fn ends_soon(served: &Served, now: Timestamp) -> Option<Failure> {
    renewal::alert(served.not_before, served.not_after, now)?;
    Some(Failure::new(
        "certificate_ends_soon",
        format!("the certificate ends at {}", served.not_after),
        "Get the next one, and replace the files; they are read again within a minute.",
    ))
}

fn parsed<'a>(chain: &'a [CertificateDer<'static>]) -> Option<Vec<X509Certificate<'a>>> {
    let parsed = chain.iter().map(|one| X509Certificate::from_der(one).ok());
    parsed.map(|one| Some(one?.1)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    const NAMES: [&str; 2] = ["example.test", "*.example.test"];

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn at(day: u8) -> Timestamp {
        format!("2026-06-{day:02}T00:00:00Z")
            .parse()
            .expect("a time")
    }

    /// A root, what it has signed, and what that has.
    struct World {
        root: CertificateDer<'static>,
        intermediate: CertificateDer<'static>,
        leaf: CertificateDer<'static>,
        key: KeyPair,
    }

    fn world(names: &[&str]) -> World {
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority("Root"), key()).expect("signed");
        let intermediate =
            CertifiedIssuer::signed_by(authority("Intermediate"), key(), &root).expect("signed");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 4, 1);
        params.not_after = rcgen::date_time_ymd(2026, 6, 30);
        let own = key();
        let leaf = params.signed_by(&own, &intermediate).expect("signed");
        World {
            root: root.der().clone(),
            intermediate: intermediate.der().clone(),
            leaf: leaf.der().clone(),
            key: own,
        }
    }

    impl World {
        fn flaw(
            &self,
            chain: &[&CertificateDer<'static>],
            trusted: Option<&CertificateDer<'static>>,
            day: u8,
        ) -> Option<Failure> {
            let chain = chain.iter().map(|one| (*one).clone()).collect();
            let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
            let path = Path::new("c.pem");
            let served = Served::new(chain, &key, path, path).expect("served");
            let mut roots = RootCertStore::empty();
            if let Some(trusted) = trusted {
                roots.add(trusted.clone()).expect("a root");
            }
            worst(&served, &NAMES.map(ToOwned::to_owned), &roots, at(day))
        }
    }

    fn code(flaw: Option<Failure>) -> Option<&'static str> {
        flaw.map(|flaw| flaw.code)
    }

    #[test]
    fn a_chain_without_its_intermediate_or_out_of_order_is_told_from_a_good_one() {
        let world = world(&NAMES);
        let World {
            root,
            intermediate,
            leaf,
            ..
        } = &world;
        let key = KeyPair::generate().expect("a key");
        let other = CertifiedIssuer::self_signed(authority("Another Root"), key).expect("signed");
        let other = other.der();
        for good in [vec![leaf, intermediate], vec![leaf, intermediate, root]] {
            assert_eq!(code(world.flaw(&good, Some(root), 1)), None);
        }
        // Whose own authority it is brings it along.
        assert_eq!(
            code(world.flaw(&[leaf, intermediate, root], Some(other), 1)),
            None
        );
        let alone = world.flaw(&[leaf], Some(root), 1).expect("a flaw");
        assert_eq!(alone.code, "chain_incomplete");
        assert!(
            alone.message.contains("signed by Intermediate"),
            "{}",
            alone.message
        );
        let unknown = world.flaw(&[leaf, intermediate], Some(other), 1);
        assert_eq!(code(unknown), Some("chain_incomplete"));
        let reversed = world.flaw(&[leaf, root, intermediate], Some(root), 1);
        assert_eq!(code(reversed), Some("chain_out_of_order"));
        // Where nobody is trusted nothing can be told.
        assert_eq!(code(world.flaw(&[leaf], None, 1)), None);
    }

    #[test]
    fn a_missing_name_and_an_end_that_is_near_are_told() {
        let whole = world(&NAMES);
        let chain = [&whole.leaf, &whole.intermediate];
        let root = Some(&whole.root);
        assert_eq!(code(whole.flaw(&chain, root, 15)), None);
        let near = whole.flaw(&chain, root, 16);
        assert_eq!(code(near), Some("certificate_ends_soon"));
        let partial = world(&["example.test"]);
        let flaw = partial.flaw(&[&partial.leaf], None, 20).expect("a flaw");
        assert_eq!(flaw.code, "name_not_covered");
        assert!(flaw.message.contains("*.example.test"), "{}", flaw.message);
    }
}
