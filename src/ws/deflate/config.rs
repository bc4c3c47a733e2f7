//! How messages are compressed, and how much of it is for the peer to say.

use crate::error::ConfigError;
use crate::ws::Role;

use super::{Compressor, Decompressor};

/// What one end wants of the compression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// 1 (fast) to 9 (small); 1 by default, which is several times as fast as the others for messages of some kilobytes.
    pub level: u8,
    /// How much memory a compressor has for what it has not written yet, 1 to 9; 8 by default.
    pub memory: u8,
    /// Messages with fewer bytes are not compressed; 64 by default. (Nor are those that would not become smaller.)
    pub threshold: u32,
    /// How large a peer's message may be when inflated, in bytes; 64 MiB by default, at least 125. A message beyond it is refused
    /// when it has grown so large, not after.
    pub inflated: u64,
    /// What this end compresses with, at most.
    pub own: Context,
    /// What the peer is asked to compress with, at most. It need not grant it: some cannot.
    pub peer: Context,
}

/// What a compressor remembers of what it has compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Context {
    /// How far back, as the power of two of a number of bytes: 8 to 15 (the default).
    pub window: u8,
    /// Whether across messages (the default), which makes similar ones much smaller, and takes memory all the time.
    pub takeover: bool,
}

/// What both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Negotiated {
    /// What the client compresses with.
    pub client: Context,
    /// What the server compresses with.
    pub server: Context,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            level: 1,
            memory: 8,
            threshold: 64,
            inflated: 64 << 20,
            own: Context::default(),
            peer: Context::default(),
        }
    }
}

impl Default for Context {
    fn default() -> Context {
        Context { window: 15, takeover: true }
    }
}

impl Config {
    /// Refuses what there is not.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        const WINDOW: &str = "must be 8 to 15";
        ConfigError::unless(matches!(self.level, 1..=9), "ws.deflate.level", "must be 1 to 9")?;
        ConfigError::unless(matches!(self.memory, 1..=9), "ws.deflate.memory", "must be 1 to 9")?;
        ConfigError::unless(self.inflated >= 125, "ws.deflate.inflated", "must be at least 125")?;
        ConfigError::unless(matches!(self.own.window, 8..=15), "ws.deflate.own.window", WINDOW)?;
        ConfigError::unless(matches!(self.peer.window, 8..=15), "ws.deflate.peer.window", WINDOW)
    }
}

impl Context {
    /// The smaller of two: what satisfies both.
    pub(in crate::ws) fn within(self, other: Context) -> Context {
        Context { window: self.window.min(other.window), takeover: self.takeover && other.takeover }
    }
}

impl Negotiated {
    /// What this end needs for its two directions.
    #[must_use]
    pub fn ends(&self, role: Role, config: &Config) -> (Compressor, Decompressor) {
        let (own, peer) = match role {
            Role::Client => (self.client, self.server),
            Role::Server => (self.server, self.client),
        };
        (Compressor::new(config, own), Decompressor::new(config, peer))
    }
}
