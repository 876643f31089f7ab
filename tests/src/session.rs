//! A raw SMTP client: sends the bytes it is given, in the pieces it is given, and reads replies.
//!
//! Dialogues read as transcripts:
//!
//! ```text
//! C: MAIL FROM:<sender@client.example>
//! S: 250 2.1.0 Ok
//! ```
//!
//! `C:` sends a line with its CRLF. `S:` reads one reply and compares its last line with a pattern in
//! which `*` stands for anything. `S: closed` wants the connection to end.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a reply may take. Only used up when a test fails.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest reply line that is read.
const REPLY_LINE_BYTES_MAX: u64 = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

/// What the server said: all lines of one reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 250, 554, ...
    pub code: u16,
    /// With their codes, without their line ends.
    pub lines: Vec<String>,
}

impl Reply {
    /// The line that ends the reply.
    pub fn last(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// 2xx
    pub fn is_ok(&self) -> bool {
        self.code / 100 == 2
    }

    /// The id in `250 2.0.0 Ok: queued as ID`.
    pub fn queue_id(&self) -> Option<&str> {
        self.last().split_once("queued as ").map(|(_, id)| id.trim())
    }
}

impl Session {
    /// Connects to a port of this host; the greeting is still to be read.
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::connect_to((Ipv4Addr::LOCALHOST, port).into())
    }

    fn connect_to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        // Pieces are to arrive as they were written.
        stream.set_nodelay(true)?;
        let replies = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, replies })
    }

    /// Connects, and says EHLO.
    pub fn greeted(port: u16) -> io::Result<Self> {
        Self::greeted_by((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Connects to any address, and says EHLO.
    pub fn greeted_by(address: SocketAddr) -> io::Result<Self> {
        let mut session = Self::connect_to(address)?;
        let greeting = session.reply()?;
        if greeting.code != 220 {
            return Err(io::Error::other(format!("greeted with {}", greeting.last())));
        }
        session.command("EHLO client.example")?;
        Ok(session)
    }

    /// Sends these bytes and nothing else.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends these bytes, or fails when the server does not take them in time.
    pub fn send_within(&mut self, bytes: impl AsRef<[u8]>, limit: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(limit))?;
        self.send(bytes)
    }

    /// Sends a line and its CRLF, and reads the reply.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.send(format!("{line}\r\n"))?;
        self.reply()
    }

    /// Reads one reply. The end of the connection is `UnexpectedEof`.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            (&mut self.replies).take(REPLY_LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = String::from_utf8_lossy(&line);
            let Some(line) = line.strip_suffix("\r\n") else {
                return Err(io::Error::other(format!("a reply without CRLF: {line:?}")));
            };
            let code: Option<u16> = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code.filter(|code| (200..600).contains(code)) else {
                return Err(io::Error::other(format!("not a reply: {line:?}")));
            };
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line.to_owned());
            if !more {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// MAIL, RCPT for each, DATA, the content (dot-stuffed here), the final dot. Returns the first reply
    /// that was not as wanted, or the reply to the dot.
    pub fn mail(&mut self, from: &str, to: &[&str], content: &[u8]) -> io::Result<Reply> {
        let reply = self.command(&format!("MAIL FROM:<{from}>"))?;
        if !reply.is_ok() {
            return Ok(reply);
        }
        for to in to {
            let reply = self.command(&format!("RCPT TO:<{to}>"))?;
            if !reply.is_ok() {
                return Ok(reply);
            }
        }
        let reply = self.command("DATA")?;
        if reply.code != 354 {
            return Ok(reply);
        }
        self.send(dot_stuffed(content))?;
        self.reply()
    }

    /// Plays a transcript.
    ///
    /// # Panics
    /// When the server answers otherwise.
    pub fn play(&mut self, transcript: &str) {
        for (number, line) in transcript.lines().enumerate() {
            let line = line.trim_start();
            let so_far = || transcript.lines().take(number + 1).collect::<Vec<_>>().join("\n");
            if line.is_empty() {
                continue;
            } else if let Some(sent) = line.strip_prefix("C:") {
                let sent = sent.strip_prefix(' ').unwrap_or(sent);
                self.send(format!("{sent}\r\n"))
                    .unwrap_or_else(|error| panic!("{}\n{error}", so_far()));
            } else if line.trim_end() == "S: closed" {
                assert!(self.is_closed(), "{}\nbut the connection is open", so_far());
            } else if let Some(pattern) = line.strip_prefix("S: ") {
                let reply =
                    self.reply().unwrap_or_else(|error| panic!("{}\nbut {error}", so_far()));
                assert!(
                    matches(pattern, reply.last()),
                    "{}\nbut the server said: {:?}",
                    so_far(),
                    reply.lines
                );
            } else {
                panic!("a transcript line begins with C: or S:, not {line:?}");
            }
        }
    }

    /// Reads until the server closes the connection; replies on the way are dropped.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = [0; 4096];
        loop {
            match self.replies.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }

    /// Ends our sending half: the server sees the end of input and can still answer.
    pub fn end_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Changes how long a reply may take.
    pub fn set_reply_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Takes few bytes from the server as long as they are not read.
    pub fn narrow(&self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 2048)?;
        Ok(())
    }

    /// Ends the connection with a RST instead of a FIN.
    pub fn reset(self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(())
    }
}

/// `content` as DATA sends it (RFC 5321 section 4.5.2), its end included. Lines must end in CRLF; a
/// last line without an end is given one.
pub fn dot_stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// Whether `text` is what `pattern` says; `*` stands for any number of characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_the_rest_must_agree() {
        assert!(matches("250 2.0.0 Ok: queued as *", "250 2.0.0 Ok: queued as 1A2B"));
        assert!(matches("250 *", "250 Ok"));
        assert!(matches("*Relay access denied", "554 5.7.1 <a@b>: Relay access denied"));
        assert!(matches("4* a*b", "450 axxb"));
        assert!(!matches("250 Ok", "250 Ok more"));
        assert!(!matches("250 *x", "250 y"));
    }

    #[test]
    fn dots_at_the_start_of_a_line_are_doubled() {
        assert_eq!(dot_stuffed(b".a\r\n..\r\nb.\r\n"), b"..a\r\n...\r\nb.\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a"), b"a\r\n.\r\n");
        assert_eq!(dot_stuffed(b""), b".\r\n");
    }
}
