//! What the value of an alias sends mail to.

use std::path::PathBuf;

use crate::token::{Token, external, internal, scan};

/// One destination. What may be done with it is for the delivery agent to decide: whose rights it has
/// depends on where the value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address or a local name, in its quoted form.
    Address(String),
    /// `/file/name`: mail is appended, or delivered to a Maildir where the name ends in `/`.
    File(PathBuf),
    /// `~/name`: the same below the home directory of the user whose `.forward` file says so.
    HomeFile(PathBuf),
    /// `|command`: the text for the shell.
    Command(String),
    /// `:include:/file/name`: the destinations listed there.
    Include(PathBuf),
}

/// The destinations of a value, or of a line of a `.forward` or `:include:` file.
///
/// Phrases, comments and group names are no destinations; words without a comma between them are
/// several (postfix `src/global/tok822_parse.c`, `src/local/token.c`).
pub fn destinations(value: &str) -> Vec<Destination> {
    let tokens: Vec<Token> =
        scan(value).into_iter().filter(|token| !matches!(token, Token::Comment(_))).collect();
    addresses(&tokens).into_iter().map(classify).collect()
}

fn classify(tokens: &[Token]) -> Destination {
    const INCLUDE: &str = ":include:";
    let meant = internal(tokens);
    if meant.starts_with('/') {
        return Destination::File(meant.into());
    }
    if let Some(below) = meant.strip_prefix("~/") {
        return Destination::HomeFile(below.into());
    }
    if let Some(command) = meant.strip_prefix('|') {
        return Destination::Command(command.to_owned());
    }
    match meant.get(..INCLUDE.len()) {
        Some(start) if start.eq_ignore_ascii_case(INCLUDE) => {
            Destination::Include(meant[INCLUDE.len()..].into())
        }
        _ => Destination::Address(external(tokens)),
    }
}

/// Finds the runs of tokens that are addresses, in their order.
///
/// Goes from right to left: only its end tells that `Friends: a, b;` is a group and that the words
/// before `<a@b>` are a phrase. `end` is where the address that is being looked at ends.
fn addresses(tokens: &[Token]) -> Vec<&[Token]> {
    let mut found = Vec::new();
    let mut take = |range: std::ops::Range<usize>| {
        if range.start < range.end {
            found.push(&tokens[range]);
        }
    };
    let mut end = tokens.len();
    let mut at = tokens.len();
    let mut word_fits = true;
    let mut in_group = false;
    while let Some(before) = at.checked_sub(1) {
        match &tokens[before] {
            Token::Operator(';') => {
                take(at..end);
                end = before;
                (in_group, word_fits) = (true, true);
            }
            Token::Operator(':') if in_group => {
                take(at..end);
                // The group's name reaches to the comma before it.
                at = tokens[..before]
                    .iter()
                    .rposition(|token| token.is(','))
                    .map_or(0, |comma| comma + 1);
                end = at.saturating_sub(1);
                continue;
            }
            Token::Operator('>') => {
                take(at..end);
                let open = tokens[..before].iter().rposition(|token| token.is('<'));
                take(open.map_or(0, |open| open + 1)..before);
                // So does a phrase, or to the end of another address.
                let ends = |token: &Token| [',', ';', ':', '>'].iter().any(|&c| token.is(c));
                at = tokens[..open.unwrap_or(0)].iter().rposition(ends).map_or(0, |end| end + 1);
                end = at.saturating_sub(1);
                word_fits = true;
                continue;
            }
            token if token.is_word() => {
                if !word_fits {
                    take(at..end);
                    end = at;
                }
                word_fits = false;
            }
            Token::Operator(',') => {
                take(at..end);
                end = before;
                word_fits = true;
            }
            _ => word_fits = true,
        }
        at = before;
    }
    take(0..end);
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::Destination::*;
    use super::*;

    fn address(text: &str) -> Destination {
        Address(text.to_owned())
    }

    #[test]
    fn each_kind_is_told_by_how_it_starts() {
        assert_eq!(
            destinations(
                "bob, \"|/usr/bin/prog -x 'y z'\", |\"cmd arg\", :include:/etc/a.list, /var/mail/x, \
                 ~/Mail/in, :INCLUDE:\"/etc/b c\", carol@example.com"
            ),
            [
                address("bob"),
                Command("/usr/bin/prog -x 'y z'".into()),
                Command("cmd arg".into()),
                Include("/etc/a.list".into()),
                File("/var/mail/x".into()),
                HomeFile("Mail/in".into()),
                Include("/etc/b c".into()),
                address("carol@example.com"),
            ]
        );
    }

    #[test]
    fn words_without_a_comma_are_several_destinations() {
        assert_eq!(
            destinations("a b@example.com c.d"),
            [address("a"), address("b@example.com"), address("c.d")]
        );
        assert_eq!(destinations("|cmd arg"), [Command("cmd".into()), address("arg")]);
    }

    #[test]
    fn phrases_comments_and_group_names_are_no_destinations() {
        assert_eq!(
            destinations("Some One <one@example.com>, two (the second), <three> four"),
            [address("one@example.com"), address("two"), address("three"), address("four")]
        );
        assert_eq!(
            destinations("x, My Friends: a, B <b@example.com>;, y"),
            [address("x"), address("a"), address("b@example.com"), address("y")]
        );
        assert_eq!(destinations("<>, (nobody), ,"), []);
        assert_eq!(destinations("a <b> c <d>"), [address("b"), address("d")]);
    }

    #[test]
    fn an_address_keeps_the_quotes_it_needs() {
        assert_eq!(
            destinations("\"a b\"@example.com, \"c,d\", u@[1.2.3.4]"),
            [address("\"a b\"@example.com"), address("\"c,d\""), address("u@[1.2.3.4]")]
        );
    }

    #[test]
    fn no_value_has_no_destination() {
        assert_eq!(destinations(""), []);
        assert_eq!(destinations(" \t"), []);
        assert_eq!(destinations("> ;"), []);
    }
}
