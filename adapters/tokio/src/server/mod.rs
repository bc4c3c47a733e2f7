//! The server's side: sessions that outlive their sockets, and plain WebSockets beside them, on one port.
//!
//! ```no_run
//! use everlink_tokio::Message;
//! use everlink_tokio::server::{Event, Handler, Options, Session, serve};
//! use tokio::net::TcpListener;
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     /// One call for each session, however many sockets it lives through. When it returns, the session ends.
//!     async fn session(&self, mut session: Session) {
//!         while let Some(event) = session.recv().await {
//!             if let Event::Message(received) = event {
//!                 let _ = session.send(Message::binary(received.data)); // waits for the client to be there, if need be
//!             }
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:9000").await?;
//! let server = serve(listener, Echo, Options::default())?;
//! tokio::signal::ctrl_c().await?;
//! server.stop(Default::default()).await; // clients are told to come back
//! # Ok(())
//! # }
//! ```
//!
//! Each socket has a task that tells the [core](everlink::peer) what happened and does what it asks; each session has a task for
//! its handler. What comes for a session waits, in order, until the handler takes it; if too much waits, its socket is not
//! read.
//!
//! What it can hold is bounded: sockets by [`Options::max_connections`]; sessions by `config.acceptor.sessions`; what waits for each
//! client by `config.outbox`, and for all together by [`Options::messages`]; what came from each client by [`Options::inbound`] messages
//! of at most [`Options::max_message`] bytes.

mod carrier;
mod dialogue;
mod door;
mod handler;
mod host;
mod hub;
mod inbox;
mod journal;
mod session;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use dialogue::{Asked, Publish, Subscribe};
pub use everlink::acceptor::{Principal, SessionId};
pub use everlink::peer::{Config, Counts};
pub use everlink::wire::native::code;
pub use handler::{Caller, Credentials, Denial, Handler, Hello, Rejection, Speaks};
pub use host::Host;
pub use inbox::Event;
pub use session::{Peer, Session};

use everlink::ws;
use tokio::net::TcpListener;

use crate::Error;
use hub::{Hub, Stage};

/// What a server may be told. The default suits most.
#[derive(Clone)]
pub struct Options {
    /// Every number of the core: sessions, heartbeat, delivery, outbox, slow clients.
    pub config: Config,
    /// How many messages may wait for all clients together; 65,536 by default.
    pub messages: u32,
    /// How many sockets may be open, handshakes included; 1,024 by default. One more is answered with HTTP status 503.
    pub max_connections: usize,
    /// How long TLS and the opening handshake may take together; 10 s by default.
    pub handshake_timeout: Duration,
    /// The longest message that is accepted, in bytes; a longer one closes the socket with 1009. 2 MiB by default. (On the
    /// native wire, an envelope has `config.acceptor.limits.envelope`, too, and a frame may hold several.)
    pub max_message: usize,
    /// Agrees to compress messages; not by default. Read what [`deflate`](ws::deflate) says about secrets before it is turned on.
    pub compression: Option<ws::deflate::Config>,
    /// How many messages of one session may wait for its handler before its socket is not read any more. At least 1; 64 by
    /// default. (Those that came in one frame with the last are let in.)
    pub inbound: usize,
    /// A file that the sessions are kept in, which turns the durable mode on (`config.delivery.durable`): nothing leaves that a
    /// killed process would not know of when it comes back. If the file is there, its sessions go on, and each is given to the handler
    /// again. It holds resume tokens and what is queued. A second one that is
    /// given the same file is refused, as long as the first one has it: a file beside it, with `.lock` behind its name, is locked.
    ///
    /// A [stop](Server::stop) then ends no session: their clients come back to the next process.
    pub state: Option<PathBuf>,
    /// For `wss://`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            config: Config::default(),
            messages: 1 << 16,
            max_connections: 1 << 10,
            handshake_timeout: Duration::from_secs(10),
            max_message: 2 << 20,
            compression: None,
            inbound: 64,
            state: None,
            tls: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("config", &self.config)
            .field("messages", &self.messages)
            .field("max_connections", &self.max_connections)
            .field("max_message", &self.max_message)
            .finish_non_exhaustive()
    }
}

/// How a server stops.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// What clients are told: [`code::RESTART`] by default, with which they come back by themselves.
    pub code: u16,
    /// How long they are asked to stay away; 1 s by default. Each adds a jitter of its own.
    pub retry_after: Duration,
    /// How long what is queued for clients that are there may still leave before; not at all by default.
    pub linger: Duration,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { code: code::RESTART, retry_after: Duration::from_secs(1), linger: Duration::ZERO }
    }
}

/// A running server. Dropping it drops all sockets at once, without a word.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    local_addr: SocketAddr,
}

/// Serves on this listener. Call it inside a tokio runtime.
///
/// # Errors
/// If the configuration cannot work, the listener has no address, or the file of the state cannot be used.
pub fn serve(listener: TcpListener, handler: impl Handler, options: Options) -> Result<Server, Error> {
    let local_addr = listener.local_addr().map_err(Error::Io)?;
    let handler = Arc::new(handler);
    let hub = Hub::open(&handler, &options)?;
    let door = door::Door::new(hub.clone(), handler, options);
    tokio::spawn(door.run(listener));
    Ok(Server { hub, local_addr })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many sockets are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hub.sockets.count()
    }

    /// The sessions that there are, on a socket or not.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.hub.peers()
    }

    /// One of them.
    #[must_use]
    pub fn peer(&self, session: SessionId) -> Option<Peer> {
        self.hub.peer(session)
    }

    /// What has happened to sessions, ever.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.hub.lock().sessions.counts()
    }

    /// Stops: lets nobody in any more, tells every client why it goes and when to come back, and waits until the sockets are closed
    /// and the handlers of all sessions have returned. What then still waits for a client is settled.
    ///
    /// Takes at most `stop.linger`, and then twice `config.acceptor.close_timeout`: handlers that are not back by then are dropped where they
    /// wait.
    pub async fn stop(self, stop: Stop) -> Counts {
        self.hub.stop(stop).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.stage.send_replace(Stage::Over);
    }
}
