//! Why a clone failed, in one sentence that says what to do.

use kalpana_protocol::launch::RepositorySettings;

/// Longest part of Git's own words that is repeated, in bytes.
const QUOTE_LIMIT: usize = 300;

/// Returns the sentence for what Git wrote last. `lines` are oldest first.
pub fn explain(repository: &RepositorySettings, lines: &[String]) -> String {
    let url = &repository.url;
    let text = lines.join("\n").to_ascii_lowercase();
    let says = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if says(&["remote branch"]) && says(&["not found in upstream"]) {
        let branch = repository.branch.as_deref().unwrap_or_default();
        return format!("The repository {url} has no branch {branch:?}; check its name.");
    }
    if says(&[
        "could not read username",
        "authentication failed",
        "returned error: 401",
        "returned error: 403",
    ]) {
        return format!(
            "The repository {url} does not exist or asks for a sign-in; only public repositories can be cloned."
        );
    }
    if says(&[
        "repository not found",
        "returned error: 404",
        "' not found",
        "not a git repository",
        "not valid: is this a git repository",
    ]) {
        return format!("There is no repository at {url}; check the address.");
    }
    if says(&["could not resolve host", "could not resolve proxy"]) {
        return format!(
            "The host of {url} is not known inside the workspace; check the address and the workspace's network access."
        );
    }
    if says(&["certificate", "ssl", "tls"]) {
        return format!(
            "The host of {url} shows a certificate that the workspace does not trust; add its authority to the workspace image."
        );
    }
    if says(&[
        "failed to connect",
        "couldn't connect",
        "connection refused",
        "timed out",
        "network is unreachable",
        "no route to host",
    ]) {
        return format!(
            "The host of {url} cannot be reached from the workspace; check the address and the workspace's network access."
        );
    }
    if says(&["no space left", "disk quota exceeded"]) {
        return format!("There is not enough space in the workspace for {url}.");
    }
    if says(&["no such file or directory (os error 2)"]) {
        return "The workspace image has no git; use an image that has.".to_owned();
    }
    let last = lines
        .iter()
        .rev()
        .find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    match last.or(lines.last()) {
        Some(line) => {
            let line = line.trim_start_matches("fatal: ");
            let quote = &line[..line.floor_char_boundary(QUOTE_LIMIT)];
            format!("Git could not clone {url}: {quote}")
        }
        None => format!("Git could not clone {url} and did not say why; try again."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(lines: &[&str]) -> String {
        let repository = RepositorySettings {
            url: "https://h/x".into(),
            branch: Some("topic".into()),
            directory: "x".into(),
        };
        let lines: Vec<_> = lines.iter().map(|&line| line.to_owned()).collect();
        explain(&repository, &lines)
    }

    #[test]
    fn each_common_failure_has_its_own_sentence() {
        let sentences: Vec<_> = [
            &["warning: Could not find remote branch topic to clone.", "fatal: Remote branch topic not found in upstream origin"][..],
            &["fatal: could not read Username for 'https://h': terminal prompts disabled"],
            &["fatal: repository 'https://h/x/' not found"],
            &["fatal: unable to access 'https://h/x/': Could not resolve host: h"],
            &["fatal: unable to access 'https://h/x/': server certificate verification failed. CAfile: none CRLfile: none"],
            &["fatal: unable to access 'https://h/x/': Failed to connect to h port 443 after 3 ms: Couldn't connect to server"],
            &["error: file write error: No space left on device", "fatal: fetch-pack: invalid index-pack output"],
            &["fatal: No such file or directory (os error 2)"],
            &["Cloning into '/workspace/.kalpana-clone-1'...", "fatal: the remote end hung up unexpectedly"],
            &[],
        ]
        .into_iter()
        .map(explained)
        .collect();
        insta::assert_json_snapshot!(sentences, @r#"
        [
          "The repository https://h/x has no branch \"topic\"; check its name.",
          "The repository https://h/x does not exist or asks for a sign-in; only public repositories can be cloned.",
          "There is no repository at https://h/x; check the address.",
          "The host of https://h/x is not known inside the workspace; check the address and the workspace's network access.",
          "The host of https://h/x shows a certificate that the workspace does not trust; add its authority to the workspace image.",
          "The host of https://h/x cannot be reached from the workspace; check the address and the workspace's network access.",
          "There is not enough space in the workspace for https://h/x.",
          "The workspace image has no git; use an image that has.",
          "Git could not clone https://h/x: the remote end hung up unexpectedly",
          "Git could not clone https://h/x and did not say why; try again."
        ]
        "#);
    }

    #[test]
    fn long_words_of_git_are_cut() {
        let line = format!("fatal: {}", "ä".repeat(1000));
        assert!(explained(&[&line]).len() < QUOTE_LIMIT + 100);
    }
}
