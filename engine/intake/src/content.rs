//! A message's bytes between the socket and the queue.
//!
//! They stay as they were received until the end is known: then one pass decodes them, has them cleaned
//! up, and writes them where they stay. Buffers come from a pool of the shard's, so that a session
//! that waits for its next message holds none.

use std::cell::RefCell;
use std::rc::Rc;

use smallvec::SmallVec;
use wire::{EndOfData, Framing, LineEnds, Received, Scan};

/// The first buffer of a message, in bytes: most messages fit.
const FIRST_BUFFER_BYTES: usize = 16 * 1024;
/// The following ones.
const BUFFER_BYTES: usize = 64 * 1024;
/// First buffers that a shard keeps for its next messages; the rest goes back to the allocator.
const POOLED_BUFFERS_MAX: usize = 128;

/// First buffers that no message uses at the moment.
#[derive(Clone, Default)]
pub(crate) struct Pool(Rc<RefCell<Vec<Vec<u8>>>>);

impl Pool {
    fn take(&self) -> Vec<u8> {
        let pooled = self.0.borrow_mut().pop();
        pooled.unwrap_or_else(|| Vec::with_capacity(FIRST_BUFFER_BYTES))
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut pool = self.0.borrow_mut();
        if buffer.capacity() == FIRST_BUFFER_BYTES && pool.len() < POOLED_BUFFERS_MAX {
            buffer.clear();
            pool.push(buffer);
        }
    }
}

/// A message that is being received.
pub(crate) struct Content {
    framing: Framing,
    end: EndOfData,
    size_limit_bytes: u64,
    /// In order; all but the last are full.
    buffers: SmallVec<[Vec<u8>; 1]>,
    /// In all buffers.
    held_bytes: usize,
    /// Longer than the limit: only its end is of interest now.
    too_big: bool,
    pool: Pool,
}

impl Content {
    /// For what follows DATA.
    pub(crate) fn data(line_ends: LineEnds, watch_bare_lf: bool, limit: u64, pool: Pool) -> Self {
        Self::new(Framing::Dots, EndOfData::new(line_ends, watch_bare_lf), limit, pool)
    }

    /// For what follows BDAT, all of a message's chunks.
    pub(crate) fn chunks(watch_bare_lf: bool, limit: u64, pool: Pool) -> Self {
        Self::new(Framing::Chunks, EndOfData::new(LineEnds::Crlf, watch_bare_lf), limit, pool)
    }

    fn new(framing: Framing, end: EndOfData, size_limit_bytes: u64, pool: Pool) -> Self {
        let buffers = SmallVec::new();
        Self { framing, end, size_limit_bytes, buffers, held_bytes: 0, too_big: false, pool }
    }

    /// How its lines are framed, for the decoder.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// What is known of it so far.
    pub(crate) fn received(&self) -> Received {
        self.end.received()
    }

    /// How much of it is in memory, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether the rest, and what was kept, is of no use.
    pub(crate) fn too_big(&self) -> bool {
        self.too_big
    }

    /// Takes bytes that came with a command. Returns how many belong to the message, and whether it
    /// ends with them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> (usize, bool) {
        let (used, ended) = self.scan(bytes);
        self.keep(&bytes[..used]);
        (used, ended)
    }

    /// Takes bytes of a chunk that came with its command.
    pub(crate) fn push_chunk(&mut self, bytes: &[u8]) {
        self.end.pass(bytes);
        self.drop_if_too_big();
        self.keep(bytes);
    }

    /// A buffer with room, to be received into.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        let full = self.buffers.last().is_none_or(|buffer| buffer.len() == buffer.capacity());
        if full {
            let first = self.buffers.is_empty();
            self.buffers.push(if first {
                self.pool.take()
            } else {
                Vec::with_capacity(BUFFER_BYTES)
            });
        }
        let last = self.buffers.len() - 1;
        &mut self.buffers[last]
    }

    /// The last `count` bytes of the space were just received. Where the message ends within them,
    /// returns what lies behind its end.
    pub(crate) fn filled(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        let start = buffer.len() - count;
        let (used, ended) = self.scan(&buffer[start..]);
        let behind = buffer.split_off(start + used);
        if self.too_big {
            buffer.clear();
        } else {
            self.held_bytes += used;
        }
        self.buffers.push(buffer);
        ended.then_some(behind)
    }

    /// The last `count` bytes of the space were just received; the first `ours` of them belong to the
    /// chunk, to be kept or not. Returns the others.
    pub(crate) fn filled_chunk(&mut self, count: usize, ours: usize, keep: bool) -> Vec<u8> {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        let start = buffer.len() - count;
        let behind = buffer.split_off(start + ours);
        if keep {
            self.end.pass(&buffer[start..]);
            self.drop_if_too_big();
        } else {
            buffer.truncate(start);
        }
        if self.too_big {
            buffer.clear();
        } else if keep {
            self.held_bytes += ours;
        }
        self.buffers.push(buffer);
        behind
    }

    /// What is held, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers.iter().map(Vec::as_slice)
    }

    /// Forgets what is held: it was taken to where it stays.
    pub(crate) fn taken(&mut self) {
        self.held_bytes = 0;
        self.buffers.truncate(1);
        if let Some(buffer) = self.buffers.first_mut() {
            buffer.clear();
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) {
        while !self.too_big && !bytes.is_empty() {
            let buffer = self.space();
            let fits = bytes.len().min(buffer.capacity() - buffer.len());
            buffer.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
            self.held_bytes += fits;
        }
    }

    fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
        let found = match self.end.scan(bytes) {
            Scan::More => (bytes.len(), false),
            Scan::End { consumed } => (consumed, true),
        };
        self.drop_if_too_big();
        found
    }

    /// A message that is refused in the end needs no memory until then.
    fn drop_if_too_big(&mut self) {
        let limit = self.size_limit_bytes;
        if !self.too_big && limit > 0 && self.end.received().size_bytes > limit {
            self.too_big = true;
            self.taken();
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        for buffer in self.buffers.drain(..) {
            self.pool.give(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives `bytes` as reads of `read` bytes would; returns what follows the message.
    fn receive(content: &mut Content, bytes: &[u8], read: usize) -> Option<Vec<u8>> {
        let mut chunks = bytes.chunks(read);
        while let Some(chunk) = chunks.next() {
            content.space().extend_from_slice(chunk);
            if let Some(mut behind) = content.filled(chunk.len()) {
                behind.extend(chunks.flatten());
                return Some(behind);
            }
        }
        None
    }

    fn held(content: &Content) -> Vec<u8> {
        content.pieces().flatten().copied().collect()
    }

    #[test]
    fn what_follows_the_end_is_not_content_however_it_is_cut() {
        let sent = b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n";
        for read in 1..sent.len() {
            let mut content = Content::data(LineEnds::Crlf, false, 0, Pool::default());
            let behind = receive(&mut content, sent, read);
            assert_eq!(behind.as_deref(), Some(&b"QUIT\r\n"[..]), "reads of {read}");
            assert_eq!(held(&content), sent[..sent.len() - 6], "reads of {read}");
            assert_eq!(content.held_bytes(), sent.len() - 6);
        }
    }

    #[test]
    fn what_came_with_the_command_comes_first() {
        let mut content = Content::data(LineEnds::Crlf, false, 0, Pool::default());
        assert_eq!(content.push(b"hel"), (3, false));
        assert_eq!(receive(&mut content, b"lo\r\n.\r\n", 100), Some(Vec::new()));
        assert_eq!(held(&content), b"hello\r\n.\r\n");
    }

    #[test]
    fn a_message_beyond_the_limit_is_followed_to_its_end_without_being_kept() {
        let mut content = Content::data(LineEnds::Crlf, false, 1000, Pool::default());
        let mut sent = b"0123456789abcd\r\n".repeat(100_000);
        sent.extend_from_slice(b".\r\nRSET\r\n");
        let mut most = 0;
        for chunk in sent.chunks(5000) {
            content.space().extend_from_slice(chunk);
            if let Some(behind) = content.filled(chunk.len()) {
                assert_eq!(behind, b"RSET\r\n");
            }
            most = most.max(content.held_bytes());
        }
        assert!(content.too_big());
        assert!(most <= 1000, "{most} bytes were held");
        assert_eq!(content.received().size_bytes, 1_600_000);
    }

    #[test]
    fn a_small_messages_buffer_is_used_again() {
        let pool = Pool::default();
        let mut content = Content::data(LineEnds::Crlf, false, 0, pool.clone());
        content.push(b"hello");
        drop(content);
        assert_eq!(pool.0.borrow().len(), 1);
        assert!(pool.take().is_empty());
    }
}
