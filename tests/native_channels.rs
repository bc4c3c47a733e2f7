//! Channels on the native wire, from a client: what is wanted is restored, and what may have been missed is told.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

use core::num::NonZeroU32;
use core::time::Duration;

use crate::harness::Script;
use crate::harness::far::bytes;
use everlink::channels::{RefusedReason, State, SubscriptionId};
use everlink::dialogue::{Content, Refused};
use everlink::link::{Event, Input, Link};
use everlink::outbox::{Kind, Outcome, Policy, Settlement};
use everlink::wire::native::{Channel, Envelope};

fn talking(change: impl FnOnce(&mut everlink::link::Config)) -> Script {
    let mut script = Script::native(change);
    script.link.open_dialogue();
    script.told.clear();
    script
}

fn subscribe(script: &mut Script, name: &str) -> SubscriptionId {
    let id = script.link.subscribe(script.now, name).unwrap();
    script.drain();
    id
}

/// Lets time pass, and confirms every order that comes.
fn served_until(script: &mut Script, millis: u64) {
    let until = crate::harness::at(millis);
    let mut served = script.far().came().len();
    while script.now < until {
        let next = (script.now + crate::harness::ms(10)).min(until);
        script.until_instant(next);
        let came: Vec<String> = script.far().came().iter().map(|came| (*came).into()).collect();
        for order in came.iter().skip(served) {
            let mut words = order.split(' ');
            if let (Some("subscribe" | "unsubscribe"), Some(id)) = (words.next(), words.next()) {
                let id = id.parse().unwrap();
                script.say(&Envelope::Confirmation { id, code: 0, number: 0, reason: "" });
            }
        }
        served = came.len();
    }
}

fn broadcast<'a>(channel: &'a str, data: &'a str) -> Envelope<'a> {
    Envelope::Broadcast { channel: Channel::Name(channel), kind: Kind::Text, data: data.as_bytes() }
}

/// What the last session was told.
fn orders(script: &mut Script) -> Vec<String> {
    script.far().session().came.iter().map(|came| String::from_utf8(came.clone()).unwrap()).collect()
}

#[test]
fn what_is_published_comes_from_the_confirmation_on() {
    let mut script = talking(|_| {});
    let id = subscribe(&mut script, "weather");
    assert_eq!(script.link.subscription(id), Some(State::Pending));
    served_until(&mut script, 1_200);
    assert_eq!(orders(&mut script), ["subscribe 5 weather"]);
    assert_eq!(script.told, ["Subscribed { id: SubscriptionId(1), gap: false }"]);
    assert_eq!(script.link.subscription(id), Some(State::Confirmed));
    script.say(&broadcast("weather", "rain"));
    script.say(&broadcast("news", "none"));
    script.say(&broadcast("system", "hello"));
    script.until(1_400);
    let broadcasts: Vec<&String> = script.told.iter().filter(|told| told.starts_with("Broadcast")).collect();
    assert_eq!(broadcasts.len(), 2, "{broadcasts:?}");
    assert!(broadcasts[0].contains("weather") && broadcasts[1].contains("system"));
    assert_eq!(script.link.subscription_to(Channel::Name("weather")), Some(id));
    assert_eq!(script.link.strays(), 1);
    assert!(script.settled.is_empty());
}

#[test]
fn a_channel_may_be_called_by_a_number() {
    let mut script = talking(|_| {});
    let id = subscribe(&mut script, "weather");
    script.until(1_100);
    script.say(&Envelope::Confirmation { id: 5, code: 0, number: 9, reason: "" });
    let channel = Channel::Number(NonZeroU32::new(9).unwrap());
    script.say(&Envelope::Broadcast { channel, kind: Kind::Text, data: b"rain" });
    script.until(1_300);
    assert_eq!(script.told.len(), 2);
    assert_eq!(script.link.subscription_to(channel), Some(id));
}

#[test]
fn a_subscription_that_is_refused_is_over_and_it_is_said_why() {
    let mut script = talking(|_| {});
    let id = subscribe(&mut script, "secrets");
    script.until(1_100);
    script.say(&Envelope::Confirmation { id: 5, code: 7, number: 0, reason: "not yours" });
    script.until(1_300);
    assert_eq!(script.told, ["Unsubscribed { id: SubscriptionId(1), code: 7, reason: \"not yours\" }"]);
    assert_eq!(script.link.subscription(id), None);
}

#[test]
fn a_resumed_session_is_not_told_again() {
    let mut script = talking(|_| {});
    subscribe(&mut script, "weather");
    served_until(&mut script, 1_200);
    script.close(1, None);
    served_until(&mut script, 5_000);
    assert_eq!(orders(&mut script), ["subscribe 5 weather"]);
    assert_eq!(script.told.len(), 2, "confirmed, and the session goes on: {:?}", script.told);
    assert_eq!(script.link.sessions(), 1);
}

#[test]
fn a_lost_session_is_made_up_for_and_the_gap_is_told_before_what_comes_after_it() {
    let mut script = talking(|_| {});
    subscribe(&mut script, "weather");
    served_until(&mut script, 1_200);
    subscribe(&mut script, "news");
    script.told.clear();
    script.far().forget();
    script.close(1, None);
    served_until(&mut script, 3_000);
    script.say(&broadcast("weather", "sun"));
    served_until(&mut script, 3_200);
    assert_eq!(orders(&mut script), ["subscribe 5 weather", "subscribe 9 news"]);
    assert_eq!(
        script.told[..3],
        [
            "Session { resumed: false, number: 2 }",
            "Subscribed { id: SubscriptionId(1), gap: true }",
            "Subscribed { id: SubscriptionId(2), gap: false }",
        ]
    );
    assert!(script.told[3].starts_with("Broadcast"));
    assert_eq!(script.link.sessions(), 2);
}

#[test]
fn an_order_that_was_queued_in_a_lost_session_is_not_given_twice_in_the_next() {
    for in_doubt in [everlink::delivery::InDoubt::Settle, everlink::delivery::InDoubt::Resend] {
        let mut script = talking(|config| {
            config.delivery.in_doubt = in_doubt;
            config.delivery.window = 1;
        });
        script.server.answers = false;
        for name in ["a", "b", "c"] {
            subscribe(&mut script, name);
        }
        script.far().forget();
        script.close(1, None);
        script.lose_what_is_held();
        script.server.heal();
        served_until(&mut script, 4_000);
        let mut orders = orders(&mut script);
        orders.sort();
        assert_eq!(orders, ["subscribe 13 c", "subscribe 5 a", "subscribe 9 b"]);
    }
}

#[test]
fn nothing_comes_of_a_channel_that_was_left() {
    let mut script = talking(|_| {});
    let id = subscribe(&mut script, "weather");
    served_until(&mut script, 1_200);
    assert!(script.link.unsubscribe(script.now, id));
    assert!(!script.link.unsubscribe(script.now, id));
    script.say(&broadcast("weather", "rain"));
    script.drain();
    served_until(&mut script, 1_500);
    assert_eq!(orders(&mut script), ["subscribe 5 weather", "unsubscribe 7"]);
    assert_eq!(script.told.len(), 1, "{:?}", script.told);
}

#[test]
fn subscriptions_outlive_a_stop() {
    let mut script = talking(|_| {});
    subscribe(&mut script, "weather");
    served_until(&mut script, 1_200);
    script.input(Input::Stop { linger: core::time::Duration::ZERO });
    served_until(&mut script, 2_000);
    script.input(Input::Start);
    served_until(&mut script, 3_000);
    assert_eq!(orders(&mut script), ["subscribe 5 weather"]);
    assert_eq!(script.told.last().unwrap(), "Subscribed { id: SubscriptionId(1), gap: true }");
    assert_eq!(script.link.sessions(), 2);
}

#[test]
fn an_order_waits_for_room_in_the_outbox_and_displaces_nothing() {
    for policy in [Policy::DropOldest, Policy::Refuse] {
        let mut script = talking(|config| {
            config.outbox.messages = 2;
            config.outbox.policy = policy;
        });
        script.server.answers = false;
        script.send_all(&["a", "b"]);
        subscribe(&mut script, "weather");
        script.until(1_100);
        script.server.heal();
        served_until(&mut script, 3_000);
        let orders = orders(&mut script);
        assert_eq!(orders[..2], ["a", "b"]);
        assert!(orders[2].ends_with("weather") && orders.len() == 3, "{orders:?}");
    }
}

#[test]
fn a_publish_is_confirmed_refused_or_times_out() {
    let mut script = talking(|_| {});
    let publish = |script: &mut Script| {
        let id = script.link.publish(script.now, "news", Content::Text("x"), |_, _| ()).unwrap();
        script.drain();
        id
    };
    let (done, refused, silent) = (publish(&mut script), publish(&mut script), publish(&mut script));
    script.until(1_200);
    script.say(&Envelope::Confirmation { id: done.get() * 2, code: 0, number: 0, reason: "" });
    script.say(&Envelope::Confirmation { id: refused.get() * 2, code: 9, number: 0, reason: "no" });
    script.until(12_000);
    assert_eq!(
        script.told,
        ["Published { id: 1, code: 0, reason: \"\" }", "Published { id: 2, code: 9, reason: \"no\" }"]
    );
    assert_eq!(script.ended.iter().map(|ended| ended.id).collect::<Vec<_>>(), [silent]);
    assert!(script.settled.is_empty());
    script.link.publish_unconfirmed(script.now, "news", Content::Binary(b"x"), |_, _| ()).unwrap();
    script.drain();
    script.until(13_000);
    assert_eq!(script.settled.len(), 1);
    assert_eq!(script.far().came(), ["publish on news"; 4]);
}

#[test]
fn limits_are_named() {
    let mut script = talking(|config| config.channels.subscriptions = 1);
    let now = script.now;
    let link = &mut script.link;
    let long = "x".repeat(129);
    assert_eq!(link.subscribe(now, &long), Err(RefusedReason::NameTooLong { limit: 128 }));
    assert_eq!(
        link.publish(now, &long, Content::Text(""), |_, _| ()),
        Err(Refused::NameTooLong { limit: 128 })
    );
    let id = link.subscribe(now, "a").unwrap();
    assert_eq!(link.subscribe(now, "a"), Err(RefusedReason::Twice(id)));
    assert_eq!(link.subscribe(now, "b"), Err(RefusedReason::TooMany { limit: 1 }));
}

#[test]
fn an_order_that_is_not_confirmed_in_time_is_given_again_under_its_id() {
    let mut script = talking(|_| {});
    let id = subscribe(&mut script, "weather");
    script.until(10_999);
    assert_eq!(orders(&mut script), ["subscribe 5 weather"]);
    served_until(&mut script, 12_000);
    assert_eq!(orders(&mut script), ["subscribe 5 weather"; 2]);
    assert_eq!(script.link.subscription(id), Some(State::Confirmed));
    script.until(40_000);
    assert_eq!(orders(&mut script).len(), 2);
}

#[test]
fn an_order_is_given_when_the_network_is_back_and_takes_no_room_in_the_queue_before() {
    let mut script = talking(|_| {});
    script.input(Input::Offline);
    subscribe(&mut script, "weather");
    assert_eq!(script.report().queue.messages, 0);
    script.input(Input::Online);
    served_until(&mut script, 2_000);
    assert_eq!(orders(&mut script).len(), 1);
}

#[test]
fn what_the_system_says_needs_no_subscription_and_nothing_else_comes_without_one() {
    let mut script = talking(|_| {});
    script.say(&broadcast("system", "to all"));
    script.say(&broadcast("news", "to nobody here"));
    script.until(2_000);
    assert_eq!(script.told.len(), 1, "{:?}", script.told);
    assert!(script.told[0].contains("\"system\""), "{:?}", script.told);
    assert_eq!(script.link.strays(), 1);
}

/// Until the socket is closed, what is in flight still counts, orders as well as messages.
#[test]
fn a_link_that_was_stopped_counts_on_until_its_socket_is_closed() {
    let mut script = talking(|_| {});
    script.far().acks = false;
    subscribe(&mut script, "weather");
    let id = script.send("behind the order");
    script.input(Input::Stop { linger: Duration::ZERO });
    let mut state = Vec::new();
    script.link.store(script.now, |part| state.extend_from_slice(part));
    let again = Link::<Vec<u8>>::restore(script.link.config().clone(), 9, &state, script.now, Duration::ZERO);
    assert_eq!(again.map(|link| link.report(script.now).queue.messages).ok(), Some(2));
    for (received, settled) in [(1, &[][..]), (2, &[Settlement { id, outcome: Outcome::Acknowledged }])] {
        let ack = bytes(&[Envelope::Ack { received }]);
        script.event(1, Event::Frame { kind: Kind::Binary, data: &ack });
        assert_eq!(script.settled, settled, "the order has arrived, then the message");
    }
}
