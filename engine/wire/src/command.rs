//! Cuts a command line into its words.
//!
//! Words end at white space, except within `<...>` and `"..."`, and after `TO:` and `FROM:`. They
//! stay as they were sent, quotes and backslashes included: only the address parser may take those
//! away (postfix `smtpd_token.c`).

/// A word, as a piece of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a [u8],
    /// Every quote and angle bracket that was opened is closed.
    pub(crate) complete: bool,
}

impl Word<'_> {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text.eq_ignore_ascii_case(text.as_bytes())
    }
}

/// The words of a line, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// Everything that was not yet taken, as one text without the white space around it.
    pub(crate) fn rest(&self) -> &'a [u8] {
        trim(self.rest)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let line = self.rest.trim_ascii_start();
        let mut at = 0;
        let mut complete = true;
        while let Some(&byte) = line.get(at) {
            match byte {
                _ if is_space(byte) => break,
                b'<' | b'"' => match quoted_end(&line[at..]) {
                    Some(length) => at += length,
                    None => {
                        complete = false;
                        at = line.len();
                    }
                },
                b':' => {
                    at += 1;
                    if is_preposition(&line[..at]) {
                        break;
                    }
                }
                b'\\' => at = (at + 2).min(line.len()),
                _ => at += 1,
            }
        }
        let (text, rest) = line.split_at(at);
        self.rest = rest;
        (!text.is_empty()).then_some(Word { text, complete })
    }
}

/// The length of what starts with `<` or `"`, to its closing counterpart. Brackets nest in brackets,
/// quotes hide brackets, a backslash hides anything.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut in_quotes = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if at > 0 => at += 1,
            b'"' => in_quotes = !in_quotes,
            b'<' if !in_quotes => brackets += 1,
            b'>' if !in_quotes => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if brackets == 0 && !in_quotes {
            return Some(at.min(text.len()));
        }
    }
    None
}

fn is_preposition(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"TO:") || word.eq_ignore_ascii_case(b"FROM:")
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<(String, bool)> {
        Words::new(line.as_bytes())
            .map(|word| (String::from_utf8_lossy(word.text).into_owned(), word.complete))
            .collect()
    }

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        let ok = |text: &str| (text.to_owned(), true);
        assert_eq!(
            words("MAIL FROM:<a b@c> SIZE=1"),
            [ok("MAIL"), ok("FROM:"), ok("<a b@c>"), ok("SIZE=1")]
        );
        assert_eq!(
            words("rcpt to: <\"a>b\"@c>  NOTIFY=NEVER "),
            [ok("rcpt"), ok("to:"), ok("<\"a>b\"@c>"), ok("NOTIFY=NEVER")]
        );
        assert_eq!(words("RCPT TO:a\\ b@c"), [ok("RCPT"), ok("TO:"), ok("a\\ b@c")]);
        assert_eq!(words(" \t "), []);
    }

    #[test]
    fn a_path_without_an_end_takes_the_rest_and_says_so() {
        assert_eq!(words("RCPT TO:<a@b SIZE=1").last(), Some(&("<a@b SIZE=1".to_owned(), false)));
        assert_eq!(words("RCPT TO:<\"a>@b>").last(), Some(&("<\"a>@b>".to_owned(), false)));
        assert_eq!(words("RCPT TO:<a\\>").last(), Some(&("<a\\>".to_owned(), false)));
    }
}
