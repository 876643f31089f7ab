//! Buffers that the kernel may read and write while nobody here looks at them.

#![allow(unsafe_code)]

use tokio_uring::buf::{IoBuf, IoBufMut};

/// Memory that stays where it is until it is dropped, however its owner is moved.
///
/// # Safety
///
/// `stable_ptr` returns the same address for as long as the value lives, and `stable_len` bytes from
/// there are initialised and belong to the value alone.
pub unsafe trait StableBuf: Unpin + Send + 'static {
    /// Where the bytes are.
    fn stable_ptr(&self) -> *const u8;
    /// How many there are.
    fn stable_len(&self) -> usize;
}

// SAFETY: the bytes of a Vec are on the heap; moving the Vec does not move them.
unsafe impl StableBuf for Vec<u8> {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn stable_len(&self) -> usize {
        self.len()
    }
}

/// Any of our buffers as the ring library wants to see it.
pub(crate) struct Owned<B>(pub(crate) B);

// SAFETY: `StableBuf` promises exactly what `IoBuf` asks for.
unsafe impl<B: StableBuf> IoBuf for Owned<B> {
    fn stable_ptr(&self) -> *const u8 {
        self.0.stable_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.0.stable_len()
    }

    fn bytes_total(&self) -> usize {
        self.0.stable_len()
    }
}

// SAFETY: all of the bytes are initialised from the start, so `set_init` has nothing to remember.
unsafe impl<B: StableBuf> IoBufMut for Owned<B> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.0.stable_ptr().cast_mut()
    }

    unsafe fn set_init(&mut self, _bytes: usize) {}
}

/// The bytes of a buffer, for a system call made on this thread.
pub(crate) fn bytes<B: StableBuf>(buf: &B) -> &[u8] {
    // SAFETY: the trait's promise; the borrow keeps the value alive and untouched.
    unsafe { std::slice::from_raw_parts(buf.stable_ptr(), buf.stable_len()) }
}

/// The bytes of a buffer, to be written by a system call made on this thread.
pub(crate) fn bytes_mut<B: StableBuf>(buf: &mut B) -> &mut [u8] {
    // SAFETY: the trait's promise; the exclusive borrow makes this the only reference.
    unsafe { std::slice::from_raw_parts_mut(buf.stable_ptr().cast_mut(), buf.stable_len()) }
}
