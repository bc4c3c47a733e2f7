//! What a client must not let anybody foresee: the key of its request and the masks of its frames.

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use crate::ws::Mask;
use crate::ws::handshake::Key;

/// A stream of masks, expanded from a secret of one socket by ChaCha12.
///
/// The bytes that a client sends are chosen by others (a page, a user, a file). If these could foresee the mask, they could
/// choose the bytes on the wire as well, and make them what a proxy between takes for another request: so they could poison
/// its cache (RFC 6455, section 10.3). A generator for jitter is no source of masks: each shows 32 bits of its state.
#[derive(Debug)]
pub(super) struct Masks(ChaCha12Rng);

impl Masks {
    pub(super) fn new(secret: [u8; 32]) -> Masks {
        Masks(ChaCha12Rng::from_seed(secret))
    }

    /// For the request.
    pub(super) fn key(&mut self) -> Key {
        let mut nonce = [0; 16];
        let (words, _) = nonce.as_chunks_mut::<4>();
        words.iter_mut().for_each(|word| *word = self.0.next_u32().to_le_bytes());
        Key::new(nonce)
    }

    /// For the next frame.
    #[inline]
    pub(super) fn next(&mut self) -> Mask {
        Mask::new(self.0.next_u32().to_le_bytes())
    }
}
