//! What an adapter tells a link: [`Input`], and inside it the [`Event`]s of one socket.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::outbox::Kind;

/// Which socket: a generation number, counted up with each socket that a link asks for.
///
/// Every event of a socket carries its epoch. What an old socket still says is counted and otherwise ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Epoch(NonZeroU32);

impl Epoch {
    pub(crate) const FIRST: Epoch = Epoch(NonZeroU32::MIN);

    /// The epoch of this number; `None` for 0. Links count their epochs themselves: this is for tests and generators.
    #[must_use]
    pub fn new(number: u32) -> Option<Epoch> {
        NonZeroU32::new(number).map(Epoch)
    }

    /// Its number: 1 for a link's first socket. Wraps after 2³² − 1 sockets.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn next(self) -> Epoch {
        Epoch(self.0.checked_add(1).unwrap_or(NonZeroU32::MIN))
    }
}

impl core::fmt::Display for Epoch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that happened. Handling it never fails; what is hostile, late or stale is counted and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'f> {
    /// The user wants the connection. Leaves *failed*; while waiting for a retry, tries at once.
    Start,
    /// The user wants it no more. What is queued may still leave for at most `linger`, if a healthy socket is there; what has
    /// not left by then is settled as stopped. Nothing but [`Input::Start`] reconnects afterwards.
    Stop {
        /// How long a healthy socket may go on sending what is queued; zero closes it at once.
        #[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))]
        linger: Duration,
    },
    /// Time has passed. Needed when the deadline has come; harmless at any other time.
    Tick,
    /// Something happened to a socket.
    Socket(Epoch, #[cfg_attr(feature = "serde", serde(borrow))] Event<'f>),
    /// The operating system says that there is a network, or another one than before.
    Online,
    /// The operating system says that there is no network.
    Offline,
    /// The page (or the app) is in the foreground.
    Visible,
    /// The page (or the app) is in the background.
    Hidden,
    /// The process did not run for this long: the machine slept, or it was stopped. Adapters notice by comparing a clock that
    /// runs during sleep with one that does not; a very late tick is understood in the same way without it.
    Suspended(#[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))] Duration),
    /// In durable mode: the state of this version is stored, and will be there after whatever happens to the process.
    Stored(u64),
    /// In durable mode: the state of this version could not be stored. The link asks again after a while.
    StoreFailed(u64),
    /// In durable mode: the first message that the application has not taken yet, by its
    /// [number](super::Deliveries::number); `None`, as in the beginning: it has taken all. What it has not taken is neither
    /// acknowledged nor stored as received, so it comes again if the process is killed.
    Unread(Option<u64>),
    /// The wall clock shows this time since 1970-01-01 00:00 UTC. Only for display and for wires that show it.
    WallClock(#[cfg_attr(feature = "serde", serde(with = "crate::human::duration"))] Duration),
}

/// Something that happened to one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'f> {
    /// It could not be opened. Said of one that was open, it means that the connection dropped.
    Failed(Failure),
    /// It is open: the WebSocket handshake is complete.
    Opened,
    /// A whole message came.
    Frame {
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        #[cfg_attr(feature = "serde", serde(borrow))]
        data: &'f [u8],
    },
    /// This many bytes came in, of whatever kind; they may be part of a frame. A sign of life. Give it once for each read,
    /// before the frames that the read completed.
    Received(u32),
    /// A WebSocket ping came. The one who frames the WebSocket answers it.
    Ping,
    /// A WebSocket pong came, with this payload.
    Pong(#[cfg_attr(feature = "serde", serde(borrow))] &'f [u8]),
    /// So many payload bytes of pulled messages in all, since this socket opened, were written to it (a count that grows).
    Written(u64),
    /// The socket has room again after a flush had to stop early.
    Writable,
    /// The application does not keep up: the adapter has stopped reading. Silence now proves nothing.
    Paused,
    /// The adapter reads again.
    Resumed,
    /// The peer broke the protocol; the code says how (RFC 6455, section 7.4.1: 1002, 1003, 1007, 1009). The link closes the
    /// socket with this code and tries another.
    Violation(u16),
    /// It is closed, from whichever end and in whatever way. Nothing follows from this socket.
    Closed(#[cfg_attr(feature = "serde", serde(borrow))] Close<'f>),
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Close<'f> {
    /// The peer's close code; `None` if the connection dropped without a close frame, or it held no code.
    pub code: Option<u16>,
    /// The peer's reason; empty for none.
    pub reason: &'f str,
    /// Whether the close handshake was completed.
    pub clean: bool,
    /// How long the server asked to stay away, where it could say so.
    pub retry_after: Option<Duration>,
}

/// Why a socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The application could not give an address or credentials for this attempt.
    Credentials,
    /// The name could not be resolved.
    Dns,
    /// The connection was refused, unreachable, or reset on the way.
    Connect,
    /// The TLS handshake failed, for another reason than the certificate.
    Tls,
    /// The server's certificate is not acceptable.
    Certificate,
    /// The server answered the upgrade with this status instead of 101.
    Http {
        /// Its status code.
        status: u16,
        /// Its `Retry-After`, if it was sent.
        retry_after: Option<Duration>,
    },
    /// The server's answer was no valid upgrade.
    Handshake,
    /// The URL cannot be used. No later attempt with the same URL could do better.
    Url,
}
