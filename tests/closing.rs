//! The user wants the connection no more, or the peer breaks the protocol.

use core::time::Duration;

use crate::harness::{Door, Script, ms, s};
use everlink::link::{Action, Event, Failure, Input, State, Status};
use everlink::outbox::Outcome;
use everlink::quality::Quality;

const STOP: Input<'_> = Input::Stop { linger: Duration::ZERO };

#[test]
fn a_healthy_socket_is_closed_properly() {
    let mut script = Script::connected(|_| {});
    script.input(STOP);
    script.until(60_000);
    script.sees(
        "",
        "1000 close 1 1000
         1000 status disconnected
         1000 quality unknown",
    );
    assert_eq!(script.state(), State::Stopped);
    assert_eq!(script.link.wake(), None);
}

#[test]
fn a_socket_that_does_not_close_is_given_up() {
    let mut script = Script::connected(|_| {});
    script.server.answers = false;
    script.input(STOP);
    script.until(60_000);
    script.sees("close abandon", "1000 close 1 1000\n 6000 abandon 1");
}

#[test]
fn a_suspect_socket_is_not_negotiated_with() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(16_500);
    script.input(STOP);
    script.sees(
        "close abandon status quality",
        "16140 status degraded
         16140 quality degraded
         16500 abandon 1
         16500 status disconnected
         16500 quality unknown",
    );
}

#[test]
fn an_offline_socket_is_not_negotiated_with() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("stroke");
    script.input(Input::Offline);
    script.input(STOP);
    script.sees("close abandon", "1000 abandon 1");
    script.settles(&[(1, Outcome::InDoubt)]);
    assert_eq!(script.link.quality(), Quality::Unknown);
}

#[test]
fn what_is_queued_may_leave_within_the_linger() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("stroke");
    script.input(Input::Stop { linger: s(2) });
    script.until(1_500);
    script.sees("close status", "");
    script.event(1, Event::Written(6));
    script.sees("close", "1500 close 1 1000");
    script.settles(&[(1, Outcome::Written)]);
}

#[test]
fn what_has_not_left_within_the_linger_is_settled() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("handed over");
    script.link.handle(script.now, Input::Stop { linger: s(2) });
    let message = everlink::outbox::Message::text(b"queued".to_vec());
    script.link.send(script.now, message, |_, _| ()).map(drop).unwrap_or_default();
    script.link.handle(crate::harness::at(3_000), Input::Tick);
    script.now = crate::harness::at(3_000);
    script.drain();
    script.until(3_500);
    script.sees("close abandon", "3000 close 1 1000");
    script.settles(&[(2, Outcome::Stopped), (1, Outcome::InDoubt)]);
}

#[test]
fn a_linger_over_a_socket_that_turned_out_dead_ends_without_a_word() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.server.drains = false;
    script.send("stroke");
    script.input(Input::Stop { linger: s(4) });
    script.until(10_000);
    script.sees("close abandon", "5000 abandon 1");
    script.settles(&[(1, Outcome::InDoubt)]);
}

#[test]
fn a_candidate_goes_with_the_socket_when_the_linger_ends() {
    let mut script = Script::connected(|config| config.candidate = everlink::link::Candidate::On);
    script.server.black_hole();
    script.server.drains = false;
    script.send("stroke");
    // Past the moment at which the socket becomes suspect, and short of its end.
    script.input(Input::Stop { linger: s(4) });
    script.until(60_000);
    assert_eq!(script.opens(), [0, 4_000]);
    script.sees("close abandon", "5000 abandon 2\n 5000 abandon 1");
    script.event(2, Event::Opened);
    assert_eq!(script.status(), Status::Disconnected);
    assert_eq!(script.link.deadline(), None, "nothing is left that could reconnect");
}

#[test]
fn a_linger_ends_when_the_last_message_is_taken_back() {
    let mut script = Script::connected(|_| {});
    let message = everlink::outbox::Message::text(b"stroke".to_vec());
    let Ok(id) = script.link.send(script.now, message, |_, _| ()) else { panic!() };
    script.link.handle(script.now, Input::Stop { linger: s(10) });
    assert!(script.link.cancel(id).is_some());
    script.until(1_000);
    script.sees("close", "1000 close 1 1000");
}

#[test]
fn a_linger_ends_with_its_socket_and_does_not_reconnect() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("stroke");
    script.input(Input::Stop { linger: s(10) });
    script.close(1, None);
    script.until(60_000);
    assert_eq!(script.opens(), [0]);
    script.settles(&[(1, Outcome::InDoubt)]);
}

#[test]
fn start_within_the_linger_keeps_the_socket() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("stroke");
    script.input(Input::Stop { linger: s(2) });
    script.input(Input::Start);
    script.event(1, Event::Written(6));
    script.until(10_000);
    script.sees("close abandon open", "");
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn what_was_handed_over_may_still_be_reported_while_closing() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("aaa");
    script.send("bbb");
    script.input(STOP);
    script.event(1, Event::Written(3));
    script.settles(&[(1, Outcome::Written)]);
    script.close(1, Some(1000));
    script.settles(&[(2, Outcome::InDoubt)]);
}

#[test]
fn the_next_socket_counts_what_it_wrote_from_zero() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("never written");
    script.input(STOP);
    script.until(2_000);
    script.settles(&[(1, Outcome::InDoubt)]);
    script.server.drains = true;
    script.input(Input::Start);
    script.until(3_000);
    script.send("written");
    script.until(4_000);
    script.settles(&[(2, Outcome::Written)]);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn stop_ends_an_attempt_and_a_wait() {
    let mut script = Script::new(|_| {});
    script.input(Input::Start);
    script.send("stroke");
    script.input(STOP);
    script.until(10_000);
    script.sees(
        "",
        "0 open 1 attempt 0
         0 status connecting
         0 abandon 1
         0 status disconnected
         0 settled 1 stopped",
    );
    script.server.door = Door::Refuses(Failure::Connect);
    script.input(Input::Start);
    script.until(10_500);
    script.input(STOP);
    script.until(100_000);
    assert_eq!(script.opens(), [0, 10_000]);
    assert_eq!(script.link.wake(), None);
}

#[test]
fn a_new_socket_may_open_while_the_old_one_closes() {
    let mut script = Script::connected(|_| {});
    script.server.rtt = ms(1_000);
    script.input(STOP);
    script.input(Input::Start);
    script.until(1_500);
    assert_eq!(script.status(), Status::Connected);
    script.until(5_000);
    script.sees(
        "open close abandon",
        "1000 close 1 1000
         1000 open 2 attempt 0",
    );
    assert_eq!(script.report().counts.stale_inputs.get(), 0, "its close was waited for");
}

// pain 11, pain 15
#[test]
fn stopping_and_starting_over_and_over_leaves_at_most_two_sockets() {
    let mut script = Script::connected(|_| {});
    script.server.answers = false;
    for _ in 0..20 {
        script.input(STOP);
        script.input(Input::Start);
        script.until(script.now.micros() / 1000 + 150);
    }
    let (mut open, mut most) = (0_i32, 0);
    for (_, action) in &script.actions {
        open += i32::from(matches!(action, Action::Open { .. }));
        open -= i32::from(matches!(action, Action::Abandon { .. }));
        most = most.max(open);
    }
    assert_eq!(most, 2);
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_why_and_tried_again() {
    let mut script = Script::connected(|_| {});
    script.event(1, Event::Violation(1007));
    script.until(2_000);
    script.sees(
        "close retry open",
        "1000 close 1 1007
         1000 retry 1 at 2000: protocol violation 1007
         2000 open 2 attempt 1",
    );
    assert_eq!(script.report().counts.protocol_violations.get(), 1);
}

#[test]
fn a_peer_that_breaks_the_protocol_gets_no_byte_more_of_what_was_handed_over() {
    let mut script = Script::connected(|_| {});
    script.server.drains = false;
    script.send("goes on the next socket");
    script.event(1, Event::Violation(1007));
    script.sees("close abandon", "1000 abandon 1");
    script.server.drains = true;
    script.until(3_000);
    assert_eq!(script.wrote(2), ["goes on the next socket"]);
}

#[test]
fn no_linger_keeps_a_link_that_is_offline() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Offline);
    script.send("too late");
    script.input(Input::Stop { linger: s(30) });
    script.settles(&[(1, Outcome::Stopped)]);
    assert_eq!(script.state(), State::Stopped);
}
