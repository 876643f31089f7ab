//! `perf sink`: an SMTP server that takes everything and counts it.
//!
//! What `load` is to servers, this is to clients; and `load` into `sink` is the ceiling of the
//! harness itself. It can be slow or refuse a share of the messages, so that a sender's retries and
//! a generator's accounting can be tried.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::{Doing, Failure, Result};
use crate::minimal::dialogue::{Dialogue, Event, QUEUED};
use crate::minimal::listen;
use crate::units;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Where to listen.
    #[arg(default_value = "127.0.0.1:2526")]
    listen: SocketAddr,
    /// Threads, each with its own listening socket.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Wait this long before the answer to a message's content (10ms, 2s).
    #[arg(long, value_parser = units::duration, default_value = "0")]
    delay: Duration,
    /// Refuse this share of the messages with a 451 (0 to 1).
    #[arg(long, default_value_t = 0.0)]
    refuse_later: f64,
    /// Refuse this share of the messages with a 554 (0 to 1).
    #[arg(long, default_value_t = 0.0)]
    refuse_forever: f64,
    /// Stop after this many messages were accepted.
    #[arg(long)]
    messages: Option<u64>,
}

/// How messages are answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) delay: Duration,
    pub(crate) refused_later: f64,
    pub(crate) refused_forever: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    sessions: AtomicU64,
    answered: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    recipients: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    pub(crate) fn messages(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A sink that runs in threads of this process until it is dropped.
#[cfg(test)]
pub(crate) struct Background {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
}

#[cfg(test)]
impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) fn in_background(answers: Answers) -> Result<Background> {
    let (address, mut listeners) = listen::group("127.0.0.1:0".parse().unwrap(), 1)?;
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let (thread_counts, thread_stop) = (counts.clone(), stop.clone());
    let listener = listeners.remove(0);
    std::thread::spawn(move || serve(listener, answers, thread_counts, &thread_stop));
    Ok(Background { address, counts, stop })
}

/// `perf sink`.
pub(crate) fn main(options: &Options) -> Result<()> {
    let shares = options.refuse_later + options.refuse_forever;
    if options.refuse_later < 0.0 || options.refuse_forever < 0.0 || shares > 1.0 {
        return Err(Failure::new("the shares refused must lie between 0 and 1 together"));
    }
    let answers = Answers {
        delay: options.delay,
        refused_later: options.refuse_later,
        refused_forever: options.refuse_forever,
    };
    let (address, listeners) = listen::group(options.listen, options.threads.max(1))?;
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    for listener in listeners {
        let (counts, stop) = (counts.clone(), stop.clone());
        std::thread::spawn(move || serve(listener, answers, counts, &stop));
    }
    listen::announce(address)?;
    report_until_stopped(&counts, options.messages)
}

fn report_until_stopped(counts: &Counts, messages: Option<u64>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting the timer")?;
    runtime.block_on(async {
        let (mut last, mut last_at) = (0, Instant::now());
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                _ = &mut interrupted => break,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            let now = counts.messages();
            if now != last {
                let rate = (now - last) as f64 / last_at.elapsed().as_secs_f64();
                eprintln!("{now} messages, {}/s", units::grouped(rate));
            }
            (last, last_at) = (now, Instant::now());
            if messages.is_some_and(|messages| now >= messages) {
                break;
            }
        }
    });
    println!(
        "{} sessions, {} messages accepted, {} refused, {} recipients, {} bytes of content",
        counts.sessions.load(Ordering::Relaxed),
        counts.accepted.load(Ordering::Relaxed),
        counts.refused.load(Ordering::Relaxed),
        counts.recipients.load(Ordering::Relaxed),
        counts.bytes.load(Ordering::Relaxed),
    );
    Ok(())
}

fn serve(
    listener: std::net::TcpListener,
    answers: Answers,
    counts: Arc<Counts>,
    stop: &AtomicBool,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting a thread's runtime")?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::from_std(listener).doing(|| "watching the listening socket")?;
        while !stop.load(Ordering::Relaxed) {
            // An accept that fails (too many open files) must not become a busy loop.
            let wait = Duration::from_millis(100);
            match tokio::time::timeout(wait, listener.accept()).await {
                Err(_) => {}
                Ok(Err(_)) => tokio::time::sleep(wait).await,
                Ok(Ok((socket, _))) => {
                    let counts = counts.clone();
                    tokio::task::spawn_local(async move {
                        // A client that goes away is the client's affair; what it sent is counted.
                        let _ = session(socket, answers, &counts).await;
                    });
                }
            }
        }
        Ok(())
    })
}

async fn session(mut socket: TcpStream, answers: Answers, counts: &Counts) -> std::io::Result<()> {
    counts.sessions.fetch_add(1, Ordering::Relaxed);
    socket.set_nodelay(true)?;
    let mut dialogue = Dialogue::new(false);
    let (mut input, mut replies) = (vec![0; 16 * 1024], Vec::new());
    dialogue.greet(&mut replies);
    loop {
        socket.write_all(&replies).await?;
        replies.clear();
        let read = socket.read(&mut input).await?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &input[..read];
        loop {
            match dialogue.receive(&mut rest, &mut replies) {
                Event::More => break,
                Event::Message => {
                    if !answers.delay.is_zero() {
                        socket.write_all(&replies).await?;
                        replies.clear();
                        tokio::time::sleep(answers.delay).await;
                    }
                    let reply = answer(answers, counts, &dialogue);
                    dialogue.answer(reply, &mut replies);
                }
                Event::Close => {
                    socket.write_all(&replies).await?;
                    return Ok(());
                }
            }
        }
    }
}

/// Counts the message and chooses its answer, so that any run of 1,000 has the shares asked for.
fn answer(answers: Answers, counts: &Counts, dialogue: &Dialogue) -> &'static [u8] {
    let place = (counts.answered.fetch_add(1, Ordering::Relaxed) * 617 % 1000) as f64;
    counts.bytes.fetch_add(dialogue.content_bytes(), Ordering::Relaxed);
    let later = (answers.refused_later * 1000.0).round();
    if place < later {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return b"451 4.3.0 Error: try again later\r\n";
    }
    if place < later + (answers.refused_forever * 1000.0).round() {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return b"554 5.7.1 Error: not wanted\r\n";
    }
    counts.accepted.fetch_add(1, Ordering::Relaxed);
    counts.recipients.fetch_add(dialogue.recipients().len() as u64, Ordering::Relaxed);
    QUEUED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_refused_are_those_asked_for() {
        let answers = Answers { refused_later: 0.2, refused_forever: 0.1, delay: Duration::ZERO };
        let counts = Counts::default();
        let dialogue = Dialogue::new(false);
        let mut kinds = [0; 3];
        for _ in 0..1000 {
            match answer(answers, &counts, &dialogue)[0] {
                b'2' => kinds[0] += 1,
                b'4' => kinds[1] += 1,
                _ => kinds[2] += 1,
            }
        }
        assert_eq!(kinds, [700, 200, 100]);
        assert_eq!(counts.messages(), 700);
    }
}
