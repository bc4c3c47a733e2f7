//! Memory for what came in.

use bytes::{Bytes, BytesMut};

/// Copies what came in. Small pieces lie side by side in blocks, for one allocation each would cost more than all else that is done with
/// them; whoever keeps one keeps its block. The memory of the last large piece is used again if nobody has it any more: an
/// allocator may give back so much to the system at once, and each of its pages then costs a fault.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    small: BytesMut,
    /// The last large piece.
    large: Bytes,
}

impl Blocks {
    const BLOCK: usize = 4 << 10;
    const SMALL: usize = Blocks::BLOCK / 8;
    /// What a connection may keep for the next large piece.
    const LARGE: usize = 64 << 10;
    /// So many times its size a piece may occupy.
    const WASTE: usize = 4;

    // Where it is inlined, what it gives is made where it is to be.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "measured")]
    pub(crate) fn copy(&mut self, data: &[u8]) -> Bytes {
        if data.len() > Blocks::SMALL {
            return self.copy_large(data);
        }
        let block = &mut self.small;
        // From its beginning again, if nobody has any of it: that is in the processor's cache.
        if !block.try_reclaim(Blocks::BLOCK) && block.capacity() < data.len() {
            block.reserve(Blocks::BLOCK);
        }
        block.extend_from_slice(data);
        block.split().freeze()
    }

    #[inline(never)]
    fn copy_large(&mut self, data: &[u8]) -> Bytes {
        if data.len() > Blocks::LARGE {
            return Bytes::copy_from_slice(data);
        }
        let fits = data.len()..=data.len() * Blocks::WASTE;
        let last = std::mem::take(&mut self.large).try_into_mut().ok();
        let mut block = last
            .filter(|block| fits.contains(&block.capacity()))
            .unwrap_or_else(|| BytesMut::with_capacity(data.len()));
        block.clear();
        block.extend_from_slice(data);
        self.large = block.freeze();
        self.large.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn small_pieces_share_blocks_that_are_used_again() {
        let (mut blocks, mut places) = (Blocks::default(), HashSet::new());
        for number in 0..10_000_u32 {
            let copy = blocks.copy(&number.to_be_bytes());
            assert_eq!(*copy, number.to_be_bytes());
            places.insert(copy.as_ptr() as usize);
        }
        assert!(places.len() <= Blocks::BLOCK / 4, "{}", places.len());
    }

    #[test]
    fn small_pieces_lie_side_by_side_while_they_are_kept() {
        let mut blocks = Blocks::default();
        let kept: Vec<Bytes> = (0..400).map(|_| blocks.copy(&[0; 100])).collect();
        let apart = kept.windows(2).filter(|pair| pair[0].as_ptr_range().end != pair[1].as_ptr()).count();
        assert!(apart <= kept.len() * 100 / (Blocks::BLOCK - 100), "{apart}");
    }

    #[test]
    fn a_large_piece_gets_the_memory_of_the_last_one_if_nobody_keeps_that() {
        for (is_kept, room) in [(false, 16 << 10), (true, 8 << 10)] {
            let mut blocks = Blocks::default();
            let first = Some(blocks.copy(&[0; 16 << 10])).filter(|_| is_kept);
            blocks.copy(&[0; 8 << 10]);
            // Not by its place: an allocator may give the same one again.
            let second = blocks.large.try_into_mut().expect("nobody else has it");
            assert_eq!(second.capacity(), room);
            drop(first);
        }
    }

    #[test]
    fn who_keeps_a_piece_keeps_at_most_so_many_times_its_size() {
        let mut blocks = Blocks::default();
        let quarter = Blocks::LARGE / Blocks::WASTE;
        for size in [Blocks::LARGE, Blocks::SMALL + 1, Blocks::LARGE, quarter, quarter, quarter - 1, 600] {
            blocks.copy(&vec![0; size]);
            let piece = std::mem::take(&mut blocks.large).try_into_mut().expect("nobody else has it");
            assert!(
                (size..=size * Blocks::WASTE).contains(&piece.capacity()),
                "{} for {size}",
                piece.capacity()
            );
            blocks.large = piece.freeze();
        }
    }

    #[test]
    fn what_is_kept_stays_as_it_is() {
        let mut blocks = Blocks::default();
        let pieces: Vec<Vec<u8>> = (0..2000_usize).map(|at| vec![at as u8; at * 37 % 3000]).collect();
        let copies: Vec<Bytes> = pieces.iter().map(|piece| blocks.copy(piece)).collect();
        assert!(copies == pieces);
    }
}
