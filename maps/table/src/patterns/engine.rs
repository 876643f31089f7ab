//! Which rule of a table is the first that applies, without trying them one after the other.
//!
//! Equal patterns are one. A pattern is tried only for a line that has the text it needs (see
//! [`super::literals`]); where many patterns need the same text or none, they become automata that tell
//! all of their matches in one pass over the line. A pattern in an `if` needs what the `if` needs, and a
//! rule that applies where its pattern does *not* match is looked at by itself. What is left for a line
//! are a few rules that may apply, and the first that does is the answer.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;

use regex_automata::util::prefilter::Prefilter;
use regex_automata::{Input, MatchKind, PatternSet, meta};
use smallvec::SmallVec;

use super::filter::{Census, Filter, FilterBuilder};
use super::grammar::{Pattern, Source};
use super::literals::{self, Texts};
use super::matcher::Matcher;
use super::places::Places;
use super::replacement::{Part, Replacement};
use super::tree::Node;
use crate::Value;

/// Patterns that share the text they need, up to which each is tried by itself.
const SHARED_MAX: u32 = 8;

/// Patterns in one automaton. More of them have more states than can be kept, and an automaton that has
/// to forget its states is slow.
const TOGETHER_MAX: usize = 64;

/// Memory of such an automaton before it is run, and of its states.
const TOGETHER_NFA_BYTES_MAX: usize = 8 << 20;
const TOGETHER_STATES_BYTES_MAX: usize = 2 << 20;

/// Patterns that are tried on one line before it is worth to know where in it everything is, which costs as
/// much as trying some more.
const TRIED_BEFORE_PLACES: u32 = 24;

/// The shortest such line.
const PLACES_LINE_BYTES_MIN: usize = 1024;

/// Steps that one line may take, of all patterns together: a byte that an automaton or a search goes
/// through is one, and so is what PCRE2 counts. Somebody who knows the rules can write a line that each
/// of ten thousand is suspected for; past this the table cannot tell, which is a temporary failure. This is 640 times
/// through a line of 100 KB.
pub(super) const LINE_STEPS_MAX: u64 = 64 << 20;

/// A pattern by its number, and whether it must not match.
#[derive(Clone, Copy, Debug)]
struct Condition {
    pattern: u32,
    negated: bool,
}

#[derive(Debug)]
struct Rule {
    line: u32,
    /// The innermost `if` around it.
    block: Option<u32>,
    first: Condition,
    second: Option<Condition>,
    replacement: Replacement,
}

#[derive(Debug)]
struct Block {
    line: u32,
    parent: Option<u32>,
    condition: Condition,
}

/// What is tried together.
#[derive(Debug)]
enum Trial {
    One(u32),
    Many(Box<Together>),
}

/// Patterns that are one automaton.
#[derive(Debug)]
struct Together {
    automaton: meta::Regex,
    patterns: Box<[u32]>,
    /// The first rule that may come of it.
    first_rule: u32,
}

/// A compiled table.
#[derive(Debug)]
pub(super) struct Engine {
    rules: Box<[Rule]>,
    blocks: Box<[Block]>,
    matchers: Box<[Matcher]>,
    /// For each pattern the rules that may apply where it matches, ascending.
    rules_of: Box<[Box<[u32]>]>,
    filter: Filter,
    trials: Box<[Trial]>,
    /// Trials that no text is needed for.
    always: Box<[u32]>,
    /// Rules that may apply where nothing matches, ascending.
    by_themselves: Box<[u32]>,
    /// Memory of the automata built so far.
    used: AtomicUsize,
}

/// Why a rule cannot be told to apply or not.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) line: u32,
    pub(super) why: String,
}

impl Engine {
    /// The text of the first rule that applies to `line`. What groups matched is put in as it is.
    pub(super) fn find(&self, line: &[u8]) -> Result<Option<Found<'_>>, Failure> {
        let mut search = Search {
            engine: self,
            line,
            known: Known::default(),
            tried: 0,
            places: None,
            steps: 0,
        };
        let Some(rule) = search.first_rule()? else {
            return Ok(None);
        };
        let rule = &self.rules[rule as usize];
        let parts = match &rule.replacement {
            Replacement::Text(text) => return Ok(Some(Found::Text(text))),
            Replacement::Parts(parts) => parts,
        };
        let groups = self.matchers[rule.first.pattern as usize]
            .groups(line, &self.used)
            .map_err(|why| Failure { line: rule.line, why })?;
        let mut text = Vec::new();
        for part in parts {
            match part {
                Part::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::Group(number) => {
                    if let Some(Some((start, end))) = groups.get(*number as usize) {
                        text.extend_from_slice(&line[*start..*end]);
                    }
                }
            }
        }
        Ok(Some(Found::Composed(text)))
    }
}

/// What a rule answers.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Text(&'a Value),
    Composed(Vec<u8>),
}

/// One line on its way through the rules.
struct Search<'a> {
    engine: &'a Engine,
    line: &'a [u8],
    /// Patterns that were tried and may be asked for again.
    known: Known,
    /// How many patterns have been tried.
    tried: u32,
    places: Option<Places>,
    /// Of [`LINE_STEPS_MAX`].
    steps: u64,
}

/// What is known of patterns: nearly always of a few.
#[derive(Default)]
struct Known {
    few: SmallVec<[(u32, bool); 16]>,
    further: Option<HashMap<u32, bool>>,
}

impl Known {
    fn get(&self, pattern: u32) -> Option<bool> {
        let few = self.few.iter().rev().find(|(known, _)| *known == pattern);
        let further = || self.further.as_ref()?.get(&pattern).copied();
        few.map(|(_, matches)| *matches).or_else(further)
    }

    fn insert(&mut self, pattern: u32, matches: bool) {
        if self.few.len() < self.few.inline_size() {
            self.few.push((pattern, matches));
        } else {
            self.further.get_or_insert_default().insert(pattern, matches);
        }
    }
}

impl Search<'_> {
    fn first_rule(&mut self) -> Result<Option<u32>, Failure> {
        let engine = self.engine;
        let mut suspected = engine.filter.suspects(self.line);
        suspected.extend_from_slice(&engine.always);
        let mut candidates: SmallVec<[u32; 32]> = SmallVec::new();
        for &trial in &suspected {
            if let Trial::One(pattern) = &engine.trials[trial as usize] {
                candidates.extend_from_slice(&engine.rules_of[*pattern as usize]);
            }
        }
        candidates.sort_unstable();
        let mut first = self.first_of(&candidates, u32::MAX);
        first = earlier(first, |before| self.first_of(&engine.by_themselves, before));
        for &trial in &suspected {
            if let Trial::Many(together) = &engine.trials[trial as usize] {
                first = earlier(first, |before| self.first_together(together, before));
            }
        }
        match first {
            None => Ok(None),
            Some((_, Err(failure))) => Err(failure),
            Some((rule, Ok(()))) => Ok(Some(rule)),
        }
    }

    /// The first of these rules, in their order, that applies or cannot be told to.
    fn first_of(&mut self, rules: &[u32], before: u32) -> First {
        rules.iter().take_while(|&&rule| rule < before).find_map(|&rule| {
            let applies = self.applies(&self.engine.rules[rule as usize]);
            match applies {
                Ok(false) => None,
                Ok(true) => Some((rule, Ok(()))),
                Err(failure) => Some((rule, Err(failure))),
            }
        })
    }

    fn first_together(&mut self, together: &Together, before: u32) -> First {
        if together.first_rule >= before {
            return None;
        }
        if let Err(failure) = self.has_steps(self.engine.rules[together.first_rule as usize].line) {
            return Some((together.first_rule, Err(failure)));
        }
        self.steps += self.line.len() as u64;
        let mut matched = PatternSet::new(together.patterns.len());
        together.automaton.which_overlapping_matches(&Input::new(self.line), &mut matched);
        let mut candidates: SmallVec<[u32; 32]> = SmallVec::new();
        for (at, &pattern) in together.patterns.iter().enumerate() {
            if matched.contains(regex_automata::PatternID::must(at)) {
                self.known.insert(pattern, true);
                candidates.extend_from_slice(&self.engine.rules_of[pattern as usize]);
            }
        }
        candidates.sort_unstable();
        self.first_of(&candidates, before)
    }

    fn applies(&mut self, rule: &Rule) -> Result<bool, Failure> {
        let mut block = rule.block;
        while let Some(at) = block {
            let Block { line, parent, condition } = &self.engine.blocks[at as usize];
            if !self.holds(*condition, *line)? {
                return Ok(false);
            }
            block = *parent;
        }
        if !self.holds(rule.first, rule.line)? {
            return Ok(false);
        }
        rule.second.map_or(Ok(true), |second| self.holds(second, rule.line))
    }

    fn holds(&mut self, condition: Condition, line: u32) -> Result<bool, Failure> {
        let Condition { pattern, negated } = condition;
        if let Some(matches) = self.known.get(pattern) {
            return Ok(matches != negated);
        }
        self.has_steps(line)?;
        self.tried += 1;
        if self.tried == TRIED_BEFORE_PLACES && self.line.len() >= PLACES_LINE_BYTES_MIN {
            self.places = Some(Places::of(self.line));
        }
        let matcher = &self.engine.matchers[pattern as usize];
        let matches = matcher
            .matches(self.line, self.places.as_ref(), &self.engine.used, &mut self.steps)
            .map_err(|why| Failure { line, why })?;
        if !matcher.is_sequence() {
            self.known.insert(pattern, matches);
        }
        Ok(matches != negated)
    }

    /// The error is that the rule at `line` came too late for this.
    fn has_steps(&self, line: u32) -> Result<(), Failure> {
        if self.steps < LINE_STEPS_MAX {
            return Ok(());
        }
        let why = format!(
            "a line of {} bytes is suspected of so many rules that it took {LINE_STEPS_MAX} steps \
             before this one",
            self.line.len()
        );
        Err(Failure { line, why })
    }
}

/// A rule, and whether it applies or could not be told to.
type First = Option<(u32, Result<(), Failure>)>;

fn earlier(first: First, find: impl FnOnce(u32) -> First) -> First {
    let before = first.as_ref().map_or(u32::MAX, |(rule, _)| *rule);
    find(before).or(first)
}

/// Rules as they are read.
#[derive(Default)]
pub(super) struct Builder {
    rules: Vec<Rule>,
    blocks: Vec<Block>,
    open: Vec<u32>,
    numbers: HashMap<Source, u32>,
    matchers: Vec<Matcher>,
    trees: Vec<Option<Node>>,
}

impl Builder {
    pub(super) fn begin_block(&mut self, condition: &Pattern, line: u32) -> Result<(), String> {
        let condition = self.condition(condition)?;
        let parent = self.open.last().copied();
        self.open.push(self.blocks.len() as u32);
        self.blocks.push(Block { line, parent, condition });
        Ok(())
    }

    /// False where no block has begun.
    pub(super) fn end_block(&mut self) -> bool {
        self.open.pop().is_some()
    }

    /// How many blocks have not ended.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Where they begin.
    pub(super) fn open_lines(&self) -> impl Iterator<Item = u32> {
        self.open.iter().map(|&block| self.blocks[block as usize].line)
    }

    pub(super) fn add_rule(
        &mut self,
        first: &Pattern,
        second: Option<&Pattern>,
        replacement: Replacement,
        line: u32,
    ) -> Result<(), String> {
        let first = self.condition(first)?;
        let groups = self.matchers[first.pattern as usize].group_count();
        if replacement.groups() > groups {
            let wanted = replacement.groups();
            return Err(format!("the text has ${wanted}, but the pattern only {groups} groups"));
        }
        let second = second.map(|second| self.condition(second)).transpose()?;
        let block = self.open.last().copied();
        self.rules.push(Rule { line, block, first, second, replacement });
        Ok(())
    }

    fn condition(&mut self, pattern: &Pattern) -> Result<Condition, String> {
        let negated = pattern.negated;
        if let Some(&pattern) = self.numbers.get(&pattern.source) {
            return Ok(Condition { pattern, negated });
        }
        let (matcher, tree) = Matcher::new(pattern.source.clone())?;
        let number = self.matchers.len() as u32;
        self.matchers.push(matcher);
        self.trees.push(tree);
        self.numbers.insert(pattern.source.clone(), number);
        Ok(Condition { pattern: number, negated })
    }

    pub(super) fn build(self) -> Engine {
        let (rules_of, by_themselves) = self.triggers();
        let needed = self.needed(&rules_of);
        let mut census = Census::default();
        needed.iter().flatten().for_each(|needed| census.count(needed));
        let mut plan = Plan {
            rules_of: &rules_of,
            matchers: &self.matchers,
            trees: &self.trees,
            filter: FilterBuilder::new(&census),
            trials: Vec::new(),
            always: Vec::new(),
        };
        // Those that share the text they need, and with it the cost of trying them.
        let mut sharing: HashMap<&Texts, Vec<u32>> = HashMap::new();
        let mut unneeding = Vec::new();
        for (pattern, needed) in (0..).zip(&needed) {
            let Some(needed) = needed else { continue };
            match census.choose(needed) {
                Some((texts, shared)) if shared <= SHARED_MAX => {
                    plan.one(pattern, Some(texts));
                }
                Some((texts, _)) => sharing.entry(texts).or_default().push(pattern),
                None => unneeding.push(pattern),
            }
        }
        let mut sharing: Vec<_> = sharing.into_iter().collect();
        sharing.sort_unstable();
        for (texts, patterns) in sharing {
            plan.several(&patterns, Some(texts));
        }
        plan.several(&unneeding, None);
        let Plan { filter, trials, always, .. } = plan;
        let (filter, trials, always) = (filter.build(), trials.into(), always.into());
        Engine {
            rules: self.rules.into(),
            blocks: self.blocks.into(),
            matchers: self.matchers.into(),
            rules_of: rules_of.into_iter().map(Vec::into_boxed_slice).collect(),
            filter,
            trials,
            always,
            by_themselves: by_themselves.into(),
            used: AtomicUsize::new(0),
        }
    }

    /// For each pattern the rules that can only apply where it matches and that are looked at when it
    /// does: each rule comes with one of its patterns. The rest is looked at always.
    fn triggers(&self) -> (Vec<Vec<u32>>, Vec<u32>) {
        let mut rules_of = vec![Vec::new(); self.matchers.len()];
        let mut by_themselves = Vec::new();
        for (number, rule) in (0..).zip(&self.rules) {
            let own = [Some(rule.first), rule.second].into_iter().flatten();
            let around = self.blocks_around(rule.block).map(|block| block.condition);
            match own.chain(around).find(|condition| !condition.negated) {
                Some(condition) => rules_of[condition.pattern as usize].push(number),
                None => by_themselves.push(number),
            }
        }
        (rules_of, by_themselves)
    }

    fn blocks_around(&self, innermost: Option<u32>) -> impl Iterator<Item = &Block> {
        let block = |at: u32| &self.blocks[at as usize];
        std::iter::successors(innermost.map(block), move |inner| inner.parent.map(block))
    }

    /// The texts that are needed for a pattern to be of interest; `None` where no rule comes with it.
    fn needed(&self, rules_of: &[Vec<u32>]) -> Vec<Option<Vec<Texts>>> {
        let own: Vec<Vec<Texts>> = self
            .trees
            .iter()
            .map(|tree| tree.as_ref().map(literals::required).unwrap_or_default())
            .collect();
        let with_blocks = |(pattern, rules): (usize, &Vec<u32>)| match rules[..] {
            [] => None,
            [rule] => {
                let mut needed = own[pattern].clone();
                let rule = &self.rules[rule as usize];
                for block in self.blocks_around(rule.block) {
                    if !block.condition.negated {
                        needed.extend_from_slice(&own[block.condition.pattern as usize]);
                    }
                }
                Some(needed)
            }
            _ => Some(own[pattern].clone()),
        };
        rules_of.iter().enumerate().map(with_blocks).collect()
    }
}

/// What is tried when.
struct Plan<'a> {
    rules_of: &'a [Vec<u32>],
    matchers: &'a [Matcher],
    trees: &'a [Option<Node>],
    filter: FilterBuilder<'a>,
    trials: Vec<Trial>,
    always: Vec<u32>,
}

impl Plan<'_> {
    fn one(&mut self, pattern: u32, texts: Option<&Texts>) {
        self.add(Trial::One(pattern), texts);
    }

    fn several(&mut self, patterns: &[u32], texts: Option<&Texts>) {
        let (regular, others): (Vec<u32>, Vec<u32>) =
            patterns.iter().partition(|&&pattern| self.matchers[pattern as usize].is_regular());
        for pattern in others {
            self.one(pattern, texts);
        }
        for patterns in regular.chunks(TOGETHER_MAX) {
            self.together(patterns, texts);
        }
    }

    /// As few automata as they fit into.
    fn together(&mut self, patterns: &[u32], texts: Option<&Texts>) {
        if let [pattern] = patterns {
            return self.one(*pattern, texts);
        }
        match self.automaton(patterns) {
            Some(automaton) => {
                let rules = patterns.iter().flat_map(|&pattern| &self.rules_of[pattern as usize]);
                let first_rule = rules.min().copied().unwrap_or(u32::MAX);
                let together = Together { automaton, patterns: patterns.into(), first_rule };
                self.add(Trial::Many(Box::new(together)), texts);
            }
            None => {
                let (some, others) = patterns.split_at(patterns.len() / 2);
                self.together(some, texts);
                self.together(others, texts);
            }
        }
    }

    fn automaton(&self, patterns: &[u32]) -> Option<meta::Regex> {
        let trees = patterns.iter().map(|&pattern| self.trees[pattern as usize].as_ref());
        let trees: Vec<_> = trees.map(|tree| tree.map(Node::to_hir)).collect::<Option<_>>()?;
        let config = meta::Config::new()
            .match_kind(MatchKind::All)
            .utf8_empty(false)
            .which_captures(regex_automata::nfa::thompson::WhichCaptures::None)
            .nfa_size_limit(Some(TOGETHER_NFA_BYTES_MAX))
            .hybrid_cache_capacity(TOGETHER_STATES_BYTES_MAX)
            .prefilter(None::<Prefilter>);
        meta::Builder::new().configure(config).build_many_from_hir(&trees).ok()
    }

    fn add(&mut self, trial: Trial, texts: Option<&Texts>) {
        let number = self.trials.len() as u32;
        self.trials.push(trial);
        match texts {
            Some(texts) => self.filter.add(texts, number),
            None => self.always.push(number),
        }
    }
}
