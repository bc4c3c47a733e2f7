//! How good a connection is, from its round trips: one word that does not flap.
//!
//! ```text
//! worse at the border:      excellent  <100 ms>   good   <300 ms>  degraded  <1000 ms>   poor
//! better 10 % below it:     excellent   <90 ms>   good   <270 ms>  degraded   <900 ms>   poor
//! ```
//!
//! ```
//! use core::time::Duration;
//! use everlink::quality::{Config, Monitor, Quality};
//!
//! let (config, mut monitor) = (Config::default(), Monitor::new());
//! assert_eq!(monitor.quality(), Quality::Unknown);
//! monitor.sample(&config, Duration::from_millis(40));
//! assert_eq!(monitor.quality(), Quality::Excellent);
//! monitor.missed();
//! assert_eq!(monitor.quality(), Quality::Degraded);
//! monitor.sample(&config, Duration::from_millis(40));
//! assert_eq!(monitor.quality().to_string(), "excellent");
//! ```

use core::fmt;
use core::time::Duration;

use crate::error::ConfigError;
#[cfg(feature = "serde")]
use crate::human;
use crate::time::micros;

/// How good a connection is; a greater one is worse. Displayed as its name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Quality {
    /// Nothing was measured on this socket yet.
    #[default]
    Unknown,
    /// Below the first border (100 ms).
    Excellent,
    /// Below the second (300 ms).
    Good,
    /// Below the third (1000 ms), or a pong was missed.
    Degraded,
    /// From the third border on, or pongs were missed twice in a row.
    Poor,
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Quality::Unknown => "unknown",
            Quality::Excellent => "excellent",
            Quality::Good => "good",
            Quality::Degraded => "degraded",
            Quality::Poor => "poor",
        })
    }
}

/// Where the borders are, and how sticky; used in whole microseconds.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// Below this it is [`Quality::Excellent`]. Default 100 ms; at least 1 µs.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub excellent: Duration,
    /// Below this it is [`Quality::Good`]. Default 300 ms; above `excellent`.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub good: Duration,
    /// Below this it is [`Quality::Degraded`], else [`Quality::Poor`]. Default 1 s; above `good`.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub degraded: Duration,
    /// How far below a border the latency must fall, in percent of the border, before the class gets better. Default 10;
    /// below 100. With 0 a latency on a border flaps.
    pub hysteresis_percent: u8,
    /// How much of the jitter counts as latency, in percent. Default 100; 0 ignores it.
    pub jitter_percent: u16,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            excellent: Duration::from_millis(100),
            good: Duration::from_millis(300),
            degraded: Duration::from_millis(1000),
            hysteresis_percent: 10,
            jitter_percent: 100,
        }
    }
}

impl Config {
    /// Whether this can work.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of the bounds that its documentation states.
    pub fn check(&self) -> Result<(), ConfigError> {
        let unless = ConfigError::unless;
        unless(micros(self.excellent) > 0, "quality.excellent", "must be at least 1us")?;
        unless(self.good > self.excellent, "quality.good", "must be above quality.excellent")?;
        unless(self.degraded > self.good, "quality.degraded", "must be above quality.good")?;
        unless(self.hysteresis_percent < 100, "quality.hysteresis_percent", "must be below 100")
    }

    /// The class of a latency that is `below` some of the borders.
    fn class(&self, below: impl Fn(u64) -> bool) -> Quality {
        if below(micros(self.excellent)) {
            Quality::Excellent
        } else if below(micros(self.good)) {
            Quality::Good
        } else if below(micros(self.degraded)) {
            Quality::Degraded
        } else {
            Quality::Poor
        }
    }
}

/// The smoothed round trip of one socket, its jitter, and the class that they give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Monitor {
    quality: Quality,
    /// Pongs missed in a row.
    missed: u8,
    /// Sixteenths of a microsecond, `None` before the first sample.
    smoothed: Option<u64>,
    /// Sixteenths of a microsecond.
    jitter: u64,
}

/// The fraction that lets a mean of integers settle on the value that it is the mean of.
const SCALE: u64 = 16;

/// Moves a mean towards a sample: by a quarter of the difference upwards, by one `down`th of it downwards.
const fn smooth(mean: u64, sample: u64, down: u64) -> u64 {
    if sample >= mean {
        mean.saturating_add((sample - mean) / 4)
    } else {
        mean.saturating_sub((mean - sample) / down)
    }
}

/// Sixteenths of a microsecond, rounded to whole ones.
const fn whole(scaled: u64) -> u64 {
    scaled.saturating_add(SCALE / 2) / SCALE
}

/// So many percent of a number, rounded down; without a division of 128 bits, which costs more than the rest of a sample.
fn percent_of(number: u64, percent: u16) -> u64 {
    let percent = u64::from(percent);
    (number / 100).saturating_mul(percent).saturating_add(number % 100 * percent / 100)
}

impl Monitor {
    /// Nothing measured yet.
    #[must_use]
    pub const fn new() -> Monitor {
        Monitor { quality: Quality::Unknown, missed: 0, smoothed: None, jitter: 0 }
    }

    /// A round trip was measured: by a pong that answers the newest ping, or by an acknowledgement.
    ///
    /// The first sample is taken as it is. Each further one moves the smoothed latency by a quarter of the difference if it
    /// is longer, by half of it if it is shorter: pings are rare, and a link that has recovered is to show it soon. The
    /// jitter moves by a quarter towards how much longer the sample was, if it was. The sum of both, with `jitter_percent`
    /// of the jitter, is classed.
    pub fn sample(&mut self, config: &Config, rtt: Duration) {
        let rtt = micros(rtt).saturating_mul(SCALE);
        if let Some(smoothed) = self.smoothed {
            self.jitter = smooth(self.jitter, rtt.saturating_sub(smoothed), 4);
        }
        self.smoothed = Some(self.smoothed.map_or(rtt, |smoothed| smooth(smoothed, rtt, 2)));
        self.missed = 0;

        let excess = percent_of(whole(self.jitter), config.jitter_percent);
        let latency = self.smoothed.map_or(0, whole).saturating_add(excess);
        let at_best = config.class(|border| latency < border);
        if self.quality <= at_best {
            self.quality = at_best;
            return;
        }
        // It gets better only as far as the latency is below the borders by the hysteresis.
        let percent = 100_u8.saturating_sub(config.hysteresis_percent);
        let below = |border| u128::from(latency) * 100 < u128::from(border) * u128::from(percent);
        self.quality = self.quality.min(config.class(below));
    }

    /// A pong did not come in time: at once [`Quality::Degraded`] or worse, the second time in a row
    /// [`Quality::Poor`], until a sample says better.
    pub fn missed(&mut self) {
        self.missed = self.missed.saturating_add(1);
        let worst = if self.missed > 1 { Quality::Poor } else { Quality::Degraded };
        self.quality = self.quality.max(worst);
    }

    /// The class as of the last sample or missed pong.
    #[must_use]
    pub const fn quality(&self) -> Quality {
        self.quality
    }

    /// The smoothed round trip, in whole microseconds; `None` before the first sample.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| Duration::from_micros(whole(smoothed)))
    }

    /// How much longer than the smoothed round trip the samples were, smoothed, in whole microseconds.
    #[must_use]
    pub const fn jitter(&self) -> Duration {
        Duration::from_micros(whole(self.jitter))
    }

    /// A new socket: everything known about the old one is forgotten.
    pub const fn reset(&mut self) {
        *self = Monitor::new();
    }
}
