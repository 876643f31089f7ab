//! The thread of master that watches the files tables are made of.
//!
//! It looks at each of them twice a second, which is sure, and is woken by the kernel where that
//! can be had, which is quick. It only looks and opens: what is in a file is for others to read. A thread
//! of its own, so that a network file system that hangs keeps nothing but tables from changing.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use table::{Manner, Source};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::notices::{News, Notices};
use super::settle::{Hint, Settling, Verdict};
use super::stamp::{self, Missing, Opened, Seen};

/// Between two looks at all files.
const POLL: Duration = Duration::from_millis(500);
/// Between two readings of events: a busy file next to a table must not keep a core busy.
const NOTICES_GAP: Duration = Duration::from_millis(20);

/// A file that is to be used as it is now, with what else that takes.
#[derive(Debug)]
pub(crate) struct Change {
    /// What has changed.
    pub(crate) path: PathBuf,
    /// It, and what was asked for with it.
    pub(crate) files: Vec<(PathBuf, Opened)>,
    /// What was asked for with it.
    pub(crate) with: Vec<Source>,
}

/// What the watching thread is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The change of `path` again, and with it these files, which are to be watched from now on.
    Gather { path: PathBuf, with: Vec<Source> },
    /// The same file again, after a while.
    Again { path: PathBuf, after: Duration },
    /// Nothing is made of it any more.
    Forget(PathBuf),
    /// A file that a new configuration uses as it was then; one that is watched already stays as it is.
    Add { path: PathBuf, manner: Manner, seen: Seen },
}

/// The watching thread, from outside. It ends when this is dropped.
pub(crate) struct Watch {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    changes: UnboundedReceiver<Change>,
}

/// Who tells about changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The kernel, and the poll for what it does not see.
    Kernel,
    /// The poll alone.
    #[cfg_attr(not(test), expect(dead_code, reason = "what is left where there is no inotify"))]
    Poll,
}

impl Watch {
    /// Watches these files. Changes count from when this returns.
    pub(crate) fn start(sources: Vec<Source>, by: By) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (commands, inbox) = mpsc::channel();
        let (out, changes) = unbounded_channel();
        let mut watcher = Watcher {
            files: BTreeMap::new(),
            by,
            notices: None,
            wake: Arc::clone(&wake),
            inbox,
            out,
        };
        // Watched before it is looked at, so that nothing falls between the two.
        watcher.watch_anew(sources.iter().map(|source| source.path.as_path()));
        for Source { path, manner } in sources {
            let seen = stamp::look(&path);
            watcher.files.insert(path, Settling::new(manner, seen));
        }
        thread::Builder::new().name("watch".to_owned()).spawn(move || watcher.run())?;
        Ok(Self { commands, wake, changes })
    }

    /// The next change. Never ends: where there is nothing to watch, nothing changes.
    pub(crate) async fn next(&mut self) -> Change {
        match self.changes.recv().await {
            Some(change) => change,
            // The thread has panicked; tables stay as they are.
            None => std::future::pending().await,
        }
    }

    /// Tells the thread something.
    pub(crate) fn tell(&self, command: Command) {
        // A thread that is gone has panicked, and said so.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.changes.close();
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

struct Watcher {
    files: BTreeMap<PathBuf, Settling>,
    by: By,
    notices: Option<Notices>,
    wake: Arc<OwnedFd>,
    inbox: mpsc::Receiver<Command>,
    out: UnboundedSender<Change>,
}

impl Watcher {
    fn run(mut self) {
        let mut poll_at = Instant::now() + POLL;
        let mut notices_at = Instant::now();
        let mut due: Option<Instant> = None;
        while !self.out.is_closed() {
            self.sleep(due.map_or(poll_at, |due| due.min(poll_at)), notices_at);
            let now = Instant::now();
            let mut look_at = HashSet::new();
            for command in self.inbox.try_iter().collect::<Vec<_>>() {
                look_at.extend(self.obey(command, now));
            }
            let mut look_at_all = now >= poll_at || due.is_some_and(|due| now >= due);
            if now >= notices_at {
                let news = self.notices.as_ref().map(Notices::read).unwrap_or_default();
                if news != News::default() {
                    notices_at = now + NOTICES_GAP;
                }
                look_at_all |= news.stale;
                look_at.extend(self.hear(news, now));
            }
            if look_at_all {
                poll_at = now + POLL;
                look_at.extend(self.files.keys().cloned());
            }
            let dues = look_at.iter().filter_map(|path| self.look(path));
            // Looking at some of them says nothing about the others.
            let dues: Vec<Instant> = dues.collect();
            due = dues.into_iter().chain(due.filter(|_| !look_at_all)).min();
        }
    }

    /// Until that time, or until there is something to do.
    fn sleep(&self, until: Instant, notices_at: Instant) {
        let now = Instant::now();
        let in_gap = now < notices_at;
        let until = if in_gap { until.min(notices_at) } else { until };
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        if let (Some(notices), false) = (&self.notices, in_gap) {
            fds.push(PollFd::from_borrowed_fd(notices.as_fd(), PollFlags::IN));
        }
        let left = until.saturating_duration_since(now);
        let left = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // Interrupted or not, what follows looks for itself.
        let _ = poll(&mut fds, Some(&left));
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
    }

    /// Returns what is to be looked at.
    fn obey(&mut self, command: Command, now: Instant) -> Option<PathBuf> {
        match command {
            Command::Gather { path, with } => {
                self.gather(path, with);
                None
            }
            Command::Again { path, after } => {
                self.files.get_mut(&path)?.again(now + after);
                Some(path)
            }
            Command::Add { path, manner, seen } => {
                self.watch_too(&path, manner, seen);
                // What has happened to it since.
                Some(path)
            }
            Command::Forget(path) => {
                self.files.remove(&path);
                self.renew_notices();
                None
            }
        }
    }

    fn hear(&mut self, news: News, now: Instant) -> HashSet<PathBuf> {
        for (path, hint) in news.hints {
            if let Some(file) = self.files.get_mut(&path) {
                file.hint(hint, now);
            }
        }
        if news.stale {
            self.renew_notices();
        }
        news.look_at
    }

    /// Looks at one file; returns when to look again, if it is changing.
    fn look(&mut self, path: &Path) -> Option<Instant> {
        let file = self.files.get_mut(path)?;
        let seen = stamp::look(path);
        match file.look(seen.clone(), Instant::now()) {
            Verdict::Rest => None,
            Verdict::Wait(until) => Some(until),
            Verdict::Take => self.take(path, &seen),
        }
    }

    /// Opens a file that has settled and passes it on, unless it has become another one by now.
    fn take(&mut self, path: &Path, seen: &Seen) -> Option<Instant> {
        let opened = stamp::open(path);
        if let Ok((_, stamp)) = &opened
            && seen.as_ref() != Ok(stamp)
        {
            return match self.files.get_mut(path)?.look(Ok(*stamp), Instant::now()) {
                Verdict::Wait(until) => Some(until),
                Verdict::Rest | Verdict::Take => Some(Instant::now()),
            };
        }
        if path.canonicalize().is_ok_and(|real| real != path) {
            // It leads elsewhere, perhaps to another place than before.
            self.renew_notices();
        }
        self.pass_on(path.to_owned(), opened, Vec::new());
        None
    }

    /// The same change with more files. If it is not the same any more, it will come by itself.
    fn gather(&mut self, path: PathBuf, with: Vec<Source>) {
        let opened = stamp::open(&path);
        let seen = opened.as_ref().map(|(_, stamp)| *stamp).map_err(Missing::clone);
        match self.files.get(&path) {
            Some(file) if file.is_taken(&seen) => self.pass_on(path, opened, with),
            _ => {}
        }
    }

    fn pass_on(&mut self, path: PathBuf, opened: Opened, with: Vec<Source>) {
        let mut files = vec![(path.clone(), opened)];
        for Source { path, manner } in &with {
            let opened = stamp::open(path);
            let seen = opened.as_ref().map(|(_, stamp)| *stamp).map_err(Missing::clone);
            self.watch_too(path, *manner, seen);
            files.push((path.clone(), opened));
        }
        // Where nobody listens any more, the loop is about to end.
        let _ = self.out.send(Change { path, files, with });
    }

    fn watch_too(&mut self, path: &Path, manner: Manner, seen: Seen) {
        match self.files.get_mut(path) {
            Some(file) => file.also(manner),
            None => {
                if let Some(notices) = &mut self.notices {
                    notices.add(path);
                }
                self.files.insert(path.to_owned(), Settling::new(manner, seen));
            }
        }
    }

    /// Watches again what is to be watched now. What happened meanwhile is seen by looking.
    fn renew_notices(&mut self) {
        let now = Instant::now();
        let paths: Vec<PathBuf> = self.files.keys().cloned().collect();
        self.watch_anew(paths.iter().map(PathBuf::as_path));
        for file in self.files.values_mut() {
            file.hint(Hint::Lost, now);
        }
    }

    fn watch_anew<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        self.notices = match self.by {
            By::Kernel => Notices::of(paths).ok(),
            By::Poll => None,
        };
    }
}
