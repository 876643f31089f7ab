//! SQL with the key put in, so that a key stays a value whatever is in it.
//!
//! The query of a table is read once, as far as needed to know between which quotes each `%` stands:
//! that decides how what takes its place is escaped. Outside of quotes nothing could be escaped, so a
//! query with a `%` there is refused; Postfix would pass on `1 or 1=1`.

use crate::template::{Field, Needs, Parts, Piece, Template, Use};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MariaDB and MySQL, whose reading of quotes is a setting of the connection.
    Mysql {
        /// `\` escapes inside of quotes; false where `sql_mode` has `NO_BACKSLASH_ESCAPES`.
        backslash: bool,
        /// `"` quotes names instead of values: `sql_mode` has `ANSI_QUOTES`.
        ansi_quotes: bool,
    },
    /// PostgreSQL with `standard_conforming_strings`, which every connection of ours sets.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// Between which quotes something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// Only the quote itself has to be doubled.
    Doubled(char),
    /// `''` and `\\`: PostgreSQL's `E''`.
    DoubledAndBackslash,
    /// C-like escapes: MySQL's usual strings.
    Backslash,
}

/// A query ready to be filled in.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    template: Template,
    /// How each field of the template is quoted, in their order.
    quoting: Vec<Quoting>,
}

impl Query {
    /// Reads a query.
    pub(crate) fn parse(text: &str, dialect: Dialect, needs: &mut Needs) -> Result<Self, String> {
        let template = Template::parse(text, Use::Query, needs)?;
        let mut reader = Reader { dialect, place: Place::Plain, last: [' '; 3] };
        let mut quoting = Vec::new();
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => reader.read(text),
                Piece::Field(field) => quoting.push(reader.quoting(*field)?),
            }
        }
        match reader.place {
            Place::Plain | Place::Line => Ok(Self { template, quoting }),
            _ => Err("a quote or comment has no end".to_owned()),
        }
    }

    /// The query for one key.
    pub(crate) fn fill(&self, key: &str) -> String {
        let key = Parts::of(key);
        let mut quoting = self.quoting.iter();
        let mut out = String::new();
        for piece in self.template.pieces() {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field) => {
                    if let Some(quoting) = quoting.next() {
                        quoting.escape(field.of(key, key), &mut out);
                    }
                }
            }
        }
        out
    }
}

impl Quoting {
    fn escape(self, text: &str, out: &mut String) {
        for c in text.chars() {
            match (self, c) {
                (Self::Doubled(quote), c) if c == quote => out.extend([c, c]),
                (Self::DoubledAndBackslash, '\'' | '\\') => out.extend([c, c]),
                (Self::Backslash, '\\' | '\'' | '"') => out.extend(['\\', c]),
                (Self::Backslash, '\0') => out.push_str("\\0"),
                (Self::Backslash, '\n') => out.push_str("\\n"),
                (Self::Backslash, '\r') => out.push_str("\\r"),
                (Self::Backslash, '\x1a') => out.push_str("\\Z"),
                _ => out.push(c),
            }
        }
    }
}

/// Where in a query the reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Plain,
    Quoted {
        quote: char,
        backslash: bool,
    },
    /// To the end of the line.
    Line,
    Comment {
        depth: usize,
    },
    /// `$tag$ .. $tag$`
    Dollar(String),
}

struct Reader {
    dialect: Dialect,
    place: Place,
    /// The last characters that were read, newest first: a quote behind `E` or `U&` is a special one.
    last: [char; 3],
}

impl Reader {
    fn quoting(&mut self, field: Field) -> Result<Quoting, String> {
        self.last = ['x'; 3];
        let mysql = matches!(self.dialect, Dialect::Mysql { .. });
        match self.place {
            Place::Quoted { quote: '\'' | '"', backslash: true } if mysql => Ok(Quoting::Backslash),
            Place::Quoted { quote: '\'', backslash: true } => Ok(Quoting::DoubledAndBackslash),
            Place::Quoted { quote: quote @ ('\'' | '"'), .. } => Ok(Quoting::Doubled(quote)),
            Place::Plain => Err(format!(
                "\"%{}\" is not inside of quotes; write '%{0}', so that no key can be taken for SQL",
                letter(field)
            )),
            _ => Err(format!(
                "\"%{}\" is where no value can be: in a comment, a name or a dollar-quoted text",
                letter(field)
            )),
        }
    }

    fn read(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let taken = match self.place.clone() {
                Place::Plain => self.plain(rest, c),
                Place::Quoted { quote, backslash } => self.quoted(rest, c, quote, backslash),
                Place::Line => {
                    if c == '\n' {
                        self.place = Place::Plain;
                    }
                    c.len_utf8()
                }
                Place::Comment { depth } => self.comment(rest, c, depth),
                Place::Dollar(tag) if rest.starts_with(&tag) => {
                    self.place = Place::Plain;
                    tag.len()
                }
                Place::Dollar(_) => c.len_utf8(),
            };
            for c in rest[..taken].chars() {
                self.last = [c, self.last[0], self.last[1]];
            }
            rest = &rest[taken..];
        }
    }

    /// Outside of everything; gives how many bytes it has read.
    fn plain(&mut self, rest: &str, c: char) -> usize {
        match (self.dialect, c) {
            (_, '/') if rest.starts_with("/*") => {
                self.place = Place::Comment { depth: 1 };
                return 2;
            }
            (Dialect::Mysql { .. }, '#') => self.place = Place::Line,
            (Dialect::Mysql { .. }, '-') if is_mysql_comment(rest) => self.place = Place::Line,
            (Dialect::Postgres | Dialect::Sqlite, '-') if rest.starts_with("--") => {
                self.place = Place::Line;
            }
            (Dialect::Mysql { backslash, .. }, '\'') => {
                self.place = Place::Quoted { quote: c, backslash };
            }
            (Dialect::Mysql { backslash, ansi_quotes }, '"') => {
                self.place = Place::Quoted { quote: c, backslash: backslash && !ansi_quotes };
            }
            (Dialect::Postgres, '\'') => {
                let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
                let backslash = match self.last {
                    ['e' | 'E', before, _] => !is_word(before),
                    ['&', 'u' | 'U', before] => !is_word(before),
                    _ => false,
                };
                self.place = Place::Quoted { quote: c, backslash };
            }
            (_, '\'' | '"' | '`') => self.place = Place::Quoted { quote: c, backslash: false },
            (Dialect::Sqlite, '[') => self.place = Place::Quoted { quote: ']', backslash: false },
            (Dialect::Postgres, '$') => {
                if let Some(tag) = dollar_tag(rest) {
                    self.place = Place::Dollar(tag.to_owned());
                    return tag.len();
                }
            }
            _ => {}
        }
        c.len_utf8()
    }

    fn quoted(&mut self, rest: &str, c: char, quote: char, backslash: bool) -> usize {
        if backslash && c == '\\' {
            // What is escaped may be the last character of the text: then it is a field, and no field
            // begins with a quote that has not been escaped itself.
            return c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8);
        }
        // A doubled quote ends the text and begins another at once, which comes to the same.
        if c == quote {
            self.place = Place::Plain;
            if rest[c.len_utf8()..].starts_with(quote) {
                self.place = Place::Quoted { quote, backslash };
                return 2 * c.len_utf8();
            }
        }
        c.len_utf8()
    }

    fn comment(&mut self, rest: &str, c: char, depth: usize) -> usize {
        if rest.starts_with("*/") {
            self.place = if depth > 1 { Place::Comment { depth: depth - 1 } } else { Place::Plain };
            2
        } else if self.dialect == Dialect::Postgres && rest.starts_with("/*") {
            self.place = Place::Comment { depth: depth + 1 };
            2
        } else {
            c.len_utf8()
        }
    }
}

/// `--` begins a comment only where white space follows.
fn is_mysql_comment(rest: &str) -> bool {
    rest.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(char::is_whitespace))
}

/// `$$` or `$tag$` at the start of `rest`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 2;
    let name = &rest[1..end - 1];
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name.then_some(&rest[..end])
}

fn letter(field: Field) -> char {
    match field {
        Field::Whole => 's',
        Field::User => 'u',
        Field::Domain => 'd',
        Field::KeyWhole => 'S',
        Field::KeyUser => 'U',
        Field::KeyDomain => 'D',
        Field::KeyLabel(n) => char::from(b'0' + n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: Dialect = Dialect::Mysql { backslash: true, ansi_quotes: false };
    const NO_BACKSLASH: Dialect = Dialect::Mysql { backslash: false, ansi_quotes: false };

    fn fill(dialect: Dialect, query: &str, key: &str) -> String {
        Query::parse(query, dialect, &mut Needs::default()).unwrap().fill(key)
    }

    #[test]
    fn a_key_that_ends_the_quotes_does_not() {
        let key = "x' or '1'='1' -- @example.com";
        for (dialect, wanted) in [
            (MYSQL, r"select '\'x\\'"),
            (NO_BACKSLASH, r"select '''x\'"),
            (Dialect::Postgres, r"select '''x\'"),
            (Dialect::Sqlite, r"select '''x\'"),
        ] {
            assert_eq!(fill(dialect, "select '%s'", r"'x\"), wanted, "{dialect:?}");
            let filled = fill(dialect, "select a from t where k = '%s' and d = '%d'", key);
            // Read again, the quotes are where they were: two values, and nothing else.
            let again = Query::parse(&filled.replace('%', "%%"), dialect, &mut Needs::default());
            assert!(again.is_ok(), "{filled}");
            assert!(filled.ends_with("and d = 'example.com'"), "{filled}");
        }
    }

    #[test]
    fn each_kind_of_quotes_has_its_own_escapes() {
        let key = "a'b\"c\\d\n\0";
        assert_eq!(fill(MYSQL, "'%s'", key), r#"'a\'b\"c\\d\n\0'"#);
        assert_eq!(fill(MYSQL, "\"%s\"", key), r#""a\'b\"c\\d\n\0""#);
        assert_eq!(fill(NO_BACKSLASH, "\"%s\"", "a'b\"c\\"), r#""a'b""c\""#);
        let ansi = Dialect::Mysql { backslash: true, ansi_quotes: true };
        assert_eq!(fill(ansi, "\"%s\" '%s'", "a\"'\\"), r#""a""'\" 'a\"\'\\'"#);
        assert_eq!(
            fill(Dialect::Postgres, "'%s' E'%s' U&'%s'", r"a'\"),
            r"'a''\' E'a''\\' U&'a''\\'"
        );
        assert_eq!(fill(Dialect::Postgres, "a LIKE'%s'", r"a'\"), r"a LIKE'a''\'");
        assert_eq!(fill(Dialect::Postgres, "\"%s\"", "a\"b'"), "\"a\"\"b'\"");
        assert_eq!(fill(Dialect::Sqlite, "'%s' \"%s\"", "a\"b'"), "'a\"b''' \"a\"\"b'\"");
    }

    #[test]
    fn a_field_that_could_not_be_escaped_is_refused() {
        for (dialect, query) in [
            (MYSQL, "select %s"),
            (MYSQL, "select 'a' %s"),
            (MYSQL, r"select 'a\\' %s"),
            (NO_BACKSLASH, r"select '\' %s"),
            (MYSQL, "select `%s`"),
            (MYSQL, "select 1 /* '%s' */"),
            (MYSQL, "select 1 # '%s'"),
            (MYSQL, "select 1 -- '%s'"),
            (Dialect::Postgres, "select $$%s$$"),
            (Dialect::Postgres, "select $a$'%s'$a$"),
            (Dialect::Postgres, "/* /* */ '%s' */ select 1"),
            (Dialect::Sqlite, "select [%s]"),
            (Dialect::Sqlite, "select '' || %s"),
        ] {
            let parsed = Query::parse(query, dialect, &mut Needs::default());
            assert!(parsed.is_err(), "{dialect:?} {query}: {parsed:?}");
        }
    }

    #[test]
    fn quotes_in_quotes_and_comments_are_no_quotes() {
        for (dialect, query) in [
            (MYSQL, r#"select '\'' , "it's", '%s'"#),
            (NO_BACKSLASH, r"select '\', '%s'"),
            (MYSQL, "select 1 -- it's\n, '%s'"),
            (MYSQL, "select 1--'1', '%s'"),
            (MYSQL, "/* it's */ select `a'b`, '%s'"),
            (Dialect::Postgres, "select $q$it's$q$, 'it''s', '%s'"),
            (Dialect::Postgres, "/* /* it's */ */ select '%s'"),
            (Dialect::Postgres, "select E'it\\'s', '%s', data->'a'->>'%u'"),
            (Dialect::Sqlite, "select [it's], 'it''s', '%s'; -- it's"),
        ] {
            assert!(Query::parse(query, dialect, &mut Needs::default()).is_ok(), "{query}");
        }
        assert!(Query::parse("select 'a", MYSQL, &mut Needs::default()).is_err());
    }
}
