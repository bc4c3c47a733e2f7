//! Frames that are to be sent, and their heads.

use core::fmt;

use super::code::Code;
use super::event::Part;
use super::frame::{CONTROL_MAX, FIN, MASKED, Opcode, RSV1};
use super::mask::Mask;
use crate::outbox::Kind;

/// A frame that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<'p> {
    pub(super) opcode: Opcode,
    /// The first byte of the head.
    pub(super) first: u8,
    payload: &'p [u8],
}

impl<'p> Frame<'p> {
    const fn new(opcode: Opcode, flags: u8, payload: &'p [u8]) -> Frame<'p> {
        Frame { opcode, first: opcode as u8 | flags, payload }
    }

    /// A whole text message.
    #[must_use]
    pub const fn text(text: &'p str) -> Frame<'p> {
        Frame::new(Opcode::Text, FIN, text.as_bytes())
    }

    /// A whole binary message.
    #[must_use]
    pub const fn binary(payload: &'p [u8]) -> Frame<'p> {
        Frame::new(Opcode::Binary, FIN, payload)
    }

    /// A whole message of this kind. A text must be UTF-8, which is the caller's to know: the peer would have to fail the
    /// connection.
    #[must_use]
    pub const fn message(kind: Kind, payload: &'p [u8]) -> Frame<'p> {
        Frame::new(opcode_of(kind), FIN, payload)
    }

    /// A fragment of a message. The text of all fragments together must be UTF-8 (compressed ones: when inflated).
    #[must_use]
    pub const fn part(part: Part<'p>) -> Frame<'p> {
        let fin = if part.last { FIN } else { 0 };
        if part.first {
            let rsv1 = if part.compressed { RSV1 } else { 0 };
            Frame::new(opcode_of(part.kind), fin | rsv1, part.payload)
        } else {
            Frame::new(Opcode::Continuation, fin, part.payload)
        }
    }

    /// A ping; `None` if the payload has more than 125 bytes.
    #[must_use]
    pub const fn ping(payload: &'p [u8]) -> Option<Frame<'p>> {
        if payload.len() > CONTROL_MAX { None } else { Some(Frame::new(Opcode::Ping, FIN, payload)) }
    }

    /// A pong, which repeats the payload of the ping that it answers; `None` if that has more than 125 bytes.
    #[must_use]
    pub const fn pong(payload: &'p [u8]) -> Option<Frame<'p>> {
        if payload.len() > CONTROL_MAX { None } else { Some(Frame::new(Opcode::Pong, FIN, payload)) }
    }

    /// The last frame of a connection, with a code and a reason or without.
    #[must_use]
    pub fn close(body: Option<&'p CloseBody>) -> Frame<'p> {
        Frame::new(Opcode::Close, FIN, body.map_or(&[], CloseBody::bytes))
    }

    /// The payload, as it was given.
    #[must_use]
    pub const fn payload(&self) -> &'p [u8] {
        self.payload
    }

    #[inline]
    pub(super) const fn is_last(&self) -> bool {
        self.first & FIN != 0
    }

    /// Bytes of head and payload.
    #[inline]
    pub(super) const fn encoded_len(&self, mask: Option<Mask>) -> usize {
        let length = self.payload.len();
        let short = if length <= CONTROL_MAX {
            2
        } else if length <= 0xffff {
            4
        } else {
            10
        };
        length.saturating_add(short + if mask.is_some() { 4 } else { 0 })
    }

    /// The head alone.
    #[inline]
    pub(super) const fn head(&self, mask: Option<Mask>) -> Head {
        let (first, length) = (self.first as u64, self.payload.len() as u64);
        let (bit, key, key_length) = match mask {
            Some(mask) => (MASKED as u64, u32::from_le_bytes(mask.key()) as u64, 4),
            None => (0, 0, 0),
        };
        // As one number, whose lowest byte is the first.
        let (number, unmasked) = if length <= CONTROL_MAX as u64 {
            ((first | (bit | length) << 8 | key << 16) as u128, 2)
        } else if length <= 0xffff {
            let length = (length as u16).swap_bytes() as u64;
            ((first | (bit | 126) << 8 | length << 16 | key << 32) as u128, 4)
        } else {
            let length = length.swap_bytes() as u128;
            ((first | (bit | 127) << 8) as u128 | length << 16 | (key as u128) << 80, 10)
        };
        Head((number | ((unmasked + key_length) as u128) << 120).to_le_bytes())
    }
}

const fn opcode_of(kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
    }
}

/// The head of a frame: what goes out before its payload.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head(
    /// The last byte is how many of them there are.
    [u8; 16],
);

impl Head {
    /// No head is longer.
    pub const MAX: usize = 14;

    /// Its bytes, 2 to 14.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let [.., length] = self.0;
        self.0.get(..usize::from(length)).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Head").field(&self.bytes()).finish()
    }
}

/// What a close frame says, as it stands in one.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloseBody {
    bytes: [u8; CONTROL_MAX],
    length: u8,
}

impl CloseBody {
    /// A code and a reason; the reason is cut to 123 bytes, at the border of a character.
    ///
    /// ```
    /// use everlink::ws::{CloseBody, Code};
    ///
    /// assert_eq!(CloseBody::new(Code::NORMAL, "bye").bytes(), b"\x03\xe8bye");
    /// assert_eq!(CloseBody::new(Code::NORMAL, &"é".repeat(99)).bytes().len(), 2 + 2 * 61);
    /// ```
    #[must_use]
    pub fn new(code: Code, reason: &str) -> CloseBody {
        let reason = reason.get(..reason.floor_char_boundary(CONTROL_MAX - 2)).unwrap_or_default();
        let mut bytes = [0; CONTROL_MAX];
        for (to, from) in bytes.iter_mut().zip(code.get().to_be_bytes().into_iter().chain(reason.bytes())) {
            *to = from;
        }
        CloseBody { bytes, length: 2 + reason.len() as u8 }
    }

    /// The payload of the frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Debug for CloseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CloseBody").field(&self.bytes()).finish()
    }
}
