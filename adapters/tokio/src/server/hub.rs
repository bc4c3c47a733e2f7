//! What all tasks of a server share: the sessions of the core, and beside each what the adapter keeps of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everlink::acceptor::{Parting, Principal, Secret, SessionId};
use everlink::link::Epoch;
use everlink::outbox::{MessageId, Outcome, Settlement};
use everlink::peer::{Action, Connection, Counts, Input, Next, Sessions, Told};
use everlink::requests::Ended;
use everlink::time::Instant;
use tokio::sync::{Notify, oneshot, watch};

use super::inbox::Inbox;
use super::journal::{self, Journal};
use super::{Handler, Options, Peer, Session, Stop, code};
use crate::client::random;
use crate::clock::Clock;
use crate::dialogue::Failed;
use crate::{Error, Payload};

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Stage {
    Open,
    /// Nobody is let in any more.
    Closing,
    /// All tasks end.
    Over,
}

#[derive(Debug)]
pub(super) struct Hub {
    inner: Mutex<Inner>,
    pub(super) clock: Clock,
    pub(super) stage: watch::Sender<Stage>,
    /// Of tasks that carry sockets, and of those of handlers.
    pub(super) sockets: Tally,
    pub(super) handlers: Tally,
    /// A session is to end earlier than was known.
    sooner: Notify,
    /// Something may have left.
    pub(super) moved: Notify,
    inbound: usize,
    /// In durable mode.
    pub(super) is_durable: bool,
}

pub(super) struct Inner {
    pub(super) sessions: Sessions<Payload>,
    seats: HashMap<SessionId, Arc<Seat>>,
    sockets: HashMap<Epoch, Socket>,
    receipts: HashMap<(SessionId, MessageId), oneshot::Sender<Outcome>>,
    /// Who waits for the answers of clients.
    pub(super) asked: Asked,
    last_epoch: u32,
    /// When the sweeper will look.
    sweep_at: Option<Instant>,
    /// In durable mode.
    journal: Option<Journal>,
}

/// What the adapter keeps of a session.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) principal: Principal,
    pub(super) inbox: Inbox,
    /// A message of its came to its end, so there may be room for another.
    pub(super) room: Notify,
    pub(super) connected: watch::Sender<bool>,
}

/// How to reach who carries a socket.
struct Socket {
    wake: Arc<Notify>,
    /// Another socket has its session, and this is what it is told.
    parting: Option<Parting>,
}

impl Hub {
    /// With the sessions of the process before, in durable mode, each of which is given to the handler.
    pub(super) fn open<H: Handler>(handler: &Arc<H>, options: &Options) -> Result<Arc<Hub>, Error> {
        let mut config = options.config.clone();
        config.delivery.durable |= options.state.is_some();
        if config.delivery.durable && options.state.is_none() {
            return Err(Error::Stateless);
        }
        let mut sessions = Sessions::new(config, random(), options.messages).map_err(Error::Config)?;
        sessions.open_dialogues();
        let mut hub = Hub::new(sessions, options.inbound.max(1), options.state.is_some());
        let Some(path) = options.state.clone() else {
            let hub = Arc::new(hub);
            tokio::spawn(sweep(hub.clone()));
            return Ok(hub);
        };
        let opened = journal::open(path).map_err(Error::Io)?;
        let now = hub.clock.now();
        let inner = hub.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        for state in &opened.states {
            inner.sessions.restore(now, state, opened.away).map_err(Error::State)?;
        }
        let hub = Arc::new(hub);
        hub.lock().journal = Some(opened.write(Arc::downgrade(&hub)).map_err(Error::Io)?);
        let ids: Vec<_> = hub.lock().sessions.ids().collect();
        for id in ids {
            let session = hub.seat(&mut hub.lock(), id, false).1;
            hub.begin(handler.clone(), session);
        }
        tokio::spawn(sweep(hub.clone()));
        Ok(hub)
    }

    fn new(sessions: Sessions<Payload>, inbound: usize, is_durable: bool) -> Hub {
        let inner = Inner {
            sessions,
            seats: HashMap::new(),
            sockets: HashMap::new(),
            receipts: HashMap::new(),
            asked: HashMap::new(),
            last_epoch: 0,
            sweep_at: None,
            journal: None,
        };
        Hub {
            inner: Mutex::new(inner),
            clock: Clock::new(),
            stage: watch::Sender::new(Stage::Open),
            sockets: Tally::default(),
            handlers: Tally::default(),
            sooner: Notify::new(),
            moved: Notify::new(),
            inbound,
            is_durable,
        }
    }

    /// A poisoned lock means that a task panicked that held it; the core itself never does, and is whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the server is so far.
    pub(super) async fn reached(&self, stage: Stage) {
        // An error would mean that the sender is gone, and it is ours.
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    pub(super) fn peers(self: &Arc<Hub>) -> Vec<Peer> {
        let inner = self.lock();
        inner.seats.iter().map(|(id, seat)| Peer::new(self.clone(), *id, seat.clone())).collect()
    }

    pub(super) fn peer(self: &Arc<Hub>, session: SessionId) -> Option<Peer> {
        let seat = self.lock().seats.get(&session)?.clone();
        Some(Peer::new(self.clone(), session, seat))
    }

    /// A client is let in: gives its seat, and if the session is new, what its handler is given.
    pub(super) fn admit(
        self: &Arc<Hub>,
        inner: &mut Inner,
        now: Instant,
        connection: &mut Connection,
        principal: Principal,
        secret: Secret,
    ) -> Option<(Arc<Seat>, Option<Session>)> {
        let Inner { sessions, seats, receipts, asked, sockets, journal, .. } = inner;
        let admitted = connection.admit(sessions, now, principal, secret, |told| {
            tell(seats, receipts, asked, journal.as_ref(), told)
        })?;
        if let Some(old) = admitted.replaced {
            // What waited in it waits in the new one.
            end(seats, journal.as_ref(), old);
            let moved: Vec<_> = receipts.keys().filter(|(session, _)| *session == old).copied().collect();
            for key in moved {
                receipts.remove(&key).map(|receipt| receipts.insert((admitted.session, key.1), receipt));
            }
        }
        if let Some((epoch, parting)) = admitted.superseded
            && let Some(socket) = sockets.get_mut(&epoch)
        {
            socket.parting = Some(parting);
            socket.wake.notify_one();
        }
        if let Some(seat) = seats.get(&admitted.session) {
            seat.connected.send_replace(true);
            return Some((seat.clone(), None));
        }
        let (seat, session) = self.seat(inner, admitted.session, true);
        Some((seat, Some(session)))
    }

    /// A seat for a session, and what its handler is given.
    fn seat(self: &Arc<Hub>, inner: &mut Inner, id: SessionId, connected: bool) -> (Arc<Seat>, Session) {
        let seat = Arc::new(Seat {
            principal: inner.sessions.peer(id).and_then(|peer| peer.principal()).unwrap_or(Principal::ANYONE),
            inbox: Inbox::new(self.inbound),
            room: Notify::new(),
            connected: watch::Sender::new(connected),
        });
        inner.seats.insert(id, seat.clone());
        let session = Session::new(Peer::new(self.clone(), id, seat.clone()));
        (seat, session)
    }

    /// A session has begun: it has a task of its own, which outlives its sockets.
    pub(super) fn begin<H: Handler>(self: &Arc<Hub>, handler: Arc<H>, session: Session) {
        let hub = self.clone();
        let (counted, _) = hub.handlers.enter();
        tokio::spawn(async move {
            let _counted = counted;
            tokio::select! {
                () = handler.session(session) => {}
                () = hub.reached(Stage::Over) => {}
            }
        });
    }

    /// These states are safe.
    pub(super) fn stored(&self, done: &[(SessionId, u64)]) {
        let (inner, now) = (&mut *self.lock(), self.clock.now());
        for (session, version) in done {
            inner.sessions.stored(now, *session, *version);
            match inner.carrier(*session) {
                Some(carrier) => carrier.notify_one(),
                None => inner.rest(*session, now),
            }
        }
        self.settle(inner, now);
    }

    /// Something was done to sessions: what is over ends, and the sweeper knows when the next one is.
    pub(super) fn settle(&self, inner: &mut Inner, now: Instant) {
        let at = inner.expire(now);
        if at.is_some_and(|at| inner.sweep_at.is_none_or(|known| at < known)) {
            inner.sweep_at = at;
            self.sooner.notify_one();
        }
        self.moved.notify_waiters();
    }

    pub(super) async fn stop(&self, stop: Stop) -> Counts {
        self.stage.send_replace(Stage::Closing);
        // An error means that time is up.
        let _ = tokio::time::timeout(stop.linger, self.drained()).await;
        let timeout = {
            let mut inner = self.lock();
            inner.sessions.part_with_all(self.clock.now(), stop.code, stop.retry_after);
            inner.sockets.values().for_each(|socket| socket.wake.notify_one());
            inner.sessions.config().acceptor.close_timeout
        };
        let _ = tokio::time::timeout(timeout, self.sockets.none()).await;
        let counts = *self.lock().sessions.counts();
        self.lock().end_all(self.clock.now(), self.is_durable);
        let _ = tokio::time::timeout(timeout, self.handlers.none()).await;
        self.stage.send_replace(Stage::Over);
        tokio::join!(self.sockets.none(), self.handlers.none());
        let writing = self.lock().journal.as_mut().and_then(Journal::finish);
        if let Some(writing) = writing {
            // An error would be a panic's.
            let _ = tokio::task::spawn_blocking(move || writing.join()).await;
        }
        counts
    }

    /// Waits until nothing waits for a client that is there.
    async fn drained(&self) {
        loop {
            let moved = self.moved.notified();
            if !self.lock().has_waiting() {
                return;
            }
            moved.await;
        }
    }
}

impl Inner {
    /// A socket comes.
    pub(super) fn enter(&mut self, wake: Arc<Notify>) -> Epoch {
        loop {
            self.last_epoch = self.last_epoch.wrapping_add(1);
            if let Some(epoch) = Epoch::new(self.last_epoch)
                && !self.sockets.contains_key(&epoch)
            {
                self.sockets.insert(epoch, Socket { wake, parting: None });
                return epoch;
            }
        }
    }

    /// A socket is gone.
    pub(super) fn leave(&mut self, epoch: Epoch) {
        self.sockets.remove(&epoch);
    }

    pub(super) fn parting(&mut self, epoch: Epoch) -> Option<Parting> {
        self.sockets.get_mut(&epoch)?.parting.take()
    }

    /// Who carries the socket that a session is on.
    pub(super) fn carrier(&mut self, session: SessionId) -> Option<Arc<Notify>> {
        let epoch = self.sessions.peer(session)?.epoch()?;
        Some(self.sockets.get(&epoch)?.wake.clone())
    }

    pub(super) fn expect(&mut self, session: SessionId, id: MessageId) -> oneshot::Receiver<Outcome> {
        let (sender, outcome) = oneshot::channel();
        self.receipts.insert((session, id), sender);
        outcome
    }

    pub(super) fn settled(&mut self, session: SessionId, settlement: Settlement) {
        let told = Told::Settled(session, settlement);
        tell(&mut self.seats, &mut self.receipts, &mut self.asked, self.journal.as_ref(), told);
    }

    /// In durable mode: before anything else is done to the session.
    pub(super) fn store(&mut self, now: Instant, session: SessionId, version: u64) {
        let Some(journal) = &self.journal else { return };
        let mut state = Vec::new();
        if self.sessions.store(now, session, |part| state.extend_from_slice(part)) {
            journal.store(session, version, state);
        }
    }

    /// What a session that is on no socket has to tell.
    pub(super) fn rest(&mut self, session: SessionId, now: Instant) {
        while let Some(mut peer) = self.sessions.peer(session).filter(|peer| peer.epoch().is_none()) {
            match peer.poll() {
                Next::Do(Action::Store { version }) => self.store(now, session, version),
                Next::Do(Action::Settled(settlement)) => self.settled(session, settlement),
                Next::Do(Action::Ended(ended)) => self.ended(session, ended),
                // Its socket is gone, or whoever carries it is told.
                Next::Do(_) | Next::Wait(_) | Next::Idle => return,
            }
        }
    }

    /// In durable mode: what the handler has not taken yet.
    pub(super) fn read(&mut self, session: SessionId, seat: &Seat, now: Instant) {
        if self.journal.is_some()
            && let Some(mut peer) = self.sessions.peer(session)
        {
            peer.handle(now, Input::Unread(seat.inbox.unread())).for_each(drop);
        }
    }

    /// What a session shows of its being on a socket.
    pub(super) fn show(&mut self, session: SessionId) {
        let connected = self.sessions.peer(session).is_some_and(|peer| peer.epoch().is_some());
        if let Some(seat) = self.seats.get(&session) {
            seat.connected.send_if_modified(|old| std::mem::replace(old, connected) != connected);
        }
    }

    /// What is over ends; gives when the next one will.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let Inner { sessions, seats, receipts, asked, journal, .. } = self;
        if sessions.deadline().is_some_and(|at| at <= now) {
            sessions.expire(now, |told| tell(seats, receipts, asked, journal.as_ref(), told));
        }
        sessions.deadline()
    }

    /// Nobody comes back to any session; in durable mode, in this process.
    fn end_all(&mut self, now: Instant, is_durable: bool) {
        let Inner { sessions, seats, receipts, asked, journal, .. } = self;
        if is_durable {
            seats.values().for_each(|seat| seat.end());
            return;
        }
        let ids: Vec<_> = sessions.ids().collect();
        for id in ids {
            if let Some(mut peer) = sessions.peer(id) {
                peer.end(now, code::GOING_AWAY, Duration::ZERO);
            }
        }
        sessions.expire(now, |told| tell(seats, receipts, asked, journal.as_ref(), told));
    }

    fn has_waiting(&mut self) -> bool {
        let sessions = &mut self.sessions;
        self.seats.keys().any(|id| {
            sessions
                .peer(*id)
                .is_some_and(|peer| peer.epoch().is_some() && peer.queued() + peer.in_flight() > 0)
        })
    }
}

type Seats = HashMap<SessionId, Arc<Seat>>;
type Asked = HashMap<(SessionId, u32), oneshot::Sender<crate::dialogue::Outcome>>;
type Receipts = HashMap<(SessionId, MessageId), oneshot::Sender<Outcome>>;

/// What became of a message or a session is told to whom it concerns.
fn tell(
    seats: &mut Seats,
    receipts: &mut Receipts,
    asked: &mut Asked,
    journal: Option<&Journal>,
    told: Told,
) {
    match told {
        Told::Request(session, Ended { id, end }) => {
            if let Some(waiting) = asked.remove(&(session, id.get())) {
                // Nobody needs to wait for it.
                let _ = waiting.send(Err(Failed::Ended(end)));
            }
        }
        Told::Settled(session, settlement) => {
            if let Some(receipt) = receipts.remove(&(session, settlement.id)) {
                // Nobody needs to wait for it.
                let _ = receipt.send(settlement.outcome);
            }
            if let Some(seat) = seats.get(&session) {
                seat.room.notify_waiters();
            }
        }
        Told::Ended(session) => {
            asked.retain(|(of, _), _| *of != session);
            end(seats, journal, session);
        }
    }
}

fn end(seats: &mut Seats, journal: Option<&Journal>, session: SessionId) {
    journal.inspect(|journal| journal.forget(session));
    seats.remove(&session).inspect(|seat| seat.end());
}

impl Seat {
    fn end(&self) {
        self.connected.send_replace(false);
        self.inbox.end();
        self.room.notify_waiters();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

/// Ends sessions whose time is over.
pub(super) async fn sweep(hub: Arc<Hub>) {
    let sweeping = async {
        loop {
            let at = {
                let inner = &mut *hub.lock();
                inner.sweep_at = inner.expire(hub.clock.now());
                inner.sweep_at
            };
            let sooner = hub.sooner.notified();
            match at {
                Some(at) => drop(tokio::time::timeout_at(hub.clock.at(at), sooner).await),
                None => sooner.await,
            }
        }
    };
    tokio::select! {
        () = sweeping => {}
        () = hub.reached(Stage::Over) => {}
    }
}

/// Counts tasks.
#[derive(Debug, Default)]
pub(super) struct Tally(watch::Sender<usize>);

impl Tally {
    pub(super) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// One more, as long as what is given lives; and how many they are.
    pub(super) fn enter(&self) -> (Counted, usize) {
        let mut count = 0;
        self.0.send_modify(|now| {
            *now += 1;
            count = *now;
        });
        (Counted(self.0.clone()), count)
    }

    pub(super) async fn none(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// How long a crowded server talks to those that it has no room for.
pub(super) const TURN_AWAY: Duration = Duration::from_secs(2);
