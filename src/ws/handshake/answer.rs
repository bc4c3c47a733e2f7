//! What a server answers, as a client reads it (RFC 6455, section 4.1).

use core::time::Duration;

use super::date;
use super::fault::{Fault, HandshakeError};
use super::head::{Finder, Head, HeadLimits};
use super::key::Key;
use super::list::{Items, are_extensions};
use super::request::Request;

/// Reads the response to one request.
///
/// ```
/// use everlink::ws::handshake::{HeadLimits, Key, Request, Response, ResponseReader};
///
/// let request = Request { protocols: &["chat"], ..Request::new("server.example.com", "/chat") };
/// let mut reader = ResponseReader::new(&Key::new(*b"the sample nonce"), HeadLimits::default());
/// let bytes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n\x81\x02hi";
/// assert_eq!(reader.read(&request, &bytes[..60]), Ok(None));
/// let Ok(Some(Response::Accepted(accepted))) = reader.read(&request, bytes) else { panic!() };
/// assert_eq!(accepted.protocol, Some("chat"));
/// assert_eq!(&bytes[accepted.head.length()..], b"\x81\x02hi"); // for the decoder
/// ```
#[derive(Clone, Debug)]
pub struct ResponseReader {
    finder: Finder,
    accept: [u8; 28],
}

/// What the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'b> {
    /// The connection is a WebSocket.
    Accepted(Accepted<'b>),
    /// It is not, and stays HTTP. Nothing is followed or repeated by itself.
    Refused(Refused<'b>),
}

/// A response that is right in every respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted<'b> {
    /// The sub-protocol that the server selected, one of those offered.
    pub protocol: Option<&'b str>,
    /// All of the response; what follows [its length](Head::length) are frames.
    pub head: Head<'b>,
}

impl<'b> Accepted<'b> {
    /// The extensions that the server uses, each with its parameters. All were offered; whether the parameters are right is for
    /// the extension to say.
    pub fn extensions(&self) -> impl Iterator<Item = (&'b str, &'b str)> {
        extensions(self.head)
    }
}

/// A response with another status than 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'b> {
    /// The status, such as 401 or 503.
    pub status: u16,
    /// All of the response but its body, which follows.
    pub head: Head<'b>,
}

impl<'b> Refused<'b> {
    /// `Retry-After` in seconds; `None` if there is none, or if it is a date (for which see its text in the
    /// [head](Head::text)).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.head.text("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    /// The same, also if it is a date (RFC 9110, section 10.2.3), where it is known how much time has passed since
    /// 1970-01-01 00:00 UTC. A date that is past asks for nothing.
    #[must_use]
    pub fn retry_after_at(&self, since_1970: Duration) -> Option<Duration> {
        self.retry_after().or_else(|| date::parse(self.head.text("retry-after")?)?.checked_sub(since_1970))
    }

    /// `Location`: where to go instead, if the caller trusts it.
    #[must_use]
    pub fn location(&self) -> Option<&'b str> {
        self.head.text("location")
    }
}

fn extensions<'b>(head: Head<'b>) -> impl Iterator<Item = (&'b str, &'b str)> {
    head.fields()
        .filter(|field| field.is("sec-websocket-extensions"))
        .flat_map(|field| Items::of(field.value))
}

impl ResponseReader {
    /// A reader for the response to the request that showed this key.
    #[must_use]
    pub fn new(key: &Key, limits: HeadLimits) -> ResponseReader {
        ResponseReader { finder: Finder::new(limits), accept: key.accept() }
    }

    /// The response, if `bytes`, which are all that have come, have all of its head. `request` is what was written.
    ///
    /// # Errors
    /// The first fault; then the connection is to be dropped.
    pub fn read<'b>(
        &mut self,
        request: &Request<'_>,
        bytes: &'b [u8],
    ) -> Result<Option<Response<'b>>, HandshakeError> {
        self.read_offered(request, bytes)
    }

    /// The same, with what was offered given in another form.
    pub(crate) fn read_offered<'b>(
        &mut self,
        offer: &impl Offered,
        bytes: &'b [u8],
    ) -> Result<Option<Response<'b>>, HandshakeError> {
        let Some(head) = self.finder.find(bytes)? else { return Ok(None) };
        let (version, status) = status(head.start).ok_or(HandshakeError::new(Fault::StartLine, 0))?;
        if status != 101 {
            return Ok(Some(Response::Refused(Refused { status, head })));
        }
        if version == b'0' {
            return Err(HandshakeError::new(Fault::HttpVersion, 0));
        }
        self.check(offer, head).map(|accepted| Some(Response::Accepted(accepted)))
    }

    fn check<'b>(&self, offer: &impl Offered, head: Head<'b>) -> Result<Accepted<'b>, HandshakeError> {
        let fault = HandshakeError::new;
        match head.only("upgrade")? {
            // In a request it is one of a list, in a response there is no choice left.
            Some(field) if field.value.eq_ignore_ascii_case(b"websocket") => {}
            field => return Err(fault(Fault::Upgrade, field.map_or(head.length(), |field| field.at))),
        }
        head.lists("connection", "upgrade").map_err(|at| fault(Fault::Connection, at))?;
        match head.only("sec-websocket-accept")? {
            Some(field) if field.value == self.accept => {}
            field => return Err(fault(Fault::Accept, field.map_or(head.length(), |field| field.at))),
        }
        let protocol = match head.only("sec-websocket-protocol")? {
            Some(field) => match str::from_utf8(field.value) {
                Ok(protocol) if offer.protocol(protocol) => Some(protocol),
                _ => return Err(fault(Fault::ProtocolNotOffered, field.at)),
            },
            None if offer.needs_protocol() => return Err(fault(Fault::ProtocolMissing, head.length())),
            None => None,
        };
        if let Some(field) = head.only("sec-websocket-extensions")? {
            if !are_extensions(field.value) {
                return Err(fault(Fault::ExtensionList, field.at));
            }
            if !Items::of(field.value).all(|(name, _)| offer.extension(name)) {
                return Err(fault(Fault::ExtensionNotOffered, field.at));
            }
        }
        Ok(Accepted { protocol, head })
    }
}

/// What a response may choose from.
pub(crate) trait Offered {
    fn protocol(&self, name: &str) -> bool;
    fn needs_protocol(&self) -> bool;
    fn extension(&self, name: &str) -> bool;
}

impl Offered for Request<'_> {
    fn protocol(&self, name: &str) -> bool {
        self.protocols.contains(&name)
    }

    fn needs_protocol(&self) -> bool {
        self.protocol_required
    }

    fn extension(&self, name: &str) -> bool {
        Items::of(self.extensions.unwrap_or_default().as_bytes()).any(|(one, _)| one == name)
    }
}

/// An offer as it stands in the bytes of the request, for who has not kept the request itself.
pub(crate) struct Offer<'a> {
    pub(crate) request: &'a [u8],
    pub(crate) protocol_required: bool,
}

impl Offer<'_> {
    fn lists(&self, field: &str, name: &str) -> bool {
        let head = Head::parse(self.request, u16::MAX);
        head.is_ok_and(|head| {
            let fields = head.fields().filter(|one| one.is(field));
            fields.flat_map(|field| Items::of(field.value)).any(|(one, _)| one == name)
        })
    }
}

impl Offered for Offer<'_> {
    fn protocol(&self, name: &str) -> bool {
        self.lists("sec-websocket-protocol", name)
    }

    fn needs_protocol(&self) -> bool {
        self.protocol_required
    }

    fn extension(&self, name: &str) -> bool {
        self.lists("sec-websocket-extensions", name)
    }
}

/// The minor version and the status of `HTTP/1.1 101 Whatever`.
fn status(line: &str) -> Option<(u8, u16)> {
    let rest = line.strip_prefix("HTTP/1.")?;
    match rest.as_bytes() {
        [version @ (b'0' | b'1'), b' ', digits @ ..] => {
            let (digits, behind) = digits.split_first_chunk::<3>()?;
            let number =
                str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
            let whole = matches!(behind, [] | [b' ', ..]);
            number.parse().ok().filter(|status| whole && *status >= 100).map(|status| (*version, status))
        }
        _ => None,
    }
}
