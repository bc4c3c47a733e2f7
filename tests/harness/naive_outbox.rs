//! A naive outbox with perfect memory, and what does the same operations to it and to a real one. Property tests and
//! fuzzing say which operations.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use everlink::outbox::{
    Arena, Config, Key, Message, MessageId, Outbox, Outcome, Policy, Priority, RefusedReason, Slot,
};
use everlink::time::Instant;

/// How many slots the two outboxes share.
const SLOTS: usize = 9;

/// What the payload of a message is: a number that is never used again.
type Payload = u64;
type Report = (u64, Outcome);

/// What is done to an outbox, or to its surroundings.
#[derive(Clone, Debug)]
pub enum Op {
    Push {
        len: u32,
        priority: Priority,
        ttl: Option<u64>,
        key: Option<u64>,
        config: Config,
    },
    Take,
    Prepare,
    HandOver,
    Rewind,
    Acknowledge {
        count: u32,
    },
    DiscardFront,
    Written {
        total: u64,
    },
    Requeue,
    Resend,
    Discard,
    /// Takes back the message of this number, counted round.
    Cancel {
        pick: usize,
    },
    Expire,
    Stop,
    Doubt,
    Drain,
    Wait {
        micros: u64,
    },
}

#[derive(Clone, Debug)]
struct Waiting {
    sequence: u64,
    payload: Payload,
    len: u32,
    priority: Priority,
    deadline: Option<Instant>,
    key: Option<u64>,
    /// It may have arrived.
    doubtful: bool,
}

impl Waiting {
    /// What is said of it if it ends like this.
    fn told(&self, outcome: Outcome) -> Outcome {
        if self.doubtful && outcome.never_sent() { Outcome::InDoubt } else { outcome }
    }
}

/// A queue that is sorted by priority and, inside one, by the order of sending.
#[derive(Default)]
struct Model {
    accepted: u64,
    queue: Vec<Waiting>,
    /// With the count of bytes at which each is written.
    flight: Vec<(Waiting, u64)>,
    taken: u64,
    /// The sequence number of the one in flight that is handed over next.
    next: Option<u64>,
    settled: VecDeque<Report>,
}

fn rank(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn bytes<'a>(messages: impl IntoIterator<Item = &'a Waiting>) -> u32 {
    messages.into_iter().map(|message| message.len).sum()
}

impl Model {
    fn slots(&self) -> usize {
        self.queue.len() + self.flight.len() + self.settled.len()
    }

    fn in_flight(&self) -> impl Iterator<Item = &Waiting> {
        self.flight.iter().map(|(message, _)| message)
    }

    /// Takes out what is due, the earliest deadline first.
    fn due(&mut self, now: Instant) -> Vec<Waiting> {
        let is_due = |message: &mut Waiting| message.deadline.is_some_and(|deadline| deadline <= now);
        let mut due: Vec<_> = self.queue.extract_if(.., is_due).collect();
        due.sort_by_key(|message| (message.deadline, message.sequence));
        due
    }

    fn settle(&mut self, messages: impl IntoIterator<Item = Waiting>, outcome: Outcome) {
        self.settled.extend(messages.into_iter().map(|message| (message.sequence, message.told(outcome))));
    }

    /// Which message would be evicted for one of this priority.
    fn victim(queue: &[Waiting], policy: Policy, priority: Priority) -> Option<usize> {
        let lowest = queue.last()?.priority;
        let evictable = |message: &&Waiting| match policy {
            Policy::DropOldest => true,
            Policy::DropLowest => message.priority == lowest && rank(lowest) >= rank(priority),
            Policy::Refuse => false,
        };
        let oldest = queue.iter().filter(evictable).map(|message| message.sequence).min()?;
        queue.iter().position(|message| message.sequence == oldest)
    }

    /// `others` is how many slots are in use by other outboxes.
    fn push(
        &mut self,
        others: usize,
        now: Instant,
        config: &Config,
        mut message: Waiting,
    ) -> Result<Vec<(Report, Payload)>, RefusedReason> {
        if message.len > config.message_bytes || message.len > config.bytes {
            return Err(RefusedReason::TooLarge);
        }
        let mut due = self.due(now);
        let mut expired = due.pop();
        self.settle(due, Outcome::Expired);

        let mut displaced = Vec::new();
        let mut queue = self.queue.clone();
        let older = queue.iter().position(|other| message.key.is_some() && other.key == message.key);
        let mut place = queue.partition_point(|other| rank(other.priority) <= rank(message.priority));
        message.sequence = self.accepted + 1;
        if let Some(older) = older {
            if queue[older].priority == message.priority {
                place = older + 1;
            }
            if older < place {
                place -= 1;
            }
            displaced.push((queue.remove(older), Outcome::Replaced));
        }
        queue.insert(place, message.clone());
        let slots = |queue: &[Waiting]| others + queue.len() + self.flight.len() + self.settled.len();
        if slots(&queue) + usize::from(expired.is_some()) > SLOTS
            && let Some(expired) = expired.take()
        {
            displaced.push((expired, Outcome::Expired));
        }
        let slots = |queue: &[Waiting]| slots(queue) + usize::from(expired.is_some());
        let fits = |queue: &[Waiting]| {
            queue.len() + self.flight.len() <= config.messages as usize
                && bytes(queue) + bytes(self.in_flight()) <= config.bytes
                && slots(queue) <= SLOTS
        };
        while !fits(&queue) {
            match Model::victim(&queue, config.policy, message.priority) {
                Some(victim) if queue[victim].sequence != message.sequence => {
                    displaced.push((queue.remove(victim), Outcome::Evicted));
                }
                _ => {
                    let unused = displaced.into_iter().find(|(_, outcome)| *outcome == Outcome::Expired);
                    self.settle(expired.or(unused.map(|(expired, _)| expired)), Outcome::Expired);
                    return Err(RefusedReason::Full);
                }
            }
        }
        self.settle(expired, Outcome::Expired);
        self.accepted += 1;
        self.queue = queue;
        let report = |(message, outcome): (Waiting, Outcome)| {
            ((message.sequence, message.told(outcome)), message.payload)
        };
        Ok(displaced.into_iter().map(report).collect())
    }

    fn take(&mut self) -> Option<Waiting> {
        if self.queue.is_empty() {
            return None;
        }
        let message = self.queue.remove(0);
        self.taken += u64::from(message.len);
        let end = if message.doubtful { u64::MAX } else { self.taken };
        self.flight.push((message.clone(), end));
        Some(message)
    }

    fn prepare(&mut self) {
        let message = self.take();
        self.next = self.next.or(message.map(|message| message.sequence));
    }

    fn hand_over(&mut self) -> Option<Waiting> {
        let index = self.in_flight().position(|message| Some(message.sequence) == self.next)?;
        self.next = self.flight.get(index + 1).map(|(message, _)| message.sequence);
        Some(self.flight[index].0.clone())
    }

    fn land(&mut self, index: usize) -> Waiting {
        let (message, _) = self.flight.remove(index);
        if self.next == Some(message.sequence) {
            self.next = self.flight.get(index).map(|(message, _)| message.sequence);
        }
        message
    }

    fn settle_oldest(&mut self, count: usize, outcome: Outcome) {
        for _ in 0..count.min(self.flight.len()) {
            let message = self.land(0);
            self.settle([message], outcome);
        }
    }

    fn written(&mut self, total: u64) {
        let covered = self.flight.iter().take_while(|(_, end)| *end <= total).count();
        self.settle_oldest(covered, Outcome::Written);
    }

    fn requeue(&mut self, doubtful: bool) {
        self.taken = 0;
        self.next = None;
        while let Some((mut message, _)) = self.flight.pop() {
            message.doubtful |= doubtful;
            if message.key.is_some() && self.queue.iter().any(|other| other.key == message.key) {
                self.settle([message], Outcome::Replaced);
            } else {
                let front = self.queue.partition_point(|other| rank(other.priority) < rank(message.priority));
                self.queue.insert(front, message);
            }
        }
    }

    fn discard(&mut self) {
        let largest = self.in_flight().map(|message| message.len).max();
        let index = self.in_flight().position(|message| Some(message.len) == largest);
        if let Some(index) = index {
            let message = self.land(index);
            self.settle([message], Outcome::TooLarge);
        }
    }

    fn cancel(&mut self, sequence: u64) -> Option<Payload> {
        let index =
            self.queue.iter().position(|message| message.sequence == sequence && !message.doubtful)?;
        Some(self.queue.remove(index).payload)
    }
}

/// One outbox, its model, and everything that was said about its messages.
struct Pair {
    outbox: Outbox,
    model: Model,
    ids: Vec<MessageId>,
    reports: BTreeMap<u64, Vec<Outcome>>,
}

impl Pair {
    fn new(salt: u32) -> Pair {
        Pair { outbox: Outbox::new(salt), model: Model::default(), ids: Vec::new(), reports: BTreeMap::new() }
    }

    fn report(&mut self, (sequence, outcome): Report) {
        self.reports.entry(sequence).or_default().push(outcome);
    }

    fn drain<const N: usize>(&mut self, arena: &mut Arena<Payload, [Slot<Payload>; N]>) {
        while let Some(settlement) = self.outbox.next_settlement(arena) {
            assert_eq!(settlement.id, self.ids[settlement.id.sequence() as usize - 1]);
            let report = (settlement.id.sequence(), settlement.outcome);
            assert_eq!(Some(report), self.model.settled.pop_front());
            self.report(report);
        }
        assert_eq!(self.model.settled.pop_front(), None);
    }

    fn check<const N: usize>(&self, arena: &Arena<Payload, [Slot<Payload>; N]>) {
        let Pair { outbox, model, .. } = self;
        assert_eq!(outbox.queued() as usize, model.queue.len());
        assert_eq!(outbox.queued_bytes(), bytes(&model.queue));
        assert_eq!(outbox.in_flight() as usize, model.flight.len());
        assert_eq!(outbox.in_flight_bytes(), bytes(model.in_flight()));
        assert_eq!(outbox.is_empty(), model.queue.is_empty() && model.flight.is_empty());
        assert_eq!(outbox.has_settlement(), !model.settled.is_empty());
        assert_eq!(
            outbox.next_expiry(arena),
            model.queue.iter().filter_map(|message| message.deadline).min()
        );
        let front = outbox.front(arena).map(|sending| (sending.id.sequence(), *sending.payload, sending.len));
        let expected = model.queue.first().map(|message| (message.sequence, message.payload, message.len));
        assert_eq!(front, expected);
    }
}

/// Does a history to two outboxes that share an arena, and to their models; all that can be seen must agree.
pub fn run(history: &[(usize, Op)]) {
    let mut arena = Arena::new([const { Slot::EMPTY }; SLOTS]);
    let mut pairs = [Pair::new(7), Pair::new(8)];
    let mut now = Instant::ORIGIN;
    let mut payload: Payload = 0;
    for (which, op) in history {
        let others = pairs[1 - which].model.slots();
        let pair = &mut pairs[*which];
        match op {
            Op::Push { len, priority, ttl, key, config } => {
                payload += 1;
                let mut message = Message::binary(payload).with_priority(*priority);
                message.ttl = ttl.map(Duration::from_micros);
                message.key = key.map(Key::new);
                let waiting = Waiting {
                    sequence: 0,
                    payload,
                    len: *len,
                    priority: *priority,
                    deadline: message.ttl.or(config.age).map(|ttl| now + ttl),
                    key: *key,
                    doubtful: false,
                };
                let mut displaced = Vec::new();
                let result =
                    pair.outbox.push(&mut arena, config, now, *len, message, |settlement, payload| {
                        assert_eq!(settlement.id, pair.ids[settlement.id.sequence() as usize - 1]);
                        displaced.push(((settlement.id.sequence(), settlement.outcome), payload));
                    });
                let expected = pair.model.push(others, now, config, waiting);
                match result {
                    Ok(id) => {
                        assert_eq!(Ok(&displaced), expected.as_ref());
                        assert_eq!(id.sequence(), pair.model.accepted);
                        pair.ids.push(id);
                        displaced.into_iter().for_each(|(report, _)| pair.report(report));
                    }
                    Err(refused) => {
                        assert_eq!(Err(refused.reason), expected);
                        assert_eq!(refused.message, message);
                        assert_eq!(displaced, []);
                    }
                }
            }
            Op::Take => {
                let sending = pair.outbox.take(&mut arena);
                let taken = sending.map(|sending| (sending.id.sequence(), *sending.payload, sending.len));
                let expected =
                    pair.model.take().map(|message| (message.sequence, message.payload, message.len));
                assert_eq!(taken, expected);
            }
            Op::Prepare => {
                assert_eq!(pair.outbox.prepare(&mut arena), !pair.model.queue.is_empty());
                pair.model.prepare();
            }
            Op::HandOver => {
                let sending = pair.outbox.hand_over(&arena);
                let handed = sending.map(|sending| (sending.id.sequence(), *sending.payload, sending.len));
                let expected =
                    pair.model.hand_over().map(|message| (message.sequence, message.payload, message.len));
                assert_eq!(handed, expected);
            }
            Op::Rewind => {
                pair.outbox.rewind(&arena);
                pair.model.next = pair.model.flight.first().map(|(message, _)| message.sequence);
            }
            Op::Acknowledge { count } => {
                pair.outbox.acknowledge(&mut arena, *count);
                pair.model.settle_oldest(*count as usize, Outcome::Acknowledged);
            }
            Op::DiscardFront => {
                pair.outbox.discard_front(&mut arena);
                if !pair.model.queue.is_empty() {
                    let message = pair.model.queue.remove(0);
                    pair.model.settle([message], Outcome::TooLarge);
                }
            }
            Op::Written { total } => {
                pair.outbox.written(&mut arena, *total);
                pair.model.written(*total);
            }
            Op::Requeue => {
                pair.outbox.requeue(&mut arena);
                pair.model.requeue(false);
            }
            Op::Resend => {
                pair.outbox.resend(&mut arena);
                pair.model.requeue(true);
            }
            Op::Discard => {
                pair.outbox.discard_largest_in_flight(&mut arena);
                pair.model.discard();
            }
            Op::Cancel { pick } => {
                if !pair.ids.is_empty() {
                    let id = pair.ids[pick % pair.ids.len()];
                    let cancelled = pair.outbox.cancel(&mut arena, id);
                    assert_eq!(cancelled, pair.model.cancel(id.sequence()));
                    if cancelled.is_some() {
                        pair.report((id.sequence(), Outcome::Cancelled));
                    }
                }
            }
            Op::Expire => {
                pair.outbox.expire(&mut arena, now);
                let due = pair.model.due(now);
                pair.model.settle(due, Outcome::Expired);
            }
            Op::Stop => {
                pair.outbox.stop(&mut arena);
                let queue = core::mem::take(&mut pair.model.queue);
                pair.model.settle(queue, Outcome::Stopped);
            }
            Op::Doubt => {
                pair.outbox.doubt(&mut arena);
                pair.model.settle_oldest(usize::MAX, Outcome::InDoubt);
            }
            Op::Drain => pair.drain(&mut arena),
            Op::Wait { micros } => now = now + Duration::from_micros(*micros),
        }
        pair.check(&arena);
        let used: usize = pairs.iter().map(|pair| pair.model.slots()).sum();
        assert_eq!(arena.available() as usize, SLOTS - used);
    }
    for pair in &mut pairs {
        pair.outbox.stop(&mut arena);
        pair.outbox.doubt(&mut arena);
        let queue = core::mem::take(&mut pair.model.queue);
        pair.model.settle(queue, Outcome::Stopped);
        let flight = core::mem::take(&mut pair.model.flight);
        pair.model.settle(flight.into_iter().map(|(message, _)| message), Outcome::InDoubt);
        pair.drain(&mut arena);
        let reported: Vec<_> = pair.reports.keys().copied().collect();
        let accepted: Vec<_> = pair.ids.iter().map(|id| id.sequence()).collect();
        assert_eq!(reported, accepted, "each accepted message is reported");
        assert!(pair.reports.values().all(|outcomes| outcomes.len() == 1), "and only once");
    }
    assert_eq!(arena.available(), arena.capacity());
}

/// Does the operation and looks at nothing.
fn poke(outbox: &mut Outbox, arena: &mut Arena<Payload>, ids: &mut Vec<MessageId>, now: Instant, op: &Op) {
    match op {
        Op::Push { len, priority, ttl, key, config } => {
            let mut message = Message::binary(0).with_priority(*priority);
            message.ttl = ttl.map(Duration::from_micros);
            message.key = key.map(Key::new);
            ids.extend(outbox.push(arena, config, now, *len, message, |_, _| ()));
        }
        Op::Take => drop(outbox.take(arena)),
        Op::Prepare => {
            outbox.prepare(arena);
        }
        Op::HandOver => drop(outbox.hand_over(arena)),
        Op::Rewind => outbox.rewind(arena),
        Op::Acknowledge { count } => outbox.acknowledge(arena, *count),
        Op::DiscardFront => outbox.discard_front(arena),
        Op::Written { total } => outbox.written(arena, *total),
        Op::Requeue => outbox.requeue(arena),
        Op::Resend => outbox.resend(arena),
        Op::Discard => outbox.discard_largest_in_flight(arena),
        Op::Cancel { pick } => {
            if !ids.is_empty() {
                outbox.cancel(arena, ids[pick % ids.len()]);
            }
        }
        Op::Expire => outbox.expire(arena, now),
        Op::Stop => outbox.stop(arena),
        Op::Doubt => outbox.doubt(arena),
        Op::Drain | Op::Wait { .. } => {
            let settlements = core::iter::from_fn(|| outbox.next_settlement(arena));
            assert!(settlements.count() <= 2 * SLOTS);
        }
    }
    let _ = (outbox.front(arena), outbox.next_expiry(arena), outbox.is_empty());
}

/// Does a history to two outboxes whose arenas are swapped now and then, which is a caller's mistake: it may lose messages,
/// but neither panic nor hang. Equal salts make it as bad as it gets: each outbox takes the other's slots for its own.
pub fn run_swapped(history: &[(usize, Op)], swaps: impl IntoIterator<Item = bool>) {
    let mut arenas = [Arena::with_capacity(SLOTS as u32), Arena::with_capacity(5)];
    let mut outboxes = [Outbox::new(0), Outbox::new(0)];
    let mut ids = Vec::new();
    let mut now = Instant::ORIGIN;
    for ((which, op), swap) in history.iter().zip(swaps) {
        now = now + Duration::from_micros(2);
        poke(&mut outboxes[*which], &mut arenas[usize::from(swap)], &mut ids, now, op);
    }
    let [one, other] = outboxes;
    one.release(&mut arenas[1]);
    other.release(&mut arenas[0]);
}
