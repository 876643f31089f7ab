//! The thread that loads what has changed.
//!
//! Reading and verifying a large table takes a while; here it is in nobody's way. What comes out of it is
//! put in its place by one store, and what was there before is dropped here as well, once the last
//! lookup has let go of it.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use config::Configuration;
use table::{Catalog, Manner, Replaced, Source, Taken};

use super::given::Given;
use super::stamp::{Missing, Opened, Stamp};
use crate::control::Channel;
use crate::listening::Endpoint;
use crate::settings::Settings;
use crate::start::{Loaded, Purpose, Report};

/// Notes about the lines of one table that are logged at once; a file of another kind is full of them.
const NOTES_MAX: usize = 20;
/// How long a lookup, or a shard that has it at hand, may hold on to what was replaced before whoever is last
/// drops it. Shards let go each second.
const LET_GO: Duration = Duration::from_secs(3);
/// How often what was replaced is looked at, as long as there is any.
const LOOK: Duration = Duration::from_millis(20);

/// Something for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// That something was done.
    Info,
    /// That something is wrong.
    Warning,
}

/// A new configuration.
pub(crate) struct Reloaded {
    pub(crate) all: Arc<Configuration>,
    /// All that it listens on.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// The loading thread, from outside. It ends when this is dropped.
pub(crate) struct Loader(Sender<Work>);

enum Work {
    File(PathBuf, Opened),
    Change(PathBuf, Purpose),
    Reload(Box<(Settings, Vec<Endpoint>)>),
}

impl Loader {
    /// Starts it. `say` gets lines for the log, `take` each new configuration, and `master` is told what
    /// became of each change.
    pub(crate) fn start(
        catalog: Catalog,
        master: Arc<Channel>,
        say: impl Fn(Say, &str) + Send + 'static,
        take: impl Fn(Reloaded) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (work, inbox) = channel();
        let loading = Loading::new(catalog);
        thread::Builder::new()
            .name("tables".to_owned())
            .spawn(move || run(loading, &inbox, &master, say, take))?;
        Ok(Self(work))
    }

    /// A file for the next change; the descriptor is that of a file that could be opened.
    pub(crate) fn file(&self, path: PathBuf, state: Result<Stamp, Missing>, fds: Vec<OwnedFd>) {
        let file = state.and_then(|stamp| match fds.into_iter().next() {
            Some(fd) => Ok((File::from(fd), stamp)),
            None => Err(Missing::Other("the descriptor was lost on the way".to_owned())),
        });
        // A thread that is gone has panicked; what is in use stays in use.
        let _ = self.0.send(Work::File(path, file));
    }

    /// The files given since the last time are a change of this one.
    pub(crate) fn change(&self, path: PathBuf, purpose: Purpose) {
        let _ = self.0.send(Work::Change(path, purpose));
    }

    /// Files from master, see [`Order::Files`](crate::start::Order::Files).
    pub(crate) fn files(&self, files: Vec<(PathBuf, Result<Stamp, Missing>)>, fds: Vec<OwnedFd>) {
        let mut fds = fds.into_iter();
        for (path, state) in files {
            let fd = if state.is_ok() { fds.next() } else { None };
            self.file(path, state, fd.into_iter().collect());
        }
    }

    /// The files given since the last time are what these settings are read from. They listen on these
    /// endpoints and no others.
    pub(crate) fn reload(&self, settings: Settings, endpoints: Vec<Endpoint>) {
        let _ = self.0.send(Work::Reload(Box::new((settings, endpoints))));
    }
}

fn run(
    mut loading: Loading,
    inbox: &Receiver<Work>,
    master: &Channel,
    say: impl Fn(Say, &str),
    take: impl Fn(Reloaded),
) {
    let mut given = Given::default();
    let mut leaving = Leaving::default();
    loop {
        // The next change does not wait for those who still read what the one before has replaced.
        let work = match leaving.is_empty() {
            true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => inbox.recv_timeout(LOOK),
        };
        leaving.drop_unused();
        let work = match work {
            Ok(work) => work,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (path, purpose) = match work {
            Work::File(path, file) => {
                given.add(path, file);
                continue;
            }
            Work::Reload(new) => {
                let (settings, endpoints) = *new;
                let reloaded = loading.reload(&settings, &std::mem::take(&mut given)).map(|all| {
                    take(Reloaded { all, endpoints });
                });
                let _ = master.send(&Report::Reloaded(reloaded), &[]);
                continue;
            }
            Work::Change(path, purpose) => (path, purpose),
        };
        let change = loading.change(&path, &std::mem::take(&mut given), purpose);
        for (how, line) in &change.lines {
            say(*how, line);
        }
        // If master is gone, so is this process in a moment.
        for Source { path: wanted, manner } in change.wanted {
            let whole = manner == Manner::Whole;
            let _ = master.send(&Report::WantsFile { path: path.clone(), wanted, whole }, &[]);
        }
        let _ = master.send(&Report::Tables { path, loaded: change.loaded }, &[]);
        leaving.add(change.replaced);
    }
}

/// What was replaced and may still be read by somebody, and until when that is waited for.
#[derive(Default)]
struct Leaving(Vec<(Replaced, Instant)>);

impl Leaving {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, replaced: Replaced) {
        if !replaced.is_unused() {
            self.0.push((replaced, Instant::now() + LET_GO));
        }
    }

    fn drop_unused(&mut self) {
        let now = Instant::now();
        self.0.retain(|(replaced, deadline)| !replaced.is_unused() && now < *deadline);
    }
}

/// What is open, and what was said about it.
pub(super) struct Loading {
    catalog: Catalog,
    /// What is wrong with which table, as it was said last.
    said: HashMap<String, String>,
}

/// What a change came to.
pub(super) struct Change {
    pub(super) loaded: Loaded,
    pub(super) wanted: Vec<Source>,
    pub(super) lines: Vec<(Say, String)>,
    replaced: Replaced,
}

impl Loading {
    /// What is wrong from the start has been said at the start.
    pub(super) fn new(catalog: Catalog) -> Self {
        let troubles = catalog.troubles().into_iter();
        let said = troubles.map(|(name, trouble)| (name, trouble.to_string())).collect();
        Self { catalog, said }
    }

    /// Builds another configuration. Tables that are open stay what they are; what is new is read from
    /// the files that master has given.
    fn reload(&mut self, settings: &Settings, given: &Given) -> Result<Arc<Configuration>, String> {
        let tables = self.catalog.tables(given);
        let all = settings.build(&tables).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })?;
        if given.is_unsettled() {
            return Err("a file of it is being written at this moment; try again".to_owned());
        }
        if let Some(Source { path, .. }) = given.wanted().into_iter().next() {
            return Err(format!("{} was not there when master looked; try again", path.display()));
        }
        *self = Self::new(Catalog::new(tables));
        Ok(Arc::new(all))
    }

    pub(super) fn change(&mut self, path: &Path, given: &Given, purpose: Purpose) -> Change {
        let nothing = |loaded, wanted| {
            let (lines, replaced) = Default::default();
            Change { loaded, wanted, lines, replaced }
        };
        let reopened = self.catalog.reopen(path, given);
        let wanted = given.wanted();
        if reopened.is_empty() {
            return nothing(Loaded::Unused, Vec::new());
        }
        // Before it is put in its place, and after all of it was read.
        if given.is_unsettled() {
            return nothing(Loaded::Unsettled, Vec::new());
        }
        if !wanted.is_empty() {
            return nothing(Loaded::Wanting, wanted);
        }
        if purpose == Purpose::Judge && !reopened.is_wrong() {
            return nothing(Loaded::Withheld, Vec::new());
        }
        let (taken, replaced) = self.catalog.take(reopened);
        let lines = taken.iter().flat_map(|taken| self.lines(taken)).collect();
        let wrong = taken.into_iter().find_map(|taken| taken.trouble);
        let loaded = match wrong {
            None => Loaded::InUse,
            Some(trouble) => Loaded::failed(&trouble.to_string()),
        };
        self.said.retain(|name, _| self.catalog.has(name));
        Change { loaded, wanted, lines, replaced }
    }

    /// What the log is to know about one table: each trouble once, and once that it is over.
    fn lines(&mut self, taken: &Taken) -> Vec<(Say, String)> {
        let name = &taken.name;
        if let Some(trouble) = &taken.trouble {
            let trouble = trouble.to_string();
            if self.said.get(name) == Some(&trouble) {
                return Vec::new();
            }
            let meanwhile = match taken.serves {
                true => "the one before stays in use",
                false => "what asks it is answered \"later\" until it is right",
            };
            let line = format!("{trouble} -- {meanwhile}");
            self.said.insert(name.clone(), trouble);
            return vec![(Say::Warning, line)];
        }
        let what = match self.said.remove(name) {
            Some(_) => "is right again",
            None => "has changed",
        };
        let mut lines = vec![(Say::Info, format!("table {name} {what} -- the new one is in use"))];
        let notes = taken.notes.iter().take(NOTES_MAX);
        lines.extend(notes.map(|note| (Say::Warning, note.to_string())));
        if let more @ 1.. = taken.notes.len().saturating_sub(NOTES_MAX) {
            lines.push((Say::Warning, format!("table {name}: {more} more lines like these")));
        }
        lines
    }
}
