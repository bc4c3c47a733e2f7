//! Messages of the peer.

use core::{fmt, mem};

use zlib_rs::{Inflate, InflateFlush, Status};

use super::TAIL;
use super::config::{Config, Context};
use crate::outbox::Kind;
use crate::ws::{Error, Part, Utf8, Violation};

/// Inflates the messages of one direction (RFC 7692, section 7.2.2).
///
/// Every [`Part`] of a decoder is given to [`decompress`](Decompressor::decompress) in its order, or at least those of messages that
/// are compressed.
pub struct Decompressor {
    limit: u64,
    takeover: bool,
    inflate: Option<Inflate>,
    stage: Stage,
    text: Utf8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Between,
    /// In a message that is not compressed.
    Passing,
    /// In a message that is.
    Inflating(Message),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// Whether a piece of it was lent.
    begun: bool,
    /// How many bytes were inflated.
    bytes: u64,
    /// What is to be read behind the last of its bytes.
    tail: &'static [u8],
    /// Whether all that its bytes so far make was written.
    drained: bool,
}

/// Where the next bytes to inflate come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Payload,
    Nothing,
    Tail,
}

impl Decompressor {
    /// A decompressor for this direction's [`Context`] as [negotiated](super::Negotiated).
    ///
    /// It takes windows up to the largest, whatever was negotiated: its memory is the same.
    #[must_use]
    pub const fn new(config: &Config, context: Context) -> Decompressor {
        Decompressor {
            limit: config.inflated,
            takeover: context.takeover,
            inflate: None,
            stage: Stage::Between,
            text: Utf8::new(),
        }
    }

    /// Takes a part of a message, and lends what it is, uncompressed: to be called until it gives `None`. `offset` is that of the
    /// [decoder](crate::ws::Decoder::offset) after the part. A part of a message that is not compressed comes back as it is.
    ///
    /// Each answer has up to as many bytes as `out`; if the message has fewer than `out` can take, and was one part, it is one
    /// part again. What is text was checked to be UTF-8, as far as can be told. `out` must not be empty: nothing would come of
    /// it.
    ///
    /// # Errors
    /// The message is no DEFLATE data, too large, or text that is not UTF-8, as soon as that is known. The connection is to be
    /// failed with the error's [code](Error::code).
    pub fn decompress<'o, 'p: 'o>(
        &mut self,
        part: &mut Part<'p>,
        offset: u64,
        out: &'o mut [u8],
    ) -> Result<Option<Part<'o>>, Error> {
        let starting = mem::take(&mut part.first);
        if starting {
            self.text = Utf8::new();
            self.stage = if part.compressed {
                Stage::Inflating(Message { begun: false, bytes: 0, tail: &[], drained: false })
            } else {
                Stage::Passing
            };
        }
        match self.stage {
            Stage::Between => Ok(None),
            Stage::Passing => {
                if part.last {
                    self.stage = Stage::Between;
                }
                let payload = mem::take(&mut part.payload);
                let lent = starting || part.last || !payload.is_empty();
                Ok(lent.then_some(Part { first: starting, payload, ..*part }))
            }
            Stage::Inflating(mut message) => {
                let first = !message.begun;
                let (length, outcome) = self.step(&mut message, part, out);
                let payload = out.get(..length).unwrap_or_default();
                let last = self.check(part.kind, payload, outcome).map_err(|violation| {
                    self.stage = Stage::Between;
                    Error { violation, at: offset.saturating_sub(part.payload.len() as u64) }
                })?;
                let lent = last || length > 0;
                message.begun |= lent;
                self.stage = if last { Stage::Between } else { Stage::Inflating(message) };
                if let Some(inflate) = &mut self.inflate
                    && last
                    && !self.takeover
                {
                    inflate.reset(false);
                }
                Ok(lent.then_some(Part { kind: part.kind, compressed: false, first, last, payload }))
            }
        }
    }

    /// Frees its memory, unless it is inside a message or the peer may refer to earlier ones: for a connection that is quiet.
    pub fn release(&mut self) {
        if self.stage == Stage::Between && !self.takeover {
            self.inflate = None;
        }
    }

    /// Inflates into `out`, and says how much, and whether that is the end of the message.
    fn step(
        &mut self,
        message: &mut Message,
        part: &mut Part<'_>,
        out: &mut [u8],
    ) -> (usize, Result<bool, Violation>) {
        let inflate = self.inflate.get_or_insert_with(|| Inflate::new(false, 15));
        let mut length = 0;
        loop {
            // A byte more than is allowed shows that there is more.
            let allowed = usize::try_from(self.limit - message.bytes).unwrap_or(usize::MAX);
            let room = out.get_mut(length..).unwrap_or_default();
            let end = room.len().min(allowed.saturating_add(1));
            let room = room.get_mut(..end).unwrap_or_default();
            if room.is_empty() {
                return (length, Ok(false));
            }
            let source = if !part.payload.is_empty() {
                Source::Payload
            } else if part.last && message.drained {
                Source::Tail
            } else {
                Source::Nothing
            };
            let input = match source {
                Source::Payload => part.payload,
                Source::Tail => message.tail,
                Source::Nothing => &[],
            };
            let before = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(input, room, InflateFlush::NoFlush);
            let taken = (inflate.total_in() - before.0) as usize;
            let written = (inflate.total_out() - before.1) as usize;
            match source {
                Source::Payload => {
                    part.payload = part.payload.get(taken..).unwrap_or_default();
                    (message.tail, message.drained) = (TAIL, false);
                }
                // It is an empty block, unless it is taken for something else, because a block before has no end.
                Source::Tail if written > 0 => return (length, Err(Violation::NotDeflate)),
                Source::Tail => message.tail = message.tail.get(taken..).unwrap_or_default(),
                Source::Nothing => {}
            }
            if written > allowed {
                return (length + allowed, Err(Violation::InflatedTooBig(self.limit)));
            }
            length += written;
            message.bytes += written as u64;
            match status {
                Err(_) => return (length, Err(Violation::NotDeflate)),
                Ok(Status::StreamEnd) => {
                    // A block that says it is the last (section 7.2.3.4). Others may follow, but have nothing to refer to; and
                    // if nothing follows, nothing is missing at the end.
                    inflate.reset(false);
                    if part.payload.is_empty() && source != Source::Tail {
                        message.tail = &[];
                    }
                }
                Ok(Status::Ok | Status::BufError) if taken > 0 || written > 0 => {}
                Ok(Status::Ok | Status::BufError) if part.last && !message.drained => message.drained = true,
                Ok(Status::Ok | Status::BufError) => return (length, Ok(part.last)),
            }
        }
    }

    /// Checks what was inflated, if it is text, before what was found out behind it.
    fn check(
        &mut self,
        kind: Kind,
        payload: &[u8],
        outcome: Result<bool, Violation>,
    ) -> Result<bool, Violation> {
        if kind == Kind::Text {
            let last = outcome == Ok(true);
            let valid =
                self.text.push(payload, 0).and_then(|()| if last { self.text.finish() } else { Ok(()) });
            valid.map_err(|_| Violation::TextNotUtf8)?;
        }
        outcome
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("takeover", &self.takeover)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
