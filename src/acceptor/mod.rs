//! The server's door: what reads the hello on a fresh socket, asks who it is, and finds the session.
//!
//! ```text
//!   socket ──► [ reading ] ── hello ──► Question ──► the application ──► principal
//!                  │                                      │                  │
//!                  │ silence: abandoned                   │ no               ▼
//!                  ▼                                      ▼          admitted: the socket is a peer's
//!                [ gone ] ◄── closed ── [ goodbye, close ] ◄── no room, overtaken
//! ```
//!
//! One [`Acceptor`] lives as long as one socket is a stranger's: bounded in time and in bytes. It gives what the hello shows as a
//! [`Question`], once, and waits; the adapter reads no more from the socket until the answer. [`Table`] is where sessions and their
//! tokens are kept; [`peer::Sessions`](crate::peer::Sessions) is such a table with a [`Peer`](crate::peer::Peer) in each seat. A socket
//! that a peer lets go comes [back](Acceptor::part), to be told why and to be closed.
//!
//! ```
//! use everlink::acceptor::{Acceptor, Config, Principal};
//! use everlink::link::{Epoch, Event};
//! use everlink::outbox::Kind;
//! use everlink::time::Instant;
//! use everlink::wire::native::{Announced, Credentials, Envelope, Hello, Token, VERSION};
//!
//! let (config, now) = (Config::default(), Instant::ORIGIN);
//! let mut acceptor = Acceptor::new(&config, now, Epoch::new(1).unwrap());
//!
//! let mut frame = [0; 64];
//! let hello = Envelope::Hello(Hello {
//!     version: VERSION,
//!     attempt: 1,
//!     received: 0,
//!     announced: Announced { envelope: 4096, window: 16, window_bytes: 4096 },
//!     token: Token::NONE,
//!     credentials: Credentials::new(b"ann"),
//! });
//! let len = hello.encode(&mut frame)?;
//! let event = Event::Frame { kind: Kind::Binary, data: &frame[..len] };
//! let question = acceptor.handle(&config, now, event).unwrap();
//! assert_eq!(question.credentials.reveal(), b"ann");
//!
//! let arrival = acceptor.admit(Principal::new(1)).unwrap();
//! assert_eq!((arrival.version, arrival.greeting.attempt), (1, 1));
//! # Ok::<(), everlink::wire::native::EncodeError>(())
//! ```

mod config;
mod lock;
mod principal;
mod secret;
mod table;

use core::time::Duration;

pub use config::{Config, Sessions as SessionsConfig};
pub(crate) use lock::{Lock, Pass};
pub use principal::{Full, Principal};
pub use secret::Secret;
pub use table::{Seat, Seats, SessionId, Storage, Table, TokenBytes};

use crate::delivery::Greeting;
use crate::link::{Action, Epoch, Event, Next};
use crate::outbox::Kind;
use crate::time::{Instant, micros};
use crate::wire::native::{self, Announced, Credentials, Envelope, Goodbye, Hello, Item, Reader, code};
use crate::wire::{Frame, Opcode};
use secret::Ticket;

/// The least that either end must take, as the wire says it.
const SMALLEST_ENVELOPE: u32 = 1 << 10;

/// A frame's head has room for so many bytes of a reason.
const LONGEST_REASON: usize = 80;

/// What reads the first frame of one socket.
///
/// Its configuration is lent with each call, so that all sockets of a server share one.
#[derive(Debug)]
pub struct Acceptor {
    epoch: Epoch,
    now: Instant,
    /// Bytes that have come.
    received: u32,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The hello has not come.
    Reading { until: Instant },
    /// The application was asked.
    Asked { until: Instant, arrival: Arrival },
    /// The socket is told why, and closed.
    Parting { until: Instant, parting: Parting, stage: Stage },
    /// It is dead, and the adapter is to drop it.
    Dead,
    /// It is somebody else's, or no more.
    Gone,
}

/// How far the parting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The goodbye has not left.
    Mute,
    /// The adapter was asked to write it.
    Asked,
    /// It has left.
    Said,
    /// The adapter was asked to close, or the other end closes.
    Closing,
}

/// How a socket is let go that belongs to no session, or to none any more. `ack` is the count of what the session has received, if
/// the client should still hear of it: so that it knows what has arrived, even if it does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It is dead: dropped without a word.
    Abandon,
    /// The other end has said goodbye, and closes.
    Wait {
        /// To be said before.
        ack: Option<u64>,
    },
    /// Its framing is broken: it is closed with this code, and no more is said.
    Close {
        /// The code to close it with.
        code: u16,
    },
    /// It is told why, then closed with that code.
    Say {
        /// To be said before.
        ack: Option<u64>,
        /// Why, and when to come back.
        goodbye: Goodbye<'static>,
    },
}

/// A goodbye with these words; `retry_after` in whole milliseconds, rounded up.
pub(crate) fn goodbye(code: u16, retry_after: Duration, reason: &'static str) -> Goodbye<'static> {
    let retry_after = u32::try_from(micros(retry_after).div_ceil(1000)).unwrap_or(u32::MAX);
    Goodbye { code, retry_after, attempt: 0, reason }
}

/// Who is there? For the application to find out from what the hello, or the request that opened the socket, shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'f> {
    /// What the client authenticates with; lent by the frame.
    pub credentials: Credentials<'f>,
    /// Whether it wants to go on with a session.
    pub resumes: bool,
}

/// A client that has said hello: what a session needs to know of it. Plain data, without its credentials.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// On which socket.
    pub epoch: Epoch,
    /// The version of the wire that is spoken: the highest that both ends speak.
    pub version: u32,
    /// Where the session stands for the client.
    pub greeting: Greeting,
    /// What the client takes, and how it sends.
    pub announced: Announced,
    /// Who it is.
    pub principal: Principal,
    ticket: Option<Ticket>,
}

impl Arrival {
    /// The session of its token in this table, if the token is good and the client the one that it was given to.
    pub fn find<V, T: Seats<V>>(&self, table: &Table<V, T>, now: Instant) -> Option<SessionId> {
        table.find(now, self.principal, self.token()?.lend())
    }

    /// The token that it has shown; `None` if that is none that this crate ever made.
    #[must_use]
    pub fn token(&self) -> Option<TokenBytes> {
        self.ticket.as_ref().map(TokenBytes::of)
    }
}

impl Acceptor {
    /// A socket was opened at `now`: it is ready for the first frame. The adapter numbers its sockets.
    #[must_use]
    pub fn new(config: &Config, now: Instant, epoch: Epoch) -> Acceptor {
        let phase = Phase::Reading { until: now + config.hello_timeout };
        Acceptor { epoch, now, received: 0, phase }
    }

    /// A socket that was a session's is to be let go: as [`part`](Acceptor::part), where the acceptor that admitted it is no
    /// more.
    #[must_use]
    pub fn parting(config: &Config, now: Instant, epoch: Epoch, parting: Parting) -> Acceptor {
        let mut acceptor = Acceptor { epoch, now, received: 0, phase: Phase::Gone };
        acceptor.release(config, parting);
        acceptor
    }

    /// Which socket it is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Something happened to the socket at `now`. Gives the question for the application when the hello has come: from then on
    /// the adapter reads no more, until [`admit`](Acceptor::admit) or [`refuse`](Acceptor::refuse).
    ///
    /// Never fails. What a stranger should not have said closes the socket.
    pub fn handle<'f>(&mut self, config: &Config, now: Instant, event: Event<'f>) -> Option<Question<'f>> {
        self.now = self.now.max(now);
        let question = match event {
            Event::Frame { kind, data } => self.frame(config, kind, data),
            Event::Received(bytes) => {
                self.received = self.received.saturating_add(bytes);
                if self.received > config.hello_bytes() && matches!(self.phase, Phase::Reading { .. }) {
                    self.violation(config, code::TOO_LARGE, "hello is too long");
                }
                None
            }
            Event::Violation(code) => {
                // What breaks the framing would not understand a goodbye.
                match &mut self.phase {
                    Phase::Reading { .. } | Phase::Asked { .. } => {
                        self.release(config, Parting::Close { code });
                    }
                    Phase::Parting { stage: stage @ (Stage::Mute | Stage::Asked), .. } => {
                        *stage = Stage::Said
                    }
                    Phase::Parting { .. } | Phase::Dead | Phase::Gone => {}
                }
                None
            }
            Event::Closed(_) | Event::Failed(_) => {
                self.phase = Phase::Gone;
                None
            }
            Event::Writable => {
                if let Phase::Parting { stage: stage @ Stage::Asked, .. } = &mut self.phase {
                    *stage = Stage::Mute;
                }
                None
            }
            Event::Opened
            | Event::Ping
            | Event::Pong(_)
            | Event::Written(_)
            | Event::Paused
            | Event::Resumed => None,
        };
        self.tick(config, now);
        question
    }

    /// Time has passed.
    pub fn tick(&mut self, config: &Config, now: Instant) {
        self.now = self.now.max(now);
        match &self.phase {
            Phase::Reading { until } | Phase::Parting { until, .. } if *until <= self.now => {
                self.phase = Phase::Dead;
            }
            Phase::Asked { until, .. } if *until <= self.now => {
                let words = "authentication takes too long";
                self.say(config, goodbye(code::TRY_LATER, config.retry_after, words));
            }
            Phase::Reading { .. }
            | Phase::Asked { .. }
            | Phase::Parting { .. }
            | Phase::Dead
            | Phase::Gone => {}
        }
    }

    /// The application says who it is. `None` if it is too late, or nobody asked. The socket is a session's from now on, and
    /// the acceptor has done its work.
    pub fn admit(&mut self, principal: Principal) -> Option<Arrival> {
        match core::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Asked { arrival, .. } => Some(Arrival { principal, ..arrival }),
            phase @ (Phase::Reading { .. } | Phase::Parting { .. } | Phase::Dead | Phase::Gone) => {
                self.phase = phase;
                None
            }
        }
    }

    /// The application does not let it in: with [`code::UNAUTHENTICATED`], or a code of its own (1000 to 4999; another one
    /// counts as that). A reason of more than 80 bytes is left out.
    pub fn refuse(
        &mut self,
        config: &Config,
        now: Instant,
        code: u16,
        retry_after: Duration,
        reason: &'static str,
    ) {
        self.now = self.now.max(now);
        if matches!(self.phase, Phase::Asked { .. }) {
            let code = if (1000..5000).contains(&code) { code } else { code::UNAUTHENTICATED };
            self.say(config, goodbye(code, retry_after, reason));
        }
    }

    /// The socket, which was a session's, is let go.
    pub fn part(&mut self, config: &Config, now: Instant, parting: Parting) {
        self.now = self.now.max(now);
        if self.is_done() {
            self.release(config, parting);
        }
    }

    /// What is to be done now, or until when there is nothing. Of the actions only these come: abandon, flush, close.
    pub fn poll(&mut self) -> Next {
        let epoch = self.epoch;
        match &mut self.phase {
            Phase::Dead => {
                self.phase = Phase::Gone;
                Next::Do(Action::Abandon { epoch })
            }
            Phase::Parting { stage: stage @ Stage::Mute, .. } => {
                *stage = Stage::Asked;
                Next::Do(Action::Flush { epoch })
            }
            Phase::Parting { stage: stage @ Stage::Said, parting, .. } => {
                *stage = Stage::Closing;
                match parting {
                    Parting::Close { code } | Parting::Say { goodbye: Goodbye { code, .. }, .. } => {
                        Next::Do(Action::Close { epoch, code: *code })
                    }
                    Parting::Wait { .. } | Parting::Abandon => self.poll(),
                }
            }
            Phase::Reading { .. } | Phase::Asked { .. } | Phase::Parting { .. } | Phase::Gone => {
                self.deadline().map_or(Next::Idle, Next::Wait)
            }
        }
    }

    /// When it wants to be woken if nothing happens before; pure.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Reading { until } | Phase::Asked { until, .. } | Phase::Parting { until, .. } => {
                Some(*until)
            }
            Phase::Dead | Phase::Gone => None,
        }
    }

    /// Whether the socket is somebody else's, or no more: the acceptor can be dropped.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// The next frame for the socket: the last one. The adapter calls it after [`Action::Flush`].
    pub fn pull(&mut self) -> Option<Frame<'static>> {
        let Phase::Parting { parting, stage: stage @ (Stage::Mute | Stage::Asked), .. } = &mut self.phase
        else {
            return None;
        };
        *stage = Stage::Said;
        let mut frame = Frame::new(Opcode::Binary, &[]);
        if let Parting::Say { ack: Some(received), .. } | Parting::Wait { ack: Some(received) } = *parting {
            frame.put(&Envelope::Ack { received });
        }
        if let Parting::Say { goodbye, .. } = parting {
            frame.put(&Envelope::Goodbye(*goodbye));
        }
        Some(frame)
    }

    fn frame<'f>(&mut self, config: &Config, kind: Kind, data: &'f [u8]) -> Option<Question<'f>> {
        if !matches!(self.phase, Phase::Reading { .. }) || data.is_empty() {
            return None;
        }
        if kind == Kind::Text {
            self.violation(config, code::PROTOCOL, "a text frame");
            return None;
        }
        if data.len() > config.hello_bytes() as usize {
            self.violation(config, code::TOO_LARGE, "hello is too long");
            return None;
        }
        let mut reader = Reader::new(data, &config.limits);
        match (reader.next(), reader.next()) {
            (Some(Ok(Item::Envelope(Envelope::Hello(hello)))), None) => self.hello(config, &hello),
            (Some(Ok(_)), None) => {
                self.violation(config, code::PROTOCOL, "hello comes first");
                None
            }
            (Some(Ok(_)), Some(_)) => {
                self.violation(config, code::PROTOCOL, "hello comes alone");
                None
            }
            (Some(Err(error)), _) => {
                self.violation(config, error.problem.code(), "not an envelope");
                None
            }
            (None, _) => None,
        }
    }

    fn hello<'f>(&mut self, config: &Config, hello: &Hello<'f>) -> Option<Question<'f>> {
        if hello.announced.envelope < SMALLEST_ENVELOPE {
            self.violation(config, code::PROTOCOL, "takes no envelope of 1 KiB");
            return None;
        }
        let arrival = Arrival {
            epoch: self.epoch,
            version: hello.version.min(native::VERSION),
            greeting: Greeting { attempt: hello.attempt, received: hello.received },
            announced: hello.announced,
            principal: Principal::ANYONE,
            ticket: Ticket::read(hello.token),
        };
        self.phase = Phase::Asked { until: self.now + config.decision_timeout, arrival };
        Some(Question { credentials: hello.credentials, resumes: !hello.token.is_none() })
    }

    fn violation(&mut self, config: &Config, code: u16, reason: &'static str) {
        self.say(config, goodbye(code, Duration::ZERO, reason));
    }

    fn say(&mut self, config: &Config, goodbye: Goodbye<'static>) {
        self.release(config, Parting::Say { ack: None, goodbye });
    }

    fn release(&mut self, config: &Config, mut parting: Parting) {
        let until = self.now + config.close_timeout;
        let stage = match &mut parting {
            Parting::Abandon => {
                self.phase = Phase::Dead;
                return;
            }
            Parting::Wait { ack: None } | Parting::Close { .. } => Stage::Said,
            Parting::Wait { ack: Some(_) } => Stage::Mute,
            Parting::Say { goodbye, .. } => {
                if goodbye.reason.len() > LONGEST_REASON {
                    goodbye.reason = "";
                }
                Stage::Mute
            }
        };
        self.phase = Phase::Parting { until, parting, stage };
    }
}
