//! The plain page that tells of an error where no application page can: on the way between hosts.

use super::ProblemDetail;

const PAGE: &str = include_str!("page.html");

/// What browsers are told of the page: its own style sheet and nothing else. Our own pages may frame
/// it, because an editor's frame passes this way to sign in and should say why it does not arrive.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                                 frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

/// Returns the page. It loads its address again after `reload` seconds, when that is given.
pub(super) fn write(problem: &ProblemDetail, reload: Option<u64>) -> String {
    let (refresh, waiting) = match reload {
        None => (String::new(), String::new()),
        Some(seconds) => (
            format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"),
            format!("<p role=\"status\">Trying again in {seconds} s, and until it works.</p>\n"),
        ),
    };
    PAGE.replace("{refresh}", &refresh)
        .replace("{waiting}", &waiting)
        .replace("{message}", &escape(&problem.message))
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

    fn problem(message: &str, hint: &str, request_id: &str) -> ProblemDetail {
        ProblemDetail {
            code: "x",
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
            request_id: request_id.to_owned(),
        }
    }

    #[test]
    fn texts_cannot_become_markup() {
        let page = write(&problem("<script>{hint}", "a & b", "\"1\""), None);
        assert!(page.contains("&lt;script&gt;&#123;hint}"), "{page}");
        assert!(
            page.contains("a &amp; b") && page.contains("&quot;1&quot;"),
            "{page}"
        );
    }

    #[test]
    fn only_what_passes_is_loaded_again() {
        let away = problem("The database does not answer.", "Editors go on.", "1");
        let page = write(&away, Some(5));
        assert!(
            page.contains("<meta http-equiv=\"refresh\" content=\"5\">"),
            "{page}"
        );
        assert!(page.contains("Trying again in 5 s"), "{page}");
        let page = write(&away, None);
        assert!(
            !page.contains("refresh") && !page.contains("Trying"),
            "{page}"
        );
    }
}
