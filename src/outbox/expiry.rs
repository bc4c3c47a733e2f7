//! Which queued message expires first, ordered by deadline and then by acceptance.
//!
//! Most have the same age limit, so that who comes later expires later: these stand in a line, which costs next to nothing. Who
//! would have to push in goes into a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986) through the
//! slots of the arena.
//!
//! Entering is O(1), leaving from anywhere is O(1) for the line and O(log n) amortized for the heap, and nothing recurses.

use super::arena::{Arena, NIL, Slot, Slots};
use super::ring::{Link, Ring, Thread};
use crate::time::Instant;

/// A slot's part in a heap, or in the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heap {
    /// The first of those that are not earlier; [`IN_LINE`] of one in the line.
    child: u32,
    /// In the line, its neighbours. In a heap, `next` is the next child of the same parent, and `prev` the child before this one
    /// or, of a first child, the parent.
    link: Link,
}

/// No slot has this index: see [`Arena::capacity`].
const IN_LINE: u32 = NIL - 1;

impl Heap {
    pub(super) const NONE: Heap = Heap { child: NIL, link: Link::NONE };
}

/// Those in the line.
#[derive(Debug)]
struct Line;

impl Thread for Line {
    fn link<P>(slot: &Slot<P>) -> &Link {
        &slot.heap.link
    }
    fn link_mut<P>(slot: &mut Slot<P>) -> &mut Link {
        &mut slot.heap.link
    }
}

/// One index, for there may be a million of these: the root of the heap, whose `next` is then the last of the line; without a heap,
/// the last of the line.
#[derive(Debug)]
pub(super) struct Expiry {
    top: u32,
}

impl Expiry {
    pub(super) const EMPTY: Expiry = Expiry { top: NIL };

    /// The line, and the root of the heap.
    #[inline]
    fn parts<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> (Ring<Line>, u32) {
        match arena.slot(self.top) {
            Some(top) if top.heap.child == IN_LINE => (Ring::ending(self.top), NIL),
            Some(top) => (Ring::ending(top.heap.link.next), self.top),
            None => (Ring::EMPTY, NIL),
        }
    }

    fn join<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, line: &Ring<Line>, root: u32) {
        let last = line.tail().unwrap_or(NIL);
        self.top = last;
        if root != NIL {
            arena.heap(root, |heap| heap.link.next = last);
            self.top = root;
        }
    }

    /// The message that expires first, and when.
    pub(super) fn first<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> Option<(u32, Instant)> {
        let (line, root) = self.parts(arena);
        let first = match line.head(arena) {
            Some(head) if root == NIL || arena.is_before(head, root) => head,
            _ => root,
        };
        Some((first, arena.slot(first)?.deadline?))
    }

    pub(super) fn insert<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        let (mut line, mut root) = self.parts(arena);
        if line.tail().is_none_or(|last| arena.is_before(last, index)) {
            arena.heap(index, |heap| heap.child = IN_LINE);
            line.insert(arena, index, None);
        } else {
            arena.heap(index, |heap| *heap = Heap::NONE);
            arena.heap(root, |heap| heap.link = Link::NONE);
            root = arena.meld(root, index);
        }
        self.join(arena, &line, root);
    }

    pub(super) fn remove<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        let (mut line, mut root) = self.parts(arena);
        let Some(slot) = arena.slot(index) else { return };
        let child = slot.heap.child;
        if child == IN_LINE {
            line.remove(arena, index);
        } else if index == root {
            root = arena.meld_all(child);
        } else {
            let Link { prev: back, next: sibling } = slot.heap.link;
            let children = arena.meld_all(child);
            arena.heap(sibling, |heap| heap.link.prev = back);
            arena.heap(back, |heap| match heap.child == index {
                true => heap.child = sibling,
                false => heap.link.next = sibling,
            });
            arena.heap(root, |heap| heap.link = Link::NONE);
            root = arena.meld(root, children);
        }
        self.join(arena, &line, root);
    }
}

impl<P, S: Slots<P>> Arena<P, S> {
    /// Whether the first of two expires first.
    fn is_before(&self, a: u32, b: u32) -> bool {
        let when = |index| self.slot(index).map(|slot| (slot.deadline, slot.sequence));
        when(a) <= when(b)
    }

    fn heap(&mut self, index: u32, set: impl FnOnce(&mut Heap)) {
        if let Some(slot) = self.slot_mut(index) {
            set(&mut slot.heap);
        }
    }

    /// One heap of two; a root's own links are `NIL`.
    fn meld(&mut self, a: u32, b: u32) -> u32 {
        if self.slot(a).is_none() || self.slot(b).is_none() {
            return if a == NIL { b } else { a };
        }
        let (root, child) = if self.is_before(a, b) { (a, b) } else { (b, a) };
        let sibling = self.slot(root).map_or(NIL, |slot| slot.heap.child);
        self.heap(sibling, |heap| heap.link.prev = child);
        self.heap(root, |heap| heap.child = child);
        self.heap(child, |heap| {
            heap.link = Link { prev: root, next: sibling };
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
            self.heap(pair, |heap| heap.link.next = pairs);
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
            sibling = heap.link.next;
            heap.link = Link::NONE;
        });
        sibling
    }
}
