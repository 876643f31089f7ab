//! Who has which change, and who still needs it.
//!
//! A child is given a change when it is ready, has not too much in its hands, and no earlier change of
//! the same file; the next one of that file waits here, and only the latest does. So there is a limit to
//! what is under way, whatever becomes of the files and of the children. What to send and what to tell
//! the watching thread comes out as values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use table::Source;

use super::watch::{Change, Command};
use crate::child::Role;
use crate::start::Loaded;

/// Files that a child may have in its hands. Each is a message, and has to fit into its socket.
const IN_HANDS_MAX: usize = 100;
/// Files that one change may need.
const WITH_MAX: usize = IN_HANDS_MAX - 1;
/// How long until what could not be loaded is tried again, in case its cause was not in the file.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long until a file is looked at again that was written to while it was read.
const UNSETTLED_AGAIN_AFTER: Duration = Duration::from_millis(300);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send a change to a child.
    Send(Role, Arc<Change>),
    /// Tell the watching thread.
    Tell(Command),
    /// Say something in the log.
    Say(String),
}

/// Changes on their way to the children.
#[derive(Default)]
pub(crate) struct HandOver {
    engine: Side,
    agentd: Side,
    /// Changes that the watching thread was asked to complete.
    gathering: HashSet<PathBuf>,
}

/// What concerns one child.
#[derive(Default)]
struct Side {
    ready: bool,
    in_hands: HashMap<PathBuf, Arc<Change>>,
    waiting: BTreeMap<PathBuf, Arc<Change>>,
    wants: HashMap<PathBuf, Vec<Source>>,
    /// Why it could not use the latest change of a file.
    failed: HashMap<PathBuf, String>,
    unused: HashSet<PathBuf>,
}

impl HandOver {
    /// A file has changed.
    pub(crate) fn changed(&mut self, change: Change) -> Vec<Step> {
        self.gathering.remove(&change.path);
        let change = Arc::new(change);
        let mut steps = Vec::new();
        for role in [Role::Engine, Role::Agentd] {
            let side = self.side(role);
            side.waiting.insert(change.path.clone(), Arc::clone(&change));
            steps.extend(side.give(role));
        }
        steps
    }

    /// A child has started, and reads its orders.
    pub(crate) fn ready(&mut self, role: Role) -> Vec<Step> {
        let side = self.side(role);
        side.ready = true;
        side.give(role)
    }

    /// A child is gone. Its successor reads everything by itself; what waits does it no harm.
    pub(crate) fn gone(&mut self, role: Role) {
        let side = self.side(role);
        let waiting = std::mem::take(&mut side.waiting);
        *side = Side { waiting, ..Side::default() };
    }

    /// A child needs one more file for the change in its hands.
    pub(crate) fn wants(&mut self, role: Role, path: &Path, source: Source) {
        self.side(role).wants.entry(path.to_owned()).or_default().push(source);
    }

    /// A child is done with a change, for better or worse.
    pub(crate) fn loaded(&mut self, role: Role, path: &Path, loaded: Loaded) -> Vec<Step> {
        let side = self.side(role);
        let Some(change) = side.in_hands.remove(path) else { return Vec::new() };
        let wants = side.wants.remove(path).unwrap_or_default();
        side.failed.remove(path);
        side.unused.remove(path);
        let mut steps = Vec::new();
        let again = |after| Step::Tell(Command::Again { path: path.to_owned(), after });
        match loaded {
            Loaded::InUse => {}
            Loaded::Unused => {
                side.unused.insert(path.to_owned());
            }
            Loaded::Unsettled => steps.push(again(UNSETTLED_AGAIN_AFTER)),
            Loaded::Failed(why) => {
                side.failed.insert(path.to_owned(), why);
                steps.push(again(AGAIN_AFTER));
            }
            Loaded::Wanting => {
                // A newer one, or the one that the other child has asked for.
                if !side.waiting.contains_key(path) {
                    steps.extend(self.gather(&change, wants));
                }
            }
        }
        steps.extend(self.side(role).give(role));
        steps.extend(self.compare(path));
        steps
    }

    fn gather(&mut self, change: &Change, wants: Vec<Source>) -> Option<Step> {
        let path = change.path.clone();
        let mut with = change.with.clone();
        with.extend(wants);
        with.sort();
        with.dedup();
        if with.len() > WITH_MAX {
            let path = path.display();
            let text = format!("warning: {path} names more than {WITH_MAX} files; it is not used");
            return Some(Step::Say(text));
        }
        self.gathering.insert(path.clone()).then_some(Step::Tell(Command::Gather { path, with }))
    }

    /// What the children have made of the same change, once both are done with it.
    fn compare(&mut self, path: &Path) -> Option<Step> {
        if self.engine.is_busy(path) || self.agentd.is_busy(path) {
            return None;
        }
        if self.engine.unused.contains(path) && self.agentd.unused.contains(path) {
            self.engine.unused.remove(path);
            self.agentd.unused.remove(path);
            return Some(Step::Tell(Command::Forget(path.to_owned())));
        }
        // What the engine finds wrong is in the log already.
        let why = self.agentd.failed.get(path)?;
        (self.engine.failed.get(path) != Some(why))
            .then(|| Step::Say(format!("warning: agentd: {why}")))
    }

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Engine => &mut self.engine,
            Role::Agentd => &mut self.agentd,
        }
    }
}

impl Side {
    fn is_busy(&self, path: &Path) -> bool {
        self.in_hands.contains_key(path) || self.waiting.contains_key(path)
    }

    /// Gives it of what waits as much as it can take.
    fn give(&mut self, role: Role) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.ready {
            return steps;
        }
        let mut in_hands: usize = self.in_hands.values().map(|change| change.files.len()).sum();
        for (path, change) in std::mem::take(&mut self.waiting) {
            let fits = in_hands == 0 || in_hands + change.files.len() <= IN_HANDS_MAX;
            if !fits || self.in_hands.contains_key(&path) {
                self.waiting.insert(path, change);
                continue;
            }
            in_hands += change.files.len();
            self.in_hands.insert(path, Arc::clone(&change));
            steps.push(Step::Send(role, change));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::Missing;
    use table::Manner;

    fn change(path: &str) -> Change {
        let files = vec![(path.into(), Err(Missing::Os(2)))];
        Change { path: path.into(), files, with: Vec::new() }
    }

    fn source(path: &str) -> Source {
        Source { path: path.into(), manner: Manner::Text }
    }

    /// Both children running.
    fn running() -> HandOver {
        let mut it = HandOver::default();
        assert!(it.ready(Role::Engine).is_empty());
        assert!(it.ready(Role::Agentd).is_empty());
        it
    }

    /// Steps as words.
    fn words(steps: Vec<Step>) -> Vec<String> {
        let word = |step| match step {
            Step::Send(role, change) => format!("{} {}", role.name(), change.path.display()),
            Step::Tell(command) => format!("{command:?}"),
            Step::Say(text) => text,
        };
        steps.into_iter().map(word).collect()
    }

    fn loaded(it: &mut HandOver, role: Role, loaded: Loaded) -> Vec<String> {
        words(it.loaded(role, Path::new("/a"), loaded))
    }

    #[test]
    fn each_child_has_one_change_of_a_file_in_its_hands_and_the_latest_waits() {
        let mut it = running();
        assert_eq!(words(it.changed(change("/a"))), ["engine /a", "agentd /a"]);
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.changed(change("/b"))), ["engine /b", "agentd /b"]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), ["engine /a"]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), [""; 0]);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), ["agentd /a"]);
    }

    #[test]
    fn a_child_has_only_so_many_files_in_its_hands() {
        let mut it = running();
        let mut given = Vec::new();
        for number in 0..3 * IN_HANDS_MAX {
            given.extend(words(it.changed(change(&format!("/{number:03}")))));
        }
        assert_eq!(given.len(), 2 * IN_HANDS_MAX);
        let next = words(it.loaded(Role::Engine, Path::new("/007"), Loaded::InUse));
        assert_eq!(next, ["engine /100"]);
    }

    #[test]
    fn a_child_that_is_starting_is_given_its_changes_when_it_is_ready() {
        let mut it = HandOver::default();
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.ready(Role::Agentd)), ["agentd /a"]);
        assert_eq!(words(it.ready(Role::Engine)), ["engine /a"]);
        it.gone(Role::Engine);
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.ready(Role::Engine)), ["engine /a"]);
        // What the one before had to say came too late.
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), [""; 0]);
    }

    #[test]
    fn what_a_change_needs_is_gathered_once_for_both_children() {
        let mut it = running();
        it.changed(change("/a"));
        it.wants(Role::Engine, Path::new("/a"), source("/more"));
        let gather = loaded(&mut it, Role::Engine, Loaded::Wanting);
        assert_eq!(gather.len(), 1);
        assert!(gather[0].contains("Gather") && gather[0].contains("/more"), "{gather:?}");
        it.wants(Role::Agentd, Path::new("/a"), source("/more"));
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::Wanting), [""; 0]);

        let whole = Change { with: vec![source("/more")], ..change("/a") };
        assert_eq!(words(it.changed(whole)), ["engine /a", "agentd /a"]);
        // That file names another one.
        it.wants(Role::Agentd, Path::new("/a"), source("/third"));
        let gather = loaded(&mut it, Role::Agentd, Loaded::Wanting);
        assert!(gather[0].contains("/more") && gather[0].contains("/third"), "{gather:?}");
    }

    #[test]
    fn what_only_agentd_cannot_load_is_said_for_it() {
        let failed = |why: &str| Loaded::Failed(why.to_owned());
        let again = "Again { path: \"/a\", after: 30s }";
        let mut it = running();
        it.changed(change("/a"));
        assert_eq!(loaded(&mut it, Role::Agentd, failed("bad")), [again]);
        assert_eq!(loaded(&mut it, Role::Engine, failed("bad")), [again]);

        it.changed(change("/a"));
        assert_eq!(loaded(&mut it, Role::Agentd, failed("no memory")), [again]);
        let said = loaded(&mut it, Role::Engine, Loaded::InUse);
        assert_eq!(said, ["warning: agentd: no memory"]);
    }

    #[test]
    fn a_file_that_neither_child_uses_is_forgotten() {
        let mut it = running();
        it.changed(change("/a"));
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::Unused), [""; 0]);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::Unused), ["Forget(\"/a\")"]);
        it.changed(change("/a"));
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::Unused), [""; 0]);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), [""; 0]);
    }
}
