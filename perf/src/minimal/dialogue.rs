//! The server's half of SMTP, without I/O, reduced to what every server must do.
//!
//! It answers with the bytes a Postfix-like server sends, a pipelined group with one buffer, and
//! keeps the content only when asked to. It checks order, not syntax: what it saves against a real
//! server is part of what `perf` measures.

use memchr::{memchr, memmem};

/// The shell's next duty after [`Dialogue::receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// All input is used; send the replies and read on.
    More,
    /// A message is complete and owed an answer: [`Dialogue::answer`].
    Message,
    /// QUIT was answered, or a line was too long: send the replies and close.
    Close,
}

/// RFC 5321 section 4.5.3.1.4 asks for 512, extensions for more.
const COMMAND_BYTES_MAX: usize = 2048;

const BANNER: &[u8] = b"220 mx.test.example ESMTP\r\n";
const EHLO: &[u8] = b"250-mx.test.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n\
    250-ETRN\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n";

/// RFC 5321 section 4.1.1.4: the dot on a line of its own.
const END_OF_CONTENT: &[u8] = b"\r\n.\r\n";

#[derive(Debug)]
pub(crate) struct Dialogue {
    in_content: bool,
    keeps_content: bool,
    partial: Vec<u8>,
    /// The numbers in the recipients' local parts: `u17@test.example` is 17.
    recipients: Vec<u64>,
    has_sender: bool,
    /// The content so far, after a CRLF that makes a dot on the first line an ordinary end. When
    /// content is not kept, only the bytes that could begin the end.
    content: Vec<u8>,
    content_bytes: u64,
}

impl Dialogue {
    pub(crate) fn new(keeps_content: bool) -> Self {
        Self {
            in_content: false,
            keeps_content,
            partial: Vec::new(),
            recipients: Vec::new(),
            has_sender: false,
            content: Vec::new(),
            content_bytes: 0,
        }
    }

    pub(crate) fn greet(&self, replies: &mut Vec<u8>) {
        replies.extend_from_slice(BANNER);
    }

    /// Uses up `input` until a message is complete or the session ends.
    pub(crate) fn receive(&mut self, input: &mut &[u8], replies: &mut Vec<u8>) -> Event {
        while !input.is_empty() {
            if self.in_content {
                if self.content(input) {
                    return Event::Message;
                }
                continue;
            }
            let Some(end) = memchr(b'\n', input) else {
                self.partial.extend_from_slice(input);
                *input = &[];
                if self.partial.len() > COMMAND_BYTES_MAX {
                    replies.extend_from_slice(b"500 5.5.2 Error: line too long\r\n");
                    return Event::Close;
                }
                break;
            };
            let (line, rest) = input.split_at(end + 1);
            *input = rest;
            let event = if self.partial.is_empty() {
                self.command(line, replies)
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                let event = self.command(&whole, replies);
                whole.clear();
                self.partial = whole;
                event
            };
            if event != Event::More {
                return event;
            }
        }
        Event::More
    }

    fn command(&mut self, line: &[u8], replies: &mut Vec<u8>) -> Event {
        let verb = line.get(..4).unwrap_or(line);
        let reply: &[u8] = if verb.eq_ignore_ascii_case(b"MAIL") {
            self.reset();
            self.has_sender = true;
            b"250 2.1.0 Ok\r\n"
        } else if verb.eq_ignore_ascii_case(b"RCPT") {
            if self.has_sender {
                self.recipients.push(number_in_local_part(line));
                b"250 2.1.5 Ok\r\n"
            } else {
                b"503 5.5.1 Error: need MAIL command\r\n"
            }
        } else if verb.eq_ignore_ascii_case(b"DATA") {
            if self.recipients.is_empty() {
                b"554 5.5.1 Error: no valid recipients\r\n"
            } else {
                self.in_content = true;
                self.content.clear();
                self.content.extend_from_slice(b"\r\n");
                self.content_bytes = 0;
                b"354 End data with <CR><LF>.<CR><LF>\r\n"
            }
        } else if verb.eq_ignore_ascii_case(b"EHLO") {
            EHLO
        } else if verb.eq_ignore_ascii_case(b"HELO") {
            b"250 mx.test.example\r\n"
        } else if verb.eq_ignore_ascii_case(b"RSET") {
            self.reset();
            b"250 2.0.0 Ok\r\n"
        } else if verb.eq_ignore_ascii_case(b"NOOP") {
            b"250 2.0.0 Ok\r\n"
        } else if verb.eq_ignore_ascii_case(b"QUIT") {
            replies.extend_from_slice(b"221 2.0.0 Bye\r\n");
            return Event::Close;
        } else {
            b"502 5.5.2 Error: command not recognized\r\n"
        };
        replies.extend_from_slice(reply);
        Event::More
    }

    /// Takes content from `input`; whether its end was reached.
    fn content(&mut self, input: &mut &[u8]) -> bool {
        // The end may lie across what was read before and what is read now.
        let from = self.content.len().saturating_sub(END_OF_CONTENT.len() - 1);
        let before = self.content.len();
        let joint = END_OF_CONTENT.len() - 1;
        let head = &input[..joint.min(input.len())];
        self.content.extend_from_slice(head);
        if let Some(at) = memmem::find(&self.content[from..], END_OF_CONTENT) {
            let end = from + at + END_OF_CONTENT.len();
            *input = &input[end - before..];
            self.content_bytes += (end - before) as u64;
            self.content.truncate(from + at + 2);
            return true;
        }
        self.content.truncate(before);
        match memmem::find(input, END_OF_CONTENT) {
            Some(at) => {
                self.keep(&input[..at + 2]);
                self.content_bytes += (at + END_OF_CONTENT.len()) as u64;
                *input = &input[at + END_OF_CONTENT.len()..];
                true
            }
            None => {
                self.keep(input);
                self.content_bytes += input.len() as u64;
                *input = &[];
                false
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.keeps_content {
            self.content.extend_from_slice(bytes);
            return;
        }
        let tail = END_OF_CONTENT.len() - 1;
        self.content.extend_from_slice(&bytes[bytes.len().saturating_sub(tail)..]);
        let surplus = self.content.len().saturating_sub(tail);
        self.content.drain(..surplus);
    }

    /// The numbers of the complete message's recipients.
    pub(crate) fn recipients(&self) -> &[u64] {
        &self.recipients
    }

    /// Bytes of the complete message on the wire, with its final dot.
    pub(crate) fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Appends the complete message as a mailbox stores it: lines end in LF, dots are unstuffed
    /// (RFC 5321 section 4.5.2).
    pub(crate) fn stored_content(&self, out: &mut Vec<u8>) {
        let mut rest = self.content.get(2..).unwrap_or_default();
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            rest = after;
            let line = line.strip_prefix(b".").unwrap_or(line);
            match line.strip_suffix(b"\r\n") {
                Some(text) => {
                    out.extend_from_slice(text);
                    out.push(b'\n');
                }
                None => out.extend_from_slice(line),
            }
        }
    }

    /// Answers the complete message and makes the session ready for the next.
    pub(crate) fn answer(&mut self, reply: &[u8], replies: &mut Vec<u8>) {
        replies.extend_from_slice(reply);
        self.reset();
    }

    fn reset(&mut self) {
        self.in_content = false;
        self.has_sender = false;
        self.recipients.clear();
        self.content.clear();
    }
}

/// The 250 of a message that was taken.
pub(crate) const QUEUED: &[u8] = b"250 2.0.0 Ok: queued as 4fQx7Y1z2Kz9sT\r\n";

/// The digits before the `@`, as a number.
fn number_in_local_part(line: &[u8]) -> u64 {
    let local = memchr(b'@', line).map_or(line, |at| &line[..at]);
    local
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in pieces of `step` bytes; returns the replies and the stored messages.
    fn replay(input: &str, step: usize, keeps: bool) -> (String, Vec<String>) {
        let mut dialogue = Dialogue::new(keeps);
        let (mut replies, mut messages) = (Vec::new(), Vec::new());
        for piece in input.as_bytes().chunks(step) {
            let mut piece = piece;
            loop {
                match dialogue.receive(&mut piece, &mut replies) {
                    Event::More => break,
                    Event::Message => {
                        let mut stored = Vec::new();
                        dialogue.stored_content(&mut stored);
                        messages.push(String::from_utf8(stored).unwrap());
                        dialogue.answer(b"250 queued\r\n", &mut replies);
                    }
                    Event::Close => break,
                }
            }
        }
        (String::from_utf8(replies).unwrap(), messages)
    }

    const GROUP: &str = "MAIL FROM:<a@b>\r\nRCPT TO:<u1@c>\r\nDATA\r\n";

    #[test]
    fn content_is_the_same_wherever_the_network_cuts_it() {
        let input =
            format!("{GROUP}a: b\r\n\r\n..dot\r\n.\n.\r\r\nend\r\n.\r\n{GROUP}.\r\nQUIT\r\n");
        let whole = replay(&input, input.len(), true);
        assert_eq!(whole.1, ["a: b\n\n.dot\n\n\r\nend\n", ""]);
        for step in 1..input.len() {
            assert_eq!(replay(&input, step, true), whole, "pieces of {step}");
        }
    }

    #[test]
    fn content_that_is_not_kept_ends_at_the_same_place() {
        let input = format!("{GROUP}one\r\n.\r\n{GROUP}two\r\n.\r\n");
        let kept = replay(&input, input.len(), true).0;
        for step in 1..input.len() {
            assert_eq!(replay(&input, step, false).0, kept, "pieces of {step}");
        }
    }

    #[test]
    fn a_pipelined_group_is_answered_in_one_buffer() {
        let mut dialogue = Dialogue::new(false);
        let mut replies = Vec::new();
        let event = dialogue.receive(&mut GROUP.as_bytes(), &mut replies);
        assert_eq!(event, Event::More);
        assert_eq!(replies.iter().filter(|byte| **byte == b'\n').count(), 3);
    }

    #[test]
    fn recipients_choose_the_mailbox_by_their_number() {
        let mut dialogue = Dialogue::new(false);
        let input = "MAIL FROM:<a@b>\r\nRCPT TO:<u17@test.example>\r\nRCPT TO:<4u@x9>\r\n";
        dialogue.receive(&mut input.as_bytes(), &mut Vec::new());
        assert_eq!(dialogue.recipients(), [17, 4]);
    }

    #[test]
    fn commands_out_of_order_and_endless_ones_are_refused() {
        let (replies, _) = replay("RCPT TO:<u1@c>\r\nDATA\r\nWHAT\r\n", 100, false);
        let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["503", "554", "502"]);
        let mut dialogue = Dialogue::new(false);
        let flood = [b'x'; COMMAND_BYTES_MAX + 1];
        assert_eq!(dialogue.receive(&mut &flood[..], &mut Vec::new()), Event::Close);
    }
}
