//! How many channels, with how long names.

use crate::error::ConfigError;

/// The numbers of channels.
///
/// ```
/// use everlink::channels::Config;
///
/// let config = Config { name_bytes: 0, ..Config::default() };
/// assert_eq!(config.check().unwrap_err().field, "channels.name_bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How many channels one end may have subscribed to at once; 100 by default, at least 1.
    pub subscriptions: u32,
    /// How long the name of a channel may be, in bytes; 128 by default, 1 to 255.
    pub name_bytes: u8,
}

impl Default for Config {
    fn default() -> Config {
        Config { subscriptions: 100, name_bytes: 128 }
    }
}

impl Config {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must be at least 1";
        ConfigError::unless(self.subscriptions > 0, "channels.subscriptions", ZERO)?;
        ConfigError::unless(self.name_bytes > 0, "channels.name_bytes", ZERO)
    }
}
