//! One SOCK_SEQPACKET message with at most one descriptor, sent and received.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::frame::FRAME_BYTES_MAX;

/// The two ends of a shard's socket: the engine's, then the agent's.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let ends = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(ends)
}

/// Sends one frame. A peer that is gone is an error (EPIPE), never a signal.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    frame: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptor) = &descriptor {
        let pushed =
            control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
        debug_assert!(pushed, "the space is made for one descriptor");
    }
    let flags = flags | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, flags)
    })?;
    Ok(())
}

/// A frame's length in the buffer, and the descriptor that came with it.
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) descriptor: Option<OwnedFd>,
}

/// Receives one frame into `buffer`. A length of zero is the end: no frame is empty.
///
/// A frame that is too long, and one with more than one descriptor, is EMSGSIZE; its descriptors
/// are closed.
pub(crate) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8; FRAME_BYTES_MAX],
    flags: RecvFlags,
) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)
    })?;
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = descriptors.next().and_then(|mut descriptors| descriptors.next());
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE);
    }
    Ok(Received { len: message.bytes, descriptor })
}
