//! What a stream asks of its adapter, and tells its user.

use core::fmt;

use crate::link::{Epoch, Failure};
use crate::time::Instant;
use crate::ws;
use crate::ws::handshake::{HandshakeError, WriteError};

/// The answer of [`poll`](super::Stream::poll).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Do this, then poll again.
    Do(Action<T>),
    /// Write what is to be written and read what can be read. If nothing happens before this instant,
    /// [`tick`](super::Stream::tick) then. Round up, never down.
    Wait(Instant),
    /// The same, without an end.
    Idle,
}

/// One thing to do, or to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<T> {
    /// Connect: ask the application for address and credentials, resolve, connect, do TLS if need be; then say
    /// [`connected`](super::Stream::connected) or [`failed`](super::Stream::failed). Set no deadline.
    Connect {
        /// To be said of everything that happens to this socket.
        epoch: Epoch,
        /// 0 for the first one after a start or a stable connection, then 1, 2, ….
        attempt: u32,
    },
    /// All was said: close the stream of bytes for writing (FIN; with TLS, `close_notify` before it), and go on reading.
    Shutdown {
        /// Of which socket.
        epoch: Epoch,
    },
    /// The socket is no more: drop the stream of bytes, or whatever is still connecting it, at once. Each
    /// [`Connect`](Action::Connect) ends in exactly one of these, whatever happened between.
    Disconnect {
        /// Of which socket.
        epoch: Epoch,
    },
    /// The socket could not be opened. For display only.
    Failed {
        /// Of which socket.
        epoch: Epoch,
        /// What the link was told.
        failure: Failure,
        /// What was wrong with the opening handshake.
        fault: Fault,
    },
    /// The socket is open: the opening handshake is complete. For display only.
    Opened {
        /// Of which socket.
        epoch: Epoch,
    },
    /// The peer broke the protocol. For display only.
    Violated {
        /// Of which socket.
        epoch: Epoch,
        /// How, and at which byte.
        error: ws::Error,
    },
    /// A socket that was open has ended; one that the link gives up says nothing more. For display only.
    Closed {
        /// Of which socket.
        epoch: Epoch,
        /// The peer's code, if it gave one; its words are [`reason`](super::Stream::reason).
        code: Option<u16>,
        /// Whether both ends said that they close.
        clean: bool,
    },
    /// What the link wants or tells. What concerns sockets is done already: all of it is for display only.
    Tell(T),
}

/// What was wrong with an opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request could not be written.
    Request(WriteError),
    /// The response is not that of a WebSocket server.
    Response(HandshakeError),
    /// The server refused, with this status. Its words are in the [`response`](super::Stream::response).
    Status(u16),
    /// The server hung up, or the bytes' way broke.
    HungUp,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Request(error) => error.fmt(f),
            Fault::Response(error) => error.fmt(f),
            Fault::Status(status) => write!(f, "HTTP {status} instead of 101"),
            Fault::HungUp => f.write_str("the connection ended in the opening handshake"),
        }
    }
}

impl core::error::Error for Fault {}
