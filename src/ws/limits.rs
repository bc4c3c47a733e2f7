//! How much of a peer is borne.

use crate::error::ConfigError;

/// What a [`Decoder`](super::Decoder) takes; beyond it the peer is refused as soon as the head of the frame is there,
/// before its payload.
///
/// The decoder itself keeps nothing of a payload, so these bound what its caller must hold, and work without progress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// The largest payload of one frame, in bytes; 16 MiB by default, at least 125.
    pub frame: u64,
    /// The largest message, in bytes on the wire (a compressed one may grow); 64 MiB by default, at least 125.
    pub message: u64,
    /// How many fragments without a byte one message may have; 64 by default.
    pub empty_fragments: u16,
    /// How many pings and pongs may come inside a message, until a fragment brings it on; 1000 by default. Between messages
    /// there may be any number: each costs its sender more than it costs us.
    pub controls: u16,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { frame: 16 << 20, message: 64 << 20, empty_fragments: 64, controls: 1000 }
    }
}

impl Limits {
    /// Refuses limits under which not even a control frame would do.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::unless(self.frame >= 125, "ws.frame", "must be at least 125")?;
        ConfigError::unless(self.message >= 125, "ws.message", "must be at least 125")
    }
}
