//! How much an outbox holds, for how long, and what yields when that is not enough.

use core::time::Duration;

use crate::error::ConfigError;
#[cfg(feature = "serde")]
use crate::human;
use crate::time::micros;

use super::message::Priority;

/// What gives way to a new message when the outbox is full. What is in flight never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Policy {
    /// The queued message that was accepted first, whatever its priority.
    #[default]
    DropOldest,
    /// The queued message that was accepted first among those of the lowest priority; but nothing of a higher priority
    /// than the new message, which is refused instead.
    DropLowest,
    /// The new message: it is refused.
    Refuse,
}

impl Policy {
    /// The priorities that may lose a message to one of this priority, the lowest first.
    pub(super) const fn evictable(self, priority: Priority) -> &'static [Priority] {
        match self {
            Policy::DropOldest => Priority::High.and_lower(),
            Policy::DropLowest => priority.and_lower(),
            Policy::Refuse => &[],
        }
    }
}

/// The bounds of an outbox.
///
/// ```
/// use everlink::outbox::Config;
///
/// let config = Config { bytes: 4096, ..Config::default() };
/// assert_eq!(config.check().unwrap_err().field, "outbox.message_bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How many messages may be queued or in flight at once; 100 by default, at least 1, at most 2²⁴.
    pub messages: u32,
    /// How many bytes their payloads may have together; 1 MiB by default, at least 1.
    pub bytes: u32,
    /// How many bytes one payload may have; 1 MiB by default, at least 1, at most [`bytes`](Config::bytes).
    pub message_bytes: u32,
    /// How long a message that has no limit of its own may be queued; 60 s by default. `None` (`"off"`) is for ever,
    /// zero is refused.
    #[cfg_attr(feature = "serde", serde(with = "human::duration_or_off"))]
    pub age: Option<Duration>,
    /// What gives way when there is no room.
    pub policy: Policy,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            messages: 100,
            bytes: 1 << 20,
            message_bytes: 1 << 20,
            age: Some(Duration::from_secs(60)),
            policy: Policy::DropOldest,
        }
    }
}

impl Config {
    /// Refuses what cannot work: no room for a single message, a largest message that is larger than the whole, an age
    /// limit of zero.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        use ConfigError as E;
        E::unless(self.messages > 0, "outbox.messages", "must be at least 1")?;
        ConfigError::unless(self.messages <= 1 << 24, "outbox.messages", "must not be more than 16777216")?;
        E::unless(self.bytes > 0, "outbox.bytes", "must be at least 1")?;
        E::unless(self.message_bytes > 0, "outbox.message_bytes", "must be at least 1")?;
        E::unless(
            self.message_bytes <= self.bytes,
            "outbox.message_bytes",
            "must not be above outbox.bytes",
        )?;
        E::unless(self.age.is_none_or(|age| micros(age) > 0), "outbox.age", "must be at least 1us, or off")
    }
}
