//! RFC 6455 itself: what turns a stream of bytes into a WebSocket. Sans-IO, without allocation (but for `deflate`, which is
//! a feature).
//!
//! ```text
//!             bytes in                                                bytes out
//!  TCP, TLS ───────────► handshake ──► Decoder ──► Event    Frame ──► Encoder ───────────► TCP, TLS
//!  or what there is                       │ Error            │ CloseBody
//!                                         └──────► Closing ──┘ who says what when it ends
//! ```
//!
//! Each is a leaf that can be used alone. They know neither each other nor time; time-outs are their owner's.

mod closing;
mod code;
mod decoder;
#[cfg(feature = "deflate")]
pub mod deflate;
mod encoder;
mod event;
mod frame;
pub mod handshake;
mod limits;
mod mask;
mod outgoing;
mod utf8;
mod violation;

pub use closing::{Closing, Step};
pub use code::{Close, Code};
pub use decoder::Decoder;
pub use encoder::{Encoder, SendError};
pub use event::{Event, Part, Text};
pub use frame::Role;
pub use limits::Limits;
pub use mask::Mask;
pub use outgoing::{CloseBody, Frame, Head};
pub use utf8::Utf8;
pub use violation::{Error, Violation};
