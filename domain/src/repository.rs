//! Where a workspace's files first come from. Parsed strictly, because Git itself would run a
//! program when a URL or a branch says so.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// The URL of a Git repository that can be cloned without running anything else.
///
/// Only `https:` and `http:`, with a host, without user name, password or fragment, at most
/// [`RepositoryUrl::LIMIT`] bytes. Git's own `ext::`, `file:`, `ssh:` and scp-like forms can name
/// a program, a host file or an option, and are refused here, before any argument is built.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryUrl(Url);

/// Why a text is not a repository URL we clone from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepositoryUrl {
    /// It is not a URL, or one with control characters, or too long.
    #[error("not a URL; expected something like https://git.example.com/team/project.git")]
    NotAUrl,
    /// Its scheme is not one we clone from.
    #[error("only https:// and http:// repositories can be cloned, not {scheme:?}")]
    Scheme {
        /// The scheme found.
        scheme: String,
    },
    /// It carries a user name or password.
    #[error("the URL carries a user name or password, which would be stored in the clone")]
    Credentials,
    /// It has no path.
    #[error("the URL names a host but no repository")]
    NoPath,
}

impl RepositoryUrl {
    /// Longest URL, in bytes.
    pub const LIMIT: usize = 2048;

    /// Reads a repository URL.
    ///
    /// # Errors
    /// [`InvalidRepositoryUrl`] for all that is not a plain web URL with a path.
    pub fn parse(text: &str) -> Result<Self, InvalidRepositoryUrl> {
        // `Url` drops tabs and newlines and trims spaces; a URL that needs that is not one a
        // person meant.
        let has_odd_bytes = text
            .bytes()
            .any(|byte| byte.is_ascii_control() || byte == b' ' || byte == b'\\');
        if text.len() > Self::LIMIT || has_odd_bytes {
            return Err(InvalidRepositoryUrl::NotAUrl);
        }
        if let Some((helper, _)) = text.split_once("::")
            && helper.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(InvalidRepositoryUrl::Scheme {
                scheme: format!("{helper}::"),
            });
        }
        let url = Url::parse(text).map_err(|_| InvalidRepositoryUrl::NotAUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            let scheme = url.scheme().chars().take(32).collect();
            return Err(InvalidRepositoryUrl::Scheme { scheme });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidRepositoryUrl::Credentials);
        }
        if url.host_str().is_none_or(str::is_empty) || url.fragment().is_some() {
            return Err(InvalidRepositoryUrl::NotAUrl);
        }
        let parsed = Self(url);
        if parsed.directory().is_empty() {
            Err(InvalidRepositoryUrl::NoPath)
        } else {
            Ok(parsed)
        }
    }

    /// Returns the URL as text, normalised.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the directory below `/workspace` that the clone goes to: the last path segment
    /// without `.git`, reduced to letters, digits, `-`, `_` and `.`, never hidden.
    pub fn directory(&self) -> String {
        let last = self.0.path_segments().and_then(|segments| {
            segments
                .rev()
                .find(|segment| !segment.is_empty())
                .map(str::to_owned)
        });
        let last = last.unwrap_or_default();
        let stem = last.strip_suffix(".git").unwrap_or(&last);
        let safe: String = stem
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .take(100)
            .collect();
        safe.trim_matches(|c| c == '.' || c == '-').to_owned()
    }
}

impl TryFrom<String> for RepositoryUrl {
    type Error = InvalidRepositoryUrl;
    fn try_from(text: String) -> Result<Self, InvalidRepositoryUrl> {
        Self::parse(&text)
    }
}

impl From<RepositoryUrl> for String {
    fn from(url: RepositoryUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A branch or tag name that Git accepts and that cannot be read as an option.
///
/// Source: `git check-ref-format`, with `-` refused at the start and 255 bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

/// A text was not a branch name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a branch name that Git accepts")]
pub struct InvalidBranchName;

impl BranchName {
    /// Reads a branch name.
    ///
    /// # Errors
    /// [`InvalidBranchName`] for what `git check-ref-format --branch` would refuse.
    pub fn parse(text: &str) -> Result<Self, InvalidBranchName> {
        let has_odd_bytes = text
            .bytes()
            .any(|byte| byte.is_ascii_control() || b" ~^:?*[\\\x7f".contains(&byte));
        let has_odd_part = text
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"));
        let is_legal = !text.is_empty()
            && text.len() <= 255
            && !text.starts_with('-')
            && !text.ends_with('.')
            && !text.contains("..")
            && !text.contains("@{")
            && text != "@"
            && !has_odd_bytes
            && !has_odd_part;
        if is_legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidBranchName)
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BranchName {
    type Error = InvalidBranchName;
    fn try_from(text: String) -> Result<Self, InvalidBranchName> {
        Self::parse(&text)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> Self {
        name.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_urls_are_accepted_and_name_their_directory() {
        for (url, directory) in [
            ("https://github.com/rust-lang/rust.git", "rust"),
            ("https://git.example.com:8443/team/api", "api"),
            ("http://10.0.0.7:3000/team/my%20tool.git/", "my-20tool"),
            ("https://example.com/a/.hidden.git", "hidden"),
        ] {
            let parsed = RepositoryUrl::parse(url).expect(url);
            assert_eq!(parsed.directory(), directory);
        }
    }

    #[test]
    fn urls_that_could_run_a_program_or_read_the_host_are_refused() {
        for url in [
            "ext::sh -c whoami",
            "ext::sh",
            "EXT::sh",
            "file:///etc/passwd",
            "file://host/x",
            "/etc/passwd",
            "../secret",
            "ssh://-oProxyCommand=touch%20x/y",
            "ssh://git@example.com/a/b",
            "git@example.com:team/project.git",
            "git://example.com/a",
            "--upload-pack=touch x",
            "-u",
            "fd::7",
            "http::https://example.com/a",
            "javascript:alert(1)",
            "https://example.com/a\nb",
            "https://example.com/a b",
            "https://example.com\\@evil.example/a",
            "",
        ] {
            assert!(RepositoryUrl::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_by_name() {
        assert_eq!(
            RepositoryUrl::parse("https://token@example.com/a/b"),
            Err(InvalidRepositoryUrl::Credentials)
        );
    }

    #[test]
    fn a_host_without_a_repository_is_refused() {
        for url in [
            "https://example.com",
            "https://example.com/",
            "https://example.com/.git",
        ] {
            assert_eq!(
                RepositoryUrl::parse(url),
                Err(InvalidRepositoryUrl::NoPath),
                "{url}"
            );
        }
    }

    #[test]
    fn branch_names_follow_git() {
        for name in ["main", "feature/x", "v1.2.3", "über"] {
            assert!(BranchName::parse(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "-b",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a~1",
            "a.lock",
            ".a",
            "a/",
            "/a",
            "@",
            "a@{1}",
        ] {
            assert!(BranchName::parse(name).is_err(), "{name}");
        }
    }
}
