//! What a link asks of its adapter, and tells its user: [`Action`], and what [`poll`](super::Link::poll) gives: [`Next`].

use super::input::Epoch;
use super::state::{Cause, Status};
use crate::outbox::Settlement;
use crate::quality::Quality;
use crate::requests::Ended;
use crate::time::Instant;

/// The answer of [`poll`](super::Link::poll): either something to do now, or how long to sleep. It is one answer, so no
/// driver can sleep over pending output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Next {
    /// Do this, then poll again.
    Do(Action),
    /// Nothing to do. If no input comes before this instant, handle a [`Tick`](super::Input::Tick) then. Round up, never
    /// down, when converting to a coarser clock.
    Wait(Instant),
    /// Nothing to do until an input comes.
    Idle,
}

/// One thing to do, or to know. At most one of each kind is pending at a time; they come in the order in which they are
/// listed here. Exhaustive on purpose: a new action should break an adapter's build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Drop this socket at once, without a word; it is dead or no longer wanted. What it may still say is ignored.
    Abandon {
        /// Of the socket to drop.
        epoch: Epoch,
    },
    /// Close this socket properly: send a close frame with this code, then keep reading until the server has closed the TCP
    /// connection. Report [`Closed`](super::Event::Closed) at the end; the link says [`Action::Abandon`] if it takes too
    /// long.
    Close {
        /// Of the socket to close.
        epoch: Epoch,
        /// The close code to send.
        code: u16,
    },
    /// Open a socket: ask the application for URL and credentials, resolve, connect, shake hands; then report
    /// [`Opened`](super::Event::Opened) or [`Failed`](super::Event::Failed). The link watches the time.
    Open {
        /// To be carried by every event of this socket.
        epoch: Epoch,
        /// What to open.
        transport: Transport,
        /// 0 for the first one after a start or a stable connection, then 1, 2, ….
        attempt: u32,
    },
    /// In durable mode: [store](super::Link::store) the state as it is now, before anything else is done to the link, and report
    /// [`Stored`](super::Input::Stored) when it is safe. What depends on it leaves only then.
    Store {
        /// Of the state; it grows, across restarts too.
        version: u64,
    },
    /// Answer a ping of the wire's own: write [`pong_frame`](super::Link::pong_frame).
    Pong {
        /// Of the socket to answer on.
        epoch: Epoch,
    },
    /// Ping: write [`ping_frame`](super::Link::ping_frame).
    Ping {
        /// Of the socket to ping on.
        epoch: Epoch,
        /// What the ping carries, where the wire can carry it.
        nonce: u32,
    },
    /// Messages wait: [`pull`](super::Link::pull) frames and write them, until there is none or the socket has no room. In
    /// the second case report [`Writable`](super::Event::Writable) when it has room again.
    Flush {
        /// Of the socket to write to.
        epoch: Epoch,
    },
    /// The status changed since the last action of this kind. Changes that came and went in between are in the metrics.
    Status {
        /// What was told last.
        from: Status,
        /// What it is now.
        to: Status,
    },
    /// The next attempt is scheduled. For display only: the link itself keeps the time.
    RetryScheduled {
        /// When it will be.
        at: Instant,
        /// Which one it will be, counted from 1; 0 if the first one has still to be made (the network went away during it).
        attempt: u32,
        /// Why it is needed.
        cause: Cause,
    },
    /// The quality changed since the last action of this kind.
    Quality {
        /// What was told last.
        from: Quality,
        /// What it is now.
        to: Quality,
    },
    /// A message came to its end.
    Settled(Settlement),
    /// A request, or a publish that was to be confirmed, came to its end without an answer.
    Ended(Ended),
}

/// How a socket is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket (RFC 6455).
    WebSocket,
}
