//! What goes into an outbox, and what is said of it afterwards.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

/// Names one accepted message of one outbox, for [`cancel`](super::Outbox::cancel) and for its [`Settlement`].
///
/// The slot of a settled message is used again, its id never is. Ids of one outbox are ordered by acceptance; ids of
/// different outboxes may be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MessageId {
    pub(super) sequence: u64,
    pub(super) slot: u32,
    /// Whether the machine itself has sent it, so that its end is nobody else's business.
    pub(super) own: bool,
}

impl MessageId {
    /// 1 for the first message that its outbox accepted, 2 for the second, and so on.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        self.sequence
    }

    pub(super) const fn new(sequence: u64, slot: u32, tag: u8) -> MessageId {
        MessageId { sequence, slot, own: is_own(tag) }
    }

    pub(crate) const fn is_own(self) -> bool {
        self.own
    }
}

/// What counts has the two highest bits in its tag. A machine marks what it sends for itself by leaving them out until it leaves.
pub(super) const fn is_own(tag: u8) -> bool {
    tag != 0 && tag & 0xC0 == 0
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sequence.fmt(f)
    }
}

/// How urgent a message is. Whatever is queued of a higher priority is sent first; inside one, first in is first out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Priority {
    /// Before everything else.
    High,
    /// What a message has that says nothing.
    #[default]
    Normal,
    /// When there is nothing else to send.
    Low,
}

impl Priority {
    /// In the order in which they are sent.
    pub(super) const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// This priority and the lower ones, lowest first.
    pub(super) const fn and_lower(self) -> &'static [Priority] {
        match self {
            Priority::High => &[Priority::Low, Priority::Normal, Priority::High],
            Priority::Normal => &[Priority::Low, Priority::Normal],
            Priority::Low => &[Priority::Low],
        }
    }
}

/// What a payload is. The outbox only carries it along, for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// Says which messages are versions of one thing, such as a cursor's position: a newer one replaces the older one while
/// that is still queued.
///
/// ```
/// use everlink::outbox::Key;
///
/// const CURSOR: Key = Key::hash(b"cursor");
/// assert_ne!(CURSOR, Key::new(7));
/// assert_eq!(size_of::<Option<Key>>(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "u64", into = "u64")
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Key(NonZeroU64);

impl Key {
    /// The key with this number. Every number is good; the only two that make the same key are `u64::MAX` and
    /// `u64::MAX - 1`, because keys are stored shifted by one.
    #[must_use]
    pub const fn new(number: u64) -> Key {
        Key(NonZeroU64::MIN.saturating_add(number))
    }

    /// The key with this name: its 64-bit FNV-1a hash. That two of a thousand names make the same key has a chance
    /// of less than 1 in 10¹³; names that an adversary picks need [`Key::new`] and a table.
    #[must_use]
    pub const fn hash(mut name: &[u8]) -> Key {
        let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
        while let [byte, rest @ ..] = name {
            hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01B3);
            name = rest;
        }
        Key::new(hash)
    }

    /// The number that it was made from.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get() - 1
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Key {
        Key::new(number)
    }
}

impl From<Key> for u64 {
    fn from(key: Key) -> u64 {
        key.number()
    }
}

/// A payload and how it wants to be treated.
///
/// ```
/// use core::time::Duration;
/// use everlink::outbox::{Key, Message, Priority};
///
/// let message = Message::text("12,40")
///     .with_priority(Priority::Low)
///     .with_ttl(Duration::from_secs(2))
///     .with_key(Key::hash(b"cursor"));
/// assert_eq!(message.payload, "12,40");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Message<P> {
    /// What the payload is.
    pub kind: Kind,
    /// 0 for a message of the application's. Else the payload is the encoded body of an envelope, and this is its tag
    /// ([`wire::native::tag`](crate::wire::native::tag)); the outbox only carries it along.
    pub tag: u8,
    /// The payload, opaque to the outbox.
    pub payload: P,
    /// Which queue it waits in.
    pub priority: Priority,
    /// How long it may wait; `None` for [`Config::age`](super::Config::age). With zero it is due at once.
    pub ttl: Option<Duration>,
    /// Which thing it is a version of, if any.
    pub key: Option<Key>,
}

impl<P> Message<P> {
    /// A text of normal priority, with the configured age limit and no key.
    #[must_use]
    pub const fn text(payload: P) -> Message<P> {
        Message::new(Kind::Text, payload)
    }

    /// Bytes of normal priority, with the configured age limit and no key.
    #[must_use]
    pub const fn binary(payload: P) -> Message<P> {
        Message::new(Kind::Binary, payload)
    }

    const fn new(kind: Kind, payload: P) -> Message<P> {
        Message { kind, tag: 0, payload, priority: Priority::Normal, ttl: None, key: None }
    }

    /// The same as the body of an envelope with this tag.
    #[must_use]
    pub fn with_tag(self, tag: u8) -> Message<P> {
        Message { tag, ..self }
    }

    /// The same with this priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Message<P> {
        Message { priority, ..self }
    }

    /// The same with this age limit.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Message<P> {
        Message { ttl: Some(ttl), ..self }
    }

    /// The same with this key.
    #[must_use]
    pub fn with_key(self, key: Key) -> Message<P> {
        Message { key: Some(key), ..self }
    }
}

/// A message on its way out, lent by the arena that holds it.
#[derive(Debug, PartialEq, Eq)]
pub struct Sending<'a, P> {
    /// Its name.
    pub id: MessageId,
    /// What the payload is.
    pub kind: Kind,
    /// 0, or the tag of the envelope whose body the payload is.
    pub tag: u8,
    /// The payload.
    pub payload: &'a P,
    /// The payload's length as it was told to [`push`](super::Outbox::push), in bytes.
    pub len: u32,
}

/// How a message ended. Every accepted message ends in exactly one of these and is reported once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Outcome {
    /// The other side said that it has it.
    Acknowledged,
    /// All its bytes went to a socket, and the wire tells no more.
    Written,
    /// It waited for longer than its age limit.
    Expired,
    /// A newer message needed its room.
    Evicted,
    /// A newer message with the same key took its place.
    Replaced,
    /// The application took it back.
    Cancelled,
    /// The other side does not take messages of its size.
    TooLarge,
    /// The link was stopped before it could be sent.
    Stopped,
    /// It was handed to a socket; whether it arrived is unknown.
    InDoubt,
}

impl Outcome {
    /// Whether it is certain that the other side never got the message whole and never will.
    #[must_use]
    pub const fn never_sent(self) -> bool {
        match self {
            Outcome::Expired
            | Outcome::Evicted
            | Outcome::Replaced
            | Outcome::Cancelled
            | Outcome::TooLarge
            | Outcome::Stopped => true,
            Outcome::Acknowledged | Outcome::Written | Outcome::InDoubt => false,
        }
    }
}

/// The end of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settlement {
    /// Which message.
    pub id: MessageId,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RefusedReason {
    /// There is no room, and the policy does not allow enough to be made.
    Full,
    /// Its payload is longer than [`Config::message_bytes`](super::Config::message_bytes).
    TooLarge,
    /// Its payload is a heartbeat of the wire, and the other end would take it for one. Told by a link, not by an outbox.
    Heartbeat,
    /// The wire has no envelope of its [tag](Message::tag) that may be sent from here. Told by a link, not by an outbox.
    Tag,
}

/// A message that was not accepted, handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Refused<P> {
    /// Why.
    pub reason: RefusedReason,
    /// The message, untouched.
    pub message: Message<P>,
}

impl<P> fmt::Display for Refused<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            RefusedReason::Full => "the outbox is full",
            RefusedReason::TooLarge => "the message is too large",
            RefusedReason::Heartbeat => "the message is a heartbeat of the wire",
            RefusedReason::Tag => "the wire has no such envelope",
        })
    }
}

impl<P: fmt::Debug> core::error::Error for Refused<P> {}
