//! An outbox as bytes, and back: for a state that outlives the process. Ids stay what they are.

use core::time::Duration;

use super::arena::{Arena, DOUBTFUL, NIL, Slot, Slots, Stage};
use super::message::{Key, Kind, Outcome, Priority, is_own};
use super::ring::{Place, Ring};
use super::{Instant, Outbox};
use crate::store::{Load, Save};
use crate::time::micros;

impl Outbox {
    /// Says everything to `save`: the messages, the order in which they are queued and in flight, and what is settled but not
    /// reported.
    pub(crate) fn save<P: AsRef<[u8]>, S: Slots<P>>(
        &self,
        arena: &Arena<P, S>,
        now: Instant,
        save: &mut Save<impl FnMut(&[u8])>,
    ) {
        save.long(self.sequence);
        for priority in Priority::ALL {
            let lane = self.lanes.of(priority);
            let ages = || lane.by_age(arena);
            save.number(count(ages()));
            for index in ages() {
                if let Some(slot) = arena.slot(index) {
                    save.number(index);
                    save_message(slot, now, save);
                }
            }
        }
        self.save_order(&self.flight, arena, save);
        for priority in Priority::ALL {
            self.save_order(&self.lanes.of(priority).queue, arena, save);
        }
        let told = || {
            self.settled.walk(arena).filter(|index| !arena.slot(*index).is_some_and(|slot| is_own(slot.tag)))
        };
        save.number(count(told()));
        for index in told() {
            if let Some(Slot { stage: Stage::Settled(outcome), sequence, .. }) = arena.slot(index) {
                save.number(index);
                save.long(*sequence);
                save.byte(number_of(*outcome));
            }
        }
    }

    fn save_order<P, S: Slots<P>>(
        &self,
        ring: &Ring<Place>,
        arena: &Arena<P, S>,
        save: &mut Save<impl FnMut(&[u8])>,
    ) {
        save.number(count(ring.walk(arena)));
        ring.walk(arena).for_each(|index| save.number(index));
    }

    /// The outbox that was saved; what was due has `away` less time left. `None`, and nothing is kept, if the bytes make none, or
    /// the arena has not all of its slots.
    pub(crate) fn load<P: for<'a> From<&'a [u8]>, S: Slots<P>>(
        salt: u32,
        arena: &mut Arena<P, S>,
        now: Instant,
        away: Duration,
        load: &mut Load<'_>,
    ) -> Option<Outbox> {
        let mut outbox = Outbox::new(salt);
        if outbox.fill(arena, now, away, load).is_none() {
            outbox.release(arena);
            arena.vacate_loose(salt);
            return None;
        }
        Some(outbox)
    }

    fn fill<P: for<'a> From<&'a [u8]>, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        now: Instant,
        away: Duration,
        load: &mut Load<'_>,
    ) -> Option<()> {
        let salt = self.salt;
        let outbox = self;
        outbox.sequence = load.long()?;
        for priority in Priority::ALL {
            for _ in 0..load.number()? {
                let index = load.number()?;
                arena.reserve(index, salt)?;
                let slot = arena.slot_mut(index)?;
                slot.priority = priority;
                load_message(slot, now, away, load)?;
                if slot.sequence > outbox.sequence {
                    return None;
                }
                outbox.lanes.accept(arena, index, priority);
            }
        }
        for _ in 0..load.number()? {
            let index = loose(arena, load)?;
            outbox.launch(arena, index);
        }
        for priority in Priority::ALL {
            for _ in 0..load.number()? {
                let index = loose(arena, load)?;
                if arena.slot(index)?.priority != priority {
                    return None;
                }
                outbox.enter(arena, index, None);
            }
        }
        let held = outbox.in_flight.plus(outbox.lanes.queued());
        let mut kept = 0;
        for priority in Priority::ALL {
            kept += count(outbox.lanes.of(priority).by_age(arena));
        }
        if held.messages != kept {
            return None;
        }
        for _ in 0..load.number()? {
            let index = load.number()?;
            arena.reserve(index, salt)?;
            let slot = arena.slot_mut(index)?;
            slot.sequence = load.long()?;
            slot.stage = Stage::Settled(outcome_of(load.byte()?)?);
            outbox.settled.insert(arena, index, None);
        }
        outbox.rewind(arena);
        Some(())
    }

    /// Settles as in doubt what is queued and was accepted up to this one: it may have been sent by a copy of this outbox that
    /// lived on.
    pub(crate) fn doubt_queued<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, sequence: u64) {
        for priority in Priority::ALL {
            let mut next = self.lanes.of(priority).queue.head(arena);
            for _ in 0..self.lanes.of(priority).queued.messages {
                let Some(index) = next else { break };
                next = self.lanes.of(priority).queue.after(arena, index);
                let old = arena.slot(index).is_some_and(|slot| slot.sequence <= sequence);
                if old && self.leave(arena, index) {
                    self.settle(arena, Some(index), Outcome::InDoubt);
                }
            }
        }
    }

    /// The number of the message that was accepted last.
    pub(crate) const fn last_sequence(&self) -> u64 {
        self.sequence
    }
}

/// There are no more slots than a `u32` counts.
fn count(indices: impl Iterator<Item = u32>) -> u32 {
    indices.fold(0, |count: u32, _| count.saturating_add(1))
}

/// A slot that was filled and has no place yet.
fn loose<P, S: Slots<P>>(arena: &Arena<P, S>, load: &mut Load<'_>) -> Option<u32> {
    let index = load.number()?;
    (index != NIL && arena.slot(index)?.stage == Stage::Loose).then_some(index)
}

fn save_message<P: AsRef<[u8]>>(slot: &Slot<P>, now: Instant, save: &mut Save<impl FnMut(&[u8])>) {
    save.long(slot.sequence);
    let doubtful = if slot.is_doubtful() { 2 } else { 0 };
    save.byte(match slot.kind {
        Kind::Text => doubtful,
        Kind::Binary => 1 | doubtful,
    });
    save.byte(slot.tag);
    save.optional(slot.key.map(Key::number));
    save.optional(slot.deadline.map(|deadline| micros(deadline - now)));
    save.bytes(slot.payload.as_ref().map_or(&[], AsRef::as_ref));
}

fn load_message<P: for<'a> From<&'a [u8]>>(
    slot: &mut Slot<P>,
    now: Instant,
    away: Duration,
    load: &mut Load<'_>,
) -> Option<()> {
    slot.sequence = load.long()?;
    (slot.kind, slot.end) = match load.byte()? {
        0 => (Kind::Text, 0),
        1 => (Kind::Binary, 0),
        2 => (Kind::Text, DOUBTFUL),
        3 => (Kind::Binary, DOUBTFUL),
        _ => return None,
    };
    slot.tag = load.byte()?;
    slot.key = load.optional()?.map(Key::new);
    let left = |micros| Duration::from_micros(micros).saturating_sub(away);
    slot.deadline = load.optional()?.map(|micros| now + left(micros));
    let payload = load.bytes()?;
    slot.len = u32::try_from(payload.len()).ok()?;
    slot.payload = Some(P::from(payload));
    Some(())
}

const OUTCOMES: [Outcome; 9] = [
    Outcome::Acknowledged,
    Outcome::Written,
    Outcome::Expired,
    Outcome::Evicted,
    Outcome::Replaced,
    Outcome::Cancelled,
    Outcome::TooLarge,
    Outcome::Stopped,
    Outcome::InDoubt,
];

fn number_of(outcome: Outcome) -> u8 {
    OUTCOMES.iter().position(|one| *one == outcome).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn outcome_of(number: u8) -> Option<Outcome> {
    OUTCOMES.get(usize::from(number)).copied()
}
