//! The server's side of an SMTP session (RFC 5321), one input in, one output out.
//!
//! The order of commands, their limits and what follows from errors are here; what one command's
//! parameters mean is in [`mail_from`](Dialogue::mail_from) and its neighbours. It opens nothing and
//! reads no clock: it asks ([`Output::Judge`], [`Output::Commit`]) and is told.
//!
//! An idle session is small: a transaction is boxed and exists from MAIL to the end of the data.

mod content;
mod parameters;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mail::log::{EndCause, Peer};
use mail::{Client, Envelope, Protocol, QueueId, Recipient, Time};

use crate::command::{Word, Words};
use crate::data::{LineEnds, Received};
use crate::note::{Context, Note, escape_start};
use crate::policy::{BareNewline, Policy};
use crate::reply::{Refusal, Turn, Verdict};
use crate::tally::{Tally, Verb};
use crate::transaction::Transaction;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection is there. Said once, first.
    Connected {
        /// What the client has sent already, without waiting for the greeting.
        behind: &'a [u8],
    },
    /// A command line, as [`Lines`](crate::Lines) cut it. Answers [`Output::NeedLine`].
    Line {
        /// Without its line ending.
        text: &'a [u8],
        /// It ended in LF alone.
        bare_lf: bool,
        /// What has been received behind it.
        behind: &'a [u8],
    },
    /// A command longer than `line_length_limit`, dropped. Answers [`Output::NeedLine`].
    LineTooLong,
    /// A command line that does not end, or the client cannot be read from any more for a reason of
    /// its own making. Answers [`Output::NeedLine`].
    Endless,
    /// Answers [`Output::Judge`].
    Verdict(Verdict),
    /// All of the message, or of the chunk, is here. Answers [`Output::ReceiveData`] and
    /// [`Output::ReceiveChunk`].
    Received {
        /// From [`EndOfData`](crate::EndOfData): the whole message so far.
        received: Received,
        /// Now.
        arrival: Time,
    },
    /// Answers [`Output::Commit`].
    Committed {
        /// Nothing else than a finished commit is `Ok`.
        result: Result<QueueId, Refusal>,
        /// The message's, for what the log says of a refusal.
        envelope: &'a Envelope,
    },
    /// The client was silent for `smtpd_timeout`.
    Timeout {
        /// Within content: how much of the message had come.
        content_bytes: Option<u64>,
    },
    /// The client closed the connection, or it broke.
    Lost {
        /// Within content: how much of the message had come.
        content_bytes: Option<u64>,
    },
    /// Something that the session needs cannot be had now: a table does not answer. Answers
    /// [`Output::NeedLine`].
    Unable,
    /// The server stops. Not said while a commit is under way: its reply belongs to the client first.
    Shutdown,
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Read the next command. Content that was kept and not committed is dropped.
    NeedLine,
    /// Answer a question.
    Judge(Question),
    /// Send the replies, then read content up to its end.
    ReceiveData(LineEnds),
    /// Read so many bytes of content. There may be none.
    ReceiveChunk {
        /// The chunk's size.
        bytes: u64,
        /// A new message begins with it.
        first: bool,
        /// No chunk follows: the last line is complete now.
        last: bool,
        /// False for a chunk that only has to be got past; its bytes are dropped.
        keep: bool,
    },
    /// Make the message durable.
    Commit(Rc<Envelope>),
    /// Send the replies and close the connection.
    Close,
}

/// What is to be judged. The matter itself is read from the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May [`Dialogue::client`] talk to us at all?
    Client,
    /// May [`Dialogue::envelope`]'s sender send? Is there room in the queue?
    Sender,
    /// May [`Dialogue::recipient`] receive this sender's mail from this client?
    Recipient,
    /// May the content follow, for the whole [`Dialogue::envelope`]?
    Data,
    /// VRFY: would [`Dialogue::recipient`] be accepted?
    Verify,
}

/// One session.
#[derive(Debug)]
pub struct Dialogue {
    policy: Arc<Policy>,
    client: Client,
    state: State,
    /// Where the session is, as log lines say it.
    stage: &'static str,
    transaction: Option<Box<Transaction>>,
    /// VRFY's argument, and the address in it.
    verify: Option<Box<(Box<str>, Recipient)>>,
    /// What the client was told at once, and is told again at every command.
    denied: bool,
    chunks: Chunks,
    /// The size of the chunks so far, those included that were dropped.
    chunk_bytes: u64,
    errors: u32,
    junk_commands: u32,
    pipelining_noted: bool,
    bare_lf_noted: bool,
    /// The DATA command did, so the client may be one that knows nothing else.
    data_ended_in_lf: bool,
    tally: Tally,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said yet.
    New,
    /// The client's: a command.
    Command,
    /// The shell's: an answer to the question.
    Judging(Question),
    /// The shell's: an answer to `Question::Data`, asked for a chunk.
    JudgingChunk { bytes: u64, last: bool },
    /// The client's: content up to its end.
    Data,
    /// The client's: content by length.
    Chunk { bytes: u64, last: bool },
    /// The client's: content that is not wanted. What is said behind it is known.
    Skipping { bytes: u64, last: bool, why: Skip },
    /// The shell's: the queue.
    Committing,
    /// Nobody's.
    Closed,
}

/// Whether the current message comes in chunks (RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chunks {
    /// It does not, or not yet.
    #[default]
    None,
    /// It does.
    Started,
    /// It did, and one of them failed: the others are read and dropped until the last one, so that
    /// client and server stay in step.
    Failed,
}

/// Why a chunk is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    /// A chunk before it was.
    AfterError,
    /// `BDAT 0` that is not the last.
    Null,
    /// No MAIL, no RCPT.
    NoTransaction,
    /// No recipient was accepted.
    NoRecipient,
    /// `message_size_limit`
    TooBig,
    /// The answer to `Question::Data`, which was said before the chunk was read.
    Refused,
}

impl Dialogue {
    /// For a client of the name that the resolver verified, or `unknown`.
    pub fn new(policy: Arc<Policy>, client_name: &str, address: SocketAddr) -> Self {
        Self {
            policy,
            client: Client {
                name: client_name.into(),
                address: Some(address),
                helo: Arc::default(),
                protocol: Protocol::Smtp,
            },
            state: State::New,
            stage: "CONNECT",
            transaction: None,
            verify: None,
            denied: false,
            chunks: Chunks::None,
            chunk_bytes: 0,
            errors: 0,
            junk_commands: 0,
            pipelining_noted: false,
            bare_lf_noted: false,
            data_ended_in_lf: false,
            tally: Tally::default(),
        }
    }

    /// The other side, with the name that it gave itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The transaction's envelope as it stands, from MAIL to the commit.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.transaction.as_deref().map(|transaction| &*transaction.envelope)
    }

    /// The recipient in question.
    pub fn recipient(&self) -> Option<&Recipient> {
        let pending = self.transaction.as_deref().and_then(|it| it.pending.as_ref());
        pending.or_else(|| self.verify.as_deref().map(|(_, recipient)| recipient))
    }

    /// What was used how often.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// `smtpd_forbid_bare_newline = note`, and there was one: `notes=bare_lf` in the last line.
    pub fn noted_bare_lf(&self) -> bool {
        self.bare_lf_noted
    }

    /// The session's policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Advances the dialogue by one input. Replies and log lines are added to `turn`.
    ///
    /// # Panics
    /// Where an input answers nothing that was asked: a mistake of the shell.
    pub fn step(&mut self, input: Input<'_>, turn: &mut Turn) -> Output {
        turn.begin(self.policy.soft_bounce);
        match (self.state, input) {
            (_, Input::Shutdown) => self.shut_down(turn),
            (_, Input::Timeout { content_bytes }) => self.time_out(content_bytes, turn),
            (_, Input::Lost { content_bytes }) => self.lose(content_bytes, turn),
            (State::New, Input::Connected { behind }) => self.connect(behind, turn),
            (State::Command, Input::Unable) => self.give_up(turn),
            (State::Command, Input::Line { text, bare_lf, behind }) => {
                self.line(text, bare_lf, behind, turn)
            }
            (State::Command, Input::LineTooLong) => self.line_too_long(turn),
            (State::Command, Input::Endless) => self.endless(turn),
            (State::Judging(question), Input::Verdict(verdict)) => {
                self.state = State::Command;
                match question {
                    Question::Client => self.greet(verdict, turn),
                    Question::Sender => self.sender_judged(verdict, turn),
                    Question::Recipient => self.recipient_judged(verdict, turn),
                    Question::Data => self.data_judged(verdict, turn),
                    Question::Verify => self.verify_judged(verdict, turn),
                }
            }
            (State::JudgingChunk { bytes, last }, Input::Verdict(verdict)) => {
                self.chunk_judged(bytes, last, verdict, turn)
            }
            (State::Data, Input::Received { received, arrival }) => {
                self.data_received(received, arrival, turn)
            }
            (State::Chunk { bytes, last }, Input::Received { received, arrival }) => {
                self.chunk_received(bytes, last, received, arrival, turn)
            }
            (State::Skipping { bytes, last, why }, Input::Received { .. }) => {
                self.chunk_skipped(bytes, last, why, turn)
            }
            (State::Committing, Input::Committed { result, envelope }) => {
                self.committed(result, envelope, turn)
            }
            (state, input) => unreachable!("{input:?} was not asked for in {state:?}"),
        }
    }

    fn connect(&mut self, behind: &[u8], turn: &mut Turn) -> Output {
        if self.is_improper(behind, turn) {
            return self.out_of_step(turn);
        }
        self.ask(Question::Client)
    }

    /// RFC 5321 section 3.1: a client that is not welcome is told so, and may still QUIT.
    fn greet(&mut self, verdict: Verdict, turn: &mut Turn) -> Output {
        match self.refusal(verdict, |it| it.client.name.to_string()) {
            None => self.say(turn, format_args!("220 {}", self.policy.banner)),
            Some(refusal) => {
                self.denied = true;
                self.reject(&refusal, turn);
                self.errors += 1;
            }
        }
        self.go_on(turn)
    }

    fn line(&mut self, line: &[u8], bare_lf: bool, behind: &[u8], turn: &mut Turn) -> Output {
        if bare_lf && self.policy.forbid_bare_newline == BareNewline::Reject {
            return self.refuse_bare_lf_command(turn);
        }
        self.bare_lf_noted |= bare_lf && self.policy.forbid_bare_newline == BareNewline::Note;
        if self.policy.smtputf8_enable && std::str::from_utf8(line).is_err() {
            return self.garbage("500 5.5.2 Error: bad UTF-8 syntax", turn);
        }
        let mut words = Words::new(line);
        // Postfix reads commands as C strings, where NUL ends them: here it makes them malformed.
        let Some(first) = words.next().filter(|_| !line.contains(&0)) else {
            return self.garbage("500 5.5.2 Error: bad syntax", turn);
        };
        if self.policy.noop_commands.has(first.text) {
            self.say(turn, format_args!("250 2.0.0 Ok"));
            self.count_junk();
            return self.go_on(turn);
        }
        let verb = Verb::from_token(first.text);
        self.tally.try_one(verb);
        if verb == Verb::Unknown {
            return self.unknown(line, first, turn);
        }
        if self.denied && verb != Verb::Quit {
            return self.deny(turn);
        }
        self.stage = verb.name();
        // RFC 2920 section 3.1 names the commands that end a group; a client that did not say EHLO
        // was not offered pipelining at all.
        let must_wait =
            matches!(verb, Verb::Helo | Verb::Ehlo | Verb::Data | Verb::Noop | Verb::Vrfy);
        let improper = (must_wait || self.client.protocol != Protocol::Esmtp)
            && self.is_improper(behind, turn);
        if improper {
            return self.out_of_step(turn);
        }
        match verb {
            Verb::Helo | Verb::Ehlo => self.hello(verb, words, turn),
            Verb::Mail => self.mail_from(words, turn),
            Verb::Rcpt => self.rcpt_to(words, turn),
            Verb::Data => self.data(words, bare_lf, turn),
            Verb::Bdat => self.bdat(line, words, turn),
            Verb::Rset => self.reset(words, turn),
            Verb::Noop => self.done(verb, turn, format_args!("250 2.0.0 Ok")),
            Verb::Vrfy => self.vrfy(words, turn),
            Verb::Quit => {
                let _ = self.done(verb, turn, format_args!("221 2.0.0 Bye"));
                self.close()
            }
            Verb::Help => self.done(
                verb,
                turn,
                format_args!(
                    "214 2.0.0 Commands: BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET VRFY"
                ),
            ),
            Verb::Auth => {
                self.fail(verb, turn, format_args!("503 5.5.1 Error: authentication not enabled"))
            }
            Verb::Xclient | Verb::Xforward => {
                self.fail(verb, turn, format_args!("550 5.7.0 Error: insufficient authorization"))
            }
            Verb::Starttls | Verb::Etrn => {
                self.fail(verb, turn, format_args!("502 5.5.1 Error: command not implemented"))
            }
            Verb::Unknown => unreachable!("answered above"),
        }
    }

    /// HELO and EHLO (section 4.1.1.1). They drop the transaction, as RSET does (section 4.1.4).
    fn hello(&mut self, verb: Verb, words: Words<'_>, turn: &mut Turn) -> Output {
        let name = words.rest();
        if name.is_empty() {
            return self.fail(verb, turn, format_args!("501 Syntax: {} hostname", verb.name()));
        }
        self.forget();
        self.client.helo = neutered(name).into();
        if verb == Verb::Helo {
            // A client that learnt of PIPELINING from an EHLO before keeps it.
            self.say(turn, format_args!("250 {}", self.policy.hostname));
            return self.succeed(verb, turn);
        }
        self.client.protocol = Protocol::Esmtp;
        let policy = &self.policy;
        let without = policy.discard_ehlo_keywords;
        let size = match policy.message_size_limit_bytes {
            0 => "SIZE".to_owned(),
            limit => format!("SIZE {limit}"),
        };
        let keywords: [(&str, bool); 8] = [
            ("PIPELINING", !without.pipelining),
            (&size, !without.size),
            ("VRFY", !without.vrfy && !policy.disable_vrfy_command),
            ("ENHANCEDSTATUSCODES", !without.enhancedstatuscodes),
            ("8BITMIME", !without.eightbitmime),
            ("DSN", !without.dsn),
            ("SMTPUTF8", policy.smtputf8_enable && !without.smtputf8),
            ("CHUNKING", !without.chunking),
        ];
        let mut previous = &*policy.hostname;
        self.slow_down(turn);
        for (keyword, _) in keywords.iter().filter(|(_, offered)| *offered) {
            turn.reply(format_args!("250-{previous}"));
            previous = keyword;
        }
        turn.reply(format_args!("250 {previous}"));
        self.succeed(verb, turn)
    }

    fn reset(&mut self, words: Words<'_>, turn: &mut Turn) -> Output {
        if !words.rest().is_empty() {
            return self.fail(Verb::Rset, turn, format_args!("501 5.5.4 Syntax: RSET"));
        }
        self.forget();
        self.done(Verb::Rset, turn, format_args!("250 2.0.0 Ok"))
    }

    fn unknown(&mut self, line: &[u8], first: Word<'_>, turn: &mut Turn) -> Output {
        self.stage = Verb::Unknown.name();
        if is_header(first.text) || self.policy.forbidden_commands.has(first.text) {
            let client = self.peer();
            let line = escape_start(line);
            turn.warn(format!("non-SMTP command from {client}: {line}"));
            self.say(turn, format_args!("221 2.7.0 Error: I can break rules, too. Goodbye."));
            return self.close();
        }
        if self.denied {
            return self.deny(turn);
        }
        if first.is("EXPN") {
            return self.fail(
                Verb::Unknown,
                turn,
                format_args!("502 5.5.1 Error: command not implemented"),
            );
        }
        self.fail(Verb::Unknown, turn, format_args!("500 5.5.2 Error: command not recognized"))
    }

    fn deny(&mut self, turn: &mut Turn) -> Output {
        let client = self.peer();
        self.say(turn, format_args!("503 5.7.0 Error: access denied for {client}"));
        self.errors += 1;
        self.go_on(turn)
    }

    /// A line that is no command at all.
    fn garbage(&mut self, reply: &str, turn: &mut Turn) -> Output {
        self.stage = Verb::Unknown.name();
        self.tally.try_one(Verb::Unknown);
        self.fail(Verb::Unknown, turn, format_args!("{reply}"))
    }

    fn line_too_long(&mut self, turn: &mut Turn) -> Output {
        let limit_bytes = self.policy.line_length_limit_bytes;
        turn.warn(format!("{}: request longer than {limit_bytes}", self.peer()));
        self.say(turn, format_args!("500 5.5.2 {} Error: command too long", self.policy.hostname));
        // Not an error in Postfix; here everything counts that costs and moves no mail.
        self.errors += 1;
        self.go_on(turn)
    }

    fn endless(&mut self, turn: &mut Turn) -> Output {
        let _ = self.line_too_long(turn);
        turn.warn(format!("disabling input from {}", self.peer()));
        self.close()
    }

    fn refuse_bare_lf_command(&mut self, turn: &mut Turn) -> Output {
        let refusal = self.bare_lf_refusal();
        self.reject(&refusal, turn);
        self.close()
    }

    fn bare_lf_refusal(&self) -> Refusal {
        let text = format!("{} Error: bare <LF> received", self.policy.hostname);
        Refusal::new(self.policy.forbid_bare_newline_reject_code, mail::Status(5, 5, 2), text)
    }

    fn is_improper(&mut self, behind: &[u8], turn: &mut Turn) -> bool {
        if behind.is_empty() || self.pipelining_noted {
            return false;
        }
        self.pipelining_noted = true;
        let early = escape_start(behind);
        turn.notes.push(Note::ImproperPipelining { stage: self.stage, early });
        self.policy.forbid_unauth_pipelining
    }

    fn out_of_step(&mut self, turn: &mut Turn) -> Output {
        self.say(turn, format_args!("554 5.5.0 Error: SMTP protocol synchronization"));
        self.close()
    }

    fn time_out(&mut self, content_bytes: Option<u64>, turn: &mut Turn) -> Output {
        turn.notes.push(self.ended(EndCause::Timeout, content_bytes));
        self.say(turn, format_args!("421 4.4.2 {} Error: timeout exceeded", self.policy.hostname));
        self.close()
    }

    fn lose(&mut self, content_bytes: Option<u64>, turn: &mut Turn) -> Output {
        // Many clients hang up without QUIT behind their last message.
        if self.stage != END_OF_MESSAGE {
            turn.notes.push(self.ended(EndCause::LostConnection, content_bytes));
        }
        self.close()
    }

    fn ended(&self, cause: EndCause, content_bytes: Option<u64>) -> Note {
        Note::Ended { cause, stage: self.stage, content_bytes }
    }

    /// The client is to come back (postfix `smtpd.c`, `SMTP_ERR_DATA`).
    fn give_up(&mut self, turn: &mut Turn) -> Output {
        let text = format!("{} Server local data error", self.policy.hostname);
        self.reject(&Refusal::new(421, mail::Status(4, 3, 0), text), turn);
        self.close()
    }

    /// RFC 5321 section 3.8.
    fn shut_down(&mut self, turn: &mut Turn) -> Output {
        self.say(turn, format_args!("421 4.3.2 {} Service shutting down", self.policy.hostname));
        self.close()
    }

    /// A command that did what it should.
    fn done(&mut self, verb: Verb, turn: &mut Turn, reply: std::fmt::Arguments<'_>) -> Output {
        self.say(turn, reply);
        self.succeed(verb, turn)
    }

    fn succeed(&mut self, verb: Verb, turn: &mut Turn) -> Output {
        self.tally.succeed(verb);
        self.after(verb, turn)
    }

    /// A command that did not, by an error of the client.
    fn fail(&mut self, verb: Verb, turn: &mut Turn, reply: std::fmt::Arguments<'_>) -> Output {
        self.say(turn, reply);
        self.errors += 1;
        self.after(verb, turn)
    }

    fn after(&mut self, verb: Verb, turn: &mut Turn) -> Output {
        // Postfix leaves HELP out; but its reply is long, and it can be pipelined.
        if matches!(
            verb,
            Verb::Helo
                | Verb::Ehlo
                | Verb::Rset
                | Verb::Noop
                | Verb::Vrfy
                | Verb::Etrn
                | Verb::Help
        ) {
            self.count_junk();
        }
        self.go_on(turn)
    }

    /// `smtpd_junk_command_limit`
    fn count_junk(&mut self) {
        if self.junk_commands > self.policy.junk_command_limit {
            self.errors += 1;
        }
        self.junk_commands = self.junk_commands.saturating_add(1);
    }

    /// Reads on, unless a reply or too many errors ended the session.
    fn go_on(&mut self, turn: &mut Turn) -> Output {
        if turn.hangs_up {
            return self.close();
        }
        if self.errors >= self.policy.hard_error_limit {
            turn.notes.push(self.ended(EndCause::TooManyErrors, None));
            self.say(
                turn,
                format_args!("421 4.7.0 {} Error: too many errors", self.policy.hostname),
            );
            return self.close();
        }
        self.state = State::Command;
        Output::NeedLine
    }

    fn close(&mut self) -> Output {
        self.forget();
        self.state = State::Closed;
        Output::Close
    }

    /// RSET, and everything that acts like it: nothing of a transaction is left that a second message
    /// could be sent with.
    fn forget(&mut self) {
        self.transaction = None;
        self.verify = None;
        self.chunks = Chunks::None;
        self.chunk_bytes = 0;
    }

    fn ask(&mut self, question: Question) -> Output {
        self.state = State::Judging(question);
        Output::Judge(question)
    }

    /// The refusal in a verdict; `about` names what could not be looked up.
    fn refusal(&self, verdict: Verdict, about: impl FnOnce(&Self) -> String) -> Option<Refusal> {
        match verdict {
            Verdict::Accept => None,
            Verdict::Refuse(refusal) => Some(refusal),
            Verdict::Unavailable => Some(Refusal::unavailable(&about(self))),
        }
    }

    /// Says a refusal, and logs it with everything that is known.
    fn reject(&mut self, refusal: &Refusal, turn: &mut Turn) {
        let context = self.context(self.envelope());
        self.reject_in(context, refusal, turn);
    }

    fn reject_in(&mut self, context: Context, refusal: &Refusal, turn: &mut Turn) {
        let start = turn.replies.len();
        self.say(turn, format_args!("{refusal}"));
        if refusal.logged {
            return;
        }
        let said = turn.replies[start..].trim_ascii_end();
        let reply = String::from_utf8_lossy(said).into();
        turn.notes.push(Note::Reject { stage: self.stage, reply, context });
    }

    /// Who sends what to whom, for the log.
    fn context(&self, envelope: Option<&Envelope>) -> Context {
        let from = envelope.map(|it| {
            it.sender.as_ref().map_or_else(Box::default, |sender| sender.as_str().into())
        });
        let to = self
            .recipient()
            .or_else(|| envelope.and_then(|it| it.recipients.first()))
            .map(|recipient| recipient.address.as_str().into());
        Context {
            from,
            to,
            protocol: match self.client.protocol {
                Protocol::Esmtp => "ESMTP",
                _ => "SMTP",
            },
            helo: (!self.client.helo.is_empty()).then(|| Arc::clone(&self.client.helo)),
        }
    }

    /// One reply line. 421 and 521 are the last words of a session (RFC 5321 section 3.8).
    fn say(&self, turn: &mut Turn, line: std::fmt::Arguments<'_>) {
        self.slow_down(turn);
        turn.reply(line);
    }

    /// `smtpd_soft_error_limit`
    fn slow_down(&self, turn: &mut Turn) {
        if self.errors >= self.policy.soft_error_limit {
            turn.pause = Some(turn.pause.unwrap_or_default() + self.policy.error_sleep_time);
        }
    }

    /// `name[address]`
    fn peer(&self) -> Peer<'_> {
        Peer::from(&self.client)
    }
}

/// The stage behind a message's last byte.
const END_OF_MESSAGE: &str = "END-OF-MESSAGE";

/// `Subject:` and the like: somebody's content is being read as commands.
fn is_header(word: &[u8]) -> bool {
    match memchr::memchr(b':', word) {
        Some(colon) => colon > 0 && word[..colon].iter().all(u8::is_ascii_graphic),
        None => false,
    }
}

/// A client's name for itself as it goes into headers and the log: one word without anything that
/// means something there (postfix `smtpd.c`, `NEUTER_CHARACTERS`).
fn neutered(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name)
        .chars()
        .map(|c| if c.is_control() || " <>()\\\";@".contains(c) { '?' } else { c })
        .collect()
}
