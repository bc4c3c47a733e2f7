//! What a server reads and answers (RFC 6455, section 4.2).

use super::fault::{Fault, HandshakeError};
use super::head::{Finder, Head, HeadLimits, is_token, is_value};
use super::key::Key;
use super::list::{Items, are_extensions, are_tokens};
use super::write::{WriteError, Writer};

/// Reads the first request of a connection.
///
/// ```
/// use everlink::ws::handshake::{Acceptance, HeadLimits, Incoming, Refusal, RequestReader};
///
/// let mut reader = RequestReader::new(HeadLimits::default());
/// let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
///     Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";
/// let mut out = [0; 512];
/// let written = match reader.read(bytes) {
///     Ok(None) => 0, // more must come
///     Ok(Some(Incoming::Upgrade(upgrade))) => {
///         let acceptance = Acceptance { protocol: upgrade.choose(&["superchat"]), ..Acceptance::default() };
///         acceptance.write(&upgrade, &mut out).unwrap()
///     }
///     Ok(Some(Incoming::Plain(_))) => Refusal { body: b"well", ..Refusal::new(200, "OK") }.write(&mut out).unwrap(),
///     Err(error) => error.refusal().write(&mut out).unwrap(),
/// };
/// assert_eq!(
///     str::from_utf8(&out[..written]).unwrap(),
///     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: superchat\r\n\r\n",
/// );
/// ```
#[derive(Clone, Debug)]
pub struct RequestReader {
    finder: Finder,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// It asks for a WebSocket, and is right in every respect.
    Upgrade(Upgrade<'b>),
    /// It does not ask for a WebSocket. Answer it (a health check), with a [`Refusal`] or otherwise.
    Plain(Plain<'b>),
}

/// A request that is plain HTTP. A body, if there is one, follows the head and is the caller's to skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'b> {
    /// `GET`, `HEAD`, and so on.
    pub method: &'b str,
    /// What it asks for: mostly path and query.
    pub target: &'b str,
    /// All of the request but its body.
    pub head: Head<'b>,
}

/// A request to upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'b> {
    target: &'b str,
    head: Head<'b>,
    key: Key,
}

impl RequestReader {
    /// A reader for one request.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> RequestReader {
        RequestReader { finder: Finder::new(limits) }
    }

    /// The request, if `bytes`, which are all that have come, have all of its head.
    ///
    /// # Errors
    /// The first fault; answer with its [refusal](HandshakeError::refusal) and close.
    pub fn read<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Incoming<'b>>, HandshakeError> {
        let Some(head) = self.finder.find(bytes)? else { return Ok(None) };
        let fault = HandshakeError::new;
        let (method, target, minor) = start(head.start).ok_or(fault(Fault::StartLine, 0))?;
        if head.lists("upgrade", "websocket").is_err() {
            return Ok(Some(Incoming::Plain(Plain { method, target, head })));
        }
        if method != "GET" {
            return Err(fault(Fault::Method, 0));
        }
        if minor == b'0' {
            return Err(fault(Fault::HttpVersion, 0));
        }
        head.lists("connection", "upgrade").map_err(|at| fault(Fault::Connection, at))?;
        head.only("host")?.ok_or(fault(Fault::Host, head.length()))?;
        match head.only("sec-websocket-version")? {
            Some(field) if field.value == b"13" => {}
            field => return Err(fault(Fault::Version, field.map_or(head.length(), |field| field.at))),
        }
        let field = head.only("sec-websocket-key")?.ok_or(fault(Fault::Key, head.length()))?;
        let key = Key::read(field.value).ok_or(fault(Fault::Key, field.at))?;
        for field in head.fields() {
            if field.is("sec-websocket-protocol") && !are_tokens(field.value) {
                return Err(fault(Fault::ProtocolList, field.at));
            }
            if field.is("sec-websocket-extensions") && !are_extensions(field.value) {
                return Err(fault(Fault::ExtensionList, field.at));
            }
        }
        Ok(Some(Incoming::Upgrade(Upgrade { target, head, key })))
    }
}

/// Method, target and minor version of `GET /chat HTTP/1.1`.
fn start(line: &str) -> Option<(&str, &str, u8)> {
    let (method, rest) = line.split_once(' ')?;
    let (target, version) = rest.split_once(' ')?;
    let minor = match version {
        "HTTP/1.0" => b'0',
        "HTTP/1.1" => b'1',
        _ => return None,
    };
    (is_token(method) && !target.is_empty()).then_some((method, target, minor))
}

impl<'b> Upgrade<'b> {
    /// What it asks for: mostly path and query.
    #[must_use]
    pub const fn target(&self) -> &'b str {
        self.target
    }

    /// All of the request; what follows [its length](Head::length) are frames.
    #[must_use]
    pub const fn head(&self) -> Head<'b> {
        self.head
    }

    /// The sub-protocols that the client offers, the best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> + use<'b> {
        let fields = self.head.fields().filter(|field| field.is("sec-websocket-protocol"));
        fields.flat_map(|field| Items::of(field.value)).map(|(name, _)| name)
    }

    /// The extensions that the client offers, each with its parameters, the best first.
    pub fn extensions(&self) -> impl Iterator<Item = (&'b str, &'b str)> + use<'b> {
        let fields = self.head.fields().filter(|field| field.is("sec-websocket-extensions"));
        fields.flat_map(|field| Items::of(field.value))
    }

    /// The first of `known`, in the server's order, that the client offers too.
    #[must_use]
    pub fn choose<'k>(&self, known: &[&'k str]) -> Option<&'k str> {
        known.iter().copied().find(|one| self.protocols().any(|offered| offered == *one))
    }
}

/// The response that makes the connection a WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acceptance<'a> {
    /// The sub-protocol that was selected, one of those that the client offers.
    pub protocol: Option<&'a str>,
    /// The extensions that are used, as they stand in `Sec-WebSocket-Extensions`; each was offered.
    pub extensions: Option<&'a str>,
    /// Extra headers: `Set-Cookie`, `Server` and so on. They must not break lines.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Acceptance<'_> {
    /// Writes the answer to `upgrade` to the beginning of `out`, and says how long it is.
    ///
    /// # Errors
    /// `out` is too small, something was not offered, or is not fit for HTTP.
    pub fn write(&self, upgrade: &Upgrade<'_>, out: &mut [u8]) -> Result<usize, WriteError> {
        let mut writer = Writer::new(out);
        writer
            .put(&[b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"])?;
        writer.field("Sec-WebSocket-Accept", &upgrade.key.accept())?;
        if let Some(protocol) = self.protocol {
            if !upgrade.protocols().any(|offered| offered == protocol) {
                return Err(WriteError::ProtocolNotOffered);
            }
            if !is_token(protocol) {
                return Err(WriteError::Protocol);
            }
            writer.field("Sec-WebSocket-Protocol", protocol.as_bytes())?;
        }
        if let Some(extensions) = self.extensions {
            let offered = |name: &str| upgrade.extensions().any(|(one, _)| one == name && !name.is_empty());
            if !are_extensions(extensions.as_bytes())
                || !Items::of(extensions.as_bytes()).all(|(name, _)| offered(name))
                || !is_value(extensions.as_bytes())
            {
                return Err(WriteError::Extensions);
            }
            writer.field("Sec-WebSocket-Extensions", extensions.as_bytes())?;
        }
        writer.extra(self.headers)?;
        writer.put(&[b"\r\n"])?;
        Ok(writer.written())
    }
}

/// A whole HTTP response that does not upgrade: a refusal, or the answer to a plain request. The connection closes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// 200 to 599: 401, 403, 404, 503 and so on.
    pub status: u16,
    /// The status in words.
    pub reason: &'a str,
    /// Extra headers: `Retry-After`, `Location`, `WWW-Authenticate`, `Content-Type` and so on.
    pub headers: &'a [(&'a str, &'a str)],
    /// What follows.
    pub body: &'a [u8],
}

impl<'a> Refusal<'a> {
    /// A response without extra headers and without a body.
    #[must_use]
    pub const fn new(status: u16, reason: &'a str) -> Refusal<'a> {
        Refusal { status, reason, headers: &[], body: b"" }
    }

    /// Writes it to the beginning of `out`, and says how long it is.
    ///
    /// # Errors
    /// `out` is too small, or something is not fit for HTTP.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        if !matches!(self.status, 200..=599) || !is_value(self.reason.as_bytes()) {
            return Err(WriteError::Status);
        }
        let mut writer = Writer::new(out);
        writer.put(&[b"HTTP/1.1 "])?;
        writer.number(self.status.into())?;
        writer.put(&[b" ", self.reason.as_bytes(), b"\r\nConnection: close\r\nContent-Length: "])?;
        writer.number(self.body.len())?;
        writer.put(&[b"\r\n"])?;
        for (name, value) in self.headers {
            if ["connection", "content-length", "transfer-encoding"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
            {
                return Err(WriteError::HeaderReserved);
            }
            writer.checked(name, value)?;
        }
        writer.put(&[b"\r\n", self.body])?;
        Ok(writer.written())
    }
}
