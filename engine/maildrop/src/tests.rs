use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

fn submission() -> Submission {
    Submission {
        sender: Some(address("user")),
        full_name: Some("A. User".into()),
        recipients: vec![address("a@x.example"), address("\"b c\"@x.example")],
        notify: Some(Notify { failure: true, delay: true, ..Notify::default() }),
        ret: Some(Ret::Headers),
        envid: Some("a+2Bb".into()),
        body: Body::EightBitMime,
        smtputf8: true,
        is_remote: true,
    }
}

fn file(submission: &Submission, content: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    envelope(submission, &mut file);
    super::content(content, &mut file);
    end(content.len() as u64, &mut file);
    file
}

fn read(file: &[u8], cut: usize) -> Result<(Submission, Vec<u8>), Malformed> {
    let (mut decoder, mut content) = (Decoder::default(), Vec::new());
    for piece in file.chunks(cut) {
        decoder.put(piece, &mut content)?;
    }
    Ok((decoder.finish()?, content))
}

#[test]
fn what_is_written_is_read_however_it_is_cut() {
    let long = vec![b'x'; 2 * CONTENT_BYTES_MAX + 1];
    for (submission, content) in [
        (submission(), &b"Subject: x\n\nhello\n"[..]),
        (Submission { recipients: vec![address("a")], ..Submission::default() }, b""),
        (submission(), &long),
    ] {
        let file = file(&submission, content);
        for cut in [1, 2, 7, file.len()] {
            let read = read(&file, cut).unwrap();
            assert_eq!((&read.0, &*read.1), (&submission, content), "pieces of {cut}");
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_not_finished() {
    let file = file(&submission(), b"hello\n");
    for cut in 0..file.len() {
        assert_eq!(read(&file[..cut], 100).unwrap_err(), Malformed::Unfinished, "cut at {cut}");
    }
    let longer = [&file[..], b"x"].concat();
    assert_eq!(read(&longer, 100).unwrap_err(), Malformed::Behind);
}

#[test]
fn the_envelope_is_known_before_the_content_comes() {
    let submission = submission();
    let mut file = Vec::new();
    envelope(&submission, &mut file);
    let mut decoder = Decoder::default();
    decoder.put(&file, &mut Vec::new()).unwrap();
    assert_eq!(decoder.submission(), None, "a recipient may follow");
    decoder.put(b"C\x05\0\0\0", &mut Vec::new()).unwrap();
    assert_eq!(decoder.submission(), Some(&submission));
}

/// A file of these records.
fn records(records: &[(u8, &[u8])]) -> Result<Submission, Malformed> {
    let mut file = VERSION.to_vec();
    for (kind, payload) in records {
        file.push(*kind);
        file.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        file.extend_from_slice(payload);
    }
    read(&file, 3).map(|(submission, _)| submission)
}

#[test]
fn what_must_not_be_is_refused() {
    let none = (b'E', &[0; 8][..]);
    assert!(records(&[(b'S', b""), (b'R', b"a"), none]).is_ok());
    for (wrong, why) in [
        (&[(b'R', &b"a"[..]), (b'S', b""), none][..], Malformed::Order('R')),
        (&[(b'S', b""), (b'S', b""), (b'R', b"a"), none], Malformed::Order('S')),
        (&[(b'S', b""), none], Malformed::Order('E')),
        (&[(b'S', b""), (b'C', b"x"), none], Malformed::Order('C')),
        (&[(b'S', b""), (b'R', b"a"), (b'C', b"x"), (b'R', b"b")], Malformed::Order('R')),
        (&[(b'S', b""), (b'R', b"a"), (b'C', b"x"), none], Malformed::Content),
        (&[(b'S', b""), (b'R', b"a"), (b'C', b""), none], Malformed::Length('C')),
        (&[(b'S', b""), (b'R', b""), none], Malformed::Length('R')),
        (&[(b'S', b""), (b'R', b"a\n"), none], Malformed::Address(AddressError::Character)),
        (&[(b'S', b"a\0b"), (b'R', b"a"), none], Malformed::Address(AddressError::Character)),
        (&[(b'S', b"a\xff"), (b'R', b"a"), none], Malformed::Address(AddressError::Encoding)),
        (&[(b'S', b""), (b'F', b"a\nBcc: b"), none], Malformed::Text('F')),
        (&[(b'S', b""), (b'F', b"a\r"), none], Malformed::Text('F')),
        (&[(b'S', b""), (b'F', b"\xff"), none], Malformed::Text('F')),
        (&[(b'S', b""), (b'F', b"a"), (b'F', b"a"), none], Malformed::Order('F')),
        (&[(b'S', b""), (b'F', &[b'a'; 1001]), none], Malformed::Length('F')),
        (&[(b'S', b""), (b'V', b"a+0Ab"), none], Malformed::Text('V')),
        (&[(b'S', b""), (b'O', &[32]), none], Malformed::Flags('O')),
        (&[(b'S', b""), (b'O', &[24]), none], Malformed::Flags('O')),
        (&[(b'S', b""), (b'O', &[1, 1]), none], Malformed::Length('O')),
        (&[(b'S', b""), (b'N', &[3]), none], Malformed::Flags('N')),
        (&[(b'S', b""), (b'N', &[16]), none], Malformed::Flags('N')),
        (&[(b'S', b""), (b'N', &[0]), none], Malformed::Flags('N')),
        (&[(b'S', b""), (0, b"a"), none], Malformed::Kind(0)),
    ] {
        assert_eq!(records(wrong).unwrap_err(), why, "{wrong:?}");
    }
    assert_eq!(read(b"submit2\nS", 1).unwrap_err(), Malformed::Version);
}

#[test]
fn an_envelope_has_a_limit_and_a_length_that_lies_takes_no_memory() {
    let many: Vec<Address> = (0..60_000).map(|n| address(&format!("user{n}@x.example"))).collect();
    let many = file(&Submission { recipients: many, ..Submission::default() }, b"");
    assert_eq!(read(&many, 4096).unwrap_err(), Malformed::Length('R'));
    let mut decoder = Decoder::default();
    let lie = [&VERSION[..], b"S\xff\xff\xff\xff"].concat();
    assert_eq!(decoder.put(&lie, &mut Vec::new()), Err(Malformed::Length('S')));
}

#[test]
fn names_are_letters_and_digits() {
    for (name, is) in [("5F3A", true), ("", false), (".5F3A", false), ("a/b", false), ("..", false)]
    {
        assert_eq!(is_name(name), is, "{name}");
    }
    assert!(!is_name(&"A".repeat(41)));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[&VERSION[..], &bytes].concat(), 7);
    }
}
