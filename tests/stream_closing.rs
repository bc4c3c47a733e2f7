//! How sockets end over bytes: who says what, who hangs up first, how long it may take, and what does not leave any more.

use std::time::Duration;

use crate::bytes::{Rig, Said, frame, quiet, text};
use everlink::link::{Action as LinkAction, Cause, Input, State, Status};
use everlink::stream::{Action, ROOM};
use everlink::ws::Violation;

const SECOND: Duration = Duration::from_secs(1);

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

#[test]
fn the_server_closes_and_hangs_up_first() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.feed(epoch, &[frame(0x81, b"last"), close(1001, "bye"), frame(0x81, b"late")].concat());
    assert_eq!(rig.messages, [text("last")]);
    assert_eq!(rig.said(epoch), [Said::Close(Some(1001))]);
    assert!(rig.has(|told| matches!(told, Action::Closed { code: Some(1001), clean: true, .. })));
    assert_eq!((rig.stream.reason(epoch), rig.link.status()), ("bye", Status::Disconnected));
    assert!(!rig.has(|told| matches!(told, Action::Shutdown { .. })), "the server does");
    assert_eq!(rig.sockets, [epoch], "the way is still there");
    rig.end(epoch);
    assert!(rig.sockets.is_empty());
}

#[test]
fn a_server_that_does_not_hang_up_is_left_in_time_and_does_not_hold_up_the_next_socket() {
    let mut rig = Rig::open(quiet());
    let old = rig.epoch();
    rig.feed(old, &close(1001, ""));
    rig.pass(SECOND);
    assert_eq!(rig.sockets.len(), 2);
    let new = rig.connect();
    rig.feed(old, &frame(0x81, b"stale"));
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.sockets, [new]);
    assert!(rig.messages.is_empty());
}

#[test]
fn a_third_socket_makes_the_one_that_has_ended_go() {
    let mut rig = Rig::open(quiet());
    for _ in 0..3 {
        let epoch = rig.epoch();
        rig.feed(epoch, &close(1001, ""));
        rig.pass(SECOND);
        rig.connect();
    }
    // `settle` checks that there are never more than two.
    assert_eq!(rig.count(|told| matches!(told, Action::Connect { .. })), 4);
    assert_eq!(rig.count(|told| matches!(told, Action::Disconnect { .. })), 2);
}

#[test]
fn a_close_without_a_code_is_answered_without_one() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.feed(epoch, &frame(0x88, b""));
    assert_eq!(rig.said(epoch), [Said::Close(None)]);
    assert!(rig.has(|told| matches!(told, Action::Closed { code: None, clean: true, .. })));
    assert!(matches!(rig.link.state(), State::Waiting { cause: Cause::Closed(1005), .. }));
}

#[test]
fn a_drop_is_no_close() {
    for lost in [false, true] {
        let mut rig = Rig::open(quiet());
        let epoch = rig.epoch();
        if lost {
            rig.stream.lost(&mut rig.link, rig.now, epoch);
            rig.settle();
        } else {
            rig.end(epoch);
        }
        assert!(rig.has(|told| matches!(told, Action::Closed { code: None, clean: false, .. })));
        assert!(matches!(rig.link.state(), State::Waiting { cause: Cause::Closed(1006), .. }));
        assert!(rig.sockets.is_empty());
    }
}

#[test]
fn a_stop_says_close_and_waits_for_the_server_to_hang_up() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.give("before");
    rig.say(Input::Stop { linger: SECOND });
    rig.take(epoch);
    rig.pass(Duration::from_millis(1));
    rig.take(epoch);
    assert_eq!(rig.said(epoch), [Said::Text("before".into()), Said::Close(Some(1000))]);
    rig.feed(epoch, &close(1000, ""));
    assert_eq!(rig.sockets, [epoch]);
    rig.end(epoch);
    assert!(rig.sockets.is_empty() && rig.stream.is_empty());
    assert!(rig.has(|told| matches!(told, Action::Closed { code: Some(1000), clean: true, .. })));
    assert_eq!(rig.settle(), None);
}

#[test]
fn a_stop_towards_a_silent_server_is_bounded() {
    let mut rig = Rig::open(quiet());
    rig.say(Input::Stop { linger: Duration::ZERO });
    let at = rig.settle();
    assert_eq!(at, Some(rig.now + Duration::from_secs(5)));
    rig.pass(Duration::from_secs(5));
    assert!(rig.sockets.is_empty() && rig.stream.is_empty());
}

#[test]
fn a_violation_is_answered_told_and_followed_by_the_end() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.feed(epoch, &[frame(0x81, b"ok"), vec![0x83, 0x00], frame(0x81, b"late")].concat());
    assert_eq!(rig.messages, [text("ok")]);
    assert_eq!(rig.said(epoch), [Said::Close(Some(1002))]);
    assert!(rig.has(|told| matches!(
        told,
        Action::Violated { error, .. } if error.violation == Violation::Opcode(3) && error.at == 4
    )));
    // Not the server hangs up first: what it says is not understood.
    assert_eq!(rig.count(|told| matches!(told, Action::Shutdown { .. })), 1);
    assert!(matches!(rig.link.state(), State::Waiting { cause: Cause::Violation(1002), .. }));
    for _ in 0..100 {
        rig.feed(epoch, &[0x55; 1000]);
    }
    assert_eq!(rig.count(|told| matches!(told, Action::Violated { .. })), 1);
    rig.end(epoch);
    assert!(rig.sockets.is_empty());
}

#[test]
fn a_server_that_floods_after_a_violation_is_left_in_time() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.feed(epoch, &[0xC1, 0x00]);
    for _ in 0..100 {
        rig.feed(epoch, &frame(0x82, &[7; 100]));
        rig.pass(Duration::from_millis(100));
    }
    assert!(rig.has(|told| matches!(told, Action::Disconnect { epoch: gone } if *gone == epoch)));
}

#[test]
fn what_waits_when_the_server_closes_goes_on_the_next_socket_only() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.give("one");
    rig.give("two");
    // The first has left; of the second nothing has.
    assert_eq!(rig.take_some(epoch, 9), 9);
    rig.feed(epoch, &close(1001, ""));
    assert_eq!(rig.said(epoch), [Said::Text("one".into()), Said::Close(Some(1001))]);
    rig.pass(SECOND);
    let next = rig.connect();
    assert_eq!(rig.said(next), [Said::Text("two".into())]);
}

#[test]
fn a_message_that_has_begun_to_leave_is_not_finished_when_the_server_closes() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.give("one");
    rig.give("two");
    let before = rig.sent[&epoch].len();
    assert_eq!(rig.take_some(epoch, 12), 12);
    rig.feed(epoch, &close(1001, ""));
    // Nothing can be said behind half a frame.
    assert_eq!(rig.sent[&epoch].len(), before + 12);
    assert!(!rig.sockets.contains(&epoch));
    rig.pass(SECOND);
    let next = rig.connect();
    assert_eq!(rig.said(next), [Said::Text("two".into())]);
}

#[test]
fn a_violation_that_meets_unsent_messages_doubles_none() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.give("one");
    rig.feed(epoch, &[0x83, 0x00]);
    rig.take(epoch);
    let first = rig.said(epoch);
    rig.pass(SECOND);
    let next = rig.connect();
    let count = first.iter().chain(&rig.said(next)).filter(|said| **said == Said::Text("one".into())).count();
    assert_eq!(count, 1, "{first:?}");
}

#[test]
fn a_close_frame_finds_room_in_a_full_socket() {
    let mut config = quiet();
    config.outbox.messages = 1000;
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    for _ in 0..200 {
        rig.give(&"x".repeat(1000));
    }
    assert!(rig.stream.transmit(epoch).len() > ROOM - 2000);
    rig.say(Input::Stop { linger: Duration::ZERO });
    rig.take(epoch);
    assert_eq!(rig.said(epoch).last(), Some(&Said::Close(Some(1000))));
}

#[test]
fn a_socket_that_the_link_abandons_says_nothing_more() {
    let mut config = quiet();
    config.heartbeat.mode = everlink::heartbeat::Mode::Client;
    let mut rig = Rig::open(config);
    let epoch = rig.epoch();
    let said = rig.sent[&epoch].len();
    rig.pass(Duration::from_secs(60));
    assert!(rig.has(|told| matches!(told, Action::Tell(LinkAction::Abandon { .. }))));
    assert!(!rig.sockets.contains(&epoch) && rig.stream.transmit(epoch).is_empty());
    assert_eq!(rig.sent[&epoch].len(), said);
    assert!(!rig.has(|told| matches!(told, Action::Closed { .. })));
}

/// The end of the bytes waits, like what came before it, for an application that does not keep up.
#[test]
fn after_the_end_of_the_bytes_none_are_asked_for() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    rig.stream.pause(&mut rig.link, rig.now);
    rig.end(epoch);
    rig.say(Input::Stop { linger: Duration::ZERO });
    assert!(rig.stream.fill(epoch).is_empty());
    rig.read(epoch);
    rig.take(epoch);
    assert!(!rig.sockets.contains(&epoch));
}
