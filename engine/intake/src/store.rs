//! From received bytes to a message in the queue.

use std::rc::Rc;

use cleanup::{Cleanup, Message, Summary, Verdict};
use mail::{Body, Envelope, QueueId, Time};
use queue::{AppendError, Commit, LargeContent, RingDisk, SliceError};
use rewrite::Temporary;
use wire::{Decoder, Framing, Input, Output, Refusal};

use crate::content::Content;
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

    /// Waits for tables, where there are some to be waited for.
    async fn settle(&mut self, own: &mut Vec<u8>) {
        if self.cleanup.is_waiting() {
            self.cleanup.settle(own).await;
        }
    }

    async fn finish_settled(mut self, own: &mut Vec<u8>) -> Summary {
        self.decoder.finish(&mut self.cleanup.onto(own));
        self.cleanup.finish_settled(own).await
    }

    /// Nothing will come of the message.
    fn abandon(self) -> Summary {
        self.cleanup.abandon()
    }
}

/// What became of a message's content.
#[allow(clippy::large_enum_variant, reason = "nearly every message is stored")]
enum Appended {
    /// It is in the open batch, or in its file.
    Stored { summary: Summary, commit: Commit },
    /// It is not: refused or thrown away.
    Left(Box<Summary>),
}

/// Why the open batch takes a message back.
enum NotAsItIs {
    /// It is not accepted.
    Left(Box<Summary>),
    /// Its content says something about its envelope, which is stored first.
    OtherEnvelope(Box<Summary>),
}

fn changes(envelope: &Envelope, summary: &Summary) -> bool {
    !summary.orders.change_nothing() || summary.says_8bit && envelope.body == Body::SevenBit
}

/// A message on its way to a file of its own.
pub(crate) struct Spool {
    id: QueueId,
    /// Its envelope as the client gave it.
    given: Envelope,
    cleaner: Cleaner,
    file: LargeContent<RingDisk>,
    buffer: Vec<u8>,
}

impl Spool {
    /// Cleans what has been received so far and writes it.
    async fn take(&mut self, content: &mut Content) -> Result<(), SliceError> {
        for raw in content.pieces() {
            self.cleaner.put(raw, &mut self.buffer);
            self.cleaner.settle(&mut self.buffer).await;
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
        (framing, own_client): (Framing, bool),
        sink: &mut S,
    ) -> Cleaner {
        let zone = self.shard.zone();
        let message = Message {
            from_own_client: own_client,
            receive: self.receive,
            ..Message::new(id, envelope, Time::now(), zone.as_cleanup())
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
        let given = self.dialogue.envelope().expect("content comes within a transaction").clone();
        let mut cleaner = service.cleaner(id, &given, (framing, self.is_own()), &mut buffer);
        cleaner.settle(&mut buffer).await;
        Ok(Box::new(Spool { id, given, cleaner, file, buffer }))
    }

    /// Removes the file of a message that will not be one. What checks found in it so far is logged, as Postfix
    /// does when it finds it.
    pub(crate) async fn abandon_spool(&mut self) {
        if let Some(spool) = self.spool.take() {
            let Spool { id, given, cleaner, file, .. } = *spool;
            self.log_summary(id, &given, &cleaner.abandon());
            file.abandon().await;
        }
    }

    /// Makes the message durable, hands it to the scheduler, and tells the dialogue.
    pub(crate) async fn store(&mut self, mut envelope: Rc<Envelope>) -> Output {
        let id = self.id.expect("a message has an accepted recipient, and its id with it");
        let content = self.content.take();
        let given = Rc::clone(&envelope);
        if let Err(refusal) = self.clean_envelope(&mut envelope).await {
            self.abandon_spool().await;
            let result = Err(refusal);
            return self.step(Input::Committed { result, envelope: &envelope });
        }
        let committed = match self.append((id, &given), &mut envelope, content).await {
            Ok(Appended::Stored { summary, commit }) => match commit.await {
                Ok(committed) => Ok(Some((summary, committed))),
                Err(refused) => Err(refusal(refused)),
            },
            Ok(Appended::Left(summary)) => match summary.verdict {
                Verdict::Refuse(it) => Err(Refusal::new(it.code, it.status, it.text)),
                Verdict::Discard | Verdict::Accept => Ok(None),
            },
            Err(refusal) => Err(refusal),
        };
        let result = match committed {
            // The scheduler hears of a message on hold when it is released.
            Ok(Some((summary, _))) if summary.orders.hold => {
                if let Err(error) = self.service.shard.slice.put_back(id) {
                    self.log_warning(&error.to_string());
                }
                Ok(id)
            }
            Ok(Some((summary, committed))) => {
                (self.service.shard.accepted)(Accepted {
                    id,
                    envelope: Rc::clone(&envelope),
                    place: committed.place,
                    has_delivered_to: summary.has_delivered_to,
                });
                Ok(id)
            }
            // The client is told the same as ever (postfix `cleanup_api.c`).
            Ok(None) => Ok(id),
            Err(refusal) => {
                self.abandon_spool().await;
                Err(refusal)
            }
        };
        self.step(Input::Committed { result, envelope: &envelope })
    }

    /// Whether the headers of this client's mail are treated as those of our own.
    fn is_own(&self) -> bool {
        self.own_client.get().unwrap_or_default()
    }

    /// Puts those in the envelope that the queue is to have: addresses completed and replaced, aliases
    /// expanded, copies added.
    async fn clean_envelope(&self, envelope: &mut Rc<Envelope>) -> Result<(), Refusal> {
        let service = &self.service;
        let (addresses, rules) = (&service.rewriters, service.envelope_rules);
        let cleaned = cleanup::envelope(addresses, rules, envelope, service.receive);
        match Box::pin(cleaned).await {
            Ok(None) => {}
            Ok(Some(cleaned)) => *envelope = Rc::new(cleaned.envelope),
            Err(why) => return Err(self.not_now(&why)),
        }
        let filter = &service.settings.content.content_filter;
        if !filter.is_empty() {
            Rc::make_mut(envelope).filter = Some(filter.clone());
        }
        Ok(())
    }

    /// Does to the envelope what checks and headers say, now that the content is cleaned.
    async fn change(&self, envelope: &mut Rc<Envelope>, summary: &Summary) -> Result<(), Refusal> {
        if !changes(envelope, summary) {
            return Ok(());
        }
        let service = &self.service;
        let (addresses, rules) = (&service.rewriters, service.envelope_rules);
        let (orders, receive) = (&summary.orders, service.receive);
        let envelope = Rc::make_mut(envelope);
        let applied =
            cleanup::apply_orders(addresses, rules, envelope, orders, receive, Time::now());
        Box::pin(applied).await.map_err(|why| self.not_now(&why))?;
        if summary.says_8bit && envelope.body == Body::SevenBit {
            envelope.body = Body::EightBitMime;
        }
        Ok(())
    }

    /// What the client is told when it cannot be known what becomes of an address.
    fn not_now(&self, why: &Temporary) -> Refusal {
        self.log_warning(&why.logged());
        Refusal::new(451, why.status(), format!("Error: {}", why.reply()))
    }

    /// Cleans the content and appends it. What checks have to say is logged as soon as all of it is known,
    /// whatever becomes of the message then; `given` is its envelope as it came, for the log.
    async fn append(
        &mut self,
        (id, given): (QueueId, &Envelope),
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
    ) -> Result<Appended, Refusal> {
        if let Some(refusal) = self.not_spooled.take() {
            return Err(refusal);
        }
        if self.spool.is_some() {
            return self.append_large((id, given), envelope, content).await;
        }
        if !self.service.rules.is_immediate() {
            return self.append_settled((id, given), envelope, content).await;
        }
        let received = Rc::clone(envelope);
        match self.append_at_once((id, given), &received, None, content.as_deref()) {
            Err(AppendError::Content(NotAsItIs::OtherEnvelope(summary))) => {
                self.change(envelope, &summary).await?;
                self.append_at_once((id, given), &received, Some(envelope), content.as_deref())
            }
            appended => appended,
        }
        .or_else(|error| match error {
            AppendError::Content(NotAsItIs::Left(summary)) => Ok(Appended::Left(summary)),
            AppendError::Content(NotAsItIs::OtherEnvelope(_)) => Err(Refusal::not_queued()),
            AppendError::Refused(refused) => Err(refusal(refused)),
        })
    }

    /// Cleans a message right into the open batch. `received` is its envelope as far as its content says
    /// something of it, `changed` the one that is stored, once the content has been asked.
    fn append_at_once(
        &self,
        (id, given): (QueueId, &Envelope),
        received: &Rc<Envelope>,
        changed: Option<&Rc<Envelope>>,
        content: Option<&Content>,
    ) -> Result<Appended, AppendError<NotAsItIs>> {
        let service = &self.service;
        let framing = content.map_or(Framing::Chunks, Content::framing);
        let own_client = self.is_own();
        let stored = changed.unwrap_or(received);
        let (summary, commit) = service.shard.slice.append(id, stored, |sink| {
            let mut record = Record(sink);
            let mut cleaner = service.cleaner(id, received, (framing, own_client), &mut record);
            for raw in content.iter().flat_map(|content| content.pieces()) {
                cleaner.put(raw, &mut record);
            }
            let summary = cleaner.finish(&mut record);
            if changed.is_none() {
                self.log_summary(id, given, &summary);
            }
            if summary.verdict != Verdict::Accept {
                return Err(NotAsItIs::Left(Box::new(summary)));
            }
            if changed.is_none() && changes(received, &summary) {
                return Err(NotAsItIs::OtherEnvelope(Box::new(summary)));
            }
            if summary.has_delivered_to {
                sink.note_delivered_to();
            }
            if summary.orders.hold {
                sink.note_hold();
            }
            Ok(summary)
        })?;
        Ok(Appended::Stored { summary, commit })
    }

    /// Cleans a message in memory of its own, since a table may have to be waited for, and the open batch
    /// cannot be.
    async fn append_settled(
        &mut self,
        (id, given): (QueueId, &Envelope),
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
    ) -> Result<Appended, Refusal> {
        let framing = content.as_ref().map_or(Framing::Chunks, |content| content.framing());
        let mut own = Vec::new();
        let mut cleaner = self.service.cleaner(id, envelope, (framing, self.is_own()), &mut own);
        for raw in content.iter().flat_map(|content| content.pieces()) {
            cleaner.put(raw, &mut own);
            cleaner.settle(&mut own).await;
        }
        let summary = cleaner.finish_settled(&mut own).await;
        self.log_summary(id, given, &summary);
        if summary.verdict != Verdict::Accept {
            return Ok(Appended::Left(Box::new(summary)));
        }
        self.change(envelope, &summary).await?;
        let appended = self.service.shard.slice.append(id, envelope, |sink| {
            sink.push(&own);
            if summary.has_delivered_to {
                sink.note_delivered_to();
            }
            if summary.orders.hold {
                sink.note_hold();
            }
            Ok::<_, Refusal>(())
        });
        match appended {
            Ok(((), commit)) => Ok(Appended::Stored { summary, commit }),
            Err(AppendError::Content(refusal)) => Err(refusal),
            Err(AppendError::Refused(refused)) => Err(refusal(refused)),
        }
    }

    async fn append_large(
        &mut self,
        (id, given): (QueueId, &Envelope),
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
    ) -> Result<Appended, Refusal> {
        if let Some(mut content) = content {
            self.spool(&mut content).await;
        }
        if let Some(refusal) = self.not_spooled.take() {
            return Err(refusal);
        }
        let Some(spool) = self.spool.take() else { return Err(Refusal::not_queued()) };
        let Spool { cleaner, mut file, mut buffer, .. } = *spool;
        let summary = cleaner.finish_settled(&mut buffer).await;
        self.log_summary(id, given, &summary);
        if summary.verdict != Verdict::Accept {
            file.abandon().await;
            return Ok(Appended::Left(Box::new(summary)));
        }
        if let Err(refusal) = self.change(envelope, &summary).await {
            file.abandon().await;
            return Err(refusal);
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
        let (has_delivered_to, held) = (summary.has_delivered_to, summary.orders.hold);
        let notes = queue::Notes { has_delivered_to, held };
        match self.service.shard.slice.append_file(id, envelope, stored, notes) {
            Ok(commit) => Ok(Appended::Stored { summary, commit }),
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
