//! Receiving content: DATA up to its dot, BDAT by length.

use mail::Time;
use wire::{Input, LineEnds, Output};

use crate::cleaning::MEMORY_BYTES_MAX;
use crate::content::Content;
use crate::session::Session;

impl Session {
    /// Says that content may come, and reads it to its end.
    pub(crate) async fn receive_data(&mut self, line_ends: LineEnds) -> Output {
        self.place.begin_request();
        if self.flush().await.is_err() {
            return self.lost(Some(0));
        }
        let watch = self.dialogue.policy().watches_bare_lf();
        let limit = self.dialogue.policy().message_size_limit_bytes;
        let pool = self.service.shard.pool.clone();
        let mut content = Box::new(Content::data(line_ends, watch, limit, pool));
        let (used, mut ended) = content.push(self.unread());
        self.consume(used);
        while !ended {
            let Some(count) = self.receive_into(&mut content).await else {
                return self.lost(Some(content.received().size_bytes));
            };
            if let Some(behind) = content.filled(count) {
                self.put_back(&behind);
                ended = true;
            }
            if content.held_bytes() > MEMORY_BYTES_MAX {
                self.spool(&mut content).await;
            }
        }
        let received = content.received();
        self.content = Some(content);
        self.step(Input::Received { received, arrival: Time::now() })
    }

    /// Reads one chunk; `keep` is false for one that only has to be got past.
    pub(crate) async fn receive_chunk(&mut self, bytes: u64, first: bool, keep: bool) -> Output {
        self.place.begin_request();
        let mut content = match self.content.take() {
            Some(content) if !first => content,
            _ => {
                let watch = self.dialogue.policy().watches_bare_lf();
                let limit = self.dialogue.policy().message_size_limit_bytes;
                Box::new(Content::chunks(watch, limit, self.service.shard.pool.clone()))
            }
        };
        let mut left = bytes;
        while left > 0 {
            let unread = self.unread();
            if !unread.is_empty() {
                let count = unread.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                if keep {
                    content.push_chunk(&unread[..count]);
                }
                self.consume(count);
                left -= count as u64;
            } else if self.flush().await.is_err()
                || !self.read_chunk(&mut content, &mut left, keep).await
            {
                let so_far = content.received().size_bytes;
                return self.lost(Some(so_far));
            }
            if content.held_bytes() > MEMORY_BYTES_MAX {
                self.spool(&mut content).await;
            }
        }
        let received = content.received();
        if keep {
            self.content = Some(content);
        }
        self.step(Input::Received { received, arrival: Time::now() })
    }

    /// Reads what may be the rest of a chunk and the commands behind it.
    async fn read_chunk(&mut self, content: &mut Content, left: &mut u64, keep: bool) -> bool {
        let Some(count) = self.receive_into(content).await else { return false };
        let ours = count.min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= ours as u64;
        let behind = content.filled_chunk(count, ours, keep);
        if !behind.is_empty() {
            self.put_back(&behind);
        }
        true
    }
}
