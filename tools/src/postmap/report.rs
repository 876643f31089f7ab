//! What the commands say on standard error, in Postfix's form: `postmap: warning: text`.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// Says things under a program's name.
pub(crate) struct Report {
    program: &'static str,
    out: RefCell<Box<dyn Write>>,
}

impl Report {
    /// A report of this program, to standard error.
    pub(crate) fn new(program: &'static str) -> Self {
        Self::to(program, io::stderr())
    }

    /// A report to somewhere else.
    pub(crate) fn to(program: &'static str, out: impl Write + 'static) -> Self {
        Self { program, out: RefCell::new(Box::new(out)) }
    }

    /// Something that is passed over.
    pub(crate) fn warning(&self, text: impl Display) {
        self.line("warning: ", &text);
    }

    /// Something that ends the command.
    pub(crate) fn fatal(&self, text: impl Display) {
        self.line("fatal: ", &text);
    }

    /// Something that was asked for with `-v`.
    pub(crate) fn info(&self, text: impl Display) {
        self.line("", &text);
    }

    fn line(&self, kind: &str, text: &dyn Display) {
        let text = printable(text.to_string().as_bytes());
        // With nobody to tell it to, the work goes on all the same.
        let _ = writeln!(self.out.borrow_mut(), "{}: {kind}{text}", self.program);
    }
}

/// The text without what would disturb a terminal or a log: `?` for each control character and for each
/// byte that is no text (postfix `src/util/printable.c`).
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if c.is_control() { '?' } else { c }));
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// An error of the system in the words of `strerror`, as Postfix prints it.
pub(crate) fn plain(error: &io::Error) -> String {
    without_numbers(&error.to_string())
}

/// The text of a table's trouble without the numbers that errors of the system have in it.
pub(crate) fn without_numbers(text: &str) -> String {
    const START: &str = " (os error ";
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        let digits = after[START.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        rest = digits.strip_prefix(')').unwrap_or(digits);
    }
    plain.push_str(rest);
    plain
}

/// A string for a JSON line, with Postfix's choice of escapes (`src/util/quote_for_json.c`).
pub(crate) fn json_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => {
                // A String takes everything.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
pub(crate) mod tests {
    use std::rc::Rc;

    use super::*;

    /// What a report says, kept.
    #[derive(Clone, Default)]
    pub(crate) struct Said(Rc<RefCell<Vec<u8>>>);

    impl Said {
        pub(crate) fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.borrow()).into_owned()
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_said_is_one_printable_line() {
        let said = Said::default();
        let report = Report::to("postmap", said.clone());
        report.warning("a\nb\x1b[1m");
        report.fatal("é");
        assert_eq!(said.text(), "postmap: warning: a?b?[1m\npostmap: fatal: é\n");
        assert_eq!(printable(b"caf\xe9\xff 1"), "caf?? 1");
    }

    #[test]
    fn json_strings_escape_as_postfix_does() {
        assert_eq!(json_string("a\"b\\c\n\t\x07\x7fé"), "\"a\\\"b\\\\c\\n\\t\\u0007\\u007Fé\"");
    }

    #[test]
    fn an_error_of_the_system_has_no_number() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&missing), "No such file or directory");
        assert_eq!(plain(&io::Error::other("x")), "x");
        assert_eq!(
            without_numbers("open a: No such file (os error 2); \"b\" (os error 13)"),
            "open a: No such file; \"b\""
        );
    }
}
