//! The native wire: a session outlives its sockets, and nothing is lost or comes twice.

use core::time::Duration;

use crate::harness::far::{bytes, text};
use crate::harness::{Door, Script, closed, s};
use everlink::delivery::InDoubt;
use everlink::link::{Cause, Event, State, Status};
use everlink::outbox::{Kind, Message, Outcome, Priority};
use everlink::wire::native::{Envelope, Goodbye, Welcome, code};

/// Three messages leave and are written, and the path swallows them; then the socket dies.
fn swallowed(change: impl FnOnce(&mut everlink::link::Config)) -> Script {
    let mut script = Script::native(change);
    script.send("a");
    script.until(2_000);
    script.server.answers = false;
    script.send_all(&["b", "c", "d"]);
    script.until(2_100);
    script
}

// pain 10
#[test]
fn what_was_in_flight_when_the_socket_died_is_sent_again_in_order() {
    let mut script = swallowed(|_| {});
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.until(5_000);
    assert_eq!(script.far().came(), ["a", "b", "c", "d"]);
    script.settles(&[
        (1, Outcome::Acknowledged),
        (2, Outcome::Acknowledged),
        (3, Outcome::Acknowledged),
        (4, Outcome::Acknowledged),
    ]);
    assert_eq!(script.told.last().unwrap(), "Session { resumed: true, number: 1 }");
    assert_eq!(script.report().counts.resumptions.get(), 1);
}

#[test]
fn what_did_arrive_before_the_socket_died_is_not_sent_again() {
    let mut script = Script::native(|_| {});
    script.send_all(&["a", "b", "c"]);
    script.until(1_030); // they have arrived; that they have, has not
    script.close(1, None);
    script.until(5_000);
    assert_eq!(script.far().came(), ["a", "b", "c"]);
    assert_eq!(script.wrote(2).iter().filter(|text| !text.is_empty()).count(), 0);
    script.settles(&[(1, Outcome::Acknowledged), (2, Outcome::Acknowledged), (3, Outcome::Acknowledged)]);
}

#[test]
fn what_the_server_had_in_flight_comes_again_and_only_once() {
    let mut script = Script::native(|config| config.delivery.ack_delay = s(5));
    script.tell_all(&["x", "y"]);
    script.until(1_100); // delivered, not acknowledged
    script.server.answers = false;
    script.tell("z");
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.until(5_000);
    assert_eq!(script.delivered, [b"x", b"y", b"z"]);
    let received = script.far().hellos.last().unwrap().received;
    assert_eq!(received, 2, "the hello has acknowledged what had come");
}

#[test]
fn repeats_are_dropped_and_counted() {
    let mut script = Script::native(|_| {});
    script.tell_all(&["x", "y"]);
    script.until(2_000);
    script.close(1, None);
    script.until(3_000); // the second socket is open, and its hello is being sent
    script.far = None;
    let announced = everlink::wire::native::Announced { envelope: 2000, window: 8, window_bytes: 4096 };
    let token = everlink::wire::native::Token::NONE;
    let welcome = Welcome { version: 1, resumed: true, received: 0, from: 1, announced, session: 1, token };
    script.until(3_110);
    let frame = bytes(&[Envelope::Welcome(welcome), text("y"), text("z")]);
    script.event(2, Event::Frame { kind: Kind::Binary, data: &frame });
    assert_eq!(script.delivered, [b"x", b"y", b"z"]);
    assert_eq!(script.report().counts.repeats.get(), 1);
}

#[test]
fn deliveries_that_are_dropped_early_are_counted_all_the_same() {
    let mut script = Script::native(|_| {});
    let frame = bytes(&[text("x"), text("y")]);
    let input = everlink::link::Input::Socket(
        crate::harness::epoch(1),
        Event::Frame { kind: Kind::Binary, data: &frame },
    );
    let mut deliveries = script.link.handle(script.now, input);
    let again = deliveries.clone();
    deliveries.next(); // and not the other
    assert_eq!(again.count(), 2);
    assert_eq!(script.report().counts.messages_received.get(), 2);
}

#[test]
fn priorities_and_cancelling_work_until_a_message_is_numbered() {
    let mut script = Script::native(|config| config.delivery.window = 2);
    script.server.answers = false;
    let ids = ["a", "b", "c", "d"].map(|text| script.send(text));
    let urgent = Message::text(b"e".to_vec()).with_priority(Priority::High);
    script.post(urgent).unwrap();
    assert!(script.link.cancel(ids[1]).is_none(), "it is in flight");
    assert!(script.link.cancel(ids[2]).is_some());
    script.server.heal();
    script.until(2_000);
    assert_eq!(script.far().came(), ["a", "b", "e", "d"]);
}

// pain 10
#[test]
fn a_session_that_the_server_does_not_know_leaves_messages_in_doubt() {
    let mut script = swallowed(|_| {});
    script.far().remembers = false;
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.send("e");
    script.until(5_000);
    assert_eq!(script.far().came(), ["a", "e"]);
    script.settles(&[
        (1, Outcome::Acknowledged),
        (2, Outcome::InDoubt),
        (3, Outcome::InDoubt),
        (4, Outcome::InDoubt),
        (5, Outcome::Acknowledged),
    ]);
    assert_eq!(script.told.last().unwrap(), "Session { resumed: false, number: 2 }");
}

#[test]
fn or_they_are_sent_again_if_that_is_configured() {
    let mut script = swallowed(|config| config.delivery.in_doubt = InDoubt::Resend);
    script.far().remembers = false;
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.send("e");
    script.until(5_000);
    assert_eq!(script.far().came(), ["a", "b", "c", "d", "e"]);
    assert_eq!(script.settled.iter().filter(|end| end.outcome != Outcome::Acknowledged).count(), 0);
}

#[test]
fn a_count_that_cannot_be_true_means_a_new_session_and_not_the_same_again() {
    let mut script = swallowed(|_| {});
    script.far().session().counts.receive(1); // one that was never sent
    for _ in 0..5 {
        script.far().session().counts.receive(1);
    }
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.until(10_000);
    script.sees("close", "3240 close 2 4102");
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.told.last().unwrap(), "Session { resumed: false, number: 2 }");
    assert_eq!(script.far().hellos.last().unwrap().token, b"");
    script.settles(&[
        (1, Outcome::Acknowledged),
        (2, Outcome::InDoubt),
        (3, Outcome::InDoubt),
        (4, Outcome::InDoubt),
    ]);
}

#[test]
fn attempts_only_grow_and_an_overtaken_hello_gives_the_session_up() {
    let mut script = Script::native(|_| {});
    script.close(1, None);
    script.until(3_000);
    script.close(2, None);
    script.until(6_000);
    let attempts: Vec<_> = script.far().hellos.iter().map(|hello| hello.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);

    // The server has answered a later hello: an old copy of the state would get this.
    let refused =
        everlink::wire::native::Goodbye { code: code::OVERTAKEN, retry_after: 0, attempt: 9, reason: "" };
    script.far().turns_away = Some(refused);
    script.close(3, None);
    script.until(10_300);
    script.far().turns_away = None;
    script.until(25_000);
    assert_eq!(script.far().hellos.last().unwrap().token, b"");
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_link_that_gives_up_keeps_what_is_in_flight_and_goes_on_when_it_is_started() {
    let mut script = swallowed(|_| {});
    script.server.door = Door::Refuses(everlink::link::Failure::Http { status: 403, retry_after: None });
    script.close(1, None);
    script.lose_what_is_held();
    script.until(5_000);
    assert!(matches!(script.state(), State::Failed { .. }));
    script.server.heal();
    script.input(everlink::link::Input::Start);
    script.until(6_000);
    assert_eq!(script.far().came(), ["a", "b", "c", "d"]);
}

#[test]
fn what_was_too_large_for_the_server_after_all_is_settled_and_the_others_arrive() {
    let mut script = Script::native(|_| {});
    script.server.answers = false;
    script.send("small");
    script.send("larger than anything that the server takes");
    script.send("last");
    script.event(1, Event::Closed(closed(Some(1009))));
    script.lose_what_is_held();
    script.server.heal();
    script.until(5_000);
    assert_eq!(script.far().came(), ["small", "last"]);
    script.settles(&[(2, Outcome::TooLarge), (1, Outcome::Acknowledged), (3, Outcome::Acknowledged)]);
}

#[test]
fn a_goodbye_that_says_too_large_settles_the_largest_as_well() {
    let mut script = Script::native(|_| {});
    script.server.answers = false;
    script.send("small");
    script.send("larger than anything that the server takes");
    let goodbye = Goodbye { code: code::TOO_LARGE, retry_after: 0, attempt: 0, reason: "" };
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[Envelope::Goodbye(goodbye)]) });
    script.lose_what_is_held();
    script.server.heal();
    script.until(5_000);
    assert_eq!(script.far().came(), ["small"]);
    script.settles(&[(2, Outcome::TooLarge), (1, Outcome::Acknowledged)]);
}

#[test]
fn a_violation_closes_the_socket_and_the_session_goes_on() {
    let mut script = Script::native(|_| {});
    // Well-formed, then an ack of what was never sent, then another message.
    let frame = bytes(&[text("good"), Envelope::Ack { received: 7 }, text("not looked at")]);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &frame });
    script.sees("flush close", "1000 flush 1\n 1000 close 1 4102");
    assert_eq!(script.delivered, [b"good"]);
    assert!(matches!(script.state(), State::Waiting { cause: Cause::Violation(code::IMPOSSIBLE_COUNT), .. }));
    script.until(4_000);
    assert_eq!(script.far().goodbyes, [(1, 4102)]);
    // The server had not sent "good": so the counts tell it that something is wrong, and a new session begins.
    assert_eq!(script.told.last().unwrap(), "Session { resumed: false, number: 2 }");
}

#[test]
fn a_session_survives_offline() {
    let mut script = swallowed(|_| {});
    script.input(everlink::link::Input::Offline);
    script.close(1, None);
    script.lose_what_is_held();
    script.until(100_000);
    script.send("e");
    script.server.heal();
    script.input(everlink::link::Input::Online);
    script.until(102_000);
    assert_eq!(script.far().came(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_full_window_pushes_back_on_the_queue() {
    let mut script = Script::native(|config| {
        config.delivery.window = 100;
        config.delivery.window_bytes = 10;
        config.outbox.messages = 4;
    });
    script.server.answers = false;
    script.send_all(&["aaaa", "bbbb", "cccc", "dddd"]);
    assert_eq!(script.written.iter().filter(|(_, payload)| !payload.is_empty()).count(), 2);
    script.send("eeee");
    script.settles(&[(3, Outcome::Evicted)]);
    script.server.heal();
    script.until(2_000);
    assert_eq!(script.far().came(), ["aaaa", "bbbb", "dddd", "eeee"]);
}

#[test]
fn queued_messages_expire_and_numbered_ones_do_not() {
    let mut script = Script::native(|config| config.delivery.window = 1);
    script.server.answers = false;
    for text in ["a", "b"] {
        script.post(Message::text(text.into()).with_ttl(Duration::from_secs(3))).unwrap();
    }
    script.until(4_500);
    script.settles(&[(2, Outcome::Expired)]);
    script.server.heal();
    script.until(9_000);
    assert_eq!(script.far().came(), ["a"]);
}

#[test]
fn patience_with_acknowledgements_grows_until_something_is_acknowledged_be_it_by_a_welcome() {
    // 3.05 s, or twice as long.
    for (arrives, overdue_at) in [(true, 5_190 + 1_000 + 3_050), (false, 5_190 + 6_100)] {
        let mut script = Script::native(|config| config.candidate = everlink::link::Candidate::Off);
        script.far().acks = false;
        script.server.answers = arrives;
        script.send("a");
        script.until(1_030);
        if !arrives {
            script.lose_what_is_held();
            script.server.answers = true;
        }
        script.until(4_050);
        assert_eq!(script.state(), State::Unacknowledged);
        script.close(1, None);
        // If it has arrived, the welcome says so at 5 190; else it is sent again.
        script.until(6_190);
        script.send("b");
        script.until(overdue_at - 1);
        assert_eq!(script.state(), State::Connected, "arrives: {arrives}");
        script.until(overdue_at);
        assert_eq!(script.state(), State::Unacknowledged, "arrives: {arrives}");
    }
}
