//! From a message to its text, with the fields in the order in which clients and servers of this protocol write them.

use core::fmt::{self, Write};

use super::value::{Id, Raw, Secret, Text};
use super::{Message, Payload, Reason, fields};
use crate::channels::SYSTEM;
use crate::error::NoRoom;
use crate::wire::native::Form;

impl Message<'_> {
    /// Writes the message to the front of `out`, and gives its length.
    ///
    /// # Errors
    /// If `out` has no room for it: [`encoded_len`](Message::encoded_len) says how long it must be.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        let mut cursor = Cursor { out, at: 0 };
        write!(cursor, "{self}").map_err(|_| NoRoom)?;
        Ok(cursor.at)
    }

    /// Bytes of the text.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut count = Count(0);
        // A counter has room for everything.
        let _ = write!(count, "{self}");
        count.0
    }
}

struct Cursor<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.at.saturating_add(text.len());
        self.out.get_mut(self.at..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.at = end;
        Ok(())
    }
}

struct Count(usize);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Writes the fields of an object.
struct Object<'f, 'b> {
    f: &'f mut fmt::Formatter<'b>,
    begun: bool,
}

impl<'f, 'b> Object<'f, 'b> {
    fn open(f: &'f mut fmt::Formatter<'b>) -> Result<Object<'f, 'b>, fmt::Error> {
        f.write_str("{")?;
        Ok(Object { f, begun: false })
    }

    fn key(&mut self, key: &str) -> fmt::Result {
        if core::mem::replace(&mut self.begun, true) {
            self.f.write_str(",")?;
        }
        write!(self.f, "\"{key}\":")
    }

    fn text(&mut self, key: &str, text: Text<'_>) -> fmt::Result {
        self.key(key)?;
        text.write(self.f)
    }

    fn word(&mut self, key: &str, word: &str) -> fmt::Result {
        self.text(key, Text::from(word))
    }

    fn raw(&mut self, key: &str, raw: Option<Raw<'_>>) -> fmt::Result {
        let Some(raw) = raw else { return Ok(()) };
        self.key(key)?;
        self.f.write_str(raw.as_str())
    }

    fn id(&mut self, key: &str, id: Id<'_>) -> fmt::Result {
        self.key(key)?;
        write!(self.f, "{id}")
    }

    /// What all that has a type begins with.
    fn typed(&mut self, id: Id<'_>, kind: Text<'_>, timestamp: Option<u64>) -> fmt::Result {
        self.id("id", id)?;
        self.text("type", kind)?;
        if let Some(timestamp) = timestamp {
            self.key("timestamp")?;
            write!(self.f, "{timestamp}")?;
        }
        Ok(())
    }

    fn payload(&mut self, form: Form, payload: Payload<'_>) -> fmt::Result {
        match payload {
            Payload::Raw(raw) => self.raw("payload", raw),
            Payload::Named { name, data } => {
                let (name_key, data_key) = fields(form);
                self.key("payload")?;
                let mut inner = Object::open(self.f)?;
                inner.text(name_key, name)?;
                inner.raw(data_key, data)?;
                inner.close()
            }
        }
    }

    fn close(self) -> fmt::Result {
        self.f.write_str("}")
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut object = Object::open(f)?;
        match *self {
            Message::Ping => object.word("type", "ping")?,
            Message::Pong => object.word("type", "pong")?,
            Message::Auth { id, timestamp, payload } => {
                object.typed(id, "auth".into(), timestamp)?;
                object.raw("payload", payload.map(Secret::reveal))?;
            }
            Message::Request { form, id, timestamp, payload } => {
                let kind = match form {
                    Form::Event => "event",
                    Form::Command => "command",
                    Form::Query => "query",
                };
                object.typed(id, kind.into(), timestamp)?;
                object.payload(form, payload)?;
            }
            Message::Response { id, timestamp, request, payload } => {
                object.typed(id, "response".into(), timestamp)?;
                object.raw("payload", payload)?;
                object.id("requestId", request)?;
            }
            Message::Error { id, timestamp, request, error } => {
                object.typed(id, "error".into(), timestamp)?;
                if let Some(request) = request {
                    object.id("requestId", request)?;
                }
                match error {
                    Some(Reason::Text(text)) => object.text("error", text)?,
                    Some(Reason::Raw(raw)) => object.raw("error", Some(raw))?,
                    None => {}
                }
            }
            Message::Other { kind, id, timestamp, request, payload } => {
                object.typed(id, kind, timestamp)?;
                object.raw("payload", payload)?;
                if let Some(request) = request {
                    object.id("requestId", request)?;
                }
            }
            Message::Subscribe { channel } => {
                object.word("action", "subscribe")?;
                object.text("channel", channel)?;
            }
            Message::Unsubscribe { channel } => {
                object.word("action", "unsubscribe")?;
                object.text("channel", channel)?;
            }
            Message::Publish { channel, data } => {
                object.word("action", "publish")?;
                object.text("channel", channel)?;
                object.raw("data", Some(data))?;
            }
            Message::Broadcast { channel, data } => {
                object.text("channel", channel)?;
                object.raw("data", Some(data))?;
            }
            Message::Confirmation { channel } => {
                object.word("channel", SYSTEM)?;
                object.key("data")?;
                let mut data = Object::open(object.f)?;
                data.word("type", "subscription_confirm")?;
                data.text("channel", channel)?;
                data.close()?;
            }
            Message::SystemError { message, channel } => {
                object.word("channel", SYSTEM)?;
                object.key("data")?;
                let mut data = Object::open(object.f)?;
                data.word("type", "error")?;
                data.text("message", message)?;
                if let Some(channel) = channel {
                    data.text("channel", channel)?;
                }
                data.close()?;
            }
        }
        object.close()
    }
}
