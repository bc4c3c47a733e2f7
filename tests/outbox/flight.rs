//! What becomes of a message that is in flight.

use everlink::outbox::{Config, Message, Outcome, Priority};

use super::Bench;
use Outcome::{TooLarge, Written};
use Priority::{High, Low};

#[test]
fn requeue_restores_the_old_order_in_front_of_what_came_since() {
    let mut bench = Bench::with_slots(8, Config::default());
    bench.push_all(&["n1", "n2"]);
    bench.push(Message::text("h1").with_priority(High));
    bench.push(Message::text("l1").with_priority(Low));
    assert_eq!(bench.take_all(), ["h1", "n1", "n2", "l1"]);
    bench.push(Message::text("h2").with_priority(High));
    bench.push(Message::text("n3"));
    assert_eq!(bench.outbox.in_flight(), 4);
    bench.outbox.requeue(&mut bench.arena);
    assert_eq!((bench.outbox.in_flight(), bench.outbox.queued()), (0, 6));
    assert_eq!(bench.take_all(), ["h1", "h2", "n1", "n2", "n3", "l1"]);
}

#[test]
fn a_message_is_written_when_its_last_byte_is() {
    let mut bench = Bench::new();
    bench.push_all(&["abc", "de"]);
    bench.take_all();
    bench.outbox.written(&mut bench.arena, 2);
    assert_eq!(bench.settlements(), []);
    bench.outbox.written(&mut bench.arena, 4);
    assert_eq!(bench.settlements(), [(1, Written)]);
    assert_eq!((bench.outbox.in_flight(), bench.outbox.in_flight_bytes()), (1, 2));
    bench.outbox.written(&mut bench.arena, 5);
    assert_eq!(bench.settlements(), [(2, Written)]);
    assert!(bench.outbox.is_empty());
}

#[test]
fn an_empty_message_is_written_when_everything_before_it_is() {
    let mut bench = Bench::new();
    bench.push_all(&["", "a", "", "b"]);
    bench.take_all();
    assert!(!bench.outbox.has_settlement());
    bench.outbox.written(&mut bench.arena, 0);
    assert_eq!(bench.settlements(), [(1, Written)]);
    bench.outbox.written(&mut bench.arena, 1);
    assert_eq!(bench.settlements(), [(2, Written), (3, Written)]);
}

#[test]
fn an_absurd_total_is_harmless() {
    let mut bench = Bench::new();
    bench.push_all(&["abc", "de"]);
    assert_eq!(bench.take(), Some("abc"));
    bench.outbox.written(&mut bench.arena, u64::MAX);
    assert_eq!(bench.settlements(), [(1, Written)]);
    assert_eq!(bench.take(), Some("de"));
    bench.outbox.written(&mut bench.arena, 1);
    assert_eq!(bench.settlements(), []);
    bench.outbox.written(&mut bench.arena, 5);
    assert_eq!(bench.settlements(), [(2, Written)]);
}

#[test]
fn after_a_requeue_bytes_count_from_zero() {
    let mut bench = Bench::new();
    bench.push_all(&["abc", "de"]);
    bench.take_all();
    bench.outbox.written(&mut bench.arena, 3);
    bench.outbox.requeue(&mut bench.arena);
    assert_eq!(bench.take_all(), ["de"]);
    bench.outbox.written(&mut bench.arena, 1);
    assert_eq!(bench.settlements(), [(1, Written)]);
    bench.outbox.written(&mut bench.arena, 2);
    assert_eq!(bench.settlements(), [(2, Written)]);
}

#[test]
fn the_largest_in_flight_message_is_discarded_and_its_bytes_still_count() {
    let mut bench = Bench::new();
    bench.push_all(&["ab", "cdefg", "hijkl", "m"]);
    bench.take_all();
    bench.outbox.discard_largest_in_flight(&mut bench.arena);
    assert_eq!(bench.settlements(), [(2, TooLarge)]);
    assert_eq!(bench.outbox.in_flight_bytes(), 8);
    bench.outbox.written(&mut bench.arena, 11);
    assert_eq!(bench.settlements(), [(1, Written)]);
    bench.outbox.written(&mut bench.arena, 12);
    assert_eq!(bench.settlements(), [(3, Written)]);
    bench.outbox.requeue(&mut bench.arena);
    assert_eq!(bench.take_all(), ["m"]);
}

#[test]
fn with_nothing_in_flight_nothing_is_discarded() {
    let mut bench = Bench::new();
    bench.push(Message::text("a"));
    bench.outbox.discard_largest_in_flight(&mut bench.arena);
    assert_eq!((bench.settlements(), bench.take_all()), (vec![], vec!["a"]));
}
