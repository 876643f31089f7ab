//! The minimal server on glommio 0.9, kept so that the choice against it can be judged again.

use std::net::SocketAddr;

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use super::epoll::converse;
use crate::failure::{Doing, Result};
use crate::minimal::dialogue::Dialogue;
use crate::minimal::listen;

pub(crate) fn serve(listener: std::net::TcpListener, address: SocketAddr) -> Result<()> {
    // glommio binds by itself: the port is taken over.
    drop(listener);
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name("minimal")
        .make()
        .doing(|| "starting glommio")?;
    executor.run(async {
        let listener = TcpListener::bind(address).doing(|| format!("listening on {address}"))?;
        listen::announce(address)?;
        loop {
            let socket = listener.accept().await.doing(|| "accepting")?;
            glommio::spawn_local(session(socket)).detach();
        }
    })
}

async fn session(mut socket: TcpStream) -> std::io::Result<()> {
    let _ = socket.set_nodelay(true);
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
