//! Command lines as they are shown to people who did not type them.

use kalpana_protocol::bridge::activity::COMMAND_LIMIT;

use crate::printable::visible;

/// Returns arguments as one printable line, at most [`COMMAND_LIMIT`] bytes.
///
/// What would not be seen, or would change how the rest is seen, becomes a space.
pub fn printable<A: AsRef<str>>(argv: &[A]) -> String {
    let mut line = String::new();
    for argument in argv {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(argument.as_ref().chars().map(visible));
        if line.len() > COMMAND_LIMIT {
            break;
        }
    }
    line.truncate(line.floor_char_boundary(COMMAND_LIMIT));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_one_line() {
        assert_eq!(printable(&["make", "-j", "8"]), "make -j 8");
        assert_eq!(printable::<&str>(&[]), "");
    }

    #[test]
    fn nothing_in_a_line_hides_or_moves_the_rest() {
        let argv = ["echo", "a\nb\u{1b}[2Jc\u{202e}d\u{2066}e\u{7f}"];
        assert_eq!(printable(&argv), "echo a b [2Jc d e ");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let line = printable(&["x".repeat(99), "é".into()]);
        assert_eq!(line, format!("{} ", "x".repeat(99)));
        let line = printable(&["x".repeat(98).as_str(), "é".repeat(4000).as_str()]);
        assert_eq!(line, format!("{} ", "x".repeat(98)));
        let line = printable(&["é".repeat(4000)]);
        assert_eq!(line, "é".repeat(50));
    }
}
