//! What a link is doing: the word for a user interface ([`Status`]), and the whole truth ([`State`]).

use core::fmt;

use super::input::Failure;
use crate::time::Instant;

/// The word that a user interface shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Status {
    /// There is no connection, and none is being opened at this moment.
    Disconnected,
    /// A connection is being opened.
    Connecting,
    /// There is a connection, and it is well.
    Connected,
    /// There is a connection, but it is slow, stalled or suspected to be dead.
    Degraded,
    /// The link has given up; see [`State::Failed`] for the reason.
    Failed,
}

impl Status {
    /// The word, in lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Status::Disconnected => "disconnected",
            Status::Connecting => "connecting",
            Status::Connected => "connected",
            Status::Degraded => "degraded",
            Status::Failed => "failed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a link is doing, why, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum State {
    /// Not started yet, or stopped by the user.
    Stopped,
    /// There is no network; everything is held until there is.
    Offline,
    /// Between two attempts.
    Waiting {
        /// The attempt that will be made, counted from 1.
        attempt: u32,
        /// When.
        until: Instant,
        /// Why the last one ended.
        cause: Cause,
    },
    /// A socket is being opened.
    Opening {
        /// Which attempt it is; 0 is the first.
        attempt: u32,
        /// When the link will give it up.
        until: Instant,
    },
    /// Connected and well.
    Connected,
    /// Connected, but the answer to a ping is overdue.
    Suspect {
        /// Answers missed in a row.
        missed: u8,
    },
    /// Connected, and pings are answered, but an acknowledgement is overdue.
    Unacknowledged,
    /// Connected, but bytes that were handed to the socket do not drain.
    Stalled,
    /// Connected, but the round trip is long.
    Slow,
    /// Given up.
    Failed {
        /// What the last attempt ended with.
        cause: Cause,
    },
}

impl State {
    /// The word that a user interface shows for it.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            State::Stopped | State::Offline | State::Waiting { .. } => Status::Disconnected,
            State::Opening { .. } => Status::Connecting,
            State::Connected => Status::Connected,
            State::Suspect { .. } | State::Unacknowledged | State::Stalled | State::Slow => Status::Degraded,
            State::Failed { .. } => Status::Failed,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// A socket could not be opened.
    Failure(Failure),
    /// Opening a socket took too long.
    OpenTimeout,
    /// The socket was closed with this code; 1006 if the connection dropped without one, 1005 if the frame held none.
    Closed(u16),
    /// Too many answers in a row were missed, or the server's ping stayed away.
    HeartbeatLost,
    /// The peer broke the protocol in the way that this close code names.
    Violation(u16),
    /// Messages were not acknowledged.
    Unacknowledged,
    /// Another copy of this link's state has the session.
    Superseded,
    /// The network went away.
    Offline,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::Failure(Failure::Credentials) => f.write_str("no address or credentials"),
            Cause::Failure(Failure::Dns) => f.write_str("name not resolved"),
            Cause::Failure(Failure::Connect) => f.write_str("connection refused or unreachable"),
            Cause::Failure(Failure::Tls) => f.write_str("TLS handshake failed"),
            Cause::Failure(Failure::Certificate) => f.write_str("certificate not acceptable"),
            Cause::Failure(Failure::Http { status, .. }) => write!(f, "HTTP status {status}"),
            Cause::Failure(Failure::Handshake) => f.write_str("no valid WebSocket handshake"),
            Cause::Failure(Failure::Url) => f.write_str("unusable URL"),
            Cause::OpenTimeout => f.write_str("opening took too long"),
            Cause::Closed(1006) => f.write_str("connection dropped"),
            Cause::Closed(code) => write!(f, "closed with code {code}"),
            Cause::HeartbeatLost => f.write_str("no sign of life"),
            Cause::Violation(code) => write!(f, "protocol violation {code}"),
            Cause::Unacknowledged => f.write_str("no acknowledgement"),
            Cause::Superseded => f.write_str("another copy of the state has the session"),
            Cause::Offline => f.write_str("no network"),
        }
    }
}

/// Why a link will wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Wake {
    /// To open a socket again.
    Retry,
    /// To give up a socket that does not open.
    OpenTimeout,
    /// For the heartbeat.
    Heartbeat(crate::heartbeat::Due),
    /// To say that bytes do not drain.
    Stall,
    /// To store the state again, after a failure.
    Store,
    /// To acknowledge what came.
    Ack,
    /// To suspect the socket because nothing was acknowledged.
    Overdue,
    /// To end the time that a stop left for sending.
    Linger,
    /// To give up a socket that does not close.
    CloseTimeout,
    /// To open, or give up, a second socket beside a suspect one.
    Candidate,
    /// To settle messages that are too old.
    Expiry,
    /// To end a request that got no answer, or to answer one for the application.
    Request,
}
