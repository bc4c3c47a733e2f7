//! How much a WebSocket takes from its peer.

use crate::error::ConfigError;
use crate::ws;
use crate::ws::handshake::HeadLimits;

/// What a [`WebSocket`](super::WebSocket) takes from its peer. How much memory it has for that is said by its
/// [`Memory`](super::Memory).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Config {
    /// Of the heads of the opening handshake.
    pub head: HeadLimits,
    /// Of frames and messages.
    pub frames: ws::Limits,
    /// Compresses messages, if the peer wants it too; not at all by default. Read what [`ws::deflate`] says about secrets before
    /// it is turned on.
    #[cfg(feature = "deflate")]
    pub deflate: Option<ws::deflate::Config>,
}

impl Config {
    /// Refuses limits under which nothing works.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.head.check()?;
        #[cfg(feature = "deflate")]
        self.deflate.as_ref().map_or(Ok(()), ws::deflate::Config::check)?;
        self.frames.check()
    }
}
