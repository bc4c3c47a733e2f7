//! Messages that get too old.

use everlink::outbox::{Config, Message, Outcome, Policy, RefusedReason};
use everlink::time::Instant;

use super::{Bench, at, secs};
use Outcome::{Evicted, Expired, Written};

#[test]
fn a_message_expires_at_its_deadline_and_not_before() {
    let mut bench = Bench::new();
    bench.push(Message::text("a"));
    bench.push(Message::text("b").with_ttl(secs(5)));
    assert_eq!(bench.outbox.next_expiry(&bench.arena), Some(at(5)));
    bench.outbox.expire(&mut bench.arena, Instant::from_millis(4999));
    assert!(!bench.outbox.has_settlement());
    bench.outbox.expire(&mut bench.arena, at(5));
    assert_eq!(bench.settlements(), [(2, Expired)]);
    assert_eq!(bench.outbox.next_expiry(&bench.arena), Some(at(60)));
    bench.outbox.expire(&mut bench.arena, at(60));
    assert_eq!(bench.settlements(), [(1, Expired)]);
    assert_eq!(bench.outbox.next_expiry(&bench.arena), None);
}

#[test]
fn with_age_off_a_message_waits_for_ever() {
    let mut bench = Bench::new();
    bench.config.age = None;
    bench.push(Message::text("a"));
    assert_eq!(bench.outbox.next_expiry(&bench.arena), None);
    bench.outbox.expire(&mut bench.arena, Instant::from_micros(u64::MAX));
    assert_eq!(bench.take_all(), ["a"]);
}

#[test]
fn what_is_in_flight_does_not_expire_but_keeps_its_deadline() {
    let mut bench = Bench::new();
    bench.push(Message::text("a"));
    bench.take();
    assert_eq!(bench.outbox.next_expiry(&bench.arena), None);
    bench.outbox.expire(&mut bench.arena, at(100));
    assert_eq!(bench.settlements(), []);
    bench.outbox.requeue(&mut bench.arena);
    assert_eq!(bench.outbox.next_expiry(&bench.arena), Some(at(60)));
    bench.outbox.expire(&mut bench.arena, at(100));
    assert_eq!(bench.settlements(), [(1, Expired)]);
}

#[test]
fn a_thousand_deadlines_expire_in_order() {
    let mut bench =
        Bench::with_slots(1000, Config { messages: 1000, age: Some(secs(5000)), ..Config::default() });
    // 389 is a generator modulo the prime 1009, so these are all different.
    let ttls: Vec<u64> = core::iter::successors(Some(1), |ttl| Some(ttl * 389 % 1009)).take(1000).collect();
    let ids: Vec<_> = ttls.iter().map(|&ttl| bench.push(Message::text("").with_ttl(secs(ttl)))).collect();
    let mut expected: Vec<_> = ids.iter().zip(&ttls).collect();
    for (id, _) in expected.extract_if(.., |(id, _)| id.sequence() % 3 == 0) {
        assert_eq!(bench.outbox.cancel(&mut bench.arena, *id), Some(""));
    }
    expected.sort_by_key(|(_, ttl)| **ttl);
    for (id, ttl) in expected {
        assert_eq!(bench.outbox.next_expiry(&bench.arena), Some(at(*ttl)));
        bench.outbox.expire(&mut bench.arena, at(*ttl));
        assert_eq!(bench.settlements(), [(id.sequence(), Expired)]);
    }
    assert_eq!(bench.arena.available(), 1000);
}

#[test]
fn push_expires_first_so_that_nothing_dead_costs_something_living() {
    let mut bench = Bench::with_policy(Policy::Refuse);
    bench.push(Message::text("a").with_ttl(secs(1)));
    bench.push_all(&["b", "c", "d"]);
    bench.now = at(1);
    bench.push(Message::text("e"));
    assert_eq!(bench.displaced, []);
    assert_eq!(bench.settlements(), [(1, Expired)]);
    assert_eq!(bench.take_all(), ["b", "c", "d", "e"]);
}

#[test]
fn where_slots_are_short_one_expired_message_gives_its_slot() {
    let mut bench = Bench::with_slots(2, Config { policy: Policy::Refuse, ..Config::default() });
    bench.push(Message::text("a").with_ttl(secs(1)));
    bench.push(Message::text("b").with_ttl(secs(2)));
    bench.now = at(2);
    bench.push(Message::text("c"));
    assert_eq!(bench.displaced, [("b", Expired)]);
    assert_eq!(bench.settlements(), [(1, Expired)]);
}

#[test]
fn settlements_that_nobody_drains_cost_a_queued_message_its_slot_or_are_a_refusal() {
    let mut bench = Bench::with_slots(2, Config::default());
    bench.push_all(&["a", "b"]);
    bench.take();
    bench.outbox.written(&mut bench.arena, 1);
    bench.push(Message::text("c"));
    assert_eq!(bench.displaced, [("b", Evicted)]);
    bench.take();
    assert_eq!(bench.try_push(Message::text("d")).unwrap_err().reason, RefusedReason::Full);
    assert_eq!(bench.settlements(), [(1, Written)]);
    bench.push(Message::text("d"));
}
