//! What goes between the thread that looks through the maildrop and the shards.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use mail::Time;

/// A submission on its way to a shard.
#[derive(Debug)]
pub struct Parcel {
    pub(super) file: File,
    /// Who left it.
    pub(super) user_id: u32,
    /// When.
    pub(super) left: Time,
    pub(super) answer: Answer,
}

/// What becomes of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the queue, or nobody is to have it.
    Taken,
    /// It stays, and is tried again.
    Kept,
    /// Nothing can be made of it.
    SetAside(Box<str>),
}

/// Tells the thread what becomes of a file, once; that it stays, where nobody says anything.
#[derive(Debug)]
pub(super) struct Answer {
    name: Box<str>,
    to: Option<Sender<Ring>>,
}

impl Answer {
    pub(super) fn new(name: &str, to: Sender<Ring>) -> Self {
        Self { name: name.into(), to: Some(to) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn give(mut self, fate: Fate) {
        self.send(fate);
    }

    fn send(&mut self, fate: Fate) {
        if let Some(to) = self.to.take() {
            // A thread that has ended has no use for it.
            let _ = to.send(Ring(Why::Done(std::mem::take(&mut self.name), fate)));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.send(Fate::Kept);
    }
}

/// Wakes the thread.
#[derive(Debug)]
pub struct Ring(pub(super) Why);

#[derive(Debug)]
pub(super) enum Why {
    /// Somebody has left something.
    Left,
    /// The configuration is another one: what was of no use may be now.
    Renewed,
    /// A shard is done with this file.
    Done(Box<str>, Fate),
    /// The mail system stops.
    Stop,
}

/// What others wake the thread by. However often it is rung, the thread looks once.
#[derive(Clone, Debug)]
pub struct Bell {
    to: Sender<Ring>,
    rung: Arc<AtomicBool>,
}

impl Bell {
    pub(super) fn new(to: Sender<Ring>) -> Self {
        Self { to, rung: Arc::default() }
    }

    /// There is something in the maildrop.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // A thread that has ended looks no more.
            let _ = self.to.send(Ring(Why::Left));
        }
    }

    /// The configuration is another one.
    pub fn renewed(&self) {
        let _ = self.to.send(Ring(Why::Renewed));
    }

    /// What is under way is finished, and nothing else begun.
    pub fn stop(&self) {
        let _ = self.to.send(Ring(Why::Stop));
    }

    /// It was rung, and heard too early.
    pub(super) fn again(&self) {
        let _ = self.to.send(Ring(Why::Left));
    }

    /// Whoever rings from now on is heard again.
    pub(super) fn heard(&self) {
        self.rung.store(false, Ordering::Release);
    }

    pub(super) fn sender(&self) -> Sender<Ring> {
        self.to.clone()
    }
}
