//! The raw wire: payload bytes untouched, for any WebSocket server that exists today.
//!
//! Only heartbeats are recognised, in one of three styles: WebSocket control frames, short messages of the user's choice,
//! or the JSON texts `{"type":"ping"}` and `{"type":"pong"}`.

use core::fmt;

use super::{Frame, Incoming, Opcode};
use crate::error::ConfigError;
use crate::heartbeat::Mode;
use crate::outbox::Kind;

/// How the two ends ping each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Style {
    /// Ping and pong control frames with a nonce (RFC 6455, section 5.5.2). Whatever frames the WebSocket answers the
    /// server's pings, as the RFC obliges it to.
    Websocket,
    /// The messages that `ping`, `also_ping` and `pong` say.
    Bytes,
    /// `{"type":"ping"}` and `{"type":"pong"}` as text; white space between the tokens does not matter.
    Json,
}

/// The options of the raw wire.
///
/// The default patterns are the one-byte heartbeat of many tutorials: `0x01`, or the text `1` (0x31) that the `ws` package
/// makes of the number 1; the answer is `0x01`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Config {
    /// How the two ends ping each other.
    pub heartbeat: Style,
    /// With [`Style::Bytes`]: the ping, sent and recognised.
    pub ping: Pattern,
    /// With [`Style::Bytes`]: recognised as a ping as well, never sent; empty for none.
    pub also_ping: Pattern,
    /// With [`Style::Bytes`]: the pong, sent and recognised.
    pub pong: Pattern,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            heartbeat: Style::Websocket,
            ping: Pattern::ONE,
            also_ping: Pattern { kind: Kind::Binary, len: 1, bytes: first(b'1') },
            pong: Pattern::ONE,
        }
    }
}

pub(super) const JSON_PING: &[u8] = br#"{"type":"ping"}"#;
pub(super) const JSON_PONG: &[u8] = br#"{"type":"pong"}"#;

impl Config {
    pub(crate) fn check(&self, mode: Mode) -> Result<(), ConfigError> {
        if self.heartbeat != Style::Bytes {
            return Ok(());
        }
        const EMPTY: &str = "must not be empty";
        ConfigError::unless(!self.ping.is_empty(), "wire.raw.ping", EMPTY)?;
        ConfigError::unless(!self.pong.is_empty(), "wire.raw.pong", EMPTY)?;
        let ambiguous =
            self.pong.matches(self.ping.as_bytes()) || self.pong.matches(self.also_ping.as_bytes());
        ConfigError::unless(
            mode != Mode::Both || !ambiguous,
            "wire.raw.pong",
            "must differ from the pings when both ends ping, or they would answer answers for ever",
        )
    }

    /// A heartbeat that is the same both ways is an answer to whoever pings, and a ping to whoever answers.
    #[inline]
    pub(crate) fn classify(&self, mode: Mode, data: &[u8]) -> Incoming {
        let (ping, pong) = match self.heartbeat {
            Style::Websocket => return Incoming::Message,
            Style::Bytes => {
                (self.ping.matches(data) || self.also_ping.matches(data), self.pong.matches(data))
            }
            Style::Json => (is_json(data, JSON_PING), is_json(data, JSON_PONG)),
        };
        match (ping, pong) {
            (true, true) if mode == Mode::Server => Incoming::Ping,
            (_, true) => Incoming::Pong,
            (true, false) => Incoming::Ping,
            (false, false) => Incoming::Message,
        }
    }

    pub(crate) fn ping(&self, nonce: u32) -> Frame<'_> {
        match self.heartbeat {
            Style::Websocket => Frame::with_nonce(Opcode::Ping, nonce),
            Style::Bytes => self.ping.frame(),
            Style::Json => Frame::new(Opcode::Text, JSON_PING),
        }
    }

    pub(crate) fn pong(&self) -> Frame<'_> {
        match self.heartbeat {
            Style::Json => Frame::new(Opcode::Text, JSON_PONG),
            Style::Websocket | Style::Bytes => self.pong.frame(),
        }
    }
}

/// Whether `data` is the JSON text `wanted`, white space between tokens apart.
fn is_json(data: &[u8], wanted: &[u8]) -> bool {
    let mut wanted = wanted.iter();
    let mut quoted = false;
    for byte in data {
        if !quoted && matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        if wanted.next() != Some(byte) {
            return false;
        }
        quoted ^= *byte == b'"';
    }
    wanted.as_slice().is_empty()
}

/// A short message that stands for a ping or a pong: at most [`Pattern::MAX`] bytes.
///
/// It is sent as text or binary, as it says; it is recognised in both, because libraries differ in what they make of it.
///
/// ```
/// use everlink::wire::raw::Pattern;
///
/// assert_eq!(Pattern::binary(&[1]).unwrap().as_bytes(), [1]);
/// assert_eq!(Pattern::text("hb").unwrap().to_string(), "text:hb");
/// assert!(Pattern::binary(&[0; 33]).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pattern {
    kind: Kind,
    len: u8,
    bytes: [u8; Pattern::MAX],
}

const fn first(byte: u8) -> [u8; Pattern::MAX] {
    let mut bytes = [0; Pattern::MAX];
    if let Some(first) = bytes.first_mut() {
        *first = byte;
    }
    bytes
}

impl Pattern {
    /// The longest pattern, in bytes.
    pub const MAX: usize = 32;

    /// No pattern: nothing matches it.
    pub const NONE: Pattern = Pattern { kind: Kind::Binary, len: 0, bytes: [0; Pattern::MAX] };

    const ONE: Pattern = Pattern { kind: Kind::Binary, len: 1, bytes: first(1) };

    /// A binary pattern; `None` if it is too long.
    #[must_use]
    pub fn binary(data: &[u8]) -> Option<Pattern> {
        Pattern::new(Kind::Binary, data)
    }

    /// A text pattern; `None` if it is too long.
    #[must_use]
    pub fn text(text: &str) -> Option<Pattern> {
        Pattern::new(Kind::Text, text.as_bytes())
    }

    fn new(kind: Kind, data: &[u8]) -> Option<Pattern> {
        let mut bytes = [0; Pattern::MAX];
        for (to, from) in bytes.get_mut(..data.len())?.iter_mut().zip(data) {
            *to = *from;
        }
        Some(Pattern { kind, len: u8::try_from(data.len()).ok()?, bytes })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether it is no pattern at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn matches(&self, data: &[u8]) -> bool {
        !self.is_empty() && self.as_bytes() == data
    }

    fn frame(&self) -> Frame<'_> {
        Frame::new(self.kind.into(), self.as_bytes())
    }
}

/// `text:` and the text, or `hex:` and two digits for each byte.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, core::str::from_utf8(self.as_bytes())) {
            (Kind::Text, Ok(text)) => write!(f, "text:{text}"),
            (Kind::Text, Err(_)) | (Kind::Binary, _) => {
                f.write_str("hex:")?;
                self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The reverse of `Display`; also the only form that serde knows.
impl core::str::FromStr for Pattern {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Pattern, ConfigError> {
        let error = ConfigError::new(
            "wire.raw.ping or pong",
            "must be \"text:\" with at most 32 bytes of text or \"hex:\" with at most 32 pairs of digits",
        );
        if let Some(text) = text.strip_prefix("text:") {
            return Pattern::text(text).ok_or(error);
        }
        let digits = text.strip_prefix("hex:").ok_or(error)?;
        let mut bytes = [0; Pattern::MAX];
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() > Pattern::MAX {
            return Err(error);
        }
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low).ok_or(error)?;
        }
        Pattern::binary(bytes.get(..pairs.len()).unwrap_or_default()).ok_or(error)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern, such as \"hex:01\" or \"text:hb\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Pattern, E> {
                text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
