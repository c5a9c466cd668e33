//! Where a chain of certificates leads to, by who says to have signed whom. Pure.

use x509_parser::certificate::X509Certificate;
use x509_parser::x509::X509Name;

/// Where a chain leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// To an authority that is known.
    Known,
    /// To a certificate that signed itself.
    Itself {
        /// Whether it is the first one.
        is_leaf: bool,
    },
    /// To somebody who is neither in the chain nor known.
    Unknown {
        /// Common name of that somebody.
        issuer: String,
        /// Whether the first one is signed by them.
        is_leaf: bool,
    },
}

impl End {
    /// Follows `chain`, which has at least a leaf, to its end; `knows` tells which authorities are
    /// known by their names.
    pub fn of(chain: &[X509Certificate<'_>], knows: &dyn Fn(&X509Name<'_>) -> bool) -> Self {
        let mut current = &chain[0];
        for step in 0..chain.len() {
            let is_leaf = step == 0;
            if knows(current.issuer()) {
                return Self::Known;
            }
            if current.issuer() == current.subject() {
                return Self::Itself { is_leaf };
            }
            let issuer = current.issuer();
            match chain[1..].iter().find(|one| one.subject() == issuer) {
                Some(next) => current = next,
                None => {
                    return Self::Unknown {
                        issuer: common_name(issuer),
                        is_leaf,
                    };
                }
            }
        }
        // They sign each other in a circle.
        Self::Itself { is_leaf: false }
    }
}

/// Returns the common name of somebody, or the whole name where there is none.
pub fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    common
        .and_then(|name| name.as_str().ok())
        .map_or_else(|| name.to_string(), ToOwned::to_owned)
}
