//! Tables of patterns and networks beside Postfix's: the same tables, the same keys, the same answers.
//!
//! The rules are drawn at random from pieces that meet the odd corners of both languages; which of them
//! are refused has to be the same, too.

use std::collections::BTreeSet;

use table::{Disk, Table, block_on};
use tests::peer::{Ran, run_with_input};
use tests::random::Random;

/// Tables of each kind.
const TABLES: u64 = 6;
const RULES: u64 = 60;
const KEYS: u64 = 150;

/// Without back references: the GNU C library misses some matches, `(ab|a)(b*)\2` in `ab` among them.
const POSIX: &[&str] = &[
    "a",
    "b",
    "ab",
    "X",
    "0",
    "é",
    ".",
    "*",
    "+",
    "?",
    "{1}",
    "{2}",
    "{0,1}",
    "{,2}",
    "{1,}",
    "{",
    "}",
    "^",
    "$",
    "|",
    "(",
    ")",
    "(a",
    "b)",
    "(a|b)",
    "(ab|a)(b*)",
    "(x*)*",
    "[ab]",
    "[^a]",
    "[a-c]",
    "[]a]",
    "[^]a]",
    "[a-]",
    "[[:alpha:]]",
    "[[:upper:]]",
    "[^[:digit:]]",
    "[[:space:]]",
    "[[.-.]]",
    "[[=a=]]",
    "[_-z]",
    "[",
    "]",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\b",
    "\\B",
    "\\<",
    "\\>",
    "\\`",
    "\\'",
    "\\d",
    "\\.",
    "\\n",
    "\\(",
    "\\)",
    "\\{1\\}",
    "\\+",
    "\\?",
    "\\|",
    "\\(a\\|ab\\)",
    "^a",
    "b$",
    ".*",
    "a.*b",
];

const PERL: &[&str] = &[
    "a",
    "b",
    "ab",
    "X",
    "0",
    "é",
    ".",
    "*",
    "+",
    "?",
    "{1}",
    "{2}",
    "{0,1}",
    "{1,}",
    "{",
    "}",
    "^",
    "$",
    "|",
    "(",
    ")",
    "(a",
    "b)",
    "(a|b)",
    "(ab|a)(b*)",
    "(x*)*",
    "[ab]",
    "[^a]",
    "[a-c]",
    "[]a]",
    "[^]a]",
    "[a-]",
    "[[:alpha:]]",
    "[[:^upper:]]",
    "[^[:digit:]]",
    "[[:word:]]",
    "[",
    "]",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\b",
    "\\B",
    "\\A",
    "\\z",
    "\\Z",
    "\\1",
    "\\2",
    "\\d",
    "\\D",
    "\\.",
    "\\n",
    "\\h",
    "\\x41",
    "\\Qa.b\\E",
    "*?",
    "++",
    "(?:a|b)",
    "(?i)",
    "(?-i)",
    "(?s:.)",
    "(?=a)",
    "(?!a)",
    "(?<=a)",
    "(?<!b)",
    "(?>a+)",
    "(?<n>a)",
    "(?#c)",
    "^a",
    "b$",
    ".*",
    "a.*b",
    "\\R",
    "\\K",
    "\\G",
];

const NETWORKS: &[&str] = &[
    "192.0.2.0/24",
    "192.0.2.0/25",
    "192.0.2.7",
    "192.0.2.8/29",
    "0.0.0.0/0",
    "192.0.2.1/24",
    "192.0.2.0/33",
    "::/0",
    "2001:db8::/32",
    "2001:db8::1",
    "[2001:db8::]/33",
    "[2001:db8::/34]",
    "2001:db8::1/32",
    "[::1",
    "::ffff:192.0.2.0/120",
    "1.2.3",
    "192.0.2.0/3x",
    "192.0.02.1",
    "198.51.100.0/22",
];

/// The key and value of each key that is found.
type Answers = Vec<(String, String)>;

/// The lines that are complained about.
type Complaints = BTreeSet<u32>;

fn ours(table: &str, keys: &[String]) -> (Answers, Complaints) {
    let table = Table::open(table, &Disk);
    assert_eq!(table.trouble(), None);
    let find = |key: &String| {
        let value = block_on(table.lookup(key).answer()).found().expect("an answer")?;
        Some((key.clone(), value.to_string()))
    };
    let found = keys.iter().filter_map(find).collect();
    let lines = table.notes().iter().map(|note| note.position.line).collect();
    (found, lines)
}

fn theirs(table: &str, keys: &[String]) -> (Answers, Complaints) {
    let input = keys.join("\n") + "\n";
    let Ran { out, err, .. } = run_with_input("postmap", ["-q", "-", table], input);
    assert!(!err.contains("fatal"), "{err}");
    let split =
        |line: &str| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let found = out.lines().map(|line| split(line).expect("a key and a value")).collect();
    let line = |complaint: &str| {
        let (_, rest) = complaint.split_once(", line ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    (found, err.lines().filter_map(line).collect())
}

fn pattern(random: &mut Random, pieces: &[&str], flags: &[&str]) -> String {
    let not = random.choose(&["", "", "", "", "", "", "", "!", "! !"]);
    let body: String = (0..=random.below(4)).map(|_| random.choose(pieces)).collect();
    format!("{not}/{body}/{}", random.choose(flags))
}

fn rules(random: &mut Random, pattern: impl Fn(&mut Random) -> String, texts: &[&str]) -> String {
    let mut lines = String::new();
    for number in 0..RULES {
        lines += &match random.below(12) {
            0 => format!("if {}\n", pattern(random)),
            1 | 2 => "endif\n".to_owned(),
            _ => format!("{} {number} {}\n", pattern(random), random.choose(texts)),
        };
    }
    lines
}

fn text_keys(random: &mut Random) -> Vec<String> {
    let words =
        ["a", "b", "ab", "A", "B", "x", "X", "0", "12", " ", ".", "-", "_", "\\", "(", ")", "aab"];
    let key = |random: &mut Random| -> String {
        (0..random.below(6)).map(|_| random.choose(&words)).collect()
    };
    let keys = (0..KEYS).map(|_| key(random));
    // postmap reads a key from each line, and an empty one is none.
    keys.filter(|key| !key.is_empty()).collect()
}

/// Each table as a whole, and then each of its rules by itself: a union has the answers of all of them.
fn compare(
    kind: &str,
    pattern: impl Fn(&mut Random) -> String,
    keys: fn(&mut Random) -> Vec<String>,
) {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a table");
        format!("{kind}:{}", path.display())
    };
    let mut found = 0;
    for seed in 0..TABLES {
        let mut random = Random::new(seed);
        let text = rules(&mut random, &pattern, &["", "[$1]", "${1}-$(2)", "$$"]);
        let keys = keys(&mut random);
        let whole = write("table", &text);
        let rules = text.lines().filter(|line| line.contains(' ') && !line.starts_with("if"));
        let rules: Vec<String> =
            (0..).zip(rules).map(|(n, line)| write(&format!("{n}"), line)).collect();
        for table in [whole, format!("unionmap:{{{}}}", rules.join(","))] {
            let (ours, our_complaints) = ours(&table, &keys);
            let (theirs, their_complaints) = theirs(&table, &keys);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs, "seed {seed}: {table}\n{text}");
            }
            assert_eq!(ours.len(), theirs.len(), "seed {seed}: {table}\n{text}");
            if !table.starts_with("unionmap") {
                assert_eq!(our_complaints, their_complaints, "seed {seed}\n{text}");
            }
            found += ours.len();
        }
    }
    assert!(found > 100, "only {found} keys were found");
}

#[test]
fn regexp_tables_answer_as_postfix_does() {
    compare(
        "regexp",
        |random| pattern(random, POSIX, &["", "", "", "i", "m", "x", "ix", "mi"]),
        text_keys,
    );
}

#[test]
fn pcre_tables_answer_as_postfix_does() {
    let flags = ["", "", "", "i", "m", "s", "x", "A", "E", "U", "im", "xU", "q"];
    compare("pcre", |random| pattern(random, PERL, &flags), text_keys);
}

#[test]
fn cidr_tables_answer_as_postfix_does() {
    fn keys(random: &mut Random) -> Vec<String> {
        let address = |random: &mut Random| match random.below(4) {
            0 => format!("2001:db8:{:x}::{:x}", random.below(3) * 0x4000, random.below(3)),
            1 => format!("198.51.{}.{}", random.below(256), random.below(256)),
            2 => random
                .choose(&["::1", "::ffff:192.0.2.7", "192.0.2", "example.com", "[::1]"])
                .to_owned(),
            _ => format!("192.0.2.{}", random.below(20)),
        };
        (0..KEYS).map(|_| address(random)).collect()
    }
    let network = |random: &mut Random| {
        random.choose(&["", "", "!", "! !"]).to_owned() + random.choose(NETWORKS)
    };
    compare("cidr", network, keys);
}
