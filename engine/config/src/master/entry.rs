//! One entry of master.cf as it is written: eight fields, options, arguments.
//!
//! This is what `postconf -M` prints and edits. It keeps `-` where the admin wrote `-`, knows nothing of
//! what a service does, and brings options and braces into one form: `-vo{ a = b }` becomes `-v -o a=b`
//! (postfix `src/postconf/postconf_master.c`). What the words mean is in [`super::Service`].

use std::borrow::Cow;
use std::fmt;

/// Fields that every entry has.
pub const FIELDS: usize = 8;

/// One of the eight fields, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The name of the service.
    Service,
    /// `inet`, `unix` and so on.
    Type,
    /// Whether only the mail system may connect.
    Private,
    /// Whether it runs with the rights of `mail_owner`.
    Unprivileged,
    /// Whether it sees the queue directory only.
    Chroot,
    /// How often it is woken up.
    Wakeup,
    /// How many of it there are at most.
    ProcessLimit,
    /// The program.
    Command,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; FIELDS] = [
        Self::Service,
        Self::Type,
        Self::Private,
        Self::Unprivileged,
        Self::Chroot,
        Self::Wakeup,
        Self::ProcessLimit,
        Self::Command,
    ];

    /// As `postconf -F` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Type => "type",
            Self::Private => "private",
            Self::Unprivileged => "unprivileged",
            Self::Chroot => "chroot",
            Self::Wakeup => "wakeup",
            Self::ProcessLimit => "process_limit",
            Self::Command => "command",
        }
    }

    /// The field of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// What may stand in it.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            Self::Service => "a name",
            Self::Type => "inet, unix, unix-dgram, fifo or pass",
            Self::Private | Self::Unprivileged | Self::Chroot => "y, n or -",
            Self::Wakeup => {
                "a number of seconds, with ? behind it if it counts from the first use, or -"
            }
            Self::ProcessLimit => "a number, 0 for no limit, or -",
            Self::Command => "the name of a program",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The types of services.
pub(super) const TYPES: [&str; 5] = ["inet", "unix", "unix-dgram", "fifo", "pass"];

/// An entry. Options that take a value (`-o`) and the value are two words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    words: Vec<Word>,
}

/// A word and the line it is on; two words are equal where their texts are.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: Box<str>,
    pub(super) line: u32,
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Word {}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// This many words only.
    TooFew(usize),
    /// A field with something in it that cannot be there.
    Field {
        /// Which.
        field: Field,
        /// What is in it.
        found: Box<str>,
    },
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew(found) => {
                write!(f, "this entry has {found} fields; expected 8:")?;
                Field::ALL.iter().try_for_each(|field| write!(f, " {field}"))
            }
            Self::Field { field, found } => {
                write!(f, "{field}: found \"{found}\", expected {}", field.allowed())
            }
        }
    }
}

impl std::error::Error for EntryError {}

/// A word that was read with something left out. Postfix's `postconf` warns, its daemons give up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its line.
    pub line: u32,
    /// The word as it is written.
    pub found: Box<str>,
    /// What is wrong.
    pub cause: NoteCause,
}

/// See [`Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteCause {
    /// `{` without its `}`.
    Unclosed,
    /// Text behind the `}`.
    Behind,
    /// `-o { text }` where the text is no `name = value`.
    NoDefinition,
    /// `-o { text }` where the text has no name, or is empty.
    NoName,
}

impl NoteCause {
    /// Whether braces are right, and what is in them is not.
    pub(super) fn is_of_definition(self) -> bool {
        matches!(self, Self::NoDefinition | Self::NoName)
    }
}

impl fmt::Display for Note {
    /// As `postconf` says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        match self.cause {
            NoteCause::Unclosed => write!(f, "missing '}}' in \"{found}\""),
            NoteCause::Behind => write!(f, "syntax error after '}}' in \"{found}\""),
            NoteCause::NoDefinition => write!(f, "missing '=' after attribute name: \"{found}\""),
            NoteCause::NoName => write!(f, "missing attribute name: \"{found}\""),
        }
    }
}

/// One option or argument behind the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// `-v`
    Option(&'a Word),
    /// `-o` and its value.
    Value(&'a Word, &'a Word),
    /// What comes first behind the options.
    First(&'a Word),
    /// What comes after that.
    Plain(&'a Word),
}

impl Entry {
    /// Reads a logical line that starts on line `line`.
    pub fn parse(text: &str, line: u32) -> Result<(Self, Vec<Note>), EntryError> {
        Self::of_words(words(text).map(|(_, word)| Word { text: word.into(), line }).collect())
    }

    pub(super) fn of_words(words: Vec<Word>) -> Result<(Self, Vec<Note>), EntryError> {
        if words.len() < FIELDS {
            return Err(EntryError::TooFew(words.len()));
        }
        let mut entry = Self { words };
        entry.check()?;
        let notes = entry.normalize();
        Ok((entry, notes))
    }

    /// The text of a field.
    pub fn field(&self, field: Field) -> &str {
        &self.words[field as usize].text
    }

    /// The line that a field is on.
    pub(super) fn line(&self, field: Field) -> u32 {
        self.words[field as usize].line
    }

    /// `name/type`, by which `postconf` knows an entry.
    pub fn name_space(&self) -> String {
        format!("{}/{}", self.field(Field::Service), self.field(Field::Type))
    }

    /// The values of the `-o` options, in their order: `name=value`.
    pub fn overrides(&self) -> impl Iterator<Item = &str> {
        self.overrides_with_lines().map(|(text, _)| text)
    }

    pub(super) fn overrides_with_lines(&self) -> impl Iterator<Item = (&str, u32)> {
        self.arguments().filter_map(|argument| match argument {
            Argument::Value(_, value) => Some((&*value.text, value.line)),
            _ => None,
        })
    }

    /// What stands behind the command, options first.
    pub(super) fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        let mut words = self.words[FIELDS..].iter();
        let mut in_options = true;
        std::iter::from_fn(move || {
            let word = words.next()?;
            if !in_options {
                return Some(Argument::Plain(word));
            }
            in_options = is_option(&word.text);
            if !in_options {
                return Some(Argument::First(word));
            }
            if takes_value(&word.text)
                && let Some(value) = words.next()
            {
                return Some(Argument::Value(word, value));
            }
            Some(Argument::Option(word))
        })
    }

    /// Puts a text into a field; with the command come its options and arguments. What cannot be there is
    /// an error, and the entry stays as it is.
    pub fn set_field(&mut self, field: Field, text: &str) -> Result<Vec<Note>, EntryError> {
        let mut changed = self.clone();
        let line = self.line(field);
        let mut notes = Vec::new();
        if field == Field::Command {
            changed.words.truncate(Field::Command as usize);
            changed.words.extend(words(text).map(|(_, word)| Word { text: word.into(), line }));
            if changed.words.len() < FIELDS {
                return Err(EntryError::TooFew(changed.words.len()));
            }
            notes = changed.normalize();
        } else {
            changed.words[field as usize].text = text.into();
        }
        changed.check()?;
        *self = changed;
        Ok(notes)
    }

    /// Sets a parameter of this service: every `-o` that has it, or one behind the other options.
    pub fn set_override(&mut self, name: &str, value: &str) {
        let text = format!("{name}={value}");
        let mut at = FIELDS;
        let mut found = false;
        while let Some(word) = self.words.get(at)
            && is_option(&word.text)
        {
            if takes_value(&word.text) && at + 1 < self.words.len() {
                at += 1;
                if defines(&self.words[at].text, name) {
                    self.words[at].text = text.as_str().into();
                    found = true;
                }
            }
            at += 1;
        }
        if !found {
            let line = self.line(Field::Command);
            let new = ["-o", &text].map(|text| Word { text: text.into(), line });
            self.words.splice(at..at, new);
        }
    }

    /// Takes a parameter of this service out; false where it was not set.
    pub fn remove_override(&mut self, name: &str) -> bool {
        let before = self.words.len();
        let mut at = FIELDS;
        while let Some(word) = self.words.get(at)
            && is_option(&word.text)
        {
            let has_value = takes_value(&word.text) && at + 1 < self.words.len();
            if has_value && defines(&self.words[at + 1].text, name) {
                self.words.drain(at..at + 2);
            } else {
                at += if has_value { 2 } else { 1 };
            }
        }
        self.words.len() < before
    }

    /// The fields that can only hold certain words do.
    fn check(&self) -> Result<(), EntryError> {
        let wrong = |field| EntryError::Field { field, found: self.field(field).into() };
        if !TYPES.contains(&self.field(Field::Type)) {
            return Err(wrong(Field::Type));
        }
        for field in [Field::Private, Field::Unprivileged, Field::Chroot] {
            if !["y", "n", "-"].contains(&self.field(field)) {
                return Err(wrong(field));
            }
        }
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
        let wakeup = self.field(Field::Wakeup);
        let time = wakeup.strip_suffix('?').unwrap_or(wakeup);
        if time != "-" && !digits(time) {
            return Err(wrong(Field::Wakeup));
        }
        let limit = self.field(Field::ProcessLimit);
        if limit != "-" && !digits(limit) {
            return Err(wrong(Field::ProcessLimit));
        }
        Ok(())
    }

    /// Takes joined options apart and braces off.
    fn normalize(&mut self) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut at = FIELDS;
        while at < self.words.len() {
            // Whoever runs the command sees no braces, and takes `{-v}` for an option, too.
            if self.words[at].text.starts_with('{') {
                notes.extend(extract(&mut self.words[at]));
            }
            if !is_option(&self.words[at].text) {
                at += 1;
                break;
            }
            let Word { text, line } = self.words[at].clone();
            // "-vDoname=value": what is before the option with a value, and that option.
            if let Some(o) = letters(&text).find('o').filter(|&o| o > 1) {
                let rest = Word { text: format!("-{}", &text[o..]).into(), line };
                self.words[at].text = text[..o].into();
                self.words.insert(at + 1, rest);
                at += 1;
                continue;
            }
            at += 1;
            if !takes_value(&text) {
                continue;
            }
            if text.len() > 2 {
                self.words[at - 1].text = "-o".into();
                self.words.insert(at, Word { text: text[2..].into(), line });
            }
            let Some(value) = self.words.get_mut(at) else { break };
            if value.text.starts_with('{') {
                notes.extend(extract(value));
                match cf::split_definition(&value.text) {
                    Ok((name, text)) => value.text = format!("{name}={text}").into(),
                    Err(why) => notes.push(Note {
                        line: value.line,
                        found: value.text.clone(),
                        cause: match why {
                            cf::SyntaxError::NoName => NoteCause::NoName,
                            _ => NoteCause::NoDefinition,
                        },
                    }),
                }
            }
            at += 1;
        }
        for word in &mut self.words[at..] {
            if word.text.starts_with('{') {
                notes.extend(extract(word));
            }
        }
        notes
    }
}

/// How an entry is printed.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    /// Long entries take several lines.
    pub fold: bool,
    /// What is printed for the value of a `-o` option.
    pub value: &'a dyn Fn(&str) -> String,
}

impl fmt::Debug for Style<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Style").field("fold", &self.fold).finish_non_exhaustive()
    }
}

/// Longer lines are folded (postfix `src/postconf/postconf.h`).
const LINE_BYTES: usize = 80;
const INDENT: &str = "    ";
/// Where each field starts, if the ones before it leave the room.
const COLUMNS: [usize; FIELDS] = [0, 11, 17, 25, 33, 41, 49, 57];

impl Style<'static> {
    /// As it is written.
    pub fn plain(fold: bool) -> Self {
        Self { fold, value: &|value| value.to_owned() }
    }
}

impl Entry {
    /// As `postconf -M` prints it, without the last line end.
    pub fn print(&self, style: Style<'_>) -> String {
        let mut line = Line::new(style.fold);
        for (field, goal) in Field::ALL.into_iter().zip(COLUMNS) {
            if goal > 0 {
                line.add(" ");
                while line.bytes < goal {
                    line.add(" ");
                }
            }
            line.add(self.field(field));
        }
        self.print_arguments(&mut line, style, 3);
        line.text
    }

    /// The value of a field as `postconf -F` prints it behind `before`, which is the name, or nothing.
    pub fn print_field(&self, field: Field, before: &str, style: Style<'_>) -> String {
        let mut line = Line::new(style.fold);
        line.add(before);
        let text = self.field(field);
        if line.bytes > 0 && line.bytes + text.len() > LINE_BYTES {
            line.wrap();
        }
        line.add(text);
        if field == Field::Command {
            self.print_arguments(&mut line, style, 1);
        }
        line.text
    }

    /// All on one line with single blanks: for JSON.
    pub fn print_plainly(&self, style: Style<'_>) -> String {
        let mut text = String::new();
        for field in &self.words[..Field::Command as usize] {
            push_word(&mut text, &field.text);
        }
        push_word(&mut text, &self.print_field_plainly(Field::Command, style));
        text
    }

    /// A field on one line with single blanks; with the command come its options and arguments.
    pub fn print_field_plainly(&self, field: Field, style: Style<'_>) -> String {
        let mut text = self.field(field).to_owned();
        if field != Field::Command {
            return text;
        }
        for argument in self.arguments() {
            match argument {
                Argument::Option(word) => push_word(&mut text, &word.text),
                Argument::Value(option, value) => {
                    push_word(&mut text, &option.text);
                    push_word(&mut text, &braced_value(&(style.value)(&value.text)));
                }
                Argument::First(word) | Argument::Plain(word) => {
                    push_word(&mut text, &braced(&word.text));
                }
            }
        }
        text
    }

    /// An option with a value has a line of its own where lines are folded. `room` is what Postfix adds
    /// to its length, which differs between its two printers.
    fn print_arguments(&self, line: &mut Line, style: Style<'_>, room: usize) {
        for argument in self.arguments() {
            match argument {
                Argument::Option(word) => line.item(&word.text, word.text.len()),
                Argument::Value(option, value) => {
                    line.full = true;
                    let value = (style.value)(&value.text);
                    let text = format!("{} {}", option.text, braced_value(&value));
                    line.item(&text, text.len() + room - 1);
                    line.full = true;
                }
                Argument::First(word) | Argument::Plain(word) => {
                    line.item(&braced(&word.text), word.text.len());
                }
            }
        }
    }
}

/// A printed line that is folded as it grows.
struct Line {
    text: String,
    /// Since the last line break.
    bytes: usize,
    fold: bool,
    /// Nothing more goes on this line.
    full: bool,
    /// Nothing but the indent is on this line.
    fresh: bool,
}

impl Line {
    fn new(fold: bool) -> Self {
        Self { text: String::new(), bytes: 0, fold, full: false, fresh: true }
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.bytes += text.len();
        self.fresh &= text.is_empty();
    }

    fn wrap(&mut self) {
        self.text.push('\n');
        self.text.push_str(INDENT);
        self.bytes = INDENT.len();
        self.full = false;
        self.fresh = true;
    }

    fn item(&mut self, text: &str, bytes: usize) {
        // At the start of a line a # would make a comment of it.
        let fits = !self.full && self.bytes + 1 + bytes < LINE_BYTES || text.starts_with('#');
        if !self.fresh {
            if !self.fold || fits {
                self.add(" ");
            } else {
                self.wrap();
            }
        }
        self.add(text);
    }
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// In braces where it would not be read back as one word otherwise. Postfix leaves them off an empty word
/// and off one that starts with a brace. A brace without its pair reaches to the end of the entry, and can
/// be printed in no other way.
fn braced(word: &str) -> Cow<'_, str> {
    let needed = word.is_empty() || word.starts_with('{') || word.contains(is_blank);
    let in_braces = || format!("{{{word}}}");
    if needed && closing(&in_braces()) == Some(word.len() + 1) {
        Cow::Owned(in_braces())
    } else {
        Cow::Borrowed(word)
    }
}

/// The same for the value of `-o`, which is brought into form when it is read back from braces.
fn braced_value(value: &str) -> Cow<'_, str> {
    match cf::split_definition(value) {
        Ok((name, text)) if value.len() == name.len() + 1 + text.len() => braced(value),
        Err(_) if value.is_empty() => braced(value),
        _ => Cow::Borrowed(value),
    }
}

/// `{-a b}` is none: no option has a blank in it that is not in the braces of its value.
fn is_option(word: &str) -> bool {
    word.starts_with('-') && word != "--" && !letters(word).contains(is_blank)
}

/// An option without the braces in it.
fn letters(option: &str) -> &str {
    option.split('{').next().unwrap_or(option)
}

/// `-o` is the one option that takes a value.
fn takes_value(option: &str) -> bool {
    option.as_bytes().get(1) == Some(&b'o')
}

fn defines(value: &str, name: &str) -> bool {
    value.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
}

/// All that starts a continued line parts words, too.
fn is_blank(c: char) -> bool {
    c.is_ascii() && cf::is_space(c as u8)
}

/// The words of a logical line and where each starts. White space in braces parts nothing (postfix
/// `src/util/mystrtok.c`).
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let start = at + rest.find(|c| !is_blank(c))?;
        let mut depth = 0usize;
        let end = text[start..].find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => return depth == 0 && is_blank(c),
            }
            false
        });
        at = end.map_or(text.len(), |end| start + end);
        Some((start, &text[start..at]))
    })
}

/// Takes the braces off a word that starts with one, and the white space inside them
/// (postfix `src/util/extpar.c`).
fn extract(word: &mut Word) -> Option<Note> {
    let end = closing(&word.text);
    let cause = match end {
        None => Some(NoteCause::Unclosed),
        Some(end) if end + 1 < word.text.len() => Some(NoteCause::Behind),
        Some(_) => None,
    };
    let note = cause.map(|cause| Note { line: word.line, found: word.text.clone(), cause });
    let inner = &word.text[1..end.unwrap_or(word.text.len())];
    word.text = inner.trim_matches(is_blank).into();
    note
}

/// Where the brace that a text starts with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    text.bytes().position(|b| {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
