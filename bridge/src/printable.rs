//! Text that nobody trusts, made fit to be shown in one line.

/// Returns a text as one printable line, at most `limit_bytes` long.
///
/// What would not be seen, or would change how the rest is seen, becomes a space.
pub fn line(text: &str, limit_bytes: usize) -> String {
    // No character is shorter than a byte, so that the rest would not fit anyway.
    let mut line: String = text.chars().take(limit_bytes).map(visible).collect();
    line.truncate(line.floor_char_boundary(limit_bytes));
    line
}

/// Returns a character, or a space for one that is not seen or changes how others are seen.
pub fn visible(character: char) -> char {
    match character {
        // Invisible ones, marks of direction, ends of line. Source: Unicode, general categories
        // Cf, Zl and Zp.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => ' ',
        character if character.is_control() => ' ',
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hide_nothing_and_are_cut_between_characters() {
        assert_eq!(line("a\nb\u{1b}[2Jc\u{202e}d\u{0}", 200), "a b [2Jc d ");
        assert_eq!(line("ééé", 5), "éé");
        assert_eq!(line("", 5), "");
    }
}
