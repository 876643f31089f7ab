//! What a line of a message's head is, and which headers mean something here.

/// The longest field name; RFC 5322 section 2.1.1 allows no longer line.
const NAME_BYTES_MAX: usize = 998;

/// What the start of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineStart {
    /// A header, whose name has so many bytes.
    Header(usize),
    /// Neither a header nor the beginning of one: the head of the message is over.
    Other,
    /// The line is not long enough yet to say.
    Undecided,
}

/// RFC 5322 section 3.6.8: printable characters up to a colon; white space before the colon is
/// obsolete (section 4.5), but not unheard of.
pub(crate) fn line_start(line: &[u8]) -> LineStart {
    let is_name = |b: &u8| b.is_ascii_graphic() && *b != b':';
    let name_len = line.iter().take(NAME_BYTES_MAX + 1).take_while(|b| is_name(b)).count();
    let space = line[name_len..].iter().take(NAME_BYTES_MAX);
    let space_len = space.take_while(|b| matches!(b, b' ' | b'\t')).count();
    match line.get(name_len + space_len) {
        _ if name_len > NAME_BYTES_MAX || space_len == NAME_BYTES_MAX => LineStart::Other,
        Some(b':') if name_len > 0 => LineStart::Header(name_len),
        None if name_len > 0 || line.is_empty() => LineStart::Undecided,
        _ => LineStart::Other,
    }
}

/// A line that mailbox files put before a message; some clients send it along. `None` while it could
/// still become one.
pub(crate) fn is_mailbox_line(line: &[u8]) -> Option<bool> {
    let quotes = line.iter().take(NAME_BYTES_MAX).take_while(|b| **b == b'>').count();
    let rest = &line[quotes..];
    if rest.len() < 5 && b"From ".starts_with(rest) {
        return (quotes == NAME_BYTES_MAX).then_some(false);
    }
    Some(rest.starts_with(b"From "))
}

/// The headers that cleanup knows (postfix `src/global/header_opts.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    ApparentlyTo,
    Bcc,
    Cc,
    ContentTransferEncoding,
    ContentType,
    /// The other headers of MIME.
    Mime,
    Date,
    DeliveredTo,
    From,
    MessageId,
    Received,
    ResentBcc,
    ResentCc,
    ResentDate,
    ResentFrom,
    ResentMessageId,
    ResentReplyTo,
    ResentSender,
    ResentTo,
    /// `Sender:`, `Reply-To:` and others whose addresses are those of whom the message is from.
    SenderOther,
    To,
}

impl Known {
    /// Describes content, wherever it stands: `mime_header_checks` are for these.
    pub(crate) fn is_mime(self) -> bool {
        matches!(self, Self::ContentTransferEncoding | Self::ContentType | Self::Mime)
    }

    /// RFC 5322 section 3.6.6
    pub(crate) fn is_resent(self) -> bool {
        matches!(
            self,
            Self::ResentBcc
                | Self::ResentCc
                | Self::ResentDate
                | Self::ResentFrom
                | Self::ResentMessageId
                | Self::ResentReplyTo
                | Self::ResentSender
                | Self::ResentTo
        )
    }

    /// Its addresses are rewritten as those of senders or of recipients, if it has some.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Self::From | Self::SenderOther | Self::ResentFrom | Self::ResentSender => {
                Some(Role::Sender)
            }
            Self::ApparentlyTo | Self::ResentReplyTo => Some(Role::Recipient),
            other if other.is_extracted() => Some(Role::Recipient),
            _ => None,
        }
    }

    /// Its addresses are recipients where they are taken from the message.
    pub(crate) fn is_extracted(self) -> bool {
        matches!(
            self,
            Self::To | Self::Cc | Self::Bcc | Self::ResentTo | Self::ResentCc | Self::ResentBcc
        )
    }
}

/// Whose addresses a header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `From:`, `Sender:`, `Reply-To:` and their like.
    Sender,
    /// `To:`, `Cc:`, `Bcc:` and their like.
    Recipient,
}

/// Names are compared without case (RFC 5322 section 1.2.2).
pub(crate) fn known(name: &[u8]) -> Option<Known> {
    let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
    // By length and letter first: most headers are none of these.
    let first = name.first()? | 0x20;
    Some(match (name.len(), first) {
        (2, b't') if is("To") => Known::To,
        (2, b'c') if is("Cc") => Known::Cc,
        (3, b'b') if is("Bcc") => Known::Bcc,
        (4, b'd') if is("Date") => Known::Date,
        (4, b'f') if is("From") => Known::From,
        (6, b's') if is("Sender") => Known::SenderOther,
        (8, b'r') if is("Received") => Known::Received,
        (8, b'r') if is("Reply-To") => Known::SenderOther,
        (9, b'e') if is("Errors-To") => Known::SenderOther,
        (9, b'r') if is("Resent-To") => Known::ResentTo,
        (9, b'r') if is("Resent-Cc") => Known::ResentCc,
        (10, b'm') if is("Message-Id") => Known::MessageId,
        (10, b'r') if is("Resent-Bcc") => Known::ResentBcc,
        (10, b'c') if is("Content-ID") => Known::Mime,
        (11, b'r') if is("Resent-Date") => Known::ResentDate,
        (11, b'r') if is("Resent-From") => Known::ResentFrom,
        (11, b'r') if is("Return-Path") => Known::SenderOther,
        (12, b'd') if is("Delivered-To") => Known::DeliveredTo,
        (12, b'c') if is("Content-Type") => Known::ContentType,
        (12, b'm') if is("MIME-Version") => Known::Mime,
        (13, b'a') if is("Apparently-To") => Known::ApparentlyTo,
        (13, b'r') if is("Resent-Sender") => Known::ResentSender,
        (15, b'r') if is("Resent-Reply-To") => Known::ResentReplyTo,
        (16, b'm') if is("Mail-Followup-To") => Known::SenderOther,
        (17, b'r') if is("Resent-Message-Id") => Known::ResentMessageId,
        (17, b'r') if is("Return-Receipt-To") => Known::SenderOther,
        (19, b'c') if is("Content-Description") => Known::Mime,
        (19, b'c') if is("Content-Disposition") => Known::Mime,
        (25, b'c') if is("Content-Transfer-Encoding") => Known::ContentTransferEncoding,
        (27, b'd') if is("Disposition-Notification-To") => Known::SenderOther,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_by_its_name_and_colon() {
        for (line, start) in [
            ("Subject: x", LineStart::Header(7)),
            ("Subject \t: x", LineStart::Header(7)),
            ("x:", LineStart::Header(1)),
            ("", LineStart::Undecided),
            ("Subj", LineStart::Undecided),
            ("Subject ", LineStart::Undecided),
            (": x", LineStart::Other),
            (" folded: x", LineStart::Other),
            ("two words: x", LineStart::Other),
            ("n\u{e4}me: x", LineStart::Other),
            ("nul\0: x", LineStart::Other),
        ] {
            assert_eq!(line_start(line.as_bytes()), start, "{line:?}");
        }
        assert_eq!(line_start(&[b'x'; 999]), LineStart::Other);
    }

    #[test]
    fn a_mailbox_line_is_told_apart_as_soon_as_it_can_be() {
        for (line, answer) in [
            ("", None),
            ("Fro", None),
            (">>", None),
            (">>From", None),
            ("From user", Some(true)),
            (">From ", Some(true)),
            ("From: x", Some(false)),
            (">x", Some(false)),
        ] {
            assert_eq!(is_mailbox_line(line.as_bytes()), answer, "{line:?}");
        }
    }
}
