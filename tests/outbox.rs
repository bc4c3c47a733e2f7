//! What an outbox does with a message, case by case. `outbox_model.rs` tries the cases that nobody thought of.

#![cfg(feature = "alloc")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may be blunt")]

extern crate alloc;

mod age;
mod config;
mod flight;
mod keys;

use alloc::rc::Rc;
use core::time::Duration;

use everlink::outbox::{
    Arena, Config, Key, Kind, Message, MessageId, Outbox, Outcome, Policy, Priority, Refused, RefusedReason,
    Slot,
};
use everlink::time::Instant;

use Outcome::{Evicted, Expired, InDoubt, Replaced, Stopped, TooLarge, Written};
use Priority::{High, Low, Normal};

type Name = &'static str;

/// An outbox, its arena, its configuration and its clock. A message is its name, which is also its payload.
struct Bench {
    arena: Arena<Name>,
    outbox: Outbox,
    config: Config,
    now: Instant,
    /// What the last `push` displaced.
    displaced: Vec<(Name, Outcome)>,
}

/// Seconds since the origin.
fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Bench {
    /// With 8 slots, and room for 4 messages.
    fn new() -> Bench {
        Bench::with_slots(8, Config { messages: 4, bytes: 100, message_bytes: 50, ..Config::default() })
    }

    fn with_slots(slots: u32, config: Config) -> Bench {
        let arena = Arena::with_capacity(slots);
        Bench { arena, outbox: Outbox::new(0), config, now: at(0), displaced: Vec::new() }
    }

    fn with_policy(policy: Policy) -> Bench {
        let mut bench = Bench::new();
        bench.config.policy = policy;
        bench
    }

    fn try_push(&mut self, message: Message<Name>) -> Result<MessageId, Refused<Name>> {
        self.try_push_len(message.payload.len() as u32, message)
    }

    fn try_push_len(&mut self, len: u32, message: Message<Name>) -> Result<MessageId, Refused<Name>> {
        self.displaced.clear();
        let Bench { arena, outbox, config, now, displaced } = self;
        outbox.push(arena, config, *now, len, message, |settlement, name| {
            displaced.push((name, settlement.outcome));
        })
    }

    #[track_caller]
    fn push(&mut self, message: Message<Name>) -> MessageId {
        self.try_push(message).unwrap()
    }

    #[track_caller]
    fn push_all(&mut self, names: &[Name]) -> Vec<MessageId> {
        names.iter().map(|name| self.push(Message::text(name))).collect()
    }

    fn take(&mut self) -> Option<Name> {
        self.outbox.take(&mut self.arena).map(|sending| *sending.payload)
    }

    fn take_all(&mut self) -> Vec<Name> {
        core::iter::from_fn(|| self.take()).collect()
    }

    fn settlements(&mut self) -> Vec<(u64, Outcome)> {
        core::iter::from_fn(|| self.outbox.next_settlement(&mut self.arena))
            .map(|settlement| (settlement.id.sequence(), settlement.outcome))
            .collect()
    }
}

#[test]
fn higher_priorities_go_first_and_inside_one_the_first_in() {
    let mut bench = Bench::with_slots(8, Config::default());
    for (name, priority) in
        [("l1", Low), ("n1", Normal), ("h1", High), ("l2", Low), ("h2", High), ("n2", Normal)]
    {
        bench.push(Message::text(name).with_priority(priority));
    }
    assert_eq!(bench.take_all(), ["h1", "h2", "n1", "n2", "l1", "l2"]);
}

#[test]
fn the_front_is_what_take_hands_out_next() {
    let mut bench = Bench::new();
    assert_eq!(bench.outbox.front(&bench.arena), None);
    let id = bench.push(Message::binary("abc"));
    let front = bench.outbox.front(&bench.arena).unwrap();
    assert_eq!((front.id, front.kind, front.payload, front.len), (id, Kind::Binary, &"abc", 3));
    assert_eq!(bench.take(), Some("abc"));
    assert_eq!(bench.outbox.front(&bench.arena), None);
}

#[test]
fn ids_count_from_one_and_show_as_their_number() {
    let mut bench = Bench::new();
    let ids = bench.push_all(&["a", "b"]);
    assert_eq!(ids.iter().map(|id| id.sequence()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(ids[1].to_string(), "2");
    assert!(ids[0] < ids[1]);
}

#[test]
fn drop_oldest_evicts_the_first_accepted_whatever_its_priority() {
    let mut bench = Bench::new();
    bench.push(Message::text("h").with_priority(High));
    bench.push_all(&["a", "b", "c"]);
    bench.push(Message::text("l").with_priority(Low));
    assert_eq!(bench.displaced, [("h", Evicted)]);
    assert_eq!(bench.take_all(), ["a", "b", "c", "l"]);
}

#[test]
fn drop_oldest_goes_by_acceptance_not_by_the_place_that_a_replacement_got() {
    let mut bench = Bench::new();
    bench.push(Message::text("k1").with_key(Key::new(1)));
    bench.push_all(&["a", "b", "c"]);
    bench.push(Message::text("k2").with_key(Key::new(1)));
    bench.push(Message::text("d"));
    assert_eq!(bench.displaced, [("a", Evicted)]);
    assert_eq!(bench.take_all(), ["k2", "b", "c", "d"]);
}

#[test]
fn drop_lowest_evicts_the_oldest_of_the_lowest_priority() {
    let mut bench = Bench::with_policy(Policy::DropLowest);
    bench.push(Message::text("n").with_priority(Normal));
    bench.push(Message::text("l1").with_priority(Low));
    bench.push(Message::text("l2").with_priority(Low));
    bench.push(Message::text("h").with_priority(High));
    bench.push(Message::text("l3").with_priority(Low));
    assert_eq!(bench.displaced, [("l1", Evicted)]);
    assert_eq!(bench.take_all(), ["h", "n", "l2", "l3"]);
}

#[test]
fn drop_lowest_never_evicts_a_higher_priority_than_the_new_one() {
    let mut bench = Bench::with_policy(Policy::DropLowest);
    bench.push_all(&["a", "b", "c", "d"]);
    let refused = bench.try_push(Message::text("l").with_priority(Low)).unwrap_err();
    assert_eq!((refused.reason, refused.message.payload), (RefusedReason::Full, "l"));
    assert_eq!(bench.displaced, []);
    assert_eq!(bench.take_all(), ["a", "b", "c", "d"]);
}

#[test]
fn refuse_hands_the_new_message_back() {
    let mut bench = Bench::with_policy(Policy::Refuse);
    bench.push_all(&["a", "b", "c", "d"]);
    let message = Message::text("e").with_priority(High).with_ttl(secs(1)).with_key(Key::new(0));
    let refused = bench.try_push(message).unwrap_err();
    assert_eq!(refused, Refused { reason: RefusedReason::Full, message });
    assert_eq!(refused.to_string(), "the outbox is full");
    assert_eq!(bench.take_all(), ["a", "b", "c", "d"]);
}

#[test]
fn as_many_are_evicted_as_the_bytes_need_and_no_more() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.try_push_len(30, Message::text(name)).unwrap();
    }
    bench.try_push_len(50, Message::text("d")).unwrap();
    assert_eq!(bench.displaced, [("a", Evicted), ("b", Evicted)]);
    assert_eq!((bench.outbox.queued(), bench.outbox.queued_bytes()), (2, 80));
}

#[test]
fn a_message_that_could_never_fit_is_refused_as_too_large() {
    let mut bench = Bench::new();
    bench.push(Message::text("a"));
    let refused = bench.try_push_len(51, Message::text("b")).unwrap_err();
    assert_eq!(refused.reason, RefusedReason::TooLarge);
    assert_eq!(bench.take_all(), ["a"]);
}

#[test]
fn nothing_is_evicted_in_vain_when_what_is_in_flight_leaves_too_little_room() {
    let mut bench = Bench::new();
    bench.try_push_len(50, Message::text("a")).unwrap();
    bench.try_push_len(10, Message::text("b")).unwrap();
    assert_eq!(bench.take(), Some("a"));
    bench.config.bytes = 70;
    assert_eq!(bench.try_push_len(21, Message::text("c")).unwrap_err().reason, RefusedReason::Full);
    assert_eq!(bench.displaced, []);
    bench.try_push_len(20, Message::text("c")).unwrap();
    assert_eq!(bench.displaced, [("b", Evicted)]);
}

#[test]
fn what_is_in_flight_is_never_evicted() {
    let mut bench = Bench::new();
    bench.push_all(&["a", "b", "c", "d"]);
    assert_eq!(bench.take(), Some("a"));
    assert_eq!(bench.take(), Some("b"));
    bench.push(Message::text("e"));
    assert_eq!(bench.displaced, [("c", Evicted)]);
    assert_eq!(bench.take_all(), ["d", "e"]);
    assert_eq!(bench.try_push(Message::text("f")).unwrap_err().reason, RefusedReason::Full);
}

#[test]
fn after_a_requeue_the_oldest_is_again_the_one_that_was_in_flight() {
    let mut bench = Bench::new();
    bench.push_all(&["a", "b", "c", "d"]);
    assert_eq!(bench.take(), Some("a"));
    bench.push(Message::text("e"));
    bench.outbox.requeue(&mut bench.arena);
    bench.push(Message::text("f"));
    assert_eq!(bench.displaced, [("a", Evicted)]);
}

#[test]
fn cancel_gives_the_payload_back_and_reports_nothing() {
    let mut bench = Bench::new();
    let ids = bench.push_all(&["a", "b", "c"]);
    assert_eq!(bench.outbox.cancel(&mut bench.arena, ids[1]), Some("b"));
    assert_eq!(bench.outbox.cancel(&mut bench.arena, ids[1]), None);
    assert_eq!(bench.settlements(), []);
    assert_eq!(bench.take_all(), ["a", "c"]);
}

#[test]
fn what_is_in_flight_or_settled_cannot_be_cancelled() {
    let mut bench = Bench::new();
    let ids = bench.push_all(&["a", "b"]);
    bench.take_all();
    bench.outbox.written(&mut bench.arena, 1);
    for id in ids {
        assert_eq!(bench.outbox.cancel(&mut bench.arena, id), None);
    }
    assert_eq!((bench.outbox.in_flight(), bench.settlements()), (1, vec![(1, Written)]));
}

#[test]
fn an_old_id_does_not_name_the_new_message_in_its_slot() {
    let mut bench = Bench::with_slots(1, Config::default());
    let old = bench.push(Message::text("a"));
    bench.outbox.cancel(&mut bench.arena, old);
    bench.push(Message::text("b"));
    assert_eq!(bench.outbox.cancel(&mut bench.arena, old), None);
    assert_eq!(bench.take(), Some("b"));
}

#[test]
fn stop_ends_what_is_queued_and_doubt_what_is_in_flight() {
    let mut bench = Bench::new();
    bench.push_all(&["a", "b", "c"]);
    bench.push(Message::text("h").with_priority(High));
    bench.take();
    bench.take();
    bench.outbox.stop(&mut bench.arena);
    assert_eq!(bench.settlements(), [(2, Stopped), (3, Stopped)]);
    bench.outbox.doubt(&mut bench.arena);
    assert_eq!(bench.settlements(), [(4, InDoubt), (1, InDoubt)]);
    assert_eq!(bench.arena.available(), 8);
}

#[test]
fn release_gives_every_slot_back() {
    let mut bench = Bench::new();
    bench.push_all(&["a", "b", "c"]);
    bench.push(Message::text("k").with_key(Key::new(0)));
    bench.take();
    bench.take();
    bench.outbox.written(&mut bench.arena, 1);
    bench.outbox.release(&mut bench.arena);
    assert_eq!(bench.arena.available(), 8);
}

#[test]
fn what_may_have_arrived_in_an_earlier_session_is_never_reported_as_never_sent() {
    let mut bench = Bench::new();
    bench.push_all(&["a", "long", "c"]);
    while bench.outbox.prepare(&mut bench.arena) {}
    bench.outbox.resend(&mut bench.arena);
    while bench.outbox.prepare(&mut bench.arena) {}
    bench.outbox.discard_largest_in_flight(&mut bench.arena);
    bench.outbox.resend(&mut bench.arena);
    bench.outbox.stop(&mut bench.arena);
    assert_eq!(bench.settlements(), [(2, InDoubt), (1, InDoubt), (3, InDoubt)]);
}

#[test]
fn a_payload_is_dropped_when_its_message_is_settled() {
    let mut arena = Arena::with_capacity(1);
    let (mut outbox, config) = (Outbox::new(0), Config::default());
    let payload = Rc::new(());
    outbox.push(&mut arena, &config, at(0), 0, Message::text(payload.clone()), |_, _| ()).unwrap();
    assert_eq!(Rc::strong_count(&payload), 2);
    outbox.stop(&mut arena);
    assert_eq!((Rc::strong_count(&payload), outbox.has_settlement()), (1, true));
}

#[test]
fn equal_keys_of_two_outboxes_in_one_arena_are_strangers() {
    let mut arena = Arena::new([const { Slot::EMPTY }; 4]);
    let config = Config::default();
    let mut outboxes = [Outbox::new(1), Outbox::new(2)];
    for (outbox, name) in outboxes.iter_mut().zip(["one", "two"]) {
        let message = Message::text(name).with_key(Key::new(5));
        outbox.push(&mut arena, &config, at(0), 3, message, |_, name| assert_eq!(name, "nobody")).unwrap();
    }
    assert_eq!(outboxes[0].take(&mut arena).unwrap().payload, &"one");
    assert_eq!(outboxes[1].take(&mut arena).unwrap().payload, &"two");
}

#[test]
fn with_the_arena_of_another_nothing_happens() {
    let mut bench = Bench::new();
    let ids = bench.push_all(&["a", "b", "c"]);
    bench.take();
    bench.outbox.written(&mut bench.arena, 1);
    bench.take();
    let mut foreign = Arena::with_capacity(8);
    let mut other = Outbox::new(1);
    for name in ["x", "y", "z"] {
        other.push(&mut foreign, &bench.config, at(0), 1, Message::text(name), |_, _| ()).unwrap();
    }

    for arena in [&mut foreign, &mut Arena::with_capacity(8), &mut Arena::with_capacity(0)] {
        let before = arena.available();
        let outbox = &mut bench.outbox;
        assert_eq!(outbox.front(arena), None);
        assert_eq!(outbox.take(arena), None);
        outbox.written(arena, 10);
        outbox.requeue(arena);
        outbox.discard_largest_in_flight(arena);
        outbox.expire(arena, at(1000));
        assert_eq!(outbox.cancel(arena, ids[2]), None);
        outbox.stop(arena);
        outbox.doubt(arena);
        assert_eq!(outbox.next_settlement(arena), None);
        let message = Message::text("d");
        let refused = outbox.push(arena, &bench.config, at(0), 1, message, |_, _| ()).unwrap_err();
        assert_eq!(refused.reason, RefusedReason::Full);
        assert_eq!(arena.available(), before);
    }

    assert_eq!((bench.outbox.queued(), bench.outbox.in_flight()), (1, 1));
    assert_eq!(bench.settlements(), [(1, Written)]);
    bench.outbox.written(&mut bench.arena, 2);
    assert_eq!(bench.settlements(), [(2, Written)]);
    assert_eq!(bench.take_all(), ["c"]);
    assert_eq!(other.take(&mut foreign).unwrap().payload, &"x");
}

#[test]
fn an_arena_without_slots_refuses_everything() {
    let mut bench = Bench::with_slots(0, Config::default());
    assert_eq!(bench.try_push(Message::text("a")).unwrap_err().reason, RefusedReason::Full);
}

#[test]
fn a_slot_is_80_bytes_and_its_payload_and_an_outbox_is_small() {
    assert_eq!(size_of::<Slot<Vec<u8>>>(), 80 + size_of::<Vec<u8>>());
    assert!(size_of::<Outbox>() <= 112, "{}", size_of::<Outbox>());
}

#[test]
fn only_what_left_in_part_or_whole_is_not_certainly_unsent() {
    use Outcome::{Acknowledged, Cancelled};
    for outcome in [Expired, Evicted, Replaced, Cancelled, TooLarge, Stopped] {
        assert!(outcome.never_sent(), "{outcome:?}");
    }
    for outcome in [Acknowledged, Written, InDoubt] {
        assert!(!outcome.never_sent(), "{outcome:?}");
    }
}
