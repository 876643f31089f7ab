//! Which attributes of an entry are results, and which lead to further entries.

/// The attributes that are asked for, by what becomes of their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    /// `terminal_result_attribute`: where an entry has one, all its others are passed over.
    pub(crate) terminal: Vec<String>,
    /// `leaf_result_attribute`: passed over where the entry leads to others.
    pub(crate) leaf: Vec<String>,
    /// `result_attribute`
    pub(crate) ordinary: Vec<String>,
    /// `special_result_attribute`: DNs and URLs of further entries.
    pub(crate) special: Vec<String>,
}

/// An entry as the server gave it: names and their values.
pub(crate) type Entry = Vec<(String, Vec<Vec<u8>>)>;

/// What an entry comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    pub(crate) results: Vec<Vec<u8>>,
    pub(crate) further: Vec<Vec<u8>>,
}

impl Attributes {
    /// All names, to be sent to the server.
    pub(crate) fn names(&self) -> Vec<String> {
        [&self.terminal, &self.leaf, &self.ordinary, &self.special]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Those of `wanted` that are asked for anyway; all where nothing is wanted in particular.
    pub(crate) fn pertinent(&self, wanted: &[String]) -> Vec<String> {
        let names = self.names();
        if wanted.is_empty() {
            return names;
        }
        wanted.iter().filter(|it| names.iter().any(|name| is_subtype(name, it))).cloned().collect()
    }

    /// Sorts the values of an entry.
    pub(crate) fn sort(&self, entry: Entry) -> Sorted {
        let has_any = |names: &[String]| {
            entry.iter().any(|(name, values)| !values.is_empty() && is_among(names, name))
        };
        let is_terminal = has_any(&self.terminal);
        let leads_on = !is_terminal && has_any(&self.special);
        let mut sorted = Sorted::default();
        for (name, values) in entry {
            let is_result = if is_among(&self.terminal, &name) {
                true
            } else if is_among(&self.leaf, &name) {
                !is_terminal && !leads_on
            } else {
                !is_terminal && is_among(&self.ordinary, &name)
            };
            if is_result {
                sorted.results.extend(values);
            } else if leads_on && is_among(&self.special, &name) {
                sorted.further.extend(values);
            }
        }
        sorted
    }
}

fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|wanted| is_subtype(wanted, name))
}

/// `mail` asks for `mail;lang-de`, too, in any case of letters.
fn is_subtype(wanted: &str, name: &str) -> bool {
    name.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
        && matches!(name.as_bytes().get(wanted.len()), None | Some(b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(entry: &[(&str, &str)]) -> (String, String) {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let attributes = Attributes {
            terminal: names(&["forward"]),
            leaf: names(&["alias"]),
            ordinary: names(&["mail"]),
            special: names(&["member"]),
        };
        let entry = entry
            .iter()
            .map(|&(name, values)| {
                (
                    name.to_owned(),
                    values.split_terminator(' ').map(|it| it.as_bytes().to_vec()).collect(),
                )
            })
            .collect();
        let sorted = attributes.sort(entry);
        let join = |values: Vec<Vec<u8>>| {
            String::from_utf8(values.join(&b' ')).expect("values of this test")
        };
        (join(sorted.results), join(sorted.further))
    }

    fn wanted(results: &str, further: &str) -> (String, String) {
        (results.to_owned(), further.to_owned())
    }

    #[test]
    fn ordinary_values_are_results_and_special_ones_lead_on() {
        assert_eq!(sort(&[("mail", "a b"), ("member", "c")]), wanted("a b", "c"));
        assert_eq!(sort(&[("MAIL;lang-de", "a"), ("mailbox", "b")]), wanted("a", ""));
    }

    #[test]
    fn leaf_values_count_only_where_nothing_leads_on() {
        assert_eq!(sort(&[("alias", "a"), ("mail", "b")]), wanted("a b", ""));
        assert_eq!(sort(&[("alias", "a"), ("mail", "b"), ("member", "c")]), wanted("b", "c"));
        assert_eq!(sort(&[("alias", "a"), ("member", "")]), wanted("a", ""));
    }

    #[test]
    fn a_terminal_value_is_all_there_is() {
        assert_eq!(
            sort(&[("mail", "a"), ("member", "c"), ("alias", "d"), ("forward", "f")]),
            wanted("f", "")
        );
        assert_eq!(sort(&[("mail", "a"), ("forward", "")]), wanted("a", ""));
    }
}
