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
    first: u8,
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

    /// Whether it is a message by itself.
    #[inline]
    pub(super) const fn is_whole_message(&self) -> bool {
        self.is_last() && matches!(self.opcode, Opcode::Text | Opcode::Binary)
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

    /// Writes the head to the beginning of `out`, and gives what is behind it; `None` if it does not fit.
    #[inline]
    pub(super) fn write_head<'o>(&self, mask: Option<Mask>, out: &'o mut [u8]) -> Option<&'o mut [u8]> {
        let length = self.payload.len();
        let bit = if mask.is_some() { MASKED } else { 0 };
        let out = if length <= CONTROL_MAX {
            put(out, [self.first, bit | length as u8])?
        } else if length <= 0xffff {
            let [a, b] = (length as u16).to_be_bytes();
            put(out, [self.first, bit | 126, a, b])?
        } else {
            put(put(out, [self.first, bit | 127])?, (length as u64).to_be_bytes())?
        };
        match mask {
            Some(mask) => put(out, mask.key()),
            None => Some(out),
        }
    }

    /// The head alone.
    #[inline]
    pub(super) const fn head(&self, mask: Option<Mask>) -> Head {
        let length = self.payload.len();
        let bit = if mask.is_some() { MASKED } else { 0 };
        let [e0, e1, e2, e3, e4, e5, e6, e7] = (length as u64).to_be_bytes();
        let [a, b, c, d] = match mask {
            Some(mask) => mask.key(),
            None => [0; 4],
        };
        let (bytes, unmasked) = if length <= CONTROL_MAX {
            ([self.first, bit | length as u8, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0], 2)
        } else if length <= 0xffff {
            ([self.first, bit | 126, e6, e7, a, b, c, d, 0, 0, 0, 0, 0, 0], 4)
        } else {
            ([self.first, bit | 127, e0, e1, e2, e3, e4, e5, e6, e7, a, b, c, d], 10)
        };
        Head { bytes, length: unmasked + if mask.is_some() { 4 } else { 0 } }
    }
}

#[inline]
fn put<const N: usize>(out: &mut [u8], bytes: [u8; N]) -> Option<&mut [u8]> {
    let (start, rest) = out.split_first_chunk_mut()?;
    *start = bytes;
    Some(rest)
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
pub struct Head {
    bytes: [u8; Head::MAX],
    length: u8,
}

impl Head {
    /// No head is longer.
    pub const MAX: usize = 14;

    /// Its bytes, 2 to 14.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
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
