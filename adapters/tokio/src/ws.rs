//! A plain WebSocket over any stream of bytes, either end, without a link: for servers, and for clients that live no longer than
//! their socket.
//!
//! ```no_run
//! use everlink_tokio::ws::{Event, Options, accept};
//! use tokio::net::TcpListener;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:9000").await?;
//! let (tcp, _) = listener.accept().await?;
//! let mut socket = accept(tcp, Options::default()).await?.agree(&Default::default())?;
//! while let Some((event, mut reply)) = socket.next_with_reply().await {
//!     if let Event::Message { kind, data } = event {
//!         reply.send(kind, data)?; // an echo; it leaves when nothing more is there to be read
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use everlink::outbox::Kind;
use everlink::stream::{self, Fault, Heap, Memory, ROOM, Way};
use everlink::ws::handshake::{Acceptance, Incoming, Refusal, WriteError};
use everlink::ws::{Code, SendError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

pub use crate::pipe::Duplex;
pub use everlink::stream::Event;

use crate::open::open;
use crate::target::Target;
use crate::{Failure, secret};

/// What is lent with an event to send something at once.
pub type Reply<'a> = stream::Reply<'a, Heap>;

/// How a WebSocket is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of what the peer may send.
    pub limits: stream::Config,
    /// The longest message that can be sent, in bytes; 64 MiB by default.
    pub max_send: usize,
    /// How long the opening handshake may take; 10 s by default.
    pub handshake_timeout: Duration,
    /// How long the peer may take to end what was closed; 5 s by default.
    pub close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            limits: stream::Config::default(),
            max_send: 64 << 20,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Options {
    fn memory(&self) -> Memory<Heap> {
        let message = usize::try_from(self.limits.frames.message).unwrap_or(usize::MAX);
        Memory::on_heap(64 << 10, ROOM.saturating_add(self.max_send).saturating_add(14), message)
    }
}

const EVENT: Want = Want { event: true, room: None };

/// Why there is no WebSocket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The target could not be reached.
    Unreachable(Failure, String),
    /// The opening handshake failed.
    Handshake(Fault),
    /// The opening handshake took too long.
    TimedOut,
    /// What was to be answered cannot be written.
    Answer(WriteError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(_, detail) => f.write_str(detail),
            Error::Handshake(fault) => fault.fmt(f),
            Error::TimedOut => f.write_str("the opening handshake took too long"),
            Error::Answer(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// A WebSocket.
#[derive(Debug)]
pub struct WebSocket<S> {
    bytes: S,
    socket: stream::WebSocket<Heap>,
    max_send: usize,
    close_timeout: Duration,
    /// When the end, once it has begun, has taken long enough.
    give_up: Option<Instant>,
    unflushed: bool,
    shut: bool,
    lost: bool,
}

/// What to wait for; see [`WebSocket::turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// An event. If not, nothing is read.
    pub event: bool,
    /// Room for a message of so many bytes.
    pub room: Option<usize>,
}

/// What waiting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is an event: [`WebSocket::event`].
    Event,
    /// There is room.
    Room,
    /// All is over.
    Over,
}

/// Connects, without a link: the WebSocket lives no longer than its socket.
///
/// # Errors
/// Says what went wrong on the way.
pub async fn connect(
    target: &Target,
    tls: Option<Arc<rustls::ClientConfig>>,
    options: Options,
) -> Result<WebSocket<Box<dyn Duplex>>, Error> {
    let opening = async {
        let bytes =
            open(target, tls).await.map_err(|(failure, detail)| Error::Unreachable(failure, detail))?;
        connect_over(bytes, target, &options).await
    };
    timeout(options.handshake_timeout, opening).await.unwrap_or(Err(Error::TimedOut))
}

/// The client's handshake over bytes that are there; the caller bounds its time.
///
/// # Errors
/// Says how the handshake failed.
pub async fn connect_over<S: AsyncRead + AsyncWrite + Unpin>(
    bytes: S,
    target: &Target,
    options: &Options,
) -> Result<WebSocket<S>, Error> {
    let no_entropy = || Error::Unreachable(Failure::Credentials, "there is no source of random bytes".into());
    let secret = secret().ok_or_else(no_entropy)?;
    let socket = target.request(None, |request| {
        let socket = stream::WebSocket::client(options.memory(), &options.limits, request, secret);
        socket.map_err(|(error, _)| Error::Handshake(Fault::Request(error)))
    })?;
    let mut socket = WebSocket::new(bytes, socket, options);
    let fault = match socket.next().await {
        Some(Event::Opened(_)) => return Ok(socket),
        Some(Event::Refused(refused)) => Fault::Status(refused.status),
        Some(Event::HandshakeFailed(error)) => Fault::Response(error),
        _ => Fault::HungUp,
    };
    Err(Error::Handshake(fault))
}

/// Reads a request from a client; then [agree](Asked::agree) or [refuse](Asked::refuse).
///
/// # Errors
/// There was no request that could be answered (the client was told so).
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    bytes: S,
    options: Options,
) -> Result<Asked<S>, Error> {
    let socket = stream::WebSocket::server(options.memory(), &options.limits);
    let mut socket = WebSocket::new(bytes, socket, &options);
    let fault = {
        let asking = timeout(options.handshake_timeout, socket.turn(EVENT)).await;
        match asking.map(|_| socket.socket.asked().is_some()) {
            Ok(true) => return Ok(Asked(socket)),
            Ok(false) => match socket.socket.read() {
                Some(Event::HandshakeFailed(error)) => Some(Fault::Response(error)),
                _ => Some(Fault::HungUp),
            },
            Err(_) => None,
        }
    };
    let Some(fault) = fault else { return Err(Error::TimedOut) };
    socket.end().await;
    Err(Error::Handshake(fault))
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Asked<S>(WebSocket<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Asked<S> {
    /// What is asked for. Anything but [`Incoming::Upgrade`] can only be refused, or answered in the same way.
    #[must_use]
    pub fn request(&self) -> Option<Incoming<'_>> {
        self.0.socket.asked()
    }

    /// Becomes a WebSocket. The answer goes out with the first that is read or sent.
    ///
    /// # Errors
    /// The answer cannot be written, or the request is none that could be agreed to.
    pub fn agree(mut self, acceptance: &Acceptance<'_>) -> Result<WebSocket<S>, Error> {
        self.0.socket.accept(acceptance).map_err(Error::Answer)?;
        Ok(self.0)
    }

    /// Answers that there will be no WebSocket, or a plain request, and waits until the answer has gone.
    ///
    /// # Errors
    /// The answer cannot be written.
    pub async fn refuse(mut self, refusal: &Refusal<'_>) -> Result<(), Error> {
        self.0.socket.refuse(refusal).map_err(Error::Answer)?;
        self.0.end().await;
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    fn new(bytes: S, socket: stream::WebSocket<Heap>, options: &Options) -> WebSocket<S> {
        WebSocket {
            bytes,
            socket,
            max_send: options.max_send,
            close_timeout: options.close_timeout,
            give_up: None,
            unflushed: false,
            shut: false,
            lost: false,
        }
    }

    /// What happens next; what waits to go out goes meanwhile. `None` when all is over. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Event<'_>> {
        // What is there already needs no waiting.
        if !self.socket.is_ready() && self.turn(EVENT).await != Turn::Event {
            return None;
        }
        self.socket.read()
    }

    /// The same, with a way to send one message while the event is lent; there is room for it.
    pub async fn next_with_reply(&mut self) -> Option<(Event<'_>, Reply<'_>)> {
        // What is wanted comes only while there is room: so first that, then the event.
        let room = Want { event: false, room: Some(self.max_send) };
        if !self.socket.has_room(self.max_send) && self.turn(room).await == Turn::Over {
            return None;
        }
        if !self.socket.is_ready() && self.turn(EVENT).await != Turn::Event {
            return None;
        }
        self.socket.read_with_reply()
    }

    /// Waits for what is wanted; what waits to go out goes meanwhile. May be dropped and called again. For tasks that have other
    /// things to wait for; others call [`next`](WebSocket::next).
    pub async fn turn(&mut self, want: Want) -> Turn {
        loop {
            if let Some(at) = self.give_up {
                let turn = timeout_at(at, poll_fn(|cx| self.poll_turn(cx, want))).await;
                return turn.ok().flatten().unwrap_or(Turn::Over);
            }
            if let Some(turn) = poll_fn(|cx| self.poll_turn(cx, want)).await {
                return turn;
            }
            self.give_up = Some(Instant::now() + self.close_timeout);
        }
    }

    /// What there is, after [`Turn::Event`].
    pub fn event(&mut self) -> Option<Event<'_>> {
        self.socket.read()
    }

    /// Puts a message behind what waits to go out. It leaves with [`flush`](WebSocket::flush), or while the next event is
    /// [waited](WebSocket::next) for.
    ///
    /// # Errors
    /// It is larger than [`Options::max_send`], or the WebSocket is closed.
    pub async fn feed(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        if !self.socket.has_room(payload.len()) && payload.len() <= self.max_send {
            poll_fn(|cx| self.poll_out(cx, payload.len())).await;
        }
        self.socket.send(kind, payload)
    }

    /// The same, if there is room now.
    ///
    /// # Errors
    /// As for [`feed`](WebSocket::feed); [`SendError::NoRoom`] if there is none.
    pub fn try_feed(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.socket.send(kind, payload)
    }

    /// Sends a message, and waits until the operating system has it.
    ///
    /// # Errors
    /// As for [`feed`](WebSocket::feed).
    pub async fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.feed(kind, payload).await?;
        self.flush().await;
        Ok(())
    }

    /// Puts a ping behind what waits to go out; if there is no room for it, it is left out.
    ///
    /// # Errors
    /// As for [`feed`](WebSocket::feed); more than 125 bytes are too many.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.socket.ping(payload)
    }

    /// Waits until all that waits has gone out. If it cannot go, [`next`](WebSocket::next) says so.
    pub async fn flush(&mut self) {
        poll_fn(|cx| self.poll_out(cx, usize::MAX)).await;
    }

    /// Says that this end closes. [`next`](WebSocket::next) still gives what comes, and then the end.
    pub fn close(&mut self, code: Option<Code>, reason: &str) {
        self.socket.close(code, reason);
    }

    /// Goes on to the end, whatever still comes; for at most [`Options::close_timeout`].
    pub async fn end(&mut self) {
        self.give_up.get_or_insert(Instant::now() + self.close_timeout);
        while self.next().await.is_some() {}
    }

    /// The peer's close code (RFC 6455, section 7.1.5): 1005 if it gave none, 1006 if there was no close frame; and whether both
    /// ends said that they close.
    #[must_use]
    pub fn ending(&self) -> (u16, bool) {
        (self.socket.closing().code(), self.socket.closing().is_clean())
    }

    /// What carries the bytes, and the WebSocket on it.
    pub(crate) fn into_parts(self) -> (S, stream::WebSocket<Heap>) {
        (self.bytes, self.socket)
    }

    /// What carries the bytes.
    pub const fn get_ref(&self) -> &S {
        &self.bytes
    }

    fn over(&self) -> bool {
        self.lost || self.socket.way() == Way::Over
    }

    /// Moves bytes until there is a turn; `None` when from now on it is a matter of time.
    fn poll_turn(&mut self, cx: &mut Context<'_>, want: Want) -> Poll<Option<Turn>> {
        loop {
            if want.room.is_some_and(|bytes| self.socket.has_room(bytes)) {
                return Poll::Ready(Some(Turn::Room));
            }
            if want.event && self.socket.is_ready() {
                return Poll::Ready(Some(Turn::Event));
            }
            if self.give_up.is_none() && !self.socket.is_open() && !self.socket.is_shaking() {
                return Poll::Ready(None);
            }
            let before = self.socket.transmit().len();
            let out = self.poll_out(cx, usize::MAX);
            if self.over() {
                return Poll::Ready(Some(Turn::Over));
            }
            if out.is_ready() && self.socket.way() == Way::Shut && !self.shut {
                self.shut = Pin::new(&mut self.bytes).poll_shutdown(cx).is_ready();
            }
            if want.room.is_some() && self.socket.transmit().len() < before {
                continue;
            }
            let mut room = ReadBuf::new(if want.event { self.socket.fill() } else { &mut [] });
            if room.capacity() == 0 {
                return Poll::Pending;
            }
            match std::task::ready!(Pin::new(&mut self.bytes).poll_read(cx, &mut room)) {
                Ok(()) => {
                    let count = room.filled().len();
                    self.socket.received(count);
                }
                Err(_) => self.lost = true,
            }
        }
    }

    /// Writes until nothing waits, or until there is room for a message of so many bytes.
    fn poll_out(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<()> {
        while !self.lost && (room == usize::MAX || !self.socket.has_room(room)) {
            let done = match self.socket.transmit() {
                [] if self.unflushed => Pin::new(&mut self.bytes).poll_flush(cx).map_ok(|()| None),
                [] => break,
                bytes => Pin::new(&mut self.bytes).poll_write(cx, bytes).map_ok(Some),
            };
            match std::task::ready!(done) {
                Ok(Some(0)) | Err(_) => self.lost = true,
                Ok(Some(count)) => {
                    self.socket.sent(count);
                    self.unflushed = true;
                }
                Ok(None) => self.unflushed = false,
            }
        }
        Poll::Ready(())
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::other(error)
    }
}
