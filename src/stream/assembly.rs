//! A message that does not come in one piece.

use super::room::Room;

/// The pieces of a message, put together.
#[derive(Debug)]
pub(super) struct Assembly<B> {
    pub(super) room: B,
    pub(super) length: usize,
    /// It was complete and lent; the next piece begins another.
    lent: bool,
}

impl<B: Room> Assembly<B> {
    pub(super) const fn new(room: B) -> Assembly<B> {
        Assembly { room, length: 0, lent: false }
    }

    /// Adds a piece; `false` if the message is larger than the room.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let end = self.length.saturating_add(piece.len());
        if end > self.room.bytes().len() && end <= self.room.limit() {
            self.room.grow(end);
        }
        match self.room.bytes_mut().get_mut(self.length..end) {
            Some(place) => {
                place.copy_from_slice(piece);
                self.length = end;
                true
            }
            None => false,
        }
    }

    /// Room for more of it; none if it is as large as it may be.
    #[cfg(feature = "deflate")]
    pub(super) fn tail(&mut self) -> &mut [u8] {
        if self.length == self.room.bytes().len() {
            self.room.grow(self.length + 1);
        }
        self.room.bytes_mut().get_mut(self.length..).unwrap_or_default()
    }

    /// The message, once it is complete.
    #[inline]
    pub(super) fn whole(&self) -> &[u8] {
        self.room.bytes().get(..self.length).unwrap_or_default()
    }

    /// It is complete, and is lent until the next call of [`clear_lent`](Assembly::clear_lent).
    pub(super) fn complete(&mut self) {
        self.lent = true;
    }

    #[inline]
    pub(super) fn clear_lent(&mut self) {
        if self.lent {
            self.lent = false;
            self.length = 0;
            self.room.release();
        }
    }
}
