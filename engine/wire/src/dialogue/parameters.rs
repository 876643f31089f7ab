//! MAIL, RCPT and VRFY: addresses, parameters, and the questions about them.

use std::rc::Rc;

use mail::{Body, Envelope, Recipient, Time};

use super::{Dialogue, Output, Question};
use crate::command::{Word, Words};
use crate::dsn;
use crate::note::quoted;
use crate::path::parse_path;
use crate::reply::{Refusal, Turn, Verdict};
use crate::tally::Verb;
use crate::transaction::Transaction;

/// Why a parameter is refused.
type Complaint = std::borrow::Cow<'static, str>;

impl Dialogue {
    /// MAIL (RFC 5321 section 4.1.1.2).
    pub(super) fn mail_from(&mut self, mut words: Words<'_>, turn: &mut Turn) -> Output {
        let verb = Verb::Mail;
        let complaint = if self.policy.helo_required && self.client.helo.is_empty() {
            Some("503 5.5.1 Error: send HELO/EHLO first")
        } else if self.transaction.is_some() {
            Some("503 5.5.1 Error: nested MAIL command")
        } else if self.in_chunks() {
            Some("503 5.5.1 Error: MAIL after BDAT")
        } else {
            None
        };
        if let Some(complaint) = complaint {
            return self.fail(verb, turn, format_args!("{complaint}"));
        }
        let (Some(path), true) = path_after(&mut words, "FROM:") else {
            return self.fail(verb, turn, format_args!("501 5.5.4 Syntax: MAIL FROM:<address>"));
        };
        let smtputf8 = self.offers_smtputf8() && words.clone().any(|word| word.is("SMTPUTF8"));
        let strict = self.policy.strict_rfc821_envelopes;
        let Some(sender) = path.complete.then(|| parse_path(path.text, strict).ok()).flatten()
        else {
            self.illegal_address(path, turn);
            return self.fail(verb, turn, format_args!("501 5.1.7 Bad sender address syntax"));
        };
        let mut client = self.client.clone();
        if smtputf8 {
            // RFC 6531 section 4.3: whatever the greeting was.
            client.protocol = mail::Protocol::Utf8Smtp;
        }
        let mut envelope = Envelope {
            sender,
            recipients: Vec::new(),
            arrival: Time::default(),
            client,
            body: Body::default(),
            smtputf8,
            ret: None,
            envid: None,
            filter: None,
            not_before: None,
        };
        let mut size_bytes = None;
        for word in words {
            if let Err(complaint) = self.mail_parameter(word, &mut envelope, &mut size_bytes) {
                return self.fail(verb, turn, format_args!("{complaint}"));
            }
        }
        let limit = self.policy.message_size_limit_bytes;
        let too_big = limit > 0 && size_bytes.is_some_and(|bytes| bytes > limit);
        let undeclared = self.is_undeclared_utf8(envelope.sender.as_ref(), smtputf8);
        self.transaction = Some(Box::new(Transaction::new(envelope)));
        if too_big {
            let text = "Message size exceeds fixed limit";
            let refusal = Refusal::new(552, mail::Status(5, 3, 4), text);
            return self.refuse_sender(&refusal, turn);
        }
        if undeclared {
            self.transaction = None;
            return self.fail(verb, turn, format_args!("{MUST_DECLARE}"));
        }
        self.ask(Question::Sender)
    }

    fn mail_parameter(
        &self,
        word: Word<'_>,
        envelope: &mut Envelope,
        size_bytes: &mut Option<u64>,
    ) -> Result<(), Complaint> {
        if let Some(size) = value(word, "SIZE=") {
            // RFC 1870 section 3: one to twenty digits. Twice is once too often.
            let digits = !size.is_empty() && size.iter().all(u8::is_ascii_digit);
            if !digits || size_bytes.is_some() {
                return Err("501 5.5.4 Bad message size syntax".into());
            }
            let number = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok());
            *size_bytes =
                Some(number.ok_or("552 5.3.4 Message size exceeds file system imposed limit")?);
        } else if word.is("BODY=8BITMIME") {
            envelope.body = Body::EightBitMime;
        } else if word.is("BODY=7BIT") {
            envelope.body = Body::SevenBit;
        } else if word.is("SMTPUTF8") && self.offers_smtputf8() {
            // Seen before the address, whose syntax it decides.
        } else if let Some(ret) = value(word, "RET=") {
            self.dsn_enabled()?;
            let again = envelope.ret.is_some();
            envelope.ret = dsn::parse_ret(ret).ok().filter(|_| !again);
            if envelope.ret.is_none() {
                return Err("501 5.5.4 Bad RET parameter syntax".into());
            }
        } else if let Some(envid) = value(word, "ENVID=") {
            self.dsn_enabled()?;
            let again = envelope.envid.is_some();
            envelope.envid = dsn::parse_envid(envid).ok().filter(|_| !again);
            if envelope.envid.is_none() {
                return Err("501 5.5.4 Bad ENVID parameter syntax".into());
            }
        } else {
            return Err(unsupported(word));
        }
        Ok(())
    }

    pub(super) fn sender_judged(&mut self, verdict: Verdict, turn: &mut Turn) -> Output {
        let about = |it: &Self| {
            let sender = it.envelope().and_then(|envelope| envelope.sender.as_ref());
            sender.map_or_else(String::new, ToString::to_string)
        };
        match self.refusal(verdict, about) {
            None => self.done(Verb::Mail, turn, format_args!("250 2.1.0 Ok")),
            Some(refusal) => self.refuse_sender(&refusal, turn),
        }
    }

    fn refuse_sender(&mut self, refusal: &Refusal, turn: &mut Turn) -> Output {
        self.reject(refusal, turn);
        self.transaction = None;
        self.errors += 1;
        self.after(Verb::Mail, turn)
    }

    /// RCPT (RFC 5321 section 4.1.1.3).
    pub(super) fn rcpt_to(&mut self, mut words: Words<'_>, turn: &mut Turn) -> Output {
        let verb = Verb::Rcpt;
        let Some(transaction) = self.transaction.as_deref() else {
            return self.fail(verb, turn, format_args!("503 5.5.1 Error: need MAIL command"));
        };
        let smtputf8 = transaction.envelope.smtputf8;
        if self.in_chunks() {
            return self.fail(verb, turn, format_args!("503 5.5.1 Error: RCPT after BDAT"));
        }
        let (Some(path), true) = path_after(&mut words, "TO:") else {
            return self.fail(verb, turn, format_args!("501 5.5.4 Syntax: RCPT TO:<address>"));
        };
        let strict = self.policy.strict_rfc821_envelopes;
        let Some(Some(address)) =
            path.complete.then(|| parse_path(path.text, strict).ok()).flatten()
        else {
            self.illegal_address(path, turn);
            return self.fail(verb, turn, format_args!("501 5.1.3 Bad recipient address syntax"));
        };
        let mut recipient = Recipient::new(address);
        for word in words {
            if let Err(complaint) = self.rcpt_parameter(word, &mut recipient) {
                return self.fail(verb, turn, format_args!("{complaint}"));
            }
        }
        if self.recipients_full() {
            return self.too_many_recipients(turn);
        }
        if self.is_undeclared_utf8(Some(&recipient.address), smtputf8) {
            return self.fail(verb, turn, format_args!("{MUST_DECLARE}"));
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.pending = Some(recipient);
        }
        self.ask(Question::Recipient)
    }

    fn rcpt_parameter(&self, word: Word<'_>, recipient: &mut Recipient) -> Result<(), Complaint> {
        if let Some(notify) = value(word, "NOTIFY=") {
            self.dsn_enabled()?;
            let again = recipient.notify.is_some();
            recipient.notify = dsn::parse_notify(notify).ok().filter(|_| !again);
            if recipient.notify.is_none() {
                return Err("501 5.5.4 Error: Bad NOTIFY parameter syntax".into());
            }
        } else if let Some(orcpt) = value(word, "ORCPT=") {
            self.dsn_enabled()?;
            let again = recipient.orcpt.is_some();
            recipient.orcpt = dsn::parse_orcpt(orcpt).ok().filter(|_| !again);
            if recipient.orcpt.is_none() {
                return Err("501 5.5.4 Error: Bad ORCPT parameter syntax".into());
            }
        } else {
            return Err(unsupported(word));
        }
        Ok(())
    }

    fn recipients_full(&self) -> bool {
        let count = self.envelope().map_or(0, |envelope| envelope.recipients.len());
        let limit = self.policy.recipient_limit as usize;
        limit > 0 && count >= limit
    }

    /// RFC 5321 section 4.5.3.1.10: 452, and the client sends the rest later. A client that does not
    /// understand makes errors once it is far beyond the limit.
    fn too_many_recipients(&mut self, turn: &mut Turn) -> Output {
        self.say(turn, format_args!("452 4.5.3 Error: too many recipients"));
        let limit = self.policy.recipient_overshoot_limit;
        if let Some(transaction) = &mut self.transaction
            && transaction.overshoot < limit
        {
            transaction.overshoot += 1;
            return self.succeed(Verb::Rcpt, turn);
        }
        self.errors += 1;
        self.after(Verb::Rcpt, turn)
    }

    pub(super) fn recipient_judged(&mut self, verdict: Verdict, turn: &mut Turn) -> Output {
        let about =
            |it: &Self| it.recipient().map_or_else(String::new, |it| it.address.to_string());
        let refusal = self.refusal(verdict, about);
        if let Some(refusal) = &refusal {
            self.reject(refusal, turn);
        }
        let transaction = self.transaction.as_deref_mut();
        let pending =
            transaction.and_then(|it| Some((it.pending.take()?, Rc::make_mut(&mut it.envelope))));
        if refusal.is_some() {
            self.errors += 1;
            return self.after(Verb::Rcpt, turn);
        }
        if let Some((recipient, envelope)) = pending {
            envelope.recipients.push(recipient);
        }
        self.done(Verb::Rcpt, turn, format_args!("250 2.1.5 Ok"))
    }

    /// VRFY (RFC 5321 section 3.5.3): 252, because a mailbox that takes mail now may not later.
    pub(super) fn vrfy(&mut self, words: Words<'_>, turn: &mut Turn) -> Output {
        let verb = Verb::Vrfy;
        if self.policy.disable_vrfy_command {
            return self.fail(verb, turn, format_args!("502 5.5.1 VRFY command is disabled"));
        }
        let mut argument = words.rest();
        let mut smtputf8 = false;
        if self.offers_smtputf8() {
            // RFC 6531 section 3.7.4.2
            if let Some(before) = strip_last_word(argument, b"SMTPUTF8") {
                (argument, smtputf8) = (before, true);
            }
        }
        if argument.is_empty() {
            let utf8 = if self.policy.smtputf8_enable { " [SMTPUTF8]" } else { "" };
            return self.fail(verb, turn, format_args!("501 5.5.4 Syntax: VRFY address{utf8}"));
        }
        let Ok(Some(address)) = parse_path(argument, false) else {
            self.illegal_address(Word { text: argument, complete: true }, turn);
            return self.fail(verb, turn, format_args!("501 5.1.3 Bad recipient address syntax"));
        };
        if self.is_undeclared_utf8(Some(&address), smtputf8) {
            return self.fail(verb, turn, format_args!("{MUST_DECLARE}"));
        }
        let argument = String::from_utf8_lossy(argument).into();
        self.verify = Some(Box::new((argument, Recipient::new(address))));
        self.ask(Question::Verify)
    }

    pub(super) fn verify_judged(&mut self, verdict: Verdict, turn: &mut Turn) -> Output {
        let about =
            |it: &Self| it.recipient().map_or_else(String::new, |it| it.address.to_string());
        if let Some(refusal) = self.refusal(verdict, about) {
            self.reject(&refusal, turn);
            self.verify = None;
            self.errors += 1;
            return self.after(Verb::Vrfy, turn);
        }
        let argument = self.verify.take().map_or_else(Box::default, |verify| verify.0);
        self.done(Verb::Vrfy, turn, format_args!("252 2.0.0 {argument}"))
    }

    fn offers_smtputf8(&self) -> bool {
        self.policy.smtputf8_enable && !self.policy.discard_ehlo_keywords.smtputf8
    }

    fn dsn_enabled(&self) -> Result<(), Complaint> {
        if self.policy.discard_ehlo_keywords.dsn {
            return Err("501 5.7.1 DSN support is disabled".into());
        }
        Ok(())
    }

    /// RFC 6531 section 3.4: who sends such an address says so.
    fn is_undeclared_utf8(&self, address: Option<&mail::Address>, declared: bool) -> bool {
        self.policy.strict_smtputf8
            && !declared
            && address.is_some_and(mail::Address::needs_smtputf8)
    }

    fn illegal_address(&self, path: Word<'_>, turn: &mut Turn) {
        let (client, stage, address) = (self.peer(), self.stage, quoted(path.text));
        turn.warn(format!("Illegal address syntax from {client} in {stage} command: {address}"));
    }
}

const MUST_DECLARE: &str = "553 5.6.7 Must declare SMTPUTF8 to send unicode address";

/// The path behind `FROM:` or `TO:`, and whether these were there.
fn path_after<'a>(words: &mut Words<'a>, preposition: &str) -> (Option<Word<'a>>, bool) {
    let found = words.next().is_some_and(|word| word.is(preposition));
    (words.next(), found)
}

/// The value of `word` where it begins with `keyword=`.
fn value<'a>(word: Word<'a>, keyword: &str) -> Option<&'a [u8]> {
    let (name, value) = word.text.split_at_checked(keyword.len())?;
    name.eq_ignore_ascii_case(keyword.as_bytes()).then_some(value)
}

fn unsupported(word: Word<'_>) -> Complaint {
    format!("555 5.5.4 Unsupported option: {}", quoted(word.text)).into()
}

/// `text` without its last word, where that is `last`.
fn strip_last_word<'a>(text: &'a [u8], last: &[u8]) -> Option<&'a [u8]> {
    let (before, word) = text.split_at_checked(text.len().checked_sub(last.len())?)?;
    let separate = before.is_empty() || before.ends_with(b" ") || before.ends_with(b"\t");
    (separate && word.eq_ignore_ascii_case(last)).then(|| before.trim_ascii())
}
