//! A second socket beside a suspect one: the first of the two that proves itself is kept.

use core::time::Duration;

use crate::harness::{Door, Script, at};
use everlink::link::{Candidate, Event, Failure, Input, State, Status, Wake};

/// Connected, then suspect at 16 140 ms, with a candidate being opened.
fn suspect() -> Script {
    let mut script = Script::connected(|config| config.candidate = Candidate::On);
    script.server.black_hole();
    script.until(16_200);
    script.sees(
        "open status",
        "16140 open 2 attempt 0
         16140 status degraded",
    );
    script
}

#[test]
fn the_candidate_wins_if_it_opens_first() {
    let mut script = suspect();
    script.event(2, Event::Opened);
    script.sees("abandon open status", "16200 abandon 1\n 16200 status connected");
    script.text(1, "late");
    assert_eq!(script.delivered, Vec::<Vec<u8>>::new());
    assert_eq!(script.report().counts.candidates.get(), 1);
}

#[test]
fn the_old_socket_wins_if_it_speaks_first() {
    let mut script = suspect();
    script.text(1, "news");
    script.sees("abandon status", "16200 abandon 2");
    assert_eq!(script.state(), State::Slow);
    script.event(2, Event::Opened);
    script.until(17_000);
    assert_eq!(script.delivered, [b"news"]);
    assert_eq!(script.report().counts.connects.get(), 1);
}

#[test]
fn a_candidate_that_fails_is_followed_by_another() {
    let mut script = suspect();
    script.event(2, Event::Failed(Failure::Connect));
    assert!(matches!(script.link.wake(), Some((soon, Wake::Candidate)) if soon <= at(17_200)));
    script.until(17_300);
    assert_eq!(script.opens().len(), 3);
    script.event(3, Event::Opened);
    assert_eq!(script.status(), Status::Connected);
    assert_eq!(script.report().counts.disconnects.get(), 0);
}

#[test]
fn when_the_old_socket_dies_the_candidate_is_the_attempt() {
    let mut script = suspect();
    script.until(22_500);
    script.sees("abandon open status retry", "22140 abandon 1\n 22140 status connecting");
    script.event(2, Event::Opened);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_closed_old_socket_leaves_the_attempt_to_the_candidate() {
    let mut script = suspect();
    script.close(1, None);
    script.sees("abandon open status retry", "16200 status connecting");
    script.event(2, Event::Opened);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_candidate_ends_with_the_network_and_with_a_stop() {
    for input in [Input::Offline, Input::Stop { linger: Duration::ZERO }] {
        let mut script = suspect();
        script.input(input);
        assert!(script.actions.iter().any(|(_, action)| {
            *action == everlink::link::Action::Abandon { epoch: crate::harness::epoch(2) }
        }));
        script.event(2, Event::Opened);
        assert_eq!(script.status(), Status::Disconnected);
    }
}

#[test]
fn a_candidate_has_a_deadline_too() {
    let mut script = Script::connected(|config| {
        config.candidate = Candidate::On;
        config.heartbeat.misses = 10;
    });
    script.server.black_hole();
    script.until(26_200);
    script.sees("abandon open", "16140 open 2 attempt 0\n 26140 abandon 2");
}

#[test]
fn what_was_handed_to_the_old_socket_goes_again_in_order_through_the_candidate() {
    let mut script = Script::connected(|config| config.candidate = Candidate::On);
    script.server.drains = false;
    script.send("a");
    script.send("b");
    script.server.black_hole();
    script.until(4_500);
    script.send("c");
    script.server.drains = true;
    script.event(2, Event::Opened);
    script.until(5_000);
    assert_eq!(script.wrote(1), ["a", "b"]);
    assert_eq!(script.wrote(2), ["a", "b", "c"]);
}

#[test]
fn the_count_of_attempts_is_reset_when_a_stable_socket_is_taken_over() {
    let mut script = Script::new(|config| config.candidate = Candidate::On);
    script.server.door = Door::Refuses(Failure::Connect);
    script.input(Input::Start);
    script.until(8_000);
    script.server.heal();
    script.until(20_000);
    script.server.answers = false;
    script.until(32_000);
    let newest = u32::try_from(script.opens().len()).unwrap_or(1);
    assert_eq!(script.report().counts.candidates.get(), 1);
    script.close(newest, None);
    assert!(matches!(script.state(), State::Waiting { attempt: 1, .. }), "{:?}", script.state());
}

#[test]
fn without_resumption_no_candidate_is_opened_by_default() {
    let mut script = Script::connected(|_| {});
    script.server.black_hole();
    script.until(22_000);
    script.sees("open", "");
}
