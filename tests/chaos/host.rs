//! A server in the simulated world: what an adapter and an application would be.

use std::collections::BTreeMap;

use everlink::acceptor::{Principal, Secret, SessionId};
use everlink::link::{Close, Epoch, Event};
use everlink::outbox::{Kind, Message, MessageId, Outcome};
use everlink::peer::Action;
use everlink::peer::{
    Config, Connection, ConnectionAction, ConnectionNext, Delivery, Heard, Input, Next, Sessions, Told,
};
use everlink::sim::{ConnectionId, Out, Server};
use everlink::time::Instant;

use super::ledger::Owner;

/// What the server's application saw.
#[derive(Debug)]
pub enum Seen {
    Got(Vec<u8>),
    Settled(Owner, MessageId, Outcome),
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
        }
    }

    fn sessions(config: &Config) -> Sessions<Vec<u8>> {
        Sessions::new(config.clone(), 7, config.outbox.messages.saturating_mul(4)).unwrap()
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

    /// How many sessions there are.
    pub fn len(&self) -> u32 {
        self.sessions.len()
    }

    /// Says something to the client, if it is known.
    pub fn say(&mut self, now: Instant, message: Message<Vec<u8>>, out: &mut Out) -> Option<MessageId> {
        let id = self.current?;
        let owner = self.owner(id);
        let mut peer = self.sessions.peer(id)?;
        let seen = &mut self.seen;
        let sent = peer.send(now, message, |gone, _| seen.push(Seen::Settled(owner, gone.id, gone.outcome)));
        self.drain(now, out);
        sent.ok()
    }

    /// Takes something back.
    pub fn cancel(&mut self, now: Instant, id: MessageId, out: &mut Out) -> bool {
        let Some(mut peer) = self.current.and_then(|session| self.sessions.peer(session)) else {
            return false;
        };
        let cancelled = peer.cancel(id).is_some();
        self.drain(now, out);
        cancelled
    }

    fn hear(&mut self, now: Instant, number: ConnectionId, event: Event<'_>) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match connection.handle(&mut self.sessions, now, event) {
            Heard::Question(_) => self.admit(now, number),
            Heard::Deliveries(deliveries) => {
                for delivery in deliveries {
                    if let Delivery::Message { data, .. } = delivery {
                        self.seen.push(Seen::Got(data.to_vec()));
                    }
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
        self.owners.retain(|(known, _)| *known != admitted.session);
        self.owners.push((admitted.session, owner));
        self.current = Some(admitted.session);
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Settled(id, settlement) => {
                self.seen.push(Seen::Settled(self.owner(id), settlement.id, settlement.outcome));
            }
            Told::Request(..) => {}
            Told::Ended(_) => self.ended += 1,
        }
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
            self.drain_peer(id);
        }
        self.wake(self.sessions.deadline());
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
    fn drain_peer(&mut self, id: SessionId) {
        loop {
            let Some(mut peer) = self.sessions.peer(id) else { return };
            match peer.poll() {
                Next::Do(Action::Ended(ended)) => self.told(Told::Request(id, ended)),
                Next::Do(Action::Settled(settlement)) => self.told(Told::Settled(id, settlement)),
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
        let numbers: Vec<_> = self.connections.keys().copied().collect();
        for number in numbers {
            self.hear(now, number, Event::Closed(Close::default()));
        }
        self.connections.clear();
        self.next = Some(now);
        if self.forgets {
            self.lost.extend(self.owners.drain(..).map(|(_, owner)| owner));
            self.sessions = Host::sessions(&self.config);
            self.current = None;
        }
    }
}
