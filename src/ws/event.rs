//! What comes out of a decoder.

use super::code::Close;
use crate::outbox::Kind;

/// Something that a peer said, lent from the buffer that it was decoded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'b> {
    /// A text message, whole.
    Text(&'b str),
    /// A binary message, whole.
    Binary(&'b [u8]),
    /// A piece of a message that is in fragments, compressed, or larger than the buffer.
    Part(Part<'b>),
    /// Asks for a pong with the same payload (at most 125 bytes). If several come before one is sent, the last is enough.
    Ping(&'b [u8]),
    /// Answers a ping, or nothing.
    Pong(&'b [u8]),
    /// The peer will say nothing more, and waits for our close frame; `None` if it does not say why. The decoder ignores all
    /// that follows.
    Close(Option<Close<'b>>),
}

/// A piece of a message. Its pieces come in order; only control frames come in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Part<'b> {
    /// What the message is.
    pub kind: Kind,
    /// Whether the message is compressed (the bit RSV1 of its first frame; RFC 7692, section 6). Whoever inflates it also
    /// checks that a text is UTF-8.
    pub compressed: bool,
    /// Whether it begins the message.
    pub first: bool,
    /// Whether it ends the message.
    pub last: bool,
    /// The bytes; perhaps none. Those of a text are UTF-8 as far as can be told, but may begin and end inside a character.
    pub payload: &'b [u8],
}
