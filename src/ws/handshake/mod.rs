//! The opening handshake (RFC 6455, section 4): an HTTP/1.1 request that asks for the upgrade, and the response that grants it.
//!
//! ```text
//!  client                                                              server
//!  Request::write ─── GET /chat HTTP/1.1, Sec-WebSocket-Key … ───► RequestReader::read ─► Incoming
//!                                                                                          │ Upgrade, or what it is
//!  ResponseReader::read ◄─ HTTP/1.1 101, Sec-WebSocket-Accept … ── Acceptance::write  ◄────┤
//!    └► Response                 or 403, 426, 503 …                Refusal::write     ◄────┘
//! ```
//!
//! Readers are given all bytes that have come, again with each call; they look at each byte once until the head is complete, and
//! then parse it once. What follows the head belongs to the [`Decoder`](super::Decoder). How long all of it may take is for the
//! caller to bound; how large it may be, for [`HeadLimits`].

mod answer;
mod date;
#[cfg(feature = "deflate")]
mod deflate;
mod fault;
mod head;
mod key;
mod list;
mod origin;
mod request;
mod server;
mod write;

pub(crate) use answer::Offer;
pub use answer::{Accepted, Refused, Response, ResponseReader};
pub use fault::{Fault, HandshakeError};
pub use head::{Field, Fields, Head, HeadLimits};
pub use key::Key;
pub use list::Items;
pub use origin::Origins;
pub use request::Request;
pub use server::{Acceptance, Incoming, Plain, Refusal, RequestReader, Upgrade};
pub use write::WriteError;
