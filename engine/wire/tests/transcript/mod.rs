//! Replays SMTP sessions that are written down as text, through everything a real shell uses but the
//! socket: command lines, the end of data, the decoder, the dialogue.
//!
//! A file holds several sessions, each under a heading that says what it shows:
//!
//! ```text
//! # a message is acknowledged only after it is committed
//! P: soft_bounce = yes          the policy, before anything else
//! H:                            the client says EHLO; the reply is not shown
//! C: MAIL FROM:<a@b.example>    the client sends a line, with CR LF
//! C! EHLO x\r\n                  the client sends these bytes before it is greeted
//! C+ RCPT TO:<c@d.example>      together with the line before, without waiting
//! C- .\n                        the client sends these very bytes
//! C= 3000 x                     the client sends 3000 times x
//! E:                            the client closes the connection
//! T:                            the client is silent for too long
//! D:                            the server is told to stop
//! A:                            a table that the session needs does not answer
//! =: recipient 550 5.1.1 No     the shell's answer to a question; without one it is yes
//! =: recipient logged 450 ...   one that the shell has logged itself
//!
//! S: 250 2.1.0 Ok               the server's reply
//! !: improper command ...       a log line
//! ~: 1s                         the server waits before it replies
//! ?: recipient c@d.example      a question that has an answer of its own
//! ?: commit a -> b, 12 bytes    a message; always shown, with what is stored
//! | line                        of the stored content
//! X: ehlo=1 ...                 the server closes; the tally
//! ```
//!
//! Escapes are those of C. The first half is read, the second
//! half is made: `UPDATE_EXPECT=1 cargo test` writes the files anew, and their difference is read by
//! whoever changed the behaviour.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use mail::log::{Event, Formatter, Peer, Record, Style};
use mail::{Address, Envelope, QueueId, Time};
use wire::{
    BareNewline, Decoder, Dialogue, EndOfData, Framing, Input, Line, LineEnds, Lines, Output,
    Policy, Question, Received, Refusal, Scan, Turn, Verbs, Verdict,
};

const CLIENT: Peer<'static> = Peer {
    name: "client.example",
    address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    port: None,
};

/// The first characters of the lines that a replay makes.
const MADE: [char; 6] = ['S', '!', '~', '?', '|', 'X'];

/// How the client's bytes reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// What stands together arrives together.
    AtOnce,
    /// Each byte by itself.
    ByteByByte,
}

/// Replays all sessions of a file and returns the file as it should be.
pub(crate) fn replay(file: &str, delivery: Delivery) -> String {
    let mut out = String::new();
    let mut sessions = file.split("\n# ");
    for session in sessions.next().into_iter().chain(sessions) {
        let session = session.strip_prefix("# ").unwrap_or(session);
        let (heading, script) = session.split_once('\n').unwrap_or((session, ""));
        let _ = writeln!(out, "# {heading}");
        out.push_str(&Session::new(script).run(script, delivery));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

struct Session {
    dialogue: Dialogue,
    turn: Turn,
    next: Output,
    lines: Lines,
    buffer: Vec<u8>,
    answers: VecDeque<(String, String)>,
    end_of_data: EndOfData,
    decoder: Decoder,
    chunk_left: Option<u64>,
    stored: Vec<u8>,
    messages: u64,
    closed: bool,
    shown: bool,
    out: String,
}

impl Session {
    fn new(script: &str) -> Self {
        let mut policy = Policy::new("mx.example");
        for line in script.lines().filter_map(|line| line.strip_prefix("P: ")) {
            set(&mut policy, line);
        }
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50_000));
        Self {
            dialogue: Dialogue::new(Arc::new(policy), "client.example", address),
            turn: Turn::default(),
            next: Output::NeedLine,
            lines: Lines::default(),
            buffer: Vec::new(),
            answers: VecDeque::new(),
            end_of_data: EndOfData::new(LineEnds::Crlf, false),
            decoder: Decoder::new(Framing::Dots),
            chunk_left: None,
            stored: Vec::new(),
            messages: 0,
            closed: false,
            shown: false,
            out: String::new(),
        }
    }

    fn run(mut self, script: &str, delivery: Delivery) -> String {
        let is_input = |line: &&str| !line.is_empty() && !line.starts_with(MADE);
        let mut inputs = script.lines().filter(is_input).peekable();
        while let Some(line) = inputs.next_if(|line| line.starts_with("P: ")) {
            let _ = writeln!(self.out, "{line}");
        }
        let early = inputs.next_if(|line| line.starts_with("C! "));
        self.take_answers(&mut inputs);
        self.connect(early);
        while let Some(first) = inputs.next() {
            let mut group = vec![first];
            group.extend(std::iter::from_fn(|| inputs.next_if(|line| line.starts_with("C+"))));
            // Answers stand behind what raises the questions.
            self.take_answers(&mut inputs);
            self.feed(&group, delivery);
        }
        if !self.answers.is_empty() {
            let _ = writeln!(self.out, "not asked: {:?}", self.answers);
        }
        self.out
    }

    fn take_answers<'a>(&mut self, inputs: &mut Peekable<impl Iterator<Item = &'a str>>) {
        while let Some(line) = inputs.next_if(|line| line.starts_with("=: ")) {
            let (kind, answer) = line[3..].split_once(' ').expect("a kind and an answer");
            self.answers.push_back((kind.to_owned(), answer.to_owned()));
        }
    }

    fn connect(&mut self, early: Option<&str>) {
        if let Some(line) = early {
            let _ = writeln!(self.out, "{line}");
            self.buffer = unescape(&line[3..]);
        }
        let behind = std::mem::take(&mut self.buffer);
        self.step(|dialogue, turn| dialogue.step(Input::Connected { behind: &behind }, turn));
        self.buffer = behind;
        self.pump();
    }

    fn feed(&mut self, group: &[&str], delivery: Delivery) {
        let mut bytes = Vec::new();
        for line in group {
            let _ = writeln!(self.out, "{line}");
            match line.as_bytes() {
                [b'C', b':' | b'+', ..] => {
                    bytes.extend(unescape(line[2..].strip_prefix(' ').unwrap_or("")));
                    bytes.extend_from_slice(b"\r\n");
                }
                [b'C', b'-', ..] => bytes.extend(unescape(&line[3..])),
                [b'C', b'=', ..] => {
                    let (count, text) = line[3..].split_once(' ').expect("a count and a text");
                    bytes.extend(unescape(text).repeat(count.parse().expect("a count")));
                }
                [b'H', ..] => {
                    self.buffer.extend_from_slice(b"EHLO client.example\r\n");
                    self.advance();
                    self.turn.replies.clear();
                }
                [b'E', ..] => self.end(|content_bytes| Input::Lost { content_bytes }),
                [b'T', ..] => self.end(|content_bytes| Input::Timeout { content_bytes }),
                [b'D', ..] => self.end(|_| Input::Shutdown),
                [b'A', ..] => self.end(|_| Input::Unable),
                _ => panic!("{line:?} is not a line of a transcript"),
            }
        }
        match delivery {
            Delivery::AtOnce => {
                self.buffer.extend(bytes);
                self.pump();
            }
            Delivery::ByteByByte => {
                for byte in bytes {
                    self.buffer.push(byte);
                    self.advance();
                }
                self.flush();
            }
        }
    }

    fn end(&mut self, input: impl FnOnce(Option<u64>) -> Input<'static>) {
        if self.closed {
            return;
        }
        let in_content = matches!(self.next, Output::ReceiveData(_) | Output::ReceiveChunk { .. });
        let content_bytes = in_content.then(|| self.end_of_data.received().size_bytes);
        self.step(|dialogue, turn| dialogue.step(input(content_bytes), turn));
        self.pump();
    }

    fn step(&mut self, step: impl FnOnce(&mut Dialogue, &mut Turn) -> Output) {
        self.next = step(&mut self.dialogue, &mut self.turn);
    }

    fn pump(&mut self) {
        self.advance();
        self.flush();
    }

    /// Goes on until more bytes are needed.
    fn advance(&mut self) {
        while !self.closed && self.advance_once() {}
    }

    fn advance_once(&mut self) -> bool {
        match std::mem::replace(&mut self.next, Output::NeedLine) {
            Output::NeedLine => self.need_line(),
            Output::Judge(question) => {
                let verdict = self.judge(question);
                self.step(|dialogue, turn| dialogue.step(Input::Verdict(verdict), turn));
                true
            }
            Output::ReceiveData(line_ends) => self.receive_data(line_ends),
            Output::ReceiveChunk { bytes, first, last, keep } => {
                if first && self.chunk_left.is_none() {
                    self.begin_message(LineEnds::Crlf, Framing::Chunks);
                }
                self.receive_chunk(bytes, last, keep)
            }
            Output::Commit(envelope) => {
                let result = self.commit(&envelope);
                self.step(|dialogue, turn| {
                    dialogue.step(Input::Committed { result, envelope: &envelope }, turn)
                });
                true
            }
            Output::Close => {
                self.closed = true;
                true
            }
        }
    }

    fn need_line(&mut self) -> bool {
        let buffer = std::mem::take(&mut self.buffer);
        let limit_bytes = self.dialogue.policy().line_length_limit_bytes;
        let (consumed, go_on) = match self.lines.next(&buffer, limit_bytes) {
            Line::Whole { text, bare_lf, consumed } => {
                let behind = &buffer[consumed..];
                let input = Input::Line { text, bare_lf, behind };
                self.step(|dialogue, turn| dialogue.step(input, turn));
                (consumed, true)
            }
            Line::Partial { consumed } => (consumed, false),
            Line::TooLong { consumed } => {
                self.step(|dialogue, turn| dialogue.step(Input::LineTooLong, turn));
                (consumed, true)
            }
            Line::Endless => {
                self.step(|dialogue, turn| dialogue.step(Input::Endless, turn));
                (buffer.len(), true)
            }
        };
        self.buffer = buffer[consumed..].to_vec();
        go_on
    }

    fn judge(&mut self, question: Question) -> Verdict {
        let (kind, matter) = match question {
            Question::Client => ("client", CLIENT.to_string()),
            Question::Sender => {
                let envelope = self.dialogue.envelope().expect("a sender is asked about");
                ("sender", sender(envelope.sender.as_ref()))
            }
            Question::Recipient => ("recipient", self.recipient()),
            Question::Verify => ("verify", self.recipient()),
            Question::Data => ("data", {
                let envelope = self.dialogue.envelope().expect("an envelope is asked about");
                describe(envelope)
            }),
        };
        match self.answer_to(kind, &matter) {
            None => Verdict::Accept,
            Some(answer) if answer == "unavailable" => Verdict::Unavailable,
            Some(answer) => Verdict::Refuse(match answer.strip_prefix("logged ") {
                Some(answer) => Refusal { logged: true, ..refusal(answer) },
                None => refusal(&answer),
            }),
        }
    }

    fn recipient(&self) -> String {
        self.dialogue.recipient().expect("a recipient is asked about").address.to_string()
    }

    /// The script's answer, shown with its question.
    fn answer_to(&mut self, kind: &str, matter: &str) -> Option<String> {
        if self.answers.front().is_none_or(|(it, _)| it != kind) {
            return None;
        }
        let (_, answer) = self.answers.pop_front()?;
        let _ = writeln!(self.out, "?: {kind} {matter}\n=: {kind} {answer}");
        Some(answer)
    }

    fn receive_data(&mut self, line_ends: LineEnds) -> bool {
        if self.chunk_left.is_none() {
            self.begin_message(line_ends, Framing::Dots);
            self.chunk_left = Some(0);
        }
        let buffer = std::mem::take(&mut self.buffer);
        let consumed = match self.end_of_data.scan(&buffer) {
            Scan::More => {
                self.decoder.decode(&buffer, &mut self.stored);
                self.next = Output::ReceiveData(line_ends);
                return false;
            }
            Scan::End { consumed } => consumed,
        };
        self.decoder.decode(&buffer[..consumed], &mut self.stored);
        self.buffer = buffer[consumed..].to_vec();
        self.chunk_left = None;
        self.received();
        true
    }

    fn receive_chunk(&mut self, bytes: u64, last: bool, keep: bool) -> bool {
        let left = self.chunk_left.unwrap_or(bytes);
        let take = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let piece: Vec<u8> = self.buffer.drain(..take).collect();
        if keep {
            self.end_of_data.pass(&piece);
            self.decoder.decode(&piece, &mut self.stored);
        }
        let left = left - take as u64;
        if left > 0 {
            self.chunk_left = Some(left);
            self.next = Output::ReceiveChunk { bytes, first: false, last, keep };
            return false;
        }
        self.chunk_left = None;
        if last && keep {
            self.decoder.clone().finish(&mut self.stored);
        }
        self.received();
        true
    }

    fn begin_message(&mut self, line_ends: LineEnds, framing: Framing) {
        let watch = self.dialogue.policy().watches_bare_lf();
        self.end_of_data = EndOfData::new(line_ends, watch);
        self.decoder = Decoder::new(framing);
        self.stored.clear();
    }

    fn received(&mut self) {
        let received: Received = self.end_of_data.received();
        let input = Input::Received { received, arrival: Time::from_secs(1_795_174_274) };
        self.step(|dialogue, turn| dialogue.step(input, turn));
    }

    fn commit(&mut self, envelope: &Envelope) -> Result<QueueId, Refusal> {
        let size_bytes = self.stored.len();
        let _ = writeln!(self.out, "?: commit {}, {size_bytes} bytes", describe(envelope));
        for line in self.stored.split_inclusive(|&b| b == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line).escape_ascii();
            let _ = writeln!(self.out, "{}", format!("| {text}").trim_end());
        }
        self.messages += 1;
        if let Some((kind, _)) = self.answers.front()
            && kind == "commit"
        {
            let (_, answer) = self.answers.pop_front().expect("just seen");
            let _ = writeln!(self.out, "=: commit {answer}");
            return Err(match answer.as_str() {
                "try again" => Refusal::not_queued(),
                "no space" => Refusal::no_space(),
                "too many hops" => Refusal::too_many_hops(),
                answer => refusal(answer),
            });
        }
        Ok(QueueId::from_u64(0x0C0F_FEE0_0000 + self.messages))
    }

    fn flush(&mut self) {
        for note in self.turn.notes.drain(..) {
            let _ = writeln!(self.out, "!: {}", logged(note.event(CLIENT, None)));
        }
        if let Some(pause) = self.turn.pause.take() {
            let _ = writeln!(self.out, "~: {}s", pause.as_secs());
        }
        let replies =
            String::from_utf8(std::mem::take(&mut self.turn.replies)).expect("replies are UTF-8");
        for reply in replies.split_terminator("\r\n") {
            let _ = writeln!(self.out, "S: {reply}");
        }
        if self.closed && !std::mem::replace(&mut self.shown, self.closed) {
            let notes = if self.dialogue.noted_bare_lf() { " notes=bare_lf" } else { "" };
            let tally = self.dialogue.tally().counts();
            let line = logged(Event::Disconnect { client: CLIENT, tally: &tally });
            let tally = line.strip_prefix("disconnect from client.example[192.0.2.1] ");
            let _ = writeln!(self.out, "X: {}{notes}", tally.expect("the line of a disconnect"));
        }
    }
}

/// A line of the log, behind its time, host and service.
fn logged(event: Event<'_>) -> String {
    let mut line = Vec::new();
    let record = Record { time: Time::default(), name: None, service: "smtpd", session: 1, event };
    Formatter::new(Style::Postfix, "mx", "postfix", TimeZone::UTC, 2).write(&record, &mut line);
    let line = String::from_utf8(line).expect("log lines are UTF-8");
    let (_, body) = line.trim_end().split_once(" postfix/smtpd[1]: ").expect("the line's start");
    body.to_owned()
}

fn describe(envelope: &Envelope) -> String {
    let recipients: Vec<String> = envelope
        .recipients
        .iter()
        .map(|recipient| {
            let mut text = recipient.address.to_string();
            if let Some(orcpt) = &recipient.orcpt {
                let _ = write!(text, " orcpt={orcpt}");
            }
            if let Some(notify) = recipient.notify {
                for (name, asked) in [
                    ("never", notify.never),
                    ("success", notify.success),
                    ("failure", notify.failure),
                    ("delay", notify.delay),
                ] {
                    text.push_str(if asked { " notify=" } else { "" });
                    text.push_str(if asked { name } else { "" });
                }
            }
            text
        })
        .collect();
    let mut text = sender(envelope.sender.as_ref());
    for (name, value) in [
        ("ret", envelope.ret.map(|ret| format!("{ret:?}"))),
        ("envid", envelope.envid.as_ref().map(ToString::to_string)),
        ("body", (envelope.body != mail::Body::SevenBit).then(|| format!("{:?}", envelope.body))),
        ("smtputf8", envelope.smtputf8.then(|| format!("{:?}", envelope.client.protocol))),
    ] {
        if let Some(value) = value {
            let _ = write!(text, " {name}={value}");
        }
    }
    format!("{text} -> {}", recipients.join(", "))
}

fn sender(sender: Option<&Address>) -> String {
    sender.map_or_else(|| "<>".to_owned(), ToString::to_string)
}

/// `550 5.1.1 text`
fn refusal(answer: &str) -> Refusal {
    let mut parts = answer.splitn(3, ' ');
    let code = parts.next().and_then(|code| code.parse().ok()).expect("a code");
    let status = parts.next().and_then(|status| status.parse().ok()).expect("a status");
    let text = unescape(parts.next().unwrap_or(""));
    Refusal::new(code, status, String::from_utf8_lossy(&text))
}

/// `\r`, `\n`, `\0`, `\\` and `\xHH`
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&escape, behind) = rest.split_first().expect("something behind a backslash");
        rest = behind;
        bytes.push(match escape {
            b'r' => b'\r',
            b'n' => b'\n',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let hex = std::str::from_utf8(&rest[..2]).expect("two digits");
                rest = &rest[2..];
                u8::from_str_radix(hex, 16).expect("two hexadecimal digits")
            }
            other => panic!("\\{} means nothing here", other as char),
        });
    }
    bytes
}

fn set(policy: &mut Policy, line: &str) {
    let (name, value) = line.split_once(" = ").expect("a name and a value");
    let yes = value == "yes";
    let number = || value.parse::<u32>().expect("a number");
    match name {
        "message_size_limit" => policy.message_size_limit_bytes = number().into(),
        "line_length_limit" => policy.line_length_limit_bytes = number() as usize,
        "smtpd_recipient_limit" => policy.recipient_limit = number(),
        "smtpd_recipient_overshoot_limit" => policy.recipient_overshoot_limit = number(),
        "smtpd_soft_error_limit" => policy.soft_error_limit = number(),
        "smtpd_hard_error_limit" => policy.hard_error_limit = number(),
        "smtpd_junk_command_limit" => policy.junk_command_limit = number(),
        "smtpd_error_sleep_time" => policy.error_sleep_time = Duration::from_secs(number().into()),
        "smtpd_helo_required" => policy.helo_required = yes,
        "disable_vrfy_command" => policy.disable_vrfy_command = yes,
        "smtpd_forbid_bare_newline_reject_code" => {
            policy.forbid_bare_newline_reject_code = number() as u16;
        }
        "smtpd_forbid_bare_newline" => {
            policy.forbid_bare_newline = match value {
                "normalize" => BareNewline::Normalize,
                "note" => BareNewline::Note,
                "reject" => BareNewline::Reject,
                "no" => BareNewline::No,
                other => panic!("{other} is no such mode"),
            };
        }
        "smtpd_forbid_unauth_pipelining" => policy.forbid_unauth_pipelining = yes,
        "smtputf8_enable" => policy.smtputf8_enable = yes,
        "strict_smtputf8" => policy.strict_smtputf8 = yes,
        "strict_rfc821_envelopes" => policy.strict_rfc821_envelopes = yes,
        "smtpd_noop_commands" => {
            let value = value.to_owned();
            policy.noop_commands = Verbs::that(move |verb| verb.eq_ignore_ascii_case(&value));
        }
        "soft_bounce" => policy.soft_bounce = yes,
        "smtpd_discard_ehlo_keywords" => {
            let discard = &mut policy.discard_ehlo_keywords;
            for keyword in value.split(' ') {
                *match keyword {
                    "pipelining" => &mut discard.pipelining,
                    "size" => &mut discard.size,
                    "vrfy" => &mut discard.vrfy,
                    "enhancedstatuscodes" => &mut discard.enhancedstatuscodes,
                    "8bitmime" => &mut discard.eightbitmime,
                    "dsn" => &mut discard.dsn,
                    "smtputf8" => &mut discard.smtputf8,
                    "chunking" => &mut discard.chunking,
                    other => panic!("{other} is no such keyword"),
                } = true;
            }
        }
        other => panic!("{other} is no parameter of the dialogue"),
    }
}
