//! What comes out for the application.

use super::json::{self, Spoken, Verdict};
use crate::channels::SubscriptionId;
use crate::outbox::Kind;
use crate::wire::native::{Channel, Credentials, Envelope, Goodbye, Health, Item, Limits, Reader, Request};

/// What an input carried for the application, borrowed from it. Dropping it early loses what it still holds and nothing
/// else.
///
/// Its fields are plain ones: an enum that holds them makes the compiler copy them byte by byte, which costs more than reading
/// them.
#[derive(Clone, Debug)]
pub struct Deliveries<'f> {
    data: &'f [u8],
    form: Form,
    number: u64,
    /// Of envelopes: how many of those that count the application has already.
    repeats: u32,
    /// Of envelopes: what the dialogue says of those that are its own.
    marks: Marks,
    /// Of a frame of the JSON wire: what the dialogue says of it.
    verdict: Verdict,
}

/// What the data is.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Nothing any more.
    Empty,
    /// One message.
    Text,
    /// One message.
    Binary,
    /// Envelopes that are known to be good.
    Envelopes,
    /// The same, where a dialogue is kept.
    Marked,
    /// A frame of the JSON wire.
    JsonText,
    /// A frame of the JSON wire.
    JsonBinary,
}

/// What a dialogue says of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is for the application.
    Good,
    /// It is not.
    Dropped,
    /// It is a confirmation, and something was missed before it.
    Gap,
}

/// What a dialogue says of the envelopes of one frame, those that came before and messages left out; the first in the lowest bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    count: u32,
    dropped: u64,
    gaps: u64,
}

impl Marks {
    pub(crate) const NONE: Marks = Marks { count: 0, dropped: 0, gaps: 0 };

    /// There is one more; false if there are as many as can be.
    pub(crate) const fn begin(&mut self) -> bool {
        let may = self.count < u64::BITS;
        self.count = self.count.saturating_add(may as u32);
        may
    }

    /// Of the last one.
    pub(crate) fn last(&mut self, mark: Mark) {
        let bit = self.count.checked_sub(1).and_then(|last| 1_u64.checked_shl(last)).unwrap_or(0);
        match mark {
            Mark::Good => {}
            Mark::Dropped => self.dropped |= bit,
            Mark::Gap => self.gaps |= bit,
        }
    }

    const fn next(&mut self) -> Mark {
        let mark = match (self.dropped & 1, self.gaps & 1) {
            (1, _) => Mark::Dropped,
            (_, 1) => Mark::Gap,
            _ => Mark::Good,
        };
        self.dropped >>= 1;
        self.gaps >>= 1;
        mark
    }
}

/// One thing for the application. On the raw wire there are only messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery<'f> {
    /// A message from the other end.
    Message {
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        data: &'f [u8],
    },
    /// To a client: the session that the socket is on. It comes before anything else that the socket has.
    Session {
        /// Whether it is the one of before. If not, what the server had sent in that one and has not come is lost to this end.
        resumed: bool,
        /// Its name in logs. No secret.
        number: u64,
    },
    /// The other end asks for something. Where a dialogue is kept, answer it, unless it is an event: with `respond` or `reject`.
    Request(Request<'f>),
    /// The good answer to a request.
    Response {
        /// The request's.
        id: u32,
        /// Text or binary.
        kind: Kind,
        /// The answer.
        data: &'f [u8],
    },
    /// The bad answer to a request.
    Error {
        /// The request's; 0 if it is about none.
        id: u32,
        /// What went wrong.
        code: u32,
        /// What went wrong, for people.
        reason: &'f str,
    },
    /// To a client: somebody published this on a channel.
    Broadcast {
        /// Which channel.
        channel: Channel<'f>,
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        data: &'f [u8],
    },
    /// To a client that keeps a dialogue: from now on it gets what is published on a channel.
    Subscribed {
        /// Which subscription.
        id: SubscriptionId,
        /// It was confirmed before, in a session that is no more: what was published since is missing.
        gap: bool,
    },
    /// To a client that keeps a dialogue: the server refuses a subscription, which is over.
    Unsubscribed {
        /// Which subscription.
        id: SubscriptionId,
        /// Why.
        code: u32,
        /// Why, for people.
        reason: &'f str,
    },
    /// To a client that keeps a dialogue: what became of a publish.
    Published {
        /// Its [number](crate::requests::RequestId::get).
        id: u32,
        /// 0 if it was done, else why it was refused.
        code: u32,
        /// Why it was refused, for people.
        reason: &'f str,
    },
    /// To a client that keeps no dialogue: what became of a publish, a subscribe or an unsubscribe.
    Confirmation {
        /// The id of what is confirmed.
        id: u32,
        /// 0 if it was done, else why it was refused.
        code: u32,
        /// By which number the server calls the channel from now on; 0 if only by its name.
        number: u32,
        /// Why it was refused, for people.
        reason: &'f str,
    },
    /// To a server: for everybody who has subscribed to the channel.
    Publish {
        /// The confirmation carries it; 0 if none is wanted.
        id: u32,
        /// Which channel.
        channel: Channel<'f>,
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        data: &'f [u8],
    },
    /// To a server: the client wants what is published on a channel.
    Subscribe {
        /// The confirmation carries it.
        id: u32,
        /// The channel's name.
        channel: &'f str,
    },
    /// To a server: the client wants no more of it.
    Unsubscribe {
        /// The confirmation carries it.
        id: u32,
        /// Which channel.
        channel: Channel<'f>,
    },
    /// To a server: the client authenticates anew, before what it came with runs out. If it is not who it was, let it go
    /// ([`Peer::end`](crate::peer::Peer::end)).
    Credentials(Credentials<'f>),
    /// How the other end is. Advice, which may be lost.
    Health(Health),
    /// Why the other end closes. The link goes by it already; its reason is for people.
    Goodbye(Goodbye<'f>),
    /// On the JSON wire: what it has besides messages, answers, and confirmed subscriptions.
    Json(Spoken<'f>),
}

/// What was read once within the limits is within these.
static GOOD: Limits = Limits { envelope: u32::MAX, name: u8::MAX, credentials: u32::MAX };

impl<'f> Deliveries<'f> {
    /// Nothing.
    pub(crate) const NONE: Deliveries<'static> = Deliveries {
        data: &[],
        form: Form::Empty,
        number: 0,
        repeats: 0,
        marks: Marks::NONE,
        verdict: Verdict::Dropped,
    };

    /// One message, as it came.
    #[inline]
    pub(crate) const fn message(kind: Kind, data: &'f [u8]) -> Deliveries<'f> {
        let form = match kind {
            Kind::Text => Form::Text,
            Kind::Binary => Form::Binary,
        };
        Deliveries { data, form, ..Deliveries::NONE }
    }

    /// What a frame of the JSON wire holds, of which the dialogue says this.
    pub(crate) const fn json(kind: Kind, data: &'f [u8], verdict: Verdict) -> Deliveries<'f> {
        let form = match kind {
            Kind::Text => Form::JsonText,
            Kind::Binary => Form::JsonBinary,
        };
        Deliveries { data, form, verdict, ..Deliveries::NONE }
    }

    /// What these envelopes hold, without the first `repeats` that count; the session had `number` that count before.
    #[inline]
    pub(crate) const fn envelopes(
        data: &'f [u8],
        repeats: u32,
        number: u64,
        marks: Option<Marks>,
    ) -> Deliveries<'f> {
        let (form, marks) = match marks {
            Some(marks) => (Form::Marked, marks),
            None => (Form::Envelopes, Marks::NONE),
        };
        Deliveries { data, form, number, repeats, marks, ..Deliveries::NONE }
    }

    /// The number of what was given last, if it is something that counts (a message does): from 1, over the whole session. Who was
    /// killed in durable mode gets what it had not taken again, with the same number. 0 on a wire without numbers.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl<'f> Iterator for Deliveries<'f> {
    type Item = Delivery<'f>;

    #[inline]
    fn next(&mut self) -> Option<Delivery<'f>> {
        match self.form {
            Form::Empty => None,
            Form::Text => Some(self.only(Kind::Text)),
            Form::Binary => Some(self.only(Kind::Binary)),
            Form::Envelopes | Form::Marked => self.envelope(),
            Form::JsonText => self.spoken(Kind::Text),
            Form::JsonBinary => self.spoken(Kind::Binary),
        }
    }
}

impl core::iter::FusedIterator for Deliveries<'_> {}

impl<'f> Deliveries<'f> {
    #[inline]
    const fn only(&mut self, kind: Kind) -> Delivery<'f> {
        self.form = Form::Empty;
        Delivery::Message { kind, data: self.data }
    }

    #[inline(never)]
    fn spoken(&mut self, kind: Kind) -> Option<Delivery<'f>> {
        self.form = Form::Empty;
        json::delivery(kind, self.data, self.verdict)
    }

    #[inline(never)]
    fn envelope(&mut self) -> Option<Delivery<'f>> {
        let marked = matches!(self.form, Form::Marked);
        let mut reader = Reader::new(self.data, &GOOD);
        let delivery = loop {
            let Some(Ok(item)) = reader.next() else { break None };
            if item.counts() && self.repeats > 0 {
                self.repeats = self.repeats.saturating_sub(1);
                continue;
            }
            self.number = self.number.saturating_add(item.counts().into());
            if let Item::Envelope(envelope) = item {
                let spoken = envelope.counts() && !matches!(envelope, Envelope::Message { .. });
                let delivery = match (marked && spoken).then(|| self.marks.next()) {
                    Some(Mark::Dropped) => None,
                    Some(mark) => understood(envelope, mark == Mark::Gap),
                    None => delivery(envelope),
                };
                if delivery.is_some() {
                    break delivery;
                }
            }
        };
        self.data = self.data.get(reader.byte()..).unwrap_or_default();
        delivery
    }
}

/// What an envelope means to an end that keeps a dialogue.
const fn understood(envelope: Envelope<'_>, gap: bool) -> Option<Delivery<'_>> {
    let Envelope::Confirmation { id, code, reason, .. } = envelope else { return delivery(envelope) };
    Some(match (SubscriptionId::of_order(id), code) {
        (Some(id), 0) => Delivery::Subscribed { id, gap },
        (Some(id), code) => Delivery::Unsubscribed { id, code, reason },
        (None, code) => Delivery::Published { id: id >> 1, code, reason },
    })
}

const fn delivery(envelope: Envelope<'_>) -> Option<Delivery<'_>> {
    Some(match envelope {
        Envelope::Message { kind, data } => Delivery::Message { kind, data },
        Envelope::Welcome(welcome) => Delivery::Session { resumed: welcome.resumed, number: welcome.session },
        Envelope::Request(request) => Delivery::Request(request),
        Envelope::Response { id, kind, data } => Delivery::Response { id, kind, data },
        Envelope::Error { id, code, reason } => Delivery::Error { id, code, reason },
        Envelope::Broadcast { channel, kind, data } => Delivery::Broadcast { channel, kind, data },
        Envelope::Confirmation { id, code, number, reason } => {
            Delivery::Confirmation { id, code, number, reason }
        }
        Envelope::Publish { id, channel, kind, data } => Delivery::Publish { id, channel, kind, data },
        Envelope::Subscribe { id, channel } => Delivery::Subscribe { id, channel },
        Envelope::Unsubscribe { id, channel } => Delivery::Unsubscribe { id, channel },
        Envelope::Health(health) => Delivery::Health(health),
        Envelope::Goodbye(goodbye) => Delivery::Goodbye(goodbye),
        Envelope::Renewal { credentials, .. } if !credentials.reveal().is_empty() => {
            Delivery::Credentials(credentials)
        }
        Envelope::Hello(_)
        | Envelope::Ping { .. }
        | Envelope::Pong { .. }
        | Envelope::Ack { .. }
        | Envelope::Renewal { .. } => return None,
    })
}
