//! Edits of master.cf's text, for `postconf -M`, `-F` and `-P` with `-e`, `-X` or `-#`: what is not asked for
//! stays byte for byte.
//!
//! What is done is what postfix `src/postconf/postconf_edit.c` does. An entry that changes is written anew,
//! with its comments before it; one that goes leaves its comments behind.

use std::fmt;

use crate::master::entry::words;
use crate::master::{Entry, EntryError, Field, Note, Style};

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The name of the service, or `*`.
    pub name: String,
    /// Its type, or `*`.
    pub kind: String,
    /// What is to become of the entries that these fit.
    pub change: Change,
}

/// See [`Edit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first is replaced by this one, the others go, as do those that have the name and type of this one;
    /// where there is none, this one is added.
    Replace(Entry),
    /// A field has this text.
    Field(Field, String),
    /// A parameter has this value.
    Set(String, String),
    /// A parameter is no longer set.
    Unset(String),
    /// They go.
    Remove,
    /// They become comments.
    CommentOut,
}

impl Edit {
    fn fits(&self, name: &str, kind: &str) -> bool {
        (self.name == "*" || self.name == name) && (self.kind == "*" || self.kind == kind)
    }
}

/// Why nothing can be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditError {
    /// The line.
    pub line: u32,
    /// Why.
    pub cause: EditCause,
}

/// See [`EditError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditCause {
    /// The entry does not start with two words.
    NotNameAndType,
    /// A name with a `=` in it, which could not be told from its value.
    Name(Box<str>),
    /// A type with a `=` or `/` in it.
    Type(Box<str>),
    /// It is no text.
    Encoding,
    /// It is no entry, or would not be one; and the text that is wrong.
    Entry(EntryError, Box<str>),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.cause {
            EditCause::NotNameAndType => {
                f.write_str("specify service name and type on the same line")
            }
            EditCause::Name(name) => write!(f, "a service cannot be edited by the name \"{name}\""),
            EditCause::Type(kind) => write!(f, "a service cannot be edited by the type \"{kind}\""),
            EditCause::Encoding => f.write_str("this entry is not valid UTF-8"),
            EditCause::Entry(why, _) => why.fmt(f),
        }
    }
}

impl std::error::Error for EditError {}

/// The new text, and which edits found nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// What is to be in the file.
    pub text: Vec<u8>,
    /// By their places among the edits.
    pub unmatched: Vec<usize>,
    /// What is not as it was in the entries that are written anew.
    pub notes: Vec<Note>,
}

/// Makes the edits in the text of master.cf, all of them or none.
pub fn edit(text: &[u8], edits: &[Edit]) -> Result<Edited, EditError> {
    let mut matches = vec![0usize; edits.len()];
    let mut notes = Vec::new();
    let mut out = Vec::with_capacity(text.len() + 128);
    let lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
    let mut at = 0;
    while at < lines.len() {
        let start = at;
        at += 1;
        if cf::is_nothing(lines[start]) || cf::is_space(lines[start][0]) {
            push_line(&mut out, lines[start]);
            continue;
        }
        while lines.get(at).is_some_and(|line| cf::is_space(line[0]) || line[0] == b'#') {
            at += 1;
        }
        let number = u32::try_from(start + 1).unwrap_or(u32::MAX);
        let logical = Logical { lines: &lines[start..at], number };
        logical.edit(edits, &mut matches, &mut out, &mut notes)?;
    }
    let mut unmatched = Vec::new();
    for (place, edit) in edits.iter().enumerate().filter(|(place, _)| matches[*place] == 0) {
        match &edit.change {
            Change::Replace(entry) => push_entry(&mut out, entry),
            Change::Remove | Change::CommentOut => {}
            _ => unmatched.push(place),
        }
    }
    Ok(Edited { text: out, unmatched, notes })
}

/// An entry with the comments in and behind it.
struct Logical<'a> {
    lines: &'a [&'a [u8]],
    number: u32,
}

impl Logical<'_> {
    fn edit(
        &self,
        edits: &[Edit],
        matches: &mut [usize],
        out: &mut Vec<u8>,
        notes: &mut Vec<Note>,
    ) -> Result<(), EditError> {
        let first = String::from_utf8_lossy(self.lines[0]);
        let (name, kind) = self.name_and_type(&first)?;
        let mut fate = Fate::Stays;
        for (edit, count) in edits.iter().zip(matches) {
            let replaces = match &edit.change {
                Change::Replace(entry) => {
                    entry.field(Field::Service) == name && entry.field(Field::Type) == kind
                }
                _ => false,
            };
            if !edit.fits(name, kind) && !replaces {
                continue;
            }
            *count += 1;
            match &edit.change {
                Change::Replace(entry) if *count == 1 => fate = Fate::Becomes(entry.clone()),
                Change::Replace(_) | Change::Remove => fate.or(Fate::Goes),
                Change::CommentOut => fate.or(Fate::Comment),
                change => {
                    let mut entry = match fate {
                        Fate::Becomes(entry) => entry,
                        _ => {
                            let (entry, odd) = self.entry()?;
                            notes.extend(odd);
                            entry
                        }
                    };
                    match change {
                        Change::Field(field, text) => {
                            let set = entry.set_field(*field, text);
                            let wrong = |why| EditCause::Entry(why, text.as_str().into());
                            notes.extend(set.map_err(|why| self.error(wrong(why)))?);
                        }
                        Change::Set(name, value) => entry.set_override(name, value),
                        Change::Unset(name) => {
                            entry.remove_override(name);
                        }
                        _ => {}
                    }
                    fate = Fate::Becomes(entry);
                }
            }
        }
        self.write(&fate, out);
        Ok(())
    }

    fn write(&self, fate: &Fate, out: &mut Vec<u8>) {
        if let Fate::Becomes(entry) = fate {
            // Comments behind the entry belong to what follows.
            let last = self.lines.iter().rposition(|line| !cf::is_nothing(line)).unwrap_or(0);
            let (own, behind) = self.lines.split_at(last + 1);
            own.iter().filter(|line| cf::is_nothing(line)).for_each(|line| push_line(out, line));
            push_entry(out, entry);
            behind.iter().for_each(|line| push_line(out, line));
            return;
        }
        for line in self.lines {
            match fate {
                Fate::Goes if !cf::is_nothing(line) => {}
                Fate::Comment if !cf::is_nothing(line) => {
                    out.push(b'#');
                    push_line(out, line);
                }
                _ => push_line(out, line),
            }
        }
    }

    fn name_and_type<'a>(&self, first: &'a str) -> Result<(&'a str, &'a str), EditError> {
        let mut words = first.split_ascii_whitespace();
        let (Some(name), Some(kind)) = (words.next(), words.next()) else {
            return Err(self.error(EditCause::NotNameAndType));
        };
        if name.contains('=') {
            return Err(self.error(EditCause::Name(name.into())));
        }
        if kind.contains(['=', '/']) {
            return Err(self.error(EditCause::Type(kind.into())));
        }
        Ok((name, kind))
    }

    fn entry(&self) -> Result<(Entry, Vec<Note>), EditError> {
        let content = self.lines.iter().filter(|line| !cf::is_nothing(line));
        let bytes: Vec<u8> = content.copied().flatten().copied().collect();
        let text = String::from_utf8(bytes).map_err(|_| self.error(EditCause::Encoding))?;
        Entry::parse(&text, self.number)
            .map_err(|why| self.error(EditCause::Entry(why, text.into())))
    }

    fn error(&self, cause: EditCause) -> EditError {
        EditError { line: self.number, cause }
    }
}

/// What becomes of an entry.
enum Fate {
    Stays,
    Goes,
    Comment,
    Becomes(Entry),
}

impl Fate {
    /// What was decided first is not taken back by less.
    fn or(&mut self, other: Self) {
        if matches!(self, Self::Stays) {
            *self = other;
        }
    }
}

/// A last line may have no end; what follows it must not become part of it.
fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.push(b'\n');
    }
}

fn push_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(entry.print(Style::plain(true)).as_bytes());
    out.push(b'\n');
}

/// Whether a text is one word, as all fields but the command are.
pub fn is_one_word(text: &str) -> bool {
    words(text).count() <= 1 && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head
smtp inet n - n - - smtpd
# in
  -o a=1
  # behind
relay unix - - n - - smtp
smtp  unix - - n - - smtp";

    fn edited(name: &str, kind: &str, change: Change) -> String {
        let edits = [Edit { name: name.into(), kind: kind.into(), change }];
        let edited = edit(TEXT.as_bytes(), &edits).unwrap();
        assert_eq!(edited.unmatched, []);
        String::from_utf8(edited.text).unwrap()
    }

    fn entry(text: &str) -> Entry {
        Entry::parse(text, 1).unwrap().0
    }

    #[test]
    fn a_parameter_is_set_where_its_entry_stands() {
        assert_eq!(
            edited("smtp", "inet", Change::Set("b".into(), "2".into())),
            "# head
# in
smtp       inet  n       -       n       -       -       smtpd
    -o a=1
    -o b=2
  # behind
relay unix - - n - - smtp
smtp  unix - - n - - smtp
"
        );
        assert!(
            edited("smtp", "inet", Change::Unset("a".into())).contains(
                "\nsmtp       inet  n       -       n       -       -       smtpd\n  # beh"
            )
        );
    }

    #[test]
    fn fields_of_several_entries_are_set_with_a_star() {
        let text = edited("*", "unix", Change::Field(Field::Chroot, "y".into()));
        assert_eq!(text.matches("unix  -       -       y").count(), 2, "{text}");
        assert!(
            text.starts_with("# head\nsmtp inet n - n - - smtpd\n# in\n  -o a=1\n  # behind\n")
        );
    }

    #[test]
    fn entries_go_or_become_comments_and_their_comments_stay() {
        assert_eq!(
            edited("smtp", "*", Change::Remove),
            "# head\n# in\n  # behind\nrelay unix - - n - - smtp\n"
        );
        assert_eq!(
            edited("smtp", "inet", Change::CommentOut),
            "# head\n#smtp inet n - n - - smtpd\n# in\n#  -o a=1\n  # behind\n\
             relay unix - - n - - smtp\nsmtp  unix - - n - - smtp\n"
        );
    }

    #[test]
    fn an_entry_is_replaced_once_and_added_where_there_is_none() {
        let new = entry("relay unix y - n - - lmtp");
        let text = edited("smtp", "*", Change::Replace(new.clone()));
        assert_eq!(
            text,
            "# head\n# in\nrelay      unix  y       -       n       -       -       lmtp\n  # behind\n"
        );
        let text = edited("x", "unix", Change::Replace(entry("x unix - - n - - smtp")));
        assert!(
            text.ends_with(
                "- smtp\nx          unix  -       -       n       -       -       smtp\n"
            )
        );
    }

    #[test]
    fn what_cannot_be_done_is_said_and_nothing_is_done() {
        let field = |text: &str| Edit {
            name: "smtp".into(),
            kind: "inet".into(),
            change: Change::Field(Field::Wakeup, text.into()),
        };
        let found = edit(TEXT.as_bytes(), &[field("soon")]).unwrap_err();
        assert!(found.to_string().starts_with("line 2: wakeup: found \"soon\""), "{found}");
        let found = edit(b"smtp\n inet n - n - - smtpd\n", &[field("1")]).unwrap_err();
        assert_eq!(found.to_string(), "line 1: specify service name and type on the same line");
        let none = Edit { name: "nobody".into(), ..field("1") };
        let edited = edit(TEXT.as_bytes(), &[field("1"), none]).unwrap();
        assert_eq!(edited.unmatched, [1]);
    }

    #[test]
    fn what_an_edited_entry_leaves_out_is_noted() {
        let text = b"smtp inet n - n - - smtpd -o {=x} -o { a = b\n";
        let set = Change::Set("c".into(), "d".into());
        let edits = [Edit { name: "smtp".into(), kind: "inet".into(), change: set }];
        let edited = edit(text, &edits).unwrap();
        let notes: Vec<String> = edited.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes, ["missing attribute name: \"=x\"", "missing '}' in \"{ a = b\n\""]);
    }
}
