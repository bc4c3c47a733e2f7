//! Which queued message expires first: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986)
//! through the slots of an arena, ordered by deadline and then by acceptance.
//!
//! Entering is O(1), leaving from anywhere is O(log n) amortized, and nothing recurses.

use super::arena::{Arena, NIL, Slots};
use crate::time::Instant;

/// A slot's part in a heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heap {
    /// The first of those that are not earlier.
    child: u32,
    /// The next child of the same parent.
    sibling: u32,
    /// The child before this one; of a first child, the parent.
    back: u32,
}

impl Heap {
    pub(super) const NONE: Heap = Heap { child: NIL, sibling: NIL, back: NIL };
}

/// A heap is its root: the slot that expires first.
#[derive(Debug)]
pub(super) struct Expiry {
    root: u32,
}

impl Expiry {
    pub(super) const EMPTY: Expiry = Expiry { root: NIL };

    /// The message that expires first, and when.
    pub(super) fn first<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> Option<(u32, Instant)> {
        Some((self.root, arena.slot(self.root)?.deadline?))
    }

    pub(super) fn insert<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        arena.heap(index, |heap| *heap = Heap::NONE);
        self.root = arena.meld(self.root, index);
    }

    pub(super) fn remove<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        let Some(slot) = arena.slot(index) else { return };
        let Heap { child, sibling, back } = slot.heap;
        let children = arena.meld_all(child);
        if index == self.root {
            self.root = children;
            return;
        }
        arena.heap(sibling, |heap| heap.back = back);
        arena.heap(back, |heap| match heap.child == index {
            true => heap.child = sibling,
            false => heap.sibling = sibling,
        });
        self.root = arena.meld(self.root, children);
    }
}

impl<P, S: Slots<P>> Arena<P, S> {
    fn heap(&mut self, index: u32, set: impl FnOnce(&mut Heap)) {
        if let Some(slot) = self.slot_mut(index) {
            set(&mut slot.heap);
        }
    }

    /// One heap of two; a root's own `sibling` and `back` are `NIL`.
    fn meld(&mut self, a: u32, b: u32) -> u32 {
        let (Some(first), Some(second)) = (self.slot(a), self.slot(b)) else {
            return if a == NIL { b } else { a };
        };
        let a_wins = (first.deadline, first.sequence) <= (second.deadline, second.sequence);
        let (root, child) = if a_wins { (a, b) } else { (b, a) };
        let sibling = self.slot(root).map_or(NIL, |slot| slot.heap.child);
        self.heap(sibling, |heap| heap.back = child);
        self.heap(root, |heap| heap.child = child);
        self.heap(child, |heap| {
            heap.sibling = sibling;
            heap.back = root;
        });
        root
    }

    /// One heap of a list of siblings: melded in pairs from the front, then pair by pair from the back.
    fn meld_all(&mut self, first: u32) -> u32 {
        // The bounds do not bind in a sound heap; they end the loop if a caller swapped arenas and so made it unsound.
        let bound = self.capacity();
        let (mut rest, mut pairs, mut root) = (first, NIL, NIL);
        for _ in 0..bound {
            if rest == NIL {
                break;
            }
            let a = rest;
            let b = self.cut(a);
            rest = self.cut(b);
            let pair = self.meld(a, b);
            self.heap(pair, |heap| heap.sibling = pairs);
            pairs = pair;
        }
        for _ in 0..bound {
            if pairs == NIL {
                break;
            }
            let pair = pairs;
            pairs = self.cut(pair);
            root = self.meld(root, pair);
        }
        root
    }

    /// Makes the first of a list of siblings a root; the next of them is returned.
    fn cut(&mut self, index: u32) -> u32 {
        let mut sibling = NIL;
        self.heap(index, |heap| {
            sibling = heap.sibling;
            heap.sibling = NIL;
            heap.back = NIL;
        });
        sibling
    }
}
