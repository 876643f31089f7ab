//! The envelope as the log and the index store it.
//!
//! | bytes    | field                                                                         |
//! |----------|-------------------------------------------------------------------------------|
//! | 1        | version: 1, or 2 where there is a byte of more flags                          |
//! | 1        | flags: 1 sender, 2 SMTPUTF8, 4 8BITMIME, 8 BINARYMIME, 16 RET=FULL, 32 RET=HDRS, 64 ENVID |
//! | 1        | protocol: 0 SMTP, 1 ESMTP, 2 UTF8SMTP, 3 local                                |
//! | 0, 1     | version 2: flags 1 filter, 2 not before                                       |
//! | 8        | arrival, microseconds since 1970                                              |
//! | text     | sender, where flagged                                                         |
//! | text     | ENVID, where flagged                                                          |
//! | text     | filter, where flagged                                                         |
//! | 8        | not before, where flagged, as the arrival                                     |
//! | text     | client name                                                                   |
//! | text     | HELO name                                                                     |
//! | 1        | client address: 0 none, 4 or 6                                                |
//! | 0, 6, 22 | IPv4 address and port, or IPv6 address, port and scope                        |
//! | count    | recipients, each as below                                                     |
//!
//! A recipient: one byte of flags (1 original, 2 ORCPT, 4 NOTIFY given, 8 never, 16 success, 32 failure,
//! 64 delay), its address, then original and ORCPT where flagged.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use mail::{Body, Client, Envelope, Notify, Protocol, Recipient, Ret};

use crate::fields::{Fields, Malformed, put_count, put_text, put_u32, put_u64};

/// What nearly every envelope has.
const VERSION: u8 = 1;
const VERSION_WITH_MORE: u8 = 2;

const SENDER: u8 = 1;
const SMTPUTF8: u8 = 2;
const EIGHT_BIT: u8 = 4;
const BINARY: u8 = 8;
const RET_FULL: u8 = 16;
const RET_HEADERS: u8 = 32;
const ENVID: u8 = 64;

const FILTER: u8 = 1;
const NOT_BEFORE: u8 = 2;

const ORIGINAL: u8 = 1;
const ORCPT: u8 = 2;
const NOTIFY: u8 = 4;
const NOTIFY_NEVER: u8 = 8;
const NOTIFY_SUCCESS: u8 = 16;
const NOTIFY_FAILURE: u8 = 32;
const NOTIFY_DELAY: u8 = 64;

/// The fewest bytes a recipient takes: flags, length, one byte of address.
const RECIPIENT_BYTES_MIN: usize = 3;

/// Appends the envelope to `out`.
pub(crate) fn encode(envelope: &Envelope, out: &mut Vec<u8>) {
    let body = match envelope.body {
        Body::SevenBit => 0,
        Body::EightBitMime => EIGHT_BIT,
        Body::BinaryMime => BINARY,
    };
    let ret = match envelope.ret {
        None => 0,
        Some(Ret::Full) => RET_FULL,
        Some(Ret::Headers) => RET_HEADERS,
    };
    let flags = body
        | ret
        | flag(envelope.sender.is_some(), SENDER)
        | flag(envelope.smtputf8, SMTPUTF8)
        | flag(envelope.envid.is_some(), ENVID);
    let protocol = match envelope.client.protocol {
        Protocol::Smtp => 0,
        Protocol::Esmtp => 1,
        Protocol::Utf8Smtp => 2,
        Protocol::Local => 3,
    };
    let more =
        flag(envelope.filter.is_some(), FILTER) | flag(envelope.not_before.is_some(), NOT_BEFORE);
    match more {
        0 => out.extend_from_slice(&[VERSION, flags, protocol]),
        more => out.extend_from_slice(&[VERSION_WITH_MORE, flags, protocol, more]),
    }
    put_u64(out, envelope.arrival.0);
    if let Some(sender) = &envelope.sender {
        put_text(out, sender.as_str());
    }
    if let Some(envid) = &envelope.envid {
        put_text(out, envid);
    }
    if let Some(filter) = &envelope.filter {
        put_text(out, filter);
    }
    if let Some(not_before) = envelope.not_before {
        put_u64(out, not_before.0);
    }
    put_text(out, &envelope.client.name);
    put_text(out, &envelope.client.helo);
    put_socket(out, envelope.client.address);
    put_recipients(out, &envelope.recipients);
}

/// Reads an envelope that fills `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Envelope, Malformed> {
    let mut fields = Fields::new(bytes);
    let with_more = match fields.u8()? {
        VERSION => false,
        VERSION_WITH_MORE => true,
        _ => return Err(Malformed),
    };
    let flags = fields.u8()?;
    let protocol = match fields.u8()? {
        0 => Protocol::Smtp,
        1 => Protocol::Esmtp,
        2 => Protocol::Utf8Smtp,
        3 => Protocol::Local,
        _ => return Err(Malformed),
    };
    let more = if with_more { fields.u8()? } else { 0 };
    if more & !(FILTER | NOT_BEFORE) != 0 {
        return Err(Malformed);
    }
    let arrival = fields.time()?;
    let sender = optional(flags & SENDER != 0, || fields.address())?;
    let envid = optional(flags & ENVID != 0, || fields.text().map(Box::from))?;
    let filter = optional(more & FILTER != 0, || fields.text().map(Box::from))?;
    let not_before = optional(more & NOT_BEFORE != 0, || fields.time())?;
    let name = fields.text()?.into();
    let helo = fields.text()?.into();
    let address = socket(&mut fields)?;
    let recipients = recipients(&mut fields)?;
    fields.end()?;
    let body = match flags & (EIGHT_BIT | BINARY) {
        0 => Body::SevenBit,
        EIGHT_BIT => Body::EightBitMime,
        BINARY => Body::BinaryMime,
        _ => return Err(Malformed),
    };
    let ret = match flags & (RET_FULL | RET_HEADERS) {
        0 => None,
        RET_FULL => Some(Ret::Full),
        RET_HEADERS => Some(Ret::Headers),
        _ => return Err(Malformed),
    };
    let client = Client { name, address, helo, protocol };
    let smtputf8 = flags & SMTPUTF8 != 0;
    Ok(Envelope {
        sender,
        recipients,
        arrival,
        client,
        body,
        smtputf8,
        ret,
        envid,
        filter,
        not_before,
    })
}

pub(crate) fn put_recipients(out: &mut Vec<u8>, recipients: &[Recipient]) {
    put_count(out, recipients.len());
    for recipient in recipients {
        let notify = recipient.notify.map_or(0, |notify| {
            NOTIFY
                | flag(notify.never, NOTIFY_NEVER)
                | flag(notify.success, NOTIFY_SUCCESS)
                | flag(notify.failure, NOTIFY_FAILURE)
                | flag(notify.delay, NOTIFY_DELAY)
        });
        out.push(
            notify
                | flag(recipient.original.is_some(), ORIGINAL)
                | flag(recipient.orcpt.is_some(), ORCPT),
        );
        put_text(out, recipient.address.as_str());
        if let Some(original) = &recipient.original {
            put_text(out, original.as_str());
        }
        if let Some(orcpt) = &recipient.orcpt {
            put_text(out, orcpt);
        }
    }
}

pub(crate) fn recipients(fields: &mut Fields<'_>) -> Result<Vec<Recipient>, Malformed> {
    let count = fields.count(RECIPIENT_BYTES_MIN)?;
    let mut recipients = Vec::with_capacity(count);
    for _ in 0..count {
        let flags = fields.u8()?;
        let address = fields.address()?;
        let original = optional(flags & ORIGINAL != 0, || fields.address())?;
        let orcpt = optional(flags & ORCPT != 0, || fields.text().map(Box::from))?;
        let notify = (flags & NOTIFY != 0).then_some(Notify {
            never: flags & NOTIFY_NEVER != 0,
            success: flags & NOTIFY_SUCCESS != 0,
            failure: flags & NOTIFY_FAILURE != 0,
            delay: flags & NOTIFY_DELAY != 0,
        });
        recipients.push(Recipient { address, original, orcpt, notify });
    }
    Ok(recipients)
}

fn put_socket(out: &mut Vec<u8>, address: Option<SocketAddr>) {
    match address {
        None => out.push(0),
        Some(SocketAddr::V4(v4)) => {
            out.push(4);
            out.extend_from_slice(&v4.ip().octets());
            out.extend_from_slice(&v4.port().to_le_bytes());
        }
        Some(SocketAddr::V6(v6)) => {
            out.push(6);
            out.extend_from_slice(&v6.ip().octets());
            out.extend_from_slice(&v6.port().to_le_bytes());
            put_u32(out, v6.scope_id());
        }
    }
}

fn socket(fields: &mut Fields<'_>) -> Result<Option<SocketAddr>, Malformed> {
    Ok(match fields.u8()? {
        0 => None,
        4 => {
            let octets: [u8; 4] = fields.bytes(4)?.try_into().map_err(|_| Malformed)?;
            Some(SocketAddrV4::new(Ipv4Addr::from(octets), fields.u16()?).into())
        }
        6 => {
            let octets: [u8; 16] = fields.bytes(16)?.try_into().map_err(|_| Malformed)?;
            let (ip, port, scope) = (Ipv6Addr::from(octets), fields.u16()?, fields.u32()?);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => return Err(Malformed),
    })
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn optional<T>(
    present: bool,
    read: impl FnOnce() -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if present { read().map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Address, Time};

    fn full() -> Envelope {
        let address = |text: &str| Address::parse(text.as_bytes()).unwrap();
        Envelope {
            sender: Some(address("sender@client.example")),
            recipients: vec![
                Recipient::new(address("\"a b\"@mx.example")),
                Recipient {
                    address: address("user@mx.example"),
                    original: Some(address("alias@mx.example")),
                    orcpt: Some("rfc822;alias@mx.example".into()),
                    notify: Some(Notify { failure: true, delay: true, ..Notify::default() }),
                },
            ],
            arrival: Time(1_790_000_000_123_456),
            client: Client {
                name: "client.example".into(),
                address: Some("[2001:db8::1]:2525".parse().unwrap()),
                helo: "client".into(),
                protocol: Protocol::Esmtp,
            },
            body: Body::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("QQ314159".into()),
            filter: Some("scan:[127.0.0.1]:10024".into()),
            not_before: Some(Time(1_790_000_600_000_000)),
        }
    }

    fn encoded(envelope: &Envelope) -> Vec<u8> {
        let mut out = Vec::new();
        encode(envelope, &mut out);
        out
    }

    #[test]
    fn an_envelope_reads_back_as_it_was_written() {
        let mut envelope = full();
        assert_eq!(decode(&encoded(&envelope)), Ok(envelope.clone()));
        envelope.sender = None;
        envelope.client.address = Some("192.0.2.1:25".parse().unwrap());
        envelope.body = Body::BinaryMime;
        envelope.ret = Some(Ret::Full);
        envelope.envid = None;
        assert_eq!(decode(&encoded(&envelope)), Ok(envelope.clone()));
        envelope.client.address = None;
        envelope.recipients.clear();
        envelope.smtputf8 = false;
        envelope.ret = None;
        envelope.filter = None;
        assert_eq!(decode(&encoded(&envelope)), Ok(envelope.clone()));
        envelope.not_before = None;
        assert_eq!(encoded(&envelope)[0], VERSION, "older builds can read it");
        assert_eq!(decode(&encoded(&envelope)), Ok(envelope));
    }

    #[test]
    fn an_envelope_cut_anywhere_is_malformed() {
        let bytes = encoded(&full());
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Err(Malformed), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_never_makes_decoding_panic() {
        let bytes = encoded(&full());
        let readable = (0..bytes.len() * 8).filter(|bit| {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            decode(&flipped).is_ok_and(|envelope| envelope != full())
        });
        // Without the record's checksum many flips yield another valid envelope; none is the same one.
        assert!(readable.count() > 0);
    }

    #[test]
    fn a_version_from_the_future_is_malformed() {
        let mut bytes = encoded(&full());
        bytes[0] = 3;
        assert_eq!(decode(&bytes), Err(Malformed));
    }
}
