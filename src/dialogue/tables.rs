//! The tables of a dialogue, and the messages that come of them.

use core::fmt::Write as _;

use crate::channels::{self, Action, Channels, Confirmed, Receiver, SYSTEM};
use crate::outbox::{
    self, Arena, Kind, Message, MessageId, Outbox, Outcome, Policy, RefusedReason, Settlement, Slots,
};
use crate::requests::{self, Closed, Ended, Incoming, Requests, Unwelcome, Waiting, code};
use crate::session::Mark;
use crate::time::Instant;
use crate::wire::native::{Channel, Envelope, HEAD_MAX, Limit, Request, tag};

#[cfg(feature = "alloc")]
type Boxed<T> = alloc::boxed::Box<[T]>;
#[cfg(feature = "alloc")]
pub(super) type Name = alloc::boxed::Box<str>;
// Without an allocator there is no dialogue, and these are never made.
#[cfg(not(feature = "alloc"))]
type Boxed<T> = [T; 0];
#[cfg(not(feature = "alloc"))]
type Name = &'static str;

/// The tables of one end of a session, each made when it is first needed, and how to make payloads.
#[derive(Debug)]
pub(crate) struct Dialogue<P> {
    pub(super) from: fn(&[u8]) -> P,
    pub(super) copy: fn(&P) -> P,
    measure: fn(&P) -> usize,
    pub(super) tables: Tables<P>,
    /// On the JSON wire: the last message that said who the client is.
    #[cfg(feature = "alloc")]
    pub(super) auth: super::json::Auth,
}

#[derive(Debug)]
pub(super) struct Tables<P> {
    pub(super) requests: Option<Requests<P, Boxed<requests::Slot<P>>>>,
    pub(super) incoming: Option<Incoming<u32, Boxed<Option<Waiting<u32>>>>>,
    pub(super) channels: Option<Channels<Name, Boxed<channels::Slot<Name>>>>,
    /// The session has ended for good: no answer will come, even if it is acknowledged.
    stopped: bool,
    /// A session has begun that is not lost.
    begun: bool,
    /// How many have begun.
    sessions: u64,
    /// What came and was not for the application.
    pub(super) strays: u64,
    /// On the JSON wire.
    #[cfg(feature = "alloc")]
    pub(super) foreign: super::json::Foreign,
}

/// Where messages are posted, lent with each call.
pub(crate) struct Post<'a, P, S> {
    pub(crate) now: Instant,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) arena: &'a mut Arena<P, S>,
    pub(crate) config: &'a outbox::Config,
    /// How long a name may be, in bytes.
    pub(crate) names: u8,
    pub(crate) speech: Speech,
}

/// In what words the messages are written.
#[derive(Clone, Copy)]
pub(crate) enum Speech {
    /// The bodies of envelopes.
    Native,
    /// JSON texts.
    Json {
        /// The time, in milliseconds since 1970, if it is known.
        timestamp: Option<u64>,
    },
}

/// What one end of a dialogue goes by.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    pub(crate) requests: &'a requests::Config,
    pub(crate) channels: &'a channels::Config,
}

impl<P, S: Slots<P>> Post<'_, P, S> {
    /// Ids of a table of so many slots begin here: a process that goes on with an old session has had all that are below.
    #[cfg(feature = "alloc")]
    pub(super) fn start(&self, capacity: u32, most: u32) -> u32 {
        let rounds = u64::from(most.checked_div(capacity).unwrap_or(0).max(1));
        let round = self.outbox.last_sequence() % rounds;
        u32::try_from(round).unwrap_or(0).saturating_mul(capacity)
    }

    /// Of the next message.
    #[cfg(feature = "alloc")]
    pub(super) const fn stamp(&self) -> super::json::Stamp {
        let timestamp = match self.speech {
            Speech::Native => None,
            Speech::Json { timestamp } => timestamp,
        };
        super::json::Stamp { timestamp, sequence: self.outbox.last_sequence().wrapping_add(1) }
    }

    const fn kind(&self) -> Kind {
        match self.speech {
            Speech::Native => Kind::Binary,
            Speech::Json { .. } => Kind::Text,
        }
    }

    /// Posts what nobody asked for, if that displaces nothing.
    fn post_quietly(&mut self, own: u8, payload: P, len: usize) -> Result<MessageId, RefusedReason> {
        self.outbox.expire(self.arena, self.now);
        let config = outbox::Config { policy: Policy::Refuse, ..self.config.clone() };
        let message = Message { kind: self.kind(), ..Message::binary(payload).with_tag(own) };
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let pushed = self.outbox.push(self.arena, &config, self.now, len, message, |_, _| ());
        pushed.map_err(|refused| refused.reason)
    }
}

impl<P> Tables<P> {
    /// A message of the machine's own has ended.
    pub(super) fn settled(&mut self, Settlement { id, outcome }: Settlement) {
        let arrived = matches!(outcome, Outcome::Acknowledged | Outcome::Written);
        let outcome = if arrived && self.stopped { Outcome::InDoubt } else { outcome };
        let asked = self.requests.as_mut().is_some_and(|requests| requests.settled(id, outcome));
        if !asked && let Some(channels) = &mut self.channels {
            channels.settled(id, outcome);
        }
    }
}

/// Whether it means nothing in another session, by its tag.
fn is_of_one_session(own: u8) -> bool {
    [tag::RESPONSE, tag::ERROR, tag::SUBSCRIBE, tag::UNSUBSCRIBE, tag::CONFIRMATION]
        .map(tag::own)
        .contains(&own)
}

impl<P> Dialogue<P> {
    #[cfg(feature = "alloc")]
    pub(crate) fn new() -> Dialogue<P>
    where
        P: AsRef<[u8]> + Clone + for<'a> From<&'a [u8]>,
    {
        let tables = Tables {
            requests: None,
            incoming: None,
            channels: None,
            stopped: false,
            begun: false,
            sessions: 0,
            strays: 0,
            foreign: super::json::Foreign::default(),
        };
        Dialogue {
            from: |bytes| P::from(bytes),
            copy: P::clone,
            measure: |body| body.as_ref().len(),
            tables,
            auth: super::json::Auth::default(),
        }
    }

    // What comes.

    /// The other end has said this. Says whether it is for the application.
    pub(crate) fn heard<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: Numbers<'_>,
        envelope: &Envelope<'_>,
    ) -> Mark {
        if let Some(name) = envelope.name()
            && name.len() > post.names.into()
        {
            self.decline(post, envelope);
            self.tables.strays = self.tables.strays.saturating_add(1);
            return Mark::Dropped;
        }
        let good = match *envelope {
            Envelope::Request(Request { id: 0, .. }) | Envelope::Error { id: 0, .. } => true,
            Envelope::Request(Request { id, .. }) => self.is_asked(post, config.requests, id),
            Envelope::Response { id, .. } | Envelope::Error { id, .. } => self.is_answered(post, id),
            Envelope::Confirmation { id, .. } if id & 1 == 0 => self.is_answered(post, id >> 1),
            Envelope::Confirmation { id, code, number, .. } => {
                let channels = self.tables.channels.as_mut();
                match channels.and_then(|channels| channels.confirmed(id, code, number)) {
                    Some(Confirmed::Subscribed { gap: true, .. }) => return Mark::Gap,
                    Some(Confirmed::Subscribed { gap: false, .. } | Confirmed::Refused { .. }) => true,
                    None => false,
                }
            }
            Envelope::Broadcast { channel, .. } => match (&mut self.tables.channels, channel) {
                (None, Channel::Name(name)) => name == SYSTEM,
                (None, Channel::Number(_)) => false,
                (Some(channels), Channel::Name(name)) => channels.receiver_of_name(name) != Receiver::Nobody,
                (Some(channels), Channel::Number(number)) => {
                    channels.receiver_of_number(number.get()) != Receiver::Nobody
                }
            },
            // A server's end sees to these itself; the others are no part of a dialogue.
            Envelope::Publish { .. }
            | Envelope::Subscribe { .. }
            | Envelope::Unsubscribe { .. }
            | Envelope::Hello(_)
            | Envelope::Welcome(_)
            | Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Goodbye(_)
            | Envelope::Health(_)
            | Envelope::Renewal { .. }
            | Envelope::Message { .. } => true,
        };
        if good {
            return Mark::Good;
        }
        self.tables.strays = self.tables.strays.saturating_add(1);
        Mark::Dropped
    }

    /// The other end waits for an answer from now on; or it is told at once that there are too many.
    pub(super) fn is_asked<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: &requests::Config,
        id: u32,
    ) -> bool {
        #[cfg(feature = "alloc")]
        let incoming = self.tables.incoming.get_or_insert_with(|| Incoming::with_capacity(config.incoming));
        #[cfg(not(feature = "alloc"))]
        let Some(incoming) = self.tables.incoming.as_mut() else { return false };
        match incoming.arrived(config, post.now, id) {
            Ok(()) => true,
            Err(Unwelcome::TooMany { limit }) => {
                let mut reason = Reason::EMPTY;
                // There is room.
                let _ = write!(reason, "{limit} requests wait to be answered");
                self.excuse(post, &Envelope::Error { id, code: code::TOO_MANY, reason: reason.as_str() });
                false
            }
            Err(Unwelcome::Twice) => false,
        }
    }

    /// An answer or a confirmation came; whether it was awaited.
    pub(super) fn is_answered<S: Slots<P>>(&mut self, post: &mut Post<'_, P, S>, id: u32) -> bool {
        let closed = self.tables.requests.as_mut().and_then(|requests| requests.answered(id));
        close(post, closed)
    }

    /// It names something by a longer name than this end takes. Who waits for an answer is told; a socket that were closed for it would
    /// not help, for it would come again on the next one.
    fn decline<S: Slots<P>>(&self, post: &mut Post<'_, P, S>, envelope: &Envelope<'_>) {
        let (mut reason, code) = (Reason::EMPTY, code::NAME_TOO_LONG);
        // There is room.
        let _ = write!(reason, "a name has at most {} bytes here", post.names);
        let reason = reason.as_str();
        match *envelope {
            Envelope::Request(Request { id: id @ 1.., .. }) => {
                self.excuse(post, &Envelope::Error { id, code, reason });
            }
            Envelope::Publish { id: id @ 1.., .. }
            | Envelope::Subscribe { id, .. }
            | Envelope::Unsubscribe { id, .. } => {
                self.excuse(post, &Envelope::Confirmation { id, code, number: 0, reason });
            }
            Envelope::Hello(_)
            | Envelope::Welcome(_)
            | Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Message { .. }
            | Envelope::Ack { .. }
            | Envelope::Request(_)
            | Envelope::Response { .. }
            | Envelope::Error { .. }
            | Envelope::Publish { .. }
            | Envelope::Broadcast { .. }
            | Envelope::Confirmation { .. }
            | Envelope::Renewal { .. }
            | Envelope::Health(_)
            | Envelope::Goodbye(_) => {}
        }
    }

    /// Answers for the application. If there is no room, the other end's own time-out has to do.
    fn excuse<S: Slots<P>>(&self, post: &mut Post<'_, P, S>, answer: &Envelope<'_>) {
        #[cfg(feature = "alloc")]
        if let Speech::Json { .. } = post.speech {
            if let Ok(text) = super::json::text(answer, post.stamp(), &self.tables.foreign) {
                let payload = (self.from)(text.as_bytes());
                let _ = post.post_quietly(tag::own(answer.tag()), payload, text.len());
            }
            return;
        }
        let mut body = [0; HEAD_MAX];
        if let Ok(len) = answer.encode_body(&mut body) {
            let payload = (self.from)(body.get(..len).unwrap_or_default());
            let _ = post.post_quietly(tag::own(answer.tag()), payload, len);
        }
    }

    // What becomes of the session, and of messages.

    /// A message of the machine's own has ended.
    pub(crate) fn settled(&mut self, settlement: Settlement) {
        self.tables.settled(settlement);
    }

    /// The session is gone. What was to be said in it and means nothing in another one is taken back.
    pub(crate) fn lost<S: Slots<P>>(&mut self, post: &mut Post<'_, P, S>) {
        self.forget(post);
        post.outbox.recall_flight(post.arena, is_of_one_session);
        post.outbox.recall_queued(post.arena, is_of_one_session);
    }

    fn forget<S: Slots<P>>(&mut self, post: &Post<'_, P, S>) {
        #[cfg(feature = "alloc")]
        self.tables.foreign.lost();
        self.tables.begun = false;
        let Tables { requests, incoming, channels, .. } = &mut self.tables;
        if let Some(requests) = requests {
            requests.catch_up(|message| post.outbox.outcome(post.arena, message));
            requests.lost();
        }
        if let Some(incoming) = incoming {
            incoming.lost();
        }
        if let Some(channels) = channels {
            channels.lost(|_| ());
        }
    }

    /// The application has stopped the link, and with it the session: for the dialogue at once, while what is in flight still counts
    /// until the socket is closed.
    pub(crate) fn stop<S: Slots<P>>(&mut self, post: &mut Post<'_, P, S>) {
        self.tables.stopped = true;
        if let Some(requests) = &mut self.tables.requests {
            requests.stop();
        }
        self.forget(post);
        post.outbox.recall_queued(post.arena, is_of_one_session);
    }

    /// The session goes on, or another one has begun.
    pub(crate) const fn welcomed(&mut self) {
        self.tables.stopped = false;
        if !core::mem::replace(&mut self.tables.begun, true) {
            self.tables.sessions = self.tables.sessions.saturating_add(1);
        }
    }

    /// How many sessions have begun.
    pub(crate) const fn sessions(&self) -> u64 {
        self.tables.sessions
    }

    /// Ends what is due.
    pub(crate) fn expire<S: Slots<P>>(&mut self, post: &mut Post<'_, P, S>, config: Numbers<'_>) {
        if self.next_deadline().is_none_or(|at| at > post.now) {
            return;
        }
        if let Some(requests) = &mut self.tables.requests {
            requests.expire(post.now, |message| drop(post.outbox.cancel(post.arena, message)));
        }
        if let Some(channels) = &mut self.tables.channels {
            channels.expire(post.now, config.requests.timeout);
        }
        while let Some(id) = self.tables.incoming.as_mut().and_then(|incoming| incoming.expire(post.now)) {
            self.excuse(post, &Envelope::Error { id, code: code::NO_ANSWER, reason: "no answer in time" });
            #[cfg(feature = "alloc")]
            self.tables.foreign.forget(id);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let asked = self.tables.requests.as_ref().and_then(Requests::next_deadline);
        let owed = self.tables.incoming.as_ref().and_then(Incoming::next_deadline);
        let ordered = self.tables.channels.as_ref().and_then(Channels::next_deadline);
        [asked, owed, ordered].into_iter().flatten().min()
    }

    /// A request that ended without an answer.
    pub(crate) fn next_ended(&mut self) -> Option<Ended> {
        self.tables.requests.as_mut()?.next_ended()
    }

    /// While the session is on a socket: posts what the tables want to be said. True if something was.
    pub(crate) fn tell<S: Slots<P>>(&mut self, post: &mut Post<'_, P, S>, config: Numbers<'_>) -> bool {
        let Dialogue { from, copy, measure, tables: Tables { requests, channels, .. }, .. } = self;
        let (mut told, due) = (false, post.now + config.requests.timeout);
        while let Some(requests) = requests
            && let Some((id, body)) = requests.again()
        {
            let payload = copy(body);
            let len = measure(&payload);
            let Ok(message) = post.post_quietly(tag::own(tag::REQUEST), payload, len) else { break };
            requests.queued(id, message);
            told = true;
        }
        while let Some(channels) = channels
            && channels.has_orders()
        {
            #[cfg(feature = "alloc")]
            if let Speech::Json { .. } = post.speech {
                let mut left = None;
                let given = channels.give_until(Some(due), |order| {
                    left = matches!(order.action, Action::Unsubscribe(_)).then_some(order.id);
                    let (tag, text) = super::json::order(order.action);
                    post.post_quietly(tag::own(tag), from(text.as_bytes()), text.len()).map(Some)
                });
                if given != Ok(true) {
                    break;
                }
                if let Some(order) = left {
                    // It is not confirmed on this wire.
                    channels.confirmed(order, 0, 0);
                }
                told = true;
                continue;
            }
            let given = channels.give_until(Some(due), |order| {
                let (tag, envelope) = match order.action {
                    Action::Subscribe(channel) => {
                        (tag::SUBSCRIBE, Envelope::Subscribe { id: order.id, channel })
                    }
                    Action::Unsubscribe(name) => {
                        let channel = Channel::Name(name);
                        (tag::UNSUBSCRIBE, Envelope::Unsubscribe { id: order.id, channel })
                    }
                };
                let mut body = [0; HEAD_MAX];
                let len = envelope.encode_body(&mut body).map_err(|_| RefusedReason::TooLarge)?;
                let payload = from(body.get(..len).unwrap_or_default());
                post.post_quietly(tag::own(tag), payload, len).map(Some)
            });
            if given != Ok(true) {
                break;
            }
            told = true;
        }
        told
    }

    /// How much came that nobody waited for, or that could not be taken.
    pub(crate) const fn strays(&self) -> u64 {
        self.tables.strays
    }
}

/// A request that is over. Whether there was one.
pub(super) fn close<P, S: Slots<P>>(post: &mut Post<'_, P, S>, closed: Option<Closed>) -> bool {
    let Some(Closed { message, .. }) = closed else { return false };
    if let Some(message) = message {
        post.outbox.cancel(post.arena, message);
    }
    true
}

/// A few words, written where there is no allocator.
struct Reason {
    bytes: [u8; Limit::REASON],
    len: usize,
}

impl Reason {
    const EMPTY: Reason = Reason { bytes: [0; Limit::REASON], len: 0 };

    fn as_str(&self) -> &str {
        core::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }
}

impl core::fmt::Write for Reason {
    fn write_str(&mut self, words: &str) -> core::fmt::Result {
        let end = self.len + words.len();
        self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(words.as_bytes());
        self.len = end;
        Ok(())
    }
}
