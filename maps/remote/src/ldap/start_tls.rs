//! StartTLS (RFC 4511 section 4.14), and TLS for a library that wants a socket.
//!
//! The library has TLS of its own, with a certificate parser and a list of the system's CAs that nothing
//! here needs. It is given one end of a pair of sockets instead, and what it says is passed on.

use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::io::copy_bidirectional;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

use crate::desk::Fault;
use crate::net::{Duplex, Parsed, Wire};

/// An ExtendedRequest with the number 1 and the name 1.3.6.1.4.1.1466.20037.
const REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// Bytes of its answer, which is a code and a few words.
const RESPONSE_BYTES_MAX: usize = 4096;
/// Result codes (RFC 4511 appendix A) that a server is likely to give.
const SUCCESS: u8 = 0;
const PROTOCOL_ERROR: u8 = 2;
const UNAVAILABLE: u8 = 52;

/// Has the server expect TLS next.
pub(crate) async fn start_tls(wire: &mut Wire) -> Result<(), Fault> {
    let (code, words) = wire.exchange(REQUEST, RESPONSE_BYTES_MAX, response).await?;
    let why = match code {
        SUCCESS => return Ok(()),
        PROTOCOL_ERROR => "the server has no TLS".to_owned(),
        UNAVAILABLE => "the server's TLS is not available".to_owned(),
        code => format!("result {code}"),
    };
    Err(Fault::refused(format_args!("start_tls: {why}: {words}")))
}

/// The result code and the words of an ExtendedResponse.
fn response(bytes: &[u8]) -> Result<Parsed<(u8, String)>, String> {
    let Some((message, after)) = element(bytes, 0x30)? else { return Ok(Parsed::More) };
    let used = bytes.len() - after.len();
    let wanted = |found: Option<(_, _)>| found.ok_or_else(|| "cut short".to_owned());
    let (id, rest) = wanted(element(message, 0x02)?)?;
    // 0 is a server that says good-bye (section 4.4.1).
    if id != [1] && id != [0] {
        return Err("it answers another question".to_owned());
    }
    let (response, _) = wanted(element(rest, 0x78)?)?;
    let (code, rest) = wanted(element(response, 0x0a)?)?;
    let (_matched, rest) = wanted(element(rest, 0x04)?)?;
    let (words, _) = wanted(element(rest, 0x04)?)?;
    let [code] = *code else { return Err("a result code of several bytes".to_owned()) };
    if id == [0] && code == SUCCESS {
        return Err("the server says good-bye".to_owned());
    }
    Ok(Parsed::Done((code, String::from_utf8_lossy(words).into_owned()), used))
}

/// An element of BER with this tag, and what follows it; `None` where it is not all there.
#[expect(clippy::type_complexity)]
fn element(bytes: &[u8], tag: u8) -> Result<Option<(&[u8], &[u8])>, String> {
    let [found, length, rest @ ..] = bytes else { return Ok(None) };
    if *found != tag {
        return Err(format!("tag {found:#x} where {tag:#x} was expected"));
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let digits = usize::from(length & 0x7f);
            let Some((digits, rest)) = rest.split_at_checked(digits) else { return Ok(None) };
            (digits.iter().fold(0, |length, &b| length << 8 | usize::from(b)), rest)
        }
        _ => return Err("a length that is none".to_owned()),
    };
    if length > RESPONSE_BYTES_MAX {
        return Err(format!("larger than {RESPONSE_BYTES_MAX} bytes"));
    }
    Ok(rest.split_at_checked(length))
}

/// A socket whose other end is `stream`, and the task that makes it so, which is to be ended with it.
pub(crate) fn socket(mut stream: Box<dyn Duplex>) -> Result<(StdUnixStream, AbortHandle), Fault> {
    let (ours, theirs) = UnixStream::pair().map_err(Fault::lost)?;
    let mut ours = ours;
    // Where one side ends, the other hears of it and says what was wrong.
    let passing =
        tokio::spawn(async move { drop(copy_bidirectional(&mut ours, &mut stream).await) });
    let theirs = theirs.into_std().map_err(Fault::lost)?;
    Ok((theirs, passing.abort_handle()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> Result<Option<(u8, String)>, String> {
        response(bytes).map(|parsed| match parsed {
            Parsed::More => None,
            Parsed::Done(answer, used) => {
                assert_eq!(used, bytes.len());
                Some(answer)
            }
        })
    }

    #[test]
    fn an_answer_is_a_code_and_words() {
        let yes = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(said(yes), Ok(Some((0, String::new()))));
        let no = b"\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x02\x04\x00\x04\x02no";
        assert_eq!(said(no), Ok(Some((2, "no".to_owned()))));
        let long = b"\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(said(long), Ok(Some((0, String::new()))));
        for cut in 0..no.len() {
            assert_eq!(said(&no[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            &b"\x31\x00"[..],
            b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x09\x02\x01\x01\x78\x07\x0a\x01\x00\x04",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"HTTP/1.1 400",
        ] {
            assert!(said(bytes).is_err(), "{bytes:?}");
        }
    }
}
