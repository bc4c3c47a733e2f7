//! A message with the key of an older one.

use everlink::outbox::{Config, Key, Message, Outcome, Policy, Priority};

use super::Bench;
use Outcome::{Replaced, Written};
use Priority::High;

#[test]
fn a_newer_message_with_the_same_key_gets_the_place_of_the_older_one() {
    let mut bench = Bench::new();
    bench.push(Message::text("a"));
    bench.push(Message::text("k1").with_key(Key::hash(b"cursor")));
    bench.push(Message::text("b"));
    bench.push(Message::text("k2").with_key(Key::hash(b"cursor")));
    assert_eq!(bench.displaced, [("k1", Replaced)]);
    assert_eq!(bench.take_all(), ["a", "k2", "b"]);
}

#[test]
fn with_another_priority_it_goes_to_the_end_of_that() {
    let mut bench = Bench::new();
    bench.push(Message::text("k1").with_key(Key::new(1)));
    bench.push(Message::text("h").with_priority(High));
    bench.push(Message::text("k2").with_key(Key::new(1)).with_priority(High));
    assert_eq!(bench.displaced, [("k1", Replaced)]);
    assert_eq!(bench.take_all(), ["h", "k2"]);
}

#[test]
fn a_replacement_needs_no_room_of_its_own() {
    let mut bench = Bench::with_slots(1, Config { messages: 1, policy: Policy::Refuse, ..Config::default() });
    bench.push(Message::text("k1").with_key(Key::new(1)));
    bench.push(Message::text("k2").with_key(Key::new(1)));
    assert_eq!(bench.displaced, [("k1", Replaced)]);
    assert_eq!(bench.take_all(), ["k2"]);
}

#[test]
fn a_refused_replacement_leaves_the_older_one_queued() {
    let mut bench = Bench::with_policy(Policy::Refuse);
    bench.try_push_len(50, Message::text("a")).unwrap();
    bench.try_push_len(40, Message::text("k1").with_key(Key::new(1))).unwrap();
    bench.config.message_bytes = 60;
    assert!(bench.try_push_len(51, Message::text("k2").with_key(Key::new(1))).is_err());
    assert_eq!(bench.displaced, []);
    assert_eq!(bench.take_all(), ["a", "k1"]);
}

#[test]
fn what_is_in_flight_is_not_replaced() {
    let mut bench = Bench::new();
    bench.push(Message::text("k1").with_key(Key::new(1)));
    assert_eq!(bench.take(), Some("k1"));
    bench.push(Message::text("k2").with_key(Key::new(1)));
    assert_eq!(bench.displaced, []);
    bench.outbox.written(&mut bench.arena, 2);
    assert_eq!(bench.settlements(), [(1, Written)]);
    assert_eq!(bench.take_all(), ["k2"]);
}

#[test]
fn a_requeued_message_with_a_newer_self_is_replaced() {
    let mut bench = Bench::new();
    bench.push(Message::text("k1").with_key(Key::new(1)));
    bench.push(Message::text("a"));
    assert_eq!(bench.take(), Some("k1"));
    assert_eq!(bench.take(), Some("a"));
    bench.push(Message::text("k2").with_key(Key::new(1)));
    bench.outbox.requeue(&mut bench.arena);
    assert_eq!(bench.settlements(), [(1, Replaced)]);
    assert_eq!(bench.take_all(), ["a", "k2"]);
}

#[test]
fn a_newer_self_that_was_in_flight_too_counts() {
    let mut bench = Bench::new();
    for name in ["k1", "k2"] {
        bench.push(Message::text(name).with_key(Key::new(1)));
        assert_eq!(bench.take(), Some(name));
    }
    bench.outbox.requeue(&mut bench.arena);
    assert_eq!(bench.settlements(), [(1, Replaced)]);
    assert_eq!(bench.take_all(), ["k2"]);
}

#[test]
fn keys_by_name_are_fnv_1a() {
    assert_eq!(Key::hash(b"").number(), 0xCBF2_9CE4_8422_2325);
    assert_eq!(Key::hash(b"foobar").number(), 0x8594_4171_F739_67E8);
}

#[test]
fn a_key_is_the_number_that_it_was_made_from() {
    for number in [0, 1, 7, u64::MAX - 1] {
        assert_eq!((Key::new(number).number(), u64::from(Key::from(number))), (number, number));
    }
}
