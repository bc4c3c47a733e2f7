//! Where to connect, and with which headers.

use std::fmt;

use everlink::ws::handshake::Request;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};

use crate::Payload;

/// Where one attempt connects to, and the headers that it sends. What it prints of itself holds neither query nor headers,
/// for tokens travel there.
#[derive(Clone)]
pub struct Target {
    pub(crate) uri: Uri,
    headers: Vec<(String, String)>,
    protocols: Vec<String>,
    credentials: Option<Payload>,
}

impl Target {
    /// A WebSocket URL: `ws://` or `wss://`, host, optional port, path and query. A fragment is refused, as RFC 6455,
    /// section 3, demands.
    ///
    /// # Errors
    /// Says what is wrong with the URL, without repeating its query.
    pub fn new(url: &str) -> Result<Target, UrlError> {
        let wrong = |problem| UrlError { shown: shown(url), problem };
        if url.contains('#') {
            return Err(wrong("must not have a fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
        if !["ws", "wss"].iter().any(|scheme| is_scheme(&uri, scheme)) {
            return Err(wrong("must begin with ws:// or wss://"));
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                Err(wrong("must not hold a user name or password; use a header"))
            }
            Some(authority) if !has_usable_port(authority) => {
                Err(wrong("has a port that is not between 1 and 65535"))
            }
            Some(authority) if !authority.host().is_empty() => {
                let uri = rooted(uri).map_err(|_| wrong("is not a URL"))?;
                Ok(Target { uri, headers: Vec::new(), protocols: Vec::new(), credentials: None })
            }
            _ => Err(wrong("has no host")),
        }
    }

    /// Adds a header to the upgrade request.
    ///
    /// # Errors
    /// If name or value may not stand in a header, or the name is one that the handshake itself needs.
    pub fn header(mut self, name: &str, value: &str) -> Result<Target, UrlError> {
        // What is no name may be a whole header, with its value.
        let parsed = HeaderName::try_from(name).map_err(|_| UrlError {
            shown: "a header's name".into(),
            problem: "may not stand in a header",
        })?;
        let wrong = |problem| UrlError { shown: format!("header {name:?}"), problem };
        let taken = ["host", "connection", "upgrade", "content-length", "transfer-encoding", "trailer"];
        if taken.contains(&parsed.as_str()) || parsed.as_str().starts_with("sec-websocket-") {
            return Err(wrong("belongs to the handshake itself"));
        }
        HeaderValue::try_from(value).map_err(|_| wrong("has a value that no header may have"))?;
        self.headers.push((name.into(), value.into()));
        Ok(self)
    }

    /// Adds `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    /// If the token holds what no header may hold.
    pub fn bearer(mut self, token: &str) -> Result<Target, UrlError> {
        let wrong = |_| UrlError { shown: "the token".into(), problem: "holds what no header may hold" };
        let value = format!("Bearer {token}");
        HeaderValue::try_from(&value).map_err(wrong)?;
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        self.headers.push(("Authorization".into(), value));
        Ok(self)
    }

    /// Offers sub-protocols, the preferred one first. If one is offered, the server must select one.
    ///
    /// # Errors
    /// If a name is not a token.
    pub fn protocols(mut self, names: &[&str]) -> Result<Target, UrlError> {
        let wrong = |_| UrlError { shown: "a sub-protocol".into(), problem: "may not stand in a header" };
        // They are tokens, as the names of headers are.
        names.iter().try_for_each(|name| HeaderName::try_from(*name).map(drop)).map_err(wrong)?;
        self.protocols = names.iter().map(|name| (*name).into()).collect();
        Ok(self)
    }

    /// On the native wire: what the application authenticates with, in the hello of this attempt. (What stands in a header works,
    /// too.) On the JSON wire: JSON, the payload of the `auth` that is the first message on each socket; the whole message, where
    /// [no dialogue](crate::Options::dialogue) is kept.
    #[must_use]
    pub fn credentials(self, credentials: impl Into<Payload>) -> Target {
        Target { credentials: Some(credentials.into()), ..self }
    }

    /// What goes into the hello.
    pub(crate) fn hello(&self) -> Option<Payload> {
        self.credentials.clone()
    }

    /// What is asked of the server. A wire with a sub-protocol of its own demands that, and no other.
    pub(crate) fn request<T>(&self, wire: Option<&str>, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let own = self.protocols.iter().map(|name| &**name);
        let protocols: Vec<_> = wire.map_or_else(|| own.collect(), |name| vec![name]);
        let host = self.uri.authority().map_or("", Authority::as_str);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        ask(&Request {
            protocols: &protocols,
            protocol_required: !protocols.is_empty(),
            headers: &headers,
            ..Request::new(host, path)
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        is_scheme(&self.uri, "wss")
    }

    /// Without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(crate) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }
}

/// As much of the URL as may be seen: not its query.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.uri.to_string()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Whether there is no port, or a possible one. (`Authority::port` is silent about one that is too large.)
fn has_usable_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    port.is_empty() || authority.port_u16().is_some_and(|port| port > 0)
}

/// Schemes are the same in either case (RFC 3986, section 3.1).
fn is_scheme(uri: &Uri, scheme: &str) -> bool {
    uri.scheme_str().is_some_and(|other| other.eq_ignore_ascii_case(scheme))
}

/// Without a path the root is meant, and the request line needs its slash in front of a query.
fn rooted(uri: Uri) -> Result<Uri, http::Error> {
    let mut parts = uri.into_parts();
    if let Some(path) = parts.path_and_query.as_ref().filter(|path| path.as_str().starts_with('?')) {
        parts.path_and_query = Some(format!("/{}", path.as_str()).parse()?);
    }
    Ok(Uri::from_parts(parts)?)
}

/// As much of a URL, or of what should have been one, as may be seen: neither query nor fragment nor anything in front of
/// an `@`, for a password may hold a slash.
fn shown(url: &str) -> String {
    let seen = url.split(['?', '#']).next().unwrap_or_default();
    match seen.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => seen.into(),
    }
}

/// A URL or header that cannot be used. Shows neither query nor token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    shown: String,
    problem: &'static str,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.shown, self.problem)
    }
}

impl std::error::Error for UrlError {}
