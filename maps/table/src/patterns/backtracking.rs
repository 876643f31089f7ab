//! Patterns that no automaton knows: back references, lookaround, recursion. PCRE2 matches them by trying
//! one way after the other, which can take for ever; so it has a budget.
//!
//! PCRE2 counts its steps anew at each place where a match might begin, which multiplies a budget by the
//! length of the line: `a(?!b).*c(?!d)` takes a minute for a line of 100 KB, within any limit. So the search for that place is made a part of the pattern, `\A.*?(pattern)`, and
//! the budget is one for all. There is no just-in-time compiler: it needs memory that is both written
//! and run, which our processes may not have.

use std::sync::OnceLock;

use pcre2::bytes::{Regex, RegexBuilder};

use super::perl::Flags;

/// Steps of one search; the last are a few hundredths of a second. PCRE2 does not say how many it took, so a
/// pattern gets few, and more where those were not enough: what is set down for a line with very many
/// patterns is then not far from what they took. A search that fails at the last is an error.
const STEPS_MAX: [u32; 3] = [5_000, 100_000, 2_000_000];

/// Steps from one place, for the patterns of which the search cannot be made a part.
const STEPS_FROM_ONE_PLACE_MAX: u32 = 20_000;

/// Memory of one search.
const MEMORY_KIB_MAX: u32 = 16 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Backtracking {
    first: Regex,
    /// What is compiled with more steps when that is needed; `None` for a pattern whose steps are counted from
    /// each place.
    further: Option<Further>,
}

#[derive(Debug)]
struct Further {
    /// The pattern behind its limit.
    pattern: Box<str>,
    flags: Flags,
    compiled: [OnceLock<Regex>; STEPS_MAX.len() - 1],
}

/// Where each group matched; the first is the whole pattern with what comes before it.
pub(super) type Groups = Vec<Option<(usize, usize)>>;

impl Backtracking {
    pub(super) fn new(pattern: &str, flags: Flags) -> Result<Self, String> {
        let (options, rest) = leading_options(pattern);
        // By itself, so that the place of a mistake is right.
        let alone = compile(pattern, flags)?;
        let end_only;
        let rest = if flags.end_only && !flags.lines {
            end_only = with_end_only(rest);
            &end_only
        } else {
            rest
        };
        let lazy = if flags.lazy { "(?U)" } else { "" };
        // The line feed ends a comment.
        let end = if flags.spaced { "\n" } else { "" };
        let memory = format!("(*LIMIT_HEAP={MEMORY_KIB_MAX})");
        let search = if flags.anchored { "" } else { "(?s:.*?)" };
        let pattern = format!("{memory}{options}\\A{search}(?:{lazy}{rest}{end})");
        if !names_the_whole(rest)
            && let Ok(first) = compile(&limited(&pattern, STEPS_MAX[0]), flags)
            && first.captures_len() == alone.captures_len()
        {
            let compiled = std::array::from_fn(|_| OnceLock::new());
            let further = Further { pattern: pattern.into(), flags, compiled };
            return Ok(Self { first, further: Some(further) });
        }
        let start = if flags.anchored { "\\G" } else { "" };
        let pattern = format!("{memory}{options}{lazy}{start}{rest}");
        let first = compile(&limited(&pattern, STEPS_FROM_ONE_PLACE_MAX), flags)?;
        Ok(Self { first, further: None })
    }

    /// How many groups the pattern has.
    pub(super) fn group_count(&self) -> u32 {
        self.first.captures_len() as u32 - 1
    }

    /// The error is that a limit was reached. `steps` are those taken so far.
    pub(super) fn matches(&self, text: &[u8], steps: &mut u64) -> Result<bool, String> {
        self.search(text.len(), steps, |regex| regex.is_match(text))
    }

    pub(super) fn groups(&self, text: &[u8]) -> Result<Option<Groups>, String> {
        self.search(text.len(), &mut 0, |regex| {
            let mut places = regex.capture_locations();
            let found = regex.captures_read(&mut places, text)?;
            Ok(found.map(|_| (0..places.len()).map(|group| places.get(group)).collect()))
        })
    }

    /// Searches with more and more steps.
    fn search<T>(
        &self,
        length: usize,
        steps: &mut u64,
        search: impl Fn(&Regex) -> Result<T, pcre2::Error>,
    ) -> Result<T, String> {
        // In a short text a search that is not hopeless takes less than it may.
        let square = (length as u64 + 1).saturating_pow(2);
        let Some(further) = &self.further else {
            *steps += square.min(u64::from(STEPS_MAX[2]));
            return search(&self.first).map_err(|why| describe(&why));
        };
        *steps += square.min(u64::from(STEPS_MAX[0]));
        let mut found = search(&self.first);
        for (compiled, most) in further.compiled.iter().zip(&STEPS_MAX[1..]) {
            let Err(why) = &found else { break };
            if why.code() != MATCH_LIMIT {
                break;
            }
            *steps += u64::from(*most);
            let regex = match compiled.get() {
                Some(regex) => regex,
                None => {
                    let regex = compile(&limited(&further.pattern, *most), further.flags)?;
                    compiled.get_or_init(|| regex)
                }
            };
            found = search(regex);
        }
        found.map_err(|why| describe(&why))
    }
}

/// `PCRE2_ERROR_MATCHLIMIT`
const MATCH_LIMIT: i32 = -47;

fn limited(pattern: &str, steps: u32) -> String {
    format!("(*LIMIT_MATCH={steps}){pattern}")
}

fn compile(pattern: &str, flags: Flags) -> Result<Regex, String> {
    RegexBuilder::new()
        .caseless(flags.ignore_case)
        .dotall(flags.dot_all)
        .multi_line(flags.lines)
        .extended(flags.spaced)
        .build(pattern)
        .map_err(|why| describe(&why))
}

fn describe(why: &pcre2::Error) -> String {
    let text = why.to_string();
    text.strip_prefix("PCRE2: ").unwrap_or(&text).to_owned()
}

/// `(*UTF)`, `(*CRLF)` and so on, which only stand at the very beginning.
fn leading_options(pattern: &str) -> (&str, &str) {
    let mut end = 0;
    while pattern[end..].starts_with("(*") {
        let Some(length) = pattern[end..].find(')') else { break };
        let name = &pattern[end + 2..end + length];
        let is_option = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_=".contains(c);
        // What directs the search may stand there, too, but belongs to the pattern.
        let directs = ["ACCEPT", "COMMIT", "F", "FAIL", "PRUNE", "SKIP", "THEN"];
        if !name.chars().all(is_option) || directs.contains(&name) {
            break;
        }
        end += length + 1;
    }
    pattern.split_at(end)
}

/// Whether something in the pattern concerns it as a whole, or directs the search for its beginning.
fn names_the_whole(pattern: &str) -> bool {
    ["(*", "(?R", "(?0", "\\g<0", "\\g'0", "(?(R"].iter().any(|part| pattern.contains(part))
}

/// The pattern with `\z` for each `$` that is no text.
fn with_end_only(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '$' if !in_class => text.push_str("\\z"),
            '\\' => {
                text.push(c);
                text.extend(chars.next());
            }
            '[' if !in_class => {
                in_class = true;
                text.push(c);
                text.extend(chars.next_if_eq(&'^'));
                text.extend(chars.next_if_eq(&']'));
            }
            '[' if chars.peek() == Some(&':') => {
                text.push(c);
                for c in chars.by_ref() {
                    text.push(c);
                    if text.ends_with(":]") {
                        break;
                    }
                }
            }
            ']' => {
                in_class = false;
                text.push(c);
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: Flags = Flags {
        ignore_case: true,
        dot_all: true,
        lines: false,
        spaced: false,
        anchored: false,
        end_only: false,
        lazy: false,
    };

    fn matches(pattern: &str, text: &str) -> Result<bool, String> {
        Backtracking::new(pattern, FLAGS)?.matches(text.as_bytes(), &mut 0)
    }

    #[test]
    fn patterns_keep_their_meaning_with_the_search_in_them() {
        for (pattern, text, expected) in [
            ("b(?=c)", "abcd", true),
            ("b(?=d)", "abcd", false),
            ("(?<!a)b|(x)\\1", "abxx", true),
            ("^b(?!c)", "abd", false),
            ("(?<=a)b", "ab", true),
            ("(*UTF)^.$(?!x)", "é", true),
            ("^.$(?!x)", "é", false),
            ("a(*SKIP)b|a", "ac", false),
            ("\\((?:[^()]|(?R))*\\)", "((a)", true),
            ("(?x)a(?=b) # comment", "ab", true),
            ("a(?=b)\\Qb)", "ab)", true),
        ] {
            assert_eq!(matches(pattern, text).as_ref().ok(), Some(&expected), "{pattern}");
        }
        let spaced = Flags { spaced: true, anchored: true, ..FLAGS };
        let pattern = Backtracking::new("a (?=b) # comment", spaced).unwrap();
        assert_eq!(pattern.matches(b"ab", &mut 0), Ok(true));
        assert_eq!(pattern.matches(b"xab", &mut 0), Ok(false));
    }

    #[test]
    fn a_dollar_is_the_end_only_where_it_is_an_anchor() {
        let end_only = Flags { end_only: true, ..FLAGS };
        for (pattern, text, expected) in [
            ("(?=a)a$", "a\n", false),
            ("(?=a)a$", "a", true),
            ("(?=a)a\\$", "a$", true),
            ("(?=a)a[$]", "a$", true),
            ("(?=a)a[]$]", "a$", true),
            ("(?=a)a[[:alpha:]$]", "a$", true),
        ] {
            let pattern = Backtracking::new(pattern, end_only).unwrap();
            assert_eq!(pattern.matches(text.as_bytes(), &mut 0), Ok(expected), "{pattern:?}");
        }
    }

    #[test]
    fn a_mistake_is_shown_with_its_place() {
        let why = matches("ab(", "").unwrap_err();
        assert_eq!(why, "error compiling pattern at offset 3: missing closing parenthesis");
    }

    #[test]
    fn a_search_that_takes_too_long_is_an_error_wherever_it_begins() {
        let text = "a".repeat(30) + "!";
        assert!(matches("(?=a)(a+)+$", &text).unwrap_err().contains("match limit"));
        // Quadratic only: few steps from each of very many places.
        let text = "a".repeat(100_000) + "cd";
        assert!(matches("a(?!b).*c(?!d)", &text).unwrap_err().contains("match limit"));
        assert_eq!(matches("^a(?!b).*c(?!d)", &text), Ok(false));
    }
}
