//! The mask of a frame that a client sends (RFC 6455, section 5.3): four bytes that the payload is combined with by XOR.

/// Bytes that are taken at once where there are so many.
const BLOCK: usize = 64;

/// From here on it pays to make the rest aligned, and to ask the processor how wide its vectors are.
const LONG: usize = 512;

/// A mask, and how far it has been used: the payload may come in pieces.
///
/// **Take each key from a secure source of random bytes** (`getrandom`, a hardware generator), a new one for each frame. The
/// mask is there so that whoever chooses a payload cannot choose the bytes on the wire: with a predictable mask, a script can
/// send what an intermediary takes for an HTTP request, and poison its cache (sections 5.3 and 10.3). It hides nothing.
///
/// ```
/// use everlink::ws::Mask;
///
/// let mut bytes = *b"Hello";
/// Mask::new([0x37, 0xfa, 0x21, 0x3d]).apply(&mut bytes);
/// assert_eq!(bytes, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mask(
    /// The next byte of the key is the lowest.
    u32,
);

impl Mask {
    /// The mask with this key.
    #[must_use]
    pub const fn new(key: [u8; 4]) -> Mask {
        Mask(u32::from_le_bytes(key))
    }

    /// The key, as the head of a frame shows it, if the mask is unused.
    #[must_use]
    pub const fn key(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// The mask for what follows after `length` more bytes.
    const fn after(self, length: usize) -> Mask {
        Mask(self.0.rotate_right(8 * (length & 3) as u32))
    }

    const fn eight(self) -> u64 {
        (self.0 as u64) << 32 | self.0 as u64
    }

    /// A block that the compiler sees the size of becomes vector instructions.
    #[inline(always)]
    fn apply_block(self, block: &mut [u8; BLOCK]) {
        let (words, _) = block.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_le_bytes(*word) ^ self.0).to_le_bytes();
        }
    }

    #[inline(always)]
    fn copy_block(self, from: &[u8; BLOCK], to: &mut [u8; BLOCK]) {
        let ((words, _), (places, _)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
        for (place, word) in places.iter_mut().zip(words) {
            *place = (u32::from_le_bytes(*word) ^ self.0).to_le_bytes();
        }
    }

    /// Masks or unmasks these bytes, which follow those of the last call.
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        if bytes.len() >= LONG {
            return self.apply_long(bytes);
        }
        let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
        for block in blocks {
            self.apply_block(block);
        }
        self.apply_short(rest);
    }

    #[cfg(feature = "std")]
    #[inline(never)]
    fn apply_long(&mut self, bytes: &mut [u8]) {
        everlink_mask::apply(bytes, self.key());
        *self = self.after(bytes.len());
    }

    /// The blocks of a long payload should not straddle cache lines, so the bytes before the first whole one go first.
    #[cfg(not(feature = "std"))]
    #[inline(never)]
    fn apply_long(&mut self, bytes: &mut [u8]) {
        let before = bytes.as_ptr().align_offset(BLOCK).min(bytes.len());
        let (start, rest) = bytes.split_at_mut(before);
        self.apply_short(start);
        let (blocks, rest) = rest.as_chunks_mut::<BLOCK>();
        for block in blocks {
            self.apply_block(block);
        }
        self.apply_short(rest);
    }

    #[inline]
    fn apply_short(&mut self, bytes: &mut [u8]) {
        let length = bytes.len();
        let (words, tail) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_le_bytes(*word) ^ self.eight()).to_le_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(self.eight().to_le_bytes()) {
            *byte ^= key;
        }
        *self = self.after(length);
    }

    /// The same as [`apply`](Mask::apply) to a short text, and whether it is ASCII now.
    #[inline]
    pub(super) fn apply_to_ascii(&mut self, bytes: &mut [u8]) -> bool {
        let length = bytes.len();
        let (words, tail) = bytes.as_chunks_mut::<8>();
        let mut seen = 0;
        for word in words {
            let clear = u64::from_le_bytes(*word) ^ self.eight();
            seen |= clear;
            *word = clear.to_le_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(self.eight().to_le_bytes()) {
            *byte ^= key;
            seen |= u64::from(*byte);
        }
        *self = self.after(length);
        seen & 0x8080_8080_8080_8080 == 0
    }

    #[cfg(feature = "std")]
    #[inline(never)]
    fn copy_long(&mut self, from: &[u8], to: &mut [u8]) {
        everlink_mask::copy(from, to, self.key());
        *self = self.after(from.len());
    }

    /// Writes `from`, masked, over the beginning of `to`: one pass instead of a copy and a mask. What does not fit is left
    /// out.
    #[inline]
    pub fn copy(&mut self, from: &[u8], to: &mut [u8]) {
        let length = from.len().min(to.len());
        let (from, to) = (from.get(..length).unwrap_or_default(), to.get_mut(..length).unwrap_or_default());
        #[cfg(feature = "std")]
        if length >= LONG {
            return self.copy_long(from, to);
        }
        let ((blocks, from), (places, to)) = (from.as_chunks::<BLOCK>(), to.as_chunks_mut::<BLOCK>());
        for (place, block) in places.iter_mut().zip(blocks) {
            self.copy_block(block, place);
        }
        let (words, tail) = from.as_chunks::<8>();
        let (places, room) = to.as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = (u64::from_le_bytes(*word) ^ self.eight()).to_le_bytes();
        }
        for ((to, from), key) in room.iter_mut().zip(tail).zip(self.eight().to_le_bytes()) {
            *to = from ^ key;
        }
        *self = self.after(length);
    }
}
