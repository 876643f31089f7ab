//! Lists: items parted by commas and white space, `{ }` protecting what is inside.

use crate::line::is_space;

/// The items of a list value.
///
/// A brace may start anywhere in an item (`inline:{a=b, c=d}` is one item) and nests; what is not
/// closed reaches to the end (postfix `src/util/mystrtok.c`).
pub fn items(text: &str) -> Items<'_> {
    Items { rest: text }
}

/// Iterator over the items of a list, see [`items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a str,
}

impl<'a> Items<'a> {
    /// What stands behind the items so far, the separator first.
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches(is_separator);
        let mut depth = 0usize;
        let end = text
            .find(|c| match c {
                '{' => {
                    depth += 1;
                    false
                }
                '}' => {
                    depth = depth.saturating_sub(1);
                    false
                }
                _ => depth == 0 && is_separator(c),
            })
            .unwrap_or(text.len());
        let (item, rest) = text.split_at(end);
        self.rest = rest;
        (!item.is_empty()).then_some(item)
    }
}

/// What is inside the braces of `{ text }`, without the white space around it; `None` where the item
/// is not exactly one braced text.
pub fn unbraced(item: &str) -> Option<&str> {
    let inner = item.strip_prefix('{')?.strip_suffix('}')?;
    let mut depth = 0usize;
    for b in inner.bytes() {
        match b {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then(|| inner.trim_matches(|c: char| c.is_ascii() && is_space(c as u8)))
}

/// Prints items so that [`items`] reads the same ones back.
pub fn join<'a>(list: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for item in list {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(item);
    }
    text
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn braces_protect_commas_and_spaces() {
        let found: Vec<&str> = items("a, b,,c  inline:{ x=1, { y = 2 } } {d e}").collect();
        assert_eq!(found, ["a", "b", "c", "inline:{ x=1, { y = 2 } }", "{d e}"]);
        assert_eq!(items(" , ,").next(), None);
    }

    #[test]
    fn an_open_brace_reaches_to_the_end() {
        assert_eq!(items("a {b c").collect::<Vec<_>>(), ["a", "{b c"]);
        assert_eq!(items("a} b").collect::<Vec<_>>(), ["a}", "b"]);
    }

    #[test]
    fn only_one_whole_braced_text_is_unbraced() {
        assert_eq!(unbraced("{ a b }"), Some("a b"));
        assert_eq!(unbraced("{{a} {b}}"), Some("{a} {b}"));
        assert_eq!(unbraced("{a} {b}"), None);
        assert_eq!(unbraced("a"), None);
        assert_eq!(unbraced("{"), None);
    }

    proptest! {
        #[test]
        fn a_printed_list_reads_back_the_same(text in "[a-c{}, \t!:/=]{0,40}") {
            let first: Vec<&str> = items(&text).collect();
            let printed = join(first.iter().copied());
            prop_assert_eq!(items(&printed).collect::<Vec<_>>(), first);
        }
    }
}
