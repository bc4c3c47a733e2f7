//! What a peer keeps of one client, whether it is there or not. Small, for there may be a million of them.

use core::time::Duration;

use super::stamp::Stamp;
use crate::acceptor::Parting;
use crate::link::Epoch;
use crate::session::{Attachment, Session, Small};
use crate::time::Instant;
use crate::wire::native::{Announced, Goodbye, Limit, code};
use crate::{acceptor, delivery};

/// What a peer keeps of one client: 168 bytes, whether it is there and idle, or gone. Its messages are in the arena, its
/// configuration is shared, its tokens are in the table.
#[derive(Debug)]
pub struct Core {
    pub(super) session: Session,
    pub(super) socket: Socket,
}

impl Core {
    /// Those that share an arena need different salts.
    pub(super) const fn new(salt: u32) -> Core {
        Core { session: Session::new(salt), socket: Socket::None }
    }
}

impl Core {
    /// Whether it is on a socket, or on one that is being let go: then it is polled.
    pub(super) const fn is_there(&self) -> bool {
        matches!(self.socket, Socket::Open(_) | Socket::Released { .. })
    }
}

/// The socket of a session.
#[derive(Debug)]
pub(super) enum Socket {
    None,
    /// None since the state was restored, which may be older than what was sent: up to this message, lower half first. (An
    /// aligned number would leave no room.)
    Restored([u32; 2]),
    Open(Open),
    /// It is the session's no more, and the adapter is to be told.
    Released {
        epoch: Epoch,
        parted: Parted,
        /// Whether the client is still to hear of what has come.
        ack: bool,
        /// Whether the session ends with it.
        over: bool,
    },
}

impl Socket {
    pub(super) const fn restored(sequence: u64) -> Socket {
        Socket::Restored([sequence as u32, (sequence >> 32) as u32])
    }

    /// The last message that may have been sent by a process that lived on after the state was stored.
    pub(super) const fn doubtful(&self) -> Option<u64> {
        match self {
            Socket::Restored([low, high]) => Some((*high as u64) << 32 | *low as u64),
            Socket::None | Socket::Open(_) | Socket::Released { .. } => None,
        }
    }

    /// A socket that was let go, and how; `counts` are those of its session, as long as that is on no other socket.
    pub(super) fn released(&self, counts: Option<&delivery::Counts>) -> Option<(Epoch, Parting)> {
        match self {
            Socket::Released { epoch, parted, ack, .. } => {
                let received = counts.filter(|_| *ack).map(delivery::Counts::received);
                Some((*epoch, parted.parting(received)))
            }
            Socket::None | Socket::Restored(_) | Socket::Open(_) => None,
        }
    }
}

/// Why a socket was let go; in few bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parted {
    Dead,
    Leaving,
    Broken(u16),
    Told { code: u16, retry_after: u32, limit: Option<Limit> },
}

impl Parted {
    pub(super) fn told(code: u16, retry_after: Duration) -> Parted {
        Parted::Told { code, retry_after: acceptor::goodbye(code, retry_after, "").retry_after, limit: None }
    }

    /// It broke the protocol in the way that this code names.
    pub(super) const fn violation(code: u16, limit: Option<Limit>) -> Parted {
        Parted::Told { code, retry_after: 0, limit }
    }

    /// What the one who takes the socket back does with it.
    fn parting(self, ack: Option<u64>) -> Parting {
        match self {
            Parted::Dead => Parting::Abandon,
            Parted::Leaving => Parting::Wait { ack },
            Parted::Broken(code) => Parting::Close { code },
            Parted::Told { code, retry_after, limit } => {
                let goodbye = Goodbye { code, retry_after, attempt: 0, reason: words(code, limit) };
                Parting::Say { ack, goodbye }
            }
        }
    }
}

/// For people.
const fn words(code: u16, limit: Option<Limit>) -> &'static str {
    match (code, limit) {
        (_, Some(Limit::Envelope)) => "the envelope is too long",
        (_, Some(Limit::Channel)) => "the channel name is too long",
        (_, Some(Limit::Name)) => "the request name is too long",
        (_, Some(Limit::Reason)) => "the reason is too long",
        (_, Some(Limit::Token)) => "the token is too long",
        (_, Some(Limit::Credentials)) => "the credentials are too long",
        (code::IMPOSSIBLE_COUNT, None) => "a count that cannot be true",
        (code::TOO_SLOW, None) => "too slow",
        (code::RESTART, None) => "restart",
        (code::EXPIRED, None) => "credentials have expired",
        (_, None) => "",
    }
}

/// An open socket: 24 bytes.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) epoch: Epoch,
    /// When something came in last, or when the ping left that nothing has come in since.
    heard: Stamp,
    /// When an acknowledgement that is owed leaves at the latest.
    ack_at: Option<Stamp>,
    /// The longest body that the client takes.
    envelope: u32,
    /// The nonce of the client's last ping.
    pub(super) nonce: u32,
    /// After how much of what is owed an acknowledgement leaves at once.
    ack_after: u16,
    pub(super) flags: Flags,
    pub(super) beat: Beat,
}

/// What is known of the client's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Something came in not long ago.
    Well,
    /// Nothing has come in for long: a ping is to be sent.
    Asking,
    /// It was sent.
    Asked,
    /// The application does not read: silence proves nothing.
    Deaf,
}

/// What is to be sent on a socket, and what the adapter was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// The welcome is to be sent; before it, nothing that counts.
    pub(super) const WELCOME: u8 = 1;
    /// What the welcome says: the session goes on.
    pub(super) const RESUMED: u8 = 2;
    /// A ping is to be answered.
    pub(super) const PONG: u8 = 4;
    /// The token has changed, and the client is to be told.
    pub(super) const RENEWAL: u8 = 8;
    /// The adapter was asked to pull.
    pub(super) const FLUSH_ASKED: u8 = 16;
    /// The adapter was asked for another token.
    pub(super) const RENEWAL_ASKED: u8 = 32;

    pub(super) const fn has(self, any: u8) -> bool {
        self.0 & any != 0
    }

    pub(super) const fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }

    /// Clears it; whether it was set.
    pub(super) const fn take(&mut self, flag: u8) -> bool {
        let was = self.has(flag);
        self.0 &= !flag;
        was
    }
}

impl Open {
    pub(super) fn new(
        config: &delivery::Config,
        now: Instant,
        epoch: Epoch,
        announced: Announced,
        resumed: bool,
    ) -> Open {
        let mut flags = Flags::default();
        flags.set(Flags::WELCOME);
        if resumed {
            flags.set(Flags::RESUMED);
        }
        let Small { envelope, ack_after, .. } = Attachment::new(config, announced).small();
        let heard = Stamp::new(now);
        Open { epoch, heard, ack_at: None, envelope, nonce: 0, ack_after, flags, beat: Beat::Well }
    }

    /// What the session goes by on this socket.
    pub(super) fn attachment(&self, now: Instant) -> Attachment {
        let ack_at = self.ack_at.map(|at| at.near(now));
        Attachment::from_small(Small { envelope: self.envelope, ack_after: self.ack_after, ack_at })
    }

    pub(super) fn keep(&mut self, attachment: &Attachment) {
        self.ack_at = attachment.small().ack_at.map(Stamp::new);
    }

    /// Something came in.
    pub(super) fn alive(&mut self, now: Instant) {
        self.heard = Stamp::new(now);
        if self.beat != Beat::Deaf {
            self.beat = Beat::Well;
        }
    }

    /// The application does not read, or reads again.
    pub(super) fn set_deaf(&mut self, now: Instant, deaf: bool) {
        if deaf {
            self.beat = Beat::Deaf;
        } else if self.beat == Beat::Deaf {
            self.beat = Beat::Well;
            self.heard = Stamp::new(now);
        }
    }

    /// When the heartbeat wants to be [fired](Open::fire).
    pub(super) fn beat_at(&self, config: &super::Heartbeat, now: Instant) -> Option<Instant> {
        let since = self.heard.near(now);
        match self.beat {
            Beat::Well => Some(since + config.quiet),
            Beat::Asking | Beat::Asked => Some(since + config.timeout),
            Beat::Deaf => None,
        }
    }

    /// Fires the timer if it is due: asks, or finds the client dead, and then is true. A late call fires it once.
    pub(super) fn fire(&mut self, config: &super::Heartbeat, now: Instant) -> bool {
        if self.beat_at(config, now).is_none_or(|at| at > now) {
            return false;
        }
        let dead = self.beat != Beat::Well;
        self.beat = Beat::Asking;
        self.heard = Stamp::new(now);
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::{Core, Open};

    #[test]
    fn a_peer_has_168_bytes() {
        assert!(size_of::<Open>() <= 24, "{}", size_of::<Open>());
        assert!(size_of::<Core>() <= 168, "{}", size_of::<Core>());
    }
}
