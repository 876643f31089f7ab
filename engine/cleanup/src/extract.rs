//! `sendmail -t`: the recipients that a message names in its head.
//!
//! To, Cc and Bcc count, or their Resent- kin where there are any, as in postfix `src/sendmail/sendmail.c`.
//! Only the message's own head is read, and nothing of the message is changed: what must not travel
//! (Bcc) is cleanup's to remove.

use std::fmt;

use mail::Address;
use mail::rfc5322::AddressList;
use memchr::memchr;

use crate::header::{LineStart, is_mailbox_line, known, line_start};

/// How much of a head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtractLimits {
    /// `header_size_limit`
    pub header_bytes_max: usize,
    /// `header_address_token_limit`: words and signs of one header.
    pub tokens_max: usize,
    /// `extract_recipient_limit`: recipients of the message.
    pub recipients_max: usize,
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self { header_bytes_max: 102_400, tokens_max: 10_240, recipients_max: 10_240 }
    }
}

/// Why the recipients of a message cannot be told. None of them is left out in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtractError {
    /// A header with recipients is longer than `header_size_limit`.
    HeaderTooLong,
    /// A header has more words and signs than `header_address_token_limit`.
    TooManyTokens,
    /// There are more recipients than `extract_recipient_limit`.
    TooManyRecipients,
    /// This is no address.
    BadAddress(Box<str>),
    /// Nobody is named.
    NoRecipients,
}

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderTooLong => f.write_str(
                "unable to extract recipients: message header length exceeds safety limit",
            ),
            Self::TooManyTokens => f.write_str(
                "unable to extract recipients: a header exceeds header_address_token_limit",
            ),
            Self::TooManyRecipients => f.write_str(
                "unable to extract recipients: there are more than extract_recipient_limit",
            ),
            Self::BadAddress(text) => {
                write!(f, "unable to extract recipients: bad address: {text}")
            }
            Self::NoRecipients => f.write_str("No recipient addresses found in message header"),
        }
    }
}

impl std::error::Error for ExtractError {}

/// Reads a head, given in pieces cut anywhere, in lines that end in LF.
#[derive(Debug)]
pub struct Extract {
    limits: ExtractLimits,
    /// The header that is being read, where it is one with recipients.
    header: Vec<u8>,
    is_extracted: bool,
    too_long: bool,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    decided: bool,
    first_line: bool,
    ended: bool,
    resent: bool,
    recipients: Vec<Address>,
    error: Option<ExtractError>,
}

/// Bytes of a line that are looked at to tell whether it is a header.
const LINE_START_BYTES_MAX: usize = 2048;

impl Extract {
    /// For one message.
    pub fn new(limits: ExtractLimits) -> Self {
        Self {
            limits,
            header: Vec::new(),
            is_extracted: false,
            too_long: false,
            line: Vec::new(),
            decided: false,
            first_line: true,
            ended: false,
            resent: false,
            recipients: Vec::new(),
            error: None,
        }
    }

    /// True once the head has been read.
    pub fn is_done(&self) -> bool {
        self.ended
    }

    /// The next piece.
    pub fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.ended {
            let lf = memchr(b'\n', bytes);
            let (piece, rest) = bytes.split_at(lf.map_or(bytes.len(), |lf| lf + 1));
            bytes = rest;
            self.piece(piece);
            if lf.is_some() {
                self.end_line();
            }
        }
    }

    /// Who is named, in order and as often as that.
    pub fn finish(mut self) -> Result<Vec<Address>, ExtractError> {
        self.end_line();
        self.end_header();
        match self.error {
            Some(error) => Err(error),
            None if self.recipients.is_empty() => Err(ExtractError::NoRecipients),
            None => Ok(self.recipients),
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if self.decided {
            return self.keep(piece);
        }
        let room = LINE_START_BYTES_MAX.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(&piece[..room]);
        if self.line.len() >= LINE_START_BYTES_MAX {
            self.decide();
            if self.decided {
                self.keep(&piece[room..]);
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_extracted {
            let room = self.limits.header_bytes_max.saturating_sub(self.header.len());
            self.header.extend_from_slice(&bytes[..room.min(bytes.len())]);
            self.too_long |= room < bytes.len();
        }
    }

    /// The beginning of a line is there, or all of it.
    fn decide(&mut self) {
        let line = std::mem::take(&mut self.line);
        let is_mailbox_line = self.first_line && is_mailbox_line(&line) == Some(true);
        let folds = matches!(line.first(), Some(b' ' | b'\t')) && self.decided_before();
        self.decided = true;
        if is_mailbox_line {
            self.is_extracted = false;
            return;
        }
        self.first_line = false;
        if folds {
            return self.keep(&line);
        }
        self.end_header();
        let LineStart::Header(name_len) = line_start(&line) else {
            self.ended = true;
            return;
        };
        let known = known(&line[..name_len]).filter(|it| it.is_extracted());
        self.is_extracted = known.is_some_and(|it| it.is_resent() || !self.resent);
        if let Some(known) = known
            && known.is_resent()
            && !self.resent
        {
            // Those who are named otherwise have had it.
            self.resent = true;
            self.recipients.clear();
        }
        self.keep(&line);
        if !self.is_extracted {
            // Something to continue.
            self.header.clear();
            self.header.push(b':');
        }
    }

    fn decided_before(&self) -> bool {
        !self.header.is_empty()
    }

    fn end_line(&mut self) {
        if !self.decided && !self.line.is_empty() {
            self.decide();
        }
        self.decided = false;
    }

    fn end_header(&mut self) {
        let header = std::mem::take(&mut self.header);
        let is_extracted = std::mem::take(&mut self.is_extracted);
        let too_long = std::mem::take(&mut self.too_long);
        if !is_extracted {
            return;
        }
        if too_long {
            return self.fail(ExtractError::HeaderTooLong);
        }
        let colon = memchr(b':', &header).map_or(0, |at| at + 1);
        let list = AddressList::parse(&header[colon..], self.limits.tokens_max);
        if !list.rest().trim_ascii().is_empty() {
            return self.fail(ExtractError::TooManyTokens);
        }
        for number in 0..list.len() {
            if self.recipients.len() >= self.limits.recipients_max {
                return self.fail(ExtractError::TooManyRecipients);
            }
            let external = list.external(number);
            match Address::parse(&external) {
                Ok(address) => self.recipients.push(address),
                Err(_) => {
                    let text = external.escape_ascii().to_string();
                    return self.fail(ExtractError::BadAddress(text.into()));
                }
            }
        }
    }

    /// The first error counts.
    fn fail(&mut self, error: ExtractError) {
        self.error.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(text: &str, limits: ExtractLimits) -> Result<Vec<String>, ExtractError> {
        let read = |cut: usize| {
            let mut extract = Extract::new(limits);
            text.as_bytes().chunks(cut).for_each(|piece| extract.put(piece));
            extract.finish()
        };
        let whole = read(usize::MAX);
        for cut in [1, 2, 3, 7, 100] {
            assert_eq!(read(cut), whole, "pieces of {cut}");
        }
        Ok(whole?.iter().map(ToString::to_string).collect())
    }

    fn check(text: &str, recipients: &[&str]) {
        let extracted = extract(text, ExtractLimits::default());
        assert_eq!(extracted, Ok(recipients.iter().map(ToString::to_string).collect()), "{text}");
    }

    #[test]
    fn to_cc_and_bcc_name_recipients() {
        check(
            "From: s@x.example\nTo: Joe <a@x.example>,\n b@x.example (Bea)\nSubject: to: c@x.example\n\
             CC : group: d@x.example, \"e f\"@x.example;\nbcc: g\nReply-To: no@x.example\n\n\
             To: body@x.example\n",
            &["a@x.example", "b@x.example", "d@x.example", "\"e f\"@x.example", "g"],
        );
        check("From user Mon Nov 30\nTo: a@x.example", &["a@x.example"]);
        check("To: a@x.example\nno header\nCc: b@x.example\n", &["a@x.example"]);
    }

    #[test]
    fn who_sends_again_names_them_again() {
        check(
            "To: a@x.example\nResent-To: b@x.example\nCc: c@x.example\nResent-Bcc: d@x.example\n\n",
            &["b@x.example", "d@x.example"],
        );
    }

    #[test]
    fn nobody_is_left_out_in_silence() {
        let limits = ExtractLimits { header_bytes_max: 3000, tokens_max: 50, recipients_max: 5 };
        for (text, error) in [
            ("Subject: x\n\nTo: a@x.example\n".to_owned(), ExtractError::NoRecipients),
            ("To: undisclosed-recipients:;\n".to_owned(), ExtractError::NoRecipients),
            (format!("To: a@x.example,{}\n", " ".repeat(4000)), ExtractError::HeaderTooLong),
            (format!("To: {}\n", "a@x.example, ".repeat(30)), ExtractError::TooManyTokens),
            ("To: a\n".repeat(6), ExtractError::TooManyRecipients),
        ] {
            assert_eq!(extract(&text, limits), Err(error), "{text:.60}");
        }
        let bad = extract("To: a@x.example, <a b\u{1}@x..example>\n", limits);
        assert!(matches!(bad, Err(ExtractError::BadAddress(_))), "{bad:?}");
    }

    #[test]
    fn hostile_heads_are_read_in_a_moment() {
        let limits = ExtractLimits::default();
        for text in [
            format!("To: {}", "<".repeat(200_000)),
            format!("To: {}", "a@b.example,".repeat(100_000)),
            "To: (".repeat(100_000),
            format!("To: {}\n", "x".repeat(5_000_000)),
            format!("To: a@b.example\n{}", "X: y\n".repeat(50_000)),
            "x".repeat(5_000_000),
        ] {
            let mut extract = Extract::new(limits);
            extract.put(text.as_bytes());
            assert!(extract.header.len() <= limits.header_bytes_max);
            let _ = extract.finish();
        }
    }
}
