//! The words of a structured header such as Content-Type (RFC 2045 section 5.1, RFC 822 section 3.3).
//!
//! A value is a row of items that a terminator parts; of each item its first three tokens matter, as in
//! postfix `src/global/header_token.c`: `type / subtype`, `name = value`. Linear in the value's length,
//! comments of any depth included.

use std::borrow::Cow;

/// Tokens of an item that are kept.
const TOKENS_MAX: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    Quoted(Cow<'a, [u8]>),
    Special(u8),
}

/// One item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    tokens: [Option<Token<'a>>; TOKENS_MAX],
}

impl Item<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens[0].is_none()
    }

    /// The first word, unless the item begins with something else.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        match &self.tokens[0] {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// The word behind a first one and this sign.
    pub(crate) fn value(&self, sign: u8) -> Option<&[u8]> {
        match &self.tokens {
            [_, Some(Token::Special(it)), Some(Token::Word(word))] if *it == sign => Some(word),
            _ => None,
        }
    }

    /// What stands there, quoted or not, if only a special character.
    pub(crate) fn any_value(&self, sign: u8) -> Option<&[u8]> {
        match &self.tokens {
            [_, Some(Token::Special(it)), Some(value)] if *it == sign => Some(match value {
                Token::Word(word) => word,
                Token::Quoted(text) => text,
                Token::Special(special) => std::slice::from_ref(special),
            }),
            _ => None,
        }
    }
}

/// The items of a value.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    rest: &'a [u8],
    specials: &'static [u8],
    terminator: Option<u8>,
    ended: bool,
}

impl<'a> Items<'a> {
    /// With RFC 2045's special characters, parted by `;`.
    pub(crate) fn parameters(value: &'a [u8]) -> Self {
        let specials = b"()<>@,;:\\\"/[]?=";
        Self { rest: value, specials, terminator: Some(b';'), ended: false }
    }

    /// With RFC 822's special characters, all one item.
    pub(crate) fn structured(value: &'a [u8]) -> Self {
        Self { rest: value, specials: b"()<>@,;:\\\".[]", terminator: None, ended: false }
    }

    /// The first token, if it is a word.
    pub(crate) fn first_word(mut self) -> Option<&'a [u8]> {
        let [Some(Token::Word(word)), ..] = self.next()?.tokens else { return None };
        Some(word)
    }

    fn token(&mut self, first: u8) -> Token<'a> {
        if first == b'"' {
            self.rest = &self.rest[1..];
            return Token::Quoted(self.quoted());
        }
        if self.is_special(first) {
            self.rest = &self.rest[1..];
            return Token::Special(first);
        }
        let end = self.rest.iter().position(|&b| is_space(b) || self.is_special(b));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Token::Word(word)
    }

    fn is_special(&self, b: u8) -> bool {
        b.is_ascii_control() || self.specials.contains(&b)
    }

    /// Up to the closing quote, unescaped; a folded line goes on without the fold.
    fn quoted(&mut self) -> Cow<'a, [u8]> {
        let text = self.rest;
        let plain = text.iter().position(|b| matches!(b, b'"' | b'\\' | b'\n'));
        let Some(plain) = plain else {
            self.rest = &[];
            return Cow::Borrowed(text);
        };
        if text[plain] == b'"' {
            self.rest = &text[plain + 1..];
            return Cow::Borrowed(&text[..plain]);
        }
        let mut out = text[..plain].to_vec();
        let mut bytes = text[plain..].iter();
        while let Some(&b) = bytes.next() {
            match b {
                b'"' => break,
                b'\n' => {
                    let kept = out.iter().rposition(|&b| !is_space(b)).map_or(0, |last| last + 1);
                    out.truncate(kept);
                }
                b'\\' => out.extend(bytes.next()),
                b => out.push(b),
            }
        }
        self.rest = bytes.as_slice();
        Cow::Owned(out)
    }

    /// Behind a comment whose parenthesis has just been read.
    fn skip_comment(&mut self) {
        let mut depth = 1_usize;
        let mut bytes = self.rest.iter();
        while let Some(b) = bytes.next() {
            match b {
                b'(' => depth += 1,
                b')' if depth == 1 => break,
                b')' => depth -= 1,
                b'\\' => _ = bytes.next(),
                _ => {}
            }
        }
        self.rest = bytes.as_slice();
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.ended {
            return None;
        }
        let mut item = Item::default();
        let mut count = 0;
        while let Some(&first) = self.rest.first() {
            if is_space(first) {
                self.rest = &self.rest[1..];
            } else if Some(first) == self.terminator {
                self.rest = &self.rest[1..];
                return Some(item);
            } else if first == b'(' {
                self.rest = &self.rest[1..];
                self.skip_comment();
            } else {
                let token = self.token(first);
                if let Some(place) = item.tokens.get_mut(count) {
                    *place = Some(token);
                    count += 1;
                }
            }
        }
        self.ended = true;
        (count > 0).then_some(item)
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_unescaped_and_unfolded() {
        for (value, expected) in [
            (&b"a=\"plain\""[..], &b"plain"[..]),
            (b"a=\"x\\\"y\\\\z\"", b"x\"y\\z"),
            (b"a=\"one \t\n two\"", b"one two"),
            (b"a=\"never closed", b"never closed"),
            (b"a=\"cut\\", b"cut"),
            (b"a=\"\"", b""),
        ] {
            let item = Items::parameters(value).next().unwrap();
            assert_eq!(item.any_value(b'='), Some(expected), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn comments_nest_and_do_not_end_where_they_are_quoted() {
        let value = b"(one (two) \\) ; x=1) type (three)/sub; a=b";
        let items: Vec<Item<'_>> = Items::parameters(value).collect();
        assert_eq!(items[0].name(), Some(&b"type"[..]));
        assert_eq!(items[0].value(b'/'), Some(&b"sub"[..]));
        assert_eq!(items[1].value(b'='), Some(&b"b"[..]));
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn great_numbers_of_anything_are_read_in_a_moment() {
        for value in [b"(".repeat(1_000_000), b"a=b;".repeat(100_000), b"\"".repeat(1_000_001)] {
            assert!(Items::parameters(&value).count() <= 100_000);
        }
    }
}
