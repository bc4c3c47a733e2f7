//! From an envelope to bytes.

use core::fmt;

use super::limits::{Limit, Limits};
use super::{Announced, Channel, Envelope, Form, Goodbye, Health, Hello, Request, Token, Welcome};
use crate::outbox::Kind;

/// The longest head (everything in front of the payload) of any envelope, in bytes.
pub const HEAD_MAX: usize = 320;

/// Why an envelope cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too short: [`Envelope::encoded_len`] says how long it must be.
    NoRoom,
    /// No receiver may take it.
    TooLong(Limit),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::NoRoom => f.write_str("the buffer is too short"),
            EncodeError::TooLong(limit) => write!(f, "the {limit} is too long"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// The widest limits that a receiver can have.
const WIDEST: Limits = Limits { envelope: u32::MAX, name: u8::MAX, credentials: u32::MAX };

/// Writes the tag and the length of a body to the front of `out`, and gives how many bytes that takes.
#[inline]
pub(crate) fn encode_tag(tag: u8, len: u32, out: &mut [u8]) -> Result<usize, EncodeError> {
    let room = out.len();
    let mut writer = Writer { out };
    writer.byte(tag)?;
    writer.number(len.into())?;
    Ok(room.saturating_sub(writer.out.len()))
}

impl Envelope<'_> {
    /// Bytes of the whole envelope.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let body = self.body_len();
        body.saturating_add(1 + number_len(body as u64))
    }

    /// Writes the head to the front of `out`, and gives its length. [`payload`](Envelope::payload) comes behind it.
    ///
    /// # Errors
    /// If `out` has no room for it ([`HEAD_MAX`] is enough), or a limit is passed that all receivers have.
    #[inline]
    pub fn encode_head(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        self.check()?;
        let room = out.len();
        let mut writer = Writer { out };
        let body = self.body_len();
        writer.byte(self.tag())?;
        writer.number(body as u64)?;
        if let Envelope::Message { .. } = self {
            return Ok(room.saturating_sub(writer.out.len()));
        }
        if self.has_payload() {
            writer.number(self.fields_len() as u64)?;
        }
        self.fields(&mut writer)?;
        Ok(room.saturating_sub(writer.out.len()))
    }

    /// Writes the envelope to the front of `out`, and gives its length.
    ///
    /// # Errors
    /// If `out` has no room for it, or a limit is passed that all receivers have.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let head = self.encode_head(out)?;
        let payload = self.payload();
        Writer { out: out.get_mut(head..).unwrap_or_default() }.raw(payload)?;
        Ok(head.saturating_add(payload.len()))
    }

    /// Writes the body to the front of `out`, without tag and length, and gives its length.
    ///
    /// # Errors
    /// As those of [`encode`](Envelope::encode).
    pub(crate) fn encode_body(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        self.check()?;
        let room = out.len();
        let mut writer = Writer { out };
        if self.has_payload() {
            writer.number(self.fields_len() as u64)?;
        }
        self.fields(&mut writer)?;
        writer.raw(self.payload())?;
        Ok(room - writer.out.len())
    }

    /// The body, without tag and length.
    ///
    /// # Errors
    /// If a limit is passed that all receivers have.
    #[cfg(feature = "alloc")]
    pub(crate) fn body(&self) -> Result<alloc::vec::Vec<u8>, EncodeError> {
        let mut body = alloc::vec![0; self.body_len()];
        let len = self.encode_body(&mut body)?;
        body.truncate(len);
        Ok(body)
    }

    /// Whether its fields have a length of their own, because a payload comes behind them.
    const fn has_payload(&self) -> bool {
        match self {
            Envelope::Hello(_)
            | Envelope::Renewal { .. }
            | Envelope::Broadcast { .. }
            | Envelope::Publish { .. }
            | Envelope::Request(_)
            | Envelope::Response { .. } => true,
            Envelope::Message { .. }
            | Envelope::Welcome(_)
            | Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Goodbye(_)
            | Envelope::Health(_)
            | Envelope::Subscribe { .. }
            | Envelope::Unsubscribe { .. }
            | Envelope::Confirmation { .. }
            | Envelope::Error { .. } => false,
        }
    }

    fn fields_len(&self) -> usize {
        let mut count = Count(0);
        // A counter has room for everything.
        let _ = self.fields(&mut count);
        count.0
    }

    #[inline]
    fn body_len(&self) -> usize {
        if let Envelope::Message { data, .. } = self {
            return data.len();
        }
        let fields = self.fields_len();
        let prefix = if self.has_payload() { number_len(fields as u64) } else { 0 };
        fields.saturating_add(prefix).saturating_add(self.payload().len())
    }

    #[inline]
    fn check(&self) -> Result<(), EncodeError> {
        let within = |limit, len: usize| {
            if len > WIDEST.of(limit) { Err(EncodeError::TooLong(limit)) } else { Ok(()) }
        };
        let channel = |channel: &Channel<'_>| match channel {
            Channel::Number(_) => Ok(()),
            Channel::Name(name) => within(Limit::Channel, name.len()),
        };
        match self {
            Envelope::Hello(Hello { token, .. })
            | Envelope::Welcome(Welcome { token, .. })
            | Envelope::Renewal { token, .. } => within(Limit::Token, token.reveal().len())?,
            Envelope::Goodbye(Goodbye { reason, .. })
            | Envelope::Confirmation { reason, .. }
            | Envelope::Error { reason, .. } => within(Limit::Reason, reason.len())?,
            Envelope::Broadcast { channel: name, .. }
            | Envelope::Publish { channel: name, .. }
            | Envelope::Unsubscribe { channel: name, .. } => channel(name)?,
            Envelope::Subscribe { channel, .. } => within(Limit::Channel, channel.len())?,
            Envelope::Request(Request { name, .. }) => within(Limit::Name, name.len())?,
            Envelope::Message { .. }
            | Envelope::Response { .. }
            | Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Health(_) => {}
        }
        within(Limit::Envelope, self.payload().len().saturating_add(HEAD_MAX))
    }

    fn fields(&self, sink: &mut impl Sink) -> Result<(), EncodeError> {
        match *self {
            Envelope::Hello(Hello { version, attempt, received, announced, token, .. }) => {
                sink.number(version.into())?;
                sink.number(attempt.into())?;
                sink.number(received)?;
                sink.announced(announced)?;
                sink.token(token)
            }
            Envelope::Welcome(Welcome { version, resumed, received, from, announced, session, token }) => {
                sink.number(version.into())?;
                sink.number(resumed.into())?;
                sink.number(received)?;
                sink.number(from)?;
                sink.announced(announced)?;
                sink.number(session)?;
                sink.token(token)
            }
            Envelope::Ping { nonce } | Envelope::Pong { nonce } => sink.number(nonce.into()),
            Envelope::Ack { received } => sink.number(received),
            Envelope::Goodbye(Goodbye { code, retry_after, attempt, reason }) => {
                sink.number(code.into())?;
                sink.number(retry_after.into())?;
                sink.number(attempt.into())?;
                sink.bytes(reason.as_bytes())
            }
            Envelope::Health(Health { state, queued, latency }) => {
                sink.number(state.into())?;
                sink.number(queued.into())?;
                sink.number(latency.into())
            }
            Envelope::Renewal { token, .. } => sink.token(token),
            Envelope::Message { .. } => Ok(()),
            Envelope::Broadcast { channel, kind, .. } => {
                sink.number(flags(kind, 0))?;
                sink.channel(channel)
            }
            Envelope::Publish { id, channel, kind, .. } => {
                sink.number(id.into())?;
                sink.number(flags(kind, 0))?;
                sink.channel(channel)
            }
            Envelope::Subscribe { id, channel } => {
                sink.number(id.into())?;
                sink.bytes(channel.as_bytes())
            }
            Envelope::Unsubscribe { id, channel } => {
                sink.number(id.into())?;
                sink.channel(channel)
            }
            Envelope::Confirmation { id, code, number, reason } => {
                sink.number(id.into())?;
                sink.number(code.into())?;
                sink.number(number.into())?;
                sink.bytes(reason.as_bytes())
            }
            Envelope::Request(Request { id, form, name, kind, .. }) => {
                let form = match form {
                    Form::Command => 0,
                    Form::Query => 1,
                    Form::Event => 2,
                };
                sink.number(id.into())?;
                sink.number(flags(kind, form))?;
                sink.bytes(name.as_bytes())
            }
            Envelope::Response { id, kind, .. } => {
                sink.number(id.into())?;
                sink.number(flags(kind, 0))
            }
            Envelope::Error { id, code, reason } => {
                sink.number(id.into())?;
                sink.number(code.into())?;
                sink.bytes(reason.as_bytes())
            }
        }
    }
}

const fn flags(kind: Kind, form: u64) -> u64 {
    match kind {
        Kind::Binary => form << 1,
        Kind::Text => form << 1 | 1,
    }
}

/// How many bytes a number takes: seven bits in each.
const fn number_len(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// What fields are written to, or counted by.
trait Sink {
    fn number(&mut self, number: u64) -> Result<(), EncodeError>;
    fn raw(&mut self, bytes: &[u8]) -> Result<(), EncodeError>;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.number(bytes.len() as u64)?;
        self.raw(bytes)
    }

    fn token(&mut self, token: Token<'_>) -> Result<(), EncodeError> {
        self.bytes(token.reveal())
    }

    fn announced(&mut self, announced: Announced) -> Result<(), EncodeError> {
        self.number(announced.envelope.into())?;
        self.number(announced.window.into())?;
        self.number(announced.window_bytes.into())
    }

    fn channel(&mut self, channel: Channel<'_>) -> Result<(), EncodeError> {
        match channel {
            Channel::Number(number) => self.number(number.get().into()),
            Channel::Name(name) => {
                self.number(0)?;
                self.bytes(name.as_bytes())
            }
        }
    }
}

struct Count(usize);

impl Sink for Count {
    fn number(&mut self, number: u64) -> Result<(), EncodeError> {
        self.0 = self.0.saturating_add(number_len(number));
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}

/// What is left of the buffer.
struct Writer<'a> {
    out: &'a mut [u8],
}

impl Writer<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        let (first, rest) = core::mem::take(&mut self.out).split_first_mut().ok_or(EncodeError::NoRoom)?;
        *first = byte;
        self.out = rest;
        Ok(())
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn number(&mut self, mut number: u64) -> Result<(), EncodeError> {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80)?;
            number >>= 7;
        }
        self.byte(number as u8)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let out = core::mem::take(&mut self.out);
        let (place, rest) = out.split_at_mut_checked(bytes.len()).ok_or(EncodeError::NoRoom)?;
        // Not `copy_from_slice`: where that is not inlined, the panic of unequal lengths stays.
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.out = rest;
        Ok(())
    }
}
