//! What a link knows of its sockets: all of it lives in the variant that holds it, so none of it can outlive a socket.

use super::input::Epoch;
use super::state::Cause;
use crate::heartbeat::Heartbeat;
use crate::session::Attachment;
use crate::time::Instant;

/// What a link is about.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not started, or stopped by the user.
    Stopped,
    /// Given up.
    Failed(Cause),
    /// Between two attempts.
    Waiting(Waiting),
    /// A socket is being opened.
    Opening(Opening),
    /// A socket is open.
    Open(Socket),
}

/// Until the next attempt.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) at: Instant,
    /// Before this, only the user's start makes an attempt: the server asked for it.
    pub(super) earliest: Instant,
    pub(super) cause: Cause,
    /// Whether the user was told.
    pub(super) told: bool,
}

impl Waiting {
    pub(super) const fn until(at: Instant, cause: Cause) -> Waiting {
        Waiting { at, earliest: Instant::ORIGIN, cause, told: false }
    }
}

/// A socket that is being opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) epoch: Epoch,
    pub(super) attempt: u32,
    pub(super) give_up: Instant,
    /// Whether the adapter was told; before that, there is nothing to abandon.
    pub(super) told: bool,
    pub(super) hello: Hello,
}

/// On the native wire: how far the greeting has come on a socket that is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// The socket is not open.
    NotYet,
    /// It is to be pulled.
    Due(Flush),
    /// The welcome is awaited. From here on the server may have given the session to this socket.
    Said {
        /// Bytes of payload that were handed over with it.
        payload: u32,
    },
}

impl Hello {
    /// The socket has room again.
    pub(super) const fn writable(self) -> Hello {
        match self {
            Hello::Due(_) => Hello::Due(Flush::Ready),
            Hello::NotYet | Hello::Said { .. } => self,
        }
    }
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) epoch: Epoch,
    pub(super) opened: Instant,
    /// Whether anything came in, so that the count of attempts may be reset when it ends.
    pub(super) heard: bool,
    pub(super) heartbeat: Heartbeat,
    /// A ping that is to be sent.
    pub(super) ping: Option<u32>,
    /// A ping of the peer's that is to be answered.
    /// It carries this nonce, where the wire can carry one.
    pub(super) pong: Option<u32>,
    /// Whether the adapter may be asked to pull.
    pub(super) flush: Flush,
    /// On the native wire, what the session has on this socket.
    pub(super) attachment: Option<Attachment>,
    /// How often in a row an acknowledgement was overdue.
    pub(super) overdue: u8,
    /// What the other end was told of this one's health.
    pub(super) told_health: u32,
    /// Payload bytes that were handed to the socket, on the native wire.
    pub(super) handed: u64,
    /// Payload bytes that the socket has taken.
    pub(super) written: u64,
    /// When what was handed over last moved on.
    pub(super) progress: Instant,
    pub(super) stalled: bool,
    /// The user said stop, and what is queued may leave until then.
    pub(super) linger: Option<Instant>,
}

/// Who has the turn: the link, to ask for a flush, or the adapter, to say that there is room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    Ready,
    Asked,
}

impl Socket {
    pub(super) const fn new(epoch: Epoch, now: Instant, hidden: bool) -> Socket {
        let mut heartbeat = Heartbeat::new(now);
        heartbeat.set_hidden(hidden);
        Socket {
            epoch,
            opened: now,
            heard: false,
            heartbeat,
            ping: None,
            pong: None,
            flush: Flush::Ready,
            attachment: None,
            overdue: 0,
            told_health: 0,
            handed: 0,
            written: 0,
            progress: now,
            stalled: false,
            linger: None,
        }
    }

    /// Whether there is no reason to think that it is dead. If there is, no message is handed to it: it would be lost in
    /// the buffers on the way, or wait there although it could leave by another socket.
    pub(super) const fn is_well(&self) -> bool {
        !self.heartbeat.is_suspect() && !self.heartbeat.is_probing()
    }

    /// Time until `now` does not count: nothing could have come, and nothing could have left.
    pub(super) fn hold_until(&mut self, now: Instant) {
        self.heartbeat.hold_until(now);
        self.progress = now;
        if let Some(attachment) = &mut self.attachment {
            attachment.hold_until(now);
        }
    }

    /// Whether an answer is overdue, or an acknowledgement.
    pub(super) const fn is_suspect(&self) -> bool {
        self.heartbeat.is_suspect() || self.overdue > 0
    }
}

/// The one socket that may exist beside the current one.
#[derive(Debug)]
pub(super) enum Other {
    None,
    /// Closing properly.
    Closing(Closing),
    /// Being opened beside a suspect one, or to be opened then.
    Candidate(Candidacy),
}

/// A socket that closes.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) epoch: Epoch,
    pub(super) code: u16,
    pub(super) give_up: Instant,
    pub(super) told: bool,
    pub(super) farewell: Farewell,
    /// The session ends with it; until then what was in flight may still be acknowledged.
    pub(super) last: bool,
}

/// On the native wire: whether a goodbye is to leave before the close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    None,
    Due,
    /// The adapter was asked to pull it.
    Asked,
}

/// An attempt at a second socket.
#[derive(Debug)]
pub(super) enum Candidacy {
    At(Instant),
    Opening(Opening),
}
