//! Making tables and changing them: from a source, with `-i` from standard input, with `-d` by key.
//!
//! However it is done, a table is a file that is made anew and takes the old one's place when it is whole.
//! Until then the old one is what everybody sees, and where something goes wrong it stays.

use std::fs::{File, Metadata};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::fstat;
use table::compiled::{Builder, Built, Duplicates, FileError, Stored};
use table::{Format, Tables};

use super::input::{Next, each_line};
use super::options::{Keys, Known, Options, Program};
use super::owner::{self, AsOwner};
use super::report::{Report, plain, printable};
use super::source::{self, Manner};
use super::target::Target;

/// A source of this size takes long enough to show how far it is.
const PROGRESS_BYTES_MIN: u64 = 32 << 20;
/// Entries from one look at the progress to the next.
const PROGRESS_ENTRIES: u32 = 1 << 14;
/// What sendmail looks for to see that an alias table is complete.
const COMPLETE: &str = "@";
/// The line of what no source has.
const NO_LINE: u32 = u32::MAX;

/// What making a table needs to know.
pub(crate) struct Work<'a> {
    pub(crate) program: Program,
    pub(crate) options: &'a Options,
    pub(crate) tables: &'a Tables<'static>,
    pub(crate) report: &'a Report,
}

impl Work<'_> {
    /// Makes a table from its source.
    pub(crate) fn build(&self, target: &Target) -> Result<(), String> {
        let format = target.format(self.tables)?;
        let name = &target.name;
        loop {
            let (source, metadata) = open(name)?;
            let _owner = self.as_owner(&metadata, name)?;
            let mut builder = self.builder(format, target, Some(&metadata));
            builder.lock().map_err(|why| failed(&why))?;
            // Another command may have had the lock while somebody put a new source in this one's place.
            if !is_still(&metadata, name) {
                continue;
            }
            return self.build_from(source, &metadata, format, target, builder);
        }
    }

    fn build_from(
        &self,
        source: File,
        metadata: &Metadata,
        format: Format,
        target: &Target,
        mut builder: Builder,
    ) -> Result<(), String> {
        let name = &target.name;
        let path = format.path(name);
        if metadata.is_file() && metadata.len() == 0 && has_entries(format, target) {
            // What a full disk or an editor that was interrupted leaves.
            return Err(format!(
                "{name}, line 1: the file is empty, and {} is not: it is left as it is (a file with \
                 nothing but a comment in it makes an empty table)",
                path.display()
            ));
        }
        let progress = progress(metadata.len());
        let mut countdown = PROGRESS_ENTRIES;
        let manner = Manner { program: self.program, files: self.options.files };
        let source = BufReader::with_capacity(1 << 16, source);
        let seen = source::read(source, name, manner, self.report, |key, value, line, bytes| {
            countdown -= 1;
            if countdown == 0 {
                countdown = PROGRESS_ENTRIES;
                progress.set_position(bytes);
            }
            self.add(&mut builder, key, value, line, name)
        })?;
        progress.finish_and_clear();
        if seen.entries == 0 && seen.ignored > 0 {
            return Err(format!(
                "{name}: none of its {} lines is an entry, so no table is made of it",
                seen.ignored
            ));
        }
        self.finish(builder, name)
    }

    /// Adds what standard input has to a table, which need not be there yet.
    pub(crate) fn update(&self, target: &Target, added: &[Added]) -> Result<(), String> {
        let format = target.format_to_change(self.tables, "update")?;
        let path = format.path(&target.name);
        let existing = path.metadata().ok();
        let metadata = match &existing {
            Some(metadata) => metadata.clone(),
            None => stdin_metadata()?,
        };
        let _owner = self.as_owner(&metadata, &target.name)?;
        let mut builder = self.builder(format, target, Some(&metadata));
        builder.lock().map_err(|why| failed(&why))?;
        if path.exists() {
            // Of an alias table, its mark of being complete is written anew.
            let except = if self.program == Program::Postalias { &[COMPLETE][..] } else { &[] };
            builder.keep_existing(except).map_err(|why| self.unreadable(&why, target))?;
        }
        for Added { key, value, line } in added {
            self.add(&mut builder, key, value, *line, "stdin")?;
        }
        self.finish(builder, "stdin")
    }

    /// What standard input has for [`Work::update`].
    ///
    /// Read to its end before any table is locked: whoever types may take all day.
    pub(crate) fn added(&self) -> Result<Vec<Added>, String> {
        let mut added = Vec::new();
        let manner = Manner { program: self.program, files: self.options.files };
        source::read(io::stdin().lock(), "stdin", manner, self.report, |key, value, line, _| {
            added.push(Added { key: key.to_owned(), value: value.to_owned(), line });
            Ok(())
        })?;
        Ok(added)
    }

    /// Removes keys from a table; true where one of them was there.
    pub(crate) fn delete(&self, target: &Target, keys: &[String]) -> Result<bool, String> {
        let format = target.format_to_change(self.tables, "delete")?;
        let path = format.path(&target.name);
        let metadata = path
            .metadata()
            .map_err(|error| format!("open database {}: {}", path.display(), plain(&error)))?;
        let _owner = self.as_owner(&metadata, &target.name)?;
        let mut builder = self.builder(format, target, None);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let deleted = builder.keep_existing(&keys).map_err(|why| self.unreadable(&why, target))?;
        if deleted > 0 {
            builder.finish().map_err(|why| failed(&why))?;
        }
        Ok(deleted > 0)
    }

    /// The keys that are to be deleted.
    pub(crate) fn deleted(&self, keys: &Keys, target: &Target) -> Result<Vec<String>, String> {
        let Keys::Input = keys else {
            let Keys::One(key) = keys else { return Ok(Vec::new()) };
            return Ok(vec![key.clone()]);
        };
        let mut all = Vec::new();
        each_line(io::stdin().lock(), |line| {
            match std::str::from_utf8(line) {
                Ok(key) => all.push(key.to_owned()),
                Err(_) => self.report.warning(not_text(target, line)),
            }
            Ok(Next::GoOn)
        })?;
        Ok(all)
    }

    fn builder(&self, format: Format, target: &Target, source: Option<&Metadata>) -> Builder {
        let duplicates = match self.options.known {
            Known::Replace => Duplicates::KeepLast,
            Known::Warn | Known::Ignore => Duplicates::KeepFirst,
        };
        let source = source.filter(|_| self.options.save_permissions);
        let builder = Builder::new(format, &target.name)
            .duplicates(duplicates)
            .mode(owner::mode_from(source));
        if self.options.fold { builder } else { builder.without_folding() }
    }

    fn add(
        &self,
        builder: &mut Builder,
        key: &str,
        value: &str,
        line: u32,
        file: &str,
    ) -> Result<(), String> {
        use table::compiled::EntryError;
        match builder.add(key, value, line) {
            Ok(()) => Ok(()),
            Err(why @ EntryError::Full) => Err(format!("{file}, line {line}: {why}")),
            Err(why) => {
                self.report
                    .warning(format_args!("{file}, line {line}: {why}: skipping this entry"));
                Ok(())
            }
        }
    }

    fn finish(&self, mut builder: Builder, file: &str) -> Result<(), String> {
        if self.program == Program::Postalias {
            self.add(&mut builder, COMPLETE, COMPLETE, NO_LINE, file)?;
        }
        let path = builder.path().display().to_string();
        let built = builder.finish().map_err(|why| failed(&why))?;
        if self.options.verbose {
            let Built { entries, bytes, .. } = built;
            self.report.info(format_args!("{path}: {entries} entries, {bytes} bytes"));
        }
        if self.options.known == Known::Warn {
            for duplicate in &built.duplicates {
                self.report.warning(format_args!(
                    "{file}, line {}: duplicate entry: \"{}\"",
                    duplicate.dropped, duplicate.key
                ));
            }
            let told = built.duplicates.len() as u64;
            if built.duplicates_count > told {
                let more = built.duplicates_count - told;
                self.report.warning(format_args!("{file}: {more} more duplicate entries"));
            }
        }
        Ok(())
    }

    /// A table that cannot be changed because it cannot be read. Its source still can.
    fn unreadable(&self, why: &FileError, target: &Target) -> String {
        let (program, spec) = (self.program.name(), target.spec());
        format!("{}; \"{program} {spec}\" makes it anew", failed(why))
    }

    fn as_owner(&self, metadata: &Metadata, name: &str) -> Result<Option<AsOwner>, String> {
        if !self.options.as_owner || !rustix::process::getuid().is_root() {
            return Ok(None);
        }
        if metadata.uid() == 0 {
            owner::warn_of_foreign_directory(name, self.report)?;
        }
        AsOwner::of(metadata)
    }
}

/// An entry from standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    key: String,
    value: String,
    line: u32,
}

/// What is said of a key that is no text.
pub(crate) fn not_text(target: &Target, key: &[u8]) -> String {
    format!(
        "{}: non-UTF-8 key \"{}\": malformed UTF-8 or invalid codepoint",
        target.spec(),
        printable(key)
    )
}

/// A file that could not be read or written, in the system's words.
pub(crate) fn failed(why: &FileError) -> String {
    format!("{} {}: {}", why.doing, why.path.display(), plain(&why.source))
}

fn open(name: &str) -> Result<(File, Metadata), String> {
    let cannot = |error: io::Error| format!("open {name}: {}", plain(&error));
    let source = File::open(name).map_err(cannot)?;
    let metadata = source.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(cannot(rustix::io::Errno::ISDIR.into()));
    }
    Ok((source, metadata))
}

/// False where another file has the name now.
fn is_still(opened: &Metadata, name: &str) -> bool {
    // One that cannot be looked at with the owner's rights was opened with root's: it stays the one.
    std::fs::metadata(name)
        .map_or(true, |named| (named.dev(), named.ino()) == (opened.dev(), opened.ino()))
}

/// Whether there is something to lose. A table that cannot be read is no loss.
fn has_entries(format: Format, target: &Target) -> bool {
    Stored::open(format, &format.path(&target.name))
        .is_ok_and(|stored| stored.entries().next().is_some())
}

/// Standard input, for a table that has no source: whose pipe it is, and whose table that becomes.
fn stdin_metadata() -> Result<Metadata, String> {
    let stdin = io::stdin();
    let known = fstat(&stdin).map_err(io::Error::from);
    known
        .and_then(|_| rustix::io::dup(&stdin).map_err(io::Error::from))
        .and_then(|stdin| File::from(stdin).metadata())
        .map_err(|error| format!("fstat stdin: {}", plain(&error)))
}

/// A bar for what takes a while, on a terminal.
fn progress(bytes: u64) -> ProgressBar {
    if bytes < PROGRESS_BYTES_MIN {
        return ProgressBar::hidden();
    }
    // The template is one of ours, and right.
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
