//! Lines as postconf prints them.

use std::fmt::Write;

/// Longer lines are folded (postfix `src/postconf/postconf.h`).
const LINE_BYTES: usize = 80;
const INDENT: &str = "    ";

/// A line with single blanks between its words, folded if it is to be.
pub(crate) fn line(text: &str, fold: bool) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut bytes = 0;
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        if bytes > 0 {
            if !fold || bytes + word.len() < LINE_BYTES {
                out.push(' ');
                bytes += 1;
            } else {
                out.push('\n');
                out.push_str(INDENT);
                bytes = INDENT.len();
            }
        }
        out.push_str(word);
        bytes += word.len();
    }
    out.push('\n');
    out
}

/// `{"name": "value"}`
pub(crate) fn json(name: &str, value: &str) -> String {
    let mut out = String::from("{");
    quote(&mut out, name);
    out.push_str(": ");
    quote(&mut out, value);
    out.push_str("}\n");
    out
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                // A String takes everything.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_at_blanks_and_blanks_are_made_one() {
        assert_eq!(line("a =  b\n  c", false), "a = b c\n");
        let words = "x ".repeat(60);
        let folded = line(&words, true);
        assert_eq!(folded.lines().map(str::len).max(), Some(79));
        assert!(folded.contains("x\n    x"));
        assert_eq!(line("a =", false), "a =\n");
    }

    #[test]
    fn json_is_quoted() {
        assert_eq!(json("a\"b", "\\ é\t\u{1}"), "{\"a\\\"b\": \"\\\\ é\\t\\u0001\"}\n");
    }
}
