//! A server in virtual time: sessions, an acceptor for each socket, an application that knows who everybody is; and clients that
//! keep naive books.
//!
//! What the server does is written down as one line for each thing, such as `1: welcome new, received 0, from 0`, `1: close 4100`
//! or `a: hello` for a message delivered from the session that the test calls `a`.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::std_instead_of_alloc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may be blunt"
)]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use everlink::acceptor::{Acceptor, Principal, Secret, SessionId};
use everlink::delivery::{Arrival, Counts};
use everlink::link::{self, Close, Epoch, Event};
use everlink::outbox::{Kind, Message, MessageId, Outcome, Refused};
use everlink::peer::{Action, Admitted, Config, Delivery, Input, Next, Sessions, Told};
use everlink::time::Instant;
use everlink::wire::native::{
    Announced, Credentials, Envelope, Goodbye, Hello, Item, Limits, Reader, Token, VERSION, Welcome, code,
};

pub const ANNOUNCED: Announced = Announced { envelope: 4096, window: 64, window_bytes: 1 << 18 };

pub const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub fn epoch(number: u32) -> Epoch {
    Epoch::new(number).unwrap()
}

/// So many cases, or as many as `PROPTEST_CASES` says; failures are kept in this file.
pub fn proptest_config(name: &'static str, cases: u32) -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, FileFailurePersistence};
    let usual = Config::default();
    Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(name))),
        ..usual
    }
}

pub fn encode(envelopes: &[Envelope<'_>]) -> Vec<u8> {
    let mut frame = Vec::new();
    for envelope in envelopes {
        let start = frame.len();
        frame.resize(start + envelope.encoded_len(), 0);
        envelope.encode(&mut frame[start..]).unwrap();
    }
    frame
}

pub struct Server {
    pub sessions: Sessions<Vec<u8>>,
    pub now: Instant,
    /// Sockets that have no session, and those that have one.
    doors: BTreeMap<u32, Acceptor>,
    seats: BTreeMap<u32, SessionId>,
    /// What the sessions are called.
    names: Vec<(SessionId, String)>,
    last_epoch: u32,
    secrets: u64,
    /// How many actions were done.
    acted: u64,
    /// Whether secrets are given when they are asked for.
    pub renews: bool,
    /// Frames that were written to each socket, and were not fetched.
    pub wire: BTreeMap<u32, Vec<Vec<u8>>>,
    /// Sockets that were closed, with the code, or dropped.
    pub parted: Vec<(u32, Option<u16>)>,
    /// Sockets that take nothing.
    pub blocked: Vec<u32>,
    pub log: Vec<String>,
    /// What each session delivered, by its name.
    pub delivered: Vec<(String, Vec<u8>)>,
    pub settled: Vec<(String, MessageId, Outcome)>,
    pub admitted: Vec<Admitted>,
}

impl Server {
    pub fn new(change: impl FnOnce(&mut Config)) -> Server {
        let mut config = Config::default();
        change(&mut config);
        Server {
            sessions: Sessions::new(config, 7, 4096).unwrap(),
            now: Instant::ORIGIN,
            doors: BTreeMap::new(),
            seats: BTreeMap::new(),
            names: Vec::new(),
            last_epoch: 0,
            secrets: 0,
            acted: 0,
            renews: true,
            wire: BTreeMap::new(),
            parted: Vec::new(),
            blocked: Vec::new(),
            log: Vec::new(),
            delivered: Vec::new(),
            settled: Vec::new(),
            admitted: Vec::new(),
        }
    }

    fn secret(&mut self) -> Secret {
        self.secrets += 1;
        let mut bytes = [0xA5; 16];
        bytes[..8].copy_from_slice(&self.secrets.to_le_bytes());
        Secret::new(bytes)
    }

    // Time.

    pub fn pass_until(&mut self, millis: u64) {
        let end = at(millis);
        self.drain();
        while let Some(next) = self.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.tick();
            self.drain();
            assert!(self.deadline().is_none_or(|next| next > self.now), "after a tick and a drain");
        }
        self.now = self.now.max(end);
        self.tick();
        self.drain();
    }

    pub fn deadline(&mut self) -> Option<Instant> {
        let doors = self.doors.values().filter_map(Acceptor::deadline).min();
        let ids: Vec<_> = self.sessions.ids().collect();
        let peers = ids.iter().filter_map(|id| self.sessions.peer(*id).unwrap().deadline()).min();
        [doors, peers, self.sessions.deadline()].into_iter().flatten().min()
    }

    pub fn tick(&mut self) {
        for door in self.doors.values_mut() {
            door.tick(&self.sessions.config().acceptor, self.now);
        }
        let ids: Vec<_> = self.sessions.ids().collect();
        for id in ids {
            drop(self.sessions.peer(id).unwrap().handle(self.now, Input::Tick));
        }
        self.expire();
    }

    fn expire(&mut self) {
        let mut told = Vec::new();
        self.sessions.expire(self.now, |what| told.push(what));
        told.into_iter().for_each(|what| self.told(what));
    }

    // Sockets.

    pub fn open(&mut self) -> u32 {
        self.last_epoch += 1;
        let number = self.last_epoch;
        let door = Acceptor::new(&self.sessions.config().acceptor, self.now, epoch(number));
        self.doors.insert(number, door);
        self.wire.insert(number, Vec::new());
        number
    }

    /// Opens a socket on which this client says hello; gives its number.
    pub fn connect(&mut self, client: &mut Client) -> u32 {
        let number = self.open();
        let hello = client.hello();
        self.frame(number, &hello);
        number
    }

    pub fn frame(&mut self, number: u32, data: &[u8]) {
        self.event(number, Event::Received(u32::try_from(data.len()).unwrap()));
        self.event(number, Event::Frame { kind: Kind::Binary, data });
    }

    pub fn event(&mut self, number: u32, event: Event<'_>) {
        if let Some(door) = self.doors.get_mut(&number) {
            let question = door.handle(&self.sessions.config().acceptor, self.now, event);
            if let Some(question) = question {
                let who = question.credentials.reveal().to_vec();
                self.decide(number, &who);
            }
        } else if let Some(id) = self.seats.get(&number).copied()
            && let Some(mut peer) = self.sessions.peer(id)
        {
            let name = self.names.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone());
            let name = name.unwrap_or_else(|| id.to_string());
            for delivery in peer.handle(self.now, Input::Socket(epoch(number), event)) {
                if let Delivery::Message { data, .. } = delivery {
                    self.delivered.push((name.clone(), data.to_vec()));
                    let text = String::from_utf8_lossy(data);
                    self.log.push(format!("{name}: {text}"));
                } else if !matches!(delivery, Delivery::Goodbye(_)) {
                    self.log.push(format!("{name}: {delivery:?}"));
                }
            }
            if matches!(event, Event::Closed(_) | Event::Failed(_)) {
                self.seats.remove(&number);
            }
        }
        self.drain();
    }

    pub fn drop_socket(&mut self, number: u32) {
        self.event(number, Event::Closed(Close::default()));
    }

    /// Every name is a principal of its own; "anyone" is nobody in particular, and "mallory" is refused.
    fn decide(&mut self, number: u32, who: &[u8]) {
        let secret = self.secret();
        let mut door = self.doors.remove(&number).unwrap();
        if who == b"mallory" {
            let config = &self.sessions.config().acceptor;
            door.refuse(config, self.now, code::UNAUTHENTICATED, Duration::ZERO, "go away");
            self.doors.insert(number, door);
            return;
        }
        let principal = match who {
            b"anyone" => Principal::ANYONE,
            _ => Principal::new(who.iter().fold(0, |hash, byte| hash * 251 + u64::from(*byte))),
        };
        let mut told = Vec::new();
        let admitted = self.sessions.admit(self.now, &mut door, principal, secret, |what| told.push(what));
        told.into_iter().for_each(|what| self.told(what));
        let Some(admitted) = admitted else {
            self.doors.insert(number, door);
            return;
        };
        self.admitted.push(admitted);
        let id = admitted.session;
        if let Some(replaced) = admitted.replaced {
            self.names.iter_mut().filter(|(known, _)| *known == replaced).for_each(|(known, _)| *known = id);
        }
        if !self.names.iter().any(|(known, _)| *known == id) {
            self.names.push((id, String::from_utf8_lossy(who).into_owned()));
        }
        self.seats.insert(number, id);
        if let Some((old, parting)) = admitted.superseded {
            self.give_back(old, parting);
        }
    }

    fn give_back(&mut self, old: Epoch, parting: everlink::acceptor::Parting) {
        if self.seats.remove(&old.get()).is_some() {
            let config = &self.sessions.config().acceptor;
            let door = Acceptor::parting(config, self.now, old, parting);
            self.doors.insert(old.get(), door);
        }
    }

    pub fn told(&mut self, told: Told) {
        self.acted += 1;
        match told {
            Told::Settled(id, settlement) => {
                let name = self.name(id);
                self.settled.push((name, settlement.id, settlement.outcome));
            }
            Told::Released(_, epoch, parting) => self.give_back(epoch, parting),
            Told::Ended(id) => {
                let name = self.name(id);
                self.log.push(format!("{name} ends"));
            }
        }
    }

    fn name(&self, id: SessionId) -> String {
        let known = self.names.iter().rev().find(|(known, _)| *known == id);
        known.map_or_else(|| id.to_string(), |(_, name)| name.clone())
    }

    // Sessions.

    /// Whether a session of this name ever was.
    pub fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|(_, known)| known == name)
    }

    /// Sockets that have a session.
    pub fn on_sockets(&self) -> Vec<u32> {
        self.seats.keys().copied().collect()
    }

    /// Whether this socket has a session.
    pub fn is_open(&self, number: u32) -> bool {
        self.seats.contains_key(&number)
    }

    pub const fn last_epoch(&self) -> u32 {
        self.last_epoch
    }

    /// The latest session of this name.
    pub fn id(&self, name: &str) -> SessionId {
        self.names.iter().rev().find(|(_, known)| known == name).unwrap().0
    }

    pub fn send(&mut self, name: &str, text: &str) -> Result<MessageId, Refused<Vec<u8>>> {
        self.send_message(name, Message::text(text.into()))
    }

    pub fn send_message(
        &mut self,
        name: &str,
        message: Message<Vec<u8>>,
    ) -> Result<MessageId, Refused<Vec<u8>>> {
        let (id, now) = (self.id(name), self.now);
        let mut displaced = Vec::new();
        let mut peer = self.sessions.peer(id).unwrap();
        let sent = peer.send(now, message, |gone, _| displaced.push((name.into(), gone.id, gone.outcome)));
        self.settled.extend(displaced);
        self.drain();
        sent
    }

    // Outputs.

    pub fn drain(&mut self) {
        loop {
            let before = self.acted;
            let numbers: Vec<_> = self.doors.keys().copied().collect();
            for number in numbers {
                self.drain_door(number);
            }
            let ids: Vec<_> = self.sessions.ids().collect();
            for id in ids {
                self.drain_peer(id);
            }
            self.expire();
            if self.acted == before {
                break;
            }
        }
    }

    fn drain_door(&mut self, number: u32) {
        let mut bound = 5;
        while let link::Next::Do(action) = self.doors.get_mut(&number).unwrap().poll() {
            bound -= 1;
            self.acted += 1;
            assert!(bound > 0, "draining ends");
            match action {
                link::Action::Flush { .. } if self.blocked.contains(&number) => {}
                link::Action::Flush { .. } => {
                    while let Some(frame) = self.doors.get_mut(&number).unwrap().pull() {
                        let bytes = [frame.head(), frame.payload()].concat();
                        self.write(number, bytes);
                    }
                }
                link::Action::Close { code, .. } => {
                    self.parted.push((number, Some(code)));
                    self.log.push(format!("{number}: close {code}"));
                }
                link::Action::Abandon { .. } => {
                    self.parted.push((number, None));
                    self.log.push(format!("{number}: abandon"));
                }
                other => panic!("{other:?}"),
            }
        }
        if self.doors[&number].is_done() {
            self.doors.remove(&number);
        }
    }

    fn drain_peer(&mut self, id: SessionId) {
        let mut bound = 10_000;
        while let Some(mut peer) = self.sessions.peer(id)
            && let Next::Do(action) = peer.poll()
        {
            bound -= 1;
            self.acted += 1;
            assert!(bound > 0, "draining ends");
            match action {
                Action::Flush { epoch } if self.blocked.contains(&epoch.get()) => {}
                Action::Flush { epoch } => {
                    let mut frames = Vec::new();
                    while let Some(frame) = peer.pull(epoch) {
                        frames.push([frame.head(), frame.payload()].concat());
                    }
                    frames.into_iter().for_each(|frame| self.write(epoch.get(), frame));
                }
                Action::Renew if self.renews => {
                    let secret = self.secret();
                    self.sessions.renew(self.now, id, secret);
                }
                Action::Renew => self.log.push("wants a secret".into()),
                Action::Release { epoch, parting } => self.give_back(epoch, parting),
                Action::Settled(settlement) => {
                    let name = self.name(id);
                    self.settled.push((name, settlement.id, settlement.outcome));
                }
            }
        }
    }

    fn write(&mut self, number: u32, frame: Vec<u8>) {
        for line in describe(&frame) {
            self.log.push(format!("{number}: {line}"));
        }
        self.wire.get_mut(&number).unwrap().push(frame);
    }

    /// What was seen since the last look.
    pub fn seen(&mut self) -> Vec<String> {
        self.drain();
        core::mem::take(&mut self.log)
    }

    /// The frames of a socket since the last look.
    pub fn fetch(&mut self, number: u32) -> Vec<Vec<u8>> {
        core::mem::take(self.wire.get_mut(&number).unwrap())
    }

    /// How many messages ended in this way.
    pub fn ended(&self, outcome: Outcome) -> usize {
        self.settled.iter().filter(|(_, _, end)| *end == outcome).count()
    }
}

/// The envelopes of a frame.
pub fn describe(frame: &[u8]) -> Vec<String> {
    let limits = Limits::default();
    let describe = |item| match item {
        Ok(Item::Envelope(envelope)) => match envelope {
            Envelope::Welcome(Welcome { resumed, received, from, .. }) => {
                let session = if resumed { "resumed" } else { "new" };
                format!("welcome {session}, received {received}, from {from}")
            }
            Envelope::Message { data, .. } => format!("message {}", String::from_utf8_lossy(data)),
            Envelope::Ack { received } => format!("ack {received}"),
            Envelope::Ping { .. } => "ping".into(),
            Envelope::Pong { nonce } => format!("pong {nonce}"),
            Envelope::Renewal { .. } => "renewal".into(),
            Envelope::Goodbye(Goodbye { code, retry_after, attempt, reason }) => {
                format!("goodbye {code}, retry {retry_after}, attempt {attempt}, {reason:?}")
            }
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    };
    Reader::new(frame, &limits).map(describe).collect()
}

/// The token of a welcome.
pub fn token_of(frame: &[u8]) -> Option<Vec<u8>> {
    let limits = Limits::default();
    Reader::new(frame, &limits).find_map(|item| match item {
        Ok(Item::Envelope(Envelope::Welcome(welcome))) => Some(welcome.token.reveal().to_vec()),
        _ => None,
    })
}

/// A client that forgets nothing, but for what a new session tells it to.
pub struct Client {
    pub who: String,
    pub counts: Counts,
    pub token: Vec<u8>,
    /// All tokens that it was ever given.
    pub tokens: Vec<Vec<u8>>,
    pub announced: Announced,
    /// What it has sent, or is to send, and what is not acknowledged; handed over in this order.
    pub unacknowledged: VecDeque<String>,
    /// How many of these the current socket has had.
    handed: usize,
    pub inbox: Vec<String>,
    pub in_doubt: Vec<String>,
    pub goodbyes: Vec<u16>,
    pub welcomes: Vec<bool>,
}

impl Client {
    pub fn new(who: &str) -> Client {
        Client {
            who: who.into(),
            counts: Counts::new(),
            token: Vec::new(),
            tokens: Vec::new(),
            announced: ANNOUNCED,
            unacknowledged: VecDeque::new(),
            handed: 0,
            inbox: Vec::new(),
            in_doubt: Vec::new(),
            goodbyes: Vec::new(),
            welcomes: Vec::new(),
        }
    }

    pub fn hello(&mut self) -> Vec<u8> {
        self.counts.begin_attempt();
        let greeting = self.counts.greeting(None).unwrap();
        encode(&[Envelope::Hello(Hello {
            version: VERSION,
            attempt: greeting.attempt,
            received: greeting.received,
            announced: self.announced,
            token: Token::new(&self.token),
            credentials: Credentials::new(self.who.as_bytes()),
        })])
    }

    /// What a socket brought.
    pub fn read(&mut self, frames: Vec<Vec<u8>>) {
        let limits = Limits::default();
        for frame in frames {
            for item in Reader::new(&frame, &limits) {
                let Ok(Item::Envelope(envelope)) = item else { panic!("{item:?}") };
                self.envelope(envelope);
            }
        }
    }

    fn envelope(&mut self, envelope: Envelope<'_>) {
        match envelope {
            Envelope::Welcome(welcome) => {
                self.welcomes.push(welcome.resumed);
                self.keep(welcome.token);
                self.handed = 0;
                if welcome.resumed {
                    let resumption = self.counts.resume(welcome.received, welcome.from).unwrap();
                    self.unacknowledged.drain(..resumption.acknowledged as usize);
                } else {
                    let doubtful = self.counts.restart(None) as usize;
                    self.in_doubt.extend(self.unacknowledged.drain(..doubtful));
                }
            }
            Envelope::Message { data, .. } => {
                if self.counts.receive(data.len() as u32) == Arrival::New {
                    self.inbox.push(String::from_utf8_lossy(data).into_owned());
                }
            }
            Envelope::Ack { received } => {
                let arrived = self.counts.acknowledged(received).unwrap() as usize;
                self.unacknowledged.drain(..arrived);
                self.handed -= arrived;
            }
            Envelope::Renewal { token, .. } => self.keep(token),
            Envelope::Goodbye(goodbye) => self.goodbyes.push(goodbye.code),
            _ => {}
        }
    }

    fn keep(&mut self, token: Token<'_>) {
        if !token.is_none() {
            self.token = token.reveal().to_vec();
            self.tokens.push(self.token.clone());
        }
    }

    pub fn queue(&mut self, text: &str) {
        self.unacknowledged.push_back(text.into());
    }

    /// What it has to say: an ack, if it owes one, and at most so many messages.
    pub fn write(&mut self, most: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        if let Some(received) = self.counts.ack(None) {
            frame.extend(encode(&[Envelope::Ack { received }]));
        }
        for _ in 0..most {
            let Some(text) = self.unacknowledged.get(self.handed) else { break };
            if self.handed == self.counts.in_flight() as usize {
                self.counts.number();
            }
            if !self.counts.hand_over(None) {
                break;
            }
            self.handed += 1;
            frame.extend(encode(&[Envelope::Message { kind: Kind::Text, data: text.as_bytes() }]));
        }
        frame
    }

    /// The socket is gone.
    pub fn detach(&mut self) {
        self.counts.detach();
        self.handed = 0;
    }
}

/// A server with this client on socket 1, confirmed; what was seen is taken as read.
pub fn connected(who: &str, change: impl FnOnce(&mut Config)) -> (Server, Client) {
    let mut server = Server::new(change);
    let mut client = Client::new(who);
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    server.seen();
    (server, client)
}

/// All that each has for the other goes over.
pub fn talk(server: &mut Server, number: u32, client: &mut Client) {
    loop {
        let frames = server.fetch(number);
        let none = frames.is_empty();
        client.read(frames);
        let said = client.write(1_000);
        if none && said.is_empty() {
            break;
        }
        server.frame(number, &said);
    }
}
