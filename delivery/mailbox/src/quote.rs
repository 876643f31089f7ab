//! `From ` at the start of a line begins a message in an mbox, so that of the content gets a `>`
//! before it.

use memchr::memchr;

const FROM: &[u8] = b"From ";

/// Quotes content that comes in pieces, cut anywhere.
#[derive(Debug)]
pub(crate) struct FromQuoter {
    /// At the start of a line: how much of `From ` is there, not passed on yet.
    matched: Option<usize>,
}

impl FromQuoter {
    /// At the start of a line.
    pub(crate) fn new() -> Self {
        Self { matched: Some(0) }
    }

    /// Appends the next piece.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let Some(matched) = self.matched else {
                let line_end = memchr(b'\n', bytes);
                let (line, rest) = bytes.split_at(line_end.map_or(bytes.len(), |at| at + 1));
                out.extend_from_slice(line);
                bytes = rest;
                self.matched = line_end.map(|_| 0);
                continue;
            };
            let more = FROM[matched..].iter().zip(bytes).take_while(|(a, b)| a == b).count();
            bytes = &bytes[more..];
            let matched = matched + more;
            if matched < FROM.len() && bytes.is_empty() {
                self.matched = Some(matched);
                return;
            }
            if matched == FROM.len() {
                out.push(b'>');
            }
            out.extend_from_slice(&FROM[..matched]);
            self.matched = None;
        }
    }

    /// Appends what was kept back at the end.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&FROM[..self.matched.unwrap_or(0)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(pieces: &[&[u8]]) -> Vec<u8> {
        let mut quoter = FromQuoter::new();
        let mut out = Vec::new();
        for piece in pieces {
            quoter.feed(piece, &mut out);
        }
        quoter.finish(&mut out);
        out
    }

    #[test]
    fn lines_that_begin_a_message_are_quoted_and_no_others() {
        let text = b"From a\nFrom\n From b\nfrom c\n>From d\n\nFrom \nxFrom e\nFro";
        let out = b">From a\nFrom\n From b\nfrom c\n>From d\n\n>From \nxFrom e\nFro";
        assert_eq!(quoted(&[text]), out);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_content_is_cut(
            text in "(From |Fro|m|\n| |x){0,30}",
            cuts in prop::collection::vec(0..60usize, 0..6),
        ) {
            let whole = quoted(&[text.as_bytes()]);
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            pieces.push(rest);
            prop_assert_eq!(quoted(&pieces), whole);
        }

        #[test]
        fn no_line_of_quoted_content_begins_a_message(text in "(From |F|\n| ){0,30}") {
            let out = quoted(&[text.as_bytes()]);
            prop_assert!(out.split(|&b| b == b'\n').all(|line| !line.starts_with(FROM)));
        }
    }
}
