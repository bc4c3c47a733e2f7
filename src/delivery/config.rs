//! How much may be in flight, and how soon it is acknowledged.

use core::time::Duration;

use crate::error::ConfigError;
use crate::time::micros;

/// The numbers of delivery.
///
/// ```
/// use everlink::delivery::Config;
///
/// let config = Config { window: 0, ..Config::default() };
/// assert_eq!(config.check().unwrap_err().field, "delivery.window");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How many messages may be numbered and not acknowledged; 64 by default, at least 1.
    pub window: u32,
    /// How many bytes their payloads may have together; 256 KiB by default, at least 1. A larger message goes alone.
    pub window_bytes: u32,
    /// After how many received messages an acknowledgement leaves at once, each KiB of a message counting as another one; 16 by
    /// default, at least 1. Earlier where the other end's window is small: see [`ack_after`](Config::ack_after).
    pub ack_after: u32,
    /// How long an acknowledgement may wait for an envelope that leaves anyway; 50 ms by default, zero for not at all.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub ack_delay: Duration,
    /// When an acknowledgement that the other end owes is overdue, beyond its delay and a round trip; 2 s by default.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub ack_timeout: Duration,
    /// Whether nothing leaves that depends on a state which is not stored, so that a process that was killed and restored loses
    /// and repeats nothing. Off by default.
    pub durable: bool,
    /// What becomes of the messages that were in flight in a session that could not be resumed.
    pub in_doubt: InDoubt,
}

/// What becomes of messages whose arrival can no longer be known, because the other end knows the session no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum InDoubt {
    /// They are settled as [in doubt](crate::outbox::Outcome::InDoubt): none arrives twice, and the application decides.
    #[default]
    Settle,
    /// They go back to the front of the queue, in order: none is lost, and some may arrive twice. One that
    /// is not sent again, because it expires or has to yield, is in doubt.
    Resend,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            window: 64,
            window_bytes: 256 << 10,
            ack_after: 16,
            ack_delay: Duration::from_millis(50),
            ack_timeout: Duration::from_secs(2),
            durable: false,
            in_doubt: InDoubt::Settle,
        }
    }
}

impl Config {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must be at least 1";
        ConfigError::unless(self.window > 0, "delivery.window", ZERO)?;
        ConfigError::unless(self.window_bytes > 0, "delivery.window_bytes", ZERO)?;
        ConfigError::unless(self.ack_after > 0, "delivery.ack_after", ZERO)?;
        ConfigError::unless(micros(self.ack_timeout) > 0, "delivery.ack_timeout", "must not be zero")
    }

    /// After how much of what is [owed](super::Counts::owed) an acknowledgement leaves at once, if the other end has announced
    /// this window: before half of it is used, so that it never has to wait.
    #[must_use]
    pub const fn ack_after(&self, window: u32, window_bytes: u32) -> u32 {
        let half = min(window / 2, window_bytes / 2048);
        min(self.ack_after, if half == 0 { 1 } else { half })
    }
}

const fn min(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
