//! The lines of `regexp:` and `pcre:` tables: `/pattern/flags text`, `if /pattern/flags`, `endif`.
//!
//! Any character but a letter or digit is a delimiter, a backslash takes a delimiter its meaning away,
//! and `!` before a pattern turns it round (postfix `src/util/dict_regexp.c`, `dict_pcre.c`). A
//! `regexp:` rule may have a second pattern, `/this/!/and not that/`.

use super::replacement::Replacement;
use super::{perl, posix};
use crate::rule_lines::{after_negations, after_word, is_space};

/// Which of the two languages a table is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Posix,
    Perl,
}

/// One line of a table.
#[derive(Debug)]
pub(super) enum Statement {
    If(Pattern),
    EndIf,
    Rule { first: Pattern, second: Option<Pattern>, replacement: Replacement },
}

/// A pattern as it is written.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) source: Source,
    pub(super) negated: bool,
}

/// What tells patterns apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) text: Box<str>,
    pub(super) flags: Flags,
}

/// The flags of either language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flags {
    Posix(posix::Flags),
    Perl(perl::Flags),
}

/// Reads a line that is not empty. What is odd about it but does not keep it from being used goes to
/// `remark`.
pub(super) fn parse(
    line: &str,
    dialect: Dialect,
    remark: &mut dyn FnMut(String),
) -> Result<Statement, String> {
    if !line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return rule(line, dialect, remark);
    }
    if let Some(rest) = after_word(line, "if") {
        let (pattern, rest) = pattern(rest.trim_start_matches(is_space), dialect, remark)?;
        let rest = rest.trim_matches(is_space);
        if !rest.is_empty() {
            remark(format!(
                "\"{rest}\" behind the condition is ignored; is it a rule that starts with white space?"
            ));
        }
        return Ok(Statement::If(pattern));
    }
    if let Some(rest) = after_word(line, "endif") {
        let rest = rest.trim_matches(is_space);
        if !rest.is_empty() {
            remark(format!("\"{rest}\" behind \"endif\" is ignored"));
        }
        return Ok(Statement::EndIf);
    }
    Err("expected /pattern/flags text, \"if\" or \"endif\"".to_owned())
}

fn rule(line: &str, dialect: Dialect, remark: &mut dyn FnMut(String)) -> Result<Statement, String> {
    let (first, rest) = pattern(line, dialect, remark)?;
    let (second, rest) = match dialect {
        Dialect::Posix if rest.starts_with('!') => {
            let (second, rest) = pattern(rest, dialect, remark)?;
            (Some(second), rest)
        }
        _ => (None, rest),
    };
    let text = rest.trim_matches(is_space);
    if text.is_empty() {
        remark("no text behind the pattern; the answer is empty".to_owned());
    }
    let replacement = Replacement::parse(text)?;
    if first.negated && replacement.groups() > 0 {
        return Err("a pattern that must not match has no groups for the text".to_owned());
    }
    Ok(Statement::Rule { first, second, replacement })
}

/// One pattern with its flags, and what follows.
fn pattern<'a>(
    text: &'a str,
    dialect: Dialect,
    remark: &mut dyn FnMut(String),
) -> Result<(Pattern, &'a str), String> {
    let (negated, text) = after_negations(text);
    let delimiter = text.chars().next().ok_or("no pattern")?;
    let text = &text[delimiter.len_utf8()..];
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = !escaped && c == delimiter;
        escaped = !escaped && c == '\\' && c != delimiter;
        ends
    });
    let end = end.ok_or_else(|| format!("the pattern has no second \"{delimiter}\""))?;
    let (source, rest) = (&text[..end], &text[end + delimiter.len_utf8()..]);
    let is_end = |c: char| is_space(c) || (dialect == Dialect::Posix && c == '!');
    let (flags, rest) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
    let flags = match dialect {
        Dialect::Posix => Flags::Posix(posix_flags(flags)?),
        Dialect::Perl => Flags::Perl(perl_flags(flags, remark)?),
    };
    Ok((Pattern { source: Source { text: source.into(), flags }, negated }, rest))
}

/// Each flag turns round what holds without it.
fn posix_flags(letters: &str) -> Result<posix::Flags, String> {
    let mut flags = posix::Flags { extended: true, ignore_case: true, lines: false };
    for letter in letters.chars() {
        let flag = match letter {
            'i' => &mut flags.ignore_case,
            'm' => &mut flags.lines,
            'x' => &mut flags.extended,
            _ => return Err(format!("there is no flag \"{letter}\"")),
        };
        *flag = !*flag;
    }
    Ok(flags)
}

fn perl_flags(letters: &str, remark: &mut dyn FnMut(String)) -> Result<perl::Flags, String> {
    let mut flags = perl::Flags {
        ignore_case: true,
        dot_all: true,
        lines: false,
        spaced: false,
        anchored: false,
        end_only: false,
        lazy: false,
    };
    for letter in letters.chars() {
        let flag = match letter {
            'i' => &mut flags.ignore_case,
            'm' => &mut flags.lines,
            's' => &mut flags.dot_all,
            'x' => &mut flags.spaced,
            'A' => &mut flags.anchored,
            'E' => &mut flags.end_only,
            'U' => &mut flags.lazy,
            'X' => {
                remark("the flag \"X\" has no effect".to_owned());
                continue;
            }
            _ => return Err(format!("there is no flag \"{letter}\"")),
        };
        *flag = !*flag;
    }
    Ok(flags)
}
