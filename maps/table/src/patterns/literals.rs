//! What text there must be for a pattern to match.
//!
//! `/^Subject: .*cheap (pills|watches)/` matches no line without "subject: ", none without "cheap " and
//! none with neither "pills" nor "watches". Looking for such text in a line is much faster than looking
//! for the pattern, and one look serves all patterns. All text here is in one case, see [`fold`].

use super::tree::{ByteSet, Node};

/// Texts that a piece of a pattern may stand for, up to which they are told apart.
const ALTERNATIVES_MAX: usize = 16;

/// Bytes of one text. What is longer is cut: its beginning is needed just as well.
const TEXT_BYTES_MAX: usize = 64;

/// The shortest text worth looking for.
pub(super) const TEXT_BYTES_MIN: usize = 3;

/// One of these is in every text that matches.
pub(super) type Texts = Vec<Box<[u8]>>;

/// The same for both cases of a letter, and cheap to compute for many bytes at once. It also takes some
/// punctuation for other punctuation, which only means that a pattern is tried in vain.
pub(super) const fn fold(b: u8) -> u8 {
    b | 0x20
}

/// Everything known to be needed; any one of them is enough to rule a line out. None of the texts is
/// shorter than [`TEXT_BYTES_MIN`].
pub(super) fn required(node: &Node) -> Vec<Texts> {
    let mut found = Vec::new();
    let exact = collect(node, &mut found);
    keep(exact, &mut found);
    found
}

/// Adds what `node` needs to `found`, and gives all texts that it may match, as long as they are few.
fn collect(node: &Node, found: &mut Vec<Texts>) -> Option<Vec<Vec<u8>>> {
    match node {
        Node::Empty | Node::Look(_) => Some(vec![Vec::new()]),
        Node::Bytes(set) => few(set),
        Node::Group { node, .. } => collect(node, found),
        Node::Narrower(node) => {
            let exact = collect(node, found);
            keep(exact, found);
            None
        }
        Node::Beside(node) => {
            let exact = collect(node, found);
            keep(exact, found);
            Some(vec![Vec::new()])
        }
        Node::Back(_) | Node::Opaque => None,
        Node::Repeat { node, min: 1, max: Some(1), .. } => collect(node, found),
        Node::Repeat { min: 0, .. } => None,
        Node::Repeat { node, .. } => {
            let exact = collect(node, found);
            keep(exact, found);
            None
        }
        Node::Concat(nodes) => {
            let mut exact = Some(vec![Vec::new()]);
            let mut whole = true;
            for node in nodes {
                let next = collect(node, found);
                let joined = join(exact.as_deref(), next.as_deref());
                if joined.is_none() {
                    whole = false;
                    keep(exact, found);
                    exact = next;
                    // What could stand before it is unknown, so a piece begins anew behind the unknown.
                    if exact.is_none() {
                        exact = Some(vec![Vec::new()]);
                    }
                } else {
                    exact = joined;
                }
            }
            if whole {
                return exact;
            }
            keep(exact, found);
            None
        }
        Node::Either(nodes) => {
            let mut all = Some(Vec::new());
            let mut needed: Option<Texts> = Some(Vec::new());
            for node in nodes {
                let mut inside = Vec::new();
                let exact = collect(node, &mut inside);
                keep(exact.clone(), &mut inside);
                all = all.zip(exact).map(|(mut all, exact)| {
                    all.extend(exact);
                    all
                });
                let best = inside.into_iter().max_by_key(shortest);
                needed = needed.zip(best).map(|(mut needed, best)| {
                    needed.extend(best);
                    needed
                });
            }
            let all = all.filter(|all| all.len() <= ALTERNATIVES_MAX);
            if all.is_none() {
                found.extend(needed.filter(|needed| needed.len() <= ALTERNATIVES_MAX));
            }
            all
        }
    }
}

/// The texts of one byte, where there are few.
fn few(set: &ByteSet) -> Option<Vec<Vec<u8>>> {
    // Five letters are ten bytes.
    if set.len() == 0 || set.len() > 10 {
        return None;
    }
    let mut texts: Vec<Vec<u8>> = set.iter().map(|b| vec![fold(b)]).collect();
    texts.sort_unstable();
    texts.dedup();
    (texts.len() <= 5).then_some(texts)
}

fn join(before: Option<&[Vec<u8>]>, after: Option<&[Vec<u8>]>) -> Option<Vec<Vec<u8>>> {
    let (before, after) = (before?, after?);
    if before.len() * after.len() > ALTERNATIVES_MAX {
        return None;
    }
    let longest = |texts: &[Vec<u8>]| texts.iter().map(Vec::len).max().unwrap_or(0);
    if longest(before) + longest(after) > TEXT_BYTES_MAX {
        return None;
    }
    let join = |first: &Vec<u8>| {
        let first = first.clone();
        after.iter().map(move |second| [&*first, second].concat())
    };
    Some(before.iter().flat_map(join).collect())
}

fn keep(exact: Option<Vec<Vec<u8>>>, found: &mut Vec<Texts>) {
    let Some(mut texts) = exact else { return };
    if texts.is_empty() || texts.iter().any(|text| text.len() < TEXT_BYTES_MIN) {
        return;
    }
    texts.sort_unstable();
    texts.dedup();
    found.push(texts.into_iter().map(Vec::into_boxed_slice).collect());
}

fn shortest(texts: &Texts) -> usize {
    texts.iter().map(|text| text.len()).min().unwrap_or(0)
}
