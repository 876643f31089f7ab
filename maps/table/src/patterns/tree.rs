//! A pattern as a tree, whichever syntax it was written in.
//!
//! Text is bytes, as in Postfix's C locale: `.` is one byte, and only ASCII letters have a case.

use regex_syntax::hir;

/// How deep groups may nest. PCRE2's own limit.
pub(super) const GROUP_DEPTH_MAX: usize = 250;

/// Positions of a pattern, repetitions written out, up to which it is compiled into an automaton.
const POSITIONS_MAX: u64 = 20_000;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Empty,
    /// One byte out of these.
    Bytes(ByteSet),
    Look(Look),
    Concat(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        greedy: bool,
    },
    /// `( )`, numbered from 1.
    Group {
        number: u32,
        node: Box<Node>,
    },
    /// What an earlier group matched. Not regular.
    Back(u32),
    /// Matches at most where this does, and no more is known of it here: an atomic group. Not regular.
    Narrower(Box<Node>),
    /// Consumes nothing, but somewhere in the text there must be this: a lookahead. Not regular.
    Beside(Box<Node>),
    /// Anything. Not regular.
    Opaque,
}

/// What holds at a place in the text, without consuming any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Look {
    Start,
    End,
    LineStart,
    LineEnd,
    /// The end, or before a line feed that ends the text: Perl's `$`.
    LastLineEnd,
    WordEdge,
    NoWordEdge,
    WordStart,
    WordEnd,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    /// The bytes for which this holds.
    pub(super) fn those(holds: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=u8::MAX).filter(|&b| holds(b)).for_each(|b| set.insert(b));
        set
    }

    pub(super) fn one(b: u8) -> Self {
        let mut set = Self::default();
        set.insert(b);
        set
    }

    pub(super) fn insert(&mut self, b: u8) {
        self.0[usize::from(b >> 6)] |= 1 << (b & 63);
    }

    pub(super) fn remove(&mut self, b: u8) {
        self.0[usize::from(b >> 6)] &= !(1 << (b & 63));
    }

    pub(super) fn has(&self, b: u8) -> bool {
        self.0[usize::from(b >> 6)] >> (b & 63) & 1 == 1
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn complement(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|&b| self.has(b))
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// With each letter the same letter in the other case.
    pub(super) fn in_any_case(self) -> Self {
        Self::those(|b| self.has(b.to_ascii_lowercase()) || self.has(b.to_ascii_uppercase()))
    }

    fn ranges(&self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for b in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == b => *last = b,
                _ => ranges.push((b, b)),
            }
        }
        ranges
    }
}

impl Node {
    /// Several nodes one after the other.
    pub(super) fn concat(mut nodes: Vec<Self>) -> Self {
        match nodes.len() {
            0 => Self::Empty,
            1 => nodes.remove(0),
            _ => Self::Concat(nodes),
        }
    }

    /// One of several nodes, the first preferred.
    pub(super) fn either(mut nodes: Vec<Self>) -> Self {
        match nodes.len() {
            1 => nodes.remove(0),
            _ => Self::Either(nodes),
        }
    }

    /// True where an automaton can tell whether the pattern matches, and is of a reasonable size.
    pub(super) fn is_regular(&self) -> bool {
        self.positions() <= POSITIONS_MAX && self.is_regular_here(true)
    }

    /// `last`: nothing that consumes text can follow. Only there "before the last line feed" can be
    /// taken for "and the last line feed".
    fn is_regular_here(&self, last: bool) -> bool {
        match self {
            Self::Empty | Self::Bytes(_) => true,
            Self::Look(look) => last || *look != Look::LastLineEnd,
            Self::Concat(nodes) => nodes
                .iter()
                .rev()
                .enumerate()
                .all(|(at, node)| node.is_regular_here(last && at == 0)),
            Self::Either(nodes) => nodes.iter().all(|node| node.is_regular_here(last)),
            Self::Repeat { node, .. } => node.is_regular_here(false),
            Self::Group { node, .. } => node.is_regular_here(last),
            Self::Back(_) | Self::Narrower(_) | Self::Beside(_) | Self::Opaque => false,
        }
    }

    fn positions(&self) -> u64 {
        match self {
            Self::Concat(nodes) | Self::Either(nodes) => {
                nodes.iter().fold(1, |sum, node| sum.saturating_add(node.positions()))
            }
            Self::Repeat { node, min, max, .. } => {
                node.positions().saturating_mul(u64::from(max.unwrap_or(*min).max(1)))
            }
            Self::Group { node, .. } | Self::Narrower(node) | Self::Beside(node) => {
                node.positions() + 1
            }
            _ => 1,
        }
    }

    /// The regular expression, for the automata.
    pub(super) fn to_hir(&self) -> hir::Hir {
        use hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, Repetition};
        match self {
            Self::Empty => Hir::empty(),
            Self::Bytes(set) => {
                let ranges = set.ranges();
                let ranges = ranges.into_iter().map(|(a, b)| ClassBytesRange::new(a, b));
                Hir::class(Class::Bytes(ClassBytes::new(ranges)))
            }
            Self::Look(Look::LastLineEnd) => Hir::concat(vec![
                Hir::repetition(Repetition {
                    min: 0,
                    max: Some(1),
                    greedy: true,
                    sub: Box::new(Hir::literal(*b"\n")),
                }),
                Hir::look(hir::Look::End),
            ]),
            Self::Look(look) => Hir::look(match look {
                Look::Start => hir::Look::Start,
                Look::End | Look::LastLineEnd => hir::Look::End,
                Look::LineStart => hir::Look::StartLF,
                Look::LineEnd => hir::Look::EndLF,
                Look::WordEdge => hir::Look::WordAscii,
                Look::NoWordEdge => hir::Look::WordAsciiNegate,
                Look::WordStart => hir::Look::WordStartAscii,
                Look::WordEnd => hir::Look::WordEndAscii,
            }),
            Self::Concat(nodes) => Hir::concat(nodes.iter().map(Self::to_hir).collect()),
            Self::Either(nodes) => Hir::alternation(nodes.iter().map(Self::to_hir).collect()),
            Self::Repeat { node, min, max, greedy } => Hir::repetition(Repetition {
                min: *min,
                max: *max,
                greedy: *greedy,
                sub: Box::new(node.to_hir()),
            }),
            Self::Group { number, node } => {
                Hir::capture(Capture { index: *number, name: None, sub: Box::new(node.to_hir()) })
            }
            // Not regular: nobody asks.
            Self::Back(_) | Self::Narrower(_) | Self::Beside(_) | Self::Opaque => Hir::fail(),
        }
    }

    /// The same pattern in PCRE2's syntax, for what POSIX has and automata have not. Flags are all
    /// settled in the tree.
    pub(super) fn to_perl(&self) -> String {
        let mut text = String::new();
        self.write_perl(&mut text);
        text
    }

    fn write_perl(&self, text: &mut String) {
        use std::fmt::Write;
        match self {
            Self::Empty | Self::Opaque => {}
            Self::Bytes(set) if set.len() == 0 => text.push_str("(?!)"),
            Self::Bytes(set) => {
                text.push('[');
                for (first, last) in set.ranges() {
                    let _ = write!(text, "\\x{first:02x}-\\x{last:02x}");
                }
                text.push(']');
            }
            Self::Look(look) => text.push_str(match look {
                Look::Start => "\\A",
                Look::End => "\\z",
                Look::LineStart => "(?<![^\\n])",
                Look::LineEnd => "(?![^\\n])",
                Look::LastLineEnd => "\\Z",
                Look::WordEdge => "\\b",
                Look::NoWordEdge => "\\B",
                Look::WordStart => "\\b(?=\\w)",
                Look::WordEnd => "\\b(?<=\\w)",
            }),
            Self::Concat(nodes) => nodes.iter().for_each(|node| node.write_perl(text)),
            Self::Either(nodes) => {
                text.push_str("(?:");
                for (at, node) in nodes.iter().enumerate() {
                    if at > 0 {
                        text.push('|');
                    }
                    node.write_perl(text);
                }
                text.push(')');
            }
            Self::Repeat { node, min, max, greedy } => {
                text.push_str("(?:");
                node.write_perl(text);
                let _ = match max {
                    Some(max) => write!(text, "){{{min},{max}}}"),
                    None => write!(text, "){{{min},}}"),
                };
                if !greedy {
                    text.push('?');
                }
            }
            Self::Group { node, .. } => {
                text.push('(');
                node.write_perl(text);
                text.push(')');
            }
            Self::Back(number) => {
                let _ = write!(text, "\\g{{{number}}}");
            }
            Self::Narrower(node) => {
                text.push_str("(?>");
                node.write_perl(text);
                text.push(')');
            }
            Self::Beside(node) => {
                text.push_str("(?=");
                node.write_perl(text);
                text.push(')');
            }
        }
    }
}

/// The bytes of a named class, `alpha` in `[[:alpha:]]`.
pub(super) fn named_class(name: &str) -> Option<ByteSet> {
    let holds: fn(u8) -> bool = match name {
        "alnum" => |b| b.is_ascii_alphanumeric(),
        "alpha" => |b| b.is_ascii_alphabetic(),
        "blank" => |b| matches!(b, b' ' | b'\t'),
        "cntrl" => |b| b.is_ascii_control(),
        "digit" => |b| b.is_ascii_digit(),
        "graph" => |b| b.is_ascii_graphic(),
        "lower" => |b| b.is_ascii_lowercase(),
        "print" => |b| b.is_ascii_graphic() || b == b' ',
        "punct" => |b| b.is_ascii_punctuation(),
        "space" => is_space,
        "upper" => |b| b.is_ascii_uppercase(),
        "xdigit" => |b| b.is_ascii_hexdigit(),
        _ => return None,
    };
    Some(ByteSet::those(holds))
}

/// What `\w` is.
pub(super) fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// What `\s` is.
pub(super) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t'..=b'\r')
}
