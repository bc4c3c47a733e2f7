//! What the bytes of a message mean to the machine: which are heartbeats, which are the application's.
//!
//! The wire is a value, chosen at run time, because a server speaks several at once.

pub mod json;
pub mod native;
pub mod raw;
pub mod serial;

use crate::error::ConfigError;
use crate::heartbeat;
use crate::outbox::Kind;

/// The wire that a link speaks, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Wire {
    /// Payload bytes untouched: any WebSocket server that exists today.
    Raw(raw::Config),
    /// Both ends are everlink: nothing is lost, nothing comes twice, and a session outlives its sockets.
    Native(native::Limits),
    /// The JSON messages that many servers speak today: requests and channels, without acknowledgements and sessions.
    Json(json::Config),
}

impl Default for Wire {
    fn default() -> Wire {
        Wire::Raw(raw::Config::default())
    }
}

/// What an inbound frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Ping,
    Pong,
    Message,
}

impl Wire {
    pub(crate) fn check(&self, mode: heartbeat::Mode) -> Result<(), ConfigError> {
        match self {
            Wire::Raw(config) => config.check(mode),
            Wire::Native(limits) => limits.check(),
            Wire::Json(_) => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn classify(&self, mode: heartbeat::Mode, data: &[u8]) -> Incoming {
        match self {
            Wire::Raw(config) => config.classify(mode, data),
            Wire::Native(_) => Incoming::Message,
            Wire::Json(_) => json::classify(data),
        }
    }

    pub(crate) fn ping(&self, nonce: u32) -> Frame<'_> {
        match self {
            Wire::Raw(config) => config.ping(nonce),
            Wire::Native(_) => Frame::enveloped(&native::Envelope::Ping { nonce }),
            Wire::Json(_) => Frame::new(Opcode::Text, raw::JSON_PING),
        }
    }

    pub(crate) fn pong(&self, nonce: u32) -> Frame<'_> {
        match self {
            Wire::Raw(config) => config.pong(),
            Wire::Native(_) => Frame::enveloped(&native::Envelope::Pong { nonce }),
            Wire::Json(_) => Frame::new(Opcode::Text, raw::JSON_PONG),
        }
    }

    /// Whether the body of an envelope with this tag may be sent.
    pub(crate) const fn has_tag(&self, tag: u8) -> bool {
        match self {
            Wire::Raw(_) | Wire::Json(_) => false,
            Wire::Native(_) => native::tag::may_send(tag),
        }
    }

    /// The WebSocket sub-protocol that the adapter asks for; a server that does not select it does not speak the wire.
    #[must_use]
    pub const fn subprotocol(&self) -> Option<&'static str> {
        match self {
            Wire::Raw(_) => None,
            Wire::Native(_) => Some(native::SUBPROTOCOL),
            Wire::Json(config) => {
                if config.subprotocol {
                    Some(json::SUBPROTOCOL)
                } else {
                    None
                }
            }
        }
    }

    /// Whether there are requests and channels on it.
    #[must_use]
    pub const fn has_dialogue(&self) -> bool {
        match self {
            Wire::Raw(_) => false,
            Wire::Native(_) | Wire::Json(_) => true,
        }
    }

    /// Whether a socket can take over where another left off, so that opening a second one beside a suspect one pays.
    pub(crate) const fn resumes(&self) -> bool {
        match self {
            Wire::Raw(_) | Wire::Json(_) => false,
            Wire::Native(_) => true,
        }
    }
}

/// Which WebSocket frame carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Opcode {
    /// A text message (valid UTF-8).
    Text,
    /// A binary message.
    Binary,
    /// A ping control frame (RFC 6455, section 5.5.2).
    Ping,
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Opcode {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// A frame to be written: a few bytes of head from the wire, then the payload as the application gave it.
///
/// Lent, not copied, so that it can go out by a vectored write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which WebSocket frame carries it.
    pub opcode: Opcode,
    /// None on the raw wire, so that none is written, nor copied, there.
    head: Option<Head>,
    payload: &'a [u8],
}

/// Bytes of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    len: u8,
    bytes: [u8; Frame::HEAD],
}

impl<'a> Frame<'a> {
    /// The longest head is a welcome's with a token: 116 bytes.
    pub(crate) const HEAD: usize = 120;

    pub(crate) const fn new(opcode: Opcode, payload: &'a [u8]) -> Frame<'a> {
        Frame { opcode, head: None, payload }
    }

    pub(crate) fn with_nonce(opcode: Opcode, nonce: u32) -> Frame<'a> {
        let mut frame = Frame::new(opcode, &[]);
        frame.put_bytes(&nonce.to_be_bytes());
        frame
    }

    /// A frame of this envelope, and its payload.
    pub(crate) fn enveloped(envelope: &native::Envelope<'a>) -> Frame<'a> {
        let mut frame = Frame::new(Opcode::Binary, envelope.payload());
        frame.put(envelope);
        frame
    }

    /// The same head in front of this payload.
    pub(crate) const fn with_payload(self, payload: &'a [u8]) -> Frame<'a> {
        Frame { payload, ..self }
    }

    /// Appends an envelope's tag and the length of its body to the head; the body is to be the payload.
    pub(crate) fn put_head(&mut self, tag: u8, len: u32) {
        self.put_with(|room| native::encode_tag(tag, len, room));
    }

    /// Appends an envelope to the head: all of it but its payload.
    pub(crate) fn put(&mut self, envelope: &native::Envelope<'_>) {
        self.put_with(|room| envelope.encode_head(room));
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_with(|room| {
            let place = room.get_mut(..bytes.len()).ok_or(native::EncodeError::NoRoom)?;
            for (to, from) in place.iter_mut().zip(bytes) {
                *to = *from;
            }
            Ok(bytes.len())
        });
    }

    #[inline]
    fn put_with(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, native::EncodeError>) {
        let head = self.head.get_or_insert(Head { len: 0, bytes: [0; Frame::HEAD] });
        let room = head.bytes.get_mut(usize::from(head.len)..).unwrap_or_default();
        let written = write(room);
        debug_assert!(written.is_ok(), "a head has room for what is put there: {written:?}");
        let len = written.ok().and_then(|len| u8::try_from(len).ok()).unwrap_or(0);
        head.len = head.len.saturating_add(len);
    }

    /// The wire's own bytes in front of the payload; empty on the raw wire, but for a ping.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.head.as_ref().and_then(|head| head.bytes.get(..usize::from(head.len))).unwrap_or_default()
    }

    /// The payload, as the application gave it.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Bytes of head and payload.
    #[must_use]
    pub const fn len(&self) -> usize {
        let head = match &self.head {
            Some(head) => head.len as usize,
            None => 0,
        };
        self.payload.len().saturating_add(head)
    }

    /// Whether there are no bytes at all (an empty message is a message).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
