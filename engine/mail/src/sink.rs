//! Where content goes while it is being made.

/// Takes content piece by piece, in order: the queue's batch, a file's buffer, or the next step of
/// the way there.
///
/// It cannot fail. A sink that runs out of room or meets an error keeps that to itself and says so
/// at the end, when the message as a whole is answered.
pub trait Sink {
    /// Appends `bytes`. How content is cut into pieces means nothing.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        (**self).put(bytes);
    }
}
