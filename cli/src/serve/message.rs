//! What goes to one client.

use bytes::Bytes;
use everlink_tokio::Kind;

/// A message on its way to a client, or the last that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Data(Kind, Bytes),
    Ping,
    /// A close frame.
    Close {
        code: u16,
        reason: &'static str,
    },
}

impl Message {
    pub(super) const fn text(text: &'static str) -> Message {
        Message::Data(Kind::Text, Bytes::from_static(text.as_bytes()))
    }

    pub(super) const fn binary(data: &'static [u8]) -> Message {
        Message::Data(Kind::Binary, Bytes::from_static(data))
    }

    /// Bytes of its payload.
    pub(super) fn len(&self) -> usize {
        match self {
            Message::Data(_, data) => data.len(),
            Message::Ping | Message::Close { .. } => 0,
        }
    }
}
