//! Requests on the native wire, from a client: each ends exactly once, whatever becomes of sockets and sessions.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;

use crate::harness::{Script, at, ms, s};
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::{Input, Wake};
use everlink::outbox::Kind;
use everlink::requests::{Ended, RequestId, code};
use everlink::wire::native::{Envelope, Form, Request};

/// Connected, with a dialogue.
fn talking(change: impl FnOnce(&mut everlink::link::Config)) -> Script {
    let mut script = Script::native(change);
    script.link.open_dialogue();
    script.told.clear();
    script
}

fn ask(script: &mut Script, ask: &Ask<'_>) -> RequestId {
    let id = script.link.request(script.now, ask, |_, _| ()).unwrap();
    script.drain();
    id
}

fn answer(id: RequestId, data: &str) -> Envelope<'_> {
    Envelope::Response { id: id.get(), kind: Kind::Text, data: data.as_bytes() }
}

fn asked(id: u32) -> Envelope<'static> {
    Envelope::Request(Request { id, form: Form::Command, name: "draw", kind: Kind::Text, data: b"{}" })
}

fn ends(script: &Script) -> Vec<String> {
    script.ended.iter().map(|Ended { id, end }| format!("{id} {end:?}")).collect()
}

#[test]
fn a_request_is_answered_once_and_its_message_is_nobody_elses_business() {
    let mut script = talking(|_| {});
    let id = ask(&mut script, &Ask::query("weather", "Oslo"));
    script.until(1_100);
    assert_eq!(script.far().came(), ["request 1 weather"]);
    script.say(&answer(id, "rain"));
    script.say(&answer(id, "snow"));
    script.until(20_000);
    assert_eq!(script.told, [format!("Response {{ id: 1, kind: Text, data: {:?} }}", b"rain")]);
    assert_eq!(script.link.strays(), 1);
    assert!(script.settled.is_empty(), "{:?}", script.settled);
    assert!(script.ended.is_empty());
}

#[test]
fn a_request_without_an_answer_times_out_at_its_own_time() {
    let mut script = talking(|_| {});
    let slow = ask(&mut script, &Ask::command("draw", "a line"));
    let hasty = ask(&mut script, &Ask::command("draw", "a dot").within(s(2)));
    script.until(1_500);
    assert_eq!(script.link.wake(), Some((at(3_000), Wake::Request)));
    script.until(2_999);
    assert!(script.ended.is_empty());
    script.until(3_000);
    assert_eq!(ends(&script), [format!("{hasty} TimedOut")]);
    script.until(10_999);
    assert_eq!(script.ended.len(), 1);
    script.until(11_000);
    assert_eq!(ends(&script)[1], format!("{slow} TimedOut"));
    // Too late.
    script.say(&answer(slow, "done"));
    script.until(12_000);
    assert!(script.told.is_empty());
    assert_eq!(script.link.strays(), 1);
}

#[test]
fn an_error_is_an_answer() {
    let mut script = talking(|_| {});
    let id = ask(&mut script, &Ask::command("pay", "42"));
    script.until(1_100);
    script.say(&Envelope::Error { id: id.get(), code: 7, reason: "no money" });
    script.until(20_000);
    assert_eq!(script.told, ["Error { id: 1, code: 7, reason: \"no money\" }"]);
    assert!(script.ended.is_empty());
}

#[test]
fn what_times_out_while_there_is_no_socket_is_never_done() {
    let mut script = talking(|_| {});
    script.input(Input::Offline);
    let id = ask(&mut script, &Ask::command("launch", ""));
    script.until(11_000);
    assert_eq!(ends(&script), [format!("{id} TimedOut")]);
    script.input(Input::Online);
    script.until(15_000);
    assert!(script.far().came().is_empty());
}

#[test]
fn a_resumed_session_neither_loses_nor_repeats_a_request() {
    let mut script = talking(|_| {});
    script.server.answers = false;
    let id = ask(&mut script, &Ask::command("draw", "a line"));
    script.until(1_100);
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.until(3_000);
    assert_eq!(script.far().came(), ["request 1 draw"]);
    script.close(2, None);
    script.say(&answer(id, "done"));
    script.until(9_000);
    assert_eq!(script.far().came(), ["request 1 draw"]);
    assert!(script.told.iter().any(|told| told.starts_with("Response { id: 1")), "{:?}", script.told);
    assert!(script.ended.is_empty());
}

#[test]
fn a_lost_session_leaves_commands_in_doubt_and_asks_queries_again() {
    for acknowledged in [true, false] {
        let mut script = talking(|_| {});
        script.server.answers = acknowledged;
        let command = ask(&mut script, &Ask::command("pay", "42"));
        let query = ask(&mut script, &Ask::query("balance", ""));
        let harmless = ask(&mut script, &Ask::command("save", "").idempotent());
        script.until(1_200);
        script.far().forget();
        script.close(1, None);
        script.lose_what_is_held();
        script.server.heal();
        script.until(4_000);
        assert_eq!(ends(&script), [format!("{command} InDoubt")], "acknowledged: {acknowledged}");
        let again: Vec<String> =
            script.far().session().came.iter().map(|came| String::from_utf8(came.clone()).unwrap()).collect();
        assert_eq!(again, [format!("request {query} balance"), format!("request {harmless} save")]);
        script.say(&answer(query, "1000"));
        script.until(5_000);
        assert_eq!(
            script.told.last().unwrap(),
            &format!("Response {{ id: {query}, kind: Text, data: {:?} }}", b"1000")
        );
        // It keeps the time limit of its asking.
        script.until(11_000);
        assert_eq!(ends(&script)[1..], [format!("{harmless} TimedOut")]);
    }
}

#[test]
fn a_stop_ends_every_request() {
    let mut script = talking(|_| {});
    let left = ask(&mut script, &Ask::query("a", ""));
    script.until(1_200);
    script.input(Input::Offline);
    let queued = ask(&mut script, &Ask::query("b", ""));
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(2_000);
    let mut ends = ends(&script);
    ends.sort();
    assert_eq!(ends, [format!("{left} InDoubt"), format!("{queued} NeverSent(Stopped)")]);
}

#[test]
fn what_was_under_way_when_the_link_was_stopped_ends_although_it_is_acknowledged() {
    let mut script = talking(|_| {});
    let id = ask(&mut script, &Ask::query("a", ""));
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(1_500);
    assert_eq!(ends(&script), [format!("{id} InDoubt")]);
}

#[test]
fn nothing_more_is_told_of_a_cancelled_request() {
    let mut script = talking(|_| {});
    script.input(Input::Offline);
    let queued = ask(&mut script, &Ask::query("a", ""));
    assert!(script.link.cancel_request(script.now, queued));
    assert!(!script.link.cancel_request(script.now, queued));
    script.input(Input::Online);
    script.until(2_000);
    assert!(script.far().came().is_empty());
    let left = ask(&mut script, &Ask::query("b", ""));
    script.until(2_200);
    assert!(script.link.cancel_request(script.now, left));
    script.say(&answer(left, "too late"));
    script.until(20_000);
    assert!(script.ended.is_empty() && script.told.is_empty());
}

#[test]
fn limits_are_named() {
    let mut script = talking(|config| {
        config.requests.pending = 2;
        config.outbox.message_bytes = 100;
    });
    let now = script.now;
    let link = &mut script.link;
    let long = "x".repeat(129);
    assert_eq!(
        link.request(now, &Ask::query(&long, ""), |_, _| ()),
        Err(Refused::NameTooLong { limit: 128 })
    );
    assert_eq!(link.request(now, &Ask::query("a", &*long), |_, _| ()), Err(Refused::TooLarge));
    for _ in 0..2 {
        link.request(now, &Ask::query("a", ""), |_, _| ()).unwrap();
    }
    assert_eq!(link.request(now, &Ask::query("a", ""), |_, _| ()), Err(Refused::TooMany { limit: 2 }));
    assert_eq!(link.respond(now, 9, Content::Text(""), |_, _| ()), Err(Refused::NotAwaited));
    assert_eq!(
        Script::native(|_| {}).link.request(now, &Ask::query("a", ""), |_, _| ()),
        Err(Refused::NoDialogue)
    );
    assert_eq!(Refused::TooMany { limit: 2 }.to_string(), "2 requests wait for an answer, and no more may");
}

#[test]
fn a_request_that_is_evicted_ends_as_never_sent() {
    let mut script = talking(|config| config.outbox.messages = 1);
    script.input(Input::Offline);
    let id = ask(&mut script, &Ask::query("a", ""));
    script.send("a message");
    assert_eq!(ends(&script), [format!("{id} NeverSent(Evicted)")]);
    assert!(script.settled.is_empty());
    let other =
        script.link.request(script.now, &Ask::query("b", ""), |gone, _| assert_eq!(gone.id.sequence(), 2));
    assert!(other.is_ok());
}

#[test]
fn a_request_of_the_other_end_is_answered_once() {
    let mut script = talking(|_| {});
    script.say(&asked(17));
    script.until(1_100);
    assert!(script.told[0].starts_with("Request(Request { id: 17, form: Command, name: \"draw\""));
    script.link.respond(script.now, 17, Content::Text("done"), |_, _| ()).unwrap();
    assert_eq!(
        script.link.reject(script.now, 17, 5, "no", |_, _| ()),
        Err(Refused::NotAwaited),
        "one answer is enough"
    );
    script.drain();
    script.until(40_000);
    assert_eq!(script.far().came(), ["response 17"]);
    assert!(script.settled.is_empty());
}

#[test]
fn a_request_that_nobody_answers_is_answered_for_the_application() {
    let mut script = talking(|config| config.requests.incoming = 2);
    for id in [1, 2, 3] {
        script.say(&asked(id));
    }
    script.until(2_000);
    assert_eq!(script.told.len(), 2, "the third is one too many");
    script.until(40_000);
    let too_many = format!("error 3 {} 2 requests wait to be answered", code::TOO_MANY);
    let silent = |id| format!("error {id} {} no answer in time", code::NO_ANSWER);
    assert_eq!(script.far().came(), [too_many, silent(1), silent(2)]);
    assert_eq!(script.link.respond(script.now, 1, Content::Text(""), |_, _| ()), Err(Refused::NotAwaited));
}

#[test]
fn an_answer_to_a_request_of_a_lost_session_is_not_given_in_the_next_one() {
    let mut script = talking(|_| {});
    script.say(&asked(1));
    script.say(&asked(2));
    script.until(1_100);
    script.server.answers = false;
    script.link.respond(script.now, 1, Content::Text("done"), |_, _| ()).unwrap();
    script.drain();
    script.far().forget();
    script.close(1, None);
    script.lose_what_is_held();
    script.server.heal();
    script.until(5_000);
    assert!(script.far().session().came.is_empty());
    assert_eq!(
        script.link.respond(script.now, 2, Content::Text("done"), |_, _| ()),
        Err(Refused::NotAwaited)
    );
}

#[test]
fn an_event_is_a_message_like_others() {
    let mut script = talking(|_| {});
    let id = script.link.event(script.now, "moved", Content::Text("1,2"), |_, _| ()).unwrap();
    script.drain();
    script.until(2_000);
    assert_eq!(script.far().came(), ["request 0 moved"]);
    assert_eq!(script.settled.iter().map(|end| end.id).collect::<Vec<_>>(), [id]);
}

#[test]
fn what_one_frame_may_hold_is_bounded() {
    let mut script = talking(|_| {});
    let envelope = Envelope::Response { id: 9, kind: Kind::Text, data: b"" };
    let most = vec![envelope; 64];
    script.event(
        1,
        everlink::link::Event::Frame { kind: Kind::Binary, data: &crate::harness::far::bytes(&most) },
    );
    assert_eq!(script.link.strays(), 64);
    assert!(script.told.is_empty());
    let more = vec![envelope; 65];
    script.event(
        1,
        everlink::link::Event::Frame { kind: Kind::Binary, data: &crate::harness::far::bytes(&more) },
    );
    assert_eq!(script.link.strays(), 128);
    script.until(1_010);
    script.sees("close", "1000 close 1 4105");
}

#[test]
fn a_restarted_process_does_not_take_the_answer_to_an_old_request_for_that_to_a_new_one() {
    let mut script = talking(|_| {});
    let old = ask(&mut script, &Ask::query("a", ""));
    script.until(1_100);
    let mut state = Vec::new();
    script.link.store(script.now, |part| state.extend_from_slice(part));
    let config = script.link.config().clone();
    let mut link = everlink::link::Link::<Vec<u8>>::restore(config, 8, &state, script.now, ms(0)).unwrap();
    link.open_dialogue();
    let new = link.request(script.now, &Ask::query("b", ""), |_, _| ()).unwrap();
    assert_ne!(old, new);
}

#[test]
fn a_link_that_was_stopped_and_started_asks_as_before() {
    let mut script = talking(|_| {});
    ask(&mut script, &Ask::query("a", ""));
    script.input(Input::Stop { linger: Duration::ZERO });
    script.until(2_000);
    script.input(Input::Start);
    script.until(3_000);
    script.ended.clear();
    script.told.clear();
    let id = ask(&mut script, &Ask::query("b", ""));
    script.until(4_000);
    assert!(
        script.ended.is_empty(),
        "it is acknowledged, and the answer is still to come: {:?}",
        ends(&script)
    );
    script.say(&answer(id, "yes"));
    script.until(5_000);
    assert_eq!(script.told.len(), 1);
}

#[test]
fn a_process_that_slept_past_the_end_of_a_request_looks_whether_its_socket_lives() {
    let mut script = talking(|config| config.heartbeat.interval = s(60));
    script.until(5_000);
    ask(&mut script, &Ask::query("a", "").within(s(2)));
    script.until(6_000);
    script.forget();
    script.frozen_until(13_000); // six seconds after what it would have woken for
    assert_eq!(script.report().counts.suspensions.get(), 1);
    script.sees("ping ended", "13000 ping 1 nonce 2\n 13000 ended 1 timedout");
}

#[test]
fn a_name_is_as_long_as_its_limit_and_no_longer() {
    let mut script = talking(|_| {});
    let (now, link) = (script.now, &mut script.link);
    let (most, more) = ("x".repeat(128), "x".repeat(129));
    let too_long = Err(Refused::NameTooLong { limit: 128 });
    let content = Content::Text("");
    assert!(link.event(now, &most, content, |_, _| ()).is_ok());
    assert_eq!(link.event(now, &more, content, |_, _| ()).map(|_| ()), too_long);
    assert!(link.publish_unconfirmed(now, &most, content, |_, _| ()).is_ok());
    assert_eq!(link.publish_unconfirmed(now, &more, content, |_, _| ()).map(|_| ()), too_long);
}

#[test]
fn a_link_on_a_wire_without_dialogues_has_none() {
    let mut script = Script::connected(|_| {});
    script.link.open_dialogue();
    let asked = script.link.request(script.now, &Ask::query("a", ""), |_, _| ());
    assert_eq!(asked, Err(Refused::NoDialogue));
    script.until(2_000);
    assert!(script.written.is_empty());
}
