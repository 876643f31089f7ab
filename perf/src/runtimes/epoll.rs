//! The minimal server on tokio's current-thread runtime.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::{Doing, Result};
use crate::minimal::dialogue::{Dialogue, Event, QUEUED};
use crate::minimal::listen;

pub(crate) fn serve(listener: std::net::TcpListener, address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .doing(|| "starting tokio")?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(listener).doing(|| "watching the listener")?;
        listen::announce(address)?;
        loop {
            let (socket, _) = listener.accept().await.doing(|| "accepting")?;
            tokio::task::spawn_local(session(socket));
        }
    })
}

async fn session(mut socket: TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut dialogue = Dialogue::new(false);
    let (mut input, mut replies) = (vec![0; 16 * 1024], Vec::with_capacity(512));
    dialogue.greet(&mut replies);
    loop {
        if !replies.is_empty() {
            socket.write_all(&replies).await?;
            replies.clear();
        }
        let read = socket.read(&mut input).await?;
        if read == 0 || converse(&mut dialogue, &input[..read], &mut replies) {
            return socket.write_all(&replies).await;
        }
    }
}

/// Answers all that was read; whether the session is over.
pub(crate) fn converse(dialogue: &mut Dialogue, mut input: &[u8], replies: &mut Vec<u8>) -> bool {
    loop {
        match dialogue.receive(&mut input, replies) {
            Event::More => return false,
            Event::Message => dialogue.answer(QUEUED, replies),
            Event::Close => return true,
        }
    }
}
