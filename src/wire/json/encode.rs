//! From a message to its text, with the fields in the order in which clients and servers of this protocol write them.

use core::fmt::{self, Write};

use super::value::{Id, Raw, Secret, Text};
use super::{Message, Payload, Reason, fields};
use crate::error::NoRoom;
use crate::wire::native::Form;

impl Message<'_> {
    /// Writes the message to the front of `out`, and gives its length.
    ///
    /// # Errors
    /// If `out` has no room for it: [`encoded_len`](Message::encoded_len) says how long it must be.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        let mut cursor = Cursor { out, at: 0 };
        self.write(&mut cursor).map_err(|_| NoRoom)?;
        Ok(cursor.at)
    }

    /// Bytes of the text.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut count = Count(0);
        // A counter has room for everything.
        let _ = self.write(&mut count);
        count.0
    }

    /// The text.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub(crate) fn to_text(self) -> alloc::string::String {
        let mut text = alloc::string::String::with_capacity(self.encoded_len());
        // A string has room for everything.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        let mut object = Object::open(out)?;
        match *self {
            Message::Ping => object.literal("\"type\":\"ping\"")?,
            Message::Pong => object.literal("\"type\":\"pong\"")?,
            Message::Auth { id, timestamp, payload } => {
                object.typed(id, "\"type\":\"auth\"", timestamp)?;
                object.raw("\"payload\":", payload.map(Secret::reveal))?;
            }
            Message::Request { form, id, timestamp, payload } => {
                let kind = match form {
                    Form::Event => "\"type\":\"event\"",
                    Form::Command => "\"type\":\"command\"",
                    Form::Query => "\"type\":\"query\"",
                };
                object.typed(id, kind, timestamp)?;
                object.payload(form, payload)?;
            }
            Message::Response { id, timestamp, request, payload } => {
                object.typed(id, "\"type\":\"response\"", timestamp)?;
                object.raw("\"payload\":", payload)?;
                object.id("\"requestId\":", request)?;
            }
            Message::Error { id, timestamp, request, error } => {
                object.typed(id, "\"type\":\"error\"", timestamp)?;
                if let Some(request) = request {
                    object.id("\"requestId\":", request)?;
                }
                match error {
                    Some(Reason::Text(text)) => object.text("\"error\":", text)?,
                    Some(Reason::Raw(raw)) => object.raw("\"error\":", Some(raw))?,
                    None => {}
                }
            }
            Message::Other { kind, id, timestamp, request, payload } => {
                object.id("\"id\":", id)?;
                object.text("\"type\":", kind)?;
                object.timestamp(timestamp)?;
                object.raw("\"payload\":", payload)?;
                if let Some(request) = request {
                    object.id("\"requestId\":", request)?;
                }
            }
            Message::Subscribe { channel } => {
                object.literal("\"action\":\"subscribe\"")?;
                object.text("\"channel\":", channel)?;
            }
            Message::Unsubscribe { channel } => {
                object.literal("\"action\":\"unsubscribe\"")?;
                object.text("\"channel\":", channel)?;
            }
            Message::Publish { channel, data } => {
                object.literal("\"action\":\"publish\"")?;
                object.text("\"channel\":", channel)?;
                object.raw("\"data\":", Some(data))?;
            }
            Message::Broadcast { channel, data } => {
                object.text("\"channel\":", channel)?;
                object.raw("\"data\":", Some(data))?;
            }
            Message::Confirmation { channel } => {
                let mut data = object.system()?;
                data.literal("\"type\":\"subscription_confirm\"")?;
                data.text("\"channel\":", channel)?;
                data.close()?;
            }
            Message::SystemError { message, channel } => {
                let mut data = object.system()?;
                data.literal("\"type\":\"error\"")?;
                data.text("\"message\":", message)?;
                if let Some(channel) = channel {
                    data.text("\"channel\":", channel)?;
                }
                data.close()?;
            }
        }
        object.close()
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

struct Cursor<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Write for Cursor<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.at.saturating_add(text.len());
        self.out.get_mut(self.at..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.at = end;
        Ok(())
    }
}

struct Count(usize);

impl Write for Count {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// A number in digits, without the machinery of [`core::fmt`], which takes as long as the rest of a message.
#[inline]
pub(super) fn decimal(out: &mut impl Write, mut number: u64) -> fmt::Result {
    // u64::MAX has 20 digits.
    let mut digits = [b'0'; 20];
    let mut len = 0_usize;
    for place in digits.iter_mut().rev() {
        *place = b'0'.wrapping_add((number % 10) as u8);
        number /= 10;
        len = len.wrapping_add(1);
        if number == 0 {
            break;
        }
    }
    let start = digits.len().wrapping_sub(len);
    out.write_str(core::str::from_utf8(digits.get(start..).unwrap_or_default()).unwrap_or_default())
}

/// Writes the fields of an object. Keys come with quotes and colon, so that each is one copy.
struct Object<'o, W> {
    out: &'o mut W,
    begun: bool,
}

impl<'o, W: Write> Object<'o, W> {
    #[inline]
    fn open(out: &'o mut W) -> Result<Object<'o, W>, fmt::Error> {
        out.write_str("{")?;
        Ok(Object { out, begun: false })
    }

    /// A field as it is written, or the key of one.
    #[inline(always)]
    fn literal(&mut self, text: &'static str) -> fmt::Result {
        if core::mem::replace(&mut self.begun, true) {
            self.out.write_str(",")?;
        }
        self.out.write_str(text)
    }

    #[inline]
    fn text(&mut self, key: &'static str, text: Text<'_>) -> fmt::Result {
        self.literal(key)?;
        text.write(self.out)
    }

    #[inline]
    fn raw(&mut self, key: &'static str, raw: Option<Raw<'_>>) -> fmt::Result {
        let Some(raw) = raw else { return Ok(()) };
        self.literal(key)?;
        self.out.write_str(raw.as_str())
    }

    #[inline]
    fn id(&mut self, key: &'static str, id: Id<'_>) -> fmt::Result {
        self.literal(key)?;
        id.write(self.out)
    }

    #[inline]
    fn timestamp(&mut self, timestamp: Option<u64>) -> fmt::Result {
        let Some(timestamp) = timestamp else { return Ok(()) };
        self.literal("\"timestamp\":")?;
        decimal(self.out, timestamp)
    }

    /// What all that has a type begins with.
    #[inline]
    fn typed(&mut self, id: Id<'_>, kind: &'static str, timestamp: Option<u64>) -> fmt::Result {
        self.id("\"id\":", id)?;
        self.literal(kind)?;
        self.timestamp(timestamp)
    }

    #[inline]
    fn payload(&mut self, form: Form, payload: Payload<'_>) -> fmt::Result {
        match payload {
            Payload::Raw(raw) => self.raw("\"payload\":", raw),
            Payload::Named { name, data } => {
                let [name_key, data_key] = fields(form);
                self.literal("\"payload\":{\"")?;
                self.out.write_str(name_key)?;
                self.out.write_str("\":")?;
                name.write(self.out)?;
                if let Some(data) = data {
                    self.out.write_str(",\"")?;
                    self.out.write_str(data_key)?;
                    self.out.write_str("\":")?;
                    self.out.write_str(data.as_str())?;
                }
                self.out.write_str("}")
            }
        }
    }

    /// On the channel [`SYSTEM`](crate::channels::SYSTEM): the data.
    #[inline]
    fn system(&mut self) -> Result<Object<'_, W>, fmt::Error> {
        self.literal("\"channel\":\"system\"")?;
        self.literal("\"data\":")?;
        Object::open(self.out)
    }

    #[inline]
    fn close(self) -> fmt::Result {
        self.out.write_str("}")
    }
}
