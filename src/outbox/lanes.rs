//! The three priorities, each with what is queued in it and with who is the oldest.

use super::arena::{Arena, NIL, Slots, Stage};
use super::config::Policy;
use super::message::Priority;
use super::ring::{Age, Place, Ring};

/// Messages and the bytes of their payloads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    pub(super) messages: u32,
    pub(super) bytes: u32,
}

impl Tally {
    pub(super) const ZERO: Tally = Tally { messages: 0, bytes: 0 };

    pub(super) const fn plus(self, other: Tally) -> Tally {
        Tally {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(super) const fn enter(&mut self, len: u32) {
        *self = self.plus(Tally { messages: 1, bytes: len });
    }

    pub(super) const fn leave(&mut self, len: u32) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(len);
    }
}

/// One priority.
///
/// `queue` is the order of sending, which is not that of acceptance: a message that replaced another has the place of
/// that one. So the queued and in-flight messages are also linked by age. `oldest` is a mark on that ring: all before it
/// are in flight. It only moves on, past messages that were taken, until `requeue` sets it back; so finding the oldest
/// queued message costs each `take` one step.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) queue: Ring<Place>,
    pub(super) queued: Tally,
    age: Ring<Age>,
    oldest: u32,
}

impl Lane {
    const EMPTY: Lane = Lane { queue: Ring::EMPTY, queued: Tally::ZERO, age: Ring::EMPTY, oldest: NIL };

    /// The queued and in-flight ones, by acceptance.
    pub(super) fn by_age<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> impl Iterator<Item = u32> {
        self.age.walk(arena)
    }

    fn oldest_queued<P, S: Slots<P>>(&mut self, arena: &Arena<P, S>) -> Option<u32> {
        // The bound never binds, unless a caller swapped arenas.
        for _ in 0..arena.capacity() {
            if arena.slot(self.oldest)?.stage == Stage::Queued {
                return Some(self.oldest);
            }
            self.oldest = self.age.after(arena, self.oldest).unwrap_or(NIL);
        }
        None
    }
}

#[derive(Debug)]
pub(super) struct Lanes {
    high: Lane,
    normal: Lane,
    low: Lane,
}

impl Lanes {
    pub(super) const EMPTY: Lanes = Lanes { high: Lane::EMPTY, normal: Lane::EMPTY, low: Lane::EMPTY };

    pub(super) const fn of(&self, priority: Priority) -> &Lane {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
            Priority::Low => &self.low,
        }
    }

    pub(super) const fn of_mut(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }

    pub(super) const fn queued(&self) -> Tally {
        self.high.queued.plus(self.normal.queued).plus(self.low.queued)
    }

    /// The message to send next.
    pub(super) fn front<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> Option<u32> {
        let head = |lane: &Lane| lane.queue.head(arena);
        head(&self.high).or_else(|| head(&self.normal)).or_else(|| head(&self.low))
    }

    /// The message behind this queued one, if it has this priority and is not the last.
    pub(super) fn behind<P, S: Slots<P>>(
        &self,
        arena: &Arena<P, S>,
        index: u32,
        priority: Priority,
    ) -> Option<u32> {
        let slot = arena.slot(index).filter(|slot| slot.priority == priority)?;
        self.of(slot.priority).queue.after(arena, index)
    }

    /// The message that goes first to make room for one of this priority.
    pub(super) fn victim<P, S: Slots<P>>(
        &mut self,
        arena: &Arena<P, S>,
        policy: Policy,
        priority: Priority,
    ) -> Option<u32> {
        let lanes = policy.evictable(priority).iter();
        let mut oldest = lanes.filter_map(|&lane| self.of_mut(lane).oldest_queued(arena));
        match policy {
            Policy::DropOldest => oldest.min_by_key(|&index| arena.slot(index).map(|slot| slot.sequence)),
            Policy::DropLowest | Policy::Refuse => oldest.next(),
        }
    }

    /// Counts a new message as the youngest.
    pub(super) fn accept<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32, priority: Priority) {
        let lane = self.of_mut(priority);
        lane.age.insert(arena, index, None);
        if lane.oldest == NIL {
            lane.oldest = index;
        }
    }

    /// Undoes [`accept`](Lanes::accept).
    pub(super) fn forget<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        let Some(slot) = arena.slot(index) else { return };
        let lane = self.of_mut(slot.priority);
        if lane.oldest == index {
            lane.oldest = lane.age.after(arena, index).unwrap_or(NIL);
        }
        lane.age.remove(arena, index);
    }

    /// Nothing is in flight any more: the oldest of all are the oldest queued ones.
    pub(super) fn rewind<P, S: Slots<P>>(&mut self, arena: &Arena<P, S>) {
        for priority in Priority::ALL {
            let lane = self.of_mut(priority);
            lane.oldest = lane.age.head(arena).unwrap_or(NIL);
        }
    }

    /// The youngest of each priority, queued or in flight.
    pub(super) fn youngest(&self) -> [Option<u32>; 3] {
        Priority::ALL.map(|priority| self.of(priority).age.tail())
    }
}
