//! Files of `name = value`, with Postfix's words about what is wrong in them (`src/util/dict.c`,
//! `src/util/readlline.c`).

use std::collections::BTreeMap;

use cf::{LineError, Lines, split_definition};

use super::{Ended, no_definition, warning};

/// What a file defines, the last of each name. Warnings are given; what is no definition ends it.
pub(super) fn read(file: &str, text: &[u8]) -> Result<BTreeMap<String, String>, Ended> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for line in Lines::new(text) {
        let line = match line {
            Ok(line) => line,
            Err((number, LineError::NothingToContinue)) => {
                warning(nothing_to_continue(file, text, number));
                continue;
            }
            Err((number, why)) => {
                warning(format_args!("{file}, line {number}: this line {why}; ignored"));
                continue;
            }
        };
        let (name, value) = split_definition(&line.text).map_err(|why| {
            let (number, why) = (line.line, no_definition(&why));
            Ended::Fatal(format!("{file}, line {number}: {why}: \"{}\"", line.text))
        })?;
        match all.get_mut(name) {
            Some(earlier) => {
                // To say the same twice does no harm.
                if earlier != value {
                    let number = line.line;
                    warning(format_args!(
                        "{file}, line {number}: overriding earlier entry: {name}={earlier}"
                    ));
                    value.clone_into(earlier);
                }
            }
            None => {
                all.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    Ok(all)
}

/// The words for a line that starts with white space where nothing stands above it.
pub(super) fn nothing_to_continue(file: &str, text: &[u8], number: u32) -> String {
    const SHOWN: usize = 30;
    let mut physical = text.split(|&b| b == b'\n').skip(number as usize - 1);
    let mut line = physical.next().unwrap_or_default().to_vec();
    let goes_on = |line: &&[u8]| line.first().is_some_and(|&b| cf::is_space(b) || b == b'#');
    let more = physical.take_while(goes_on).filter(|line| !cf::is_nothing(line));
    for text in more {
        if line.len() > SHOWN {
            break;
        }
        line.extend_from_slice(text);
    }
    let dots = if line.len() > SHOWN { "..." } else { "" };
    line.truncate(SHOWN);
    let line = String::from_utf8_lossy(&line);
    format!("{file}: logical line must not start with whitespace: \"{line}{dots}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_line_that_continues_nothing_is_shown() {
        let said = |text: &str| nothing_to_continue("f", text.as_bytes(), 2);
        let words = "f: logical line must not start with whitespace: ";
        assert_eq!(said("\n a = b\nc = d\n"), format!("{words}\" a = b\""));
        assert_eq!(
            said("\n a = b\n  # no\n  and on, and on, and on, and on\n"),
            format!("{words}\" a = b  and on, and on, and on...\"")
        );
    }

    #[test]
    fn the_last_definition_counts_and_no_definition_is_fatal() {
        let all = read("f", b"a = 1\nb = 2\na = 3\n").unwrap();
        assert_eq!(all.into_values().collect::<String>(), "32");
        match read("f", b"a = 1\nb c\n") {
            Err(Ended::Fatal(why)) => {
                assert_eq!(why, "f, line 2: missing '=' after attribute name: \"b c\"");
            }
            other => panic!("{other:?}"),
        }
    }
}
