//! Mail that has been here before: a `Delivered-To:` header with the recipient's own address, which
//! only this very mailbox's agent writes.

use agent::Body;
use memchr::memchr;
use rustix::io::Errno;

/// How much of a message is searched; headers are at its start. More than any real header, and a
/// bound for content that consists of nothing else.
const SEARCHED_BYTES_MAX: usize = 1 << 20;

const NAME: &[u8] = b"delivered-to:";

/// True where the message was delivered to `folded`, an address in lower case, before.
pub(crate) fn is_loop(body: Body<'_>, folded: &str) -> Result<bool, Errno> {
    match body {
        Body::Bytes(bytes) => Ok(names(&bytes[..bytes.len().min(SEARCHED_BYTES_MAX)], folded)),
        Body::File { file, len } => {
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(SEARCHED_BYTES_MAX);
            let mut head = vec![0; len];
            let mut read = 0;
            while read < len {
                match rustix::io::pread(file, &mut head[read..], read as u64) {
                    Ok(0) => break,
                    Ok(bytes) => read += bytes,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(names(&head[..read], folded))
        }
    }
}

fn names(mut text: &[u8], folded: &str) -> bool {
    while !text.is_empty() {
        let (line, rest) = match memchr(b'\n', text) {
            Some(end) => (&text[..end], &text[end + 1..]),
            None => (text, &[][..]),
        };
        if line.is_empty() {
            // The end of the headers.
            return false;
        }
        if let Some((name, value)) = line.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
            && String::from_utf8_lossy(value).trim().to_lowercase() == folded
        {
            return true;
        }
        text = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    fn looped(text: &str) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let in_file = Body::File { file: file.as_fd(), len: text.len() as u64 };
        let loops = is_loop(Body::Bytes(text.as_bytes()), "a@example.com").unwrap();
        assert_eq!(is_loop(in_file, "a@example.com").unwrap(), loops);
        loops
    }

    #[test]
    fn only_the_recipients_own_address_in_the_headers_is_a_loop() {
        assert!(looped("Delivered-To: a@example.com\n\nHello\n"));
        assert!(looped("Subject: x\nDELIVERED-TO:A@Example.com \n\n"));
        assert!(looped("Delivered-To: b@example.com\nDelivered-To: a@example.com"));
        assert!(!looped("Delivered-To: b@example.com\n\n"));
        assert!(!looped("Delivered-To: xa@example.com\n\n"));
        assert!(!looped("Subject: x\n\nDelivered-To: a@example.com\n"));
        assert!(!looped(" Delivered-To: a@example.com\n\n"));
        assert!(!looped(""));
    }
}
