//! The minimal server on tokio-uring, with the ring flags that ringpost uses and without.

use std::net::SocketAddr;

use tokio_uring::net::{TcpListener, TcpStream};

use super::epoll::converse;
use crate::failure::{Doing, Result};
use crate::minimal::dialogue::Dialogue;
use crate::minimal::listen;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flags {
    /// SINGLE_ISSUER and COOP_TASKRUN: no interrupt to the thread for a completion it will find
    /// at its next system call.
    Tuned,
    Default,
}

pub(crate) fn serve(
    listener: std::net::TcpListener,
    address: SocketAddr,
    flags: Flags,
) -> Result<()> {
    // The ring waits by itself; on a non-blocking socket it would report EAGAIN instead.
    listener.set_nonblocking(false).doing(|| "making the listener blocking")?;
    let mut ring = tokio_uring::uring_builder();
    if flags == Flags::Tuned {
        ring.setup_single_issuer().setup_coop_taskrun();
    }
    tokio_uring::builder().entries(1024).uring_builder(&ring).start(async {
        let listener = TcpListener::from_std(listener);
        listen::announce(address)?;
        loop {
            let (socket, _) = listener.accept().await.doing(|| "accepting")?;
            tokio_uring::spawn(session(socket));
        }
    })
}

async fn session(socket: TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut dialogue = Dialogue::new(false);
    let (mut input, mut replies) = (Vec::with_capacity(16 * 1024), Vec::with_capacity(512));
    dialogue.greet(&mut replies);
    loop {
        let written;
        (written, replies) = socket.write_all(replies).await;
        written?;
        replies.clear();
        while replies.is_empty() {
            input.clear();
            let read;
            (read, input) = socket.read(input).await;
            if read? == 0 {
                return Ok(());
            }
            if converse(&mut dialogue, &input, &mut replies) {
                return socket.write_all(replies).await.0;
            }
        }
    }
}
