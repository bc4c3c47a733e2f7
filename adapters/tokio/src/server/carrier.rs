//! What carries one socket on the native wire, or the JSON one: a stranger's first, then a session's. It decides nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use everlink::acceptor::{Principal, Secret, SessionId};
use everlink::link::{Close, Epoch, Event as SocketEvent};
use everlink::peer::{Connection, ConnectionAction, Heard};
use everlink::stream::{Action, Heap, Next, Served, Stream, WebSocket};
use everlink::time::Instant;
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::hub::{Hub, Inner, Seat, Stage};
use super::{Caller, Credentials, Handler, Hello, Rejection, Session, dialogue};
use crate::clock::since_1970;
use crate::pipe::{Duplex, Moved, Pipe};

/// What is spoken on the socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speech {
    Native,
    Json,
}

type Decision = Result<Principal, Rejection>;

/// Something that happened.
enum Happened {
    Moved(Moved),
    Decided(Decision),
    /// The deadline came, or somebody did something to the session.
    Woken,
}

/// What carries one socket.
pub(super) struct Carrier<H> {
    hub: Arc<Hub>,
    handler: Arc<H>,
    caller: Arc<Caller>,
    stream: Stream,
    connection: Connection,
    pipe: Pipe,
    wake: Arc<Notify>,
    /// Who is it? The answer is on its way, and nothing is read before.
    deciding: Option<Pin<Box<dyn Future<Output = Decision> + Send>>>,
    /// The session that the socket was given, which may be on another one by now.
    seat: Option<(SessionId, Arc<Seat>)>,
    /// Has begun on this socket, and its handler was not given it yet.
    begun: Option<Session>,
    /// The handler does not keep up.
    paused: bool,
    sleep: Pin<Box<Sleep>>,
}

/// A fresh secret; `None` if the operating system has none.
fn secret() -> Option<Secret> {
    let mut secret = [0; Secret::LEN];
    getrandom::fill(&mut secret).ok()?;
    Some(Secret::new(secret))
}

impl<H: Handler> Carrier<H> {
    pub(super) fn new(
        hub: Arc<Hub>,
        handler: Arc<H>,
        caller: Caller,
        bytes: Box<dyn Duplex>,
        socket: WebSocket<Heap>,
        speech: Speech,
    ) -> Carrier<H> {
        let wake = Arc::new(Notify::new());
        let (epoch, connection) = {
            let mut inner = hub.lock();
            let epoch = inner.enter(wake.clone());
            let (config, now) = (inner.sessions.config(), hub.clock.now());
            let connection = match speech {
                Speech::Native => Connection::new(&config.acceptor, now, epoch),
                Speech::Json => Connection::json(config, now, epoch, Some(since_1970())),
            };
            (epoch, connection)
        };
        Carrier {
            hub,
            handler,
            caller: Arc::new(caller),
            stream: Stream::on_socket(epoch, socket),
            connection,
            pipe: Pipe::new(bytes),
            wake,
            deciding: None,
            seat: None,
            begun: None,
            paused: false,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    const fn epoch(&self) -> Epoch {
        self.connection.epoch()
    }

    /// The loop. It ends with the socket.
    pub(super) async fn run(mut self) {
        let hub = self.hub.clone();
        // What came with the request.
        self.read(&mut hub.lock(), hub.clock.now());
        loop {
            let deadline = {
                let inner = &mut *hub.lock();
                let mut next = self.turn(inner);
                if next.is_some() && self.listens() && self.connection.has_come() {
                    self.read(inner, hub.clock.now());
                    next = self.turn(inner);
                }
                self.show(inner);
                hub.settle(inner, hub.clock.now());
                match next {
                    None => return,
                    Some(Next::Wait(at)) => Some(at),
                    Some(Next::Do(_) | Next::Idle) => None,
                }
            };
            if *hub.stage.borrow() != Stage::Open && self.seat.is_none() && self.deciding.is_none() {
                // It has not even said hello, or is told already that it cannot come in.
                return;
            }
            let happened = self.next(deadline).await;
            self.handle(&mut hub.lock(), happened);
            if let Some(session) = self.begun.take() {
                self.begin(session);
            }
        }
    }

    /// Does what is to be done; `None` when the socket is no more.
    fn turn(&mut self, inner: &mut Inner) -> Option<Next<ConnectionAction>> {
        if let Some(parting) = inner.parting(self.epoch()) {
            self.connection.part(&inner.sessions, parting);
        }
        loop {
            let sessions = &mut inner.sessions;
            let next = self.stream.poll(&mut Served { connection: &mut self.connection, sessions });
            match next {
                Next::Do(Action::Disconnect { .. }) => return None,
                Next::Do(Action::Shutdown { .. }) => self.pipe.shutdown(),
                Next::Do(Action::Tell(ConnectionAction::Store(session, version))) => {
                    inner.store(self.hub.clock.now(), session, version);
                }
                Next::Do(Action::Tell(ConnectionAction::Renew(session))) => {
                    // Without one, the old token goes on.
                    if let Some(secret) = secret() {
                        inner.sessions.renew(self.hub.clock.now(), session, secret);
                    }
                }
                Next::Do(Action::Tell(ConnectionAction::Settled(session, settlement))) => {
                    inner.settled(session, settlement);
                }
                Next::Do(Action::Tell(ConnectionAction::Ended(session, ended))) => {
                    inner.ended(session, ended)
                }
                // The stream has done it, or it is for display.
                Next::Do(_) => {}
                Next::Wait(_) | Next::Idle => return Some(next),
            }
        }
    }

    fn handle(&mut self, inner: &mut Inner, happened: Happened) {
        let (now, epoch) = (self.hub.clock.now(), self.epoch());
        let end = &mut Served { connection: &mut self.connection, sessions: &mut inner.sessions };
        match happened {
            Happened::Moved(Moved::Sent(count)) => self.stream.sent(end, now, epoch, count),
            Happened::Moved(Moved::Received(count)) => {
                self.stream.received(end, now, epoch, count);
                self.read(inner, now);
            }
            Happened::Moved(Moved::Lost) => self.stream.lost(end, now, epoch),
            Happened::Decided(decision) => {
                self.decided(inner, now, decision);
                self.resume(inner, now);
            }
            Happened::Woken => {
                self.stream.tick(end, now);
                let full = self.seat.as_ref().is_some_and(|(_, seat)| seat.inbox.is_full(&self.wake));
                if self.paused && !full {
                    self.paused = false;
                    self.resume(inner, now);
                }
            }
        }
    }

    fn resume(&mut self, inner: &mut Inner, now: Instant) {
        let end = &mut Served { connection: &mut self.connection, sessions: &mut inner.sessions };
        self.stream.resume(end, now);
        self.read(inner, now);
    }

    /// Hands on what came, until there is nothing more, or something has to be waited for.
    fn read(&mut self, inner: &mut Inner, now: Instant) {
        let epoch = self.epoch();
        loop {
            let sessions = &mut inner.sessions;
            let heard = if self.connection.has_come() {
                self.connection.came(sessions, now)
            } else {
                self.stream.read(&mut Served { connection: &mut self.connection, sessions }, now, epoch)
            };
            match heard {
                None => return,
                Some(Heard::Question(question)) => {
                    let credentials = Credentials(Bytes::copy_from_slice(question.credentials.reveal()));
                    let hello = Hello { credentials, resumes: question.resumes };
                    let (handler, caller) = (self.handler.clone(), self.caller.clone());
                    self.deciding =
                        Some(Box::pin(async move { handler.authenticate(&caller, &hello).await }));
                }
                Some(Heard::Deliveries(deliveries)) => {
                    let Some((session, seat)) = &self.seat else { continue };
                    let (session, hub) = (*session, &self.hub);
                    seat.inbox.extend(deliveries, |delivery, number| {
                        if inner.answered(session, now, delivery) {
                            return None;
                        }
                        dialogue::event(hub, session, delivery, number)
                    });
                    inner.read(session, seat, now);
                    if !seat.inbox.is_full(&self.wake) {
                        continue;
                    }
                    self.paused = true;
                }
            }
            let end = &mut Served { connection: &mut self.connection, sessions: &mut inner.sessions };
            self.stream.pause(end, now);
            return;
        }
    }

    /// Whether what comes may be read.
    const fn listens(&self) -> bool {
        !self.paused && self.deciding.is_none()
    }

    fn decided(&mut self, inner: &mut Inner, now: Instant, decision: Decision) {
        let secret = secret().ok_or(Rejection::try_later(Duration::from_secs(5)));
        match decision.and_then(|principal| Ok((principal, secret?))) {
            Ok((principal, secret)) => {
                let hub = self.hub.clone();
                let admitted = hub.admit(inner, now, &mut self.connection, principal, secret);
                let Some((seat, session)) = admitted else { return };
                self.seat = self.connection.session().map(|session| (session, seat));
                self.begun = session;
            }
            Err(Rejection { code, retry_after, reason }) => {
                self.connection.refuse(&inner.sessions, now, code, retry_after, reason);
            }
        }
    }

    /// A session has begun: it has a task of its own, which outlives this one.
    fn begin(&self, session: Session) {
        self.hub.begin(self.handler.clone(), session);
    }

    /// Waits for the next thing to happen; what the socket has to say comes before the passing of time.
    async fn next(&mut self, deadline: Option<Instant>) -> Happened {
        let epoch = self.epoch();
        if let Some(deadline) = deadline.map(|deadline| self.hub.clock.at(deadline))
            && self.sleep.deadline() != deadline
        {
            self.sleep.as_mut().reset(deadline);
        }
        let woken = self.wake.notified();
        tokio::pin!(woken);
        poll_fn(|cx| {
            if let Some(deciding) = &mut self.deciding
                && let Poll::Ready(decision) = deciding.as_mut().poll(cx)
            {
                self.deciding = None;
                return Poll::Ready(Happened::Decided(decision));
            }
            if let Poll::Ready(moved) = self.pipe.poll(cx, &mut self.stream, epoch) {
                return Poll::Ready(Happened::Moved(moved));
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Happened::Woken);
            }
            match deadline {
                Some(_) => self.sleep.as_mut().poll(cx).map(|()| Happened::Woken),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl<H> Carrier<H> {
    /// What can be seen of the session from outside.
    fn show(&self, inner: &mut Inner) {
        self.seat.as_ref().inspect(|(session, _)| inner.show(*session));
    }
}

impl<H> Drop for Carrier<H> {
    /// However the task ended, the session is on this socket no more.
    fn drop(&mut self) {
        let hub = self.hub.clone();
        let inner = &mut *hub.lock();
        let now = hub.clock.now();
        let _ = self.connection.handle(&mut inner.sessions, now, SocketEvent::Closed(Close::default()));
        inner.leave(self.connection.epoch());
        self.show(inner);
        hub.settle(inner, now);
    }
}
