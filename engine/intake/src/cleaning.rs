//! From content as it came to a message in the queue, whoever brings it: the cleanup that a service's mail
//! goes through.

use std::rc::Rc;
use std::sync::Arc;

use cleanup::{Cleanup, Message, Summary, Verdict};
use config::MailSource;
use mail::log::Event;
use mail::{Body, Envelope, QueueId, Time};
use queue::{AppendError, Commit, LargeContent, RingDisk, SliceError};
use rewrite::{Rewriter, Temporary};
use wire::{Decoder, Framing, Refusal};

use crate::addresses::Rewriters;
use crate::content::Content;
use crate::journal::Log;
use crate::policy::{envelope_rules, receive, rules};
use crate::shard::{Accepted, Shard};

/// More of a message than this is not kept in memory, in bytes: it goes to a file as it comes.
pub(crate) const MEMORY_BYTES_MAX: usize = 1 << 20;
/// What is gathered before it is written to a large message's file, in bytes.
const SPOOL_BUFFER_BYTES: usize = 1 << 20;

/// The cleanup that a server's mail goes through, which has an entry of its own in master.cf.
pub struct CleanupService {
    /// Its settings, and what they make of addresses.
    pub rewriter: Arc<Rewriter>,
    /// Where its lines go.
    pub log: Log,
}

/// One entrance's share of it: what cleanup is to do with the mail that comes in there.
pub(crate) struct Cleaning {
    shard: Rc<Shard>,
    /// The program at the entrance, for its lines of the log.
    program: &'static str,
    log: Log,
    cleanup_log: Log,
    rules: Arc<cleanup::Rules>,
    envelope_rules: cleanup::EnvelopeRules,
    rewriters: Rewriters,
    /// `receive_override_options`
    receive: cleanup::Receive,
    content_filter: Box<str>,
    /// Mail is found to need SMTPUTF8, whoever did not say so.
    detects_utf8: bool,
}

/// What is known of a message beside its envelope and its content.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) id: QueueId,
    /// Its envelope as it came.
    pub(crate) given: &'a Envelope,
    /// The session's number in the log.
    pub(crate) number: u32,
    /// Its headers are treated as those of our own mail.
    pub(crate) is_own: bool,
    /// Who called `sendmail`, where it came that way. Nobody is there to be told that it is refused.
    pub(crate) user: Option<User<'a>>,
}

/// The caller of `sendmail`.
#[derive(Clone, Copy)]
pub(crate) struct User<'a> {
    pub(crate) id: u32,
    pub(crate) full_name: Option<&'a str>,
}

/// What became of a message that was not turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Queued,
    /// It waits for an operator.
    Held,
    /// A check threw it away.
    Discarded,
}

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
    !summary.orders.change_nothing()
        || summary.says_8bit && envelope.body == Body::SevenBit
        || summary.has_utf8_header && !envelope.smtputf8
}

impl Origin<'_> {
    /// Whether the queue is to have the message. One that cannot be returned to its sender is kept although
    /// it is refused, as long as there is all of it.
    fn keeps(&self, summary: &Summary) -> bool {
        match summary.verdict {
            Verdict::Accept => true,
            Verdict::Refuse(_) => self.user.is_some() && !summary.is_cut,
            Verdict::Discard => false,
        }
    }
}

/// Whether it is put on hold.
fn is_held(summary: &Summary) -> bool {
    summary.orders.hold || summary.verdict != Verdict::Accept
}

/// A message on its way to a file of its own, if it is on that way.
#[derive(Default)]
pub(crate) struct Large {
    spool: Option<Box<Spool>>,
    /// Why there is no such file although there should be.
    failed: Option<Refusal>,
}

struct Spool {
    id: QueueId,
    /// Its envelope as it came.
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

impl Large {
    /// Whether there is something to be abandoned where nothing comes of the message.
    pub(crate) fn is_begun(&self) -> bool {
        self.spool.is_some() || self.failed.is_some()
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

impl Cleaning {
    /// What `service`, as the settings of the program at the entrance have it, does with mail that comes in
    /// there.
    pub(crate) fn new(
        shard: Rc<Shard>,
        settings: &config::Snapshot,
        service: CleanupService,
        source: MailSource,
        (program, log): (&'static str, Log),
    ) -> Self {
        let CleanupService { rewriter, log: cleanup_log } = service;
        let own_settings = Arc::clone(rewriter.settings());
        let rewriters = Rewriters::new(rewriter);
        let detects_utf8 = own_settings.smtpd.smtputf8_enable
            && settings.content.smtputf8_autodetect_classes.has(source);
        let rules = cleanup::Rules {
            detects_utf8_headers: detects_utf8,
            ..rules(&own_settings, &rewriters)
        };
        Self {
            shard,
            program,
            log,
            cleanup_log,
            rules: Arc::new(rules),
            envelope_rules: envelope_rules(&own_settings),
            rewriters,
            receive: receive(settings),
            content_filter: settings.content.content_filter.clone(),
            detects_utf8,
        }
    }

    /// The shard whose queue the mail goes to.
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    fn cleaner<S: mail::Sink>(
        &self,
        origin: Origin<'_>,
        envelope: &Envelope,
        framing: Framing,
        sink: &mut S,
    ) -> Cleaner {
        let zone = self.shard.zone();
        // The envelope of a client does not know the end of data yet.
        let arrival = if origin.user.is_some() { envelope.arrival } else { Time::now() };
        let message = Message {
            from_own_client: origin.is_own,
            user_id: origin.user.map(|user| user.id),
            full_name: origin.user.and_then(|user| user.full_name),
            is_returned: origin.user.is_some(),
            receive: self.receive,
            ..Message::new(origin.id, envelope, arrival, zone.as_cleanup())
        };
        let cleanup = Cleanup::start(&self.rules, &message, sink);
        Cleaner { decoder: Decoder::new(framing), cleanup }
    }

    /// Moves a message that grows large out of memory. If that fails, the message is read to its end all
    /// the same, and refused then.
    pub(crate) async fn spool(&self, large: &mut Large, origin: Origin<'_>, content: &mut Content) {
        if content.too_big() || large.failed.is_some() {
            content.taken();
            return;
        }
        if let Err(error) = self.try_spool(large, origin, content).await {
            self.warn(origin.number, &error.to_string());
            self.abandon(large, origin.number).await;
            large.failed = Some(slice_refusal(&error));
            content.taken();
        }
    }

    async fn try_spool(
        &self,
        large: &mut Large,
        origin: Origin<'_>,
        content: &mut Content,
    ) -> Result<(), SliceError> {
        let mut spool = match large.spool.take() {
            Some(spool) => spool,
            None => self.begin_spool(origin, content.framing()).await?,
        };
        let taken = spool.take(content).await;
        large.spool = Some(spool);
        taken
    }

    async fn begin_spool(
        &self,
        origin: Origin<'_>,
        framing: Framing,
    ) -> Result<Box<Spool>, SliceError> {
        let Origin { id, given, .. } = origin;
        let file = self.shard.slice.stream(id).await?;
        let mut buffer = Vec::with_capacity(SPOOL_BUFFER_BYTES);
        let mut cleaner = self.cleaner(origin, given, framing, &mut buffer);
        cleaner.settle(&mut buffer).await;
        Ok(Box::new(Spool { id, given: given.clone(), cleaner, file, buffer }))
    }

    /// Removes the file of a message that will not be one. What checks found in it so far is logged, as Postfix
    /// does when it finds it.
    pub(crate) async fn abandon(&self, large: &mut Large, number: u32) {
        large.failed = None;
        if let Some(spool) = large.spool.take() {
            let Spool { id, given, cleaner, file, .. } = *spool;
            self.log_summary(number, id, &given, &cleaner.abandon());
            file.abandon().await;
        }
    }

    /// Makes the message durable and hands it to the scheduler. `envelope` becomes the one that is stored.
    pub(crate) async fn store(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
        large: &mut Large,
    ) -> Result<Stored, Refusal> {
        let stored = self.try_store(origin, envelope, content, large).await;
        if stored.is_err() {
            self.abandon(large, origin.number).await;
        }
        stored
    }

    async fn try_store(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
        large: &mut Large,
    ) -> Result<Stored, Refusal> {
        self.clean_envelope(origin, envelope).await?;
        let (summary, commit) = match self.append(origin, envelope, content, large).await? {
            Appended::Stored { summary, commit } => (summary, commit),
            Appended::Left(summary) => match summary.verdict {
                Verdict::Refuse(it) => return Err(Refusal::new(it.code, it.status, it.text)),
                Verdict::Discard | Verdict::Accept => return Ok(Stored::Discarded),
            },
        };
        let committed = commit.await.map_err(refusal)?;
        if is_held(&summary) {
            // The scheduler hears of it when it is released.
            if let Err(error) = self.shard.slice.put_back(origin.id) {
                self.warn(origin.number, &error.to_string());
            }
            self.log_held(origin, &summary);
            return Ok(Stored::Held);
        }
        (self.shard.accepted)(Accepted {
            id: origin.id,
            envelope: Rc::clone(envelope),
            place: committed.place,
            has_delivered_to: summary.has_delivered_to,
        });
        Ok(Stored::Queued)
    }

    /// Puts those in the envelope that the queue is to have: addresses completed and replaced, aliases
    /// expanded, copies added.
    async fn clean_envelope(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
    ) -> Result<(), Refusal> {
        let (addresses, rules) = (&self.rewriters, self.envelope_rules);
        let cleaned = cleanup::envelope(addresses, rules, envelope, self.receive);
        match Box::pin(cleaned).await {
            Ok(None) => {}
            Ok(Some(cleaned)) => *envelope = Rc::new(cleaned.envelope),
            Err(why) => return Err(self.not_now(origin, &why)),
        }
        if !self.content_filter.is_empty() {
            Rc::make_mut(envelope).filter = Some(self.content_filter.clone());
        }
        if self.needs_smtputf8(envelope) {
            Rc::make_mut(envelope).smtputf8 = true;
        }
        Ok(())
    }

    /// Whether an envelope is found to need what nobody asked for.
    fn needs_smtputf8(&self, envelope: &Envelope) -> bool {
        self.detects_utf8 && !envelope.smtputf8 && envelope.has_utf8_address()
    }

    /// Does to the envelope what checks and headers say, now that the content is cleaned.
    async fn change(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
        summary: &Summary,
    ) -> Result<(), Refusal> {
        if !changes(envelope, summary) {
            return Ok(());
        }
        let (addresses, rules) = (&self.rewriters, self.envelope_rules);
        let (orders, receive) = (&summary.orders, self.receive);
        let envelope = Rc::make_mut(envelope);
        let applied =
            cleanup::apply_orders(addresses, rules, envelope, orders, receive, Time::now());
        Box::pin(applied).await.map_err(|why| self.not_now(origin, &why))?;
        if summary.says_8bit && envelope.body == Body::SevenBit {
            envelope.body = Body::EightBitMime;
        }
        envelope.smtputf8 |= summary.has_utf8_header || self.needs_smtputf8(envelope);
        Ok(())
    }

    /// What is said when it cannot be known what becomes of an address.
    fn not_now(&self, origin: Origin<'_>, why: &Temporary) -> Refusal {
        self.warn(origin.number, &why.logged());
        Refusal::new(451, why.status(), format!("Error: {}", why.reply()))
    }

    /// Cleans the content and appends it. What checks have to say is logged as soon as all of it is known,
    /// whatever becomes of the message then.
    async fn append(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
        large: &mut Large,
    ) -> Result<Appended, Refusal> {
        if let Some(refusal) = large.failed.take() {
            return Err(refusal);
        }
        if large.spool.is_some() {
            return self.append_large(origin, envelope, content, large).await;
        }
        if !self.rules.is_immediate() {
            return self.append_settled(origin, envelope, content).await;
        }
        let received = Rc::clone(envelope);
        match self.append_at_once(origin, &received, None, content.as_deref()) {
            Err(AppendError::Content(NotAsItIs::OtherEnvelope(summary))) => {
                self.change(origin, envelope, &summary).await?;
                self.append_at_once(origin, &received, Some(envelope), content.as_deref())
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
        origin: Origin<'_>,
        received: &Rc<Envelope>,
        changed: Option<&Rc<Envelope>>,
        content: Option<&Content>,
    ) -> Result<Appended, AppendError<NotAsItIs>> {
        let framing = content.map_or(Framing::Chunks, Content::framing);
        let stored = changed.unwrap_or(received);
        let (summary, commit) = self.shard.slice.append(origin.id, stored, |sink| {
            let mut record = Record(sink);
            let mut cleaner = self.cleaner(origin, received, framing, &mut record);
            for raw in content.iter().flat_map(|content| content.pieces()) {
                cleaner.put(raw, &mut record);
            }
            let summary = cleaner.finish(&mut record);
            if changed.is_none() {
                self.log_summary(origin.number, origin.id, origin.given, &summary);
            }
            if !origin.keeps(&summary) {
                return Err(NotAsItIs::Left(Box::new(summary)));
            }
            if changed.is_none() && changes(received, &summary) {
                return Err(NotAsItIs::OtherEnvelope(Box::new(summary)));
            }
            note(sink, &summary);
            Ok(summary)
        })?;
        Ok(Appended::Stored { summary, commit })
    }

    /// Cleans a message in memory of its own, since a table may have to be waited for, and the open batch
    /// cannot be.
    async fn append_settled(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
    ) -> Result<Appended, Refusal> {
        let framing = content.as_ref().map_or(Framing::Chunks, |content| content.framing());
        let mut own = Vec::new();
        let mut cleaner = self.cleaner(origin, envelope, framing, &mut own);
        for raw in content.iter().flat_map(|content| content.pieces()) {
            cleaner.put(raw, &mut own);
            cleaner.settle(&mut own).await;
        }
        let summary = cleaner.finish_settled(&mut own).await;
        self.log_summary(origin.number, origin.id, origin.given, &summary);
        if !origin.keeps(&summary) {
            return Ok(Appended::Left(Box::new(summary)));
        }
        self.change(origin, envelope, &summary).await?;
        let appended = self.shard.slice.append(origin.id, envelope, |sink| {
            sink.push(&own);
            note(sink, &summary);
            Ok::<_, Refusal>(())
        });
        match appended {
            Ok(((), commit)) => Ok(Appended::Stored { summary, commit }),
            Err(AppendError::Content(refusal)) => Err(refusal),
            Err(AppendError::Refused(refused)) => Err(refusal(refused)),
        }
    }

    async fn append_large(
        &self,
        origin: Origin<'_>,
        envelope: &mut Rc<Envelope>,
        content: Option<Box<Content>>,
        large: &mut Large,
    ) -> Result<Appended, Refusal> {
        if let Some(mut content) = content {
            self.spool(large, origin, &mut content).await;
        }
        if let Some(refusal) = large.failed.take() {
            return Err(refusal);
        }
        let Some(spool) = large.spool.take() else { return Err(Refusal::not_queued()) };
        let Spool { cleaner, mut file, mut buffer, .. } = *spool;
        let summary = cleaner.finish_settled(&mut buffer).await;
        self.log_summary(origin.number, origin.id, origin.given, &summary);
        if !origin.keeps(&summary) {
            file.abandon().await;
            return Ok(Appended::Left(Box::new(summary)));
        }
        if let Err(refusal) = self.change(origin, envelope, &summary).await {
            file.abandon().await;
            return Err(refusal);
        }
        if let Err(error) = file.write(buffer).await {
            self.warn(origin.number, &error.to_string());
            file.abandon().await;
            return Err(slice_refusal(&error));
        }
        let stored = file.finish().await.map_err(|error| {
            self.warn(origin.number, &error.to_string());
            slice_refusal(&error)
        })?;
        let (has_delivered_to, held) = (summary.has_delivered_to, is_held(&summary));
        let notes = queue::Notes { has_delivered_to, held };
        match self.shard.slice.append_file(origin.id, envelope, stored, notes) {
            Ok(commit) => Ok(Appended::Stored { summary, commit }),
            Err(refused) => Err(refusal(refused)),
        }
    }

    /// What cleanup has to say of a message.
    fn log_summary(&self, number: u32, id: QueueId, envelope: &Envelope, summary: &Summary) {
        let log = |event: Event<'_>| (self.cleanup_log)("cleanup", number.into(), event);
        let message_id = &*summary.message_id;
        // The log need not say that there is none where the head was not read to its end.
        if summary.verdict == Verdict::Accept || !message_id.is_empty() {
            log(Event::MessageId { id, message_id });
        }
        for event in &summary.events {
            event.line(id, envelope, log);
        }
    }

    /// A message that should go back to its sender, which it cannot yet.
    fn log_held(&self, origin: Origin<'_>, summary: &Summary) {
        let Verdict::Refuse(why) = &summary.verdict else { return };
        let id = origin.id;
        let text = format!("{id}: not accepted: {} {}", why.status, why.text);
        (self.cleanup_log)("cleanup", origin.number.into(), Event::Info { text: &text });
        let (status, action) = ("undeliverable", "placed on hold");
        let given_up = Event::GivenUp { id, from: origin.given.sender.as_ref(), status, action };
        (self.cleanup_log)("cleanup", origin.number.into(), given_up);
    }

    fn warn(&self, number: u32, text: &str) {
        (self.log)(self.program, number.into(), Event::Warning { text });
    }
}

fn note(sink: &mut queue::Sink<'_, RingDisk>, summary: &Summary) {
    if summary.has_delivered_to {
        sink.note_delivered_to();
    }
    if is_held(summary) {
        sink.note_hold();
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
