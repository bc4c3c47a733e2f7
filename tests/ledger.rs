//! Each accepted message comes to exactly one end, and is told once.

use core::time::Duration;

use crate::harness::{Door, Script, ms};
use everlink::dialogue::Ask;
use everlink::link::{Action, Config, Event, Failure, Input, Link, Next};
use everlink::outbox::{Key, Message, Outcome, Policy};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::Limits;

fn message(text: &str) -> Message<Vec<u8>> {
    Message::text(text.into())
}

// pain 8, pain 9
#[test]
fn every_outcome_is_told_once_and_counted() {
    let mut script = Script::new(|config| config.outbox.messages = 4);
    let key = Key::new(1);
    assert!(script.post(message("cursor").with_key(key)).is_ok()); // 1: replaced by 2
    assert!(script.post(message("cursor").with_key(key)).is_ok()); // 2: evicted by 6
    assert!(script.post(message("short-lived").with_ttl(ms(50))).is_ok()); // 3: expires
    let cancelled = script.send("cancelled"); // 4
    assert_eq!(script.link.cancel(cancelled), Some(b"cancelled".to_vec()));
    assert_eq!(script.link.cancel(cancelled), None, "once");
    script.until(60);
    assert!(script.post(message("written")).is_ok()); // 5
    for text in ["handed over", "queued", "queued too"] {
        assert!(script.post(message(text)).is_ok()); // 6, 7, 8
    }
    script.settles(&[(1, Outcome::Replaced), (3, Outcome::Expired), (2, Outcome::Evicted)]);
    script.server.drains = false;
    script.input(Input::Start);
    script.until(300);
    script.event(1, Event::Written(7));
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(2_000);
    script.settles(&[
        (5, Outcome::Written),
        (6, Outcome::InDoubt),
        (7, Outcome::InDoubt),
        (8, Outcome::InDoubt),
    ]);
    let counts = script.report().counts;
    assert_eq!(counts.written.get(), 1);
    let drops = counts.drops;
    let seen = [drops.replaced, drops.expired, drops.cancelled, drops.evicted, drops.in_doubt, drops.stopped];
    assert_eq!(seen.map(everlink::metrics::Counter::get), [1, 1, 1, 1, 3, 0]);
    assert_eq!(drops.total() + counts.written.get(), 8);
}

#[test]
fn what_is_told_ahead_of_its_turn_is_not_told_again() {
    for ahead in 0..4 {
        let mut link = Link::<Vec<u8>>::new(Config::default(), 1).unwrap();
        let ids: Vec<_> =
            ["a", "b", "c"].map(|text| link.send(Instant::ORIGIN, message(text), |_, _| ()).unwrap()).into();
        assert_eq!(link.settled(), None);
        link.handle(Instant::ORIGIN, Input::Stop { linger: Duration::ZERO }).for_each(drop);
        let mut told: Vec<_> = core::iter::from_fn(|| link.settled()).take(ahead).collect();
        while let Next::Do(action) = link.poll() {
            let Action::Settled(settlement) = action else { panic!("{action:?}") };
            told.push(settlement);
        }
        assert_eq!(link.settled(), None);
        assert_eq!(told.iter().map(|settlement| settlement.id).collect::<Vec<_>>(), ids);
        assert!(told.iter().all(|settlement| settlement.outcome == Outcome::Stopped));
        assert_eq!(link.report(Instant::ORIGIN).counts.drops.stopped.get(), 3);
    }
}

#[test]
fn a_request_is_not_told_as_a_message_ahead_of_its_turn() {
    let config = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
    let mut link = Link::<Vec<u8>>::new(config, 1).unwrap();
    link.open_dialogue();
    let id = link.request(Instant::ORIGIN, &Ask::query("weather", "Oslo"), |_, _| ()).unwrap();
    while let Next::Do(_) = link.poll() {}
    link.handle(Instant::ORIGIN, Input::Stop { linger: Duration::ZERO }).for_each(drop);
    assert_eq!(link.settled(), None);
    let Next::Do(Action::Ended(ended)) = link.poll() else { panic!() };
    assert_eq!(ended.id, id);
}

// pain 9
#[test]
fn what_was_stopped_is_not_sent_by_a_later_start() {
    let mut script = Script::new(|_| {});
    script.server.door = Door::Refuses(Failure::Connect);
    script.input(Input::Start);
    script.send("stroke");
    script.until(500);
    script.input(Input::Stop { linger: Duration::ZERO });
    script.settles(&[(1, Outcome::Stopped)]);
    script.server.heal();
    script.input(Input::Start);
    script.until(5_000);
    assert_eq!(script.written, []);
}

#[test]
fn what_is_sent_before_the_start_waits_for_it() {
    let mut script = Script::new(|_| {});
    script.send("stroke");
    script.until(500);
    script.input(Input::Start);
    script.until(1_000);
    assert_eq!(script.wrote(1), ["stroke"]);
}

#[test]
fn a_failed_link_keeps_what_is_queued_for_its_age() {
    let mut script = Script::connected(|_| {});
    script.send("written");
    script.until(1_001);
    script.settles(&[(1, Outcome::Written)]);
    script.close(1, Some(4001));
    script.send("stroke");
    script.until(30_000);
    script.input(Input::Start);
    script.until(31_000);
    assert_eq!(script.wrote(2), ["stroke"]);
}

#[test]
fn a_message_in_flight_is_too_late_to_cancel() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    let id = script.send("stroke");
    assert_eq!(script.link.cancel(id), None);
    script.event(1, Event::Written(6));
    script.settles(&[(1, Outcome::Written)]);
}

#[test]
fn what_a_dead_socket_gave_back_may_expire_and_is_told_at_once() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    assert!(script.post(message("stroke").with_ttl(ms(500))).is_ok());
    script.until(3_000);
    script.settles(&[]);
    script.close(1, None);
    script.settles(&[(1, Outcome::Expired)]);
}

#[test]
fn the_queue_is_bounded_and_says_what_went() {
    for (policy, kept) in [(Policy::DropOldest, [2, 3]), (Policy::Refuse, [1, 2])] {
        let mut script = Script::new(|config| {
            config.outbox.messages = 2;
            config.outbox.policy = policy;
        });
        let accepted: Vec<_> =
            ["1", "2", "3"].into_iter().filter(|text| script.post(message(text)).is_ok()).collect();
        script.input(Input::Start);
        script.until(1_000);
        assert_eq!(script.wrote(1), kept.map(|id| id.to_string()));
        assert_eq!(
            accepted.len() - 2,
            script.settled.iter().filter(|end| end.outcome == Outcome::Evicted).count()
        );
    }
}
