//! What one write of the log carries, and the deliveries that follow from it.
//!
//! The same memory is what the log writes and what the Maildir file is written from: content is
//! copied once, out of the session's buffer.

/// What O_DIRECT asks of address, offset and length on every device of today.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// What a delivery adds to the log.
const DELIVERED_BYTES: usize = 64;

const BATCH_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    start: usize,
    pub(crate) messages: Vec<Message>,
}

/// A message in the batch.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) session: Token,
    pub(crate) content: std::ops::Range<usize>,
    pub(crate) mailboxes: Vec<u32>,
    /// Names the file: unique for as long as the floor runs.
    pub(crate) id: u64,
}

/// A session of a shard; the serial tells it from a later one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) key: usize,
    pub(crate) serial: u64,
}

impl Batch {
    /// A record's envelope: as large as a short one of ringpost's.
    pub(crate) const ENVELOPE_BYTES: usize = 128;

    pub(crate) fn new() -> Self {
        let mut batch =
            Self { bytes: Vec::with_capacity(BATCH_BYTES), start: 0, messages: Vec::new() };
        batch.clear();
        batch
    }

    /// Makes it empty and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
        self.start = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        self.bytes.resize(self.start, 0);
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    /// Adds a message whose content `write` appends.
    pub(crate) fn message(
        &mut self,
        session: Token,
        id: u64,
        mailboxes: Vec<u32>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.bytes.extend_from_slice(&[0x55; Self::ENVELOPE_BYTES]);
        let from = self.bytes.len() - self.start;
        write(&mut self.bytes);
        let content = from..self.bytes.len() - self.start;
        self.messages.push(Message { session, content, mailboxes, id });
    }

    /// Notes deliveries that have been made.
    pub(crate) fn delivered(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count * DELIVERED_BYTES, 0x66);
    }

    pub(crate) fn content(&self, message: &Message) -> &[u8] {
        &self.bytes[self.start..][message.content.clone()]
    }

    /// The whole batch in whole blocks, at an address the log can write from.
    pub(crate) fn blocks(&mut self) -> &[u8] {
        if !self.bytes[self.start..].as_ptr().addr().is_multiple_of(BLOCK_BYTES) {
            self.realign();
        }
        let length = (self.bytes.len() - self.start).next_multiple_of(BLOCK_BYTES);
        if self.bytes.capacity() < self.start + length {
            self.bytes.reserve(length + BLOCK_BYTES);
            self.realign();
        }
        self.bytes.resize(self.start + length, 0);
        &self.bytes[self.start..]
    }

    /// The vector grew and moved: rare, and costs one more copy of this batch.
    fn realign(&mut self) {
        let used = &self.bytes[self.start..];
        let mut bytes: Vec<u8> = Vec::with_capacity(used.len() * 2 + 2 * BLOCK_BYTES);
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES);
        bytes.resize(start, 0);
        bytes.extend_from_slice(used);
        (self.bytes, self.start) = (bytes, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_whole_however_the_batch_grew() {
        let token = Token { key: 0, serial: 0 };
        for size in [1, 4096, BATCH_BYTES - 10, BATCH_BYTES, 3 * BATCH_BYTES + 1] {
            let mut batch = Batch::new();
            batch.message(token, 1, vec![0], |out| out.extend(std::iter::repeat_n(b'm', size)));
            batch.delivered(3);
            let blocks = batch.blocks();
            assert!(blocks.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "size {size}");
            assert!(blocks.len().is_multiple_of(BLOCK_BYTES), "size {size}");
            assert!(blocks.len() >= size);
            let content = batch.content(&batch.messages[0]);
            assert_eq!(content.len(), size);
            assert!(content.iter().all(|byte| *byte == b'm'));
            batch.clear();
            assert!(batch.is_empty());
        }
    }
}
