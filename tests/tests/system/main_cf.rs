//! main.cf beside Debian's postconf: how it is read, what values come to, how it is edited.
//!
//! Each of these draws its cases with a seed, so they are the same each time. The answers are Postfix
//! 3.7's; what current Postfix or ringpost does otherwise on purpose is named where it is allowed for.

use std::borrow::Cow;
use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use cf::{Definitions, Edit, LineError, Scope, SyntaxError, Template};
use tempfile::TempDir;
use tests::random::Random;

/// The table that the crate's own test reads.
const TABLE: &str = include_str!("../../../maps/cf/tests/expansion.txt");

/// postconf prints words with one blank between them.
fn as_printed(value: &str) -> String {
    value
        .split([' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A configuration directory for postconf.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        fs::write(place.0.path().join("master.cf"), "").expect("a file");
        place
    }

    /// The file looks old: Postfix waits for a new one to become older before it trusts it.
    fn write(&self, main_cf: &[u8]) {
        let path = self.0.path().join("main.cf");
        fs::write(&path, main_cf).expect("a file");
        let file = File::options().write(true).open(&path).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("a time");
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.0.path().join("main.cf")).expect("a file")
    }

    /// The output; the error is what was said on standard error.
    fn postconf(&self, arguments: &[&str]) -> Result<String, String> {
        let ran = Command::new("/usr/sbin/postconf")
            .arg("-c")
            .arg(self.0.path())
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("postconf");
        match ran.status.success() {
            true => Ok(String::from_utf8(ran.stdout).expect("text")),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }

    /// What Postfix makes of expressions over names, each on a line. One that is refused refuses all.
    fn expanded(&self, names: &str, expressions: &[&str]) -> Result<Vec<String>, String> {
        let values: Vec<String> = (0..expressions.len()).map(|n| format!("value_{n}")).collect();
        // Names of restriction classes are parameters that postconf prints.
        let mut text = format!("{names}\nsmtpd_restriction_classes = {}\n", values.join(" "));
        for (name, expression) in values.iter().zip(expressions) {
            text.push_str(&format!("{name} = {expression}\n"));
        }
        self.write(text.as_bytes());
        let mut arguments = vec!["-x", "-h"];
        arguments.extend(values.iter().map(String::as_str));
        Ok(self.postconf(&arguments)?.lines().map(as_printed).collect())
    }
}

/// Tries many cases at a time: when postconf refuses something, it first sleeps for a second.
fn with_each<C: Sync>(cases: &[C], check: impl Fn(&Place, &C) + Sync) {
    const AT_A_TIME: usize = 150;
    std::thread::scope(|scope| {
        for some in cases.chunks(cases.len().div_ceil(AT_A_TIME)) {
            scope.spawn(|| {
                let place = Place::new();
                some.iter().for_each(|case| check(&place, case));
            });
        }
    });
}

struct Names(Definitions);

impl Scope for Names {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.last(name).map(|definition| Cow::Borrowed(&*definition.value))
    }

    fn call(&self, _: &str, _: &str) -> Option<Result<String, String>> {
        None
    }
}

fn ours(names: &Names, expression: &str) -> Result<String, String> {
    let read = cf::parse("main.cf", format!("x = {expression}\n").as_bytes());
    let template =
        Template::parse(&read.last("x").expect("x").value).map_err(|error| error.to_string())?;
    template.expand("x", names).map(|value| as_printed(&value)).map_err(|error| error.to_string())
}

#[test]
fn postfix_agrees_with_the_table_of_expansions() {
    let (names, expressions) = TABLE.split_once("\n# Names:").expect("two parts");
    let names: String = names
        .lines()
        .filter(|line| !line.starts_with([' ', '#']))
        .map(|line| format!("{line}\n"))
        .collect();
    let is_case = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let cases: Vec<&str> = expressions.lines().skip(1).filter(is_case).collect();
    with_each(&cases, |place, line| {
        let at = line.rfind(" =>").max(line.rfind(" !!")).expect("an answer");
        let (expression, answer) = (line[..at].trim_end(), &line[at + 1..]);
        let theirs = place.expanded(&names, &[expression]);
        let agrees = match answer.strip_prefix("=>") {
            Some(text) => {
                let text = text.trim_start_matches('~').trim().trim_matches('"');
                theirs.as_ref().is_ok_and(|theirs| *theirs == [as_printed(text)])
            }
            None => theirs.is_err(),
        };
        let should = !answer[2..].starts_with('~');
        assert_eq!(agrees, should, "{expression}: postconf says {theirs:?}");
    });
}

const NAMES: &str = "n1 = one\nn2 = <$n1>\nn3 = ${n2?{x$n1}:{y}}\nempty =\nhollow = $empty\nten = 10\n\
                     level = 3.6\ncost = $$5\n";

/// A value that is well formed.
fn value(random: &mut Random, depth: u64) -> String {
    let parts = 1 + random.below(3);
    (0..parts).map(|_| part(random, depth)).collect()
}

fn part(random: &mut Random, depth: u64) -> String {
    let name =
        random.choose(&["n1", "n2", "n3", "empty", "hollow", "ten", "level", "cost", "unknown"]);
    let blank = random.choose(&["", "", " "]);
    if depth == 0 || random.below(3) == 0 {
        let literals =
            ["a", "b c", "9", "10", "007", ",", "é", "$$", "#", "=", "?", ":", "y{z}", "3.6"];
        return match random.below(5) {
            0 => format!("${name}"),
            1 => format!("${{{blank}{name}{blank}}}"),
            2 => format!("$({name})"),
            _ => random.choose(&literals).to_owned(),
        };
    }
    let mut inner = || value(random, depth - 1);
    let (a, b, c, d) = (inner(), inner(), inner(), inner());
    let operator = random.choose(&["==", "!=", "<", "<=", ">", ">="]);
    match random.below(9) {
        0 => format!("${{{name}?{a}}}"),
        1 => format!("${{{name}:{a}}}"),
        2 => format!("${{{name}{blank}?{blank}{{{a}}}{blank}}}"),
        3 => format!("${{{name}{blank}:{blank}{{{a}}}{blank}}}"),
        4 => format!("${{{name}?{blank}{{{a}}}{blank}:{blank}{{{b}}}{blank}}}"),
        5 => format!("${{{name}?{{{a}}}:{b}}}"),
        6 => format!("${{{{{a}}}{blank}{operator}{blank}{{{b}}}}}"),
        7 => format!("${{{{{a}}}{operator}{{{b}}}{blank}?{blank}{{{c}}}{blank}:{blank}{{{d}}}}}"),
        _ => format!("${{{{$level}}{operator}level {{3.{}}}?{{{a}}}:{{{b}}}}}", random.below(12)),
    }
}

#[test]
fn values_come_to_what_postfix_makes_of_them() {
    let mut random = Random::new(4);
    let names = Names(cf::parse("main.cf", NAMES.as_bytes()));
    let values: Vec<String> = (0..800).map(|_| value(&mut random, 3)).collect();
    let expressions: Vec<&str> = values.iter().map(String::as_str).collect();
    let theirs = Place::new().expanded(NAMES, &expressions).expect("all well formed");
    assert_eq!(theirs.len(), expressions.len());
    for (expression, theirs) in expressions.iter().zip(theirs) {
        assert_eq!(ours(&names, expression), Ok(theirs), "{expression}");
    }
}

#[test]
fn what_postfix_cannot_expand_ringpost_cannot_either() {
    let mut random = Random::new(5);
    let names = Names(cf::parse("main.cf", NAMES.as_bytes()));
    let mutants: Vec<String> = (0..400).map(|_| mutant(&mut random)).collect();
    let (refused, stricter) = (AtomicU32::new(0), AtomicU32::new(0));
    let count = |of: &AtomicU32| {
        of.fetch_add(1, Ordering::Relaxed);
    };
    with_each(&mutants, |place, mutant| {
        match (ours(&names, mutant), place.expanded(NAMES, &[mutant])) {
            (Ok(ours), Ok(theirs)) => assert_eq!([ours].as_slice(), theirs, "{mutant}"),
            (Err(_), Err(_)) => count(&refused),
            // A branch that is not taken, and a name of nothing: see the table.
            (Err(_), Ok(_)) if mutant.contains(['?', ':']) => count(&stricter),
            (ours, theirs) => panic!("{mutant}: {ours:?}, and postconf {theirs:?}"),
        }
    });
    let (refused, stricter) = (refused.into_inner(), stricter.into_inner());
    assert!(refused > 50 && stricter < refused, "{refused} refused, {stricter} only here");
}

/// A value with one character gone, added or replaced.
fn mutant(random: &mut Random) -> String {
    let mut value: Vec<char> = value(random, 2).chars().collect();
    let at = random.below(value.len() as u64) as usize;
    let odd = random.choose(&['$', '{', '}', '(', ')', '?', ':', '=', '<', ' ', '-', 'a']);
    match random.below(3) {
        0 => drop(value.remove(at)),
        1 => value.insert(at, odd),
        _ => value[at] = odd,
    }
    value.into_iter().collect()
}

/// Lines as they are in files that people have edited for years.
fn file(random: &mut Random) -> String {
    let lines = [
        "a = 1",
        "b=2",
        "c  =  3 ",
        "d =",
        "  more",
        "\tand more # data",
        "# comment",
        "   # comment",
        "",
        "  ",
        "a = other",
        "b = $a",
        "c = é, {x y}",
        "e=a=b",
        "=",
        "c < 3",
        "#",
        "a = 1\r",
        "d\t=\tx",
    ];
    (0..random.below(14)).map(|_| format!("{}\n", random.choose(&lines))).collect()
}

#[test]
fn files_are_read_as_postfix_reads_them() {
    let mut random = Random::new(6);
    let files: Vec<String> = (0..300).map(|_| file(&mut random)).collect();
    let wrong = |error: &SyntaxError| *error != SyntaxError::Line(LineError::NothingToContinue);
    with_each(&files, |place, file| {
        let text = format!("{file}smtpd_restriction_classes = a b c d e\n");
        place.write(text.as_bytes());
        let ours = cf::parse("main.cf", text.as_bytes());
        if ours.problems.iter().any(|problem| wrong(&problem.error)) {
            assert!(place.postconf(&["-n"]).is_err(), "{text}");
            return;
        }
        for name in ["a", "b", "c", "d", "e"] {
            let Some(definition) = ours.last(name) else { continue };
            let theirs = place.postconf(&["-h", name]).map(|value| as_printed(&value));
            assert_eq!(theirs, Ok(as_printed(&definition.value)), "{name} in\n{text}");
        }
    });
}

#[test]
fn files_are_edited_as_postfix_edits_them() {
    let mut random = Random::new(7);
    let place = Place::new();
    for _ in 0..200 {
        let text = file(&mut random);
        place.write(text.as_bytes());
        let name = random.choose(&["a", "b", "c", "z"]);
        let other = random.choose(&["d", "e"]);
        let (option, requests, edits) = match random.below(3) {
            0 => (
                "-X",
                vec![name.to_owned(), other.to_owned()],
                vec![Edit::remove(name), Edit::remove(other)],
            ),
            1 => ("-#", vec![name.to_owned()], vec![Edit::comment_out(name)]),
            // Several that are new are added in the order of their names only since Postfix 3.10.
            _ => {
                let request =
                    format!("{name} = {}", random.choose(&["", "new", "a = b", "# x", "{x}  y "]));
                let edit = Edit::set(&request);
                ("-e", vec![request], vec![edit])
            }
        };
        let edits: Vec<Edit> = edits.into_iter().map(|edit| edit.expect("an edit")).collect();
        let mut arguments = vec![option];
        arguments.extend(requests.iter().map(String::as_str));
        place.postconf(&arguments).expect("edited");
        let ours = cf::edit(text.as_bytes(), &edits).text;
        assert_eq!(
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&place.read()),
            "{arguments:?} of\n{text}"
        );
    }
}

#[test]
fn what_postfix_does_not_take_for_an_edit_is_none() {
    type Read = fn(&str) -> Result<Edit, cf::EditError>;
    let ways: [(&str, Read); 3] =
        [("-e", Edit::set), ("-X", Edit::remove), ("-#", Edit::comment_out)];
    let requests = ["a = 1\nb = 2", "# a = 1", " #a", " ", "= 1", "a = 1", "a=", "a", " a "];
    let cases: Vec<_> =
        ways.iter().flat_map(|way| requests.map(|request| (*way, request))).collect();
    with_each(&cases, |place, ((option, read), request)| {
        place.write(b"a = 1\n");
        let theirs = place.postconf(&[option, request]);
        assert_eq!(read(request).is_ok(), theirs.is_ok(), "{option} {request:?}: {theirs:?}");
    });
}
