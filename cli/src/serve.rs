//! A WebSocket server to try clients on: it echoes or broadcasts, pings, drops the dead and stops cleanly.
//!
//! ```no_run
//! # async fn run() -> anyhow::Result<()> {
//! use everlink_cli::serve::{ServeOptions, Server, ServerEvent};
//! use tokio::net::TcpListener;
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let (server, mut events) = Server::start(listener, ServeOptions::default())?;
//! println!("ws://{}", server.local_addr());
//! while let Some(event) = events.recv().await {
//!     if matches!(event, ServerEvent::Disconnected { .. }) {
//!         break;
//!     }
//! }
//! server.stop(1001).await;
//! # Ok(())
//! # }
//! ```
//!
//! The heartbeat goes in rounds: in every round a client that showed no life since the round before is terminated, the others
//! are pinged; so a dead client is dropped after one to two intervals. Any frame that comes in is a sign of life.
//!
//! A client that offers the sub-protocol of the native wire gets that: a session that outlives its sockets, in which nothing
//! is lost and nothing comes twice. One that offers that of the JSON wire gets requests and channels over it, in a session that ends
//! with its socket. All others get a plain WebSocket, on the same port; messages are handed from any to any. Requests are answered with
//! their own arguments, and what is published goes to all who have subscribed.
//!
//! Everything is bounded. In the modes that hand a message to several clients, a client whose outgoing queue is full is
//! closed with 1013 and loses what waits for it; an echo is read only as fast as its answers are taken. What a client
//! sends can end its own connection, never another's.

pub mod command;
mod connection;
mod message;
mod native;
mod queue;
mod room;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everlink_tokio::Kind;
use everlink_tokio::server::Stop;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{self, MissedTickBehavior};

use room::Room;

/// Sockets that may be in their handshake, or on their way out, beyond `max_connections`. More are dropped unheard.
const WAITING_ROOM: usize = 256;
/// Events that wait for the observer before reading from the clients pauses.
const EVENTS: usize = 1024;
/// Beyond the close timeout, so that a connection that was given up is still reported.
const GRACE: Duration = Duration::from_millis(250);

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Its sender.
    Echo,
    /// All clients, its sender too.
    Broadcast,
    /// All clients but its sender.
    Others,
}

/// How the server finds out that a client is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Heartbeat {
    /// WebSocket ping frames, which every client answers by itself.
    Ws,
    /// The binary message 0x01; the same comes back.
    Byte,
    /// The text {"type":"ping"}, answered by {"type":"pong"}; the server answers a client's ping likewise.
    Json,
    /// Not at all: silent clients stay.
    None,
}

/// How a server behaves. Durations and limits must not be zero; [`Server::start`] refuses that.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Who gets a message.
    pub mode: Mode,
    /// How dead clients are found.
    pub heartbeat: Heartbeat,
    /// Time between two rounds of the heartbeat.
    pub interval: Duration,
    /// Bytes of the largest message; a larger one closes its sender with 1009.
    pub max_message: usize,
    /// Clients at the same time; one more is answered with HTTP status 503.
    pub max_connections: usize,
    /// Time for the opening handshake.
    pub handshake_timeout: Duration,
    /// Time for a client to answer a close frame; also the bound of [`Server::stop`].
    pub close_timeout: Duration,
    /// Messages that may wait for one client.
    pub queue_messages: usize,
    /// Payload bytes that may wait for one client. A single message may exceed it.
    pub queue_bytes: usize,
    /// The web pages that may connect, by their origin (`https://example.org`); all, if there are none here. Clients that are no
    /// browsers name no origin and may always.
    pub origins: Vec<String>,
    /// A file that the sessions of the native wire are kept in, so that they outlive the process.
    pub state: Option<PathBuf>,
    /// Sees each message of the native wire before its session has taken it.
    pub tap: Option<Tap>,
}

/// Is called for each message of the native wire, on the session's task: what it has done is done before anything can depend on the
/// server's having the message.
#[derive(Clone)]
pub struct Tap(pub Arc<dyn Fn(Tapped<'_>) + Send + Sync>);

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

/// A message of the native wire.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    /// The session, counted from 1 in this process.
    pub session: u64,
    /// The session's number in logs, which it has in the next process, too.
    pub id: u64,
    /// The message's number in the session. One that was seen before comes again, if the process was killed before the session
    /// had taken it.
    pub number: u64,
    /// What it says.
    pub payload: &'a Payload,
}

impl Default for ServeOptions {
    /// An echo with WebSocket pings every 10 s; messages of up to 1 MiB; 1,024 clients; 5 s for a handshake and 3 s for a
    /// close; 1,024 messages of together 4 MiB waiting for one client.
    fn default() -> ServeOptions {
        ServeOptions {
            mode: Mode::Echo,
            heartbeat: Heartbeat::Ws,
            interval: Duration::from_secs(10),
            max_message: 1 << 20,
            max_connections: 1024,
            handshake_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(3),
            queue_messages: 1024,
            queue_bytes: 4 << 20,
            origins: Vec::new(),
            state: None,
            tap: None,
        }
    }
}

impl ServeOptions {
    fn check(&self) -> io::Result<()> {
        let zero =
            |name| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} must not be zero")));
        match self {
            ServeOptions { interval: Duration::ZERO, .. } => zero("interval"),
            ServeOptions { max_message: 0, .. } => zero("max_message"),
            ServeOptions { max_connections: 0, .. } => zero("max_connections"),
            ServeOptions { handshake_timeout: Duration::ZERO, .. } => zero("handshake_timeout"),
            ServeOptions { close_timeout: Duration::ZERO, .. } => zero("close_timeout"),
            ServeOptions { queue_messages: 0, .. } => zero("queue_messages"),
            ServeOptions { queue_bytes: 0, .. } => zero("queue_bytes"),
            _ => Ok(()),
        }
    }
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl Payload {
    fn of(kind: Kind, data: &[u8]) -> Payload {
        match kind {
            Kind::Text => Payload::Text(String::from_utf8_lossy(data).into_owned()),
            Kind::Binary => Payload::Binary(data.to_vec()),
        }
    }
}

/// What a server observed. Clients are numbered from 1 in the order in which their sockets came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A handshake succeeded.
    Connected {
        /// The number of the client.
        client: u64,
        /// The path of the request, without its query, which may hold secrets.
        path: String,
    },
    /// A handshake failed.
    Refused {
        /// The number of the client.
        client: u64,
        /// The reason, for people.
        why: &'static str,
    },
    /// A data message came in (heartbeats are not reported). It is reported before anyone gets it.
    Received {
        /// The number of the client.
        client: u64,
        /// When it was read.
        at: Instant,
        /// The message.
        payload: Payload,
    },
    /// A session of the native wire began. Sessions have numbers of their own, from 1.
    SessionBegan {
        /// Its number.
        session: u64,
        /// The session's number in logs, which it has in the next process, too.
        id: u64,
    },
    /// A message came in on the native wire: once and in order, whatever became of sockets. It is reported before anyone gets it.
    Delivered {
        /// The number of the session.
        session: u64,
        /// When the server took it.
        at: Instant,
        /// The message.
        payload: Payload,
    },
    /// A session is over: nobody came back to it in time, or the server stops.
    SessionEnded {
        /// Its number.
        session: u64,
    },
    /// A connection ended.
    Disconnected {
        /// The number of the client.
        client: u64,
        /// The close code: the server's where it closed, else the client's; 1005 for a close frame without one and on the native wire, 1006
        /// where no close frame came.
        code: u16,
    },
}

/// What a server is to do.
#[derive(Debug)]
enum Order {
    Vanish(oneshot::Sender<()>),
    Return(TcpListener),
    End(End),
}

/// How a server ends.
#[derive(Debug)]
enum End {
    Stop(u16),
    Kill,
}

/// A running server. Dropping it is like [`Server::kill`], without waiting.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    order: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `listener` on the current tokio runtime. The second value observes: it must be read or dropped, because
    /// nothing is read from the clients while 1,024 events wait in it. It ends with the server.
    ///
    /// # Errors
    ///
    /// When the listener has no address, or an option is zero (`InvalidInput`, naming it).
    pub fn start(
        listener: TcpListener,
        options: ServeOptions,
    ) -> io::Result<(Server, mpsc::Receiver<ServerEvent>)> {
        options.check()?;
        let local_addr = listener.local_addr()?;
        let (events, observer) = mpsc::channel(EVENTS);
        let (order, orders) = mpsc::channel(1);
        let room = Room::new(options);
        let native = native::host(&room, events.clone()).map_err(io::Error::other)?;
        let task = tokio::spawn(accept(listener, room, Arc::new(native), events, orders));
        Ok((Server { local_addr, order, task }, observer))
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening, closes all clients with `code` (after what waits for them), reads on until they have answered or
    /// the close timeout has passed. Nothing is left when this returns, and the port is free.
    pub async fn stop(self, code: u16) {
        let _ = self.order.send(Order::End(End::Stop(code))).await;
        let _ = self.task.await;
    }

    /// Drops all sockets without a word and stops listening, but keeps what it knows: the sessions of the native wire. The port
    /// is free when this returns.
    pub async fn vanish(&self) {
        let (done, vanished) = oneshot::channel();
        let _ = self.order.send(Order::Vanish(done)).await;
        let _ = vanished.await;
    }

    /// Listens again, here.
    pub async fn come_back(&self, listener: TcpListener) {
        let _ = self.order.send(Order::Return(listener)).await;
    }

    /// Drops everything without a word, as a crash does. Nothing is left when this returns, and the port is free; clients
    /// of which there was no [`ServerEvent::Disconnected`] get none.
    pub async fn kill(self) {
        let _ = self.order.send(Order::End(End::Kill)).await;
        let _ = self.task.await;
    }
}

/// Accepts clients and keeps the heartbeat until ordered to end.
async fn accept(
    listener: TcpListener,
    room: Arc<Room>,
    native: Arc<Option<native::Host>>,
    events: mpsc::Sender<ServerEvent>,
    mut orders: mpsc::Receiver<Order>,
) {
    let options = room.options();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let mut rounds = time::interval_at(time::Instant::now() + options.interval, options.interval);
    // After a late round a whole interval passes: late rounds never come in a burst.
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_id = 0;
    let end = loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Vanish(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    room.forget_all();
                    let _ = done.send(());
                }
                Some(Order::Return(at)) => listener = Some(at),
                Some(Order::End(end)) => break end,
                None => break End::Kill,
            },
            due = rounds.tick() => {
                // A late round proves nothing: where this process was suspended, the answers are still to be read.
                if due.elapsed() < options.interval / 2 {
                    room.beat();
                }
            }
            Some(_) = connections.join_next() => {}
            socket = next_socket(listener.as_ref()) => {
                if connections.len() < options.max_connections.saturating_add(WAITING_ROOM) {
                    last_id += 1;
                    connections.spawn(connection::serve(socket, last_id, Arc::clone(&room), Arc::clone(&native), events.clone()));
                }
            }
        }
    };
    drop(listener);
    match end {
        End::Stop(code) => {
            room.stop(code);
            let all = async { while connections.join_next().await.is_some() {} };
            let sessions = async {
                if let Some(host) = native.as_ref() {
                    host.stop(Stop { code, ..Stop::default() }).await;
                }
            };
            let both = async { tokio::join!(all, sessions) };
            let _ = time::timeout(options.close_timeout.saturating_add(GRACE), both).await;
        }
        End::Kill => {}
    }
    connections.shutdown().await;
}

/// The next socket. An error (a connection that is already gone, no descriptors left) passes: try again, but not at once.
async fn next_socket(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(_) => time::sleep(Duration::from_millis(50)).await,
        }
    }
}
