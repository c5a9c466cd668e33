//! The part of a port's paths that a link opens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The beginning of the paths that a link opens. `/` opens all of them.
///
/// 1 to 256 visible ASCII characters, `/` first, without `%`, `\`, `?`, `#`, empty segments, `.`
/// and `..`; a slash at the end is left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkPath(String);

/// A text was not a path that a link can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a link's path has 1 to 256 visible characters, begins with '/', and has no '%', '\\', '?', '#', '//' and no '.' or '..' between slashes"
)]
pub struct InvalidLinkPath;

impl LinkPath {
    /// Longest path, in bytes.
    pub const LIMIT: usize = 256;

    /// Reads a path.
    ///
    /// # Errors
    /// [`InvalidLinkPath`] for any text outside the rule of the type.
    pub fn parse(text: &str) -> Result<Self, InvalidLinkPath> {
        let inner = text.strip_prefix('/').ok_or(InvalidLinkPath)?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let is_legal = text.len() <= Self::LIMIT
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"%\\?#".contains(&byte))
            && (inner.is_empty() || inner.split('/').all(is_plain_segment))
            && inner.split('/').next() != Some(".kalpana");
        if is_legal && !text.starts_with("//") {
            Ok(Self(format!("/{inner}")))
        } else {
            Err(InvalidLinkPath)
        }
    }

    /// Returns the path that opens everything.
    pub fn whole() -> Self {
        Self("/".to_owned())
    }

    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether a request's path, as it came, is one of those that are opened. What an
    /// upstream might read as another path than it looks like is not.
    pub fn covers(&self, path: &str) -> bool {
        if self.0 == "/" {
            return true;
        }
        let Some(rest) = path.strip_prefix(&self.0) else {
            return false;
        };
        (rest.is_empty() || rest.starts_with('/')) && is_unambiguous(path)
    }
}

fn is_plain_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
}

/// Tells whether every reader takes a path for the same one.
fn is_unambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_encoded = ["%2e", "%2f", "%5c", "%25"]
        .iter()
        .any(|code| lower.contains(code));
    let mut segments = path.split('/');
    !is_encoded && !path.contains('\\') && segments.all(|segment| !matches!(segment, "." | ".."))
}

impl fmt::Display for LinkPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for LinkPath {
    type Error = InvalidLinkPath;
    fn try_from(text: String) -> Result<Self, InvalidLinkPath> {
        Self::parse(&text)
    }
}

impl From<LinkPath> for String {
    fn from(path: LinkPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_in_one_spelling() {
        for (text, expected) in [
            ("/", "/"),
            ("/docs", "/docs"),
            ("/docs/", "/docs"),
            ("/a.b/~c", "/a.b/~c"),
        ] {
            assert_eq!(LinkPath::parse(text).expect(text).as_str(), expected);
        }
        let long = format!("/{}", "a".repeat(300));
        for text in [
            "",
            "docs",
            "//",
            "/a//b",
            "/a/../b",
            "/..",
            "/.",
            "/a%2e",
            "/a b",
            "/a?b",
            "/a#b",
            "/a\\b",
            "/\u{e9}",
            "/.kalpana",
            "/.kalpana/cb",
            &long,
        ] {
            assert!(LinkPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_opens_whole_segments_only() {
        let docs = LinkPath::parse("/docs").expect("legal");
        for path in ["/docs", "/docs/", "/docs/a/b", "/docs/a.b", "/docs/a%20b"] {
            assert!(docs.covers(path), "{path}");
        }
        for path in [
            "/",
            "",
            "/doc",
            "/docs2",
            "/a/docs",
            "/docs/../admin",
            "/docs/..",
            "/docs/%2e%2e/x",
            "/docs/%2E./x",
            "/docs/..%2fx",
            "/docs\\..\\x",
            "/docs/%252e",
            "/DOCS",
        ] {
            assert!(!docs.covers(path), "{path}");
        }
        assert!(LinkPath::whole().covers("/docs/%2e%2e/x"));
    }

    proptest! {
        #[test]
        fn what_is_read_covers_itself_and_reads_back(text in "/[a-z./~]{0,20}") {
            if let Ok(path) = LinkPath::parse(&text) {
                prop_assert!(path.covers(path.as_str()));
                prop_assert_eq!(LinkPath::parse(path.as_str()), Ok(path));
            }
        }
    }
}
