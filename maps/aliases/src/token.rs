//! RFC 822 tokens, as liberal as Postfix reads them (`src/global/tok822_parse.c`): nothing is an error,
//! what is not closed reaches to the end, and text can always be made from tokens again.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A character with a meaning of its own.
    Operator(char),
    /// A word without any such character.
    Atom(String),
    /// A word that needs quotes, without them.
    Quoted(String),
    /// What is between `[` and `]`.
    Literal(String),
    /// `(text)`, with its parentheses.
    Comment(String),
}

impl Token {
    /// True for what can stand in an address by itself.
    pub(crate) fn is_word(&self) -> bool {
        matches!(self, Self::Atom(_) | Self::Quoted(_) | Self::Literal(_))
    }

    pub(crate) fn is(&self, operator: char) -> bool {
        *self == Self::Operator(operator)
    }
}

/// RFC 822 section 3.3 specials, and `| % !` as Postfix adds them: for commands in aliases, and because
/// not all mail addresses are RFC 822.
fn is_operator(c: char) -> bool {
    "|%!()<>@,;:\\\".[]".contains(c)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// All tokens of a text.
pub(crate) fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            _ if is_space(first) => after,
            '(' => {
                let end = comment_end(rest);
                tokens.push(Token::Comment(rest[..end].to_owned()));
                &rest[end..]
            }
            '[' => {
                let (text, rest) = collect(after, |c| c == ']');
                tokens.push(Token::Literal(text));
                skip_one(rest)
            }
            '"' => {
                let (text, rest) = collect(after, |c| c == '"');
                tokens.push(Token::Quoted(text));
                skip_one(rest)
            }
            _ if first != '\\' && is_operator(first) => {
                tokens.push(Token::Operator(first));
                after
            }
            _ => {
                let (text, rest) = collect(rest, |c| is_space(c) || is_operator(c));
                // A backslash can have brought in what an atom cannot hold.
                let needs_quotes =
                    text.contains(|c: char| c == ' ' || c.is_ascii_control() || is_operator(c));
                // Empty after a backslash at the very end, which then means nothing.
                if !text.is_empty() {
                    tokens.push(if needs_quotes { Token::Quoted(text) } else { Token::Atom(text) });
                }
                rest
            }
        };
    }
    tokens
}

/// Text up to where `ends` says, backslashes undone; white space comes out as blanks.
fn collect(text: &str, ends: impl Fn(char) -> bool) -> (String, &str) {
    let mut collected = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped {
            if c == '\\' {
                escaped = true;
                continue;
            }
            if ends(c) {
                return (collected, &text[at..]);
            }
        }
        escaped = false;
        collected.push(if is_space(c) { ' ' } else { c });
    }
    (collected, "")
}

fn skip_one(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

/// Where the comment that `text` starts with ends. Comments nest.
fn comment_end(text: &str) -> usize {
    let mut level = 0usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => level += 1,
            ')' if level == 1 => return at + 1,
            ')' => level -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The tokens as text that reads back as the same tokens.
pub(crate) fn external(tokens: &[Token]) -> String {
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Operator(c) => text.push(*c),
            Token::Atom(word) | Token::Comment(word) => text.push_str(word),
            Token::Quoted(word) => quote(&mut text, word, '"', '"'),
            Token::Literal(word) => quote(&mut text, word, '[', ']'),
        }
        let Some(next) = tokens.get(at + 1) else { break };
        // Words would grow together, and these two read badly without.
        let apart = !matches!(token, Token::Operator(_)) && !matches!(next, Token::Operator(_));
        if apart || token.is(',') || next.is('<') {
            text.push(' ');
        }
    }
    text
}

fn quote(text: &mut String, word: &str, open: char, close: char) {
    text.push(open);
    for c in word.chars() {
        if c == close || c == '\\' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push(close);
}

/// The tokens as what they mean: without quotes and blanks.
pub(crate) fn internal(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Operator(c) => text.push(*c),
            Token::Atom(word) | Token::Quoted(word) | Token::Comment(word) => text.push_str(word),
            Token::Literal(word) => {
                text.push('[');
                text.push_str(word);
                text.push(']');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_and_backslashes_protect_what_is_inside() {
        let tokens = scan("\"a: b\" (c, (d) \\) e) f\\ g [1.2 ] h.i@j");
        assert_eq!(
            tokens,
            [
                Token::Quoted("a: b".into()),
                Token::Comment("(c, (d) \\) e)".into()),
                Token::Quoted("f g".into()),
                Token::Literal("1.2 ".into()),
                Token::Atom("h".into()),
                Token::Operator('.'),
                Token::Atom("i".into()),
                Token::Operator('@'),
                Token::Atom("j".into()),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_reaches_to_the_end() {
        assert_eq!(scan("\"a b"), [Token::Quoted("a b".into())]);
        assert_eq!(scan("(a (b)"), [Token::Comment("(a (b)".into())]);
        assert_eq!(scan("[1.2"), [Token::Literal("1.2".into())]);
        assert_eq!(scan("\"a\\"), [Token::Quoted("a".into())]);
        assert_eq!(scan("a \\"), [Token::Atom("a".into())]);
    }

    #[test]
    fn text_is_written_as_postfix_writes_it() {
        for (text, written) in [
            (
                "admin@example.com,/var/mail/root,\"|prog 'y z'\"",
                "admin@example.com, /var/mail/root, \"|prog 'y z'\"",
            ),
            (":include:/etc/list,bob\t, carol", ":include:/etc/list, bob, carol"),
            ("me(comment  here)", "me (comment  here)"),
            ("\"a\\\"b\" c\\ d", "\"a\\\"b\" \"c d\""),
            ("Some One<one@example.com>", "Some One <one@example.com>"),
            ("friends: a, b;", "friends:a, b;"),
            ("user@[1.2.3.4]", "user@[1.2.3.4]"),
            ("[a\\]b]", "[a\\]b]"),
        ] {
            assert_eq!(external(&scan(text)), written);
        }
    }
}
