//! Patterns that are runs of bytes with anything between them, `/^Subject: .*word/`: most of what header
//! checks are made of. Whether one matches is found out without an automaton, so that ten thousand of
//! them take no memory of their own.

use super::literals::fold;
use super::places::{GRAM_BYTES, Places};
use super::tree::{ByteSet, Look, Node};

/// Runs in their order, anything between them.
#[derive(Debug)]
pub(super) struct Sequence {
    runs: Box<[Run]>,
    /// The first run is where the text begins.
    from_start: bool,
    /// The last run is where it ends.
    to_end: bool,
}

impl Sequence {
    /// The pattern as a sequence, where it is one.
    pub(super) fn new(node: &Node) -> Option<Self> {
        let mut builder = Builder { runs: vec![Vec::new()], from_start: false, to_end: false };
        builder.add(node)?;
        let Builder { runs, from_start, to_end } = builder;
        let runs = runs.into_iter().map(Run::new).collect();
        Some(Self { runs, from_start, to_end })
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
                (true, true) => (rest.len() == length && run.fits(rest)).then_some(0),
                (true, false) => run.fits(rest).then_some(0),
                (false, true) => {
                    let start = rest.len() - length;
                    run.fits(&rest[start..]).then_some(start)
                }
                (false, false) => run.find(text, from, places, steps).map(|at| at - from),
            };
            match found {
                Some(at) => from += at + length,
                None => return false,
            }
        }
        true
    }
}

/// Bytes one after the other.
#[derive(Debug)]
struct Run {
    bytes: Box<[ByteSet]>,
    /// One of them that is only this or that, and where: the way to look for the run.
    landmark: Option<(usize, u8, u8)>,
    /// Four in a row that are known but for their case, and where: the same for a text whose places are
    /// known. The rarest is taken.
    grams: Box<[(u32, [u8; GRAM_BYTES])]>,
}

/// Grams of one run among which the rarest is looked for.
const GRAMS_MAX: usize = 16;

impl Run {
    fn new(bytes: Vec<ByteSet>) -> Self {
        let landmark = |(at, set): (usize, &ByteSet)| {
            let mut bytes = set.iter();
            let first = bytes.next().filter(|_| set.len() <= 2)?;
            Some((at, first, bytes.next().unwrap_or(first)))
        };
        // Vowels and blanks are everywhere.
        let common = |&(_, first, _): &(usize, u8, u8)| b" aeinorstAEINORST".contains(&first);
        let landmark = bytes.iter().enumerate().filter_map(landmark).min_by_key(common);
        let grams =
            bytes.windows(GRAM_BYTES).zip(0..).filter_map(|(sets, at)| Some((at, gram(sets)?)));
        let grams = grams.take(GRAMS_MAX).collect();
        Self { bytes: bytes.into(), landmark, grams }
    }

    fn fits(&self, text: &[u8]) -> bool {
        self.bytes.iter().zip(text).all(|(set, &b)| set.has(b))
    }

    /// The first place from `from` on where it fits into `text`, of which no less is left.
    fn find(
        &self,
        text: &[u8],
        from: usize,
        places: Option<&Places>,
        steps: &mut u64,
    ) -> Option<usize> {
        if let Some(places) = places
            && !self.grams.is_empty()
        {
            return self.find_among(text, from, places, steps);
        }
        let rest = &text[from..];
        let last = rest.len() - self.bytes.len();
        let found = match self.landmark {
            None => (0..=last).find(|&at| self.fits(&rest[at..])),
            Some((offset, one, other)) => {
                memchr::memchr2_iter(one, other, &rest[offset..=last + offset])
                    .find(|&at| self.fits(&rest[at..]))
            }
        };
        *steps += found.unwrap_or(last) as u64;
        found.map(|at| from + at)
    }

    fn find_among(
        &self,
        text: &[u8],
        from: usize,
        places: &Places,
        steps: &mut u64,
    ) -> Option<usize> {
        let of = |(offset, gram): &(u32, [u8; GRAM_BYTES])| {
            (*offset as usize, places.from(gram, from + *offset as usize))
        };
        let (offset, places) = self.grams.iter().map(of).min_by_key(|(_, places)| places.len())?;
        let last = text.len() - self.bytes.len();
        places
            .iter()
            .map(|&at| at as usize - offset)
            .take_while(|&at| at <= last)
            .inspect(|_| *steps += 1)
            .find(|&at| self.fits(&text[at..]))
    }
}

/// What these four are, where each of them is one byte or one letter in both cases.
fn gram(sets: &[ByteSet]) -> Option<[u8; GRAM_BYTES]> {
    let mut gram = [0; GRAM_BYTES];
    for (byte, set) in gram.iter_mut().zip(sets) {
        let mut bytes = set.iter();
        *byte = fold(bytes.next().filter(|_| set.len() <= 2)?);
        if bytes.any(|other| fold(other) != *byte) {
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
    }
}
