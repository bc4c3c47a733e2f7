//! A server in the simulated world: what an adapter and an application would be.

use core::time::Duration;
use std::collections::BTreeMap;

use everlink::acceptor::{Principal, Secret, SessionId};
use everlink::dialogue::{Ask, Content};
use everlink::link::{Close, Epoch, Event};
use everlink::outbox::{Kind, Message, MessageId, Outcome};
use everlink::peer::Action;
use everlink::peer::{
    Config, Connection, ConnectionAction, ConnectionNext, Delivery, Heard, Input, Next, Sessions, Told,
};
use everlink::requests::{Ended, RequestId};
use everlink::sim::{ConnectionId, Out, Server};
use everlink::time::Instant;
use everlink::wire::native::{Channel, Request};

use super::ledger::Owner;

/// What the server's application saw.
#[derive(Debug)]
pub enum Seen {
    Got(Vec<u8>),
    Settled(Owner, MessageId, Outcome),
    /// The process was killed, and what it was restored from does not know of this.
    NotAccepted(Owner, MessageId),
    NotSettled(Owner, MessageId),
    NotGot(Vec<u8>),
    /// The client asked for it, and it was done.
    Asked(Vec<u8>),
    /// Another process does not know that it was.
    NotAsked(Vec<u8>),
    /// Another process waits for no answers.
    Restarted,
    /// What was asked of the client of this session is answered, or refused.
    Answered(u64, u32, Result<(), u32>),
    /// Or it ended otherwise.
    Ended(u64, Ended),
}

/// What a session's application saw and did since it began: what is after the last stored state is undone by a kill.
#[derive(Debug)]
enum Done {
    Accepted(MessageId),
    Settled(MessageId),
    Got(Vec<u8>),
    Asked(Vec<u8>),
}

/// What is kept of a session in durable mode.
#[derive(Debug, Default)]
struct Kept {
    journal: Vec<Done>,
    /// On its way to the disk: when it will be there, its version, itself, and how much of the journal it has.
    storing: Option<(Instant, u64, Vec<u8>, usize)>,
    /// On the disk.
    state: Option<Vec<u8>>,
    stored: usize,
}

pub struct Host {
    config: Config,
    sessions: Sessions<Vec<u8>>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Sessions by number, over all incarnations of the process.
    owners: Vec<(SessionId, Owner)>,
    last_owner: Owner,
    current: Option<SessionId>,
    secrets: u64,
    next: Option<Instant>,
    /// Whether the next restart loses all sessions.
    pub forgets: bool,
    pub seen: Vec<Seen>,
    /// How often something befell a session, over all incarnations.
    pub opened: u64,
    pub resumed: u64,
    pub ended: u64,
    pub sockets: u64,
    /// Owners whose process is gone.
    pub lost: Vec<Owner>,
    kept: BTreeMap<SessionId, Kept>,
    /// How many states were stored.
    pub stored: u64,
}

impl Host {
    pub fn new(config: Config) -> Host {
        Host {
            sessions: Host::sessions(&config),
            config,
            connections: BTreeMap::new(),
            owners: Vec::new(),
            last_owner: 0,
            current: None,
            secrets: 0,
            next: None,
            forgets: false,
            seen: Vec::new(),
            opened: 0,
            resumed: 0,
            ended: 0,
            sockets: 0,
            lost: Vec::new(),
            kept: BTreeMap::new(),
            stored: 0,
        }
    }

    fn sessions(config: &Config) -> Sessions<Vec<u8>> {
        let mut sessions =
            Sessions::new(config.clone(), 7, config.outbox.messages.saturating_mul(4)).unwrap();
        sessions.open_dialogues();
        sessions
    }

    fn secret(&mut self) -> Secret {
        self.secrets += 1;
        let mut bytes = [0xA5; 16];
        bytes[..8].copy_from_slice(&self.secrets.to_le_bytes());
        Secret::new(bytes)
    }

    fn owner(&self, id: SessionId) -> Owner {
        self.owners.iter().find(|(known, _)| *known == id).map_or(0, |(_, owner)| *owner)
    }

    /// The owner of what is said to the client now.
    pub fn speaker(&self) -> Option<Owner> {
        self.current.map(|id| self.owner(id))
    }

    /// How many clients have subscribed to a channel.
    pub fn subscribers(&self, channel: &str) -> usize {
        self.sessions.subscribers(channel)
    }

    /// How many sessions there are.
    pub fn len(&self) -> u32 {
        self.sessions.len()
    }

    /// Says something to the client, if it is known.
    pub fn say(&mut self, now: Instant, message: Message<Vec<u8>>, out: &mut Out) -> Option<MessageId> {
        let id = self.current?;
        let owner = self.owner(id);
        let mut peer = self.sessions.peer(id)?;
        let mut gone = Vec::new();
        let sent = peer.send(now, message, |settlement, _| gone.push(settlement));
        for settlement in gone {
            self.done(id, Done::Settled(settlement.id));
            self.seen.push(Seen::Settled(owner, settlement.id, settlement.outcome));
        }
        if let Ok(sent) = &sent {
            self.done(id, Done::Accepted(*sent));
        }
        self.drain(now, out);
        sent.ok()
    }

    /// Takes something back.
    pub fn cancel(&mut self, now: Instant, id: MessageId, out: &mut Out) -> bool {
        let Some(mut peer) = self.current.and_then(|session| self.sessions.peer(session)) else {
            return false;
        };
        let (session, cancelled) = (peer.session(), peer.cancel(id).is_some());
        if cancelled {
            self.done(session, Done::Settled(id));
        }
        self.drain(now, out);
        cancelled
    }

    /// Asks something of the client, if it is known. Gives the session's number and the request's.
    pub fn ask(&mut self, now: Instant, ask: &Ask<'_>, out: &mut Out) -> Option<(u64, RequestId)> {
        let id = self.current?;
        let (owner, mut gone) = (self.owner(id), Vec::new());
        let asked = self.sessions.peer(id)?.request(now, ask, |settlement, _| gone.push(settlement));
        self.displaced(id, owner, gone);
        self.drain(now, out);
        Some((id.number(), asked.ok()?))
    }

    /// For all that have subscribed.
    pub fn publish(&mut self, now: Instant, channel: &str, content: Content<'_>, out: &mut Out) {
        let mut gone = Vec::new();
        let displaced = |id, settlement, _| gone.push((id, settlement));
        // Nobody may be there.
        let _ = self.sessions.broadcast(now, channel, content, displaced, |_| ());
        for (id, settlement) in gone {
            self.displaced(id, self.owner(id), vec![settlement]);
        }
        self.drain(now, out);
    }

    fn displaced(&mut self, id: SessionId, owner: Owner, gone: Vec<everlink::outbox::Settlement>) {
        for settlement in gone {
            self.done(id, Done::Settled(settlement.id));
            self.seen.push(Seen::Settled(owner, settlement.id, settlement.outcome));
        }
    }

    /// The application does at once what it is asked.
    fn spoken(&mut self, now: Instant, id: SessionId, delivery: &Delivery<'_>) {
        let (owner, mut gone) = (self.owner(id), Vec::new());
        let Some(mut peer) = self.sessions.peer(id) else { return };
        let displaced = |settlement, _| gone.push(settlement);
        // Where there is no room for the answer, the client's own time-out has to do.
        match *delivery {
            Delivery::Request(Request { id: request, data, .. }) => {
                self.seen.push(Seen::Asked(data.to_vec()));
                let _ = peer.respond(now, request, Content::Text("done"), displaced);
                self.done(id, Done::Asked(data.to_vec()));
            }
            Delivery::Subscribe { id: order, channel } => {
                let _ = peer.accept(now, order, channel, displaced);
            }
            Delivery::Unsubscribe { id: order, channel: Channel::Name(name) } => {
                let _ = peer.leave(now, order, name, displaced);
            }
            Delivery::Response { id: request, .. } => {
                self.seen.push(Seen::Answered(id.number(), request, Ok(())));
            }
            Delivery::Error { id: request, code, .. } => {
                self.seen.push(Seen::Answered(id.number(), request, Err(code)));
            }
            _ => {}
        }
        self.displaced(id, owner, gone);
    }

    fn hear(&mut self, now: Instant, number: ConnectionId, event: Event<'_>) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match connection.handle(&mut self.sessions, now, event) {
            Heard::Question(_) => self.admit(now, number),
            Heard::Deliveries(deliveries) => {
                let deliveries: Vec<_> = deliveries.collect();
                let session = self.connections.get(&number).and_then(Connection::session);
                for delivery in deliveries {
                    let Delivery::Message { data, .. } = delivery else {
                        if let Some(session) = session {
                            self.spoken(now, session, &delivery);
                        }
                        continue;
                    };
                    let data = data.to_vec();
                    if let Some(session) = session {
                        self.done(session, Done::Got(data.clone()));
                    }
                    self.seen.push(Seen::Got(data));
                }
            }
        }
    }

    fn admit(&mut self, now: Instant, number: ConnectionId) {
        let secret = self.secret();
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let mut told = Vec::new();
        let admitted =
            connection.admit(&mut self.sessions, now, Principal::ANYONE, secret, |what| told.push(what));
        told.into_iter().for_each(|what| self.told(what));
        let Some(admitted) = admitted else { return };
        if let Some((old, parting)) = admitted.superseded
            && let Some(connection) = self.connections.get_mut(&old.get())
        {
            connection.part(&self.sessions, parting);
        }
        if admitted.resumed {
            self.resumed += 1;
        } else {
            self.opened += 1;
        }
        let owner = match admitted.replaced {
            Some(replaced) => self.owner(replaced),
            None if admitted.resumed => self.owner(admitted.session),
            None => {
                self.last_owner += 1;
                self.last_owner
            }
        };
        if let Some(replaced) = admitted.replaced {
            self.kept.remove(&replaced);
        }
        self.owners.retain(|(known, _)| *known != admitted.session);
        self.owners.push((admitted.session, owner));
        self.current = Some(admitted.session);
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Settled(id, settlement) => {
                self.done(id, Done::Settled(settlement.id));
                self.seen.push(Seen::Settled(self.owner(id), settlement.id, settlement.outcome));
            }
            Told::Request(id, ended) => self.seen.push(Seen::Ended(id.number(), ended)),
            Told::Ended(id) => {
                self.kept.remove(&id);
                self.ended += 1;
            }
        }
    }

    // In durable mode.

    fn done(&mut self, session: SessionId, what: Done) {
        if self.config.delivery.durable {
            self.kept.entry(session).or_default().journal.push(what);
        }
    }

    /// The disk takes its time, now and then none.
    fn store(&mut self, now: Instant, session: SessionId, version: u64) {
        let mut state = Vec::new();
        assert!(self.sessions.store(now, session, |part| state.extend_from_slice(part)));
        let takes = Duration::from_millis((self.stored * 37 % 11) * (self.stored * 53 % 17));
        let kept = self.kept.entry(session).or_default();
        kept.storing = Some((now + takes, version, state, kept.journal.len()));
        self.stored += 1;
        self.disk_turns(now);
    }

    fn disk_turns(&mut self, now: Instant) {
        for (session, kept) in &mut self.kept {
            if let Some((_, version, state, len)) = kept.storing.take_if(|(at, ..)| *at <= now) {
                (kept.state, kept.stored) = (Some(state), len);
                self.sessions.stored(now, *session, version);
            }
        }
    }

    /// The process begins again with what is on the disk, and undoes what is not.
    fn restore(&mut self, now: Instant, away: Duration) {
        self.sessions = Host::sessions(&self.config);
        let kept = core::mem::take(&mut self.kept);
        for (session, mut kept) in kept {
            let owner = self.owner(session);
            for done in kept.journal.drain(kept.stored..).rev() {
                self.seen.push(match done {
                    Done::Accepted(id) => Seen::NotAccepted(owner, id),
                    Done::Settled(id) => Seen::NotSettled(owner, id),
                    Done::Got(data) => Seen::NotGot(data),
                    Done::Asked(what) => Seen::NotAsked(what),
                });
            }
            kept.storing = None;
            if let Some(state) = &kept.state {
                assert_eq!(self.sessions.restore(now, state, away), Ok(session));
                self.kept.insert(session, kept);
            } else {
                // Its client has never heard of it.
                self.opened -= 1;
                self.owners.retain(|(known, _)| *known != session);
                self.current = self.current.filter(|current| *current != session);
            }
        }
        self.seen.push(Seen::Restarted);
    }

    fn expire(&mut self, now: Instant) {
        let mut told = Vec::new();
        self.sessions.expire(now, |what| told.push(what));
        told.into_iter().for_each(|what| self.told(what));
    }

    fn drain(&mut self, now: Instant, out: &mut Out) {
        let numbers: Vec<_> = self.connections.keys().copied().collect();
        self.next = None;
        for number in numbers {
            self.drain_connection(now, number, out);
        }
        self.expire(now);
        let ids: Vec<_> = self.sessions.ids().collect();
        for id in ids {
            self.drain_peer(now, id);
        }
        self.wake(self.sessions.deadline());
        let stored = self.kept.values().filter_map(|kept| Some(kept.storing.as_ref()?.0)).min();
        self.wake(stored);
    }

    fn wake(&mut self, at: Option<Instant>) {
        self.next = [self.next, at].into_iter().flatten().min();
    }

    fn drain_connection(&mut self, now: Instant, number: ConnectionId, out: &mut Out) {
        while let Some(connection) = self.connections.get_mut(&number) {
            match connection.poll(&mut self.sessions) {
                ConnectionNext::Do(ConnectionAction::Flush) => {
                    while let Some(frame) = connection.pull(&mut self.sessions) {
                        out.message(number, Kind::Binary, [frame.head(), frame.payload()].concat());
                    }
                }
                ConnectionNext::Do(ConnectionAction::Close { code }) => out.close(number, code),
                ConnectionNext::Do(ConnectionAction::Abandon) => {
                    out.abandon(number);
                    self.connections.remove(&number);
                }
                ConnectionNext::Do(ConnectionAction::Store(session, version)) => {
                    self.store(now, session, version);
                }
                ConnectionNext::Do(ConnectionAction::Renew(id)) => {
                    let secret = self.secret();
                    self.sessions.renew(now, id, secret);
                }
                ConnectionNext::Do(ConnectionAction::Ended(id, ended)) => self.told(Told::Request(id, ended)),
                ConnectionNext::Do(ConnectionAction::Settled(id, settlement)) => {
                    self.told(Told::Settled(id, settlement));
                }
                ConnectionNext::Wait(at) => {
                    let done = connection.is_done();
                    self.wake(Some(at).filter(|_| !done));
                    break;
                }
                ConnectionNext::Idle => break,
            }
        }
        if self.connections.get(&number).is_some_and(Connection::is_done) {
            self.connections.remove(&number);
        }
    }

    /// What a session that is on no socket has to tell.
    fn drain_peer(&mut self, now: Instant, id: SessionId) {
        loop {
            let Some(mut peer) = self.sessions.peer(id) else { return };
            match peer.poll() {
                Next::Do(Action::Ended(ended)) => self.told(Told::Request(id, ended)),
                Next::Do(Action::Settled(settlement)) => self.told(Told::Settled(id, settlement)),
                Next::Do(Action::Store { version }) => self.store(now, id, version),
                // What else there is to do, whoever carries its socket is told.
                Next::Do(_) | Next::Idle => return,
                Next::Wait(at) => return self.wake(Some(at)),
            }
        }
    }
}

impl Server for Host {
    fn opened(&mut self, now: Instant, number: ConnectionId, out: &mut Out) {
        self.sockets += 1;
        let epoch = Epoch::new(number).unwrap();
        self.connections.insert(number, Connection::new(&self.config.acceptor, now, epoch));
        self.drain(now, out);
    }

    fn message(&mut self, now: Instant, number: ConnectionId, kind: Kind, data: &[u8], out: &mut Out) {
        let bytes = u32::try_from(data.len()).unwrap();
        self.hear(now, number, Event::Received(bytes));
        self.hear(now, number, Event::Frame { kind, data });
        self.drain(now, out);
    }

    fn closed(&mut self, now: Instant, number: ConnectionId, code: Option<u16>) {
        let close = Close { code, clean: code.is_some(), ..Close::default() };
        self.hear(now, number, Event::Closed(close));
        // What this means to other sockets can be said to them only in a tick.
        self.next = Some(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.next
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.disk_turns(now);
        for connection in self.connections.values_mut() {
            connection.tick(&mut self.sessions, now);
        }
        let ids: Vec<_> = self.sessions.ids().collect();
        for id in ids {
            if let Some(mut peer) = self.sessions.peer(id) {
                peer.handle(now, Input::Tick).for_each(drop);
            }
        }
        self.drain(now, out);
    }

    /// What carries the sockets starts again; with it, as the program says, what keeps the sessions.
    fn restarted(&mut self, now: Instant) {
        self.next = Some(now);
        if self.config.delivery.durable {
            self.connections.clear();
            return self.restore(now, Duration::ZERO);
        }
        let numbers: Vec<_> = self.connections.keys().copied().collect();
        for number in numbers {
            self.hear(now, number, Event::Closed(Close::default()));
        }
        self.connections.clear();
        if self.forgets {
            self.lost.extend(self.owners.drain(..).map(|(_, owner)| owner));
            self.sessions = Host::sessions(&self.config);
            self.current = None;
        }
    }
}
