//! The server's end of a logical connection: a client that is there, or away and expected back.
//!
//! ```text
//!                      admit                                 a Peer, in the shape of a link
//!   Acceptor ────────────────────► [ Sessions ] ◄──────── handle, poll, pull, send
//!      ▲                                │
//!      └────────────────────────────────┘   a socket that a session has no more goes back, to be told why and to be closed
//! ```
//!
//! [`Sessions`] keeps all clients of a server: it finds the session of a hello, gives it the socket, and keeps it for a while when
//! the socket is gone. A [`Peer`] is one of them, borrowed: told what its socket does ([`handle`](Peer::handle)), asked what to do
//! ([`poll`](Peer::poll)), for frames ([`pull`](Peer::pull)), and given messages ([`send`](Peer::send)), whether the client is there
//! or not.
//!
//! It has one socket at most. What takes its place goes through the door: a newer hello is admitted by the acceptor of its own socket,
//! and the old socket's acceptor gets it back. [`Connection`] is both, for whoever carries one socket: acceptor, peer, acceptor.
//!
//! ```
//! use everlink::acceptor::{Acceptor, Principal, Secret};
//! use everlink::link::{Epoch, Event};
//! use everlink::outbox::{Kind, Message};
//! use everlink::peer::{Action, Config, Input, Next, Sessions};
//! use everlink::time::Instant;
//! # use everlink::wire::native::{Announced, Credentials, Envelope, Hello, Token};
//! # let announced = Announced { envelope: 4096, window: 16, window_bytes: 4096 };
//! # let hello = Hello { version: 1, attempt: 1, received: 0, announced, token: Token::NONE, credentials: Credentials::NONE };
//! # let mut hello_frame = [0; 64];
//! # let len = Envelope::Hello(hello).encode(&mut hello_frame).unwrap();
//! # let hello_frame = &hello_frame[..len];
//!
//! let mut sessions = Sessions::<Vec<u8>>::new(Config::default(), 7, 1024)?;
//! let (now, epoch) = (Instant::ORIGIN, Epoch::new(1).unwrap());
//!
//! // A socket was opened, and says hello.
//! let mut acceptor = Acceptor::new(&sessions.config().acceptor, now, epoch);
//! let event = Event::Frame { kind: Kind::Binary, data: hello_frame };
//! let question = acceptor.handle(&sessions.config().acceptor, now, event);
//! assert!(question.is_some()); // the application knows who it is
//! let secret = Secret::new([7; 16]); // from a secure source
//! let admitted = sessions.admit(now, &mut acceptor, Principal::new(1), secret, |_| ()).unwrap();
//!
//! // From now on it is a peer's.
//! let mut peer = sessions.peer(admitted.session).unwrap();
//! assert_eq!(peer.poll(), Next::Do(Action::Flush { epoch }));
//! assert!(peer.pull(epoch).is_some()); // the welcome
//! assert!(peer.pull(epoch).is_none());
//! peer.send(now, Message::text("hello".into()), |_, _| ()).unwrap(); // leaves when the client has answered the welcome
//! for delivery in peer.handle(now, Input::Socket(epoch, Event::Frame { kind: Kind::Binary, data: b"\x45\x01\x00" })) {
//!     println!("{delivery:?}"); // messages for the application
//! }
//! assert_eq!(peer.poll(), Next::Do(Action::Flush { epoch }));
//! assert_eq!(peer.pull(epoch).unwrap().payload(), b"hello");
//! # Ok::<(), everlink::error::ConfigError>(())
//! ```

mod config;
mod connection;
mod core;
mod dialogue;
mod durable;
#[cfg(feature = "alloc")]
mod gateway;
mod machine;
mod outputs;
#[cfg_attr(not(feature = "alloc"), path = "no_rooms.rs")]
mod rooms;
mod sessions;
mod stamp;
mod store;

use ::core::time::Duration;

pub use self::core::Core;
pub use config::{Config, Heartbeat, Slow};
pub use connection::{Connection, ConnectionAction, ConnectionNext, Heard};
pub use sessions::{Admitted, Counts, Sessions, Storage};

use self::core::{Parted, Socket};
use crate::acceptor::{Parting, Principal, Seats, SessionId};
use crate::dialogue::Dialogue;
use crate::link::{Epoch, Event};
use crate::outbox::{self, Message, MessageId, Refused, RefusedReason, Settlement, Slots};
use crate::requests::Ended;
pub use crate::session::{Deliveries, Delivery};
pub use crate::store::RestoreError;
use crate::time::Instant;
use crate::wire::Frame;
use machine::{Fate, Machine};

/// Something that happened to a client. Handling it never fails; what is hostile, late or stale is counted and ignored, or
/// closes the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input<'f> {
    /// Time has passed.
    Tick,
    /// Something happened to a socket.
    Socket(Epoch, #[cfg_attr(feature = "serde", serde(borrow))] Event<'f>),
    /// In durable mode: the first message that the application has not taken yet, by its [number](Deliveries::number); `None`, as
    /// in the beginning: it has taken all. What it has not taken is neither acknowledged nor stored as received, so it comes again
    /// if the process is killed.
    Unread(Option<u64>),
}

/// The answer of [`poll`](Peer::poll).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, then poll again.
    Do(Action),
    /// Nothing to do. If no input comes before this instant, handle a [`Tick`](Input::Tick) then. Round up, never down.
    Wait(Instant),
    /// Nothing to do until an input comes.
    Idle,
}

/// One thing to do, or to know. Exhaustive on purpose: a new action should break an adapter's build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// In durable mode: [store](Sessions::store) the state of this session as it is now, before anything else is done to it, and
    /// report [`Sessions::stored`] when it is safe. Whatever depends on it waits for that.
    Store {
        /// To be reported.
        version: u64,
    },
    /// The socket is the session's no more: give it back to its acceptor ([`part`](crate::acceptor::Acceptor::part)).
    Release {
        /// Of the socket.
        epoch: Epoch,
        /// How to let it go.
        parting: Parting,
    },
    /// The resume token should change: give a fresh secret to [`Sessions::renew`].
    Renew,
    /// Frames wait: [`pull`](Peer::pull) and write them, until there is none or the socket has no room. In the second case report
    /// [`Writable`](Event::Writable) when it has room again.
    Flush {
        /// Of the socket to write to.
        epoch: Epoch,
    },
    /// A message came to its end.
    Settled(Settlement),
    /// A request of this end came to its end without an answer.
    Ended(Ended),
}

/// What is told of sessions that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A message of this session came to its end.
    Settled(SessionId, Settlement),
    /// A request to the client of this session came to its end without an answer.
    Request(SessionId, Ended),
    /// The session is no more.
    Ended(SessionId),
}

/// Why a peer will wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// To ask whether the client is there, or to find that it is not.
    Heartbeat,
    /// To acknowledge what came.
    Ack,
    /// To settle messages that are too old.
    Expiry,
    /// To ask for another token.
    Renewal,
    /// To end a request that got no answer, or to answer one for the application.
    Request,
}

/// One client of a server, borrowed from its [`Sessions`].
#[derive(Debug)]
pub struct Peer<'a, P, S = outbox::Storage<P>, T = Storage> {
    sessions: &'a mut Sessions<P, S, T>,
    session: SessionId,
}

impl<P: AsRef<[u8]>, S: Slots<P>, T: Seats<Core>> Peer<'_, P, S, T> {
    /// Which session it is.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Handles something that happened at `now`, and gives what it carried for the application.
    ///
    /// Never fails. A `now` before that of the last call of any peer counts as that. Timers that are due at `now` fire, whatever the
    /// input is. Give inputs that are already there before a late [`Tick`](Input::Tick).
    pub fn handle<'f>(&mut self, now: Instant, input: Input<'f>) -> Deliveries<'f> {
        self.sessions.pass(now);
        let (mut deliveries, mut fate) = (Deliveries::NONE, Fate::Stays);
        if let Some(mut machine) = self.machine() {
            if let Input::Socket(epoch, event) = input {
                (deliveries, fate) = machine.socket(epoch, event);
            }
            machine.fire();
        }
        if let Input::Unread(first) = input
            && let Some(keep) = self.sessions.keeps.of_mut(self.session)
        {
            keep.durable.set_unread(first);
        }
        self.sessions.note(self.session, fate);
        deliveries
    }

    /// What is to be done now, or until when there is nothing. Reads no clock; changes nothing but what was told.
    pub fn poll(&mut self) -> Next {
        loop {
            self.tell();
            if let Some(version) = self.sessions.ask(self.session) {
                return Next::Do(Action::Store { version });
            }
            let renewal = self.renewal();
            let over = matches!(self.core(), Some(Core { socket: Socket::Released { over: true, .. }, .. }));
            if let Some(action) = self.machine().and_then(|mut machine| machine.next(renewal)) {
                if over {
                    self.sessions.note(self.session, Fate::Over);
                }
                return Next::Do(action);
            }
            // What was settled may be a request that is to be asked again.
            if !self.tell() {
                return self.deadline().map_or(Next::Idle, Next::Wait);
            }
        }
    }

    /// What the tables of the dialogue want to be said is posted. Whether anything was.
    fn tell(&mut self) -> bool {
        let told = self.machine().is_some_and(|mut machine| machine.tell());
        if told {
            self.sessions.changed(self.session);
        }
        told
    }

    /// When the peer wants to be woken if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.wake().map(|(at, _)| at)
    }

    /// When there will be something to do if nothing happens before, and why.
    #[must_use]
    pub fn wake(&self) -> Option<(Instant, Wake)> {
        let Sessions { config, now, arena, rooms, .. } = &*self.sessions;
        let dialogue = rooms.get(self.session.seat()).and_then(Dialogue::next_deadline);
        outputs::wake(self.core()?, config, arena, *now, self.renewal(), dialogue)
    }

    /// The next frame to write to the socket of this epoch, if there is one and this is the current socket. The adapter calls
    /// it after [`Action::Flush`] as long as its socket takes frames.
    pub fn pull(&mut self, epoch: Epoch) -> Option<Frame<'_>> {
        self.sessions.pull(self.session, epoch)
    }

    /// Accepts a message at `now`, to be sent as soon as the client is there and has room.
    ///
    /// What had to go for it, evicted or replaced, is told at once to `displaced`; it is told nowhere else.
    ///
    /// # Errors
    /// Hands the message back if it is too large, if only clients send such envelopes, or if the queue is full and nothing may
    /// be evicted for it. In the last case the session ends, where [`Slow::Close`] says so.
    pub fn send(
        &mut self,
        now: Instant,
        message: Message<P>,
        displaced: impl FnMut(Settlement, P),
    ) -> Result<MessageId, Refused<P>> {
        self.sessions.pass(now);
        let Ok(len) = u32::try_from(message.payload.as_ref().len()) else {
            return Err(Refused { reason: RefusedReason::TooLarge, message });
        };
        let Some(mut machine) = self.machine() else {
            return Err(Refused { reason: RefusedReason::Full, message });
        };
        let (result, fate) = machine.send(len, message, displaced);
        self.sessions.changed(self.session);
        self.sessions.note(self.session, fate);
        result
    }

    /// Takes a message back that has not been numbered; `None` if it is too late or there is no such message. It is not settled
    /// again.
    pub fn cancel(&mut self, id: MessageId) -> Option<P> {
        self.sessions.changed(self.session);
        let machine = self.machine()?;
        machine.core.session.outbox.cancel(machine.arena, id)
    }

    /// The client is to go, and may come back: it is told why, with a code of [`code`](crate::wire::native::code) or of the
    /// application's own (1000 to 4999), and when. Its session stays, on no socket.
    pub fn detach(&mut self, now: Instant, code: u16, retry_after: Duration) {
        self.part(now, code, retry_after, Fate::Stays);
    }

    /// The session ends: the client is told why, and its token is good no more. What it still has is settled by
    /// [`Sessions::expire`].
    pub fn end(&mut self, now: Instant, code: u16, retry_after: Duration) {
        self.part(now, code, retry_after, Fate::Over);
    }

    fn part(&mut self, now: Instant, code: u16, retry_after: Duration, fate: Fate) {
        self.sessions.pass(now);
        if let Some(mut machine) = self.machine() {
            machine.counts.ended += u64::from(fate == Fate::Over);
            machine.release(Parted::by_application(code, retry_after));
        }
        self.sessions.note(self.session, fate);
    }

    /// Who the client is.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        self.sessions.table.principal(self.session)
    }

    /// The socket that the client is on.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.core()?.socket {
            Socket::Open(open) => Some(open.epoch),
            Socket::None | Socket::Restored(_) | Socket::Released { .. } => None,
        }
    }

    /// How many messages wait to be sent.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.core().map_or(0, |core| core.session.outbox.queued())
    }

    /// How many were sent, or are about to be, and are not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.core().map_or(0, |core| core.session.outbox.in_flight())
    }

    fn core(&self) -> Option<&Core> {
        self.sessions.table.get(self.session)
    }

    fn renewal(&self) -> Option<Instant> {
        self.sessions.table.renewal(&self.sessions.config.acceptor.sessions, self.session)
    }

    fn machine(&mut self) -> Option<Machine<'_, P, S>> {
        self.sessions.machine(self.session)
    }
}
