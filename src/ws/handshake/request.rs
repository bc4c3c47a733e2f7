//! What a client asks for (RFC 6455, section 4.1).

use super::head::{is_token, is_value};
use super::key::Key;
use super::list::are_extensions;
use super::write::{WriteError, Writer};

/// A request to upgrade.
///
/// ```
/// use everlink::ws::handshake::{Key, Request};
///
/// let request = Request {
///     protocols: &["chat", "superchat"],
///     headers: &[("Authorization", "Bearer abc")],
///     ..Request::new("server.example.com", "/chat")
/// };
/// let mut out = [0; 512];
/// let written = request.write(&Key::new(*b"the sample nonce"), &mut out).unwrap();
/// assert_eq!(
///     str::from_utf8(&out[..written]).unwrap(),
///     "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
///      Sec-WebSocket-Protocol: chat, superchat\r\nAuthorization: Bearer abc\r\n\r\n",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The host, and the port if it is not the scheme's own (80, 443).
    pub host: &'a str,
    /// Path and query, beginning with `/`.
    pub path: &'a str,
    /// Sub-protocols to choose from, the best first.
    pub protocols: &'a [&'a str],
    /// Whether a response that selects none of them fails.
    pub protocol_required: bool,
    /// Extensions to choose from, as they stand in `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'a str>,
    /// Extra headers: `Authorization`, `Cookie`, `Origin`, `User-Agent` and so on. They must not break lines.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Request<'a> {
    /// A request without sub-protocols, extensions and extra headers.
    #[must_use]
    pub const fn new(host: &'a str, path: &'a str) -> Request<'a> {
        Request { host, path, protocols: &[], protocol_required: false, extensions: None, headers: &[] }
    }

    /// Writes it to the beginning of `out`, and says how long it is.
    ///
    /// # Errors
    /// `out` is too small, or something in the request is not fit for HTTP.
    pub fn write(&self, key: &Key, out: &mut [u8]) -> Result<usize, WriteError> {
        let graphic = |text: &str, not: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_graphic() && !not.contains(&byte)) && !text.is_empty()
        };
        if !graphic(self.host, b"/?#@\\") {
            return Err(WriteError::Host);
        }
        if !self.path.starts_with('/') || !graphic(self.path, b"#") {
            return Err(WriteError::Path);
        }
        let mut writer = Writer::new(out);
        writer.put(&[b"GET ", self.path.as_bytes(), b" HTTP/1.1\r\n"])?;
        writer.field("Host", self.host.as_bytes())?;
        writer.put(&[b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])?;
        writer.field("Sec-WebSocket-Key", key.text().as_bytes())?;
        writer.field("Sec-WebSocket-Version", b"13")?;
        for (place, protocol) in self.protocols.iter().enumerate() {
            if !is_token(protocol) || self.protocols.iter().take(place).any(|earlier| earlier == protocol) {
                return Err(WriteError::Protocol);
            }
            let before: &[u8] = if place == 0 { b"Sec-WebSocket-Protocol: " } else { b", " };
            writer.put(&[before, protocol.as_bytes()])?;
        }
        if !self.protocols.is_empty() {
            writer.put(&[b"\r\n"])?;
        }
        if let Some(extensions) = self.extensions {
            if !is_value(extensions.as_bytes()) || !are_extensions(extensions.as_bytes()) {
                return Err(WriteError::Extensions);
            }
            writer.field("Sec-WebSocket-Extensions", extensions.as_bytes())?;
        }
        writer.extra(self.headers)?;
        writer.put(&[b"\r\n"])?;
        Ok(writer.written())
    }
}
