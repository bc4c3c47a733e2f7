//! The only source of chance: a small generator whose seed the user must give.
//!
//! It decides jitter and nothing else. It is *not* for secrets: masks, tokens and keys enter as inputs from the adapter's
//! secure source.

use core::time::Duration;

use crate::time::micros;

/// A SplitMix64 generator (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
///
/// Any seed is a good seed; equal seeds give equal sequences on every platform. Give each link of a fleet a seed of its
/// own, or they will all come back at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rng(u64);

impl Rng {
    /// A generator that starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `0..=max`, uniform to within one part in 2⁶⁴⁄`max`.
    pub const fn up_to(&mut self, max: u64) -> u64 {
        ((self.bits() as u128 * (max as u128 + 1)) >> 64) as u64
    }

    /// A duration from `from..=to`, in whole microseconds; `from` where the range is empty.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let spread = micros(to).saturating_sub(micros(from));
        from.saturating_add(Duration::from_micros(self.up_to(spread)))
    }
}
