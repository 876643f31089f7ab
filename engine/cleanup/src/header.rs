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

/// The headers that cleanup knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Received,
    DeliveredTo,
    MessageId,
    Date,
    From,
    ToOrCc,
    ResentMessageId,
    ResentDate,
    ResentFrom,
    ResentToOrCc,
    ResentOther,
}

/// Names are compared without case (RFC 5322 section 1.2.2).
pub(crate) fn known(name: &[u8]) -> Option<Known> {
    let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
    // By length first: most headers are none of these.
    Some(match name.len() {
        2 if is("To") || is("Cc") => Known::ToOrCc,
        4 if is("Date") => Known::Date,
        4 if is("From") => Known::From,
        8 if is("Received") => Known::Received,
        10 if is("Message-Id") => Known::MessageId,
        12 if is("Delivered-To") => Known::DeliveredTo,
        9 if is("Resent-To") || is("Resent-Cc") => Known::ResentToOrCc,
        10 if is("Resent-Bcc") => Known::ResentOther,
        11 if is("Resent-Date") => Known::ResentDate,
        11 if is("Resent-From") => Known::ResentFrom,
        13 if is("Resent-Sender") => Known::ResentOther,
        15 if is("Resent-Reply-To") => Known::ResentOther,
        17 if is("Resent-Message-Id") => Known::ResentMessageId,
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
