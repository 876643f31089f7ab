//! Who has which change, and who still needs it.
//!
//! agentd first: an engine that accepts mail for a new user must not find an agentd that has never heard of
//! him. What agentd has in use goes to the engine; what it could not use, the engine looks at only to say
//! what is wrong with it.
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
use crate::start::{Loaded, Purpose};

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
    Send(Role, Arc<Change>, Purpose),
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
    in_hands: HashMap<PathBuf, Item>,
    waiting: BTreeMap<PathBuf, Item>,
    wants: HashMap<PathBuf, Vec<Source>>,
}

/// A change for one child.
struct Item {
    change: Arc<Change>,
    /// What agentd has made of it, where it is the engine's turn.
    agentd: Option<Loaded>,
}

impl HandOver {
    /// A file has changed.
    pub(crate) fn changed(&mut self, change: Change) -> Vec<Step> {
        self.gathering.remove(&change.path);
        self.agentd.wait(Item { change: Arc::new(change), agentd: None });
        self.agentd.give(Role::Agentd)
    }

    /// A child has started, and reads its orders.
    pub(crate) fn ready(&mut self, role: Role) -> Vec<Step> {
        let side = self.side(role);
        side.ready = true;
        side.give(role)
    }

    /// A child is gone. Its successor reads everything by itself, and is given it all the same: what
    /// it read may be older, and for the engine to follow it must be known to have it.
    pub(crate) fn gone(&mut self, role: Role) {
        let side = self.side(role);
        side.ready = false;
        side.wants.clear();
        for (_, item) in std::mem::take(&mut side.in_hands) {
            side.waiting.entry(item.change.path.clone()).or_insert(item);
        }
    }

    /// A child needs one more file for the change in its hands.
    pub(crate) fn wants(&mut self, role: Role, path: &Path, source: Source) {
        self.side(role).wants.entry(path.to_owned()).or_default().push(source);
    }

    /// A child is done with a change, for better or worse.
    pub(crate) fn loaded(&mut self, role: Role, path: &Path, loaded: Loaded) -> Vec<Step> {
        let side = self.side(role);
        let Some(Item { change, agentd }) = side.in_hands.remove(path) else { return Vec::new() };
        let wants = side.wants.remove(path).unwrap_or_default();
        let again = |after| Step::Tell(Command::Again { path: path.to_owned(), after });
        let mut steps = Vec::new();
        match (role, &loaded) {
            (_, Loaded::Unsettled) => steps.push(again(UNSETTLED_AGAIN_AFTER)),
            (_, Loaded::Wanting) => steps.extend(self.gather(&change, wants)),
            (Role::Agentd, _) => {
                if matches!(loaded, Loaded::Failed(_)) {
                    steps.push(again(AGAIN_AFTER));
                }
                self.engine.wait(Item { change, agentd: Some(loaded) });
                steps.extend(self.engine.give(Role::Engine));
            }
            (Role::Engine, Loaded::Failed(_)) => steps.push(again(AGAIN_AFTER)),
            (Role::Engine, Loaded::Unused) if agentd == Some(Loaded::Unused) => {
                steps.push(Step::Tell(Command::Forget(path.to_owned())));
            }
            (Role::Engine, Loaded::Withheld) => {
                if let Some(Loaded::Failed(why)) = agentd {
                    steps.push(Step::Say(format!("warning: agentd: {why}")));
                }
            }
            (Role::Engine, Loaded::InUse | Loaded::Unused) => {}
        }
        steps.extend(self.side(role).give(role));
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

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Engine => &mut self.engine,
            Role::Agentd => &mut self.agentd,
        }
    }
}

impl Side {
    fn wait(&mut self, item: Item) {
        self.waiting.insert(item.change.path.clone(), item);
    }

    /// Gives it of what waits as much as it can take.
    fn give(&mut self, role: Role) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.ready {
            return steps;
        }
        let files = |item: &Item| item.change.files.len();
        let mut in_hands: usize = self.in_hands.values().map(files).sum();
        for (path, item) in std::mem::take(&mut self.waiting) {
            let fits = in_hands == 0 || in_hands + files(&item) <= IN_HANDS_MAX;
            if !fits || self.in_hands.contains_key(&path) {
                self.waiting.insert(path, item);
                continue;
            }
            in_hands += files(&item);
            let purpose = match item.agentd {
                Some(Loaded::Failed(_)) => Purpose::Judge,
                _ => Purpose::Use,
            };
            steps.push(Step::Send(role, Arc::clone(&item.change), purpose));
            self.in_hands.insert(path, item);
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
            Step::Send(role, change, purpose) => {
                format!("{} {} {purpose:?}", role.name(), change.path.display())
            }
            Step::Tell(command) => format!("{command:?}"),
            Step::Say(text) => text,
        };
        steps.into_iter().map(word).collect()
    }

    fn loaded(it: &mut HandOver, role: Role, loaded: Loaded) -> Vec<String> {
        words(it.loaded(role, Path::new("/a"), loaded))
    }

    const TO_AGENTD: &str = "agentd /a Use";
    const TO_ENGINE: &str = "engine /a Use";

    #[test]
    fn the_engine_is_given_what_agentd_has_in_use() {
        let mut it = running();
        assert_eq!(words(it.changed(change("/a"))), [TO_AGENTD]);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), [TO_ENGINE]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), [""; 0]);
    }

    #[test]
    fn each_child_has_one_change_of_a_file_in_its_hands_and_the_latest_waits() {
        let mut it = running();
        assert_eq!(words(it.changed(change("/a"))), [TO_AGENTD]);
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.changed(change("/b"))), ["agentd /b Use"]);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), [TO_ENGINE, TO_AGENTD]);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), [""; 0]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), [TO_ENGINE]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), [""; 0]);
    }

    #[test]
    fn a_child_has_only_so_many_files_in_its_hands() {
        let mut it = running();
        let mut given = Vec::new();
        for number in 0..3 * IN_HANDS_MAX {
            given.extend(words(it.changed(change(&format!("/{number:03}")))));
        }
        assert_eq!(given.len(), IN_HANDS_MAX);
        let next = words(it.loaded(Role::Agentd, Path::new("/007"), Loaded::InUse));
        assert_eq!(next, ["engine /007 Use", "agentd /100 Use"]);
    }

    #[test]
    fn a_child_that_is_started_again_is_given_what_its_predecessor_had() {
        let mut it = HandOver::default();
        assert_eq!(words(it.changed(change("/a"))), [""; 0]);
        assert_eq!(words(it.ready(Role::Engine)), [""; 0]);
        assert_eq!(words(it.ready(Role::Agentd)), [TO_AGENTD]);
        it.gone(Role::Agentd);
        assert_eq!(words(it.ready(Role::Agentd)), [TO_AGENTD]);
        it.gone(Role::Engine);
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), [""; 0]);
        assert_eq!(words(it.ready(Role::Engine)), [TO_ENGINE]);
        it.gone(Role::Engine);
        // What the one before had to say came too late.
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::InUse), [""; 0]);
    }

    #[test]
    fn what_a_change_needs_is_gathered_for_both_children() {
        let mut it = running();
        it.changed(change("/a"));
        it.wants(Role::Agentd, Path::new("/a"), source("/more"));
        let gather = loaded(&mut it, Role::Agentd, Loaded::Wanting);
        assert_eq!(gather.len(), 1);
        assert!(gather[0].contains("Gather") && gather[0].contains("/more"), "{gather:?}");

        let whole = Change { with: vec![source("/more")], ..change("/a") };
        assert_eq!(words(it.changed(whole)), [TO_AGENTD]);
        // That file names another one.
        it.wants(Role::Agentd, Path::new("/a"), source("/third"));
        let gather = loaded(&mut it, Role::Agentd, Loaded::Wanting);
        assert!(gather[0].contains("/more") && gather[0].contains("/third"), "{gather:?}");
    }

    #[test]
    fn what_agentd_cannot_use_the_engine_does_not_use_either() {
        let failed = |why: &str| Loaded::Failed(why.to_owned());
        let again = "Again { path: \"/a\", after: 30s }";
        let mut it = running();
        it.changed(change("/a"));
        let steps = loaded(&mut it, Role::Agentd, failed("bad"));
        assert_eq!(steps, [again, "engine /a Judge"]);
        // It finds the same, and has said so.
        assert_eq!(loaded(&mut it, Role::Engine, failed("bad")), [again]);

        it.changed(change("/a"));
        loaded(&mut it, Role::Agentd, failed("no memory"));
        let said = loaded(&mut it, Role::Engine, Loaded::Withheld);
        assert_eq!(said, ["warning: agentd: no memory"]);
    }

    #[test]
    fn a_file_that_neither_child_uses_is_forgotten() {
        let mut it = running();
        it.changed(change("/a"));
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::Unused), [TO_ENGINE]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::Unused), ["Forget(\"/a\")"]);
        it.changed(change("/a"));
        assert_eq!(loaded(&mut it, Role::Agentd, Loaded::InUse), [TO_ENGINE]);
        assert_eq!(loaded(&mut it, Role::Engine, Loaded::Unused), [""; 0]);
    }
}
