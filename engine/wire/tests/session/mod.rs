//! A session of any bytes, and what has to hold in it, for the property tests and the fuzz targets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail::{QueueId, Time};
use wire::{
    BareNewline, Dialogue, EndOfData, Input, Line, LineEnds, Lines, Output, Policy, Question, Scan,
    Turn, Verdict,
};

/// A shell that answers every question with yes, and checks what it is asked.
pub(crate) struct Session {
    dialogue: Dialogue,
    pub(crate) turn: Turn,
    lines: Lines,
    pub(crate) buffer: Vec<u8>,
    next: Output,
    end_of_data: Option<EndOfData>,
    chunk_left: Option<u64>,
    /// Recipients that were accepted since the last MAIL.
    pub(crate) accepted: usize,
    pub(crate) open: bool,
}

impl Session {
    pub(crate) fn new(mode: u8) -> Self {
        let mut policy = Policy::new("mx.example");
        policy.forbid_unauth_pipelining = false;
        policy.hard_error_limit = 1000;
        policy.error_sleep_time = Duration::ZERO;
        policy.forbid_bare_newline =
            [BareNewline::Normalize, BareNewline::Note, BareNewline::Reject, BareNewline::No]
                [usize::from(mode)];
        Self::with(policy)
    }

    /// With the limits as they are by default.
    #[allow(dead_code, reason = "the fuzz targets do not use it")]
    pub(crate) fn strict() -> Self {
        Self::with(Policy::new("mx.example"))
    }

    fn with(policy: Policy) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut dialogue = Dialogue::new(Arc::new(policy), "unknown", address);
        let mut turn = Turn::default();
        let next = dialogue.step(Input::Connected { behind: b"" }, &mut turn);
        Self {
            dialogue,
            turn,
            lines: Lines::default(),
            buffer: Vec::new(),
            next,
            end_of_data: None,
            chunk_left: None,
            accepted: 0,
            open: true,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.open && self.advance() {}
        let replies = std::mem::take(&mut self.turn.replies);
        for reply in replies.split_inclusive(|&b| b == b'\n') {
            assert!(reply.ends_with(b"\r\n") && reply.len() > 5, "{reply:?}");
            assert!(reply[..3].iter().all(u8::is_ascii_digit), "{reply:?}");
            assert!(!reply[..reply.len() - 2].iter().any(u8::is_ascii_control), "{reply:?}");
        }
    }

    fn step(&mut self, input: Input<'_>) -> bool {
        self.next = self.dialogue.step(input, &mut self.turn);
        true
    }

    pub(crate) fn advance(&mut self) -> bool {
        match std::mem::replace(&mut self.next, Output::NeedLine) {
            Output::NeedLine => {
                let buffer = std::mem::take(&mut self.buffer);
                let (consumed, go_on) = match self.lines.next(&buffer, 2048) {
                    Line::Whole { text, bare_lf, consumed } => {
                        let behind = &buffer[consumed..];
                        (consumed, self.step(Input::Line { text, bare_lf, behind }))
                    }
                    Line::Partial { consumed } => (consumed, false),
                    Line::TooLong { consumed } => (consumed, self.step(Input::LineTooLong)),
                    Line::Endless => (buffer.len(), self.step(Input::Endless)),
                };
                self.buffer = buffer[consumed..].to_vec();
                go_on
            }
            Output::Judge(question) => {
                match question {
                    Question::Sender => self.accepted = 0,
                    Question::Recipient => self.accepted += 1,
                    Question::Data => {
                        let envelope = self.dialogue.envelope().expect("MAIL was accepted");
                        assert_eq!(envelope.recipients.len(), self.accepted);
                    }
                    Question::Client | Question::Verify => {}
                }
                self.step(Input::Verdict(Verdict::Accept))
            }
            Output::ReceiveData(line_ends) => {
                // No 354 without MAIL and RCPT.
                let envelope = self.dialogue.envelope().expect("MAIL was accepted");
                assert!(!envelope.recipients.is_empty());
                let buffer = std::mem::take(&mut self.buffer);
                let mut end =
                    self.end_of_data.take().unwrap_or_else(|| EndOfData::new(line_ends, true));
                match end.scan(&buffer) {
                    Scan::More => {
                        self.end_of_data = Some(end);
                        self.next = Output::ReceiveData(line_ends);
                        false
                    }
                    Scan::End { consumed } => {
                        self.buffer = buffer[consumed..].to_vec();
                        let received = end.received();
                        self.step(Input::Received { received, arrival: Time::default() })
                    }
                }
            }
            Output::ReceiveChunk { bytes, first, last, keep } => {
                let left = self.chunk_left.unwrap_or(bytes);
                let take = self.buffer.len().min(left as usize);
                self.buffer.drain(..take);
                if take as u64 == left {
                    self.chunk_left = None;
                    let received = EndOfData::new(LineEnds::Crlf, false).received();
                    self.step(Input::Received { received, arrival: Time::default() })
                } else {
                    self.chunk_left = Some(left - take as u64);
                    self.next = Output::ReceiveChunk { bytes, first, last, keep };
                    false
                }
            }
            Output::Commit(envelope) => {
                assert_eq!(envelope.recipients.len(), self.accepted, "recipients of one message");
                assert!(self.accepted > 0, "a message has recipients");
                // A second message takes a second MAIL.
                self.accepted = 0;
                assert!(self.dialogue.envelope().is_none());
                let result = Ok(QueueId::from_u64(1));
                self.step(Input::Committed { result, envelope: &envelope })
            }
            Output::Close => {
                self.open = false;
                false
            }
        }
    }
}
