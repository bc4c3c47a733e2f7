//! A server's dialogue with a client that says whatever it likes, on sockets and in sessions that it breaks as it likes. What the server
//! asked ends once, what it owes is bounded and is its to answer, and a channel comes to nobody who was not accepted.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use everlink::acceptor::{Principal, Secret};
use everlink::channels::SYSTEM;
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::{Close, Epoch, Event};
use everlink::outbox::Kind;
use everlink::peer::{
    Action, Config, Connection, ConnectionAction, ConnectionNext, Delivery, Heard, Next, Sessions, Slow, Told,
};
use everlink::requests::RequestId;
use everlink::time::Instant;
use everlink::wire::native::{
    Announced, Channel, Credentials, Envelope, Form, Hello, Item, Limits, Reader, Request, Token, VERSION,
};

use crate::pick;
use crate::sessions::client::encode;

/// A longer history finds nothing that a shorter one does not.
const LONGEST: usize = 120;
const SLOTS: u32 = 40;
/// The longer ones are too long for a channel, and for this server to read.
const NAMES: [&str; 5] = ["a", "ink", "channels", "a channel", "a longer name"];

/// Reads a history and lives through it.
///
/// # Panics
/// Where a rule is broken.
pub fn talk(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(slow) = bool::arbitrary(&mut bytes) else { return };
    let mut world = World::new(if slow { Slow::Close } else { Slow::Drop });
    world.connect(false);
    for _ in 0..LONGEST {
        if bytes.is_empty() {
            break;
        }
        let Ok(what) = Move::arbitrary(&mut bytes) else { break };
        world.apply(what);
        world.drain();
        world.look();
    }
    world.wind_up();
}

#[derive(Arbitrary)]
enum Move {
    /// The client says these in one frame.
    Says(Vec<Word>),
    /// The server's application asks something.
    Ask(u8),
    Cancel(u8),
    /// It answers what it was asked, or what it was not.
    Answer(u8, bool),
    Grants(bool),
    Broadcast(u8),
    ToAll,
    /// The socket is gone, and the client is back: with its token, or as somebody new.
    Again(bool),
    /// It is back with a count that may be a lie.
    Lies(u8),
    Pass(u16),
    Store,
}

#[derive(Arbitrary)]
enum Word {
    Request(u8, u8),
    Response(u8),
    Error(u8),
    Subscribe(u8, u8),
    Unsubscribe(u8, u8),
    UnsubscribeNumber(u8),
    Publish(u8, u8),
    Confirmation(u8),
    Message,
    /// All that came.
    Ack,
    Noise(Vec<u8>),
}

type Key = (u64, u32);

struct World {
    sessions: Sessions<Vec<u8>>,
    now: Instant,
    connection: Option<Connection>,
    epoch: u32,
    // The client.
    token: Vec<u8>,
    attempt: u32,
    received: u64,
    // The server's application.
    grants: bool,
    asked: u32,
    open: BTreeMap<Key, RequestId>,
    owed: BTreeSet<Key>,
    accepted: BTreeSet<String>,
}

impl World {
    fn new(slow: Slow) -> World {
        let mut sessions = Sessions::new(config(slow), 7, SLOTS).unwrap();
        sessions.open_dialogues();
        World {
            sessions,
            now: Instant::from_millis(1),
            connection: None,
            epoch: 0,
            token: Vec::new(),
            attempt: 0,
            received: 0,
            grants: true,
            asked: 0,
            open: BTreeMap::new(),
            owed: BTreeSet::new(),
            accepted: BTreeSet::new(),
        }
    }

    fn apply(&mut self, what: Move) {
        match what {
            Move::Says(words) => {
                let mut frame = Vec::new();
                words.iter().take(20).for_each(|word| self.write(word, &mut frame));
                self.hear(&frame);
            }
            Move::Ask(which) => self.ask(which),
            Move::Cancel(which) => self.cancel(which),
            Move::Answer(which, good) => self.answer(which, good),
            Move::Grants(grants) => self.grants = grants,
            Move::Broadcast(which) => self.broadcast(pick(&NAMES, which)),
            Move::ToAll => self.broadcast(SYSTEM),
            Move::Again(knows) => self.connect(knows),
            Move::Lies(received) => {
                self.received = received.into();
                self.connect(true);
            }
            Move::Pass(millis) => self.pass(Duration::from_millis(millis.into())),
            Move::Store => self.begin_again(),
        }
    }

    // The client.

    fn connect(&mut self, knows: bool) {
        if let Some(connection) = &mut self.connection {
            connection.handle(&mut self.sessions, self.now, Event::Closed(Close::default()));
            self.drain();
            self.connection = None;
        }
        if !knows {
            self.token.clear();
            (self.attempt, self.received) = (0, 0);
        }
        self.epoch += 1;
        self.attempt += 1;
        let epoch = Epoch::new(self.epoch).unwrap();
        self.connection = Some(Connection::new(&self.sessions.config().acceptor, self.now, epoch));
        let announced = Announced { envelope: 4096, window: 4, window_bytes: 4096 };
        let hello = Envelope::Hello(Hello {
            version: VERSION,
            attempt: self.attempt,
            received: self.received,
            announced,
            token: Token::new(&self.token),
            credentials: Credentials::NONE,
        });
        self.hear(&encode(&[hello]));
        self.drain();
    }

    fn write(&self, word: &Word, frame: &mut Vec<u8>) {
        let (kind, data, reason) = (Kind::Text, b"data".as_slice(), "");
        let small = |id: u8| u32::from(id % 12);
        // One that was asked, more often than not.
        let known = |id: u8| {
            let id = usize::from(id);
            self.open.keys().nth(id).map_or_else(|| u32::try_from(id).unwrap(), |(_, known)| *known)
        };
        let envelope = match *word {
            Word::Noise(ref bytes) => return frame.extend_from_slice(bytes),
            Word::Request(id, name) => {
                let (id, name) = (small(id), pick(&NAMES, name));
                Envelope::Request(Request { id, form: Form::Command, name, kind, data })
            }
            Word::Response(id) => Envelope::Response { id: known(id), kind, data },
            Word::Error(id) => Envelope::Error { id: known(id), code: 1, reason },
            Word::Subscribe(id, name) => Envelope::Subscribe { id: small(id), channel: pick(&NAMES, name) },
            Word::Unsubscribe(id, name) => {
                Envelope::Unsubscribe { id: small(id), channel: Channel::Name(pick(&NAMES, name)) }
            }
            Word::UnsubscribeNumber(number) => Envelope::Unsubscribe { id: 1, channel: numbered(number) },
            Word::Publish(id, name) => {
                Envelope::Publish { id: small(id), channel: Channel::Name(pick(&NAMES, name)), kind, data }
            }
            Word::Confirmation(id) => Envelope::Confirmation { id: known(id), code: 0, number: 1, reason },
            Word::Message => Envelope::Message { kind, data },
            Word::Ack => Envelope::Ack { received: self.received },
        };
        frame.extend(encode(&[envelope]));
    }

    fn read(&mut self, frame: &[u8]) {
        for item in Reader::new(frame, &Limits::default()) {
            let Ok(Item::Envelope(envelope)) = item else { panic!("a server says {item:?}") };
            self.received += u64::from(envelope.counts());
            match envelope {
                Envelope::Welcome(welcome) => {
                    if !welcome.resumed {
                        self.received = 0;
                    }
                    if !welcome.token.is_none() {
                        self.token = welcome.token.reveal().to_vec();
                    }
                }
                Envelope::Broadcast { channel: Channel::Name(name), .. } => {
                    assert!(name == SYSTEM || self.accepted.contains(name), "{name}: nobody was accepted");
                }
                _ => {}
            }
        }
    }

    // The server.

    fn hear(&mut self, frame: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        connection.handle(&mut self.sessions, self.now, Event::Received(u32::try_from(frame.len()).unwrap()));
        let event = Event::Frame { kind: Kind::Binary, data: frame };
        let session = connection.session();
        match connection.handle(&mut self.sessions, self.now, event) {
            Heard::Question(_) => self.admit(),
            Heard::Deliveries(deliveries) => {
                let deliveries: Vec<_> = deliveries.collect();
                let Some(session) = session else { return assert!(deliveries.is_empty()) };
                deliveries.iter().for_each(|delivery| self.delivered(session, delivery));
            }
        }
    }

    fn admit(&mut self) {
        let secret = Secret::new([u8::try_from(self.epoch % 251).unwrap(); 16]);
        let Some(connection) = &mut self.connection else { return };
        let mut told = Vec::new();
        let admitted =
            connection.admit(&mut self.sessions, self.now, Principal::ANYONE, secret, |what| told.push(what));
        told.into_iter().for_each(|what| self.told(what));
        let Some(admitted) = admitted else { return };
        let (new, old) = (admitted.session.number(), admitted.replaced.map(|old| old.number()));
        if let Some(old) = old {
            self.owed.retain(|(session, _)| *session != old);
            let open = std::mem::take(&mut self.open);
            let moved = |(session, id)| (if session == old { new } else { session }, id);
            self.open = open.into_iter().map(|(key, id)| (moved(key), id)).collect();
        }
    }

    fn delivered(&mut self, session: everlink::acceptor::SessionId, delivery: &Delivery<'_>) {
        let (number, now, incoming) = (session.number(), self.now, self.sessions.config().requests.incoming);
        match *delivery {
            Delivery::Request(Request { id: 1.., .. }) if self.sessions.peer(session).is_none() => {}
            Delivery::Request(Request { id: id @ 1.., .. }) => {
                assert!(self.owed.insert((number, id)), "{id} is asked twice");
                let owed = self.owed.iter().filter(|(session, _)| *session == number).count();
                assert!(owed <= incoming as usize, "{owed} requests wait to be answered");
            }
            Delivery::Response { id, .. } | Delivery::Error { id: id @ 1.., .. } => self.end((number, id)),
            Delivery::Subscribe { id, channel } => {
                let Some(mut peer) = self.sessions.peer(session) else { return };
                if self.grants {
                    self.accepted.insert(channel.to_owned());
                    let _ = peer.accept(now, id, channel, |_, _| ());
                } else {
                    let _ = peer.refuse(now, id, 7, "no", |_, _| ());
                }
            }
            Delivery::Unsubscribe { id, channel: Channel::Name(name) } => {
                let Some(mut peer) = self.sessions.peer(session) else { return };
                let _ = peer.leave(now, id, name, |_, _| ());
            }
            Delivery::Publish { id, channel: Channel::Name(name), .. } => {
                if let Some(mut peer) = self.sessions.peer(session) {
                    let _ = peer.confirm(now, id, |_, _| ());
                }
                self.broadcast(name);
            }
            _ => {}
        }
    }

    fn ask(&mut self, which: u8) {
        let ids: Vec<_> = self.sessions.ids().collect();
        let Some(session) = ids.get(usize::from(which) % ids.len().max(1)).copied() else { return };
        let pending = self.sessions.config().requests.pending;
        self.asked += 1;
        let ask = Ask::command("do", "it").within(Duration::from_millis(u64::from(which) * 100 + 1));
        let Some(mut peer) = self.sessions.peer(session) else { return };
        if let Ok(id) = peer.request(self.now, &ask, |_, _| ()) {
            let key = (session.number(), id.get());
            assert!(self.open.insert(key, id).is_none(), "{id} is that of another request");
            let open = self.open.keys().filter(|(number, _)| *number == key.0).count();
            assert!(open <= pending as usize, "{open} requests wait for an answer");
        }
    }

    fn cancel(&mut self, which: u8) {
        let Some((key, id)) = self.open.iter().nth(which.into()).map(|(key, id)| (*key, *id)) else { return };
        let session = self.sessions.ids().find(|session| session.number() == key.0);
        let Some(mut peer) = session.and_then(|session| self.sessions.peer(session)) else { return };
        if peer.cancel_request(self.now, id) {
            self.end(key);
        }
    }

    fn answer(&mut self, which: u8, good: bool) {
        let ids: Vec<_> = self.sessions.ids().collect();
        for session in ids {
            let key = (session.number(), u32::from(which % 13));
            let Some(mut peer) = self.sessions.peer(session) else { continue };
            let said = if good {
                peer.respond(self.now, key.1, Content::Text("done"), |_, _| ())
            } else {
                peer.reject(self.now, key.1, 9, "no", |_, _| ())
            };
            let owed = self.owed.contains(&key);
            // A session that cannot keep up may have ended with it.
            assert!(owed || matches!(said, Err(Refused::NotAwaited | Refused::NoDialogue | Refused::Full)));
            assert!(!owed || said != Err(Refused::NotAwaited), "{key:?} waits, and may not be answered");
            if said.is_ok() {
                self.owed.remove(&key);
            }
        }
    }

    fn broadcast(&mut self, channel: &str) {
        let subscribers = self.sessions.subscribers(channel);
        let mut reached = 0;
        let said =
            self.sessions.broadcast(self.now, channel, Content::Text("news"), |_, _, _| (), |_| reached += 1);
        if said.is_ok() && channel != SYSTEM {
            assert_eq!(reached, subscribers, "who gets what is published on {channel}");
        }
    }

    /// The process ends, and another one begins with what it stored.
    fn begin_again(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.handle(&mut self.sessions, self.now, Event::Closed(Close::default()));
        }
        self.drain();
        self.connection = None;
        let ids: Vec<_> = self.sessions.ids().collect();
        let subscribers = NAMES.map(|name| self.sessions.subscribers(name));
        let mut next = Sessions::new(config(self.sessions.config().slow), 8, SLOTS).unwrap();
        next.open_dialogues();
        for id in ids {
            let mut state = Vec::new();
            self.sessions.store(self.now, id, |part| state.extend_from_slice(part));
            assert_eq!(next.restore(self.now, &state, Duration::ZERO), Ok(id));
        }
        self.sessions = next;
        assert_eq!(NAMES.map(|name| self.sessions.subscribers(name)), subscribers);
        self.open.clear();
        self.owed.clear();
    }

    fn end(&mut self, key: Key) {
        assert!(self.open.remove(&key).is_some(), "{key:?} has ended before, or was never asked");
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Settled(..) => {}
            Told::Request(id, ended) => self.end((id.number(), ended.id.get())),
            Told::Ended(id) => self.owed.retain(|(session, _)| *session != id.number()),
        }
    }

    fn drain(&mut self) {
        let mut bound = 10_000;
        while let Some(connection) = &mut self.connection {
            bound -= 1;
            assert!(bound > 0, "draining ends");
            match connection.poll(&mut self.sessions) {
                ConnectionNext::Do(ConnectionAction::Flush) => {
                    let mut frames = Vec::new();
                    while let Some(frame) = connection.pull(&mut self.sessions) {
                        frames.push([frame.head(), frame.payload()].concat());
                    }
                    frames.iter().for_each(|frame| self.read(frame));
                }
                ConnectionNext::Do(ConnectionAction::Renew(id)) => {
                    self.sessions.renew(self.now, id, Secret::new([0xEE; 16]));
                }
                ConnectionNext::Do(ConnectionAction::Ended(id, ended)) => self.told(Told::Request(id, ended)),
                ConnectionNext::Do(
                    ConnectionAction::Settled(..)
                    | ConnectionAction::Store(..)
                    | ConnectionAction::Close { .. }
                    | ConnectionAction::Abandon,
                ) => {}
                ConnectionNext::Wait(_) | ConnectionNext::Idle => break,
            }
        }
        self.connection = self.connection.take().filter(|connection| !connection.is_done());
        let mut told = Vec::new();
        self.sessions.expire(self.now, |what| told.push(what));
        let ids: Vec<_> = self.sessions.ids().collect();
        for id in ids {
            while let Some(mut peer) = self.sessions.peer(id)
                && let Next::Do(action @ (Action::Ended(_) | Action::Settled(_))) = peer.poll()
            {
                told.extend(if let Action::Ended(ended) = action {
                    Some(Told::Request(id, ended))
                } else {
                    None
                });
            }
        }
        told.into_iter().for_each(|what| self.told(what));
    }

    fn pass(&mut self, by: Duration) {
        self.now = self.now + by;
        if let Some(connection) = &mut self.connection {
            connection.tick(&mut self.sessions, self.now);
        }
    }

    fn look(&self) {
        let most = self.sessions.len() as usize;
        let all = NAMES.map(|name| self.sessions.subscribers(name));
        assert!(all.iter().all(|subscribers| *subscribers <= most));
        let limit = self.sessions.config().channels.subscriptions as usize;
        assert!(all.iter().sum::<usize>() <= most * limit, "more subscriptions than there may be");
    }

    /// Nobody comes back.
    fn wind_up(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.handle(&mut self.sessions, self.now, Event::Closed(Close::default()));
        }
        for _ in 0..4 {
            self.drain();
            self.pass(Duration::from_secs(3600));
        }
        self.connection = None;
        self.drain();
        assert!(self.open.is_empty(), "requests without an end: {:?}", self.open);
        assert_eq!((self.sessions.len(), self.sessions.room()), (0, SLOTS));
        assert_eq!(NAMES.map(|name| self.sessions.subscribers(name)), [0; NAMES.len()]);
    }
}

fn config(slow: Slow) -> Config {
    let mut config = Config { slow, ..Config::default() };
    config.acceptor.sessions.count = 2;
    config.acceptor.sessions.keep = Duration::from_secs(60);
    config.acceptor.limits.name = 10;
    config.channels.name_bytes = 8;
    config.channels.subscriptions = 2;
    config.outbox.messages = 12;
    config.delivery.window = 4;
    config.requests.pending = 3;
    config.requests.incoming = 3;
    // Longer than any history, so that what is owed is exactly what was not answered.
    config.requests.answer_timeout = Duration::from_secs(24 * 3600);
    config
}

fn numbered(number: u8) -> Channel<'static> {
    Channel::Number(core::num::NonZeroU32::MIN.saturating_add(number.into()))
}
