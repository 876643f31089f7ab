//! One SMTP session: reads, asks the dialogue, does what it says.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use mail::{QueueId, Time};
use rewrite::Client;
use ring::Stream;
use wire::{Dialogue, Input, Line, Lines, Output, Question, Turn, Verdict};

use crate::anvil::Counted;
use crate::cleaning::Large;
use crate::content::Content;
use crate::filter::Away;
use crate::judge::Recipients;
use crate::service::Service;
use crate::sessions::{End, Place};
use crate::wording::Worded;

/// What a session that waits for a command keeps for it, in bytes.
const IDLE_INPUT_BYTES: usize = 256;
/// Replies that are gathered before they are sent, in bytes: a client that sends command after command
/// without reading has to read at some point.
const REPLIES_BYTES_MAX: usize = 8 * 1024;
/// What it reads at a time once a client sends more than that, in bytes.
const BUSY_INPUT_BYTES: usize = 4096;

pub(crate) struct Session {
    pub(crate) service: Rc<Service>,
    pub(crate) stream: Stream,
    pub(crate) place: Place,
    pub(crate) dialogue: Dialogue,
    pub(crate) turn: Turn,
    /// Its number in the log, where Postfix has the process id: log tools tell sessions apart by it.
    pub(crate) number: u32,
    /// What its client has done lately, in this session and others.
    pub(crate) counted: Counted,
    /// The message's id, from its first accepted recipient on.
    pub(crate) id: Option<QueueId>,
    /// Tells the queue that a message may be coming.
    pub(crate) transaction: Option<queue::Transaction<queue::RingDisk>>,
    /// From DATA or the first BDAT to the end.
    pub(crate) content: Option<Box<Content>>,
    /// A message that is too large for memory.
    pub(crate) large: Large,
    /// `local_header_rewrite_clients` has the client; `None` until its first MAIL.
    pub(crate) own_client: Cell<Option<bool>>,
    pub(crate) worded: Worded,
    lines: Lines,
    input: Vec<u8>,
    /// Before this, `input` is done with.
    input_start: usize,
}

/// Runs a session to its end.
pub(crate) async fn run(
    service: Rc<Service>,
    stream: Stream,
    peer: SocketAddr,
    number: u32,
    counted: Counted,
) {
    // It has its place before anything is asked about it: what waits for a table counts, too.
    let place = service.shard.sessions().enter(&stream);
    let turned_away = Box::pin(service.too_many(peer, &counted)).await;
    let policy = match turned_away {
        None => Box::pin(service.policy(peer.ip(), number)).await,
        Some(reply) => Err(reply),
    };
    let policy = match policy {
        Ok(policy) => policy,
        Err(reply) => {
            // Said once, to whoever listens.
            let mut reply = Box::pin(service.reworded(reply.as_bytes(), peer, number)).await;
            let _ = stream.send(&mut reply).await;
            return;
        }
    };
    let mut session = Session {
        dialogue: Dialogue::new(policy, CLIENT_NAME, peer),
        service,
        stream,
        place,
        turn: Turn::default(),
        number,
        counted,
        id: None,
        transaction: None,
        content: None,
        large: Large::default(),
        own_client: Cell::new(None),
        worded: Worded::default(),
        lines: Lines::default(),
        input: Vec::with_capacity(IDLE_INPUT_BYTES),
        input_start: 0,
    };
    session.log_connect();
    session.converse().await;
    session.abandon_large().await;
    session.log_disconnect();
}

/// Clients have no names until there is a resolver.
pub(crate) const CLIENT_NAME: &str = "unknown";

impl Session {
    async fn converse(&mut self) {
        // A client that has spoken already did not wait for the greeting. If there is an error, the
        // first read will see it, too.
        let _ = self.stream.recv_now(&mut self.input);
        let behind = &self.input[..];
        let mut next = self.dialogue.step(Input::Connected { behind }, &mut self.turn);
        loop {
            if self.worded().await {
                next = Output::Close;
            }
            next = match next {
                Output::NeedLine => self.command().await,
                Output::Judge(question) => {
                    let verdict = self.judge(question).await;
                    self.step(Input::Verdict(verdict))
                }
                Output::ReceiveData(line_ends) => Box::pin(self.receive_data(line_ends)).await,
                Output::ReceiveChunk { bytes, first, keep, .. } => {
                    Box::pin(self.receive_chunk(bytes, first, keep)).await
                }
                Output::Commit(envelope) => Box::pin(self.store(envelope)).await,
                Output::Close => break,
            };
        }
        // If this cannot be sent, nobody is there to hear it.
        self.place.begin_request();
        let _ = self.flush().await;
    }

    /// Words what was just refused, where that is wanted; true where a refusal now ends the session.
    async fn worded(&mut self) -> bool {
        let hangs_up = self.has_refused() && Box::pin(self.reword()).await;
        self.is_worded();
        hangs_up
    }

    /// Advances the dialogue, and keeps in step with it what belongs to a transaction.
    pub(crate) fn step(&mut self, input: Input<'_>) -> Output {
        let output = self.dialogue.step(input, &mut self.turn);
        self.keep_in_step();
        output
    }

    fn keep_in_step(&mut self) {
        match (self.dialogue.envelope(), &self.transaction) {
            (Some(_), None) => self.transaction = Some(self.service.shard.slice.begin()),
            (None, Some(_)) => self.transaction = None,
            _ => {}
        }
        let accepted = self.dialogue.envelope().is_some_and(|it| !it.recipients.is_empty());
        if accepted && self.id.is_none() {
            let id = self.service.shard.slice.next_id(Time::now());
            self.id = Some(id);
            self.log_client(id);
        }
    }

    /// A transaction is over, one way or another: the next message has an id of its own.
    async fn forget_message(&mut self) {
        self.id = None;
        self.content = None;
        if self.large.is_begun() {
            Box::pin(self.abandon_large()).await;
        }
    }

    /// The next command; reads and replies as long as there is no complete one.
    async fn command(&mut self) -> Output {
        if self.dialogue.envelope().is_none() {
            self.forget_message().await;
        }
        self.place.begin_request();
        let limit_bytes = self.dialogue.policy().line_length_limit_bytes;
        loop {
            let buffer = &self.input[self.input_start..];
            let (output, consumed) = match self.lines.next(buffer, limit_bytes) {
                Line::Whole { text, bare_lf, consumed } => {
                    let behind = &buffer[consumed..];
                    let filtered = match self.service.filters_commands() {
                        true => Box::pin(self.filtered(text)).await,
                        false => Ok(None),
                    };
                    let input = match &filtered {
                        Ok(None) => Input::Line { text, bare_lf, behind },
                        Ok(Some(text)) => Input::Line { text: text.as_bytes(), bare_lf, behind },
                        Err(Away) => Input::Unable,
                    };
                    (Some(self.dialogue.step(input, &mut self.turn)), consumed)
                }
                Line::TooLong { consumed } => {
                    (Some(self.dialogue.step(Input::LineTooLong, &mut self.turn)), consumed)
                }
                Line::Endless => (Some(self.dialogue.step(Input::Endless, &mut self.turn)), 0),
                Line::Partial { consumed } => (None, consumed),
            };
            self.input_start += consumed;
            if let Some(output) = output {
                self.keep_in_step();
                if self.turn.replies.len() > REPLIES_BYTES_MAX {
                    if self.worded().await {
                        return Output::Close;
                    }
                    if self.flush().await.is_err() {
                        return self.lost(None);
                    }
                }
                return output;
            }
            // Everything that the client has said is answered: with one send, however much it was
            // (RFC 2920 section 3.2).
            if self.flush().await.is_err() {
                return self.lost(None);
            }
            if !self.read().await {
                return self.lost(None);
            }
        }
    }

    /// Reads more of what the client has to say; false where nothing more comes.
    async fn read(&mut self) -> bool {
        self.input.drain(..self.input_start);
        self.input_start = 0;
        if self.input.is_empty() {
            self.input.shrink_to(IDLE_INPUT_BYTES);
        }
        if self.input.len() == self.input.capacity() {
            self.input.reserve(BUSY_INPUT_BYTES);
        }
        self.place.receiving(self.service.pace());
        let received = self.stream.recv(&mut self.input).await;
        self.place.working();
        let is_full = self.input.len() == self.input.capacity();
        if is_full && self.input.ends_with(b"\n") {
            // What stands behind this command decides whether it may be followed by any: it is to be
            // seen, even where the buffer ended between the two.
            self.input.reserve(BUSY_INPUT_BYTES);
            let _ = self.stream.recv_now(&mut self.input);
        }
        matches!(received, Ok(1..))
    }

    /// Writes the log, waits if the client is to wait, sends the replies.
    pub(crate) async fn flush(&mut self) -> Result<(), Lost> {
        self.log_notes();
        self.is_worded();
        if let Some(pause) = self.turn.pause.take() {
            tokio::time::sleep(pause).await;
        }
        if self.turn.replies.is_empty() {
            return Ok(());
        }
        self.place.sending(self.service.pace());
        let sent = self.stream.send(&mut self.turn.replies).await;
        self.is_worded();
        self.place.working();
        sent.map_err(|_| Lost)
    }

    /// Receives into the message's next buffer; how many bytes came, or `None` at the end.
    pub(crate) async fn receive_into(&mut self, content: &mut Content) -> Option<usize> {
        let pace = self.service.pace();
        self.place.receiving(pace);
        let received = self.stream.recv(content.space()).await;
        self.place.working();
        let count = received.ok().filter(|&count| count > 0)?;
        self.place.content(count, pace);
        Some(count)
    }

    /// Nothing more comes from the client; the dialogue is told why.
    pub(crate) fn lost(&mut self, content_bytes: Option<u64>) -> Output {
        match self.place.end() {
            End::Client => self.step(Input::Lost { content_bytes }),
            End::Timeout => self.step(Input::Timeout { content_bytes }),
            End::Stopping => self.step(Input::Shutdown),
        }
    }

    /// What was read behind the last command.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.input[self.input_start..]
    }

    /// Takes `count` bytes of it.
    pub(crate) fn consume(&mut self, count: usize) {
        self.input_start += count;
    }

    /// Bytes that were read behind the end of content: the next commands.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        debug_assert!(self.unread().is_empty(), "content ends behind what was read before it");
        self.input.clear();
        self.input_start = 0;
        self.input.extend_from_slice(bytes);
    }

    async fn judge(&self, question: Question) -> Verdict {
        // Boxed, as what follows: nearly no session ever waits for it.
        if let Some(event) = self.limited(question)
            && let Some(refusal) = Box::pin(self.too_often(event)).await
        {
            return Verdict::Refuse(refusal);
        }
        match question {
            Question::Client | Question::Data => Verdict::Accept,
            Question::Sender => match self.service.shard.slice.accepting() {
                Ok(()) if self.own_client.get().is_some() => Verdict::Accept,
                Ok(()) => Box::pin(self.is_own_client()).await,
                Err(refusal) => Verdict::Refuse(crate::cleaning::refusal(refusal)),
            },
            Question::Recipient | Question::Verify => match self.dialogue.recipient() {
                // Boxed: the keys of an address are made in here, and a session that waits for its
                // client's next command is not to carry their room about.
                Some(recipient) => {
                    let service = &self.service;
                    let recipients =
                        Recipients { rewriter: &service.rewriter, transports: &service.transports };
                    let sender = self.dialogue.envelope().and_then(|it| it.sender.as_ref());
                    let judging = Box::pin(recipients.judge(sender, &recipient.address));
                    judging.await.unwrap_or_else(|why| {
                        self.service.warn_of(&why, self.number);
                        Verdict::Unavailable
                    })
                }
                None => Verdict::Unavailable,
            },
        }
    }

    /// Finds out whether the headers of this client's mail are treated as those of our own.
    async fn is_own_client(&self) -> Verdict {
        let client = self.dialogue.client();
        let address = client.address.map(|at| at.ip());
        let client = Client { name: &client.name, address, ..Client::default() };
        match self.service.rewriter.rewrites_headers_of(&client).await {
            Ok(own) => {
                self.own_client.set(Some(own));
                Verdict::Accept
            }
            Err(why) => {
                self.service.warn_of(&why, self.number);
                Verdict::Unavailable
            }
        }
    }
}

/// The connection broke while something was sent.
pub(crate) struct Lost;
