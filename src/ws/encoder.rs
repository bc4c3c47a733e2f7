//! Frames into bytes, in the order that is allowed.

use core::fmt;

use super::frame::{CONTROL_MAX, MASKED, Opcode, Role};
use super::mask::Mask;
use super::outgoing::{Frame, Head};

/// Writes what this end sends after the opening handshake.
///
/// It refuses what a peer would have to fail the connection for: a message inside another, a mask that is missing, anything
/// after a close frame.
///
/// ```
/// use everlink::ws::{Encoder, Frame, Mask, Role};
///
/// let mut out = [0; 64];
/// let mut server = Encoder::new(Role::Server);
/// assert_eq!(server.write(Frame::text("Hello"), None, &mut out), Ok(7));
/// assert_eq!(&out[..7], b"\x81\x05Hello");
///
/// let key = [0x37, 0xfa, 0x21, 0x3d]; // from a secure source, a new one each time
/// let mut client = Encoder::new(Role::Client);
/// assert_eq!(client.write(Frame::text("Hello"), Some(Mask::new(key)), &mut out), Ok(11));
/// assert_eq!(&out[..11], b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoder {
    role: Role,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Stage {
    Between,
    InMessage,
    Closed,
}

/// Why a frame was not written. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError {
    /// So many bytes of room are needed.
    NoRoom(usize),
    /// A client masks, a server does not (section 5.1).
    Mask,
    /// The last message is not complete (section 5.4).
    MessageInMessage,
    /// There is no message that this could continue (section 5.4).
    NothingToContinue,
    /// A close frame was sent (section 5.5.1).
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::NoRoom(bytes) => return write!(f, "{bytes} bytes of room are needed"),
            SendError::Mask => "a client masks, a server does not",
            SendError::MessageInMessage => "the last message is not complete",
            SendError::NothingToContinue => "there is no message to continue",
            SendError::Closed => "a close frame was sent",
        })
    }
}

impl core::error::Error for SendError {}

impl Encoder {
    /// The encoder of this end.
    #[must_use]
    pub const fn new(role: Role) -> Encoder {
        Encoder { role, stage: Stage::Between }
    }

    /// Writes head and payload to the beginning of `out`, and says how many bytes that were. A client gives a
    /// [`Mask`] with a key that nobody can foresee, a server none.
    ///
    /// # Errors
    /// What a [`SendError`] says.
    // Always, for a frame that is handed over through memory right after it was put together costs more than all the rest.
    #[inline(always)]
    pub fn write(
        &mut self,
        frame: Frame<'_>,
        mask: Option<Mask>,
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        let stage = self.next(frame.opcode, frame.is_last(), mask)?;
        let needed = frame.encoded_len(mask);
        let out = out.get_mut(..needed).ok_or(SendError::NoRoom(needed))?;
        match mask {
            // Compiled into the caller: it is little more than a copy.
            None => put(frame.first, frame.payload(), out),
            Some(mask) => put_masked(frame.first, frame.payload(), mask, out),
        }
        self.stage = stage;
        Ok(needed)
    }

    /// The head alone, for a vectored write with [`Frame::payload`]: nothing is copied. A client's payload must go out
    /// masked: by [`Mask::apply`] where it lies.
    ///
    /// # Errors
    /// What a [`SendError`] says, but for the room.
    #[inline]
    pub fn head(&mut self, frame: &Frame<'_>, mask: Option<Mask>) -> Result<Head, SendError> {
        self.stage = self.next(frame.opcode, frame.is_last(), mask)?;
        Ok(frame.head(mask))
    }

    /// Whether a close frame was written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// What comes after such a frame, if it may come now.
    #[inline]
    fn next(&self, opcode: Opcode, last: bool, mask: Option<Mask>) -> Result<Stage, SendError> {
        if mask.is_some() != (self.role == Role::Client) {
            return Err(SendError::Mask);
        }
        if self.stage == Stage::Between && last && matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Ok(Stage::Between);
        }
        self.next_of_other(opcode, last)
    }

    #[cold]
    fn next_of_other(&self, opcode: Opcode, last: bool) -> Result<Stage, SendError> {
        let after = if last { Stage::Between } else { Stage::InMessage };
        match (opcode, self.stage) {
            (_, Stage::Closed) => Err(SendError::Closed),
            (Opcode::Text | Opcode::Binary, Stage::Between) | (Opcode::Continuation, Stage::InMessage) => {
                Ok(after)
            }
            (Opcode::Text | Opcode::Binary, Stage::InMessage) => Err(SendError::MessageInMessage),
            (Opcode::Continuation, Stage::Between) => Err(SendError::NothingToContinue),
            (Opcode::Ping | Opcode::Pong, stage) => Ok(stage),
            (Opcode::Close, _) => Ok(Stage::Closed),
        }
    }
}

/// Writes head and payload into as much room.
#[inline]
fn put(first: u8, payload: &[u8], out: &mut [u8]) {
    if let Some(room) = write_head(first, payload.len(), None, out) {
        copy(payload, room);
    }
}

/// The same, masked. It takes what fits into registers: a frame that is handed over through memory is slow to read right after it
/// was put together.
#[inline(never)]
fn put_masked(first: u8, payload: &[u8], mut mask: Mask, out: &mut [u8]) {
    if let Some(room) = write_head(first, payload.len(), Some(mask), out) {
        mask.copy(payload, room);
    }
}

/// Writes a head to the beginning of `out`, and gives what is behind it; `None` if it does not fit.
#[inline(always)]
fn write_head(first: u8, length: usize, mask: Option<Mask>, out: &mut [u8]) -> Option<&mut [u8]> {
    let bit = if mask.is_some() { MASKED } else { 0 };
    let out = if length <= CONTROL_MAX {
        start(out, [first, bit | length as u8])?
    } else if length <= 0xffff {
        let [a, b] = (length as u16).to_be_bytes();
        start(out, [first, bit | 126, a, b])?
    } else {
        start(start(out, [first, bit | 127])?, (length as u64).to_be_bytes())?
    };
    match mask {
        Some(mask) => start(out, mask.key()),
        None => Some(out),
    }
}

/// Writes the first bytes.
#[inline(always)]
fn start<const N: usize>(out: &mut [u8], bytes: [u8; N]) -> Option<&mut [u8]> {
    let (start, rest) = out.split_first_chunk_mut()?;
    *start = bytes;
    Some(rest)
}

/// Copies a payload into as much room. Short ones by two moves that overlap: a call of `memcpy` costs as much as all the rest. Longer
/// ones as if they were masked: `memcpy` was seen to be ten times slower for them on a Zen 3 where the two ends lie
/// unluckily in their pages (docs/benchmarks.md, "Echoes over TCP").
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    match from.len() {
        #[cfg(feature = "std")]
        0x800..0x1_0000 => copy_long(from, to),
        65.. | 0..4 => to.copy_from_slice(from),
        33.. => ends::<32>(from, to),
        16.. => ends::<16>(from, to),
        8.. => ends::<8>(from, to),
        4.. => ends::<4>(from, to),
    }
}

/// Not compiled into the caller, or that would not be compiled into its own.
#[cfg(feature = "std")]
#[inline(never)]
fn copy_long(from: &[u8], to: &mut [u8]) {
    Mask::new([0; 4]).copy(from, to);
}

/// Copies the first and the last `N` bytes.
#[inline(always)]
fn ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
    }
}
