//! What the application holds of a client.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use everlink::acceptor::{Principal, SessionId};
use everlink::dialogue::Refused;
use everlink::outbox::{MessageId, Outcome, RefusedReason, Settlement};
use everlink::time::Instant;
use tokio::sync::{Notify, watch};

use super::hub::{Hub, Inner, Seat, Stage};
use super::{Event, code};
use crate::client::{is_utf8, own};
use crate::dialogue::Failed;
use crate::{Error, Message, Payload, Receipt};

/// A session, for its handler: what comes in, and, as a [`Peer`], what goes out. The session ends when it is dropped.
#[derive(Debug)]
pub struct Session(Peer);

impl Session {
    pub(super) const fn new(peer: Peer) -> Session {
        Session(peer)
    }

    /// What came next, in order; `None` when the session has ended and all was told. If it is not called, the socket is not read.
    /// May be dropped and called again.
    ///
    /// In durable mode ([`Options::state`](super::Options::state)) a message is taken when the next event is asked for: one that the
    /// handler was still working on when the process was killed comes again, with the same [number](crate::Received::number).
    pub async fn recv(&mut self) -> Option<Event> {
        let Peer { hub, session, seat } = &self.0;
        if seat.inbox.put_down() && hub.is_durable {
            let (inner, now) = (&mut *hub.lock(), hub.clock.now());
            inner.read(*session, seat, now);
            self.0.after(inner, None, Vec::new());
        }
        seat.inbox.next().await
    }

    /// Answers the message that [`recv`](Session::recv) gave last: as [`Peer::send_waiting`], and takes that message in one step. So
    /// after a kill in durable mode the client has had the answer, or the message comes again, and never both.
    ///
    /// # Errors
    /// As for [`Peer::send_waiting`].
    pub async fn answer(&self, message: Message<impl Into<Payload>>) -> Result<Receipt, Error> {
        self.0.send_when_there_is_room(own(message), true).await
    }

    /// The sending half alone; it can be cloned, and kept.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.0.clone()
    }
}

impl Deref for Session {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A server that was dropped says no word; and one that stops in durable mode will go on with its sessions.
        let last = if self.0.hub.is_durable { Stage::Closing } else { Stage::Over };
        if *self.0.hub.stage.borrow() < last {
            self.0.end(code::NORMAL, Duration::ZERO);
        }
    }
}

/// A client, whether it is there or not. Clones share it.
#[derive(Clone)]
pub struct Peer {
    hub: Arc<Hub>,
    session: SessionId,
    seat: Arc<Seat>,
}

impl Peer {
    pub(super) const fn new(hub: Arc<Hub>, session: SessionId, seat: Arc<Seat>) -> Peer {
        Peer { hub, session, seat }
    }

    /// Which session it is.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.session
    }

    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.seat.principal
    }

    /// Accepts a message, to be sent as soon as the client is there.
    ///
    /// # Errors
    /// Hands the message back if it is too large, if it is a text that is not UTF-8, or if the queue is full and its policy evicts
    /// nothing for it (with [`Slow::Close`](everlink::peer::Slow::Close) the session ends then). [`Error::Closed`] if the session has
    /// ended.
    pub fn send(&self, message: Message<impl Into<Payload>>) -> Result<MessageId, Error> {
        self.accept(&mut self.hub.lock(), own(message), false)
    }

    /// As [`send`](Peer::send), with a receipt that tells how the message ended.
    ///
    /// # Errors
    /// As for [`send`](Peer::send).
    pub fn send_tracked(&self, message: Message<impl Into<Payload>>) -> Result<Receipt, Error> {
        let inner = &mut *self.hub.lock();
        let id = self.accept(inner, own(message), false)?;
        Ok(Receipt::new(id, inner.expect(self.session, id)))
    }

    /// As [`send_tracked`](Peer::send_tracked), but waits as long as the client's own queue is full instead of being refused.
    ///
    /// # Errors
    /// As for [`send`](Peer::send), but for a full queue.
    pub async fn send_waiting(&self, message: Message<impl Into<Payload>>) -> Result<Receipt, Error> {
        self.send_when_there_is_room(own(message), false).await
    }

    async fn send_when_there_is_room(&self, mut message: Message, answers: bool) -> Result<Receipt, Error> {
        loop {
            let room = self.seat.room.notified();
            let sent = {
                let inner = &mut *self.hub.lock();
                let id = self.accept(inner, message, answers);
                id.map(|id| Receipt::new(id, inner.expect(self.session, id)))
            };
            match sent {
                Err(Error::Refused(refused)) if refused.reason == RefusedReason::Full => {
                    message = refused.message;
                }
                done => return done,
            }
            room.await;
        }
    }

    /// `answers` the message that the handler works on.
    fn accept(&self, inner: &mut Inner, message: Message, answers: bool) -> Result<MessageId, Error> {
        if !is_utf8(&message) {
            return Err(Error::NotUtf8(message));
        }
        // A message too many may end the session, and then its socket is hard to find.
        let carrier = inner.carrier(self.session);
        let now = self.hub.clock.now();
        let mut displaced = Vec::new();
        let Some(mut peer) = inner.sessions.peer(self.session).filter(|_| !self.seat.inbox.has_ended())
        else {
            return Err(Error::Closed);
        };
        let accepted = peer.send(now, message, |settlement, _| displaced.push(settlement));
        if answers && accepted.is_ok() && self.seat.inbox.put_down() {
            inner.read(self.session, &self.seat, now);
        }
        self.after(inner, carrier, displaced);
        accepted.map_err(Error::Refused)
    }

    pub(super) const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// There may be room for another message.
    pub(super) fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.hub.moved.notified()
    }

    /// Says something in the dialogue.
    pub(super) fn converse<T>(
        &self,
        say: impl FnOnce(&mut CorePeer<'_>, Instant, &mut dyn FnMut(Settlement)) -> Result<T, Refused>,
    ) -> Result<T, Failed> {
        self.converse_in(&mut self.hub.lock(), say)
    }

    pub(super) fn converse_in<T>(
        &self,
        inner: &mut Inner,
        say: impl FnOnce(&mut CorePeer<'_>, Instant, &mut dyn FnMut(Settlement)) -> Result<T, Refused>,
    ) -> Result<T, Failed> {
        // What is said may end the session, and then its socket is hard to find.
        let carrier = inner.carrier(self.session);
        let mut displaced = Vec::new();
        let Some(mut peer) = inner.sessions.peer(self.session).filter(|_| !self.seat.inbox.has_ended())
        else {
            return Err(Failed::Closed);
        };
        let said = say(&mut peer, self.hub.clock.now(), &mut |settlement| displaced.push(settlement));
        self.after(inner, carrier, displaced);
        said.map_err(Failed::Refused)
    }

    /// Takes a message back that has not been numbered yet; its receipt tells that it was cancelled.
    pub fn cancel(&self, id: MessageId) -> Option<Payload> {
        let inner = &mut *self.hub.lock();
        let payload = inner.sessions.peer(self.session)?.cancel(id)?;
        self.after(inner, None, vec![Settlement { id, outcome: Outcome::Cancelled }]);
        Some(payload)
    }

    /// The client is to go, and may come back: it is told why, with a code of [`code`] or of the application's own (1000 to
    /// 4999), and when. The session stays.
    pub fn detach(&self, code: u16, retry_after: Duration) {
        self.part(|peer, now| peer.detach(now, code, retry_after));
    }

    /// The session ends: the client is told why, and what still waits is settled. Once is enough.
    pub fn end(&self, code: u16, retry_after: Duration) {
        if self.has_ended() {
            return;
        }
        self.seat.inbox.end();
        self.part(|peer, now| peer.end(now, code, retry_after));
    }

    fn part(&self, how: impl FnOnce(&mut CorePeer<'_>, everlink::time::Instant)) {
        let inner = &mut *self.hub.lock();
        let carrier = inner.carrier(self.session);
        if let Some(mut peer) = inner.sessions.peer(self.session) {
            how(&mut peer, self.hub.clock.now());
        }
        self.after(inner, carrier, Vec::new());
    }

    /// Something was done to the session.
    fn after(&self, inner: &mut Inner, carrier: Option<Arc<Notify>>, settlements: Vec<Settlement>) {
        settlements.into_iter().for_each(|settlement| inner.settled(self.session, settlement));
        match carrier.or_else(|| inner.carrier(self.session)) {
            Some(carrier) => carrier.notify_one(),
            None => inner.rest(self.session, self.hub.clock.now()),
        }
        inner.show(self.session);
        self.hub.settle(inner, self.hub.clock.now());
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.seat.connected.borrow()
    }

    /// Watches whether it is there.
    #[must_use]
    pub fn watch_connected(&self) -> watch::Receiver<bool> {
        self.seat.connected.subscribe()
    }

    /// Whether the session is no more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.seat.inbox.has_ended()
    }

    /// How many messages wait to be sent or to be acknowledged.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.hub.lock().sessions.peer(self.session).map_or(0, |peer| peer.queued() + peer.in_flight())
    }
}

type CorePeer<'a> = everlink::peer::Peer<'a, Payload>;

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("session", &self.session)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
