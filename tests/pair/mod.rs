//! A link and a server's sessions that keep a dialogue, joined by a wire that is as fast as light and loses whatever it is told to.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may be blunt, and uses what it needs"
)]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use everlink::acceptor::{Principal, Secret, SessionId};
use everlink::channels::SubscriptionId;
use everlink::dialogue::Content;
use everlink::link::{Action, Close, Config, Delivery, Epoch, Event, Input, Link, Next};
use everlink::outbox::Kind;
use everlink::peer::{self, Connection, ConnectionAction, ConnectionNext, Heard, Sessions, Told};
use everlink::requests::{Ended, RequestId};
use everlink::time::Instant;
use everlink::wire::Wire;
use everlink::wire::native::{Channel, Form, Limits, Request};

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Answer(String),
    Error(u32, String),
    None(everlink::requests::End),
}

/// One end's application.
#[derive(Debug, Default)]
pub struct Side {
    /// Requests that came, in order: what, and their arguments.
    pub asked: Vec<(u32, String)>,
    /// Those that are not answered yet.
    pub unanswered: Vec<(u64, u32, String)>,
    /// How own requests ended, by session (0 at a client) and id.
    pub ends: BTreeMap<(u64, u32), Vec<End>>,
    /// What else was told.
    pub told: Vec<String>,
    /// Messages that were settled.
    pub settled: Vec<u64>,
}

impl Side {
    fn ends(&mut self, session: u64, id: u32, end: End) {
        self.ends.entry((session, id)).or_default().push(end);
    }
}

pub struct Pair {
    pub now: Instant,
    pub link: Link<Vec<u8>>,
    pub sessions: Sessions<Vec<u8>>,
    pub config: peer::Config,
    pub client: Side,
    pub server: Side,
    /// Whether applications answer at once.
    pub prompt: bool,
    /// Whether the server grants subscriptions.
    pub grants: bool,
    /// What the client got on channels.
    pub broadcasts: Vec<(Option<SubscriptionId>, String)>,
    /// Whether sockets can be opened, and frames pass.
    pub open: bool,
    up: VecDeque<(Epoch, Vec<u8>)>,
    down: VecDeque<(Epoch, Vec<u8>)>,
    connections: BTreeMap<Epoch, Connection>,
    known: Vec<Epoch>,
    written: BTreeMap<Epoch, u64>,
    secrets: u8,
    /// The newest one.
    pub session: Option<SessionId>,
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn text(data: &[u8]) -> String {
    String::from_utf8(data.to_vec()).unwrap()
}

impl Pair {
    pub fn new(change: impl FnOnce(&mut Config, &mut peer::Config)) -> Pair {
        let mut link = Config { wire: Wire::Native(Limits::default()), ..Config::default() };
        link.backoff.attempts = None;
        let mut config = peer::Config::default();
        change(&mut link, &mut config);
        let mut link = Link::new(link, 7).unwrap();
        link.open_dialogue();
        link.handle(Instant::ORIGIN, Input::Start);
        let mut pair = Pair {
            now: Instant::ORIGIN,
            link,
            sessions: Self::sessions(&config, 7),
            config,
            client: Side::default(),
            server: Side::default(),
            prompt: true,
            grants: true,
            broadcasts: Vec::new(),
            open: true,
            up: VecDeque::new(),
            down: VecDeque::new(),
            connections: BTreeMap::new(),
            known: Vec::new(),
            written: BTreeMap::new(),
            secrets: 0,
            session: None,
        };
        pair.pass(ms(50));
        pair
    }

    fn sessions(config: &peer::Config, seed: u64) -> Sessions<Vec<u8>> {
        let mut sessions = Sessions::new(config.clone(), seed, 1024).unwrap();
        sessions.open_dialogues();
        sessions
    }

    /// How a request of the server to its client ended.
    pub fn server_ends(&self, id: RequestId) -> &[End] {
        let session = self.session.map_or(0, SessionId::number);
        self.server.ends.get(&(session, id.get())).map_or(&[], |ends| ends)
    }

    /// The client's session at the server, if there is one.
    pub fn peer(&mut self) -> Option<peer::Peer<'_, Vec<u8>>> {
        self.sessions.peer(self.session?)
    }

    /// Time passes, and all that is due happens.
    pub fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        self.settle();
        loop {
            let mut next = self.link.deadline().into_iter().chain(self.sessions.deadline()).min();
            let numbers: Vec<Epoch> = self.connections.keys().copied().collect();
            for epoch in numbers {
                let connection = self.connections.get_mut(&epoch).unwrap();
                if let ConnectionNext::Wait(at) = connection.poll(&mut self.sessions) {
                    next = next.into_iter().chain([at]).min();
                }
            }
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.handle(Input::Tick);
            let epochs: Vec<Epoch> = self.connections.keys().copied().collect();
            for epoch in epochs {
                self.connections.get_mut(&epoch).unwrap().tick(&mut self.sessions, self.now);
            }
            self.sweep();
            self.settle();
        }
        self.now = self.now.max(end);
    }

    fn sweep(&mut self) {
        let mut heard = Vec::new();
        self.sessions.expire(self.now, |told| heard.push(told));
        heard.into_iter().for_each(|told| self.told(told));
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Settled(_, settlement) => self.server.settled.push(settlement.id.sequence()),
            Told::Request(session, Ended { id, end }) => {
                self.server.ends(session.number(), id.get(), End::None(end))
            }
            Told::Ended(_) => {}
        }
    }

    pub fn handle(&mut self, input: Input<'_>) {
        let deliveries: Vec<_> = self.link.handle(self.now, input).collect();
        for delivery in deliveries {
            self.client_hears(&delivery);
        }
    }

    fn client_hears(&mut self, delivery: &Delivery<'_>) {
        match *delivery {
            Delivery::Request(Request { id, form, name, data, .. }) => {
                self.client.asked.push((id, text(data)));
                if form == Form::Event {
                    return;
                }
                let words = format!("{name} {}", text(data));
                if self.prompt {
                    self.respond(id, &words);
                } else {
                    self.client.unanswered.push((0, id, words));
                }
            }
            Delivery::Response { id, data, .. } => self.client.ends(0, id, End::Answer(text(data))),
            Delivery::Error { id, code, reason } => self.client.ends(0, id, End::Error(code, reason.into())),
            Delivery::Published { id, code: 0, .. } => {
                self.client.ends(0, id, End::Answer("published".into()))
            }
            Delivery::Published { id, code, reason } => {
                self.client.ends(0, id, End::Error(code, reason.into()))
            }
            Delivery::Broadcast { channel, data, .. } => {
                let Channel::Name(_) = channel else { panic!("the server calls channels by their names") };
                self.broadcasts.push((self.link.subscription_to(channel), text(data)));
            }
            Delivery::Message { data, .. } => self.client.told.push(text(data)),
            other => self.client.told.push(format!("{other:?}")),
        }
    }

    fn respond(&mut self, id: u32, words: &str) {
        let settled = &mut self.client.settled;
        let gone = |end: everlink::outbox::Settlement, _| settled.push(end.id.sequence());
        // If there is no room, whoever asked is left to its time-out.
        let _ = self.link.respond(self.now, id, Content::Text(words), gone);
    }

    fn server_hears(&mut self, session: SessionId, delivery: &Delivery<'_>) {
        let (now, prompt, grants) = (self.now, self.prompt, self.grants);
        let side = &mut self.server;
        let Some(mut peer) = self.sessions.peer(session) else { return };
        match *delivery {
            Delivery::Request(Request { id, form, name, data, .. }) => {
                side.asked.push((id, text(data)));
                if form == Form::Event {
                    return;
                }
                let words = format!("{name} {}", text(data));
                if prompt {
                    let _ = peer.respond(now, id, Content::Text(&words), |_, _| ());
                } else {
                    side.unanswered.push((session.number(), id, words));
                }
            }
            Delivery::Response { id, data, .. } => side.ends(session.number(), id, End::Answer(text(data))),
            Delivery::Error { id, code, reason } => {
                side.ends(session.number(), id, End::Error(code, reason.into()))
            }
            Delivery::Subscribe { id, channel } if grants => {
                let _ = peer.accept(now, id, channel, |_, _| ());
            }
            Delivery::Subscribe { id, .. } => {
                let _ = peer.refuse(now, id, 7, "not yours", |_, _| ());
            }
            Delivery::Unsubscribe { id, channel: Channel::Name(name) } => {
                let _ = peer.leave(now, id, name, |_, _| ());
            }
            Delivery::Publish { id, channel: Channel::Name(name), data, .. } => {
                let _ = peer.confirm(now, id, |_, _| ());
                let (name, data) = (name.to_owned(), text(data));
                let _ = self.sessions.broadcast(now, &name, Content::Text(&data), |_, _, _| (), |_| ());
            }
            Delivery::Message { data, .. } => side.told.push(text(data)),
            other => side.told.push(format!("{other:?}")),
        }
    }

    /// Both applications answer what they owe.
    pub fn answer_all(&mut self) {
        for (_, id, words) in core::mem::take(&mut self.client.unanswered) {
            self.respond(id, &words);
        }
        let now = self.now;
        for (session, id, words) in core::mem::take(&mut self.server.unanswered) {
            let known = self.sessions.ids().find(|id| id.number() == session);
            if let Some(mut peer) = known.and_then(|id| self.sessions.peer(id)) {
                let _ = peer.respond(now, id, Content::Text(&words), |_, _| ());
            }
        }
        self.settle();
    }

    /// Until nothing more happens at this time.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !(self.drain_client() | self.drain_server() | self.carry()) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn drain_client(&mut self) -> bool {
        let mut acted = false;
        while let Next::Do(action) = self.link.poll() {
            acted = true;
            match action {
                Action::Open { epoch, .. } if self.open => {
                    self.known.push(epoch);
                    self.handle(Input::Socket(epoch, Event::Opened));
                    let connection = Connection::new(&self.config.acceptor, self.now, epoch);
                    self.connections.insert(epoch, connection);
                }
                Action::Open { epoch, .. } => {
                    self.handle(Input::Socket(epoch, Event::Closed(Close::default())))
                }
                Action::Abandon { epoch } => self.cut(epoch),
                Action::Close { epoch, .. } => {
                    self.settle_up();
                    self.cut(epoch);
                    self.handle(Input::Socket(epoch, Event::Closed(Close::default())));
                }
                Action::Ping { epoch, nonce } => {
                    let frame = self.link.ping_frame(nonce);
                    self.up.push_back((epoch, [frame.head(), frame.payload()].concat()));
                }
                Action::Pong { epoch } => {
                    let frame = self.link.pong_frame();
                    self.up.push_back((epoch, [frame.head(), frame.payload()].concat()));
                }
                Action::Flush { epoch } => {
                    while let Some(frame) = self.link.pull(epoch) {
                        *self.written.entry(epoch).or_default() += frame.payload().len() as u64;
                        self.up.push_back((epoch, [frame.head(), frame.payload()].concat()));
                    }
                    let written = self.written.get(&epoch).copied().unwrap_or(0);
                    self.handle(Input::Socket(epoch, Event::Written(written)));
                    self.handle(Input::Socket(epoch, Event::Writable));
                }
                Action::Settled(settlement) => self.client.settled.push(settlement.id.sequence()),
                Action::Ended(Ended { id, end }) => self.client.ends(0, id.get(), End::None(end)),
                Action::Store { version } => self.handle(Input::Stored(version)),
                Action::Status { .. } | Action::RetryScheduled { .. } | Action::Quality { .. } => {}
            }
        }
        acted
    }

    fn drain_server(&mut self) -> bool {
        let mut acted = false;
        let epochs: Vec<Epoch> = self.connections.keys().copied().collect();
        for epoch in epochs {
            while let Some(connection) = self.connections.get_mut(&epoch)
                && let ConnectionNext::Do(action) = connection.poll(&mut self.sessions)
            {
                acted = true;
                match action {
                    ConnectionAction::Abandon | ConnectionAction::Close { .. } => {
                        self.carry();
                        self.cut(epoch);
                        self.handle(Input::Socket(epoch, Event::Closed(Close::default())));
                    }
                    ConnectionAction::Flush => {
                        while let Some(frame) = connection.pull(&mut self.sessions) {
                            self.down.push_back((epoch, [frame.head(), frame.payload()].concat()));
                        }
                        connection.handle(&mut self.sessions, self.now, Event::Writable);
                    }
                    ConnectionAction::Renew(session) => {
                        self.secrets = self.secrets.wrapping_add(1);
                        self.sessions.renew(self.now, session, Secret::new([self.secrets; 16]));
                    }
                    ConnectionAction::Settled(id, settlement) => self.told(Told::Settled(id, settlement)),
                    ConnectionAction::Ended(id, ended) => self.told(Told::Request(id, ended)),
                    ConnectionAction::Store(id, version) => self.sessions.stored(self.now, id, version),
                }
            }
        }
        self.sweep();
        acted
    }

    fn settle_up(&mut self) {
        while let Some((epoch, frame)) = self.up.pop_front() {
            self.arrive(epoch, &frame);
        }
    }

    /// Carries what is on its way.
    fn carry(&mut self) -> bool {
        if !self.open {
            return false;
        }
        let mut acted = false;
        while let Some((epoch, frame)) = self.up.pop_front() {
            acted = true;
            self.arrive(epoch, &frame);
        }
        while let Some((epoch, frame)) = self.down.pop_front() {
            acted = true;
            self.handle(Input::Socket(epoch, Event::Frame { kind: Kind::Binary, data: &frame }));
        }
        acted
    }

    fn arrive(&mut self, epoch: Epoch, frame: &[u8]) {
        let Some(connection) = self.connections.get_mut(&epoch) else { return };
        let event = Event::Frame { kind: Kind::Binary, data: frame };
        match connection.handle(&mut self.sessions, self.now, event) {
            Heard::Question(_) => {
                self.secrets = self.secrets.wrapping_add(1);
                let secret = Secret::new([self.secrets; 16]);
                let mut heard = Vec::new();
                let who = Principal::new(1);
                let admitted =
                    connection.admit(&mut self.sessions, self.now, who, secret, |told| heard.push(told));
                self.session = admitted.map(|admitted| admitted.session).or(self.session);
                heard.into_iter().for_each(|told| self.told(told));
            }
            Heard::Deliveries(deliveries) => {
                let Some(session) = connection.session() else { return };
                let deliveries: Vec<_> = deliveries.collect();
                for delivery in deliveries {
                    self.server_hears(session, &delivery);
                }
            }
        }
    }

    /// A socket is no more, and what was on it is lost.
    fn cut(&mut self, epoch: Epoch) {
        self.up.retain(|(of, _)| *of != epoch);
        self.down.retain(|(of, _)| *of != epoch);
        if let Some(mut connection) = self.connections.remove(&epoch) {
            connection.handle(&mut self.sessions, self.now, Event::Closed(Close::default()));
            // Whoever carries it is told what became of the session.
            for _ in 0..100 {
                let ConnectionNext::Do(action) = connection.poll(&mut self.sessions) else { break };
                match action {
                    ConnectionAction::Settled(id, settlement) => self.told(Told::Settled(id, settlement)),
                    ConnectionAction::Ended(id, ended) => self.told(Told::Request(id, ended)),
                    _ => {}
                }
            }
        }
        self.known.retain(|known| *known != epoch);
    }

    /// All sockets die, with what is on them; both ends see it.
    pub fn break_sockets(&mut self) {
        for epoch in self.known.clone() {
            self.cut(epoch);
            self.handle(Input::Socket(epoch, Event::Closed(Close::default())));
        }
    }

    /// The server's process ends, and another one begins that knows nothing.
    pub fn restart_server(&mut self) {
        self.break_sockets();
        self.secrets = self.secrets.wrapping_add(50);
        self.sessions = Self::sessions(&self.config, 7 + u64::from(self.secrets));
        self.server = Side { asked: core::mem::take(&mut self.server.asked), ..Side::default() };
    }

    /// The server's process stores what it knows and ends; another one begins with that.
    pub fn hand_over_server(&mut self) {
        self.break_sockets();
        self.settle();
        let mut states = Vec::new();
        for id in self.sessions.ids().collect::<Vec<_>>() {
            let mut state = Vec::new();
            assert!(self.sessions.store(self.now, id, |part| state.extend_from_slice(part)));
            states.push(state);
        }
        self.secrets = self.secrets.wrapping_add(50);
        self.sessions = Self::sessions(&self.config, 7 + u64::from(self.secrets));
        for state in states {
            self.sessions.restore(self.now, &state, Duration::ZERO).unwrap();
        }
        self.server = Side { asked: core::mem::take(&mut self.server.asked), ..Side::default() };
    }

    /// The client's process stores what it knows and ends; another one begins with that, and keeps no dialogue yet.
    pub fn hand_over_client(&mut self) {
        self.break_sockets();
        self.settle();
        let mut state = Vec::new();
        self.link.store(self.now, |part| state.extend_from_slice(part));
        let config = self.link.config().clone();
        self.link = Link::restore(config, 11, &state, self.now, Duration::ZERO).unwrap();
        let mut again = Vec::new();
        self.link.store(self.now, |part| again.extend_from_slice(part));
        assert_eq!(again, state, "what is restored is stored the same");
        self.handle(Input::Start);
    }

    #[track_caller]
    pub fn client_end(&self, id: RequestId) -> &End {
        let ends = self.client.ends.get(&(0, id.get())).expect("it has ended");
        assert_eq!(ends.len(), 1, "{id} has ended more than once: {ends:?}");
        &ends[0]
    }
}
