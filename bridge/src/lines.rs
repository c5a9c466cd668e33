//! Bytes of a child's output → lines of bounded length.

use kalpana_protocol::bridge::TEXT_LIMIT;

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line without its end; what is not UTF-8 is replaced.
    pub text: String,
    /// Whether it ended in a carriage return: the next one is meant to be written over it.
    pub is_transient: bool,
}

/// Cuts a stream into lines. A line longer than [`TEXT_LIMIT`] is cut into several.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes more bytes and hands each finished line to `emit`. Empty lines are left out.
    pub fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(Line)) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => self.flush(byte == b'\r', &mut emit),
                _ => {
                    self.pending.push(byte);
                    if self.pending.len() >= TEXT_LIMIT {
                        self.flush(false, &mut emit);
                    }
                }
            }
        }
    }

    /// Hands over what is left when the stream has ended.
    pub fn finish(mut self, mut emit: impl FnMut(Line)) {
        self.flush(false, &mut emit);
    }

    fn flush(&mut self, is_transient: bool, emit: &mut impl FnMut(Line)) {
        if !self.pending.is_empty() {
            let mut text = String::from_utf8_lossy(&self.pending).into_owned();
            // A replacement character is longer than the byte it stands for.
            if text.len() > TEXT_LIMIT {
                text.truncate(text.floor_char_boundary(TEXT_LIMIT));
            }
            self.pending.clear();
            emit(Line { text, is_transient });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Line> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.push(chunk, |line| found.push(line));
        }
        lines.finish(|line| found.push(line));
        found
    }

    fn line(text: &str, is_transient: bool) -> Line {
        Line {
            text: text.into(),
            is_transient,
        }
    }

    #[test]
    fn lines_are_found_across_chunks() {
        assert_eq!(
            lines(&[b"one\ntw", b"o\r\n", b"50%\rfour"]),
            [
                line("one", false),
                line("two", true),
                line("50%", true),
                line("four", false)
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(lines(&[b"a\xffb\n"]), [line("a\u{fffd}b", false)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn no_line_is_longer_than_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..40_000)) {
            for line in lines(&[&bytes]) {
                prop_assert!(line.text.len() <= TEXT_LIMIT);
            }
        }
    }

    #[test]
    fn endless_line_is_cut() {
        let found = lines(&[&vec![b'x'; 3 * TEXT_LIMIT + 1]]);
        assert_eq!(
            found.iter().map(|line| line.text.len()).collect::<Vec<_>>(),
            [TEXT_LIMIT, TEXT_LIMIT, TEXT_LIMIT, 1]
        );
    }
}
