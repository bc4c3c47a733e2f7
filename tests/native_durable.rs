//! A state that outlives the process: what waits for the disk in durable mode, and what a stored state may be.

use core::time::Duration;

use crate::harness::far::{bytes, text};
use crate::harness::{Script, at, epoch, ms, s};
use everlink::delivery::InDoubt;
use everlink::link::{Action, Config, Event, Input, Link, Next, RestoreError, Wake};
use everlink::outbox::{Kind, Message, Outcome, Priority};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::Limits;

fn durable(config: &mut Config) {
    config.delivery.durable = true;
}

#[test]
fn hello_and_messages_wait_until_what_they_depend_on_is_stored() {
    let mut script = Script::new(|config| {
        config.wire = Wire::Native(Limits::default());
        config.delivery.durable = true;
    });
    script.far = Some(crate::harness::far::Far::default());
    script.disk = Some(ms(300));
    script.input(Input::Start);
    script.until(1_000);
    script.send("a");
    script.until(1_500);
    script.sees(
        "open store flush settled",
        "0 open 1 attempt 0
         0 store 1
         300 flush 1
         340 store 2
         640 flush 1
         1000 store 3
         1300 flush 1
         1340 settled 1 acknowledged",
    );
}

#[test]
fn an_acknowledgement_waits_until_what_it_counts_is_stored() {
    let mut script = Script::native(durable);
    script.disk = Some(ms(200));
    script.tell("x");
    script.until(2_000);
    assert_eq!(script.delivered, [b"x"]);
    script.sees("store flush", "1020 store 3\n 1220 flush 1");
}

#[test]
fn what_came_is_numbered_over_the_whole_session() {
    let mut script = Script::native(|_| {});
    script.tell("a");
    script.until(2_000);
    let (epoch, frame) = (epoch(1), bytes(&[text("b"), text("c")]));
    let input = Input::Socket(epoch, Event::Frame { kind: Kind::Binary, data: &frame });
    let mut came = script.link.handle(script.now, input);
    let mut numbers = Vec::new();
    while came.next().is_some() {
        numbers.push(came.number());
    }
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn what_the_application_has_not_taken_is_neither_stored_nor_acknowledged() {
    let mut script = Script::native(durable);
    script.disk = Some(ms(10));
    script.input(Input::Unread(Some(1)));
    script.tell("x");
    script.tell("y");
    script.until(2_000);
    assert_eq!(script.delivered, [b"x", b"y"]);
    script.sees("store flush", "");
    script.input(Input::Unread(Some(2)));
    script.until(3_000);
    script.sees("store flush", "2000 store 3\n 2010 flush 1");
    script.input(Input::Unread(None));
    script.until(4_000);
    script.sees("store flush", "3000 store 4\n 3010 flush 1");
}

#[test]
fn whatever_is_received_is_stored_at_once() {
    let mut script = Script::native(durable);
    script.disk = Some(ms(1));
    for millis in [1_100, 1_110, 1_120] {
        script.until(millis);
        script.tell("x");
    }
    script.until(1_141);
    script.sees("store", "1120 store 3\n 1130 store 4\n 1140 store 5");
}

#[test]
fn a_state_that_could_not_be_stored_is_stored_again_after_a_while() {
    let mut script = Script::native(durable);
    script.disk = None;
    script.send("a");
    script.sees("store flush", "1000 store 3");
    assert_eq!(script.link.wake(), Some((at(2_000), Wake::Store)));
    script.until(2_500);
    script.sees("store flush", "2000 store 4");
    script.disk = Some(ms(5));
    script.until(3_500);
    script.sees("store flush settled", "3000 store 5\n 3005 flush 1\n 3045 settled 1 acknowledged");
}

#[test]
fn a_version_that_is_not_waited_for_changes_nothing() {
    let mut script = Script::native(durable);
    script.disk = Some(s(100));
    script.send("a");
    for version in [0, 2, 4, u64::MAX] {
        script.input(Input::Stored(version));
        script.input(Input::StoreFailed(version));
    }
    script.sees("store flush", "1000 store 3");
    script.input(Input::Stored(3));
    script.sees("store flush", "1000 flush 1");
}

#[test]
fn durable_mode_needs_a_wire_that_resumes() {
    let mut config = Config::default();
    config.delivery.durable = true;
    assert_eq!(config.check().unwrap_err().field, "delivery.durable");
}

fn native() -> Config {
    Config { wire: Wire::Native(Limits::default()), ..Config::default() }
}

/// A link with messages of every kind in every stage, and its state.
fn full() -> (Script, Vec<u8>) {
    let mut script = Script::native(|config| config.delivery.window = 2);
    script.server.answers = false;
    for (text, priority) in
        [("a", Priority::Low), ("b", Priority::Normal), ("c", Priority::Low), ("d", Priority::High)]
    {
        let message = Message::text(text.into()).with_priority(priority).with_ttl(s(60));
        script.post(message).unwrap();
    }
    let mut state = Vec::new();
    script.link.store(script.now, |part| state.extend_from_slice(part));
    (script, state)
}

#[test]
fn what_is_restored_goes_on_with_the_same_ids_in_the_same_order() {
    let (mut script, state) = full();
    let config = script.link.config().clone();
    script.stored = crate::harness::Snapshot { state, ..crate::harness::Snapshot::default() };
    script.server.answers = true;
    script.kill(&config, 9);
    script.until(3_000);
    assert_eq!(script.far().came(), ["a", "b", "d", "c"]);
    script.settles(&[
        (1, Outcome::Acknowledged),
        (2, Outcome::Acknowledged),
        (4, Outcome::Acknowledged),
        (3, Outcome::Acknowledged),
    ]);
    assert_eq!(script.told.last().unwrap(), "Session { resumed: true, number: 1 }");
}

#[test]
fn what_is_restored_and_stopped_before_it_is_started_comes_to_its_end() {
    let (_, state) = full();
    let mut link = Link::<Vec<u8>>::restore(native(), 1, &state, Instant::ORIGIN, Duration::ZERO).unwrap();
    link.handle(Instant::ORIGIN, Input::Stop { linger: Duration::ZERO });
    let mut ends = Vec::new();
    while let Next::Do(action) = link.poll() {
        if let Action::Settled(end) = action {
            ends.push((end.id.sequence(), end.outcome));
        }
    }
    ends.sort_by_key(|(id, _)| *id);
    let (doubtful, stopped) = (Outcome::InDoubt, Outcome::Stopped);
    assert_eq!(ends, [(1, doubtful), (2, doubtful), (3, stopped), (4, stopped)]);
}

#[test]
fn the_time_away_counts_for_what_expires() {
    let (_, state) = full();
    for (away, queued) in [(s(10), 4), (s(61), 2)] {
        let mut link = Link::<Vec<u8>>::restore(native(), 1, &state, Instant::ORIGIN, away).unwrap();
        link.handle(Instant::ORIGIN, Input::Tick);
        assert_eq!(link.report(Instant::ORIGIN).queue.messages, queued, "in flight is for ever");
    }
}

#[test]
fn a_state_older_than_what_was_sent_begins_a_new_session_and_all_of_it_is_in_doubt() {
    let (mut script, state) = full();
    let config = script.link.config().clone();
    script.server.answers = true;
    script.until(3_000); // all four arrive, and the process lives on without storing
    script.close(1, None);
    script.until(6_000); // a later hello
    script.stored = crate::harness::Snapshot { state, ..crate::harness::Snapshot::default() };
    script.kill(&config, 9);
    script.settled.clear();
    script.forget();
    script.send("new");
    script.until(30_000);
    script.settles(&[
        (4, Outcome::InDoubt),
        (3, Outcome::InDoubt),
        (1, Outcome::InDoubt),
        (2, Outcome::InDoubt),
        (5, Outcome::Acknowledged),
    ]);
    assert_eq!(script.far().came(), ["a", "b", "d", "c", "new"]);
}

#[test]
fn or_all_of_it_is_sent_again_if_that_is_configured() {
    let (mut script, state) = full();
    let mut config = script.link.config().clone();
    config.delivery.in_doubt = InDoubt::Resend;
    script.server.answers = true;
    script.until(3_000);
    script.close(1, None);
    script.until(6_000);
    script.stored = crate::harness::Snapshot { state, ..crate::harness::Snapshot::default() };
    script.kill(&config, 9);
    script.until(30_000);
    assert_eq!(script.far().came(), ["a", "b", "d", "c", "d", "b", "a", "c"]);
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let (_, state) = full();
    let restore = |state: &[u8]| {
        Link::<Vec<u8>>::restore(native(), 1, state, Instant::ORIGIN, Duration::ZERO).map(|_| ())
    };
    assert_eq!(restore(&state), Ok(()));
    for byte in 0..state.len() {
        assert!(restore(&state[..byte]).is_err(), "cut off at {byte}");
        let mut damaged = state.clone();
        damaged[byte] ^= 1 << (byte % 8);
        assert!(restore(&damaged).is_err(), "a bit of byte {byte}");
    }
    assert_eq!(restore(b"something else"), Err(RestoreError::Foreign));
    let longer = [&state[..], b"\0"].concat();
    assert_eq!(restore(&longer), Err(RestoreError::Damaged));
}

#[test]
fn a_state_that_needs_more_slots_than_there_are_is_refused() {
    let (_, state) = full();
    let mut config = native();
    config.outbox.messages = 3;
    let result = Link::<Vec<u8>>::restore(config, 1, &state, Instant::ORIGIN, Duration::ZERO);
    assert_eq!(result.err(), Some(RestoreError::Damaged));
}

#[test]
fn settlements_that_were_not_told_are_told_after_the_restart() {
    let mut link = Link::<Vec<u8>>::new(native(), 1).unwrap();
    let message = Message::text(b"a".to_vec()).with_ttl(ms(10));
    link.send(Instant::ORIGIN, message, |_, _| ()).unwrap();
    link.handle(at(20), Input::Tick);
    let mut state = Vec::new();
    link.store(at(20), |part| state.extend_from_slice(part));
    let mut again = Link::<Vec<u8>>::restore(native(), 1, &state, at(0), Duration::ZERO).unwrap();
    let told = std::iter::from_fn(|| match again.poll() {
        everlink::link::Next::Do(action) => Some(action),
        _ => None,
    });
    let settled: Vec<_> = told
        .filter_map(|action| match action {
            everlink::link::Action::Settled(end) => Some((end.id.sequence(), end.outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(settled, [(1, Outcome::Expired)]);
}

#[test]
fn there_may_be_more_slots_than_are_needed_and_not_fewer() {
    let (_, state) = full();
    let restore = |slots: usize| {
        let slots: Vec<_> = (0..slots).map(|_| everlink::outbox::Slot::EMPTY).collect();
        Link::<Vec<u8>, _>::restore_with_slots(native(), 1, slots, &state, Instant::ORIGIN, Duration::ZERO)
            .map(|link| link.last_message())
    };
    let last = Link::<Vec<u8>>::restore(native(), 1, &state, Instant::ORIGIN, Duration::ZERO)
        .unwrap()
        .last_message();
    let most = native().outbox.messages as usize;
    assert_eq!((restore(most), restore(most + 1)), (Ok(last), Ok(last)));
    assert!(
        matches!(restore(most - 1), Err(RestoreError::Config(error)) if error.field == "outbox.messages")
    );
}
