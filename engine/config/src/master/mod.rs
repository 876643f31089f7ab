//! master.cf: which services there are, what runs each, and what it overrides.
//!
//! Text in, services and problems with their places out; nothing is opened. An entry is read twice, as
//! Postfix does it: as words ([`Entry`], what `postconf` prints and edits) and as a [`Service`] (what runs).
//! Here no service is a process of its own: its name, its `-o` parameters and its limits belong to the room
//! that its command names. So fields about processes are read and checked, and those that mean nothing are
//! said once for the whole file.

mod command;
mod edit;
mod endpoint;
mod entry;
mod listen;
mod service;
mod stock;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cf::{Lines, Position};

pub use command::Command;
pub use edit::{Change, Edit, EditCause, EditError, Edited, edit, is_one_word};
pub use endpoint::{Endpoint, Host, Ports};
pub use entry::{Entry, EntryError, FIELDS, Field, Note, NoteCause, Style};
pub use listen::{ListenError, Protocols, Resolve};
pub use service::{Kind, ProcessLimit, Service, Wakeup};

use crate::Problem;
use crate::master::entry::{Word, words};
use crate::master::service::Reading;

/// Entries of one master.cf. A host with a thousand has a program that writes them.
pub const SERVICES_MAX: usize = 10_000;

/// A master.cf as it was understood.
#[derive(Clone, Debug, Default)]
pub struct MasterCf {
    /// In the order of the file, of several with one name the last.
    pub services: Vec<Service>,
    /// What is wrong with the others, or worth knowing.
    pub problems: Vec<Problem>,
}

/// Reads master.cf; `file` is what positions call it, `ports` knows services of the network by name.
pub fn parse(file: &str, text: &[u8], ports: &Ports) -> MasterCf {
    let mut reading = Reading::default();
    for_each_entry(file, text, |position, entry| match entry {
        Ok((entry, notes)) => reading.entry(&entry, &notes, &position, ports),
        Err(none) => reading.problem(none.problem),
    });
    reading.finish(file)
}

/// The services that there are where nobody wrote a master.cf.
pub fn stock(ports: &Ports) -> MasterCf {
    parse(stock::NAME, stock::TEXT.as_bytes(), ports)
}

/// A master.cf for `ringpost init`, with its comments.
pub const STOCK_TEXT: &str = stock::TEXT;

/// An entry where it is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its first line.
    pub position: Position,
    /// What it says.
    pub entry: Entry,
    /// What of it was left out.
    pub notes: Vec<Note>,
}

/// A logical line that is no entry.
#[derive(Clone, Debug)]
pub struct NoEntry {
    /// What is wrong, for the admin.
    pub problem: Problem,
    /// The same, and the line, where that is text.
    pub why: Option<(EntryError, String)>,
}

/// The entries of a file in their order, and what is wrong with those that are none.
pub fn entries(file: &str, text: &[u8]) -> Vec<Result<Written, NoEntry>> {
    let mut all = Vec::new();
    for_each_entry(file, text, |position, entry| {
        all.push(entry.map(|(entry, notes)| Written { position, entry, notes }));
    });
    all
}

fn for_each_entry(
    file: &str,
    text: &[u8],
    mut take: impl FnMut(Position, Result<(Entry, Vec<Note>), NoEntry>),
) {
    let unread = |problem| NoEntry { problem, why: None };
    let file: Arc<str> = file.into();
    let at = |line| Position { file: file.clone(), line };
    let physical: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    for (count, line) in Lines::new(text).enumerate() {
        let (number, read) = match line {
            _ if count >= SERVICES_MAX => {
                let cause = format!("more than {SERVICES_MAX} services; the rest is not read");
                let number = line.map_or_else(|(number, _)| number, |line| line.line);
                take(at(number), Err(unread(Problem::error(at(number), "", None, cause))));
                return;
            }
            Err((number, why @ cf::LineError::NothingToContinue)) => {
                // Postfix passes over these, too (src/util/readlline.c).
                let cause = format!("this line {why}; ignored");
                (number, Err(unread(Problem::warning(at(number), "", cause))))
            }
            Err((number, why)) => {
                let cause = format!("this line {why}");
                (number, Err(unread(Problem::error(at(number), "", None, cause))))
            }
            Ok(line) => {
                let starts = starts_of_lines(&physical, line.line);
                let words = words(&line.text)
                    .map(|(at, word)| Word { text: word.into(), line: starts.line_of(at) })
                    .collect();
                let read = Entry::of_words(words).map_err(|why| NoEntry {
                    problem: wrong(at(line.line), &line.text, &why),
                    why: Some((why, line.text)),
                });
                (line.line, read)
            }
        };
        take(at(number), read);
    }
}

/// Names the service in whose entry something is wrong.
fn wrong(position: Position, text: &str, why: &EntryError) -> Problem {
    let name = words(text).take(2).map(|(_, word)| word).collect::<Vec<_>>().join("/");
    Problem::error(position, &name, None, why.to_string())
}

/// Where each physical line of a logical one starts in its text, so that an option knows its own line.
struct Starts(Vec<(usize, u32)>);

impl Starts {
    fn line_of(&self, offset: usize) -> u32 {
        let after = self.0.partition_point(|(start, _)| *start <= offset);
        self.0.get(after.wrapping_sub(1)).map_or(0, |(_, line)| *line)
    }
}

fn starts_of_lines(physical: &[&[u8]], first: u32) -> Starts {
    let mut starts = Vec::new();
    let mut bytes = 0;
    for (number, line) in (first..).zip(physical.iter().skip(first as usize - 1)) {
        let goes_on =
            line.first().is_some_and(|&b| cf::is_space(b) || b == b'#') || line.is_empty();
        if number > first && !goes_on {
            break;
        }
        if !cf::is_nothing(line) {
            starts.push((bytes, number));
            bytes += line.len();
        }
    }
    Starts(starts)
}
