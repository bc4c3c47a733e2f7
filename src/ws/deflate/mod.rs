//! Compressed messages: the extension `permessage-deflate` (RFC 7692), for both ends.
//!
//! ```text
//!  client                                                     server
//!  Config::offer ─────── Sec-WebSocket-Extensions ──────────► Config::accept ─► Negotiated
//!  Negotiated ◄─ Config::agreed ◄──────────────────────────── and its answer
//!
//!  Part, plain ─► Compressor ─► Part for Frame::part   ┄┄►   Part of the Decoder ─► Decompressor ─► Part, plain
//! ```
//!
//! Both directions are streams of [`Part`](super::Part)s into a buffer of the caller's, so that memory is bounded whatever the
//! message: a part goes in, and what comes of it is lent piece by piece until there is nothing more. What is not compressed goes
//! through as it is, so every part may be given. A [`Decoder`](super::Decoder) must be told that the extension is used:
//! [`with_compression`](super::Decoder::with_compression).
//!
//! ```
//! use everlink::outbox::Kind;
//! use everlink::ws::Part;
//! use everlink::ws::deflate::{Compressor, Config, Context, Decompressor};
//!
//! let config = Config::default();
//! let mut compressor = Compressor::new(&config, Context::default());
//! let mut decompressor = Decompressor::new(&config, Context::default());
//!
//! let text = "a stroke, ".repeat(100);
//! let mut plain =
//!     Part { kind: Kind::Text, compressed: false, first: true, last: true, payload: text.as_bytes() };
//! let (mut out, mut again) = ([0; 1024], Vec::new());
//! while let Some(mut piece) = compressor.compress(&mut plain, &mut out) {
//!     assert!(piece.compressed && piece.payload.len() < 50); // to `Frame::part`, on the wire, and out of a decoder
//!     let mut buffer = [0; 256];
//!     while let Some(part) = decompressor.decompress(&mut piece, 0, &mut buffer)? {
//!         again.extend_from_slice(part.payload);
//!     }
//! }
//! assert_eq!(again, text.as_bytes());
//! # Ok::<(), everlink::ws::Error>(())
//! ```
//!
//! # Secrets
//!
//! Who sees the length of a compressed message, and can have text of his own put beside a secret in it (or, with context
//! takeover, in an earlier message), can guess the secret piece by piece. So: compression is off unless negotiated; control
//! frames, close reasons and HTTP heads are never compressed; and a message with a secret in it is to be sent as
//! [`Frame::message`](super::Frame::message), past the compressor, whose window it then never enters.
//!
//! # Memory
//!
//! Nothing is allocated before the first compressed message of a direction, and all of it is then held until it is
//! [released](Compressor::release), which a compressor can be between any two messages, and a decompressor where the peer's
//! context is not taken over.
//!
//! | | bytes |
//! | --- | --- |
//! | a compressor | 2^(window + 2) + 7 · 2^(memory + 6) + 134,272: 380,032 by default, 137,216 at the least |
//! | a decompressor | 47,552, whatever the window |
//!
//! (On 64 bits. A window of 8 bits takes as much as one of 9.)

mod compressor;
mod config;
mod decompressor;

pub use compressor::Compressor;
pub use config::{Config, Context, Negotiated};
pub use decompressor::Decompressor;

/// What ends each message before it is sent, and is not sent (RFC 7692, section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];
