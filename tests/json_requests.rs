//! Requests on the JSON wire, from a client: each ends exactly once, and on another socket nothing of an earlier one holds.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

use crate::harness::{Script, at, epoch, ms, s};
use crate::json_socket::talking;
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::{Event, Input, Next, Wake};
use everlink::outbox::{Kind, Outcome};
use everlink::requests::{Ended, RequestId};
use everlink::wire::Opcode;

fn ask(script: &mut Script, ask: &Ask<'_>) -> RequestId {
    let id = script.link.request(script.now, ask, |_, _| ()).unwrap();
    script.drain();
    id
}

fn ends(script: &Script) -> Vec<String> {
    script.ended.iter().map(|Ended { id, end }| format!("{id} {end:?}")).collect()
}

#[test]
fn a_request_is_written_as_servers_know_it_and_answered_once() {
    let mut script = talking(|_| {});
    ask(&mut script, &Ask::query("users", r#"{"limit":10}"#));
    ask(&mut script, &Ask::command("draw", ""));
    script.until(1_100);
    assert_eq!(
        script.wrote(1),
        [
            r#"{"id":"2","type":"query","timestamp":1700000000000,"payload":{"resource":"users","parameters":{"limit":10}}}"#,
            r#"{"id":"4","type":"command","timestamp":1700000000000,"payload":{"action":"draw","parameters":{}}}"#,
        ]
    );
    // The ids of other messages are odd: this is about none of the two.
    script.text(1, r#"{"type":"response","id":"k2","requestId":"5","payload":["Eve"]}"#);
    script.text(1, r#"{"type":"error","id":"k2","requestId":"3","error":"what?"}"#);
    assert_eq!(script.told.remove(0), r#"Json(Error { id: 0, reason: Some(Text("what?")) })"#);
    script.text(1, r#"{"type":"response","id":"k3","requestId":"2","payload":["Ada"]}"#);
    script.text(1, r#"{"type":"response","id":"k4","requestId":"2","payload":["Bob"]}"#);
    script.text(1, r#"{"type":"response","id":5,"requestId":4}"#);
    script.until(20_000);
    let answers = [(1, &br#"["Ada"]"#[..]), (2, b"")];
    assert_eq!(
        script.told,
        answers.map(|(id, data)| format!("Response {{ id: {id}, kind: Text, data: {data:?} }}"))
    );
    assert_eq!(script.link.strays(), 2, "the first and the third answer are nobody's");
    assert!(script.settled.is_empty() && script.ended.is_empty());
}

#[test]
fn an_error_is_an_answer_and_one_about_nothing_is_told() {
    let mut script = talking(|_| {});
    ask(&mut script, &Ask::command("pay", "42"));
    script.until(1_100);
    script.text(1, r#"{"type":"error","id":"e","requestId":"2","error":"no \"money\""}"#);
    script.text(1, r#"{"type":"error","id":"f","error":{"code":7}}"#);
    script.text(1, r#"{"type":"error","id":"g","requestId":"1","error":"who are you"}"#);
    script.text(1, r#"{"type":"error","id":"h","requestId":"2","error":"late"}"#);
    assert_eq!(
        script.told,
        [
            r#"Json(Error { id: 1, reason: Some(Text("no \"money\"")) })"#,
            r#"Json(Error { id: 0, reason: Some(Raw({"code":7})) })"#,
            r#"Json(Error { id: 0, reason: Some(Text("who are you")) })"#,
        ]
    );
    assert_eq!(script.link.strays(), 1);
}

#[test]
fn a_request_without_an_answer_times_out_at_its_own_time() {
    let mut script = talking(|_| {});
    let slow = ask(&mut script, &Ask::command("draw", "1"));
    let hasty = ask(&mut script, &Ask::command("draw", "2").within(s(2)));
    script.until(1_500);
    assert_eq!(script.link.wake(), Some((at(3_000), Wake::Request)));
    script.until(3_000);
    assert_eq!(ends(&script), [format!("{hasty} TimedOut")]);
    script.until(10_999);
    assert_eq!(script.ended.len(), 1);
    script.until(11_000);
    assert_eq!(ends(&script)[1], format!("{slow} TimedOut"));
}

#[test]
fn another_socket_leaves_commands_in_doubt_asks_queries_again_and_sends_what_had_not_left() {
    // Whether the link is asked what to do between what was written and the end.
    for drained in [true, false] {
        let mut script = talking(|_| {});
        script.server.drains = false;
        let command = ask(&mut script, &Ask::command("pay", "42"));
        ask(&mut script, &Ask::query("balance", ""));
        let written: usize = script.wrote(1).iter().map(|text| text.len()).sum();
        let late = ask(&mut script, &Ask::command("late", ""));
        if drained {
            script.event(1, everlink::link::Event::Written(written as u64));
            script.close(1, None);
        } else {
            let socket = crate::harness::epoch(1);
            for event in [
                everlink::link::Event::Written(written as u64),
                everlink::link::Event::Closed(everlink::link::Close::default()),
            ] {
                script.link.handle(script.now, Input::Socket(socket, event));
            }
            script.drain();
        }
        assert_eq!(ends(&script), [format!("{command} InDoubt")], "drained {drained}");
        script.server.drains = true;
        script.until(4_000);
        let said: Vec<_> = script.wrote(2).iter().map(|text| text[..18].to_owned()).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.contains(&r#"{"id":"4","type":""#.into()), "the query: {said:?}");
        assert!(said.contains(&r#"{"id":"6","type":""#.into()), "what had not left: {said:?}");
        script.text(2, r#"{"type":"response","id":"1","requestId":"6","payload":1}"#);
        script.text(2, r#"{"type":"response","id":"2","requestId":"4","payload":2}"#);
        script.text(2, r#"{"type":"response","id":"3","requestId":"2","payload":3}"#);
        assert_eq!(script.told.len(), 2, "{:?}", script.told);
        assert!(script.told[0].starts_with(&format!("Response {{ id: {late}")));
        assert_eq!(script.ended.len(), 1);
    }
}

#[test]
fn a_stop_ends_what_is_asked() {
    let mut script = talking(|_| {});
    let asked = ask(&mut script, &Ask::query("a", ""));
    script.until(1_100);
    script.input(Input::Stop { linger: ms(0) });
    assert_eq!(ends(&script), [format!("{asked} InDoubt")]);
    let never = ask(&mut script, &Ask::query("b", "").within(s(1)));
    script.until(5_000);
    assert_eq!(ends(&script)[1], format!("{never} TimedOut"));
    assert_eq!(script.wrote(1).len(), 1);
}

#[test]
fn an_event_is_a_message_with_an_end_of_its_own() {
    let mut script = talking(|_| {});
    script.link.event(script.now, "moved", Content::Text("[1,2]"), |_, _| ()).unwrap();
    script.until(1_100);
    let said =
        r#"{"id":"3","type":"event","timestamp":1700000000000,"payload":{"event":"moved","data":[1,2]}}"#;
    assert_eq!(script.wrote(1), [said]);
    script.settles(&[(1, Outcome::Written)]);
}

#[test]
fn what_is_not_json_is_refused_with_the_byte() {
    let mut script = talking(|_| {});
    let now = script.now;
    let refused = script.link.request(now, &Ask::command("draw", "{\"a\":}"), |_, _| ());
    assert_eq!(refused, Err(Refused::NotJson { at: 5 }));
    let refused = script.link.event(now, "e", Content::Binary(b"\"a\xFF\""), |_, _| ());
    assert_eq!(refused, Err(Refused::NotJson { at: 2 }));
    assert_eq!(Refused::NotJson { at: 5 }.to_string(), "it is not JSON, from byte 5 on");
    // The place that was taken for it is free again.
    assert_eq!(ask(&mut script, &Ask::command("draw", "1")).get(), 2);
}

#[test]
fn without_a_wall_clock_there_is_no_timestamp() {
    let mut script = Script::connected(|config| config.wire = everlink::wire::Wire::Json(Default::default()));
    script.link.open_dialogue();
    ask(&mut script, &Ask::query("a", ""));
    assert_eq!(script.wrote(1), [r#"{"id":"2","type":"query","payload":{"resource":"a","parameters":{}}}"#]);
}

#[test]
fn requests_of_the_server_are_answered_under_the_ids_that_they_have_there() {
    let mut script = talking(|_| {});
    script.text(
        1,
        r#"{"type":"query","id":"k\u0033","payload":{"resource":"a \"name\"","parameters":{"n":1}}}"#,
    );
    script.text(1, r#"{"type":"command","id":7,"payload":[1]}"#);
    script.text(1, r#"{"type":"command","id":7,"payload":[2]}"#);
    script.text(1, r#"{"type":"event","id":"x","payload":{"event":"hi"}}"#);
    assert_eq!(
        script.told,
        [
            r#"Json(Request { id: 1, form: Query, name: "a \"name\"", data: Some({"n":1}) })"#,
            r#"Json(Request { id: 2, form: Command, name: "", data: Some([1]) })"#,
            r#"Json(Request { id: 0, form: Event, name: "hi", data: None })"#,
        ]
    );
    assert_eq!(script.link.strays(), 1, "of one that waits already");
    let now = script.now;
    script.link.respond(now, 1, Content::Text("true"), |_, _| ()).unwrap();
    assert_eq!(script.link.respond(now, 2, Content::Text("oh"), |_, _| ()), Err(Refused::NotJson { at: 0 }));
    script.link.reject(now, 2, 7, "no \"draw\"", |_, _| ()).unwrap();
    assert_eq!(script.link.respond(now, 1, Content::Text("1"), |_, _| ()), Err(Refused::NotAwaited));
    script.drain();
    assert_eq!(
        script.wrote(1),
        [
            r#"{"id":"3","type":"response","timestamp":1700000000000,"payload":true,"requestId":"k\u0033"}"#,
            r#"{"id":"5","type":"error","timestamp":1700000000000,"requestId":7,"error":"no \"draw\""}"#,
        ]
    );
    assert!(script.settled.is_empty());
}

#[test]
fn a_server_that_asks_too_much_or_too_long_is_told_so() {
    let mut script = talking(|config| config.requests.incoming = 1);
    script.text(1, r#"{"type":"query","id":"a"}"#);
    script.text(1, r#"{"type":"query","id":"b"}"#);
    script.until(31_001);
    let said = script.wrote(1);
    assert!(said[0].ends_with(r#""requestId":"b","error":"1 requests wait to be answered"}"#), "{said:?}");
    assert!(said[1].ends_with(r#""requestId":"a","error":"no answer in time"}"#), "{said:?}");
    // And may ask again under the same ids.
    script.text(1, r#"{"type":"query","id":"b"}"#);
    assert_eq!(script.told.len(), 2);
    script.link.respond(script.now, 3, Content::Text("1"), |_, _| ()).unwrap();
    script.text(1, r#"{"type":"query","id":"a"}"#);
    assert_eq!(script.told.len(), 3);
}

#[test]
fn an_answer_to_a_server_that_is_gone_is_not_said_to_another() {
    let mut script = talking(|_| {});
    script.server.drains = false;
    script.text(1, r#"{"type":"query","id":"a"}"#);
    script.text(1, r#"{"type":"query","id":"b"}"#);
    script.input(Input::Offline);
    script.link.respond(script.now, 1, Content::Text("1"), |_, _| ()).unwrap();
    script.close(1, None);
    script.input(Input::Online);
    script.until(5_000);
    assert!(script.written.is_empty(), "{:?}", script.written);
    assert_eq!(script.link.respond(script.now, 1, Content::Text("1"), |_, _| ()), Err(Refused::NotAwaited));
    // Another server may ask under the same ids.
    script.server.drains = true;
    for id in ["a", "b"] {
        script.text(script.newest(), &format!(r#"{{"type":"query","id":"{id}"}}"#));
    }
    assert_eq!(script.told.len(), 4, "{:?}", script.told);
}

#[test]
fn what_the_machine_says_for_itself_is_text_as_everything_on_this_wire() {
    let mut script = talking(|config| config.requests.incoming = 1);
    script.server.drains = false;
    let now = script.now;
    script.link.request(now, &Ask::query("users", ""), |_, _| ()).unwrap();
    script.link.event(now, "moved", Content::Text("[1,2]"), |_, _| ()).unwrap();
    // The second is one too many, and is told so.
    for id in ["a", "b"] {
        let asked =
            format!(r#"{{"type":"query","id":"{id}","payload":{{"resource":"x","parameters":{{}}}}}}"#);
        let event = Event::Frame { kind: Kind::Text, data: asked.as_bytes() };
        script.link.handle(now, Input::Socket(epoch(1), event)).for_each(drop);
    }
    while let Next::Do(_) = script.link.poll() {}
    let mut frames = Vec::new();
    while let Some(frame) = script.link.pull(epoch(1)) {
        frames.push((frame.opcode, String::from_utf8(frame.payload().to_vec()).unwrap()));
    }
    assert_eq!(frames.len(), 3, "{frames:?}");
    assert!(frames.iter().all(|(opcode, _)| *opcode == Opcode::Text), "{frames:?}");
}
