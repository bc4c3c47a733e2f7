//! Messages on their way to the peer.

use core::{fmt, mem};

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::TAIL;
use super::config::{Config, Context};
use crate::ws::Part;

/// Compresses the messages of one direction (RFC 7692, section 7.2.1).
///
/// Each message's parts are given to [`compress`](Compressor::compress) in their order. Messages that are not given to it do not
/// matter to it. Without context takeover it remembers nothing between messages, so one may serve any number of connections that
/// agreed on the same [`Context`].
pub struct Compressor {
    level: u8,
    memory: u8,
    threshold: usize,
    context: Context,
    deflate: Option<Deflate>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Between,
    /// In a message that goes as it is.
    Passing,
    /// In a message that is compressed.
    Compressing(Message),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// Whether a piece of it was lent.
    begun: bool,
    /// The last bytes that were written, if they may be those of the [`TAIL`]: they are not to be sent.
    held: Option<[u8; TAIL.len()]>,
}

impl Compressor {
    /// The least room for what is compressed. More is better: each piece becomes a frame of its own.
    pub const ROOM: usize = 64;

    /// A compressor for this direction's [`Context`] as [negotiated](super::Negotiated).
    #[must_use]
    pub fn new(config: &Config, context: Context) -> Compressor {
        Compressor {
            level: config.level.clamp(1, 9),
            memory: config.memory.clamp(1, 9),
            threshold: config.threshold as usize,
            context,
            deflate: None,
            stage: Stage::Between,
        }
    }

    /// Takes a part of a message, and lends what is to be sent of it, for [`Frame::part`](crate::ws::Frame::part): to be called
    /// until it gives `None`. A whole message is one part, which is first and last.
    ///
    /// The part comes back as it is if it is compressed already, belongs to such a message, or is a whole message below the
    /// threshold; or if it begins a message and what would fill `out` first is not smaller. With room for the whole message in
    /// `out` (and [`ROOM`](Compressor::ROOM)), nothing grows, and a message stays one frame.
    ///
    /// With less than [`ROOM`](Compressor::ROOM) the answer is `None`, and the part is not taken.
    pub fn compress<'o, 'p: 'o>(&mut self, part: &mut Part<'p>, out: &'o mut [u8]) -> Option<Part<'o>> {
        if out.len() < Compressor::ROOM {
            debug_assert!(false, "room for {} bytes is not enough", out.len());
            return None;
        }
        let starting = mem::take(&mut part.first);
        if starting {
            if matches!(self.stage, Stage::Compressing(_)) {
                self.abandon(); // the last message has no end, so the peer cannot know what the window has
            }
            let as_it_is = part.compressed || part.last && part.payload.len() < self.threshold;
            self.stage = if as_it_is {
                Stage::Passing
            } else {
                Stage::Compressing(Message { begun: false, held: None })
            };
        }
        let before = part.payload;
        match self.stage {
            Stage::Between => return None,
            Stage::Passing => {}
            Stage::Compressing(message) => {
                let piece = self.step(message, part, out);
                let taken = before.len() - part.payload.len();
                if !starting || piece.as_ref().is_none_or(|piece| piece.length < taken) {
                    let payload = out.get(..piece.as_ref()?.length).unwrap_or_default();
                    let Piece { first, last, .. } = piece?;
                    return Some(Part { kind: part.kind, compressed: true, first, last, payload });
                }
                self.abandon();
                self.stage = Stage::Passing;
            }
        }
        if part.last {
            self.stage = Stage::Between;
        }
        part.payload = &[];
        let lent = starting || part.last || !before.is_empty();
        lent.then_some(Part { first: starting, payload: before, ..*part })
    }

    /// Compresses into `out` what there is of the part, and says how much of it is to be sent.
    fn step(&mut self, message: Message, part: &mut Part<'_>, out: &mut [u8]) -> Option<Piece> {
        let deflate = self.deflate.get_or_insert_with(|| {
            // A window of 9 bits never refers back by more than 250 bytes, so it is one of 8 bits, too, which there is not.
            let window_bits = -i32::from(self.context.window.clamp(9, 15));
            let (level, mem_level) = (self.level.into(), self.memory.into());
            Deflate::new_with_config(DeflateConfig {
                level,
                mem_level,
                window_bits,
                ..DeflateConfig::default()
            })
        });
        let flush = if part.last { DeflateFlush::SyncFlush } else { DeflateFlush::NoFlush };
        let mut length = 0;
        if let (Some(held), Some(room)) = (message.held, out.first_chunk_mut()) {
            (*room, length) = (held, TAIL.len());
        }
        let full = loop {
            let room = out.get_mut(length..).unwrap_or_default();
            if room.is_empty() {
                break true;
            }
            let (taken, written) = (deflate.total_in(), deflate.total_out());
            // It fails only if it is not used as it must be.
            let fine = deflate.compress(part.payload, room, flush).is_ok();
            debug_assert!(fine);
            let taken = (deflate.total_in() - taken) as usize;
            let written = (deflate.total_out() - written) as usize;
            part.payload = part.payload.get(taken..).unwrap_or_default();
            length += written;
            if taken == 0 && written == 0 {
                break false;
            }
        };
        let done = part.last && !full;
        let mut held = None;
        let mut length = match out.get(..length).and_then(|bytes| bytes.split_last_chunk()) {
            Some((bytes, last)) if done && last == TAIL => bytes.len(),
            Some((bytes, last)) if part.last && full => {
                held = Some(*last);
                bytes.len()
            }
            _ => length,
        };
        if done && length == 0 && !message.begun {
            // Nothing at all, and nothing to flush: the header of an empty block (section 7.2.3.6).
            if let Some(first) = out.first_mut() {
                (*first, length) = (0, 1);
            }
        }
        let lent = done || length > 0;
        self.stage = if done {
            Stage::Between
        } else {
            Stage::Compressing(Message { begun: message.begun || lent, held })
        };
        if done && !self.context.takeover {
            self.forget();
        }
        lent.then_some(Piece { first: !message.begun, last: done, length })
    }

    /// Frees its memory, unless it is inside a message: for a connection that is quiet. The next message cannot refer to those
    /// before, which each peer can read.
    pub fn release(&mut self) {
        if self.stage == Stage::Between {
            self.deflate = None;
        }
    }

    /// Forgets what was compressed, in the middle of a message. A reset will not do: at level 1 it leaves a block open
    /// (zlib-rs 0.6.8), and a later message panics.
    fn abandon(&mut self) {
        self.deflate = None;
    }

    /// Forgets what was compressed, between messages, and keeps the memory.
    fn forget(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            deflate.reset();
        }
    }
}

/// What is to be sent of what was compressed.
struct Piece {
    first: bool,
    last: bool,
    length: usize,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor")
            .field("context", &self.context)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
