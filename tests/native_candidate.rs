//! The native wire: a suspect socket gets a candidate beside it, which resumes; the first that proves itself is kept.

use crate::harness::far::{bytes, text};
use crate::harness::{Script, at, ms};
use everlink::link::{Candidate, Cause, Event, Failure, Input, State, Status};
use everlink::outbox::{Kind, Outcome};
use everlink::wire::native::{Envelope, Goodbye, code};

/// Connected, then the path of the first socket swallows everything from 2 s on, with a message in flight; suspect at about 5 s,
/// with a candidate being opened whose own path is fine.
fn suspect() -> Script {
    let mut script = Script::native(|_| {});
    script.send("a");
    script.until(2_000);
    script.server.black_hole();
    script.send("b");
    script.until(4_990);
    assert_eq!(script.status(), Status::Connected);
    script.forget();
    script
}

#[test]
fn the_candidate_resumes_and_takes_over() {
    let mut script = suspect();
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_060);
    script.lose_what_is_held();
    script.server.answers = true;
    script.until(8_000);
    script.sees(
        "abandon close open status settled",
        "5000 open 2 attempt 0
         5000 status degraded
         5140 abandon 1
         5140 status connected
         5180 settled 2 acknowledged",
    );
    assert_eq!(script.far().came(), ["a", "b"]);
    let counts = script.report().counts;
    assert_eq!((counts.disconnects.get(), counts.resumptions.get()), (0, 1));
}

#[test]
fn the_old_socket_is_kept_if_it_heals_before_the_candidate_has_said_hello() {
    let mut script = suspect();
    script.until(5_050);
    script.server.heal();
    script.until(9_000);
    script.sees(
        "abandon close open status",
        "5000 open 2 attempt 0\n 5000 status degraded\n 5070 abandon 2\n 5070 status connected",
    );
    assert_eq!(script.far().came(), ["a", "b"]);
    assert_eq!(script.far().hellos.len(), 1);
    assert_eq!(script.report().counts.connects.get(), 1);
}

#[test]
fn from_its_hello_on_the_candidate_decides_and_what_the_old_socket_delivers_is_not_lost() {
    let mut script = suspect();
    script.event(2, Event::Opened); // nobody asked for it
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_110); // hello is on its way
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[text("late")]) });
    assert_eq!(script.delivered, [b"late"]);
    assert_eq!(script.state(), State::Unacknowledged, "the old one lives");
    script.far().tell("late"); // so the counts of the server agree
    script.server.heal();
    script.until(9_000);
    script.sees("abandon open", "5000 open 2 attempt 0\n 5140 abandon 1");
    assert_eq!(script.delivered, [b"late"], "it came on both sockets, and once");
    assert_eq!(script.far().came(), ["a", "b"]);
    assert_eq!(script.report().counts.disconnects.get(), 0);
}

#[test]
fn a_candidate_that_fails_while_the_old_one_is_well_again_is_not_replaced() {
    let mut script = suspect();
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_110);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[Envelope::Ack { received: 2 }]) });
    script.close(2, None);
    script.until(5_900);
    script.sees("abandon open status", "5000 open 2 attempt 0\n 5000 status degraded");
}

#[test]
fn when_the_old_socket_dies_during_the_greeting_the_candidate_goes_on() {
    let mut script = suspect();
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_110);
    script.close(1, None);
    assert_eq!(script.status(), Status::Connecting);
    script.server.answers = true;
    script.until(6_000);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.opens().len(), 2);
    assert_eq!(script.far().came(), ["a", "b"]);
}

#[test]
fn being_superseded_by_the_own_candidate_is_no_end() {
    let mut script = suspect();
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_110);
    let goodbye = Goodbye { code: code::SUPERSEDED, retry_after: 0, attempt: 2, reason: "" };
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[Envelope::Goodbye(goodbye)]) });
    assert!(matches!(script.state(), State::Opening { .. }));
    script.server.answers = true;
    script.until(6_000);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.far().came(), ["a", "b"]);
}

#[test]
fn being_superseded_by_a_candidate_that_was_given_up_leads_to_another_socket_at_once() {
    let mut script = suspect();
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_110);
    script.event(2, Event::Failed(Failure::Connect));
    let goodbye = Goodbye { code: code::SUPERSEDED, retry_after: 0, attempt: 2, reason: "" };
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[Envelope::Goodbye(goodbye)]) });
    script.server.answers = true;
    script.until(5_400);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.far().came(), ["a", "b"]);
}

#[test]
fn being_superseded_by_another_copy_of_the_state_is_final() {
    let mut script = Script::native(|_| {});
    script.server.answers = false;
    script.send("a");
    let goodbye = Goodbye { code: code::SUPERSEDED, retry_after: 0, attempt: 2, reason: "" };
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[Envelope::Goodbye(goodbye)]) });
    assert_eq!(script.state(), State::Failed { cause: Cause::Superseded });
    script.settles(&[(1, Outcome::InDoubt)]);
    script.server.answers = true;
    script.until(60_000);
    assert_eq!(script.opens().len(), 1);
    // The user may begin anew, and takes the session from nobody.
    script.input(Input::Start);
    script.until(61_000);
    assert_eq!(script.far().hellos.last().unwrap().token, b"");
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn an_acknowledgement_that_stays_out_while_pongs_come_is_suspicious() {
    let mut script = Script::native(|_| {});
    script.until(2_000);
    script.far().acks = false;
    script.send("a");
    script.until(5_000);
    assert_eq!(script.state(), State::Connected);
    script.until(5_060);
    assert_eq!(script.state(), State::Unacknowledged);
    assert_eq!(script.status(), Status::Degraded);
    script.until(6_000);
    // The welcome of the candidate has said that it arrived.
    assert_eq!(script.status(), Status::Connected);
    script.settles(&[(1, Outcome::Acknowledged)]);
    assert_eq!(script.report().counts.overdue_acks.get(), 1);
    assert_eq!(script.far().came(), ["a"]);
}

#[test]
fn without_candidates_a_socket_that_acknowledges_nothing_is_given_up_after_a_while() {
    let mut script = Script::native(|config| config.candidate = Candidate::Off);
    script.until(2_000);
    script.far().acks = false;
    script.send("a");
    script.until(60_000);
    let causes: Vec<_> = script
        .actions
        .iter()
        .filter_map(|(at, action)| match action {
            everlink::link::Action::RetryScheduled { cause, .. } => Some((at.micros() / 1000, *cause)),
            _ => None,
        })
        .collect();
    // 3.05 s, then twice and four times as long.
    assert_eq!(causes, [(23_350, Cause::Unacknowledged)]);
    script.settles(&[(1, Outcome::Acknowledged)]);
}

#[test]
fn acknowledgements_are_not_overdue_while_the_socket_is_full() {
    let mut script = Script::native(|config| config.candidate = Candidate::Off);
    script.far().acks = false;
    script.socket_is_full = true;
    script.send("a");
    script.until(6_000);
    assert_ne!(script.state(), State::Unacknowledged);
    script.socket_is_full = false;
    script.event(1, Event::Writable);
    script.until(9_000);
    assert_ne!(script.state(), State::Unacknowledged);
    script.until(9_100);
    assert_eq!(script.state(), State::Unacknowledged);
}

#[test]
fn a_link_that_is_slow_is_not_killed() {
    let mut script = Script::native(|_| {});
    script.server.rtt = ms(800);
    for second in 2..40 {
        script.until(second * 1_000);
        script.send("stroke");
    }
    script.until(45_000);
    assert_eq!(script.far().came().len(), 38);
    assert_eq!(script.report().counts.disconnects.get(), 0);
    assert_eq!(script.report().counts.candidates.get(), 0);
    assert_eq!(script.opens(), [0]);
    assert!(script.link.deadline() > Some(at(45_000)));
}

#[test]
fn what_other_sockets_say_is_not_the_candidate_s() {
    let mut script = suspect();
    script.until(5_050);
    assert_eq!(script.newest(), 2);
    let stale = script.report().counts.stale_inputs.get();
    for event in [Event::Opened, Event::Failed(Failure::Connect), Event::Violation(1002)] {
        script.event(7, event);
    }
    assert_eq!(script.report().counts.stale_inputs.get(), stale + 3);
    script.sees("abandon open", "5000 open 2 attempt 0");
    script.server.heal();
    script.until(5_070);
    script.sees("abandon", "5070 abandon 2");
}

#[test]
fn a_candidate_that_breaks_the_protocol_before_its_welcome_costs_the_old_socket_nothing() {
    let mut script = suspect();
    script.server.door = crate::harness::Door::Accepts;
    script.until(5_110); // hello is on its way
    script.event(2, Event::Frame { kind: Kind::Binary, data: &bytes(&[text("too early")]) });
    assert!(script.delivered.is_empty());
    assert_eq!(script.status(), Status::Degraded, "the old one lives");
    script.sees("abandon close open", "5000 open 2 attempt 0\n 5110 abandon 2");
    script.event(1, Event::Frame { kind: Kind::Binary, data: &bytes(&[Envelope::Ack { received: 2 }]) });
    script.settles(&[(2, Outcome::Acknowledged)]);
    assert_eq!(script.opens(), [0, 5_000]);
}

#[test]
fn a_sign_of_life_does_not_call_the_candidate_off_while_the_acknowledgement_is_still_overdue() {
    let mut script = Script::native(|_| {});
    script.until(2_000);
    script.far().acks = false;
    script.send("a");
    script.until(5_060);
    assert_eq!(script.state(), State::Unacknowledged);
    script.tell("x");
    script.until(6_000);
    assert_eq!(script.delivered, [b"x"]);
    script.sees("abandon open", "5050 open 2 attempt 0\n 5190 abandon 1");
    script.settles(&[(1, Outcome::Acknowledged)]);
}
