//! What holds for all content, and for all bytes a client may send.

mod naive;
mod session;

use proptest::collection::vec;
use proptest::prelude::*;
use session::Session;
use wire::{Decoder, Dialogue, EndOfData, Framing, LineEnds, Lines, Output, Scan, xtext_decode};

/// Bytes in which everything that matters is frequent.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b".".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\0".to_vec()),
        1 => Just(b"\r\n.\r\n".to_vec()),
        2 => vec(any::<u8>(), 0..40),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// `bytes` in pieces, cut where `cuts` say.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// What a client makes of stored lines (RFC 5321 section 4.5.2).
fn encode(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut raw = Vec::new();
    for line in lines {
        if line.starts_with(b".") {
            raw.push(b'.');
        }
        raw.extend_from_slice(line);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b".\r\n");
    raw
}

proptest! {
    #[test]
    fn the_end_is_found_wherever_the_reads_are_cut(
        bytes in content(),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let mut end_of_data = EndOfData::new(LineEnds::Crlf, true);
        let mut seen = 0;
        let mut found = None;
        for piece in pieces(&bytes, &cuts) {
            match end_of_data.scan(piece) {
                Scan::More => seen += piece.len(),
                Scan::End { consumed } => {
                    found = Some(seen + consumed);
                    break;
                }
            }
        }
        prop_assert_eq!(found, naive::end(&bytes));
        let received = end_of_data.received();
        let raw = &bytes[..found.unwrap_or(bytes.len())];
        let bare_lf = (0..raw.len()).any(|at| raw[at] == b'\n' && (at == 0 || raw[at - 1] != b'\r'));
        // The line ending of the DATA command stands before the first byte.
        prop_assert_eq!(received.bare_lf, bare_lf);
        let whole = [b"\n", raw].concat();
        let dots = whole.windows(2).filter(|pair| pair == b"\n.").count();
        let ending = if found.is_some() { 2 } else { 0 };
        prop_assert_eq!(received.size_bytes, (raw.len() - dots - ending) as u64);
    }

    #[test]
    fn a_client_of_bare_lf_may_end_either_way(
        bytes in content(),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let mut end_of_data = EndOfData::new(LineEnds::Lf, false);
        let mut seen = 0;
        let mut found = None;
        for piece in pieces(&bytes, &cuts) {
            match end_of_data.scan(piece) {
                Scan::More => seen += piece.len(),
                Scan::End { consumed } => {
                    found = Some(seen + consumed);
                    break;
                }
            }
        }
        prop_assert_eq!(found, naive::end_in_lf(&bytes));
    }

    #[test]
    fn decoding_does_not_depend_on_how_the_input_is_cut(
        bytes in content(),
        cuts in vec(any::<usize>(), 0..12),
        dots in any::<bool>(),
    ) {
        let framing = if dots { Framing::Dots } else { Framing::Chunks };
        let mut decoder = Decoder::new(framing);
        let mut stored = Vec::new();
        for piece in pieces(&bytes, &cuts) {
            decoder.decode(piece, &mut stored);
        }
        decoder.finish(&mut stored);
        prop_assert_eq!(&stored, &naive::decode(&bytes, framing));
        prop_assert!(!stored.contains(&b'\r'));
        prop_assert!(stored.is_empty() || stored.ends_with(b"\n"));
    }

    #[test]
    fn what_a_client_encodes_is_stored_as_it_was(
        lines in vec(vec(any::<u8>().prop_filter("within a line", |b| !b"\r\n".contains(b)), 0..20), 0..20),
        behind in vec(any::<u8>(), 0..10),
    ) {
        // A line that is only a dot is sent as two, and comes back.
        let raw = encode(&lines);
        let input = [&raw[..], &behind].concat();
        let mut end_of_data = EndOfData::new(LineEnds::Crlf, false);
        prop_assert_eq!(end_of_data.scan(&input), Scan::End { consumed: raw.len() });
        let mut stored = Vec::new();
        let mut decoder = Decoder::new(Framing::Dots);
        decoder.decode(&raw, &mut stored);
        decoder.finish(&mut stored);
        let mut expected = lines.join(&b'\n');
        if !lines.is_empty() {
            expected.push(b'\n');
        }
        prop_assert_eq!(stored, expected);
    }

    #[test]
    fn a_session_of_any_bytes_keeps_its_promises(
        commands in vec(command(), 0..60),
        cuts in vec(any::<usize>(), 0..20),
        mode in 0_u8..4,
    ) {
        let bytes = commands.concat();
        let mut session = Session::new(mode);
        for piece in pieces(&bytes, &cuts) {
            session.feed(piece);
        }
    }

    #[test]
    fn xtext_that_was_encoded_is_decoded(bytes in vec(any::<u8>(), 0..60)) {
        let mut text = Vec::new();
        for &byte in &bytes {
            match byte {
                b'!'..=b'*' | b','..=b'<' | b'>'..=b'~' => text.push(byte),
                _ => text.extend(format!("+{byte:02X}").bytes()),
            }
        }
        prop_assert_eq!(xtext_decode(&text), Ok(bytes));
    }
}

/// Something a client might say, or almost.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "EHLO x\r\n",
        "HELO x\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        "MAIL FROM:<> SIZE=10 RET=FULL ENVID=x\r\n",
        "RCPT TO:<c@d.example>\r\n",
        "RCPT TO:<\"c d\"@d.example> NOTIFY=NEVER\n",
        "DATA\r\n",
        "DATA\n",
        "BDAT 4\r\n",
        "BDAT 4 LAST\r\n",
        "BDAT 0 LAST\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "VRFY a@b\r\n",
        "\r\n.\r\n",
        ".\r\n",
        "\n.\n",
        "\r\n",
        "text",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

#[test]
fn an_idle_session_is_small() {
    let bytes = std::mem::size_of::<Dialogue>();
    assert!(bytes <= 300, "a Dialogue takes {bytes} bytes");
    assert!(std::mem::size_of::<Lines>() <= 8);
    assert!(std::mem::size_of::<EndOfData>() <= 48);
    assert!(std::mem::size_of::<Output>() <= 24);
}

#[test]
fn a_pipelined_group_is_one_send_and_a_chunk_of_one_byte_costs_no_memory() {
    let mut session = Session::new(0);
    session.feed(b"EHLO x\r\n");
    session.buffer.extend_from_slice(b"MAIL FROM:<a@b.example>\r\n");
    session.buffer.extend_from_slice(b"RCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\n");
    while session.advance() {}
    // Nothing was taken out in between: the shell sends it all at once.
    let replies = String::from_utf8_lossy(&session.turn.replies).into_owned();
    assert_eq!(replies, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
    session.turn.replies.clear();
    for _ in 0..30_000 {
        session.feed(b"BDAT 1\r\nx");
        assert!(session.turn.notes.is_empty() && session.turn.replies.is_empty());
    }
    assert!(session.buffer.capacity() < 100);
}

#[test]
fn a_flood_of_recipients_ends_at_the_limits() {
    let mut session = Session::strict();
    session.feed(b"EHLO x\r\n");
    session.feed(b"MAIL FROM:<a@b.example>\r\n");
    let mut sent = 0;
    while session.open && sent < 100_000 {
        session.feed(b"RCPT TO:<c@d.example>\r\n");
        sent += 1;
    }
    // smtpd_recipient_limit, smtpd_recipient_overshoot_limit, smtpd_hard_error_limit
    assert_eq!(sent, 1000 + 1000 + 20);
    assert_eq!(session.accepted, 1000);
}
