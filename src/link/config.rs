//! Every number of a link.

use core::time::Duration;

use super::policy;
use crate::error::ConfigError;
use crate::time::micros;
use crate::wire::Wire;
use crate::{backoff, channels, delivery, heartbeat, outbox, quality, requests};

/// The configuration of a link. Every number that it goes by is here, in the part that it concerns.
///
/// Change what differs from the default, then give it to [`Link::new`](super::Link::new), which refuses what cannot work:
///
/// ```
/// use core::time::Duration;
/// use everlink::link::Config;
///
/// let mut config = Config::default();
/// config.heartbeat.interval = Duration::from_secs(30);
/// config.backoff.attempts = None; // for ever
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// How long opening may take: credentials, DNS, TCP, TLS and the upgrade together.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub open_timeout: Duration,
    /// How long a proper close may take before the socket is abandoned.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub close_timeout: Duration,
    /// After how long without progress of what was handed to it a socket counts as stalled.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub stall_after: Duration,
    /// A tick that is later than its deadline by more than this means that the process did not run.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub suspended_after: Duration,
    /// Whether to open a second socket beside a suspect one; the first that proves itself is kept.
    pub candidate: Candidate,
    /// What the bytes mean.
    pub wire: Wire,
    /// Is the other end there?
    pub heartbeat: heartbeat::Config,
    /// When to try again.
    pub backoff: backoff::Config,
    /// Whether to try again.
    pub retry: policy::Config,
    /// What waits to be sent.
    pub outbox: outbox::Config,
    /// On a wire that acknowledges: how much may be in flight, and how soon it is acknowledged.
    pub delivery: delivery::Config,
    /// Where a dialogue is kept: how long requests wait for answers, and how many may.
    pub requests: requests::Config,
    /// Where a dialogue is kept: how many channels may be subscribed to, with how long names.
    pub channels: channels::Config,
    /// How good the link is.
    pub quality: quality::Config,
}

/// Whether a second socket is opened beside a suspect one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Candidate {
    /// Where the wire can resume a session on another socket.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            open_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            stall_after: Duration::from_secs(3),
            suspended_after: Duration::from_secs(5),
            candidate: Candidate::Auto,
            wire: Wire::default(),
            heartbeat: heartbeat::Config::default(),
            backoff: backoff::Config::default(),
            retry: policy::Config::default(),
            outbox: outbox::Config::default(),
            delivery: delivery::Config::default(),
            requests: requests::Config::default(),
            channels: channels::Config::default(),
            quality: quality::Config::default(),
        }
    }
}

impl Config {
    /// Checks that this configuration can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must not be zero";
        ConfigError::unless(micros(self.open_timeout) > 0, "open_timeout", ZERO)?;
        ConfigError::unless(micros(self.close_timeout) > 0, "close_timeout", ZERO)?;
        ConfigError::unless(micros(self.stall_after) > 0, "stall_after", ZERO)?;
        ConfigError::unless(micros(self.suspended_after) > 0, "suspended_after", ZERO)?;
        self.wire.check(self.heartbeat.mode)?;
        self.heartbeat.check()?;
        self.backoff.check()?;
        self.outbox.check()?;
        self.delivery.check()?;
        ConfigError::unless(
            !self.delivery.durable || self.wire.resumes(),
            "delivery.durable",
            "needs a wire that can resume",
        )?;
        self.requests.check()?;
        self.channels.check()?;
        self.quality.check()
    }

    pub(super) const fn opens_candidates(&self) -> bool {
        match self.candidate {
            Candidate::Auto => self.wire.resumes(),
            Candidate::On => true,
            Candidate::Off => false,
        }
    }
}
