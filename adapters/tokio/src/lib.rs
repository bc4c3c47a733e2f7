//! everlink on tokio: a WebSocket client that stays connected, and a server for it.
//!
//! [`connect`] starts a task that keeps one logical connection alive over as many sockets as it takes. [`Client`] sends and
//! watches; [`Messages`] is what comes in.
//!
//! ```no_run
//! use everlink_tokio::{Config, Message, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), everlink_tokio::Error> {
//! let (client, mut messages) = connect("wss://example.org/drawing", Config::default())?;
//! client.send(Message::text("a stroke"))?; // waits in the queue until there is a connection
//! while let Some(message) = messages.recv().await {
//!     println!("{:?}: {:?}", client.state(), message.text());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With [`Wire::Native`](everlink::wire::Wire::Native) in its configuration, and a [server] at the other end that speaks it,
//! nothing is lost and nothing comes twice, whatever becomes of sockets; with [`Options::state`], whatever becomes of the process.
//! With [`Wire::Json`](everlink::wire::Wire::Json) it speaks the JSON messages of many servers of today, each socket a session of its own.
//!
//! On both of these wires requests and channels are async calls and streams: [`Client::request`], [`Client::asks`],
//! [`Client::subscribe`], [`Client::publish`], and [`Client::system`] for what the server says to all.
//!
//! The task decides nothing: it tells the [link](everlink::link) what happened and does what it asks. Its loop is the one
//! in the documentation of [`everlink`].

/// The example of the front page compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadMe;

mod blocks;
mod client;
mod clock;
mod dial;
mod dialogue;
mod driver;
mod inbox;
mod messages;
mod open;
mod options;
mod parcel;
mod pipe;
pub mod server;
mod spoken;
mod state;
mod target;
mod watched;
pub mod ws;

use std::fmt;

pub use bytes::Bytes;
pub use client::{Client, Receipt};
pub use dialogue::{Answer, Asked, Asks, Failed, Heard, Subscription};
pub use everlink::dialogue::{Ask, Content};
pub use everlink::link::{Action, Config, Failure, State, Status};
pub use everlink::outbox::{Key, Kind, MessageId, Outcome, Priority, RefusedReason};
pub use messages::{Messages, Received};
pub use open::tls_with_roots;
pub use options::{Notice, Options};
pub use rustls;
pub use target::{Target, UrlError};

/// What an application sends: [`Message::text`] or [`Message::binary`] of anything that can become a [`Payload`].
pub type Message<P = Payload> = everlink::outbox::Message<P>;

/// The payload of a message: bytes, which for a text must be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub(crate) Bytes);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! payload_from {
    ($($source:ty),*) => { $(
        impl From<$source> for Payload {
            fn from(data: $source) -> Payload {
                Payload(Bytes::from(data))
            }
        }
    )* };
}
payload_from!(String, &'static str, Vec<u8>, Bytes);

impl From<&[u8]> for Payload {
    /// Copies them; give [`Bytes`] to share them.
    fn from(data: &[u8]) -> Payload {
        Payload(Bytes::copy_from_slice(data))
    }
}

/// Why a connection could not even be begun. Everything later is the link's to deal with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be used.
    Url(UrlError),
    /// The configuration cannot work.
    Config(everlink::error::ConfigError),
    /// A message was not accepted; it is handed back.
    Refused(everlink::outbox::Refused<Payload>),
    /// A message was given as text and is not UTF-8; it is handed back.
    NotUtf8(Message),
    /// In a dialogue something was not said.
    Unsaid(everlink::dialogue::Refused),
    /// The connection was closed by its owner, or its task has ended; or a session has.
    Closed,
    /// The listener of a server, or the file of a state, cannot be used.
    Io(std::io::Error),
    /// What is in the file of a state is none.
    State(everlink::link::RestoreError),
    /// `delivery.durable` is set, and there is no [`Options::state`] to keep it in.
    Stateless,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Url(error) => error.fmt(f),
            Error::Config(error) => write!(f, "impossible configuration: {error}"),
            Error::Refused(refused) => refused.fmt(f),
            Error::NotUtf8(_) => f.write_str("the text is not UTF-8"),
            Error::Unsaid(refused) => refused.fmt(f),
            Error::Closed => f.write_str("the connection was closed"),
            Error::Io(error) => error.fmt(f),
            Error::State(error) => write!(f, "the stored state cannot be used: {error}"),
            Error::Stateless => f.write_str("delivery.durable needs a file for the state"),
        }
    }
}

impl std::error::Error for Error {}

/// Connects to a URL and stays connected. Call it inside a tokio runtime.
///
/// # Errors
/// If the URL or the configuration cannot be used. That the server cannot be reached is no error: the link will try again.
pub fn connect(url: &str, config: Config) -> Result<(Client, Messages), Error> {
    let target = Target::new(url).map_err(Error::Url)?;
    let source = move |_| {
        let target = target.clone();
        async move { Ok(target) }
    };
    connect_with(source, Options { config, ..Options::default() })
}

/// Connects to whatever `source` says for each attempt (its argument is the attempt's number, 0 for the first), and stays
/// connected. Call it inside a tokio runtime.
///
/// The source is the place to fetch a fresh token. Its time counts as time of opening; its error, or a panic in it, is a
/// failed attempt. It is called on the connection's task and must not block; its future has a task of its own.
///
/// # Errors
/// If the configuration cannot work.
pub fn connect_with<S, F>(mut source: S, options: Options) -> Result<(Client, Messages), Error>
where
    S: FnMut(u32) -> F + Send + 'static,
    F: Future<Output = Result<Target, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    client::start(Box::new(move |attempt| Box::pin(source(attempt))), options)
}

/// Bytes that nobody can foresee, for the masks of one socket; `None` if the operating system has none.
fn secret() -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).ok()?;
    Some(secret)
}
