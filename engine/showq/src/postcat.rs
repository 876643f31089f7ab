//! `postcat -q`: one message, envelope and content, in the record names that Postfix shows
//! (`src/global/rec_type.c`, `src/postcat/postcat.c`).

use std::io::{self, BufRead, Read, Write};

use mail::{Body, Envelope, Notify, Protocol, QueueId, Recipient, Ret};

use crate::print::{Names, Place, Printable};

/// A message to show.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Where it is.
    pub place: Place,
    /// Its id.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// The numbers of recipients that are done with, in ascending order.
    pub done: &'a [u32],
    /// Its content, in bytes.
    pub size: u64,
}

/// What of it to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Show {
    /// `-e`: the envelope.
    pub envelope: bool,
    /// `-h`: the header.
    pub header: bool,
    /// `-b`: the body, with the empty line before it.
    pub body: bool,
    /// `-f`: the message's name before each line.
    pub name: bool,
}

impl Show {
    /// All of it: what is shown when nothing is asked for.
    pub const ALL: Self = Self { envelope: true, header: true, body: true, name: false };

    /// From the options `-b -e -h -f`: without any of the first three, all is shown.
    pub fn from_options(body: bool, envelope: bool, header: bool, name: bool) -> Self {
        if body || envelope || header {
            Self { envelope, header, body, name }
        } else {
            Self { name, ..Self::ALL }
        }
    }
}

/// A piece of a line held in memory; longer lines are copied piece by piece.
const PIECE_BYTES_MAX: u64 = 16 * 1024;

/// Writes a message. `content` is read only as far as it is shown.
pub fn postcat(
    out: &mut impl Write,
    message: &Stored<'_>,
    content: &mut impl BufRead,
    show: Show,
    names: Names<'_>,
) -> io::Result<()> {
    let path = format!("{}/{}", message.place, message.id);
    let mut page =
        Page { out, prefix: if show.name { format!("{path}: ") } else { String::new() } };
    if show.envelope {
        writeln!(page.out, "*** ENVELOPE RECORDS {path} ***")?;
        envelope(&mut page, message, names)?;
        page.line(format_args!("*** MESSAGE CONTENTS {path} ***"))?;
    }
    if show.header || show.body {
        text(&mut page, content, show)?;
    }
    if show.envelope {
        page.line(format_args!("*** HEADER EXTRACTED {path} ***"))?;
        page.line(format_args!("*** MESSAGE FILE END {path} ***"))?;
    }
    page.out.flush()
}

struct Page<'a, W> {
    out: &'a mut W,
    prefix: String,
}

impl<W: Write> Page<'_, W> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) -> io::Result<()> {
        writeln!(self.out, "{}{line}", self.prefix)
    }

    fn record(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.line(format_args!("{name}: {}", Printable(value)))
    }

    fn attribute(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.line(format_args!("named_attribute: {name}={}", Printable(value)))
    }
}

fn envelope<W: Write>(
    page: &mut Page<'_, W>,
    message: &Stored<'_>,
    names: Names<'_>,
) -> io::Result<()> {
    let Stored { envelope, size, done, .. } = *message;
    let recipients = envelope.recipients.len();
    // Size, offset of the content, recipients, flags of the queue manager, length of the content,
    // options: the columns of Postfix, of which the offset means nothing here.
    let utf8 = u8::from(envelope.smtputf8);
    page.line(format_args!(
        "message_size: {size:>15} {:>15} {recipients:>15} {:>15} {size:>15} {utf8:>15}",
        0, 0
    ))?;
    let arrival = names.full_time(envelope.arrival);
    page.record("message_arrival_time", &arrival)?;
    page.record("create_time", &arrival)?;
    if let Some(filter) = &envelope.filter {
        page.record("content_filter", filter)?;
    }
    if let Some(not_before) = envelope.not_before {
        page.record("delay", &names.full_time(not_before))?;
    }
    if let Some(envid) = &envelope.envid {
        page.attribute("envelope_id", envid)?;
    }
    if let Some(ret) = envelope.ret {
        // RFC 3461 section 4.3, in the numbers of Postfix (src/global/dsn_mask.h).
        page.attribute("ret_flags", if ret == Ret::Full { "1" } else { "2" })?;
    }
    page.record("sender", envelope.sender.as_ref().map_or("", |sender| sender.as_str()))?;
    let encoding = match envelope.body {
        Body::SevenBit => "7bit",
        Body::EightBitMime | Body::BinaryMime => "8bit",
    };
    page.attribute("encoding", encoding)?;
    let client = &envelope.client;
    page.attribute("log_client_name", &client.name)?;
    if let Some(peer) = client.address {
        page.attribute("log_client_address", &peer.ip().to_string())?;
        page.attribute("log_client_port", &peer.port().to_string())?;
    }
    page.attribute("log_helo_name", &client.helo)?;
    let protocol = match client.protocol {
        Protocol::Smtp => Some("SMTP"),
        Protocol::Esmtp | Protocol::Utf8Smtp => Some("ESMTP"),
        Protocol::Local => None,
    };
    if let Some(protocol) = protocol {
        page.attribute("log_protocol_name", protocol)?;
    }
    for (number, to) in (0..).zip(&envelope.recipients) {
        recipient(page, to, done.binary_search(&number).is_ok())?;
    }
    Ok(())
}

fn recipient<W: Write>(page: &mut Page<'_, W>, to: &Recipient, done: bool) -> io::Result<()> {
    if let Some(notify) = to.notify {
        page.attribute("notify_flags", &notify_flags(notify).to_string())?;
    }
    if let Some(orcpt) = &to.orcpt {
        page.attribute("dsn_orig_rcpt", orcpt)?;
    }
    let original = to.original.as_ref().unwrap_or(&to.address);
    page.record("original_recipient", original.as_str())?;
    page.record(if done { "done_recipient" } else { "recipient" }, to.address.as_str())
}

/// RFC 3461 section 4.1, in the bits of Postfix (src/global/dsn_mask.h).
fn notify_flags(notify: Notify) -> u8 {
    u8::from(notify.never)
        | u8::from(notify.success) << 1
        | u8::from(notify.failure) << 2
        | u8::from(notify.delay) << 3
}

/// Copies the header, the body or both. Content is shown as it is, as cat(1) would.
fn text<W: Write>(
    page: &mut Page<'_, W>,
    content: &mut impl BufRead,
    show: Show,
) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut in_header = true;
    let mut at_line_start = true;
    loop {
        piece.clear();
        let mut bounded = content.by_ref().take(PIECE_BYTES_MAX);
        if bounded.read_until(b'\n', &mut piece)? == 0 {
            break;
        }
        if in_header && at_line_start && !belongs_to_header(&piece) {
            in_header = false;
            if !show.body {
                return Ok(());
            }
        }
        if if in_header { show.header } else { show.body } {
            if at_line_start {
                page.out.write_all(page.prefix.as_bytes())?;
            }
            page.out.write_all(&piece)?;
        }
        at_line_start = piece.ends_with(b"\n");
    }
    if at_line_start { Ok(()) } else { page.out.write_all(b"\n") }
}

/// True for a header field (RFC 5322 section 2.2: printable name, colon) and for what continues one.
fn belongs_to_header(line: &[u8]) -> bool {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return true;
    }
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use jiff::tz::TimeZone;
    use mail::{Address, Client, Time};

    const NAMES: Names<'static> = Names { time_zone: &TimeZone::UTC, null_sender: "MAILER-DAEMON" };

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    fn printed(content: &str, show: Show) -> String {
        let envelope = Envelope {
            sender: Some(address("sender@client.example")),
            recipients: vec![
                Recipient::new(address("done@example.com")),
                Recipient {
                    original: Some(address("alias@example.com")),
                    orcpt: Some("rfc822;alias@example.com".into()),
                    notify: Some(Notify { failure: true, delay: true, ..Notify::default() }),
                    ..Recipient::new(address("user@example.com"))
                },
            ],
            arrival: Time::from_secs(1_759_504_179),
            client: Client {
                name: "mx.client.example".into(),
                address: Some(([192, 0, 2, 1], 40_001).into()),
                helo: "mx\x1b[2J".into(),
                protocol: Protocol::Esmtp,
            },
            body: Body::EightBitMime,
            smtputf8: false,
            ret: Some(Ret::Headers),
            envid: Some("id+2B1".into()),
            filter: None,
            not_before: None,
        };
        let message = Stored {
            place: Place::Deferred,
            id: QueueId::from_u64(0x00C5_1234_5678_9ABC),
            envelope: &envelope,
            done: &[0],
            size: content.len() as u64,
        };
        let mut out = Vec::new();
        postcat(&mut out, &message, &mut content.as_bytes(), show, NAMES).unwrap();
        String::from_utf8(out).unwrap()
    }

    const CONTENT: &str = "Subject: hello\n\tworld\nTo: user@example.com\n\nBody: one\n\ntwo\n";

    #[test]
    fn a_message_is_shown_with_its_envelope_in_the_records_of_postfix() {
        expect![[r#"
            *** ENVELOPE RECORDS deferred/C5123456789ABC ***
            message_size:              59               0               2               0              59               0
            message_arrival_time: Fri Oct  3 15:09:39 2025
            create_time: Fri Oct  3 15:09:39 2025
            named_attribute: envelope_id=id+2B1
            named_attribute: ret_flags=2
            sender: sender@client.example
            named_attribute: encoding=8bit
            named_attribute: log_client_name=mx.client.example
            named_attribute: log_client_address=192.0.2.1
            named_attribute: log_client_port=40001
            named_attribute: log_helo_name=mx?[2J
            named_attribute: log_protocol_name=ESMTP
            original_recipient: done@example.com
            done_recipient: done@example.com
            named_attribute: notify_flags=12
            named_attribute: dsn_orig_rcpt=rfc822;alias@example.com
            original_recipient: alias@example.com
            recipient: user@example.com
            *** MESSAGE CONTENTS deferred/C5123456789ABC ***
            Subject: hello
            	world
            To: user@example.com

            Body: one

            two
            *** HEADER EXTRACTED deferred/C5123456789ABC ***
            *** MESSAGE FILE END deferred/C5123456789ABC ***
        "#]].assert_eq(&printed(CONTENT, Show::from_options(false, false, false, false)));
    }

    #[test]
    fn parts_are_shown_alone_and_with_the_message_s_name() {
        let header = printed(CONTENT, Show::from_options(false, false, true, false));
        assert_eq!(header, "Subject: hello\n\tworld\nTo: user@example.com\n");
        let body = printed(CONTENT, Show::from_options(true, false, false, true));
        let name = "deferred/C5123456789ABC: ";
        assert_eq!(body, format!("{name}\n{name}Body: one\n{name}\n{name}two\n"));
        let envelope = printed(CONTENT, Show::from_options(false, true, false, false));
        assert!(!envelope.contains("Subject") && envelope.contains("recipient: user@example.com"));
    }

    #[test]
    fn content_without_a_header_is_body_and_the_last_line_gets_its_end() {
        let body = Show::from_options(true, false, false, false);
        assert_eq!(printed("no header here\nlast", body), "no header here\nlast\n");
    }

    #[test]
    fn a_line_longer_than_memory_allows_is_copied_whole() {
        let long = format!("Subject: {}\n\nx\n", "a b:".repeat(100_000));
        let header = printed(&long, Show::from_options(false, false, true, false));
        assert_eq!(header.len(), long.len() - "\nx\n".len());
    }
}
