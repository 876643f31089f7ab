//! DATA and BDAT: from the command to the queue's answer.

use std::rc::Rc;

use mail::{Envelope, QueueId, Time};

use super::{Chunks, Dialogue, END_OF_MESSAGE, Output, Question, Skip, State};
use crate::command::Words;
use crate::data::{LineEnds, Received};
use crate::note::{Context, quoted};
use crate::policy::BareNewline;
use crate::reply::{Refusal, Turn, Verdict};
use crate::tally::Verb;

impl Dialogue {
    pub(super) fn in_chunks(&self) -> bool {
        self.chunks != Chunks::None
    }

    /// DATA (RFC 5321 section 4.1.1.4).
    pub(super) fn data(&mut self, words: Words<'_>, bare_lf: bool, turn: &mut Turn) -> Output {
        let verb = Verb::Data;
        if self.in_chunks() {
            return self.fail(verb, turn, format_args!("503 5.5.1 Error: DATA after BDAT"));
        }
        match self.envelope().map(|envelope| envelope.recipients.len()) {
            None => {
                return self.fail(verb, turn, format_args!("503 5.5.1 Error: need RCPT command"));
            }
            Some(0) => {
                return self.fail(verb, turn, format_args!("{NO_RECIPIENTS}"));
            }
            Some(_) => {}
        }
        if !words.rest().is_empty() {
            return self.fail(verb, turn, format_args!("501 5.5.4 Syntax: DATA"));
        }
        self.data_ended_in_lf = bare_lf;
        self.ask(Question::Data)
    }

    pub(super) fn data_judged(&mut self, verdict: Verdict, turn: &mut Turn) -> Output {
        if let Some(refusal) = self.refusal(verdict, |it| it.client.name.to_string()) {
            self.reject(&refusal, turn);
            self.errors += 1;
            return self.after(Verb::Data, turn);
        }
        self.say(turn, format_args!("354 End data with <CR><LF>.<CR><LF>"));
        self.stage = "DATA";
        self.state = State::Data;
        let in_lf = self.data_ended_in_lf && self.policy.forbid_bare_newline == BareNewline::No;
        Output::ReceiveData(if in_lf { LineEnds::Lf } else { LineEnds::Crlf })
    }

    pub(super) fn data_received(
        &mut self,
        received: Received,
        arrival: Time,
        turn: &mut Turn,
    ) -> Output {
        self.stage = END_OF_MESSAGE;
        self.message_received(Verb::Data, received.size_bytes, received, arrival, turn)
    }

    /// The whole message is here: it is committed, or it was not wanted.
    fn message_received(
        &mut self,
        verb: Verb,
        size_bytes: u64,
        received: Received,
        arrival: Time,
        turn: &mut Turn,
    ) -> Output {
        if let Err(refusal) = self.acceptable(size_bytes, received, turn) {
            let context = self.context(self.envelope());
            return self.message_refused(verb, context, &refusal, turn);
        }
        let Some(transaction) = self.transaction.take() else {
            unreachable!("content is read within a transaction only")
        };
        let mut envelope = transaction.envelope;
        Rc::make_mut(&mut envelope).arrival = arrival;
        self.state = State::Committing;
        Output::Commit(envelope)
    }

    fn acceptable(
        &mut self,
        size_bytes: u64,
        received: Received,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        match self.policy.forbid_bare_newline {
            BareNewline::Reject if received.bare_lf => return Err(self.bare_lf_refusal()),
            BareNewline::Note => self.bare_lf_noted |= received.bare_lf,
            _ => {}
        }
        let limit = self.policy.message_size_limit_bytes;
        if limit > 0 && size_bytes > limit {
            turn.warn(self.message_too_big());
            return Err(Refusal::message_too_big());
        }
        Ok(())
    }

    fn message_too_big(&self) -> String {
        format!("NOQUEUE: message from {} exceeds message size limit", self.peer())
    }

    /// RFC 5321 section 4.2.5: this 250 takes responsibility for the message, so it has no other
    /// source than a finished commit.
    pub(super) fn committed(
        &mut self,
        result: Result<QueueId, Refusal>,
        envelope: &Envelope,
        turn: &mut Turn,
    ) -> Output {
        let verb = if self.in_chunks() { Verb::Bdat } else { Verb::Data };
        let id = match result {
            Ok(id) => id,
            Err(refusal) => {
                let context = self.context(Some(envelope));
                return self.message_refused(verb, context, &refusal, turn);
            }
        };
        // A client that gets a message through is forgiven.
        self.errors = 0;
        self.junk_commands = 0;
        if verb == Verb::Bdat {
            let bytes = self.chunk_bytes;
            self.say(turn, format_args!("250 2.0.0 Ok: {bytes} bytes queued as {id}"));
        } else {
            self.say(turn, format_args!("250 2.0.0 Ok: queued as {id}"));
        }
        self.forget();
        self.succeed(verb, turn)
    }

    fn message_refused(
        &mut self,
        verb: Verb,
        context: Context,
        refusal: &Refusal,
        turn: &mut Turn,
    ) -> Output {
        self.reject_in(context, refusal, turn);
        self.forget();
        self.errors += 1;
        self.after(verb, turn)
    }

    /// BDAT (RFC 3030 section 2). Its content follows at once, whatever is thought of it: what cannot
    /// be followed ends the session, all else is read, if only to be dropped.
    pub(super) fn bdat(&mut self, line: &[u8], mut words: Words<'_>, turn: &mut Turn) -> Output {
        if self.policy.discard_ehlo_keywords.chunking {
            let reply = format_args!("521 5.5.1 Error: command not implemented");
            return self.fail(Verb::Bdat, turn, reply);
        }
        let size = words.next().and_then(|word| chunk_size(word.text));
        let (Some(bytes), Some(last)) = (size, is_last(words)) else {
            let (client, line) = (self.peer(), quoted(line));
            turn.warn(format!("NOQUEUE: malformed BDAT command syntax from {client}: {line}"));
            let reply = format_args!("521 5.5.4 Syntax: BDAT count [LAST]");
            return self.fail(Verb::Bdat, turn, reply);
        };
        let recipients = self.envelope().map(|envelope| envelope.recipients.len());
        match (self.chunks, recipients) {
            _ if bytes == 0 && !last => self.skip(bytes, last, Skip::Null, turn),
            (Chunks::Failed, _) => self.skip(bytes, last, Skip::AfterError, turn),
            (Chunks::None, None) => self.skip(bytes, last, Skip::NoTransaction, turn),
            (Chunks::None, Some(0)) => self.skip(bytes, last, Skip::NoRecipient, turn),
            (Chunks::None, Some(_)) => {
                self.state = State::JudgingChunk { bytes, last };
                Output::Judge(Question::Data)
            }
            (Chunks::Started, _) => self.receive_chunk(bytes, last, turn),
        }
    }

    pub(super) fn chunk_judged(
        &mut self,
        bytes: u64,
        last: bool,
        verdict: Verdict,
        turn: &mut Turn,
    ) -> Output {
        match self.refusal(verdict, |it| it.client.name.to_string()) {
            None => self.receive_chunk(bytes, last, turn),
            Some(refusal) => {
                self.reject(&refusal, turn);
                if turn.hangs_up {
                    return self.close();
                }
                self.skip(bytes, last, Skip::Refused, turn)
            }
        }
    }

    fn receive_chunk(&mut self, bytes: u64, last: bool, turn: &mut Turn) -> Output {
        let limit = self.policy.message_size_limit_bytes;
        if limit > 0 && self.chunk_bytes.saturating_add(bytes) > limit {
            turn.warn(self.message_too_big());
            return self.skip(bytes, last, Skip::TooBig, turn);
        }
        let first = !self.in_chunks();
        self.chunks = Chunks::Started;
        self.state = State::Chunk { bytes, last };
        Output::ReceiveChunk { bytes, first, last, keep: true }
    }

    /// Gets past a chunk, up to one and a half times the message size limit in all; who sends more
    /// than that is not worth staying in step with.
    fn skip(&mut self, bytes: u64, last: bool, why: Skip, turn: &mut Turn) -> Output {
        let limit = self.policy.message_size_limit_bytes;
        self.chunk_bytes = self.chunk_bytes.saturating_add(bytes);
        if limit > 0 && self.chunk_bytes > limit.saturating_add(limit / 2) {
            let _ = self.chunk_skipped(bytes, last, why, turn);
            turn.warn(format!("disabling input from {}", self.peer()));
            return self.close();
        }
        self.state = State::Skipping { bytes, last, why };
        Output::ReceiveChunk { bytes, first: false, last, keep: false }
    }

    pub(super) fn chunk_skipped(
        &mut self,
        bytes: u64,
        last: bool,
        why: Skip,
        turn: &mut Turn,
    ) -> Output {
        match why {
            Skip::AfterError => self
                .say(turn, format_args!("551 5.0.0 Discarded {bytes} bytes after earlier error")),
            Skip::Null => self.say(turn, format_args!("551 5.7.1 Null BDAT request")),
            Skip::NoTransaction => {
                self.say(turn, format_args!("503 5.5.1 Error: need RCPT command"));
            }
            Skip::NoRecipient => self.say(turn, format_args!("{NO_RECIPIENTS}")),
            Skip::TooBig => {
                self.say(turn, format_args!("552 5.3.4 Chunk exceeds message size limit"));
            }
            Skip::Refused => {}
        }
        self.chunk_failed(last);
        self.errors += 1;
        self.after(Verb::Bdat, turn)
    }

    /// Nothing is kept of a message one of whose chunks failed.
    fn chunk_failed(&mut self, last: bool) {
        if last {
            self.forget();
        } else {
            self.chunks = Chunks::Failed;
        }
    }

    pub(super) fn chunk_received(
        &mut self,
        bytes: u64,
        last: bool,
        received: Received,
        arrival: Time,
        turn: &mut Turn,
    ) -> Output {
        self.chunk_bytes += bytes;
        self.stage = "BDAT";
        if last {
            self.stage = END_OF_MESSAGE;
            return self.message_received(Verb::Bdat, self.chunk_bytes, received, arrival, turn);
        }
        if let Err(refusal) = self.acceptable(self.chunk_bytes, received, turn) {
            self.reject(&refusal, turn);
            self.chunk_failed(last);
            self.errors += 1;
            return self.after(Verb::Bdat, turn);
        }
        self.done(Verb::Bdat, turn, format_args!("250 2.0.0 Ok: {bytes} bytes"))
    }
}

const NO_RECIPIENTS: &str = "554 5.5.1 Error: no valid recipients";

/// Decimal digits only, as many as make sense.
fn chunk_size(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Nothing, or `LAST` and nothing more.
fn is_last(mut words: Words<'_>) -> Option<bool> {
    match words.next() {
        None => Some(false),
        Some(word) if word.is("LAST") && words.next().is_none() => Some(true),
        Some(_) => None,
    }
}
