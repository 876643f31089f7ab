//! `cidr:`: the first network of a list that an address is in.
//!
//! Rules are tried in their order, `!network` is every other address of the same family, and `if` and
//! `endif` enclose rules that only addresses in (or with `!` outside of) a network get to (postfix
//! `src/util/dict_cidr.c`). All of that is settled when the table is opened: each rule is a few
//! intervals of addresses, and one sweep over them leaves intervals that do not overlap, each with the
//! one rule that is first for it. A lookup is a binary search in a small part of them, however many rules
//! there are.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::rule_lines::{IF_DEPTH_MAX, RuleLines, after_negations, after_word, is_space};
use crate::{Answer, Lookup, Network, Opened, Opening, Response, Value};

/// Opens a table of networks.
pub(crate) fn open(opening: &Opening<'_>) -> Opened {
    let lines = RuleLines::read("cidr", opening)?;
    let mut rules = Rules::default();
    for rule in &lines.rules {
        if let Err(why) = rules.add(&rule.text, rule.line) {
            match why {
                Refused::Rule(why) => {
                    lines.note(opening, rule.line, format!("{why}; this rule is ignored"));
                }
                Refused::Table(why) => return Err(format!("{}:{}: {why}", lines.file, rule.line)),
            }
        }
    }
    for block in &rules.open_blocks {
        lines.note(opening, block.line, "this \"if\" has no \"endif\"".to_owned());
    }
    Ok(Box::new(rules.compile()))
}

/// A compiled table.
#[derive(Debug)]
struct Cidr {
    v4: Segments<u32>,
    v6: Segments<u128>,
    values: Box<[Value]>,
}

impl Lookup for Cidr {
    fn lookup(&self, key: &str) -> Response {
        let rule = match key.parse() {
            Ok(IpAddr::V4(address)) => self.v4.find(address.to_bits()),
            Ok(IpAddr::V6(address)) => self.v6.find(address.to_bits()),
            // What is no address is in no network.
            Err(_) => None,
        };
        match rule {
            Some(rule) => Answer::Found(self.values[rule as usize].clone()).into(),
            None => Answer::NotFound.into(),
        }
    }

    fn whole_keys_only(&self) -> bool {
        true
    }
}

/// No rule: the addresses that no network has.
const NONE: u32 = u32::MAX;

/// Segments, up to which an index is not worth its while.
const UNINDEXED_MAX: usize = 64;

/// Entries of an index: 256 KiB.
const INDEX_BITS_MAX: u32 = 16;

/// All addresses of one family, cut where the rule that is first for them changes.
#[derive(Debug)]
struct Segments<A> {
    /// The first address of each segment, ascending. Apart from `rules`, so that a search touches
    /// nothing else.
    starts: Box<[A]>,
    /// The rule of each segment, or [`NONE`].
    rules: Box<[u32]>,
    index: Option<Index>,
}

/// Where to search: equal parts of what is between the first and the last start, and how many segments
/// start before each of them. Saves the most of the steps of a binary search, each of which is a cache miss.
#[derive(Debug)]
struct Index {
    base: u128,
    shift: u32,
    before: Box<[u32]>,
}

impl<A: Copy + Ord + Into<u128>> Segments<A> {
    fn new(starts: Box<[A]>, rules: Box<[u32]>) -> Self {
        let index = (starts.len() > UNINDEXED_MAX).then(|| Index::new(&starts));
        Self { starts, rules, index }
    }

    fn find(&self, address: A) -> Option<u32> {
        let (from, to) = match &self.index {
            Some(index) => index.part(address.into(), self.starts.len()),
            None => (0, self.starts.len()),
        };
        let after = from + self.starts[from..to].partition_point(|&start| start <= address);
        let rule = self.rules[after.checked_sub(1)?];
        (rule != NONE).then_some(rule)
    }
}

impl Index {
    fn new<A: Copy + Ord + Into<u128>>(starts: &[A]) -> Self {
        let base = starts[0].into();
        let wide = u128::BITS - (starts[starts.len() - 1].into() - base).leading_zeros();
        let bits = starts.len().ilog2().min(INDEX_BITS_MAX).min(wide);
        let shift = wide - bits;
        let mut before = vec![0; 1 << bits];
        for &start in starts {
            before[((start.into() - base) >> shift) as usize] += 1;
        }
        let mut sum = 0;
        for count in &mut before {
            sum += std::mem::replace(count, sum);
        }
        Self { base, shift, before: before.into() }
    }

    /// The segments among which is the last that starts at `address` or before it.
    fn part(&self, address: u128, segments: usize) -> (usize, usize) {
        let Some(distance) = address.checked_sub(self.base) else {
            return (0, 0);
        };
        let part = (distance >> self.shift).min(self.before.len() as u128 - 1) as usize;
        let end = self.before.get(part + 1).map_or(segments, |&before| before as usize);
        (self.before[part] as usize, end)
    }
}

/// Why a line does not become a rule.
enum Refused {
    Rule(String),
    Table(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::Rule(why)
    }
}

impl From<&str> for Refused {
    fn from(why: &str) -> Self {
        Self::Rule(why.to_owned())
    }
}

/// Addresses of one family, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    v6: bool,
    first: u128,
    last: u128,
}

impl Interval {
    fn and(self, other: Self) -> Option<Self> {
        let both = Self {
            v6: self.v6,
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        };
        (self.v6 == other.v6 && both.first <= both.last).then_some(both)
    }
}

/// An `if` that has not ended yet.
struct Block {
    line: u32,
    /// The addresses that get into it, ascending and apart from each other.
    inside: Vec<Interval>,
}

/// Rules as they are read.
#[derive(Default)]
struct Rules {
    open_blocks: Vec<Block>,
    /// Where each value is the answer; the order of the rules is that of the values' numbers.
    claims: Vec<(Interval, u32)>,
    values: Vec<Value>,
    /// Many rules say the same.
    known: HashMap<Box<str>, Value>,
}

impl Rules {
    fn add(&mut self, rule: &str, line: u32) -> Result<(), Refused> {
        if let Some(rest) = after_word(rule, "if") {
            let (negated, pattern) = after_negations(rest);
            let inside = self.within_block(addresses(pattern, negated)?);
            if self.open_blocks.len() == IF_DEPTH_MAX {
                let why = format!("\"if\" blocks nest more than {IF_DEPTH_MAX} deep");
                return Err(Refused::Table(why));
            }
            self.open_blocks.push(Block { line, inside });
            return Ok(());
        }
        if let Some(rest) = after_word(rule, "endif") {
            if !rest.trim_matches(is_space).is_empty() {
                return Err("text after \"endif\"".into());
            }
            return self.open_blocks.pop().map(drop).ok_or("\"endif\" without \"if\"".into());
        }
        let (negated, rest) = after_negations(rule);
        let (pattern, value) = rest.split_once(is_space).unwrap_or((rest, ""));
        let claimed = addresses(pattern, negated)?;
        let value = value.trim_matches(is_space);
        if value.is_empty() {
            return Err("no result behind the network".into());
        }
        let number = self.values.len() as u32;
        self.claims.extend(self.within_block(claimed).into_iter().map(|part| (part, number)));
        let value = self.known.entry(value.into()).or_insert_with(|| value.into()).clone();
        self.values.push(value);
        Ok(())
    }

    /// What of these addresses gets to the place in the table that is being read.
    fn within_block(&self, addresses: Vec<Interval>) -> Vec<Interval> {
        let Some(block) = self.open_blocks.last() else {
            return addresses;
        };
        addresses
            .iter()
            .flat_map(|part| block.inside.iter().filter_map(|inside| part.and(*inside)))
            .collect()
    }

    fn compile(self) -> Cidr {
        let family = |v6: bool| {
            let of_family = self.claims.iter().filter(|(part, _)| part.v6 == v6);
            let all = if v6 { u128::MAX } else { u128::from(u32::MAX) };
            sweep(of_family.map(|(part, rule)| (part.first, part.last, *rule)), all)
        };
        let (starts, rules) = family(false);
        let starts = starts.into_iter().map(|start| start as u32).collect();
        let v4 = Segments::new(starts, rules.into());
        let (starts, rules) = family(true);
        let v6 = Segments::new(starts.into(), rules.into());
        Cidr { v4, v6, values: self.values.into() }
    }
}

/// The addresses that a pattern stands for: one interval, or what is left of it on both sides.
fn addresses(pattern: &str, negated: bool) -> Result<Vec<Interval>, String> {
    if pattern.is_empty() {
        return Err("no network".to_owned());
    }
    let network: Network = pattern.parse().map_err(|why| format!("\"{pattern}\": {why}"))?;
    let (v6, first, last, all) = network.bounds();
    if !negated {
        return Ok(vec![Interval { v6, first, last }]);
    }
    let below = first.checked_sub(1).map(|last| Interval { v6, first: 0, last });
    let above = (last < all).then(|| Interval { v6, first: last + 1, last: all });
    Ok(below.into_iter().chain(above).collect())
}

/// Cuts overlapping claims on the addresses up to `all` into segments, each of which goes to the lowest
/// rule.
fn sweep(claims: impl Iterator<Item = (u128, u128, u32)>, all: u128) -> (Vec<u128>, Vec<u32>) {
    let mut changes: Vec<(u128, u32, bool)> = Vec::new();
    for (first, last, rule) in claims {
        changes.push((first, rule, true));
        if last < all {
            changes.push((last + 1, rule, false));
        }
    }
    changes.sort_unstable();
    let (mut starts, mut rules) = (Vec::new(), Vec::new());
    let mut claiming = BTreeSet::new();
    let mut changes = changes.into_iter().peekable();
    while let Some((at, rule, begins)) = changes.next() {
        match begins {
            true => claiming.insert(rule),
            false => claiming.remove(&rule),
        };
        if changes.peek().is_some_and(|next| next.0 == at) {
            continue;
        }
        let first = claiming.first().copied().unwrap_or(NONE);
        if rules.last() != Some(&first) {
            starts.push(at);
            rules.push(first);
        }
    }
    (starts, rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Table, block_on};

    fn open(text: &str) -> Table {
        Table::open("cidr:/c", &Memory::default().with("/c", text))
    }

    fn find(table: &Table, key: &str) -> Option<String> {
        let answer = block_on(table.lookup(key).answer()).found();
        answer.unwrap().map(|value| value.to_string())
    }

    #[track_caller]
    fn check(table: &Table, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            assert_eq!(find(table, key).as_deref().unwrap_or("-"), *value, "{key}");
        }
    }

    fn notes(table: &Table) -> Vec<String> {
        table.notes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_network_an_address_is_in_answers() {
        let table = open(
            "192.0.2.7 one host\n192.0.2.0/28   a few \n192.0.2.0/24 many\n192.0.2.1/32 never\n\
             2001:db8::1 six\n[2001:db8::]/32 net six\n[2001:db8:1::/48] never\n",
        );
        check(
            &table,
            &[
                ("192.0.2.7", "one host"),
                ("192.0.2.0", "a few"),
                ("192.0.2.15", "a few"),
                ("192.0.2.16", "many"),
                ("192.0.2.255", "many"),
                ("192.0.3.0", "-"),
                ("192.0.1.255", "-"),
                ("2001:db8::1", "six"),
                ("2001:DB8:0::0:1", "six"),
                ("2001:db8:ffff::", "net six"),
                ("2001:db9::", "-"),
                ("::ffff:192.0.2.7", "-"),
            ],
        );
        assert_eq!(notes(&table), [""; 0]);
    }

    #[test]
    fn the_ends_of_both_families_belong_to_their_networks() {
        let ends = ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
        check(
            &open("0.0.0.0/0 four\n::/0 six\n"),
            &[(ends[0], "four"), (ends[1], "four"), (ends[2], "six"), (ends[3], "six")],
        );
        let table = open("128.0.0.0/1 upper\n!8000::/1 lower\n");
        check(&table, &[(ends[0], "-"), (ends[1], "upper"), (ends[2], "lower"), (ends[3], "-")]);
        check(&open("255.255.255.255 last\n"), &[(ends[1], "last"), ("0.0.0.0", "-")]);
    }

    #[test]
    fn what_is_no_address_is_not_found() {
        let table = open("0.0.0.0/0 all\n::/0 all\n");
        for key in
            ["", "example.com", "192.0.2", "192.0.2.1 ", "192.0.2.01", "[::1]", "192.0.2.1/32"]
        {
            assert_eq!(find(&table, key), None, "{key}");
        }
    }

    #[test]
    fn a_negated_network_is_every_other_address_of_its_family() {
        let table = open("!192.0.2.0/24 out\n! ! 192.0.2.1 in\n!!!2001:db8::/32 out six\n");
        check(
            &table,
            &[
                ("192.0.1.255", "out"),
                ("192.0.3.0", "out"),
                ("192.0.2.1", "in"),
                ("192.0.2.2", "-"),
                ("2001:db8::", "-"),
                ("::1", "out six"),
            ],
        );
        assert_eq!(find(&open("!0.0.0.0/0 none\n"), "192.0.2.1"), None);
    }

    #[test]
    fn only_addresses_in_a_block_get_to_its_rules() {
        let table = open(
            "if 192.0.2.0/24\nIF ! 192.0.2.8/29\n0.0.0.0/0 in but not those\nendif\n\
             192.0.2.9 this one\n198.51.100.0/24 never\n::/0 never\nEndIf\n\
             if !192.0.2.0/24\n192.0.2.10 never\n198.51.100.0/24 elsewhere\n::/0 never\nendif\n\
             ::/0 six\n",
        );
        check(
            &table,
            &[
                ("192.0.2.7", "in but not those"),
                ("192.0.2.8", "-"),
                ("192.0.2.9", "this one"),
                ("192.0.2.10", "-"),
                ("192.0.2.16", "in but not those"),
                ("198.51.100.1", "elsewhere"),
                ("203.0.113.1", "-"),
                ("::1", "six"),
            ],
        );
        assert_eq!(notes(&table), [""; 0]);
    }

    /// What postfix `src/util/dict_cidr.map` tries.
    #[test]
    fn a_rule_that_is_none_is_named_with_its_line_and_left_out() {
        let table = open(
            "192.0.2.1/24 x\n192.0.2.0/33 x\n192.0.2.999 x\n192.0.2.7\n2001:db8::1/32 x\n[192.0.2.8 x\n\
             [192.0.2.8]y x\n192.0.2.0/3x x\nendif\nif !\n!\nif 192.0.2.0/24 x\nendif 7\nexample.com x\n\
             if 192.0.2.0/24\n192.0.2.7 found\n",
        );
        assert_eq!(
            notes(&table),
            [
                "/c:1: \"192.0.2.1/24\": address bits are set behind the length; perhaps it should be \
                 192.0.2.0/24; this rule is ignored",
                "/c:2: \"192.0.2.0/33\": bad length after the /; this rule is ignored",
                "/c:3: \"192.0.2.999\": not an IP address; this rule is ignored",
                "/c:4: no result behind the network; this rule is ignored",
                "/c:5: \"2001:db8::1/32\": address bits are set behind the length; perhaps it should be \
                 [2001:db8::]/32; this rule is ignored",
                "/c:6: \"[192.0.2.8\": [ and ] do not pair; this rule is ignored",
                "/c:7: \"[192.0.2.8]y\": [ and ] do not pair; this rule is ignored",
                "/c:8: \"192.0.2.0/3x\": bad length after the /; this rule is ignored",
                "/c:9: \"endif\" without \"if\"; this rule is ignored",
                "/c:10: no network; this rule is ignored",
                "/c:11: no network; this rule is ignored",
                "/c:12: \"192.0.2.0/24 x\": bad length after the /; this rule is ignored",
                "/c:13: text after \"endif\"; this rule is ignored",
                "/c:14: \"example.com\": not an IP address; this rule is ignored",
                "/c:15: this \"if\" has no \"endif\"",
            ]
        );
        assert_eq!(find(&table, "192.0.2.7").as_deref(), Some("found"));
    }

    #[test]
    fn many_networks_are_found_as_few_are() {
        let mut text = "!0.0.0.0/0 never\n".to_owned();
        for n in 1..2000u32 {
            text += &format!("10.{}.{}.0/25 four {n}\n", n / 256, n % 256);
            text += &format!("2001:db8:{n:x}::/48 six {n}\n");
        }
        let table = open(&text);
        for n in 1..2000u32 {
            let (high, low) = (n / 256, n % 256);
            let (four, six) = (format!("four {n}"), format!("six {n}"));
            check(
                &table,
                &[
                    (&format!("10.{high}.{low}.0"), &four),
                    (&format!("10.{high}.{low}.127"), &four),
                    (&format!("10.{high}.{low}.128"), "-"),
                    (&format!("2001:db8:{n:x}::"), &six),
                    (&format!("2001:db8:{n:x}:ffff:ffff:ffff:ffff:ffff"), &six),
                ],
            );
        }
        for key in [
            "10.0.0.0",
            "9.255.255.255",
            "255.255.255.255",
            "0.0.0.0",
            "::",
            "2001:db8::",
            "3000::",
        ] {
            assert_eq!(find(&table, key), None, "{key}");
        }
    }

    #[test]
    fn rules_in_braces_are_rules() {
        let table =
            Table::open("cidr:{{192.0.2.0/24 a b}, {#} { ! 192.0.2.0/23  c }}", &crate::Disk);
        check(&table, &[("192.0.2.1", "a b"), ("198.51.100.1", "c")]);
        assert_eq!(table.trouble(), None);
        let empty = Table::open("cidr:{}", &crate::Disk);
        assert_eq!(find(&empty, "192.0.2.1"), None);
        let table = Table::open("cidr:{{192.0.2.1/24 x}}", &crate::Disk);
        assert!(notes(&table)[0].starts_with("cidr:{...}:1: "), "{:?}", notes(&table));
        let bad = Table::open("cidr:{192.0.2.0/24 x}", &crate::Disk);
        assert_eq!(
            &*bad.trouble().unwrap().cause,
            "rule \"192.0.2.0/24\" is not in braces; expected cidr:{ { rule }, { rule } }"
        );
    }

    #[test]
    fn a_file_that_is_no_text_or_nests_too_deep_is_refused_with_its_line() {
        let deep = "if 0.0.0.0/0\n".repeat(IF_DEPTH_MAX + 1);
        let long = format!("192.0.2.1 x\n192.0.2.2 {}\n", "x".repeat(cf::LINE_BYTES_MAX));
        for (text, cause) in [
            (
                b"192.0.2.1 x\n\0\n".to_vec(),
                "/c:2: this line holds a NUL byte; is this a text file?",
            ),
            (deep.into_bytes(), "/c:101: \"if\" blocks nest more than 100 deep"),
            (
                long.into_bytes(),
                "/c:2: this line is longer than 4194304 bytes; is this a text file?",
            ),
        ] {
            let table = Table::open("cidr:/c", &Memory::default().with("/c", text));
            assert_eq!(&*table.trouble().unwrap().cause, cause);
        }
        assert_eq!(find(&open(""), "192.0.2.1"), None);
    }
}
