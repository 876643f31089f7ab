//! The client's half of SMTP, without I/O: replies in, the next thing to send out.
//!
//! Lock-step or pipelined (RFC 2920: MAIL, all RCPT and DATA as one group, the content after the
//! 354). It keeps nothing but counts, because a generator that must outrun the server cannot
//! afford to remember; the shell in [`super::engine`] writes the bytes and reads the clock.

/// What the shell does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// All input is used and the server owes a reply.
    Wait,
    /// Banner seen: send EHLO.
    Hello,
    /// The session can take a message: call [`Dialogue::begin`].
    Ready,
    /// Send RCPT for the message's recipient with this index.
    Rcpt(u32),
    Data,
    /// Send the content and its final dot.
    Content,
    /// Nothing of the message was wanted, but the server said 354: send the dot alone.
    EmptyContent,
    Rset,
    /// The message has its last answer; the session is ready for another.
    Finished(Verdict),
    /// 221 was read: close the socket.
    Closed,
    /// The session cannot go on.
    Broken(Refusal),
}

/// What [`Dialogue::begin`] wants sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    Mail,
    /// MAIL, every RCPT and DATA in one write.
    Group,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 250 after the content, for this many recipients.
    Accepted {
        recipients: u32,
    },
    Refused(Refusal),
}

/// The first reply that stood in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Banner,
    Hello,
    Ready,
    Mail,
    Rcpt(u32),
    Data,
    /// Replies still owed for the pipelined group; the last one answers DATA.
    Group(u32),
    Content,
    EmptyContent,
    Reset,
    Quit,
}

/// Longest reply line that is kept while it arrives in pieces (RFC 5321 section 4.5.3.1.5 allows
/// 512; servers exceed it).
const REPLY_LINE_BYTES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Dialogue {
    stage: Stage,
    pipelining: bool,
    recipients: u32,
    offers_pipelining: bool,
    accepted_recipients: u32,
    refusal: Option<Refusal>,
    partial: Vec<u8>,
}

impl Dialogue {
    pub(crate) fn new(recipients: u32, pipelining: bool) -> Self {
        Self {
            stage: Stage::Banner,
            pipelining,
            recipients,
            offers_pipelining: false,
            accepted_recipients: 0,
            refusal: None,
            partial: Vec::new(),
        }
    }

    /// Forgets the old connection.
    pub(crate) fn reconnect(&mut self) {
        self.stage = Stage::Banner;
        self.offers_pipelining = false;
        self.partial.clear();
    }

    /// Starts a message; only after [`Next::Ready`] or [`Next::Finished`].
    pub(crate) fn begin(&mut self) -> Opening {
        debug_assert_eq!(self.stage, Stage::Ready);
        self.accepted_recipients = 0;
        self.refusal = None;
        if self.pipelining {
            self.stage = Stage::Group(self.recipients + 2);
            Opening::Group
        } else {
            self.stage = Stage::Mail;
            Opening::Mail
        }
    }

    /// The shell sent QUIT.
    pub(crate) fn quit(&mut self) {
        self.stage = Stage::Quit;
    }

    /// Whether a message is between MAIL and its last answer.
    pub(crate) fn in_message(&self) -> bool {
        !matches!(self.stage, Stage::Banner | Stage::Hello | Stage::Ready | Stage::Quit)
    }

    /// Uses up replies from `input` until one asks for something.
    pub(crate) fn receive(&mut self, input: &mut &[u8]) -> Next {
        loop {
            let Some(end) = memchr::memchr(b'\n', input) else {
                if self.partial.len() + input.len() > REPLY_LINE_BYTES_MAX {
                    return self.broken(0, "reply line too long");
                }
                self.partial.extend_from_slice(input);
                *input = &[];
                return Next::Wait;
            };
            let (line, rest) = input.split_at(end + 1);
            *input = rest;
            let next = if self.partial.is_empty() {
                self.line(line)
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                let next = self.line(&whole);
                whole.clear();
                self.partial = whole;
                next
            };
            if next != Next::Wait {
                return next;
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Next {
        let Some(code) = code(line) else {
            return self.broken(0, &String::from_utf8_lossy(line));
        };
        if line[3] == b'-' {
            self.capability(line);
            return Next::Wait;
        }
        if code == 421 && self.stage != Stage::Quit {
            return self.broken(code, &String::from_utf8_lossy(line));
        }
        self.reply(code, line)
    }

    /// Every branch of the dialogue.
    fn reply(&mut self, code: u16, line: &[u8]) -> Next {
        let positive = (200..300).contains(&code);
        match self.stage {
            Stage::Banner if positive => self.go(Stage::Hello, Next::Hello),
            Stage::Hello if positive => {
                self.capability(line);
                if self.pipelining && !self.offers_pipelining {
                    return self.broken(code, "the server does not offer PIPELINING");
                }
                self.go(Stage::Ready, Next::Ready)
            }
            Stage::Banner | Stage::Hello => self.broken(code, &String::from_utf8_lossy(line)),

            Stage::Mail if positive => self.go(Stage::Rcpt(0), Next::Rcpt(0)),
            Stage::Mail => {
                self.refuse(code, line);
                self.finish()
            }
            Stage::Rcpt(index) => {
                self.count_recipient(positive, code, line);
                if index + 1 < self.recipients {
                    self.go(Stage::Rcpt(index + 1), Next::Rcpt(index + 1))
                } else if self.accepted_recipients > 0 {
                    self.go(Stage::Data, Next::Data)
                } else {
                    self.go(Stage::Reset, Next::Rset)
                }
            }
            Stage::Data | Stage::Group(1) if code == 354 => {
                if self.accepted_recipients > 0 {
                    self.go(Stage::Content, Next::Content)
                } else {
                    self.go(Stage::EmptyContent, Next::EmptyContent)
                }
            }
            Stage::Data | Stage::Group(1) => {
                self.refuse(code, line);
                self.go(Stage::Reset, Next::Rset)
            }
            Stage::Group(owed) => {
                if owed == self.recipients + 2 {
                    if !positive {
                        self.refuse(code, line);
                    }
                } else {
                    self.count_recipient(positive, code, line);
                }
                self.go(Stage::Group(owed - 1), Next::Wait)
            }
            Stage::Content if positive => {
                self.stage = Stage::Ready;
                Next::Finished(Verdict::Accepted { recipients: self.accepted_recipients })
            }
            Stage::Content | Stage::EmptyContent => {
                self.refuse(code, line);
                self.finish()
            }
            Stage::Reset => self.finish(),
            Stage::Quit => Next::Closed,
            // A reply nobody asked for, such as a timeout's, ends the session.
            Stage::Ready => self.broken(code, &String::from_utf8_lossy(line)),
        }
    }

    fn go(&mut self, stage: Stage, next: Next) -> Next {
        self.stage = stage;
        next
    }

    fn count_recipient(&mut self, positive: bool, code: u16, line: &[u8]) {
        if positive {
            self.accepted_recipients += 1;
        } else {
            self.refuse(code, line);
        }
    }

    /// Keeps the first refusal: later ones usually follow from it.
    fn refuse(&mut self, code: u16, line: &[u8]) {
        self.refusal.get_or_insert_with(|| Refusal {
            code,
            text: String::from_utf8_lossy(line).trim_end().to_owned(),
        });
    }

    fn finish(&mut self) -> Next {
        self.stage = Stage::Ready;
        let refusal = self.refusal.take();
        Next::Finished(Verdict::Refused(
            refusal.unwrap_or(Refusal { code: 0, text: "no recipient".to_owned() }),
        ))
    }

    fn broken(&mut self, code: u16, text: &str) -> Next {
        Next::Broken(Refusal { code, text: text.trim_end().to_owned() })
    }

    fn capability(&mut self, line: &[u8]) {
        if self.stage == Stage::Hello
            && line[4..].trim_ascii_end().eq_ignore_ascii_case(b"PIPELINING")
        {
            self.offers_pipelining = true;
        }
    }
}

/// The three digits, if the line is a reply line: `250 text`, `250-text` or `250`.
fn code(line: &[u8]) -> Option<u16> {
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ' | b'-' | b'\r' | b'\n', ..] = line
    else {
        return None;
    };
    Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a server's replies and lists what the client did.
    fn replay(dialogue: &mut Dialogue, server: &str) -> Vec<Next> {
        let mut input = server.as_bytes();
        let mut steps = Vec::new();
        loop {
            match dialogue.receive(&mut input) {
                Next::Wait => return steps,
                Next::Ready => {
                    steps.push(Next::Ready);
                    dialogue.begin();
                }
                next => steps.push(next),
            }
        }
    }

    const HELLO: &str = "220 mx ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n";

    fn refusal(code: u16, text: &str) -> Refusal {
        Refusal { code, text: text.to_owned() }
    }

    #[test]
    fn a_lock_step_message_waits_for_every_reply() {
        let mut dialogue = Dialogue::new(2, false);
        let steps = replay(
            &mut dialogue,
            &format!("{HELLO}250 Ok\r\n250 Ok\r\n250 Ok\r\n354 go\r\n250 queued\r\n"),
        );
        assert_eq!(
            steps,
            [
                Next::Hello,
                Next::Ready,
                Next::Rcpt(0),
                Next::Rcpt(1),
                Next::Data,
                Next::Content,
                Next::Finished(Verdict::Accepted { recipients: 2 }),
            ]
        );
        assert!(!dialogue.in_message());
    }

    #[test]
    fn a_pipelined_group_is_answered_before_the_content_goes_out() {
        let mut dialogue = Dialogue::new(1, true);
        let steps =
            replay(&mut dialogue, &format!("{HELLO}250 Ok\r\n250 Ok\r\n354 go\r\n250 queued\r\n"));
        assert_eq!(
            steps,
            [
                Next::Hello,
                Next::Ready,
                Next::Content,
                Next::Finished(Verdict::Accepted { recipients: 1 }),
            ]
        );
    }

    #[test]
    fn replies_cut_anywhere_are_read_the_same() {
        let server = format!("{HELLO}250 Ok\r\n250 Ok\r\n354 go\r\n250 queued\r\n");
        let whole = replay(&mut Dialogue::new(1, false), &server);
        for cut in 0..server.len() {
            let mut dialogue = Dialogue::new(1, false);
            let mut steps = replay(&mut dialogue, &server[..cut]);
            steps.extend(replay(&mut dialogue, &server[cut..]));
            assert_eq!(steps, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_with_no_accepted_recipient_is_reset_and_counted_as_refused() {
        let mut dialogue = Dialogue::new(1, false);
        let steps =
            replay(&mut dialogue, &format!("{HELLO}250 Ok\r\n550 5.1.1 unknown\r\n250 Ok\r\n"));
        assert_eq!(
            steps[2..],
            [
                Next::Rcpt(0),
                Next::Rset,
                Next::Finished(Verdict::Refused(refusal(550, "550 5.1.1 unknown"))),
            ]
        );
    }

    #[test]
    fn a_354_for_a_group_without_recipients_is_ended_with_an_empty_content() {
        let mut dialogue = Dialogue::new(1, true);
        let steps =
            replay(&mut dialogue, &format!("{HELLO}250 Ok\r\n450 later\r\n354 go\r\n554 none\r\n"));
        assert_eq!(
            steps[2..],
            [Next::EmptyContent, Next::Finished(Verdict::Refused(refusal(450, "450 later"))),]
        );
    }

    #[test]
    fn a_message_refused_after_its_content_keeps_the_session() {
        let mut dialogue = Dialogue::new(1, true);
        let steps = replay(
            &mut dialogue,
            &format!("{HELLO}250 Ok\r\n250 Ok\r\n354 go\r\n452 4.3.1 full\r\n"),
        );
        assert_eq!(
            steps.last(),
            Some(&Next::Finished(Verdict::Refused(refusal(452, "452 4.3.1 full"))))
        );
        assert_eq!(dialogue.begin(), Opening::Group);
    }

    #[test]
    fn a_421_and_a_line_that_is_no_reply_end_the_session() {
        let mut input: &[u8] = b"421 4.3.2 shutting down\r\n";
        assert_eq!(
            Dialogue::new(1, false).receive(&mut input),
            Next::Broken(refusal(421, "421 4.3.2 shutting down"))
        );
        let mut input: &[u8] = b"hello\r\n";
        assert_eq!(Dialogue::new(1, false).receive(&mut input), Next::Broken(refusal(0, "hello")));
    }

    #[test]
    fn pipelining_to_a_server_that_does_not_offer_it_is_an_error_not_a_slower_measurement() {
        let mut input: &[u8] = b"220 mx\r\n250 mx\r\n";
        let mut dialogue = Dialogue::new(1, true);
        assert_eq!(dialogue.receive(&mut input), Next::Hello);
        assert!(matches!(dialogue.receive(&mut input), Next::Broken(_)));
    }

    #[test]
    fn an_endless_reply_line_ends_the_session() {
        let mut dialogue = Dialogue::new(1, false);
        let flood = [b'2'; REPLY_LINE_BYTES_MAX + 1];
        assert!(matches!(dialogue.receive(&mut &flood[..]), Next::Broken(_)));
    }
}
