//! The thread that looks through the maildrop.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use mail::Time;
use mail::log::Event;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, mkdirat, openat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;

use super::parcel::{Answer, Bell, Fate, Parcel, Ring, Why};

/// Submissions that the shards have at a time: enough to share their durable writes, and no burden for
/// sessions.
const UNDER_WAY_MAX: usize = 32;
/// Files whose names are remembered because there is no use in trying them again soon. Others are tried
/// whenever somebody rings.
const RESTING_MAX: usize = 100_000;
/// A file that was begun so long ago and is not finished belongs to nobody any more (postfix
/// `src/postsuper/postsuper.c`).
const UNFINISHED_SECS_MAX: u64 = 24 * 3600;
/// Names that are tried for a file that is set aside.
const NAMES_MAX: u32 = 100;

/// Writes a line of the log.
type Say = Box<dyn Fn(Event<'_>) + Send>;

/// Looks through the maildrop, and gives what is there to the shards.
pub struct Collector {
    maildrop: OwnedFd,
    corrupt: OwnedFd,
    shards: Vec<UnboundedSender<Parcel>>,
    next_shard: usize,
    bell: Bell,
    rings: Receiver<Ring>,
    /// How often it looks although nobody rings, in seconds; 0 is never.
    every_secs: Arc<AtomicU64>,
    /// Files that shards have.
    under_way: HashSet<Box<str>>,
    /// Files that are left alone until it is time to look again.
    resting: HashSet<Box<str>>,
    /// Files that are in the queue and cannot be removed.
    done: HashSet<Box<str>>,
    stopping: bool,
    say: Say,
}

/// What is in the maildrop under some name.
enum Found {
    Ready(File, Stat),
    /// It is none of ours, or not yet.
    Nothing,
    /// It has been begun and left.
    Abandoned,
    /// It is not what belongs there.
    Wrong(&'static str),
}

impl Collector {
    /// One that looks in `queue`, whose maildrop exists, and its bell.
    pub fn new(
        queue: &Path,
        shards: Vec<UnboundedSender<Parcel>>,
        every_secs: Arc<AtomicU64>,
        say: Say,
    ) -> io::Result<(Self, Bell)> {
        let open = |name: &str| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(CWD, queue.join(name), flags, Mode::empty())
        };
        let maildrop = open(maildrop::DIRECTORY)?;
        match mkdirat(CWD, queue.join(maildrop::CORRUPT), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let corrupt = open(maildrop::CORRUPT)?;
        let (sender, rings) = channel();
        let bell = Bell::new(sender);
        let collector = Self {
            maildrop,
            corrupt,
            shards,
            next_shard: 0,
            bell: bell.clone(),
            rings,
            every_secs,
            under_way: HashSet::new(),
            resting: HashSet::new(),
            done: HashSet::new(),
            stopping: false,
            say,
        };
        Ok((collector, bell))
    }

    /// Works until its bell says stop, and what is under way then is done.
    pub fn run(mut self) {
        // What was left while nothing ran.
        let mut looked = Instant::now();
        self.look();
        while !self.stopping {
            let every = match self.every_secs.load(Ordering::Relaxed) {
                0 => Duration::MAX,
                secs => Duration::from_secs(secs),
            };
            match self.wait(every.saturating_sub(looked.elapsed())) {
                // Where there is no other time, this is the time for all.
                Some(Why::Left) if every < Duration::MAX => self.look(),
                Some(Why::Done(name, fate)) => self.settle(name, fate),
                Some(Why::Stop) => self.stopping = true,
                Some(Why::Left | Why::Renewed) | None => {
                    looked = Instant::now();
                    self.resting.clear();
                    self.look();
                }
            }
        }
        while !self.under_way.is_empty() {
            if let Some(Why::Done(name, fate)) = self.wait(Duration::MAX) {
                self.settle(name, fate);
            }
        }
    }

    /// `None` where nobody rings in that time.
    fn wait(&self, at_most: Duration) -> Option<Why> {
        // Longer than a wait can be.
        let at_most = at_most.min(Duration::from_secs(1 << 20));
        match self.rings.recv_timeout(at_most) {
            Ok(Ring(why)) => Some(why),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Goes through the directory once. What is left meanwhile rings again.
    fn look(&mut self) {
        self.bell.heard();
        let entries = match Dir::read_from(&self.maildrop) {
            Ok(entries) => entries,
            Err(error) => return self.warn(&format!("{}: {error}", maildrop::DIRECTORY)),
        };
        let (mut left, mut renewed) = (false, false);
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.warn(&format!("{}: {error}", maildrop::DIRECTORY)),
            };
            while self.under_way.len() >= UNDER_WAY_MAX && !self.stopping {
                match self.wait(Duration::MAX) {
                    Some(Why::Done(name, fate)) => self.settle(name, fate),
                    Some(Why::Stop) => self.stopping = true,
                    Some(Why::Left) => left = true,
                    Some(Why::Renewed) => renewed = true,
                    None => {}
                }
            }
            if self.stopping {
                return;
            }
            self.entry(entry.file_name());
        }
        match (renewed, left) {
            (true, _) => self.bell.renewed(),
            (false, true) => self.bell.again(),
            (false, false) => {}
        }
    }

    fn entry(&mut self, name: &CStr) {
        // What has another name was put there by hand.
        let Ok(text) = name.to_str() else { return };
        let is_known = |set: &HashSet<Box<str>>| set.contains(text);
        if matches!(text, "." | "..")
            || [&self.under_way, &self.resting, &self.done].into_iter().any(is_known)
        {
            return;
        }
        match self.open(text) {
            Ok(Found::Nothing) => {}
            Ok(Found::Ready(file, stat)) => self.pass_on(text, file, &stat),
            Ok(Found::Abandoned) => match unlinkat(&self.maildrop, name, AtFlags::empty()) {
                Ok(()) => self.info(&format!("{text}: was never finished; removed")),
                Err(error) => self.rest(text, &format!("remove {text}: {error}")),
            },
            Ok(Found::Wrong(why)) => self.set_aside(text, why),
            // Somebody was faster.
            Err(Errno::NOENT) => {}
            Err(error) => self.rest(text, &format!("open {text}: {error}")),
        }
    }

    /// What it is is known before it is opened: to open a device is to do something. What was opened is
    /// looked at again.
    fn open(&self, name: &str) -> Result<Found, Errno> {
        let before = statat(&self.maildrop, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if let Some(found) = refused(name, &before) {
            return Ok(found);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.maildrop, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        Ok(match refused(name, &stat) {
            Some(found) => found,
            None => Found::Ready(file.into(), stat),
        })
    }

    fn pass_on(&mut self, name: &str, file: File, stat: &Stat) {
        let parcel = Parcel {
            file,
            user_id: stat.st_uid,
            left: modified(stat),
            answer: Answer::new(name, self.bell.sender()),
        };
        self.under_way.insert(name.into());
        let shard = &self.shards[self.next_shard % self.shards.len()];
        self.next_shard += 1;
        // One that has ended gives it back when it is dropped.
        let _ = shard.send(parcel);
    }

    fn settle(&mut self, name: Box<str>, fate: Fate) {
        self.under_way.remove(&name);
        match fate {
            Fate::Taken => {
                if let Err(error) = unlinkat(&self.maildrop, &*name, AtFlags::empty()) {
                    self.warn(&format!("remove {}/{name}: {error}", maildrop::DIRECTORY));
                    remember(&mut self.done, &name);
                }
            }
            Fate::Kept => remember(&mut self.resting, &name),
            Fate::SetAside(why) => self.set_aside(&name, &why),
        }
    }

    /// Nothing is thrown away that somebody might want to look at.
    fn set_aside(&mut self, name: &str, why: &str) {
        let from = maildrop::DIRECTORY;
        for number in 0..NAMES_MAX {
            let to = if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
            let flags = RenameFlags::NOREPLACE;
            match renameat_with(&self.maildrop, name, &self.corrupt, &to, flags) {
                Ok(()) => {
                    let corrupt = maildrop::CORRUPT;
                    return self.warn(&format!("{from}/{name}: {why}; moved to {corrupt}/{to}"));
                }
                Err(Errno::EXIST) => {}
                Err(error) => {
                    return self.rest(name, &format!("{name}: {why}; it cannot be moved: {error}"));
                }
            }
        }
        self.rest(name, &format!("{name}: {why}; it cannot be moved"));
    }

    fn rest(&mut self, name: &str, why: &str) {
        self.warn(&format!("{}/{why}", maildrop::DIRECTORY));
        remember(&mut self.resting, name);
    }

    fn warn(&self, text: &str) {
        (self.say)(Event::Warning { text });
    }

    fn info(&self, text: &str) {
        (self.say)(Event::Info { text: &format!("{}/{text}", maildrop::DIRECTORY) });
    }
}

fn remember(names: &mut HashSet<Box<str>>, name: &str) {
    if names.len() < RESTING_MAX {
        names.insert(name.into());
    }
}

/// Why a file is not read; `None` where it can be.
fn refused(name: &str, stat: &Stat) -> Option<Found> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some(Found::Wrong("not a regular file"));
    }
    if name.starts_with(maildrop::UNFINISHED_PREFIX) {
        let age = Time::now().secs().saturating_sub(modified(stat).secs());
        let abandoned = age > UNFINISHED_SECS_MAX;
        return Some(if abandoned { Found::Abandoned } else { Found::Nothing });
    }
    if !maildrop::is_name(name) || stat.st_mode & maildrop::FINISHED == 0 {
        return Some(Found::Nothing);
    }
    (stat.st_nlink > 1).then_some(Found::Wrong("it has more than one name"))
}

fn modified(stat: &Stat) -> Time {
    let secs = u64::try_from(stat.st_mtime).unwrap_or_default();
    Time::from_secs(secs).after(Duration::from_nanos(stat.st_mtime_nsec))
}
