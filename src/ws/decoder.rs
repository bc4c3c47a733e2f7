//! Frames out of the bytes of a stream, as they come.

use core::mem;

use super::code::{Close, Code};
use super::event::{Event, Part, Text};
use super::frame::{CONTROL_MAX, FIN, MASKED, Opcode, RESERVED, RSV1, Role};
use super::limits::Limits;
use super::mask::Mask;
use super::utf8::Utf8;
use super::violation::{Error, Violation};
use crate::outbox::Kind;
use crate::utf8;

/// Reads what a peer sends after the opening handshake, and refuses what RFC 6455 says must be refused.
///
/// It keeps no payload: the bytes stay in the caller's buffer, are unmasked there, and are lent from there. What is there of
/// an incomplete frame is unmasked and checked at once, so that what is wrong is told at the first byte that is wrong,
/// however the stream was split.
///
/// ```
/// use everlink::ws::{Decoder, Event, Limits, Role};
///
/// let mut decoder = Decoder::new(Role::Client, Limits::default());
/// let mut buffer = *b"\x81\x05Hello\x89\x00\x82\x03ab";
/// let mut bytes = &mut buffer[..];
/// assert_eq!(decoder.decode(&mut bytes), Ok(Some(Event::Text("Hello".into()))));
/// assert_eq!(decoder.decode(&mut bytes), Ok(Some(Event::Ping(b""))));
/// assert_eq!(decoder.decode(&mut bytes), Ok(None));
/// // A byte is missing. Keep what is left, and give it again with what follows; or take it as it is:
/// assert_eq!(bytes, b"ab");
/// let part = decoder.partial(&mut bytes).unwrap();
/// assert_eq!((part.payload, part.first, part.last), (&b"ab"[..], true, false));
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    role: Role,
    /// Whether an extension that uses RSV1 was negotiated.
    rsv1: bool,
    stage: Stage,
    /// How many bytes were consumed.
    offset: u64,
    frame: Frame,
    message: Option<Message>,
    text: Utf8,
}

/// The first bytes of frames that are whole messages.
const WHOLE_TEXT: u8 = FIN | Opcode::Text as u8;
const WHOLE_BINARY: u8 = FIN | Opcode::Binary as u8;

/// What the next byte that is not consumed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Payload,
    /// Nothing that matters, after a close frame or a violation.
    Over,
}

/// The frame whose head was read.
#[derive(Clone, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Bytes of the payload that were not consumed.
    left: u64,
    /// How many of them were unmasked and checked.
    ready: usize,
    /// The mask of those that were not.
    mask: Option<Mask>,
}

/// The message that is not complete.
#[derive(Clone, Debug)]
struct Message {
    kind: Kind,
    compressed: bool,
    /// Whether a part of it was lent.
    begun: bool,
    /// Bytes in the frames so far.
    bytes: u64,
    empty_fragments: u16,
    controls: u16,
}

impl Decoder {
    /// The decoder of this end: what it reads is what the other end sends.
    #[must_use]
    pub const fn new(role: Role, limits: Limits) -> Decoder {
        Decoder {
            limits,
            role,
            rsv1: false,
            stage: Stage::Head,
            offset: 0,
            frame: Frame { opcode: Opcode::Binary, fin: true, left: 0, ready: 0, mask: None },
            message: None,
            text: Utf8::new(),
        }
    }

    /// The same, after an extension was negotiated that marks compressed messages by RSV1 (RFC 7692).
    #[must_use]
    pub const fn with_compression(mut self) -> Decoder {
        self.rsv1 = true;
        self
    }

    /// What comes next in `bytes`, which are those that the last call left, and then new ones. Moves `bytes` on to what is
    /// left.
    ///
    /// `Ok(None)`: more must come first. What is left is less than a head (14 bytes), or the beginning of a payload; keep it
    /// where it is (or move it), unchanged. A buffer of 139 bytes takes any control frame; where a data frame does not fit,
    /// call [`partial`](Decoder::partial).
    ///
    /// After a violation or a close frame the rest is consumed and ignored.
    ///
    /// # Errors
    /// The first violation; once.
    // Always: a program that decodes in two places would else pay for an event that is handed over through memory in both.
    #[inline(always)]
    pub fn decode<'b>(&mut self, bytes: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Error> {
        // What mostly comes is compiled into the caller.
        match self.usual(bytes) {
            Some((kind, mask, payload)) => {
                let at = self.offset.saturating_sub(payload.len() as u64);
                Decoder::whole(kind, mask, payload, at).map(Some).map_err(|error| self.fail(error))
            }
            None => {
                let mut event = None;
                self.decode_any(bytes, &mut event)?;
                Ok(event)
            }
        }
    }

    /// Consumes a frame that is a whole message, is there as a whole, has less than 64 KiB, and breaks no rule and no limit.
    #[inline(always)]
    fn usual<'b>(&mut self, bytes: &mut &'b mut [u8]) -> Option<(Kind, Option<Mask>, &'b mut [u8])> {
        if self.stage != Stage::Head || self.message.is_some() {
            return None;
        }
        let &[first, second, a, b] = bytes.first_chunk()?;
        let kind = match first {
            WHOLE_TEXT => Kind::Text,
            WHOLE_BINARY => Kind::Binary,
            _ => return None,
        };
        let masked = match self.role {
            Role::Client => 0,
            Role::Server => MASKED,
        };
        let (mut head, length) = match second ^ masked {
            length @ 0..126 => (2, usize::from(length)),
            126 if a != 0 || b >= 126 => (4, usize::from(u16::from_be_bytes([a, b]))),
            _ => return None,
        };
        let mask = match self.role {
            Role::Client => None,
            Role::Server => Some(Mask::new(*bytes.get(head..)?.first_chunk()?)),
        };
        head += if mask.is_some() { 4 } else { 0 };
        if length as u64 > self.limits.frame || length as u64 > self.limits.message {
            return None;
        }
        let frame = bytes.split_off_mut(..head + length)?;
        self.offset += (head + length) as u64;
        Some((kind, mask, frame.get_mut(head..)?))
    }

    /// What comes out goes through a reference, so that what [`decode`](Decoder::decode) gives itself may stay in registers.
    #[inline(never)]
    fn decode_any<'b>(
        &mut self,
        bytes: &mut &'b mut [u8],
        event: &mut Option<Event<'b>>,
    ) -> Result<(), Error> {
        *event = self.next(bytes).map_err(|error| self.fail(error))?;
        Ok(())
    }

    fn next<'b>(&mut self, bytes: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Error> {
        loop {
            match self.stage {
                Stage::Head => {
                    if !self.head(bytes)? {
                        return Ok(None);
                    }
                }
                Stage::Payload => {}
                Stage::Over => return Ok(self.ignore(bytes)),
            }
            let available = self.frame.left.min(bytes.len() as u64) as usize;
            if (available as u64) < self.frame.left {
                self.prepare(bytes.get_mut(..available).unwrap_or_default())?;
                return Ok(None);
            }
            let Some(payload) = bytes.split_off_mut(..available) else { return Ok(None) };
            let event = self.complete(payload)?;
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// What is there of a data frame that is not complete, after [`decode`](Decoder::decode) gave `Ok(None)` for these
    /// bytes: for frames that are larger than the buffer, or not to be waited for. `None` if there is nothing.
    #[inline]
    pub fn partial<'b>(&mut self, bytes: &mut &'b mut [u8]) -> Option<Part<'b>> {
        let ready = mem::take(&mut self.frame.ready);
        if ready == 0 {
            return None;
        }
        let (payload, rest) = mem::take(bytes).split_at_mut_checked(ready)?;
        *bytes = rest;
        self.frame.left -= ready as u64;
        self.offset += ready as u64;
        self.part(payload, false)
    }

    /// How many bytes of the payload at hand are not consumed; 0 between frames. Says whether it is worth waiting for.
    #[must_use]
    pub const fn frame_left(&self) -> u64 {
        self.frame.left
    }

    /// How many bytes were consumed.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether nothing more will come of it: there was a violation or a close frame.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        self.stage = Stage::Over;
        (self.frame.left, self.frame.ready) = (0, 0);
        error
    }

    #[cold]
    fn ignore<'b>(&mut self, bytes: &mut &'b mut [u8]) -> Option<Event<'b>> {
        self.offset += bytes.len() as u64;
        *bytes = &mut [];
        None
    }

    const fn wrong(&self, violation: Violation, behind: u64) -> Error {
        Error { violation, at: self.offset + behind }
    }

    /// Reads a head and consumes it. `false` if it is not complete; what is wrong is told as soon as it is there.
    fn head(&mut self, bytes: &mut &mut [u8]) -> Result<bool, Error> {
        let Some(&[first, second]) = bytes.first_chunk() else {
            if let Some(&first) = bytes.first() {
                self.opcode(first)?;
            }
            return Ok(false);
        };
        let opcode = self.opcode(first)?;
        self.second(opcode, second)?;
        let extended = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = match extended {
            0 => u64::from(second & !MASKED),
            2 => match bytes.first_chunk() {
                Some(&[_, _, a, b]) => self.minimal(u64::from(u16::from_be_bytes([a, b])), 126)?,
                None => return Ok(false),
            },
            _ => match bytes.first_chunk() {
                Some(&[_, _, a, b, c, d, e, f, g, h]) => {
                    self.minimal(u64::from_be_bytes([a, b, c, d, e, f, g, h]), 0x1_0000)?
                }
                None => return Ok(false),
            },
        };
        let fin = first & FIN != 0;
        // The limits are checked before the key is there, and what they count is changed only after it.
        let message = self.admit(opcode, fin, first & RSV1 != 0, length)?;
        let mut consumed = 2 + extended;
        let mask = match self.role {
            Role::Client => None,
            Role::Server => {
                let Some(key) = bytes.get(consumed..).and_then(|key| key.first_chunk::<4>()) else {
                    return Ok(false);
                };
                consumed += 4;
                Some(Mask::new(*key))
            }
        };
        let Some((_, rest)) = mem::take(bytes).split_at_mut_checked(consumed) else { return Ok(false) };
        *bytes = rest;
        self.offset += consumed as u64;
        self.message = message;
        self.frame = Frame { opcode, fin, left: length, ready: 0, mask };
        self.stage = Stage::Payload;
        Ok(true)
    }

    /// What the first byte says.
    fn opcode(&self, first: u8) -> Result<Opcode, Error> {
        let Some(opcode) = Opcode::of(first) else {
            return Err(self.wrong(Violation::Opcode(first & 0x0f), 0));
        };
        let violation = if first & RESERVED != 0
            && !(first & RESERVED == RSV1 && self.rsv1 && matches!(opcode, Opcode::Text | Opcode::Binary))
        {
            Violation::ReservedBit
        } else if opcode.is_control() {
            if first & FIN != 0 {
                return Ok(opcode);
            }
            Violation::FragmentedControl
        } else if (opcode == Opcode::Continuation) == self.message.is_some() {
            return Ok(opcode);
        } else if opcode == Opcode::Continuation {
            Violation::NothingToContinue
        } else {
            Violation::MessageInMessage
        };
        Err(self.wrong(violation, 0))
    }

    /// Checks the second byte.
    fn second(&self, opcode: Opcode, second: u8) -> Result<(), Error> {
        let masked = second & MASKED != 0;
        let violation = match self.role {
            Role::Server if !masked => Violation::Unmasked,
            Role::Client if masked => Violation::Masked,
            Role::Server | Role::Client if !opcode.is_control() => return Ok(()),
            Role::Server | Role::Client => match second & !MASKED {
                1 if opcode == Opcode::Close => Violation::HalfACode,
                0..=125 => return Ok(()),
                _ => Violation::LongControl,
            },
        };
        Err(self.wrong(violation, 1))
    }

    /// Checks a length of more than one byte, which must not be below `least`.
    fn minimal(&self, length: u64, least: u64) -> Result<u64, Error> {
        if length < least {
            Err(self.wrong(Violation::LongLength, 2))
        } else if length >> 63 != 0 {
            Err(self.wrong(Violation::HugeLength, 2))
        } else {
            Ok(length)
        }
    }

    /// Whether such a frame is within the limits, and what it makes of the message.
    fn admit(&self, opcode: Opcode, fin: bool, rsv1: bool, length: u64) -> Result<Option<Message>, Error> {
        let kind = match opcode {
            Opcode::Continuation => None,
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                let mut message = self.message.clone();
                if let Some(message) = &mut message {
                    message.controls = message.controls.saturating_add(1);
                    if message.controls > self.limits.controls {
                        return Err(self.wrong(Violation::ControlFlood, 0));
                    }
                }
                return Ok(message);
            }
        };
        if length > self.limits.frame {
            return Err(self.wrong(Violation::FrameTooBig(length), 1));
        }
        let mut message = match (kind, &self.message) {
            (None, Some(message)) => message.clone(),
            (None, None) => return Err(self.wrong(Violation::NothingToContinue, 0)),
            (Some(kind), _) => {
                Message { kind, compressed: rsv1, begun: false, bytes: 0, empty_fragments: 0, controls: 0 }
            }
        };
        message.bytes = message.bytes.saturating_add(length);
        if message.bytes > self.limits.message {
            return Err(self.wrong(Violation::MessageTooBig(message.bytes), 1));
        }
        if length > 0 {
            message.controls = 0;
        } else if !fin {
            message.empty_fragments = message.empty_fragments.saturating_add(1);
            if message.empty_fragments > self.limits.empty_fragments {
                return Err(self.wrong(Violation::EmptyFragments, 1));
            }
        }
        Ok(Some(message))
    }

    /// Unmasks and checks what is there of a payload that is not complete. A control frame waits until it is.
    fn prepare(&mut self, available: &mut [u8]) -> Result<(), Error> {
        if self.frame.opcode.is_control() {
            return Ok(());
        }
        self.check(available)?;
        self.frame.ready = available.len();
        Ok(())
    }

    /// Unmasks what was not yet, and checks it if it is text.
    fn check(&mut self, payload: &mut [u8]) -> Result<(), Error> {
        let fresh = payload.get_mut(self.frame.ready..).unwrap_or_default();
        if let Some(mask) = &mut self.frame.mask {
            mask.apply(fresh);
        }
        if let Some(Message { kind: Kind::Text, compressed: false, .. }) = self.message {
            let at = self.offset + self.frame.ready as u64;
            self.text.push(fresh, at).map_err(|at| Error { violation: Violation::TextNotUtf8, at })?;
        }
        Ok(())
    }

    /// A whole payload, or the last of it. `None` if it is not worth an event.
    fn complete<'b>(&mut self, payload: &'b mut [u8]) -> Result<Option<Event<'b>>, Error> {
        let length = payload.len() as u64;
        let event = if self.frame.opcode.is_control() {
            if let Some(mask) = &mut self.frame.mask {
                mask.apply(payload);
            }
            Some(self.control(payload)?)
        } else if self.frame.fin
            && let Some(Message { kind, compressed: false, begun: false, .. }) = self.message
            && self.frame.opcode != Opcode::Continuation
        {
            self.message = None;
            Some(if self.frame.ready > 0 {
                self.rest_of_whole(kind, payload)?
            } else {
                Decoder::whole(kind, self.frame.mask, payload, self.offset)?
            })
        } else {
            self.check(payload)?;
            if self.frame.fin {
                self.text.finish().map_err(|at| Error { violation: Violation::TextNotUtf8, at })?;
            }
            self.part(payload, self.frame.fin).map(Event::Part)
        };
        self.offset += length;
        (self.frame.left, self.frame.ready) = (0, 0);
        if self.stage == Stage::Payload {
            self.stage = Stage::Head;
        }
        Ok(event)
    }

    /// A message that is one frame, whose payload begins at `at`.
    #[inline(always)]
    fn whole(kind: Kind, mask: Option<Mask>, payload: &mut [u8], at: u64) -> Result<Event<'_>, Error> {
        match (kind, mask) {
            (Kind::Binary, None) => Ok(Event::Binary(payload)),
            (Kind::Binary, Some(mut mask)) => {
                mask.apply(payload);
                Ok(Event::Binary(payload))
            }
            (Kind::Text, mask) => {
                let text = match mask {
                    Some(mask) => mask.apply_to_text(payload),
                    None => utf8::text(payload).ok_or(&*payload),
                };
                text.map(|text| Event::Text(text.into())).map_err(|bytes| Error {
                    violation: Violation::TextNotUtf8,
                    at: at + utf8::valid_up_to(bytes) as u64,
                })
            }
        }
    }

    /// The same, if some of it was there before.
    fn rest_of_whole<'b>(&mut self, kind: Kind, payload: &'b mut [u8]) -> Result<Event<'b>, Error> {
        let at = self.offset + self.frame.ready as u64;
        let fresh = payload.get_mut(self.frame.ready..).unwrap_or_default();
        if let Some(mask) = &mut self.frame.mask {
            mask.apply(fresh);
        }
        match kind {
            Kind::Binary => Ok(Event::Binary(payload)),
            Kind::Text => {
                let valid = self.text.push(fresh, at).and_then(|()| self.text.finish());
                valid.map_err(|at| Error { violation: Violation::TextNotUtf8, at })?;
                Ok(Event::Text(Text::checked(payload)))
            }
        }
    }

    /// A piece of the message at hand. `None` if it is nothing between other pieces.
    fn part<'b>(&mut self, payload: &'b [u8], last: bool) -> Option<Part<'b>> {
        let message = self.message.as_mut()?;
        let first = !mem::replace(&mut message.begun, true);
        let part = Part { kind: message.kind, compressed: message.compressed, first, last, payload };
        if last {
            self.message = None;
        }
        (first || last || !payload.is_empty()).then_some(part)
    }

    #[cold]
    fn control<'b>(&mut self, payload: &'b [u8]) -> Result<Event<'b>, Error> {
        debug_assert!(payload.len() <= CONTROL_MAX);
        match self.frame.opcode {
            Opcode::Ping => Ok(Event::Ping(payload)),
            Opcode::Pong => Ok(Event::Pong(payload)),
            Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let close = self.close(payload)?;
                self.stage = Stage::Over;
                Ok(Event::Close(close))
            }
        }
    }

    fn close<'b>(&self, payload: &'b [u8]) -> Result<Option<Close<'b>>, Error> {
        let Some((&number, reason)) = payload.split_first_chunk() else { return Ok(None) };
        let number = u16::from_be_bytes(number);
        let code = Code::new(number).ok_or_else(|| self.wrong(Violation::CloseCode(number), 0))?;
        let reason = utf8::text(reason)
            .ok_or_else(|| self.wrong(Violation::ReasonNotUtf8, 2 + utf8::valid_up_to(reason) as u64))?;
        Ok(Some(Close { code, reason }))
    }
}
