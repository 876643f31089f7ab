//! Listeners and connections.

use std::io;
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_uring::buf::BoundedBuf;

use crate::Backend;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listening socket of one shard.
pub struct Listener(ListenerKind);

enum ListenerKind {
    Ring(tokio_uring::net::TcpListener),
    Epoll(tokio::net::TcpListener),
}

impl Listener {
    /// Opens a socket that other shards may share with SO_REUSEPORT: the kernel spreads connections
    /// over all of them. Done before privileges are dropped, on any thread.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            // `[::]` is every address of the host, IPv4 among them.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // A reply is one send; it must not wait for the acknowledgement of the one before. Connections
        // inherit this from the listener.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// Takes a bound socket into the calling shard.
    pub fn from_std(socket: TcpListener) -> io::Result<Self> {
        Ok(Self(match crate::backend() {
            Backend::Uring => {
                // A ring waits by itself; O_NONBLOCK would make it give up instead.
                socket.set_nonblocking(false)?;
                ListenerKind::Ring(tokio_uring::net::TcpListener::from_std(socket))
            }
            Backend::Epoll => {
                socket.set_nonblocking(true)?;
                ListenerKind::Epoll(tokio::net::TcpListener::from_std(socket)?)
            }
        }))
    }

    /// Waits for the next connection.
    ///
    /// An error is not the end: the peer may be gone already, or descriptors used up for the moment.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            ListenerKind::Ring(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream(StreamKind::Ring(Rc::new(stream))), peer))
            }
            ListenerKind::Epoll(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream(StreamKind::Epoll(Rc::new(stream))), peer))
            }
        }
    }
}

/// One connection. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Stream(StreamKind);

#[derive(Clone)]
enum StreamKind {
    Ring(Rc<tokio_uring::net::TcpStream>),
    Epoll(Rc<tokio::net::TcpStream>),
}

impl Stream {
    /// Connects from the calling shard.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = match crate::backend() {
            Backend::Uring => Self(StreamKind::Ring(Rc::new(
                tokio_uring::net::TcpStream::connect(address).await?,
            ))),
            Backend::Epoll => {
                Self(StreamKind::Epoll(Rc::new(tokio::net::TcpStream::connect(address).await?)))
            }
        };
        stream.set_nodelay()?;
        Ok(stream)
    }

    /// Waits for bytes and appends them to what `buf` holds, up to its capacity; 0 is the end.
    ///
    /// If the future is dropped before it is done, `buf` is left empty: the bytes belong to the kernel.
    pub async fn recv(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        debug_assert!(buf.capacity() > buf.len(), "nowhere to receive to");
        match &self.0 {
            StreamKind::Ring(stream) => {
                let owned = mem::take(buf);
                let (len, capacity) = (owned.len(), owned.capacity());
                let (result, slice) = stream.read(owned.slice(len..capacity)).await;
                *buf = slice.into_inner();
                result
            }
            StreamKind::Epoll(stream) => loop {
                stream.readable().await?;
                match stream.try_read_buf(buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            },
        }
    }

    /// Appends what has arrived already, up to the capacity of `buf`, without waiting for more; 0 where
    /// nothing has, or nothing will any more.
    pub fn recv_now(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        match rustix::net::recv(self.fd(), spare_capacity(buf), RecvFlags::DONTWAIT) {
            Ok((count, _)) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends all of `buf` and empties it, keeping its capacity.
    pub async fn send(&self, buf: &mut Vec<u8>) -> io::Result<()> {
        match &self.0 {
            StreamKind::Ring(stream) => {
                let (result, mut owned) = stream.write_all(mem::take(buf)).await;
                owned.clear();
                *buf = owned;
                result
            }
            StreamKind::Epoll(stream) => {
                let mut sent = 0;
                while sent < buf.len() {
                    match stream.try_write(&buf[sent..]) {
                        Ok(n) => sent += n,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            stream.writable().await?;
                        }
                        Err(error) => return Err(error),
                    }
                }
                buf.clear();
                Ok(())
            }
        }
    }

    /// Ends the connection in both directions: whoever waits in [`Stream::recv`] sees the end.
    pub fn shutdown(&self) {
        self.shut(Shutdown::Both);
    }

    /// Wakes whoever waits in [`Stream::recv`] with the end; what is still to be said can be sent.
    pub fn shutdown_receiving(&self) {
        self.shut(Shutdown::Read);
    }

    fn shut(&self, how: Shutdown) {
        // An error means that the peer was faster.
        let _ = match &self.0 {
            StreamKind::Ring(stream) => stream.shutdown(how),
            StreamKind::Epoll(stream) => socket2::SockRef::from(&**stream).shutdown(how),
        };
    }

    #[allow(unsafe_code)]
    fn fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            // SAFETY: the stream owns the descriptor, and is borrowed for as long as this is.
            StreamKind::Ring(stream) => unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) },
            StreamKind::Epoll(stream) => stream.as_fd(),
        }
    }

    fn set_nodelay(&self) -> io::Result<()> {
        match &self.0 {
            StreamKind::Ring(stream) => stream.set_nodelay(true),
            StreamKind::Epoll(stream) => stream.set_nodelay(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, run, spawn};

    fn on_both_backends(test: impl AsyncFn(Listener, SocketAddr)) {
        for backend in [Backend::Epoll, Backend::Uring] {
            let main = async {
                let socket = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let address = socket.local_addr().unwrap();
                test(Listener::from_std(socket).unwrap(), address).await;
            };
            run(Options { backend, core: None }, main).unwrap();
        }
    }

    #[test]
    fn bytes_arrive_behind_those_already_there() {
        on_both_backends(async |listener, address| {
            let client = spawn(async move {
                let stream = Stream::connect(address).await.unwrap();
                stream.send(&mut b"world".to_vec()).await.unwrap();
                stream
            });
            let (stream, _) = listener.accept().await.unwrap();
            let mut buf = Vec::with_capacity(64);
            buf.extend_from_slice(b"hello ");
            while buf.len() < 11 {
                assert_ne!(stream.recv(&mut buf).await.unwrap(), 0);
            }
            assert_eq!(buf, b"hello world");
            drop(client.await.unwrap());
            assert_eq!(stream.recv(&mut buf).await.unwrap(), 0);
            assert_eq!(buf, b"hello world", "the end adds nothing");
        });
    }

    #[test]
    fn what_has_arrived_is_taken_without_waiting_for_more() {
        on_both_backends(async |listener, address| {
            let client = Stream::connect(address).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut buf = Vec::with_capacity(8);
            assert_eq!(stream.recv_now(&mut buf).unwrap(), 0);
            client.send(&mut b"early bird".to_vec()).await.unwrap();
            // On one machine, what was sent has arrived.
            assert_eq!(stream.recv_now(&mut buf).unwrap(), 8);
            assert_eq!(buf, b"early bi");
            let mut rest = Vec::with_capacity(8);
            assert_eq!(stream.recv(&mut rest).await.unwrap(), 2);
            assert_eq!(rest, b"rd", "who waits is not kept from it");
        });
    }

    #[test]
    fn a_reply_larger_than_the_socket_buffer_is_sent_whole() {
        const LEN: usize = 8 << 20;
        on_both_backends(async |listener, address| {
            let server = spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let mut reply = vec![b'x'; LEN];
                stream.send(&mut reply).await.unwrap();
                assert!(reply.is_empty());
            });
            let stream = Stream::connect(address).await.unwrap();
            let mut buf = Vec::with_capacity(LEN);
            while buf.len() < LEN {
                assert_ne!(stream.recv(&mut buf).await.unwrap(), 0);
            }
            server.await.unwrap();
        });
    }

    #[test]
    fn shutdown_wakes_a_reader() {
        on_both_backends(async |listener, address| {
            let client = Stream::connect(address).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let reader = stream.clone();
            let waiting = spawn(async move { reader.recv(&mut Vec::with_capacity(16)).await });
            tokio::task::yield_now().await;
            stream.shutdown();
            assert_eq!(waiting.await.unwrap().unwrap(), 0);
            drop(client);
        });
    }

    #[test]
    fn two_shards_can_listen_on_one_port() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let second = Listener::bind(address).unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
    }
}
