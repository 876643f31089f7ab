//! Listening sockets as a server with one thread per core opens them, and the line that says so.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::{Doing, Result};

/// Long enough that a burst of connects never loses a SYN; the kernel cuts it to somaxconn.
const BACKLOG: i32 = 4096;

/// One listener of a group that shares `address`; port 0 picks a free one.
pub(crate) fn shared(address: SocketAddr) -> Result<TcpListener> {
    let open = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    open().doing(|| format!("listening on {address}"))
}

/// `count` listeners on one port.
pub(crate) fn group(address: SocketAddr, count: usize) -> Result<(SocketAddr, Vec<TcpListener>)> {
    let first = shared(address)?;
    let address = first.local_addr().doing(|| "asking for the port that was bound")?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(shared(address)?);
    }
    Ok((address, listeners))
}

/// The line a starting server prints when it is ready; `perf` waits for it, from ringpost too.
pub(crate) fn announce(address: SocketAddr) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {address}")
        .and_then(|()| out.flush())
        .doing(|| "writing to standard output")
}
