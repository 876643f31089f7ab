//! The text a rule answers with, and the groups in it: `REJECT $1`, `${2}`, `$(3)`, `$$`.

use crate::Value;

/// A number that no pattern has so many groups for.
const GROUP_MAX: u32 = 65535;

/// A rule's text, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Replacement {
    /// No group in it.
    Text(Value),
    Parts(Box<[Part]>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(Box<str>),
    Group(u32),
}

impl Replacement {
    /// Reads it as postfix `src/util/mac_parse.c` does.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            literal.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(behind) = rest.strip_prefix('$') {
                literal.push('$');
                rest = behind;
                continue;
            }
            let (name, behind) = name(rest)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Group(number(name)?));
            rest = behind;
        }
        literal.push_str(rest);
        if parts.is_empty() {
            return Ok(Self::Text(literal.into()));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self::Parts(parts.into()))
    }

    /// The highest number of a group in it; 0 where there is none.
    pub(super) fn groups(&self) -> u32 {
        match self {
            Self::Text(_) => 0,
            Self::Parts(parts) => {
                let number = |part: &Part| match part {
                    Part::Text(_) => 0,
                    Part::Group(number) => *number,
                };
                parts.iter().map(number).max().unwrap_or(0)
            }
        }
    }
}

/// What is behind a `$`, and the rest.
fn name(text: &str) -> Result<(&str, &str), String> {
    let (open, close) = match text.as_bytes().first() {
        Some(b'{') => ('{', '}'),
        Some(b'(') => ('(', ')'),
        _ => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
            return Ok(text.split_at(end));
        }
    };
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == open) - i32::from(c == close);
        depth == 0
    });
    let end = end.ok_or_else(|| format!("${open} without {close}"))?;
    Ok((&text[1..end], &text[end + 1..]))
}

fn number(name: &str) -> Result<u32, String> {
    if name.is_empty() {
        return Err("a $ with no number behind it; a $ itself is written $$".to_owned());
    }
    let number: Option<u32> = match name.bytes().all(|b| b.is_ascii_digit()) {
        true => name.parse().ok(),
        false => return Err(format!("\"${name}\" is not the number of a group")),
    };
    match number {
        Some(number @ 1..=GROUP_MAX) => Ok(number),
        _ => Err(format!("there is no group ${name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Vec<Part> {
        match Replacement::parse(text) {
            Ok(Replacement::Parts(parts)) => parts.into(),
            Ok(Replacement::Text(text)) => vec![Part::Text((*text).into())],
            Err(why) => panic!("{text}: {why}"),
        }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn groups_are_written_in_three_ways() {
        assert_eq!(
            groups("a $1-b_ ${2}3 $(10)$3"),
            [
                text("a "),
                Part::Group(1),
                text("-b_ "),
                Part::Group(2),
                text("3 "),
                Part::Group(10),
                Part::Group(3),
            ]
        );
    }

    #[test]
    fn two_dollars_are_one() {
        assert_eq!(groups("$$1 $$"), [text("$1 $")]);
        assert_eq!(groups("$$$1"), [text("$"), Part::Group(1)]);
        assert_eq!(groups(""), [text("")]);
    }

    #[test]
    fn what_is_no_number_of_a_group_is_refused() {
        for (text, why) in [
            ("$1b_", "\"$1b_\" is not the number of a group"),
            ("$x", "\"$x\" is not the number of a group"),
            ("${a{b}c}", "\"$a{b}c\" is not the number of a group"),
            ("$", "a $ with no number behind it; a $ itself is written $$"),
            ("a ${} b", "a $ with no number behind it; a $ itself is written $$"),
            ("${1", "${ without }"),
            ("$(1", "$( without )"),
            ("$0", "there is no group $0"),
            ("$99999999999", "there is no group $99999999999"),
        ] {
            assert_eq!(Replacement::parse(text), Err(why.to_owned()), "{text}");
        }
    }
}
