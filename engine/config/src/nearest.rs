//! The known name that a misspelt one most likely means.

/// Edits that still make a likely misspelling.
const EDITS_MAX: usize = 3;

/// The name with the fewest edits, if there are few.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut limit = EDITS_MAX.min(name.len() / 4);
    let letters = letters(name);
    let mut found: Option<(usize, &str)> = None;
    for candidate in known {
        // An edit changes the length by one, and takes or gives a letter or both. Most names are gone
        // with that, and a configuration of misspelt names does not take a second to start.
        let differ = (letters ^ self::letters(candidate)).count_ones() as usize;
        if candidate.len().abs_diff(name.len()) > limit || differ > 2 * limit {
            continue;
        }
        let edits = edits(name, candidate, limit);
        if edits <= limit && found.is_none_or(|best| (edits, candidate) < best) {
            found = Some((edits, candidate));
            limit = edits;
        }
    }
    found.map(|(_, candidate)| candidate)
}

/// Which bytes a name has, as far as they differ in their low six bits.
fn letters(name: &str) -> u64 {
    name.bytes().fold(0, |letters, byte| letters | 1 << (byte & 63))
}

/// Inserted, deleted, replaced bytes, and swapped neighbours; where they are more than `limit`, some
/// number above it.
fn edits(a: &str, b: &str, limit: usize) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row = before.clone();
    for i in 0..a.len() {
        row[0] = i + 1;
        let mut least_of_row = row[0];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row[j + 1] = least;
            least_of_row = least_of_row.min(least);
        }
        // A swap reaches back two rows, at the cost of one edit.
        if least_of_row > limit && above.iter().all(|&edits| edits >= limit) {
            return limit + 1;
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_strange_one_does_not() {
        let known = ["smtpd_timeout", "smtpd_banner", "myhostname"];
        for (name, found) in [
            ("smtpd_timeuot", Some("smtpd_timeout")),
            ("smptd_baner", Some("smtpd_banner")),
            ("myhostnam", Some("myhostname")),
            ("my_own_name", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), found, "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_near_is_passed_over(name in "[abc_]{0,14}", known in vec("[abc_]{0,14}", 0..8)) {
            let limit = EDITS_MAX.min(name.len() / 4);
            let slow = known
                .iter()
                .map(|candidate| (edits(&name, candidate, usize::MAX), candidate.as_str()))
                .filter(|(edits, _)| *edits <= limit)
                .min()
                .map(|(_, candidate)| candidate);
            prop_assert_eq!(nearest(&name, known.iter().map(String::as_str)), slow);
        }
    }
}
