//! Patterns that are runs of bytes with anything between them, `/^Subject: .*word/`: most of what header
//! checks are made of. Whether one matches is found out without an automaton, so that ten thousand of
//! them take no memory of their own.

use super::tree::{ByteSet, Look, Node};

/// Runs in their order, anything between them.
#[derive(Debug)]
pub(super) struct Sequence {
    runs: Box<[Box<[ByteSet]>]>,
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
        let runs = runs.into_iter().map(Vec::into_boxed_slice).collect();
        Some(Self { runs, from_start, to_end })
    }

    /// Whether it matches anywhere in `text`. The first place where a run fits is as good as any: it
    /// leaves the most to those behind it.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let last = self.runs.len() - 1;
        let mut from = 0;
        for (at, run) in self.runs.iter().enumerate() {
            let rest = &text[from..];
            if rest.len() < run.len() {
                return false;
            }
            let found = match (at == 0 && self.from_start, at == last && self.to_end) {
                (true, true) => (rest.len() == run.len() && fits(run, rest)).then_some(0),
                (true, false) => fits(run, rest).then_some(0),
                (false, true) => {
                    let start = rest.len() - run.len();
                    fits(run, &rest[start..]).then_some(start)
                }
                (false, false) => (0..=rest.len() - run.len()).find(|&at| fits(run, &rest[at..])),
            };
            match found {
                Some(at) => from += at + run.len(),
                None => return false,
            }
        }
        true
    }
}

fn fits(run: &[ByteSet], text: &[u8]) -> bool {
    run.iter().zip(text).all(|(set, &b)| set.has(b))
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
