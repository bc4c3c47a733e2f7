//! The sessions of a server: who is admitted to which, what time does to those that are on no socket, and how they end.

use core::marker::PhantomData;
use core::time::Duration;

use super::config::Config;
use super::core::{Core, Flags, Open, Parted, Socket};
use super::dialogue::post;
use super::durable::{Keep, Keeps};
use super::machine::{Fate, Machine};
use super::outputs::Lent;
use super::rooms::Rooms;
use super::{Peer, Told};
use crate::acceptor::{self, Acceptor, Arrival, Parting, Principal, Seats, Secret, SessionId, Table};
use crate::delivery::Refusal;
use crate::dialogue::Dialogue;
use crate::error::ConfigError;
use crate::link::Epoch;
use crate::outbox::{self, Arena, Slots};
use crate::time::Instant;
use crate::wire::Frame;
use crate::wire::native::{Goodbye, Token, code};

/// What the seats of a table of sessions are made of where nothing else is said.
pub type Storage = acceptor::Storage<Core>;

/// The sessions of a server, each with its peer, over one arena of messages and one configuration.
///
/// Whoever carries sockets and whoever speaks for the application both reach a client through [`peer`](Sessions::peer). One
/// owner has them all; a server that is too much for one has several.
#[derive(Debug)]
pub struct Sessions<P, S = outbox::Storage<P>, T = Storage> {
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) table: Table<Core, T>,
    pub(super) arena: Arena<P, S>,
    pub(super) counts: Counts,
    pub(super) rooms: Rooms<P>,
    pub(super) keeps: Keeps,
    payload: PhantomData<P>,
}

/// What has happened to the sessions of a server, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Counts {
    /// New ones.
    pub opened: u64,
    /// That went on over another socket.
    pub resumed: u64,
    /// That could not go on, and began anew in the same seat.
    pub restarted: u64,
    /// That were restored from a stored state.
    pub restored: u64,
    /// Hellos that came later than a newer one.
    pub overtaken: u64,
    /// Hellos for which there was no room.
    pub refused: u64,
    /// That gave way to others.
    pub evicted: u64,
    /// That were on no socket for too long.
    pub expired: u64,
    /// That the client or the application ended.
    pub ended: u64,
    /// Of which the client did not keep up.
    pub too_slow: u64,
    /// Sockets that broke the protocol.
    pub violations: u64,
    /// Sockets that fell silent.
    pub silent: u64,
    /// What came from sockets that were another's by then.
    pub stale_inputs: u64,
    /// Frames that were no message of the JSON wire.
    pub malformed: u64,
}

/// A client is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Which session its socket is on.
    pub session: SessionId,
    /// Whether that is the one of before; if so, it goes on as if nothing had happened.
    pub resumed: bool,
    /// The session that it takes the place of, because the counts of that one could not be true: it is no more, and what waited in
    /// it waits in the new one.
    pub replaced: Option<SessionId>,
    /// The socket that had the session until now, and how to let it go.
    pub superseded: Option<(Epoch, Parting)>,
}

#[cfg(feature = "alloc")]
impl<P: AsRef<[u8]>> Sessions<P> {
    /// A table with seats for as many sessions as the configuration allows, and an arena of `messages` slots for all of them.
    ///
    /// `seed` should be nobody's guess: the table's order depends on it.
    ///
    /// # Errors
    /// Names the field of the configuration that cannot work.
    pub fn new(config: Config, seed: u64, messages: u32) -> Result<Self, ConfigError> {
        config.check()?;
        let seats = config.acceptor.sessions.count;
        let table = Table::with_capacity(seats, seed);
        let keeps = if config.delivery.durable { Keeps::new(seats) } else { Keeps::NONE };
        Ok(Self::build(config, table, Arena::with_capacity(messages), keeps))
    }
}

impl<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>> Sessions<P, S, T> {
    /// As [`Sessions::new`], with seats and slots that the caller provides: arrays, or borrowed ones.
    ///
    /// # Errors
    /// Names the field of the configuration that cannot work; `acceptor.sessions.count` if there are fewer seats than that;
    /// `delivery.durable`, for what is stored of each session has no place in such storage.
    pub fn with_storage(config: Config, seed: u64, seats: T, slots: S) -> Result<Self, ConfigError> {
        config.check()?;
        let table = Table::new(seats, seed);
        let enough = table.capacity() >= config.acceptor.sessions.count;
        ConfigError::unless(
            enough,
            "acceptor.sessions.count",
            "must not be larger than the number of seats",
        )?;
        let durable = config.delivery.durable;
        ConfigError::unless(!durable, "delivery.durable", "needs sessions with storage of their own")?;
        Ok(Self::build(config, table, Arena::new(slots), Keeps::NONE))
    }

    const fn build(config: Config, table: Table<Core, T>, arena: Arena<P, S>, keeps: Keeps) -> Self {
        let (now, counts) = (Instant::ORIGIN, Counts::NONE);
        Sessions { config, now, table, arena, counts, rooms: Rooms::NONE, keeps, payload: PhantomData }
    }

    /// The application says who the client is that has said hello to this acceptor: its socket gets its session back if it has
    /// shown a good token, or a new one. `secret` may become a token: fresh from a secure source with each call.
    ///
    /// Sessions that give way tell their ends to `told`.
    ///
    /// `None` if it is not let in: the acceptor tells it why, and closes the socket. That is so if there is no room, if the hello
    /// was overtaken by a later one, or if the acceptor was not asking.
    pub fn admit(
        &mut self,
        now: Instant,
        acceptor: &mut Acceptor,
        principal: Principal,
        secret: Secret,
        told: impl FnMut(Told),
    ) -> Option<Admitted> {
        self.pass(now);
        let arrival = acceptor.admit(principal)?;
        let admitted = match arrival.find(&self.table, self.now) {
            Some(id) => self.return_to(id, &arrival, secret),
            None => self.begin(&arrival, secret, told),
        };
        match admitted {
            Ok(admitted) => Some(admitted),
            Err(goodbye) => {
                acceptor.part(&self.config.acceptor, self.now, Parting::Say { ack: None, goodbye });
                None
            }
        }
    }

    /// A hello with the token of this session.
    fn return_to(
        &mut self,
        id: SessionId,
        arrival: &Arrival,
        secret: Secret,
    ) -> Result<Admitted, Goodbye<'static>> {
        let (config, now) = (&self.config, self.now);
        let Some(core) = self.table.get_mut(id) else {
            return Err(acceptor::goodbye(code::INTERNAL, Duration::ZERO, ""));
        };
        let mut session = id;
        let mut durable = self.keeps.of_mut(id).map(|keep| &mut keep.durable);
        core.session.outbox.expire(&mut self.arena, now);
        let resumed = match core.session.take_over(&mut self.arena, arrival.greeting, durable.as_deref()) {
            Ok(_) => true,
            Err(Refusal::Overtaken) => {
                self.counts.overtaken += 1;
                let attempt = core.session.counts.attempt();
                let goodbye = acceptor::goodbye(code::OVERTAKEN, Duration::ZERO, "a later hello came first");
                return Err(Goodbye { attempt, ..goodbye });
            }
            Err(Refusal::Impossible) => {
                let attempt = arrival.greeting.attempt;
                if let Some(sequence) = core.socket.doubtful() {
                    core.session.outbox.doubt_queued(&mut self.arena, sequence);
                }
                // What was said in the old session means nothing in the new one.
                self.rooms.leave_all(id.seat());
                if let Some(dialogue) = self.rooms.get_mut(id.seat()) {
                    dialogue.lost(&mut post(now, config, &mut core.session.outbox, &mut self.arena));
                }
                core.session.offer(&mut self.arena, &config.delivery, attempt, durable.take());
                false
            }
        };
        let open = Open::new(&config.delivery, now, arrival.epoch, arrival.announced, resumed);
        let old = core::mem::replace(&mut core.socket, Socket::Open(open));
        let superseded = match &old {
            Socket::Open(old) => Some((old.epoch, superseded(arrival.greeting.attempt))),
            Socket::Released { .. } => old.released(None),
            Socket::None | Socket::Restored(_) => None,
        };
        if resumed {
            self.counts.resumed += 1;
            if let Some(token) = arrival.token() {
                self.table.attach(id, token.lend());
            }
            self.table.renew(&config.acceptor.sessions, now, id, secret);
        } else {
            self.counts.restarted += 1;
            session = self.table.replace(&config.acceptor.sessions, now, id, secret).unwrap_or(id);
        }
        let replaced = (!resumed).then_some(id);
        Ok(Admitted { session, resumed, replaced, superseded })
    }

    /// A hello without a token that is good.
    fn begin(
        &mut self,
        arrival: &Arrival,
        secret: Secret,
        told: impl FnMut(Told),
    ) -> Result<Admitted, Goodbye<'static>> {
        match self.table.crowds(&self.config.acceptor.sessions, arrival.principal) {
            Ok(None) => {}
            Ok(Some(other)) => {
                self.counts.evicted += 1;
                self.bury(other, told);
            }
            Err(full) => {
                self.counts.refused += 1;
                let retry_after = self.config.acceptor.retry_after;
                return Err(acceptor::goodbye(code::TOO_MANY, retry_after, full.words()));
            }
        }
        let (config, arena, keeps, now) = (&self.config, &mut self.arena, &mut self.keeps, self.now);
        let entered =
            self.table.enter(&config.acceptor.sessions, now, arrival.principal, secret, |id: SessionId| {
                let mut core = Core::new(id.seat());
                let keep = keeps.of_mut(id).map(|keep| {
                    *keep = Keep::default();
                    &mut keep.durable
                });
                core.session.offer(arena, &config.delivery, arrival.greeting.attempt, keep);
                let delivery = &config.delivery;
                core.socket = Socket::Open(Open::new(delivery, now, arrival.epoch, arrival.announced, false));
                core
            });
        let Some(session) = entered else {
            return Err(acceptor::goodbye(code::INTERNAL, Duration::ZERO, ""));
        };
        self.counts.opened += 1;
        Ok(Admitted { session, resumed: false, replaced: None, superseded: None })
    }

    pub(super) fn machine(&mut self, session: SessionId) -> Option<Machine<'_, P, S>> {
        let Sessions { config, now, table, arena, counts, rooms, keeps, .. } = self;
        let durable = keeps.of(session).map(|keep| &keep.durable);
        let (core, seat) = (table.get_mut(session)?, session.seat());
        Some(Machine { now: *now, config, core, arena, counts, rooms, seat, durable })
    }

    /// In durable mode: the version as which the state of a session is to be stored, if it is to be now.
    pub(super) fn ask(&mut self, session: SessionId) -> Option<u64> {
        let keep = self.keeps.of_mut(session)?;
        let Core { session: counted, socket } = self.table.get_mut(session)?;
        match socket {
            Socket::Open(open) if !open.flags.has(Flags::WELCOME) => {
                counted.number_ahead(&self.config.delivery, &open.attachment(self.now), &mut self.arena);
            }
            // It ends, and its state with it.
            Socket::Released { over: true, .. } => return None,
            Socket::Open(_) | Socket::Released { .. } | Socket::Restored(_) | Socket::None => {}
        }
        keep.ask(&counted.counts)
    }

    /// What is queued for a session is not what is stored.
    pub(super) fn changed(&mut self, session: SessionId) {
        if let Some(keep) = self.keeps.of_mut(session) {
            keep.unstored = true;
        }
    }

    /// In durable mode: the state of this version is stored, and will be there after whatever happens to the process. Then poll
    /// the peer, or who carries its socket. Report nothing as long as it is not: a version that cannot be stored is tried again.
    pub fn stored(&mut self, now: Instant, session: SessionId, version: u64) {
        self.pass(now);
        if self.table.get(session).is_some()
            && let Some(keep) = self.keeps.of_mut(session)
        {
            keep.durable.stored(version);
        }
    }

    /// [`Peer::pull`], for the frame to live as long as the sessions are lent.
    pub(super) fn pull(&mut self, session: SessionId, epoch: Epoch) -> Option<Frame<'_>> {
        let token = self.table.token(session);
        let token = token.as_ref().map_or(Token::NONE, |token| token.lend());
        self.machine(session)?.pull(epoch, &Lent { number: session.number(), token })
    }

    /// A client, to be told what its socket does and to be sent messages; `None` if the session has ended.
    pub fn peer(&mut self, session: SessionId) -> Option<Peer<'_, P, S, T>> {
        self.table.get(session)?;
        Some(Peer { sessions: self, session })
    }

    /// Another token for a session, where [`Action::Renew`](super::Action::Renew) asked for one: fresh from a secure source.
    pub fn renew(&mut self, now: Instant, session: SessionId, secret: Secret) {
        self.pass(now);
        let renewed = self.table.renew(&self.config.acceptor.sessions, self.now, session, secret);
        if let Some(Core { socket: Socket::Open(open), .. }) = self.table.get_mut(session) {
            open.flags.take(Flags::RENEWAL_ASKED);
            if renewed {
                open.flags.set(Flags::RENEWAL);
            }
        }
    }

    /// The server stops, or restarts as planned: every client is told so with this code, and when to come back. The sessions stay,
    /// on no socket. Then poll each peer.
    pub fn part_with_all(&mut self, now: Instant, code: u16, retry_after: Duration) {
        self.pass(now);
        let mut seat = 0;
        while let Some(id) = self.table.next_from(seat) {
            seat = id.seat() + 1;
            if let Some(mut peer) = self.peer(id) {
                peer.detach(now, code, retry_after);
            }
        }
    }

    /// Ends the sessions that are over, or have been on no socket for too long at `now`: each tells what became of its
    /// messages, and then that it has ended.
    pub fn expire(&mut self, now: Instant, mut told: impl FnMut(Told)) {
        self.pass(now);
        self.sweep_dialogues(&mut told);
        while let Some(id) = self.table.expired(&self.config.acceptor.sessions, self.now) {
            self.counts.expired += u64::from(!self.table.is_over(id));
            self.bury(id, &mut told);
        }
        while let Some(id) = self.table.excess(&self.config.acceptor.sessions) {
            self.counts.evicted += 1;
            self.bury(id, &mut told);
        }
    }

    /// When [`expire`](Sessions::expire) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let sessions = &self.config.acceptor.sessions;
        let excess = self.table.excess(sessions).map(|_| self.now);
        let ends = excess.or_else(|| self.table.next_expiry(sessions));
        ends.into_iter().chain(self.rooms.deadline()).min()
    }

    /// All sessions.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.table.ids()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many of them are on no socket.
    #[must_use]
    pub const fn detached(&self) -> u32 {
        self.table.detached()
    }

    /// How many more messages the arena has room for.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.arena.available()
    }

    /// What has happened.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn pass(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// How this socket is to be let go if the session has another one, or is no more; `None` as long as it has this one, or says
    /// itself how it lets it go.
    pub(super) fn lost(&self, id: SessionId, epoch: Epoch) -> Option<Parting> {
        let Some(core) = self.table.get(id) else { return Some(Parting::Abandon) };
        match &core.socket {
            Socket::Open(open) if open.epoch == epoch => None,
            Socket::Released { epoch: released, .. } if *released == epoch => None,
            Socket::Open(_) | Socket::Released { .. } | Socket::Restored(_) | Socket::None => {
                Some(superseded(core.session.counts.attempt()))
            }
        }
    }

    /// What a peer went through shows in the table.
    pub(super) fn note(&mut self, id: SessionId, fate: Fate) {
        let now = self.now;
        let Some(core) = self.table.get_mut(id) else { return };
        match (fate, &mut core.socket) {
            (Fate::Stays, Socket::Open(_)) => {}
            (Fate::Stays, Socket::Released { .. } | Socket::Restored(_) | Socket::None) => {
                self.rooms.watch(id.seat());
                self.table.detach(now, id);
            }
            (Fate::Over, Socket::Released { over, .. }) => {
                // Who carries the socket is to find the session, and so why it ends.
                *over = true;
                self.table.detach(now, id);
                self.table.shut(id);
            }
            (Fate::Over, Socket::Open(_) | Socket::Restored(_) | Socket::None) => self.table.retire(now, id),
        }
    }

    /// The session ends: what it still has is settled, and all of it given back.
    fn bury(&mut self, id: SessionId, mut told: impl FnMut(Told)) {
        let Some(Core { mut session, socket }) = self.table.remove(id) else { return };
        if let Some(sequence) = socket.doubtful() {
            session.outbox.doubt_queued(&mut self.arena, sequence);
        }
        session.outbox.doubt(&mut self.arena);
        session.outbox.stop(&mut self.arena);
        let mut dialogue = self.rooms.remove(id.seat());
        if let Some(dialogue) = &mut dialogue {
            dialogue.stop(&mut post(self.now, &self.config, &mut session.outbox, &mut self.arena));
        }
        while let Some(settlement) = session.outbox.next_settlement(&mut self.arena) {
            if !settlement.id.is_own() {
                told(Told::Settled(id, settlement));
            } else if let Some(dialogue) = &mut dialogue {
                dialogue.settled(settlement);
            }
        }
        while let Some(ended) = dialogue.as_mut().and_then(Dialogue::next_ended) {
            told(Told::Request(id, ended));
        }
        told(Told::Ended(id));
    }
}

/// Another socket has the session, whose hello had this attempt.
fn superseded(attempt: u32) -> Parting {
    let goodbye = acceptor::goodbye(code::SUPERSEDED, Duration::ZERO, "on another socket");
    Parting::Say { ack: None, goodbye: Goodbye { attempt, ..goodbye } }
}

impl Counts {
    const NONE: Counts = Counts {
        opened: 0,
        resumed: 0,
        restarted: 0,
        restored: 0,
        overtaken: 0,
        refused: 0,
        evicted: 0,
        expired: 0,
        ended: 0,
        too_slow: 0,
        violations: 0,
        silent: 0,
        stale_inputs: 0,
        malformed: 0,
    };
}

impl Parted {
    /// Why the application lets a client go.
    pub(super) fn by_application(code: u16, retry_after: Duration) -> Parted {
        Parted::told(if (1000..5000).contains(&code) { code } else { code::GOING_AWAY }, retry_after)
    }
}
