//! How long to wait before the next attempt to connect.
//!
//! The delay grows by an integer ratio up to a cap, and chance spreads the clients of a fleet, so that they do not return
//! as one wave. The cap is applied *before* the draw, and the first delay is drawn too: a cap after the draw takes the
//! jitter away just when the fleet is largest.
//!
//! ```
//! use core::time::Duration;
//! use everlink::backoff::{Backoff, Cause, Config, Jitter};
//! use everlink::rng::Rng;
//!
//! let config = Config { jitter: Jitter::None, attempts: Some(7), ..Config::default() };
//! let (mut backoff, mut rng) = (Backoff::new(), Rng::new(7));
//! let seconds: Vec<u64> =
//!     core::iter::from_fn(|| backoff.next(&config, &mut rng, Cause::Lost, false)).map(|d| d.as_secs()).collect();
//! assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
//!
//! backoff.reset(); // the link proved stable
//! assert_eq!(backoff.next(&config, &mut rng, Cause::Lost, false), Some(Duration::from_secs(1)));
//! ```

use core::fmt;
use core::time::Duration;

use crate::error::ConfigError;
#[cfg(feature = "serde")]
use crate::human;
use crate::rng::Rng;
use crate::time::micros;

/// How chance changes a delay `d`, which is already capped. `U(a, b)` is uniform and includes both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Jitter {
    /// `d` itself. For a single client, or for a test; a fleet returns as one wave.
    None,
    /// `d/2 + U(0, d/2)`: at least half the delay is kept.
    Equal,
    /// `U(0, d)`.
    Full,
    /// `min(cap, U(base, 3 × previous))`, where the first previous delay is `base`; the ratio plays no part.
    Decorrelated,
}

/// By what a delay grows from one attempt to the next: `numerator / denominator`, at least 1.
///
/// To people it is the text `"2"` or `"3/2"` (a plain whole number is read too); to binary formats, a pair of `u16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ratio {
    /// Above the line.
    pub numerator: u16,
    /// Below the line; not zero.
    pub denominator: u16,
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// How a [`Backoff`] waits.
///
/// Times are used in whole microseconds.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// The first delay, before jitter. Default 1 s; at least 1 µs.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub base: Duration,
    /// No delay grows beyond this (except by `hidden_stretch`). Default 30 s; not below `base`.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub cap: Duration,
    /// What each delay is multiplied by to give the next. Default 2.
    pub ratio: Ratio,
    /// Default [`Jitter::Equal`]: it spreads a fleet about as well as [`Jitter::Full`], and ten attempts of it span at
    /// least 90 s, where those of full jitter may be used up in no time.
    pub jitter: Jitter,
    /// How many attempts in a row before it gives up; `None` is for ever. Default 10; not zero.
    #[cfg_attr(feature = "serde", serde(with = "human::number_or_forever"))]
    pub attempts: Option<u32>,
    /// How long a socket must have been up, *and* something received on it, before its owner calls
    /// [`Backoff::reset`]. Default 5 s. A server that accepts and then drops must not be met at full speed for ever.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub stable_after: Duration,
    /// The most that a server may ask for by [`Cause::RetryAfter`]. Default 10 min.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub retry_after_cap: Duration,
    /// The shortest delay after [`Cause::Restart`]. Default 5 s.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub restart_spread_min: Duration,
    /// The longest delay after [`Cause::Restart`]. Default 30 s; not below `restart_spread_min`.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub restart_spread_max: Duration,
    /// The longest delay after [`Cause::Online`]. Default 250 ms.
    #[cfg_attr(feature = "serde", serde(with = "human::duration"))]
    pub online_jitter: Duration,
    /// What a delay is multiplied by while the page is hidden, beyond `cap` too. Default 4; at least 1.
    pub hidden_stretch: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            ratio: Ratio { numerator: 2, denominator: 1 },
            jitter: Jitter::Equal,
            attempts: Some(10),
            stable_after: Duration::from_secs(5),
            retry_after_cap: Duration::from_secs(600),
            restart_spread_min: Duration::from_secs(5),
            restart_spread_max: Duration::from_secs(30),
            online_jitter: Duration::from_millis(250),
            hidden_stretch: 4,
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
        let Ratio { numerator, denominator } = self.ratio;
        unless(micros(self.base) > 0, "backoff.base", "must be at least 1us")?;
        unless(self.cap >= self.base, "backoff.cap", "must not be below backoff.base")?;
        unless(denominator > 0, "backoff.ratio", "must not have a denominator of zero")?;
        unless(numerator >= denominator, "backoff.ratio", "must be at least 1")?;
        unless(self.attempts != Some(0), "backoff.attempts", "must be at least 1, or forever")?;
        unless(
            self.restart_spread_max >= self.restart_spread_min,
            "backoff.restart_spread_max",
            "must not be below backoff.restart_spread_min",
        )?;
        unless(self.hidden_stretch > 0, "backoff.hidden_stretch", "must be at least 1")
    }

    /// `min(cap, base · ratioⁿ)` in microseconds.
    ///
    /// Takes no more steps than the delay needs to reach the cap, however large `n` is.
    fn undrawn(&self, n: u32) -> u64 {
        // 32 bits of fraction: an ordinary ladder is exact to 1 µs, and even 1 µs can grow by 65535/65534.
        let fixed = |duration| u128::from(micros(duration)) << 32;
        let cap = fixed(self.cap);
        let mut delay = fixed(self.base).min(cap);
        for _ in 0..n {
            let grown =
                delay.saturating_mul(self.ratio.numerator.into()) / u128::from(self.ratio.denominator.max(1));
            if grown.min(cap) <= delay {
                break;
            }
            delay = grown.min(cap);
        }
        (delay >> 32) as u64
    }
}

/// Why an attempt to connect is made, as far as it decides how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cause {
    /// The socket was lost, or the last attempt failed: the growing delay.
    Lost,
    /// The server said when to come back. Its word, at most `retry_after_cap`, plus `U(0, base)`: a fleet that was told
    /// one number still spreads.
    RetryAfter(Duration),
    /// The server restarts or is overloaded (close codes 1012 and 1013): uniform in the restart spread.
    Restart,
    /// The network came back: `U(0, online_jitter)`. Call [`Backoff::ease`] first.
    Online,
}

/// The count of attempts since the link was last stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Backoff {
    attempt: u32,
    /// The last decorrelated delay in microseconds; 0 is none.
    previous: u64,
}

impl Backoff {
    /// No attempts made yet.
    #[must_use]
    pub const fn new() -> Backoff {
        Backoff { attempt: 0, previous: 0 }
    }

    /// How many attempts [`next`](Backoff::next) has granted since the count was last reset.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Counts one more attempt, whatever its cause, and says how long to wait before it; `None` if they are used up.
    ///
    /// While the page is `hidden`, the delay is `hidden_stretch` times as long. Arithmetic saturates: a configuration
    /// that [`Config::check`] would refuse gives useless delays, but no panic.
    pub fn next(&mut self, config: &Config, rng: &mut Rng, cause: Cause, hidden: bool) -> Option<Duration> {
        if config.attempts.is_some_and(|attempts| self.attempt >= attempts) {
            return None;
        }
        let delay = match cause {
            Cause::Lost => Duration::from_micros(self.lost(config, rng)),
            Cause::RetryAfter(asked) => {
                let clamped = asked.min(config.retry_after_cap);
                rng.between(clamped, clamped.saturating_add(config.base))
            }
            Cause::Restart => rng.between(config.restart_spread_min, config.restart_spread_max),
            Cause::Online => rng.between(Duration::ZERO, config.online_jitter),
        };
        self.attempt = self.attempt.saturating_add(1);
        Some(delay.saturating_mul(if hidden { config.hidden_stretch } else { 1 }))
    }

    /// The link is stable: the next delay is a first one again.
    pub const fn reset(&mut self) {
        *self = Backoff::new();
    }

    /// The network came online: halves the count, so that the next delays are short but a flapping network makes no
    /// storm, and gives some attempts back to a link that had used them up.
    pub const fn ease(&mut self) {
        *self = Backoff { attempt: self.attempt.div_ceil(2), previous: 0 };
    }

    fn lost(&mut self, config: &Config, rng: &mut Rng) -> u64 {
        match config.jitter {
            Jitter::None => config.undrawn(self.attempt),
            Jitter::Equal => {
                let delay = config.undrawn(self.attempt);
                (delay / 2).saturating_add(rng.up_to(delay - delay / 2))
            }
            Jitter::Full => rng.up_to(config.undrawn(self.attempt)),
            Jitter::Decorrelated => {
                let base = micros(config.base);
                let spread = self.previous.max(base).saturating_mul(3).saturating_sub(base);
                self.previous = base.saturating_add(rng.up_to(spread)).min(micros(config.cap));
                self.previous
            }
        }
    }
}

#[cfg(feature = "serde")]
mod ratio_as_text {
    use core::fmt;

    use serde::de::{Error, Unexpected, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Ratio;

    impl Serialize for Ratio {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if serializer.is_human_readable() {
                serializer.collect_str(self)
            } else {
                (self.numerator, self.denominator).serialize(serializer)
            }
        }
    }

    impl<'de> Deserialize<'de> for Ratio {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ratio, D::Error> {
            if deserializer.is_human_readable() {
                deserializer.deserialize_any(Text)
            } else {
                <(u16, u16)>::deserialize(deserializer)
                    .map(|(numerator, denominator)| Ratio { numerator, denominator })
            }
        }
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Ratio;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a ratio of numbers up to 65535, such as \"3/2\" or \"2\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Ratio, E> {
            let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
            match (numerator.trim().parse(), denominator.trim().parse()) {
                (Ok(numerator), Ok(denominator)) => Ok(Ratio { numerator, denominator }),
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Ratio, E> {
            match number.try_into() {
                Ok(numerator) => Ok(Ratio { numerator, denominator: 1 }),
                Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
            }
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Ratio, E> {
            match u64::try_from(number) {
                Ok(number) => self.visit_u64(number),
                Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
            }
        }
    }
}
