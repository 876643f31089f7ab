//! The syntax of `regexp:` tables: POSIX regular expressions as the GNU C library reads them.
//!
//! POSIX leaves much undefined, and tables are written for what the library makes of it: `\w`, `\<`
//! and back references are known, `{` without a number is an error, an unmatched `)` is itself, and
//! where case is ignored, the pattern is turned to upper case before it is read, but for what stands
//! behind a backslash. So `\d` is no digit: it is a `d`, and one that upper-case text never has.

use super::tree::{ByteSet, GROUP_DEPTH_MAX, Look, Node, is_space, is_word, named_class};

/// The highest number in `{ }`.
const REPEAT_MAX: u32 = 0x7fff;

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    pub(super) extended: bool,
    pub(super) ignore_case: bool,
    /// `^` and `$` know lines, and only a line feed in the pattern matches one.
    pub(super) lines: bool,
}

/// Reads a pattern; also gives the number of its groups.
pub(super) fn parse(pattern: &[u8], flags: Flags) -> Result<(Node, u32), &'static str> {
    let mut parser = Parser { pattern, flags, at: 0, groups: 0, complete: Vec::new(), depth: 0 };
    let node = parser.alternatives(true)?;
    Ok((node, parser.groups))
}

#[derive(Clone, Copy)]
enum Token {
    /// A byte that stands for itself; as it is read, in upper case where case is ignored.
    Byte(u8),
    Any,
    Class(fn(u8) -> bool, bool),
    Look(Look),
    Star,
    Plus,
    Question,
    OpenRepeat,
    CloseRepeat,
    Open,
    Close,
    Bracket,
    Or,
    Back(u32),
    LoneBackslash,
    End,
}

struct Parser<'a> {
    pattern: &'a [u8],
    flags: Flags,
    at: usize,
    groups: u32,
    /// Groups that a back reference may name.
    complete: Vec<u32>,
    depth: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl Parser<'_> {
    /// The byte at a place, as the library reads it.
    fn byte(&self, at: usize) -> Option<u8> {
        let b = *self.pattern.get(at)?;
        Some(if self.flags.ignore_case { b.to_ascii_uppercase() } else { b })
    }

    fn token(&self) -> (Token, usize) {
        self.token_at(self.at, false)
    }

    /// The token at a place and its length. `begins`: a `^` here is an anchor in any syntax.
    fn token_at(&self, at: usize, begins: bool) -> (Token, usize) {
        let Some(b) = self.byte(at) else {
            return (Token::End, 0);
        };
        if b == b'\\' {
            return match self.pattern.get(at + 1) {
                None => (Token::LoneBackslash, 1),
                Some(&escaped) => (self.escaped(escaped), 2),
            };
        }
        let extended = self.flags.extended;
        let token = match b {
            b'*' => Token::Star,
            b'[' => Token::Bracket,
            b'.' => Token::Any,
            b'|' if extended => Token::Or,
            b'+' if extended => Token::Plus,
            b'?' if extended => Token::Question,
            b'{' if extended => Token::OpenRepeat,
            b'}' if extended => Token::CloseRepeat,
            b'(' if extended => Token::Open,
            b')' if extended => Token::Close,
            b'^' if extended || begins || at == 0 => {
                Token::Look(if self.flags.lines { Look::LineStart } else { Look::Start })
            }
            b'$' if extended || self.ends_branch(at + 1) => {
                Token::Look(if self.flags.lines { Look::LineEnd } else { Look::End })
            }
            b => Token::Byte(b),
        };
        (token, 1)
    }

    fn escaped(&self, b: u8) -> Token {
        let basic = !self.flags.extended;
        match b {
            b'1'..=b'9' => Token::Back(u32::from(b - b'0')),
            b'<' => Token::Look(Look::WordStart),
            b'>' => Token::Look(Look::WordEnd),
            b'b' => Token::Look(Look::WordEdge),
            b'B' => Token::Look(Look::NoWordEdge),
            b'`' => Token::Look(Look::Start),
            b'\'' => Token::Look(Look::End),
            b'w' => Token::Class(is_word, true),
            b'W' => Token::Class(is_word, false),
            b's' => Token::Class(is_space, true),
            b'S' => Token::Class(is_space, false),
            b'|' if basic => Token::Or,
            b'(' if basic => Token::Open,
            b')' if basic => Token::Close,
            b'{' if basic => Token::OpenRepeat,
            b'}' if basic => Token::CloseRepeat,
            b'+' if basic => Token::Plus,
            b'?' if basic => Token::Question,
            b => Token::Byte(b),
        }
    }

    /// Whether a basic expression's `$` before this place is an anchor.
    fn ends_branch(&self, at: usize) -> bool {
        matches!(self.token_at(at, false).0, Token::End | Token::Or | Token::Close)
    }

    fn alternatives(&mut self, outermost: bool) -> Parsed<Node> {
        let mut branches = Vec::new();
        loop {
            branches.push(self.branch(outermost)?);
            match self.token() {
                (Token::Or, length) => self.at += length,
                _ => return Ok(Node::either(branches)),
            }
        }
    }

    fn branch(&mut self, outermost: bool) -> Parsed<Node> {
        let mut nodes = Vec::new();
        // A basic expression's `^` is an anchor behind `\(` and `\|`.
        let mut begins = true;
        loop {
            let (token, length) = self.token_at(self.at, begins);
            match token {
                Token::End | Token::Or => break,
                Token::Close if !outermost => break,
                Token::Look(look) => {
                    self.at += length;
                    // A repetition behind it would have nothing to repeat.
                    nodes.push(Node::Look(look));
                }
                token => {
                    self.at += length;
                    let node = self.single(token)?;
                    nodes.push(self.repeated(node)?);
                }
            }
            begins = false;
        }
        Ok(Node::concat(nodes))
    }

    fn single(&mut self, token: Token) -> Parsed<Node> {
        let extended = self.flags.extended;
        Ok(match token {
            Token::Byte(b) => self.literal(b),
            Token::Any => {
                let mut all = ByteSet::ALL;
                if self.flags.lines {
                    all.remove(b'\n');
                }
                Node::Bytes(all)
            }
            Token::Class(holds, positive) => Node::Bytes(ByteSet::those(|b| holds(b) == positive)),
            Token::Open => return self.group(),
            Token::Bracket => Node::Bytes(self.bracket()?),
            Token::Back(number) => {
                if !self.complete.contains(&number) {
                    return Err("a back reference to a group that is not there");
                }
                Node::Back(number)
            }
            Token::OpenRepeat | Token::Star | Token::Plus | Token::Question if extended => {
                return Err("a repetition of nothing");
            }
            Token::OpenRepeat => return Err("a repetition of nothing"),
            Token::Close if !extended => return Err("\\) without \\("),
            Token::LoneBackslash => return Err("a backslash at the end"),
            // What is left stands for itself.
            Token::Star => self.literal(b'*'),
            Token::Plus => self.literal(b'+'),
            Token::Question => self.literal(b'?'),
            Token::Close => self.literal(b')'),
            Token::CloseRepeat => self.literal(b'}'),
            Token::Look(_) | Token::Or | Token::End => Node::Empty,
        })
    }

    /// The bytes of the text that are read as this one.
    fn literal(&self, b: u8) -> Node {
        Node::Bytes(self.as_read(ByteSet::one(b)))
    }

    fn as_read(&self, set: ByteSet) -> ByteSet {
        match self.flags.ignore_case {
            true => ByteSet::those(|b| set.has(b.to_ascii_uppercase())),
            false => set,
        }
    }

    fn group(&mut self) -> Parsed<Node> {
        if self.depth == GROUP_DEPTH_MAX {
            return Err("groups nest too deep");
        }
        self.groups += 1;
        let number = self.groups;
        self.depth += 1;
        let node = self.alternatives(false)?;
        self.depth -= 1;
        let (Token::Close, length) = self.token() else {
            return Err("( without )");
        };
        self.at += length;
        self.complete.push(number);
        Ok(Node::Group { number, node: Box::new(node) })
    }

    fn repeated(&mut self, mut node: Node) -> Parsed<Node> {
        let mut times = 0;
        loop {
            let (token, length) = self.token();
            let (min, max) = match token {
                Token::Star => (0, None),
                Token::Plus => (1, None),
                Token::Question => (0, Some(1)),
                Token::OpenRepeat => {
                    self.at += length;
                    let (min, max) = self.bounds()?;
                    node = repeat(node, min, max);
                    self.not_again(&mut times)?;
                    continue;
                }
                _ => return Ok(node),
            };
            self.at += length;
            node = repeat(node, min, max);
            self.not_again(&mut times)?;
        }
    }

    /// Basic expressions have one repetition after another only where the second is `\+` or `\?`.
    fn not_again(&self, times: &mut usize) -> Parsed<()> {
        *times += 1;
        if *times > GROUP_DEPTH_MAX {
            return Err("too many repetitions of repetitions");
        }
        match self.token().0 {
            Token::Star | Token::OpenRepeat if !self.flags.extended => {
                Err("a repetition of a repetition")
            }
            _ => Ok(()),
        }
    }

    /// What is in `{ }`.
    fn bounds(&mut self) -> Parsed<(u32, Option<u32>)> {
        const BAD: &str = "not a number, or two in order, in { }";
        let min = match (self.number()?, self.byte(self.at)) {
            (Some(min), _) => min,
            (None, Some(b',')) => 0,
            (None, None) => return Err("{ without }"),
            (None, _) => return Err(BAD),
        };
        let max = if self.byte(self.at) == Some(b',') {
            self.at += 1;
            self.number()?
        } else {
            Some(min)
        };
        match self.token() {
            (Token::CloseRepeat, length) => self.at += length,
            (Token::End, _) => return Err("{ without }"),
            _ => return Err(BAD),
        }
        if max.is_some_and(|max| max < min) {
            return Err(BAD);
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Parsed<Option<u32>> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.byte(self.at) {
            let value = number.unwrap_or(0) * 10 + u32::from(digit - b'0');
            if value > REPEAT_MAX {
                return Err("a number in { } is too large");
            }
            number = Some(value);
            self.at += 1;
        }
        Ok(number)
    }

    /// What follows `[`.
    fn bracket(&mut self) -> Parsed<ByteSet> {
        let negated = self.byte(self.at) == Some(b'^');
        self.at += usize::from(negated);
        let mut set = ByteSet::default();
        let mut first = true;
        loop {
            let b = self.byte(self.at).ok_or("[ without ]")?;
            if b == b']' && !first {
                self.at += 1;
                break;
            }
            self.element(&mut set, first)?;
            first = false;
        }
        if negated && self.flags.lines {
            set.insert(b'\n');
        }
        // The text is turned to upper case, too, before it is looked for in the set.
        let set = if negated { set.complement() } else { set };
        Ok(self.as_read(set))
    }

    fn element(&mut self, set: &mut ByteSet, first: bool) -> Parsed<()> {
        // A hyphen that is neither first nor last is only understood in a range.
        if self.byte(self.at) == Some(b'-') && !first && self.byte(self.at + 1) != Some(b']') {
            return Err("a range that ends before it starts, or has no start");
        }
        let start = match self.item()? {
            Item::Class(class) => {
                set.add(class);
                return match (self.byte(self.at), self.byte(self.at + 1)) {
                    (Some(b'-'), Some(next)) if next != b']' => {
                        Err("a range that starts with a class")
                    }
                    _ => Ok(()),
                };
            }
            Item::Byte(b) => b,
        };
        let is_range = self.byte(self.at) == Some(b'-')
            && self.byte(self.at + 1).ok_or("[ without ]")? != b']';
        if !is_range {
            set.insert(start);
            return Ok(());
        }
        self.at += 1;
        match self.item()? {
            Item::Byte(end) if start <= end => {
                (start..=end).for_each(|b| set.insert(b));
                Ok(())
            }
            _ => Err("a range that ends before it starts"),
        }
    }

    /// One byte, or `[:class:]`, `[=x=]`, `[.x.]`.
    fn item(&mut self) -> Parsed<Item> {
        let b = self.byte(self.at).ok_or("[ without ]")?;
        self.at += 1;
        let kind = match (b, self.byte(self.at)) {
            (b'[', Some(kind @ (b':' | b'=' | b'.'))) => kind,
            _ => return Ok(Item::Byte(b)),
        };
        let start = self.at + 1;
        let length = self.pattern[start..]
            .windows(2)
            .position(|end| end == [kind, b']'])
            .ok_or("[ without ]")?;
        let name = &self.pattern[start..start + length];
        self.at = start + length + 2;
        match (kind, name) {
            (b':', name) => {
                let name = std::str::from_utf8(name).unwrap_or_default();
                let name = match name {
                    "upper" | "lower" if self.flags.ignore_case => "alpha",
                    name => name,
                };
                named_class(name).map(Item::Class).ok_or("no such character class")
            }
            (b'=', &[_]) => Ok(Item::Class(ByteSet::one(self.byte(start).unwrap_or_default()))),
            (_, &[_]) => Ok(Item::Byte(self.byte(start).unwrap_or_default())),
            _ => Err("no such collating character"),
        }
    }
}

enum Item {
    Byte(u8),
    Class(ByteSet),
}

fn repeat(node: Node, min: u32, max: Option<u32>) -> Node {
    Node::Repeat { node: Box::new(node), min, max, greedy: true }
}
