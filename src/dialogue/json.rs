//! A dialogue on the JSON wire: the same tables, in other words.
//!
//! | the native wire | this one |
//! | --- | --- |
//! | ids are numbers of the one who asks | requests have even ids, twice their number; whatever else has an id has an odd one. The other end's are any text, so each of its requests gets a number here |
//! | leaving a channel is confirmed | it is not: it is done when it is said |
//! | publishing is confirmed | it is not: it ends when it is written |
//! | payloads are texts or bytes | payloads are JSON |

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use super::Refused;
use super::tables::{Dialogue, Name, Numbers, Post};
use crate::channels::{Action, Confirmed, Receiver, SYSTEM};
use crate::outbox::Slots;
use crate::session::Verdict;
use crate::wire::json::{Id, Message, Payload, Raw, Reason, Text};
use crate::wire::native::{Channel, Envelope, Form, Request, tag};

/// What a refused subscription is refused with: this wire has no codes.
const NO_CODE: u32 = 1;

/// The requests of the other end that await an answer: what they are called there, and here.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    last: u32,
    /// No longer than the table of those that wait.
    ids: Vec<(u32, Name)>,
}

impl Foreign {
    /// One came; `None` if one of that id waits.
    pub(crate) fn arrived(&mut self, id: Id<'_>) -> Option<u32> {
        let id = id.to_string();
        if self.ids.iter().any(|(_, other)| **other == *id) {
            return None;
        }
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.ids.push((self.last, id.into()));
        Some(self.last)
    }

    pub(crate) fn id(&self, number: u32) -> Option<Id<'_>> {
        let (_, id) = self.ids.iter().find(|(other, _)| *other == number)?;
        Id::try_from(Raw::new(id).ok()?).ok()
    }

    pub(crate) fn forget(&mut self, number: u32) {
        self.ids.retain(|(other, _)| *other != number);
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn lost(&mut self) {
        self.ids.clear();
    }
}

/// When something is said, in milliseconds since 1970, where that is known; and the number of its message.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) timestamp: Option<u64>,
    pub(super) sequence: u64,
}

impl Stamp {
    /// An odd id, so that it is none of a request. It differs from the last 2³¹.
    const fn id(self) -> Id<'static> {
        Id::Number((self.sequence as u32) << 1 | 1)
    }
}

/// A payload must be JSON; an empty one is none.
fn value(data: &[u8]) -> Result<Option<Raw<'_>>, Refused> {
    if data.is_empty() {
        return Ok(None);
    }
    let wrong = |at| Refused::NotJson { at: u32::try_from(at).unwrap_or(u32::MAX) };
    let text = core::str::from_utf8(data).map_err(|error| wrong(error.valid_up_to()))?;
    Raw::new(text).map(Some).map_err(|error| wrong(error.at))
}

/// The text of an envelope that a client's end says.
pub(super) fn text(envelope: &Envelope<'_>, stamp: Stamp, foreign: &Foreign) -> Result<String, Refused> {
    let Stamp { timestamp, .. } = stamp;
    let message = match *envelope {
        Envelope::Request(Request { id, form, name, data, .. }) => {
            let data = value(data)?.or(const { Some(Raw::EMPTY) });
            let payload = Payload::Named { name: name.into(), data };
            let id = if form == Form::Event { stamp.id() } else { Id::Number(id << 1) };
            Message::Request { form, id, timestamp, payload }
        }
        Envelope::Response { id, data, .. } => {
            let request = foreign.id(id).ok_or(Refused::NotAwaited)?;
            Message::Response { id: stamp.id(), timestamp, request, payload: value(data)? }
        }
        Envelope::Error { id, reason, .. } => {
            let request = Some(foreign.id(id).ok_or(Refused::NotAwaited)?);
            Message::Error { id: stamp.id(), timestamp, request, error: Some(Reason::Text(reason.into())) }
        }
        Envelope::Publish { channel: Channel::Name(name), data, .. } => {
            let data = value(data)?.ok_or(Refused::NotJson { at: 0 })?;
            Message::Publish { channel: name.into(), data }
        }
        Envelope::Subscribe { channel, .. } => Message::Subscribe { channel: channel.into() },
        Envelope::Unsubscribe { channel: Channel::Name(name), .. } => {
            Message::Unsubscribe { channel: name.into() }
        }
        // A client says nothing else, and names channels by their names.
        Envelope::Publish { .. }
        | Envelope::Unsubscribe { .. }
        | Envelope::Hello(_)
        | Envelope::Welcome(_)
        | Envelope::Ping { .. }
        | Envelope::Pong { .. }
        | Envelope::Ack { .. }
        | Envelope::Goodbye(_)
        | Envelope::Health(_)
        | Envelope::Renewal { .. }
        | Envelope::Message { .. }
        | Envelope::Broadcast { .. }
        | Envelope::Confirmation { .. } => return Err(Refused::NoDialogue),
    };
    Ok(message.to_text())
}

/// An order, which needs nothing but a name.
pub(super) fn order(action: Action<'_>) -> (u8, String) {
    let (tag, message) = match action {
        Action::Subscribe(name) => (tag::SUBSCRIBE, Message::Subscribe { channel: name.into() }),
        Action::Unsubscribe(name) => (tag::UNSUBSCRIBE, Message::Unsubscribe { channel: name.into() }),
    };
    (tag, message.to_text())
}

/// The message that says who the client is. `Debug` does not show it.
#[derive(Default)]
pub(super) struct Auth(Vec<u8>);

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

/// The id of that message. No other message has it, for sequences begin at 1.
const AUTH: Id<'_> = Id::Number(1);

impl<P> Dialogue<P> {
    /// Writes the message that says who the client is. The credentials go into it as they are.
    pub(crate) fn auth(&mut self, timestamp: Option<u64>, credentials: &[u8]) -> &[u8] {
        let mut text = Message::Auth { id: AUTH, timestamp, payload: None }.to_text().into_bytes();
        if !credentials.is_empty() {
            text.pop();
            text.extend_from_slice(b",\"payload\":");
            text.extend_from_slice(credentials);
            text.push(b'}');
        }
        self.auth = Auth(text);
        &self.auth.0
    }

    /// The other end has said this. Says what it is to the application.
    pub(crate) fn heard_json<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: Numbers<'_>,
        message: &Message<'_>,
    ) -> Verdict {
        let verdict = match *message {
            Message::Request { form: Form::Event, .. } => Verdict::Request(0),
            Message::Request { id, .. } => self.is_asked_json(post, config, id),
            Message::Response { request, .. } => {
                self.is_answered_json(post, request).unwrap_or(Verdict::Dropped)
            }
            Message::Error { request: Some(request), .. } => {
                // What has an odd id was no request; whoever said it may want to know.
                let about_none = request.number().is_none_or(|number| number & 1 == 1);
                let none = if about_none { Verdict::Answer(0) } else { Verdict::Dropped };
                self.is_answered_json(post, request).unwrap_or(none)
            }
            Message::Error { request: None, .. } => Verdict::Answer(0),
            Message::Broadcast { channel, .. } if channel == *SYSTEM => Verdict::Broadcast(None),
            Message::Broadcast { channel, .. } => {
                let channels = self.tables.channels.as_mut();
                match channels.map(|channels| channels.receiver_of_name(&channel.to_cow())) {
                    Some(Receiver::Subscription(id)) => Verdict::Broadcast(Some(id)),
                    Some(Receiver::System) => Verdict::Broadcast(None),
                    Some(Receiver::Nobody) | None => Verdict::Dropped,
                }
            }
            Message::Confirmation { channel } => match self.is_confirmed_json(channel, 0) {
                Some(Confirmed::Subscribed { id, gap }) => Verdict::Subscribed { id, gap },
                Some(Confirmed::Refused { .. }) | None => Verdict::Dropped,
            },
            Message::SystemError { channel, .. } => {
                match channel.and_then(|channel| self.is_confirmed_json(channel, NO_CODE)) {
                    Some(Confirmed::Refused { id, .. }) => Verdict::Unsubscribed(id),
                    Some(Confirmed::Subscribed { .. }) | None => Verdict::SystemError,
                }
            }
            Message::Ping
            | Message::Pong
            | Message::Auth { .. }
            | Message::Other { .. }
            | Message::Subscribe { .. }
            | Message::Unsubscribe { .. }
            | Message::Publish { .. } => Verdict::Message,
        };
        if verdict == Verdict::Dropped {
            self.tables.strays = self.tables.strays.saturating_add(1);
        }
        verdict
    }

    fn is_asked_json<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        config: Numbers<'_>,
        id: Id<'_>,
    ) -> Verdict {
        let Some(number) = self.tables.foreign.arrived(id) else { return Verdict::Dropped };
        if self.is_asked(post, config.requests, number) {
            return Verdict::Request(number);
        }
        self.tables.foreign.forget(number);
        Verdict::Dropped
    }

    /// `None` if no request waits for this.
    fn is_answered_json<S: Slots<P>>(
        &mut self,
        post: &mut Post<'_, P, S>,
        request: Id<'_>,
    ) -> Option<Verdict> {
        let number = request.number().filter(|number| number & 1 == 0)? >> 1;
        self.is_answered(post, number).then_some(Verdict::Answer(number))
    }

    fn is_confirmed_json(&mut self, channel: Text<'_>, code: u32) -> Option<Confirmed> {
        let channels = self.tables.channels.as_mut()?;
        let order = channels.order_of(&channel.to_cow())?;
        channels.confirmed(order, code, 0)
    }
}
