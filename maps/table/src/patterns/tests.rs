//! Known answers of both languages, and what is said about tables with mistakes.

use super::engine::LINE_STEPS_MAX;
use crate::{Answer, Memory, Table, block_on};

fn open(kind: &str, text: &str) -> Table {
    Table::open(&format!("{kind}:/p"), &Memory::default().with("/p", text))
}

fn find(table: &Table, key: &str) -> Option<String> {
    let answer = block_on(table.lookup(key).answer()).found();
    answer.unwrap().map(|value| value.to_string())
}

fn notes(table: &Table) -> Vec<String> {
    assert_eq!(table.trouble(), None);
    table.notes().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(kind: &str, text: &str, expected: &[(&str, &str)]) {
    let table = open(kind, text);
    assert_eq!(notes(&table), [""; 0], "{kind}: {text}");
    for (key, value) in expected {
        assert_eq!(find(&table, key).as_deref().unwrap_or("-"), *value, "{kind}: {text}: {key:?}");
    }
}

#[track_caller]
fn both(text: &str, expected: &[(&str, &str)]) {
    check("regexp", text, expected);
    check("pcre", text, expected);
}

#[test]
fn the_first_pattern_that_matches_answers() {
    both(
        "/^Subject: .*cheap pills/ REJECT one\n/^subject:/ DUNNO\n/pills/ WARN \n",
        &[
            ("Subject: buy CHEAP PILLS now", "REJECT one"),
            ("Subject: expensive pills", "DUNNO"),
            ("X-Spam: pills", "WARN"),
            ("cheap", "-"),
            ("", "-"),
        ],
    );
}

#[test]
fn flags_turn_round_what_holds_without_them() {
    both("/abc/i one\n/ABC/ two\n", &[("abc", "one"), ("aBc", "two")]);
    check(
        "regexp",
        "/^b.d$/m lines\n/^b.d$/ text\n/(a)\\{2\\}/x basic\n",
        &[("a\nbcd\ne", "lines"), ("b\nd", "text"), ("(a){2}", "-"), ("(a)(a)", "-")],
    );
    check("regexp", "/\\(a\\)\\{2\\}$/x $1\n", &[("xaA", "A")]);
    check(
        "pcre",
        "/^b.d$/m lines\n/^b.d$/ text\n/b.d/s no\n",
        &[("a\nbcd\ne", "lines"), ("b\nd", "lines"), ("b\ndx", "-")],
    );
    check(
        "pcre",
        "/a b # c/x spaced\n/b/A start\n/a$/E end\n/(a+).*/U $1\n",
        &[("ab", "spaced"), ("ba", "start"), ("xa", "end"), ("xaa\n", "a")],
    );
}

#[test]
fn delimiters_are_anything_but_letters_and_digits() {
    both(
        "|/home/| one\n,a\\,b, two\n%x% three\né[ü]é four\n",
        &[("/home/", "one"), ("a,b", "two"), ("x", "three"), ("ü", "four")],
    );
}

#[test]
fn an_exclamation_mark_turns_a_pattern_round() {
    both(
        "!/a/ without\n! ! /b/ with b\n/a/ with a\n",
        &[("x", "without"), ("ab", "with b"), ("a", "with a")],
    );
    check(
        "regexp",
        "/a/!/b/ a not b\n/c/ ! /d/ c\n/e/!!/f/i e and f\n",
        &[("a", "a not b"), ("ab", "-"), ("ef", "e and f"), ("e", "-"), ("c", "! /d/ c")],
    );
}

#[test]
fn groups_are_put_into_the_text() {
    both(
        "/^(a+)(b)?(c*)$/ <$1><${2}><$(3)>$$1\n/(x|xy)(z)/ $2$1\n",
        &[("aab", "<aa><b><>$1"), ("AC", "<A><><C>$1"), ("wxyz", "zxy")],
    );
}

#[test]
fn the_longest_match_counts_in_posix_and_the_first_in_perl() {
    let text =
        "/(a|ab)(c|bcd)(d*)/ [$1][$2][$3]\n/([pq]|[pq]ost)([^ ]*)/ [$1][$2]\n/(x*)*y/ [$1]\n";
    check("regexp", text, &[("abcd", "[a][bcd][]"), ("qost", "[q][ost]"), ("xxy", "[xx]")]);
    check("pcre", text, &[("abcd", "[a][bcd][]"), ("qost", "[q][ost]"), ("xxy", "[]")]);
    let text = "/k(a|ab|abc)/ [$1]\n";
    check("regexp", text, &[("kabc", "[abc]")]);
    check("pcre", text, &[("kabc", "[a]")]);
}

/// What postfix `src/util/dict_regexp.map` and `dict_pcre.map` try.
#[test]
fn only_what_a_condition_matches_gets_to_the_rules_in_it() {
    both(
        "if /true/\n/1/ 1\nif /false/\n/2/ 2\nendif\n/3/ 3\nendif\n\
         IF ! /x/\n!/true/ neither\nEndIf\n/4/ 4\n",
        &[
            ("true1", "1"),
            ("true2", "-"),
            ("truefalse2", "2"),
            ("true3", "3"),
            ("3", "neither"),
            ("3x", "-"),
            ("4x", "4"),
            ("true4", "4"),
        ],
    );
}

#[test]
fn a_condition_without_an_end_holds_up_to_the_end() {
    for kind in ["regexp", "pcre"] {
        let table = open(kind, "/x/ x\nif /a/\n/b/ b\nif !/c/\n/d/ d\n");
        for (key, value) in [("b", "-"), ("ab", "b"), ("ad", "d"), ("acd", "-"), ("x", "x")] {
            assert_eq!(find(&table, key).as_deref().unwrap_or("-"), value, "{key}");
        }
        assert_eq!(
            notes(&table),
            ["/p:2: this \"if\" has no \"endif\"", "/p:4: this \"if\" has no \"endif\""]
        );
    }
}

#[test]
fn a_rule_that_is_none_is_named_with_its_line_and_left_out() {
    for kind in ["regexp", "pcre"] {
        let text = "endif\n!\n/a b\n/a/q b\n/a/ $1\n/(a)/ $2\n!/(a)/ $1\n/a/ $x\nabc\n/c/\nif /d/ x\n\
                    endif x\nif /e\n/[z-a]/ x\n/f/ found\n";
        let table = open(kind, text);
        let mistake = match kind {
            "regexp" => "a range that ends before it starts",
            _ => "error compiling pattern at offset 3: range out of order in character class",
        };
        assert_eq!(
            notes(&table),
            [
                "/p:1: \"endif\" without \"if\"; this rule is ignored",
                "/p:2: no pattern; this rule is ignored",
                "/p:3: the pattern has no second \"/\"; this rule is ignored",
                "/p:4: there is no flag \"q\"; this rule is ignored",
                "/p:5: the text has $1, but the pattern only 0 groups; this rule is ignored",
                "/p:6: the text has $2, but the pattern only 1 groups; this rule is ignored",
                "/p:7: a pattern that must not match has no groups for the text; this rule is ignored",
                "/p:8: \"$x\" is not the number of a group; this rule is ignored",
                "/p:9: expected /pattern/flags text, \"if\" or \"endif\"; this rule is ignored",
                "/p:10: no text behind the pattern; the answer is empty",
                "/p:11: \"x\" behind the condition is ignored; is it a rule that starts with white space?",
                "/p:12: \"x\" behind \"endif\" is ignored",
                "/p:13: the pattern has no second \"/\"; this rule is ignored",
                &format!("/p:14: {mistake}; this rule is ignored"),
            ]
        );
        assert_eq!(find(&table, "f").as_deref(), Some("found"));
        assert_eq!(find(&table, "c").as_deref(), Some(""));
    }
}

/// Tried against the GNU C library by way of postmap.
#[test]
fn posix_patterns_mean_what_the_c_library_makes_of_them() {
    for (pattern, matching, other) in [
        ("^z)y", "z)y", "zy"),
        ("^r(a||b)r", "rr", "rcr"),
        ("^q()q", "qq", "qaq"),
        ("^w{,2}x", "wwx", "wwwx"),
        ("a{2}{2}b", "aaaab", "aaab"),
        ("^[a-]b", "-b", "bb"),
        ("^[]a]b", "]b", "bb"),
        ("^[^]a]b", "bb", "]b"),
        ("^[[:upper:][:digit:]]$", "a", "-"),
        ("^[[.-.]]$", "-", "a"),
        ("^[[=a=]]$", "A", "b"),
        ("^[\\w]$", "\\", "a"),
        ("\\<a\\>", "b a c", "ba"),
        ("\\w\\W\\s\\S\\b", "a  b", "a bb"),
        ("\\`a\\'", "a", "aa"),
        ("(a)\\1", "xaA", "ab"),
        ("é.$", "éa", "é"),
        ("a}", "a}", "a"),
        ("\\Q", "q", "r"),
        ("^(a|^b)$|c$", "b", "cd"),
    ] {
        let text = format!("/{pattern}/ found\n");
        check("regexp", &text, &[(matching, "found"), (other, "-")]);
    }
    for (pattern, matching, other) in [
        ("^\\(ab\\)*$", "abab", "aba"),
        ("^*a$", "*a", "a"),
        ("\\(*a\\)", "*a", "a"),
        ("a\\{2\\}b", "aab", "ab"),
        ("^a\\+b\\?c$", "aac", "c"),
        ("^a\\|b$", "b", "cb!"),
        ("a^b$c", "a^b$c", "ab"),
        ("\\(^a\\)", "ab", "ba"),
        ("(a)", "(a)", "a"),
    ] {
        let text = format!("/{pattern}/x found\n");
        check("regexp", &text, &[(matching, "found"), (other, "-")]);
    }
    // Case is ignored by turning the pattern to upper case, and what is escaped stays as it is.
    check("regexp", "/\\d/ digit\n/\\d/i letter\n", &[("1", "-"), ("D", "-"), ("d", "letter")]);
}

#[test]
fn what_the_c_library_refuses_is_refused() {
    for (pattern, why) in [
        ("^[_-z]x", "a range that ends before it starts"),
        ("*a", "a repetition of nothing"),
        ("^*a", "a repetition of nothing"),
        ("a|*b", "a repetition of nothing"),
        ("(+)", "a repetition of nothing"),
        ("{1}", "a repetition of nothing"),
        ("a{x", "not a number, or two in order, in { }"),
        ("a{1", "{ without }"),
        ("a{2,1}", "not a number, or two in order, in { }"),
        ("a{32768}", "a number in { } is too large"),
        ("[a-c-e]", "a range that ends before it starts, or has no start"),
        ("[[:foo:]]", "no such character class"),
        ("[[.hyphen.]]", "no such collating character"),
        ("[a", "[ without ]"),
        ("[", "[ without ]"),
        ("(a", "( without )"),
        ("\\2(a)", "a back reference to a group that is not there"),
        ("(a\\1)", "a back reference to a group that is not there"),
    ] {
        let table = open("regexp", &format!("/{pattern}/ x\n"));
        assert_eq!(notes(&table), [format!("/p:1: {why}; this rule is ignored")], "{pattern}");
    }
}

#[test]
fn perl_patterns_mean_what_pcre_makes_of_them() {
    for (pattern, matching, other) in [
        ("^\\d{2,3}$", "123", "1"),
        ("a$", "a\n", "a\nb"),
        ("(?:a$|b)c", "bc", "ac"),
        ("^\\s\\S\\w\\W\\h\\H$", " aa- a", "aaaaaa"),
        ("\\bfoo\\b", "a foo b", "afoo"),
        ("^[\\d\\-x-z]+$", "1-y", "w"),
        ("^[[:^alpha:]]+$", "12", "1a"),
        ("^\\x41\\t$", "A\t", "B\t"),
        ("^a{b$", "a{b", "a"),
        ("^(?-i)a(?i)b$", "aB", "AB"),
        ("^(?-i:a)b$", "aB", "AB"),
        ("^a(?#comment)b$", "ab", "a"),
        ("^\\Qa.b\\Ec$", "a.bc", "axbc"),
        ("^(?<name>a)$", "a", "b"),
        ("^a++b", "aab", "b"),
        ("foo(?!bar)", "foobaz", "foobar"),
        ("foo(?=bar)", "foobar", "foobaz"),
        ("(?<=a)b", "ab", "cb"),
        ("(a|b)\\1", "bb", "ab"),
        ("^(?>a+)b", "aab", "b"),
        ("^(\\((?:[^()]|(?1))*\\))$", "((a))", "((a)"),
    ] {
        let text = format!("/{pattern}/ found\n");
        check("pcre", &text, &[(matching, "found"), (other, "-")]);
    }
    check("pcre", "/^(a.*)$/ <$1>\n/^(b)(?!c)(.)/ $2$1\n", &[("ab\n", "<ab\n>"), ("bx", "xb")]);
    check("pcre", "/^([^\\n]*$)/ <$1>\n", &[("ab\n", "<ab>"), ("ab", "<ab>")]);
}

#[test]
fn a_search_without_end_makes_the_table_unavailable_instead_of_being_passed_over() {
    let table = open("pcre", "/b/ first\n/(?=a)(a+)+$/ REJECT\n/a/ OK\n");
    let key = "a".repeat(40) + "!";
    let Answer::Unavailable(trouble) = block_on(table.lookup(&key).answer()) else {
        panic!("the rule was passed over");
    };
    let trouble = trouble.to_string();
    assert!(trouble.starts_with("table pcre:/p: /p:2: "), "{trouble}");
    assert!(trouble.contains("match limit"), "{trouble}");
    // A rule before it decides all the same.
    assert_eq!(find(&table, &(key + "b")).as_deref(), Some("first"));
    assert_eq!(find(&table, "ab!").as_deref(), Some("first"));
}

#[test]
fn a_long_line_takes_no_longer_than_it_is() {
    let text = "/(a*)*b$/ one\n/(x+x+)+y/ two\n/^(.*)c$/ $1\n";
    let line = "ax".repeat(50_000);
    for kind in ["regexp", "pcre"] {
        let table = open(kind, text);
        assert_eq!(find(&table, &line), None);
        assert_eq!(find(&table, &(line.clone() + "c")).as_deref(), Some(&*line));
    }
}

#[test]
fn many_rules_of_any_kind_answer_as_if_tried_in_order() {
    let mut text = String::new();
    for n in 0..300 {
        text += &format!("/^Subject:.*[0-9]{{{}}}x/ same text {n}\n", n % 50 + 1);
        text += &format!("/^[^:]+ [a-z]{{{}}}$/ no text {n}\n", n % 40 + 1);
        text += &format!("/^From:.*user{n}@/ own text {n}\n");
        text += &format!("/(?!z)w{n}(?=v)/ not regular {n}\n");
    }
    let table = open("pcre", &text);
    assert_eq!(notes(&table), [""; 0]);
    for (key, value) in [
        ("Subject: 1234567x", "same text 0"),
        ("Subject: 12345", "-"),
        ("a abc", "no text 2"),
        ("From: user77@example", "own text 7"),
        ("from: user299@example", "own text 2"),
        ("w123v", "not regular 123"),
        ("w1234v", "-"),
    ] {
        let expected = if value == "own text 7" { "own text 77" } else { value };
        let expected = if value == "own text 2" { "own text 299" } else { expected };
        assert_eq!(find(&table, key).as_deref().unwrap_or("-"), expected, "{key}");
    }
}

/// Somebody who knows all rules writes such a line.
#[test]
fn of_a_line_with_the_words_of_all_rules_the_first_that_applies_is_found() {
    let rules = 300;
    let (mut text, mut line) = (String::new(), "Subject:".to_owned());
    for n in 0..rules {
        text += &format!("/^Subject: .*one{n}one.*two{n}two/ sequence {n}\n");
        text += &format!("/^Subject: .*two{n}two[0-9]/ automaton {n}\n");
        line += &format!(" two{n}two one{n}one");
    }
    for kind in ["regexp", "pcre"] {
        let table = open(kind, &text);
        assert_eq!(find(&table, &line), None);
        for n in [0, 100, rules - 1] {
            let further = format!("{line} TWO{n}TWO");
            assert_eq!(find(&table, &further), Some(format!("sequence {n}")));
            let further = format!("{line} two{n}two5");
            assert_eq!(find(&table, &further), Some(format!("sequence {n}")));
        }
        let further = format!("{line} two1two5 two0two5").replace("one0one", "");
        assert_eq!(find(&table, &further).as_deref(), Some("automaton 0"));
    }
}

/// The same where every rule has to go through the line by itself. What is counted are steps, not seconds.
#[test]
fn a_line_that_thousands_of_automata_are_suspected_for_ends_in_a_failure() {
    let rules = 10_000;
    let (mut text, mut line) = (String::new(), "Subject:".to_owned());
    // No four letters of one are in many others: those would become automata of many.
    let word = |n: u32| -> String {
        let letter = |place| char::from(b'a' + (n * 7919 / 26_u32.pow(place) % 26) as u8);
        (0..4).map(letter).chain(['-']).collect()
    };
    for n in 0..rules {
        text += &format!("/^Subject: .*{}([0-9]|ten)/ rule {n}\n", word(n));
        line += &format!(" {}x", word(n));
    }
    let line_of = |trouble: &str| -> u64 {
        let line = trouble.split(":").nth(3).and_then(|line| line.parse().ok());
        line.unwrap_or_else(|| panic!("no line in {trouble}"))
    };
    let trouble = |table: &Table, line: &str| match block_on(table.lookup(line).answer()) {
        Answer::Unavailable(trouble) => trouble.to_string(),
        answer => panic!("{answer:?}"),
    };
    let table = open("regexp", &text);
    let tried = LINE_STEPS_MAX.div_ceil(line.len() as u64);
    assert!(tried < 1000, "{tried} rules tried");
    let why = trouble(&table, &line);
    assert_eq!(line_of(&why), tried + 1, "{why}");
    assert!(why.ends_with("that it took 67108864 steps before this one"), "{why}");
    // A rule that comes before that decides.
    assert_eq!(find(&table, &format!("{line} {}5", word(500))).as_deref(), Some("rule 500"));
    // Those that PCRE2 matches: 5,000 steps at least for each.
    let text: String =
        text.replace("([0-9]|ten)", "(?=[0-9])").split_inclusive('\n').take(1000).collect();
    let table = open("pcre", &text);
    let why = trouble(&table, &line);
    assert!(line_of(&why) <= LINE_STEPS_MAX / 100_000 + 2, "{why}");
    assert_eq!(find(&table, &format!("Subject: {}5", word(999))).as_deref(), Some("rule 999"));
}

#[test]
fn rules_in_braces_are_rules() {
    let table = Table::open("pcre:{{/^x(.)/ REJECT $1}, {if /y/} {/z/ z} {endif}}", &crate::Disk);
    assert_eq!(find(&table, "xa").as_deref(), Some("REJECT a"));
    assert_eq!(find(&table, "yz").as_deref(), Some("z"));
    assert_eq!(find(&table, "z"), None);
    assert!(table.whole_keys_only());
    let table = Table::open("regexp:{{/(/ x}}", &crate::Disk);
    assert_eq!(notes(&table), ["regexp:{...}:1: ( without ); this rule is ignored"]);
}

#[test]
fn a_file_that_is_no_text_or_nests_too_deep_is_refused_with_its_line() {
    for kind in ["regexp", "pcre"] {
        for (text, cause) in [
            ("/a/ x\n\0\n".to_owned(), "/p:2: this line holds a NUL byte; is this a text file?"),
            ("if /a/\n".repeat(101), "/p:101: \"if\" blocks nest more than 100 deep"),
            (
                format!("/a/ x\n/b/ {}\n", "x".repeat(cf::LINE_BYTES_MAX)),
                "/p:2: this line is longer than 4194304 bytes; is this a text file?",
            ),
        ] {
            assert_eq!(&*open(kind, &text).trouble().unwrap().cause, cause);
        }
        assert_eq!(find(&open(kind, ""), "a"), None);
        let missing = Table::open(&format!("{kind}:/none"), &Memory::default());
        assert_eq!(&*missing.trouble().unwrap().cause, "open /none: entity not found");
    }
}

#[test]
fn lines_of_a_message_need_not_be_text() {
    for kind in ["regexp", "pcre"] {
        let table = open(kind, "/^Subject: caf. (.)/ REJECT $1\n/^X-(.)(.)/ <$2$1>\n");
        let line = |line: &[u8]| {
            let answer = block_on(table.lookup_line(line).answer()).found();
            answer.unwrap().map(|value| value.to_string())
        };
        assert_eq!(line(b"Subject: caf\xe9 x").as_deref(), Some("REJECT x"));
        assert_eq!(line(b"Subject: caf\xe9 \xe9").as_deref(), Some("REJECT \u{fffd}"));
        assert_eq!(line(b"Subject:\xff"), None);
        assert!(matches!(block_on(table.lookup("X-\u{e9}").answer()), Answer::Unavailable(_)));
        let union = format!("unionmap:{{proxy:{kind}:/p, pipemap:{{{kind}:/p}}}}");
        let files = Memory::default().with("/p", "/\\W$/ found\n");
        let answer = block_on(Table::open(&union, &files).lookup_line(b"a\xff").answer());
        assert_eq!(answer, Answer::Found("found,found".into()));
    }
}
