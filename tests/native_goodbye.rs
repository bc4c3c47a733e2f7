//! The native wire: goodbyes of the server, and how a stop ends a session.

use core::time::Duration;

use crate::harness::far::bytes;
use crate::harness::{Script, at, s};
use everlink::link::{Cause, Event, Input, State, Status};
use everlink::outbox::{Kind, Outcome};
use everlink::wire::native::{Envelope, Goodbye, code};

const fn goodbye(code: u16, retry_after: u32) -> Goodbye<'static> {
    Goodbye { code, retry_after, attempt: 0, reason: "bye" }
}

fn told_goodbye(code: u16, retry_after: u32) -> Script {
    let mut script = Script::native(|_| {});
    let sent = script.far().part(goodbye(code, retry_after));
    script.down(sent);
    script.until(1_020);
    script
}

#[test]
fn a_goodbye_is_judged_like_a_close_with_its_code() {
    for (code, is_final) in [
        (code::NORMAL, false),
        (code::GOING_AWAY, false),
        (code::PROTOCOL, true),
        (code::NOT_TEXT, true),
        (code::INTERNAL, false),
        (code::RESTART, false),
        (code::TRY_LATER, false),
        (code::UNAUTHENTICATED, true),
        (code::TOO_SLOW, false),
        (code::EXPIRED, false),
        (code::TOO_MANY, false),
        (4_321, false),
    ] {
        let mut script = told_goodbye(code, 0);
        match script.state() {
            State::Failed { cause } => assert!(is_final && cause == Cause::Closed(code), "{code} {cause:?}"),
            State::Waiting { cause, .. } => {
                assert!(!is_final && cause == Cause::Closed(code), "{code} {cause:?}");
                script.until(60_000);
                assert_eq!(script.status(), Status::Connected, "{code}");
                assert_eq!(script.report().counts.resumptions.get(), 1, "{code}");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn retry_after_is_honoured_and_the_socket_closed_without_another_word() {
    let mut script = told_goodbye(code::RESTART, 7_000);
    script.sees("flush close abandon status", "1020 close 1 1012\n 1020 status disconnected");
    assert!(matches!(script.state(), State::Waiting { until, .. } if until >= at(8_020)));
    assert!(script.told.last().unwrap().contains("bye"));
}

#[test]
fn what_comes_behind_a_goodbye_is_not_looked_at() {
    let mut script = Script::native(|_| {});
    let frame = bytes(&[Envelope::Goodbye(goodbye(1001, 0)), crate::harness::far::text("too late")]);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &frame });
    script.event(
        1,
        Event::Frame { kind: Kind::Binary, data: &bytes(&[crate::harness::far::text("still later")]) },
    );
    assert!(script.delivered.is_empty());
}

#[test]
fn a_stop_says_goodbye_and_the_session_is_over() {
    let mut script = Script::native(|_| {});
    script.input(Input::Stop { linger: Duration::ZERO });
    script.sees("flush close status", "1000 flush 1\n 1000 close 1 1000\n 1000 status disconnected");
    script.until(2_000);
    assert_eq!(script.far().goodbyes, [(1, 1000)]);
    script.input(Input::Start);
    script.until(3_000);
    assert_eq!(script.far().hellos.last().unwrap().token, b"", "no token");
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn the_goodbye_brings_the_last_acknowledgement() {
    let mut script = Script::native(|config| config.delivery.ack_delay = s(5));
    script.tell("x");
    script.until(1_100);
    assert_eq!(script.far().session().counts.in_flight(), 1);
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(1_200);
    assert_eq!(script.far().session().counts.in_flight(), 0);
}

#[test]
fn acknowledgements_that_come_during_the_close_still_settle() {
    let mut script = Script::native(|_| {});
    script.send("a");
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(2_000);
    script.settles(&[(1, Outcome::Acknowledged)]);
}

#[test]
fn what_is_not_acknowledged_when_the_close_is_over_is_in_doubt() {
    for start_again in [false, true] {
        let mut script = Script::native(|_| {});
        script.far().acks = false;
        script.send("a");
        script.input(Input::Stop { linger: Duration::ZERO });
        if start_again {
            script.input(Input::Start);
            script.settles(&[(1, Outcome::InDoubt)]);
        }
        script.until(10_000);
        if !start_again {
            script.settles(&[(1, Outcome::InDoubt)]);
        }
        assert_eq!(script.settled.len(), 1);
    }
}

#[test]
fn a_stop_without_a_socket_settles_what_was_in_flight_as_in_doubt() {
    let mut script = Script::native(|_| {});
    script.server.black_hole();
    script.send("a");
    script.close(1, None);
    script.send("b");
    script.input(Input::Stop { linger: s(5) });
    script.settles(&[(1, Outcome::InDoubt), (2, Outcome::Stopped)]);
}

#[test]
fn a_stop_that_lingers_waits_for_acknowledgements() {
    let mut script = Script::native(|config| config.delivery.window = 1);
    script.send_all(&["a", "b", "c"]);
    script.input(Input::Stop { linger: s(5) });
    script.until(2_000);
    assert_eq!(script.far().came(), ["a", "b", "c"]);
    script.settles(&[(1, Outcome::Acknowledged), (2, Outcome::Acknowledged), (3, Outcome::Acknowledged)]);
    script.sees("close", "1120 close 1 1000");
}

#[test]
fn a_server_that_breaks_the_websocket_protocol_is_told_in_a_goodbye_whatever_is_in_flight() {
    let mut script = Script::native(|_| {});
    script.server.answers = false;
    script.send("a");
    script.event(1, Event::Violation(1002));
    script.sees("flush close abandon", "1000 flush 1\n 1000 flush 1\n 1000 close 1 1002");
    assert_eq!(script.report().counts.protocol_violations.get(), 1);
}

#[test]
fn a_bare_close_of_a_session_that_another_has_takes_it_back_from_nobody() {
    let mut script = Script::native(|_| {});
    script.close(1, Some(code::SUPERSEDED));
    script.until(60_000);
    assert_eq!(script.far().hellos.last().unwrap().token, b"");
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_stop_between_two_sockets_ends_a_session_in_which_nothing_is_in_flight() {
    let mut script = Script::native(|_| {});
    script.close(1, None);
    script.input(Input::Stop { linger: Duration::ZERO });
    script.input(Input::Start);
    script.until(3_000);
    assert_eq!(script.far().hellos.last().unwrap().token, b"");
    assert_eq!(script.told.last().unwrap(), "Session { resumed: false, number: 2 }");
}

#[test]
fn a_stop_after_the_session_was_given_up_still_settles_what_was_in_flight_in_it() {
    let mut script = Script::native(|_| {});
    script.far().acks = false;
    script.send("a");
    script.until(2_000);
    // It claims to have received what was never sent.
    script.far().session().counts.receive(1);
    script.close(1, None);
    script.until(3_200);
    script.sees("close", "3140 close 2 4102");
    script.input(Input::Stop { linger: Duration::ZERO });
    script.settles(&[(1, Outcome::InDoubt)]);
}

#[test]
fn what_a_socket_says_that_closes_for_a_fault_is_not_heeded_and_another_one_has_the_session() {
    let mut script = Script::native(|_| {});
    script.event(1, Event::Violation(code::PROTOCOL));
    script.far().acks = false;
    script.until(2_500);
    assert_eq!(script.status(), Status::Connected);
    script.send("on the second");
    // The first one is still closing.
    let ack = bytes(&[Envelope::Ack { received: 1 }]);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &ack });
    script.settles(&[]);
    script.event(2, Event::Frame { kind: Kind::Binary, data: &ack });
    script.settles(&[(1, Outcome::Acknowledged)]);
}

#[test]
fn a_stop_that_is_said_twice_is_one() {
    let mut script = Script::native(|_| {});
    script.send("a");
    script.input(Input::Stop { linger: Duration::ZERO });
    script.input(Input::Stop { linger: Duration::ZERO });
    script.settles(&[]);
    script.until(2_000);
    script.settles(&[(1, Outcome::Acknowledged)]);
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(10_000);
    script.settles(&[]);
    assert_eq!(script.far().goodbyes, [(1, 1000)]);
}
