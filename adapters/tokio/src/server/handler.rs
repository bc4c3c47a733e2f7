//! What the application says and does: who may come in, and what becomes of them.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use everlink::acceptor::Principal;
use everlink::wire::json;
use everlink::wire::native::{SUBPROTOCOL, code};
use everlink::ws::Code;
use everlink::ws::handshake::{Head, Incoming};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Session;
use crate::pipe::Duplex;
use crate::ws::WebSocket;

/// The application's side of a server.
pub trait Handler: Send + Sync + 'static {
    /// A request has come. Says what is spoken on its socket; by default, what the client asks for if that is the
    /// [native](Caller::native) wire or the [JSON](Caller::json) one, and anything else is refused. The place to look at path, origin and cookies.
    fn admit(&self, caller: &Caller) -> impl Future<Output = Result<Speaks, Denial>> + Send {
        let words = "everlink.v1 or everlink.json.v1 is spoken here";
        std::future::ready(caller.native().or(caller.json()).ok_or(Denial::new(400, words)))
    }

    /// On the native wire, or the JSON one: who is it? By default anyone is let in. The time for it is bounded by
    /// `config.acceptor.decision_timeout`; nothing is read from the client meanwhile.
    fn authenticate(
        &self,
        caller: &Caller,
        hello: &Hello,
    ) -> impl Future<Output = Result<Principal, Rejection>> + Send {
        let _ = (caller, hello);
        std::future::ready(Ok(Principal::ANYONE))
    }

    /// On the native wire, or the JSON one: a session has begun. It ends when this returns; if it ends otherwise, [`Session::recv`] says so.
    fn session(&self, session: Session) -> impl Future<Output = ()> + Send;

    /// A WebSocket of another wire, where [`admit`](Handler::admit) said [`Speaks::Plain`]. By default it is closed with 1011.
    fn plain(&self, caller: Caller, socket: WebSocket<Box<dyn Duplex>>) -> impl Future<Output = ()> + Send {
        let mut socket = socket;
        async move {
            drop(caller);
            socket.close(Code::new(code::INTERNAL), "");
            socket.end().await;
        }
    }
}

/// Who asks for a socket, and how. `Debug` shows neither query nor headers.
#[derive(Clone)]
pub struct Caller {
    from: SocketAddr,
    method: Method,
    target: String,
    headers: HeaderMap,
    protocols: Vec<String>,
}

impl Caller {
    pub(super) fn new(from: SocketAddr, asked: &Incoming<'_>) -> Caller {
        match asked {
            Incoming::Upgrade(upgrade) => Caller {
                from,
                method: Method::GET,
                target: upgrade.target().into(),
                headers: headers(&upgrade.head()),
                protocols: upgrade.protocols().map(Into::into).collect(),
            },
            Incoming::Plain(plain) => Caller {
                from,
                method: plain.method.parse().unwrap_or_default(),
                target: plain.target.into(),
                headers: headers(&plain.head),
                protocols: Vec::new(),
            },
        }
    }

    /// Where the socket comes from.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        self.from
    }

    /// What it asks for: path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// All that the request says of itself.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// `GET`, unless it is a request that does not ask for a WebSocket.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The sub-protocols that it offers, the best first.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|name| &**name)
    }

    /// The native wire, if it offers that.
    #[must_use]
    pub fn native(&self) -> Option<Speaks> {
        self.protocols().any(|name| name == SUBPROTOCOL).then_some(Speaks::Native)
    }

    /// The JSON wire, if it offers that. (Clients that speak nothing else may not: where all do, [`Speaks::Json`] is the answer to
    /// everybody.)
    #[must_use]
    pub fn json(&self) -> Option<Speaks> {
        self.protocols().any(|name| name == json::SUBPROTOCOL).then_some(Speaks::Json)
    }
}

/// What is no header to the `http` crate is left out.
fn headers(head: &Head<'_>) -> HeaderMap {
    let parsed = head.fields().filter_map(|field| {
        let name = HeaderName::try_from(field.name).ok()?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in parsed {
        headers.append(name, value);
    }
    headers
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        f.debug_struct("Caller").field("from", &self.from).field("path", &path).finish_non_exhaustive()
    }
}

/// What is spoken on a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The native wire: its sub-protocol is selected.
    Native,
    /// The JSON wire: its sub-protocol is selected, if the client offers it. The client has a session as others have, with requests and
    /// channels, but it ends with its socket. All payloads are JSON: what is sent and is none arrives as a JSON string. What has no
    /// words there, such as the codes of errors, is left out.
    Json,
    /// Another one, of which the application knows; with this sub-protocol, which the client must have offered, or without
    /// one.
    Plain(Option<String>),
}

/// An answer that there will be no WebSocket.
#[derive(Clone, Debug)]
pub struct Denial {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Denial {
    /// With this HTTP status, 200 to 599, and these words as its body.
    #[must_use]
    pub fn new(status: u16, words: impl Into<String>) -> Denial {
        Denial { status, body: words.into(), headers: Vec::new() }
    }

    /// And this header: `WWW-Authenticate`, `Retry-After`, `Location` and so on.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Denial {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What a client says of itself on the native wire, or the JSON one (there, its `auth`).
#[derive(Clone, Debug)]
pub struct Hello {
    /// What it authenticates with; empty if that is in the request.
    pub credentials: Credentials,
    /// Whether it wants to go on with a session.
    pub resumes: bool,
}

/// What a client authenticates with. `Debug` does not show it.
#[derive(Clone)]
pub struct Credentials(pub(super) Bytes);

impl Credentials {
    /// The bytes. Do not log them, and compare them in constant time.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why: [`code::UNAUTHENTICATED`], with which clients give up by default; or [`code::TRY_LATER`]; or one of the application's own.
    pub code: u16,
    /// When to come back; zero for not said.
    pub retry_after: Duration,
    /// For people; at most 80 bytes.
    pub reason: &'static str,
}

impl Rejection {
    /// The credentials are not good.
    #[must_use]
    pub const fn unauthenticated(reason: &'static str) -> Rejection {
        Rejection { code: code::UNAUTHENTICATED, retry_after: Duration::ZERO, reason }
    }

    /// It cannot be found out now.
    #[must_use]
    pub const fn try_later(retry_after: Duration) -> Rejection {
        Rejection { code: code::TRY_LATER, retry_after, reason: "try later" }
    }
}
