//! The maildrop: what `sendmail` leaves for the mail system, whether it runs or not.
//!
//! `sendmail` writes a message in this form to the standard input of `postdrop`, which checks it and writes it
//! once more, in the same form, into the directory [`DIRECTORY`] of the queue; pickup reads it there. Whoever
//! may run `postdrop` may write to it what he likes, so both readers believe nothing: what is said of a
//! message has its order, its limits and its characters, and who sends it is not said at all, that is the
//! owner of the file.
//!
//! A file is [`VERSION`], and then records: one byte of kind, four of length `n`, `n` of payload. Integers are
//! little-endian.
//!
//! | kind | how often    | payload                                                                     |
//! |------|--------------|-----------------------------------------------------------------------------|
//! | `S`  | once, first  | sender; empty for the null sender                                           |
//! | `F`  | at most once | the sender's full name                                                      |
//! | `O`  | at most once | one byte: 1 8BITMIME, 2 SMTPUTF8, 4 not our own, 8 RET=FULL, 16 RET=HDRS    |
//! | `N`  | at most once | one byte, what to tell of all recipients: 1 never, 2 success, 4 failure, 8 delay |
//! | `V`  | at most once | ENVID, in xtext                                                             |
//! | `R`  | at least one | recipient                                                                   |
//! | `C`  | behind those | content, as long as there is some: lines that end in LF                     |
//! | `E`  | once, last   | eight bytes: how many of content there are                                  |
//!
//! Without its `E` a file is not finished, whatever it is called.
//!
//! Nothing here opens a file.

mod decode;
mod encode;

use std::fmt;

use mail::{Address, AddressError, Body, Notify, Ret};

pub use decode::Decoder;
pub use encode::{content, end, envelope};

/// Where submissions are, in the queue directory.
pub const DIRECTORY: &str = "maildrop";
/// Where those go that cannot be used, beside it.
pub const CORRUPT: &str = "corrupt";
/// The file has all of its message: its owner's right to run it, as Postfix has it.
pub const FINISHED: u32 = 0o100;
/// What everyone may do with it. Pickup reads it as one who is neither its owner nor in its group.
pub const MODE: u32 = 0o644;
/// Files with names like this are still being written.
pub const UNFINISHED_PREFIX: char = '.';

/// What a file begins with.
pub const VERSION: &[u8; 8] = b"submit1\n";

/// All records before the content, in bytes: some 30,000 recipients.
pub const ENVELOPE_BYTES_MAX: usize = 1 << 20;
/// A full name, in bytes.
pub const FULL_NAME_BYTES_MAX: usize = 1000;
/// A record of content, in bytes.
pub const CONTENT_BYTES_MAX: usize = 64 << 10;

/// Whether a finished file can have this name.
pub fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// All that is said of a message beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// As it was given, perhaps without a domain; `None` is the null sender.
    pub sender: Option<Address>,
    /// For a missing `From:`.
    pub full_name: Option<Box<str>>,
    /// In the order they were given, as they were given.
    pub recipients: Vec<Address>,
    /// What to tell of each of them (RFC 3461).
    pub notify: Option<Notify>,
    /// How much of it a notice returns.
    pub ret: Option<Ret>,
    /// Its name in a notice, in xtext.
    pub envid: Option<Box<str>>,
    /// What its lines may hold.
    pub body: Body,
    /// It is to be handled as SMTPUTF8 asks for (RFC 6531).
    pub smtputf8: bool,
    /// It came from elsewhere and only passes by: its headers are not completed as those of our own mail.
    pub is_remote: bool,
}

/// Why a file is not one of these, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins otherwise.
    Version,
    /// There is no such record.
    Kind(u8),
    /// The record is not expected there.
    Order(char),
    /// The record is too long, too short, or all of them together are too long.
    Length(char),
    /// This is no address.
    Address(AddressError),
    /// A name or a word with characters that it must not have.
    Text(char),
    /// A combination of flags that means nothing.
    Flags(char),
    /// The content has another length than its end says.
    Content,
    /// Something follows the end.
    Behind,
    /// The end is missing.
    Unfinished,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("not a submission of this version"),
            Self::Kind(kind) => write!(f, "unexpected record type: {kind}"),
            Self::Order(kind) => write!(f, "unexpected record: {kind}"),
            Self::Length(kind) => write!(f, "record {kind} too long or too short"),
            Self::Address(why) => write!(f, "bad address: {why}"),
            Self::Text(kind) => {
                write!(f, "null, line break or another bad character in record {kind}")
            }
            Self::Flags(kind) => write!(f, "bad value in record {kind}"),
            Self::Content => f.write_str("the content is not as long as it is said to be"),
            Self::Behind => f.write_str("data behind the end"),
            Self::Unfinished => f.write_str("the end is missing"),
        }
    }
}

impl std::error::Error for Malformed {}

const SENDER: u8 = b'S';
const FULL_NAME: u8 = b'F';
const OPTIONS: u8 = b'O';
const NOTIFY: u8 = b'N';
const ENVID: u8 = b'V';
const RECIPIENT: u8 = b'R';
const CONTENT: u8 = b'C';
const END: u8 = b'E';

/// Kind and length.
const RECORD_HEAD_BYTES: usize = 5;

const EIGHT_BIT: u8 = 1;
const SMTPUTF8: u8 = 2;
const REMOTE: u8 = 4;
const RET_FULL: u8 = 8;
const RET_HEADERS: u8 = 16;

const NEVER: u8 = 1;
const SUCCESS: u8 = 2;
const FAILURE: u8 = 4;
const DELAY: u8 = 8;

#[cfg(test)]
mod tests;
