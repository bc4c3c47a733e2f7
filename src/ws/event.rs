//! What comes out of a decoder.

use core::fmt;

use super::code::Close;
use crate::outbox::Kind;
use crate::utf8;

/// Something that a peer said, lent from the buffer that it was decoded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'b> {
    /// A text message, whole.
    Text(Text<'b>),
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

/// The bytes of a text message, which are known to be UTF-8.
#[derive(Clone, Copy)]
pub struct Text<'b>(Known<'b>);

#[derive(Clone, Copy)]
enum Known<'b> {
    Text(&'b str),
    /// Checked in pieces: a proof, but not one that the compiler takes without `unsafe`.
    Checked(&'b [u8]),
}

impl<'b> Text<'b> {
    /// Of bytes that were checked.
    #[inline]
    pub(super) const fn checked(bytes: &'b [u8]) -> Text<'b> {
        Text(Known::Checked(bytes))
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> &'b [u8] {
        match self.0 {
            Known::Text(text) => text.as_bytes(),
            Known::Checked(bytes) => bytes,
        }
    }

    /// The text. This costs nothing, except for a message that came in several reads: there it is a second look at every byte.
    #[must_use]
    #[inline]
    pub fn as_str(self) -> &'b str {
        match self.0 {
            Known::Text(text) => text,
            Known::Checked(bytes) => utf8::text(bytes).unwrap_or_default(),
        }
    }
}

impl<'b> From<&'b str> for Text<'b> {
    #[inline]
    fn from(text: &'b str) -> Text<'b> {
        Text(Known::Text(text))
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Text<'_>) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Text<'_> {}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Text<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::Format::format(self.as_str(), f);
    }
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
