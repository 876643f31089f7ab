//! The types of parameters: how each is read from its expanded text.

pub(crate) mod address;
pub(crate) mod facility;
pub(crate) mod file_mode;
pub(crate) mod origin;

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use cf::Unit;
use table::{MapList, MatchList};

use crate::reader::Reader;
use crate::row::{Default, Row};
use crate::syntax::{NameList, TableList};

/// A type that a parameter can have.
pub trait Typed: Sized {
    /// What the manual calls it.
    const KIND: &'static str;
    /// Values are kept as they are written, `$` and all.
    const RAW: bool = false;

    /// Whether an expanded text is such a value, without opening anything; the error is what is allowed.
    fn check(text: &str, row: &Row) -> Result<(), String>;

    /// Reads the value of a row; reports to the reader what is wrong with it.
    fn read(reader: &mut Reader<'_>, row: &Row) -> Option<Self>;
}

/// A type whose text alone decides.
pub trait FromText: Sized {
    /// What the manual calls it.
    const KIND: &'static str;
    /// Values are kept as they are written, `$` and all.
    const RAW: bool = false;

    /// The error is what is allowed.
    fn from_text(text: &str, row: &Row) -> Result<Self, String>;
}

impl<T: FromText> Typed for T {
    const KIND: &'static str = T::KIND;
    const RAW: bool = T::RAW;

    fn check(text: &str, row: &Row) -> Result<(), String> {
        T::from_text(text, row).map(drop)
    }

    fn read(reader: &mut Reader<'_>, row: &Row) -> Option<Self> {
        reader.parse(row, false, |text| T::from_text(text, row))
    }
}

/// A value that is another one while the server is overloaded: `${stress?{10}:{300}}s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stress<T> {
    calm: T,
    stressed: T,
}

impl<T: Copy> Stress<T> {
    /// The value with `$stress` set or not.
    pub const fn under(&self, stress: bool) -> T {
        if stress { self.stressed } else { self.calm }
    }
}

impl<T: FromText> Typed for Stress<T> {
    const KIND: &'static str = T::KIND;

    fn check(text: &str, row: &Row) -> Result<(), String> {
        T::check(text, row)
    }

    fn read(reader: &mut Reader<'_>, row: &Row) -> Option<Self> {
        let calm = reader.parse(row, false, |text| T::from_text(text, row))?;
        let stressed = reader.parse(row, true, |text| T::from_text(text, row))?;
        Some(Self { calm, stressed })
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl FromText for $type {
            const KIND: &'static str = "number";

            fn from_text(text: &str, row: &Row) -> Result<Self, String> {
                let range = row.bounds.up_to(<$type>::MAX as u64);
                Ok(cf::number(text, range)? as $type)
            }
        }
    )+};
}

numbers!(u8, u16, u32, u64, usize);

impl FromText for i32 {
    const KIND: &'static str = "number";

    /// For the few numbers that may be negative. They have no bounds.
    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        text.parse().map_err(|_| format!("a whole number, {} to {}", Self::MIN, Self::MAX))
    }
}

impl FromText for bool {
    const KIND: &'static str = "yes or no";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        cf::boolean(text)
    }
}

impl FromText for Duration {
    const KIND: &'static str = "time";

    /// Without a letter, a time counts the unit that its default ends in
    /// (postfix `src/global/mail_conf_time.c`).
    fn from_text(text: &str, row: &Row) -> Result<Self, String> {
        let unit = match row.default {
            Default::Text(text) => unit_of(text),
            Default::Machine(_) => Unit::Second,
        };
        // Postfix keeps times in a C int; no one waits longer than its 68 years.
        let range = row.bounds.up_to(i32::MAX as u64);
        cf::seconds(text, unit, range).map(Self::from_secs)
    }
}

/// The letter at the end of a time; the last letter of `$name` is none.
fn unit_of(default: &str) -> Unit {
    let mut letters = default.chars().rev();
    let unit = letters.next().and_then(Unit::of);
    let counted = letters.next().is_some_and(|c| c.is_ascii_digit() || c == '}');
    unit.filter(|_| counted).unwrap_or_default()
}

impl FromText for Box<str> {
    const KIND: &'static str = "text";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl FromText for PathBuf {
    const KIND: &'static str = "path";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// Items parted by commas or white space.
#[derive(Clone, Debug, std::default::Default, PartialEq, Eq)]
pub struct List(Box<[Box<str>]>);

impl List {
    /// True where this word, in any case, is all there is.
    pub fn is(&self, word: &str) -> bool {
        matches!(&*self.0, [only] if only.eq_ignore_ascii_case(word))
    }

    /// True where an item is this word, in any case.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|item| item.eq_ignore_ascii_case(word))
    }
}

impl Deref for List {
    type Target = [Box<str>];

    fn deref(&self) -> &[Box<str>] {
        &self.0
    }
}

impl FromText for List {
    const KIND: &'static str = "list";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        Ok(Self(cf::items(text).map(Into::into).collect()))
    }
}

impl Typed for MapList {
    const KIND: &'static str = <TableList as Typed>::KIND;

    fn check(text: &str, row: &Row) -> Result<(), String> {
        TableList::check(text, row)
    }

    /// A table that is away is a warning: it may come back, and until then it answers Unavailable.
    fn read(reader: &mut Reader<'_>, row: &Row) -> Option<Self> {
        let text = reader.text(row, false)?;
        let maps = Self::open(&text, reader.tables());
        if reader.is_set(row) {
            maps.troubles().for_each(|trouble| reader.warn(row, trouble.to_string()));
            maps.notes().for_each(|note| reader.warn(row, note.to_string()));
        }
        Some(maps)
    }
}

impl Typed for MatchList {
    const KIND: &'static str = <NameList as Typed>::KIND;

    fn check(text: &str, row: &Row) -> Result<(), String> {
        NameList::check(text, row)
    }

    fn read(reader: &mut Reader<'_>, row: &Row) -> Option<Self> {
        let text = reader.text(row, false)?;
        let list = Self::open(row.name, &text, reader.tables());
        if reader.is_set(row) {
            list.troubles().iter().for_each(|trouble| reader.warn(row, trouble.to_string()));
            list.notes().iter().for_each(|note| reader.warn(row, note.to_string()));
            list.remarks().into_iter().for_each(|remark| reader.warn(row, remark.into()));
        }
        Some(list)
    }
}

/// A release of Postfix: `3.6`. Missing numbers count 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub [u32; 3]);

impl FromText for Level {
    const KIND: &'static str = "release";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let allowed = || "a release such as 3.6".to_owned();
        let mut level = [0; 3];
        for (place, part) in text.split('.').enumerate() {
            let range = cf::Range { min: 0, max: u32::MAX.into() };
            let number = cf::number(part, range).map_err(|_| allowed())?;
            *level.get_mut(place).ok_or_else(allowed)? = number as u32;
        }
        Ok(Self(level))
    }
}

/// A reply code of SMTP that refuses: 4xx or 5xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyCode(pub u16);

impl FromText for ReplyCode {
    const KIND: &'static str = "reply code";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let range = cf::Range { min: 400, max: 599 };
        let code = cf::number(text, range).map_err(|_| "a reply code, 400 to 599")?;
        Ok(Self(code as u16))
    }
}

/// Declares an enum whose values are words of main.cf; the first spelling of a variant is the one
/// that errors list.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$doc:meta])+ $variant:ident = $word:literal $(| $alias:literal)*, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$doc])+ $variant, )+ }

        impl FromText for $name {
            const KIND: &'static str = concat!("one of", $(" ", $word),+);

            fn from_text(text: &str, _: &Row) -> Result<Self, String> {
                $(
                    if [$word $(, $alias)*].iter().any(|word| word.eq_ignore_ascii_case(text)) {
                        return Ok(Self::$variant);
                    }
                )+
                Err([$($word),+].join(" or "))
            }
        }
    };
}

choice! {
    /// What is done about a line of content that ends in LF without CR.
    BareNewline {
        /// The line ends there, but the message does so only at CR LF . CR LF.
        Normalize = "normalize" | "yes",
        /// The client is refused and disconnected.
        Reject = "reject",
        /// As ever, with a line in the log.
        Note = "note",
        /// As ever, without a word.
        No = "no",
    }
}

choice! {
    /// How much of the neighbourhood `mynetworks` has by default.
    NetworksStyle {
        /// This machine.
        Host = "host",
        /// The networks it is connected to.
        Subnet = "subnet",
        /// The class A, B or C networks they are in.
        Class = "class",
    }
}

choice! {
    /// How mailboxes are made durable.
    MailboxSync {
        /// Many files with two syncs of the file system.
        Batch = "batch",
        /// Each file and its directory.
        File = "file",
    }
}

choice! {
    /// What is done about a message whose header ends without an empty line.
    EndOfHeader {
        /// The empty line is added.
        FixQuietly = "fix_quietly",
        /// And a header that says so.
        AddHeader = "add_header",
        /// It is refused.
        Reject = "reject",
    }
}

choice! {
    /// How a From header is written that is added.
    FromFormat {
        /// `name <address>`
        Standard = "standard",
        /// `address (name)`
        Obsolete = "obsolete",
    }
}

choice! {
    /// How addresses are written to the log.
    LogAddresses {
        /// With quotes where they need them.
        External = "external",
        /// Without.
        Internal = "internal",
    }
}

/// What is left out for mail that is received.
#[derive(Clone, Copy, Debug, std::default::Default, PartialEq, Eq)]
pub struct ReceiveOverrides {
    /// Asking whether a recipient exists.
    pub no_unknown_recipient_checks: bool,
    /// Canonical, virtual alias, masquerading, automatic bcc.
    pub no_address_mappings: bool,
    /// Checks of headers and bodies.
    pub no_header_body_checks: bool,
    /// Milters.
    pub no_milters: bool,
}

impl FromText for ReceiveOverrides {
    const KIND: &'static str = "list of no_unknown_recipient_checks, no_address_mappings, \
                                no_header_body_checks, no_milters";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let mut left_out = Self::default();
        for item in cf::items(text) {
            match item {
                "no_unknown_recipient_checks" => left_out.no_unknown_recipient_checks = true,
                "no_address_mappings" => left_out.no_address_mappings = true,
                "no_header_body_checks" => left_out.no_header_body_checks = true,
                "no_milters" => left_out.no_milters = true,
                _ => {
                    let allowed = <Self as FromText>::KIND.replacen("list of ", "", 1);
                    return Err(not_among(&allowed, item, text));
                }
            }
        }
        Ok(left_out)
    }
}

/// How an mbox is locked, all of these together.
#[derive(Clone, Copy, Debug, std::default::Default, PartialEq, Eq)]
pub struct Locks {
    /// `fcntl`
    pub fcntl: bool,
    /// `flock`
    pub flock: bool,
    /// `dotlock`: a file with `.lock` after the mailbox's name.
    pub dotlock: bool,
}

impl FromText for Locks {
    const KIND: &'static str = "list of fcntl flock dotlock";

    fn from_text(text: &str, _: &Row) -> Result<Self, String> {
        let mut locks = Self::default();
        for item in cf::items(text) {
            match item {
                "fcntl" => locks.fcntl = true,
                "flock" => locks.flock = true,
                "dotlock" => locks.dotlock = true,
                _ => {
                    return Err(not_among("fcntl, flock and dotlock, or some of them", item, text));
                }
            }
        }
        Ok(locks)
    }
}

/// What a list may hold, and which item of this one it may not.
pub(crate) fn not_among(allowed: &str, item: &str, text: &str) -> String {
    if item == text { allowed.to_owned() } else { format!("{allowed}, not \"{item}\"") }
}
