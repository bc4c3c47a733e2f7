//! The application's side: send, watch, close.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use everlink::link::{Action, Close, Event, Input, Link, Next, State, Status};
use everlink::metrics::Report;
use everlink::outbox::{Kind, MessageId, Outcome, RefusedReason, Settlement, Storage};
use everlink::quality::Quality;
use everlink::stream::{self, Stream};
use everlink::time::Instant;
use everlink::trace::{Recorder, Traced};
use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::{Clock, wall_clock};
use crate::dialogue::Dialogue;
use crate::driver;
use crate::inbox::Inbox;
use crate::messages::Messages;
use crate::open::{Opener, Source};
use crate::options::{Options, TraceSink};
use crate::state::StateFile;
use crate::watched::Watched;
use crate::{Error, Message, Payload};

pub(crate) type TracedLink = Traced<Payload, Storage<Payload>, TraceSink>;

/// What the application and the connection's task share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// The connection's task, if it sleeps.
    pub(crate) driver: AtomicWaker,
    /// The link changed under the task's feet, and it has not looked since.
    stirred: AtomicBool,
    /// A message came to its end, so there may be room for another.
    pub(crate) room: Notify,
}

pub(crate) struct Inner {
    pub(crate) link: TracedLink,
    pub(crate) receipts: HashMap<MessageId, oneshot::Sender<Outcome>>,
    /// Messages that a send displaced, for the observer.
    pub(crate) displaced: Vec<Settlement>,
    /// Who waits for what in the dialogue with the server.
    pub(crate) dialogue: Dialogue,
    /// What came, and was not taken.
    pub(crate) inbox: Inbox,
    /// The owner closed the connection, or its task ended: it takes nothing more.
    pub(crate) closed: bool,
    /// The task has ended.
    pub(crate) ended: bool,
}

impl Shared {
    /// A poisoned lock means that an observer panicked; the link itself never does, and is whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link has changed: the task is to look.
    pub(crate) fn stir(&self) {
        if !self.stirred.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    /// Whether the link has changed. Then the task looks now.
    pub(crate) fn take_stir(&self) -> bool {
        self.stirred.load(Ordering::Relaxed) && self.stirred.swap(false, Ordering::AcqRel)
    }

    /// Stops for good; the first call counts.
    fn close(&self, now: Instant, linger: Duration) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.closed, true) {
            let _ = inner.link.handle(now, Input::Stop { linger });
            self.stir();
        }
    }

    /// The task has ended, and with it the link: everything is settled. Nothing is left to settle if it ended by itself.
    pub(crate) fn end(&self, now: Instant) {
        let inner = &mut *self.lock();
        inner.closed = true;
        let _ = inner.link.handle(now, Input::Stop { linger: Duration::ZERO });
        while let Next::Do(action) = inner.link.poll() {
            match action {
                Action::Settled(settlement) => inner.settle(settlement),
                Action::Close { epoch, .. } => {
                    let _ = inner.link.handle(now, Input::Socket(epoch, Event::Closed(Close::default())));
                }
                Action::Abandon { .. }
                | Action::Open { .. }
                | Action::Store { .. }
                | Action::Pong { .. }
                | Action::Ping { .. }
                | Action::Flush { .. }
                | Action::Status { .. }
                | Action::RetryScheduled { .. }
                | Action::Quality { .. } => {}
                Action::Ended(ended) => inner.dialogue.ended(ended),
            }
        }
    }

    /// Lets go whoever still waits for something.
    pub(crate) fn ended(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.ended = true;
        inner.receipts.clear();
        inner.dialogue.close();
        let reader = inner.inbox.end();
        drop(inner);
        reader.into_iter().for_each(Waker::wake);
        self.room.notify_waiters();
    }
}

impl Inner {
    // Where it is inlined, the message is not copied on its way.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "measured")]
    fn accept(&mut self, shared: &Shared, now: Instant, message: Message) -> Result<MessageId, Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        if !is_utf8(&message) {
            return Err(Error::NotUtf8(message));
        }
        let mut gone = Vec::new();
        let result = self.link.send(now, message, |settlement, _| gone.push(settlement));
        if !gone.is_empty() {
            // What came may be smaller than what went.
            shared.room.notify_waiters();
            self.gone(gone);
        }
        result.map_err(Error::Refused)
    }

    /// Something was displaced.
    pub(crate) fn gone(&mut self, gone: Vec<Settlement>) {
        gone.iter().for_each(|settlement| self.settle(*settlement));
        self.displaced.extend(gone);
    }

    pub(crate) fn settle(&mut self, settlement: Settlement) {
        if self.receipts.is_empty() {
            return;
        }
        if let Some(receipt) = self.receipts.remove(&settlement.id) {
            // Nobody needs to wait for it.
            let _ = receipt.send(settlement.outcome);
        }
    }
}

/// One logical connection. Clones share it; when the last one is dropped, it is closed.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    state: watch::Receiver<State>,
    quality: watch::Receiver<Quality>,
    report: watch::Receiver<Report>,
    _last: Arc<Last>,
}

/// Dropped with the last [`Client`].
struct Last(Arc<Shared>, Clock);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.close(self.1.now(), Duration::ZERO);
    }
}

pub(crate) fn start(source: Source, options: Options) -> Result<(Client, Messages), Error> {
    let Options {
        mut config,
        seed,
        tls,
        max_message,
        compression,
        inbound,
        state: file,
        dialogue,
        trace,
        observer,
    } = options;
    let seed = seed.unwrap_or_else(random);
    let clock = Clock::new();
    let file = file.map(StateFile::new).transpose().map_err(Error::Io)?;
    config.delivery.durable |= file.is_some();
    if config.delivery.durable && file.is_none() {
        return Err(Error::Stateless);
    }
    let durable = config.delivery.durable;
    let stored = file.as_ref().map(StateFile::load).transpose().map_err(Error::Io)?.flatten();
    let trace = trace.filter(|_| stored.is_none());
    let recorder = trace.map(|sink| Recorder::new(&config, seed, sink));
    let link = match stored {
        Some((stored, away)) => {
            Link::restore(config, seed, &stored, clock.now(), away).map_err(Error::State)?
        }
        None => Link::new(config, seed).map_err(Error::Config)?,
    };
    let mut limits = stream::Config::default();
    limits.frames.frame = (max_message as u64).max(125);
    limits.frames.message = limits.frames.frame;
    limits.deflate = compression;
    let stream = Stream::on_heap(limits, &link);
    let mut inner = Inner {
        link: Traced::new(link, recorder),
        receipts: HashMap::new(),
        displaced: Vec::new(),
        dialogue: Dialogue::new(inbound.max(1), clock),
        inbox: Inbox::new(inbound, durable),
        closed: false,
        ended: false,
    };
    if dialogue && inner.link.config().wire.has_dialogue() {
        inner.link.open_dialogue();
    }
    let shared = Arc::new(Shared {
        inner: Mutex::new(inner),
        driver: AtomicWaker::new(),
        stirred: AtomicBool::new(false),
        room: Notify::new(),
    });
    let watched = Watched::new(shared.clone(), clock, observer);
    let (state, quality, report) = watched.receivers();
    let client = Client {
        shared: shared.clone(),
        clock,
        state,
        quality,
        report,
        _last: Arc::new(Last(shared.clone(), clock)),
    };
    // The first thing that is said may show it.
    client.tell(wall_clock());
    client.tell(Input::Start);
    let opener = Opener { source, tls };
    tokio::spawn(driver::Io::new(opener, stream, file, watched, clock).run(shared.clone()));
    Ok((client, Messages::new(shared, clock, durable)))
}

pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // No entropy device: addresses and time still differ between processes.
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(std::time::SystemTime::now())
    })
}

impl Client {
    /// Accepts a message, to be sent as soon as there is a connection.
    ///
    /// # Errors
    /// Hands the message back if it is too large, if the queue is full and its policy evicts nothing for it, if it would
    /// be taken for a heartbeat, or if it is a text that is not UTF-8.
    pub fn send(&self, message: Message<impl Into<Payload>>) -> Result<MessageId, Error> {
        self.accept(&mut self.shared.lock(), own(message))
    }

    /// As [`send`](Client::send), with a receipt that tells how the message ended.
    ///
    /// # Errors
    /// As for [`send`](Client::send).
    pub fn send_tracked(&self, message: Message<impl Into<Payload>>) -> Result<Receipt, Error> {
        let mut inner = self.shared.lock();
        let id = self.accept(&mut inner, own(message))?;
        let (sender, outcome) = oneshot::channel();
        inner.receipts.insert(id, sender);
        Ok(Receipt { id, outcome })
    }

    /// As [`send_tracked`](Client::send_tracked), but waits as long as the queue is full instead of being refused.
    ///
    /// # Errors
    /// As for [`send`](Client::send), but for a full queue.
    pub async fn send_waiting(&self, message: Message<impl Into<Payload>>) -> Result<Receipt, Error> {
        let mut message = own(message);
        loop {
            let room = self.shared.room.notified();
            match self.send_tracked(message) {
                Err(Error::Refused(refused)) if refused.reason == RefusedReason::Full => {
                    message = refused.message;
                }
                done => return done,
            }
            room.await;
        }
    }

    /// As [`send`](Client::send) for each of them in turn, but the clock is looked at once, and the connection wakes up once. What makes the
    /// messages must not call this client, which is locked meanwhile.
    ///
    /// # Errors
    /// As for [`send`](Client::send), for the first that is not accepted. Those before it are; those behind it were not taken from the
    /// iterator, which can be lent with [`by_ref`](Iterator::by_ref) to go on.
    pub fn send_all<P: Into<Payload>>(
        &self,
        messages: impl IntoIterator<Item = Message<P>>,
    ) -> Result<Vec<MessageId>, Error> {
        let (inner, now) = (&mut *self.shared.lock(), self.clock.now());
        let ids = messages.into_iter().map(|message| inner.accept(&self.shared, now, own(message))).collect();
        self.shared.stir();
        ids
    }

    fn accept(&self, inner: &mut Inner, message: Message) -> Result<MessageId, Error> {
        let accepted = inner.accept(&self.shared, self.clock.now(), message);
        self.shared.stir();
        accepted
    }

    /// Takes a message back that has not been handed to a socket yet; its receipt tells that it was cancelled.
    pub fn cancel(&self, id: MessageId) -> Option<Payload> {
        let mut inner = self.shared.lock();
        let payload = inner.link.cancel(id)?;
        inner.settle(Settlement { id, outcome: Outcome::Cancelled });
        inner.displaced.push(Settlement { id, outcome: Outcome::Cancelled });
        self.shared.stir();
        self.shared.room.notify_waiters();
        Some(payload)
    }

    /// On the native wire, or the JSON one: authenticates anew from now on, at once where a socket is welcome; before what was given with
    /// [`Target::credentials`](crate::Target::credentials) runs out. The source gives them for later sockets.
    pub fn renew(&self, credentials: impl Into<Payload>) {
        let inner = &mut *self.shared.lock();
        inner.link.set_credentials(Some(credentials.into()));
        self.shared.stir();
    }

    /// Tells what only the application can know: [`Input::Online`] and [`Input::Offline`], [`Input::Visible`] and
    /// [`Input::Hidden`], [`Input::Start`] to try at once or again, [`Input::Stop`] to disconnect for a while.
    pub fn tell(&self, input: Input<'_>) {
        let mut inner = self.shared.lock();
        if !inner.closed {
            let _ = inner.link.handle(self.clock.now(), input);
            self.shared.stir();
        }
    }

    /// What the connection is doing, why, and until when (see [`now`](Client::now)).
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.lock().link.state()
    }

    /// The word for it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state().status()
    }

    /// How good it is.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.shared.lock().link.quality()
    }

    /// All that was counted and measured up to now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.lock().link.report(self.clock.now())
    }

    /// The sequence of the last message that was accepted, those of the processes before included in durable mode; 0 if none was.
    #[must_use]
    pub fn last_message(&self) -> u64 {
        self.shared.lock().link.last_message()
    }

    /// The time that states and notices speak of: since the connection was made.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Watches what the connection is doing.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Watches how good it is.
    #[must_use]
    pub fn watch_quality(&self) -> watch::Receiver<Quality> {
        self.quality.clone()
    }

    /// Watches the numbers; they are renewed with each heartbeat and each change of state or quality.
    #[must_use]
    pub fn watch_report(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }

    /// Waits until nothing waits to be sent: every accepted message is settled, or the connection's task has ended.
    pub async fn drained(&self) {
        loop {
            let room = self.shared.room.notified();
            if self.shared.lock().ended || self.report().queue.messages == 0 {
                return;
            }
            room.await;
        }
    }

    /// Closes the connection for good, and waits until its task has ended. What is queued may still leave for at most
    /// `linger`, if a healthy socket is there; the rest is settled as stopped. Gives the final numbers.
    pub async fn close(self, linger: Duration) -> Report {
        self.shared.close(self.clock.now(), linger);
        // The task ends, and with it the sender, once the link is stopped and its sockets are gone.
        let mut state = self.watch_state();
        while state.changed().await.is_ok() {}
        self.report()
    }
}

pub(crate) fn own(message: Message<impl Into<Payload>>) -> Message {
    let everlink::outbox::Message { kind, tag, payload, priority, ttl, key } = message;
    Message { kind, tag, payload: payload.into(), priority, ttl, key }
}

/// Whether the payload is what the kind says: a text must be UTF-8.
pub(crate) fn is_utf8(message: &Message) -> bool {
    match message.kind {
        Kind::Text => std::str::from_utf8(message.payload.as_ref()).is_ok(),
        Kind::Binary => true,
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Tells how a message ended. Await it, or drop it.
#[derive(Debug)]
pub struct Receipt {
    id: MessageId,
    outcome: oneshot::Receiver<Outcome>,
}

impl Receipt {
    pub(crate) const fn new(id: MessageId, outcome: oneshot::Receiver<Outcome>) -> Receipt {
        Receipt { id, outcome }
    }

    /// Of the message.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.id
    }
}

impl Future for Receipt {
    /// In doubt, if the connection's task was ended from outside before the message was settled.
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or(Outcome::InDoubt))
    }
}
