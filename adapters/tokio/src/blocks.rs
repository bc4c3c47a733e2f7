//! Memory for what came in.

use bytes::{Bytes, BytesMut};

/// Copies what came in. Small pieces lie side by side in blocks, for one allocation each would cost more than all else that is done with
/// them. Whoever keeps one keeps its block.
#[derive(Debug, Default)]
pub(crate) struct Blocks(BytesMut);

impl Blocks {
    const BLOCK: usize = 4 << 10;
    const SMALL: usize = Blocks::BLOCK / 8;

    // Where it is inlined, what it gives is made where it is to be.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "measured")]
    pub(crate) fn copy(&mut self, data: &[u8]) -> Bytes {
        let Blocks(block) = self;
        if data.len() > Blocks::SMALL {
            return Bytes::copy_from_slice(data);
        }
        // From its beginning again, if nobody has any of it: that is in the processor's cache.
        if !block.try_reclaim(Blocks::BLOCK) && block.capacity() < data.len() {
            block.reserve(Blocks::BLOCK);
        }
        block.extend_from_slice(data);
        block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_share_blocks_that_are_used_again() {
        let (mut blocks, mut places) = (Blocks::default(), std::collections::HashSet::new());
        for number in 0..10_000_u32 {
            let copy = blocks.copy(&number.to_be_bytes());
            assert_eq!(*copy, number.to_be_bytes());
            places.insert(copy.as_ptr() as usize);
        }
        assert!(places.len() <= Blocks::BLOCK / 4, "{}", places.len());
    }

    #[test]
    fn what_is_kept_stays_as_it_is() {
        let mut blocks = Blocks::default();
        let pieces: Vec<Vec<u8>> = (0..2000_usize).map(|at| vec![at as u8; at % 700]).collect();
        let copies: Vec<Bytes> = pieces.iter().map(|piece| blocks.copy(piece)).collect();
        assert!(copies == pieces);
    }
}
