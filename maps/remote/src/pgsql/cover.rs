//! TLS for the driver, which asks the server for it and then wants a stream made of a stream.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{Connect, TlsConnector};

use crate::desk::Fault;
use crate::tls::{self, server_name};

/// Makes streams of TLS to one server.
#[derive(Clone)]
pub(crate) struct Cover {
    pub(crate) connector: TlsConnector,
    /// The server's, unless the driver says it.
    pub(crate) name: String,
}

/// A stream under TLS.
pub(crate) struct Covered<S>(TlsStream<S>);

/// TLS could not be agreed upon, or the server is not whom it should be.
#[derive(Debug)]
pub(crate) struct Handshake(String);

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Handshake {}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for Cover {
    type Stream = Covered<S>;
    type Error = Handshake;
    type Future = Connecting<S>;

    fn connect(self, stream: S) -> Connecting<S> {
        let name = server_name(&self.name);
        Connecting(name.map(|name| Box::new(self.connector.connect(name, stream))))
    }
}

/// A stream that is becoming one of TLS, if the server has a name that can be in a certificate.
pub(crate) struct Connecting<S>(Result<Box<Connect<S>>, Fault>);

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connecting<S> {
    type Output = Result<Covered<S>, Handshake>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(connecting) => {
                let connected = ready!(Pin::new(connecting).poll(context));
                let covered = connected.map(Covered);
                Poll::Ready(covered.map_err(|error| Handshake(tls::cause(&error))))
            }
            Err(fault) => Poll::Ready(Err(Handshake(fault.cause.clone()))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MakeTlsConnect<S> for Cover {
    type Stream = Covered<S>;
    type TlsConnect = Self;
    type Error = Handshake;

    fn make_tls_connect(&mut self, name: &str) -> Result<Self, Handshake> {
        Ok(Self { name: name.to_owned(), ..self.clone() })
    }
}

// The hash of the server's certificate would have to be made by the certificate's own algorithm (RFC 5929
// section 4.1). The password is not sent without it either, and who is on the other side is known by the
// certificate.
impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for Covered<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Covered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Covered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
