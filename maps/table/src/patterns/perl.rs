//! The syntax of `pcre:` tables, as far as it takes to do without PCRE2.
//!
//! What is read here means the same to PCRE2, byte for byte; that is checked against it (see
//! `tests/patterns.rs`). What is not understood for certain makes the pattern irregular: PCRE2 then
//! compiles it, finds its mistakes and matches it, and the tree only serves to see what text there must
//! be for it to match. It is wrong to guess here, and never wrong to give up.

use super::tree::{ByteSet, GROUP_DEPTH_MAX, Look, Node, is_space, is_word, named_class};

/// The highest number in `{ }`.
const REPEAT_MAX: u32 = 65535;

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    /// `.` matches line feeds, too.
    pub(super) dot_all: bool,
    /// `^` and `$` know lines.
    pub(super) lines: bool,
    /// White space and comments in the pattern are nothing.
    pub(super) spaced: bool,
    /// A match begins where the text does.
    pub(super) anchored: bool,
    /// `$` is the end and nothing else.
    pub(super) end_only: bool,
    /// Repetitions are lazy, and greedy with `?`.
    pub(super) lazy: bool,
}

/// Reads a pattern; also gives the number of its groups. `None` where nothing can be said about it.
pub(super) fn parse(pattern: &str, flags: Flags) -> Option<(Node, u32)> {
    let mut parser = Parser { pattern: pattern.as_bytes(), flags, at: 0, groups: 0, depth: 0 };
    let node = parser.alternatives()?;
    if parser.at < parser.pattern.len() {
        return None;
    }
    let node = match flags.anchored {
        true => Node::Concat(vec![Node::Look(Look::Start), node]),
        false => node,
    };
    Some((node, parser.groups))
}

struct Parser<'a> {
    pattern: &'a [u8],
    flags: Flags,
    at: usize,
    groups: u32,
    depth: usize,
}

/// What one element of a pattern is.
enum Element {
    /// Something that can be repeated.
    Node(Node),
    /// Something that cannot, or for which it is not obvious what it means.
    Once(Node),
    /// A setting or a comment.
    Nothing,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.pattern.get(self.at + ahead).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let b = self.peek()?;
        self.at += 1;
        Some(b)
    }

    fn take_if(&mut self, expected: &[u8]) -> bool {
        let is = self.pattern[self.at..].starts_with(expected);
        self.at += if is { expected.len() } else { 0 };
        is
    }

    /// Settings made inside hold up to the end of the group, for its later branches, too.
    fn alternatives(&mut self) -> Option<Node> {
        let outside = self.flags;
        let mut branches = vec![self.branch()?];
        while self.take_if(b"|") {
            branches.push(self.branch()?);
        }
        self.flags = outside;
        Some(Node::either(branches))
    }

    fn branch(&mut self) -> Option<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(b'|' | b')') => return Some(Node::concat(nodes)),
                Some(_) => {}
            }
            if self.take_if(b"\\Q") {
                self.quoted(&mut nodes)?;
                continue;
            }
            match self.element()? {
                Element::Node(node) => {
                    let node = self.repeated(node)?;
                    nodes.push(node);
                }
                Element::Once(node) => {
                    nodes.push(node);
                    self.skip_space();
                    if self.repetition_follows() {
                        return None;
                    }
                }
                Element::Nothing => {}
            }
        }
    }

    /// White space and comments where they are nothing.
    fn skip_space(&mut self) {
        while self.flags.spaced {
            match self.peek() {
                Some(b) if is_space(b) => self.at += 1,
                Some(b'#') => {
                    let rest = &self.pattern[self.at..];
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// What follows `\Q`, up to `\E`: each byte itself.
    fn quoted(&mut self, nodes: &mut Vec<Node>) -> Option<()> {
        while !self.take_if(b"\\E") {
            let b = self.take()?;
            nodes.push(self.literal(b));
        }
        // A repetition would be one of the last byte; rare enough to be PCRE2's.
        self.skip_space();
        (!self.repetition_follows()).then_some(())
    }

    fn element(&mut self) -> Option<Element> {
        let b = self.take()?;
        Some(match b {
            b'.' => {
                let mut all = ByteSet::ALL;
                if !self.flags.dot_all {
                    all.remove(b'\n');
                }
                Element::Node(Node::Bytes(all))
            }
            // Behind the last line feed it is no start of a line for PCRE2, and one for the automata.
            b'^' if self.flags.lines => {
                Element::Once(Node::Narrower(Box::new(Node::Look(Look::LineStart))))
            }
            b'^' => Element::Once(Node::Look(Look::Start)),
            b'$' => Element::Once(Node::Look(match self.flags {
                Flags { lines: true, .. } => Look::LineEnd,
                Flags { end_only: true, .. } => Look::End,
                _ => Look::LastLineEnd,
            })),
            b'[' => Element::Node(Node::Bytes(self.class()?)),
            b'(' => self.group()?,
            b'\\' => self.escape()?,
            // These and a `{` that begins a repetition repeat nothing here.
            b'*' | b'+' | b'?' => return None,
            b'{' if self.braces_may_be_a_repetition() => return None,
            b => Element::Node(self.literal(b)),
        })
    }

    fn literal(&self, b: u8) -> Node {
        Node::Bytes(self.in_case(ByteSet::one(b)))
    }

    fn in_case(&self, set: ByteSet) -> ByteSet {
        if self.flags.ignore_case { set.in_any_case() } else { set }
    }

    fn escape(&mut self) -> Option<Element> {
        let b = self.take()?;
        if let Some(set) = class_escape(b) {
            return Some(Element::Node(Node::Bytes(set)));
        }
        Some(match b {
            b'A' => Element::Once(Node::Look(Look::Start)),
            b'z' => Element::Once(Node::Look(Look::End)),
            b'Z' => Element::Once(Node::Look(Look::LastLineEnd)),
            b'b' => Element::Once(Node::Look(Look::WordEdge)),
            b'B' => Element::Once(Node::Look(Look::NoWordEdge)),
            b'G' | b'K' => Element::Once(Node::Opaque),
            b'R' | b'X' => Element::Node(Node::Opaque),
            b'N' if self.peek() != Some(b'{') => {
                Element::Node(Node::Bytes(ByteSet::one(b'\n').complement()))
            }
            b'1'..=b'9' => {
                while self.peek().is_some_and(|b| b.is_ascii_digit()) {
                    self.at += 1;
                }
                Element::Node(Node::Opaque)
            }
            b => {
                let b = self.character_escape(b)?;
                Element::Node(self.literal(b))
            }
        })
    }

    /// The one byte that an escape stands for, in a class or out of it.
    fn character_escape(&mut self, b: u8) -> Option<u8> {
        Some(match b {
            b'a' => 0x07,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let mut value = 0;
                for _ in 0..2 {
                    let digit = self.peek().and_then(|b| char::from(b).to_digit(16))?;
                    self.at += 1;
                    value = value * 16 + digit as u8;
                }
                value
            }
            b if b.is_ascii_alphanumeric() => return None,
            b => b,
        })
    }

    fn repetition_follows(&self) -> bool {
        match self.peek() {
            Some(b'*' | b'+' | b'?') => true,
            Some(b'{') => {
                let next = self.peek_at(1);
                next.is_some_and(|b| b.is_ascii_digit() || matches!(b, b',' | b' ' | b'\t'))
            }
            _ => false,
        }
    }

    /// Behind a `{`. Newer versions of PCRE2 know more forms than older ones.
    fn braces_may_be_a_repetition(&self) -> bool {
        self.peek().is_some_and(|b| b.is_ascii_digit() || matches!(b, b',' | b' ' | b'\t'))
    }

    fn repeated(&mut self, node: Node) -> Option<Node> {
        self.skip_space();
        let (min, max) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') if self.repetition_follows() => {
                self.at += 1;
                let min = self.number()?;
                let max = match self.take_if(b",") {
                    true if self.peek() == Some(b'}') => None,
                    true => Some(self.number()?),
                    false => Some(min),
                };
                if self.peek() != Some(b'}') || max.is_some_and(|max| max < min) {
                    return None;
                }
                (min, max)
            }
            _ => return Some(node),
        };
        self.at += 1;
        // In a spaced pattern, what may stand before these two differs between versions.
        if self.flags.spaced && self.peek().is_some_and(|b| is_space(b) || b == b'#') {
            self.skip_space();
            if self.repetition_follows() {
                return None;
            }
            return Some(Node::Repeat { node: Box::new(node), min, max, greedy: !self.flags.lazy });
        }
        let lazy = self.take_if(b"?");
        let node = Node::Repeat { node: Box::new(node), min, max, greedy: lazy == self.flags.lazy };
        let node = match !lazy && self.take_if(b"+") {
            true => Node::Narrower(Box::new(node)),
            false => node,
        };
        self.skip_space();
        (!self.repetition_follows()).then_some(node)
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = Some(number.unwrap_or(0) * 10 + u32::from(digit - b'0'));
            if number > Some(REPEAT_MAX) {
                return None;
            }
            self.at += 1;
        }
        number
    }

    fn group(&mut self) -> Option<Element> {
        if self.depth == GROUP_DEPTH_MAX || self.peek() == Some(b'*') {
            return None;
        }
        if !self.take_if(b"?") {
            return self.capture();
        }
        if self.take_if(b"#") {
            while self.take()? != b')' {}
            return Some(Element::Nothing);
        }
        for (opening, element) in [
            ("=", (|node| Element::Once(Node::Beside(node))) as fn(Box<Node>) -> Element),
            ("<=", |node| Element::Once(Node::Beside(node))),
            ("!", |_| Element::Once(Node::Opaque)),
            ("<!", |_| Element::Once(Node::Opaque)),
            (">", |node| Element::Node(Node::Narrower(node))),
            (":", |node| Element::Node(*node)),
        ] {
            if self.take_if(opening.as_bytes()) {
                return Some(element(Box::new(self.inside()?)));
            }
        }
        for (opening, end) in [("P<", b'>'), ("<", b'>'), ("'", b'\'')] {
            if self.take_if(opening.as_bytes()) {
                let first = self.peek()?;
                if !first.is_ascii_alphabetic() && first != b'_' {
                    return None;
                }
                while self.peek().is_some_and(is_word) {
                    self.at += 1;
                }
                if self.take()? != end {
                    return None;
                }
                // Two groups of one name, or too long a name, are mistakes that PCRE2 finds.
                return match self.capture()? {
                    Element::Node(node) => Some(Element::Node(Node::Narrower(Box::new(node)))),
                    element => Some(element),
                };
            }
        }
        self.settings()
    }

    fn capture(&mut self) -> Option<Element> {
        self.groups += 1;
        let number = self.groups;
        let node = Box::new(self.inside()?);
        Some(Element::Node(Node::Group { number, node }))
    }

    /// The rest of a group with its `)`.
    fn inside(&mut self) -> Option<Node> {
        self.depth += 1;
        let node = self.alternatives()?;
        self.depth -= 1;
        self.take_if(b")").then_some(node)
    }

    /// `(?i)` and `(?i-s:...)`.
    fn settings(&mut self) -> Option<Element> {
        let outside = self.flags;
        let mut on = true;
        loop {
            let flags = &mut self.flags;
            match self.pattern.get(self.at)? {
                b'-' if on => on = false,
                b'i' => flags.ignore_case = on,
                b's' => flags.dot_all = on,
                b'm' => flags.lines = on,
                b'U' => flags.lazy = on,
                b')' => {
                    self.at += 1;
                    return Some(Element::Nothing);
                }
                b':' => {
                    self.at += 1;
                    let node = self.inside()?;
                    self.flags = outside;
                    return Some(Element::Node(node));
                }
                _ => return None,
            }
            self.at += 1;
        }
    }

    /// What follows `[`.
    fn class(&mut self) -> Option<ByteSet> {
        let negated = self.take_if(b"^");
        let mut set = ByteSet::default();
        let mut first = true;
        loop {
            let b = self.take()?;
            if b == b']' && !first {
                break;
            }
            first = false;
            let Some(start) = self.class_item(b, &mut set)? else {
                // `[\w-x]`: a hyphen, a mistake, or a range, as the version sees it.
                if self.peek() == Some(b'-') && self.peek_at(1) != Some(b']') {
                    return None;
                }
                continue;
            };
            if self.peek() != Some(b'-') || self.peek_at(1)? == b']' {
                set.insert(start);
                continue;
            }
            self.at += 1;
            let b = self.take()?;
            let end = self.class_item(b, &mut set)??;
            if end < start {
                return None;
            }
            (start..=end).for_each(|b| set.insert(b));
        }
        let set = self.in_case(set);
        Some(if negated { set.complement() } else { set })
    }

    /// One byte of a class, or `None` where several were added to it. The outer `None` gives up.
    #[expect(clippy::option_option, reason = "the one gives up, the other has nothing left to add")]
    fn class_item(&mut self, b: u8, set: &mut ByteSet) -> Option<Option<u8>> {
        match (b, self.peek()) {
            (b'[', Some(b':')) => {
                let rest = &self.pattern[self.at + 1..];
                let length = rest.windows(2).position(|end| end == b":]")?;
                let name = std::str::from_utf8(&rest[..length]).ok()?;
                let (negated, name) = match name.strip_prefix('^') {
                    Some(name) => (true, name),
                    None => (false, name),
                };
                let class = match name {
                    "word" => ByteSet::those(is_word),
                    "upper" | "lower" if self.flags.ignore_case => named_class("alpha")?,
                    name => named_class(name)?,
                };
                set.add(if negated { class.complement() } else { class });
                self.at += 1 + length + 2;
                Some(None)
            }
            (b'[', Some(b'.' | b'=')) => None,
            (b'\\', Some(b)) => {
                self.at += 1;
                if let Some(class) = class_escape(b) {
                    set.add(class);
                    return Some(None);
                }
                match b {
                    b'b' => Some(Some(0x08)),
                    b => self.character_escape(b).map(Some),
                }
            }
            (b, _) => Some(Some(b)),
        }
    }
}

/// `\d` and its like.
fn class_escape(b: u8) -> Option<ByteSet> {
    let holds: fn(u8) -> bool = match b.to_ascii_lowercase() {
        b'd' => |b| b.is_ascii_digit(),
        b'w' => is_word,
        b's' => is_space,
        // With the ones of Latin-1, as PCRE2 has it for bytes.
        b'h' => |b| matches!(b, b' ' | b'\t' | 0xa0),
        b'v' => |b| matches!(b, b'\n'..=b'\r' | 0x85),
        _ => return None,
    };
    let set = ByteSet::those(holds);
    Some(if b.is_ascii_uppercase() { set.complement() } else { set })
}
