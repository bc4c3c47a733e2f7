//! Channels on the JSON wire, from a client.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

use crate::harness::Script;
use crate::json_socket::talking;
use everlink::channels::{State, SubscriptionId};
use everlink::dialogue::{Content, Refused};
use everlink::outbox::Outcome;

fn subscribe(script: &mut Script, name: &str) -> SubscriptionId {
    let id = script.link.subscribe(script.now, name).unwrap();
    script.drain();
    id
}

fn confirm(script: &mut Script, socket: u32, name: &str) {
    let text =
        format!(r#"{{"channel":"system","data":{{"type":"subscription_confirm","channel":"{name}"}}}}"#);
    script.text(socket, &text);
}

#[test]
fn a_subscription_is_confirmed_hears_and_is_left() {
    let mut script = talking(|_| {});
    let weather = subscribe(&mut script, "weather");
    assert_eq!(script.wrote(1), [r#"{"action":"subscribe","channel":"weather"}"#]);
    assert_eq!(script.link.subscription(weather), Some(State::Pending));
    confirm(&mut script, 1, "weathe\\u0072");
    assert_eq!(script.link.subscription(weather), Some(State::Confirmed));
    script.text(1, r#"{"channel":"weather","data":{"sky":"\u0062lue"}}"#);
    script.text(1, r#"{"channel":"news","data":1}"#);
    script.text(1, r#"{"channel":"system","data":{"type":"hello"}}"#);
    assert_eq!(
        script.told,
        [
            "Subscribed { id: SubscriptionId(1), gap: false }",
            r#"Json(Broadcast { subscription: Some(SubscriptionId(1)), channel: "weather", data: {"sky":"\u0062lue"} })"#,
            r#"Json(Broadcast { subscription: None, channel: "system", data: {"type":"hello"} })"#,
        ]
    );
    assert_eq!(script.link.strays(), 1);
    assert!(script.link.unsubscribe(script.now, weather));
    script.drain();
    script.text(1, r#"{"channel":"weather","data":2}"#);
    assert_eq!(script.told.len(), 3);
    assert_eq!(script.wrote(1)[1..], [r#"{"action":"unsubscribe","channel":"weather"}"#]);
    assert!(script.settled.is_empty() && script.ended.is_empty());
    let again = subscribe(&mut script, "weather");
    assert_ne!(again, weather);
    assert_eq!(script.wrote(1).len(), 3);
}

#[test]
fn after_a_reconnect_subscriptions_are_said_again_and_the_gap_is_told() {
    let mut script = talking(|_| {});
    subscribe(&mut script, "a");
    subscribe(&mut script, "b");
    let left = subscribe(&mut script, "c");
    confirm(&mut script, 1, "a");
    confirm(&mut script, 1, "c");
    assert_eq!(script.link.sessions(), 1);
    script.close(1, None);
    script.link.unsubscribe(script.now, left);
    script.until(4_000);
    assert_eq!(script.link.sessions(), 2);
    assert_eq!(
        script.wrote(2),
        [r#"{"action":"subscribe","channel":"a"}"#, r#"{"action":"subscribe","channel":"b"}"#]
    );
    script.told.clear();
    confirm(&mut script, 2, "b");
    confirm(&mut script, 2, "a");
    assert_eq!(
        script.told,
        [
            "Subscribed { id: SubscriptionId(2), gap: false }",
            "Subscribed { id: SubscriptionId(1), gap: true }"
        ]
    );
}

#[test]
fn what_is_said_while_there_is_no_socket_is_said_once_on_the_next() {
    let mut script = talking(|_| {});
    script.close(1, None);
    let id = subscribe(&mut script, "a");
    script.link.unsubscribe(script.now, id);
    subscribe(&mut script, "a");
    script.until(4_000);
    assert_eq!(script.wrote(2), [r#"{"action":"subscribe","channel":"a"}"#]);
}

#[test]
fn a_subscription_that_nobody_confirms_is_said_again() {
    let mut script = talking(|_| {});
    subscribe(&mut script, "a");
    script.until(11_500);
    assert_eq!(script.wrote(1).len(), 2);
}

#[test]
fn a_subscription_is_refused_by_name_and_other_errors_of_the_system_are_told() {
    let mut script = talking(|_| {});
    let secrets = subscribe(&mut script, "secrets");
    script.text(1, r#"{"channel":"system","data":{"type":"error","message":"oh"}}"#);
    assert_eq!(script.link.subscription(secrets), Some(State::Pending));
    script
        .text(1, r#"{"channel":"system","data":{"type":"error","message":"not yours","channel":"secrets"}}"#);
    assert_eq!(script.link.subscription(secrets), None);
    assert_eq!(
        script.told,
        [
            r#"Json(SystemError { reason: "oh" })"#,
            r#"Json(Unsubscribed { id: SubscriptionId(1), reason: "not yours" })"#,
        ]
    );
}

#[test]
fn what_is_published_ends_when_it_is_written() {
    let mut script = talking(|_| {});
    let now = script.now;
    script.server.drains = false;
    let id = script.link.publish(now, "a", Content::Text("[1]"), |_, _| ()).unwrap();
    script.link.publish_unconfirmed(now, "a", Content::Text("2"), |_, _| ()).unwrap();
    assert_eq!(script.link.publish(now, "a", Content::Text(""), |_, _| ()), Err(Refused::NotJson { at: 0 }));
    script.drain();
    assert!(script.ended.is_empty());
    script.close(1, None);
    script.server.drains = true;
    script.until(4_000);
    let said = [
        r#"{"action":"publish","channel":"a","data":[1]}"#,
        r#"{"action":"publish","channel":"a","data":2}"#,
    ];
    assert_eq!(script.wrote(2), said, "what was not written goes again");
    let ended = format!("Ended {{ id: {id:?}, end: Written }}");
    assert_eq!(script.ended.iter().map(|ended| format!("{ended:?}")).collect::<Vec<_>>(), [ended]);
    script.settles(&[(2, Outcome::Written)]);
}

#[test]
fn what_the_system_says_needs_no_subscription_and_nothing_else_comes_without_one() {
    let mut script = talking(|_| {});
    script.text(1, r#"{"channel":"system","data":1}"#);
    script.text(1, r#"{"channel":"news","data":2}"#);
    assert_eq!(script.told, [r#"Json(Broadcast { subscription: None, channel: "system", data: 1 })"#]);
    assert_eq!(script.link.strays(), 1);
}
