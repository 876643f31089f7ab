//! The minimal server on the `io-uring` crate alone: one accept and one receive request for each
//! socket's whole life, buffers provided by a ring the kernel takes them from.
#![allow(unsafe_code)] // the rings share memory with the kernel

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use slab::Slab;

use super::epoll::converse;
use crate::failure::{Doing, Failure, Result};
use crate::minimal::dialogue::Dialogue;
use crate::minimal::listen;

const RING_ENTRIES: u32 = 4096;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 8 * 1024;
const GROUP: u16 = 0;

/// The user data of a request: the session's key and what was asked.
const ACCEPT: u64 = u64::MAX;
const RECEIVE: u64 = 0;
const SEND: u64 = 1;

struct Session {
    socket: OwnedFd,
    dialogue: Dialogue,
    replies: Vec<u8>,
    /// The kernel reads from this until the send completes.
    sending: Vec<u8>,
    sent: usize,
    is_sending: bool,
    is_receiving: bool,
    is_over: bool,
}

struct Multishot {
    ring: IoUring,
    buffers: Buffers,
    sessions: Slab<Session>,
    listener: TcpListener,
}

pub(crate) fn serve(listener: TcpListener, address: SocketAddr) -> Result<()> {
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(RING_ENTRIES * 4)
        .build(RING_ENTRIES)
        .doing(|| "making an io_uring")?;
    let buffers = Buffers::register(&ring)?;
    let mut server = Multishot { ring, buffers, sessions: Slab::new(), listener };
    server.accept()?;
    listen::announce(address)?;
    let mut completions = Vec::new();
    loop {
        match server.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing(|| "waiting for the ring"),
        }
        completions.extend(
            server.ring.completion().map(|done| (done.user_data(), done.result(), done.flags())),
        );
        for (user_data, result, flags) in completions.drain(..) {
            server.complete(user_data, result, flags)?;
        }
    }
}

impl Multishot {
    fn complete(&mut self, user_data: u64, result: i32, flags: u32) -> Result<()> {
        if user_data == ACCEPT {
            if result >= 0 {
                // SAFETY: the kernel has just made this descriptor for us alone.
                self.open(unsafe { OwnedFd::from_raw_fd(result) })?;
            }
            return if cqueue::more(flags) { Ok(()) } else { self.accept() };
        }
        let key = (user_data >> 1) as usize;
        if user_data & 1 == SEND {
            self.sent(key, result)?;
        } else {
            self.received(key, result, flags)?;
        }
        self.close_if_over(key)
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<()> {
        // SAFETY: what the entries point to (`sending`, the buffer ring) lives in the session or
        // the server until the completion is seen.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit().doing(|| "submitting to the ring")?;
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()));
        self.push(&accept.build().user_data(ACCEPT))
    }

    fn open(&mut self, socket: OwnedFd) -> Result<()> {
        rustix::net::sockopt::set_tcp_nodelay(&socket, true).doing(|| "setting TCP_NODELAY")?;
        let mut session = Session {
            socket,
            dialogue: Dialogue::new(false),
            replies: Vec::with_capacity(512),
            sending: Vec::with_capacity(512),
            sent: 0,
            is_sending: false,
            is_receiving: false,
            is_over: false,
        };
        session.dialogue.greet(&mut session.replies);
        let key = self.sessions.insert(session);
        self.send(key)?;
        self.receive(key)
    }

    fn receive(&mut self, key: usize) -> Result<()> {
        let session = &mut self.sessions[key];
        session.is_receiving = true;
        let receive = opcode::RecvMulti::new(Fd(session.socket.as_raw_fd()), GROUP).build();
        self.push(&receive.user_data((key as u64) << 1 | RECEIVE))
    }

    fn received(&mut self, key: usize, result: i32, flags: u32) -> Result<()> {
        let session = &mut self.sessions[key];
        session.is_receiving = cqueue::more(flags);
        if let (Some(buffer), 1..) = (cqueue::buffer_select(flags), result) {
            let input = self.buffers.filled(buffer, result as usize);
            session.is_over |= converse(&mut session.dialogue, input, &mut session.replies);
            self.buffers.give(buffer);
        } else if result != -Errno::NOBUFS.raw_os_error() {
            session.is_over = true;
            session.replies.clear();
        }
        if !self.sessions[key].is_receiving && !self.sessions[key].is_over {
            self.receive(key)?;
        }
        self.send(key)
    }

    fn send(&mut self, key: usize) -> Result<()> {
        let session = &mut self.sessions[key];
        if session.is_sending || session.replies.is_empty() {
            return Ok(());
        }
        session.sending.clear();
        std::mem::swap(&mut session.sending, &mut session.replies);
        session.sent = 0;
        self.send_rest(key)
    }

    fn send_rest(&mut self, key: usize) -> Result<()> {
        let session = &mut self.sessions[key];
        session.is_sending = true;
        let rest = &session.sending[session.sent..];
        let socket = Fd(session.socket.as_raw_fd());
        let send = opcode::Send::new(socket, rest.as_ptr(), rest.len() as u32).build();
        self.push(&send.user_data((key as u64) << 1 | SEND))
    }

    fn sent(&mut self, key: usize, result: i32) -> Result<()> {
        let session = &mut self.sessions[key];
        session.is_sending = false;
        if result < 0 {
            session.is_over = true;
            session.replies.clear();
            return Ok(());
        }
        session.sent += result as usize;
        if session.sent < session.sending.len() { self.send_rest(key) } else { self.send(key) }
    }

    /// The receive request holds the socket open: it is shut down first, and the session goes when
    /// neither request is left.
    fn close_if_over(&mut self, key: usize) -> Result<()> {
        let session = &self.sessions[key];
        if !session.is_over || session.is_sending {
            return Ok(());
        }
        if session.is_receiving {
            match rustix::net::shutdown(&session.socket, rustix::net::Shutdown::Both) {
                Ok(()) | Err(Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(error).doing(|| "closing a session"),
            }
        }
        self.sessions.remove(key);
        Ok(())
    }
}

/// The buffers the kernel receives into, and the ring by which they are given to it.
struct Buffers {
    ring: *mut BufRingEntry,
    memory: Vec<u8>,
    tail: u16,
}

impl Buffers {
    fn layout() -> Layout {
        // The kernel wants the ring on a page of its own.
        Layout::array::<BufRingEntry>(usize::from(BUFFERS))
            .and_then(|layout| layout.align_to(4096))
            .expect("the size is a constant")
    }

    fn register(ring: &IoUring) -> Result<Self> {
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(Self::layout()) };
        if memory.is_null() {
            handle_alloc_error(Self::layout());
        }
        let mut buffers = Self {
            ring: memory.cast(),
            memory: vec![0; usize::from(BUFFERS) * BUFFER_BYTES],
            tail: 0,
        };
        let address = buffers.ring as u64;
        // SAFETY: the server owns both; the process ends before either is freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }
            .map_err(|error| Failure::new(format!("providing buffers to the ring: {error}")))?;
        for id in 0..BUFFERS {
            buffers.give(id);
        }
        Ok(buffers)
    }

    fn filled(&self, id: u16, length: usize) -> &[u8] {
        &self.memory[usize::from(id) * BUFFER_BYTES..][..length]
    }

    /// Gives the buffer to the kernel.
    fn give(&mut self, id: u16) {
        let from = usize::from(id) * BUFFER_BYTES;
        let address = self.memory[from..].as_ptr() as u64;
        // SAFETY: the index is below BUFFERS, and the kernel reads entries only below the tail.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail % BUFFERS)) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry, is two bytes long and aligned, and is shared
        // with the kernel, which reads it with acquire.
        unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) }
            .store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `register`.
        unsafe { dealloc(self.ring.cast(), Self::layout()) }
    }
}
