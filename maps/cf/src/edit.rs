//! Edits of main.cf's text, for `postconf -e`, `-X` and `-#`: what is not asked for stays byte for byte.
//!
//! What is done is what postfix `src/postconf/postconf_edit.c` does: each definition of the name is
//! changed where it stands, a second one as well as the first; comments and blank lines stay, also those
//! in the middle of a value that goes; what is not there yet is added at the end, by name.

use std::collections::BTreeMap;
use std::fmt;

use crate::line::{is_nothing, is_space};
use crate::{SyntaxError, split_definition};

/// One change of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    name: Box<str>,
    change: Change,
}

/// What is done about the definitions of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(Box<str>),
    Remove,
    CommentOut,
}

/// Why a request is no edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// It holds a line end, and would become something else when it is read back.
    ManyLines,
    /// It starts with `#`.
    Comment,
    /// It is no `name = value`.
    Syntax(SyntaxError),
    /// It names nothing.
    NoName,
    /// It is not a name alone.
    NotOneName,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ManyLines => f.write_str("is more than one line"),
            Self::Comment => f.write_str("is a comment"),
            Self::Syntax(why) => why.fmt(f),
            Self::NoName => f.write_str("is blank; expected the name of a parameter"),
            Self::NotOneName => f.write_str("is not one name; expected a name without a value"),
        }
    }
}

impl std::error::Error for EditError {}

impl Edit {
    /// `name = value`: gives the name this value.
    pub fn set(request: &str) -> Result<Self, EditError> {
        let (name, value) = split_definition(one_line(request)?).map_err(EditError::Syntax)?;
        Ok(Self { name: name.into(), change: Change::Set(value.into()) })
    }

    /// Takes every definition of a name away.
    pub fn remove(name: &str) -> Result<Self, EditError> {
        Ok(Self { name: only_name(name)?.into(), change: Change::Remove })
    }

    /// Makes a comment of every definition of a name.
    pub fn comment_out(name: &str) -> Result<Self, EditError> {
        Ok(Self { name: only_name(name)?.into(), change: Change::CommentOut })
    }

    /// Whose definitions are changed.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn one_line(request: &str) -> Result<&str, EditError> {
    if request.contains('\n') {
        return Err(EditError::ManyLines);
    }
    let request = request.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    if request.starts_with('#') { Err(EditError::Comment) } else { Ok(request) }
}

fn only_name(request: &str) -> Result<&str, EditError> {
    let name = one_line(request)?;
    if name.is_empty() {
        return Err(EditError::NoName);
    }
    if name.contains(|c: char| c == '=' || c.is_ascii() && is_space(c as u8)) {
        return Err(EditError::NotOneName);
    }
    Ok(name)
}

/// The new text, and what the admin should hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// What is to be in the file.
    pub text: Vec<u8>,
    /// In the order in which they were met.
    pub notes: Vec<EditNote>,
}

/// Something odd that was met during an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditNote {
    /// A later request for the same name took this one's place.
    Overridden(Edit),
    /// The file defines this name more than once; each was changed.
    Several(Box<str>),
}

impl fmt::Display for EditNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overridden(Edit { name, change: Change::Set(value) }) => {
                write!(f, "ignoring earlier request: '{name} = {value}'")
            }
            Self::Overridden(Edit { name, .. }) => write!(f, "ignoring earlier request: '{name}'"),
            Self::Several(name) => write!(f, "multiple entries for \"{name}\""),
        }
    }
}

/// Makes the edits in the text of main.cf. Of two edits of one name the later one counts.
pub fn edit(text: &[u8], edits: &[Edit]) -> Edited {
    let mut notes = Vec::new();
    let mut wanted: BTreeMap<&str, (&Edit, usize)> = BTreeMap::new();
    for edit in edits {
        if let Some((earlier, _)) = wanted.insert(&edit.name, (edit, 0))
            && earlier != edit
        {
            notes.push(EditNote::Overridden(earlier.clone()));
        }
    }
    let mut out = Vec::with_capacity(text.len() + 128);
    // The change of the logical line that a continuation belongs to.
    let mut change: Option<&Change> = None;
    for line in text.split_inclusive(|&b| b == b'\n') {
        if is_nothing(line) {
            push_line(&mut out, line);
            continue;
        }
        if !is_space(line[0]) {
            change = None;
            let end = line.iter().position(|&b| is_space(b) || b == b'=').unwrap_or(line.len());
            let name = std::str::from_utf8(&line[..end]).unwrap_or_default();
            if let Some((edit, found)) = wanted.get_mut(name) {
                change = Some(&edit.change);
                *found += 1;
                if *found == 2 {
                    notes.push(EditNote::Several(name.into()));
                }
                if let Change::Set(value) = &edit.change {
                    push_definition(&mut out, name, value);
                }
            }
        }
        match change {
            None => push_line(&mut out, line),
            Some(Change::CommentOut) => {
                out.push(b'#');
                push_line(&mut out, line);
            }
            Some(Change::Set(_) | Change::Remove) => {}
        }
    }
    for (name, (edit, found)) in wanted {
        if let Change::Set(value) = &edit.change
            && found == 0
        {
            push_definition(&mut out, name, value);
        }
    }
    Edited { text: out, notes }
}

/// A last line may have no end; what follows it must not become part of it.
fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.push(b'\n');
    }
}

fn push_definition(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!("{name} = {value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Definition, parse};

    const FILE: &str = "\
# The host.
myhostname = mx.example.com

mynetworks = 10.0.0.0/8
# ours
    192.168.0.0/16

  # theirs
\t172.16.0.0/12
mydomain = example.com
mynetworks =
  127.0.0.0/8
# end
";

    fn done(text: &str, edits: &[Edit]) -> (String, Vec<String>) {
        let Edited { text, notes } = edit(text.as_bytes(), edits);
        (String::from_utf8(text).unwrap(), notes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_definition_is_replaced_where_it_stands_and_comments_stay() {
        let edits = [
            Edit::set(" mynetworks=  [::1]/128 ").unwrap(),
            Edit::set("zone = z").unwrap(),
            Edit::set("alias_maps =").unwrap(),
        ];
        let (text, notes) = done(FILE, &edits);
        assert_eq!(
            text,
            "\
# The host.
myhostname = mx.example.com

mynetworks = [::1]/128
# ours

  # theirs
mydomain = example.com
mynetworks = [::1]/128
# end
alias_maps = 
zone = z
"
        );
        assert_eq!(notes, ["multiple entries for \"mynetworks\""]);
    }

    #[test]
    fn a_name_is_removed_with_all_its_lines_and_no_comment() {
        let (text, _) = done(FILE, &[Edit::remove("mynetworks ").unwrap()]);
        assert_eq!(
            text,
            "\
# The host.
myhostname = mx.example.com

# ours

  # theirs
mydomain = example.com
# end
"
        );
        assert_eq!(done(FILE, &[Edit::remove("my").unwrap()]), (FILE.to_owned(), Vec::new()));
    }

    #[test]
    fn every_line_of_a_value_becomes_a_comment() {
        let edits = [Edit::comment_out("mynetworks").unwrap(), Edit::remove("mydomain").unwrap()];
        let (text, _) = done(FILE, &edits);
        assert_eq!(
            text,
            "\
# The host.
myhostname = mx.example.com

#mynetworks = 10.0.0.0/8
# ours
#    192.168.0.0/16

  # theirs
#\t172.16.0.0/12
#mynetworks =
#  127.0.0.0/8
# end
"
        );
    }

    #[test]
    fn a_last_line_without_its_end_swallows_nothing() {
        let edits = [Edit::set("b = 2").unwrap()];
        assert_eq!(done("a = 1", &edits).0, "a = 1\nb = 2\n");
        assert_eq!(done("a = 1\n# end", &edits).0, "a = 1\n# end\nb = 2\n");
        assert_eq!(done("b = 1\n  3", &edits).0, "b = 2\n");
        assert_eq!(done("", &edits).0, "b = 2\n");
    }

    #[test]
    fn the_last_request_for_a_name_counts() {
        let edits = ["a = 1", "a=1", "a=2"].map(|request| Edit::set(request).unwrap());
        let (text, notes) = done("a = 0\n", &edits);
        assert_eq!(text, "a = 2\n");
        assert_eq!(notes, ["ignoring earlier request: 'a = 1'"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let text = b"# caf\xe9\r\nb = \xff\n \0\na = 1\r\n";
        let edited = edit(text, &[Edit::set("a = 2").unwrap()]);
        assert_eq!(edited.text, b"# caf\xe9\r\nb = \xff\n \0\na = 2\n");
    }

    #[test]
    fn what_is_no_edit_is_refused() {
        let no_equals = |word: &str| EditError::Syntax(SyntaxError::NoEquals(word.into()));
        assert_eq!(Edit::set("a = 1\nb = 2"), Err(EditError::ManyLines));
        assert_eq!(Edit::set(" #a = 1"), Err(EditError::Comment));
        assert_eq!(Edit::set("a"), Err(no_equals("a")));
        assert_eq!(Edit::set("a b = 1"), Err(no_equals("a")));
        assert_eq!(Edit::set(" = 1"), Err(EditError::Syntax(SyntaxError::NoName)));
        assert_eq!(Edit::remove(" "), Err(EditError::NoName));
        assert_eq!(Edit::remove("a=1"), Err(EditError::NotOneName));
        assert_eq!(Edit::comment_out("a b"), Err(EditError::NotOneName));
        assert_eq!(Edit::comment_out("#a"), Err(EditError::Comment));
    }

    /// Names and values, without the places, which edits may move.
    fn meaning(text: &[u8]) -> Vec<(Box<str>, Box<str>)> {
        let pair = |Definition { name, value, .. }| (name, value);
        parse("main.cf", text).list.into_iter().map(pair).collect()
    }

    proptest! {
        #[test]
        fn an_edit_reads_back_and_all_else_means_what_it_meant(
            text in "([abc]( = |=| ?)|[xy ,#$]{0,3}| [xy]|#|\t|\n|\r\n|\n\n# c\n){0,24}",
            name in "[abcd]",
            value in "([xy#=][xy ,#=]{0,4})?",
        ) {
            let before = meaning(text.as_bytes());
            let rest = |all: &[(Box<str>, Box<str>)]| -> Vec<(Box<str>, Box<str>)> {
                all.iter().filter(|(other, _)| **other != *name).cloned().collect()
            };
            let value = value.trim();
            let set = edit(text.as_bytes(), &[Edit::set(&format!("{name} = {value}")).unwrap()]);
            let after = meaning(&set.text);
            prop_assert_eq!(rest(&after), rest(&before));
            let mine: Vec<_> = after.iter().filter(|(other, _)| **other == *name).collect();
            prop_assert!(!mine.is_empty());
            prop_assert!(mine.iter().all(|(_, now)| **now == *value), "{:?}", mine);
            // Doing it again changes nothing.
            let again = edit(&set.text, &[Edit::set(&format!("{name}={value}")).unwrap()]);
            prop_assert_eq!(&again.text, &set.text);
            for gone in [Edit::remove(&name), Edit::comment_out(&name)] {
                let after = meaning(&edit(text.as_bytes(), &[gone.unwrap()]).text);
                prop_assert_eq!(&after, &rest(&before));
            }
        }
    }
}
