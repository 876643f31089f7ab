//! A shard's part: from a file to a message in the queue.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::rc::Rc;

use config::{MailSource, Snapshot};
use mail::log::Event;
use mail::{Client, Envelope, Protocol, QueueId, Recipient, Sink, Time};
use maildrop::{Decoder, Malformed, Submission};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::parcel::{Fate, Parcel};
use crate::cleaning::{Cleaning, CleanupService, Large, MEMORY_BYTES_MAX, Origin, User};
use crate::content::Content;
use crate::journal::Log;
use crate::shard::Shard;

/// What is read of a file at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Mail that has waited longer than this is worth a word (postfix `pickup.c`).
const OLD_SECS: u64 = 24 * 3600;

/// The pickup service as its line of master.cf has it. It never changes: a new configuration makes a new one.
pub struct Pickup {
    cleaning: Cleaning,
    log: Log,
}

impl Pickup {
    /// The service with these settings, and the cleanup of its mail.
    pub fn new(shard: Rc<Shard>, settings: &Snapshot, cleanup: CleanupService, log: Log) -> Self {
        let entrance = ("pickup", Rc::clone(&log));
        let source = MailSource::Sendmail;
        Self { cleaning: Cleaning::new(shard, settings, cleanup, source, entrance), log }
    }

    /// From the file to the queue.
    async fn take(self: Rc<Self>, parcel: Parcel) {
        let number = self.cleaning.shard().next_number();
        let Parcel { file, user_id, left, answer } = parcel;
        let taken = self.queue(file, user_id, self.when(answer.name(), left, number), number).await;
        let fate = match taken {
            Ok(()) => Fate::Taken,
            Err(NotTaken::Later(why)) => {
                let text = format!("{}: {why}; it is tried again later", answer.name());
                self.warn(number, &text);
                Fate::Kept
            }
            Err(NotTaken::Never(why)) => Fate::SetAside(format!("uid={user_id}: {why}").into()),
        };
        answer.give(fate);
    }

    /// A clock that was wrong makes no mail of tomorrow.
    fn when(&self, name: &str, left: Time, number: u32) -> Time {
        let now = Time::now();
        let age_secs = now.secs().saturating_sub(left.secs());
        if age_secs > OLD_SECS {
            let days = age_secs / OLD_SECS;
            self.warn(number, &format!("{name}: has been queued for {days} days"));
        }
        left.min(now)
    }

    async fn queue(
        &self,
        file: fs::File,
        user_id: u32,
        left: Time,
        number: u32,
    ) -> Result<(), NotTaken> {
        let shard = self.cleaning.shard();
        // Without room in the queue there is no use in reading.
        shard.slice.accepting().map_err(|why| NotTaken::Later(why.to_string()))?;
        // Others that are ready wait a moment for this one, so that one durable write has them all.
        let transaction = shard.slice.begin();
        let mut reading = Reading::new(file)?;
        let mut content = Box::new(Content::chunks(false, 0, shard.pool.clone()));
        let submission = reading.submission(&mut content).await?;
        let letter = Letter {
            id: shard.slice.next_id(Time::now()),
            number,
            user_id,
            is_own: !submission.is_remote,
            full_name: submission.full_name.clone(),
            given: envelope(submission, left),
        };
        self.log_picked_up(&letter);
        let mut large = Large::default();
        loop {
            match reading.next(&mut content).await {
                Ok(true) if content.held_bytes() > MEMORY_BYTES_MAX => {
                    self.cleaning.spool(&mut large, letter.origin(), &mut content).await;
                }
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => {
                    self.cleaning.abandon(&mut large, number).await;
                    return Err(why);
                }
            }
        }
        drop(transaction);
        let mut envelope = Rc::new(letter.given.clone());
        let stored =
            self.cleaning.store(letter.origin(), &mut envelope, Some(content), &mut large).await;
        stored.map(drop).map_err(|why| NotTaken::Later(format!("{}: {}", letter.id, why.text)))
    }

    fn log_picked_up(&self, letter: &Letter) {
        let from = letter.given.sender.as_ref().map_or("", |sender| sender.as_str());
        let event = Event::PickedUp { id: letter.id, uid: letter.user_id, from };
        (self.log)("pickup", letter.number.into(), event);
    }

    fn warn(&self, number: u32, text: &str) {
        (self.log)("pickup", number.into(), Event::Warning { text });
    }
}

/// Why a submission is not in the queue.
enum NotTaken {
    Later(String),
    Never(Malformed),
}

impl From<Malformed> for NotTaken {
    fn from(why: Malformed) -> Self {
        Self::Never(why)
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::Later(error.to_string())
    }
}

/// What is known of a message beside its content.
struct Letter {
    id: QueueId,
    number: u32,
    user_id: u32,
    is_own: bool,
    full_name: Option<Box<str>>,
    given: Envelope,
}

impl Letter {
    fn origin(&self) -> Origin<'_> {
        let user = Some(User { id: self.user_id, full_name: self.full_name.as_deref() });
        let Self { id, number, is_own, ref given, .. } = *self;
        Origin { id, given, number, is_own, user }
    }
}

/// A file, read piece by piece.
struct Reading {
    file: ring::File,
    offset: u64,
    decoder: Decoder,
    piece: Vec<u8>,
}

impl Reading {
    fn new(file: fs::File) -> io::Result<Self> {
        let file = ring::File::from_std(file)?;
        Ok(Self { file, offset: 0, decoder: Decoder::default(), piece: vec![0; PIECE_BYTES] })
    }

    /// Reads as far as the content; what comes of it already goes to `content`.
    async fn submission(&mut self, content: &mut Content) -> Result<&Submission, NotTaken> {
        while self.decoder.submission().is_none() {
            self.next(content).await?;
        }
        Ok(self.decoder.submission().ok_or(Malformed::Unfinished)?)
    }

    /// Reads the next piece; false where the file has come to its end, and the submission with it.
    async fn next(&mut self, content: &mut Content) -> Result<bool, NotTaken> {
        let piece = std::mem::take(&mut self.piece);
        let (read, piece) = self.file.read_at(piece, self.offset).await;
        let count = read?;
        if count == 0 {
            return if self.decoder.is_finished() {
                Ok(false)
            } else {
                Err(Malformed::Unfinished.into())
            };
        }
        self.offset += count as u64;
        self.decoder.put(&piece[..count], content)?;
        self.piece = piece;
        Ok(true)
    }
}

impl Sink for Content {
    fn put(&mut self, bytes: &[u8]) {
        self.push_chunk(bytes);
    }
}

fn envelope(submission: &Submission, left: Time) -> Envelope {
    let recipients = submission.recipients.iter().cloned();
    let notify = submission.notify;
    Envelope {
        sender: submission.sender.clone(),
        recipients: recipients.map(|it| Recipient { notify, ..Recipient::new(it) }).collect(),
        arrival: left,
        client: Client {
            name: "localhost".into(),
            address: None,
            helo: "".into(),
            protocol: Protocol::Local,
        },
        body: submission.body,
        smtputf8: submission.smtputf8,
        ret: submission.ret,
        envid: submission.envid.clone(),
        filter: None,
        not_before: None,
    }
}

/// Where submissions come in on one shard, and the service behind it at the moment.
pub struct PickupEntrance(RefCell<Option<Rc<Pickup>>>);

impl PickupEntrance {
    /// An entrance to this service; without one, what comes in stays where it is.
    pub fn new(pickup: Option<Pickup>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(pickup.map(Rc::new))))
    }

    /// What comes from now on is taken by this one.
    pub fn lead_to(&self, pickup: Option<Pickup>) {
        *self.0.borrow_mut() = pickup.map(Rc::new);
    }

    /// Takes what comes until `stop` resolves, and ends when nothing is under way.
    pub async fn serve(
        self: Rc<Self>,
        mut parcels: UnboundedReceiver<Parcel>,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                parcel = parcels.recv() => {
                    let Some(parcel) = parcel else { break };
                    // Dropped, it stays in the maildrop.
                    let Some(pickup) = self.0.borrow().clone() else { continue };
                    under_way.spawn_local(pickup.take(parcel));
                }
                Some(_) = under_way.join_next() => {}
                () = &mut stop => break,
            }
        }
        drop(parcels);
        while under_way.join_next().await.is_some() {}
    }
}
