//! How long a fresh socket may take, and how many sessions there may be.

use core::time::Duration;

use crate::error::ConfigError;
use crate::time::micros;
use crate::wire::native::Limits;

/// The numbers of an acceptor.
///
/// ```
/// use everlink::acceptor::Config;
///
/// let mut config = Config::default();
/// config.sessions.per_principal = 0;
/// assert_eq!(config.check().unwrap_err().field, "acceptor.sessions.per_principal");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// How long the hello may take from when the socket is open; 10 s by default. A socket that has not said it by then is
    /// abandoned.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub hello_timeout: Duration,
    /// How long the application may take to authenticate; 10 s by default. Then the client is told to come back later.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub decision_timeout: Duration,
    /// How long a proper close may take before the socket is abandoned; 5 s by default.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub close_timeout: Duration,
    /// How long a client is told to stay away when there is no room for its session; 5 s by default.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub retry_after: Duration,
    /// How long what comes in may be.
    pub limits: Limits,
    /// Of the table of sessions.
    pub sessions: Sessions,
}

/// How many sessions there may be, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Sessions {
    /// How many there may be at once, on a socket or not; 1,024 by default, 1 to 2²⁴.
    pub count: u32,
    /// How many of them one principal may have; 16 by default, 1 to 1,024. [`Principal::ANYONE`](super::Principal::ANYONE) may have all.
    pub per_principal: u32,
    /// How many may be on no socket; as many as there are sessions by default.
    pub detached: u32,
    /// How long one is kept that is on no socket: the time within which a client must be back; 5 min by default.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub keep: Duration,
    /// How long a resume token is good; 24 h by default. From the half of that time on the client is given another one.
    #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
    pub token_life: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            hello_timeout: Duration::from_secs(10),
            decision_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            retry_after: Duration::from_secs(5),
            limits: Limits::default(),
            sessions: Sessions::default(),
        }
    }
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions {
            count: 1 << 10,
            per_principal: 16,
            detached: u32::MAX,
            keep: Duration::from_secs(300),
            token_life: Duration::from_secs(24 * 3600),
        }
    }
}

impl Config {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must not be zero";
        ConfigError::unless(micros(self.hello_timeout) > 0, "acceptor.hello_timeout", ZERO)?;
        ConfigError::unless(micros(self.decision_timeout) > 0, "acceptor.decision_timeout", ZERO)?;
        ConfigError::unless(micros(self.close_timeout) > 0, "acceptor.close_timeout", ZERO)?;
        self.limits.check()?;
        self.sessions.check()
    }

    /// How many bytes may come before the decision, in the largest frame and in all: the hello, and a little of what a client
    /// sends behind it. The one who frames the socket refuses what is longer.
    #[must_use]
    pub const fn hello_bytes(&self) -> u32 {
        self.limits.credentials.saturating_add(1 << 10)
    }
}

impl Sessions {
    /// Checks that these numbers can work.
    ///
    /// # Errors
    /// Names the first field that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        const ZERO: &str = "must be at least 1";
        ConfigError::unless(self.count > 0, "acceptor.sessions.count", ZERO)?;
        ConfigError::unless(
            self.count <= 1 << 24,
            "acceptor.sessions.count",
            "must not be more than 16777216",
        )?;
        ConfigError::unless(self.per_principal > 0, "acceptor.sessions.per_principal", ZERO)?;
        ConfigError::unless(
            self.per_principal <= 1 << 10,
            "acceptor.sessions.per_principal",
            "must not be more than 1024",
        )?;
        ConfigError::unless(micros(self.keep) > 0, "acceptor.sessions.keep", "must not be zero")?;
        ConfigError::unless(
            self.token_life >= Duration::from_secs(60),
            "acceptor.sessions.token_life",
            "must be at least 1 min",
        )
    }
}
