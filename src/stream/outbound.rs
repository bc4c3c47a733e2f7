//! Bytes that wait to go out, and which messages they are.

use super::masks::Masks;
use super::room::{CLOSE, RESERVE, Room};
use crate::outbox::Kind;
use crate::ws::handshake::WriteError;
use crate::ws::{Encoder, Frame, SendError};

/// How many messages may wait in one buffer, so that each is accounted for.
const MESSAGES: usize = 64;

/// A buffer of whole frames, of which the first may be under way.
#[derive(Debug)]
pub(super) struct Outbound<B> {
    pub(super) room: B,
    start: usize,
    end: usize,
    /// Bytes that have left, modulo 2³²; less than that ever wait.
    left: u32,
    /// The messages among what waits, the first first.
    messages: [Message; MESSAGES],
    first: u8,
    count: u8,
    /// Payload bytes of the messages that have left whole.
    written: u64,
}

/// A message that waits.
#[derive(Clone, Copy, Debug)]
struct Message {
    /// Where its frame ends, as `left` counts.
    end: u32,
    frame: u32,
    payload: u32,
}

/// What of the buffer may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Message,
    Control,
    Close,
}

impl<B: Room> Outbound<B> {
    pub(super) const fn new(room: B) -> Outbound<B> {
        let messages = [Message { end: 0, frame: 0, payload: 0 }; MESSAGES];
        Outbound { room, start: 0, end: 0, left: 0, messages, first: 0, count: 0, written: 0 }
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.room.bytes().get(self.start..self.end).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether another message whose frame has up to `frame` bytes finds room.
    #[inline]
    pub(super) fn has_room(&self, frame: usize) -> bool {
        usize::from(self.count) < MESSAGES
            && self.len().saturating_add(frame).saturating_add(RESERVE) <= self.room.limit()
    }

    /// Whether a frame of up to `needed` bytes finds room.
    #[inline]
    pub(super) fn check(&self, needed: usize, share: Share) -> Result<(), SendError> {
        let reserve = match share {
            Share::Message => RESERVE,
            Share::Control => CLOSE,
            Share::Close => 0,
        };
        if self.len().saturating_add(needed).saturating_add(reserve) > self.room.limit() {
            return Err(SendError::NoRoom(needed));
        }
        Ok(())
    }

    /// Room for such a frame.
    #[inline]
    fn tail(&mut self, needed: usize, share: Share) -> Result<&mut [u8], SendError> {
        self.check(needed, share)?;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end + needed > self.room.bytes().len() {
            self.make_tail(needed);
        }
        Ok(self.room.bytes_mut().get_mut(self.end..).unwrap_or_default())
    }

    #[cold]
    fn make_tail(&mut self, needed: usize) {
        let length = self.len();
        self.room.bytes_mut().copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, length);
        self.room.grow(length + needed);
    }

    /// Writes a frame behind the others.
    #[inline]
    pub(super) fn put(
        &mut self,
        encoder: &mut Encoder,
        masks: &mut Option<Masks>,
        frame: Frame<'_>,
        share: Share,
    ) -> Result<usize, SendError> {
        let room = self.tail(frame.payload().len().saturating_add(14), share)?;
        let length = encoder.write(frame, masks.as_mut().map(Masks::next), room)?;
        self.end += length;
        Ok(length)
    }

    /// The same for a message whose payload comes in two pieces.
    pub(super) fn put_joined(
        &mut self,
        encoder: &mut Encoder,
        masks: &mut Option<Masks>,
        kind: Kind,
        [head, body]: [&[u8]; 2],
        share: Share,
    ) -> Result<usize, SendError> {
        let length = head.len().saturating_add(body.len());
        let room = self.tail(length.saturating_add(14), share)?;
        let behind = match length {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        } + if masks.is_some() { 4 } else { 0 };
        let (before, room) = room.split_at_mut_checked(behind).ok_or(SendError::NoRoom(length))?;
        let payload = room.get_mut(..length).ok_or(SendError::NoRoom(length))?;
        if let Some((first, second)) = payload.split_at_mut_checked(head.len()) {
            first.copy_from_slice(head);
            second.copy_from_slice(body);
        }
        let mut mask = masks.as_mut().map(Masks::next);
        let written = encoder.head(&Frame::message(kind, payload), mask)?;
        before.copy_from_slice(written.bytes().get(..behind).unwrap_or_default());
        if let Some(mask) = &mut mask {
            mask.apply(payload);
        }
        self.end += behind + length;
        Ok(behind + length)
    }

    /// The frame that was put last is a message with so many bytes of payload.
    #[inline]
    pub(super) fn count(&mut self, frame: usize, payload: usize) {
        let at = (usize::from(self.first) + usize::from(self.count)) % MESSAGES;
        if let Some(message) = self.messages.get_mut(at) {
            let end = self.left.wrapping_add((self.end - self.start) as u32);
            *message = Message { end, frame: frame as u32, payload: payload as u32 };
            self.count += 1;
        }
    }

    /// Something other than a frame: the head of a request or a response, as `write` writes it.
    pub(super) fn put_head(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, WriteError>,
    ) -> Result<usize, WriteError> {
        loop {
            let room = self.room.bytes_mut().get_mut(self.end..).unwrap_or_default();
            match write(room) {
                Ok(length) => {
                    self.end += length;
                    return Ok(length);
                }
                Err(WriteError::NoRoom) if self.room.bytes().len() < self.room.limit() => {
                    self.room.grow(self.room.bytes().len() + 1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn message(&self) -> Option<Message> {
        if self.count == 0 { None } else { self.messages.get(usize::from(self.first)).copied() }
    }

    /// So many bytes have left. Says whether the last of a message was among them.
    #[inline]
    pub(super) fn sent(&mut self, bytes: usize) -> bool {
        let before = self.count;
        let bytes = bytes.min(self.len());
        self.start += bytes;
        self.left = self.left.wrapping_add(bytes as u32);
        while let Some(message) = self.message()
            && (message.end.wrapping_sub(self.left) as i32) <= 0
        {
            self.written += u64::from(message.payload);
            self.first = (self.first + 1) % MESSAGES as u8;
            self.count -= 1;
        }
        self.count < before
    }

    /// Frees what a large message took, once nothing waits.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.start == self.end {
            self.room.release();
        }
    }

    /// Payload bytes of messages that have left, those of a message that is under way among them.
    pub(super) fn written(&self) -> u64 {
        let under_way = self.message().map_or(0, |message| {
            let to_come = message.end.wrapping_sub(self.left);
            // The payload is the end of its frame, or longer than it if it is compressed.
            message.payload.saturating_sub(to_come).min(message.frame.saturating_sub(to_come))
        });
        self.written + u64::from(under_way)
    }

    /// Takes back all messages that have not begun to leave, and what is behind them. `false` if one has begun: then nothing
    /// more can be said on this socket that does not finish it.
    pub(super) fn retract(&mut self) -> bool {
        let Some(message) = self.message() else { return true };
        let to_come = message.end.wrapping_sub(self.left);
        let Some(before) = to_come.checked_sub(message.frame) else {
            self.end = self.start;
            self.count = 0;
            return false;
        };
        self.end = self.start + before as usize;
        self.count = 0;
        true
    }
}
