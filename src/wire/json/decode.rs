//! From a frame to a message.

use super::scan::{Fields, Scanner};
use super::value::{Id, Raw, Secret, Text};
use super::{DecodeError, Message, Payload, Problem, Reason};
use crate::channels::SYSTEM;
use crate::utf8;
use crate::wire::native::Form;

/// A value, and the byte at which it begins.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    at: usize,
    value: Raw<'a>,
}

/// The fields that mean something. Of several with one name the last one counts, as in JavaScript.
#[derive(Clone, Copy, Debug, Default)]
struct Known<'a> {
    kind: Option<Field<'a>>,
    id: Option<Field<'a>>,
    timestamp: Option<Field<'a>>,
    payload: Option<Field<'a>>,
    request: Option<Field<'a>>,
    error: Option<Field<'a>>,
    action: Option<Field<'a>>,
    channel: Option<Field<'a>>,
    data: Option<Field<'a>>,
}

impl<'a> Known<'a> {
    /// Into one that holds nothing, where it is to be.
    #[inline]
    fn read(&mut self, mut fields: Fields<'a>) -> Result<(), DecodeError> {
        while let Some(key) = fields.key()? {
            let mut name = [0; 9];
            // Bytes, for the compiler looks at each of these once.
            let place = match key.unescape(&mut name).map_or(&[][..], str::as_bytes) {
                b"type" => &mut self.kind,
                b"id" => &mut self.id,
                b"timestamp" => &mut self.timestamp,
                b"payload" => &mut self.payload,
                b"requestId" => &mut self.request,
                b"error" => &mut self.error,
                b"action" => &mut self.action,
                b"channel" => &mut self.channel,
                b"data" => &mut self.data,
                _ => {
                    fields.value()?;
                    continue;
                }
            };
            let (at, value) = fields.value()?;
            *place = Some(Field { at, value });
        }
        fields.end()
    }
}

const fn missing(name: &'static str) -> DecodeError {
    DecodeError { at: 0, problem: Problem::Missing(name) }
}

const fn wrong(field: Field<'_>, name: &'static str) -> DecodeError {
    DecodeError { at: field.at, problem: Problem::Field(name) }
}

/// A field that must be a string, and say something.
fn text<'a>(field: Option<Field<'a>>, name: &'static str) -> Result<Text<'a>, DecodeError> {
    let field = field.ok_or(missing(name))?;
    field.value.text().filter(|text| !text.is_empty()).ok_or(wrong(field, name))
}

fn id<'a>(field: Option<Field<'a>>, name: &'static str) -> Result<Id<'a>, DecodeError> {
    let field = field.ok_or(missing(name))?;
    Id::of(field.value).ok_or(wrong(field, name))
}

/// Absent, or `null`.
fn optional_id<'a>(field: Option<Field<'a>>, name: &'static str) -> Result<Option<Id<'a>>, DecodeError> {
    let field = field.filter(|field| field.value != Raw::NULL);
    field.map(|field| id(Some(field), name)).transpose()
}

const fn value<'a>(field: Option<Field<'a>>) -> Option<Raw<'a>> {
    match field {
        Some(field) => Some(field.value),
        None => None,
    }
}

impl<'a> Message<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// If it is no message: count it, tell the application, and go on.
    pub fn decode(frame: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let text = utf8::text(frame)
            .ok_or_else(|| DecodeError { at: utf8::valid_up_to(frame), problem: Problem::Text })?;
        let mut known = Known::default();
        known.read(Fields::new(Scanner::new(text))?)?;
        if known.action.is_some() {
            order(&known)
        } else if known.kind.is_some() {
            typed(&known)
        } else if known.channel.is_some() {
            broadcast(&known)
        } else {
            Err(missing("type"))
        }
    }
}

/// What a client says of a channel.
fn order<'a>(known: &Known<'a>) -> Result<Message<'a>, DecodeError> {
    let action = text(known.action, "action")?;
    let channel = text(known.channel, "channel");
    let mut word = [0; 11];
    Ok(match action.unescape(&mut word).map_or(&[][..], str::as_bytes) {
        b"subscribe" => Message::Subscribe { channel: channel? },
        b"unsubscribe" => Message::Unsubscribe { channel: channel? },
        b"publish" => Message::Publish { channel: channel?, data: value(known.data).ok_or(missing("data"))? },
        _ => return Err(known.action.map_or(missing("action"), |field| wrong(field, "action"))),
    })
}

/// What has a type.
fn typed<'a>(known: &Known<'a>) -> Result<Message<'a>, DecodeError> {
    let kind = text(known.kind, "type")?;
    let id = id(known.id, "id");
    let timestamp = known.timestamp.and_then(|field| field.value.integer());
    let payload = value(known.payload);
    let request = |form| Ok(Message::Request { form, id: id?, timestamp, payload: Payload::Raw(payload) });
    let mut word = [0; 8];
    Ok(match kind.unescape(&mut word).map_or(&[][..], str::as_bytes) {
        b"ping" => Message::Ping,
        b"pong" => Message::Pong,
        b"auth" => Message::Auth { id: id?, timestamp, payload: payload.map(Secret::new) },
        b"event" => request(Form::Event)?,
        b"command" => request(Form::Command)?,
        b"query" => request(Form::Query)?,
        b"response" => {
            let request = self::id(known.request, "requestId")?;
            Message::Response { id: id?, timestamp, request, payload }
        }
        b"error" => {
            let reason = |raw: Raw<'a>| raw.text().map_or(Reason::Raw(raw), Reason::Text);
            Message::Error {
                id: id?,
                timestamp,
                request: optional_id(known.request, "requestId")?,
                error: value(known.error).or(payload).map(reason),
            }
        }
        _ => {
            let request = optional_id(known.request, "requestId")?;
            Message::Other { kind, id: id?, timestamp, request, payload }
        }
    })
}

/// What a server says on a channel.
fn broadcast<'a>(known: &Known<'a>) -> Result<Message<'a>, DecodeError> {
    let channel = text(known.channel, "channel")?;
    let data = known.data.ok_or(missing("data"))?;
    let plain = Message::Broadcast { channel, data: data.value };
    if channel != *SYSTEM {
        return Ok(plain);
    }
    let system = data.value.fields(["type", "channel", "message"]);
    let [kind, channel, message] = system.map(|field| field.map(|(at, value)| Field { at, value }));
    let Some(kind) = value(kind).and_then(Raw::text) else { return Ok(plain) };
    let inside = |error: DecodeError| DecodeError { at: data.at.saturating_add(error.at), ..error };
    let mut word = [0; 20];
    match kind.unescape(&mut word).map_or(&[][..], str::as_bytes) {
        b"subscription_confirm" => {
            let channel = text(channel, "channel").map_err(inside)?;
            Ok(Message::Confirmation { channel })
        }
        b"error" => {
            let message = value(message).and_then(Raw::text).unwrap_or(Text::from(""));
            let channel = value(channel).and_then(Raw::text);
            Ok(Message::SystemError { message, channel })
        }
        _ => Ok(plain),
    }
}
