//! The slots that messages live in. An outbox has only heads and counters, so that a million of them may share one
//! arena, which is lent with each call.

use core::marker::PhantomData;

use super::expiry::Heap;
use super::message::{Key, Kind, Outcome, Priority};
use super::ring::Link;
use crate::time::Instant;

/// No slot. Every link is an index or this.
pub(super) const NIL: u32 = u32::MAX;

/// More bytes than are ever written: a wire on which messages can be in doubt and sent again does not count what is written.
pub(super) const DOUBTFUL: u64 = u64::MAX;

/// What became of the message in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    Queued,
    InFlight,
    /// Waits to be reported; the payload is gone.
    Settled(Outcome),
    /// In no ring: on its way from one stage to the next.
    Loose,
}

/// Room for one message, and for the links of everything that it takes part in: 80 bytes and the payload.
#[derive(Debug)]
pub struct Slot<P> {
    pub(super) payload: Option<P>,
    pub(super) sequence: u64,
    pub(super) key: Option<Key>,
    /// When it expires, if ever.
    pub(super) deadline: Option<Instant>,
    /// [`DOUBTFUL`] if it was in flight in a session that ended, and may have arrived there; it stays so. Else, in flight: which
    /// cumulative count of written bytes covers it.
    pub(super) end: u64,
    pub(super) len: u32,
    /// The salt of the outbox that has the slot.
    pub(super) owner: u32,
    /// Its place among those of its stage. In a free slot `next` is the next free one.
    pub(super) place: Link,
    /// Its place by age among the queued and in-flight ones of its outbox and priority.
    pub(super) age: Link,
    pub(super) heap: Heap,
    /// The first slot whose key belongs in the bucket that has the number of *this* slot.
    pub(super) bucket: u32,
    /// The next slot in the bucket that the key of this slot belongs in.
    pub(super) chain: u32,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
    pub(super) tag: u8,
    pub(super) priority: Priority,
}

impl<P> Slot<P> {
    /// A slot that nothing is in.
    ///
    /// ```
    /// use everlink::outbox::{Arena, Slot};
    ///
    /// let arena = Arena::new([const { Slot::<&[u8]>::EMPTY }; 8]);
    /// assert_eq!(arena.capacity(), 8);
    /// ```
    pub const EMPTY: Slot<P> = Slot {
        payload: None,
        sequence: 0,
        key: None,
        deadline: None,
        end: 0,
        len: 0,
        owner: 0,
        place: Link::NONE,
        age: Link::NONE,
        heap: Heap::NONE,
        bucket: NIL,
        chain: NIL,
        stage: Stage::Free,
        kind: Kind::Binary,
        tag: 0,
        priority: Priority::Normal,
    };

    /// Whether the message may have arrived already, whatever becomes of it now.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.end == DOUBTFUL
    }

    /// What is to be told of it if it ends like this.
    pub(super) const fn told(&self, outcome: Outcome) -> Outcome {
        if self.is_doubtful() && outcome.never_sent() { Outcome::InDoubt } else { outcome }
    }
}

/// What an arena can be made of: an array, a slice, a box or a vector of slots.
pub trait Slots<P>: AsRef<[Slot<P>]> + AsMut<[Slot<P>]> {}

impl<P, S: AsRef<[Slot<P>]> + AsMut<[Slot<P>]>> Slots<P> for S {}

/// What an arena is made of where nothing else is said: boxed slots.
#[cfg(feature = "alloc")]
pub type Storage<P> = alloc::boxed::Box<[Slot<P>]>;
/// What an arena is made of where nothing else is said. Without an allocator there is no good default: this one has no
/// slots, so that nobody uses it.
#[cfg(not(feature = "alloc"))]
pub type Storage<P> = PhantomData<P>;

/// A fixed number of slots, shared by any number of outboxes whose salts differ.
///
/// Each call of an outbox wants the arena of the calls before. With another one, whose slots it does not have, it does
/// nothing: a `push` is refused, nothing is handed out. (An arena in which an outbox of the same salt happens to have
/// the same slots cannot be told from the right one; then messages get mixed up, but nothing panics or hangs.)
#[derive(Debug)]
pub struct Arena<P, S = Storage<P>> {
    slots: S,
    /// The slot that was freed last.
    free: u32,
    /// Slots from here on were never used, so that making an arena touches none of them.
    fresh: u32,
    /// Slots were reserved that may be among the free ones.
    unlinked: bool,
    available: u32,
    payload: PhantomData<P>,
}

#[cfg(feature = "alloc")]
impl<P> Arena<P> {
    /// An arena of `capacity` slots (at most `u32::MAX - 1`) on the heap.
    #[must_use]
    pub fn with_capacity(capacity: u32) -> Arena<P> {
        let slots = core::iter::repeat_with(|| Slot::EMPTY);
        Arena::new(slots.take(capacity.min(NIL - 1) as usize).collect())
    }

    /// The slots themselves.
    pub(crate) fn into_slots(self) -> Storage<P> {
        self.slots
    }
}

impl<P, S: Slots<P>> Arena<P, S> {
    /// An arena of these slots, of which it uses the first `u32::MAX - 1`.
    #[must_use]
    pub fn new(slots: S) -> Arena<P, S> {
        let mut arena =
            Arena { slots, free: NIL, fresh: 0, unlinked: false, available: 0, payload: PhantomData };
        arena.available = arena.capacity();
        arena
    }

    /// How many slots there are.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.slots.as_ref().len()).unwrap_or(NIL).min(NIL - 1)
    }

    /// How many slots have no message in them.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.available
    }

    pub(super) fn slot(&self, index: u32) -> Option<&Slot<P>> {
        if index == NIL { None } else { self.slots.as_ref().get(index as usize) }
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<P>> {
        if index == NIL { None } else { self.slots.as_mut().get_mut(index as usize) }
    }

    /// Takes a free slot.
    pub(super) fn claim(&mut self, owner: u32) -> Option<u32> {
        self.link_free();
        let reused = self.free;
        let index = if reused == NIL { self.fresh } else { reused };
        let capacity = self.capacity();
        let slot = self.slot_mut(index).filter(|slot| index < capacity && slot.stage == Stage::Free)?;
        slot.stage = Stage::Loose;
        slot.owner = owner;
        let next = slot.place.next;
        if reused == NIL {
            self.fresh = self.fresh.saturating_add(1);
        } else {
            self.free = next;
        }
        self.available = self.available.saturating_sub(1);
        Some(index)
    }

    /// Takes this slot, if it is free.
    pub(super) fn reserve(&mut self, index: u32, owner: u32) -> Option<()> {
        let capacity = self.capacity();
        let slot = self.slot_mut(index).filter(|slot| index < capacity && slot.stage == Stage::Free)?;
        slot.stage = Stage::Loose;
        slot.owner = owner;
        self.fresh = self.fresh.max(index.saturating_add(1));
        self.unlinked = true;
        self.available = self.available.saturating_sub(1);
        Some(())
    }

    /// Finds the free slots, if some were taken out of the order.
    fn link_free(&mut self) {
        if !core::mem::take(&mut self.unlinked) {
            return;
        }
        self.free = NIL;
        for index in (0..self.fresh).rev() {
            let next = self.free;
            if let Some(slot) = self.slot_mut(index).filter(|slot| slot.stage == Stage::Free) {
                slot.place.next = next;
                self.free = index;
            }
        }
    }

    /// Gives back what an owner has taken and put nowhere.
    pub(super) fn vacate_loose(&mut self, owner: u32) {
        for index in 0..self.fresh {
            if self.slot(index).is_some_and(|slot| slot.stage == Stage::Loose && slot.owner == owner) {
                self.vacate(index);
            }
        }
    }

    /// Gives a slot back, and what was in it.
    pub(super) fn vacate(&mut self, index: u32) -> Option<P> {
        let next = self.free;
        let slot = self.slot_mut(index).filter(|slot| slot.stage == Stage::Loose)?;
        slot.stage = Stage::Free;
        slot.place.next = next;
        let payload = slot.payload.take();
        self.free = index;
        self.available = self.available.saturating_add(1);
        payload
    }
}
