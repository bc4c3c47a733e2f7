//! What the other end can do wrong in the opening handshake, and the status that each wrong asks for.

use core::fmt;

use super::server::Refusal;

/// What is wrong with a request or a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The head is not complete within [`HeadLimits::bytes`](super::HeadLimits::bytes).
    HeadTooLong,
    /// There are more fields than [`HeadLimits::fields`](super::HeadLimits::fields).
    TooManyFields,
    /// The first line is not that of an HTTP/1 request or response.
    StartLine,
    /// A line is no header field.
    Field,
    /// A field that must be there once is there again.
    Duplicate,
    /// HTTP before 1.1 has no upgrade.
    HttpVersion,
    /// An upgrade is asked for by another method than GET.
    Method,
    /// There is no `Host`.
    Host,
    /// `Upgrade` does not say `websocket`.
    Upgrade,
    /// `Connection` does not say `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Version` is not 13.
    Version,
    /// `Sec-WebSocket-Key` is not there, or not 16 bytes in base64.
    Key,
    /// `Sec-WebSocket-Accept` is not there, or does not belong to the key: the peer is no WebSocket server.
    Accept,
    /// `Sec-WebSocket-Protocol` is no list of tokens.
    ProtocolList,
    /// `Sec-WebSocket-Extensions` is no list of names, each with parameters.
    ExtensionList,
    /// The server selected a sub-protocol that was not offered.
    ProtocolNotOffered,
    /// The server selected no sub-protocol, and one was demanded.
    ProtocolMissing,
    /// The server uses an extension that was not offered.
    ExtensionNotOffered,
    /// The server uses an extension with parameters that are invalid, or not those of the offer.
    ExtensionParameters,
}

impl Fault {
    const fn text(self) -> &'static str {
        match self {
            Fault::HeadTooLong => "the head is too long",
            Fault::TooManyFields => "there are too many header fields",
            Fault::StartLine => "the first line is not HTTP",
            Fault::Field => "a line is not a header field",
            Fault::Duplicate => "a header field is there twice",
            Fault::HttpVersion => "the HTTP version knows no upgrade",
            Fault::Method => "the method is not GET",
            Fault::Host => "Host is missing",
            Fault::Upgrade => "Upgrade is not websocket",
            Fault::Connection => "Connection is not Upgrade",
            Fault::Version => "Sec-WebSocket-Version is not 13",
            Fault::Key => "Sec-WebSocket-Key is not 16 bytes",
            Fault::Accept => "Sec-WebSocket-Accept does not belong to the key",
            Fault::ProtocolList => "Sec-WebSocket-Protocol is not a list of tokens",
            Fault::ExtensionList => "Sec-WebSocket-Extensions is not a list of extensions",
            Fault::ProtocolNotOffered => "the sub-protocol was not offered",
            Fault::ProtocolMissing => "no sub-protocol was selected",
            Fault::ExtensionNotOffered => "the extension was not offered",
            Fault::ExtensionParameters => "the parameters of an extension are not right",
        }
    }
}

/// A [`Fault`], and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HandshakeError {
    /// What is wrong.
    pub fault: Fault,
    /// At which byte: where the wrong line or value begins; the end of the head if something is missing.
    pub at: usize,
}

impl HandshakeError {
    pub(super) const fn new(fault: Fault, at: usize) -> HandshakeError {
        HandshakeError { fault, at }
    }

    /// What a server answers to it (section 4.2.2): 426 with the version that it speaks, 431, 505, 405 or 400.
    #[must_use]
    pub const fn refusal(self) -> Refusal<'static> {
        let (status, reason, headers): (u16, &str, &[(&str, &str)]) = match self.fault {
            Fault::Version => {
                (426, "Upgrade Required", &[("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")])
            }
            Fault::HeadTooLong | Fault::TooManyFields => (431, "Request Header Fields Too Large", &[]),
            Fault::HttpVersion => (505, "HTTP Version Not Supported", &[]),
            Fault::Method => (405, "Method Not Allowed", &[("Allow", "GET")]),
            Fault::StartLine
            | Fault::Field
            | Fault::Duplicate
            | Fault::Host
            | Fault::Upgrade
            | Fault::Connection
            | Fault::Key
            | Fault::Accept
            | Fault::ProtocolList
            | Fault::ExtensionList
            | Fault::ProtocolNotOffered
            | Fault::ProtocolMissing
            | Fault::ExtensionNotOffered
            | Fault::ExtensionParameters => (400, "Bad Request", &[]),
        };
        Refusal { status, reason, headers, body: self.fault.text().as_bytes() }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.fault.text(), self.at)
    }
}

impl core::error::Error for HandshakeError {}
