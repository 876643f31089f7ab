//! Tables that are compiled as a whole answer as if their rules were tried one after the other; and what
//! is read without PCRE2 means what it means to PCRE2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pcre2::bytes::RegexBuilder;
use proptest::prelude::*;
use table::{Answer, Memory, Table, block_on};

fn open(kind: &str, text: &str) -> Table {
    Table::open(&format!("{kind}:/p"), &Memory::default().with("/p", text))
}

fn find(table: &Table, key: &str) -> Option<String> {
    let answer = block_on(table.lookup(key).answer()).found();
    answer.unwrap().map(|value| value.to_string())
}

/// A line of a table, with what it means.
#[derive(Clone, Debug)]
enum Line {
    If(String),
    EndIf,
    Rule(String),
}

fn patterns() -> impl Strategy<Value = String> {
    let pattern = prop_oneof![
        3 => prop::sample::select(&[
            "^Subject:.*alpha", "beta", "^From: ", "gamma$", "(al|be)ta?", "[0-9]{2}", "^[^:]+: .", "x",
            "l.ha", "^$", "e.*e", "subject: beta", "alphabet", "\\bbeta\\b", "(a|b)\\1", "pha", "a{2}",
        ][..]).prop_map(str::to_owned),
        1 => "[abet:.]{1,4}",
        1 => "\\^?[abet]{1,4}(\\.\\*[abet]{1,4}){0,2}\\$?",
    ];
    (
        prop_oneof![3 => Just(""), 1 => Just("!")],
        pattern,
        prop_oneof![3 => Just(""), 1 => Just("i")],
    )
        .prop_map(|(negated, pattern, flags)| format!("{negated}/{pattern}/{flags}"))
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec(
        prop_oneof![
            1 => patterns().prop_map(Line::If),
            1 => Just(Line::EndIf),
            5 => patterns().prop_map(Line::Rule),
        ],
        0..60,
    )
}

/// Tries one rule after the other, each of them a table of its own.
fn one_by_one(kind: &str, lines: &[Line], key: &str) -> Option<String> {
    let matches = |pattern: &str| find(&open(kind, &format!("{pattern} yes\n")), key).is_some();
    let (mut skipping, mut depth) = (None, 0);
    for (number, line) in lines.iter().enumerate() {
        match line {
            Line::If(pattern) => {
                depth += 1;
                if skipping.is_none() && !matches(pattern) {
                    skipping = Some(depth);
                }
            }
            Line::EndIf if depth > 0 => {
                skipping = skipping.filter(|&from| from != depth);
                depth -= 1;
            }
            Line::EndIf => {}
            Line::Rule(pattern) => {
                if skipping.is_none() && matches(pattern) {
                    return Some(format!("{number}"));
                }
            }
        }
    }
    None
}

fn text_of(lines: &[Line]) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text += &match line {
            Line::If(pattern) => format!("if {pattern}\n"),
            Line::EndIf => "endif\n".to_owned(),
            Line::Rule(pattern) => format!("{pattern} {number}\n"),
        };
    }
    text
}

fn keys() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(
            &["Subject: ", "From: ", "alpha", "beta", "gamma", "12", "x", " ", "\n"][..]
        )
        .prop_map(str::to_owned),
        "[abet]{1,3}",
    ];
    prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn many_patterns_answer_as_one_after_the_other(
        lines in lines(),
        keys in prop::collection::vec(keys(), 1..4),
        posix in any::<bool>(),
    ) {
        let kind = if posix { "regexp" } else { "pcre" };
        let text = text_of(&lines);
        let table = open(kind, &text);
        for key in keys {
            prop_assert_eq!(find(&table, &key), one_by_one(kind, &lines, &key), "{:?}\n{}", key, text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn perl_patterns_mean_the_same_as_to_pcre(
        pattern in prop_oneof![
            "[abX.*+?|()\\[\\]^${},12\\\\dwsbBAzZQEn -]{0,12}",
            "(\\(|\\(\\?:|\\(\\?=|\\(\\?!|\\(\\?i\\)|\\)|\\||a|b|X|\\.|\\*|\\+|\\?|\\*\\?|\\{1,2\\}|\\^|\\$|\\[a-c\\]|\\[\\^a\\]|\\\\b|\\\\n|\\\\1|\\\\w){0,9}",
        ],
        keys in prop::collection::vec("[abcX1 \n]{0,6}", 3..6),
    ) {
        // There, a backslash would take the delimiter its meaning.
        let pattern = pattern.trim_end_matches('\\');
        let table = open("pcre", &format!("/{pattern}/ found\n"));
        let groups = open("pcre", &format!("/{pattern}/ <$1>\n"));
        let pcre = RegexBuilder::new().caseless(true).dotall(true).build(pattern);
        let Ok(pcre) = pcre else {
            prop_assert_eq!(table.notes().len(), 1, "{}", pattern);
            return Ok(());
        };
        prop_assert_eq!(table.notes().len(), 0, "{}", pattern);
        prop_assert_eq!(groups.notes().is_empty(), pcre.captures_len() > 1, "{}", pattern);
        for key in keys {
            let found = pcre.captures(key.as_bytes()).unwrap();
            let expected = found.as_ref().map(|_| "found".to_owned());
            prop_assert_eq!(find(&table, &key), expected, "{} on {:?}", pattern, key);
            if pcre.captures_len() > 1 {
                let group = |group: &pcre2::bytes::Captures<'_>| {
                    let group = group.get(1).map(|group| group.as_bytes().to_vec());
                    format!("<{}>", String::from_utf8(group.unwrap_or_default()).unwrap())
                };
                prop_assert_eq!(find(&groups, &key), found.as_ref().map(group), "{} on {:?}", pattern, key);
            }
        }
    }

    #[test]
    fn no_table_of_patterns_makes_anything_panic(
        text in "([!/]|if |endif\n|\n|[a-c(){}\\[\\]^$*+?.,|\\\\:=1-9<>ixmsAEUX ]){0,40}",
        key in "\\PC{0,20}",
    ) {
        for kind in ["regexp", "pcre", "cidr"] {
            let _ = block_on(open(kind, &text).lookup(&key).answer());
            let _ = block_on(Table::open(&format!("{kind}:{{{text}}}"), &table::Disk).lookup(&key).answer());
        }
    }
}

/// One rule of a `cidr:` table.
#[derive(Clone, Debug)]
enum Network {
    If(bool, IpAddr, u8),
    EndIf,
    Rule(bool, IpAddr, u8),
}

fn network() -> impl Strategy<Value = (bool, IpAddr, u8)> {
    // Few different addresses, so that networks meet.
    (any::<bool>(), any::<bool>(), 0u128..=255, 0u8..=8).prop_map(|(negated, v6, bits, length)| {
        let bits = bits & !(0xff >> length);
        match v6 {
            true => (negated, Ipv6Addr::from_bits(bits << 120).into(), length),
            false => (negated, Ipv4Addr::from_bits((bits as u32) << 24).into(), length),
        }
    })
}

proptest! {
    #[test]
    fn networks_answer_as_one_after_the_other(
        rules in prop::collection::vec(
            prop_oneof![
                1 => network().prop_map(|(not, base, length)| Network::If(not, base, length)),
                1 => Just(Network::EndIf),
                4 => network().prop_map(|(not, base, length)| Network::Rule(not, base, length)),
            ],
            0..30,
        ),
        asked in prop::collection::vec((any::<bool>(), 0u128..=255), 8),
    ) {
        let mut text = String::new();
        for (number, rule) in rules.iter().enumerate() {
            let not = |negated: bool| if negated { "!" } else { "" };
            text += &match rule {
                Network::If(negated, base, length) => format!("if {}{base}/{length}\n", not(*negated)),
                Network::EndIf => "endif\n".to_owned(),
                Network::Rule(negated, base, length) => {
                    format!("{}{base}/{length} {number}\n", not(*negated))
                }
            };
        }
        let table = open("cidr", &text);
        for (v6, bits) in asked {
            let key: IpAddr = match v6 {
                true => Ipv6Addr::from_bits(bits << 120).into(),
                false => Ipv4Addr::from_bits((bits as u32) << 24).into(),
            };
            let expected = scan(&rules, v6, bits);
            prop_assert_eq!(find(&table, &key.to_string()), expected, "{}\n{}", key, text);
        }
    }
}

fn scan(rules: &[Network], v6: bool, bits: u128) -> Option<String> {
    let top = |address: &IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits() >> 24),
        IpAddr::V6(address) => address.to_bits() >> 120,
    };
    let holds = |negated: bool, base: &IpAddr, length: u8| {
        let mask = 0xff & !(0xff >> length);
        base.is_ipv6() == v6 && (bits & mask == top(base)) != negated
    };
    let (mut skipping, mut depth) = (None, 0);
    for (number, rule) in rules.iter().enumerate() {
        match rule {
            Network::If(negated, base, length) => {
                depth += 1;
                if skipping.is_none() && !holds(*negated, base, *length) {
                    skipping = Some(depth);
                }
            }
            Network::EndIf if depth > 0 => {
                skipping = skipping.filter(|&from| from != depth);
                depth -= 1;
            }
            Network::EndIf => {}
            Network::Rule(negated, base, length) => {
                if skipping.is_none() && holds(*negated, base, *length) {
                    return Some(number.to_string());
                }
            }
        }
    }
    None
}

#[test]
fn a_pattern_that_cannot_be_tried_to_the_end_is_never_no_match() {
    let table = open("pcre", "/^(?!x)(a|aa)+$/ found\n");
    let answer = block_on(table.lookup(&("a".repeat(60) + "b")).answer());
    assert!(matches!(answer, Answer::Unavailable(_)), "{answer:?}");
}
