//! A link over bytes opens: what is asked, what is answered, and all that can go wrong between.

use std::time::Duration;

use crate::bytes::{Rig, SECRET, Said, frame, quiet, text};
use everlink::link::{Action as LinkAction, Cause, Failure, Input, State, Status};
use everlink::stream::{self, Action, Fault};
use everlink::ws::handshake::{Fault as Wrong, Request};

fn failed(rig: &Rig) -> Option<(Failure, Fault)> {
    rig.told.iter().find_map(|told| match told {
        Action::Failed { failure, fault, .. } => Some((*failure, *fault)),
        _ => None,
    })
}

#[test]
fn what_is_asked_is_what_the_adapter_said() {
    let mut rig = Rig::new(quiet());
    rig.reach(&Request {
        headers: &[("Authorization", "Bearer fresh")],
        protocols: &["chat"],
        ..Request::new("example.org:8080", "/room?seat=1")
    });
    let asked = String::from_utf8(rig.sent[&rig.epoch()].clone()).unwrap();
    assert!(asked.starts_with("GET /room?seat=1 HTTP/1.1\r\nHost: example.org:8080\r\n"), "{asked}");
    assert!(asked.contains("\r\nAuthorization: Bearer fresh\r\n"), "{asked}");
    assert!(asked.contains("\r\nSec-WebSocket-Protocol: chat\r\n"), "{asked}");
    assert_eq!(rig.link.status(), Status::Connecting);
}

#[test]
fn keys_and_masks_differ_with_the_secret() {
    let asked = |secret: [u8; 32]| {
        let mut rig = Rig::new(quiet());
        let epoch = rig.epoch();
        rig.stream.connected(&mut rig.link, rig.now, epoch, &Request::new("h", "/"), secret);
        rig.take(epoch);
        let answer = rig.acceptance(epoch);
        rig.feed(epoch, &answer);
        rig.send("aaaaaaaa");
        rig.sent[&epoch].clone()
    };
    assert_eq!(asked(SECRET), asked(SECRET));
    let (one, other) = (asked([1; 32]), asked([2; 32]));
    let same = one.iter().zip(&other).rev().take(12).filter(|(a, b)| a == b).count();
    assert!(one != other && same < 6, "the masks are others: {same}");
}

#[test]
fn no_two_frames_have_the_same_mask() {
    let mut rig = Rig::open(quiet());
    let epoch = rig.epoch();
    let before = rig.sent[&epoch].len();
    for _ in 0..1000 {
        rig.send("");
    }
    // Of an empty frame there are two bytes, and the mask.
    let mut masks: Vec<[u8; 4]> =
        rig.sent[&epoch][before..].chunks(6).map(|frame| frame[2..].try_into().unwrap()).collect();
    masks.sort_unstable();
    masks.dedup();
    assert_eq!(masks.len(), 1000);
}

#[test]
fn what_follows_the_answer_at_once_is_delivered() {
    for piece in [1, 7, 100, usize::MAX] {
        let mut rig = Rig::new(quiet());
        rig.piece = piece;
        rig.reach(&Request::new("example.org", "/"));
        let epoch = rig.epoch();
        let answer = [rig.acceptance(epoch), frame(0x81, b"hello"), frame(0x89, b"?")].concat();
        rig.feed(epoch, &answer);
        assert_eq!(rig.messages, [text("hello")]);
        assert_eq!(rig.said(epoch), [Said::Pong(b"?".into())]);
        assert!(rig.has(|told| matches!(told, Action::Opened { .. })));
    }
}

#[test]
fn what_the_server_answered_can_be_looked_at() {
    let mut rig = Rig::new(quiet());
    rig.reach(&Request { protocols: &["a", "b"], ..Request::new("example.org", "/") });
    let epoch = rig.epoch();
    let answer = String::from_utf8(rig.acceptance(epoch)).unwrap();
    let answer = answer.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: b\r\nSet-Cookie: seat=1\r\n\r\n");
    let room = rig.stream.fill(epoch);
    room[..answer.len()].copy_from_slice(answer.as_bytes());
    rig.stream.received(&mut rig.link, rig.now, epoch, answer.len());
    assert!(rig.stream.read(&mut rig.link, rig.now, epoch).is_none());
    rig.settle();
    let head = rig.stream.response(epoch).unwrap();
    assert_eq!((head.text("sec-websocket-protocol"), head.text("set-cookie")), (Some("b"), Some("seat=1")));
    rig.feed(epoch, &frame(0x81, b"x"));
    assert!(rig.stream.response(epoch).is_none_or(|head| head.text("set-cookie").is_none()));
}

#[test]
fn a_refusal_is_told_with_its_status_and_where_else_to_go() {
    let mut rig = Rig::new(quiet());
    rig.reach(&Request::new("example.org", "/"));
    let epoch = rig.epoch();
    let answer = b"HTTP/1.1 302 Found\r\nLocation: wss://other.example/\r\nContent-Length: 4\r\n\r\nbody";
    let room = rig.stream.fill(epoch);
    room[..answer.len()].copy_from_slice(answer);
    rig.stream.received(&mut rig.link, rig.now, epoch, answer.len());
    assert!(rig.stream.read(&mut rig.link, rig.now, epoch).is_none());
    let stream::Next::Do(Action::Failed { failure, fault, .. }) = rig.stream.poll(&mut rig.link) else {
        panic!()
    };
    assert_eq!((failure, fault), (Failure::Http { status: 302, retry_after: None }, Fault::Status(302)));
    assert_eq!(rig.stream.response(epoch).unwrap().text("location"), Some("wss://other.example/"));
    rig.settle();
    assert!(rig.sockets.is_empty(), "{:?}", rig.told);
}

#[test]
fn retry_after_is_honoured_in_seconds_and_as_a_date_if_the_wall_clock_is_known() {
    let refused = |wall_clock: Option<u64>, retry_after: &str| {
        let mut rig = Rig::new(quiet());
        if let Some(seconds) = wall_clock {
            rig.say(Input::WallClock(Duration::from_secs(seconds)));
        }
        rig.reach(&Request::new("example.org", "/"));
        let epoch = rig.epoch();
        rig.feed(epoch, format!("HTTP/1.1 503 Busy\r\nRetry-After: {retry_after}\r\n\r\n").as_bytes());
        let Some((Failure::Http { status: 503, retry_after }, _)) = failed(&rig) else { panic!() };
        retry_after.map(|time| time.as_secs())
    };
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(refused(None, "120"), Some(120));
    assert_eq!(refused(None, date), None);
    assert_eq!(refused(Some(784_111_777 - 90), date), Some(90));
    assert_eq!(refused(Some(784_111_777 + 90), date), None);
    assert_eq!(refused(Some(0), "soon"), None);
}

#[test]
fn an_answer_that_is_no_upgrade_is_no_connection() {
    for (answer, wrong) in [
        (
            "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
            Wrong::Accept,
        ),
        ("HTTP/1.1 101 Ok\r\n\r\n", Wrong::Upgrade),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", Wrong::StartLine),
    ] {
        let mut rig = Rig::new(quiet());
        rig.reach(&Request::new("example.org", "/"));
        let epoch = rig.epoch();
        rig.feed(epoch, answer.as_bytes());
        let Some((Failure::Handshake, Fault::Response(error))) = failed(&rig) else { panic!("{answer}") };
        assert_eq!(error.fault, wrong, "{answer}");
        assert!(rig.sockets.is_empty());
        rig.pass(Duration::from_secs(1));
        assert_eq!(rig.sockets.len(), 1, "another attempt");
    }
}

#[test]
fn a_sub_protocol_that_was_not_offered_or_not_selected_fails() {
    for (required, selected, wrong) in [
        (true, "", Wrong::ProtocolMissing),
        (false, "Sec-WebSocket-Protocol: other\r\n", Wrong::ProtocolNotOffered),
    ] {
        let mut rig = Rig::new(quiet());
        let request =
            Request { protocols: &["chat"], protocol_required: required, ..Request::new("example.org", "/") };
        rig.reach(&request);
        let epoch = rig.epoch();
        let answer = String::from_utf8(rig.acceptance(epoch)).unwrap();
        rig.feed(epoch, answer.replace("\r\n\r\n", &format!("\r\n{selected}\r\n")).as_bytes());
        let Some((_, Fault::Response(error))) = failed(&rig) else { panic!() };
        assert_eq!(error.fault, wrong);
    }
}

#[test]
fn a_header_that_never_ends_is_cut_off() {
    let mut limits = stream::Config::default();
    limits.head.bytes = 1000;
    let mut rig = Rig::with(quiet(), limits);
    rig.reach(&Request::new("example.org", "/"));
    let epoch = rig.epoch();
    rig.feed(epoch, b"HTTP/1.1 101 Ok\r\nX: ");
    for _ in 0..100 {
        rig.feed(epoch, &[b'y'; 100]);
    }
    let Some((Failure::Handshake, Fault::Response(error))) = failed(&rig) else { panic!() };
    assert_eq!((error.fault, error.at), (Wrong::HeadTooLong, 1000));
}

#[test]
fn a_header_that_comes_slower_than_the_patience_lasts_is_given_up() {
    let mut rig = Rig::new(quiet());
    rig.reach(&Request::new("example.org", "/"));
    let epoch = rig.epoch();
    rig.feed(epoch, b"HTTP/1.1 101 Ok\r\n");
    for _ in 0..12 {
        rig.feed(epoch, b"X: y\r\n");
        rig.pass(Duration::from_secs(1));
    }
    assert!(rig.has(|told| matches!(told, Action::Disconnect { epoch: gone } if *gone == epoch)));
    assert!(rig.has(|told| matches!(
        told,
        Action::Tell(LinkAction::RetryScheduled { cause: Cause::OpenTimeout, .. })
    )));
}

#[test]
fn a_server_that_hangs_up_in_the_handshake_is_a_failure_to_connect() {
    for lost in [false, true] {
        let mut rig = Rig::new(quiet());
        rig.reach(&Request::new("example.org", "/"));
        let epoch = rig.epoch();
        rig.feed(epoch, b"HTTP/1.1 101");
        if lost {
            rig.stream.lost(&mut rig.link, rig.now, epoch);
            rig.settle();
        } else {
            rig.end(epoch);
        }
        assert_eq!(failed(&rig), Some((Failure::Connect, Fault::HungUp)));
        assert!(rig.sockets.is_empty());
    }
}

#[test]
fn a_request_that_cannot_be_is_final_or_tried_again() {
    for (request, failure) in [
        (Request::new("exa mple.org", "/"), Failure::Url),
        (Request::new("example.org", "no slash"), Failure::Url),
        (Request { headers: &[("X", "a\r\nb")], ..Request::new("example.org", "/") }, Failure::Credentials),
        (Request { headers: &[("Upgrade", "x")], ..Request::new("example.org", "/") }, Failure::Credentials),
    ] {
        let mut rig = Rig::new(quiet());
        rig.reach(&request);
        assert_eq!(failed(&rig).unwrap().0, failure);
        assert!(rig.sockets.is_empty());
        let final_one = matches!(rig.link.state(), State::Failed { .. });
        assert_eq!(final_one, failure == Failure::Url);
    }
}

#[test]
fn a_way_that_could_not_be_had_ends_the_attempt() {
    let mut rig = Rig::new(quiet());
    let epoch = rig.epoch();
    rig.stream.failed(&mut rig.link, rig.now, epoch, Failure::Dns);
    rig.stream.failed(&mut rig.link, rig.now, epoch, Failure::Dns);
    rig.settle();
    assert!(rig.sockets.is_empty());
    assert_eq!(rig.link.report(rig.now).counts.failed_opens.get(), 1);
    // What is said of a socket that is gone does nothing.
    rig.stream.connected(&mut rig.link, rig.now, epoch, &Request::new("h", "/"), SECRET);
    rig.stream.received(&mut rig.link, rig.now, epoch, 10);
    rig.stream.sent(&mut rig.link, rig.now, epoch, 10);
    rig.stream.lost(&mut rig.link, rig.now, epoch);
    assert!(rig.stream.transmit(epoch).is_empty() && rig.stream.fill(epoch).is_empty());
}

#[test]
fn a_stop_while_it_opens_disconnects() {
    let mut rig = Rig::new(quiet());
    rig.reach(&Request::new("example.org", "/"));
    rig.say(Input::Stop { linger: Duration::ZERO });
    assert!(rig.sockets.is_empty());
    assert!(rig.stream.is_empty());
}

#[test]
fn a_stream_knows_which_sockets_carry_bytes() {
    let mut rig = Rig::new(quiet());
    assert!(!rig.stream.is_empty(), "one was asked for");
    assert_eq!(rig.stream.epochs().count(), 0, "it is not there yet");
    let epoch = rig.connect();
    assert_eq!(rig.stream.epochs().collect::<Vec<_>>(), [epoch]);
    rig.say(Input::Stop { linger: Duration::ZERO });
    rig.pass(Duration::from_secs(60));
    assert_eq!((rig.stream.epochs().count(), rig.stream.is_empty()), (0, true));
}

#[test]
fn credentials_that_came_after_the_stream_was_made_find_room_in_its_hello() {
    let mut config = quiet();
    config.wire = everlink::wire::Wire::Native(everlink::wire::native::Limits::default());
    config.outbox.message_bytes = 1_000;
    let mut rig = Rig::new(config);
    rig.link.set_credentials(Some(vec![b'c'; 60_000]));
    rig.reach(&Request::new("example.org", "/chat"));
    let epoch = rig.epoch();
    let answer = rig.acceptance(epoch);
    rig.feed(epoch, &answer);
    let Some(Said::Binary(hello)) = rig.said(epoch).pop() else { panic!("no hello") };
    assert!(hello.ends_with(&[b'c'; 60_000]));
}
