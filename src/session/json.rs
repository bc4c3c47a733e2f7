//! What comes out for the application on the JSON wire.

use super::Delivery;
use crate::channels::SubscriptionId;
use crate::outbox::Kind;
use crate::wire::json::{DecodeError, Message, Payload, Raw, Reason, Text};
use crate::wire::native::Form;

/// Something for the application on the JSON wire that has texts in it, which may be written with escapes: see [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spoken<'f> {
    /// The other end asks for something. Answer it, unless it is an event: with `respond` or `reject`, under this number.
    Request {
        /// The number; 0 for an event.
        id: u32,
        /// What is asked for.
        form: Form,
        /// What to do, or to know; empty if it is not where this form has it.
        name: Text<'f>,
        /// The arguments; if there is no name, all of the payload.
        data: Option<Raw<'f>>,
    },
    /// The bad answer to a request.
    Error {
        /// The request's; 0 if it is about none.
        id: u32,
        /// What went wrong.
        reason: Option<Reason<'f>>,
    },
    /// Somebody published this on a channel.
    Broadcast {
        /// To which subscription it is; `None` on the channel [`SYSTEM`](crate::channels::SYSTEM).
        subscription: Option<SubscriptionId>,
        /// The channel.
        channel: Text<'f>,
        /// What was published.
        data: Raw<'f>,
    },
    /// The server refuses a subscription, which is over.
    Unsubscribed {
        /// Which subscription.
        id: SubscriptionId,
        /// Why, for people.
        reason: Text<'f>,
    },
    /// The server says on the channel [`SYSTEM`](crate::channels::SYSTEM) that something went wrong.
    SystemError {
        /// What, for people.
        reason: Text<'f>,
    },
    /// The frame is no message of this wire: nothing else came of it.
    Malformed {
        /// What is wrong, and at which byte.
        error: DecodeError,
        /// Text or binary.
        kind: Kind,
        /// The frame.
        data: &'f [u8],
    },
}

/// What a dialogue says of a message.
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "without an allocator there is no dialogue"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is for the application, as it came.
    Message,
    /// It is for nobody.
    Dropped,
    /// It is an answer to this request, good or bad; 0 for an error that is about none.
    Answer(u32),
    /// It is a request, or an event, that has this number here.
    Request(u32),
    Subscribed {
        id: SubscriptionId,
        gap: bool,
    },
    Unsubscribed(SubscriptionId),
    Broadcast(Option<SubscriptionId>),
    SystemError,
    Malformed,
}

/// What a frame means to an end that has said this of it.
pub(super) fn delivery(kind: Kind, data: &[u8], verdict: Verdict) -> Option<Delivery<'_>> {
    let message = match Message::decode(data) {
        Ok(message) => message,
        Err(error) if verdict == Verdict::Malformed => {
            return Some(Delivery::Json(Spoken::Malformed { error, kind, data }));
        }
        Err(_) => return None,
    };
    let spoken = match (verdict, message) {
        (Verdict::Message, _) => return Some(Delivery::Message { kind, data }),
        (Verdict::Subscribed { id, gap }, _) => return Some(Delivery::Subscribed { id, gap }),
        (Verdict::Answer(id), Message::Response { payload, .. }) => {
            let data = payload.map_or(&[][..], |payload| payload.as_str().as_bytes());
            return Some(Delivery::Response { id, kind: Kind::Text, data });
        }
        (Verdict::Answer(id), Message::Error { error, .. }) => Spoken::Error { id, reason: error },
        (Verdict::Request(id), Message::Request { form, payload, .. }) => {
            let whole = match payload {
                Payload::Raw(raw) => raw,
                Payload::Named { data, .. } => data,
            };
            let (name, data) = payload.named(form).unwrap_or((Text::from(""), whole));
            Spoken::Request { id, form, name, data }
        }
        (Verdict::Unsubscribed(id), Message::SystemError { message, .. }) => {
            Spoken::Unsubscribed { id, reason: message }
        }
        (Verdict::Broadcast(subscription), Message::Broadcast { channel, data }) => {
            Spoken::Broadcast { subscription, channel, data }
        }
        (Verdict::SystemError, Message::SystemError { message, .. }) => {
            Spoken::SystemError { reason: message }
        }
        // Nothing else comes of these verdicts.
        (
            Verdict::Dropped
            | Verdict::Malformed
            | Verdict::Answer(_)
            | Verdict::Request(_)
            | Verdict::Unsubscribed(_)
            | Verdict::Broadcast(_)
            | Verdict::SystemError,
            _,
        ) => return None,
    };
    Some(Delivery::Json(spoken))
}
