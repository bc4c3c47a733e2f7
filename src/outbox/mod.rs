//! What waits to be sent: a queue with three priorities that is bounded in messages, in bytes and in time.
//!
//! ```text
//!                  ┌── displaced: expired, evicted, replaced
//!                  │   cancel
//!                  │
//!   push ──► [ queued ] ── take ──► [ in flight ] ── written ──► [ settled ] ──► next_settlement
//!               ▲  │      prepare      │       │   acknowledge       ▲
//!               │  └── expire, stop ───│───────│─────────────────────┤
//!               └────── requeue ───────┘       └── doubt, discard ───┘
//! ```
//!
//! On a wire that numbers its messages ([`delivery`](crate::delivery)), `prepare` and `hand_over` stand for `take`: a message
//! in flight stays so across sockets, and is handed over again to the next one after a `rewind`.
//!
//! The messages live in the slots of an [`Arena`] that is lent with each call. Each accepted message is reported exactly
//! once: to `displaced` by the [`push`](Outbox::push) that needed its room, by [`cancel`](Outbox::cancel), or by
//! [`next_settlement`](Outbox::next_settlement).
//!
//! ```
//! use everlink::outbox::{Arena, Config, Message, Outbox, Outcome, Priority, Slot};
//! use everlink::time::Instant;
//!
//! let mut arena = Arena::new([const { Slot::EMPTY }; 8]);
//! let (mut outbox, config, now) = (Outbox::new(0), Config::default(), Instant::ORIGIN);
//!
//! let unexpected = |settlement, _| panic!("{settlement:?}");
//! outbox.push(&mut arena, &config, now, 5, Message::text("hello"), unexpected)?;
//! let urgent = Message::text("help").with_priority(Priority::High);
//! let id = outbox.push(&mut arena, &config, now, 4, urgent, unexpected)?;
//!
//! assert_eq!(outbox.take(&mut arena).unwrap().payload, &"help");
//! assert_eq!(outbox.take(&mut arena).unwrap().payload, &"hello");
//!
//! outbox.written(&mut arena, 6); // all of "help", a part of "hello"
//! let settlement = outbox.next_settlement(&mut arena).unwrap();
//! assert_eq!((settlement.id, settlement.outcome), (id, Outcome::Written));
//!
//! outbox.requeue(&mut arena); // the socket died
//! assert_eq!(outbox.take(&mut arena).unwrap().payload, &"hello");
//! # Ok::<(), everlink::outbox::Refused<&str>>(())
//! ```

mod arena;
mod config;
mod expiry;
mod keys;
mod lanes;
mod message;
mod ring;
mod steps;
mod store;

pub use arena::{Arena, Slot, Slots, Storage};
pub use config::{Config, Policy};
pub use message::{
    Key, Kind, Message, MessageId, Outcome, Priority, Refused, RefusedReason, Sending, Settlement,
};

use core::cmp::Reverse;
use core::iter::successors;

use crate::time::Instant;
use arena::{DOUBTFUL, NIL, Stage};
use expiry::Expiry;
use lanes::{Lanes, Tally};
use ring::{Place, Ring};

/// The heads and counters of one queue; its messages are in an [`Arena`].
///
/// Costs are O(1), and O(log n) amortized where a message with an age limit enters or leaves the queue; a command that
/// ends n messages pays that n times. Nothing is given back on drop: see [`release`](Outbox::release).
#[derive(Debug)]
pub struct Outbox {
    salt: u32,
    lanes: Lanes,
    expiry: Expiry,
    flight: Ring<Place>,
    in_flight: Tally,
    /// The first message in flight that the current socket has not had; `NIL` if it had all of them.
    next: u32,
    settled: Ring<Place>,
    /// The sequence number of the message that was accepted last.
    sequence: u64,
    /// Bytes that were taken since the last `requeue`.
    taken: u64,
}

impl Outbox {
    /// An empty outbox. Those that share an arena need different salts.
    #[must_use]
    pub const fn new(salt: u32) -> Outbox {
        Outbox {
            salt,
            lanes: Lanes::EMPTY,
            expiry: Expiry::EMPTY,
            flight: Ring::EMPTY,
            in_flight: Tally::ZERO,
            next: NIL,
            settled: Ring::EMPTY,
            sequence: 0,
            taken: 0,
        }
    }

    /// Accepts a message with a payload of `len` bytes. The application's `send` ends here.
    ///
    /// In this order:
    /// 1. What is due at `now` expires, as by [`expire`](Outbox::expire).
    /// 2. A queued message with the same key is replaced. The new one gets its place if the priority is the same, else
    ///    it goes to the end of its own priority, as it does without a key.
    /// 3. While a bound of `config` is passed, or no slot is free, messages are evicted as `config.policy` says.
    ///
    /// `displaced` is told each message that was replaced or evicted. If the new one needs the slot of one that has
    /// just expired, `displaced` is told that one too, and [`next_settlement`](Outbox::next_settlement) is not.
    ///
    /// # Errors
    /// Hands the message back and replaces or evicts nothing: [`TooLarge`](RefusedReason::TooLarge) if its payload is
    /// longer than `config.message_bytes`; [`Full`](RefusedReason::Full), after step 1, if not even the loss of all that
    /// the policy may evict would make enough room.
    pub fn push<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        config: &Config,
        now: Instant,
        len: u32,
        message: Message<P>,
        mut displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused<P>> {
        if len > config.message_bytes.min(config.bytes) {
            return Err(Refused { reason: RefusedReason::TooLarge, message });
        }
        if !self.at_home(arena) {
            return Err(Refused { reason: RefusedReason::Full, message });
        }
        let mut spare = self.expire_but_last(arena, now);
        let older = message.key.and_then(|key| arena.keyed(self.salt, key));
        let fits = self.fits(arena, config, len);
        if !fits && !self.could_fit(arena, config, len, message.priority, older, spare) {
            self.settle(arena, spare, Outcome::Expired);
            return Err(Refused { reason: RefusedReason::Full, message });
        }

        let mut next = None;
        if let Some(older) = older {
            next = self.lanes.behind(arena, older, message.priority);
            self.displace(arena, older, Outcome::Replaced, &mut displaced);
        }
        if arena.available() == 0 {
            match spare.take() {
                Some(spare) => self.displace(arena, spare, Outcome::Expired, &mut displaced),
                None => self.evict(arena, config.policy, message.priority, &mut displaced),
            };
        }
        self.settle(arena, spare, Outcome::Expired);
        let Some(index) = arena.claim(self.salt) else {
            return Err(Refused { reason: RefusedReason::Full, message });
        };

        self.sequence = self.sequence.saturating_add(1);
        let id = MessageId::new(self.sequence, index, message.tag);
        let priority = message.priority;
        if let Some(slot) = arena.slot_mut(index) {
            slot.payload = Some(message.payload);
            slot.sequence = id.sequence;
            slot.key = message.key;
            slot.deadline = message.ttl.or(config.age).map(|ttl| now + ttl);
            slot.len = len;
            slot.kind = message.kind;
            slot.tag = message.tag;
            slot.priority = priority;
            slot.end = 0;
        }
        self.lanes.accept(arena, index, priority);
        self.enter(arena, index, next);
        // The new message is the youngest of all, and it was clear that it can fit: so it is never the one to go.
        while !fits && self.is_over(config) && self.evict(arena, config.policy, priority, &mut displaced) {}
        Ok(id)
    }

    /// The message that [`take`](Outbox::take) would hand out.
    #[must_use]
    pub fn front<'a, P, S: Slots<P>>(&self, arena: &'a Arena<P, S>) -> Option<Sending<'a, P>> {
        let index = self.lanes.front(arena)?;
        self.sending(arena, index)
    }

    /// Hands out the message to send next, which is in flight from now on: it cannot be evicted, cancelled or expire.
    /// The wire encodes it; its bytes go to the socket in the order of the calls.
    ///
    /// Call [`expire`](Outbox::expire) first: what is due but still queued is handed out all the same.
    pub fn take<'a, P, S: Slots<P>>(&mut self, arena: &'a mut Arena<P, S>) -> Option<Sending<'a, P>> {
        let index = self.lanes.front(arena)?;
        if !self.leave(arena, index) {
            return None;
        }
        self.launch(arena, index);
        self.sending(arena, index)
    }

    /// Where the wire numbers messages: the one to send next is in flight from now on, behind all that are, and waits to be
    /// [handed over](Outbox::hand_over). False if nothing is queued.
    pub fn prepare<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) -> bool {
        let Some(index) = self.lanes.front(arena).filter(|&index| self.leave(arena, index)) else {
            return false;
        };
        self.launch(arena, index);
        if self.next == NIL {
            self.next = index;
        }
        true
    }

    /// Hands out the first message in flight that was prepared, or [rewound](Outbox::rewind) to, and not handed out since.
    pub fn hand_over<'a, P, S: Slots<P>>(&mut self, arena: &'a Arena<P, S>) -> Option<Sending<'a, P>> {
        let index = self.next;
        arena.slot(index).filter(|slot| slot.stage == Stage::InFlight)?;
        self.next = self.flight.after(arena, index).unwrap_or(NIL);
        self.sending(arena, index)
    }

    /// Another socket goes on where the last one ended: all that is in flight is to be [handed over](Outbox::hand_over) to it,
    /// in order, before anything new.
    pub fn rewind<P, S: Slots<P>>(&mut self, arena: &Arena<P, S>) {
        self.next = self.flight.head(arena).unwrap_or(NIL);
    }

    /// The other side has so many more of the messages in flight, from the oldest on: they are settled as acknowledged.
    pub fn acknowledge<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, count: u32) {
        for _ in 0..count {
            let Some(index) = self.flight.head(arena) else { break };
            if !self.land(arena, index) {
                break;
            }
            self.settle(arena, Some(index), Outcome::Acknowledged);
        }
    }

    /// The message to send next is larger than the other side takes: it is settled as that, and never sent.
    pub fn discard_front<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) {
        let index = self.lanes.front(arena).filter(|&index| self.leave(arena, index));
        self.settle(arena, index, Outcome::TooLarge);
    }

    /// The current socket has taken this many bytes of payload in all, counted since the last
    /// [`requeue`](Outbox::requeue): each in-flight message that they cover wholly is settled as written. An empty one
    /// is covered when everything before it is.
    ///
    /// A total below an earlier one changes nothing; one above what was taken counts as what was taken.
    pub fn written<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, total: u64) {
        while let Some(index) = self.flight.head(arena) {
            let covered = arena.slot(index).is_some_and(|slot| slot.end <= total);
            if !covered || !self.land(arena, index) {
                break;
            }
            self.settle(arena, Some(index), Outcome::Written);
        }
    }

    /// The socket died: all that is in flight goes back to the front of its priority, in order, and the count of
    /// [`written`](Outbox::written) starts again at 0.
    ///
    /// A message whose key has a newer queued one is settled as replaced instead; these are settled last one first.
    pub fn requeue<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) {
        self.bring_back(arena, false);
    }

    /// As [`requeue`](Outbox::requeue), for messages that may have arrived: they are to be sent again, but whatever ends one of them
    /// before it is acknowledged leaves it in doubt. It cannot be cancelled any more.
    pub fn resend<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) {
        self.bring_back(arena, true);
    }

    fn bring_back<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, doubtful: bool) {
        if !self.at_home(arena) {
            return;
        }
        self.taken = 0;
        while let Some(index) = self.flight.tail() {
            if !self.land(arena, index) {
                break;
            }
            let Some(slot) = arena.slot_mut(index) else { break };
            if doubtful {
                slot.end = DOUBTFUL;
            }
            let Some(slot) = arena.slot(index) else { break };
            if slot.key.and_then(|key| arena.keyed(self.salt, key)).is_some() {
                self.settle(arena, Some(index), Outcome::Replaced);
            } else {
                let front = self.lanes.of(slot.priority).queue.head(arena);
                self.enter(arena, index, front);
            }
        }
        self.lanes.rewind(arena);
    }

    /// The other side closed because a message was too large (WebSocket close code 1009, RFC 6455 section 7.4.1): the
    /// largest in-flight message, the first if there are several, is settled as that, so that
    /// [`requeue`](Outbox::requeue) does not try it again. Takes O(messages in flight).
    ///
    /// Until then its bytes still count in what is [`written`](Outbox::written), for they were handed to the socket.
    pub fn discard_largest_in_flight<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) {
        let len = |index: &u32| Reverse(arena.slot(*index).map(|slot| slot.len));
        let flight = successors(self.flight.head(arena), |&index| self.flight.after(arena, index));
        let largest = flight.take(self.in_flight.messages as usize).min_by_key(len);
        if let Some(index) = largest
            && self.land(arena, index)
        {
            self.settle(arena, Some(index), Outcome::TooLarge);
        }
    }

    /// Settles each queued message whose time is up at `now`, the one that was due first coming first.
    pub fn expire<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, now: Instant) {
        let last = self.expire_but_last(arena, now);
        if last.is_some() {
            self.settle(arena, last, Outcome::Expired);
        }
    }

    /// When [`expire`](Outbox::expire) has something to do: the earliest deadline of the queued messages.
    #[must_use]
    pub fn next_expiry<P, S: Slots<P>>(&self, arena: &Arena<P, S>) -> Option<Instant> {
        self.expiry.first(arena).map(|(_, deadline)| deadline)
    }

    /// Takes a queued message back. What is in flight or settled, or never was of this outbox, gives `None` and stays
    /// as it is.
    ///
    /// The payload is the report of the outcome [`Cancelled`](Outcome::Cancelled): there is no settlement.
    pub fn cancel<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>, id: MessageId) -> Option<P> {
        let slot = arena.slot(id.slot)?;
        if slot.sequence == id.sequence && !slot.is_doubtful() && self.leave(arena, id.slot) {
            self.reclaim(arena, id.slot)
        } else {
            None
        }
    }

    /// Settles all that is queued as stopped, in the order in which it would have been sent.
    pub fn stop<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) {
        while let Some(index) = self.lanes.front(arena) {
            if !self.leave(arena, index) {
                break;
            }
            self.settle(arena, Some(index), Outcome::Stopped);
        }
    }

    /// Settles all that is in flight as in doubt, in the order in which it was taken.
    pub fn doubt<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) {
        while let Some(index) = self.flight.head(arena) {
            if !self.land(arena, index) {
                break;
            }
            self.settle(arena, Some(index), Outcome::InDoubt);
        }
    }

    /// Takes a machine's own messages that have such a tag back from those in flight, without a report. What counts them must have
    /// begun anew, or be about to.
    pub(crate) fn recall_flight<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        is_meant: impl Fn(u8) -> bool,
    ) {
        let mut next = self.flight.head(arena);
        for _ in 0..self.in_flight.messages {
            let Some(index) = next else { break };
            next = self.flight.after(arena, index);
            if Outbox::is_meant(arena, index, &is_meant) && self.land(arena, index) {
                self.reclaim(arena, index);
            }
        }
    }

    /// The same for those that are queued, at any time.
    pub(crate) fn recall_queued<P, S: Slots<P>>(
        &mut self,
        arena: &mut Arena<P, S>,
        is_meant: impl Fn(u8) -> bool,
    ) {
        for priority in Priority::ALL {
            let mut next = self.lanes.of(priority).queue.head(arena);
            for _ in 0..self.lanes.of(priority).queued.messages {
                let Some(index) = next else { break };
                next = self.lanes.of(priority).queue.after(arena, index);
                if Outbox::is_meant(arena, index, &is_meant) && self.leave(arena, index) {
                    self.reclaim(arena, index);
                }
            }
        }
    }

    fn is_meant<P, S: Slots<P>>(arena: &Arena<P, S>, index: u32, is_meant: impl Fn(u8) -> bool) -> bool {
        arena.slot(index).is_some_and(|slot| message::is_own(slot.tag) && is_meant(slot.tag))
    }

    /// How a message ended whose end is still to be reported; `None` if it has not ended, or that was reported.
    pub(crate) fn outcome<P, S: Slots<P>>(&self, arena: &Arena<P, S>, id: MessageId) -> Option<Outcome> {
        let slot =
            arena.slot(id.slot).filter(|slot| slot.owner == self.salt && slot.sequence == id.sequence)?;
        if let Stage::Settled(outcome) = slot.stage { Some(outcome) } else { None }
    }

    /// So many bytes of payload that are no message's are handed to the socket, behind the last message that was
    /// [taken](Outbox::take).
    pub(crate) fn skip(&mut self, len: usize) {
        self.taken = self.taken.saturating_add(len as u64);
    }

    /// Reports the message that was settled first, and frees its slot. Call it until it returns `None`.
    #[inline]
    pub fn next_settlement<P, S: Slots<P>>(&mut self, arena: &mut Arena<P, S>) -> Option<Settlement> {
        let index = self.settled.head(arena)?;
        let slot = arena.slot_mut(index).filter(|slot| slot.owner == self.salt)?;
        let Stage::Settled(outcome) = slot.stage else { return None };
        slot.stage = Stage::Loose;
        let id = MessageId::new(slot.sequence, index, slot.tag);
        self.settled.remove(arena, index);
        arena.vacate(index);
        Some(Settlement { id, outcome })
    }

    /// Whether [`next_settlement`](Outbox::next_settlement) has something to report.
    #[must_use]
    pub fn has_settlement(&self) -> bool {
        self.settled.tail().is_some()
    }

    /// Gives every slot back, without a report: the one that the outbox was for has left.
    pub fn release<P, S: Slots<P>>(mut self, arena: &mut Arena<P, S>) {
        self.stop(arena);
        self.doubt(arena);
        while self.next_settlement(arena).is_some() {}
    }

    /// How many messages wait to be taken.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.lanes.queued().messages
    }

    /// How many bytes of payload wait to be taken.
    #[must_use]
    pub fn queued_bytes(&self) -> u32 {
        self.lanes.queued().bytes
    }

    /// How many messages were taken and neither written nor given up.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.messages
    }

    /// How many bytes of payload these have, the written part of the first included.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u32 {
        self.in_flight.bytes
    }

    /// Whether nothing is queued and nothing in flight. Settlements may still wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued() == 0 && self.in_flight() == 0
    }
}
