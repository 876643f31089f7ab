//! The text that a table is made from: its entries, and Postfix's words for what is none.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, Read};

use aliases::Entry;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cf::{BadLine, EntryError, LineError, LineReader};

use super::options::Program;
use super::report::{Report, plain, printable};

/// Bytes that the files of one value may have together (`-F`).
const VALUE_FILES_BYTES_MAX: u64 = 64 << 20;
/// Characters of a line that are shown where the line is passed over.
const EXCERPT_CHARS: usize = 30;

/// How a source is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Whose grammar it has.
    pub(crate) program: Program,
    /// Values are lists of files, whose content is stored.
    pub(crate) files: bool,
}

/// What there was in a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Entries that were taken.
    pub(crate) entries: u64,
    /// Lines that were passed over.
    pub(crate) ignored: u64,
}

/// Reads a whole source; `take` gets each key, value and line number, and how many bytes were read
/// before. The error is the last word on a source that is no text.
pub(crate) fn read(
    source: impl BufRead,
    file: &str,
    manner: Manner,
    report: &Report,
    mut take: impl FnMut(&str, &str, u32, u64) -> Result<(), String>,
) -> Result<Seen, String> {
    let mut lines = LineReader::new(source);
    let mut seen = Seen::default();
    loop {
        let consumed = lines.consumed();
        let line = match lines.next().map_err(|error| format!("read {file}: {}", plain(&error)))? {
            None => return Ok(seen),
            Some(Ok(line)) => line,
            Some(Err(bad)) => {
                report.warning(passed_over(&bad, file)?);
                seen.ignored += 1;
                continue;
            }
        };
        let place = || format!("{file}, line {}", line.line);
        match entry(line.text, manner) {
            Ok((key, value)) => {
                if manner.program == Program::Postmap && key.ends_with(':') {
                    report.warning(format_args!(
                        "{}: record is in \"key: value\" format; is this an alias file?",
                        place()
                    ));
                }
                take(&key, &value, line.line, consumed)?;
                seen.entries += 1;
            }
            Err(why) => {
                report.warning(format_args!("{}: {why}", place()));
                seen.ignored += 1;
            }
        }
    }
}

/// What a line that cannot be read is passed over with; the error where the whole file is no text.
fn passed_over(bad: &BadLine<'_>, file: &str) -> Result<String, String> {
    let BadLine { why, line, bytes } = bad;
    match why {
        LineError::NothingToContinue => {
            let text = printable(bytes);
            let excerpt: String = text.chars().take(EXCERPT_CHARS).collect();
            let more = if excerpt.len() < text.len() { "..." } else { "" };
            Ok(format!("{file}: logical line must not start with whitespace: \"{excerpt}{more}\""))
        }
        LineError::Encoding => {
            let text = printable(bytes);
            Ok(format!("{file}, line {line}: non-UTF-8 input \"{text}\" -- ignoring this line"))
        }
        // Postfix cuts such a line at the NUL, and makes a table of what is left.
        LineError::Nul | LineError::TooLong => {
            Err(format!("{file}, line {line}: this line {why}; is this a text file?"))
        }
    }
}

fn entry(line: &str, manner: Manner) -> Result<(Cow<'_, str>, Cow<'_, str>), String> {
    match manner.program {
        Program::Postalias => {
            let Entry { name, value } = Entry::parse(line).map_err(|why| why.to_string())?;
            Ok((name.into(), value.into()))
        }
        Program::Postmap => {
            let (key, value) = cf::split_entry(line).map_err(|why| match why {
                EntryError::NoPair => why.to_string(),
                EntryError::Unbalanced => {
                    format!("unbalanced '\"' in '{line}' -- ignoring this line")
                }
            })?;
            let value = match manner.files {
                true => {
                    from_files(value).map_err(|why| format!("{why}: skipping this entry"))?.into()
                }
                false => value.into(),
            };
            Ok((key.into(), value))
        }
    }
}

/// The content of the files of a list, one line end between two of them, in base64
/// (postfix `src/util/dict_file.c`).
fn from_files(list: &str) -> Result<String, String> {
    let mut content = Vec::new();
    for (number, path) in
        list.split([',', ' ', '\t', '\r', '\n']).filter(|it| !it.is_empty()).enumerate()
    {
        if number > 0 {
            content.push(b'\n');
        }
        let mut file =
            File::open(path).map_err(|error| format!("open {path}: {}", plain(&error)))?;
        let room = VALUE_FILES_BYTES_MAX - content.len() as u64;
        file.by_ref()
            .take(room + 1)
            .read_to_end(&mut content)
            .map_err(|error| format!("read {path}: {}", plain(&error)))?;
        if content.len() as u64 > VALUE_FILES_BYTES_MAX {
            return Err(format!("file too large: {list}"));
        }
    }
    Ok(BASE64.encode(content))
}

/// The content that [`from_files`] stored.
pub(crate) fn file_content(value: &str) -> Result<Vec<u8>, String> {
    let excerpt = || value.chars().take(EXCERPT_CHARS).collect::<String>();
    BASE64.decode(value).map_err(|_| format!("malformed BASE64 value: {}", excerpt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postmap::report::tests::Said;

    fn text(program: Program, text: &[u8]) -> (Result<Seen, String>, Vec<String>, String) {
        let said = Said::default();
        let report = Report::to("postmap", said.clone());
        let mut entries = Vec::new();
        let manner = Manner { program, files: false };
        let seen = read(text, "s", manner, &report, |key, value, line, _| {
            entries.push(format!("{line} {key}={value}"));
            Ok(())
        });
        (seen, entries, said.text())
    }

    #[test]
    fn what_is_no_entry_is_passed_over_in_postfix_s_words() {
        let (seen, entries, said) =
            text(Program::Postmap, b" lead\na 1\nb\n\"x z 5\nf: g\n# comment\ncaf\xe9 1\nh\n  i\n");
        assert_eq!(seen, Ok(Seen { entries: 3, ignored: 4 }));
        assert_eq!(entries, ["2 a=1", "5 f:=g", "8 h=i"]);
        assert_eq!(
            said,
            "postmap: warning: s: logical line must not start with whitespace: \" lead\"\n\
             postmap: warning: s, line 3: expected format: key whitespace value\n\
             postmap: warning: s, line 4: unbalanced '\"' in '\"x z 5' -- ignoring this line\n\
             postmap: warning: s, line 5: record is in \"key: value\" format; is this an alias file?\n\
             postmap: warning: s, line 7: non-UTF-8 input \"caf? 1\" -- ignoring this line\n"
        );
    }

    #[test]
    fn alias_lines_are_passed_over_in_postfix_s_words() {
        let (seen, entries, said) =
            text(Program::Postalias, b"a: b,c\nno colon\nd@e: f\n\"g h\": i\n");
        assert_eq!(seen, Ok(Seen { entries: 2, ignored: 2 }));
        assert_eq!(entries, ["1 a=b, c", "4 \"g h\"=i"]);
        assert_eq!(
            said,
            "postmap: warning: s, line 2: need name:value pair\n\
             postmap: warning: s, line 3: name must be local and have no domain\n"
        );
    }

    #[test]
    fn a_source_that_is_no_text_is_refused_with_the_line() {
        let (seen, entries, _) = text(Program::Postmap, b"a 1\nb\0 2\n");
        assert_eq!(seen, Err("s, line 2: this line holds a NUL byte; is this a text file?".into()));
        assert_eq!(entries, ["1 a=1"]);
        let (seen, ..) = text(Program::Postmap, &vec![b'x'; 5 << 20]);
        assert!(seen.unwrap_err().starts_with("s, line 1: this line is longer than 4194304 bytes"));
    }

    #[test]
    fn values_that_are_files_are_stored_as_their_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("a"), "hello\n").unwrap();
        std::fs::write(path("b"), b"\xff").unwrap();
        let stored = from_files(&format!("{}, {}", path("a"), path("b"))).unwrap();
        assert_eq!(file_content(&stored).unwrap(), b"hello\n\n\xff");
        let missing = from_files(&path("c")).unwrap_err();
        assert_eq!(missing, format!("open {}: No such file or directory", path("c")));
        assert_eq!(file_content("a b"), Err("malformed BASE64 value: a b".into()));
    }
}
