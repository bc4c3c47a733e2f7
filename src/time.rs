//! Time as the machines know it: an [`Instant`] that only inputs carry.
//!
//! The core never reads a clock. An adapter picks an origin (boot, the start of the process, the page's time origin) and
//! tells each input how many microseconds have passed since then.

use core::num::NonZeroU64;
use core::time::Duration;

/// A point in time: whole microseconds since an origin that the adapter picks.
///
/// Stored shifted by one, so that `Option<Instant>` is as small as `Instant`. Arithmetic saturates at both ends.
///
/// ```
/// use core::time::Duration;
/// use everlink::time::Instant;
///
/// let boot = Instant::ORIGIN;
/// let later = boot + Duration::from_millis(15);
/// assert_eq!(later.micros(), 15_000);
/// assert_eq!(later - boot, Duration::from_millis(15));
/// assert_eq!(boot - later, Duration::ZERO); // saturates
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "u64", into = "u64")
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The origin itself.
    pub const ORIGIN: Instant = Instant(NonZeroU64::MIN);

    /// The instant `micros` microseconds after the origin; the last representable one is `u64::MAX - 1`.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(NonZeroU64::MIN.saturating_add(micros))
    }

    /// The instant `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Instant {
        Instant::from_micros(millis.saturating_mul(1000))
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0.get() - 1
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(micros(duration)))
    }
}

impl core::ops::Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl From<u64> for Instant {
    fn from(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }
}

impl From<Instant> for u64 {
    fn from(instant: Instant) -> u64 {
        instant.micros()
    }
}

impl core::fmt::Debug for Instant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        Duration::from_micros(self.micros()).fmt(f)
    }
}

/// Whole microseconds of a duration, saturating at `u64::MAX` (584,542 years).
#[must_use]
pub(crate) const fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros() as u64)
}
