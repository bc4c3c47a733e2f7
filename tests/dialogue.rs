//! Two ends in a dialogue: whatever becomes of sockets and sessions, each request ends exactly once, and the server comes to know
//! what is wanted.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::pair::{End, Pair, ms};
use everlink::channels::{RefusedReason, SubscriptionId};
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::Input;
use everlink::peer::Wake;
use everlink::requests::{self, RequestId, code};
use proptest::prelude::*;

fn ask(pair: &mut Pair, name: &str, what: &str) -> RequestId {
    let id = pair.link.request(pair.now, &Ask::command(name, what), |_, _| ()).unwrap();
    pair.settle();
    id
}

fn asked_of_client(pair: &mut Pair, what: &str) -> RequestId {
    let now = pair.now;
    let id = pair.peer().unwrap().request(now, &Ask::command("draw", what), |_, _| ()).unwrap();
    pair.settle();
    id
}

fn subscribe(pair: &mut Pair, name: &str) -> SubscriptionId {
    let id = pair.link.subscribe(pair.now, name).unwrap();
    pair.settle();
    id
}

fn broadcast(pair: &mut Pair, channel: &str, data: &str) {
    pair.sessions.broadcast(pair.now, channel, Content::Text(data), |_, _, _| (), |_| ()).unwrap();
    pair.settle();
}

#[test]
fn a_client_asks_and_a_server_answers() {
    let mut pair = Pair::new(|_, _| ());
    let id = ask(&mut pair, "add", "1+1");
    assert_eq!(pair.client_end(id), &End::Answer("add 1+1".into()));
    assert_eq!(pair.server.asked, [(1, "1+1".into())]);
}

#[test]
fn a_server_asks_and_a_client_answers() {
    let mut pair = Pair::new(|_, _| ());
    let id = asked_of_client(&mut pair, "a line");
    assert_eq!(pair.server_ends(id), [End::Answer("draw a line".into())]);
    assert!(pair.server.settled.is_empty() && pair.client.settled.is_empty());
}

#[test]
fn a_server_answers_for_an_application_that_does_not() {
    let mut pair = Pair::new(|link, _| link.requests.timeout = Duration::from_secs(60));
    pair.prompt = false;
    let id = ask(&mut pair, "add", "1+1");
    pair.pass(Duration::from_secs(31));
    assert_eq!(pair.client_end(id), &End::Error(code::NO_ANSWER, "no answer in time".into()));
    pair.answer_all();
    pair.pass(ms(100));
    pair.client_end(id);
}

#[test]
fn a_client_that_asks_for_too_much_at_once_is_told_so() {
    let mut pair = Pair::new(|_, server| server.requests.incoming = 2);
    pair.prompt = false;
    let ids = ["a", "b", "c"].map(|what| ask(&mut pair, "add", what));
    let reason = "2 requests wait to be answered".into();
    assert_eq!(pair.client_end(ids[2]), &End::Error(code::TOO_MANY, reason));
    pair.answer_all();
    assert_eq!(pair.client_end(ids[0]), &End::Answer("add a".into()));
}

#[test]
fn a_name_that_is_too_long_for_the_other_end_is_refused_by_name_and_costs_no_socket() {
    let mut pair = Pair::new(|_, server| {
        server.acceptor.limits.name = 8;
        server.channels.name_bytes = 8;
    });
    let sockets = pair.link.report(pair.now).counts.connects;
    let too_long = End::Error(code::NAME_TOO_LONG, "a name has at most 8 bytes here".into());
    let id = ask(&mut pair, "123456789", "a");
    assert_eq!(pair.client_end(id), &too_long);
    let id = ask(&mut pair, "12345678", "a");
    assert_ne!(pair.client_end(id), &too_long);
    subscribe(&mut pair, "123456789");
    let told = pair.client.told.last().unwrap();
    assert!(told.contains("4112") && told.contains("at most 8 bytes"), "{told}");
    let now = pair.now;
    pair.link.event(now, "123456789", Content::Text("b"), |_, _| ()).unwrap();
    let published = pair.link.publish(now, "123456789", Content::Text("c"), |_, _| ()).unwrap();
    pair.settle();
    assert_eq!(pair.client_end(published), &too_long);
    pair.pass(Duration::from_secs(5));
    assert_eq!(pair.server.asked.len(), 1);
    assert_eq!(pair.link.report(pair.now).counts.connects, sockets);
}

#[test]
fn a_name_or_a_message_is_as_long_as_its_limit_and_no_longer() {
    let mut pair = Pair::new(|link, server| {
        link.channels.name_bytes = 4;
        (server.acceptor.limits.name, server.channels.name_bytes) = (4, 4);
        server.outbox.message_bytes = 64;
    });
    subscribe(&mut pair, "four");
    let id = pair.link.subscribe(pair.now, "four").unwrap_err();
    assert!(matches!(id, RefusedReason::Twice(_)));
    let now = pair.now;
    let mut say = |channel: &str, length: usize| {
        let data = "x".repeat(length);
        pair.sessions.broadcast(now, channel, Content::Text(&data), |_, _, _| (), |_| ())
    };
    assert_eq!(say("four", 1), Ok(()));
    assert_eq!(say("fives", 1), Err(Refused::NameTooLong { limit: 4 }));
    let most = (1..=64).rev().find(|length| say("four", *length).is_ok()).unwrap();
    assert_eq!(
        (most, say("four", most + 1)),
        (64 - 8, Err(Refused::TooLarge)),
        "8 bytes say what it is, and where to"
    );
    pair.settle();
    assert_eq!(pair.broadcasts.iter().map(|(_, data)| data.len()).max(), Some(most));
}

#[test]
fn a_server_may_turn_a_request_down() {
    let mut pair = Pair::new(|_, _| ());
    pair.prompt = false;
    let id = ask(&mut pair, "add", "1+1");
    let (session, request, _) = pair.server.unanswered.pop().unwrap();
    let now = pair.now;
    let mut peer = pair.peer().unwrap();
    assert_eq!(peer.session().number(), session);
    peer.reject(now, request, 17, "too hard", |_, _| ()).unwrap();
    let again = peer.reject(now, request, 17, "too hard", |_, _| ());
    assert_eq!(again, Err(Refused::NotAwaited), "it was answered");
    pair.settle();
    assert_eq!(pair.client_end(id), &End::Error(17, "too hard".into()));
}

#[test]
fn a_server_awaits_no_longer_what_it_cancelled() {
    let mut pair = Pair::new(|_, _| ());
    pair.prompt = false;
    let id = asked_of_client(&mut pair, "a line");
    let now = pair.now;
    assert!(pair.peer().unwrap().cancel_request(now, id));
    assert!(!pair.peer().unwrap().cancel_request(now, id), "it has ended");
    pair.answer_all();
    pair.pass(Duration::from_secs(60));
    assert!(pair.server.ends.is_empty());
}

#[test]
fn what_is_asked_of_a_client_that_is_away_times_out_although_nobody_polls_it() {
    let mut pair = Pair::new(|_, _| ());
    pair.open = false;
    pair.break_sockets();
    let id = asked_of_client(&mut pair, "a line");
    pair.pass(Duration::from_secs(9));
    assert!(pair.server.ends.is_empty());
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.server_ends(id), [End::None(requests::End::TimedOut)]);
    pair.open = true;
    pair.pass(Duration::from_secs(40));
    assert!(pair.client.asked.is_empty(), "it was taken back");
}

#[test]
fn a_request_wakes_its_peer_at_its_deadline() {
    let mut pair = Pair::new(|_, _| ());
    pair.prompt = false;
    asked_of_client(&mut pair, "a line");
    let deadline = pair.now + Duration::from_secs(10);
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.peer().unwrap().wake(), Some((deadline, Wake::Request)));
}

#[test]
fn what_a_session_leaves_open_ends_with_it() {
    let mut pair = Pair::new(|_, _| ());
    pair.prompt = false;
    let id = asked_of_client(&mut pair, "a line");
    let now = pair.now;
    pair.peer().unwrap().end(now, 1000, Duration::ZERO);
    pair.pass(ms(10));
    assert_eq!(pair.server_ends(id), [End::None(requests::End::InDoubt)]);
}

#[test]
fn who_has_subscribed_gets_what_is_published() {
    let mut pair = Pair::new(|_, _| ());
    let weather = subscribe(&mut pair, "weather");
    broadcast(&mut pair, "weather", "rain");
    broadcast(&mut pair, "news", "none");
    broadcast(&mut pair, "system", "hello");
    assert_eq!(pair.broadcasts, [(Some(weather), "rain".into()), (None, "hello".into())]);
    assert_eq!((pair.sessions.subscribers("weather"), pair.sessions.subscribers("news")), (1, 0));
    let id = pair.link.publish(pair.now, "weather", Content::Text("sun"), |_, _| ()).unwrap();
    pair.settle();
    assert_eq!(pair.client_end(id), &End::Answer("published".into()));
    assert_eq!(pair.broadcasts[2].1, "sun");
    assert!(pair.link.unsubscribe(pair.now, weather));
    pair.settle();
    broadcast(&mut pair, "weather", "storm");
    assert_eq!(pair.broadcasts.len(), 3);
    assert_eq!(pair.sessions.subscribers("weather"), 0);
    assert_eq!(pair.peer().unwrap().strays(), 0);
}

#[test]
fn a_subscription_is_refused_by_the_application_or_by_its_limit() {
    let mut pair = Pair::new(|_, server| server.channels.subscriptions = 1);
    pair.grants = false;
    let secrets = subscribe(&mut pair, "secrets");
    assert_eq!(pair.link.subscription(secrets), None);
    pair.grants = true;
    subscribe(&mut pair, "a");
    let second = subscribe(&mut pair, "b");
    assert_eq!(pair.link.subscription(second), None);
    let told: Vec<_> = pair.client.told.iter().filter(|told| told.starts_with("Un")).collect();
    assert!(told[0].contains("code: 7, reason: \"not yours\""), "{told:?}");
    assert!(told[1].contains("code: 4105, reason: \"there are 1 subscriptions"), "{told:?}");
}

#[test]
fn a_session_that_goes_on_keeps_its_subscriptions_and_one_that_begins_is_told_them() {
    let mut pair = Pair::new(|_, _| ());
    subscribe(&mut pair, "weather");
    pair.break_sockets();
    broadcast(&mut pair, "weather", "rain");
    pair.pass(Duration::from_secs(3));
    assert_eq!(pair.broadcasts.len(), 1, "it came when the client was back");
    pair.client.told.clear();
    pair.restart_server();
    assert_eq!(pair.sessions.subscribers("weather"), 0);
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.sessions.subscribers("weather"), 1);
    assert_eq!(pair.client.told[1], "Subscribed { id: SubscriptionId(1), gap: true }");
}

#[test]
fn a_server_that_goes_on_from_a_stored_state_knows_who_has_subscribed_to_what() {
    let mut pair = Pair::new(|_, _| ());
    let names = ["weather".to_owned(), "n".repeat(128), "ink".into()];
    let ids: Vec<_> = names.iter().map(|name| subscribe(&mut pair, name)).collect();
    assert!(pair.link.unsubscribe(pair.now, ids[2]));
    pair.settle();
    pair.client.told.clear();
    pair.hand_over_server();
    assert_eq!(names.each_ref().map(|name| pair.sessions.subscribers(name)), [1, 1, 0]);
    broadcast(&mut pair, "weather", "rain");
    pair.pass(Duration::from_secs(10));
    broadcast(&mut pair, &names[1], "long");
    assert_eq!(pair.broadcasts, [(Some(ids[0]), "rain".into()), (Some(ids[1]), "long".into())]);
    let told = pair.client.told.iter().any(|told| told.contains("ubscribed"));
    assert!(!told, "nobody subscribes anew, and there is no gap");
    // What is allowed to others by now takes nothing from those who are back.
    pair.config.channels.subscriptions = 1;
    pair.hand_over_server();
    assert_eq!(names.each_ref().map(|name| pair.sessions.subscribers(name)), [1, 1, 0]);
}

#[test]
fn what_a_client_had_subscribed_to_is_left_by_its_next_process_unless_that_wants_it() {
    let mut pair = Pair::new(|link, _| link.channels.subscriptions = 3);
    for name in ["weather", "ink", "chat"] {
        subscribe(&mut pair, name);
    }
    pair.hand_over_client();
    pair.link.open_dialogue();
    // Those that are to be left have their places until they are; what it wants again has its own.
    assert_eq!(pair.link.subscribe(pair.now, "news"), Err(RefusedReason::TooMany { limit: 3 }));
    let weather = pair.link.subscribe(pair.now, "weather").unwrap();
    broadcast(&mut pair, "weather", "rain");
    broadcast(&mut pair, "ink", "a line");
    pair.pass(Duration::from_secs(10));
    assert_eq!(["weather", "ink", "chat"].map(|name| pair.sessions.subscribers(name)), [1, 0, 0]);
    assert_eq!(pair.broadcasts, [(Some(weather), "rain".into())], "what came meanwhile is not missed");
    for name in ["news", "ink"] {
        subscribe(&mut pair, name);
    }
    assert_eq!(["news", "ink"].map(|name| pair.sessions.subscribers(name)), [1, 1]);
}

#[test]
fn in_a_session_that_begins_there_is_nothing_to_leave() {
    let mut pair = Pair::new(|_, _| ());
    subscribe(&mut pair, "weather");
    pair.hand_over_client();
    pair.link.open_dialogue();
    pair.restart_server();
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.sessions.subscribers("weather"), 0);
    assert_eq!(pair.link.report(pair.now).counts.messages_sent.get(), 0, "it says nothing of it");
}

#[test]
fn answers_to_the_requests_of_a_server_that_is_no_more_are_nobodys() {
    let mut pair = Pair::new(|_, _| ());
    pair.prompt = false;
    let old = asked_of_client(&mut pair, "one");
    pair.hand_over_server();
    pair.pass(Duration::from_secs(10));
    let new = asked_of_client(&mut pair, "two");
    assert_ne!(old, new);
    pair.answer_all();
    pair.settle();
    assert_eq!(pair.server_ends(old), []);
    assert_eq!(pair.server_ends(new), [End::Answer("draw two".into())]);
    assert_eq!(pair.peer().unwrap().strays(), 1);
}

#[test]
fn a_session_that_ends_leaves_its_channels() {
    let mut pair = Pair::new(|_, _| ());
    subscribe(&mut pair, "weather");
    pair.handle(Input::Stop { linger: Duration::ZERO });
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.sessions.subscribers("weather"), 0);
}

#[test]
fn without_a_dialogue_nothing_is_said() {
    let mut pair = Pair::new(|_, _| ());
    let config = pair.config.clone();
    let mut sessions = everlink::peer::Sessions::<Vec<u8>>::new(config, 1, 16).unwrap();
    assert_eq!(
        sessions.broadcast(pair.now, "a", Content::Text(""), |_, _, _| (), |_| ()),
        Err(Refused::NoDialogue)
    );
    assert_eq!(pair.link.subscribe(pair.now, ""), Err(RefusedReason::NameEmpty));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(bool),
    AskClient,
    Subscribe(usize),
    Unsubscribe(usize),
    Publish(usize),
    Cancel(usize),
    Break,
    Restart,
    Away(bool),
    Prompt(bool),
    Answer,
    Stop,
    Start,
    Message,
    Pass(u64),
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Ask),
        3 => Just(Step::AskClient),
        3 => (0..3_usize).prop_map(Step::Subscribe),
        2 => (0..3_usize).prop_map(Step::Unsubscribe),
        2 => (0..3_usize).prop_map(Step::Publish),
        1 => (0..4_usize).prop_map(Step::Cancel),
        3 => Just(Step::Break),
        1 => Just(Step::Restart),
        2 => any::<bool>().prop_map(Step::Away),
        1 => any::<bool>().prop_map(Step::Prompt),
        1 => Just(Step::Answer),
        1 => Just(Step::Stop),
        2 => Just(Step::Start),
        2 => Just(Step::Message),
        6 => (1..4_000_u64).prop_map(Step::Pass),
    ]
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::with_cases(300);
    config.failure_persistence = Some(Box::new(proptest::test_runner::FileFailurePersistence::Direct(
        "proptest-regressions/dialogue.txt",
    )));
    if let Ok(cases) = std::env::var("PROPTEST_CASES") {
        config.cases = cases.parse().unwrap();
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// Each request that was accepted ends exactly once, unless it was cancelled: then at most once. What must not be done twice is
    /// not done twice; what never left is not done; what was answered was done. When all is well again, the server knows which
    /// channels are wanted, and what is published comes exactly once. As long as the session is resumed, nothing is in doubt, and nothing
    /// is done twice, even if it may be.
    #[test]
    fn every_request_ends_once_and_every_subscription_comes_to_be(
        steps in prop::collection::vec(step(), 1..60),
        messages in 4_u32..40,
        resend in any::<bool>(),
    ) {
        let mut pair = Pair::new(|link, server| {
            link.outbox.messages = messages;
            server.outbox.messages = messages;
            if resend {
                link.delivery.in_doubt = everlink::delivery::InDoubt::Resend;
            }
        });
        let (mut asked, mut of_client) = (BTreeMap::new(), BTreeMap::new());
        let mut cancelled = BTreeSet::new();
        let mut sent = BTreeSet::new();
        let mut wanted = BTreeMap::new();
        let mut lost = false;
        for (number, step) in steps.into_iter().enumerate() {
            let what = number.to_string();
            let now = pair.now;
            match step {
                Step::Ask(again) => {
                    let mut ask = Ask::command("do", &*what).within(Duration::from_secs(20));
                    ask.again = again;
                    let mut gone = Vec::new();
                    if let Ok(id) = pair.link.request(now, &ask, |end, _| gone.push(end.id.sequence())) {
                        prop_assert!(asked.insert(id.get(), (id, what, again)).is_none(), "ids are not used again so soon");
                    }
                    pair.client.settled.extend(gone);
                }
                Step::AskClient => {
                    let mut gone = Vec::new();
                    let session = pair.session.map_or(0, everlink::acceptor::SessionId::number);
                    if let Some(mut peer) = pair.peer()
                        && let Ok(id) = peer.request(now, &Ask::command("do", &*what), |end, _| gone.push(end.id.sequence()))
                    {
                        of_client.insert((session, id.get()), what);
                    }
                    pair.server.settled.extend(gone);
                }
                Step::Subscribe(which) => {
                    if let Ok(id) = pair.link.subscribe(now, NAMES[which]) {
                        wanted.insert(NAMES[which], id);
                    }
                }
                Step::Unsubscribe(which) => {
                    if let Some(id) = wanted.remove(NAMES[which]) {
                        prop_assert!(pair.link.unsubscribe(now, id));
                    }
                }
                Step::Publish(which) => {
                    let mut gone = Vec::new();
                    if let Ok(id) = pair.link.publish(now, NAMES[which], Content::Text(&what), |end, _| gone.push(end.id.sequence())) {
                        asked.insert(id.get(), (id, String::new(), true));
                    }
                    pair.client.settled.extend(gone);
                }
                Step::Cancel(back) => {
                    if let Some((id, ..)) = asked.values().rev().nth(back)
                        && pair.link.cancel_request(now, *id)
                    {
                        cancelled.insert(id.get());
                    }
                }
                Step::Break => pair.break_sockets(),
                Step::Restart => {
                    lost = true;
                    pair.restart_server();
                    of_client.clear();
                }
                Step::Away(away) => pair.open = !away,
                Step::Prompt(prompt) => pair.prompt = prompt,
                Step::Answer => pair.answer_all(),
                Step::Stop => {
                    lost = true;
                    pair.handle(Input::Stop { linger: ms(500) });
                }
                Step::Start => pair.handle(Input::Start),
                Step::Message => {
                    let mut gone = Vec::new();
                    let message = everlink::outbox::Message::text(what.into_bytes());
                    if let Ok(id) = pair.link.send(now, message, |end, _| gone.push(end.id.sequence())) {
                        sent.insert(id.sequence());
                    }
                    pair.client.settled.extend(gone);
                }
                Step::Pass(by) => pair.pass(ms(by)),
            }
            pair.settle();
        }
        (pair.open, pair.prompt) = (true, true);
        pair.handle(Input::Start);
        pair.answer_all();
        pair.pass(Duration::from_secs(90));

        let lost = lost || pair.sessions.counts().opened > 1;
        let done = |side: &crate::pair::Side, what: &str| side.asked.iter().filter(|(_, other)| other == what).count();
        for (id, (_, what, again)) in &asked {
            let ends = pair.client.ends.get(&(0, *id)).cloned().unwrap_or_default();
            if cancelled.contains(id) {
                prop_assert!(ends.is_empty(), "{id} was cancelled: {ends:?}");
                continue;
            }
            prop_assert_eq!(ends.len(), 1, "{} {:?}", id, &ends);
            if what.is_empty() {
                continue;
            }
            let times = done(&pair.server, what);
            prop_assert!(lost && (*again || resend) || times <= 1, "{what} was done {times} times");
            prop_assert!(lost || ends[0] != End::None(requests::End::InDoubt), "{what} is in doubt");
            match &ends[0] {
                End::Answer(_) => prop_assert!(times > 0),
                End::None(requests::End::NeverSent(_)) => prop_assert_eq!(times, 0),
                End::Error(..) | End::None(_) => {}
            }
        }
        for (id, what) in &of_client {
            let ends = pair.server.ends.get(id).cloned().unwrap_or_default();
            prop_assert_eq!(ends.len(), 1, "asked of the client: {:?} {:?}", id, &ends);
            prop_assert!(done(&pair.client, what) <= 1);
        }
        let mut settled = pair.client.settled.clone();
        settled.sort_unstable();
        prop_assert_eq!(settled, sent.into_iter().collect::<Vec<_>>(), "messages are settled, and nothing else");

        pair.broadcasts.clear();
        let strays = pair.link.strays();
        for name in NAMES {
            let _ = pair.sessions.broadcast(pair.now, name, Content::Text(name), |_, _, _| (), |_| ());
        }
        pair.pass(ms(100));
        prop_assert_eq!(pair.link.strays(), strays, "the server sends what is not wanted");
        let got: Vec<_> = pair.broadcasts.iter().map(|(id, data)| (data.as_str(), id.unwrap())).collect();
        prop_assert_eq!(got, wanted.into_iter().collect::<Vec<_>>());
    }
}
