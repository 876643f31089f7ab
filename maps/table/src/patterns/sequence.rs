//! Patterns that are runs of bytes with anything between them, `/^Subject: .*word/`: most of what header
//! checks are made of. Whether one matches is found out without an automaton, so that ten thousand of
//! them take no memory of their own.

use std::ops::Range;

use super::literals::fold;
use super::places::{GRAM_BYTES, Places};
use super::tree::{ByteSet, Look, Node};

/// Runs in their order, anything between them. A line that is suspected of this one is seldom suspected of it
/// again soon, so that all of it comes from far memory, and it is kept small.
#[derive(Debug)]
pub(super) struct Sequence {
    runs: Box<[Run]>,
    /// Of all runs.
    bytes: Box<[Masked]>,
    /// Bytes that may be others than a mask can say, by their place among `bytes`.
    sets: Box<[(u32, ByteSet)]>,
    /// Four in a row that are known but for their case, by their place in their run: the way to look for a run in
    /// a text whose places are known. The rarest is taken.
    grams: Box<[(u32, [u8; GRAM_BYTES])]>,
    /// The first run is where the text begins.
    from_start: bool,
    /// The last run is where it ends.
    to_end: bool,
}

/// Bytes one after the other: where the rest about them is.
#[derive(Debug)]
struct Run {
    bytes: Range<u32>,
    sets: Range<u32>,
    grams: Range<u32>,
    landmark: Option<Landmark>,
}

/// A byte of a run that is only this or that, and where: the way to look for the run.
#[derive(Clone, Copy, Debug)]
struct Landmark {
    offset: u32,
    one: u8,
    other: u8,
}

/// What may stand in one place: each byte that has these bits where the mask has some.
#[derive(Clone, Copy, Debug)]
struct Masked {
    mask: u8,
    bits: u8,
}

impl Masked {
    const ANY: Self = Self { mask: 0, bits: 0 };

    /// One byte, two that differ in one bit such as the cases of a letter, or all of them; `None` for any other
    /// set.
    fn of(set: &ByteSet) -> Option<Self> {
        if *set == ByteSet::ALL {
            return Some(Self::ANY);
        }
        let (first, other) = one_or_two(set)?;
        let mask = !(first ^ other);
        (mask.count_zeros() <= 1).then_some(Self { mask, bits: first & mask })
    }

    fn has(self, b: u8) -> bool {
        b & self.mask == self.bits
    }
}

/// The bytes of a set of one, which is both, or of two.
fn one_or_two(set: &ByteSet) -> Option<(u8, u8)> {
    let mut bytes = set.iter();
    let first = bytes.next().filter(|_| set.len() <= 2)?;
    Some((first, bytes.next().unwrap_or(first)))
}

/// Grams of one run among which the rarest is looked for.
const GRAMS_MAX: usize = 16;

impl Sequence {
    /// The pattern as a sequence, where it is one.
    pub(super) fn new(node: &Node) -> Option<Self> {
        let mut builder = Builder { runs: vec![Vec::new()], from_start: false, to_end: false };
        builder.add(node)?;
        let Builder { runs, from_start, to_end } = builder;
        let (mut bytes, mut sets, mut grams) = (Vec::new(), Vec::new(), Vec::new());
        let runs = runs
            .iter()
            .map(|run| {
                let begins = [bytes.len(), sets.len(), grams.len()];
                for set in run {
                    let masked = Masked::of(set);
                    sets.extend(masked.is_none().then_some((bytes.len() as u32, *set)));
                    bytes.push(masked.unwrap_or(Masked::ANY));
                }
                let known = run.windows(GRAM_BYTES).zip(0..);
                let known = known.filter_map(|(sets, at)| Some((at, gram(sets)?)));
                grams.extend(known.take(GRAMS_MAX));
                let range = |begin: usize, end: usize| begin as u32..end as u32;
                Run {
                    bytes: range(begins[0], bytes.len()),
                    sets: range(begins[1], sets.len()),
                    grams: range(begins[2], grams.len()),
                    landmark: Landmark::of(run),
                }
            })
            .collect();
        let (bytes, sets, grams) = (bytes.into(), sets.into(), grams.into());
        Some(Self { runs, bytes, sets, grams, from_start, to_end })
    }

    /// Whether it matches anywhere in `text`. The first place where a run fits is as good as any: it
    /// leaves the most to those behind it. `places` are those of the text, where they are known; `steps` are
    /// the bytes and places looked at so far.
    pub(super) fn matches(&self, text: &[u8], places: Option<&Places>, steps: &mut u64) -> bool {
        let last = self.runs.len() - 1;
        let mut from = 0;
        for (at, run) in self.runs.iter().enumerate() {
            let rest = &text[from..];
            let length = run.bytes.len();
            if rest.len() < length {
                return false;
            }
            let found = match (at == 0 && self.from_start, at == last && self.to_end) {
                (true, true) => (rest.len() == length && self.fits(run, rest)).then_some(0),
                (true, false) => self.fits(run, rest).then_some(0),
                (false, true) => {
                    let start = rest.len() - length;
                    self.fits(run, &rest[start..]).then_some(start)
                }
                (false, false) => self.find(run, text, from, places, steps).map(|at| at - from),
            };
            match found {
                Some(at) => from += at + length,
                None => return false,
            }
        }
        true
    }

    fn fits(&self, run: &Run, text: &[u8]) -> bool {
        let bytes = &self.bytes[in_memory(&run.bytes)];
        bytes.iter().zip(text).all(|(masked, &b)| masked.has(b))
            && self.sets[in_memory(&run.sets)]
                .iter()
                .all(|(at, set)| set.has(text[(at - run.bytes.start) as usize]))
    }

    /// The first place from `from` on where it fits into `text`, of which no less is left.
    fn find(
        &self,
        run: &Run,
        text: &[u8],
        from: usize,
        places: Option<&Places>,
        steps: &mut u64,
    ) -> Option<usize> {
        if let Some(places) = places
            && !run.grams.is_empty()
        {
            return self.find_among(run, text, from, places, steps);
        }
        let rest = &text[from..];
        let last = rest.len() - run.bytes.len();
        let found = match run.landmark {
            None => (0..=last).find(|&at| self.fits(run, &rest[at..])),
            Some(Landmark { offset, one, other }) => {
                let offset = offset as usize;
                memchr::memchr2_iter(one, other, &rest[offset..=last + offset])
                    .find(|&at| self.fits(run, &rest[at..]))
            }
        };
        *steps += found.unwrap_or(last) as u64;
        found.map(|at| from + at)
    }

    fn find_among(
        &self,
        run: &Run,
        text: &[u8],
        from: usize,
        places: &Places,
        steps: &mut u64,
    ) -> Option<usize> {
        let of = |(offset, gram): &(u32, [u8; GRAM_BYTES])| {
            (*offset as usize, places.from(gram, from + *offset as usize))
        };
        let grams = self.grams[in_memory(&run.grams)].iter();
        let (offset, places) = grams.map(of).min_by_key(|(_, places)| places.len())?;
        let last = text.len() - run.bytes.len();
        places
            .iter()
            .map(|&at| at as usize - offset)
            .take_while(|&at| at <= last)
            .inspect(|_| *steps += 1)
            .find(|&at| self.fits(run, &text[at..]))
    }
}

impl Landmark {
    fn of(run: &[ByteSet]) -> Option<Self> {
        let landmark = |(offset, set): (u32, &ByteSet)| {
            one_or_two(set).map(|(one, other)| Self { offset, one, other })
        };
        // Vowels and blanks are everywhere.
        let common = |it: &Self| b" aeinorstAEINORST".contains(&it.one);
        (0..).zip(run).filter_map(landmark).min_by_key(common)
    }
}

fn in_memory(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// What these four are, where each of them is one byte or one letter in both cases.
fn gram(sets: &[ByteSet]) -> Option<[u8; GRAM_BYTES]> {
    let mut gram = [0; GRAM_BYTES];
    for (byte, set) in gram.iter_mut().zip(sets) {
        let (first, other) = one_or_two(set)?;
        *byte = fold(first);
        if fold(other) != *byte {
            return None;
        }
    }
    Some(gram)
}

struct Builder {
    /// The last one is still growing.
    runs: Vec<Vec<ByteSet>>,
    from_start: bool,
    to_end: bool,
}

impl Builder {
    fn add(&mut self, node: &Node) -> Option<()> {
        if self.to_end {
            return None;
        }
        match node {
            Node::Empty => Some(()),
            Node::Bytes(set) => {
                self.runs.last_mut()?.push(*set);
                Some(())
            }
            Node::Group { node, .. } => self.add(node),
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.add(node)),
            Node::Look(Look::Start) if self.runs.len() == 1 && self.runs[0].is_empty() => {
                self.from_start = true;
                Some(())
            }
            Node::Look(Look::End) => {
                self.to_end = true;
                Some(())
            }
            Node::Repeat { node, min: min @ (0 | 1), max: None, .. } => {
                let Node::Bytes(ByteSet::ALL) = **node else { return None };
                let last = self.runs.last_mut()?;
                last.extend((0..*min).map(|_| ByteSet::ALL));
                self.runs.push(Vec::new());
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::posix;
    use super::*;

    fn sequence(pattern: &str, ignore_case: bool) -> Sequence {
        let flags = posix::Flags { extended: true, ignore_case, lines: false };
        let (node, _) = posix::parse(pattern.as_bytes(), flags).unwrap();
        Sequence::new(&node).unwrap()
    }

    proptest! {
        #[test]
        fn it_is_no_matter_whether_the_places_of_a_text_are_known(
            pattern in "\\^?([abAB:]|[abAB:.]{3,7})(\\.\\*[abAB:.]{1,7}){0,3}\\$?",
            text in prop::collection::vec(prop::sample::select(&b"aabbAB: "[..]), 0..200),
            ignore_case: bool,
        ) {
            let sequence = sequence(&pattern, ignore_case);
            let known = sequence.matches(&text, Some(&Places::of(&text)), &mut 0);
            prop_assert_eq!(known, sequence.matches(&text, None, &mut 0));
        }

        #[test]
        fn a_mask_says_what_its_set_says(first: u8, other: u8) {
            let mut set = ByteSet::one(first);
            set.insert(other);
            if let Some(masked) = Masked::of(&set) {
                (0..=u8::MAX).for_each(|b| assert_eq!(masked.has(b), set.has(b), "{b}"));
            }
            prop_assert!(Masked::of(&ByteSet::one(first).in_any_case()).is_some());
        }
    }

    #[test]
    fn bytes_that_no_mask_can_say_are_looked_at_as_well() {
        let sequence = sequence("^[[:digit:]]x.*[ad][^b]$", false);
        for (text, matches) in [
            ("1x:ac", true),
            ("1xdc", true),
            ("ax:ac", false),
            ("1x:bc", false),
            ("1x:ab", false),
            ("1xa", false),
        ] {
            assert_eq!(sequence.matches(text.as_bytes(), None, &mut 0), matches, "{text}");
        }
    }
}
