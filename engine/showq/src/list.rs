//! `mailq`, `postqueue -p` and `postqueue -j`.

use std::io::{self, Write};

use mail::{Address, QueueId, Time};

use crate::print::{Names, Place, Printable};

/// A message in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub place: Place,
    /// Its id.
    pub id: QueueId,
    /// When it arrived.
    pub arrival: Time,
    /// Its content, in bytes.
    pub size: u64,
    /// Someone asked that it be given up (`postsuper -e`).
    pub forced_expire: bool,
    /// `None` is `<>`.
    pub sender: Option<Address>,
    /// Those who do not have it yet.
    pub recipients: Vec<ListedRecipient>,
}

/// A recipient in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRecipient {
    /// Where it goes.
    pub address: Address,
    /// What it was before rewriting, where that differs.
    pub original: Option<Address>,
    /// Why it is still here.
    pub reason: Option<Reason>,
}

/// Why a recipient does not have the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last attempt was put off.
    Delay(Box<str>),
    /// It failed for good, and the sender has not been told.
    Bounce(Box<str>),
}

impl ListedRecipient {
    /// A recipient that has not been tried.
    pub fn new(address: Address) -> Self {
        Self { address, original: None, reason: None }
    }

    fn reason(&self) -> &str {
        match &self.reason {
            Some(Reason::Delay(text) | Reason::Bounce(text)) => text,
            None => "",
        }
    }
}

impl Listed {
    /// Those with a reason come first, as Postfix reads them from a file of their own.
    fn in_order(&self) -> impl Iterator<Item = &ListedRecipient> {
        let tried = self.recipients.iter().filter(|to| !to.reason().is_empty());
        tried.chain(self.recipients.iter().filter(|to| to.reason().is_empty()))
    }
}

/// Columns that end of a reason's line.
const REASON_COLUMNS: usize = 76;

/// The listing of `mailq` and `postqueue -p`, in Postfix's layout for short queue ids
/// (`src/postqueue/showq_compat.c`).
#[derive(Debug)]
pub struct Mailq<'a, W> {
    out: W,
    names: Names<'a>,
    messages: u64,
    bytes: u64,
}

impl<'a, W: Write> Mailq<'a, W> {
    /// Begins a listing.
    pub fn new(out: W, names: Names<'a>) -> Self {
        Self { out, names, messages: 0, bytes: 0 }
    }

    /// Writes one message.
    pub fn message(&mut self, message: &Listed) -> io::Result<()> {
        if self.messages == 0 {
            self.columns("-Queue ID-", "--Size--", "----Arrival Time----", HEADING)?;
        } else {
            writeln!(self.out)?;
        }
        let mark = match message.place {
            Place::Active => "*",
            Place::Hold => "!",
            _ => "",
        };
        let expire = if message.forced_expire { "#" } else { "" };
        let id = format!("{}{mark}{expire}", message.id);
        // Of asctime(3), Postfix prints the first twenty characters: a space follows the seconds.
        let time = format!("{} ", self.names.day_and_time(message.arrival));
        let sender = self.names.sender(message.sender.as_ref());
        self.columns(&id, &message.size.to_string(), &time, sender)?;

        let mut shown = "";
        for recipient in message.in_order() {
            let reason = recipient.reason();
            if reason != shown {
                shown = reason;
                let text = if reason.is_empty() { "reason unavailable" } else { reason };
                let indent = REASON_COLUMNS.saturating_sub(text.len());
                writeln!(self.out, "{:indent$}({})", "", Printable(text))?;
            }
            self.columns("", "", "", recipient.address.as_str())?;
        }
        self.messages += 1;
        self.bytes += message.size;
        Ok(())
    }

    /// Writes the totals.
    pub fn finish(mut self) -> io::Result<()> {
        match self.messages {
            0 => writeln!(self.out, "Mail queue is empty")?,
            messages => {
                let plural = if messages == 1 { "" } else { "s" };
                let kbytes = self.bytes / 1024;
                writeln!(self.out, "\n-- {kbytes} Kbytes in {messages} Request{plural}.")?;
            }
        }
        self.out.flush()
    }

    fn columns(&mut self, id: &str, size: &str, time: &str, address: &str) -> io::Result<()> {
        writeln!(self.out, "{id:<11} {size:>7} {time:<20} {}", Printable(address))
    }
}

const HEADING: &str = "-Sender/Recipient-------";

/// The listing of `postqueue -j`: one JSON object on a line for each message
/// (`src/postqueue/showq_json.c`).
#[derive(Debug)]
pub struct Json<'a, W> {
    out: W,
    names: Names<'a>,
}

impl<'a, W: Write> Json<'a, W> {
    /// Begins a listing.
    pub fn new(out: W, names: Names<'a>) -> Self {
        Self { out, names }
    }

    /// Writes one message.
    pub fn message(&mut self, message: &Listed) -> io::Result<()> {
        let out = &mut self.out;
        write!(out, "{{\"queue_name\": \"{}\", ", message.place)?;
        write!(out, "\"queue_id\": \"{}\", ", message.id)?;
        write!(out, "\"arrival_time\": {}, ", message.arrival.secs())?;
        write!(out, "\"message_size\": {}, ", message.size)?;
        write!(out, "\"forced_expire\": {}, ", message.forced_expire)?;
        out.write_all(b"\"sender\": ")?;
        string(out, self.names.sender(message.sender.as_ref()))?;
        out.write_all(b", \"recipients\": [")?;
        for (at, recipient) in message.in_order().enumerate() {
            out.write_all(if at == 0 { b"{" } else { b", {" })?;
            let original = recipient.original.as_ref().unwrap_or(&recipient.address);
            out.write_all(b"\"orig_address\": ")?;
            string(out, original.as_str())?;
            out.write_all(b", \"address\": ")?;
            string(out, recipient.address.as_str())?;
            let (key, text) = match &recipient.reason {
                Some(Reason::Delay(text)) => ("delay_reason", &**text),
                Some(Reason::Bounce(text)) => ("bounce_reason", &**text),
                None => ("", ""),
            };
            if !text.is_empty() {
                write!(out, ", \"{key}\": ")?;
                string(out, text)?;
            }
            out.write_all(b"}")?;
        }
        out.write_all(b"]}\n")
    }

    /// Ends the listing. An empty queue is an empty listing.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A JSON string. What a terminal might obey is `?` here too, as in Postfix.
fn string(out: &mut impl Write, text: &str) -> io::Result<()> {
    // No control character is left to escape (RFC 8259 section 7).
    let text = Printable(text).to_string().replace('\\', "\\\\").replace('"', "\\\"");
    write!(out, "\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use jiff::tz::TimeZone;

    const NAMES: Names<'static> = Names { time_zone: &TimeZone::UTC, null_sender: "MAILER-DAEMON" };

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    fn to(text: &str, reason: &str) -> ListedRecipient {
        let reason = (!reason.is_empty()).then(|| Reason::Delay(reason.into()));
        ListedRecipient { reason, ..ListedRecipient::new(address(text)) }
    }

    fn listed(place: Place, sender: &str, recipients: Vec<ListedRecipient>) -> Listed {
        Listed {
            place,
            id: QueueId::from_u64(0x00C5_1234_5678_9ABC),
            arrival: Time::from_secs(1_759_504_179),
            size: 1_500,
            forced_expire: false,
            sender: (!sender.is_empty()).then(|| address(sender)),
            recipients,
        }
    }

    fn mailq(messages: &[Listed]) -> String {
        let mut printed = Vec::new();
        let mut listing = Mailq::new(&mut printed, NAMES);
        messages.iter().for_each(|message| listing.message(message).unwrap());
        listing.finish().unwrap();
        String::from_utf8(printed).unwrap()
    }

    fn json(messages: &[Listed]) -> String {
        let mut printed = Vec::new();
        let mut listing = Json::new(&mut printed, NAMES);
        messages.iter().for_each(|message| listing.message(message).unwrap());
        listing.finish().unwrap();
        String::from_utf8(printed).unwrap()
    }

    fn check(actual: String, expected: Expect) {
        expected.assert_eq(&actual);
    }

    #[test]
    fn an_empty_queue_says_so_in_words_and_in_json_with_nothing() {
        check(
            mailq(&[]),
            expect![[r#"
            Mail queue is empty
        "#]],
        );
        check(json(&[]), expect![]);
    }

    #[test]
    fn a_listing_has_the_columns_of_postfix() {
        let refused = "connect to mx.example.com[192.0.2.9]:25: Connection timed out";
        let mut expiring = listed(Place::Hold, "x@client.example", vec![to("c@example.org", "")]);
        expiring.forced_expire = true;
        check(
            mailq(&[
                listed(Place::Active, "sender@client.example", vec![to("a@example.com", "")]),
                listed(
                    Place::Deferred,
                    "",
                    vec![
                        to("late@example.com", ""),
                        to("a@example.com", refused),
                        to("b@example.com", refused),
                        to("c@example.org", "mailbox is full"),
                    ],
                ),
                expiring,
            ]),
            expect![[r#"
                -Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
                C5123456789ABC*    1500 Fri Oct  3 15:09:39  sender@client.example
                                                         a@example.com

                C5123456789ABC    1500 Fri Oct  3 15:09:39  MAILER-DAEMON
                               (connect to mx.example.com[192.0.2.9]:25: Connection timed out)
                                                         a@example.com
                                                         b@example.com
                                                                             (mailbox is full)
                                                         c@example.org
                                                                          (reason unavailable)
                                                         late@example.com

                C5123456789ABC!#    1500 Fri Oct  3 15:09:39  x@client.example
                                                         c@example.org

                -- 4 Kbytes in 3 Requests.
            "#]],
        );
    }

    #[test]
    fn a_long_reason_is_neither_cut_nor_indented() {
        let reason = "x".repeat(100);
        let listing =
            mailq(&[listed(Place::Deferred, "", vec![to("a@example.com", reason.as_str())])]);
        assert_eq!(listing.lines().nth(2), Some(format!("({reason})").as_str()));
    }

    #[test]
    fn nothing_that_a_stranger_wrote_reaches_the_terminal() {
        let hostile =
            listed(Place::Deferred, "", vec![to("a@example.com", "\x1b[2J\n-- 0\u{9b}m")]);
        let listing = mailq(std::slice::from_ref(&hostile));
        assert!(listing.contains("(?[2J?-- 0?m)"), "{listing}");
        assert!(json(&[hostile]).contains("\"delay_reason\": \"?[2J?-- 0?m\""));
    }

    #[test]
    fn json_has_the_keys_of_postfix_in_its_order() {
        let mut rewritten = to("\"a \\\" b\"@example.com", "");
        rewritten.original = Some(address("alias@example.com"));
        rewritten.reason = Some(Reason::Bounce("unknown user: \"a\"".into()));
        check(
            json(&[
                listed(Place::Incoming, "s@client.example", vec![]),
                listed(Place::Deferred, "", vec![to("b@example.com", "full"), rewritten]),
            ]),
            expect![[r#"
                {"queue_name": "incoming", "queue_id": "C5123456789ABC", "arrival_time": 1759504179, "message_size": 1500, "forced_expire": false, "sender": "s@client.example", "recipients": []}
                {"queue_name": "deferred", "queue_id": "C5123456789ABC", "arrival_time": 1759504179, "message_size": 1500, "forced_expire": false, "sender": "MAILER-DAEMON", "recipients": [{"orig_address": "b@example.com", "address": "b@example.com", "delay_reason": "full"}, {"orig_address": "alias@example.com", "address": "\"a \\\" b\"@example.com", "bounce_reason": "unknown user: \"a\""}]}
            "#]],
        );
    }

    #[test]
    fn json_lines_read_back_as_what_they_show() {
        let message =
            listed(Place::Hold, "é@client.example", vec![to("\"\\\\\"@example.com", "\"\\\"")]);
        let read: serde_json::Value = serde_json::from_str(&json(&[message])).unwrap();
        assert_eq!(read["sender"], "é@client.example");
        assert_eq!(read["recipients"][0]["address"], "\"\\\\\"@example.com");
        assert_eq!(read["recipients"][0]["delay_reason"], "\"\\\"");
    }
}
