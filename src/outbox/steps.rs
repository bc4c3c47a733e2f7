//! The steps of which the commands of an outbox are made: each takes one message from one stage to the next.
//!
//! A step looks first whether the slot is in the stage that it starts from and belongs to this outbox. So a foreign
//! arena changes nothing, and each loop over steps ends.

use super::arena::{Arena, NIL, Slot, Slots, Stage};
use super::config::{Config, Policy};
use super::message::{MessageId, Outcome, Priority, Sending, Settlement};
use super::{Instant, Outbox};

impl Outbox {
    /// Whether the arena looks like the one that has the messages of this outbox.
    pub(super) fn at_home<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> bool {
        let known = |tail: Option<u32>| {
            tail.is_none_or(|index| arena.slot(index).is_some_and(|slot| self.owns(slot)))
        };
        let [high, normal, low] = self.lanes.youngest();
        known(high) && known(normal) && known(low) && known(self.settled.tail())
    }

    fn owns<P>(&self, slot: &Slot<P>) -> bool {
        slot.owner == self.salt && slot.stage != Stage::Free
    }

    /// Whether there is room for one more message as it is.
    pub(super) fn fits<P, S: Slots<P>>(&self, arena: &Arena<P, S>, config: &Config, len: u32) -> bool {
        let held = self.in_flight.plus(self.lanes.queued());
        held.messages < config.messages
            && held.bytes <= config.bytes.saturating_sub(len)
            && arena.available() > 0
    }

    /// Whether a message would fit after all that may be evicted for it is gone, and the `older` one with its key.
    pub(super) fn could_fit<P, S: Slots<P>>(
        &self,
        arena: &Arena<P, S>,
        config: &Config,
        len: u32,
        priority: Priority,
        older: Option<u32>,
        spare: Option<u32>,
    ) -> bool {
        let evictable = config.policy.evictable(priority);
        let stays = |priority: &Priority| !evictable.contains(priority);
        let mut kept = self.in_flight;
        for priority in Priority::ALL.into_iter().filter(stays) {
            kept = kept.plus(self.lanes.of(priority).queued);
        }
        if let Some(older) = older.and_then(|older| arena.slot(older)).filter(|older| stays(&older.priority))
        {
            kept.leave(older.len);
        }
        let some_goes = older.is_some()
            || spare.is_some()
            || evictable.iter().any(|&priority| self.lanes.of(priority).queued.messages > 0);
        kept.messages < config.messages
            && kept.bytes <= config.bytes.saturating_sub(len)
            && (some_goes || arena.available() > 0)
    }

    pub(super) fn is_over(&self, config: &Config) -> bool {
        let held = self.in_flight.plus(self.lanes.queued());
        held.messages > config.messages || held.bytes > config.bytes
    }

    /// Loose → queued, in front of `next` or at the end.
    pub(super) fn enter<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32, next: Option<u32>) {
        let Some(slot) = arena.slot_mut(index) else { return };
        slot.stage = Stage::Queued;
        let lane = self.lanes.of_mut(slot.priority);
        lane.queued.enter(slot.len);
        let expires = slot.deadline.is_some();
        lane.queue.insert(arena, index, next);
        if expires {
            self.expiry.insert(arena, index);
        }
        arena.enlist(index);
    }

    /// Queued → loose; false if it is not queued.
    pub(super) fn leave<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) -> bool {
        let Some(slot) = self.in_stage(arena, index, Stage::Queued) else { return false };
        slot.stage = Stage::Loose;
        let lane = self.lanes.of_mut(slot.priority);
        lane.queued.leave(slot.len);
        let expires = slot.deadline.is_some();
        lane.queue.remove(arena, index);
        if expires {
            self.expiry.remove(arena, index);
        }
        arena.delist(index);
        true
    }

    /// Loose → in flight.
    pub(super) fn launch<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) {
        let Some(slot) = arena.slot_mut(index) else { return };
        self.taken = self.taken.saturating_add(u64::from(slot.len));
        if !slot.is_doubtful() {
            slot.end = self.taken;
        }
        slot.stage = Stage::InFlight;
        self.in_flight.enter(slot.len);
        self.flight.insert(arena, index, None);
    }

    /// In flight → loose; false if it is not in flight.
    pub(super) fn land<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) -> bool {
        let Some(slot) = self.in_stage(arena, index, Stage::InFlight) else { return false };
        slot.stage = Stage::Loose;
        self.in_flight.leave(slot.len);
        if self.next == index {
            self.next = self.flight.after(arena, index).unwrap_or(NIL);
        }
        self.flight.remove(arena, index);
        true
    }

    /// Loose → settled, to be reported by `next_settlement`.
    pub(super) fn settle<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        index: Option<u32>,
        outcome: Outcome,
    ) {
        let Some(index) = index else { return };
        self.lanes.forget(arena, index);
        let Some(slot) = arena.slot_mut(index) else { return };
        slot.stage = Stage::Settled(slot.told(outcome));
        slot.payload = None;
        self.settled.insert(arena, index, None);
    }

    /// Loose → free; the payload is what was in it.
    pub(super) fn reclaim<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, index: u32) -> Option<P> {
        self.lanes.forget(arena, index);
        arena.vacate(index)
    }

    /// Queued or loose → free, reported at once.
    pub(super) fn displace<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        index: u32,
        outcome: Outcome,
        displaced: &mut impl FnMut(Settlement, P),
    ) -> bool {
        self.leave(arena, index);
        let Some(slot) = arena.slot(index) else { return false };
        let (id, outcome) = (MessageId::new(slot.sequence, index, slot.tag), slot.told(outcome));
        let Some(payload) = self.reclaim(arena, index) else { return false };
        displaced(Settlement { id, outcome }, payload);
        true
    }

    /// Makes room by one message; false if the policy does not allow that.
    pub(super) fn evict<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        policy: Policy,
        priority: Priority,
        displaced: &mut impl FnMut(Settlement, P),
    ) -> bool {
        self.lanes
            .victim(arena, policy, priority)
            .is_some_and(|victim| self.displace(arena, victim, Outcome::Evicted, displaced))
    }

    /// Settles what is due, all but the last: that one is loose, for its slot may be needed at once.
    pub(super) fn expire_but_last<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        now: Instant,
    ) -> Option<u32> {
        let mut last = None;
        while let Some((index, deadline)) = self.expiry.first(arena) {
            if deadline > now || !self.leave(arena, index) {
                break;
            }
            self.settle(arena, last.replace(index), Outcome::Expired);
        }
        last
    }

    pub(super) fn sending<'a, P, S: Slots<P>>(
        &self,
        arena: &'a Arena<P, S>,
        index: u32,
    ) -> Option<Sending<'a, P>> {
        let slot = arena.slot(index).filter(|slot| self.owns(slot))?;
        let id = MessageId::new(slot.sequence, index, slot.tag);
        Some(Sending { id, kind: slot.kind, tag: slot.tag, payload: slot.payload.as_ref()?, len: slot.len })
    }

    fn in_stage<'a, P, S: Slots<P>>(
        &self,
        arena: &'a mut Arena<P, S>,
        index: u32,
        stage: Stage,
    ) -> Option<&'a mut Slot<P>> {
        arena.slot_mut(index).filter(|slot| slot.owner == self.salt && slot.stage == stage)
    }
}
