//! A point in time in four bytes.

use core::num::NonZeroU32;

use crate::time::Instant;

/// A point in time that is near: whole milliseconds, rounded up, modulo 2³². It is understood as the one of that number that is
/// less than 24 days from now. A server has a million peers, and each keeps two.
///
/// Shifted by one, and 0 stands for 1, so that an `Option<Stamp>` has four bytes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(NonZeroU32);

impl Stamp {
    pub(super) const fn new(instant: Instant) -> Stamp {
        let millis = instant.micros().div_ceil(1000) as u32;
        Stamp(match NonZeroU32::new(millis.wrapping_add(1)) {
            Some(millis) => millis,
            None => NonZeroU32::MIN,
        })
    }

    /// The instant that it stands for.
    pub(super) const fn near(self, now: Instant) -> Instant {
        let now = now.micros() / 1000;
        let distance = (self.0.get() - 1).wrapping_sub(now as u32) as i32;
        Instant::from_millis(now.saturating_add_signed(distance as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, Stamp};

    #[test]
    fn a_stamp_is_the_next_millisecond_wherever_the_count_wraps() {
        let wrap = 1_u64 << 32;
        for base in [0, 1, wrap - 1, wrap, wrap + 1, 7 * wrap] {
            for (micros, distance) in [(0, 0), (1, 0), (999, 5), (1000, 1 << 30), (1500, -(1 << 30))] {
                let instant = Instant::from_micros(1000 * base + micros);
                let stamp = Stamp::new(instant);
                let now = Instant::from_millis(base.saturating_add_signed(distance));
                let early = stamp.near(now).micros() as i128 - i128::from(instant.micros());
                assert!((0..2000).contains(&early), "{instant:?} seen from {now:?} is off by {early}");
            }
        }
        assert_eq!(size_of::<Option<Stamp>>(), 4);
    }
}
