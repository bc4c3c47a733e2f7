//! What a WebSocket tells.

use core::ops::Range;

use crate::outbox::Kind;
use crate::ws::handshake::{HandshakeError, Head, Incoming, Refused};
use crate::ws::{Code, Error};

/// What happened on a WebSocket. Lent until the next call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'b> {
    /// A server: a client asks. [`accept`](super::WebSocket::accept) or [`refuse`](super::WebSocket::refuse) it; nothing is read before.
    Request(Incoming<'b>),
    /// A client: the server has accepted. The head is its response: its sub-protocol, cookies and so on.
    Opened(Head<'b>),
    /// A client: the server has answered otherwise; nothing more will come.
    Refused(Refused<'b>),
    /// The opening handshake has failed; nothing more will come. A server has answered with the right status.
    HandshakeFailed(HandshakeError),
    /// A message.
    Message {
        /// Text (it is UTF-8) or binary.
        kind: Kind,
        /// Its payload.
        data: &'b [u8],
    },
    /// A ping, which is answered.
    Ping(&'b [u8]),
    /// A pong.
    Pong(&'b [u8]),
    /// The peer closes, which is answered. It will say nothing more.
    Close {
        /// Why; `None` if it does not say.
        code: Option<Code>,
        /// Why, in words.
        reason: &'b str,
    },
    /// The peer has broken the protocol, which is answered by a close frame with the right code. Nothing that it says is heeded
    /// any more.
    Failed(Error),
    /// The bytes have ended. Whether that was to be: [`closing`](super::WebSocket::closing).
    Ended,
}

/// The same, without what is lent.
#[derive(Clone, Debug)]
pub(in crate::stream) enum Happened {
    Request,
    Opened { head: usize },
    Refused { status: u16, head: usize },
    HandshakeFailed(HandshakeError),
    Message { kind: Kind, place: Place },
    Ping(Place),
    Pong(Place),
    Close(Option<Code>),
    Failed(Error),
    Ended,
}

/// Where something lies.
#[derive(Clone, Debug)]
pub(in crate::stream) enum Place {
    Inbound(Range<usize>),
    Assembly,
}
