//! Finds the end of a message in what arrives after DATA.
//!
//! The end is CR LF `.` CR LF and nothing else (RFC 5321 section 4.1.1.4). Servers that took other
//! sequences for it let one message become two (CVE-2023-51764): a sender hid a look-alike in his
//! content, a relay passed it on as content, and the next server read the rest as commands.
//!
//! There is one exception, for clients that speak in bare LF throughout, and only where
//! `smtpd_forbid_bare_newline = no` asks for it. What the client does with its own DATA command
//! tells: no content can change how a relay ends its commands, so no content can forge an end.

use memchr::{memchr_iter, memmem};

/// How the client ends its lines, as its DATA command showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnds {
    /// CR LF: so must the end of the data.
    #[default]
    Crlf,
    /// Bare LF, where that is allowed: LF `.` LF ends the data too.
    Lf,
}

/// What [`EndOfData::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All of it belongs to the message, whose end is still to come.
    More,
    /// The message ends, its last dot and line ending included, after so many bytes.
    End {
        /// What follows is the next command.
        consumed: usize,
    },
}

/// What is known of content when it has been received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// As RFC 1870 section 5 counts: with CR LF, without the dots of transparency and of the end.
    pub size_bytes: u64,
    /// At least one line ended in LF alone. Only looked for where the policy wants to know.
    pub bare_lf: bool,
}

/// Where the end is searched. Bytes are given to it as they are read, cut anywhere.
#[derive(Clone, Debug)]
pub struct EndOfData {
    line_ends: LineEnds,
    watch_bare_lf: bool,
    raw_bytes: u64,
    dot_bytes: u64,
    bare_lf: bool,
    /// The last bytes before those that come next; an end may begin in them.
    tail: [u8; TAIL],
    tail_len: usize,
}

/// CR LF `.` CR is the longest beginning of an end.
const TAIL: usize = 4;

impl EndOfData {
    /// For the bytes behind a DATA command, or behind the first BDAT command of a message.
    /// `watch_bare_lf` costs a second pass: see
    /// [`Policy::watches_bare_lf`](crate::Policy::watches_bare_lf).
    pub fn new(line_ends: LineEnds, watch_bare_lf: bool) -> Self {
        // The command's own line ending is the one before the first line of content, so that a dot
        // at once ends an empty message.
        let tail = [b'\r', b'\n', 0, 0];
        let tail_len = 2;
        Self {
            line_ends,
            watch_bare_lf,
            raw_bytes: 0,
            dot_bytes: 0,
            bare_lf: false,
            tail,
            tail_len,
        }
    }

    /// Looks at the next bytes.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let Some((consumed, ending_bytes)) = self.find_end(bytes) else {
            self.advance(bytes);
            return Scan::More;
        };
        self.advance(&bytes[..consumed]);
        // The dot is counted with those of transparency.
        self.raw_bytes -= ending_bytes;
        Scan::End { consumed }
    }

    /// Counts the bytes of a chunk, which has no end mark and no transparency (RFC 3030 section 2).
    pub fn pass(&mut self, bytes: &[u8]) {
        self.advance(bytes);
    }

    /// What was seen so far, or the whole once the end was found.
    pub fn received(&self) -> Received {
        Received { size_bytes: self.raw_bytes - self.dot_bytes, bare_lf: self.bare_lf }
    }

    /// Where the message ends in `bytes`, and how long the line ending behind its last dot is.
    fn find_end(&mut self, bytes: &[u8]) -> Option<(usize, u64)> {
        // First the line endings that the last read left behind.
        let mut seam = [0; TAIL + 3];
        let seam_len = self.tail_len + bytes.len().min(3);
        seam[..self.tail_len].copy_from_slice(&self.tail[..self.tail_len]);
        seam[self.tail_len..seam_len].copy_from_slice(&bytes[..seam_len - self.tail_len]);
        let seam = &seam[..seam_len];
        for lf in 0..self.tail_len {
            if seam[lf] != b'\n' || seam.get(lf + 1) != Some(&b'.') {
                continue;
            }
            if lf + 1 >= self.tail_len {
                self.dot_bytes += 1;
            }
            let after_cr = lf > 0 && seam[lf - 1] == b'\r';
            if let Some(ending) = self.ending(after_cr, &seam[lf + 2..]) {
                return Some((lf + 2 + ending - self.tail_len, ending as u64));
            }
        }
        for lf in memmem::find_iter(bytes, b"\n.") {
            self.dot_bytes += 1;
            let after_cr = match lf.checked_sub(1) {
                Some(before) => bytes[before] == b'\r',
                None => self.tail_len > 0 && self.tail[self.tail_len - 1] == b'\r',
            };
            if let Some(ending) = self.ending(after_cr, &bytes[lf + 2..]) {
                return Some((lf + 2 + ending, ending as u64));
            }
        }
        None
    }

    /// The length of the line ending that makes a dot at the start of a line the end of the data.
    fn ending(&self, after_cr: bool, behind_dot: &[u8]) -> Option<usize> {
        match (self.line_ends, behind_dot) {
            (_, [b'\r', b'\n', ..]) if after_cr => Some(2),
            (LineEnds::Lf, [b'\n', ..]) => Some(1),
            _ => None,
        }
    }

    fn advance(&mut self, bytes: &[u8]) {
        if self.watch_bare_lf && !self.bare_lf {
            let tail = &self.tail[..self.tail_len];
            self.bare_lf = memchr_iter(b'\n', bytes).any(|lf| match lf.checked_sub(1) {
                Some(before) => bytes[before] != b'\r',
                None => tail.last() != Some(&b'\r'),
            });
        }
        self.raw_bytes += bytes.len() as u64;
        if bytes.len() >= TAIL {
            self.tail.copy_from_slice(&bytes[bytes.len() - TAIL..]);
            self.tail_len = TAIL;
        } else {
            let keep = self.tail_len.min(TAIL - bytes.len());
            self.tail.copy_within(self.tail_len - keep..self.tail_len, 0);
            self.tail[keep..keep + bytes.len()].copy_from_slice(bytes);
            self.tail_len = keep + bytes.len();
        }
    }
}
