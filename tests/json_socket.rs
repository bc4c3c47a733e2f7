//! The JSON wire, from a client: what a socket begins with, what passes as it is, what is no message.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;

use crate::harness::{Script, epoch, s};
use everlink::link::{Candidate, Config, Event, Input, State, Status};
use everlink::outbox::{Kind, Message, Outcome, RefusedReason};
use everlink::wire::{Opcode, Wire, json};

/// Connected, with a dialogue; the wall clock shows 1,700,000,000,000 ms at 1 s.
pub fn talking(change: impl FnOnce(&mut Config)) -> Script {
    let mut script = Script::connected(|config| {
        config.wire = Wire::Json(json::Config::default());
        change(config);
    });
    script.link.open_dialogue();
    script.input(Input::WallClock(Duration::from_secs(1_700_000_000)));
    script
}

#[test]
fn a_socket_is_ready_when_it_is_open_and_messages_pass_as_they_are() {
    let mut script = talking(|_| {});
    script.send_all(&[r#"{"type":"move","id":"a","payload":7}"#, "not even JSON"]);
    script.post(Message::binary(vec![0, 1])).unwrap();
    script.until(1_100);
    assert_eq!(script.wrote(1), [r#"{"type":"move","id":"a","payload":7}"#, "not even JSON", "\0\u{1}"]);
    script.settles(&[(1, Outcome::Written), (2, Outcome::Written), (3, Outcome::Written)]);
    let own = r#"{ "id": "k3", "type": "cursor", "payload": [1, 2] }"#;
    script.text(1, own);
    assert_eq!(script.delivered, [own.as_bytes()]);
}

#[test]
fn the_heartbeat_is_in_json_both_ways() {
    let mut script = talking(|_| {});
    let pongs = script.report().counts.pongs_received.get();
    script.beats.clear();
    script.until(16_500);
    assert_eq!(script.beats, [(Opcode::Text, br#"{"type":"ping"}"#.to_vec())]);
    assert_eq!(script.report().counts.pongs_received, pongs + 1);
    script.text(1, r#"{"timestamp":3,"type":"ping"}"#);
    assert_eq!(script.beats[1], (Opcode::Text, br#"{"type":"pong"}"#.to_vec()));
    assert!(script.delivered.is_empty() && script.told.is_empty(), "heartbeats are the link's own");
    script.server.answers = false;
    script.until(60_000);
    assert_ne!(script.newest(), 1, "silence ends a socket");
}

#[test]
fn a_heartbeat_is_no_message_of_the_application() {
    let mut script = talking(|_| {});
    for beat in [r#"{"type":"ping"}"#, r#" {"id":7, "type":"pong"} "#] {
        let refused = script.post(Message::text(beat.into())).unwrap_err();
        assert_eq!(refused.reason, RefusedReason::Heartbeat);
    }
    let tagged = Message::text(b"{}".to_vec()).with_tag(everlink::wire::native::tag::REQUEST);
    assert_eq!(script.post(tagged).unwrap_err().reason, RefusedReason::Tag);
}

#[test]
fn a_frame_that_is_no_message_is_counted_and_reported_with_its_byte_and_the_link_lives_on() {
    let mut script = talking(|_| {});
    let cases: [(&[u8], &str); 5] = [
        (b"{\"type\":\"response\",}", "byte 19: not JSON"),
        (b"[1]", "byte 0: not an object"),
        (b"{\"type\":\"response\",\"id\":\"1\"}", "byte 0: no field \"requestId\""),
        (b"\xFF", "byte 0: not UTF-8"),
        (b"{\"type\":\"query\",\"id\":\"\"}", "byte 21: an impossible value of \"id\""),
    ];
    for (frame, what) in cases {
        let mut deliveries = script
            .link
            .handle(script.now, Input::Socket(epoch(1), Event::Frame { kind: Kind::Text, data: frame }));
        let told = deliveries.next().unwrap();
        let everlink::link::Delivery::Json(everlink::link::Spoken::Malformed { error, data, .. }) = told
        else {
            unreachable!("{told:?}")
        };
        assert_eq!((error.to_string().as_str(), data), (what, frame));
        assert_eq!(deliveries.next(), None);
    }
    assert_eq!(script.report().counts.malformed, 5);
    assert_eq!(script.status(), Status::Connected);
    script.text(1, r#"{"type":"move","id":"a"}"#);
    assert_eq!(script.delivered.len(), 1);
}

#[test]
fn who_the_client_is_comes_first_on_each_socket() {
    let mut script = talking(|_| {});
    script.server.drains = false;
    script.link.set_credentials(Some(br#"{"token":"abc"}"#.to_vec()));
    script.send(r#"{"type":"a","id":"1"}"#);
    script.until(2_000);
    let first = r#"{"id":"1","type":"auth","timestamp":1700000000000,"payload":{"token":"abc"}}"#;
    assert_eq!(script.wrote(1), [first, r#"{"type":"a","id":"1"}"#]);
    // Of both, all but the last byte.
    script.event(1, Event::Written(first.len() as u64 + 20));
    script.settles(&[]);
    script.close(1, None);
    script.server.drains = true;
    script.forget();
    script.until(4_000);
    script.sees("flush ping", "3100 flush 2\n 3100 ping 2 nonce 1");
    let again = first.replace("1700000000000", "1700000002100");
    assert_eq!(script.wrote(2), [&again, r#"{"type":"a","id":"1"}"#]);
    script.settles(&[(1, Outcome::Written)]);
    // In band, while the socket is open.
    script.link.set_credentials(Some(b"7".to_vec()));
    script.until(5_000);
    assert!(script.wrote(2)[2].ends_with(r#","payload":7}"#), "{:?}", script.wrote(2));
    script.send("x");
    script.until(5_100);
    script.settles(&[(2, Outcome::Written)]);
}

#[test]
fn without_a_dialogue_the_credentials_are_the_whole_message_and_everything_comes_as_it_is() {
    let mut script = Script::connected(|config| config.wire = Wire::Json(json::Config::default()));
    script.link.set_credentials(Some(br#"{"type":"auth","id":"me"}"#.to_vec()));
    script.until(1_100);
    assert_eq!(script.wrote(1), [r#"{"type":"auth","id":"me"}"#]);
    let answer = r#"{"type":"response","id":"1","requestId":"7","payload":1}"#;
    script.text(1, answer);
    assert_eq!(script.delivered, [answer.as_bytes()]);
}

#[test]
fn nothing_is_said_on_a_suspect_socket_not_even_who_the_client_is() {
    let mut script = talking(|config| config.heartbeat.misses = 5);
    script.server.answers = false;
    script.until(23_000);
    assert!(matches!(script.state(), State::Suspect { .. }), "{:?}", script.state());
    script.link.set_credentials(Some(b"7".to_vec()));
    script.drain();
    assert!(script.wrote(1).is_empty());
    assert!(script.link.pull(epoch(1)).is_none(), "also if the adapter was not asked");
    script.text(1, r#"{"type":"pong"}"#);
    assert_eq!(script.wrote(1).len(), 1);
}

#[test]
fn a_link_that_was_stopped_says_what_is_left() {
    let mut script = talking(|_| {});
    script.socket_is_full = true;
    script.send_all(&["a", "b"]);
    script.input(Input::Stop { linger: s(1) });
    script.socket_is_full = false;
    script.event(1, Event::Writable);
    script.until(3_000);
    assert_eq!(script.wrote(1), ["a", "b"]);
    assert_eq!(script.state(), State::Stopped);
}

#[test]
fn the_wire_asks_for_its_sub_protocol_unless_it_is_told_not_to() {
    assert_eq!(Wire::Json(json::Config::default()).subprotocol(), Some("everlink.json.v1"));
    assert_eq!(Wire::Json(json::Config { subprotocol: false }).subprotocol(), None);
}

#[test]
fn it_cannot_be_durable_for_it_cannot_resume() {
    let mut config = Config { wire: Wire::Json(json::Config::default()), ..Config::default() };
    config.delivery.durable = true;
    assert_eq!(config.check().unwrap_err().field, "delivery.durable");
}

#[test]
fn who_takes_its_credentials_back_says_nothing_of_them_on_the_next_socket() {
    let mut script = talking(|_| {});
    script.link.set_credentials(Some(br#"{"token":"abc"}"#.to_vec()));
    script.until(2_000);
    assert_eq!(script.wrote(1).len(), 1);
    let shown = format!("{:?}", script.link);
    assert!(shown.contains("Auth") && !shown.contains("abc") && !shown.contains("97, 98, 99"), "{shown}");
    script.link.set_credentials(None);
    script.close(1, None);
    script.send(r#"{"type":"a","id":"1"}"#);
    script.until(5_000);
    assert_eq!(script.wrote(2), [r#"{"type":"a","id":"1"}"#]);
}

#[test]
fn nothing_is_said_without_a_network_not_even_who_the_client_is() {
    let mut script = talking(|_| {});
    script.input(Input::Offline);
    script.link.set_credentials(Some(b"7".to_vec()));
    script.drain();
    assert!(script.link.pull(epoch(1)).is_none());
    script.input(Input::Online);
    script.until(2_000);
    assert_eq!(script.wrote(1).len(), 1);
}

#[test]
fn whatever_comes_is_a_sign_of_life_and_is_counted() {
    let mut script = talking(|_| {});
    let (own, news) = (r#"{"type":"own","id":"o"}"#, r#"{"channel":"a","data":1}"#);
    let before = script.report().counts;
    script.text_at(10_000, 1, own);
    script.text_at(20_000, 1, "no message");
    script.beats.clear();
    script.until(30_000);
    assert!(script.beats.is_empty(), "it was not quiet for 15 s");
    script.server.answers = false;
    script.until(36_500);
    assert!(matches!(script.state(), State::Suspect { .. }), "{:?}", script.state());
    script.text(1, news);
    assert!(matches!(script.state(), State::Connected | State::Slow), "{:?}", script.state());
    let after = script.report().counts;
    assert_eq!(after.messages_received.get() - before.messages_received.get(), 3);
    let bytes = (own.len() + "no message".len() + news.len()) as u64;
    assert_eq!(after.bytes_received.get() - before.bytes_received.get(), bytes);
}

#[test]
fn a_candidate_that_takes_over_is_another_session() {
    let mut script = talking(|config| config.candidate = Candidate::On);
    script.link.set_credentials(Some(b"7".to_vec()));
    script.link.subscribe(script.now, "news").unwrap();
    script.until(1_100);
    script.text(1, r#"{"channel":"system","data":{"type":"subscription_confirm","channel":"news"}}"#);
    script.server.black_hole();
    script.until(17_500);
    assert_eq!((script.newest(), script.link.sessions()), (2, 1));
    script.told.clear();
    script.event(2, Event::Opened);
    script.until(17_600);
    assert_eq!(script.link.sessions(), 2);
    let said = script.wrote(2);
    assert!(said[0].contains(r#""type":"auth""#), "{said:?}");
    assert_eq!(said[1..], [r#"{"action":"subscribe","channel":"news"}"#]);
    script.text(2, r#"{"channel":"system","data":{"type":"subscription_confirm","channel":"news"}}"#);
    assert_eq!(script.told, ["Subscribed { id: SubscriptionId(1), gap: true }"]);
}

#[test]
fn what_comes_on_the_old_socket_spares_the_candidate() {
    let mut script = talking(|config| config.candidate = Candidate::On);
    script.server.black_hole();
    script.until(17_500);
    assert_eq!(script.newest(), 2);
    let own = r#"{"type":"own","id":"o"}"#;
    script.text(1, own);
    script.event(2, Event::Opened);
    script.until(17_600);
    assert_eq!(script.delivered, [own.as_bytes()]);
    assert_eq!((script.report().counts.connects.get(), script.link.sessions()), (1, 1));
}
