//! What comes out for the application.

use crate::outbox::Kind;
use crate::wire::native::{Channel, Credentials, Envelope, Goodbye, Health, Item, Limits, Reader, Request};

/// What an input carried for the application, borrowed from it. Dropping it early loses what it still holds and nothing
/// else.
#[derive(Clone, Debug)]
pub struct Deliveries<'f> {
    data: &'f [u8],
    form: Form,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// The data is nothing any more.
    Empty,
    /// It is one message.
    Message(Kind),
    /// It is envelopes that are known to be good.
    Envelopes {
        /// How many of those that count the application has already.
        repeats: u32,
    },
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
    /// The other end asks for something.
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
    /// To a client: what became of a publish, a subscribe or an unsubscribe.
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
}

/// What was read once within the limits is within these.
static GOOD: Limits = Limits { envelope: u32::MAX, name: u8::MAX, credentials: u32::MAX };

impl<'f> Deliveries<'f> {
    /// Nothing.
    pub(crate) const NONE: Deliveries<'static> = Deliveries { data: &[], form: Form::Empty, number: 0 };

    /// One message, as it came.
    #[inline]
    pub(crate) const fn message(kind: Kind, data: &'f [u8]) -> Deliveries<'f> {
        Deliveries { data, form: Form::Message(kind), number: 0 }
    }

    /// What these envelopes hold, without the first `repeats` that count; the session had `number` that count before.
    #[inline]
    pub(crate) const fn envelopes(data: &'f [u8], repeats: u32, number: u64) -> Deliveries<'f> {
        Deliveries { data, form: Form::Envelopes { repeats }, number }
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
            Form::Message(kind) => {
                self.form = Form::Empty;
                Some(Delivery::Message { kind, data: self.data })
            }
            Form::Envelopes { repeats } => self.envelope(repeats),
        }
    }
}

impl core::iter::FusedIterator for Deliveries<'_> {}

impl<'f> Deliveries<'f> {
    fn envelope(&mut self, mut repeats: u32) -> Option<Delivery<'f>> {
        let mut reader = Reader::new(self.data, &GOOD);
        let delivery = loop {
            let Some(Ok(item)) = reader.next() else { break None };
            if item.counts() && repeats > 0 {
                repeats = repeats.saturating_sub(1);
                continue;
            }
            self.number = self.number.saturating_add(item.counts().into());
            if let Item::Envelope(envelope) = item
                && let Some(delivery) = delivery(envelope)
            {
                break Some(delivery);
            }
        };
        self.data = self.data.get(reader.byte()..).unwrap_or_default();
        self.form = Form::Envelopes { repeats };
        delivery
    }
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
