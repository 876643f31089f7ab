//! Readings: a segment is not used again while somebody may read a message in it.
//!
//! A message can be copied forward, finished or deleted while the delivery agent is reading it where it lay
//! when the job was sent. Used again, the segment would give the agent another one's message. So whoever
//! was told of the place holds a [`Reading`] until the outcome is there; the message's own fate is none
//! of its business.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use tokio::sync::Notify;

/// Those who may read in one segment.
#[derive(Default)]
pub(crate) struct Readers(Rc<Cell<u32>>);

impl Readers {
    /// `ended` is told when the last one is dropped.
    pub(crate) fn begin(&self, ended: &Rc<Notify>) -> Reading {
        self.0.set(self.0.get() + 1);
        Reading { readers: Rc::clone(&self.0), ended: Rc::clone(ended) }
    }

    pub(crate) fn any(&self) -> bool {
        self.0.get() > 0
    }
}

/// As long as it lives, so do the bytes of the segment.
pub(crate) struct Reading {
    readers: Rc<Cell<u32>>,
    ended: Rc<Notify>,
}

impl Clone for Reading {
    fn clone(&self) -> Self {
        self.readers.set(self.readers.get() + 1);
        Self { readers: Rc::clone(&self.readers), ended: Rc::clone(&self.ended) }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.set(self.readers.get() - 1);
        if self.readers.get() == 0 {
            self.ended.notify_one();
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reading(one of {})", self.readers.get())
    }
}
