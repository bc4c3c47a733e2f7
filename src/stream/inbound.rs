//! Bytes that came in and were not read yet.

use core::ops::Range;

use super::room::Room;

/// A buffer that is filled behind and read in front.
#[derive(Debug)]
pub(super) struct Inbound<B> {
    pub(super) room: B,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The last that came left no room: more is likely to wait for the next read.
    full: bool,
    /// Nothing more will come.
    pub(super) ended: bool,
}

impl<B: Room> Inbound<B> {
    pub(super) const fn new(room: B) -> Inbound<B> {
        Inbound { room, start: 0, end: 0, full: false, ended: false }
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.room.bytes().get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn pending_mut(&mut self) -> &mut [u8] {
        self.room.bytes_mut().get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn at(&self, place: Range<usize>) -> &[u8] {
        self.room.bytes().get(place).unwrap_or_default()
    }

    /// Where the next bytes are to be written. What was lent before is overwritten.
    ///
    /// The room grows with what comes at once, so that what comes fast is read in few pieces, and what comes slowly takes little
    /// memory.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.full || self.end == self.room.bytes().len() {
            self.make_spare();
        }
        self.room.bytes_mut().get_mut(self.end..).unwrap_or_default()
    }

    #[cold]
    fn make_spare(&mut self) {
        self.full = false;
        let length = self.room.bytes().len();
        if length < self.room.limit() {
            self.room.grow(length + 1);
        } else if self.start > 0 && self.end == length {
            self.room.bytes_mut().copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    pub(super) fn filled(&mut self, count: usize) {
        let length = self.room.bytes().len();
        self.end = self.end.saturating_add(count).min(length);
        self.full = count > 0 && self.end == length;
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }
}
