//! Frames over a byte stream that has none: a serial line, or bare TCP.
//!
//! A frame travels as one *packet*: which connection it belongs to, its number, the frame, a checksum; stuffed with COBS (S. Cheshire
//! and M. Baker, "Consistent Overhead Byte Stuffing", 1997) so that no byte of it is zero, and ended by a zero. So a receiver
//! that joins late or meets noise is in step again at the next zero, and knows by the number that something is missing.
//! It is specified in `docs/protocol.md`, with test vectors in `docs/serial-vectors.txt`.
//!
//! ```text
//!   ┌───┬────────────────────────────────────────────────────┬───┐
//!   │ 0 │ COBS: connection 1 B, number 2 B, frame, CRC-32 4 B │ 0 │     the first zero only before packet 0
//!   └───┴────────────────────────────────────────────────────┴───┘
//! ```
//!
//! Such a stream is not reliable: a line loses bytes. The carrier repairs nothing, because the session above it can: a frame
//! that is missing is a [`Gap`](Event::Gap), for which the socket is closed and the session resumed on the next one. On a
//! line, which cannot be closed, the next socket is another *connection* over the same line: the client counts it up, packet 0
//! opens it, and what still comes of an old one is [`Stale`](Event::Stale).
//!
//! ```
//! use everlink::wire::serial::{Decoder, Encoder, Event, packet_max};
//!
//! let (mut client, mut line) = (Encoder::new(7), [0; 2 * packet_max(5)]);
//! let first = client.encode(b"he", b"llo", &mut line)?;
//! let second = client.encode(b"", b"again", &mut line[first..])?;
//!
//! let mut server = Decoder::server([0; 64]);
//! let mut input = &line[..first + second];
//! assert_eq!(server.read(&mut input), Some(Event::Opened { connection: 7, frame: b"hello" }));
//! assert_eq!(server.read(&mut input), Some(Event::Frame(b"again")));
//! assert_eq!(server.read(&mut input), None);
//! # Ok::<(), everlink::error::NoRoom>(())
//! ```

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, Table};

use crate::error::NoRoom;

/// A table of 1 KiB: fast enough for a line, small enough for a microcontroller.
const CHECKSUM: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// Bytes in front of the frame: connection and number.
const HEAD: usize = 3;
/// Bytes behind it: the checksum.
const TAIL: usize = 4;
/// How many bytes of a packet are not the frame's, before stuffing.
pub const OVERHEAD: usize = HEAD + TAIL;

/// The code of a block of 254 bytes behind which there is no zero.
const FULL: u8 = 0xFF;

/// The longest packet of a frame of this length, with both zeros, in bytes.
#[must_use]
pub const fn packet_max(frame: usize) -> usize {
    let stuffed = frame.saturating_add(OVERHEAD);
    stuffed.saturating_add(stuffed / 254 + 3)
}

/// The number behind this one. Zero is the first packet of a connection, and no other.
const fn behind(number: u16) -> u16 {
    if number == u16::MAX { 1 } else { number + 1 }
}

/// Makes the packets that one end sends on one connection.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoder {
    connection: u8,
    number: u16,
}

impl Encoder {
    /// For a new connection. A client takes another number than for the one before (one more, or by chance after a restart);
    /// a server takes the client's, which [`Event::Opened`] tells.
    #[must_use]
    pub const fn new(connection: u8) -> Encoder {
        Encoder { connection, number: 0 }
    }

    /// Writes the packet of the frame that is `head` and `payload` to the front of `out`, and gives its length.
    ///
    /// # Errors
    /// If `out` has no room for it ([`packet_max`] is enough); then no number is used up.
    pub fn encode(&mut self, head: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        let [low, high] = self.number.to_le_bytes();
        let front = [self.connection, low, high];
        let mut checksum = CHECKSUM.digest();
        for part in [&front, head, payload] {
            checksum.update(part);
        }
        let mut stuffing = Stuffing { out, at: 0, code_at: 0, code: 1 };
        let write = |stuffing: &mut Stuffing<'_>| {
            if self.number == 0 {
                stuffing.byte(0)?;
            }
            stuffing.code_at = stuffing.reserve()?;
            for part in [&front, head, payload, &checksum.finalize().to_le_bytes()] {
                stuffing.push(part)?;
            }
            stuffing.end()
        };
        let len = write(&mut stuffing).ok_or(NoRoom)?;
        self.number = behind(self.number);
        Ok(len)
    }
}

/// Writes blocks: a code, which is the length of the block with the code, and bytes that are not zero. Behind each block but the
/// last there was a zero, if the block is not a full one.
struct Stuffing<'a> {
    out: &'a mut [u8],
    at: usize,
    code_at: usize,
    code: u8,
}

impl Stuffing<'_> {
    fn byte(&mut self, byte: u8) -> Option<()> {
        *self.out.get_mut(self.at)? = byte;
        self.at += 1;
        Some(())
    }

    fn reserve(&mut self) -> Option<usize> {
        self.byte(FULL)?;
        Some(self.at - 1)
    }

    fn block(&mut self) -> Option<()> {
        *self.out.get_mut(self.code_at)? = self.code;
        self.code = 1;
        Some(())
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        for &byte in bytes {
            if byte != 0 {
                self.byte(byte)?;
                self.code += 1;
            }
            if byte == 0 || self.code == FULL {
                self.block()?;
                self.code_at = self.reserve()?;
            }
        }
        Some(())
    }

    fn end(&mut self) -> Option<usize> {
        self.block()?;
        self.byte(0)?;
        Some(self.at)
    }
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// At a server: the first frame of a new connection. What was before on this stream is over: for the machine above, one
    /// socket died and another one opened.
    Opened {
        /// For the [`Encoder`] of the answers.
        connection: u8,
        /// The frame.
        frame: &'a [u8],
    },
    /// The next frame of the connection.
    Frame(&'a [u8]),
    /// A frame is missing: close the socket and resume on the next. Told once; what still comes of the connection is stale.
    Gap {
        /// The number of the packet that should have come.
        expected: u16,
        /// The number of the one that came, whose frame is lost, too.
        found: u16,
    },
    /// Bytes that are no packet: noise, or a packet that noise has hit. In the latter case the next packet shows the gap.
    Damaged(Damage),
    /// A packet of a connection that is over, or has not begun.
    Stale {
        /// Which one.
        connection: u8,
    },
}

/// What is wrong with the bytes between two zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Damage {
    /// More than the buffer holds. Told as soon as that is clear.
    TooLong,
    /// They end before they should.
    Truncated,
    /// The checksum does not fit.
    Checksum,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::TooLong => "a packet that is too long",
            Damage::Truncated => "a packet that is cut off",
            Damage::Checksum => "a packet whose checksum does not fit",
        })
    }
}

/// Which end of the connection it is, and so what may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// This packet of this connection.
    Packet { connection: u8, number: u16 },
    /// Nothing more of the connection, for a packet of it is missing.
    Nothing,
}

/// Takes packets apart that came on one stream.
///
/// The buffer, an array, a slice or a vector, holds one packet: it is [`OVERHEAD`] bytes longer than the longest frame.
#[derive(Clone, Debug)]
pub struct Decoder<B> {
    buffer: B,
    /// Bytes of the packet in the buffer.
    len: usize,
    /// Bytes of the block that are still to come.
    block: u8,
    /// Whether a zero comes behind the block, if the packet goes on.
    zero: bool,
    /// Whether the rest up to the next zero is thrown away.
    skips: bool,
    /// Whether anything came since the last zero.
    begun: bool,
    is_server: bool,
    expected: Expected,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Decoder<B> {
    /// A client's: for the answers to what it sends on this connection.
    pub const fn client(buffer: B, connection: u8) -> Decoder<B> {
        Decoder::new(buffer, false, Expected::Packet { connection, number: 0 })
    }

    /// A server's: for any connection, one after the other.
    pub const fn server(buffer: B) -> Decoder<B> {
        Decoder::new(buffer, true, Expected::Nothing)
    }

    const fn new(buffer: B, is_server: bool, expected: Expected) -> Decoder<B> {
        Decoder { buffer, len: 0, block: 0, zero: false, skips: false, begun: false, is_server, expected }
    }

    /// Reads `input` up to the end of the next packet, and moves it behind what was read. Call it until it returns `None`: then
    /// all was read, and more is needed.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Event<'_>> {
        while let Some((&byte, rest)) = input.split_first() {
            if byte != 0 {
                let taken = self.take(input, byte);
                *input = input.get(taken..).unwrap_or_default();
                if !self.skips && self.len > self.buffer.as_ref().len() {
                    self.skips = true;
                    return Some(Event::Damaged(Damage::TooLong));
                }
                continue;
            }
            *input = rest;
            let (len, is_whole) = (self.len, self.block == 0);
            let worth_it = core::mem::take(&mut self.begun) && !core::mem::take(&mut self.skips);
            (self.len, self.block, self.zero) = (0, 0, false);
            if !worth_it {
                continue;
            }
            let meaning = if is_whole { self.packet(len) } else { Err(Damage::Truncated) };
            return Some(match meaning {
                Ok(Meaning::Opened { connection }) => Event::Opened { connection, frame: self.frame(len) },
                Ok(Meaning::Frame) => Event::Frame(self.frame(len)),
                Ok(Meaning::Gap { expected, found }) => Event::Gap { expected, found },
                Ok(Meaning::Stale { connection }) => Event::Stale { connection },
                Err(damage) => Event::Damaged(damage),
            });
        }
        None
    }

    /// Takes a code, or as much of a block as there is, and gives the number of bytes. `len` passes the buffer's if there is
    /// no room.
    fn take(&mut self, input: &[u8], first: u8) -> usize {
        self.begun = true;
        if self.block == 0 {
            if core::mem::replace(&mut self.zero, first != FULL) {
                self.store(&[0]);
            }
            self.block = first - 1;
            return 1;
        }
        let run = input.get(..usize::from(self.block)).unwrap_or(input);
        let run = run.split(|&byte| byte == 0).next().unwrap_or_default();
        self.block = self.block.saturating_sub(run.len() as u8);
        self.store(run);
        run.len()
    }

    fn store(&mut self, bytes: &[u8]) {
        if self.skips {
            return;
        }
        let end = self.len.saturating_add(bytes.len());
        if let Some(place) = self.buffer.as_mut().get_mut(self.len..end) {
            place.copy_from_slice(bytes);
        }
        self.len = end;
    }

    fn frame(&self, len: usize) -> &[u8] {
        self.buffer.as_ref().get(HEAD..len.saturating_sub(TAIL)).unwrap_or_default()
    }

    /// What the packet in the buffer means.
    fn packet(&mut self, len: usize) -> Result<Meaning, Damage> {
        let packet = self.buffer.as_ref().get(..len).unwrap_or_default();
        let (content, checksum) = packet.split_last_chunk::<TAIL>().ok_or(Damage::Truncated)?;
        let (&[connection, low, high], _) = content.split_first_chunk::<HEAD>().ok_or(Damage::Truncated)?;
        if CHECKSUM.checksum(content) != u32::from_le_bytes(*checksum) {
            return Err(Damage::Checksum);
        }
        let found = u16::from_le_bytes([low, high]);
        if self.is_server && found == 0 {
            self.expected = Expected::Packet { connection, number: 1 };
            return Ok(Meaning::Opened { connection });
        }
        Ok(match self.expected {
            Expected::Packet { connection: current, number } if current == connection => {
                if number == found {
                    self.expected = Expected::Packet { connection, number: behind(number) };
                    Meaning::Frame
                } else {
                    self.expected = Expected::Nothing;
                    Meaning::Gap { expected: number, found }
                }
            }
            Expected::Packet { .. } | Expected::Nothing => Meaning::Stale { connection },
        })
    }
}

/// As [`Event`], without the frame.
enum Meaning {
    Opened { connection: u8 },
    Frame,
    Gap { expected: u16, found: u16 },
    Stale { connection: u8 },
}
