//! Delivery to Maildirs, a batch at a time.
//!
//! A file's way into `new/` has an order that a power cut at any point must not spoil: its content
//! is on the disk before it has a name there, and its name is on the disk before anybody is told.
//! For a batch both are one syncfs for each file system: all files are written, then synced
//! together; all are given their names, then synced together. A few files alone are cheaper with an
//! fsync each.
//!
//! In between, nothing of a delivery can be seen, and what a failed sync touched is taken back: the
//! next attempt must not find a file that the disk may not have.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::{self, LastStep, Missing, PRIVATE_DIR, Refused};
use crate::creation::{Create, Creation, Hidden, Published, Renamed, Unnamed};
use crate::file_system::{FileSystem, FileSystems};
use crate::letter::{put_headers, write_all};
use crate::name::{file_name, prefix};
use crate::{Acting, Host, Identity, Letter, MailboxError, Owner};

/// Files that are synced together. More gain nothing, and two descriptors are open for each.
const BATCH_FILES_MAX: usize = 256;

/// So many files, at most, are synced one by one: measured, from the next one on a sync of the
/// whole file system costs less time.
const SYNC_EACH_FILES_MAX: usize = 3;

/// How deliveries become durable (`mailbox_sync`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// A whole batch at once with syncfs. It writes what others have dirtied on the file system,
    /// too.
    #[default]
    Batch,
    /// Each file, and its directory, with fsync.
    File,
}

/// What all Maildirs have in common.
#[derive(Clone, Debug)]
pub struct MaildirSettings {
    /// All mailboxes lie beneath it. It must be there.
    pub base: PathBuf,
    /// For the names of files.
    pub host: Host,
    /// The largest file, in bytes; 0 for any size (`virtual_mailbox_limit`).
    pub limit_bytes: u64,
    /// How files become durable.
    pub sync: SyncMode,
    /// How files are created.
    pub creation: Creation,
}

/// The Maildirs beneath one base.
pub struct Maildirs {
    settings: MaildirSettings,
    unnamed: Unnamed,
    renamed: Renamed,
    file_systems: FileSystems,
    headers: Vec<u8>,
}

impl Maildirs {
    /// Opens nothing of the base yet.
    pub fn new(settings: MaildirSettings) -> Self {
        Self {
            settings,
            unnamed: Unnamed::new(),
            renamed: Renamed,
            file_systems: FileSystems::default(),
            headers: Vec::new(),
        }
    }

    /// Begins a batch. The base is opened anew for each, so that one that was moved or mounted
    /// counts.
    pub fn batch<'a>(&'a mut self, identity: &'a Identity) -> Batch<'a> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let base = rustix::fs::open(&self.settings.base, flags, Mode::empty()).and_then(|dir| {
            let file_system = self.file_systems.of(dir.as_fd())?;
            Ok(Base { dir, file_system })
        });
        Batch { maildirs: self, base, acting: identity.act(), drafts: Vec::new(), done: Vec::new() }
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.settings.base.join(path)
    }

    fn create(&self, way: Way) -> &dyn Create {
        match way {
            Way::Unnamed => &self.unnamed,
            Way::Renamed => &self.renamed,
        }
    }
}

struct Base {
    dir: OwnedFd,
    file_system: Rc<FileSystem>,
}

/// Deliveries that become durable together.
///
/// What was added is delivered by [`Batch::finish`]; a batch that is dropped delivers nothing.
pub struct Batch<'a> {
    maildirs: &'a mut Maildirs,
    base: Result<Base, Errno>,
    acting: Acting<'a>,
    drafts: Vec<Draft>,
    done: Vec<(usize, Result<(), MailboxError>)>,
}

/// A delivery that is not durable yet.
struct Draft {
    key: usize,
    owner: Option<Owner>,
    path: PathBuf,
    new: OwnedFd,
    file_system: Rc<FileSystem>,
    name: String,
    stage: Stage,
    /// More directories than `new/` changed: the mailbox was made, or a reader has moved the file.
    many_dirs: bool,
}

enum Stage {
    /// Written.
    Hidden(Hidden, Way),
    /// It has its name.
    Published(Published),
    Failed(MailboxError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Unnamed,
    Renamed,
}

/// How the drafts on one file system are synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Whole,
    Each,
}

impl Batch<'_> {
    /// Writes a letter for the Maildir at `mailbox`, a path beneath the base, with its owner's
    /// rights (`None`: the process's own). `key` comes back with the result.
    ///
    /// Letters for one owner should follow one another: each change of credentials costs system
    /// calls.
    pub fn add(&mut self, key: usize, mailbox: &str, owner: Option<Owner>, letter: Letter<'_>) {
        let mut draft = self.write(key, mailbox, owner, letter);
        if let Err(MailboxError::Io { source: Errno::MFILE | Errno::NFILE, .. }) = draft
            && !self.drafts.is_empty()
        {
            // Out of descriptors, and we hold many: finish what is begun, then there is room.
            self.commit();
            draft = self.write(key, mailbox, owner, letter);
        }
        match draft {
            Ok(draft) => self.drafts.push(draft),
            Err(error) => self.done.push((key, Err(error))),
        }
        if self.drafts.len() == BATCH_FILES_MAX {
            self.commit();
        }
    }

    /// Makes it all durable. There is one result for each letter, in no particular order.
    pub fn finish(mut self) -> Vec<(usize, Result<(), MailboxError>)> {
        self.commit();
        std::mem::take(&mut self.done)
    }

    fn write(
        &mut self,
        key: usize,
        mailbox: &str,
        owner: Option<Owner>,
        letter: Letter<'_>,
    ) -> Result<Draft, MailboxError> {
        let path = relative(mailbox)?;
        let end = letter.text.missing_newline().map_err(|error| {
            MailboxError::io("read message for", self.maildirs.full(&path), error)
        })?;
        let mut headers = std::mem::take(&mut self.maildirs.headers);
        headers.clear();
        put_headers(&mut headers, letter.job);
        let size_bytes = headers.len() as u64 + letter.text.len() + end.len() as u64;
        let limit_bytes = self.maildirs.settings.limit_bytes;
        if limit_bytes > 0 && size_bytes > limit_bytes {
            let path = self.maildirs.full(&path);
            return Err(MailboxError::OverLimit { path, size_bytes, limit_bytes });
        }
        self.acting.become_owner(owner)?;

        let (new, file_system, created) = self.open_new(&path)?;
        let name = file_name(letter.job, &self.maildirs.settings.host, size_bytes);
        let delivered_before = letter.job.seen_before
            && is_delivered(new.as_fd(), &prefix(letter.job)).map_err(|error| {
                MailboxError::io("look for earlier delivery in", self.maildirs.full(&path), error)
            })?;
        let stage = if delivered_before {
            Stage::Published(Published::Before)
        } else {
            let failed = |error| {
                let file = self.maildirs.full(&path).join("new").join(&name);
                MailboxError::io("create maildir file", file, error)
            };
            let (hidden, way) = self.hidden(new.as_fd(), &name).map_err(failed)?;
            if let Err(error) = write_all(&hidden.file, &headers, letter.text, end) {
                self.maildirs.create(way).discard(&hidden, &name);
                let path = self.maildirs.full(&path);
                return Err(MailboxError::io("write maildir file in", path, error));
            }
            Stage::Hidden(hidden, way)
        };
        self.maildirs.headers = headers;
        let many_dirs = created || delivered_before;
        Ok(Draft { key, owner, path, new, file_system, name, stage, many_dirs })
    }

    fn hidden(&self, new: BorrowedFd<'_>, name: &str) -> Result<(Hidden, Way), Errno> {
        let create = |way| Ok((self.maildirs.create(way).hidden(new, name)?, way));
        match self.maildirs.settings.creation {
            Creation::Renamed => create(Way::Renamed),
            Creation::Unnamed => create(Way::Unnamed),
            Creation::Auto => match create(Way::Unnamed) {
                // EISDIR is what a kernel says that does not know the flag (open(2), O_TMPFILE).
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => create(Way::Renamed),
                created => created,
            },
        }
    }

    /// Opens the mailbox's `new/`; makes the mailbox where it is missing, and says so.
    fn open_new(&mut self, path: &Path) -> Result<(OwnedFd, Rc<FileSystem>, bool), MailboxError> {
        let full = || self.maildirs.full(path);
        let base = match &self.base {
            Ok(base) => base,
            Err(error) => {
                let base = &*self.maildirs.settings.base;
                return Err(MailboxError::io("open mailbox base", base, *error));
            }
        };
        let new = path.join("new");
        let mut created = false;
        let mut found = beneath::open_dir(base.dir.as_fd(), &new);
        if matches!(found, Err(Refused::Errno(Errno::NOENT))) {
            create_maildir(base.dir.as_fd(), path)
                .map_err(|refused| denied("create maildir", full(), refused))?;
            created = true;
            found = beneath::open_dir(base.dir.as_fd(), &new);
        }
        let found = found.map_err(|refused| denied("open maildir", full(), refused))?;
        let file_system = if found.same_file_system {
            Rc::clone(&base.file_system)
        } else {
            let known = self.maildirs.file_systems.of(found.dir.as_fd());
            known.map_err(|error| {
                MailboxError::io("open file system of", self.maildirs.full(path), error)
            })?
        };
        Ok((found.dir, file_system, created))
    }

    fn commit(&mut self) {
        let mut drafts = std::mem::take(&mut self.drafts);
        let plan = self.plan(&drafts);
        for (file_system, scope) in &plan {
            self.sync_content(&mut drafts, file_system, *scope);
        }
        for draft in &mut drafts {
            self.publish(draft);
        }
        for (file_system, scope) in &plan {
            self.sync_names(&mut drafts, file_system, *scope);
        }
        self.done.extend(drafts.into_iter().map(|draft| match draft.stage {
            Stage::Published(_) => (draft.key, Ok(())),
            Stage::Failed(error) => (draft.key, Err(error)),
            Stage::Hidden(..) => unreachable!("what is written was published or has failed"),
        }));
    }

    /// The file systems of the drafts, and how each is synced.
    fn plan(&self, drafts: &[Draft]) -> Vec<(Rc<FileSystem>, Scope)> {
        let mut plan: Vec<(Rc<FileSystem>, Scope)> = Vec::new();
        for draft in drafts {
            if plan.iter().any(|(known, _)| Rc::ptr_eq(known, &draft.file_system)) {
                continue;
            }
            let mut files = 0;
            let mut many_dirs = false;
            for other in drafts.iter().filter(|other| other.is_on(&draft.file_system)) {
                files += 1;
                many_dirs |= other.many_dirs;
            }
            let few = files <= SYNC_EACH_FILES_MAX;
            // Other people's dirty data is left alone where that was asked for.
            let by_file = self.maildirs.settings.sync == SyncMode::File;
            let scope = if by_file || (few && !many_dirs) { Scope::Each } else { Scope::Whole };
            plan.push((Rc::clone(&draft.file_system), scope));
        }
        plan
    }

    fn sync_content(&mut self, drafts: &mut [Draft], file_system: &Rc<FileSystem>, scope: Scope) {
        let whole = if scope == Scope::Whole { file_system.sync() } else { Ok(()) };
        for draft in drafts.iter_mut().filter(|draft| draft.is_on(file_system)) {
            let Stage::Hidden(hidden, way) = &draft.stage else { continue };
            let synced = match scope {
                Scope::Whole => whole,
                Scope::Each => rustix::fs::fsync(&hidden.file),
            };
            if let Err(source) = synced {
                if self.acting.become_owner(draft.owner).is_ok() {
                    self.maildirs.create(*way).discard(hidden, &draft.name);
                }
                let path = self.maildirs.full(&draft.path);
                draft.stage = Stage::Failed(MailboxError::Sync { path, source });
            }
        }
    }

    fn publish(&mut self, draft: &mut Draft) {
        let Stage::Hidden(hidden, way) = &draft.stage else { return };
        let published = self.acting.become_owner(draft.owner).and_then(|()| {
            let create = self.maildirs.create(*way);
            create.publish(hidden, draft.new.as_fd(), &draft.name).map_err(|error| {
                let file = self.maildirs.full(&draft.path).join("new").join(&draft.name);
                MailboxError::io("create maildir file", file, error)
            })
        });
        // The descriptor of the file is closed here: the sync that follows needs the directory's
        // only.
        draft.stage = published.map_or_else(Stage::Failed, Stage::Published);
    }

    fn sync_names(&mut self, drafts: &mut [Draft], file_system: &Rc<FileSystem>, scope: Scope) {
        let whole = if scope == Scope::Whole { file_system.sync() } else { Ok(()) };
        for draft in drafts.iter_mut().filter(|draft| draft.is_on(file_system)) {
            let Stage::Published(published) = draft.stage else { continue };
            let synced = match scope {
                Scope::Whole => whole,
                Scope::Each => self
                    .acting
                    .become_owner(draft.owner)
                    .map_err(|_| Errno::PERM)
                    .and_then(|()| draft.sync_dirs()),
            };
            let Err(source) = synced else { continue };
            // A name that the disk may not have must not stand: the next attempt would take it for
            // a delivery.
            if published == Published::Now && self.acting.become_owner(draft.owner).is_ok() {
                let _ = rustix::fs::unlinkat(&draft.new, &*draft.name, AtFlags::empty());
            }
            let path = self.maildirs.full(&draft.path);
            draft.stage = Stage::Failed(MailboxError::Sync { path, source });
        }
    }
}

impl Draft {
    fn is_on(&self, file_system: &Rc<FileSystem>) -> bool {
        Rc::ptr_eq(&self.file_system, file_system)
    }

    /// Syncs every directory that this delivery, or the one before that it found, may have changed.
    fn sync_dirs(&self) -> Result<(), Errno> {
        let new = self.new.as_fd();
        sync_dir(new, Path::new("."))?;
        if !self.many_dirs {
            return Ok(());
        }
        // `new/` was made in the mailbox, the mailbox in the directory above, up to the base.
        let made_in = std::iter::successors(Some(PathBuf::from("..")), |dir| Some(dir.join("..")));
        let synced = sync_dir(new, Path::new("../cur")).and_then(|()| {
            made_in.take(self.path.components().count() + 1).try_for_each(|dir| sync_dir(new, &dir))
        });
        // The owner may pass through a directory that he may not open.
        synced.or_else(|_| self.file_system.sync())
    }
}

/// The path of a mailbox as it may be opened beneath a base.
pub(crate) fn relative(mailbox: &str) -> Result<PathBuf, MailboxError> {
    let mut path = PathBuf::new();
    for step in Path::new(mailbox.trim_start_matches('/')).components() {
        match step {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Err(MailboxError::BadPath(mailbox.to_owned())),
        }
    }
    // The base itself is nobody's mailbox. A NUL could not reach a file name, but would reach the
    // log.
    if path.as_os_str().is_empty() || mailbox.contains('\0') {
        return Err(MailboxError::BadPath(mailbox.replace('\0', "?")));
    }
    Ok(path)
}

pub(crate) fn denied(doing: &'static str, path: PathBuf, refused: Refused) -> MailboxError {
    match refused {
        Refused::Symlink => MailboxError::Symlink(path),
        Refused::Errno(error) => MailboxError::io(doing, path, error),
    }
}

/// `new/` last: where it is, the others are.
fn create_maildir(base: BorrowedFd<'_>, path: &Path) -> Result<(), Refused> {
    let maildir = beneath::walk(base, path, Missing::Create, LastStep::Any)?;
    for name in ["tmp", "cur", "new"] {
        match rustix::fs::mkdirat(&maildir, name, PRIVATE_DIR) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// True where a file of this delivery is in `new/`, or in `cur/` under any flags. In this order: a
/// reader moves files from the first to the second.
fn is_delivered(new: BorrowedFd<'_>, prefix: &str) -> Result<bool, Errno> {
    for place in [".", "../cur"] {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(new, place, flags, Mode::empty()) {
            Ok(dir) => dir,
            // A link, or nothing: not a place where a reader of this Maildir puts anything.
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
            Err(error) => return Err(error),
        };
        for entry in Dir::new(dir)? {
            if entry?.file_name().to_bytes().starts_with(prefix.as_bytes()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn sync_dir(new: BorrowedFd<'_>, dir: &Path) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fsync(rustix::fs::openat(new, dir, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use mail::{Address, Content, Job, QueueId, Recipient, Status, Time};

    use super::*;
    use crate::Text;

    const FILES: usize = 6;

    fn job(number: usize) -> Job {
        Job {
            tag: 0,
            id: QueueId::from_u64(0x1234_5678_0000),
            sender: None,
            recipient: Recipient::new(Address::parse(b"user@example.com").unwrap()),
            number: u32::try_from(number).unwrap(),
            arrival: Time(1_800_000_000_000_042),
            content: Content::File { len: 0 },
            seen_before: false,
            has_delivered_to: false,
            service: None,
        }
    }

    fn add_all(batch: &mut Batch<'_>) {
        for number in 0..FILES {
            let job = job(number);
            let text = Text::Bytes(b"Subject: x\n\nx\n");
            batch.add(number, "u/", None, Letter { job: &job, text });
        }
    }

    fn files(base: &Path, dir: &str) -> usize {
        std::fs::read_dir(base.join("u").join(dir)).unwrap().count()
    }

    fn each_way(test: impl Fn(&Path, &mut Maildirs, &Identity)) {
        for creation in [Creation::Unnamed, Creation::Renamed] {
            let dir = tempfile::tempdir().unwrap();
            let mut maildirs = Maildirs::new(MaildirSettings {
                base: dir.path().to_owned(),
                host: Host::new("mx"),
                limit_bytes: 0,
                sync: SyncMode::Batch,
                creation,
            });
            test(dir.path(), &mut maildirs, &Identity::of_this_thread().unwrap());
        }
    }

    fn assert_deferred(batch: &Batch<'_>, count: usize) {
        let failed: Vec<_> =
            batch.done.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
        assert_eq!(failed.len(), count);
        for error in failed {
            assert!(matches!(error, MailboxError::Sync { .. }), "{error}");
            assert_eq!(error.status(), Status(4, 3, 0));
        }
    }

    #[test]
    fn what_was_not_synced_gets_no_name_and_is_delivered_by_the_next_attempt() {
        each_way(|base, maildirs, identity| {
            let mut batch = maildirs.batch(identity);
            add_all(&mut batch);
            let failing = FileSystem::failing();
            for draft in &mut batch.drafts[..FILES - 1] {
                draft.file_system = Rc::clone(&failing);
            }
            batch.commit();
            assert_deferred(&batch, FILES - 1);
            drop(batch);
            assert_eq!((files(base, "new"), files(base, "tmp")), (1, 0), "the other one is there");

            let mut batch = maildirs.batch(identity);
            add_all(&mut batch);
            assert!(batch.finish().iter().all(|(_, result)| result.is_ok()));
            assert_eq!((files(base, "new"), files(base, "tmp")), (FILES, 0));
        });
    }

    #[test]
    fn a_name_that_was_not_synced_is_taken_back() {
        each_way(|base, maildirs, identity| {
            let mut batch = maildirs.batch(identity);
            add_all(&mut batch);
            let mut drafts = std::mem::take(&mut batch.drafts);
            let good = Rc::clone(&drafts[0].file_system);
            batch.sync_content(&mut drafts, &good, Scope::Whole);
            drafts.iter_mut().for_each(|draft| batch.publish(draft));
            assert_eq!(files(base, "new"), FILES);
            let failing = FileSystem::failing();
            for draft in &mut drafts {
                draft.file_system = Rc::clone(&failing);
            }
            batch.sync_names(&mut drafts, &failing, Scope::Whole);
            batch.drafts = drafts;
            batch.commit();
            assert_deferred(&batch, FILES);
            assert_eq!((files(base, "new"), files(base, "tmp")), (0, 0));
        });
    }

    #[test]
    fn an_earlier_delivery_that_cannot_be_synced_is_not_reported_and_not_removed() {
        each_way(|base, maildirs, identity| {
            let mut batch = maildirs.batch(identity);
            add_all(&mut batch);
            assert!(batch.finish().iter().all(|(_, result)| result.is_ok()));
            let mut batch = maildirs.batch(identity);
            add_all(&mut batch);
            let mut drafts = std::mem::take(&mut batch.drafts);
            drafts.iter_mut().for_each(|draft| batch.publish(draft));
            let failing = FileSystem::failing();
            for draft in &mut drafts {
                draft.file_system = Rc::clone(&failing);
            }
            batch.sync_names(&mut drafts, &failing, Scope::Whole);
            batch.drafts = drafts;
            batch.commit();
            assert_deferred(&batch, FILES);
            assert_eq!(files(base, "new"), FILES);
        });
    }

    #[test]
    fn few_files_are_synced_one_by_one_and_new_mailboxes_with_their_file_system() {
        each_way(|_, maildirs, identity| {
            let mut scopes = Vec::new();
            for count in [1, 1, SYNC_EACH_FILES_MAX, SYNC_EACH_FILES_MAX + 1] {
                let mut batch = maildirs.batch(identity);
                for number in 0..count {
                    let job = job(100 + number);
                    batch.add(number, "u/", None, Letter { job: &job, text: Text::Bytes(b"x\n") });
                }
                scopes.push(batch.plan(&batch.drafts)[0].1 == Scope::Each);
                assert!(batch.finish().iter().all(|(_, result)| result.is_ok()));
            }
            assert_eq!(scopes, [false, true, true, false]);
        });
    }
}
