//! From the user's wish to an open socket, and all that can go wrong on the way.

use crate::harness::{Door, Script, at, ms, s};
use everlink::link::{Cause, Event, Failure, Input, State, Status, Wake};

#[test]
fn the_first_attempt_is_made_at_once() {
    let mut script = Script::new(|_| {});
    script.until(500);
    script.input(Input::Start);
    script.until(600);
    script.sees(
        "",
        "500 open 1 attempt 0
         500 status connecting
         600 ping 1 nonce 1
         600 status connected",
    );
}

// pain 12
#[test]
fn opening_has_a_deadline_over_everything() {
    let mut script = Script::new(|_| {});
    script.server.door = Door::Silent;
    script.input(Input::Start);
    assert_eq!(script.link.wake(), Some((at(10_000), Wake::OpenTimeout)));
    assert_eq!(script.state(), State::Opening { attempt: 0, until: at(10_000) });
    script.until(11_000);
    script.sees(
        "",
        "0 open 1 attempt 0
         0 status connecting
         10000 abandon 1
         10000 status disconnected
         10000 retry 1 at 11000: opening took too long
         11000 open 2 attempt 1
         11000 status connecting",
    );
}

// pain 12, pain 14
#[test]
fn a_failure_of_the_application_is_a_failed_attempt_and_it_is_asked_again() {
    let mut script = Script::new(|_| {});
    script.server.door = Door::Refuses(Failure::Credentials);
    script.input(Input::Start);
    script.until(1_000);
    script.server.heal();
    script.until(2_000);
    script.sees(
        "open retry status",
        "0 open 1 attempt 0
         0 status connecting
         100 status disconnected
         100 retry 1 at 1100: no address or credentials
         1100 open 2 attempt 1
         1100 status connecting
         1200 status connected",
    );
}

#[test]
fn some_failures_are_final_and_some_are_not() {
    let http = |status| Failure::Http { status, retry_after: None };
    let table = [
        (Failure::Dns, false),
        (Failure::Connect, false),
        (Failure::Tls, false),
        (Failure::Handshake, false),
        (Failure::Credentials, false),
        (Failure::Certificate, true),
        (Failure::Url, true),
        (http(400), true),
        (http(401), true),
        (http(403), true),
        (http(404), true),
        (http(408), false),
        (http(429), false),
        (http(500), false),
        (http(502), false),
        (http(503), false),
    ];
    for (failure, is_final) in table {
        let mut script = Script::new(|_| {});
        script.server.door = Door::Refuses(failure);
        script.input(Input::Start);
        script.until(500);
        let failed = script.state() == State::Failed { cause: Cause::Failure(failure) };
        assert_eq!(failed, is_final, "{failure:?}");
        assert_eq!(script.link.deadline().is_none(), is_final);
    }
}

#[test]
fn some_close_codes_are_final_and_some_are_not() {
    let table = [
        (1000, false),
        (1001, false),
        (1002, true),
        (1003, true),
        (1005, false),
        (1006, false),
        (1007, true),
        (1008, true),
        (1009, false),
        (1010, true),
        (1011, false),
        (1012, false),
        (1013, false),
        (4000, false),
        (4001, true),
        (0, false),
        (u16::MAX, false),
    ];
    for (code, is_final) in table {
        let mut script = Script::connected(|_| {});
        script.close(1, Some(code));
        let failed = script.state() == State::Failed { cause: Cause::Closed(code) };
        assert_eq!(failed, is_final, "{code}");
    }
}

#[test]
fn a_certificate_may_be_made_worth_another_attempt() {
    let mut script = Script::new(|config| config.retry.final_certificate = false);
    script.server.door = Door::Refuses(Failure::Certificate);
    script.input(Input::Start);
    script.until(5_000);
    assert_eq!(script.opens(), [0, 1_100, 3_200]);
}

#[test]
fn a_retry_after_in_place_of_the_upgrade_is_honoured_and_clamped() {
    for (asked, earliest) in [(s(7), 7_100), (s(1_000_000), 600_100)] {
        let mut script = Script::new(|_| {});
        script.server.door = Door::Refuses(Failure::Http { status: 503, retry_after: Some(asked) });
        script.input(Input::Start);
        script.until(earliest + 1_100);
        let open = script.opens()[1];
        assert!((earliest..=earliest + 1_000).contains(&open), "{open}");
    }
}

// pain 13
#[test]
fn failed_is_left_by_the_user_with_a_full_set_of_attempts() {
    let mut script = Script::new(|config| config.backoff.attempts = Some(2));
    script.server.door = Door::Refuses(Failure::Connect);
    script.input(Input::Start);
    script.until(60_000);
    assert_eq!((script.opens().len(), script.status()), (3, Status::Failed));
    for input in [Input::Tick, Input::Visible, Input::Hidden, Input::Suspended(s(60))] {
        script.input(input);
    }
    script.until(120_000);
    assert_eq!(script.status(), Status::Failed, "nothing else leaves it");
    script.input(Input::Start);
    script.until(180_000);
    assert_eq!((script.opens().len(), script.status()), (6, Status::Failed));
}

// pain 13
#[test]
fn a_second_outage_has_all_its_attempts_again() {
    let mut script = Script::connected(|config| config.backoff.attempts = Some(4));
    for outage in 0..3_u64 {
        script.until(1_000 + outage * 60_000);
        let newest = u32::try_from(script.opens().len()).unwrap_or(0);
        script.server.door = Door::Refuses(Failure::Connect);
        script.close(newest, None);
        script.until(9_000 + outage * 60_000);
        script.server.heal();
        script.until(40_000 + outage * 60_000);
        assert_eq!(script.status(), Status::Connected);
    }
}

#[test]
fn start_while_waiting_tries_at_once_and_start_while_connected_does_nothing() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Start);
    script.sees("", "");
    script.close(1, None);
    script.until(1_200);
    script.input(Input::Start);
    script.until(1_300);
    assert_eq!(script.opens(), [0, 1_200]);
    assert_eq!(script.status(), Status::Connected);
    script.input(Input::Start);
    script.until(5_000);
    assert_eq!(script.opens(), [0, 1_200]);
}

#[test]
fn an_opening_socket_that_breaks_the_protocol_is_dropped() {
    let mut script = Script::new(|_| {});
    script.input(Input::Start);
    script.event(1, Event::Violation(1002));
    script.sees(
        "abandon retry",
        "0 abandon 1
         0 retry 1 at 1000: protocol violation 1002",
    );
    script.event(1, Event::Opened);
    assert_eq!(script.status(), Status::Disconnected);
}

#[test]
fn an_io_error_of_an_open_socket_is_its_end() {
    let mut script = Script::connected(|_| {});
    script.event(1, Event::Failed(Failure::Connect));
    assert!(matches!(script.state(), State::Waiting { cause: Cause::Closed(1006), .. }));
}

#[test]
fn events_of_sockets_that_were_never_asked_for_are_counted() {
    let mut script = Script::new(|_| {});
    for number in [1, 2, u32::MAX] {
        script.event(number, Event::Opened);
    }
    script.sees("", "");
    assert_eq!(script.report().counts.stale_inputs.get(), 3);
}

#[test]
fn the_wall_clock_goes_on_from_what_was_told() {
    let mut script = Script::new(|_| {});
    assert_eq!(script.link.wall_clock(at(5)), None);
    script.until(2_000);
    script.input(Input::WallClock(s(1_000_000)));
    assert_eq!(script.link.wall_clock(at(2_500)), Some(ms(1_000_000_500)));
    assert_eq!(script.link.wall_clock(at(1_000)), Some(s(1_000_000)), "it does not run backwards");
}
