//! What a connection may be told besides its URL.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use everlink::link::{Action, Config, Delivery, Epoch, Failure};
use everlink::stream::{self, Fault, Stream};
use everlink::time::Instant;
use everlink::wire::json;
use everlink::ws;

use crate::spoken;

/// A sink of the bytes of a trace.
pub type TraceSink = Box<dyn FnMut(&[u8]) + Send>;

/// Something that is told of all that happens.
pub type Observer = Box<dyn FnMut(Instant, &Notice) + Send>;

/// What a connection may be told besides its URL. The default suits most.
pub struct Options {
    /// Every number of the link.
    pub config: Config,
    /// Decides the jitter of retries; from the operating system's entropy if `None`. Never give one seed to many clients.
    pub seed: Option<u64>,
    /// The TLS configuration for `wss://`; by default the operating system's roots, or Mozilla's where there are none.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The longest message that is accepted from the server, in bytes; a longer one closes the socket with 1009.
    /// 16 MiB by default.
    pub max_message: usize,
    /// Offers to compress messages; not by default. Read what [`deflate`](ws::deflate) says about secrets before it is turned on.
    pub compression: Option<ws::deflate::Config>,
    /// How many received messages may wait in [`Messages`](crate::Messages) before reading stops. At least 1; 128 by default.
    pub inbound: usize,
    /// On the native wire: a file that the link's state is kept in, which turns the durable mode on (`config.delivery.durable`): nothing
    /// leaves that a killed process would not know of when it comes back. If the file is there, the link goes on from it: subscribe again
    /// right after `connect`, for what is not subscribed to by the time that the server is reached, is left.
    /// It holds the resume token and what is queued. A second one that is given the same file is refused, as long as the first one has
    /// it: a file beside it, with `.lock` behind its name, is locked. (That is waited for, up to half a second, in which `connect` blocks
    /// its thread: the last write of one that was dropped has to end.)
    pub state: Option<PathBuf>,
    /// On a wire that has them: keeps the books of requests and channels, of which the [`Client`](crate::Client) has calls; true by
    /// default. Without it, what the server says of them comes as it is, and the application may write its own.
    pub dialogue: bool,
    /// Takes a [trace](everlink::trace) of the link; not of one that goes on from a stored state.
    pub trace: Option<TraceSink>,
    /// Is told of every action of the link, in order, on the connection's task. It must not block. If it panics, that task
    /// ends: every message is settled, and the [`Client`](crate::Client) says that it is closed.
    pub observer: Option<Observer>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            config: Config::default(),
            seed: None,
            tls: None,
            max_message: 16 << 20,
            compression: None,
            inbound: 128,
            state: None,
            dialogue: true,
            trace: None,
            observer: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("config", &self.config)
            .field("max_message", &self.max_message)
            .field("inbound", &self.inbound)
            .finish_non_exhaustive()
    }
}

/// What an observer is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The link asked for this, or told it.
    Action(Action),
    /// A socket could not be opened.
    Failed {
        /// Which one.
        epoch: Epoch,
        /// What the link was told.
        failure: Failure,
        /// The error's own words. They hold neither URL nor headers, unless it is the source's error and that does.
        detail: String,
    },
    /// A socket is open.
    Opened {
        /// Which one.
        epoch: Epoch,
    },
    /// The server broke the protocol.
    Violated {
        /// On which socket.
        epoch: Epoch,
        /// How, and at which byte.
        error: ws::Error,
    },
    /// An open socket has ended, by itself or because it was closed. One that is dropped by [`Action::Abandon`] says nothing
    /// more.
    Closed {
        /// Which one.
        epoch: Epoch,
        /// The server's close code; `None` if the connection dropped without a close frame, or it held no code.
        code: Option<u16>,
        /// The server's reason, as it gave it; empty for none.
        reason: String,
        /// Whether the close handshake was completed.
        clean: bool,
    },
    /// On the native wire: the server has welcomed a socket.
    Session {
        /// Which socket.
        epoch: Epoch,
        /// Whether the session of before goes on. If not, what the server had sent in that one and has not come is lost.
        resumed: bool,
        /// Its name in logs, the same at both ends. No secret.
        number: u64,
    },
    /// On the native wire: the server has said why it closes a socket. The link goes by it already.
    Goodbye {
        /// Which socket.
        epoch: Epoch,
        /// Why: one of [`code`](everlink::wire::native::code), or the application's own.
        code: u16,
        /// When to come back, if the server says so.
        retry_after: Option<Duration>,
        /// Why, for people.
        reason: String,
    },
    /// On the JSON wire: a frame was no message of it. Nothing else came of the frame.
    Malformed {
        /// On which socket.
        epoch: Epoch,
        /// What is wrong with it, and at which byte.
        error: json::DecodeError,
    },
    /// On the JSON wire: the server says that something went wrong, and it is about no request and no subscription of this end.
    Complaint {
        /// On which socket.
        epoch: Epoch,
        /// What, for people.
        reason: String,
    },
}

impl Notice {
    /// What is told of something that came for the application and is no message.
    pub(crate) fn of_delivery(epoch: Epoch, delivery: &Delivery<'_>) -> Option<Notice> {
        match delivery {
            Delivery::Session { resumed, number } => {
                Some(Notice::Session { epoch, resumed: *resumed, number: *number })
            }
            Delivery::Goodbye(goodbye) => Some(Notice::Goodbye {
                epoch,
                code: goodbye.code,
                retry_after: goodbye.retry_after(),
                reason: goodbye.reason.into(),
            }),
            Delivery::Json(spoken) => spoken::notice(epoch, spoken),
            _ => None,
        }
    }

    /// What is told of something that a stream tells.
    pub(crate) fn of(told: stream::Action<Action>, stream: &Stream) -> Option<Notice> {
        match told {
            stream::Action::Failed { epoch, failure, fault } => {
                let location = stream.response(epoch).and_then(|head| head.text("location"));
                let detail = match (fault, location) {
                    (Fault::Status(_), Some(location)) => format!("{fault}, Location: {location}"),
                    _ => fault.to_string(),
                };
                Some(Notice::Failed { epoch, failure, detail })
            }
            stream::Action::Opened { epoch } => Some(Notice::Opened { epoch }),
            stream::Action::Violated { epoch, error } => Some(Notice::Violated { epoch, error }),
            stream::Action::Closed { epoch, code, clean } => {
                Some(Notice::Closed { epoch, code, reason: stream.reason(epoch).into(), clean })
            }
            stream::Action::Tell(action) => Some(Notice::Action(action)),
            stream::Action::Connect { .. }
            | stream::Action::Shutdown { .. }
            | stream::Action::Disconnect { .. } => None,
        }
    }
}
