//! Finds the inline scripts of a page and hashes them for its content security policy.
//!
//! Compiled twice: into the build script, which is its user, and into the crate's tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Returns `sha256-…` of each inline script of an HTML page, without repetition, in order.
///
/// Reads HTML as browsers do where it matters here: a script element ends at the next
/// `</script`, in any case; one with a `src` attribute has no content of its own.
pub(crate) fn hashes(html: &str) -> Vec<String> {
    // ASCII only, so that offsets into the lower-cased text are offsets into the page.
    let lower = html.to_ascii_lowercase();
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(start) = lower[position..].find("<script").map(|at| position + at) {
        let after_name = start + "<script".len();
        let is_element = lower[after_name..]
            .starts_with(|c: char| c == '>' || c == '/' || c.is_ascii_whitespace());
        let Some(tag_end) = end_of_tag(&lower[after_name..]).map(|at| after_name + at) else {
            break;
        };
        if !is_element {
            position = after_name;
            continue;
        }
        let Some(end) = lower[tag_end..].find("</script").map(|at| tag_end + at) else {
            break;
        };
        if !has_source(&lower[after_name..tag_end]) {
            let digest = Sha256::digest(&html.as_bytes()[tag_end..end]);
            let hash = format!("sha256-{}", STANDARD.encode(digest));
            if !found.contains(&hash) {
                found.push(hash);
            }
        }
        position = end + "</script".len();
    }
    found
}

/// Returns the offset behind the `>` that ends a tag, skipping those inside quotes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (offset, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(offset + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// Tells whether a tag's attributes, lower-cased, include `src`.
fn has_source(attributes: &str) -> bool {
    let mut rest = attributes;
    while let Some(at) = rest.find("src") {
        let before = rest[..at].chars().next_back();
        let after = rest[at + 3..].trim_start();
        let begins = before.is_none_or(|c| c.is_ascii_whitespace() || "\"'/".contains(c));
        if begins && after.starts_with('=') {
            return true;
        }
        rest = &rest[at + 3..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(script: &str) -> String {
        format!(
            "sha256-{}",
            STANDARD.encode(Sha256::digest(script.as_bytes()))
        )
    }

    #[test]
    fn inline_scripts_are_hashed_byte_for_byte() {
        let html = "<head><script>alert(1)</script><SCRIPT id='x'>\n a > b </SCRIPT></head>";
        assert_eq!(hashes(html), [hash_of("alert(1)"), hash_of("\n a > b ")]);
    }

    #[test]
    fn the_hash_is_the_one_browsers_compute() {
        // Source: the example of Content Security Policy Level 3, section 8.2.
        let expected = "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=";
        assert_eq!(
            hashes("<script>alert('Hello, world.');</script>"),
            [expected]
        );
    }

    #[test]
    fn scripts_with_a_source_have_no_hash_and_lookalikes_do_not_count() {
        let html = r#"<script src="/a.js" async=""></script><script  src = '/b.js'></script>
            <scripted>no</scripted><script data-src="c">yes</script><script title="a>b">too</script>"#;
        assert_eq!(hashes(html), [hash_of("yes"), hash_of("too")]);
    }

    #[test]
    fn repeated_scripts_are_named_once_and_broken_pages_do_no_harm() {
        assert_eq!(
            hashes("<script>a</script><script>a</script>"),
            [hash_of("a")]
        );
        for broken in [
            "<script",
            "<script>",
            "<script>never closed",
            "<script a='",
            "",
        ] {
            assert_eq!(hashes(broken), Vec::<String>::new(), "{broken}");
        }
        assert_eq!(hashes("é<script>ü</script>"), [hash_of("ü")]);
    }
}
