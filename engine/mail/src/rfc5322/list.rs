//! A header's list of addresses, in which addresses can be replaced.

use super::quote::quote_local;
use super::token::{Kind, Spaces, Token, Tokens, is_space, needs_space};

/// Bytes of display name and comments that one address keeps when its header is written anew. With more
/// of them only the address itself is left: a limit that protects programs with a buffer of 256 bytes
/// (CERT CA-2003-07, postfix `src/global/tok822_parse.c`).
pub const NON_ADDRESS_BYTES_MAX: usize = 250;

/// Bytes that a line of a header may have before the next address begins a new one
/// (postfix `src/cleanup/cleanup_message.c`, `cleanup_fold_header`).
const LINE_BYTES: usize = 70;

/// The addresses of a header with all that is around them.
#[derive(Clone, Debug)]
pub struct AddressList {
    tokens: Tokens,
    pieces: Vec<Piece>,
    /// Places in `pieces`.
    addresses: Vec<usize>,
    replaced: bool,
    rest: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Piece {
    Plain(Token),
    /// The colon behind the name of a group.
    GroupStart,
    /// These tokens are an address, unless it was replaced.
    Address {
        from: usize,
        to: usize,
        replacement: Option<Box<[u8]>>,
    },
}

impl AddressList {
    /// Reads what follows the colon of a header. Where it has more than `tokens_max` tokens, the rest is
    /// kept as it is, see [`Self::rest`].
    pub fn parse(value: &[u8], tokens_max: usize) -> Self {
        let (tokens, rest) = Tokens::scan_up_to(value, tokens_max);
        let mut parser = Parser::default();
        parser.run(tokens.list());
        let Parser { mut pieces, members, .. } = parser;
        pieces.reverse();
        // Both were made from right to left.
        let count = members.len();
        let members: Vec<Token> = members.into_iter().rev().collect();
        for piece in &mut pieces {
            if let Piece::Address { from, to, .. } = piece {
                (*from, *to) = (count - *to, count - *from);
            }
        }
        let addresses = pieces.iter().enumerate();
        let addresses = addresses
            .filter_map(|(place, piece)| matches!(piece, Piece::Address { .. }).then_some(place))
            .collect();
        let mut tokens = tokens;
        tokens.truncate(0);
        tokens.append(&members);
        Self { tokens, pieces, addresses, replaced: false, rest: rest.to_vec() }
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// True where there is no address. There may be a group without members, or comments.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// What was beyond the greatest number of tokens: nobody looked at it.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The external form of the address `number`, as it is written but for spaces and comments; of one
    /// that was replaced, what it was replaced by.
    pub fn external(&self, number: usize) -> Vec<u8> {
        self.form(number, |tokens, list, out| tokens.push_external(list, out))
    }

    /// The internal form of the address `number`, without quotes.
    pub fn internal(&self, number: usize) -> Vec<u8> {
        match self.address(number) {
            Some(Piece::Address { replacement: Some(new), .. }) => Tokens::scan(new).internal(),
            _ => {
                self.form(number, |tokens, list, out| tokens.push_internal(list, Spaces::None, out))
            }
        }
    }

    /// The internal forms of all addresses, in their order.
    pub fn internals(&self) -> impl Iterator<Item = Vec<u8>> {
        (0..self.len()).map(|number| self.internal(number))
    }

    /// Puts another address in the place of `number`, given in external form.
    pub fn replace(&mut self, number: usize, external: &[u8]) {
        let piece = self.addresses.get(number).and_then(|&place| self.pieces.get_mut(place));
        if let Some(Piece::Address { replacement, .. }) = piece {
            *replacement = Some(external.into());
            self.replaced = true;
        }
    }

    /// Whether an address was replaced, so that the header is another one.
    pub fn is_changed(&self) -> bool {
        self.replaced
    }

    /// The list on one line.
    pub fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(b", ", &mut out);
        self.write_rest(b" ", &mut out);
        out
    }

    /// The whole header, folded as Postfix folds what it has rewritten: as many addresses on a line as
    /// fit, lines ended by LF, the next ones begun by a tab.
    pub fn header(&self, name: &[u8]) -> Vec<u8> {
        let mut out = [name, b": "].concat();
        self.write(b",\n", &mut out);
        let mut folded = Vec::with_capacity(out.len() + 16);
        let mut line_start = 0;
        let mut read = 0;
        for line in out.split(|&byte| byte == b'\n') {
            let end = read + line.len();
            if read > 0 {
                if end - line_start < LINE_BYTES {
                    folded.push(b' ');
                } else {
                    line_start = read;
                    // A comment brings its own line with it, which is a continuation already.
                    let indented = line.first().is_some_and(|&byte| is_space(byte));
                    folded.extend_from_slice(if indented { b"\n" } else { b"\n\t" });
                }
            }
            folded.extend_from_slice(line);
            read = end + 1;
        }
        self.write_rest(b"\n\t", &mut folded);
        folded
    }

    fn address(&self, number: usize) -> Option<&Piece> {
        self.addresses.get(number).and_then(|&place| self.pieces.get(place))
    }

    fn form(&self, number: usize, push: impl Fn(&Tokens, &[Token], &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        match self.address(number) {
            Some(Piece::Address { replacement: Some(new), .. }) => out.extend_from_slice(new),
            Some(Piece::Address { from, to, .. }) => {
                push(&self.tokens, &self.tokens.list()[*from..*to], &mut out);
            }
            _ => {}
        }
        out
    }

    /// What was never read stays, on lines of its own.
    fn write_rest(&self, before: &[u8], out: &mut Vec<u8>) {
        if self.rest.is_empty() {
            return;
        }
        out.extend_from_slice(before);
        let end = self.rest.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
        for (number, line) in self.rest[..end].split(|&byte| byte == b'\n').enumerate() {
            if number > 0 {
                let indented = line.first().is_some_and(|&byte| is_space(byte));
                out.extend_from_slice(if indented { b"\n" } else { b"\n\t" });
            }
            out.extend_from_slice(line);
        }
    }

    fn write(&self, comma: &[u8], out: &mut Vec<u8>) {
        // Where the current address with its names and comments begins, and how much of it is address.
        let mut start = out.len();
        let mut address: Option<(Vec<u8>, usize)> = None;
        for (place, piece) in self.pieces.iter().enumerate() {
            let next = self.pieces.get(place + 1);
            match piece {
                Piece::Plain(token) if token.kind == Kind::Operator(b',') => {
                    shorten(out, start, address.take());
                    out.extend_from_slice(comma);
                    start = out.len();
                    continue;
                }
                Piece::Plain(token) => {
                    self.tokens.push_written(token, out);
                    let closed = |piece: &Piece| matches!(piece, Piece::Plain(it) if it.kind == Kind::Operator(b'>'));
                    if token.kind == Kind::Operator(b'<') && next.is_some_and(closed) {
                        address = Some((Vec::new(), 0));
                    }
                }
                Piece::GroupStart => out.push(b':'),
                Piece::Address { from, to, replacement } => {
                    let internal = match replacement {
                        Some(new) => Tokens::scan(new).internal(),
                        None => {
                            // Rewriting reads what it has written, so that all of a header has one form.
                            let mut written = Vec::new();
                            let list = &self.tokens.list()[*from..*to];
                            self.tokens.push_external(list, &mut written);
                            Tokens::scan(&written).internal()
                        }
                    };
                    let external = quote_local(&internal).into_owned();
                    out.extend_from_slice(&external);
                    let len = external.len();
                    address = Some((external, len));
                }
            }
            if space_between(piece, next) {
                out.push(b' ');
            }
        }
        shorten(out, start, address);
    }
}

/// Leaves only the address of one with too much around it.
fn shorten(out: &mut Vec<u8>, start: usize, address: Option<(Vec<u8>, usize)>) {
    let Some((external, len)) = address else { return };
    if out.len() - len > start + NON_ADDRESS_BYTES_MAX {
        out.truncate(start);
        out.push(b'<');
        out.extend_from_slice(&external);
        out.push(b'>');
    }
}

fn space_between(piece: &Piece, next: Option<&Piece>) -> bool {
    let (kind, next) = match (piece, next) {
        (_, None) => return false,
        (Piece::GroupStart, Some(_)) => return true,
        (Piece::Plain(token), Some(next)) => (token.kind, next),
        // Like any other word.
        (Piece::Address { .. }, Some(next)) => (Kind::Atom, next),
    };
    match next {
        Piece::Plain(token) => needs_space(kind, Some(token)),
        Piece::Address { .. } => kind.is_word(),
        Piece::GroupStart => false,
    }
}

/// Reads tokens from right to left, as Postfix does: only behind an address is it certain what the words
/// before it are.
#[derive(Default)]
struct Parser {
    /// Finished, the last one first.
    pieces: Vec<Piece>,
    /// The tokens of addresses, the last one first.
    members: Vec<Token>,
    /// The tokens of the address that is being read are the members from here on.
    open: usize,
}

impl Parser {
    fn run(&mut self, tokens: &[Token]) {
        let mut place = tokens.len();
        // A word here begins no new address; a colon here is that of a group.
        let (mut word_fits, mut in_group) = (true, false);
        // The token at `place - 1` is written already; it only remains to say what it means.
        let mut written = false;
        while place > 0 {
            let token = tokens[place - 1];
            let was_written = std::mem::take(&mut written);
            match token.kind {
                Kind::Comment => self.pieces.push(Piece::Plain(token)),
                Kind::Operator(b';') => {
                    self.close(Comma::Added);
                    self.put(token, was_written);
                    (word_fits, in_group) = (true, true);
                }
                Kind::Operator(b':') if in_group => {
                    if was_written {
                        self.pieces.pop();
                    }
                    self.close(Comma::None);
                    self.pieces.push(Piece::GroupStart);
                    place = self.put_while(tokens, place - 1, |kind| kind != Kind::Operator(b','));
                    written = self.put_boundary(tokens, place);
                    continue;
                }
                Kind::Operator(b'>') => {
                    self.close(Comma::Added);
                    self.put(token, was_written);
                    place -= 1;
                    while place > 0 && tokens[place - 1].kind != Kind::Operator(b'<') {
                        match tokens[place - 1] {
                            comment if comment.kind == Kind::Comment => {
                                self.pieces.push(Piece::Plain(comment));
                            }
                            member => self.members.push(member),
                        }
                        place -= 1;
                    }
                    self.close(Comma::None);
                    let in_phrase =
                        |kind| !matches!(kind, Kind::Operator(b'>' | b';' | b',' | b':'));
                    place = self.put_while(tokens, place, in_phrase);
                    written = self.put_boundary(tokens, place);
                    word_fits = true;
                    continue;
                }
                Kind::Atom | Kind::Quoted | Kind::Literal => {
                    if !word_fits {
                        self.close(Comma::Added);
                    }
                    self.members.push(token);
                    word_fits = false;
                }
                Kind::Operator(b',') => {
                    self.close(Comma::None);
                    self.put(token, was_written);
                    word_fits = true;
                }
                Kind::Operator(_) => {
                    if !was_written {
                        self.members.push(token);
                    }
                    word_fits = true;
                }
            }
            place -= 1;
        }
        self.close(Comma::None);
    }

    /// What was read since the last piece is an address.
    fn close(&mut self, comma: Comma) {
        let (from, to) = (self.open, self.members.len());
        if from == to {
            return;
        }
        self.open = to;
        self.pieces.push(Piece::Address { from, to, replacement: None });
        if comma == Comma::Added {
            self.pieces.push(Piece::Plain(Token::operator(b',')));
        }
    }

    fn put(&mut self, token: Token, was_written: bool) {
        if !was_written {
            self.pieces.push(Piece::Plain(token));
        }
    }

    /// Writes the token before `place`, if there is one.
    fn put_boundary(&mut self, tokens: &[Token], place: usize) -> bool {
        let Some(boundary) = place.checked_sub(1) else { return false };
        self.pieces.push(Piece::Plain(tokens[boundary]));
        true
    }

    /// Writes tokens to the left of `place` as long as they are wanted; returns the new place.
    fn put_while(
        &mut self,
        tokens: &[Token],
        mut place: usize,
        wanted: impl Fn(Kind) -> bool,
    ) -> usize {
        while place > 0 && wanted(tokens[place - 1].kind) {
            self.pieces.push(Piece::Plain(tokens[place - 1]));
            place -= 1;
        }
        place
    }
}

/// Whether a comma that is missing gets added.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comma {
    Added,
    None,
}

#[cfg(test)]
mod tests;
