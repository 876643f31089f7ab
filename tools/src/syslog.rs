//! The log of what runs in the background where no file is set: the syslog daemon of this host.
//!
//! Whoever has lines writes them into a pipe, as into a file; the other end is a thread of master, which sends each
//! line as a datagram. So nobody else needs a way to the daemon's socket, which may be replaced at any time. Each
//! writer has a pipe of its own: in a shared one, lines longer than `PIPE_BUF` could be torn apart.
//!
//! A daemon that does not listen, or does not read, costs lines and not mail. How many is the first line once it
//! takes them again.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mail::Time;
use mail::log::{Event, Formatter, Record};

/// Where it listens (syslog(3)).
pub(crate) const SOCKET: &str = "/dev/log";
/// Bytes of one line; the rest of a longer one comes as another. What daemons take by default.
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// How long a daemon may leave its socket full.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two attempts to reach it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the last lines may take when master ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
const FINISH_LOOK_EVERY: Duration = Duration::from_millis(2);

/// The way to the daemon.
#[derive(Debug)]
pub(crate) struct Syslog {
    socket: PathBuf,
    formatter: Formatter,
    relays: Mutex<Vec<JoinHandle<()>>>,
}

impl Syslog {
    /// `formatter` is for lines that are none of the log's: what a process says that cannot go on.
    pub(crate) fn new(socket: &Path, formatter: Formatter) -> Self {
        Self { socket: socket.to_owned(), formatter, relays: Mutex::default() }
    }

    /// Whether somebody listens now.
    pub(crate) fn reach(&self) -> io::Result<()> {
        connect(&self.socket).map(drop)
    }

    /// A file for one writer. What is written to it arrives as long as there is this process.
    pub(crate) fn open(&self) -> io::Result<File> {
        let (lines, writer) = io::pipe()?;
        let relay = self.relay();
        let thread =
            thread::Builder::new().name("syslog".into()).spawn(move || relay.run(lines))?;
        let mut relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        relays.retain(|relay| !relay.is_finished());
        relays.push(thread);
        Ok(OwnedFd::from(writer).into())
    }

    fn relay(&self) -> Relay {
        Relay {
            socket: self.socket.clone(),
            formatter: self.formatter.clone(),
            connection: None,
            broken_at: None,
            lost: 0,
            cause: String::new(),
        }
    }

    /// Waits until all is sent that was written by those who have closed their files.
    pub(crate) fn finish(&self) {
        let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + FINISH_TIMEOUT;
        while relays.iter().any(|relay| !relay.is_finished()) && Instant::now() < deadline {
            thread::sleep(FINISH_LOOK_EVERY);
        }
    }
}

impl fmt::Display for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syslog at {}", self.socket.display())
    }
}

/// One writer's lines on their way.
struct Relay {
    socket: PathBuf,
    formatter: Formatter,
    connection: Option<UnixDatagram>,
    /// When it was found that nobody takes lines; until [`AGAIN_AFTER`] they are dropped unseen.
    broken_at: Option<Instant>,
    /// Lines lost and not yet reported, and why the last ones were.
    lost: u64,
    cause: String,
}

impl Relay {
    fn run(mut self, lines: PipeReader) {
        let mut lines = BufReader::new(lines);
        let mut line = Vec::new();
        loop {
            line.clear();
            match lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => self.pass_on(line.trim_ascii_end()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn pass_on(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        if self.broken_at.is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
            self.lost += 1;
            return;
        }
        let sent = self.report_losses().and_then(|()| {
            if has_priority(line) {
                return self.send(line);
            }
            let text = String::from_utf8_lossy(line);
            self.send(&self.formatted(Event::Info { text: &text }))
        });
        if let Err(error) = sent {
            self.connection = None;
            self.broken_at = Some(Instant::now());
            self.lost += 1;
            self.cause = error.to_string();
        }
    }

    fn report_losses(&mut self) -> io::Result<()> {
        if self.lost > 0 {
            let text = format!("{} log lines lost: {}", self.lost, self.cause);
            self.send(&self.formatted(Event::Warning { text: &text }))?;
            self.lost = 0;
        }
        Ok(())
    }

    fn formatted(&self, event: Event<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        let record = Record { time: Time::now(), name: None, service: "master", session: 0, event };
        self.formatter.clone().write(&record, &mut line);
        line.truncate(line.trim_ascii_end().len());
        line
    }

    /// A daemon that was started anew has another socket: a connection that is refused is made again, once.
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(connection) = &self.connection {
            match connection.send(line) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {}
                Ok(_) => return Ok(()),
            }
        }
        let connection = connect(&self.socket)?;
        connection.send(line)?;
        self.connection = Some(connection);
        self.broken_at = None;
        Ok(())
    }
}

fn connect(socket: &Path) -> io::Result<UnixDatagram> {
    let connection = UnixDatagram::unbound()?;
    connection.connect(socket).map_err(|error| {
        io::Error::new(error.kind(), format!("connect to {}: {error}", socket.display()))
    })?;
    connection.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok(connection)
}

/// Whether a line says how it is to be sorted, as those of the log do.
fn has_priority(line: &[u8]) -> bool {
    let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    line.strip_prefix(b"<").is_some_and(|rest| {
        let digits = digits(rest);
        (1..=3).contains(&digits) && rest.get(digits) == Some(&b'>')
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use jiff::tz::TimeZone;
    use mail::log::Style;
    use tempfile::TempDir;

    use super::*;

    fn daemon(place: &TempDir) -> UnixDatagram {
        let path = place.path().join("log");
        let _ = std::fs::remove_file(&path);
        let daemon = UnixDatagram::bind(path).expect("a socket");
        daemon.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        daemon
    }

    fn next(daemon: &UnixDatagram) -> String {
        let mut line = [0; 10_000];
        let length = daemon.recv(&mut line).expect("a line");
        String::from_utf8(line[..length].to_vec()).expect("text")
    }

    fn syslog(place: &TempDir) -> Syslog {
        let style = Style::Syslog { facility: 2 };
        let formatter = Formatter::new(style, "mx.example.com", "postfix", TimeZone::UTC, 2);
        Syslog::new(&place.path().join("log"), formatter)
    }

    #[test]
    fn each_line_is_a_datagram_and_what_has_no_priority_gets_one() {
        let place = TempDir::new().expect("a directory");
        let daemon = daemon(&place);
        let syslog = syslog(&place);
        let mut file = syslog.open().expect("a pipe");
        file.write_all(b"<20>Nov 20 09:00:00 postfix/smtpd[7]: warning: x\n\n<22>two\nthread")
            .unwrap();
        file.write_all(b" \x1bpanicked\n").unwrap();
        drop(file);
        syslog.finish();
        assert_eq!(next(&daemon), "<20>Nov 20 09:00:00 postfix/smtpd[7]: warning: x");
        assert_eq!(next(&daemon), "<22>two");
        let wrapped = next(&daemon);
        assert!(wrapped.starts_with("<22>"), "{wrapped}");
        assert!(wrapped.ends_with(" postfix/master[0]: thread ?panicked"), "{wrapped}");
    }

    #[test]
    fn an_endless_line_comes_in_parts() {
        let place = TempDir::new().expect("a directory");
        let daemon = daemon(&place);
        let syslog = syslog(&place);
        let mut file = syslog.open().expect("a pipe");
        let long = format!("<22>{}\n", "x".repeat(10_000));
        file.write_all(long.as_bytes()).unwrap();
        assert_eq!(next(&daemon).len() as u64, LINE_BYTES_MAX);
        assert!(next(&daemon).ends_with("xxx"));
    }

    #[test]
    fn a_daemon_that_is_started_anew_gets_the_next_line() {
        let place = TempDir::new().expect("a directory");
        let old = daemon(&place);
        let syslog = syslog(&place);
        let mut file = syslog.open().expect("a pipe");
        file.write_all(b"<22>one\n").unwrap();
        assert_eq!(next(&old), "<22>one");
        drop(old);
        let new = daemon(&place);
        file.write_all(b"<22>two\n").unwrap();
        assert_eq!(next(&new), "<22>two");
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        let place = TempDir::new().expect("a directory");
        let syslog = syslog(&place);
        let why = syslog.reach().unwrap_err().to_string();
        assert!(why.starts_with("connect to /"), "{why}");
        let mut relay = syslog.relay();
        relay.pass_on(b"<22>one");
        relay.pass_on(b"<22>two");
        assert_eq!((relay.lost, relay.cause.as_str()), (2, why.as_str()));
        let daemon = daemon(&place);
        // As if time had passed.
        relay.broken_at = None;
        relay.pass_on(b"<22>three");
        let lost = next(&daemon);
        assert!(lost.starts_with("<20>"), "{lost}");
        assert!(
            lost.contains(" postfix/master[0]: warning: 2 log lines lost: connect to /"),
            "{lost}"
        );
        assert_eq!(next(&daemon), "<22>three");
    }
}
