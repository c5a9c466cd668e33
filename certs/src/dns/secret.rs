//! Files with secrets, and words in which a secret must not be.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kalpana_config::Secret;

use super::DnsError;

/// The largest file that is read for a secret.
const LIMIT_BYTES: u64 = 64 * 1024;

/// How much of a provider's words is kept, in characters.
const WORDS: usize = 300;

/// Reads a secret, without blanks around it.
///
/// A group may read the file, as a group may read a key's, but nobody else may, and no group may
/// change it.
pub(crate) fn read(provider: &'static str, path: &Path) -> Result<Secret<String>, DnsError> {
    let unreadable = |source| DnsError::SecretUnreadable {
        provider,
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(DnsError::SecretExposed {
            provider,
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(LIMIT_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let text = text.trim();
    if text.is_empty() {
        let empty = io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty");
        return Err(unreadable(empty));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Reads a secret that is sent in a header, so must be one word.
pub(crate) fn read_word(provider: &'static str, path: &Path) -> Result<Secret<String>, DnsError> {
    let secret = read(provider, path)?;
    if secret
        .expose()
        .chars()
        .all(|letter| letter.is_ascii_graphic())
    {
        return Ok(secret);
    }
    Err(DnsError::SecretMalformed {
        provider,
        path: path.to_owned(),
        expected: "one word, as the provider showed it",
    })
}

/// Returns words from outside in a form that may be logged and shown: on one line, not long, and
/// without `secrets`.
pub(crate) fn harmless(words: &str, secrets: &[&Secret<String>]) -> String {
    let mut words = words.to_owned();
    for secret in secrets {
        words = words.replace(secret.expose(), kalpana_config::secret::REDACTED);
    }
    let mut line = String::new();
    for letter in words.chars().take(WORDS) {
        line.push(if letter.is_control() { ' ' } else { letter });
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(contents: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), contents).expect("written");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file.path(), mode).expect("mode");
        file
    }

    fn code(contents: &str, mode: u32) -> &'static str {
        let file = file(contents, mode);
        read_word("x", file.path()).expect_err("refused").code()
    }

    #[test]
    fn a_secret_is_read_without_the_line_end() {
        for mode in [0o600, 0o400, 0o640] {
            let file = file("s3cret\n", mode);
            let secret = read_word("x", file.path()).expect("read");
            assert_eq!(secret.expose(), "s3cret");
        }
    }

    #[test]
    fn what_is_wrong_with_a_secret_file_is_told_apart() {
        assert_eq!(code("s3cret", 0o644), "dns_secret_exposed");
        assert_eq!(code("s3cret", 0o620), "dns_secret_exposed");
        assert_eq!(code(" \n", 0o600), "dns_secret_unreadable");
        assert_eq!(code("two words", 0o600), "dns_secret_malformed");
        let missing = read("x", Path::new("/nowhere/token")).expect_err("refused");
        assert_eq!(missing.code(), "dns_secret_unreadable");
        assert!(missing.to_string().contains("/nowhere/token"), "{missing}");
    }

    #[test]
    fn words_from_outside_lose_secrets_line_ends_and_length() {
        let secret = Secret::new("canary".to_owned());
        let words = format!("bad token canary\n\u{1b}[31m{}", "x".repeat(1000));
        let harmless = harmless(&words, &[&secret]);
        assert!(
            harmless.starts_with("bad token (redacted)  [31mxxx"),
            "{harmless}"
        );
        assert!(harmless.len() <= WORDS);
    }
}
