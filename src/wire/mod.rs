//! What the bytes of a message mean to the machine: which are heartbeats, which are the application's.
//!
//! The wire is a value, chosen at run time, because a server speaks several at once.

pub mod native;
pub mod raw;

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
        }
    }

    pub(crate) fn classify(&self, mode: heartbeat::Mode, data: &[u8]) -> Incoming {
        match self {
            Wire::Raw(config) => config.classify(mode, data),
        }
    }

    pub(crate) fn ping(&self, nonce: u32) -> Frame<'_> {
        match self {
            Wire::Raw(config) => config.ping(nonce),
        }
    }

    pub(crate) fn pong(&self) -> Frame<'_> {
        match self {
            Wire::Raw(config) => config.pong(),
        }
    }

    /// Whether a socket can take over where another left off, so that opening a second one beside a suspect one pays.
    pub(crate) const fn resumes(&self) -> bool {
        match self {
            Wire::Raw(_) => false,
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
    head: [u8; Frame::HEAD],
    head_len: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) const HEAD: usize = 4;

    pub(crate) const fn new(opcode: Opcode, payload: &'a [u8]) -> Frame<'a> {
        Frame { opcode, head: [0; Frame::HEAD], head_len: 0, payload }
    }

    pub(crate) const fn with_nonce(opcode: Opcode, nonce: u32) -> Frame<'a> {
        Frame { opcode, head: nonce.to_be_bytes(), head_len: 4, payload: &[] }
    }

    /// The wire's own bytes in front of the payload; empty on the raw wire, but for a ping.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.head.get(..usize::from(self.head_len)).unwrap_or_default()
    }

    /// The payload, as the application gave it.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Bytes of head and payload.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.head_len as usize + self.payload.len()
    }

    /// Whether there are no bytes at all (an empty message is a message).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
