//! Submissions: what is taken for one says nothing hidden, and is written as it was read, however it is cut.

use maildrop::{Decoder, Malformed, Submission, VERSION};

pub(crate) fn run(bytes: &[u8]) {
    // Nearly nothing begins as it should.
    let file = [&VERSION[..], bytes].concat();
    let whole = read(&file, file.len());
    for cut in [1, 7] {
        assert_eq!(read(&file, cut), whole, "pieces of {cut}");
    }
    let Ok((submission, content)) = whole else { return };
    let is_line = |text: &str| !text.chars().any(char::is_control);
    let named = submission.sender.iter().chain(&submission.recipients);
    assert!(named.map(|address| address.as_str()).all(is_line));
    assert!(submission.full_name.as_deref().is_none_or(is_line));
    assert!(submission.envid.as_deref().is_none_or(is_line));
    assert!(!submission.recipients.is_empty());
    let mut again = Vec::new();
    maildrop::envelope(&submission, &mut again);
    maildrop::content(&content, &mut again);
    maildrop::end(content.len() as u64, &mut again);
    assert_eq!(read(&again, again.len()), Ok((submission, content)));
    // Nothing less is a whole one.
    assert_eq!(read(&again[..again.len() - 1], again.len()), Err(Malformed::Unfinished));
}

fn read(file: &[u8], cut: usize) -> Result<(Submission, Vec<u8>), Malformed> {
    let (mut decoder, mut content) = (Decoder::default(), Vec::new());
    for piece in file.chunks(cut) {
        decoder.put(piece, &mut content)?;
    }
    Ok((decoder.finish()?, content))
}
