//! How long things may be.

use core::fmt;

use super::Token;
use crate::error::ConfigError;

/// How long what comes in may be. What leaves is held to the other end's limits by whoever sends it, and to
/// [`HEAD_MAX`](super::HEAD_MAX) here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// Of one envelope, in bytes behind tag and length; 1 MiB and 1 KiB by default, at least 1 KiB.
    pub envelope: u32,
    /// Of the name of a channel, or of what a request asks for, in bytes; 128 by default, 1 to 255. Who keeps a dialogue holds to
    /// it, not the reader: a longer name is answered with [`NAME_TOO_LONG`](crate::requests::code::NAME_TOO_LONG). The
    /// reader refuses what is longer than [`Limit::NAME`].
    pub name: u8,
    /// Of what the application authenticates with, in bytes; 8 KiB by default.
    pub credentials: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { envelope: (1 << 20) + (1 << 10), name: 128, credentials: 8 << 10 }
    }
}

impl Limits {
    /// Checks that these limits can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::unless(self.envelope >= 1 << 10, "wire.native.envelope", "must be at least 1024")?;
        ConfigError::unless(self.name > 0, "wire.native.name", "must be at least 1")
    }

    pub(super) const fn of(&self, limit: Limit) -> usize {
        match limit {
            Limit::Envelope => self.envelope as usize,
            Limit::Channel | Limit::Name => Limit::NAME,
            Limit::Reason => Limit::REASON,
            Limit::Token => Token::MAX,
            Limit::Credentials => self.credentials as usize,
        }
    }
}

/// Which limit is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Limit {
    /// Of an envelope.
    Envelope,
    /// Of the name of a channel.
    Channel,
    /// Of what a request asks for.
    Name,
    /// Of a reason: [`Limit::REASON`].
    Reason,
    /// Of a resume token: [`Token::MAX`].
    Token,
    /// Of what the application authenticates with.
    Credentials,
}

impl Limit {
    /// The longest reason, in bytes: as in a WebSocket close frame (RFC 6455, section 5.5.1).
    pub const REASON: usize = 123;

    /// The longest name, in bytes.
    pub const NAME: usize = 255;
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Envelope => "envelope",
            Limit::Channel => "channel name",
            Limit::Name => "request name",
            Limit::Reason => "reason",
            Limit::Token => "token",
            Limit::Credentials => "credentials",
        })
    }
}
