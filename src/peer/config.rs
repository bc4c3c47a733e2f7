//! Every number of a server's peers.

use core::time::Duration;

use crate::error::ConfigError;
use crate::time::micros;
use crate::wire::native::Announced;
use crate::{acceptor, channels, delivery, outbox, requests};

/// The configuration that all peers of a server share.
///
/// ```
/// use everlink::peer::{Config, Slow};
///
/// let mut config = Config::default();
/// config.outbox.messages = 1_000;
/// config.slow = Slow::Close;
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// How a fresh socket becomes a peer's, and how many sessions there may be.
    pub acceptor: acceptor::Config,
    /// Is the client there?
    pub heartbeat: Heartbeat,
    /// What is in flight, and how soon it is acknowledged.
    pub delivery: delivery::Config,
    /// What waits for one client.
    pub outbox: outbox::Config,
    /// What becomes of a client that does not keep up.
    pub slow: Slow,
    /// Where dialogues are kept: how long requests wait for answers, and how many of one client may.
    pub requests: requests::Config,
    /// Where dialogues are kept: how many channels one client may subscribe to, with how long names.
    pub channels: channels::Config,
}

/// The heartbeat of the server's side: the client pings, and this end answers and watches. It asks itself only when nothing has
/// come for long, so that it costs nothing where clients are well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Heartbeat {
    /// How long nothing may come in before this end pings; 30 s by default, above 0 and at most 10 days. More than the client's interval.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub quiet: Duration,
    /// How long nothing may come in after that before the socket is dead; 15 s by default, above 0 and at most 10 days.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub timeout: Duration,
}

/// What becomes of a client whose messages wait because it does not take them, when there is no room for one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Slow {
    /// It stays: messages yield as [`outbox.policy`](outbox::Config::policy) says, or the new one is refused.
    #[default]
    Drop,
    /// If the policy has to refuse the new one, its session ends with [`TOO_SLOW`](crate::wire::native::code::TOO_SLOW), and what
    /// it held is free for others.
    Close,
}

impl Default for Heartbeat {
    fn default() -> Heartbeat {
        Heartbeat { quiet: Duration::from_secs(30), timeout: Duration::from_secs(15) }
    }
}

impl Config {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.acceptor.check()?;
        self.heartbeat.check()?;
        self.delivery.check()?;
        self.outbox.check()?;
        self.requests.check()?;
        self.channels.check()?;
        let short = self.delivery.ack_delay <= LONGEST;
        ConfigError::unless(short, "delivery.ack_delay", "must not be above 10 days")
    }

    /// What the welcome says of this end.
    pub(super) const fn announced(&self) -> Announced {
        Announced {
            envelope: self.acceptor.limits.envelope,
            window: self.delivery.window,
            window_bytes: self.delivery.window_bytes,
        }
    }
}

/// Times of a socket are kept in 32 bits: see [`Stamp`](super::stamp::Stamp).
const LONGEST: Duration = Duration::from_secs(10 * 24 * 3600);

impl Heartbeat {
    fn check(&self) -> Result<(), ConfigError> {
        const BOUNDS: &str = "must be above 0 and at most 10 days";
        let within = |span: Duration| micros(span) > 0 && span <= LONGEST;
        ConfigError::unless(within(self.quiet), "heartbeat.quiet", BOUNDS)?;
        ConfigError::unless(within(self.timeout), "heartbeat.timeout", BOUNDS)
    }
}
