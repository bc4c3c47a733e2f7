//! The native wire: from an open socket to the welcome.

use crate::harness::far::{Far, bytes, text};
use crate::harness::{Script, at};
use everlink::link::{Config, Event, Input, State, Status, Wake};
use everlink::outbox::{Kind, Message, Outcome, RefusedReason};
use everlink::wire::Wire;
use everlink::wire::native::{Announced, Envelope, Goodbye, Limits, Token, Welcome, code, tag};

fn native(config: &mut Config) {
    config.wire = Wire::Native(Limits::default());
}

/// Started, with a far end, nothing open yet.
fn started() -> Script {
    let mut script = Script::new(native);
    script.far = Some(Far::default());
    script.input(Input::Start);
    script
}

fn welcome(version: u32, resumed: bool) -> Vec<u8> {
    let announced = Announced { envelope: 2000, window: 8, window_bytes: 4096 };
    let token = Token::new(b"secret");
    bytes(&[Envelope::Welcome(Welcome {
        version,
        resumed,
        received: 0,
        from: 0,
        announced,
        session: 9,
        token,
    })])
}

#[test]
fn the_socket_counts_as_open_when_the_server_has_said_welcome() {
    let mut script = started();
    script.send("early");
    script.until(110);
    assert_eq!(script.status(), Status::Connecting);
    script.until(1_000);
    script.sees(
        "open flush ping status settled",
        "0 open 1 attempt 0
         0 status connecting
         100 flush 1
         140 ping 1 nonce 1
         140 flush 1
         140 status connected
         180 settled 1 acknowledged",
    );
    assert_eq!(script.far().came(), ["early"]);
    assert_eq!(script.told, ["Session { resumed: false, number: 1 }"]);
    assert_eq!(script.report().counts.sessions.get(), 1);
}

#[test]
fn nothing_but_hello_leaves_before_the_welcome() {
    let mut script = started();
    script.server.answers = false;
    script.send("early");
    script.until(9_000);
    assert_eq!(script.written.len(), 1);
    assert!(script.beats.is_empty());
    assert_eq!(script.link.wake(), Some((at(10_000), Wake::OpenTimeout)));
}

#[test]
fn the_deadline_of_opening_covers_the_welcome() {
    let mut script = started();
    script.server.answers = false;
    script.until(10_000);
    script.sees("abandon retry", "10000 abandon 1\n 10000 retry 1 at 11000: opening took too long");
}

#[test]
fn credentials_go_with_every_hello_and_no_debug_output_shows_them() {
    let mut script = Script::new(native);
    script.far = Some(Far::default());
    script.link.set_credentials(Some(b"hunter2".to_vec()));
    script.input(Input::Start);
    script.until(1_000);
    script.close(1, None);
    script.until(4_000);
    let hellos: Vec<_> = script.far().hellos.iter().map(|hello| hello.credentials.clone()).collect();
    assert_eq!(hellos, [b"hunter2", b"hunter2"]);
    let shown = format!("{:?}", script.link);
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110"), "{shown}");
    assert!(shown.contains("token: Token"), "that there is one may be seen: {shown}");
    assert!(!shown.contains("token 1") && !shown.contains("116, 111, 107"), "{shown}");
}

#[test]
fn other_credentials_are_told_at_once_on_an_open_socket() {
    let mut script = Script::native(|_| {});
    script.link.set_credentials(Some(b"newer".to_vec()));
    script.input(Input::Tick);
    script.until(2_000);
    assert_eq!(script.far().renewals, [b"newer"]);
    script.until(3_000);
    assert_eq!(script.far().renewals.len(), 1);
}

#[test]
fn a_renewed_token_is_used_for_the_next_hello_and_an_empty_one_keeps_the_old() {
    let mut script = Script::native(|_| {});
    let renewal = |token| Envelope::Renewal { token: Token::new(token), credentials: Default::default() };
    let frame = bytes(&[renewal(b"better"), renewal(b"")]);
    script.event(1, Event::Frame { kind: Kind::Binary, data: &frame });
    script.close(1, None);
    script.until(4_000);
    assert_eq!(script.far().hellos.last().unwrap().token, b"better");
}

#[test]
fn a_server_that_turns_away_is_obeyed() {
    for (code, retry_after, state) in [
        (code::UNAUTHENTICATED, 0, "failed"),
        (code::TRY_LATER, 20_000, "retry"),
        (code::EXPIRED, 0, "retry"),
    ] {
        let mut script = started();
        script.far().turns_away = Some(Goodbye { code, retry_after, attempt: 0, reason: "no" });
        script.until(1_000);
        match script.state() {
            State::Failed { .. } => assert_eq!(state, "failed", "{code}"),
            State::Waiting { until, .. } => {
                assert_eq!(state, "retry", "{code}");
                assert!(retry_after == 0 || until >= at(20_140), "{code} {until:?}");
            }
            other => panic!("{code}: {other:?}"),
        }
        assert!(script.told[0].contains("reason: \"no\""));
    }
}

#[test]
fn a_welcome_that_cannot_be_is_refused_with_a_goodbye() {
    let early = bytes(&[text("too early")]);
    for (frame, code) in [
        (welcome(2, false), code::PROTOCOL),
        (welcome(1, true), code::IMPOSSIBLE_COUNT), // there was no token
        (early, code::PROTOCOL),
        (b"\xff\x00".to_vec(), code::PROTOCOL),
    ] {
        let mut script = started();
        script.far = None;
        script.until(110);
        script.forget();
        script.event(1, Event::Frame { kind: Kind::Binary, data: &frame });
        let seen = format!("110 flush 1\n 110 close 1 {code}");
        script.sees("flush close", &seen);
        assert_eq!(script.delivered, Vec::<Vec<u8>>::new());
        assert_eq!(script.written.len(), 2, "hello and goodbye");
        assert!(matches!(script.state(), State::Waiting { .. }), "{:?}", script.state());
    }
}

#[test]
fn messages_behind_the_welcome_in_the_same_frame_are_delivered() {
    let mut script = started();
    script.far = None;
    script.until(110);
    let frame = [welcome(1, false), bytes(&[text("first"), text("second")])].concat();
    script.event(1, Event::Frame { kind: Kind::Binary, data: &frame });
    assert_eq!(script.delivered, [b"first".to_vec(), b"second".to_vec()]);
    assert_eq!(script.status(), Status::Connected);
}

#[test]
fn a_text_frame_is_refused() {
    let mut script = Script::native(|_| {});
    script.text(1, "hello");
    script.sees("close", "1000 close 1 1002");
    assert!(script.delivered.is_empty());
}

#[test]
fn what_the_server_does_not_take_is_settled_before_it_is_numbered() {
    let mut script = started();
    script.far().announced.envelope = 1024;
    script.until(1_000);
    script.post(Message::text("x".repeat(1025).into_bytes())).unwrap();
    script.post(Message::text("y".repeat(1024).into_bytes())).unwrap();
    script.until(2_000);
    script.settles(&[(1, Outcome::TooLarge), (2, Outcome::Acknowledged)]);
    assert_eq!(script.far().came().len(), 1);
}

#[test]
fn the_body_of_another_envelope_is_sent_with_its_tag() {
    let mut script = Script::native(|_| {});
    // The length of the fields, an id, flags, a name; and the payload.
    let body = b"\x06\x07\x01\x03addhi".to_vec();
    let body = [&[6], &body[1..]].concat();
    script.post(Message::text(body).with_tag(tag::REQUEST)).unwrap();
    script.until(2_000);
    assert_eq!(script.far().came(), ["request 7 add"]);
    for wrong in [tag::HELLO, tag::BROADCAST, tag::TEXT, 0xFF] {
        let refused = script.post(Message::binary(vec![]).with_tag(wrong)).unwrap_err();
        assert_eq!(refused.reason, RefusedReason::Tag);
    }
}

#[test]
fn a_wire_with_a_protocol_of_its_own_is_asked_for_by_name() {
    use everlink::wire::raw;
    assert_eq!(Wire::Native(Limits::default()).subprotocol(), Some("everlink.v1"));
    assert_eq!(Wire::Raw(raw::Config::default()).subprotocol(), None);
}

#[test]
fn what_is_too_large_for_the_server_does_not_wait_for_the_window_and_what_is_just_small_enough_does() {
    let mut script = Script::new(|config| {
        native(config);
        config.delivery.window = 1;
    });
    script.far = Some(Far::default());
    (script.far().announced.envelope, script.far().acks) = (1024, false);
    script.input(Input::Start);
    script.until(1_000);
    script.send("fills the window");
    script.post(Message::text("x".repeat(1025).into_bytes())).unwrap();
    script.post(Message::text("y".repeat(1024).into_bytes())).unwrap();
    script.until(1_500);
    script.settles(&[(2, Outcome::TooLarge)]);
    assert_eq!(script.far().came(), ["fills the window"]);
    assert_eq!(script.report().queue.messages, 2);
}

#[test]
fn credentials_that_wait_to_be_told_hold_up_no_heartbeat() {
    let mut script = Script::native(|_| {});
    script.socket_is_full = true;
    script.send("fills the socket");
    script.link.set_credentials(Some(b"newer".to_vec()));
    script.until(17_000);
    script.sees("ping", "16040 ping 1 nonce 2");
    assert!(script.far().renewals.is_empty());
}

#[test]
fn a_hello_is_said_once_and_on_its_own_socket() {
    let mut script = started();
    script.server.answers = false;
    script.until(500);
    assert_eq!(script.written.len(), 1);
    let stale = script.report().counts.stale_inputs.get();
    script.event(1, Event::Opened);
    assert_eq!((script.written.len(), script.report().counts.stale_inputs.get()), (1, stale + 1));

    script.close(1, None);
    script.until(1_550);
    script.link.handle(script.now, Input::Socket(crate::harness::epoch(2), Event::Opened)).for_each(drop);
    assert!(script.link.pull(crate::harness::epoch(1)).is_none());
    assert!(script.link.pull(crate::harness::epoch(2)).is_some());
}
