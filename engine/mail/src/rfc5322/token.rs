//! Words, operators and comments.

use super::quote::quote_local;

/// Characters that stand for themselves. `%` and `!` are among them because not all the world is
/// RFC 5322, `|` because alias files have it (postfix `src/global/tok822_parse.c`).
const OPERATORS: &[u8] = b"|%!()<>@,;:\\\".[]";

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_operator(byte: u8) -> bool {
    OPERATORS.contains(&byte)
}

/// What a [`Token`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of `|%!()<>@,;:".[]`.
    Operator(u8),
    /// A word that needs no quotes.
    Atom,
    /// A word in quotes, or one that needs them.
    Quoted,
    /// What stands in brackets.
    Literal,
    /// A comment with its parentheses, as it was written.
    Comment,
}

impl Kind {
    /// Words beside each other need a space between them.
    pub(super) const fn is_word(self) -> bool {
        !matches!(self, Self::Operator(_))
    }
}

/// One token; its text is kept by the [`Tokens`] it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    start: usize,
    end: usize,
}

impl Token {
    /// One that needs no text.
    pub(super) const fn operator(operator: u8) -> Self {
        Self { kind: Kind::Operator(operator), start: 0, end: 0 }
    }
}

/// The tokens of one address, or of a whole list.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    text: Vec<u8>,
    list: Vec<Token>,
}

impl Tokens {
    /// Reads a text in external form.
    pub fn scan(text: &[u8]) -> Self {
        Self::scan_up_to(text, usize::MAX).0
    }

    /// Reads no more than `tokens_max` tokens; what is left of the text is the second value.
    pub fn scan_up_to(text: &[u8], tokens_max: usize) -> (Self, &[u8]) {
        let mut tokens = Self { text: Vec::with_capacity(text.len()), list: Vec::new() };
        let rest = tokens.add_scanned(text, tokens_max);
        (tokens, rest)
    }

    /// The tokens in order.
    pub fn list(&self) -> &[Token] {
        &self.list
    }

    /// What a word says: without its quotes, brackets and backslashes; a comment as it was written.
    pub fn text(&self, token: &Token) -> &[u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// The first place of an operator.
    pub fn find(&self, operator: u8) -> Option<usize> {
        self.list.iter().position(|token| token.kind == Kind::Operator(operator))
    }

    /// The last place of an operator.
    pub fn rfind(&self, operator: u8) -> Option<usize> {
        self.list.iter().rposition(|token| token.kind == Kind::Operator(operator))
    }

    /// Keeps the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// Takes the first `len` tokens away.
    pub fn remove_first(&mut self, len: usize) {
        self.list.drain(..len.min(self.list.len()));
    }

    /// Takes the tokens from `from` on away, and gives them back with what they need.
    pub fn split_off(&mut self, from: usize) -> Vec<Token> {
        self.list.split_off(from.min(self.list.len()))
    }

    /// Puts back what [`Self::split_off`] of this very value took.
    pub fn append(&mut self, tokens: &[Token]) {
        self.list.extend_from_slice(tokens);
    }

    /// Puts tokens of this very value in front.
    pub fn prepend(&mut self, tokens: &[Token]) {
        self.list.splice(..0, tokens.iter().copied());
    }

    /// Adds an operator.
    pub fn push_operator(&mut self, operator: u8) {
        let end = self.text.len();
        self.list.push(Token { kind: Kind::Operator(operator), start: end, end });
    }

    /// Makes the operator at `place` another one.
    pub fn set_operator(&mut self, place: usize, operator: u8) {
        if let Some(token) = self.list.get_mut(place) {
            token.kind = Kind::Operator(operator);
        }
    }

    /// Adds a word with nothing in it, in quotes: the null address.
    pub fn push_empty(&mut self) {
        let end = self.text.len();
        self.list.push(Token { kind: Kind::Quoted, start: end, end });
    }

    /// Adds the tokens of a text in external form.
    pub fn push_scanned(&mut self, text: &[u8]) {
        self.add_scanned(text, usize::MAX);
    }

    /// The internal form.
    pub fn internal(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + self.list.len());
        self.push_internal(&self.list, Spaces::Between, &mut out);
        out
    }

    /// The internal form of the tokens from `from` on.
    pub fn internal_from(&self, from: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let list = self.list.get(from..).unwrap_or_default();
        self.push_internal(list, Spaces::Between, &mut out);
        out
    }

    /// The external form of what is one address: its local part in quotes where it needs them.
    pub fn external(&self) -> Vec<u8> {
        quote_local(&self.internal()).into_owned()
    }

    pub(super) fn push_internal(&self, list: &[Token], spaces: Spaces, out: &mut Vec<u8>) {
        for (place, token) in list.iter().enumerate() {
            match token.kind {
                Kind::Operator(operator) => out.push(operator),
                Kind::Literal => {
                    out.push(b'[');
                    out.extend_from_slice(self.text(token));
                    out.push(b']');
                }
                Kind::Atom | Kind::Quoted | Kind::Comment => {
                    out.extend_from_slice(self.text(token));
                }
            }
            if spaces == Spaces::Between && needs_space(token.kind, list.get(place + 1)) {
                out.push(b' ');
            }
        }
    }

    /// As RFC 5322 writes each token, one behind the other.
    pub(super) fn push_external(&self, list: &[Token], out: &mut Vec<u8>) {
        list.iter().for_each(|token| self.push_written(token, out));
    }

    pub(super) fn push_written(&self, token: &Token, out: &mut Vec<u8>) {
        let (open, close, escaped): (_, _, &[u8]) = match token.kind {
            Kind::Operator(operator) => return out.push(operator),
            Kind::Atom | Kind::Comment => return out.extend_from_slice(self.text(token)),
            Kind::Quoted => (b'"', b'"', b"\"\\\r\n"),
            Kind::Literal => (b'[', b']', b"\\\r\n"),
        };
        out.push(open);
        for &byte in self.text(token) {
            if escaped.contains(&byte) {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(close);
    }

    fn add_scanned<'t>(&mut self, text: &'t [u8], tokens_max: usize) -> &'t [u8] {
        let mut rest = text;
        let mut left = tokens_max;
        while let Some((&byte, behind)) = rest.split_first() {
            if is_space(byte) {
                rest = behind;
                continue;
            }
            if left == 0 {
                return rest;
            }
            left -= 1;
            let start = self.text.len();
            let kind;
            (kind, rest) = match byte {
                b'(' => (Kind::Comment, self.take_comment(behind)),
                b'[' => (Kind::Literal, skip_one(self.take(behind, |byte| byte != b']'))),
                b'"' => (Kind::Quoted, skip_one(self.take(behind, |byte| byte != b'"'))),
                _ if byte != b'\\' && is_operator(byte) => (Kind::Operator(byte), behind),
                _ => {
                    let rest = self.take(rest, |byte| !is_space(byte) && !is_operator(byte));
                    let plain =
                        |&byte: &u8| byte != b' ' && !byte.is_ascii_control() && !is_operator(byte);
                    let is_atom = self.text[start..].iter().all(plain);
                    (if is_atom { Kind::Atom } else { Kind::Quoted }, rest)
                }
            };
            self.list.push(Token { kind, start, end: self.text.len() });
        }
        rest
    }

    /// Copies bytes while they are what is wanted. A backslash makes any byte one that is.
    fn take<'t>(&mut self, text: &'t [u8], wanted: impl Fn(u8) -> bool) -> &'t [u8] {
        let mut rest = text;
        while let Some((&first, behind)) = rest.split_first() {
            let byte = if first == b'\\' {
                let Some((&escaped, behind)) = behind.split_first() else { return behind };
                rest = behind;
                escaped
            } else if wanted(first) {
                rest = behind;
                first
            } else {
                break;
            };
            self.text.push(if is_space(byte) { b' ' } else { byte });
        }
        rest
    }

    /// Copies a comment as it is written, to the parenthesis that ends it or to the end of the text.
    /// They nest as deep as they like: only the depth is kept.
    fn take_comment<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        self.text.push(b'(');
        let mut depth = 1_usize;
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            self.text.push(byte);
            match byte {
                b'(' => depth += 1,
                b')' if depth == 1 => break,
                b')' => depth -= 1,
                b'\\' => self.text.extend(bytes.next()),
                _ => {}
            }
        }
        bytes.as_slice()
    }
}

/// Whether words that stand beside each other get a space between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    Between,
    None,
}

pub(super) fn needs_space(kind: Kind, next: Option<&Token>) -> bool {
    let Some(next) = next else { return false };
    kind == Kind::Operator(b',')
        || next.kind == Kind::Operator(b'<')
        || kind.is_word() && next.kind.is_word()
}

fn skip_one(text: &[u8]) -> &[u8] {
    text.get(1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Vec<String> {
        let tokens = Tokens::scan(text.as_bytes());
        let name = |token: &Token| {
            let text = String::from_utf8_lossy(tokens.text(token)).into_owned();
            match token.kind {
                Kind::Operator(operator) => char::from(operator).to_string(),
                kind => format!("{kind:?} {text}"),
            }
        };
        tokens.list().iter().map(name).collect()
    }

    #[test]
    fn words_are_atoms_unless_they_need_quotes() {
        assert_eq!(scanned("user@example"), ["Atom user", "@", "Atom example"]);
        assert_eq!(scanned("\"us er\" @ [1.2]"), ["Quoted us er", "@", "Literal 1.2"]);
        assert_eq!(scanned("a\\ b\\@c"), ["Quoted a b@c"]);
        assert_eq!(
            scanned("h\u{e9}|x%y!z"),
            ["Atom h\u{e9}", "|", "Atom x", "%", "Atom y", "!", "Atom z"]
        );
        assert_eq!(scanned("a\x01"), ["Quoted a\x01"]);
    }

    #[test]
    fn what_has_no_end_ends_with_the_text() {
        assert_eq!(scanned("\"a b"), ["Quoted a b"]);
        assert_eq!(scanned("[a"), ["Literal a"]);
        assert_eq!(scanned("(a (b) c"), ["Comment (a (b) c"]);
        assert_eq!(scanned("a\\"), ["Atom a"]);
        assert_eq!(scanned("\\"), ["Atom "]);
        assert_eq!(scanned("(\\"), ["Comment (\\"]);
        assert_eq!(scanned(") ]"), [")", "]"]);
    }

    #[test]
    fn comments_nest_and_keep_their_backslashes() {
        assert_eq!(scanned("(a \\) (b)) c"), ["Comment (a \\) (b))", "Atom c"]);
        let deep = format!("{}x{} y", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(scanned(&deep).len(), 2);
    }

    #[test]
    fn no_more_tokens_are_read_than_wanted() {
        let (tokens, rest) = Tokens::scan_up_to(b"a@b, c@d", 4);
        assert_eq!(tokens.list().len(), 4);
        assert_eq!(rest, b"c@d");
        assert_eq!(Tokens::scan_up_to(b"a ", 1).1, b"");
    }
}
