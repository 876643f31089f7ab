//! One pattern, and whether it matches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_automata::nfa::thompson::{NFA, pikevm::PikeVM};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind};

use super::backtracking::{Backtracking, Groups};
use super::grammar::{Flags, Source};
use super::places::Places;
use super::sequence::Sequence;
use super::tree::Node;
use super::{perl, posix};

/// Memory of one automaton before it is built. Patterns that come near it are PCRE2's already.
const NFA_BYTES_MAX: usize = 16 << 20;

/// Memory for the states of one pattern's automaton, which come into being as they are needed.
const STATES_BYTES_MAX: usize = 256 << 10;

/// What a pattern's states take in the end, roughly.
const STATES_BYTES_USUAL: usize = 32 << 10;

/// Memory for the automata of all patterns of a table that are tried one by one. Those beyond are built
/// again each time.
pub(super) const AUTOMATA_BYTES_MAX: usize = 128 << 20;

/// What PCRE2 makes of a pattern, roughly.
const PERL_BYTES_USUAL: usize = 4 << 10;

const UNREADABLE: &str = "the pattern cannot be read any more";

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Matcher {
    source: Source,
    groups: u32,
    test: Test,
    /// Built when it is first needed: a rule's text seldom has groups.
    finder: OnceLock<Arc<GroupFinder>>,
}

/// Says where groups match, which an automaton cannot without losing its speed.
#[derive(Debug)]
enum GroupFinder {
    Posix(PikeVM),
    Perl(Backtracking),
}

#[derive(Debug)]
enum Test {
    Sequence(Sequence),
    /// Built when it is first needed: of ten thousand patterns most are never more than suspected.
    Automaton(OnceLock<Arc<meta::Regex>>),
    Backtracking(Box<Backtracking>),
}

impl Matcher {
    /// Compiles a pattern; also gives its tree, if there is one.
    pub(super) fn new(source: Source) -> Result<(Self, Option<Node>), String> {
        let (node, groups) = match source.flags {
            Flags::Posix(flags) => posix::parse(source.text.as_bytes(), flags)
                .map(|(node, groups)| (Some(node), groups))?,
            Flags::Perl(flags) => perl::parse(&source.text, flags)
                .map_or((None, 0), |(node, groups)| (Some(node), groups)),
        };
        if let Some(node) = node.as_ref().filter(|node| node.is_regular()) {
            let test = match Sequence::new(node) {
                Some(sequence) => Test::Sequence(sequence),
                None => Test::Automaton(OnceLock::new()),
            };
            return Ok((Self::with(source, groups, test), Some(node.clone())));
        }
        let backtracking = backtracking(&source, node.as_ref())?;
        let groups = backtracking.group_count();
        let test = Test::Backtracking(Box::new(backtracking));
        Ok((Self::with(source, groups, test), node))
    }

    fn with(source: Source, groups: u32, test: Test) -> Self {
        Self { source, groups, test, finder: OnceLock::new() }
    }

    /// How many groups the pattern has.
    pub(super) fn group_count(&self) -> u32 {
        self.groups
    }

    /// True where several of its kind can be one automaton.
    pub(super) fn is_regular(&self) -> bool {
        !matches!(self.test, Test::Backtracking(_))
    }

    /// True where trying it takes next to nothing.
    pub(super) fn is_sequence(&self) -> bool {
        matches!(self.test, Test::Sequence(_))
    }

    /// Whether the pattern matches; an error where that takes too long to find out. `places` are those of
    /// the text, where they are known; `steps` are those taken so far.
    pub(super) fn matches(
        &self,
        text: &[u8],
        places: Option<&Places>,
        used: &AtomicUsize,
        steps: &mut u64,
    ) -> Result<bool, String> {
        match &self.test {
            Test::Sequence(sequence) => Ok(sequence.matches(text, places, steps)),
            Test::Automaton(automaton) => {
                *steps += text.len() as u64;
                Ok(self.automaton(automaton, used)?.is_match(Input::new(text)))
            }
            Test::Backtracking(backtracking) => backtracking.matches(text, steps),
        }
    }

    /// Where the groups of a pattern that matches do.
    pub(super) fn groups(&self, text: &[u8], used: &AtomicUsize) -> Result<Groups, String> {
        const GONE: &str = "it matched, and then it did not";
        let fresh = OnceLock::new();
        let automaton = match &self.test {
            Test::Backtracking(backtracking) => {
                return backtracking.groups(text)?.ok_or_else(|| GONE.to_owned());
            }
            Test::Automaton(automaton) => automaton,
            Test::Sequence(_) => &fresh,
        };
        match &*self.finder(used)? {
            GroupFinder::Posix(machine) => {
                let automaton = self.automaton(automaton, used)?;
                let found = automaton.find(Input::new(text)).ok_or(GONE)?;
                Ok(longest(machine, text, found.start()))
            }
            GroupFinder::Perl(backtracking) => match backtracking.groups(text) {
                Ok(groups) => groups.ok_or_else(|| GONE.to_owned()),
                // The automaton has its own opinion only of what is in a group that is repeated without
                // anything in it, and it always comes to an end.
                Err(_) => {
                    let automaton = self.automaton(automaton, used)?;
                    let mut places = automaton.create_captures();
                    automaton.captures(Input::new(text), &mut places);
                    let group = |group| places.get_group(group).map(|span| (span.start, span.end));
                    Ok((0..places.group_len()).map(group).collect())
                }
            },
        }
    }

    fn finder(&self, used: &AtomicUsize) -> Result<Arc<GroupFinder>, String> {
        if let Some(finder) = self.finder.get() {
            return Ok(finder.clone());
        }
        let (finder, size) = match self.source.flags {
            Flags::Posix(_) => {
                let node = self.tree().ok_or(UNREADABLE)?;
                let machine = machine(&node)?;
                let size = machine.get_nfa().memory_usage();
                (GroupFinder::Posix(machine), size)
            }
            Flags::Perl(flags) => {
                (GroupFinder::Perl(Backtracking::new(&self.source.text, flags)?), PERL_BYTES_USUAL)
            }
        };
        Ok(keep(&self.finder, finder, size, used))
    }

    fn automaton(
        &self,
        kept: &OnceLock<Arc<meta::Regex>>,
        used: &AtomicUsize,
    ) -> Result<Arc<meta::Regex>, String> {
        if let Some(automaton) = kept.get() {
            return Ok(automaton.clone());
        }
        let node = self.tree().ok_or(UNREADABLE)?;
        let automaton = meta::Builder::new()
            .configure(
                meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(NFA_BYTES_MAX))
                    .hybrid_cache_capacity(STATES_BYTES_MAX),
            )
            .build_from_hir(&node.to_hir())
            .map_err(|why| why.to_string())?;
        let size = automaton.memory_usage() + STATES_BYTES_USUAL;
        Ok(keep(kept, automaton, size, used))
    }

    fn tree(&self) -> Option<Node> {
        match self.source.flags {
            Flags::Posix(flags) => posix::parse(self.source.text.as_bytes(), flags).ok(),
            Flags::Perl(flags) => perl::parse(&self.source.text, flags),
        }
        .map(|(node, _)| node)
    }
}

fn backtracking(source: &Source, node: Option<&Node>) -> Result<Backtracking, String> {
    match (source.flags, node) {
        (Flags::Perl(flags), _) => Backtracking::new(&source.text, flags),
        (Flags::Posix(posix), Some(node)) => {
            let flags = perl::Flags {
                ignore_case: posix.ignore_case,
                dot_all: true,
                lines: false,
                spaced: false,
                anchored: false,
                end_only: false,
                lazy: false,
            };
            Backtracking::new(&node.to_perl(), flags)
        }
        (Flags::Posix(_), None) => Err("the pattern cannot be read".to_owned()),
    }
}

/// Keeps what was built, as long as there is room for it.
fn keep<T>(kept: &OnceLock<Arc<T>>, built: T, size: usize, used: &AtomicUsize) -> Arc<T> {
    let built = Arc::new(built);
    if used.fetch_add(size, Ordering::Relaxed) + size <= AUTOMATA_BYTES_MAX {
        return kept.get_or_init(|| built).clone();
    }
    used.fetch_sub(size, Ordering::Relaxed);
    built
}

/// Finds the groups of a POSIX pattern: of all matches that begin at one place the longest counts, and of
/// the ways to get there the one that prefers the first alternative and the most repetitions, as the GNU
/// C library does (POSIX would have it prefer the longest groups).
fn machine(node: &Node) -> Result<PikeVM, String> {
    let nfa = NFA::compiler()
        .configure(NFA::config().utf8(false).nfa_size_limit(Some(NFA_BYTES_MAX)))
        .build_from_hir(&node.to_hir())
        .map_err(|why| why.to_string())?;
    PikeVM::builder()
        .configure(PikeVM::config().match_kind(MatchKind::All))
        .build_from_nfa(nfa)
        .map_err(|why| why.to_string())
}

fn longest(machine: &PikeVM, text: &[u8], start: usize) -> Groups {
    let mut cache = machine.create_cache();
    let mut slots: Vec<Option<NonMaxUsize>> = vec![None; machine.get_nfa().group_info().slot_len()];
    let input = Input::new(text).span(start..text.len()).anchored(Anchored::Yes);
    machine.search_slots(&mut cache, &input, &mut slots);
    let group = |ends: &[Option<NonMaxUsize>]| Some((ends[0]?.get(), ends[1]?.get()));
    slots.chunks_exact(2).map(group).collect()
}
