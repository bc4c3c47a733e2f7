//! What a caller can get wrong: a configuration that cannot work, a buffer that is too short.

use core::fmt;

/// A configuration that cannot work, named by its field.
///
/// ```
/// use core::time::Duration;
/// use everlink::heartbeat;
///
/// let mut config = heartbeat::Config::default();
/// config.interval = Duration::ZERO;
/// let error = config.check().unwrap_err();
/// assert_eq!(error.field, "heartbeat.interval");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ConfigError {
    /// The path of the field inside [`link::Config`](crate::link::Config), such as `heartbeat.interval`.
    pub field: &'static str,
    /// What is wrong with it, as the end of the sentence "field …".
    pub problem: &'static str,
}

impl ConfigError {
    pub(crate) const fn new(field: &'static str, problem: &'static str) -> ConfigError {
        ConfigError { field, problem }
    }

    /// `Ok` if the field is as it should be, else the error that names it.
    pub(crate) const fn unless(
        fine: bool,
        field: &'static str,
        problem: &'static str,
    ) -> Result<(), ConfigError> {
        if fine { Ok(()) } else { Err(ConfigError::new(field, problem)) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl core::error::Error for ConfigError {}

/// The buffer is too short for what is to be written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too short")
    }
}

impl core::error::Error for NoRoom {}
