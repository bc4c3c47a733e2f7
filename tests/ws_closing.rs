//! How a connection ends (RFC 6455, section 7).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may be blunt"
)]

use everlink::ws::{Closing, Code, Role, Step};
use proptest::prelude::*;

const NORMAL: Option<Code> = Some(Code::NORMAL);

#[test]
fn a_server_closes_tcp_as_soon_as_both_have_said_close() {
    let mut server = Closing::new(Role::Server);
    assert_eq!(server.step(), Step::Open);
    server.close(NORMAL);
    assert_eq!(server.step(), Step::Send(NORMAL));
    server.sent();
    assert_eq!(server.step(), Step::AwaitClose);
    server.received(NORMAL);
    assert_eq!(server.step(), Step::CloseTcp);
    server.tcp_closed();
    assert_eq!((server.step(), server.code(), server.is_clean()), (Step::Ended, 1000, true));
}

#[test]
fn a_client_waits_for_the_server_to_close_tcp() {
    let mut client = Closing::new(Role::Client);
    client.received(Some(Code::GOING_AWAY));
    assert_eq!(client.step(), Step::Send(Some(Code::GOING_AWAY)), "a close is answered with its own code");
    client.sent();
    assert_eq!(client.step(), Step::AwaitTcp);
    client.timed_out();
    assert_eq!(client.step(), Step::CloseTcp, "but not for ever");
    client.tcp_closed();
    assert_eq!((client.code(), client.is_clean()), (1001, true));
}

#[test]
fn a_close_without_a_code_is_answered_without_one_and_told_as_1005() {
    let mut server = Closing::new(Role::Server);
    server.received(None);
    assert_eq!(server.step(), Step::Send(None));
    server.sent();
    assert_eq!((server.code(), server.is_clean()), (1005, true));
}

#[test]
fn a_connection_that_breaks_off_is_told_as_1006() {
    for sent in [false, true] {
        let mut client = Closing::new(Role::Client);
        if sent {
            client.close(NORMAL);
            client.sent();
        }
        client.tcp_closed();
        assert_eq!((client.step(), client.code(), client.is_clean()), (Step::Ended, 1006, false));
    }
}

#[test]
fn when_both_close_at_once_each_sends_one_frame() {
    let mut client = Closing::new(Role::Client);
    client.close(NORMAL);
    client.sent();
    client.received(Some(Code::GOING_AWAY));
    assert_eq!(client.step(), Step::AwaitTcp, "a second frame is not sent");
    assert_eq!(client.code(), 1001);
}

#[test]
fn a_frame_that_is_owed_keeps_its_code() {
    let mut client = Closing::new(Role::Client);
    client.close(NORMAL);
    client.received(Some(Code::GOING_AWAY));
    client.close(Some(Code::INTERNAL));
    assert_eq!(client.step(), Step::Send(NORMAL));
}

#[test]
fn a_violation_is_told_and_then_nothing_is_waited_for() {
    for role in [Role::Client, Role::Server] {
        let mut end = Closing::new(role);
        end.fail(Code::INVALID_DATA);
        assert_eq!(end.step(), Step::Send(Some(Code::INVALID_DATA)));
        end.received(NORMAL); // does not count any more
        end.sent();
        assert_eq!(end.step(), Step::CloseTcp);
        end.tcp_closed();
        assert_eq!((end.code(), end.is_clean()), (1006, false));
    }
}

#[test]
fn a_violation_after_our_close_sends_no_second_frame() {
    let mut end = Closing::new(Role::Client);
    end.close(NORMAL);
    end.sent();
    end.fail(Code::PROTOCOL);
    assert_eq!(end.step(), Step::CloseTcp);
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut server = Closing::new(Role::Server);
    server.close(NORMAL);
    server.sent();
    server.timed_out();
    assert_eq!(server.step(), Step::CloseTcp);
    assert!(!server.is_clean());
}

#[test]
fn codes_that_are_not_for_the_wire_cannot_be_made() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        assert_eq!(Code::new(code), None);
    }
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        assert_eq!(Code::new(code).map(Code::get), Some(code));
    }
}

proptest! {
    /// Whatever happens in whatever order: one close frame at most, and the end is reached when TCP is closed.
    #[test]
    fn at_most_one_close_frame_is_asked_for(happenings in prop::collection::vec(0..6_u8, 0..20), server: bool) {
        let mut closing = Closing::new(if server { Role::Server } else { Role::Client });
        let mut frames = 0;
        for happening in happenings {
            match happening {
                0 => closing.close(NORMAL),
                1 => closing.received(NORMAL),
                2 => closing.received(None),
                3 => closing.fail(Code::PROTOCOL),
                4 => closing.timed_out(),
                _ => {
                    if let Step::Send(_) = closing.step() {
                        frames += 1;
                        closing.sent();
                    }
                }
            }
        }
        prop_assert!(frames <= 1);
        closing.tcp_closed();
        prop_assert_eq!(closing.step(), Step::Ended);
    }
}
