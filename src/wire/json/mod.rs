//! The JSON messages that many servers speak today: requests and their answers, channels, pings.
//!
//! | from | message |
//! | --- | --- |
//! | both | `{"type":"ping"}`, `{"type":"pong"}` |
//! | client | `{"id":…,"type":"auth","timestamp":…,"payload":…}` |
//! | both | the same with `event` (payload `{"event":…,"data":…}`), `command` (`{"action":…,"parameters":…}`), `query` (`{"resource":…,"parameters":…}`), or any other type |
//! | both | `{"id":…,"type":"response","timestamp":…,"payload":…,"requestId":…}` |
//! | both | `{"id":…,"type":"error","timestamp":…,"requestId":…,"error":…}` |
//! | client | `{"action":"subscribe","channel":…}`, `{"action":"unsubscribe","channel":…}`, `{"action":"publish","channel":…,"data":…}` |
//! | server | `{"channel":…,"data":…}` |
//! | server | `{"channel":"system","data":{"type":"subscription_confirm","channel":…}}`, `{"channel":"system","data":{"type":"error","message":…}}` |
//!
//! There are no acknowledgements and no sessions: a new socket begins with nothing. Leaving a channel and publishing are not
//! confirmed. Fields may come in any order, and unknown ones are ignored; timestamps are milliseconds since 1970.
//!
//! Decoding borrows: payloads are lent as they are written, but checked to be JSON. It is bounded in time by the length, in
//! depth by [`DEPTH_MAX`], and allocates nothing; a [`Text`] with escapes is compared, and read character by character,
//! without an allocator, too.
//!
//! ```
//! use everlink::wire::json::{Message, Payload, Raw};
//! use everlink::wire::native::Form;
//!
//! let query = Message::Request {
//!     form: Form::Query,
//!     id: 17.into(),
//!     timestamp: Some(1_700_000_000_000),
//!     payload: Payload::Named { name: "users".into(), data: Some(Raw::new(r#"{"limit":10}"#)?) },
//! };
//! let mut frame = [0; 256];
//! let len = query.encode(&mut frame).unwrap();
//! assert_eq!(
//!     core::str::from_utf8(&frame[..len]).unwrap(),
//!     r#"{"id":"17","type":"query","timestamp":1700000000000,"payload":{"resource":"users","parameters":{"limit":10}}}"#
//! );
//!
//! let answer = br#"{"type":"response","id":"k3j2","requestId":"17","payload":[{"name":"Ada"}]}"#;
//! let Message::Response { request, payload, .. } = Message::decode(answer)? else { panic!() };
//! assert_eq!(request.number(), Some(17));
//! assert_eq!(payload.unwrap().as_str(), r#"[{"name":"Ada"}]"#);
//! # Ok::<(), everlink::wire::json::DecodeError>(())
//! ```

mod decode;
mod encode;
mod scan;
mod value;

pub use scan::DEPTH_MAX;
pub use value::{Chars, ID_MAX, Id, Raw, Secret, Text};

use core::fmt;

use super::Incoming;
use super::native::Form;

/// The WebSocket sub-protocol by which servers that speak several wires know this one.
pub const SUBPROTOCOL: &str = "everlink.json.v1";

/// The options of the JSON wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Whether the server must select the sub-protocol [`SUBPROTOCOL`]; true by default. Without it, a server that speaks several
    /// wires cannot know which one is meant; servers that speak nothing but these messages know no such name, as a rule, and for
    /// them it is to be false.
    pub subprotocol: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { subprotocol: true }
    }
}

/// Whether a frame is a heartbeat.
pub(super) fn classify(frame: &[u8]) -> Incoming {
    match Message::decode(frame) {
        Ok(Message::Ping) => Incoming::Ping,
        Ok(Message::Pong) => Incoming::Pong,
        Ok(_) | Err(_) => Incoming::Message,
    }
}

/// One message. Everything is borrowed from the frame that it was read from. `Display` is the JSON text, with credentials and
/// all; `Debug` hides those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Asks for a pong.
    Ping,
    /// The answer to a ping.
    Pong,
    /// Who the client is.
    Auth {
        /// Its name.
        id: Id<'a>,
        /// When it was made, in milliseconds since 1970.
        timestamp: Option<u64>,
        /// The credentials.
        payload: Option<Secret<'a>>,
    },
    /// An event, a command or a query.
    Request {
        /// Which of them.
        form: Form,
        /// Its name; the answer will carry it.
        id: Id<'a>,
        /// When it was made, in milliseconds since 1970.
        timestamp: Option<u64>,
        /// What it is about.
        payload: Payload<'a>,
    },
    /// The good answer to a request.
    Response {
        /// Its name.
        id: Id<'a>,
        /// When it was made, in milliseconds since 1970.
        timestamp: Option<u64>,
        /// The request's.
        request: Id<'a>,
        /// The answer.
        payload: Option<Raw<'a>>,
    },
    /// The bad answer to a request, or an error that is about none.
    Error {
        /// Its name.
        id: Id<'a>,
        /// When it was made, in milliseconds since 1970.
        timestamp: Option<u64>,
        /// The request's.
        request: Option<Id<'a>>,
        /// What went wrong.
        error: Option<Reason<'a>>,
    },
    /// A message of a type that the application has made up.
    Other {
        /// The type.
        kind: Text<'a>,
        /// Its name.
        id: Id<'a>,
        /// When it was made, in milliseconds since 1970.
        timestamp: Option<u64>,
        /// The `requestId`.
        request: Option<Id<'a>>,
        /// What it is about.
        payload: Option<Raw<'a>>,
    },
    /// From a client: it wants what is published on a channel.
    Subscribe {
        /// The channel.
        channel: Text<'a>,
    },
    /// From a client: it wants no more of it.
    Unsubscribe {
        /// The channel.
        channel: Text<'a>,
    },
    /// From a client: for everybody who has subscribed to the channel.
    Publish {
        /// The channel.
        channel: Text<'a>,
        /// What is published.
        data: Raw<'a>,
    },
    /// From a server: somebody published this on a channel.
    Broadcast {
        /// The channel.
        channel: Text<'a>,
        /// What was published.
        data: Raw<'a>,
    },
    /// From a server, on the system channel: a subscription is confirmed.
    Confirmation {
        /// To this channel.
        channel: Text<'a>,
    },
    /// From a server, on the system channel: something went wrong.
    SystemError {
        /// What.
        message: Text<'a>,
        /// With which channel, if the server says it (this crate's does, when it refuses a subscription).
        channel: Option<Text<'a>>,
    },
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Any JSON, or nothing. What is decoded is always this.
    Raw(Option<Raw<'a>>),
    /// What is asked for, and the arguments, in the fields that the request's form has for them.
    Named {
        /// `event`, `action` or `resource`.
        name: Text<'a>,
        /// `data` or `parameters`.
        data: Option<Raw<'a>>,
    },
}

impl<'a> Payload<'a> {
    /// What is asked for, and the arguments, if they are in the fields that this form has for them.
    #[must_use]
    pub fn named(&self, form: Form) -> Option<(Text<'a>, Option<Raw<'a>>)> {
        match *self {
            Payload::Named { name, data } => Some((name, data)),
            Payload::Raw(raw) => {
                let [name, data] = raw?.fields(fields(form));
                Some((name?.1.text()?, data.map(|(_, data)| data)))
            }
        }
    }
}

/// In which fields of the payload the name and the arguments are.
const fn fields(form: Form) -> [&'static str; 2] {
    match form {
        Form::Event => ["event", "data"],
        Form::Command => ["action", "parameters"],
        Form::Query => ["resource", "parameters"],
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// For people.
    Text(Text<'a>),
    /// Whatever else the sender says.
    Raw(Raw<'a>),
}

/// Why a frame is no message. Nothing of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct DecodeError {
    /// The byte of the frame at which it goes wrong.
    pub at: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Problem {
    /// It is not UTF-8.
    Text,
    /// It is not JSON.
    Syntax,
    /// It ends too soon.
    Truncated,
    /// Arrays and objects are nested more than [`DEPTH_MAX`] deep.
    Depth,
    /// It is JSON, but no object.
    NotObject,
    /// A field is missing.
    Missing(&'static str),
    /// A field has a value that it cannot have.
    Field(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: ", self.at)?;
        match self.problem {
            Problem::Text => f.write_str("not UTF-8"),
            Problem::Syntax => f.write_str("not JSON"),
            Problem::Truncated => f.write_str("it ends too soon"),
            Problem::Depth => f.write_str("nested too deep"),
            Problem::NotObject => f.write_str("not an object"),
            Problem::Missing(field) => write!(f, "no field \"{field}\""),
            Problem::Field(field) => write!(f, "an impossible value of \"{field}\""),
        }
    }
}

impl core::error::Error for DecodeError {}
