//! From received bytes to a message in the queue.

use std::rc::Rc;

use cleanup::{Cleanup, Message, Summary};
use mail::{Address, Envelope, QueueId, Time};
use queue::{AppendError, Commit, LargeContent, RingDisk, SliceError};
use wire::{Decoder, Framing, Input, Output, Refusal};

use crate::content::Content;
use crate::judge;
use crate::service::Service;
use crate::session::Session;
use crate::shard::Accepted;

/// What is gathered before it is written to a large message's file, in bytes.
const SPOOL_BUFFER_BYTES: usize = 1 << 20;

/// Undoes the transport's encoding and cleans up, in one pass.
struct Cleaner {
    decoder: Decoder,
    cleanup: Cleanup,
}

impl Cleaner {
    fn put<S: mail::Sink>(&mut self, raw: &[u8], sink: &mut S) {
        self.decoder.decode(raw, &mut self.cleanup.onto(sink));
    }

    fn finish<S: mail::Sink>(mut self, sink: &mut S) -> Summary {
        self.decoder.finish(&mut self.cleanup.onto(sink));
        self.cleanup.finish(sink)
    }
}

/// A message on its way to a file of its own.
pub(crate) struct Spool {
    cleaner: Cleaner,
    file: LargeContent<RingDisk>,
    buffer: Vec<u8>,
}

impl Spool {
    /// Cleans what has been received so far and writes it.
    async fn take(&mut self, content: &mut Content) -> Result<(), SliceError> {
        for raw in content.pieces() {
            self.cleaner.put(raw, &mut self.buffer);
        }
        content.taken();
        self.write().await
    }

    async fn write(&mut self) -> Result<(), SliceError> {
        let mut written = self.file.write(std::mem::take(&mut self.buffer)).await?;
        written.clear();
        self.buffer = written;
        Ok(())
    }

    /// Nothing will come of it.
    pub(crate) async fn abandon(self) {
        self.file.abandon().await;
    }
}

/// The batch as cleanup wants to see it.
struct Record<'a, 'b>(&'a mut queue::Sink<'b, RingDisk>);

impl mail::Sink for Record<'_, '_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }
}

impl Service {
    fn cleaner<S: mail::Sink>(
        &self,
        id: QueueId,
        envelope: &Envelope,
        framing: Framing,
        sink: &mut S,
    ) -> Cleaner {
        let zone = self.shard.zone();
        let message = Message {
            id,
            envelope,
            arrival: Time::now(),
            zone: zone.as_cleanup(),
            // `local_header_rewrite_clients = permit_inet_interfaces`
            from_own_client: envelope.client.address.is_some_and(|at| at.ip().is_loopback()),
        };
        let cleanup = Cleanup::start(&self.rules, &message, sink);
        Cleaner { decoder: Decoder::new(framing), cleanup }
    }
}

impl Session {
    /// Moves a message that grows large out of memory. If that fails, the message is read to its end all
    /// the same, and refused then.
    pub(crate) async fn spool(&mut self, content: &mut Content) {
        if content.too_big() || self.not_spooled.is_some() {
            content.taken();
            return;
        }
        if let Err(error) = self.try_spool(content).await {
            self.log_warning(&error.to_string());
            self.not_spooled = Some(slice_refusal(&error));
            self.abandon_spool().await;
            content.taken();
        }
    }

    async fn try_spool(&mut self, content: &mut Content) -> Result<(), SliceError> {
        let mut spool = match self.spool.take() {
            Some(spool) => spool,
            None => self.begin_spool(content.framing()).await?,
        };
        let taken = spool.take(content).await;
        self.spool = Some(spool);
        taken
    }

    async fn begin_spool(&mut self, framing: Framing) -> Result<Box<Spool>, SliceError> {
        let service = Rc::clone(&self.service);
        let id = *self.id.get_or_insert_with(|| service.shard.slice.next_id(Time::now()));
        let file = service.shard.slice.stream(id).await?;
        let mut buffer = Vec::with_capacity(SPOOL_BUFFER_BYTES);
        let envelope = self.dialogue.envelope().expect("content comes within a transaction");
        let cleaner = service.cleaner(id, envelope, framing, &mut buffer);
        Ok(Box::new(Spool { cleaner, file, buffer }))
    }

    /// Removes the file of a message that will not be one.
    pub(crate) async fn abandon_spool(&mut self) {
        if let Some(spool) = self.spool.take() {
            spool.abandon().await;
        }
    }

    /// Makes the message durable, hands it to the scheduler, and tells the dialogue.
    pub(crate) async fn store(&mut self, mut envelope: Rc<Envelope>) -> Output {
        let id = self.id.expect("a message has an accepted recipient, and its id with it");
        let content = self.content.take();
        for recipient in &mut Rc::make_mut(&mut envelope).recipients {
            if let Some(completed) = judge::complete(&recipient.address, &self.service.settings) {
                let given: Address = std::mem::replace(&mut recipient.address, completed);
                recipient.original.get_or_insert(given);
            }
        }
        let committed = match self.append(id, &envelope, content).await {
            Ok((summary, commit)) => {
                self.log_message_id(id, &summary.message_id);
                match commit.await {
                    Ok(committed) => Ok((summary, committed)),
                    Err(refused) => Err(refusal(refused)),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let result = match committed {
            Ok((summary, committed)) => {
                (self.service.shard.accepted)(Accepted {
                    id,
                    envelope: Rc::clone(&envelope),
                    place: committed.place,
                    has_delivered_to: summary.has_delivered_to,
                });
                Ok(id)
            }
            Err(refusal) => {
                self.abandon_spool().await;
                Err(refusal)
            }
        };
        self.step(Input::Committed { result, envelope: &envelope })
    }

    async fn append(
        &mut self,
        id: QueueId,
        envelope: &Rc<Envelope>,
        content: Option<Box<Content>>,
    ) -> Result<(Summary, Commit), Refusal> {
        if let Some(refusal) = self.not_spooled.take() {
            return Err(refusal);
        }
        if self.spool.is_some() {
            return self.append_large(id, envelope, content).await;
        }
        let service = &self.service;
        let framing = content.as_ref().map_or(Framing::Chunks, |content| content.framing());
        let appended = service.shard.slice.append(id, envelope, |sink| {
            let mut record = Record(sink);
            let mut cleaner = service.cleaner(id, envelope, framing, &mut record);
            for raw in content.iter().flat_map(|content| content.pieces()) {
                cleaner.put(raw, &mut record);
            }
            let summary = cleaner.finish(&mut record);
            if summary.too_many_hops {
                return Err(Refusal::too_many_hops());
            }
            if summary.has_delivered_to {
                sink.note_delivered_to();
            }
            Ok(summary)
        });
        appended.map_err(|error| match error {
            AppendError::Content(refusal) => refusal,
            AppendError::Refused(refused) => refusal(refused),
        })
    }

    async fn append_large(
        &mut self,
        id: QueueId,
        envelope: &Rc<Envelope>,
        content: Option<Box<Content>>,
    ) -> Result<(Summary, Commit), Refusal> {
        if let Some(mut content) = content {
            self.spool(&mut content).await;
        }
        if let Some(refusal) = self.not_spooled.take() {
            return Err(refusal);
        }
        let Some(spool) = self.spool.take() else { return Err(Refusal::not_queued()) };
        let Spool { cleaner, mut file, mut buffer } = *spool;
        let summary = cleaner.finish(&mut buffer);
        if summary.too_many_hops {
            file.abandon().await;
            return Err(Refusal::too_many_hops());
        }
        if let Err(error) = file.write(buffer).await {
            self.log_warning(&error.to_string());
            file.abandon().await;
            return Err(slice_refusal(&error));
        }
        let stored = file.finish().await.map_err(|error| {
            self.log_warning(&error.to_string());
            slice_refusal(&error)
        })?;
        let notes = queue::Notes { has_delivered_to: summary.has_delivered_to, held: false };
        match self.service.shard.slice.append_file(id, envelope, stored, notes) {
            Ok(commit) => Ok((summary, commit)),
            Err(refused) => Err(refusal(refused)),
        }
    }
}

/// What the client is told when the queue takes nothing. Never a permanent failure but for one that is
/// the message's own.
pub(crate) fn refusal(refused: queue::Refusal) -> Refusal {
    match refused {
        queue::Refusal::NoSpace | queue::Refusal::NoMemory => Refusal::no_space(),
        queue::Refusal::Failed | queue::Refusal::TooLarge | queue::Refusal::Closed => {
            Refusal::not_queued()
        }
    }
}

fn slice_refusal(error: &SliceError) -> Refusal {
    match error {
        SliceError::Refused(refused) => refusal(*refused),
        _ => Refusal::not_queued(),
    }
}
