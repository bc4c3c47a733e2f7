//! Nothing lost, nothing twice: numbering, window, acknowledgements and replay, the same for both ends of a session.
//!
//! ```text
//!           number            hand_over                    acknowledged
//!   queue ─────────► [ numbered ] ────► [ handed over ] ────────────────► settled
//!                         ▲                   │
//!                         └───── resume ──────┘   what the other end has not received is handed over again
//!
//!   socket ─────────► receive ────► New: for the application, and an ack is owed
//!                             └───► Repeat: the application has it already
//! ```
//!
//! No number travels: both ends count, and the socket keeps the order. An acknowledgement is the count of what was received
//! in the whole session, as in XMPP's stream management (XEP-0198). When a socket dies, the next one begins with both ends
//! telling each other these counts, and each hands over again what the other has not got.
//!
//! [`Counts`] holds counts only. The messages are in an [`Outbox`](crate::outbox::Outbox), whose messages in flight are those
//! that are numbered and not acknowledged, in order:
//!
//! | counts | outbox |
//! | --- | --- |
//! | [`has_room`](Counts::has_room), then [`number`](Counts::number) | [`prepare`](crate::outbox::Outbox::prepare) |
//! | [`hand_over`](Counts::hand_over) | [`hand_over`](crate::outbox::Outbox::hand_over) |
//! | [`acknowledged`](Counts::acknowledged) gives `n` | [`acknowledge`](crate::outbox::Outbox::acknowledge) `n` |
//! | [`resume`](Counts::resume), [`take_over`](Counts::take_over) | `acknowledge`, then [`rewind`](crate::outbox::Outbox::rewind) |
//! | [`restart`](Counts::restart) gives `n` in doubt | [`doubt`](crate::outbox::Outbox::doubt) or [`resend`](crate::outbox::Outbox::resend) |
//!
//! So priorities, age limits and replacement concern only what is not yet numbered, and a full window leaves the rest in the
//! queue. Whoever drives it keeps the time: when a delayed acknowledgement leaves, when one that stays out is suspicious.
//!
//! ```
//! use everlink::delivery::{Arrival, Counts};
//!
//! let (mut client, mut server) = (Counts::new(), Counts::new());
//!
//! // A new session: the client's hello has no token.
//! client.begin_attempt();
//! let hello = client.greeting(None).unwrap();
//! server.offer(hello.attempt, None);
//! client.restart(None);
//!
//! // Two messages leave, one arrives, the socket dies.
//! assert!(client.number() && client.number());
//! assert!(client.hand_over(None) && client.hand_over(None));
//! server.heard();
//! assert_eq!(server.receive(64), Arrival::New);
//! client.detach();
//! server.detach();
//!
//! // The next socket.
//! client.begin_attempt();
//! let hello = client.greeting(None).unwrap();
//! let welcome = server.take_over(hello, None).unwrap();
//! let resumption = client.resume(welcome.received, welcome.from).unwrap();
//! assert_eq!((resumption.acknowledged, resumption.replay), (1, 1));
//! ```

mod config;
mod durable;

pub use config::{Config, InDoubt};
pub use durable::{Durable, Marks};

use core::fmt;

/// One end's counts of one session, and of the socket that the session is on. 40 bytes.
///
/// Every command has a defined effect in every state; none panics, and none of them loops.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Numbered, ever.
    sent: u64,
    /// Received, ever, without repeats.
    received: u64,
    /// Of what was numbered: not known to have been received.
    unacknowledged: u32,
    /// Of these: not yet handed to the current socket.
    waiting: u32,
    /// How many of those that come next on the current socket were received on an earlier one.
    repeats: u32,
    /// Of what has come on the current socket: not yet acknowledged on it.
    owed: u32,
    /// The hello that was made, or answered, last.
    attempt: u32,
    /// KiB of the owed ones.
    owed_kib: u16,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Phase {
    /// On no socket.
    Detached,
    /// A server that has offered a new session, and does not know whether the client knows of it.
    Offered,
    /// A client in a new session that has not yet said that it knows of it.
    Unconfirmed,
    Attached,
}

/// What a hello says of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Greeting {
    /// Grows with each hello of a session.
    pub attempt: u32,
    /// How many counted envelopes the client has received.
    pub received: u64,
}

/// What is left to do when a session goes on over another socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Resumption {
    /// So many messages, the oldest ones in flight, have arrived.
    pub acknowledged: u32,
    /// So many others are handed over again, before anything new.
    pub replay: u32,
    /// What a server's welcome says that it has received.
    pub received: u64,
    /// The count of messages behind which the replay begins, for a server's welcome. It is above what the hello said if an
    /// acknowledgement on the old socket overtook the hello.
    pub from: u64,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Arrival {
    /// It is for the application.
    New,
    /// The application has it already: it came on an earlier socket.
    Repeat,
    /// It counts, but the session is on no socket: the other end broke the protocol.
    Stray,
}

/// A count that cannot be true. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Impossible;

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count that cannot be true")
    }
}

impl core::error::Error for Impossible {}

/// Why a hello does not take a session over. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// Its attempt is not above that of a hello that was answered before: it was overtaken on its way, or comes from an old
    /// copy of the client's state. The session stays where it is.
    Overtaken,
    /// Its count cannot be true: the session cannot go on, and a new one begins.
    Impossible,
}

/// What is worth storing of [`Counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Saved {
    /// How many messages were numbered.
    pub sent: u64,
    /// How many of them were acknowledged.
    pub acknowledged: u64,
    /// How many of the other end's were received.
    pub received: u64,
    /// The last attempt.
    pub attempt: u32,
}

impl Counts {
    /// Those of a session in which nothing has happened, on no socket.
    #[must_use]
    pub const fn new() -> Counts {
        Counts {
            sent: 0,
            received: 0,
            unacknowledged: 0,
            waiting: 0,
            repeats: 0,
            owed: 0,
            attempt: 0,
            owed_kib: 0,
            phase: Phase::Detached,
        }
    }

    /// Those that were stored, on no socket. `None` if they cannot be true.
    #[must_use]
    pub fn restore(saved: Saved) -> Option<Counts> {
        let unacknowledged = u32::try_from(saved.sent.checked_sub(saved.acknowledged)?).ok()?;
        Some(Counts {
            sent: saved.sent,
            received: saved.received,
            unacknowledged,
            waiting: unacknowledged,
            attempt: saved.attempt,
            ..Counts::new()
        })
    }

    /// What to store.
    #[must_use]
    pub const fn save(&self) -> Saved {
        Saved {
            sent: self.sent,
            acknowledged: self.acknowledged_so_far(),
            received: self.received,
            attempt: self.attempt,
        }
    }

    // A client's way into a session.

    /// Another socket is wanted: its hello will have this attempt number. The current socket, if there is one, is not touched.
    pub const fn begin_attempt(&mut self) -> u32 {
        self.attempt = self.attempt.saturating_add(1);
        self.attempt
    }

    /// What the hello says; `None` as long as the attempt is not stored.
    #[must_use]
    pub fn greeting(&self, durable: Option<&Durable>) -> Option<Greeting> {
        let marks = self.safe(durable)?;
        let greeting = Greeting { attempt: self.attempt, received: marks.received };
        (marks.attempt >= self.attempt).then_some(greeting)
    }

    /// The welcome says that the session goes on, how many messages the server has received, and behind how many of its own it
    /// begins.
    ///
    /// # Errors
    /// If that cannot be true. Then forget the token: the next hello asks for a new session.
    pub fn resume(&mut self, received: u64, from: u64) -> Result<Resumption, Impossible> {
        let repeats = self.received.checked_sub(from).ok_or(Impossible)?;
        let acknowledged = self.arrived(received, self.unacknowledged).ok_or(Impossible)?;
        Ok(self.attach(acknowledged, repeats))
    }

    /// The welcome begins a new session. Gives how many messages are in doubt: they were numbered in the old one.
    pub const fn restart(&mut self, durable: Option<&mut Durable>) -> u32 {
        let doubtful = self.begin(durable);
        self.phase = Phase::Unconfirmed;
        doubtful
    }

    /// Whether being told that another socket has superseded this one, whose hello had `attempt`, is final: it was not one
    /// of our own. (Two copies of one state must not evict each other for ever.)
    #[must_use]
    pub const fn is_superseded_by(&self, attempt: u32) -> bool {
        attempt > self.attempt
    }

    // A server's.

    /// A new session begins in answer to a hello of this attempt. Nothing that counts leaves before the client has shown that it
    /// knows of the session ([`heard`](Counts::heard)): it could not resume it, and what was sent in it would be in doubt.
    ///
    /// Gives how many messages are in doubt: they were numbered in an old session that could not go on.
    pub const fn offer(&mut self, attempt: u32, durable: Option<&mut Durable>) -> u32 {
        let doubtful = self.begin(durable);
        self.attempt = attempt;
        self.phase = Phase::Offered;
        doubtful
    }

    const fn begin(&mut self, durable: Option<&mut Durable>) -> u32 {
        if let Some(durable) = durable {
            durable.restart();
        }
        let doubtful = self.unacknowledged;
        *self = Counts { attempt: self.attempt, ..Counts::new() };
        doubtful
    }

    /// Whether the welcome of a new session may leave: not before the session is stored.
    #[must_use]
    pub fn may_welcome(&self, durable: Option<&Durable>) -> bool {
        self.safe(durable).is_some()
    }

    /// An envelope that is no hello came on the session's socket. True if it is the first one in a new session: now it is
    /// certain that the client knows of it.
    pub const fn heard(&mut self) -> bool {
        let first = matches!(self.phase, Phase::Offered);
        if first {
            self.phase = Phase::Attached;
        }
        first
    }

    /// A hello with the token of this session came on another socket: that one has it now. What the old one still
    /// delivers is to be ignored; tell it that it is superseded, and by which attempt.
    ///
    /// # Errors
    /// Says whether the hello is refused, or a new session begins in its place.
    pub fn take_over(
        &mut self,
        greeting: Greeting,
        durable: Option<&Durable>,
    ) -> Result<Resumption, Refusal> {
        if greeting.attempt <= self.attempt {
            return Err(Refusal::Overtaken);
        }
        let told = self.safe(durable).map_or(0, |marks| marks.received);
        // An acknowledgement on the old socket may have overtaken the hello.
        let received = greeting.received.max(self.acknowledged_so_far());
        let acknowledged = self.arrived(received, self.unacknowledged).ok_or(Refusal::Impossible)?;
        self.attempt = greeting.attempt;
        Ok(self.attach(acknowledged, self.received.saturating_sub(told)))
    }

    // Both ends'.

    /// What the other end may depend on.
    fn safe(&self, durable: Option<&Durable>) -> Option<Marks> {
        durable.map_or(Some(self.marks()), Durable::safe)
    }

    fn attach(&mut self, acknowledged: u32, repeats: u64) -> Resumption {
        self.unacknowledged = self.unacknowledged.saturating_sub(acknowledged);
        self.detach();
        self.phase = Phase::Attached;
        self.repeats = u32::try_from(repeats).unwrap_or(u32::MAX);
        Resumption {
            acknowledged,
            replay: self.unacknowledged,
            received: self.come(),
            from: self.acknowledged_so_far(),
        }
    }

    /// How many more have arrived, if `total` arrived in all and it can be at most `most`.
    fn arrived(&self, total: u64, most: u32) -> Option<u32> {
        let known = self.acknowledged_so_far();
        let more = u32::try_from(total.checked_sub(known)?).ok()?;
        (more <= most).then_some(more)
    }

    /// The socket is gone, or abandoned.
    pub const fn detach(&mut self) {
        self.phase = Phase::Detached;
        self.waiting = self.unacknowledged;
        self.repeats = 0;
        self.owed = 0;
        self.owed_kib = 0;
    }

    /// Whether the window has room for one more message of `len` bytes, when those in flight have `in_flight_bytes`. A
    /// message that is larger than the window goes alone.
    #[must_use]
    pub const fn has_room(&self, config: &Config, in_flight_bytes: u32, len: u32) -> bool {
        self.may_send()
            && (self.unacknowledged == 0
                || self.unacknowledged < config.window
                    && in_flight_bytes.saturating_add(len) <= config.window_bytes)
    }

    /// Whether envelopes that count may leave at all: after the welcome.
    #[must_use]
    pub const fn may_send(&self) -> bool {
        match self.phase {
            Phase::Attached | Phase::Unconfirmed => true,
            Phase::Detached | Phase::Offered => false,
        }
    }

    /// Numbers the next message: from now on it is in flight, even if it waits to be [handed over](Counts::hand_over). False
    /// if nothing may be sent.
    pub const fn number(&mut self) -> bool {
        if !self.may_send() || self.unacknowledged == u32::MAX {
            return false;
        }
        self.sent = self.sent.saturating_add(1);
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        self.waiting = self.waiting.saturating_add(1);
        true
    }

    /// Takes one of the messages back that the other end has not received and this socket has not had: the messages behind it move
    /// up. Right after the session went on, when it is certain which these are. False if there is none, or some were handed over.
    ///
    /// What is stored tells of a message with this number; so nothing leaves until the state is stored anew.
    pub const fn retract(&mut self, durable: Option<&mut Durable>) -> bool {
        if self.unacknowledged == 0 || self.waiting < self.unacknowledged {
            return false;
        }
        self.sent = self.sent.saturating_sub(1);
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(durable) = durable {
            durable.restart();
        }
        true
    }

    /// The next message in flight that the socket has not had goes to it now: first those of before it, then the new
    /// ones. False if there is none, or none that may leave.
    pub fn hand_over(&mut self, durable: Option<&Durable>) -> bool {
        let may = self.can_hand_over(durable) > 0;
        self.waiting = self.waiting.saturating_sub(u32::from(may));
        may
    }

    /// How many messages may be handed over now.
    #[must_use]
    pub fn can_hand_over(&self, durable: Option<&Durable>) -> u32 {
        if !self.may_send() {
            return 0;
        }
        let stored = self.safe(durable).map_or(0, |marks| marks.sent);
        let unsafe_ones = self.sent.saturating_sub(stored);
        self.waiting.saturating_sub(u32::try_from(unsafe_ones).unwrap_or(u32::MAX))
    }

    /// The other end says how many messages it has received in all. Gives how many of those in flight are settled by that,
    /// from the oldest on.
    ///
    /// # Errors
    /// If fewer were acknowledged than before, or more than this socket was given. Ignore the envelope, close the socket.
    pub fn acknowledged(&mut self, total: u64) -> Result<u32, Impossible> {
        if !self.may_send() && self.phase != Phase::Offered {
            return Err(Impossible);
        }
        let arrived =
            self.arrived(total, self.unacknowledged.saturating_sub(self.waiting)).ok_or(Impossible)?;
        self.unacknowledged = self.unacknowledged.saturating_sub(arrived);
        Ok(arrived)
    }

    /// Whether the next envelope that counts is a repeat. To know before it is [received](Counts::receive).
    #[must_use]
    pub const fn expects_repeat(&self) -> bool {
        self.repeats > 0
    }

    /// An envelope that counts, with `len` bytes, came on the session's socket. Counting is accepting: from here on it is
    /// acknowledged, and never comes again.
    pub fn receive(&mut self, len: u32) -> Arrival {
        self.heard();
        if !self.may_send() {
            return Arrival::Stray;
        }
        self.owed = self.owed.saturating_add(1);
        self.owed_kib = self.owed_kib.saturating_add(u16::try_from(len >> 10).unwrap_or(u16::MAX));
        if self.repeats > 0 {
            self.repeats = self.repeats.saturating_sub(1);
            return Arrival::Repeat;
        }
        self.received = self.received.saturating_add(1);
        Arrival::New
    }

    /// How much has come without being acknowledged: one for each message, and one for each full KiB of each.
    #[must_use]
    pub fn owed(&self) -> u32 {
        self.owed.saturating_add(u32::from(self.owed_kib))
    }

    /// Whether an acknowledgement should leave: now, if what is [owed](Counts::owed) has reached `after`; else with the next
    /// envelope that leaves anyway, or when the delay is over, whatever comes first.
    #[must_use]
    pub fn ack_due(&self, after: u32) -> Option<Urgency> {
        if self.phase == Phase::Unconfirmed || (self.owed > 0 && self.owed() >= after) {
            Some(Urgency::Now)
        } else if self.owed > 0 {
            Some(Urgency::Delayed)
        } else {
            None
        }
    }

    /// The count that an acknowledgement says; from now on that is not owed any more. `None` if it would say nothing new, or
    /// nothing that is stored.
    ///
    /// It goes in front of the envelope that it leaves with, in the same frame.
    pub fn ack(&mut self, durable: Option<&Durable>) -> Option<u64> {
        let total = self.tells(durable)?;
        self.phase = Phase::Attached;
        self.owed = u32::try_from(self.come().saturating_sub(total)).unwrap_or(u32::MAX);
        self.owed_kib = 0;
        Some(total)
    }

    /// What [`ack`](Counts::ack) would give.
    #[must_use]
    pub fn tells(&self, durable: Option<&Durable>) -> Option<u64> {
        let marks = self.safe(durable)?;
        let told = self.come().saturating_sub(u64::from(self.owed));
        let total = self.come().min(marks.received);
        let says_something = total > told || self.phase == Phase::Unconfirmed;
        (self.may_send() && says_something).then_some(total)
    }

    /// How many have come on the current socket, those included that came on the ones before and do not come again.
    pub(crate) const fn come(&self) -> u64 {
        self.received.saturating_sub(self.repeats as u64)
    }

    const fn acknowledged_so_far(&self) -> u64 {
        self.sent.saturating_sub(self.unacknowledged as u64)
    }

    /// How many messages are numbered and not acknowledged.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.unacknowledged
    }

    /// How many the other end was given on this socket and has not acknowledged. As long as there are any, an acknowledgement
    /// is to come.
    #[must_use]
    pub const fn unanswered(&self) -> u32 {
        self.unacknowledged.saturating_sub(self.waiting)
    }

    /// How many messages were handed over, ever: those that wait for a socket are not among them.
    pub(crate) const fn handed_over(&self) -> u64 {
        self.sent.saturating_sub(self.waiting as u64)
    }

    /// How many messages were received.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The attempt of the last hello.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What another end may come to depend on.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        Marks { sent: self.sent, received: self.received, attempt: self.attempt }
    }
}

impl Default for Counts {
    fn default() -> Counts {
        Counts::new()
    }
}

/// When an acknowledgement should leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Urgency {
    /// With the next envelope, or after the delay.
    Delayed,
    /// At once.
    Now,
}
