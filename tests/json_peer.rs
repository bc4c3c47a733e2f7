//! A client on the JSON wire at the server's end: its session is like others, and what it says is taken for what it is.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;
use std::collections::BTreeMap;

use crate::harness::{epoch, ms, s};
use everlink::acceptor::{Principal, Secret};
use everlink::channels::SYSTEM;
use everlink::dialogue::{Ask, Content};
use everlink::link::{Close, Event};
use everlink::outbox::{Kind, Message, Outcome};
use everlink::peer::{Config, Connection, ConnectionAction, ConnectionNext, Heard, Peer, Sessions};
use everlink::time::Instant;
use everlink::wire::{Opcode, json};
use proptest::prelude::*;

/// A server with one client, and an application that answers all, grants all, publishes all.
pub struct Rig {
    pub sessions: Sessions<Vec<u8>>,
    pub connection: Connection,
    pub now: Instant,
    /// What was written.
    pub said: Vec<String>,
    pub kinds: Vec<Opcode>,
    /// What the application was told.
    pub told: Vec<String>,
    pub settled: Vec<Outcome>,
    /// Whether the socket takes what is written, and how much it has.
    pub drains: bool,
    pub total: u64,
    pub closed: Option<u16>,
    pub asked: bool,
    /// How often it was asked to pull.
    pub flushes: u32,
}

impl Rig {
    pub fn new(change: impl FnOnce(&mut Config)) -> Rig {
        let mut rig = Rig::without_dialogue(change);
        rig.sessions.open_dialogues();
        rig
    }

    /// The application reads and writes envelopes itself.
    pub fn without_dialogue(change: impl FnOnce(&mut Config)) -> Rig {
        let mut config = Config::default();
        change(&mut config);
        let sessions = Sessions::new(config.clone(), 7, 1024).unwrap();
        let connection = Connection::json(&config, Instant::ORIGIN, epoch(1), Some(s(1_700_000_000)));
        Rig {
            sessions,
            connection,
            now: Instant::ORIGIN,
            said: Vec::new(),
            kinds: Vec::new(),
            told: Vec::new(),
            settled: Vec::new(),
            drains: true,
            total: 0,
            closed: None,
            asked: false,
            flushes: 0,
        }
    }

    pub fn peer(&mut self) -> Peer<'_, Vec<u8>> {
        let id = self.sessions.ids().next().unwrap();
        self.sessions.peer(id).unwrap()
    }

    pub fn says(&mut self, text: &str) {
        self.event(Event::Frame { kind: Kind::Text, data: text.as_bytes() });
    }

    pub fn event(&mut self, event: Event<'_>) {
        let heard = self.connection.handle(&mut self.sessions, self.now, event);
        let Heard::Deliveries(deliveries) = heard else { panic!("{heard:?}") };
        assert_eq!(deliveries.count(), 0, "it comes in other words");
        self.settle();
    }

    pub fn pass(&mut self, by: Duration) {
        self.now = self.now + by;
        self.connection.tick(&mut self.sessions, self.now);
        self.settle();
    }

    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.work() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn work(&mut self) -> bool {
        let mut asks = false;
        let mut told = Vec::new();
        match self.connection.came(&mut self.sessions, self.now) {
            Some(Heard::Question(question)) => {
                self.told
                    .push(format!("who {:?}", core::str::from_utf8(question.credentials.reveal()).unwrap()));
                asks = true;
            }
            Some(Heard::Deliveries(deliveries)) => {
                told.extend(deliveries.map(|delivery| format!("{delivery:?}")))
            }
            None => {}
        }
        if asks {
            assert!(!core::mem::replace(&mut self.asked, true));
            let secret = Secret::new([7; Secret::LEN]);
            let admitted =
                self.connection.admit(&mut self.sessions, self.now, Principal::ANYONE, secret, |_| ());
            assert!(admitted.is_some());
        }
        if asks || !told.is_empty() {
            self.told.extend(told);
            return true;
        }
        match self.connection.poll(&mut self.sessions) {
            ConnectionNext::Do(ConnectionAction::Flush) => {
                self.flushes += 1;
                while let Some(frame) = self.connection.pull(&mut self.sessions) {
                    assert!(frame.head().is_empty());
                    self.total += frame.payload().len() as u64;
                    self.kinds.push(frame.opcode);
                    self.said.push(String::from_utf8_lossy(frame.payload()).into_owned());
                }
                if self.drains {
                    let written = Event::Written(self.total);
                    let _ = self.connection.handle(&mut self.sessions, self.now, written);
                }
            }
            ConnectionNext::Do(ConnectionAction::Settled(_, settlement)) => {
                self.settled.push(settlement.outcome)
            }
            ConnectionNext::Do(ConnectionAction::Close { code }) => self.closed = Some(code),
            ConnectionNext::Do(ConnectionAction::Abandon) => self.closed = Some(0),
            ConnectionNext::Do(_) => {}
            ConnectionNext::Wait(_) | ConnectionNext::Idle => return self.connection.has_come(),
        }
        true
    }
}

#[test]
fn what_is_said_first_decides_who_it_is() {
    let mut rig = Rig::new(|_| ());
    rig.says(r#"{"type":"auth","id":"a","payload":{"token":1}}"#);
    assert_eq!(rig.told, [r#"who "{\"token\":1}""#]);
    let mut rig = Rig::new(|_| ());
    rig.says(r#"{"type":"query","id":"a","payload":{"resource":"r"}}"#);
    assert_eq!(rig.told[0], r#"who """#);
    assert!(rig.told[1].starts_with("Request(Request { id: 1, form: Query, name: \"r\""), "{:?}", rig.told);
    let mut rig = Rig::new(|_| ());
    rig.pass(ms(4_999));
    assert!(rig.told.is_empty());
    rig.pass(ms(1));
    assert_eq!(rig.told, [r#"who """#]);
}

#[test]
fn a_message_has_arrived_when_it_is_written_and_not_before() {
    let mut rig = Rig::new(|config| config.delivery.window = 2);
    rig.says(r#"{"type":"ping"}"#);
    rig.drains = false;
    let now = rig.now;
    for text in ["one", "two", "three"] {
        rig.peer().send(now, Message::text(text.into()), |_, _| ()).unwrap();
    }
    rig.settle();
    assert_eq!(rig.said, [r#"{"type":"pong"}"#, "one", "two"], "a window full");
    assert!(rig.settled.is_empty());
    let (pong, one) = (15, 3);
    rig.event(Event::Written(pong + one - 1));
    assert!(rig.settled.is_empty());
    rig.event(Event::Written(pong + one));
    assert_eq!((rig.settled.as_slice(), rig.said.len()), (&[Outcome::Written][..], 4));
    rig.event(Event::Closed(Close::default()));
    assert!(rig.connection.is_done());
    let mut told = Vec::new();
    rig.sessions.expire(rig.now, |what| told.push(format!("{what:?}")));
    assert_eq!(told.iter().filter(|told| told.contains("InDoubt")).count(), 2, "{told:?}");
    assert!(rig.sessions.ids().next().is_none(), "nobody can come back to it");
}

#[test]
fn what_a_client_cannot_say_is_counted_and_it_is_told_why() {
    let mut rig = Rig::new(|config| config.acceptor.limits.name = 16);
    for (text, why) in
        [("7", "byte 0: not an object"), (r#"{"channel":"a","data":1}"#, "this is said by servers")]
    {
        rig.says(text);
        let told = format!(r#"{{"channel":"system","data":{{"type":"error","message":"{why}"}}}}"#);
        assert_eq!(rig.said.pop(), Some(told));
    }
    assert_eq!(rig.sessions.counts().malformed, 2);
    rig.says(r#"{"type":"query","id":"k","payload":{"resource":"a name that is far too long"}}"#);
    assert!(rig.said[0].ends_with(r#""requestId":"k","error":"the name is too long"}"#), "{:?}", rig.said);
    rig.says(r#"{"action":"subscribe","channel":"a name that is far too long"}"#);
    assert!(rig.said[1].contains("the name of the channel is too long"), "{:?}", rig.said);
    assert_eq!((rig.closed, rig.sessions.counts().violations), (None, 0), "it lives on");
}

#[test]
fn a_client_that_floods_and_does_not_read_costs_little() {
    let mut rig = Rig::new(|_| ());
    for _ in 0..10_000 {
        let event = Event::Frame { kind: Kind::Text, data: br#"{"type":"ping"}"# };
        let _ = rig.connection.handle(&mut rig.sessions, rig.now, event);
        let event = Event::Frame { kind: Kind::Text, data: b"?" };
        let _ = rig.connection.handle(&mut rig.sessions, rig.now, event);
    }
    rig.settle();
    assert_eq!(rig.said.len(), 64);
}

#[test]
fn payloads_that_are_no_json_become_strings_and_bytes_are_left_out() {
    let mut rig = Rig::new(|_| ());
    rig.says(r#"{"type":"query","id":"a","payload":{"resource":"r"}}"#);
    rig.says(r#"{"type":"query","id":"b","payload":{"resource":"r"}}"#);
    let now = rig.now;
    rig.peer().respond(now, 1, Content::Text("a \"b\"\n"), |_, _| ()).unwrap();
    rig.peer().respond(now, 2, Content::Binary(b"\xFF"), |_, _| ()).unwrap();
    rig.sessions.broadcast(now, SYSTEM, Content::Binary(b"\xFF"), |_, _, _| (), |_| ()).unwrap();
    rig.sessions.broadcast(now, SYSTEM, Content::Text("so"), |_, _, _| (), |_| ()).unwrap();
    rig.settle();
    assert_eq!(
        rig.said,
        [
            r#"{"id":"3","type":"response","timestamp":1700000000000,"payload":"a \"b\"\n","requestId":"a"}"#,
            r#"{"id":"5","type":"error","timestamp":1700000000000,"requestId":"b","error":"the answer is not JSON"}"#,
            r#"{"channel":"system","data":"so"}"#,
        ]
    );
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        4 => (0..6_u32).prop_map(|id| format!(r#"{{"type":"query","id":{id},"payload":{{"resource":"r","parameters":[]}}}}"#)),
        1 => (0..6_u32).prop_map(|id| format!(r#"{{"type":"event","id":"e{id}","payload":{{"event":"e"}}}}"#)),
        3 => (0..9_u32).prop_map(|id| format!(r#"{{"type":"response","id":"r","requestId":"{id}","payload":{id}}}"#)),
        1 => (0..9_u32).prop_map(|id| format!(r#"{{"type":"error","id":"r","requestId":"{id}","error":"no"}}"#)),
        1 => Just(r#"{"type":"error","id":"r","error":{"code":1}}"#.to_owned()),
        2 => "[a-c]{1,3}".prop_map(|name| format!(r#"{{"action":"subscribe","channel":"{name}"}}"#)),
        2 => "[a-c]{1,3}".prop_map(|name| format!(r#"{{"action":"unsubscribe","channel":"{name}"}}"#)),
        2 => "[a-c]{1,3}".prop_map(|name| format!(r#"{{"action":"publish","channel":"{name}","data":1}}"#)),
        1 => Just(r#"{"action":"subscribe","channel":"system"}"#.to_owned()),
        1 => Just(r#"{"type":"auth","id":"a","payload":"x"}"#.to_owned()),
        1 => Just(r#"{"type":"pong"}"#.to_owned()),
        1 => Just(r#"{"type":"ping"}"#.to_owned()),
        1 => Just(r#"{"type":"own","id":"o"}"#.to_owned()),
        1 => Just(r#"{"channel":"a","data":1}"#.to_owned()),
    ];
    prop_oneof![
        8 => text.clone().prop_map(String::into_bytes),
        1 => (text, any::<prop::sample::Index>()).prop_map(|(text, at)| text.as_bytes()[..at.index(text.len())].into()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever a client says, its socket is not closed for it, what it is told is JSON of the wire, and each of its requests is answered
    /// exactly once, as long as no other one of that id waits.
    #[test]
    fn whatever_a_client_says_each_of_its_requests_is_answered_once(frames in prop::collection::vec(frame(), 1..60), late in any::<bool>()) {
        let mut rig = Rig::new(|_| ());
        let (mut asked, mut open) = (BTreeMap::<String, usize>::new(), Vec::new());
        for data in frames {
            if let Ok(json::Message::Request { form: everlink::wire::native::Form::Query, id, .. }) = json::Message::decode(&data)
                && !open.contains(&id.to_string())
            {
                *asked.entry(id.to_string()).or_default() += 1;
                open.push(id.to_string());
            }
            rig.event(Event::Frame { kind: Kind::Text, data: &data });
            if !late {
                answer(&mut rig);
                open.clear();
            }
        }
        answer(&mut rig);
        rig.pass(ms(1));
        prop_assert_eq!((rig.closed, rig.sessions.counts().violations), (None, 0));
        let mut answered = BTreeMap::<String, usize>::new();
        for text in &rig.said {
            match json::Message::decode(text.as_bytes()) {
                Ok(json::Message::Response { request, .. } | json::Message::Error { request: Some(request), .. }) => {
                    *answered.entry(request.to_string()).or_default() += 1;
                }
                Ok(_) => {}
                Err(error) => prop_assert!(false, "{}: {}", error, text),
            }
        }
        prop_assert_eq!(answered, asked);
    }
}

/// The application does what it was asked to, and asks something itself.
fn answer(rig: &mut Rig) {
    let now = rig.now;
    if rig.sessions.ids().next().is_none() {
        return;
    }
    for told in std::mem::take(&mut rig.told) {
        let id = |what: &str| {
            let rest = told.strip_prefix(what)?.split_once("id: ")?.1;
            rest.split_once([',', ' ']).map(|(id, _)| id.parse::<u32>().unwrap())
        };
        if let Some(id) = id("Request(").filter(|id| *id > 0) {
            rig.peer().respond(now, id, Content::Text("1"), |_, _| ()).unwrap();
        } else if let Some(id) = id("Subscribe {") {
            let _ = rig.peer().accept(now, id, "a", |_, _| ());
        } else if let Some(id) = id("Unsubscribe {").or(id("Publish {")) {
            let _ = rig.peer().confirm(now, id, |_, _| ());
        }
    }
    let _ = rig.peer().request(now, &Ask::query("who", ""), |_, _| ());
    rig.settle();
}
