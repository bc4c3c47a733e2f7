//! How many requests wait for an answer, and how long.

use core::time::Duration;

use crate::error::ConfigError;
use crate::time::micros;

/// The numbers of requests.
///
/// ```
/// use everlink::requests::Config;
///
/// let config = Config { pending: 0, ..Config::default() };
/// assert_eq!(config.check().unwrap_err().field, "requests.pending");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How long a request waits for its answer, from the moment in which it is asked; 10 s by default. A request may bring its
    /// own.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub timeout: Duration,
    /// How many requests may wait for the other end's answer; 64 by default, at least 1.
    pub pending: u32,
    /// How long a request of the other end may wait for our answer; 30 s by default. Then it is answered with
    /// [`code::NO_ANSWER`](super::code::NO_ANSWER).
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub answer_timeout: Duration,
    /// How many requests of the other end may wait for our answer; 64 by default, at least 1. Further ones are answered with
    /// [`code::TOO_MANY`](super::code::TOO_MANY).
    pub incoming: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            timeout: Duration::from_secs(10),
            pending: 64,
            answer_timeout: Duration::from_secs(30),
            incoming: 64,
        }
    }
}

impl Config {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must not be zero";
        ConfigError::unless(micros(self.timeout) > 0, "requests.timeout", ZERO)?;
        ConfigError::unless(self.pending > 0, "requests.pending", ZERO)?;
        ConfigError::unless(micros(self.answer_timeout) > 0, "requests.answer_timeout", ZERO)?;
        ConfigError::unless(self.incoming > 0, "requests.incoming", ZERO)
    }
}
