//! Doubly linked rings through the slots of an arena, by index.
//!
//! ```text
//!            ┌────────────────────────────┐
//!            └─► head ⇄ … ⇄ … ⇄ tail ─────┘
//!                                 ▲ Ring
//! ```
//!
//! A ring knows only its tail, whose successor is its head: so four bytes are enough for a queue.

use core::marker::PhantomData;

use super::arena::{Arena, NIL, Slot, Slots};

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl Link {
    pub(super) const NONE: Link = Link { prev: NIL, next: NIL };
}

/// Which link of a slot a ring runs through.
pub(super) trait Thread {
    fn link<P>(slot: &Slot<P>) -> &Link;
    fn link_mut<P>(slot: &mut Slot<P>) -> &mut Link;
}

/// The ring of those that are in the same stage.
#[derive(Debug)]
pub(super) struct Place;

impl Thread for Place {
    fn link<P>(slot: &Slot<P>) -> &Link {
        &slot.place
    }
    fn link_mut<P>(slot: &mut Slot<P>) -> &mut Link {
        &mut slot.place
    }
}

/// The ring of those that are not settled, by acceptance.
#[derive(Debug)]
pub(super) struct Age;

impl Thread for Age {
    fn link<P>(slot: &Slot<P>) -> &Link {
        &slot.age
    }
    fn link_mut<P>(slot: &mut Slot<P>) -> &mut Link {
        &mut slot.age
    }
}

#[derive(Debug)]
pub(super) struct Ring<T> {
    tail: u32,
    thread: PhantomData<T>,
}

impl<T: Thread> Ring<T> {
    pub(super) const EMPTY: Ring<T> = Ring { tail: NIL, thread: PhantomData };

    /// The one with this tail; empty if there is none.
    pub(super) const fn ending(tail: u32) -> Ring<T> {
        Ring { tail, thread: PhantomData }
    }

    pub(super) fn tail(&self) -> Option<u32> {
        Some(self.tail).filter(|&tail| tail != NIL)
    }

    pub(super) fn head<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> Option<u32> {
        arena.slot(self.tail).map(|tail| T::link(tail).next)
    }

    /// The one behind `index`, unless that is the last.
    pub(super) fn after<P, S: Slots<P>>(&self, arena: &Arena<P, S>, index: u32) -> Option<u32> {
        if index == self.tail { None } else { arena.slot(index).map(|slot| T::link(slot).next) }
    }

    /// All of it, from the head on. (The bound never binds, unless a caller swapped arenas.)
    pub(super) fn walk<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> impl Iterator<Item = u32> {
        let all = core::iter::successors(self.head(arena), |&index| self.after(arena, index));
        all.take(arena.capacity() as usize)
    }

    /// Puts `index` in front of `next`, or at the end.
    pub(super) fn insert<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32, next: Option<u32>) {
        let Some(head) = self.head(arena) else {
            Ring::<T>::link(arena, index, |link| *link = Link { prev: index, next: index });
            self.tail = index;
            return;
        };
        let follower = next.unwrap_or(head);
        let prev = arena.slot(follower).map_or(NIL, |slot| T::link(slot).prev);
        Ring::<T>::link(arena, index, |link| *link = Link { prev, next: follower });
        Ring::<T>::link(arena, prev, |link| link.next = index);
        Ring::<T>::link(arena, follower, |link| link.prev = index);
        if next.is_none() {
            self.tail = index;
        }
    }

    pub(super) fn remove<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        let Some(&Link { prev, next }) = arena.slot(index).map(T::link) else { return };
        if prev == index && self.tail == index {
            self.tail = NIL;
            return;
        }
        Ring::<T>::link(arena, prev, |link| link.next = next);
        Ring::<T>::link(arena, next, |link| link.prev = prev);
        if self.tail == index {
            self.tail = prev;
        }
    }

    fn link<P, S: Slots<P>>(arena: &mut Arena<P, S>, index: u32, set: impl FnOnce(&mut Link)) {
        if let Some(slot) = arena.slot_mut(index) {
            set(T::link_mut(slot));
        }
    }
}
