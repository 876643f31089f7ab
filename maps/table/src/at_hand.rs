//! Generations that a thread has at hand, so that looking one up costs no locked instruction.
//!
//! Taking part in the count of who reads a generation, and leaving it, are two locked instructions, and
//! neither lets a processor begin with what follows before all before it has ended: lookups that would wait
//! for memory at the same time wait one after the other. A thread that looks up all the time keeps the
//! generation instead, and compares a number to know whether there is a later one.
//!
//! What it keeps is what it must give back, or a table that was replaced long ago stays in memory and on
//! the disk. So only a thread does this that has promised to.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::table::Generation;

/// Tables that a thread has at hand; two that share a place take turns.
const PLACES: usize = 64;

/// The promise of a thread to call [`AtHand::let_go`] each second or so. For as long as this value is there,
/// lookups on the thread are quicker: at most that long after a table was replaced, the one before is given
/// back. What is looked up is in the latest table all the time.
#[derive(Debug)]
pub struct AtHand(
    /// It is of this thread.
    PhantomData<*const ()>,
);

struct Kept {
    /// How many [`AtHand`] there are.
    promises: Cell<usize>,
    /// Dropped by [`AtHand`]: what a thread drops at its end costs a look at each access.
    places: [Cell<Option<ManuallyDrop<Arc<Generation>>>>; PLACES],
}

thread_local! {
    // Nobody is told which thread looks something up; what is here is known to no other.
    static KEPT: Kept = const {
        Kept { promises: Cell::new(0), places: [const { Cell::new(None) }; PLACES] }
    };
}

impl AtHand {
    /// Begins to keep what is looked up in.
    #[expect(clippy::new_without_default, reason = "it changes what the thread does")]
    pub fn new() -> Self {
        KEPT.with(|kept| kept.promises.set(kept.promises.get() + 1));
        Self(PhantomData)
    }

    /// Gives back what is kept. The next lookup in each table takes what is then the latest.
    pub fn let_go(&self) {
        KEPT.with(|kept| {
            for place in &kept.places {
                drop(place.take().map(ManuallyDrop::into_inner));
            }
        });
    }
}

impl Drop for AtHand {
    fn drop(&mut self) {
        KEPT.with(|kept| kept.promises.set(kept.promises.get() - 1));
        self.let_go();
    }
}

/// What is kept in a place, taken out while it is asked: a table that is made of others asks them meanwhile.
/// Puts it back when it is dropped, so that the answer goes to where it is wanted and nowhere else before.
pub(crate) struct Taken {
    place: usize,
    generation: Option<Arc<Generation>>,
}

impl Taken {
    /// What is kept in this place, if it has this number.
    #[inline]
    pub(crate) fn from(place: usize, serial: u64) -> Self {
        let place = place % PLACES;
        let kept = KEPT.with(|kept| kept.places[place].take()).map(ManuallyDrop::into_inner);
        Self { place, generation: kept.filter(|kept| kept.is_numbered(serial)) }
    }

    #[inline]
    pub(crate) fn generation(&self) -> Option<&Generation> {
        self.generation.as_deref()
    }

    /// The latest one, which will be kept.
    pub(crate) fn renew(&mut self, generation: Arc<Generation>) -> &Generation {
        self.generation.insert(generation)
    }
}

impl Drop for Taken {
    #[inline]
    fn drop(&mut self) {
        let Some(generation) = self.generation.take() else { return };
        let kept = Some(ManuallyDrop::new(generation));
        let other = KEPT.with(|it| it.places[self.place].replace(kept));
        if let Some(other) = other {
            drop(ManuallyDrop::into_inner(other));
        }
    }
}

/// Whether the thread has promised to let go.
pub(crate) fn is_promised() -> bool {
    KEPT.with(|kept| kept.promises.get() > 0)
}
