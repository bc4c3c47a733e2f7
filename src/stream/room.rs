//! The memory that a socket's bytes pass through: lent by the caller, or, with `alloc`, grown as bytes really come.

/// Memory for one buffer: an array, a borrowed slice, or (with `alloc`) a `Heap`.
pub trait Room {
    /// All that there is now.
    fn bytes(&self) -> &[u8];

    /// The same, to be written.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// How many bytes there can ever be.
    fn limit(&self) -> usize {
        self.bytes().len()
    }

    /// Makes it hold at least so many bytes, if it can. What it holds stays.
    fn grow(&mut self, _to: usize) {}

    /// Nothing in it is needed any more.
    fn release(&mut self) {}
}

impl<const N: usize> Room for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Room for &mut [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// Memory from the allocator: none at first, then twice as much each time, up to a limit.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct Heap {
    /// From `start` on they are used.
    bytes: alloc::vec::Vec<u8>,
    start: usize,
    limit: usize,
}

#[cfg(feature = "alloc")]
impl Heap {
    /// What is asked for first; and what is kept when there is nothing to keep.
    const SMALL: usize = 4 << 10;

    /// What it begins at a multiple of. Where the two ends of a copy are a few bytes apart, counted from the beginnings of their pages,
    /// some processors take ten times as long for it, in the kernel as well; a system's allocator likes to give 16 bytes.
    const LINE: usize = 64;

    /// No memory yet, and never more than this.
    #[must_use]
    pub const fn new(limit: usize) -> Heap {
        Heap { bytes: alloc::vec::Vec::new(), start: 0, limit }
    }
}

#[cfg(feature = "alloc")]
impl Room for Heap {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn grow(&mut self, to: usize) {
        let has = self.bytes().len();
        if to > has {
            let wanted = to.max(has.saturating_mul(2)).max(Heap::SMALL).min(self.limit).max(has);
            let mut bytes = alloc::vec![0; wanted.saturating_add(Heap::LINE - 1)];
            let start = bytes.as_ptr().align_offset(Heap::LINE).min(Heap::LINE - 1);
            bytes.truncate(start + wanted);
            if let Some(place) = bytes.get_mut(start..start + has) {
                place.copy_from_slice(self.bytes());
            }
            (self.bytes, self.start) = (bytes, start);
        }
    }

    fn release(&mut self) {
        if self.bytes().len() > 16 * Heap::SMALL {
            (self.bytes, self.start) = (alloc::vec::Vec::new(), 0);
        }
    }
}

/// The memory of one socket.
#[derive(Debug)]
pub struct Memory<B> {
    /// For what comes in. A response or request head must fit, and any control frame (139 bytes). A message that fits is lent
    /// from here without a copy.
    pub inbound: B,
    /// For what waits to go out. The largest frame must fit, and [`RESERVE`] bytes besides.
    pub outbound: B,
    /// For messages that come in fragments or are larger than `inbound`. A message larger than this ends the socket with 1009.
    pub message: B,
}

/// What is kept free of messages in `outbound`, so that a pong and a close frame always find room.
pub const RESERVE: usize = PONG + CLOSE;

/// The longest control frame: head, mask, 125 bytes.
pub(super) const PONG: usize = 2 + 4 + 125;
pub(super) const CLOSE: usize = 2 + 4 + 125;

#[cfg(feature = "alloc")]
impl Memory<Heap> {
    /// Memory from the allocator, with these limits for each part.
    #[must_use]
    pub const fn on_heap(inbound: usize, outbound: usize, message: usize) -> Memory<Heap> {
        Memory {
            inbound: Heap::new(inbound),
            outbound: Heap::new(outbound.saturating_add(RESERVE)),
            message: Heap::new(message),
        }
    }
}

impl<B: Room> Memory<B> {
    pub(super) fn release(&mut self) {
        self.inbound.release();
        self.outbound.release();
        self.message.release();
    }
}
