//! Edits of main.cf and master.cf, each in one step that is done or not done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use config::master::{self, Change, Edit, EditCause, EditError, Entry};
use rustix::fs::{FlockOperation, flock};

use super::master_cf::{Pattern, field_of};
use super::options::{Mode, Options};
use super::space::no_entry;
use super::{Ended, fatal, no_definition, warning};

/// `-e name=value`, `-X name`, `-# name`
pub(crate) fn main_cf(options: &Options) -> Result<(), Ended> {
    let mut edits = Vec::new();
    for request in &options.arguments {
        let edit = if options.mode.has(Mode::EDIT) {
            cf::Edit::set(request)
        } else if options.mode.has(Mode::EXCLUDE) {
            cf::Edit::remove(request)
        } else {
            cf::Edit::comment_out(request)
        };
        edits.push(edit.map_err(|why| Ended::Fatal(refused(&why, request)))?);
    }
    let path = super::directory(options).join("main.cf");
    replaced(&path, |text| {
        let edited = cf::edit(text, &edits);
        for note in &edited.notes {
            match note {
                cf::EditNote::Several(_) => {
                    warning(format_args!("{}: {note}", path.display()));
                }
                cf::EditNote::Overridden(_) => warning(note),
            }
        }
        Ok(edited.text)
    })
}

/// Postfix's words (`src/postconf/postconf_edit.c`).
fn refused(why: &cf::EditError, request: &str) -> String {
    match why {
        cf::EditError::ManyLines => "-e, -X, or -# accepts no multi-line input".to_owned(),
        cf::EditError::Comment => "-e, -X, or -# accepts no comment input".to_owned(),
        cf::EditError::Syntax(why) => format!("{}: \"{request}\"", no_definition(why)),
        cf::EditError::NoName => "-X or -# requires non-blank parameter names".to_owned(),
        cf::EditError::NotOneName => "-X or -# requires parameter names without value".to_owned(),
    }
}

const MASTER_EDITS: &str = "-Me, -Fe, -Pe, -X, or -#";

/// The same of entries, fields and parameters of master.cf.
pub(crate) fn master_cf(options: &Options) -> Result<(), Ended> {
    let edits: Vec<Edit> = options
        .arguments
        .iter()
        .map(|request| master_edit(options.mode, request))
        .collect::<Result<_, _>>()?;
    let path = super::directory(options).join("master.cf");
    replaced(&path, |text| {
        let edited = master::edit(text, &edits)
            .map_err(|why| Ended::Fatal(no_edit(&why, &path.display().to_string())))?;
        for note in &edited.notes {
            warning(format_args!("master.cf: {note}"));
        }
        for place in edited.unmatched {
            let request = &options.arguments[place];
            warning(format_args!("unmatched service_name/type: \"{request}\""));
        }
        Ok(edited.text)
    })
}

/// Postfix's words for what cannot be edited.
fn no_edit(why: &EditError, file: &str) -> String {
    let place = format!("file {file}: line {}", why.line);
    match &why.cause {
        EditCause::Name(name) => {
            format!("{place}: service name syntax \"{name}\" is unsupported with {MASTER_EDITS}")
        }
        EditCause::Type(kind) => {
            format!("{place}: service type syntax \"{kind}\" is unsupported with {MASTER_EDITS}")
        }
        EditCause::Entry(why, text) => no_entry(why, text, |cause| format!("{place}: {cause}")),
        EditCause::NotNameAndType | EditCause::Encoding => format!("file {file}: {why}"),
    }
}

fn master_edit(mode: Mode, request: &str) -> Result<Edit, Ended> {
    if request.contains('\n') {
        return fatal(format!("{MASTER_EDITS} accept no multi-line input"));
    }
    let whole = request;
    let request = request.trim();
    if request.starts_with('#') {
        return fatal(format!("{MASTER_EDITS} accept no comment input"));
    }
    let (pattern, value) = if mode.has(Mode::EDIT) {
        cf::split_definition(request)
            .map_err(|why| Ended::Fatal(format!("{}: \"{whole}\"", no_definition(&why))))?
    } else if request.contains('=') {
        return fatal("-X or -# requires names without value");
    } else {
        (request, "")
    };
    let parsed = |parts, usage: &str| {
        Pattern::parse(pattern, parts, parts).ok_or_else(|| Ended::Fatal(usage.to_owned()))
    };
    let (pattern, change) = if mode.has(Mode::ENTRIES) {
        let pattern = parsed(2, "-Me, -MX or -M# requires service_name/type")?;
        let change = if mode.has(Mode::EXCLUDE) {
            Change::Remove
        } else if mode.has(Mode::COMMENT_OUT) {
            Change::CommentOut
        } else {
            let (entry, notes) = Entry::parse(value, 0).map_err(|why| {
                Ended::Fatal(no_entry(&why, value, |cause| format!("{cause}: \"{whole}\"")))
            })?;
            notes.iter().for_each(|note| warning(format_args!("master.cf: {note}")));
            Change::Replace(entry)
        };
        (pattern, change)
    } else if mode.has(Mode::FIELDS) {
        let pattern = parsed(3, "-Fe or -FX requires service_name/type/field_name")?;
        let Some(field) = field_of(pattern.what())? else {
            return fatal("-Fe does not accept wild-card field name");
        };
        if field != master::Field::Command && !master::is_one_word(value) {
            return fatal("-Fe does not accept whitespace in non-command field");
        }
        (pattern, Change::Field(field, value.to_owned()))
    } else {
        let pattern = parsed(3, "-Pe or -PX requires service_name/type/parameter")?;
        let name = pattern.what().to_owned();
        if name == "*" {
            return fatal("-Pe does not accept wild-card parameter name");
        }
        let change = if mode.has(Mode::EDIT) {
            Change::Set(name, value.to_owned())
        } else {
            Change::Unset(name)
        };
        (pattern, change)
    };
    let (name, kind) = pattern.service();
    Ok(Edit { name, kind, change })
}

/// Puts what `edit` makes of a file in its place: written beside it, synced, renamed. The new file is
/// locked while it is made, so that of two edits at a time neither is lost. Mode and owner stay, and a
/// symbolic link goes on to point to the file.
fn replaced(path: &Path, edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, Ended>) -> Result<(), Ended> {
    let failed = |doing: &str, path: &Path, error: &io::Error| {
        Ended::Fatal(format!("{doing} {}: {}", path.display(), super::plain(error)))
    };
    let unread = |error| {
        let why = super::plain(&error);
        Ended::Fatal(format!("open {} for reading: {why}", path.display()))
    };
    let target = fs::canonicalize(path).map_err(unread)?;
    let mut name = target.clone().into_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let mut new = locked(&temporary).map_err(|error| failed("open", &temporary, &error))?;
    let made = (|| {
        let text = fs::read(&target).map_err(unread)?;
        let was = fs::metadata(&target).map_err(unread)?;
        let text = edit(&text)?;
        write(&mut new, &text, &was).map_err(|error| failed("write", &temporary, &error))?;
        fs::rename(&temporary, &target).map_err(|error| failed("rename", &temporary, &error))?;
        sync_directory(&target).map_err(|error| failed("sync the directory of", &target, &error))
    })();
    if made.is_err() {
        // What is left of it would only be in the way.
        let _ = fs::remove_file(&temporary);
    }
    made
}

/// The new file, made and locked by this process alone (postfix `src/util/edit_file.c`).
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        // Whoever had the lock before may have given the file its final name.
        let ours = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                file.set_len(0)?;
                return Ok(file);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn write(file: &mut File, text: &[u8], was: &fs::Metadata) -> io::Result<()> {
    file.write_all(text)?;
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (was.uid(), was.gid()) {
        fchown(&*file, Some(was.uid()), Some(was.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(was.mode() & 0o7777))?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
