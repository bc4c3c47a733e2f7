//! Which queued message has a key: a hash table whose buckets are the slots themselves, shared by all outboxes of the
//! arena. It has as many buckets as there can be messages, so that a look-up takes O(1) expected.

use super::arena::{Arena, NIL, Slots};
use super::message::Key;

impl<P, S: Slots<P>> Arena<P, S> {
    /// The queued message of this outbox that has this key.
    pub(super) fn keyed(&self, owner: u32, key: Key) -> Option<u32> {
        let mut next = self.slot(self.bucket(owner, key))?.bucket;
        for _ in 0..self.capacity() {
            let slot = self.slot(next)?;
            if slot.owner == owner && slot.key == Some(key) {
                return Some(next);
            }
            next = slot.chain;
        }
        None
    }

    /// Makes the message known by its key, if it has one.
    pub(super) fn enlist(&mut self, index: u32) {
        let Some(bucket) = self.bucket_of(index) else { return };
        let first = self.slot_mut(bucket).map_or(NIL, |slot| core::mem::replace(&mut slot.bucket, index));
        if let Some(slot) = self.slot_mut(index) {
            slot.chain = first;
        }
    }

    /// Undoes [`enlist`](Arena::enlist).
    pub(super) fn delist(&mut self, index: u32) {
        let Some(bucket) = self.bucket_of(index) else { return };
        let next = self.slot(index).map_or(NIL, |slot| slot.chain);
        let Some(slot) = self.slot_mut(bucket) else { return };
        if slot.bucket == index {
            slot.bucket = next;
            return;
        }
        let mut before = slot.bucket;
        for _ in 0..self.capacity() {
            let Some(slot) = self.slot_mut(before) else { return };
            if slot.chain == index {
                slot.chain = next;
                return;
            }
            before = slot.chain;
        }
    }

    fn bucket_of(&self, index: u32) -> Option<u32> {
        let slot = self.slot(index)?;
        Some(self.bucket(slot.owner, slot.key?))
    }

    /// Multiplicative hashing of both, so that neighbouring keys of neighbouring outboxes spread.
    fn bucket(&self, owner: u32, key: Key) -> u32 {
        let mixed = key.number().wrapping_add(u64::from(owner).wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let hash = (mixed ^ (mixed >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ((hash * u64::from(self.capacity())) >> 32) as u32
    }
}
