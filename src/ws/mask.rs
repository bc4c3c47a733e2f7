//! The mask of a frame that a client sends (RFC 6455, section 5.3): four bytes that the payload is combined with by XOR.

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

    /// Masks or unmasks these bytes, which follow those of the last call.
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        words::apply(bytes, self.key());
        *self = self.after(bytes.len());
    }

    /// Unmasks a text that is there as a whole, and gives it as such if it is UTF-8, and as it is if not.
    #[inline]
    pub(super) fn apply_to_text(self, bytes: &mut [u8]) -> Result<&str, &[u8]> {
        words::apply_text(bytes, self.key())
    }

    /// Writes `from`, masked, over the beginning of `to`: one pass instead of a copy and a mask. What does not fit is left
    /// out.
    #[inline(always)]
    pub fn copy(&mut self, from: &[u8], to: &mut [u8]) {
        let length = from.len().min(to.len());
        let (from, to) = (from.get(..length).unwrap_or_default(), to.get_mut(..length).unwrap_or_default());
        words::copy(from, to, self.key());
        *self = self.after(length);
    }
}

#[cfg(feature = "std")]
use everlink_mask as words;

/// What `everlink_mask` does with vectors, for where there are none, and code should be small.
#[cfg(not(feature = "std"))]
mod words {
    #[inline]
    fn word(word: [u8; 4], key: [u8; 4]) -> [u8; 4] {
        (u32::from_ne_bytes(word) ^ u32::from_ne_bytes(key)).to_ne_bytes()
    }

    pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
        let (words, rest) = bytes.as_chunks_mut::<4>();
        for bytes in words {
            *bytes = word(*bytes, key);
        }
        for (byte, key) in rest.iter_mut().zip(key) {
            *byte ^= key;
        }
    }

    pub fn copy(from: &[u8], to: &mut [u8], key: [u8; 4]) {
        let ((words, from), (places, to)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
        for (place, bytes) in places.iter_mut().zip(words) {
            *place = word(*bytes, key);
        }
        for ((to, from), key) in to.iter_mut().zip(from).zip(key) {
            *to = from ^ key;
        }
    }

    pub fn apply_text(bytes: &mut [u8], key: [u8; 4]) -> Result<&str, &[u8]> {
        apply(bytes, key);
        core::str::from_utf8(bytes).map_err(|_| &*bytes)
    }
}
