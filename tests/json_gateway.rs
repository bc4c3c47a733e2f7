//! What stands between a client on the JSON wire and its session: each thing that is said, in the other's words, and the borders.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may be blunt")]

use crate::harness::{ms, s};
use crate::json_peer::Rig;
use everlink::channels::SYSTEM;
use everlink::dialogue::{Ask, Content};
use everlink::link::{Close, Event};
use everlink::outbox::{Kind, Message, Outcome};
use everlink::peer::{Config, ConnectionNext};
use everlink::wire::Opcode;
use everlink::wire::native::{Envelope, code, tag};

/// With a session.
fn begun(change: impl FnOnce(&mut Config)) -> Rig {
    let mut rig = Rig::new(change);
    rig.says(r#"{"type":"pong"}"#);
    rig.told.clear();
    rig
}

/// Says it, and does not look what comes of it.
fn says_ahead(rig: &mut Rig, text: &str) {
    let event = Event::Frame { kind: Kind::Text, data: text.as_bytes() };
    let _ = rig.connection.handle(&mut rig.sessions, rig.now, event);
}

fn system_error(message: &str) -> String {
    format!(r#"{{"channel":"system","data":{{"type":"error","message":"{message}"}}}}"#)
}

fn system_error_of(channel: &str, message: &str) -> String {
    format!(r#"{{"channel":"system","data":{{"type":"error","message":"{message}","channel":"{channel}"}}}}"#)
}

#[test]
fn an_answer_of_the_client_ends_the_request_that_it_is_about() {
    let mut rig = begun(|_| ());
    for name in ["one", "two", "three"] {
        let now = rig.now;
        rig.peer().request(now, &Ask::query(name, "7"), |_, _| ()).unwrap();
    }
    rig.settle();
    assert_eq!(
        rig.said[1],
        r#"{"id":"4","type":"query","timestamp":1700000000000,"payload":{"resource":"two","parameters":7}}"#
    );
    rig.says(r#"{"type":"response","id":"r","requestId":"4","payload":[2]}"#);
    rig.says(r#"{"type":"response","id":"r","requestId":"3","payload":[1]}"#);
    rig.says(r#"{"type":"response","id":"r","requestId":"k2","payload":[1]}"#);
    let long = "é".repeat(100);
    rig.says(&format!(r#"{{"type":"error","id":"r","requestId":2,"error":"{long}"}}"#));
    rig.says(r#"{"type":"error","id":"r","requestId":"6","error":{"a":1}}"#);
    rig.says(r#"{"type":"error","id":"r","requestId":"7","error":"about a message"}"#);
    rig.says(r#"{"type":"error","id":"r"}"#);
    assert_eq!(
        rig.told,
        [
            "Response { id: 2, kind: Text, data: [91, 50, 93] }".to_owned(),
            // As many characters as an envelope has room for: 123 bytes.
            format!(r#"Error {{ id: 1, code: 0, reason: "{}" }}"#, "é".repeat(61)),
            r#"Error { id: 3, code: 0, reason: "{\"a\":1}" }"#.to_owned(),
            r#"Error { id: 0, code: 0, reason: "about a message" }"#.to_owned(),
            r#"Error { id: 0, code: 0, reason: "" }"#.to_owned(),
        ]
    );
}

#[test]
fn what_the_server_says_has_the_ids_and_the_time_of_its_kind() {
    let mut rig = begun(|_| ());
    rig.pass(ms(1_234));
    let now = rig.now;
    rig.peer().event(now, "moved", Content::Text("[1]"), |_, _| ()).unwrap();
    rig.peer().event(now, "left", Content::Text(""), |_, _| ()).unwrap();
    let asked = rig.peer().request(now, &Ask::command("go", ""), |_, _| ()).unwrap().get();
    rig.settle();
    let at = r#""timestamp":1700000001234"#;
    assert_eq!(
        rig.said,
        [
            format!(r#"{{"id":"3","type":"event",{at},"payload":{{"event":"moved","data":[1]}}}}"#),
            format!(r#"{{"id":"5","type":"event",{at},"payload":{{"event":"left","data":{{}}}}}}"#),
            format!(
                r#"{{"id":"{}","type":"command",{at},"payload":{{"action":"go","parameters":{{}}}}}}"#,
                2 * asked
            ),
        ]
    );
}

#[test]
fn a_subscription_is_confirmed_and_what_is_refused_is_told_with_its_channel() {
    let mut rig = begun(|_| ());
    let now = rig.now;
    rig.says(r#"{"action":"subscribe","channel":"a"}"#);
    rig.says(r#"{"action":"subscribe","channel":"b"}"#);
    rig.says(r#"{"action":"publish","channel":"a","data":{"n":1}}"#);
    rig.says(r#"{"action":"publish","channel":"b","data":2}"#);
    assert_eq!(
        rig.told,
        [
            r#"Subscribe { id: 1, channel: "a" }"#,
            r#"Subscribe { id: 2, channel: "b" }"#,
            r#"Publish { id: 3, channel: Name("a"), kind: Text, data: [123, 34, 110, 34, 58, 49, 125] }"#,
            r#"Publish { id: 4, channel: Name("b"), kind: Text, data: [50] }"#,
        ]
    );
    // Not in their order.
    rig.peer().refuse(now, 2, 9, "not yours", |_, _| ()).unwrap();
    rig.peer().accept(now, 1, "a", |_, _| ()).unwrap();
    rig.peer().confirm(now, 3, |_, _| ()).unwrap();
    rig.peer().refuse(now, 4, 9, "read only", |_, _| ()).unwrap();
    rig.settle();
    assert_eq!(
        rig.said,
        [
            system_error_of("b", "not yours"),
            r#"{"channel":"system","data":{"type":"subscription_confirm","channel":"a"}}"#.to_owned(),
            system_error_of("b", "read only"),
        ]
    );
    rig.said.clear();
    let Rig { sessions, .. } = &mut rig;
    sessions.broadcast(now, "a", Content::Text("[1]"), |_, _, _| (), |_| ()).unwrap();
    sessions.broadcast(now, "b", Content::Text("[2]"), |_, _, _| (), |_| ()).unwrap();
    rig.settle();
    rig.says(r#"{"action":"unsubscribe","channel":"a"}"#);
    rig.peer().confirm(now, 5, |_, _| ()).unwrap();
    rig.settle();
    assert_eq!(rig.said, [r#"{"channel":"a","data":[1]}"#], "leaving is not confirmed");
}

#[test]
fn what_is_said_and_by_whom_it_is_never_said_again() {
    // The stage that a client is in decides once who it is; later it renews.
    let mut rig = begun(|_| ());
    rig.says(r#"{"type":"auth","id":"a","payload":"me"}"#);
    assert_eq!(rig.told.len(), 1, "{:?}", rig.told);
    assert!(rig.told[0].starts_with("Credentials"), "{:?}", rig.told);
    // Also a frame that is no message is something that was said.
    let mut rig = Rig::new(|_| ());
    rig.says("{");
    assert_eq!(rig.told, [r#"who """#]);
}

#[test]
fn a_silent_client_is_waited_for_until_it_has_said_something() {
    let mut rig = Rig::new(|_| ());
    let mute_until = rig.now + s(5);
    assert_eq!(rig.connection.poll(&mut rig.sessions), ConnectionNext::Wait(mute_until));
    says_ahead(&mut rig, r#"{"type":"pong"}"#);
    assert!(rig.connection.has_come());
    assert_ne!(rig.connection.poll(&mut rig.sessions), ConnectionNext::Wait(mute_until));
    rig.settle();
    assert!(!rig.connection.has_come());
    assert_eq!(rig.told, [r#"who """#]);
}

#[test]
fn limits_hold_at_their_borders() {
    let mut rig = begun(|config| {
        config.acceptor.limits.name = 8;
        config.acceptor.limits.envelope = 1024;
    });
    let query = |id: &str, name: &str, data: usize| {
        let data = "1".repeat(data);
        format!(r#"{{"type":"query","id":"{id}","payload":{{"resource":"{name}","parameters":{data}}}}}"#)
    };
    rig.says(&query("a", "12345678", 1));
    assert_eq!((rig.told.len(), rig.said.len()), (1, 0));
    rig.says(&query("a", "r", 1));
    assert_eq!(rig.said.pop(), Some(system_error("a request with this id waits already")));
    rig.says(&query("b", "123456789", 1));
    assert!(rig.said.pop().unwrap().ends_with(r#""requestId":"b","error":"the name is too long"}"#));
    // Tag, length, id, flags and the length of the name are some ten bytes.
    let most = (1000..1024).rev().find(|data| {
        rig.says(&query("c", "r", *data));
        rig.told.len() == 2
    });
    assert!(rig.said.iter().all(|said| said.ends_with(r#""requestId":"c","error":"it is too long"}"#)));
    assert_eq!(
        rig.said.len(),
        1023 - most.unwrap(),
        "each that was refused was told, and the id was free again"
    );
    rig.said.clear();
    let order = |channel: &str| format!(r#"{{"action":"subscribe","channel":"{channel}"}}"#);
    rig.says(&order("12345678"));
    assert_eq!((rig.told.len(), rig.said.len()), (3, 0));
    rig.says(&order("123456789"));
    assert_eq!(rig.said.pop(), Some(system_error_of("123456789", "the name of the channel is too long")));
    let published = format!(r#"{{"action":"publish","channel":"a","data":"{}"}}"#, "x".repeat(1024));
    for _ in 0..1100 {
        rig.says(&published);
        assert_eq!(rig.said.pop(), Some(system_error("it is too long")));
    }
    rig.says(&order("12345678"));
    assert_eq!((rig.told.len(), rig.said.len()), (4, 0), "nothing waits to be confirmed");
    rig.says(&format!(r#"{{"type":"own","id":"o","payload":"{}"}}"#, "x".repeat(1024)));
    assert_eq!(rig.said.pop(), Some(system_error("it is too long")));
    assert_eq!((rig.told.len(), rig.sessions.counts().malformed), (4, 0));
}

#[test]
fn an_envelope_of_exactly_the_limit_is_taken() {
    let (mut rig, mut said) = (begun(|config| config.acceptor.limits.envelope = 1024), [0; 2]);
    for payload in 950..1024 {
        let text = format!(r#"{{"type":"own","id":"o","payload":"{}"}}"#, "x".repeat(payload));
        let len = Envelope::Message { kind: Kind::Text, data: text.as_bytes() }.encoded_len();
        rig.says(&text);
        said[usize::from(len > 1024)] += 1;
        assert_eq!([rig.told.len(), rig.said.len()], said, "{len}");
    }
    assert!(said[0] > 10 && said[1] > 10, "{said:?}");
}

#[test]
fn credentials_of_exactly_the_limit_are_taken() {
    let mut rig = Rig::new(|config| config.acceptor.limits.credentials = 12);
    rig.says(r#"{"type":"auth","id":"a","payload":"12345678901"}"#);
    assert_eq!(
        (rig.said.as_slice(), rig.told.len()),
        (&[system_error("the credentials are too long")][..], 0)
    );
    rig.says(r#"{"type":"auth","id":"a","payload":"1234567890"}"#);
    assert_eq!(rig.told, [r#"who "\"1234567890\"""#]);
}

#[test]
fn no_more_than_a_thousand_requests_and_orders_wait() {
    let mut rig = Rig::new(|config| {
        config.requests.incoming = 2_000;
        config.channels.subscriptions = 2_000;
    });
    for number in 0..=1024 {
        says_ahead(&mut rig, &format!(r#"{{"type":"query","id":{number},"payload":{{"resource":"r"}}}}"#));
    }
    for _ in 0..=1024 {
        says_ahead(&mut rig, r#"{"action":"publish","channel":"a","data":1}"#);
    }
    rig.settle();
    assert_eq!(rig.told.len(), 1 + 2 * 1024);
    assert_eq!(rig.said.len(), 2);
    assert!(rig.said[0].ends_with(r#""requestId":1024,"error":"too many requests wait to be answered"}"#));
    assert_eq!(rig.said[1], system_error_of("a", "too many orders wait to be confirmed"));
    // What is done makes room.
    let now = rig.now;
    rig.peer().respond(now, 1, Content::Text("1"), |_, _| ()).unwrap();
    rig.settle();
    rig.says(r#"{"type":"query","id":1024,"payload":{"resource":"r"}}"#);
    assert_eq!(rig.told.len(), 2 + 2 * 1024);
}

#[test]
fn who_says_a_megabyte_before_it_is_known_is_closed_and_who_is_known_is_not() {
    let big = format!(r#"{{"type":"own","id":"o","payload":"{}"}}"#, "x".repeat(50_000));
    // A stranger says more than a hello is long, and is not closed for it.
    let mut rig = Rig::new(|_| ());
    let _ = rig.connection.handle(&mut rig.sessions, rig.now, Event::Received(900_000));
    for _ in 0..20 {
        says_ahead(&mut rig, &big);
    }
    rig.settle();
    assert_eq!((rig.closed, rig.told.len()), (None, 21));
    // Together they are over a megabyte, but it was taken meanwhile.
    for _ in 0..20 {
        says_ahead(&mut rig, &big);
    }
    for _ in 0..20 {
        says_ahead(&mut rig, &big);
    }
    rig.settle();
    assert_eq!((rig.closed, rig.told.len()), (None, 61));
    let mut rig = Rig::new(|_| ());
    for _ in 0..22 {
        says_ahead(&mut rig, &big);
    }
    rig.settle();
    assert_eq!((rig.closed, rig.told.len()), (Some(code::TOO_LARGE), 0));
}

#[test]
fn an_answer_too_long_for_its_text_is_an_error() {
    let mut rig = begun(|config| config.outbox.message_bytes = 400);
    let id = "i".repeat(250);
    rig.says(&format!(r#"{{"type":"query","id":"{id}","payload":{{"resource":"r"}}}}"#));
    let (now, long) = (rig.now, format!("\"{}\"", "x".repeat(300)));
    rig.peer().respond(now, 1, Content::Text(&long), |_, _| ()).unwrap();
    rig.settle();
    assert!(
        rig.said[0].ends_with(&format!(r#""requestId":"{id}","error":"the answer is too long"}}"#)),
        "{:?}",
        rig.said
    );
    assert!(rig.said[0].starts_with(r#"{"id":"3","type":"error""#));
}

#[test]
fn what_is_too_long_as_json_is_told_to_who_waits_for_it() {
    let mut rig = begun(|config| config.outbox.message_bytes = 400);
    let (now, long) = (rig.now, "\u{1}".repeat(300));
    let asked = rig.peer().request(now, &Ask::query("r", long.as_str()), |_, _| ()).unwrap();
    rig.peer().event(now, "e", Content::Text(&long), |_, _| ()).unwrap();
    rig.sessions.broadcast(now, SYSTEM, Content::Text(&long), |_, _, _| (), |_| ()).unwrap();
    rig.settle();
    assert_eq!(rig.told, [format!(r#"Error {{ id: {asked}, code: 0, reason: "it is too long as JSON" }}"#)]);
    assert_eq!(rig.said, [system_error("what was published is too long")]);
}

#[test]
fn what_has_no_words_counts_as_arrived() {
    let mut rig = begun(|config| config.delivery.window = 1);
    let now = rig.now;
    rig.sessions.broadcast(now, SYSTEM, Content::Binary(b"\xFF"), |_, _, _| (), |_| ()).unwrap();
    rig.peer().send(now, Message::binary(b"\xFE".to_vec()), |_, _| ()).unwrap();
    rig.settle();
    assert_eq!((rig.kinds.as_slice(), rig.total), (&[Opcode::Binary][..], 1), "it is sent as it is");
    assert_eq!(rig.settled, [Outcome::Written]);
}

#[test]
fn the_adapter_is_asked_to_pull_once_and_again_when_there_is_room() {
    let mut rig = begun(|_| ());
    rig.drains = false;
    says_ahead(&mut rig, r#"{"type":"ping"}"#);
    rig.settle();
    let flushes = rig.flushes;
    says_ahead(&mut rig, r#"{"type":"ping"}"#);
    says_ahead(&mut rig, r#"{"type":"ping"}"#);
    rig.settle();
    assert_eq!((rig.flushes, rig.said.len()), (flushes + 1, 3));
    // It was asked, and has not pulled all of it.
    says_ahead(&mut rig, r#"{"type":"ping"}"#);
    assert!(matches!(rig.connection.poll(&mut rig.sessions), ConnectionNext::Do(_)));
    assert!(!matches!(rig.connection.poll(&mut rig.sessions), ConnectionNext::Do(_)));
    let _ = rig.connection.handle(&mut rig.sessions, rig.now, Event::Writable);
    rig.settle();
    assert_eq!(rig.said.len(), 4);
}

#[test]
fn its_pings_are_answered_with_pongs_or_the_socket_ends() {
    for answers in [true, false] {
        let mut rig = begun(|_| ());
        for _ in 0..600 {
            rig.pass(ms(500));
            if rig.said.iter().any(|said| said == r#"{"type":"ping"}"#) {
                rig.said.clear();
                if answers {
                    rig.says(r#"{"type":"pong"}"#);
                }
            }
        }
        assert_eq!(rig.closed.is_none(), answers, "{:?}", rig.closed);
    }
}

#[test]
fn a_goodbye_is_told_with_its_reason_if_it_has_one() {
    let mut rig = Rig::new(|_| ());
    says_ahead(&mut rig, r#"{"type":"pong"}"#);
    let _ = rig.connection.came(&mut rig.sessions, rig.now);
    rig.connection.refuse(&rig.sessions, rig.now, code::UNAUTHENTICATED, s(0), "who are you?");
    rig.settle();
    assert_eq!((rig.closed, rig.said), (Some(code::UNAUTHENTICATED), vec![system_error("who are you?")]));
    let mut rig = begun(|_| ());
    let now = rig.now;
    rig.peer().end(now, code::NORMAL, s(0));
    rig.settle();
    assert_eq!((rig.closed, rig.said.len()), (Some(code::NORMAL), 0));
}

#[test]
fn an_error_about_no_request_is_told_on_the_system_channel() {
    let mut rig = Rig::without_dialogue(|_| ());
    rig.says(r#"{"type":"pong"}"#);
    let now = rig.now;
    for (id, reason) in [(0, "all is lost"), (9, "nobody asked")] {
        let mut frame = [0; 64];
        let len = Envelope::Error { id, code: 7, reason }.encode(&mut frame).unwrap();
        // Without tag and length.
        let message = Message::binary(frame[2..len].to_vec()).with_tag(tag::ERROR);
        rig.peer().send(now, message, |_, _| ()).unwrap();
    }
    rig.settle();
    assert_eq!(rig.said, [system_error("all is lost")]);
}

#[test]
fn the_count_of_what_is_written_only_grows() {
    let mut rig = begun(|config| config.delivery.window = 1);
    rig.drains = false;
    let now = rig.now;
    rig.peer().send(now, Message::text("one".into()), |_, _| ()).unwrap();
    rig.settle();
    rig.event(Event::Written(3));
    rig.event(Event::Written(2));
    assert_eq!(rig.settled, [Outcome::Written]);
    // This has no words, and so it has arrived with what went before it.
    rig.sessions.broadcast(now, SYSTEM, Content::Binary(b"\xFF"), |_, _, _| (), |_| ()).unwrap();
    rig.peer().send(now, Message::text("two".into()), |_, _| ()).unwrap();
    rig.settle();
    rig.event(Event::Writable);
    assert_eq!(rig.said, ["one", "two"]);
    rig.event(Event::Written(6));
    assert_eq!(rig.settled, [Outcome::Written, Outcome::Written]);
    rig.event(Event::Closed(Close::default()));
    assert!(rig.connection.is_done());
}
