//! Git's progress lines → one short detail for people.

/// Returns `Receiving objects: 45%` for a line of Git's progress, and nothing for other lines.
pub fn parse(line: &str) -> Option<String> {
    let line = line.strip_prefix("remote: ").unwrap_or(line);
    let (stage, rest) = line.split_once(':')?;
    let is_stage = (3..=40).contains(&stage.len())
        && stage
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b' ');
    let (percent, _) = rest.trim_start().split_once('%')?;
    let percent: u8 = percent.parse().ok().filter(|percent| *percent <= 100)?;
    is_stage.then(|| format!("{stage}: {percent}%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_become_a_stage_and_a_percentage() {
        for (line, detail) in [
            (
                "Receiving objects:  45% (450/1000), 1.20 MiB | 3.00 MiB/s",
                Some("Receiving objects: 45%"),
            ),
            (
                "remote: Counting objects: 100% (12/12), done.",
                Some("Counting objects: 100%"),
            ),
            ("Updating files:   3% (1/33)", Some("Updating files: 3%")),
            ("Cloning into '/workspace/.kalpana-clone-1'...", None),
            ("fatal: unable to access 'https://h/50%/': 404", None),
            ("Receiving objects: 450% (x)", None),
            ("a\u{1b}[31m: 5%", None),
            ("", None),
        ] {
            assert_eq!(parse(line).as_deref(), detail, "{line}");
        }
    }
}
