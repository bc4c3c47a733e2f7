//! The first byte of an envelope: what it is, whether it counts, and what to do if one does not know it.

/// Set if the envelope counts, known or not.
pub const COUNTS: u8 = 0x80;
/// Set if a receiver that does not know the tag must refuse it and close; else it skips it.
pub const MUST_KNOW: u8 = 0x40;

/// Whether an envelope with this tag counts.
#[must_use]
pub const fn counts(tag: u8) -> bool {
    tag & COUNTS != 0
}

/// Whether an envelope with this tag is refused by a receiver that does not know it.
#[must_use]
pub const fn must_be_known(tag: u8) -> bool {
    tag & MUST_KNOW != 0
}

/// Whether an application may send an envelope with this tag from a client.
pub(crate) const fn may_send(tag: u8) -> bool {
    matches!(tag, PUBLISH | SUBSCRIBE | UNSUBSCRIBE | REQUEST | RESPONSE | ERROR)
}

/// The tag of a message that a machine sends for itself: in its outbox such a message has a tag without the bits that all that counts
/// has, which are put back when it leaves.
pub(crate) const fn own(tag: u8) -> u8 {
    tag & !COUNTED
}

/// The tag that leaves.
pub(crate) const fn of_outbox(tag: u8) -> u8 {
    tag | COUNTED
}

const CONTROL: u8 = MUST_KNOW;
const COUNTED: u8 = COUNTS | MUST_KNOW;

/// [`Envelope::Hello`](super::Envelope::Hello)
pub const HELLO: u8 = CONTROL | 1;
/// [`Envelope::Welcome`](super::Envelope::Welcome)
pub const WELCOME: u8 = CONTROL | 2;
/// [`Envelope::Ping`](super::Envelope::Ping)
pub const PING: u8 = CONTROL | 3;
/// [`Envelope::Pong`](super::Envelope::Pong)
pub const PONG: u8 = CONTROL | 4;
/// [`Envelope::Ack`](super::Envelope::Ack)
pub const ACK: u8 = CONTROL | 5;
/// [`Envelope::Goodbye`](super::Envelope::Goodbye)
pub const GOODBYE: u8 = CONTROL | 6;
/// [`Envelope::Health`](super::Envelope::Health): may be skipped.
pub const HEALTH: u8 = 7;
/// [`Envelope::Renewal`](super::Envelope::Renewal)
pub const RENEWAL: u8 = CONTROL | 8;
/// [`Envelope::Message`](super::Envelope::Message), binary.
pub const BINARY: u8 = COUNTED | 9;
/// [`Envelope::Message`](super::Envelope::Message), text.
pub const TEXT: u8 = COUNTED | 10;
/// [`Envelope::Broadcast`](super::Envelope::Broadcast)
pub const BROADCAST: u8 = COUNTED | 11;
/// [`Envelope::Publish`](super::Envelope::Publish)
pub const PUBLISH: u8 = COUNTED | 12;
/// [`Envelope::Subscribe`](super::Envelope::Subscribe)
pub const SUBSCRIBE: u8 = COUNTED | 13;
/// [`Envelope::Unsubscribe`](super::Envelope::Unsubscribe)
pub const UNSUBSCRIBE: u8 = COUNTED | 14;
/// [`Envelope::Confirmation`](super::Envelope::Confirmation)
pub const CONFIRMATION: u8 = COUNTED | 15;
/// [`Envelope::Request`](super::Envelope::Request)
pub const REQUEST: u8 = COUNTED | 16;
/// [`Envelope::Response`](super::Envelope::Response)
pub const RESPONSE: u8 = COUNTED | 17;
/// [`Envelope::Error`](super::Envelope::Error)
pub const ERROR: u8 = COUNTED | 18;
