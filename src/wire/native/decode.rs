//! From bytes to envelopes. Nothing is copied, nothing allocated; every byte is looked at a bounded number of times.

use core::fmt;
use core::num::NonZeroU32;

use super::limits::{Limit, Limits};
use super::tag;
use super::{
    Announced, Channel, Credentials, Envelope, Form, Goodbye, Health, Hello, Request, Token, Welcome, code,
};
use crate::outbox::Kind;

/// Reads a frame, envelope by envelope. Ends at the end of the frame, or behind the first error.
///
/// It is cheap to clone: read the frame once for what it does to the session, and again for what it has for the application.
#[derive(Clone, Debug)]
pub struct Reader<'a, 'l> {
    frame: usize,
    rest: &'a [u8],
    limits: &'l Limits,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An envelope.
    Envelope(Envelope<'a>),
    /// An envelope that is not known and may be skipped.
    Skipped {
        /// Its tag.
        tag: u8,
    },
}

impl Item<'_> {
    /// Whether it counts. What is skipped may count, too.
    #[must_use]
    pub const fn counts(&self) -> bool {
        match self {
            Item::Envelope(envelope) => envelope.counts(),
            Item::Skipped { tag } => tag::counts(*tag),
        }
    }
}

/// Why a frame cannot be read any further. What came before the error is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct DecodeError {
    /// The byte of the frame at which the envelope begins.
    pub at: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Problem {
    /// It is cut off, or a field of it is.
    Truncated,
    /// A number has more bytes than it needs, or more bits than its type.
    Number,
    /// It is longer than this end takes.
    Limit(Limit),
    /// What must be text is not UTF-8.
    Text,
    /// A field has a value that it cannot have.
    Value,
    /// It must be known and is not.
    Unknown {
        /// Its tag.
        tag: u8,
    },
}

impl Problem {
    /// The code to close the socket with.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Problem::Truncated | Problem::Number | Problem::Value | Problem::Unknown { .. } => code::PROTOCOL,
            Problem::Text => code::NOT_TEXT,
            Problem::Limit(_) => code::TOO_LARGE,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "envelope at byte {}: ", self.at)?;
        match self.problem {
            Problem::Truncated => f.write_str("cut off"),
            Problem::Number => f.write_str("a number that is too long"),
            Problem::Limit(limit) => write!(f, "the {limit} is too long"),
            Problem::Text => f.write_str("a text that is not UTF-8"),
            Problem::Value => f.write_str("an impossible value"),
            Problem::Unknown { tag } => write!(f, "unknown tag {tag:#04x}"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl<'a, 'l> Reader<'a, 'l> {
    /// Of this frame.
    #[must_use]
    pub const fn new(frame: &'a [u8], limits: &'l Limits) -> Reader<'a, 'l> {
        Reader { frame: frame.len(), rest: frame, limits }
    }

    /// The byte of the frame at which the next envelope begins.
    #[must_use]
    pub const fn byte(&self) -> usize {
        self.frame.saturating_sub(self.rest.len())
    }

    pub(crate) const fn limits(&self) -> &'l Limits {
        self.limits
    }

    #[inline]
    fn read(&self) -> Result<(Item<'a>, &'a [u8]), Problem> {
        let (&tag, rest) = self.rest.split_first().ok_or(Problem::Truncated)?;
        let mut rest = Fields { rest, limits: self.limits };
        let body = rest.bytes(Limit::Envelope)?;
        let item = match tag {
            tag::BINARY => Item::Envelope(Envelope::Message { kind: Kind::Binary, data: body }),
            tag::TEXT => {
                payload(body)?;
                Item::Envelope(Envelope::Message { kind: Kind::Text, data: body })
            }
            _ => self.body(tag, body)?,
        };
        Ok((item, rest.rest))
    }

    fn body(&self, tag: u8, body: &'a [u8]) -> Result<Item<'a>, Problem> {
        let mut fields = Fields { rest: body, limits: self.limits };
        Ok(Item::Envelope(match tag {
            tag::HELLO => {
                let credentials = fields.split()?;
                Limit::Credentials.hold(self.limits, credentials.len())?;
                Envelope::Hello(Hello {
                    version: fields.version()?,
                    attempt: fields.number()?,
                    received: fields.long()?,
                    announced: fields.announced()?,
                    token: fields.token()?,
                    credentials: Credentials::new(credentials),
                })
            }
            tag::WELCOME => Envelope::Welcome(Welcome {
                version: fields.version()?,
                resumed: match fields.number()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Problem::Value),
                },
                received: fields.long()?,
                from: fields.long()?,
                announced: fields.announced()?,
                session: fields.long()?,
                token: fields.token()?,
            }),
            tag::PING => Envelope::Ping { nonce: fields.number()? },
            tag::PONG => Envelope::Pong { nonce: fields.number()? },
            tag::ACK => Envelope::Ack { received: fields.long()? },
            tag::GOODBYE => Envelope::Goodbye(Goodbye {
                code: match fields.number()? {
                    code @ 1000..=4999 => code as u16,
                    _ => return Err(Problem::Value),
                },
                retry_after: fields.number()?,
                attempt: fields.number()?,
                reason: fields.text(Limit::Reason)?,
            }),
            tag::HEALTH => Envelope::Health(Health {
                state: fields.number()?,
                queued: fields.number()?,
                latency: fields.number()?,
            }),
            tag::RENEWAL => {
                let credentials = fields.split()?;
                Limit::Credentials.hold(self.limits, credentials.len())?;
                Envelope::Renewal { token: fields.token()?, credentials: Credentials::new(credentials) }
            }
            tag::BROADCAST => {
                let data = fields.split()?;
                let (kind, data, _) = fields.flags(data)?;
                Envelope::Broadcast { channel: fields.channel()?, kind, data }
            }
            tag::PUBLISH => {
                let data = fields.split()?;
                let id = fields.number()?;
                let (kind, data, _) = fields.flags(data)?;
                Envelope::Publish { id, channel: fields.channel()?, kind, data }
            }
            tag::SUBSCRIBE => {
                Envelope::Subscribe { id: fields.number()?, channel: fields.text(Limit::Channel)? }
            }
            tag::UNSUBSCRIBE => Envelope::Unsubscribe { id: fields.number()?, channel: fields.channel()? },
            tag::CONFIRMATION => Envelope::Confirmation {
                id: fields.number()?,
                code: fields.number()?,
                number: fields.number()?,
                reason: fields.text(Limit::Reason)?,
            },
            tag::REQUEST => {
                let data = fields.split()?;
                let id = fields.number()?;
                let (kind, data, form) = fields.flags(data)?;
                let form = match form {
                    0 => Form::Command,
                    1 => Form::Query,
                    2 => Form::Event,
                    _ => return Err(Problem::Value),
                };
                Envelope::Request(Request { id, form, name: fields.text(Limit::Name)?, kind, data })
            }
            tag::RESPONSE => {
                let data = fields.split()?;
                let id = fields.number()?;
                let (kind, data, _) = fields.flags(data)?;
                Envelope::Response { id, kind, data }
            }
            tag::ERROR => Envelope::Error {
                id: fields.number()?,
                code: fields.number()?,
                reason: fields.text(Limit::Reason)?,
            },
            _ if tag::must_be_known(tag) => return Err(Problem::Unknown { tag }),
            _ => return Ok(Item::Skipped { tag }),
        }))
    }
}

impl<'a> Iterator for Reader<'a, '_> {
    type Item = Result<Item<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Result<Item<'a>, DecodeError>> {
        if self.rest.is_empty() {
            return None;
        }
        match self.read() {
            Ok((item, rest)) => {
                self.rest = rest;
                Some(Ok(item))
            }
            Err(problem) => {
                let at = self.byte();
                self.rest = &[];
                Some(Err(DecodeError { at, problem }))
            }
        }
    }
}

impl core::iter::FusedIterator for Reader<'_, '_> {}

impl Limit {
    #[inline]
    fn hold(self, limits: &Limits, len: usize) -> Result<(), Problem> {
        if len > limits.of(self) { Err(Problem::Limit(self)) } else { Ok(()) }
    }
}

#[inline]
fn text(bytes: &[u8]) -> Result<&str, Problem> {
    core::str::from_utf8(bytes).map_err(|_| Problem::Text)
}

/// A payload must be text. Most is ASCII, which is found out sooner than where the characters of another text end.
#[inline]
fn payload(bytes: &[u8]) -> Result<(), Problem> {
    if bytes.is_ascii() || crate::utf8::text(bytes).is_some() { Ok(()) } else { Err(Problem::Text) }
}

/// A number of any length, and what is behind it. (It is given, and not changed in place, so that the fields can stay in registers.)
fn longer(mut rest: &[u8]) -> Result<(u64, &[u8]), Problem> {
    let mut number: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first().ok_or(Problem::Truncated)?;
        rest = behind;
        let bits = u64::from(byte & 0x7F);
        let is_last = byte < 0x80;
        if bits << shift >> shift != bits || (is_last && byte == 0 && shift > 0) {
            return Err(Problem::Number);
        }
        number |= bits << shift;
        if is_last {
            return Ok((number, rest));
        }
    }
    Err(Problem::Number)
}

/// The fields that are not read yet. What is left at the end belongs to a later version.
struct Fields<'a, 'l> {
    rest: &'a [u8],
    limits: &'l Limits,
}

impl<'a> Fields<'a, '_> {
    /// Takes the payload off.
    fn split(&mut self) -> Result<&'a [u8], Problem> {
        let len = self.number()?;
        let (fields, payload) = self.rest.split_at_checked(len as usize).ok_or(Problem::Truncated)?;
        self.rest = fields;
        Ok(payload)
    }

    #[inline]
    fn long(&mut self) -> Result<u64, Problem> {
        // One byte, as nearly always.
        if let Some((&byte @ 0..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(byte.into());
        }
        let (number, rest) = longer(self.rest)?;
        self.rest = rest;
        Ok(number)
    }

    #[inline]
    fn number(&mut self) -> Result<u32, Problem> {
        u32::try_from(self.long()?).map_err(|_| Problem::Number)
    }

    #[inline]
    fn bytes(&mut self, limit: Limit) -> Result<&'a [u8], Problem> {
        let len = self.number()? as usize;
        limit.hold(self.limits, len)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Problem::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, limit: Limit) -> Result<&'a str, Problem> {
        text(self.bytes(limit)?)
    }

    fn token(&mut self) -> Result<Token<'a>, Problem> {
        self.bytes(Limit::Token).map(Token::new)
    }

    fn version(&mut self) -> Result<u32, Problem> {
        match self.number()? {
            0 => Err(Problem::Value),
            version => Ok(version),
        }
    }

    fn announced(&mut self) -> Result<Announced, Problem> {
        Ok(Announced { envelope: self.number()?, window: self.number()?, window_bytes: self.number()? })
    }

    fn channel(&mut self) -> Result<Channel<'a>, Problem> {
        match NonZeroU32::new(self.number()?) {
            Some(number) => Ok(Channel::Number(number)),
            None => self.text(Limit::Channel).map(Channel::Name),
        }
    }

    /// Whether the payload is text, and then checked to be; and bits 1 and 2. The others mean nothing yet.
    fn flags(&mut self, data: &'a [u8]) -> Result<(Kind, &'a [u8], u32), Problem> {
        let flags = self.number()?;
        let kind = if flags & 1 == 1 { Kind::Text } else { Kind::Binary };
        if kind == Kind::Text {
            payload(data)?;
        }
        Ok((kind, data, flags >> 1 & 3))
    }
}
