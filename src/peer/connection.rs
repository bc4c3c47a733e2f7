//! One socket of a server, from its first byte to its last: a stranger's, then a session's, then nobody's.

use core::time::Duration;

#[cfg(feature = "alloc")]
use super::gateway::Gateway;
use super::{Action, Admitted, Core, Input, Next, Sessions, Told};
use crate::acceptor::{self, Acceptor, Parting, Principal, Question, Seats, Secret, SessionId};
use crate::link::{self, Epoch, Event};
use crate::outbox::{Settlement, Slots};
use crate::requests::Ended;
use crate::session::Deliveries;
use crate::time::Instant;
use crate::wire::Frame;

/// Something happened to a socket that is a stranger's or a session's.
fn hand<'f, P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
    acceptor: &mut Acceptor,
    session: &mut Option<SessionId>,
    sessions: &mut Sessions<P, S, T>,
    now: Instant,
    event: Event<'f>,
) -> Heard<'f> {
    let Some(mut peer) = session.and_then(|session| sessions.peer(session)) else {
        let question = acceptor.handle(&sessions.config().acceptor, now, event);
        return question.map_or(Heard::Deliveries(Deliveries::NONE), Heard::Question);
    };
    let deliveries = peer.handle(now, Input::Socket(acceptor.epoch(), event));
    if matches!(event, Event::Closed(_) | Event::Failed(_)) {
        *session = None;
    }
    Heard::Deliveries(deliveries)
}

fn pull<'a, P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
    acceptor: &mut Acceptor,
    session: Option<SessionId>,
    sessions: &'a mut Sessions<P, S, T>,
) -> Option<Frame<'a>> {
    match session {
        Some(session) => sessions.pull(session, acceptor.epoch()),
        None => acceptor.pull(),
    }
}

/// What whoever carries one socket talks to, whatever the socket is at the time. The [`Sessions`] are lent with each call.
///
/// Others may take the session away meanwhile, or end it: so whoever does something to a session wakes the one who carries its
/// socket, to [poll](Connection::poll).
///
/// ```
/// use everlink::link::Epoch;
/// use everlink::peer::{Config, Connection, ConnectionAction, ConnectionNext, Heard, Sessions};
/// use everlink::time::Instant;
/// # use everlink::{acceptor::{Principal, Secret}, link::Event};
/// # struct Io;
/// # impl Io {
/// #     fn now(&self) -> Instant { Instant::ORIGIN }
/// #     fn epoch(&self) -> Epoch { Epoch::new(1).unwrap() }
/// #     fn event(&mut self, _: Option<Instant>) -> Option<Event<'static>> { None }
/// #     fn write(&mut self, _: &[u8], _: &[u8]) {}
/// #     fn close(&mut self, _: u16) {}
/// #     fn who_is(&self, _: &[u8]) -> Option<Principal> { None }
/// #     fn secret(&self) -> Secret { Secret::new([0; 16]) }
/// # }
///
/// fn carry(io: &mut Io, sessions: &mut Sessions<Vec<u8>>) {
///     let mut connection = Connection::new(&sessions.config().acceptor, io.now(), io.epoch());
///     while !connection.is_done() {
///         let deadline = match connection.poll(sessions) {
///             ConnectionNext::Do(action) => {
///                 match action {
///                     ConnectionAction::Flush => {
///                         while let Some(frame) = connection.pull(sessions) {
///                             io.write(frame.head(), frame.payload());
///                         }
///                     }
///                     ConnectionAction::Close { code } => io.close(code), // then read on until the socket is closed
///                     ConnectionAction::Abandon => return,
///                     ConnectionAction::Renew(session) => sessions.renew(io.now(), session, io.secret()),
///                     ConnectionAction::Settled(..) => {} // what became of a message
///                     ConnectionAction::Ended(..) => {} // what became of a request
///                     ConnectionAction::Store(..) => {} // in durable mode
///                 }
///                 continue;
///             }
///             ConnectionNext::Wait(instant) => Some(instant),
///             ConnectionNext::Idle => None,
///         };
///         let Some(event) = io.event(deadline) else {
///             connection.tick(sessions, io.now());
///             # return;
///             continue;
///         };
///         match connection.handle(sessions, io.now(), event) {
///             Heard::Question(question) => match io.who_is(question.credentials.reveal()) {
///                 Some(principal) => drop(connection.admit(sessions, io.now(), principal, io.secret(), |_| ())),
///                 None => connection.refuse(sessions, io.now(), 4001, Default::default(), ""),
///             },
///             Heard::Deliveries(deliveries) => deliveries.for_each(|delivery| println!("{delivery:?}")),
///         }
///     }
/// }
/// # carry(&mut Io, &mut Sessions::new(Config::default(), 1, 1).unwrap());
/// ```
#[derive(Debug)]
pub struct Connection {
    acceptor: Acceptor,
    session: Option<SessionId>,
    /// On the JSON wire.
    #[cfg(feature = "alloc")]
    gateway: Option<alloc::boxed::Box<Gateway>>,
}

/// What an event carried.
#[derive(Clone, Debug)]
pub enum Heard<'f> {
    /// Who is it? Read no more until the answer.
    Question(Question<'f>),
    /// For the application; nothing, as a rule.
    Deliveries(Deliveries<'f>),
}

/// The answer of [`Connection::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionNext {
    /// Do this, then poll again.
    Do(ConnectionAction),
    /// Nothing to do. If no event comes before this instant, [`tick`](Connection::tick) then. Round up, never down.
    Wait(Instant),
    /// Nothing to do until an event comes, or somebody wakes this connection.
    Idle,
}

/// One thing to do, or to know. Exhaustive on purpose: a new action should break an adapter's build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionAction {
    /// Drop the socket at once, without a word.
    Abandon,
    /// Close the socket properly: send a close frame with this code, then read on until it is closed.
    Close {
        /// The close code to send.
        code: u16,
    },
    /// Frames wait: [`pull`](Connection::pull) and write them, until there is none or the socket has no room. In the second case
    /// report [`Writable`](Event::Writable) when it has room again.
    Flush,
    /// In durable mode: store the state of this session as it is now, as this version; see [`Action::Store`].
    Store(SessionId, u64),
    /// The resume token of this session should change: give a fresh secret to [`Sessions::renew`].
    Renew(SessionId),
    /// A message of this session came to its end.
    Settled(SessionId, Settlement),
    /// A request to the client of this session came to its end without an answer.
    Ended(SessionId, Ended),
}

impl Connection {
    /// A socket was opened at `now`: it is ready for the first frame.
    #[must_use]
    pub fn new(config: &acceptor::Config, now: Instant, epoch: Epoch) -> Connection {
        Connection {
            acceptor: Acceptor::new(config, now, epoch),
            session: None,
            #[cfg(feature = "alloc")]
            gateway: None,
        }
    }

    /// Which socket it is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.acceptor.epoch()
    }

    /// The session that it is on.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Something happened to the socket at `now`. Never fails.
    pub fn handle<'f, P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
        &mut self,
        sessions: &mut Sessions<P, S, T>,
        now: Instant,
        event: Event<'f>,
    ) -> Heard<'f> {
        sessions.pass(now);
        self.look(sessions);
        #[cfg(feature = "alloc")]
        if self.gateway.is_some() {
            self.handle_json(sessions, now, event);
            return Heard::Deliveries(Deliveries::NONE);
        }
        hand(&mut self.acceptor, &mut self.session, sessions, now, event)
    }

    /// Time has passed.
    pub fn tick<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
        &mut self,
        sessions: &mut Sessions<P, S, T>,
        now: Instant,
    ) {
        sessions.pass(now);
        self.look(sessions);
        self.acceptor.tick(&sessions.config().acceptor, now);
        #[cfg(feature = "alloc")]
        if let Some(gateway) = &mut self.gateway {
            gateway.tick(now);
        }
        if let Some(mut peer) = self.session.and_then(|session| sessions.peer(session)) {
            peer.handle(now, Input::Tick);
        }
    }

    /// The answer to the question: see [`Sessions::admit`]. If another socket is superseded, whoever carries that is to be woken, or
    /// told to [part](Connection::part).
    pub fn admit<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
        &mut self,
        sessions: &mut Sessions<P, S, T>,
        now: Instant,
        principal: Principal,
        secret: Secret,
        told: impl FnMut(Told),
    ) -> Option<Admitted> {
        let admitted = sessions.admit(now, &mut self.acceptor, principal, secret, told)?;
        self.session = Some(admitted.session);
        #[cfg(feature = "alloc")]
        self.begin_json(sessions, admitted.session);
        Some(admitted)
    }

    /// The other answer: see [`Acceptor::refuse`].
    pub fn refuse<P, S, T>(
        &mut self,
        sessions: &Sessions<P, S, T>,
        now: Instant,
        code: u16,
        retry_after: Duration,
        reason: &'static str,
    ) {
        self.acceptor.refuse(&sessions.config.acceptor, now, code, retry_after, reason);
    }

    /// What is to be done now, or until when there is nothing.
    pub fn poll<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
        &mut self,
        sessions: &mut Sessions<P, S, T>,
    ) -> ConnectionNext {
        self.look(sessions);
        #[cfg(feature = "alloc")]
        if self.gateway.as_mut().is_some_and(|gateway| gateway.leaving.wants_flush()) {
            return ConnectionNext::Do(ConnectionAction::Flush);
        }
        while let Some(session) = self.session {
            let Some(mut peer) = sessions.peer(session) else { break };
            let action = match peer.poll() {
                Next::Do(Action::Release { parting, .. }) => {
                    self.part(sessions, parting);
                    continue;
                }
                Next::Do(Action::Store { version }) => ConnectionAction::Store(session, version),
                Next::Do(Action::Flush { .. }) => ConnectionAction::Flush,
                Next::Do(Action::Renew) => ConnectionAction::Renew(session),
                Next::Do(Action::Settled(settlement)) => {
                    ConnectionAction::Settled(session, self.as_told(settlement))
                }
                Next::Do(Action::Ended(ended)) => ConnectionAction::Ended(session, ended),
                Next::Wait(at) => return ConnectionNext::Wait(at),
                Next::Idle => return ConnectionNext::Idle,
            };
            return ConnectionNext::Do(action);
        }
        match self.acceptor.poll() {
            link::Next::Do(link::Action::Abandon { .. }) => ConnectionNext::Do(ConnectionAction::Abandon),
            link::Next::Do(link::Action::Close { code, .. }) => {
                ConnectionNext::Do(ConnectionAction::Close { code })
            }
            // An acceptor asks for nothing else.
            link::Next::Do(_) => ConnectionNext::Do(ConnectionAction::Flush),
            link::Next::Wait(at) => {
                ConnectionNext::Wait(self.greeting().map_or(at, |greeting| greeting.min(at)))
            }
            link::Next::Idle => ConnectionNext::Idle,
        }
    }

    /// The next frame to write, if there is one.
    pub fn pull<'a, P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
        &'a mut self,
        sessions: &'a mut Sessions<P, S, T>,
    ) -> Option<Frame<'a>> {
        self.look(sessions);
        #[cfg(feature = "alloc")]
        if self.gateway.is_some() {
            return self.pull_json(sessions);
        }
        pull(&mut self.acceptor, self.session, sessions)
    }

    /// Whether the socket is no more, and the connection can be dropped.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.session.is_none() && self.acceptor.is_done()
    }

    /// Somebody else may have the session by now.
    fn look<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(&mut self, sessions: &Sessions<P, S, T>) {
        if let Some(session) = self.session
            && let Some(parting) = sessions.lost(session, self.acceptor.epoch())
        {
            self.part(sessions, parting);
        }
    }

    /// Another socket has superseded this one, and [`admit`](Connection::admit) said how to let it go. It is found out by the next
    /// [poll](Connection::poll), too; but if the session itself went with it, not the reason.
    pub fn part<P, S, T>(&mut self, sessions: &Sessions<P, S, T>, parting: Parting) {
        self.session = None;
        self.acceptor.part(&sessions.config.acceptor, sessions.now, parting);
    }
}

#[cfg(not(feature = "alloc"))]
impl Connection {
    const fn as_told(&self, settlement: Settlement) -> Settlement {
        settlement
    }

    const fn greeting(&self) -> Option<Instant> {
        None
    }
}

#[cfg(feature = "alloc")]
mod json {
    use core::time::Duration;

    use super::{Connection, Gateway, Heard, hand, pull};
    use crate::acceptor::{Seats, SessionId};
    use crate::link::{Epoch, Event};
    use crate::outbox::{Kind, Outcome, Settlement, Slots};
    use crate::peer::{Config, Core, Sessions};
    use crate::time::Instant;
    use crate::wire::native::code;
    use crate::wire::{Frame, Opcode};

    /// A client on the JSON wire: one that has a session as others have, which ends with its socket.
    impl Connection {
        /// As [`new`](Connection::new), for a socket on which the [JSON wire](crate::wire::json) is spoken. What the client says first is
        /// who it is, if that is an `auth`, whose payload is asked about as the credentials of others; if it is something else, or if it
        /// says nothing for half of [`hello_timeout`](crate::acceptor::Config::hello_timeout), it has none. `since_1970` is what the wall clock shows, for timestamps.
        ///
        /// After each [`handle`](Connection::handle), and after a decision, ask what [came](Connection::came).
        #[must_use]
        pub fn json(config: &Config, now: Instant, epoch: Epoch, since_1970: Option<Duration>) -> Connection {
            let gateway = Gateway::new(config, now, since_1970);
            let connection = Connection::new(&config.acceptor, now, epoch);
            Connection { gateway: Some(gateway.into()), ..connection }
        }

        /// On the JSON wire: what came, piece by piece, until there is nothing (more). Not called while a question is open.
        pub fn came<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
            &mut self,
            sessions: &mut Sessions<P, S, T>,
            now: Instant,
        ) -> Option<Heard<'_>> {
            self.look(sessions);
            let data = self.gateway.as_mut()?.take()?;
            let event = Event::Frame { kind: Kind::Binary, data };
            Some(hand(&mut self.acceptor, &mut self.session, sessions, now, event))
        }

        /// On the JSON wire: whether something [came](Connection::came).
        #[must_use]
        pub fn has_come(&self) -> bool {
            self.gateway.as_ref().is_some_and(|gateway| gateway.has_taken())
        }

        pub(super) fn handle_json<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
            &mut self,
            sessions: &mut Sessions<P, S, T>,
            now: Instant,
            mut event: Event<'_>,
        ) {
            let Some(gateway) = &mut self.gateway else { return };
            gateway.tick(now);
            match event {
                Event::Frame { data, .. } => {
                    sessions.counts.malformed += u64::from(!gateway.heard(data));
                    if !gateway.is_overrun() {
                        return;
                    }
                    event = Event::Violation(code::TOO_LARGE);
                }
                // A stranger may say more here than a hello is long.
                Event::Received(_) if self.session.is_none() => return,
                Event::Written(total) => gateway.leaving.written(total),
                Event::Writable => gateway.leaving.flushed(),
                Event::Failed(_)
                | Event::Opened
                | Event::Received(_)
                | Event::Ping
                | Event::Pong(_)
                | Event::Paused
                | Event::Resumed
                | Event::Violation(_)
                | Event::Closed(_) => {}
            }
            let ack = gateway.leaving.ack();
            let over = gateway.session.filter(|_| matches!(event, Event::Closed(_) | Event::Failed(_)));
            if let Some(ack) = &ack {
                let event = Event::Frame { kind: Kind::Binary, data: ack };
                hand(&mut self.acceptor, &mut self.session, sessions, now, event);
            }
            hand(&mut self.acceptor, &mut self.session, sessions, now, event);
            if let Some(mut peer) = over.and_then(|session| sessions.peer(session)) {
                // Nobody can come back to it.
                peer.end(now, code::NORMAL, Duration::ZERO);
            }
        }

        pub(super) fn begin_json<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
            &mut self,
            sessions: &mut Sessions<P, S, T>,
            session: SessionId,
        ) {
            let Some(gateway) = &mut self.gateway else { return };
            gateway.session = Some(session);
            let now = sessions.now;
            // The welcome, as a rule.
            if let Some(frame) = sessions.pull(session, self.acceptor.epoch()) {
                gateway.said(now, frame.head(), frame.payload());
            }
        }

        pub(super) fn pull_json<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>>(
            &mut self,
            sessions: &mut Sessions<P, S, T>,
        ) -> Option<Frame<'_>> {
            let gateway = self.gateway.as_mut()?;
            let now = sessions.now;
            while gateway.leaving.is_empty() {
                let Some(frame) = pull(&mut self.acceptor, self.session, sessions) else {
                    gateway.leaving.flushed();
                    return None;
                };
                gateway.said(now, frame.head(), frame.payload());
            }
            let (kind, data) = gateway.leaving.pull()?;
            Some(Frame::new(Opcode::from(kind), data))
        }

        /// What is written is all that is known on the JSON wire.
        pub(super) fn as_told(&self, settlement: Settlement) -> Settlement {
            match (&self.gateway, settlement.outcome) {
                (Some(_), Outcome::Acknowledged) => Settlement { outcome: Outcome::Written, ..settlement },
                (Some(_) | None, _) => settlement,
            }
        }

        pub(super) fn greeting(&self) -> Option<Instant> {
            self.gateway.as_ref()?.deadline()
        }
    }
}
