//! The plain page that tells of an error where no application page can: on the way between hosts.

use super::ProblemDetail;

const PAGE: &str = include_str!("page.html");

/// Returns the page.
pub(super) fn write(problem: &ProblemDetail) -> String {
    PAGE.replace("{message}", &escape(&problem.message))
        .replace(
            "{hint}",
            &escape(problem.hint.as_deref().unwrap_or_default()),
        )
        .replace("{request_id}", &escape(&problem.request_id))
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A placeholder in a value must not be filled in by the next replacement.
            '{' => escaped.push_str("&#123;"),
            other => escaped.push(other),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_become_markup() {
        let page = write(&ProblemDetail {
            code: "x",
            message: "<script>{hint}".to_owned(),
            hint: Some("a & b".to_owned()),
            request_id: "\"1\"".to_owned(),
        });
        assert!(page.contains("&lt;script&gt;&#123;hint}"), "{page}");
        assert!(
            page.contains("a &amp; b") && page.contains("&quot;1&quot;"),
            "{page}"
        );
    }
}
