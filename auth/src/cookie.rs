//! The cookies that are Kalpana's own, read and written byte by byte.
//!
//! Usual cookie parsers trim Unicode space, keep the last of two equal names, or drop everything
//! when one byte is not ASCII. Each of these lets a neighbouring site plant or remove a `__Host-`
//! cookie. Here a header is split on `;`, each piece is trimmed of space and tab only, the name is
//! what stands before the first `=`, and names are compared byte for byte. A piece that does not
//! look like a cookie is nobody's cookie and disturbs no other.

use std::borrow::Cow;
use std::time::Duration;

/// The cookies that Kalpana sets. Each belongs to exactly one host: never `Domain=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cookie {
    /// The control session, on the base domain.
    Session,
    /// The session of one workspace host.
    WorkspaceSession,
    /// The nonces of the sign-ins that one workspace host has begun.
    WorkspaceNonce,
    /// The secret of a link to a port, on the base domain, on the way to that port.
    ShareLink,
}

/// Names that no workspace may see or set: ours, and two kept for sign-in through an identity
/// provider and for development without TLS.
pub const RESERVED: [&str; 6] = [
    "__Host-ksess",
    "__Host-kws",
    "__Host-kwn",
    "__Host-ksl",
    "__Host-koidc",
    "kdev_sess",
];

/// A cookie of ours came twice, so that one of them is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cookie {name} was sent twice")]
pub struct Ambiguous {
    /// Which cookie.
    pub name: &'static str,
}

impl Cookie {
    /// Returns the cookie's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => RESERVED[0],
            Self::WorkspaceSession => RESERVED[1],
            Self::WorkspaceNonce => RESERVED[2],
            Self::ShareLink => RESERVED[3],
        }
    }

    /// Returns the `Set-Cookie` value that gives the cookie `value` for `max_age`.
    ///
    /// A value with bytes that would end it early is never written: the cookie is cleared instead.
    pub fn set(self, value: &str, max_age: Duration) -> String {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !value.bytes().all(is_safe) {
            return self.clear();
        }
        self.write(value, max_age.as_secs())
    }

    /// Returns the `Set-Cookie` value that removes the cookie.
    pub fn clear(self) -> String {
        self.write("", 0)
    }

    fn write(self, value: &str, max_age: u64) -> String {
        let name = self.name();
        format!("{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax")
    }
}

/// Finds one of our cookies in all `Cookie` headers of a request. HTTP/2 clients may send several.
///
/// # Errors
/// [`Ambiguous`] when its name occurs more than once, whatever the values are.
pub fn find<'a>(
    headers: impl IntoIterator<Item = &'a [u8]>,
    cookie: Cookie,
) -> Result<Option<&'a [u8]>, Ambiguous> {
    let mut found = None;
    for (name, value) in headers.into_iter().flat_map(pieces).map(split) {
        if name == cookie.name().as_bytes() && found.replace(value).is_some() {
            return Err(Ambiguous {
                name: cookie.name(),
            });
        }
    }
    Ok(found)
}

/// Returns what of one `Cookie` header an upstream may see: everything but reserved names, each
/// kept cookie byte for byte. `None` means that the header must be removed: nothing is left, or it
/// holds control characters, which no browser sends and which parsers read in different ways.
pub fn strip_reserved(header: &[u8]) -> Option<Cow<'_, [u8]>> {
    if header
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return None;
    }
    if !pieces(header).any(is_reserved) {
        return Some(Cow::Borrowed(header));
    }
    let kept: Vec<&[u8]> = pieces(header)
        .filter(|piece| !piece.is_empty() && !is_reserved(piece))
        .collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join(b"; ".as_slice())))
}

/// Tells whether a `Set-Cookie` value from an upstream names a reserved cookie.
pub fn is_reserved_set_cookie(header: &[u8]) -> bool {
    // Browsers compare the prefix without regard to case before they refuse it; so do we here,
    // where being too strict costs an application nothing it could have used.
    pieces(header).next().is_some_and(|first| {
        let (name, _) = split(first);
        RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved.as_bytes()))
    })
}

fn is_reserved(piece: &[u8]) -> bool {
    let (name, _) = split(piece);
    RESERVED.iter().any(|reserved| name == reserved.as_bytes())
}

fn pieces(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|byte| *byte == b';').map(trim)
}

/// Splits a piece into name and value. Without a `=` it is a nameless cookie: all value.
fn split(piece: &[u8]) -> (&[u8], &[u8]) {
    match piece.iter().position(|byte| *byte == b'=') {
        Some(at) => (trim(&piece[..at]), trim(&piece[at + 1..])),
        None => (b"", piece),
    }
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session(header: &[u8]) -> Result<Option<&[u8]>, Ambiguous> {
        find([header], Cookie::Session)
    }

    #[test]
    fn the_real_cookie_is_found_among_others() {
        assert_eq!(
            session(b"a=1; __Host-ksess=ks1_x; b=2"),
            Ok(Some(b"ks1_x".as_slice()))
        );
        assert_eq!(
            session(b"__Host-ksess=ks1_x"),
            Ok(Some(b"ks1_x".as_slice()))
        );
        assert_eq!(session(b"__Host-ksess=a=b"), Ok(Some(b"a=b".as_slice())));
        assert_eq!(session(b""), Ok(None));
        let headers: [&[u8]; 2] = [b"a=1", b"__Host-ksess=ks1_x"];
        assert_eq!(
            find(headers, Cookie::Session),
            Ok(Some(b"ks1_x".as_slice()))
        );
    }

    #[test]
    fn a_name_behind_unicode_space_is_another_name() {
        for planted in [
            "\u{2000}__Host-ksess=EVIL",
            "\u{a0}__Host-ksess=EVIL",
            "__Host-ksess\u{2000}=EVIL",
            "\u{feff}__Host-ksess=EVIL",
            "__host-ksess=EVIL",
            "__Host-ksess2=EVIL",
            "=__Host-ksess=EVIL",
            "__Host-ksess",
        ] {
            assert_eq!(session(planted.as_bytes()), Ok(None), "{planted:?}");
            let beside = format!("{planted}; __Host-ksess=real");
            assert_eq!(
                session(beside.as_bytes()),
                Ok(Some(b"real".as_slice())),
                "{planted:?}"
            );
        }
    }

    #[test]
    fn the_same_name_twice_is_refused() {
        let twice = Err(Ambiguous {
            name: "__Host-ksess",
        });
        assert_eq!(session(b"__Host-ksess=a; __Host-ksess=a"), twice);
        assert_eq!(session(b"__Host-ksess=a;\t__Host-ksess =b"), twice);
        let headers: [&[u8]; 2] = [b"__Host-ksess=a", b"__Host-ksess=b"];
        assert_eq!(find(headers, Cookie::Session), twice);
    }

    #[test]
    fn junk_beside_the_real_cookie_does_no_harm() {
        assert_eq!(
            session(b"\xff\xfe\x00; ;;=; __Host-ksess=real; \x80"),
            Ok(Some(b"real".as_slice()))
        );
    }

    #[test]
    fn an_upstream_sees_what_is_not_ours() {
        let rows: [(&[u8], Option<&[u8]>); 9] = [
            (b"a=1; b=2", Some(b"a=1; b=2")),
            (b"a=1;b=2;  c", Some(b"a=1;b=2;  c")),
            (b"__Host-kws=x", None),
            (b"__Host-kws=x; a=1", Some(b"a=1")),
            (
                b"a=1; __Host-kws=x;b=2; __Host-kwn=y; kdev_sess=1",
                Some(b"a=1; b=2"),
            ),
            (b"koa.sess=1; __Host-koidc =x", Some(b"koa.sess=1")),
            (b"a=\"x; __Host-ksess=y; z\"", Some(b"a=\"x; z\"")),
            (
                b"__Host-ksess=1; caf\xc3\xa9=\xff",
                Some(b"caf\xc3\xa9=\xff"),
            ),
            (b"a=1\r\nx: y", None),
        ];
        for (header, expected) in rows {
            assert_eq!(strip_reserved(header).as_deref(), expected, "{header:?}");
        }
    }

    #[test]
    fn set_cookie_lines_have_every_attribute() {
        assert_eq!(
            Cookie::Session.set("ks1_x", Duration::from_secs(60)),
            "__Host-ksess=ks1_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            Cookie::WorkspaceNonce.clear(),
            "__Host-kwn=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
        let injected =
            Cookie::WorkspaceSession.set("x; Domain=example.com", Duration::from_secs(1));
        assert_eq!(injected, Cookie::WorkspaceSession.clear());
    }

    #[test]
    fn an_upstream_cannot_set_ours() {
        for header in [
            "__Host-kws=x; Path=/",
            " __host-KSESS =x",
            "kdev_sess=",
            "__Host-kwn",
        ] {
            assert_eq!(
                is_reserved_set_cookie(header.as_bytes()),
                header.contains('='),
                "{header}"
            );
        }
        assert!(!is_reserved_set_cookie(b"koa.sess=__Host-kws=x; Path=/"));
    }

    fn header() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::sample::select(RESERVED.to_vec())
                .prop_map(|name| format!("{name}=v").into_bytes()),
            proptest::sample::select(RESERVED.to_vec())
                .prop_map(|name| format!("\t{name} = v").into_bytes()),
            "[a-z\u{2000}]{1,6}=[a-z\"]{0,6}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..12),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.join(b";".as_slice()))
    }

    proptest! {
        #[test]
        fn stripping_leaves_no_reserved_name_and_no_other_change(header in header()) {
            let Some(left) = strip_reserved(&header) else { return Ok(()) };
            prop_assert!(!pieces(&left).any(is_reserved));
            let kept = |bytes: &[u8]| -> Vec<Vec<u8>> {
                pieces(bytes)
                    .filter(|piece| !piece.is_empty() && !is_reserved(piece))
                    .map(<[u8]>::to_vec)
                    .collect()
            };
            prop_assert_eq!(kept(&left), kept(&header));
            for cookie in [Cookie::Session, Cookie::WorkspaceSession, Cookie::WorkspaceNonce] {
                prop_assert_eq!(find([left.as_ref()], cookie), Ok(None));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(header: Vec<u8>) {
            let _ = session(&header);
            let _ = strip_reserved(&header);
            let _ = is_reserved_set_cookie(&header);
        }
    }
}
