//! `perf idle`: what a session costs while nothing is said on it, and whether it slows others.
//!
//! Memory is that of the server's processes; the kernel's own for a socket is not in it, and is the
//! same for every server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};

use crate::accounting::Memory;
use crate::failure::{Doing, Failure, Result};
use crate::load::{self, Plan, source_address};
use crate::progress;
use crate::results::Output;
use crate::subject::{self, Subject};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Idle sessions to open.
    #[arg(short, long, default_value_t = 10_000)]
    sessions: u32,
    /// Messages sent over ten sessions before, and again while the others are idle.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    #[command(flatten)]
    subject: subject::Options,
}

/// Connections from one source address: well below the ports it has for one server.
const SESSIONS_PER_ADDRESS: u32 = 20_000;

/// What the server may take over one step of an idle session's opening.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How long memory gets to settle before it is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// Descriptors besides the sessions'.
const OTHER_FILES: u64 = 200;

/// `perf idle`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    subject::raise_open_files(u64::from(options.sessions) + OTHER_FILES)?;
    let subject = Subject::start(&options.subject, None, false)?;
    std::thread::sleep(SETTLE);
    let fresh = subject.account().memory();
    // The load before touches the memory that serving takes anyway: it is not the sessions'.
    let before = active(&subject, options.messages, "sending, nobody idle")?;
    std::thread::sleep(SETTLE);
    let memory_before = subject.account().memory();

    let started = Instant::now();
    let mut sessions = open(&subject, options.sessions)?;
    let took = started.elapsed();
    std::thread::sleep(SETTLE);
    let memory = subject.account().memory();
    let cpu_before = subject.account().cpu();
    std::thread::sleep(SETTLE);
    let idle_cpu = (subject.account().cpu() - cpu_before).total() / SETTLE.as_secs_f64();
    let during = active(&subject, options.messages, "sending beside the idle")?;
    let alive = sessions.iter_mut().map(answers_noop).filter(|answered| *answered).count();
    drop(sessions);

    let text = table(&Findings {
        name: &subject.name,
        sessions: options.sessions,
        alive,
        took,
        fresh,
        memory_before,
        memory,
        idle_cpu,
        before,
        during,
    });
    subject.stop()?;
    Ok(Output::Markdown(text))
}

struct Findings<'a> {
    name: &'a str,
    sessions: u32,
    alive: usize,
    took: Duration,
    fresh: Memory,
    memory_before: Memory,
    memory: Memory,
    idle_cpu: f64,
    before: Active,
    during: Active,
}

/// How ten busy sessions fared.
#[derive(Debug, Clone, Copy)]
struct Active {
    messages_per_second: f64,
    cpu_us_per_message: f64,
}

fn active(subject: &Subject, messages: u64, label: &str) -> Result<Active> {
    let cpu_before = subject.account().cpu();
    let plan = Plan::standard(subject.address, 10, messages).kept().until(&subject.interrupt);
    let report = load::run(&plan, label)?;
    if report.accepted != messages {
        return Err(Failure::new(format!("messages were lost: {:?}", report.refusals)));
    }
    let cpu = subject.account().cpu() - cpu_before;
    Ok(Active {
        messages_per_second: report.messages_per_second,
        cpu_us_per_message: cpu.total() * 1e6 / messages as f64,
    })
}

fn open(subject: &Subject, count: u32) -> Result<Vec<TcpStream>> {
    let addresses = count.div_ceil(SESSIONS_PER_ADDRESS);
    let bar = progress::steps("opening idle sessions", u64::from(count));
    let mut sessions = Vec::with_capacity(count as usize);
    for number in 0..count {
        if number.is_multiple_of(256) {
            subject.interrupt.check()?;
            bar.set_position(u64::from(number));
        }
        let session = open_one(subject.address, number, addresses)
            .doing(|| format!("opening idle session {}", number + 1))?;
        sessions.push(session);
    }
    bar.finish_and_clear();
    Ok(sessions)
}

/// A session that has been greeted and has said EHLO.
pub(crate) fn open_one(
    target: SocketAddr,
    number: u32,
    addresses: u32,
) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source_address(number as usize, addresses) {
        socket.bind(&SocketAddr::new(source.into(), 0).into())?;
    }
    socket.connect_timeout(&target.into(), ANSWER_MAX)?;
    let mut session = TcpStream::from(socket);
    session.set_read_timeout(Some(ANSWER_MAX))?;
    expect(&mut session, b"220")?;
    session.write_all(b"EHLO client.example\r\n")?;
    expect(&mut session, b"250")?;
    Ok(session)
}

/// Reads one whole reply and checks its code.
fn expect(session: &mut TcpStream, code: &[u8; 3]) -> std::io::Result<()> {
    let (mut reply, mut piece) = (Vec::new(), [0; 1024]);
    while !is_complete(&reply) {
        match session.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => reply.extend_from_slice(&piece[..read]),
        }
    }
    if reply.starts_with(code) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&reply).trim().to_owned();
    Err(std::io::Error::other(format!("the server said {said:?}")))
}

/// The last line has a space after its code (RFC 5321 section 4.2.1).
fn is_complete(reply: &[u8]) -> bool {
    let Some(lines) = reply.strip_suffix(b"\n") else { return false };
    let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or(lines);
    last.get(3) != Some(&b'-')
}

pub(crate) fn answers_noop(session: &mut TcpStream) -> bool {
    session.write_all(b"NOOP\r\n").is_ok() && expect(session, b"250").is_ok()
}

fn table(found: &Findings<'_>) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let per_session =
        |with: u64, without: u64| (with as f64 - without as f64) / f64::from(found.sessions.max(1));
    format!(
        "{}, {} idle sessions opened in {:.1} s, {} answered NOOP afterwards.\n\n\
         | | RSS | PSS |\n|---|---:|---:|\n\
         | just started, MiB | {:.1} | {:.1} |\n\
         | after a first load, MiB | {:.1} | {:.1} |\n\
         | with the idle sessions, MiB | {:.1} | {:.1} |\n\
         | **for each session, KiB** | **{:.2}** | **{:.2}** |\n\n\
         CPU while all are idle: {:.2} % of a core. Ten busy sessions: {:.0} messages/s and \
         {:.1} us of CPU each before, {:.0} messages/s and {:.1} us beside the idle ones.\n",
        found.name,
        found.sessions,
        found.took.as_secs_f64(),
        found.alive,
        mib(found.fresh.rss_kib),
        mib(found.fresh.pss_kib),
        mib(found.memory_before.rss_kib),
        mib(found.memory_before.pss_kib),
        mib(found.memory.rss_kib),
        mib(found.memory.pss_kib),
        per_session(found.memory.rss_kib, found.memory_before.rss_kib),
        per_session(found.memory.pss_kib, found.memory_before.pss_kib),
        found.idle_cpu * 100.0,
        found.before.messages_per_second,
        found.before.cpu_us_per_message,
        found.during.messages_per_second,
        found.during.cpu_us_per_message,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink;

    #[test]
    fn a_reply_is_complete_at_the_line_without_a_dash() {
        assert!(!is_complete(b""));
        assert!(!is_complete(b"220 mx"));
        assert!(is_complete(b"220 mx\r\n"));
        assert!(!is_complete(b"250-mx\r\n"));
        assert!(is_complete(b"250-mx\r\n250 SIZE\r\n"));
    }

    #[test]
    fn an_idle_session_is_greeted_and_still_answers() {
        let sink = sink::in_background(sink::Answers::default()).unwrap();
        let mut sessions: Vec<_> =
            (0..3).map(|number| open_one(sink.address, number, 3).unwrap()).collect();
        let sources: std::collections::HashSet<_> =
            sessions.iter().map(|session| session.local_addr().unwrap().ip()).collect();
        assert_eq!(sources.len(), 3);
        assert!(sessions.iter_mut().all(answers_noop));
    }
}
