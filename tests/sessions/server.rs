//! The server: what an adapter and an application would be.

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::acceptor::{Principal, Secret, SessionId};
use everlink::link::{Close, Epoch, Event};
use everlink::outbox::{Kind, Message, MessageId, Outcome, Refused};
use everlink::peer::{
    Action, Admitted, Config, Connection, ConnectionAction, ConnectionNext, Delivery, Heard, Input, Next,
    Sessions, Told,
};
use everlink::time::Instant;
use everlink::wire::native::{Envelope, Goodbye, Item, Limits, Reader, Welcome, code};

use super::client::Client;

fn epoch(number: u32) -> Epoch {
    Epoch::new(number).unwrap()
}

/// A line for each thing that was done; none, where nobody reads them.
struct Log(Option<Vec<String>>);

impl Log {
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Log(Some(lines)) = self {
            lines.push(line());
        }
    }

    fn emptied(self) -> Log {
        Log(self.0.map(|_| Vec::new()))
    }
}

pub struct Server {
    pub sessions: Sessions<Vec<u8>>,
    pub now: Instant,
    connections: BTreeMap<u32, Connection>,
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
    log: Log,
    slots: u32,
    /// What each session delivered, by its name.
    pub delivered: Vec<(String, Vec<u8>)>,
    pub settled: Vec<(String, MessageId, Outcome)>,
    pub admitted: Vec<Admitted>,
    /// In durable mode: what is to be stored.
    pub asked: Vec<(SessionId, u64)>,
}

impl Server {
    pub fn new(change: impl FnOnce(&mut Config)) -> Server {
        Server::with_seed(7, 4096, change)
    }

    /// One of a great many: with room for this many messages, and nothing of what it does is written down.
    pub fn quiet(slots: u32, change: impl FnOnce(&mut Config)) -> Server {
        Server { log: Log(None), ..Server::with_seed(7, slots, change) }
    }

    fn with_seed(seed: u64, slots: u32, change: impl FnOnce(&mut Config)) -> Server {
        let mut config = Config::default();
        change(&mut config);
        Server {
            sessions: Sessions::new(config, seed, slots).unwrap(),
            slots,
            now: Instant::ORIGIN,
            connections: BTreeMap::new(),
            names: Vec::new(),
            last_epoch: 0,
            secrets: 0,
            acted: 0,
            renews: true,
            wire: BTreeMap::new(),
            parted: Vec::new(),
            blocked: Vec::new(),
            log: Log(Some(Vec::new())),
            delivered: Vec::new(),
            settled: Vec::new(),
            admitted: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn secret(&mut self) -> Secret {
        self.secrets += 1;
        let mut bytes = [0xA5; 16];
        bytes[..8].copy_from_slice(&self.secrets.to_le_bytes());
        Secret::new(bytes)
    }

    // The process.

    /// The states of all sessions.
    pub fn store(&mut self) -> Vec<Vec<u8>> {
        let ids: Vec<_> = self.sessions.ids().collect();
        let mut states = Vec::new();
        for id in ids {
            let mut state = Vec::new();
            assert!(self.sessions.store(self.now, id, |part| state.extend_from_slice(part)));
            states.push(state);
        }
        states
    }

    /// The process ends, and another one begins with these states, so much later; its clock begins anew.
    pub fn reborn(self, change: impl FnOnce(&mut Config), states: &[Vec<u8>], away: Duration) -> Server {
        let mut server = Server::with_seed(1_000 + self.secrets, self.slots, change);
        server.now = Instant::from_millis(17);
        for state in states {
            server.sessions.restore(server.now, state, away).unwrap();
        }
        Server {
            log: self.log.emptied(),
            names: self.names,
            // Sockets of before are nobody's.
            last_epoch: self.last_epoch,
            secrets: self.secrets,
            delivered: self.delivered,
            settled: self.settled,
            ..server
        }
    }

    // Time.

    pub fn pass_until(&mut self, millis: u64) {
        let end = Instant::from_millis(millis);
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
        let sessions = &mut self.sessions;
        let waits = self.connections.values_mut().filter_map(|connection| match connection.poll(sessions) {
            ConnectionNext::Wait(at) => Some(at),
            ConnectionNext::Idle => None,
            ConnectionNext::Do(action) => panic!("it was drained, and wants {action:?}"),
        });
        let connections = waits.min();
        let ids: Vec<_> = self.sessions.ids().collect();
        let peers = ids.iter().filter_map(|id| self.sessions.peer(*id).unwrap().deadline()).min();
        [connections, peers, self.sessions.deadline()].into_iter().flatten().min()
    }

    pub fn tick(&mut self) {
        for connection in self.connections.values_mut() {
            connection.tick(&mut self.sessions, self.now);
        }
        // Those that are on no socket have nobody else.
        let ids: Vec<_> = self.sessions.ids().collect();
        for id in ids {
            self.sessions.peer(id).unwrap().handle(self.now, Input::Tick);
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
        let connection = Connection::new(&self.sessions.config().acceptor, self.now, epoch(number));
        self.connections.insert(number, connection);
        self.wire.insert(number, Vec::new());
        number
    }

    /// Carries a socket that somebody else opened.
    pub fn adopt(&mut self, connection: Connection) {
        let number = connection.epoch().get();
        self.wire.insert(number, Vec::new());
        self.connections.insert(number, connection);
    }

    /// Opens a socket on which this client says hello; gives its number.
    pub fn connect(&mut self, client: &mut Client) -> u32 {
        let number = self.open();
        self.frame(number, &client.hello());
        number
    }

    pub fn frame(&mut self, number: u32, data: &[u8]) {
        self.hear_frame(number, data);
        self.drain();
    }

    pub fn event(&mut self, number: u32, event: Event<'_>) {
        self.hear(number, event);
        self.drain();
    }

    /// As [`Server::frame`]; what comes of it is done with the next drain.
    pub fn hear_frame(&mut self, number: u32, data: &[u8]) {
        self.hear(number, Event::Received(u32::try_from(data.len()).unwrap()));
        self.hear(number, Event::Frame { kind: Kind::Binary, data });
    }

    /// As [`Server::event`]; what comes of it is done with the next drain.
    pub fn hear(&mut self, number: u32, event: Event<'_>) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let session = connection.session();
        match connection.handle(&mut self.sessions, self.now, event) {
            Heard::Question(question) => {
                let who = question.credentials.reveal().to_vec();
                self.decide(number, &who);
            }
            Heard::Deliveries(deliveries) => {
                let name = session.map(|id| self.name(id)).unwrap_or_default();
                for delivery in deliveries {
                    if let Delivery::Message { data, .. } = delivery {
                        self.delivered.push((name.clone(), data.to_vec()));
                        self.log.note(|| format!("{name}: {}", String::from_utf8_lossy(data)));
                    } else if !matches!(delivery, Delivery::Goodbye(_)) {
                        self.log.note(|| format!("{name}: {delivery:?}"));
                    }
                }
            }
        }
    }

    pub fn drop_socket(&mut self, number: u32) {
        self.event(number, Event::Closed(Close::default()));
    }

    /// Every name is a principal of its own; "anyone" is nobody in particular, and "mallory" is refused.
    fn decide(&mut self, number: u32, who: &[u8]) {
        let secret = self.secret();
        let connection = self.connections.get_mut(&number).unwrap();
        if who == b"mallory" {
            connection.refuse(&self.sessions, self.now, code::UNAUTHENTICATED, Duration::ZERO, "go away");
            return;
        }
        let principal = principal(who);
        let (mut told, now) = (Vec::new(), self.now);
        let admitted = connection.admit(&mut self.sessions, now, principal, secret, |what| told.push(what));
        told.into_iter().for_each(|what| self.told(what));
        let Some(admitted) = admitted else { return };
        self.admitted.push(admitted);
        if let Some((old, parting)) = admitted.superseded
            && let Some(connection) = self.connections.get_mut(&old.get())
        {
            connection.part(&self.sessions, parting);
        }
        let id = admitted.session;
        if let Some(replaced) = admitted.replaced {
            self.names.iter_mut().filter(|(known, _)| *known == replaced).for_each(|(known, _)| *known = id);
        }
        if !self.names.iter().any(|(known, _)| *known == id) {
            self.names.push((id, String::from_utf8_lossy(who).into_owned()));
        }
    }

    pub fn told(&mut self, told: Told) {
        self.acted += 1;
        match told {
            Told::Settled(id, settlement) => {
                let name = self.name(id);
                self.settled.push((name, settlement.id, settlement.outcome));
            }
            Told::Request(..) => {}
            Told::Ended(id) => {
                let name = self.name(id);
                self.log.note(|| format!("{name} ends"));
            }
        }
    }

    fn name(&self, id: SessionId) -> String {
        let known = self.names.iter().rev().find(|(known, _)| *known == id);
        known.map_or_else(|| id.to_string(), |(_, name)| name.clone())
    }

    // Sessions.

    /// Who somebody of this name is.
    pub fn principal(&self, name: &str) -> Principal {
        principal(name.as_bytes())
    }

    /// Whether a session of this name ever was.
    pub fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|(_, known)| known == name)
    }

    /// Sockets that have a session.
    pub fn on_sockets(&self) -> Vec<u32> {
        self.connections.keys().copied().filter(|number| self.is_open(*number)).collect()
    }

    /// Whether this socket has a session.
    pub fn is_open(&self, number: u32) -> bool {
        self.connections.get(&number).is_some_and(|connection| connection.session().is_some())
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
            let numbers: Vec<_> = self.connections.keys().copied().collect();
            for number in numbers {
                self.drain_connection(number);
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

    fn drain_connection(&mut self, number: u32) {
        let mut bound = 10_000;
        while let connection = self.connections.get_mut(&number).unwrap()
            && let ConnectionNext::Do(action) = connection.poll(&mut self.sessions)
        {
            bound -= 1;
            self.acted += 1;
            assert!(bound > 0, "draining ends");
            match action {
                ConnectionAction::Flush if self.blocked.contains(&number) => {}
                ConnectionAction::Flush => {
                    let mut frames = Vec::new();
                    while let Some(frame) = connection.pull(&mut self.sessions) {
                        frames.push([frame.head(), frame.payload()].concat());
                    }
                    frames.into_iter().for_each(|frame| self.write(number, frame));
                }
                ConnectionAction::Close { code } => {
                    self.parted.push((number, Some(code)));
                    self.log.note(|| format!("{number}: close {code}"));
                }
                ConnectionAction::Abandon => {
                    self.parted.push((number, None));
                    self.log.note(|| format!("{number}: abandon"));
                }
                ConnectionAction::Store(id, version) => self.asked.push((id, version)),
                ConnectionAction::Renew(id) if self.renews => {
                    let secret = self.secret();
                    self.sessions.renew(self.now, id, secret);
                }
                ConnectionAction::Renew(_) => self.log.note(|| "wants a secret".into()),
                ConnectionAction::Settled(id, settlement) => self.told(Told::Settled(id, settlement)),
                ConnectionAction::Ended(id, ended) => self.told(Told::Request(id, ended)),
            }
        }
        if self.connections[&number].is_done() {
            self.connections.remove(&number);
        }
    }

    /// What a session that is on no socket has to tell.
    fn drain_peer(&mut self, id: SessionId) {
        while let Some(mut peer) = self.sessions.peer(id)
            && let Next::Do(action) = peer.poll()
        {
            match action {
                Action::Settled(settlement) => self.told(Told::Settled(id, settlement)),
                Action::Store { version } => self.asked.push((id, version)),
                action => panic!("{action:?} from a peer on no socket"),
            }
        }
    }

    fn write(&mut self, number: u32, frame: Vec<u8>) {
        if let Log(Some(lines)) = &mut self.log {
            lines.extend(describe(&frame).iter().map(|line| format!("{number}: {line}")));
        }
        self.wire.get_mut(&number).unwrap().push(frame);
    }

    /// What was seen since the last look.
    pub fn seen(&mut self) -> Vec<String> {
        self.drain();
        self.log.0.as_mut().map(core::mem::take).unwrap_or_default()
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

fn principal(who: &[u8]) -> Principal {
    match who {
        b"anyone" => Principal::ANYONE,
        _ => Principal::new(who.iter().fold(0, |hash, byte| hash * 251 + u64::from(*byte))),
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
