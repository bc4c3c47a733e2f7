//! The native wire, for two ends that are both everlink: envelopes with acknowledgements, resumption, requests and channels.
//!
//! Byte by byte it is in `docs/protocol.md`, with test vectors in `docs/protocol-vectors.txt`. In short: a frame is whole
//! envelopes, one after the other, and an envelope is
//!
//! ```text
//!   ┌─────┬────────┬──────────────────┬────────┬─────────┐
//!   │ tag │ length │ length of fields │ fields │ payload │    what has fields and a payload
//!   ├─────┼────────┼──────────────────┴────────┴─────────┤
//!   │ tag │ length │ fields                              │    what has no payload
//!   ├─────┼────────┼─────────────────────────────────────┤
//!   │ tag │ length │ payload                             │    a message
//!   └─────┴────────┴─────────────────────────────────────┘
//! ```
//!
//! Numbers and texts among the fields are as in `postcard`; they are written by hand, because decoders must ignore fields that
//! they do not know, and name the limit that is passed.
//!
//! ```
//! use everlink::outbox::Kind;
//! use everlink::wire::native::{Envelope, Item, Limits, Reader};
//!
//! let mut frame = [0; 32];
//! let ack = Envelope::Ack { received: 7 }.encode(&mut frame)?;
//! let end = ack + Envelope::Message { kind: Kind::Text, data: b"hello" }.encode(&mut frame[ack..])?;
//! assert_eq!(&frame[..end], b"\x45\x01\x07\xca\x05hello");
//!
//! let limits = Limits::default();
//! let mut reader = Reader::new(&frame[..end], &limits);
//! assert_eq!(reader.next(), Some(Ok(Item::Envelope(Envelope::Ack { received: 7 }))));
//! # Ok::<(), everlink::wire::native::EncodeError>(())
//! ```

mod decode;
mod encode;
mod limits;
mod secret;
pub mod tag;

pub use decode::{DecodeError, Item, Problem, Reader};
pub(crate) use encode::encode_tag;
pub use encode::{EncodeError, HEAD_MAX};
pub use limits::{Limit, Limits};
pub use secret::{Credentials, Token};

use core::time::Duration;

use crate::outbox::Kind;

/// The version of the wire that this crate speaks.
pub const VERSION: u32 = 1;

/// The WebSocket sub-protocol.
pub const SUBPROTOCOL: &str = "everlink.v1";

/// One envelope. Everything is borrowed from the frame that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// The first one on a socket, from the client.
    Hello(Hello<'a>),
    /// The answer to it, from the server.
    Welcome(Welcome<'a>),
    /// Asks for a pong.
    Ping {
        /// Comes back in the pong.
        nonce: u32,
    },
    /// The answer to a ping.
    Pong {
        /// The ping's.
        nonce: u32,
    },
    /// So many envelopes that count were received in this session.
    Ack {
        /// In all, so that the last one is enough.
        received: u64,
    },
    /// The last one on a socket.
    Goodbye(Goodbye<'a>),
    /// How the sender is.
    Health(Health),
    /// From a server: another resume token. From a client: other credentials.
    Renewal {
        /// To resume with from now on; empty for the same as before.
        token: Token<'a>,
        /// What the application authenticates with; empty for nothing.
        credentials: Credentials<'a>,
    },
    /// A message to the application at the other end.
    Message {
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        data: &'a [u8],
    },
    /// From a server: somebody published this on a channel.
    Broadcast {
        /// Which channel.
        channel: Channel<'a>,
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        data: &'a [u8],
    },
    /// From a client: for everybody who has subscribed to the channel.
    Publish {
        /// The confirmation will carry it; 0 if none is wanted.
        id: u32,
        /// Which channel.
        channel: Channel<'a>,
        /// Text or binary.
        kind: Kind,
        /// Its payload.
        data: &'a [u8],
    },
    /// From a client: it wants what is published on a channel.
    Subscribe {
        /// The confirmation will carry it.
        id: u32,
        /// The channel's name.
        channel: &'a str,
    },
    /// From a client: it wants no more of it.
    Unsubscribe {
        /// The confirmation will carry it.
        id: u32,
        /// Which channel.
        channel: Channel<'a>,
    },
    /// From a server: what became of a publish, a subscribe or an unsubscribe.
    Confirmation {
        /// The id of what is confirmed.
        id: u32,
        /// 0 if it was done, else why it was refused, in the application's or this crate's own numbers.
        code: u32,
        /// By which number the server calls the channel from now on; 0 if only by its name.
        number: u32,
        /// Why it was refused, for people.
        reason: &'a str,
    },
    /// Something to be done, or to be known, at the other end.
    Request(Request<'a>),
    /// The good answer to a request.
    Response {
        /// The request's.
        id: u32,
        /// Text or binary.
        kind: Kind,
        /// The answer.
        data: &'a [u8],
    },
    /// The bad answer to a request.
    Error {
        /// The request's; 0 if it is about none.
        id: u32,
        /// What went wrong, in the application's or this crate's own numbers.
        code: u32,
        /// What went wrong, for people.
        reason: &'a str,
    },
}

/// Who the client is, and where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The highest version that the client speaks.
    pub version: u32,
    /// Grows with each hello of a session.
    pub attempt: u32,
    /// How many envelopes that count the client has received.
    pub received: u64,
    /// What the client takes, and how it sends.
    pub announced: Announced,
    /// Of the session to go on with; empty for a new one.
    pub token: Token<'a>,
    /// What the application authenticates with, if it is not in the request that opened the socket.
    pub credentials: Credentials<'a>,
}

/// The session that the socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The version that is spoken: not above the hello's.
    pub version: u32,
    /// Whether the session of the hello's token goes on. Else it is a new one.
    pub resumed: bool,
    /// How many envelopes that count the server has received in this session.
    pub received: u64,
    /// Behind how many of its own the server begins on this socket.
    pub from: u64,
    /// What the server takes, and how it sends.
    pub announced: Announced,
    /// A name of the session for logs. No secret.
    pub session: u64,
    /// To resume with; empty for the same as before.
    pub token: Token<'a>,
}

/// What one end takes, and how it sends: so that the other one neither sends what is refused nor lets it wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Announced {
    /// The longest envelope that it takes, in bytes behind tag and length.
    pub envelope: u32,
    /// How many envelopes it sends without an acknowledgement.
    pub window: u32,
    /// How many bytes of payload it sends without an acknowledgement.
    pub window_bytes: u32,
}

/// Why the socket closes, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye<'a> {
    /// One of [`code`], or the application's own: 1000 to 4999, as for WebSocket close codes (RFC 6455, section 7.4).
    pub code: u16,
    /// How long to stay away, in milliseconds; 0 if nothing is said.
    pub retry_after: u32,
    /// With [`code::SUPERSEDED`] and [`code::OVERTAKEN`], the attempt that has the session; else 0.
    pub attempt: u32,
    /// For people.
    pub reason: &'a str,
}

impl Goodbye<'_> {
    /// How long to stay away, if it is said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.retry_after > 0).then(|| Duration::from_millis(self.retry_after.into()))
    }
}

/// Why sockets are closed: what a [`Goodbye`] says, and the WebSocket close frame behind it.
pub mod code {
    /// The job is done.
    pub const NORMAL: u16 = 1000;
    /// The process ends.
    pub const GOING_AWAY: u16 = 1001;
    /// The other end broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A text that is not UTF-8.
    pub const NOT_TEXT: u16 = 1007;
    /// Something is longer than its limit.
    pub const TOO_LARGE: u16 = 1009;
    /// A bug of the one who says it.
    pub const INTERNAL: u16 = 1011;
    /// A planned restart.
    pub const RESTART: u16 = 1012;
    /// Too many others are there.
    pub const TRY_LATER: u16 = 1013;
    /// The credentials are not good.
    pub const UNAUTHENTICATED: u16 = 4001;
    /// Another socket has the session. Final, if that one was not one's own.
    pub const SUPERSEDED: u16 = 4100;
    /// A later hello was answered before this one.
    pub const OVERTAKEN: u16 = 4101;
    /// A count that cannot be true.
    pub const IMPOSSIBLE_COUNT: u16 = 4102;
    /// The receiver does not keep up.
    pub const TOO_SLOW: u16 = 4103;
    /// The credentials were good until now.
    pub const EXPIRED: u16 = 4104;
    /// More subscriptions, requests or sessions than are allowed; the reason says which.
    pub const TOO_MANY: u16 = 4105;
}

/// How the sender is, for the other end to show or to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Health {
    /// 0: well; 1: degraded; 2: about to close. Others are to be taken for 1.
    pub state: u32,
    /// How many messages for the other end wait.
    pub queued: u32,
    /// The smoothed round trip as the sender measures it, in milliseconds; 0 if it does not.
    pub latency: u32,
}

/// Names a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel<'a> {
    /// By a number that the server gave it in a confirmation of this session; not 0.
    Number(core::num::NonZeroU32),
    /// By its name.
    Name(&'a str),
}

/// Something to be done, or to be known, at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The answer will carry it. Unique among the pending ones of the sender; 0 for an event.
    pub id: u32,
    /// What is asked for.
    pub form: Form,
    /// What to do, or to know: the application's word for it.
    pub name: &'a str,
    /// Text or binary.
    pub kind: Kind,
    /// Its arguments.
    pub data: &'a [u8],
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Form {
    /// To do something, and to answer.
    Command,
    /// To answer; asking twice does no harm.
    Query,
    /// To know; there is no answer.
    Event,
}

impl<'a> Envelope<'a> {
    /// Its tag.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        match self {
            Envelope::Hello(_) => tag::HELLO,
            Envelope::Welcome(_) => tag::WELCOME,
            Envelope::Ping { .. } => tag::PING,
            Envelope::Pong { .. } => tag::PONG,
            Envelope::Ack { .. } => tag::ACK,
            Envelope::Goodbye(_) => tag::GOODBYE,
            Envelope::Health(_) => tag::HEALTH,
            Envelope::Renewal { .. } => tag::RENEWAL,
            Envelope::Message { kind: Kind::Binary, .. } => tag::BINARY,
            Envelope::Message { kind: Kind::Text, .. } => tag::TEXT,
            Envelope::Broadcast { .. } => tag::BROADCAST,
            Envelope::Publish { .. } => tag::PUBLISH,
            Envelope::Subscribe { .. } => tag::SUBSCRIBE,
            Envelope::Unsubscribe { .. } => tag::UNSUBSCRIBE,
            Envelope::Confirmation { .. } => tag::CONFIRMATION,
            Envelope::Request(_) => tag::REQUEST,
            Envelope::Response { .. } => tag::RESPONSE,
            Envelope::Error { .. } => tag::ERROR,
        }
    }

    /// Whether it counts: it is acknowledged, and comes again on the next socket if it is not.
    #[must_use]
    pub const fn counts(&self) -> bool {
        tag::counts(self.tag())
    }

    /// The name of a channel or of what is asked for, where it has one.
    pub(crate) const fn name(&self) -> Option<&'a str> {
        match self {
            Envelope::Request(Request { name, .. }) | Envelope::Subscribe { channel: name, .. } => Some(name),
            Envelope::Broadcast { channel: Channel::Name(name), .. }
            | Envelope::Publish { channel: Channel::Name(name), .. }
            | Envelope::Unsubscribe { channel: Channel::Name(name), .. } => Some(name),
            Envelope::Broadcast { channel: Channel::Number(_), .. }
            | Envelope::Publish { channel: Channel::Number(_), .. }
            | Envelope::Unsubscribe { channel: Channel::Number(_), .. }
            | Envelope::Hello(_)
            | Envelope::Welcome(_)
            | Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Goodbye(_)
            | Envelope::Health(_)
            | Envelope::Renewal { .. }
            | Envelope::Message { .. }
            | Envelope::Confirmation { .. }
            | Envelope::Response { .. }
            | Envelope::Error { .. } => None,
        }
    }

    /// The payload behind the fields; empty where there is none.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        match self {
            Envelope::Hello(Hello { credentials, .. }) | Envelope::Renewal { credentials, .. } => {
                credentials.reveal()
            }
            Envelope::Message { data, .. }
            | Envelope::Broadcast { data, .. }
            | Envelope::Publish { data, .. }
            | Envelope::Request(Request { data, .. })
            | Envelope::Response { data, .. } => data,
            Envelope::Welcome(_)
            | Envelope::Ping { .. }
            | Envelope::Pong { .. }
            | Envelope::Ack { .. }
            | Envelope::Goodbye(_)
            | Envelope::Health(_)
            | Envelope::Subscribe { .. }
            | Envelope::Unsubscribe { .. }
            | Envelope::Confirmation { .. }
            | Envelope::Error { .. } => &[],
        }
    }
}
