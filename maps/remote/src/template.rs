//! `%s %u %d %S %U %D %1..%9 %%`: the templates of queries and results.
//!
//! The rules of postfix `src/global/db_common.c`: a key that lacks a part which any template of the
//! table asks for is not in the table, and nobody is asked about it. How a part is quoted where it is
//! put in is the business of each type of table, see [`Template::pieces`].

/// A query or a result format, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Stays as it is.
    Text(String),
    /// Is replaced.
    Field(Field),
}

/// What takes the place of a `%` and its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `%s`: in a query the key, in a result format the result.
    Whole,
    /// `%u`: its local part, or all of it where there is no domain.
    User,
    /// `%d`: its domain.
    Domain,
    /// `%S`: the key.
    KeyWhole,
    /// `%U`: the key's local part.
    KeyUser,
    /// `%D`: the key's domain.
    KeyDomain,
    /// `%1` is the top-level domain of the key, `%2` the label in front of it.
    KeyLabel(u8),
}

/// Whether a template is filled in before the question, or with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// From the key alone.
    Query,
    /// From the key and one value of the result.
    Result,
}

/// What the templates of a table ask of its keys and results, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    key_user: bool,
    key_domain: bool,
    key_labels: u8,
    value_user: bool,
    value_domain: bool,
}

/// A key or a result, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    whole: &'a str,
    /// Where there is an `@`, what is on either side of the last one.
    split: Option<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Takes `text` apart at its last `@`.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { whole: text, split: text.rsplit_once('@') }
    }

    fn user(&self) -> &'a str {
        self.split.map_or(self.whole, |(user, _)| user)
    }

    fn domain(&self) -> &'a str {
        self.split.map_or("", |(_, domain)| domain)
    }

    /// False where a part is wanted that is empty or missing. A text without a domain is its own user.
    fn has(&self, user: bool, domain: bool) -> bool {
        let no_user =
            self.split.is_some_and(|(user, domain)| user.is_empty() && !domain.is_empty());
        let bare_at = self.split.is_some_and(|(user, domain)| user.is_empty() && domain.is_empty());
        !(domain && self.domain().is_empty() || user && (no_user || bare_at))
    }

    /// The `n`th label from the right, from 1.
    fn label(&self, n: u8) -> &'a str {
        self.domain().rsplit('.').nth(usize::from(n) - 1).unwrap_or_default()
    }
}

impl Needs {
    /// False for a key that the templates cannot be filled in from, which is therefore not in the table.
    pub(crate) fn met_by_key(&self, key: Parts<'_>) -> bool {
        !key.whole.is_empty()
            && key.has(self.key_user, self.key_domain)
            && (1..=self.key_labels).all(|n| !key.label(n).is_empty())
    }

    /// False for a result that the format cannot be filled in from, which is passed over.
    fn met_by_value(&self, value: Parts<'_>) -> bool {
        !value.whole.is_empty() && value.has(self.value_user, self.value_domain)
    }

    /// True where nothing of the key is asked for.
    fn add(&mut self, field: Field, used: Use) {
        let (user, domain) = match used {
            Use::Query => (&mut self.key_user, &mut self.key_domain),
            Use::Result => (&mut self.value_user, &mut self.value_domain),
        };
        match field {
            Field::Whole | Field::KeyWhole => {}
            Field::User => *user = true,
            Field::Domain => *domain = true,
            Field::KeyUser => self.key_user = true,
            Field::KeyDomain => self.key_domain = true,
            Field::KeyLabel(n) => {
                self.key_domain = true;
                self.key_labels = self.key_labels.max(n);
            }
        }
    }
}

impl Template {
    /// Reads a template and adds what it asks for to the `needs` of its table.
    pub(crate) fn parse(text: &str, used: Use, needs: &mut Needs) -> Result<Self, String> {
        let mut template = Self::default();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                template.push_text(c);
                continue;
            }
            let field = match chars.next() {
                Some('%') => {
                    template.push_text('%');
                    continue;
                }
                Some('s') => Field::Whole,
                Some('u') => Field::User,
                Some('d') => Field::Domain,
                Some('S') => Field::KeyWhole,
                Some('U') => Field::KeyUser,
                Some('D') => Field::KeyDomain,
                Some(digit @ '1'..='9') => Field::KeyLabel(digit as u8 - b'0'),
                other => {
                    let shown = other.map_or_else(String::new, String::from);
                    return Err(format!(
                        "\"%{shown}\" stands for nothing; there are %s %u %d %S %U %D %1 to %9 and %%"
                    ));
                }
            };
            needs.add(field, used);
            template.pieces.push(Piece::Field(field));
        }
        Ok(template)
    }

    fn push_text(&mut self, c: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.into())),
        }
    }

    /// Its pieces in order, for types that quote what they put in.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// True where a key makes a difference.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Field(_)))
    }

    /// Fills in a query; each part goes through `quote`.
    pub(crate) fn query(&self, key: Parts<'_>, quote: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field) => out.push_str(&quote(field.of(key, key))),
            }
        }
        out
    }

    /// Appends one value of a result to `out`, after a comma where something is there. False where the
    /// value is passed over.
    pub(crate) fn add_result(
        &self,
        needs: &Needs,
        key: Parts<'_>,
        value: &str,
        out: &mut String,
    ) -> bool {
        let value = Parts::of(value);
        if !needs.met_by_value(value) || !needs.met_by_key(key) {
            return false;
        }
        if !out.is_empty() {
            out.push(',');
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field) => out.push_str(field.of(key, value)),
            }
        }
        true
    }
}

impl Field {
    /// What it stands for; in a query the value is the key.
    pub(crate) fn of<'a>(self, key: Parts<'a>, value: Parts<'a>) -> &'a str {
        match self {
            Self::Whole => value.whole,
            Self::User => value.user(),
            Self::Domain => value.domain(),
            Self::KeyWhole => key.whole,
            Self::KeyUser => key.user(),
            Self::KeyDomain => key.domain(),
            Self::KeyLabel(n) => key.label(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query for a key, as long as it is asked at all.
    fn query(template: &str, key: &str) -> Option<String> {
        let mut needs = Needs::default();
        let template = Template::parse(template, Use::Query, &mut needs).unwrap();
        let key = Parts::of(key);
        needs.met_by_key(key).then(|| template.query(key, str::to_owned))
    }

    fn results(query: &str, format: &str, key: &str, values: &[&str]) -> String {
        let mut needs = Needs::default();
        Template::parse(query, Use::Query, &mut needs).unwrap();
        let format = Template::parse(format, Use::Result, &mut needs).unwrap();
        let mut out = String::new();
        for value in values {
            format.add_result(&needs, Parts::of(key), value, &mut out);
        }
        out
    }

    #[test]
    fn a_query_is_filled_in_from_the_parts_of_the_key() {
        let key = "user+x@mail.example.com";
        for (template, wanted) in [
            ("%s", "user+x@mail.example.com"),
            ("%u at %d", "user+x at mail.example.com"),
            ("%S %U %D", "user+x@mail.example.com user+x mail.example.com"),
            ("%1 %2 %3", "com example mail"),
            ("100%% of '%s'", "100% of 'user+x@mail.example.com'"),
        ] {
            assert_eq!(query(template, key).as_deref(), Some(wanted), "{template}");
        }
        assert_eq!(query("%u", "root").as_deref(), Some("root"));
        assert_eq!(query("%u|%d", "a@b@example.com").as_deref(), Some("a@b|example.com"));
    }

    #[test]
    fn a_key_without_a_part_that_is_asked_for_is_not_asked_about() {
        for (template, key) in [
            ("%s", ""),
            ("%d", "user"),
            ("%d", "user@"),
            ("%u", "@example.com"),
            ("%D", "user"),
            ("%U", "@example.com"),
            ("%1", "user"),
            ("%3", "user@example.com"),
            ("%2", "user@.com"),
        ] {
            assert_eq!(query(template, key), None, "{template} {key}");
        }
        assert_eq!(query("%s", "@example.com").as_deref(), Some("@example.com"));
        assert_eq!(query("%d", "@example.com").as_deref(), Some("example.com"));
    }

    #[test]
    fn results_are_formatted_and_joined_and_those_that_lack_a_part_are_passed_over() {
        let key = "user@example.com";
        assert_eq!(results("%s", "%s", key, &["a", "", "b"]), "a,b");
        assert_eq!(results("%s", "smtp:[%s]", key, &["mx1", "mx2"]), "smtp:[mx1],smtp:[mx2]");
        assert_eq!(results("%s", "%u+%U@%d", key, &["x@y", "nodomain", "@z"]), "x+user@y");
        assert_eq!(results("%s", "%S/%1", key, &["x"]), "user@example.com/com");
        // What the format wants of the key limits which keys are asked for at all.
        assert_eq!(results("%s", "%D", "user", &["x"]), "");
    }

    #[test]
    fn a_letter_that_stands_for_nothing_is_refused() {
        for text in ["%x", "%0", "50%", "% s"] {
            let why = Template::parse(text, Use::Query, &mut Needs::default()).unwrap_err();
            assert!(why.contains("stands for nothing"), "{text}: {why}");
        }
    }
}
