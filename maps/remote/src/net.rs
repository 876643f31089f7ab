//! Connections for the protocols that are spoken here: bytes out, one answer in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::desk::Fault;
use crate::hosts::Host;
use crate::tls::{self, Tls};

/// Bytes that are read at once.
const READ_BYTES: usize = 8192;

/// What all streams can do.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection to one server, and what it has sent that nobody has read.
pub(crate) struct Wire {
    stream: Box<dyn Duplex>,
    unread: Vec<u8>,
}

/// What reading an answer came to.
pub(crate) enum Parsed<T> {
    /// It is not all there yet.
    More,
    /// All of it, and how many bytes it takes.
    Done(T, usize),
}

impl<T> From<Option<(T, usize)>> for Parsed<T> {
    fn from(step: Option<(T, usize)>) -> Self {
        step.map_or(Self::More, |(answer, used)| Self::Done(answer, used))
    }
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(host: &Host) -> Result<Self, Fault> {
        let stream: Box<dyn Duplex> = match host {
            Host::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(Fault::lost)?),
            Host::Inet { name, port, .. } => Box::new(tcp(name, *port).await.map_err(Fault::lost)?),
            Host::Uri(_) => return Err(Fault::refused("no address")),
        };
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Speaks TLS from now on.
    pub(crate) async fn covered(self, tls: &Tls, name: &str) -> Result<Self, Fault> {
        // What came in the clear would be taken for something that came under cover.
        if !self.unread.is_empty() {
            return Err(Fault::refused("the server sent more than was asked for before TLS"));
        }
        let stream: Box<dyn Duplex> = Box::new(tls.over(self.stream, name).await?);
        Ok(Self { stream, unread: Vec::new() })
    }

    /// The stream, for a library.
    pub(crate) fn into_stream(self) -> Box<dyn Duplex> {
        self.stream
    }

    /// Sends a question and reads its answer, of `bytes_max` bytes at most. `parse` is given all that
    /// has arrived; its error is what is wrong with it.
    pub(crate) async fn exchange<T>(
        &mut self,
        question: &[u8],
        bytes_max: usize,
        parse: impl Fn(&[u8]) -> Result<Parsed<T>, String>,
    ) -> Result<T, Fault> {
        // What came unasked would be taken for this answer.
        if !self.unread.is_empty() {
            return Err(Fault::lost("the server sent more than one answer"));
        }
        self.stream.write_all(question).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        loop {
            let mut chunk = [0; READ_BYTES];
            let read = self.stream.read(&mut chunk).await.map_err(lost)?;
            if read == 0 {
                let cause = match self.unread.is_empty() {
                    true => "the server closed the connection",
                    false => "the server closed the connection in the middle of an answer",
                };
                return Err(Fault::lost(cause));
            }
            self.unread.extend_from_slice(&chunk[..read]);
            match parse(&self.unread).map_err(malformed)? {
                Parsed::Done(answer, used) => {
                    self.unread.drain(..used);
                    return Ok(answer);
                }
                Parsed::More if self.unread.len() > bytes_max => {
                    return Err(Fault::refused(format_args!(
                        "the answer is larger than {bytes_max} bytes"
                    )));
                }
                Parsed::More => {}
            }
        }
    }
}

/// A stream that ends when more than an allowance has been read from it: for libraries that read an
/// answer whole, however long its sender says it is.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    left: Allowance,
}

/// What may still be read, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// From now on, so many.
    pub(crate) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, bytes: usize) -> (Self, Allowance) {
        let left = Allowance(Arc::new(AtomicUsize::new(bytes)));
        (Self { stream, left: left.clone() }, left)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        let left = self.left.0.load(Ordering::Relaxed);
        match left.checked_sub(read) {
            Some(left) => self.left.set(left),
            None => return Poll::Ready(Err(io::Error::other("the answer is too large"))),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A TCP connection that does not wait for more to send.
pub(crate) async fn tcp(name: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((name, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn lost(error: io::Error) -> Fault {
    Fault::lost(tls::cause(&error))
}

fn malformed(why: String) -> Fault {
    Fault::refused(format_args!("malformed answer: {why}"))
}

/// The line at the start of `bytes`, without its end, and how long it is with it.
pub(crate) fn line(bytes: &[u8], line_bytes_max: usize) -> Result<Option<(&[u8], usize)>, String> {
    match bytes.iter().position(|&b| b == b'\n') {
        Some(end) if end <= line_bytes_max => {
            let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
            Ok(Some((line, end + 1)))
        }
        None if bytes.len() <= line_bytes_max => Ok(None),
        _ => Err(format!("a line longer than {line_bytes_max} bytes")),
    }
}
