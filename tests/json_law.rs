//! Whatever JSON comes, and whatever becomes of sockets: on the JSON wire each request ends exactly once, and so does each message.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may be blunt")]

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Script, ms, s};
use crate::json_socket::talking;
use everlink::dialogue::{Ask, Content};
use everlink::link::{Event, Input, Status};
use everlink::outbox::{Kind, Message};
use everlink::wire::json;
use proptest::prelude::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Ask { again: bool },
    Publish { confirmed: bool },
    Event,
    Send,
    Subscribe(usize),
    Unsubscribe(usize),
    Cancel(usize),
    Respond(u32),
    Comes(Vec<u8>),
    Close,
    Stop,
    Start,
    Network(bool),
    Drains(bool),
    Full(bool),
    Credentials,
    Pass(u64),
}

fn text() -> impl Strategy<Value = String> {
    let name = (0..3_usize).prop_map(|index| NAMES[index]);
    prop_oneof![
        4 => (0..40_u32).prop_map(|id| format!(r#"{{"type":"response","id":"s","requestId":"{id}","payload":{id}}}"#)),
        2 => (0..40_u32).prop_map(|id| format!(r#"{{"type":"error","id":"s","requestId":{id},"error":"no"}}"#)),
        1 => Just(r#"{"type":"error","id":"s","error":[1]}"#.to_owned()),
        2 => (0..4_u32).prop_map(|id| format!(r#"{{"type":"query","id":"q{id}","payload":{{"resource":"r"}}}}"#)),
        1 => (0..4_u32).prop_map(|id| format!(r#"{{"type":"event","id":{id},"payload":{{"event":"\u0065"}}}}"#)),
        3 => name.clone().prop_map(|name| format!(r#"{{"channel":"system","data":{{"type":"subscription_confirm","channel":"{name}"}}}}"#)),
        1 => name.clone().prop_map(|name| format!(r#"{{"channel":"system","data":{{"type":"error","message":"no","channel":"{name}"}}}}"#)),
        2 => name.prop_map(|name| format!(r#"{{"channel":"{name}","data":{{}}}}"#)),
        1 => Just(r#"{"type":"ping"}"#.to_owned()),
        1 => Just(r#"{"type":"pong"}"#.to_owned()),
        1 => Just(r#"{"type":"other","id":"o"}"#.to_owned()),
        1 => Just(r#"{"action":"publish","channel":"a","data":1}"#.to_owned()),
    ]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => text().prop_map(String::into_bytes),
        1 => (text(), any::<prop::sample::Index>()).prop_map(|(text, at)| text.as_bytes()[..at.index(text.len())].into()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|again| Step::Ask { again }),
        2 => any::<bool>().prop_map(|confirmed| Step::Publish { confirmed }),
        1 => Just(Step::Event),
        2 => Just(Step::Send),
        3 => (0..3_usize).prop_map(Step::Subscribe),
        2 => (0..3_usize).prop_map(Step::Unsubscribe),
        1 => (0..4_usize).prop_map(Step::Cancel),
        2 => (1..6_u32).prop_map(Step::Respond),
        12 => frame().prop_map(Step::Comes),
        3 => Just(Step::Close),
        1 => Just(Step::Stop),
        2 => Just(Step::Start),
        1 => any::<bool>().prop_map(Step::Network),
        1 => any::<bool>().prop_map(Step::Drains),
        1 => any::<bool>().prop_map(Step::Full),
        1 => Just(Step::Credentials),
        6 => (1..4_000_u64).prop_map(Step::Pass),
    ]
}

/// What ended so far, by the number of the request.
fn ends(script: &Script) -> BTreeMap<u32, usize> {
    let mut ends = BTreeMap::new();
    for told in &script.told {
        let answer = told.strip_prefix("Response { id: ").or_else(|| told.strip_prefix("Json(Error { id: "));
        if let Some((id, _)) = answer.and_then(|rest| rest.split_once(',')) {
            *ends.entry(id.parse().unwrap()).or_default() += 1;
        }
    }
    for ended in &script.ended {
        *ends.entry(ended.id.get()).or_default() += 1;
    }
    ends.remove(&0);
    ends
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::with_cases(300);
    config.failure_persistence = Some(Box::new(proptest::test_runner::FileFailurePersistence::Direct(
        "proptest-regressions/json_law.txt",
    )));
    if let Ok(cases) = std::env::var("PROPTEST_CASES") {
        config.cases = cases.parse().unwrap();
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// Each request ends exactly once, unless it was cancelled: then never. Each message is settled exactly once, and those of the link's
    /// own are nobody's business. What a link writes of its own is JSON of the wire, a request of the server is answered at most once on
    /// its socket, and when all is well again, the wanted channels are said, each once, and no others.
    #[test]
    fn every_request_ends_once_whatever_json_comes(
        steps in prop::collection::vec(step(), 1..80),
        messages in 3_u32..30,
    ) {
        let mut script = talking(|config| {
            config.outbox.messages = messages;
            config.requests.pending = 8;
            config.requests.incoming = 3;
            config.backoff.attempts = None;
        });
        let (mut asked, mut cancelled, mut sent) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut wanted = BTreeMap::new();
        for step in steps {
            let now = script.now;
            let mut gone = Vec::new();
            match step {
                Step::Ask { again } => {
                    let ask = Ask { again, ..Ask::command("do", "[]") };
                    if let Ok(id) = script.link.request(now, &ask, |end, _| gone.push(end)) {
                        prop_assert!(!asked.contains(&id), "ids are not used again so soon");
                        asked.push(id);
                    }
                }
                Step::Publish { confirmed: true } => {
                    let published = script.link.publish(now, "a", Content::Text("1"), |end, _| gone.push(end));
                    asked.extend(published.ok());
                }
                Step::Publish { confirmed: false } => {
                    let published = script.link.publish_unconfirmed(now, "a", Content::Text("1"), |end, _| gone.push(end));
                    sent.extend(published.ok());
                }
                Step::Event => {
                    let said = script.link.event(now, "e", Content::Text(""), |end, _| gone.push(end));
                    sent.extend(said.ok());
                }
                Step::Send => {
                    let message = Message::text(br#"{"type":"own","id":"o"}"#.to_vec());
                    sent.extend(script.link.send(now, message, |end, _| gone.push(end)).ok());
                }
                Step::Subscribe(which) => {
                    if let Ok(id) = script.link.subscribe(now, NAMES[which]) {
                        wanted.insert(NAMES[which], id);
                    }
                }
                Step::Unsubscribe(which) => {
                    if let Some(id) = wanted.remove(NAMES[which]) {
                        script.link.unsubscribe(now, id);
                    }
                }
                Step::Cancel(back) => {
                    if let Some(id) = asked.iter().rev().nth(back)
                        && script.link.cancel_request(now, *id)
                    {
                        cancelled.insert(id.get());
                    }
                }
                Step::Respond(number) => {
                    let _ = script.link.respond(now, number, Content::Text("0"), |end, _| gone.push(end));
                }
                Step::Comes(data) => {
                    let newest = script.newest();
                    script.event(newest, Event::Frame { kind: Kind::Text, data: &data });
                }
                Step::Close => {
                    let newest = script.newest();
                    script.close(newest, None);
                }
                Step::Stop => script.input(Input::Stop { linger: ms(300) }),
                Step::Start => script.input(Input::Start),
                Step::Network(true) => script.input(Input::Online),
                Step::Network(false) => script.input(Input::Offline),
                Step::Drains(drains) => script.server.drains = drains,
                Step::Full(full) => script.socket_is_full = full,
                Step::Credentials => script.link.set_credentials(Some(b"7".to_vec())),
                Step::Pass(millis) => script.until_instant(now + ms(millis)),
            }
            script.settled.extend(gone);
            script.drain();
            // A subscription may have been refused.
            wanted.retain(|_, id| script.link.subscription(*id).is_some());
        }
        script.server.drains = true;
        script.socket_is_full = false;
        for input in [Input::Online, Input::Stop { linger: ms(0) }, Input::Start] {
            script.input(input);
        }
        script.until_instant(script.now + s(20));
        prop_assert_eq!(script.status(), Status::Connected);

        let ends = ends(&script);
        for id in &asked {
            let times = ends.get(&id.get()).copied().unwrap_or(0);
            prop_assert_eq!(times, usize::from(!cancelled.contains(&id.get())), "request {}", id);
        }
        prop_assert!(ends.keys().all(|id| asked.iter().any(|asked| asked.get() == *id)), "{:?}", ends);
        let mut settled: Vec<_> = script.settled.iter().map(|settlement| settlement.id).collect();
        settled.sort_unstable();
        prop_assert_eq!(settled, sent.into_iter().collect::<Vec<_>>());

        let mut answered = BTreeMap::new();
        for (socket, payload) in &script.written {
            let message = json::Message::decode(payload);
            prop_assert!(message.is_ok(), "{}", String::from_utf8_lossy(payload));
            if let Ok(json::Message::Response { request, .. } | json::Message::Error { request: Some(request), .. }) = message {
                *answered.entry((*socket, request.to_string())).or_insert(0) += 1;
            }
        }
        for ((socket, id), times) in answered {
            let comes = script.told.iter().filter(|told| told.starts_with("Json(Request")).count();
            prop_assert!(times <= comes + 1, "request {} on socket {} was answered {} times", id, socket, times);
        }
        let last = script.newest();
        let mut said: Vec<_> = script.wrote(last).into_iter().filter_map(|text| match json::Message::decode(text.as_bytes()) {
            Ok(json::Message::Subscribe { channel }) => Some(channel.to_string()),
            _ => None,
        }).collect();
        said.sort_unstable();
        said.dedup();
        prop_assert_eq!(said, wanted.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    }
}
