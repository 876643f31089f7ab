//! Asking tables: `-q` and `-s`.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use table::compiled::Stored;
use table::{Answer, Format, Table, Tables, block_on};

use super::build::{failed, not_text};
use super::input::{Next, each_line};
use super::message::{Done, Message};
use super::options::{MessageKeys, Options, Program};
use super::report::{Report, json_string, plain, without_numbers};
use super::source::file_content;
use super::target::Target;

/// A source that was changed just now may be about to be built.
const STALE_AFTER: Duration = Duration::from_secs(100);

/// Tables that are asked one after the other, each opened when it is first needed.
pub(crate) struct Query<'a> {
    pub(crate) program: Program,
    pub(crate) options: &'a Options,
    pub(crate) tables: &'a Tables<'static>,
    pub(crate) report: &'a Report,
    pub(crate) targets: &'a [Target],
    opened: Vec<Option<Opened>>,
}

enum Opened {
    /// As everybody sees it.
    Table(Table),
    /// The file, whose keys are taken as they are (`-f`).
    Stored(Stored),
}

/// What ended a query early: the reader of the output, or something to say.
#[derive(Debug)]
pub(crate) enum Ended {
    Fatal(String),
    Output(io::Error),
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self::Fatal(why)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl<'a> Query<'a> {
    /// Nothing is opened yet.
    pub(crate) fn new(
        program: Program,
        options: &'a Options,
        tables: &'a Tables<'static>,
        report: &'a Report,
        targets: &'a [Target],
    ) -> Self {
        let opened = targets.iter().map(|_| None).collect();
        Self { program, options, tables, report, targets, opened }
    }

    /// Prints the value of one key; true where it was found.
    pub(crate) fn one(&mut self, key: &str, out: &mut dyn Write) -> Result<bool, Ended> {
        let Some(value) = self.find(key.as_bytes())? else { return Ok(false) };
        match self.options.json {
            true => self.print(key.as_bytes(), &value, out)?,
            false => {
                out.write_all(&value)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(true)
    }

    /// Prints each key of `input` that is found, and its value; true where one was.
    pub(crate) fn each(
        &mut self,
        input: impl BufRead,
        message: Option<(MessageKeys, usize)>,
        out: &mut dyn Write,
    ) -> Result<bool, Ended> {
        let mut found = false;
        let mut ended = None;
        let mut ask = |key: &[u8]| -> Result<(), Ended> {
            if let Some(value) = self.find(key)? {
                found = true;
                self.print(key, &value, out)?;
            }
            Ok(())
        };
        let mut message =
            message.map(|(which, header_bytes_max)| Message::new(which, header_bytes_max));
        each_line(input, |line| {
            let asked = match &mut message {
                None => ask(line).map(|()| Done(false)),
                Some(message) => message.line(line, &mut ask),
            };
            Ok(match asked {
                Ok(Done(false)) => Next::GoOn,
                Ok(Done(true)) => Next::Stop,
                Err(why) => {
                    ended = Some(why);
                    Next::Stop
                }
            })
        })?;
        if let Some(why) = ended {
            return Err(why);
        }
        if let Some(message) = message {
            message.end(&mut ask)?;
        }
        Ok(found)
    }

    /// Prints every entry of the first table.
    pub(crate) fn list(&mut self, out: &mut dyn Write) -> Result<(), Ended> {
        let Some(target) = self.targets.first() else { return Ok(()) };
        let spec = target.spec();
        if let Some(format) = self.kind(target)? {
            self.warn_if_stale(format, target);
            let stored = open_stored(format, target)?;
            for entry in stored.entries() {
                let (key, value) = entry.map_err(|why| failed(&why))?;
                self.list_one(&spec, &key, &value, out)?;
            }
            return Ok(());
        }
        let table = self.open_table(target)?;
        let entries = table
            .entries()
            .ok_or_else(|| format!("table {spec}: sequence operation is not supported"))?;
        for (key, value) in entries {
            self.list_one(&spec, key.as_bytes(), value.as_bytes(), out)?;
        }
        Ok(())
    }

    fn list_one(
        &self,
        spec: &str,
        key: &[u8],
        value: &[u8],
        out: &mut dyn Write,
    ) -> Result<(), Ended> {
        if value.is_empty() {
            self.warn_of_empty(spec, key);
        }
        if !self.options.files {
            return Ok(self.print(key, value, out)?);
        }
        match decoded(value) {
            Ok(content) => Ok(self.print(key, &content, out)?),
            Err(why) => {
                let key = String::from_utf8_lossy(key);
                self.report.warning(format_args!("table {spec}: key {key}: {why}"));
                Ok(())
            }
        }
    }

    /// Asks the tables in turn.
    fn find(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Ended> {
        for at in 0..self.targets.len() {
            if self.opened[at].is_none() {
                self.opened[at] = Some(self.open(&self.targets[at])?);
            }
            let (target, Some(opened)) = (&self.targets[at], &self.opened[at]) else { continue };
            let Some(value) = self.ask(opened, target, key)? else { continue };
            if value.is_empty() {
                self.warn_of_empty(&target.spec(), key);
            }
            if !self.options.files {
                return Ok(Some(value));
            }
            let spec = target.spec();
            return match decoded(&value) {
                Ok(content) => Ok(Some(content)),
                Err(why) => {
                    let key = String::from_utf8_lossy(key);
                    self.report.warning(format_args!("table {spec}: key {key}: {why}"));
                    Err(Ended::Fatal(format!("table {spec}: query error")))
                }
            };
        }
        Ok(None)
    }

    fn ask(&self, opened: &Opened, target: &Target, key: &[u8]) -> Result<Option<Vec<u8>>, Ended> {
        let table = match opened {
            Opened::Stored(stored) => {
                let found = stored.get(key).map_err(|why| failed(&why))?;
                return Ok(found.map(|value| value.to_vec()));
            }
            Opened::Table(table) => table,
        };
        let key = match std::str::from_utf8(key) {
            Ok(key) => key.into(),
            // Lines of messages need not be text, and patterns may match the rest of them.
            Err(_) if self.options.message.is_some() => String::from_utf8_lossy(key),
            Err(_) => {
                self.report.warning(not_text(target, key));
                return Ok(None);
            }
        };
        match block_on(table.lookup(&key).answer()) {
            Answer::Found(value) => Ok(Some(value.as_bytes().to_vec())),
            Answer::NotFound => Ok(None),
            Answer::Unavailable(trouble) => {
                let (spec, cause) = (target.spec(), without_numbers(&trouble.cause));
                Err(Ended::Fatal(format!("table {spec}: query error: {cause}")))
            }
        }
    }

    fn open(&self, target: &Target) -> Result<Opened, Ended> {
        if let Some(format) = self.kind(target)? {
            self.warn_if_stale(format, target);
            if !self.options.fold {
                return Ok(Opened::Stored(open_stored(format, target)?));
            }
        }
        self.open_table(target).map(Opened::Table)
    }

    /// The file format of the target's type, if it has one.
    fn kind(&self, target: &Target) -> Result<Option<Format>, String> {
        match target.kind(self.tables) {
            Some(kind) => Ok(kind.format),
            None => Err(format!("unsupported dictionary type: {}", target.kind)),
        }
    }

    fn open_table(&self, target: &Target) -> Result<Table, Ended> {
        let spec = target.spec();
        if self.options.verbose {
            self.report.info(format_args!("dict_open: {spec}"));
        }
        if let Some(format) = target.kind(self.tables).and_then(|kind| kind.format)
            && let Err(error) = format.path(&target.name).metadata()
        {
            return Err(cannot_open(&format.path(&target.name), &error).into());
        }
        let table = self.tables.open(&spec);
        for note in table.notes() {
            let (file, line) = (&note.position.file, note.position.line);
            self.report.warning(format_args!("{file}, line {line}: {}", note.text));
        }
        match table.trouble() {
            Some(trouble) => Err(Ended::Fatal(without_numbers(&trouble.cause))),
            None => Ok(table),
        }
    }

    fn warn_if_stale(&self, format: Format, target: &Target) {
        let path = format.path(&target.name);
        let modified = |path: &Path| path.metadata().and_then(|it| it.modified());
        let (Ok(built), Ok(source)) = (modified(&path), modified(Path::new(&target.name))) else {
            return;
        };
        let age = SystemTime::now().duration_since(source).unwrap_or_default();
        if source > built && age > STALE_AFTER {
            self.report.warning(format_args!(
                "database {} is older than source file {}",
                path.display(),
                target.name
            ));
        }
    }

    fn warn_of_empty(&self, spec: &str, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        self.report
            .warning(format_args!("table {spec}: key {key}: empty string result is not allowed"));
        self.report
            .warning(format_args!("table {spec} should return NO RESULT in case of NOT FOUND"));
    }

    fn print(&self, key: &[u8], value: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if self.options.json {
            let text = |bytes| json_string(&String::from_utf8_lossy(bytes));
            return writeln!(out, "{{{}: {}}}", text(key), text(value));
        }
        out.write_all(key)?;
        out.write_all(self.program.separator().as_bytes())?;
        out.write_all(value)?;
        out.write_all(b"\n")
    }
}

fn open_stored(format: Format, target: &Target) -> Result<Stored, String> {
    let path = format.path(&target.name);
    Stored::open(format, &path).map_err(|why| cannot_open(&path, &why.source))
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    format!("open database {}: {}", path.display(), plain(error))
}

fn decoded(value: &[u8]) -> Result<Vec<u8>, String> {
    file_content(&String::from_utf8_lossy(value))
}
