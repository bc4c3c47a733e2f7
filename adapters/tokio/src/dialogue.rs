//! Requests and channels of a client, as ordinary async calls and streams.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use everlink::channels::{self, SubscriptionId};
use everlink::dialogue::{Ask, Content, Refused};
use everlink::link::Delivery;
use everlink::outbox::{Kind, MessageId, Settlement};
use everlink::requests::{self, End, Ended, RequestId, code};
use everlink::time::Instant;
use everlink::wire::native::{Channel, Form, Request};
use tokio::sync::{mpsc, oneshot};

use crate::client::{Inner, Shared, TracedLink};
use crate::clock::Clock;
use crate::parcel::Parcel;
use crate::{Client, Error, Received};

/// The good answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Text or binary.
    pub kind: Kind,
    /// The answer.
    pub data: Bytes,
}

impl Answer {
    pub(crate) fn new(kind: Kind, data: &[u8]) -> Answer {
        Answer { kind, data: Bytes::copy_from_slice(data) }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self.kind {
            Kind::Text => std::str::from_utf8(&self.data).ok(),
            Kind::Binary => None,
        }
    }
}

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failed {
    /// It was not said: nothing of it has left.
    Refused(Refused),
    /// There can be no such subscription.
    Subscription(channels::RefusedReason),
    /// The other end says that it cannot be: with a code of [`requests::code`](everlink::requests::code) or of its application, and
    /// a reason for people.
    Error {
        /// Which error; 0 on the JSON wire, which has no codes.
        code: u32,
        /// For people.
        reason: String,
    },
    /// No answer came, for this reason.
    Ended(requests::End),
    /// The connection was closed by its owner, or its task has ended; or the session has. What was asked is in doubt.
    Closed,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Refused(refused) => refused.fmt(f),
            Failed::Subscription(reason) => reason.fmt(f),
            Failed::Error { code: 0, reason } => f.write_str(reason),
            Failed::Error { code, reason } if reason.is_empty() => write!(f, "error {code}"),
            Failed::Error { code, reason } => write!(f, "error {code}: {reason}"),
            Failed::Ended(end) => end.fmt(f),
            Failed::Closed => f.write_str("the connection was closed"),
        }
    }
}

impl std::error::Error for Failed {}

pub(crate) type Outcome = Result<Answer, Failed>;

/// What a subscription hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// From now on it gets what is published. In a new session this comes again; if there is a `gap`, what was published since it
    /// was confirmed before and has not come is missing. (On the system channel, which needs no confirmation, only gaps are told.)
    Subscribed {
        /// Whether something may be missing.
        gap: bool,
    },
    /// Somebody published this.
    Published(Received),
    /// The server refuses it: nothing more comes.
    Refused {
        /// Why; 0 on the JSON wire, which has no codes.
        code: u32,
        /// For people.
        reason: String,
    },
}

/// Who waits for what.
pub(crate) struct Dialogue {
    asked: HashMap<u32, oneshot::Sender<Outcome>>,
    heard: HashMap<SubscriptionId, mpsc::Sender<Heard>>,
    /// Who listens to the system channel.
    system: Option<System>,
    /// Who answers requests of the server.
    asks: Option<mpsc::Sender<Asked>>,
    inbound: usize,
    clock: Clock,
}

/// The system channel's listener.
struct System {
    to: mpsc::Sender<Heard>,
    /// How many sessions there have been when it was last told of a gap, or began.
    sessions: u64,
}

impl Dialogue {
    pub(crate) fn new(inbound: usize, clock: Clock) -> Dialogue {
        Dialogue { asked: HashMap::new(), heard: HashMap::new(), system: None, asks: None, inbound, clock }
    }

    pub(crate) fn answered(&mut self, id: u32, outcome: Outcome) {
        if let Some(waiting) = self.asked.remove(&id) {
            // Nobody needs to wait for it.
            let _ = waiting.send(outcome);
        }
    }

    /// A request has ended without an answer.
    pub(crate) fn ended(&mut self, ended: Ended) {
        let outcome = match ended.end {
            // That is all there is to wait for.
            End::Written => Ok(Answer::new(Kind::Binary, &[])),
            end => Err(Failed::Ended(end)),
        };
        self.answered(ended.id.get(), outcome);
    }

    /// Nothing more comes.
    pub(crate) fn close(&mut self) {
        self.asked.clear();
        self.heard.clear();
        self.system = None;
        self.asks = None;
    }

    /// The server has said this; `None` if it is no part of the dialogue.
    pub(crate) fn heard(
        &mut self,
        shared: &Arc<Shared>,
        link: &mut TracedLink,
        now: Instant,
        delivery: &Delivery<'_>,
    ) -> Option<Parcel> {
        match *delivery {
            Delivery::Response { id, kind, data } => self.answered(id, Ok(Answer::new(kind, data))),
            Delivery::Error { id, code, reason } => {
                self.answered(id, Err(Failed::Error { code, reason: reason.into() }));
            }
            Delivery::Published { id, code: 0, .. } => {
                self.answered(id, Ok(Answer::new(Kind::Binary, &[])));
            }
            Delivery::Published { id, code, reason } => {
                self.answered(id, Err(Failed::Error { code, reason: reason.into() }));
            }
            Delivery::Subscribed { id, gap } => return Some(self.hears(id, Heard::Subscribed { gap })),
            Delivery::Unsubscribed { id, code, reason } => {
                return Some(self.is_refused(id, code, reason.into()));
            }
            Delivery::Broadcast { channel, kind, data } => {
                let received = Received { kind, data: Bytes::copy_from_slice(data), number: 0 };
                let id = link.subscription_to(channel);
                return Some(match (id, channel) {
                    (Some(id), _) => self.hears(id, Heard::Published(received)),
                    (None, Channel::Name(channels::SYSTEM)) => self.system_hears(Heard::Published(received)),
                    (None, _) => Parcel::Nothing,
                });
            }
            Delivery::Request(Request { id, form, name, kind, data }) => {
                let content = Answer::new(kind, data);
                return Some(self.is_asked(shared, link, now, id, (form, name.into(), content)));
            }
            Delivery::Json(spoken) => return self.heard_json(shared, link, now, &spoken),
            _ => return None,
        }
        Some(Parcel::Nothing)
    }

    /// The server asks for something, or has an event.
    pub(crate) fn is_asked(
        &self,
        shared: &Arc<Shared>,
        link: &mut TracedLink,
        now: Instant,
        id: u32,
        (form, name, content): (Form, String, Answer),
    ) -> Parcel {
        let Some(asks) = self.asks.clone().filter(|asks| !asks.is_closed()) else {
            if id != 0 {
                let _ = link.reject(now, id, code::UNHANDLED, "nobody answers here", |_, _| ());
            }
            return Parcel::Nothing;
        };
        let owed = (id != 0).then(|| (Arc::downgrade(shared), self.clock, id));
        Parcel::Asked(asks, Asked { form, name, content, owed })
    }

    /// A subscription is over, because the server refuses it.
    pub(crate) fn is_refused(&mut self, id: SubscriptionId, code: u32, reason: String) -> Parcel {
        let parcel = self.hears(id, Heard::Refused { code, reason });
        self.heard.remove(&id);
        parcel
    }

    pub(crate) fn system_hears(&self, heard: Heard) -> Parcel {
        self.system.as_ref().map_or(Parcel::Nothing, |system| Parcel::Heard(system.to.clone(), heard))
    }

    /// Before anything of another session is heard: that the system channel may have been missed.
    pub(crate) fn gap(&mut self, link: &TracedLink) -> Option<Parcel> {
        let system = self.system.as_mut()?;
        let before = std::mem::replace(&mut system.sessions, link.sessions());
        let missed = before > 0 && before != system.sessions;
        missed.then(|| Parcel::Heard(system.to.clone(), Heard::Subscribed { gap: true }))
    }

    pub(crate) fn hears(&self, id: SubscriptionId, heard: Heard) -> Parcel {
        self.heard.get(&id).cloned().map_or(Parcel::Nothing, |to| Parcel::Heard(to, heard))
    }
}

/// A dialogue with the server, on the native wire or the JSON one. On the latter all payloads are JSON, and another socket is another
/// session.
impl Client {
    /// Asks something, and waits for the answer. In a session that goes on over another socket it is neither lost nor repeated; if
    /// the session is lost, it is in doubt, or asked again, as it [says itself](Ask::again).
    ///
    /// Dropped before the answer is there, it is cancelled: if it has not left, it never will.
    ///
    /// # Errors
    /// If it is not asked, if the server says that it cannot be, or if no answer comes.
    pub async fn request(&self, ask: &Ask<'_>) -> Result<Answer, Failed> {
        self.await_answer(|link, now, displaced| link.request(now, ask, |gone, _| displaced(gone))).await
    }

    /// Publishes something on a channel, and waits until the server has confirmed that; on the JSON wire, which confirms nothing, until
    /// it is written.
    ///
    /// # Errors
    /// If it is not said, if the server refuses it, or if no confirmation comes.
    pub async fn publish<'a>(&self, channel: &str, content: impl Into<Content<'a>>) -> Result<(), Failed> {
        let content = content.into();
        let publish = |link: &mut TracedLink, now: Instant, displaced: &mut dyn FnMut(Settlement)| {
            link.publish(now, channel, content, |gone, _| displaced(gone))
        };
        self.await_answer(publish).await.map(drop)
    }

    /// Lets the server know something; there is no answer. It is a message like others.
    ///
    /// # Errors
    /// If it is not said.
    pub fn event<'a>(&self, name: &str, content: impl Into<Content<'a>>) -> Result<MessageId, Failed> {
        let content = content.into();
        let inner = &mut *self.shared.lock();
        self.converse(inner, |link, now, displaced| link.event(now, name, content, |gone, _| displaced(gone)))
    }

    /// Subscribes to a channel, for as long as what is given lives: in a new session anew. What comes is read from it; if it is not,
    /// the connection stops reading from its socket.
    ///
    /// # Errors
    /// If there can be no such subscription. Whether the server grants it, the first thing that is heard tells.
    pub fn subscribe(&self, channel: &str) -> Result<Subscription, Failed> {
        let inner = &mut *self.shared.lock();
        if inner.closed {
            return Err(Failed::Closed);
        }
        let id = inner.link.subscribe(self.clock.now(), channel).map_err(Failed::Subscription)?;
        let (sender, heard) = mpsc::channel(inner.dialogue.inbound);
        inner.dialogue.heard.insert(id, sender);
        self.shared.stir();
        Ok(Subscription { id: Some(id), heard, shared: self.shared.clone(), clock: self.clock })
    }

    /// What the server says to all its clients on the channel [`SYSTEM`](channels::SYSTEM), from now on; what an earlier call has given
    /// hears no more. It needs no subscription, and so it is not confirmed: in a new session, it hears of a gap. What comes is read from
    /// it as from another [`Subscription`]; as long as nobody has called this, it is dropped.
    #[must_use]
    pub fn system(&self) -> Subscription {
        let inner = &mut *self.shared.lock();
        let (to, heard) = mpsc::channel(inner.dialogue.inbound);
        if !inner.closed {
            inner.dialogue.system = Some(System { to, sessions: inner.link.sessions() });
        }
        Subscription { id: None, heard, shared: self.shared.clone(), clock: self.clock }
    }

    /// The requests and events of the server, from now on; those of an earlier call end. As long as nobody has called this, requests
    /// are answered with [`UNHANDLED`](everlink::requests::code::UNHANDLED).
    #[must_use]
    pub fn asks(&self) -> Asks {
        let inner = &mut *self.shared.lock();
        let (sender, asks) = mpsc::channel(inner.dialogue.inbound);
        if !inner.closed {
            inner.dialogue.asks = Some(sender);
        }
        Asks(asks)
    }

    async fn await_answer(
        &self,
        ask: impl FnOnce(&mut TracedLink, Instant, &mut dyn FnMut(Settlement)) -> Result<RequestId, Refused>,
    ) -> Outcome {
        let (sender, answer) = oneshot::channel();
        let id = {
            let inner = &mut *self.shared.lock();
            let id = self.converse(inner, ask)?;
            inner.dialogue.asked.insert(id.get(), sender);
            id
        };
        let cancel = Cancel { client: self, id };
        let answer = answer.await.unwrap_or(Err(Failed::Closed));
        drop(cancel);
        answer
    }

    fn converse<T>(
        &self,
        inner: &mut Inner,
        say: impl FnOnce(&mut TracedLink, Instant, &mut dyn FnMut(Settlement)) -> Result<T, Refused>,
    ) -> Result<T, Failed> {
        if inner.closed {
            return Err(Failed::Closed);
        }
        let mut gone = Vec::new();
        let said = say(&mut inner.link, self.clock.now(), &mut |settlement| gone.push(settlement));
        inner.gone(gone);
        self.shared.stir();
        said.map_err(Failed::Refused)
    }
}

/// Cancels a request if nobody waits for it any more.
struct Cancel<'a> {
    client: &'a Client,
    id: RequestId,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let inner = &mut *self.client.shared.lock();
        if inner.dialogue.asked.remove(&self.id.get()).is_some() {
            inner.link.cancel_request(self.client.clock.now(), self.id);
            self.client.shared.stir();
        }
    }
}

/// A subscription; when it is dropped, the channel is left.
pub struct Subscription {
    /// None of the system channel.
    id: Option<SubscriptionId>,
    heard: mpsc::Receiver<Heard>,
    shared: Arc<Shared>,
    clock: Clock,
}

impl Subscription {
    /// What it hears next; `None` when it is over.
    pub async fn recv(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

impl futures_util::Stream for Subscription {
    type Item = Heard;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        self.heard.poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let inner = &mut *self.shared.lock();
        if inner.dialogue.heard.remove(&id).is_some() {
            inner.link.unsubscribe(self.clock.now(), id);
            self.shared.stir();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The requests and events of the server. If they are not read, the connection stops reading from its socket.
#[derive(Debug)]
pub struct Asks(mpsc::Receiver<Asked>);

impl Asks {
    /// The next one; `None` once the connection is closed for good.
    pub async fn recv(&mut self) -> Option<Asked> {
        self.0.recv().await
    }
}

/// Something that the server asks for. Dropped without an answer, it is answered with
/// [`UNHANDLED`](everlink::requests::code::UNHANDLED).
pub struct Asked {
    /// To do something, to know something, or an event, which wants no answer.
    pub form: Form,
    /// What to do, or to know.
    pub name: String,
    /// The arguments.
    pub content: Answer,
    owed: Option<(Weak<Shared>, Clock, u32)>,
}

impl Asked {
    /// The good answer. To an event it says nothing.
    ///
    /// # Errors
    /// If it is not said; then the server has only its time-out.
    pub fn respond<'a>(mut self, content: impl Into<Content<'a>>) -> Result<(), Error> {
        let content = content.into();
        self.answer(|link, now, id, displaced| link.respond(now, id, content, |gone, _| displaced(gone)))
    }

    /// The bad answer, with a code below 4000 or from 5000 on, and a reason for people. To an event it says nothing.
    ///
    /// # Errors
    /// As for [`respond`](Asked::respond).
    pub fn reject(mut self, code: u32, reason: &str) -> Result<(), Error> {
        self.answer(|link, now, id, displaced| link.reject(now, id, code, reason, |gone, _| displaced(gone)))
    }

    fn answer(
        &mut self,
        answer: impl FnOnce(&mut TracedLink, Instant, u32, &mut dyn FnMut(Settlement)) -> Result<(), Refused>,
    ) -> Result<(), Error> {
        let Some((shared, clock, id)) = self.owed.take() else { return Ok(()) };
        let Some(shared) = shared.upgrade() else { return Err(Error::Closed) };
        let (inner, now) = (&mut *shared.lock(), clock.now());
        let mut gone = Vec::new();
        let said = answer(&mut inner.link, now, id, &mut |settlement| gone.push(settlement));
        inner.gone(gone);
        shared.stir();
        said.map_err(Error::Unsaid)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let (form, name, content) = (self.form, String::new(), Answer::new(Kind::Binary, &[]));
        // Wherever it is dropped, somebody may hold the lock. Without a runtime there is nobody to tell.
        if let Some(owed) = self.owed.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let mut asked = Asked { form, name, content, owed: Some(owed) };
                // Who asked has its time-out, if this cannot be said.
                let _ = asked.answer(|link, now, id, displaced| {
                    link.reject(now, id, code::UNHANDLED, "nobody answers this", |gone, _| displaced(gone))
                });
            });
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("form", &self.form).field("name", &self.name).finish_non_exhaustive()
    }
}
